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

#define COPIES_MAX    16u
#define STORE_VERSION 1u
#define SLOT_MAGIC    0x544f4c53u /* "SLOT" */
#define BLOCK_SLOTS   (BLOCK_BYTES / STORE_SLOT_BYTES)
#define PIECE_BYTES                                                                                \
        (1u << 20) /* the most that is read or written at once, and what the files grow by */
#define PIECE_BLOCKS (PIECE_BYTES / BLOCK_BYTES)
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

struct copy {
        char path[PATH_MAX]; /* the folder */
        const char *name;
        uint32_t number; /* in its first block */
        int fd;
        uint32_t blocks; /* of slots, that the file has */
        uint8_t *piece;  /* PIECE_BYTES */
        bool in;         /* holds every value */
};

struct store {
        struct io *io;
        uint8_t id[ID_BYTES];
        struct copy copies[COPIES_MAX];
        unsigned n;
        unsigned need_read, need_write; /* copies without which nothing is loaded, or put */
        uint32_t end;
};

static unsigned
copies_in(const struct store *store)
{
        unsigned n = 0;
        for (unsigned i = 0; i < store->n; i++)
                n += store->copies[i].in;
        return n;
}

/* A copy that failed is left out when enough others are there: 0, or the error. */
static int
copy_drop(struct store *store, struct copy *copy, int error)
{
        if (copies_in(store) <= store->need_write)
                return error;
        copy->in = false;
        return 0;
}

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

/* Makes all copies of a slot in memory, at bytes into their pieces, the one that counts: wrong[i]
 * for those that were not. -EBADMSG: damaged in all. */
static int
slot_merge(struct store *store, size_t at, uint32_t index, bool wrong[COPIES_MAX])
{
        const uint8_t *best = NULL;
        enum slot_verdict best_verdict = SLOT_DAMAGED;
        for (unsigned i = 0; i < store->n; i++) {
                const struct copy *copy = &store->copies[i];
                if (!copy->in)
                        continue;
                enum slot_verdict verdict = slot_check(copy->piece + at, index);
                /* A slot that was never used has sequence 0. */
                if (verdict > best_verdict || (best != NULL && verdict == best_verdict &&
                                                  get_le64(copy->piece + at + AT_SLOT_SEQUENCE) >
                                                      get_le64(best + AT_SLOT_SEQUENCE))) {
                        best = copy->piece + at;
                        best_verdict = verdict;
                }
        }
        if (best == NULL)
                return -EBADMSG;
        for (unsigned i = 0; i < store->n; i++) {
                struct copy *copy = &store->copies[i];
                wrong[i] = copy->in && memcmp(copy->piece + at, best, STORE_SLOT_BYTES) != 0;
                if (wrong[i])
                        memcpy(copy->piece + at, best, STORE_SLOT_BYTES);
        }
        return 0;
}

/* ---- pieces: all copies of n blocks from first on, in copy->piece ---- */

/* What cannot be read counts as damaged, what lies behind the file's end as zero. */
static int
piece_read_copy(struct store *store, struct copy *copy, uint32_t first, uint32_t n)
{
        size_t bytes = (size_t)n * BLOCK_BYTES;
        int64_t got = file_read_full(store->io, copy->fd, copy->piece, bytes, block_offset(first));
        if (got >= 0) {
                memset(copy->piece + got, 0, bytes - (size_t)got);
                return 0;
        }
        if (got != -EIO)
                return (int)got;
        for (uint32_t i = 0; i < n; i++) {
                uint8_t *block = copy->piece + (size_t)i * BLOCK_BYTES;
                got = file_read_full(
                    store->io, copy->fd, block, BLOCK_BYTES, block_offset(first + i));
                if (got < 0)
                        memset(block, 0xff, BLOCK_BYTES);
                else
                        memset(block + got, 0, BLOCK_BYTES - (size_t)got);
        }
        return 0;
}

/* Grows a copy to hold blocks, by zeros that are flushed; what it cannot finish it takes back. */
static int
copy_grow(struct store *store, struct copy *copy, uint32_t blocks)
{
        struct io *io = store->io;
        uint32_t have = copy->blocks;
        if (have >= blocks)
                return 0;
        int error = file_write_zeros(
            io, copy->fd, block_offset(have), (uint64_t)(blocks - have) * BLOCK_BYTES);
        if (error) {
                /* If this fails too, the file is longer than known, by zeros. */
                if (io->ops->truncate(io, copy->fd, block_offset(have)) == 0)
                        io->ops->fsync(io, copy->fd);
                return error;
        }
        copy->blocks = blocks;
        return 0;
}

/* Grows all; those that cannot are left out when enough can. */
static int
copies_grow(struct store *store, uint32_t blocks)
{
        bool failed[COPIES_MAX] = {false};
        unsigned failed_n = 0;
        int last = 0;
        for (unsigned i = 0; i < store->n; i++) {
                int error = store->copies[i].in ? copy_grow(store, &store->copies[i], blocks) : 0;
                if (!error)
                        continue;
                failed[i] = true;
                failed_n++;
                last = error;
        }
        if (copies_in(store) - failed_n < store->need_write)
                return last;
        for (unsigned i = 0; i < store->n; i++)
                if (failed[i])
                        store->copies[i].in = false;
        return 0;
}

static int
piece_write_copy(struct store *store, struct copy *copy, uint32_t first, uint32_t at, uint32_t n)
{
        int error = copy_grow(store, copy, first + at + n);
        if (error)
                return error;
        return file_write_full(store->io, copy->fd, copy->piece + (size_t)at * BLOCK_BYTES,
            (size_t)n * BLOCK_BYTES, block_offset(first + at));
}

/* Writes the blocks of the piece that were wrong in a copy. */
static int
piece_repair(struct store *store, struct copy *copy, uint32_t first, const bool wrong[PIECE_BLOCKS],
    uint32_t n)
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

/* Reads n blocks and makes all copies right, in memory and on disk. -EBADMSG and *bad_slot: a slot
 * is damaged in all, and nothing was changed. */
static int
piece_read(struct store *store, uint32_t first, uint32_t n, uint32_t *bad_slot)
{
        assert(n > 0 && n <= PIECE_BLOCKS);
        bool wrong[COPIES_MAX][PIECE_BLOCKS] = {{false}};
        int error = 0;
        for (unsigned i = 0; i < store->n && !error; i++) {
                struct copy *copy = &store->copies[i];
                error = copy->in ? piece_read_copy(store, copy, first, n) : 0;
                if (error)
                        error = copy_drop(store, copy, error);
        }
        for (uint32_t s = 0; s < n * BLOCK_SLOTS && !error; s++) {
                bool slot_wrong[COPIES_MAX];
                error = slot_merge(
                    store, (size_t)s * STORE_SLOT_BYTES, first * BLOCK_SLOTS + s, slot_wrong);
                if (error)
                        *bad_slot = first * BLOCK_SLOTS + s;
                for (unsigned i = 0; i < store->n && !error; i++)
                        if (slot_wrong[i])
                                wrong[i][s / BLOCK_SLOTS] = true;
        }
        for (unsigned i = 0; i < store->n && !error; i++) {
                struct copy *copy = &store->copies[i];
                error = copy->in ? piece_repair(store, copy, first, wrong[i], n) : 0;
                if (error)
                        error = copy_drop(store, copy, error);
        }
        return error;
}

static void
pieces_wipe(struct store *store, uint32_t n)
{
        for (unsigned i = 0; i < store->n; i++)
                sodium_memzero(store->copies[i].piece, (size_t)n * BLOCK_BYTES);
}

/* ---- open ---- */

static void
header_make(const struct store *store, const struct copy *copy, uint8_t *block)
{
        memset(block, 0, BLOCK_BYTES);
        memcpy(block, store_magic, AT_VERSION);
        put_le32(block + AT_VERSION, STORE_VERSION);
        put_le32(block + AT_COPY, copy->number);
        memcpy(block + AT_ID, store->id, ID_BYTES);
        put_le32(block + AT_BLOCK_CRC, crc32c(block, AT_BLOCK_CRC));
}

/* Opens a copy: 1 and its id; 0 when there is no file; -EBADMSG when its first block is not valid,
 * with the descriptor open. */
static int
copy_open(struct store *store, struct copy *copy, uint8_t id[ID_BYTES])
{
        struct io *io = store->io;
        char file[PATH_MAX + 8];
        if (path_join(file, sizeof(file), copy->path, copy->name))
                return -ENAMETOOLONG;
        int fd = io->ops->open(io, file, IO_READ | IO_DURABLE);
        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        copy->fd = fd;
        struct io_stat st;
        int error = io->ops->fstat(io, fd, &st);
        if (error)
                return error;
        uint64_t blocks = st.bytes / BLOCK_BYTES;
        if (blocks > STORE_SLOTS_MAX / BLOCK_SLOTS + 1)
                return -EBADMSG;
        copy->blocks = blocks > 0 ? (uint32_t)blocks - 1 : 0;
        uint8_t *block = copy->piece;
        int64_t got = file_read_full(io, fd, block, BLOCK_BYTES, 0);
        if (got < 0 && got != -EIO)
                return (int)got;
        if (got != BLOCK_BYTES || memcmp(block, store_magic, AT_VERSION) ||
            get_le32(block + AT_VERSION) != STORE_VERSION ||
            get_le32(block + AT_COPY) != copy->number ||
            get_le32(block + AT_BLOCK_CRC) != crc32c(block, AT_BLOCK_CRC))
                return -EBADMSG;
        memcpy(id, block + AT_ID, ID_BYTES);
        return 1;
}

/* Writes a copy's first block: a file that is not there is made. */
static int
copy_restore(struct store *store, struct copy *copy)
{
        uint8_t id[ID_BYTES];
        header_make(store, copy, copy->piece);
        if (copy->fd >= 0)
                return file_write_full(store->io, copy->fd, copy->piece, BLOCK_BYTES, 0);
        int error = file_make(store->io, copy->path, copy->name, copy->piece, BLOCK_BYTES);
        if (error)
                return error;
        int opened = copy_open(store, copy, id);
        return opened == 1 ? 0 : opened < 0 ? opened : -EIO;
}

/* The id that most copies carry; NULL: none has one. */
static const uint8_t *
id_choose(const struct store *store, const int *found, uint8_t ids[COPIES_MAX][ID_BYTES])
{
        const uint8_t *best = NULL;
        unsigned best_n = 0;
        for (unsigned i = 0; i < store->n; i++) {
                unsigned same = 0;
                for (unsigned j = 0; found[i] == 1 && j < store->n; j++)
                        same += found[j] == 1 && memcmp(ids[i], ids[j], ID_BYTES) == 0;
                if (same > best_n) {
                        best = ids[i];
                        best_n = same;
                }
        }
        return best;
}

/* Opens those that are there. One that is of another store is none of ours: on one volume an error.
 */
static int
copies_find(struct store *store, int *found, uint8_t ids[COPIES_MAX][ID_BYTES], char *why)
{
        bool any = false;
        for (unsigned i = 0; i < store->n; i++) {
                struct copy *copy = &store->copies[i];
                found[i] = -ENOENT;
                if (!copy->in)
                        continue;
                found[i] = copy_open(store, copy, ids[i]);
                any = any || found[i] != 0;
                if (found[i] >= 0 || found[i] == -EBADMSG)
                        continue;
                snprintf(
                    why, STORE_WHY_BYTES, "%s/%s: %s", copy->path, copy->name, strerror(-found[i]));
                if (copies_in(store) <= store->need_read || store->need_read == 1)
                        return found[i];
                copy->in = false;
        }
        const uint8_t *id = id_choose(store, found, ids);
        if (id == NULL && any) {
                snprintf(why, STORE_WHY_BYTES,
                    "%s: no copy is a whole store; restore one from a copy", store->copies[0].path);
                return -EBADMSG;
        }
        if (id == NULL) {
                store->io->ops->random(store->io, store->id, ID_BYTES);
                return 0;
        }
        memcpy(store->id, id, ID_BYTES);
        for (unsigned i = 0; i < store->n; i++) {
                struct copy *copy = &store->copies[i];
                if (found[i] != 1 || memcmp(ids[i], store->id, ID_BYTES) == 0)
                        continue;
                snprintf(why, STORE_WHY_BYTES, "%s/%s belongs to another store than the others",
                    copy->path, copy->name);
                if (copies_in(store) <= store->need_read || store->need_read == 1)
                        return -EBADMSG;
                copy->in = false;
        }
        return 0;
}

/* All files open, of one store; one that is lost, or whose first block is, is made anew from the
 * others. */
static int
copies_open(struct store *store, char *why)
{
        uint8_t ids[COPIES_MAX][ID_BYTES];
        int found[COPIES_MAX];
        int error = copies_find(store, found, ids, why);
        unsigned read = 0;
        bool any = false;
        for (unsigned i = 0; i < store->n; i++) {
                read += store->copies[i].in && found[i] == 1;
                any = any || found[i] == 1;
        }
        if (!error && any && read < store->need_read) {
                snprintf(why, STORE_WHY_BYTES,
                    "the store is on %u volumes that can be read, %u are needed", read,
                    store->need_read);
                error = -EBADMSG;
        }
        for (unsigned i = 0; i < store->n && !error; i++) {
                struct copy *copy = &store->copies[i];
                error = !copy->in || found[i] == 1 ? 0 : copy_restore(store, copy);
                if (error)
                        error = copy_drop(store, copy, error);
                if (error)
                        snprintf(why, STORE_WHY_BYTES, "%s/%s cannot be made: %s", copy->path,
                            copy->name, strerror(-error));
        }
        return error;
}

/* Shows the caller the values of a piece that was read. */
static int
piece_show(struct store *store, uint32_t first, uint32_t n, store_load_fn *load, void *user)
{
        const uint8_t *piece = NULL;
        for (unsigned i = 0; i < store->n && piece == NULL; i++)
                if (store->copies[i].in)
                        piece = store->copies[i].piece;
        for (uint32_t i = 0; i < n * BLOCK_SLOTS; i++) {
                const uint8_t *slot = piece + (size_t)i * STORE_SLOT_BYTES;
                uint8_t state = slot[AT_SLOT_STATE];
                if (state == 0)
                        continue;
                if (store->end < first * BLOCK_SLOTS + i + 1)
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
        uint32_t blocks = 0;
        for (unsigned i = 0; i < store->n; i++)
                if (store->copies[i].in && store->copies[i].blocks > blocks)
                        blocks = store->copies[i].blocks;
        for (uint32_t first = 0; first < blocks; first += PIECE_BLOCKS) {
                uint32_t n = blocks - first < PIECE_BLOCKS ? blocks - first : PIECE_BLOCKS;
                uint32_t bad_slot = UINT32_MAX;
                int error = piece_read(store, first, n, &bad_slot);
                if (error && bad_slot != UINT32_MAX)
                        snprintf(why, STORE_WHY_BYTES,
                            "%s: slot %u is damaged in every copy; restore one from a copy",
                            store->copies[0].path, bad_slot);
                else if (error)
                        snprintf(why, STORE_WHY_BYTES, "%s: the store cannot be loaded: %s",
                            store->copies[0].path, strerror(-error));
                if (!error) {
                        error = piece_show(store, first, n, load, user);
                        if (error)
                                snprintf(why, STORE_WHY_BYTES, "%s: a value was refused: %s",
                                    store->copies[0].path, strerror(-error));
                }
                pieces_wipe(store, n);
                if (error)
                        return error;
        }
        return 0;
}

static int
copy_prepare(struct store *store, struct copy *copy, const char *path)
{
        if (path == NULL)
                return 0;
        if (strlen(path) >= PATH_MAX - sizeof("/store.a.tmp"))
                return -ENAMETOOLONG;
        strcpy(copy->path, path); /* its length was checked */
        copy->in = true;
        return folder_make_io(store->io, path);
}

/* Opens copies whose number, names and needs are set. */
static int
store_begin(struct store **out, struct store *store, const char *const *paths, store_load_fn *load,
    void *user, char *why)
{
        int error = sodium_init() < 0 ? -ENOSYS : 0;
        for (unsigned i = 0; i < store->n; i++) {
                store->copies[i].fd = -1;
                store->copies[i].piece = blocks_alloc(PIECE_BYTES);
                if (store->copies[i].piece == NULL)
                        error = -ENOMEM;
        }
        for (unsigned i = 0; i < store->n && !error; i++) {
                error = copy_prepare(store, &store->copies[i], paths[i]);
                if (error)
                        error = copy_drop(store, &store->copies[i], error);
                if (error)
                        snprintf(why, STORE_WHY_BYTES, "%s: %s", paths[i], strerror(-error));
        }
        if (!error)
                error = copies_open(store, why);
        if (!error)
                error = store_load(store, load, user, why);
        if (error) {
                store_close(store);
                return error;
        }
        why[0] = '\0';
        *out = store;
        return 0;
}

int
store_open(struct store **out, const char *path, store_load_fn *load, void *user, char *why)
{
        const char *paths[2] = {path, path};
        *out = NULL;
        why[0] = '\0';
        struct store *store = calloc(1, sizeof(*store));
        if (store == NULL)
                return -ENOMEM;
        store->io = io_posix();
        store->n = 2;
        store->need_read = 1;
        store->need_write = 2;
        store->copies[0].name = "store.a";
        store->copies[1].name = "store.b";
        store->copies[1].number = 1;
        return store_begin(out, store, paths, load, user, why);
}

int
store_open_volumes(struct store **out, const struct store_volumes *volumes, store_load_fn *load,
    void *user, char *why)
{
        *out = NULL;
        why[0] = '\0';
        assert(volumes->data > volumes->parity);
        assert(volumes->data + volumes->parity <= COPIES_MAX);
        bool alone = volumes->data + volumes->parity == 1;
        const char *paths[2] = {volumes->paths[0], volumes->paths[0]};
        struct store *store = calloc(1, sizeof(*store));
        if (store == NULL)
                return -ENOMEM;
        store->io = io_or_posix(volumes->io);
        store->n = alone ? 2 : volumes->data + volumes->parity;
        store->need_read = volumes->data;
        store->need_write = alone ? 2 : volumes->parity + 1;
        for (unsigned i = 0; i < store->n; i++)
                store->copies[i].name = "store.a";
        if (alone) {
                store->copies[1].name = "store.b";
                store->copies[1].number = 1;
        }
        return store_begin(out, store, alone ? paths : volumes->paths, load, user, why);
}

/* ---- volumes come and go ---- */

int
store_leave(struct store *store, unsigned i)
{
        assert(i < store->n);
        struct copy *copy = &store->copies[i];
        return copy->in ? copy_drop(store, copy, -EIO) : 0;
}

int
store_join(struct store *store, unsigned i, const char *path, char *why)
{
        assert(i < store->n);
        struct copy *copy = &store->copies[i];
        uint8_t id[ID_BYTES];
        why[0] = '\0';
        if (copy->fd >= 0)
                store->io->ops->close(store->io, copy->fd);
        copy->fd = -1;
        copy->blocks = 0;
        copy->in = false;
        int error = copy_prepare(store, copy, path);
        copy->in = false;
        int found = error ? error : copy_open(store, copy, id);
        if (found == 1 && memcmp(id, store->id, ID_BYTES))
                found = -EBADMSG;
        error = found == 1 ? 0 : found < 0 && found != -EBADMSG ? found : 0;
        if (!error && found != 1)
                error = copy_restore(store, copy);
        if (!error) {
                copy->in = true;
                error = store_load(store, NULL, NULL, why);
        }
        if (!error && !copy->in)
                error = -EIO;
        if (error) {
                copy->in = false;
                if (why[0] == '\0')
                        snprintf(why, STORE_WHY_BYTES, "%s: %s", path, strerror(-error));
        }
        return error;
}

uint32_t
store_copies(const struct store *store)
{
        uint32_t set = 0;
        for (unsigned i = 0; i < store->n; i++)
                set |= (uint32_t)store->copies[i].in << i;
        return set;
}

/* ---- put ---- */

static int
item_compare(const void *a, const void *b)
{
        const struct store_item *x = *(const struct store_item *const *)a;
        const struct store_item *y = *(const struct store_item *const *)b;
        return (x->slot > y->slot) - (x->slot < y->slot);
}

/* Writes items of neighbouring blocks: read all copies, change, write one after the other. When the
 * first one's write is torn the others have the old value; when a later one's is, the first has the
 * new one. */
static int
run_write(struct store *store, const struct store_item *const *items, uint32_t n)
{
        uint32_t first = items[0]->slot / BLOCK_SLOTS;
        uint32_t blocks = items[n - 1]->slot / BLOCK_SLOTS - first + 1;
        uint32_t bad_slot;
        uint32_t whole = (first + blocks + PIECE_BLOCKS - 1) / PIECE_BLOCKS * PIECE_BLOCKS;
        int error = copies_grow(store, whole);
        if (!error)
                error = piece_read(store, first, blocks, &bad_slot);
        for (uint32_t i = 0; i < n && !error; i++) {
                uint32_t slot = items[i]->slot;
                size_t at = (size_t)(slot - first * BLOCK_SLOTS) * STORE_SLOT_BYTES;
                for (unsigned c = 0; c < store->n; c++)
                        if (store->copies[c].in)
                                slot_fill(store->copies[c].piece + at, slot, items[i]->value,
                                    items[i]->value_bytes);
                if (slot >= store->end)
                        store->end = slot + 1;
        }
        for (unsigned c = 0; c < store->n && !error; c++) {
                struct copy *copy = &store->copies[c];
                error = copy->in ? piece_write_copy(store, copy, first, 0, blocks) : 0;
                if (error)
                        error = copy_drop(store, copy, error);
        }
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
        for (unsigned i = 0; i < store->n; i++) {
                struct copy *copy = &store->copies[i];
                if (copy->fd >= 0)
                        store->io->ops->close(store->io, copy->fd);
                if (copy->piece != NULL)
                        sodium_memzero(copy->piece, PIECE_BYTES);
                free(copy->piece);
        }
        free(store);
}
