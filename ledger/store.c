/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/store.h"

#include "ledger/bytes.h"
#include "ledger/files.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPIES        2u
#define STORE_VERSION 1u
#define SLOT_MAGIC    0x544f4c53u /* "SLOT" */
#define BLOCK_SLOTS   (BLOCK_BYTES / STORE_SLOT_BYTES)
#define PIECE_BYTES                                                                                \
        (1u << 20) /* the most that is read or written at once, and what the files grow by */
#define PIECE_BLOCKS (PIECE_BYTES / BLOCK_BYTES)
#define STORE_WHY    512u
#define ID_BYTES     16u

enum slot_state { SLOT_VALUE = 1, SLOT_ERASED = 2 };

/* Offsets; see store.h. */
enum {
        AT_VERSION = 8,
        AT_COPY = 12,
        AT_ID = 16,
        AT_BLOCK_CRC = BLOCK_BYTES - 4,

        AT_SLOT_INDEX = 4,
        AT_SLOT_SEQUENCE = 8,
        AT_SLOT_VALUE_BYTES = 16,
        AT_SLOT_STATE = 18,
        AT_SLOT_VALUE = 24,
        AT_SLOT_CRC = STORE_SLOT_BYTES - 4,
};
_Static_assert(AT_SLOT_VALUE + STORE_VALUE_BYTES <= AT_SLOT_CRC, "a value fits its slot");
_Static_assert(STORE_SLOTS_MAX % BLOCK_SLOTS == 0, "blocks are whole");

static const char store_magic[] = "AORTASTO";
static const char *const copy_names[COPIES] = {"store.a", "store.b"};

struct store {
        char path[PATH_MAX];
        uint8_t id[ID_BYTES];
        int fds[COPIES];
        uint32_t blocks[COPIES]; /* of slots, that each file has */
        uint8_t *pieces[COPIES]; /* PIECE_BYTES each */
        uint32_t end;
};

static uint64_t
block_offset(uint32_t block)
{
        return ((uint64_t)block + 1) * BLOCK_BYTES;
}

/* ---- slots ---- */

enum slot_verdict { SLOT_DAMAGED, SLOT_UNUSED, SLOT_VALID };

static enum slot_verdict
slot_check(const uint8_t *slot, uint32_t index)
{
        uint8_t state = slot[AT_SLOT_STATE];
        if (bytes_are_zero(slot, STORE_SLOT_BYTES))
                return SLOT_UNUSED;
        if (get_le32(slot) != SLOT_MAGIC || get_le32(slot + AT_SLOT_INDEX) != index ||
            get_le32(slot + AT_SLOT_CRC) != crc32c(slot, AT_SLOT_CRC) ||
            (state != SLOT_VALUE && state != SLOT_ERASED) ||
            get_le16(slot + AT_SLOT_VALUE_BYTES) > STORE_VALUE_BYTES)
                return SLOT_DAMAGED;
        return SLOT_VALID;
}

/* Overwrites the slot with the next sequence; a NULL value erases it. */
static void
slot_fill(uint8_t *slot, uint32_t index, const void *value, uint32_t value_bytes)
{
        uint64_t sequence = get_le64(slot + AT_SLOT_SEQUENCE) + 1;
        memset(slot, 0, STORE_SLOT_BYTES);
        put_le32(slot, SLOT_MAGIC);
        put_le32(slot + AT_SLOT_INDEX, index);
        put_le64(slot + AT_SLOT_SEQUENCE, sequence);
        slot[AT_SLOT_STATE] = value != NULL ? SLOT_VALUE : SLOT_ERASED;
        if (value != NULL) {
                put_le16(slot + AT_SLOT_VALUE_BYTES, (uint16_t)value_bytes);
                memcpy(slot + AT_SLOT_VALUE, value, value_bytes);
        }
        put_le32(slot + AT_SLOT_CRC, crc32c(slot, AT_SLOT_CRC));
        assert(slot_check(slot, index) == SLOT_VALID);
}

/* Makes both copies of a slot in memory the one that counts. 0: they were the same; 1 + c: copy c
 * was not and must be written; -EBADMSG: damaged in both. */
static int
slot_merge(uint8_t *a, uint8_t *b, uint32_t index)
{
        enum slot_verdict va = slot_check(a, index), vb = slot_check(b, index);
        if (va == SLOT_DAMAGED && vb == SLOT_DAMAGED)
                return -EBADMSG;
        if (memcmp(a, b, STORE_SLOT_BYTES) == 0)
                return 0;
        /* A slot that was never used has sequence 0. */
        bool take_a = va > vb || (va == vb && get_le64(a + AT_SLOT_SEQUENCE) >=
                                                  get_le64(b + AT_SLOT_SEQUENCE));
        memcpy(take_a ? b : a, take_a ? a : b, STORE_SLOT_BYTES);
        return take_a ? 2 : 1;
}

/* ---- pieces: both copies of n blocks from first on, in store->pieces ---- */

/* What cannot be read counts as damaged, what lies behind the file's end as zero. */
static int
piece_read_copy(struct store *store, unsigned copy, uint32_t first, uint32_t n)
{
        uint8_t *piece = store->pieces[copy];
        size_t bytes = (size_t)n * BLOCK_BYTES;
        int64_t got = file_read_full(store->fds[copy], piece, bytes, block_offset(first));
        if (got >= 0) {
                memset(piece + got, 0, bytes - (size_t)got);
                return 0;
        }
        if (got != -EIO)
                return (int)got;
        for (uint32_t i = 0; i < n; i++) {
                uint8_t *block = piece + (size_t)i * BLOCK_BYTES;
                got = file_read_full(store->fds[copy], block, BLOCK_BYTES, block_offset(first + i));
                if (got < 0)
                        memset(block, 0xff, BLOCK_BYTES);
                else
                        memset(block + got, 0, BLOCK_BYTES - (size_t)got);
        }
        return 0;
}

/* Grows a copy to hold blocks, by zeros that are flushed; what it cannot finish it takes back. */
static int
copy_grow(struct store *store, unsigned copy, uint32_t blocks)
{
        uint32_t have = store->blocks[copy];
        if (have >= blocks)
                return 0;
        int error = file_write_zeros(
            store->fds[copy], block_offset(have), (uint64_t)(blocks - have) * BLOCK_BYTES);
        if (error) {
                /* If this fails too, the file is longer than known, by zeros. */
                if (ftruncate(store->fds[copy], (off_t)block_offset(have)) == 0)
                        fsync(store->fds[copy]);
                return error;
        }
        store->blocks[copy] = blocks;
        return 0;
}

static int
piece_write_copy(struct store *store, unsigned copy, uint32_t first, uint32_t at, uint32_t n)
{
        int error = copy_grow(store, copy, first + at + n);
        if (error)
                return error;
        return file_write_full(store->fds[copy], store->pieces[copy] + (size_t)at * BLOCK_BYTES,
            (size_t)n * BLOCK_BYTES, block_offset(first + at));
}

/* Writes the blocks of the piece that were wrong in a copy. */
static int
piece_repair(
    struct store *store, unsigned copy, uint32_t first, const bool wrong[PIECE_BLOCKS], uint32_t n)
{
        for (uint32_t begin = 0, end; begin < n; begin = end) {
                for (end = begin; end < n && wrong[end]; end++)
                        ;
                if (end == begin) {
                        end++;
                        continue;
                }
                int error = piece_write_copy(store, copy, first, begin, end - begin);
                if (error)
                        return error;
        }
        return 0;
}

/* Reads n blocks and makes both copies right, in memory and on disk. -EBADMSG and *bad_slot: a slot
 * is damaged in both, and nothing was changed. */
static int
piece_read(struct store *store, uint32_t first, uint32_t n, uint32_t *bad_slot)
{
        assert(n > 0 && n <= PIECE_BLOCKS);
        bool wrong[COPIES][PIECE_BLOCKS] = {{false}};
        for (unsigned copy = 0; copy < COPIES; copy++) {
                int error = piece_read_copy(store, copy, first, n);
                if (error)
                        return error;
        }
        for (uint32_t i = 0; i < n * BLOCK_SLOTS; i++) {
                size_t at = (size_t)i * STORE_SLOT_BYTES;
                uint32_t slot = first * BLOCK_SLOTS + i;
                int merged = slot_merge(store->pieces[0] + at, store->pieces[1] + at, slot);
                if (merged < 0) {
                        *bad_slot = slot;
                        return merged;
                }
                if (merged > 0)
                        wrong[merged - 1][i / BLOCK_SLOTS] = true;
        }
        int error = piece_repair(store, 0, first, wrong[0], n);
        return error ? error : piece_repair(store, 1, first, wrong[1], n);
}

static void
pieces_wipe(struct store *store, uint32_t n)
{
        for (unsigned copy = 0; copy < COPIES; copy++)
                sodium_memzero(store->pieces[copy], (size_t)n * BLOCK_BYTES);
}

/* ---- open ---- */

static void
header_make(const struct store *store, unsigned copy, uint8_t *block)
{
        memset(block, 0, BLOCK_BYTES);
        memcpy(block, store_magic, AT_VERSION);
        put_le32(block + AT_VERSION, STORE_VERSION);
        put_le32(block + AT_COPY, copy);
        memcpy(block + AT_ID, store->id, ID_BYTES);
        put_le32(block + AT_BLOCK_CRC, crc32c(block, AT_BLOCK_CRC));
}

/* Opens a copy: 1 and its id; 0 when there is no file; -EBADMSG when its first block is not valid,
 * with the descriptor open. */
static int
copy_open(struct store *store, unsigned copy, uint8_t id[ID_BYTES])
{
        char file[PATH_MAX];
        if (path_join(file, sizeof(file), store->path, copy_names[copy]))
                return -ENAMETOOLONG;
        int fd = open(file, O_RDWR | DURABLE_FLAGS);
        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        store->fds[copy] = fd;
        struct stat st;
        if (fstat(fd, &st))
                return -errno;
        uint64_t blocks = (uint64_t)st.st_size / BLOCK_BYTES;
        if (blocks > STORE_SLOTS_MAX / BLOCK_SLOTS + 1)
                return -EBADMSG;
        store->blocks[copy] = blocks > 0 ? (uint32_t)blocks - 1 : 0;
        uint8_t *block = store->pieces[copy];
        int64_t got = file_read_full(fd, block, BLOCK_BYTES, 0);
        if (got < 0 && got != -EIO)
                return (int)got;
        if (got != BLOCK_BYTES || memcmp(block, store_magic, AT_VERSION) ||
            get_le32(block + AT_VERSION) != STORE_VERSION || get_le32(block + AT_COPY) != copy ||
            get_le32(block + AT_BLOCK_CRC) != crc32c(block, AT_BLOCK_CRC))
                return -EBADMSG;
        memcpy(id, block + AT_ID, ID_BYTES);
        return 1;
}

/* Writes a copy's first block: a file that is not there is made. */
static int
copy_restore(struct store *store, unsigned copy)
{
        uint8_t *block = store->pieces[copy], id[ID_BYTES];
        header_make(store, copy, block);
        if (store->fds[copy] >= 0)
                return file_write_full(store->fds[copy], block, BLOCK_BYTES, 0);
        int error = file_make(store->path, copy_names[copy], block, BLOCK_BYTES);
        if (error)
                return error;
        int opened = copy_open(store, copy, id);
        return opened == 1 ? 0 : opened < 0 ? opened : -EIO;
}

/* Both files open, of one store; one that is lost, or whose first block is, is made anew from the
 * other. */
static int
copies_open(struct store *store, char *why)
{
        uint8_t ids[COPIES][ID_BYTES];
        int found[COPIES];
        for (unsigned copy = 0; copy < COPIES; copy++) {
                found[copy] = copy_open(store, copy, ids[copy]);
                if (found[copy] < 0 && found[copy] != -EBADMSG) {
                        snprintf(why, STORE_WHY_BYTES, "%s/%s: %s", store->path, copy_names[copy],
                            strerror(-found[copy]));
                        return found[copy];
                }
        }
        if (found[0] == 1 && found[1] == 1 && memcmp(ids[0], ids[1], ID_BYTES)) {
                snprintf(why, STORE_WHY_BYTES, "%s: store.a and store.b belong to different stores",
                    store->path);
                return -EBADMSG;
        }
        if (found[0] != 1 && found[1] != 1 && (found[0] != 0 || found[1] != 0)) {
                snprintf(why, STORE_WHY_BYTES,
                    "%s: neither store.a nor store.b is a whole store; restore one from a copy",
                    store->path);
                return -EBADMSG;
        }
        if (found[0] == 1 || found[1] == 1)
                memcpy(store->id, found[0] == 1 ? ids[0] : ids[1], ID_BYTES);
        else
                randombytes_buf(store->id, ID_BYTES);
        for (unsigned copy = 0; copy < COPIES; copy++) {
                int error = found[copy] == 1 ? 0 : copy_restore(store, copy);
                if (error) {
                        snprintf(why, STORE_WHY_BYTES, "%s/%s cannot be made: %s", store->path,
                            copy_names[copy], strerror(-error));
                        return error;
                }
        }
        return 0;
}

/* Shows the caller the values of a piece that was read. */
static int
piece_show(struct store *store, uint32_t first, uint32_t n, store_load_fn *load, void *user)
{
        for (uint32_t i = 0; i < n * BLOCK_SLOTS; i++) {
                const uint8_t *slot = store->pieces[0] + (size_t)i * STORE_SLOT_BYTES;
                uint8_t state = slot[AT_SLOT_STATE];
                if (state == 0)
                        continue;
                store->end = first * BLOCK_SLOTS + i + 1;
                if (state != SLOT_VALUE || load == NULL)
                        continue;
                int error = load(user, first * BLOCK_SLOTS + i, slot + AT_SLOT_VALUE,
                    get_le16(slot + AT_SLOT_VALUE_BYTES));
                if (error < 0)
                        return error;
        }
        return 0;
}

static int
store_load(struct store *store, store_load_fn *load, void *user, char *why)
{
        uint32_t blocks = store->blocks[0] > store->blocks[1] ? store->blocks[0] : store->blocks[1];
        for (uint32_t first = 0; first < blocks; first += PIECE_BLOCKS) {
                uint32_t n = blocks - first < PIECE_BLOCKS ? blocks - first : PIECE_BLOCKS;
                uint32_t bad_slot = UINT32_MAX;
                int error = piece_read(store, first, n, &bad_slot);
                if (error && bad_slot != UINT32_MAX)
                        snprintf(why, STORE_WHY_BYTES,
                            "%s: slot %u is damaged in store.a and in store.b; restore one from a "
                            "copy",
                            store->path, bad_slot);
                else if (error)
                        snprintf(why, STORE_WHY_BYTES, "%s: the store cannot be loaded: %s",
                            store->path, strerror(-error));
                if (!error) {
                        error = piece_show(store, first, n, load, user);
                        if (error)
                                snprintf(why, STORE_WHY_BYTES, "%s: a value was refused: %s",
                                    store->path, strerror(-error));
                }
                pieces_wipe(store, n);
                if (error)
                        return error;
        }
        return 0;
}

int
store_open(struct store **out, const char *path, store_load_fn *load, void *user, char *why)
{
        *out = NULL;
        why[0] = '\0';
        if (strlen(path) >= PATH_MAX - sizeof("/store.a.tmp"))
                return -ENAMETOOLONG;
        if (sodium_init() < 0)
                return -ENOSYS;
        int error = folder_make(path);
        if (error) {
                snprintf(why, STORE_WHY_BYTES, "%s: %s", path, strerror(-error));
                return error;
        }
        struct store *store = calloc(1, sizeof(*store));
        if (store == NULL)
                return -ENOMEM;
        strcpy(store->path, path); /* its length was checked */
        for (unsigned copy = 0; copy < COPIES; copy++) {
                store->fds[copy] = -1;
                store->pieces[copy] = blocks_alloc(PIECE_BYTES);
                if (store->pieces[copy] == NULL)
                        error = -ENOMEM;
        }
        if (!error)
                error = copies_open(store, why);
        if (!error)
                error = store_load(store, load, user, why);
        if (error) {
                store_close(store);
                return error;
        }
        *out = store;
        return 0;
}

/* ---- put ---- */

static int
item_compare(const void *a, const void *b)
{
        const struct store_item *x = *(const struct store_item *const *)a;
        const struct store_item *y = *(const struct store_item *const *)b;
        return (x->slot > y->slot) - (x->slot < y->slot);
}

/* Writes items of neighbouring blocks: read both copies, change, write a, then b. When a's write is
 * torn b has the old value; when b's is, a has the new one. */
static int
run_write(struct store *store, const struct store_item *const *items, uint32_t n)
{
        uint32_t first = items[0]->slot / BLOCK_SLOTS;
        uint32_t blocks = items[n - 1]->slot / BLOCK_SLOTS - first + 1;
        uint32_t bad_slot;
        uint32_t whole = (first + blocks + PIECE_BLOCKS - 1) / PIECE_BLOCKS * PIECE_BLOCKS;
        int error = copy_grow(store, 0, whole);
        if (!error)
                error = copy_grow(store, 1, whole);
        if (!error)
                error = piece_read(store, first, blocks, &bad_slot);
        if (!error) {
                for (uint32_t i = 0; i < n; i++) {
                        uint32_t slot = items[i]->slot;
                        size_t at = (size_t)(slot - first * BLOCK_SLOTS) * STORE_SLOT_BYTES;
                        slot_fill(
                            store->pieces[0] + at, slot, items[i]->value, items[i]->value_bytes);
                        memcpy(store->pieces[1] + at, store->pieces[0] + at, STORE_SLOT_BYTES);
                        if (slot >= store->end)
                                store->end = slot + 1;
                }
                error = piece_write_copy(store, 0, first, 0, blocks);
        }
        if (!error)
                error = piece_write_copy(store, 1, first, 0, blocks);
        pieces_wipe(store, blocks);
        return error;
}

/* Items sorted by slot, in runs of blocks that touch. */
static int
sorted_write(struct store *store, const struct store_item *const *items, uint32_t n)
{
        for (uint32_t begin = 0, end; begin < n; begin = end) {
                uint32_t first = items[begin]->slot / BLOCK_SLOTS, last = first;
                for (end = begin + 1; end < n; end++) {
                        uint32_t block = items[end]->slot / BLOCK_SLOTS;
                        if (block - last > 1 || block - first >= PIECE_BLOCKS)
                                break;
                        last = block;
                }
                int error = run_write(store, items + begin, end - begin);
                if (error)
                        return error;
        }
        return 0;
}

int
store_put_many(struct store *store, const struct store_item *items, uint32_t n)
{
        if (n == 0)
                return 0;
        for (uint32_t i = 0; i < n; i++)
                if (items[i].slot >= STORE_SLOTS_MAX || items[i].value_bytes > STORE_VALUE_BYTES ||
                    items[i].value == NULL)
                        return -EINVAL;
        const struct store_item **sorted = malloc((size_t)n * sizeof(struct store_item *));
        if (sorted == NULL)
                return -ENOMEM;
        for (uint32_t i = 0; i < n; i++)
                sorted[i] = &items[i];
        qsort(sorted, n, sizeof(struct store_item *), item_compare);
        int error = 0;
        for (uint32_t i = 1; i < n; i++)
                if (sorted[i]->slot == sorted[i - 1]->slot)
                        error = -EINVAL;
        if (!error)
                error = sorted_write(store, sorted, n);
        free(sorted);
        return error;
}

int
store_put(struct store *store, uint32_t slot, const void *value, uint32_t value_bytes)
{
        struct store_item item = {slot, value_bytes, value};
        return store_put_many(store, &item, 1);
}

int
store_erase(struct store *store, uint32_t slot)
{
        if (slot >= STORE_SLOTS_MAX)
                return -EINVAL;
        if (slot >= store->end)
                return 0;
        struct store_item item = {.slot = slot};
        const struct store_item *items[1] = {&item};
        return run_write(store, items, 1);
}

uint32_t
store_end(const struct store *store)
{
        return store->end;
}

void
store_close(struct store *store)
{
        if (store == NULL)
                return;
        for (unsigned copy = 0; copy < COPIES; copy++) {
                if (store->fds[copy] >= 0)
                        close(store->fds[copy]);
                if (store->pieces[copy] != NULL)
                        sodium_memzero(store->pieces[copy], PIECE_BYTES);
                free(store->pieces[copy]);
        }
        free(store);
}
