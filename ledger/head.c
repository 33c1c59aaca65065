/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/head.h"

#include "ledger/bytes.h"
#include "ledger/files.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define PAIR_VERSION           1u
#define PAIR_BLOCKS            2u
#define BOOT_EPOCH_FOLDERS_MAX 16u

/* Offsets; see head.h. */
enum {
        AT_VERSION = 8,
        AT_SEQUENCE = 16,
        AT_NUMBER = 24,
        AT_ROOT = 32,
        AT_CRC = BLOCK_BYTES - 4,
};

/* A file of two alternating blocks. */
struct pair {
        const char *name, *magic;
        uint8_t *blocks; /* PAIR_BLOCKS × BLOCK_BYTES */
        uint8_t *newest; /* in blocks, or NULL */
};

static const struct pair head_pair = {.name = "head", .magic = "AORTAHED"};
static const struct pair epoch_pair = {.name = "epoch", .magic = "AORTAEPO"};

static bool
block_is_valid(const struct pair *pair, const uint8_t *block)
{
        return memcmp(block, pair->magic, AT_VERSION) == 0 &&
               get_le32(block + AT_VERSION) == PAIR_VERSION &&
               get_le32(block + AT_CRC) == crc32c(block, AT_CRC);
}

/* 0; -ENOENT when there is no file; -EBADMSG when no block is valid. free(pair->blocks) in any
 * case. */
static int
pair_read(struct io *io, struct pair *pair, const char *path)
{
        char file[PATH_MAX];
        pair->newest = NULL;
        pair->blocks = blocks_alloc(PAIR_BLOCKS * BLOCK_BYTES);
        if (pair->blocks == NULL)
                return -ENOMEM;
        if (path_join(file, sizeof(file), path, pair->name))
                return -ENAMETOOLONG;
        int64_t got = file_read(io, file, pair->blocks, PAIR_BLOCKS * BLOCK_BYTES, 0);
        if (got < 0)
                return (int)got;
        for (unsigned i = 0; i < PAIR_BLOCKS; i++) {
                uint8_t *block = pair->blocks + i * BLOCK_BYTES;
                if (!block_is_valid(pair, block))
                        continue;
                if (pair->newest == NULL ||
                    get_le64(block + AT_SEQUENCE) > get_le64(pair->newest + AT_SEQUENCE))
                        pair->newest = block;
        }
        return pair->newest == NULL ? -EBADMSG : 0;
}

static void
block_fill(const struct pair *pair, uint8_t *block, uint64_t sequence, uint64_t number,
    const uint8_t root[HASH_BYTES])
{
        memset(block, 0, BLOCK_BYTES);
        memcpy(block, pair->magic, AT_VERSION);
        put_le32(block + AT_VERSION, PAIR_VERSION);
        put_le64(block + AT_SEQUENCE, sequence);
        put_le64(block + AT_NUMBER, number);
        if (root != NULL)
                memcpy(block + AT_ROOT, root, HASH_BYTES);
        put_le32(block + AT_CRC, crc32c(block, AT_CRC));
}

/* Writes the block that is not the newest one, by open(O_DIRECT|O_DSYNC), pwrite; a new file by
 * file_make(), with its folder. found is what pair_read() said. */
static int
pair_write(struct io *io, struct pair *pair, const char *path, int found, uint64_t number,
    const uint8_t root[HASH_BYTES])
{
        assert(found == 0 || found == -ENOENT);
        if (found == -ENOENT) {
                block_fill(pair, pair->blocks, 1, number, root);
                return file_make(io, path, pair->name, pair->blocks, PAIR_BLOCKS * BLOCK_BYTES);
        }
        assert(pair->newest != NULL);
        uint64_t sequence = get_le64(pair->newest + AT_SEQUENCE) + 1;
        unsigned older = pair->newest == pair->blocks ? 1 : 0;
        uint8_t *block = pair->blocks + older * BLOCK_BYTES;
        block_fill(pair, block, sequence, number, root);
        char file[PATH_MAX];
        if (path_join(file, sizeof(file), path, pair->name))
                return -ENAMETOOLONG;
        int fd = io->ops->open(io, file, IO_DURABLE);
        if (fd < 0)
                return fd;
        int error = file_write_full(io, fd, block, BLOCK_BYTES, (uint64_t)older * BLOCK_BYTES);
        int closed = io->ops->close(io, fd);
        return error ? error : closed;
}

static void
head_take(struct head *head, const uint8_t *block)
{
        head->size = get_le64(block + AT_NUMBER);
        memcpy(head->root, block + AT_ROOT, HASH_BYTES);
}

int
head_read_io(struct io *io, const char *path, struct head *head)
{
        struct pair pair = head_pair;
        int error = pair_read(io_or_posix(io), &pair, path);
        if (!error)
                head_take(head, pair.newest);
        free(pair.blocks);
        return error;
}

int
head_read(const char *path, struct head *head)
{
        return head_read_io(NULL, path, head);
}

int
head_write_io(struct io *io, const char *path, const struct head *head)
{
        struct pair pair = head_pair;
        struct head last;
        io = io_or_posix(io);
        int found = pair_read(io, &pair, path), error = found == -ENOENT ? 0 : found;
        bool same = false;
        if (found == 0) {
                head_take(&last, pair.newest);
                same = last.size == head->size;
                if (last.size > head->size || (same && memcmp(last.root, head->root, HASH_BYTES)))
                        error = -EINVAL;
        }
        if (!error && !same)
                error = pair_write(io, &pair, path, found, head->size, head->root);
        free(pair.blocks);
        return error;
}

int
head_write(const char *path, const struct head *head)
{
        return head_write_io(NULL, path, head);
}

int
boot_epoch_next_all(struct io *io, const char *const *paths, unsigned n, unsigned need,
    uint32_t floor, uint32_t *epoch)
{
        struct pair pairs[BOOT_EPOCH_FOLDERS_MAX];
        int found[BOOT_EPOCH_FOLDERS_MAX], error = 0, last_error = -EIO;
        unsigned read = 0, written = 0;
        uint64_t last = floor;
        assert(n > 0 && n <= BOOT_EPOCH_FOLDERS_MAX && need > 0 && need <= n);
        io = io_or_posix(io);
        for (unsigned i = 0; i < n; i++) {
                pairs[i] = epoch_pair;
                found[i] = pair_read(io, &pairs[i], paths[i]);
                if (found[i] != 0 && found[i] != -ENOENT) {
                        last_error = found[i];
                        continue;
                }
                read++;
                if (found[i] == 0 && get_le64(pairs[i].newest + AT_NUMBER) > last)
                        last = get_le64(pairs[i].newest + AT_NUMBER);
        }
        if (read < need)
                error = last_error;
        else if (last >= BOOT_EPOCH_MAX)
                error = -EOVERFLOW;
        for (unsigned i = 0; i < n && !error; i++) {
                if (found[i] != 0 && found[i] != -ENOENT)
                        continue;
                int failed = pair_write(io, &pairs[i], paths[i], found[i], last + 1, NULL);
                if (failed)
                        last_error = failed;
                else
                        written++;
        }
        if (!error && written < need)
                error = last_error;
        if (!error)
                *epoch = (uint32_t)last + 1;
        for (unsigned i = 0; i < n; i++)
                free(pairs[i].blocks);
        return error;
}

int
boot_epoch_next(const char *path, uint32_t floor, uint32_t *epoch)
{
        return boot_epoch_next_all(NULL, &path, 1, 1, floor, epoch);
}
