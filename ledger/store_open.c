/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the store's copies, and those that come and go. */
#include "ledger/store_internal.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char store_magic[] = "AORTASTO";

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
                if (store_copies_in(store) <= store->need_read || store->need_read == 1)
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
                if (store_copies_in(store) <= store->need_read || store->need_read == 1)
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
                        error = store_copy_drop(store, copy, error);
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
                int error = store_piece_read(store, first, n, &bad_slot);
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
                store_pieces_wipe(store, n);
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
                        error = store_copy_drop(store, &store->copies[i], error);
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
        return copy->in ? store_copy_drop(store, copy, -EIO) : 0;
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
