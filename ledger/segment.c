/* SPDX-License-Identifier: Apache-2.0 */
/* Segments are made ahead of need, zeroed and flushed: a write into zeroed space costs the file
 * system no allocation, and what was never written reads as zero. */
#include "ledger/vault_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEMP_NAME ".making" /* one segment of a volume is made at a time */

void
segment_name(char name[SEGMENT_NAME_BYTES], uint32_t index)
{
        assert(index < SEGMENTS_MAX);
        snprintf(name, SEGMENT_NAME_BYTES, "%08u", index % SEGMENTS_MAX);
}

static int
segments_path(const struct volume *volume, const char *name, char path[PATH_BYTES])
{
        int n = snprintf(path, PATH_BYTES, "%s/" SEGMENTS_FOLDER "/%s", volume_path(volume), name);
        return n < 0 || n >= (int)PATH_BYTES ? -ENAMETOOLONG : 0;
}

int
segment_path(const struct volume *volume, uint32_t index, char path[PATH_BYTES])
{
        char name[SEGMENT_NAME_BYTES];
        segment_name(name, index);
        return segments_path(volume, name, path);
}

int
segment_open(const struct volume *volume, uint32_t index, unsigned flags)
{
        char path[PATH_BYTES];
        int error = segment_path(volume, index, path);
        return error ? error : volume->vault->io->ops->open(volume->vault->io, path, flags);
}

uint32_t
segment_bytes(const struct vault *vault, uint32_t index)
{
        if (index < vault->lengths_n && vault->lengths[index] != 0)
                return vault->lengths[index] * BLOCK_BYTES;
        return vault->segment_bytes;
}

/* Past the index that a name stands for, if it does. */
static int
name_count(void *user, const char *name)
{
        uint32_t *end = user;
        if (strlen(name) != SEGMENT_NAME_BYTES - 1 || strspn(name, "0123456789") != strlen(name))
                return 0;
        uint32_t index = (uint32_t)strtoul(name, NULL, 10);
        if (index + 1 > *end)
                *end = index + 1;
        return 0;
}

int
segments_count(const struct volume *volume, uint32_t *count)
{
        char path[PATH_BYTES];
        *count = 0;
        if (path_join(path, sizeof(path), volume_path(volume), SEGMENTS_FOLDER))
                return -ENAMETOOLONG;
        int error = volume->vault->io->ops->list(volume->vault->io, path, name_count, count);
        return error == -ENOENT ? 0 : error;
}

int
segments_clean(const struct volume *volume)
{
        char temp[PATH_BYTES];
        int error = segments_path(volume, TEMP_NAME, temp);
        if (!error)
                error = volume->vault->io->ops->unlink(volume->vault->io, temp);
        return error == -ENOENT ? 0 : error;
}

int
segment_begin(const struct volume *volume, uint32_t index)
{
        struct io *io = volume->vault->io;
        char temp[PATH_BYTES];
        int error = segments_clean(volume);
        if (!error)
                error = segments_path(volume, TEMP_NAME, temp);
        if (error)
                return error;
        int fd = io->ops->open(io, temp, IO_DURABLE | IO_CREATE);
        if (fd < 0)
                return fd;
        error = atomic_load_explicit(&volume->vault->segments_inject, memory_order_relaxed);
        if (!error)
                error = file_write_zeros(io, fd, 0, segment_bytes(volume->vault, index));
        if (!error)
                return fd;
        segment_abandon(volume, fd);
        return error;
}

void
segment_abandon(const struct volume *volume, int fd)
{
        volume->vault->io->ops->close(volume->vault->io, fd);
        segments_clean(volume);
}

/* open(temp, O_CREAT|O_EXCL|O_DIRECT|O_DSYNC), pwrite ..., fsync, renameat2, fsync(folder). A crash
 * before the rename leaves a temporary file, which the next start removes. */
int
segment_finish(const struct volume *volume, uint32_t index, int fd, bool replace)
{
        struct io *io = volume->vault->io;
        char temp[PATH_BYTES], final[PATH_BYTES], folder[PATH_BYTES];
        uint8_t *block = blocks_alloc(BLOCK_BYTES);
        int error = block == NULL ? -ENOMEM : 0;
        if (!error)
                error = segments_path(volume, TEMP_NAME, temp);
        if (!error)
                error = segment_path(volume, index, final);
        if (!error)
                error = path_join(folder, sizeof(folder), volume_path(volume), SEGMENTS_FOLDER);
        if (!error) {
                segment_block_write(block, &volume->id, index, segment_bytes(volume->vault, index));
                error = file_write_full(io, fd, block, BLOCK_BYTES, 0);
        }
        free(block);
        if (!error)
                error = io->ops->fsync(io, fd);
        if (error) {
                segment_abandon(volume, fd);
                return error;
        }
        error = io->ops->close(io, fd);
        if (!error)
                error = io->ops->rename(io, temp, final, replace);
        if (error) {
                segments_clean(volume);
                return error;
        }
        return io->ops->sync_folder(io, folder);
}

/* Whether the segment that stands there is whole: made by a start that a crash ended before it had
 * told. */
static int
segment_check(const struct volume *volume, uint32_t index)
{
        struct io *io = volume->vault->io;
        const char *what;
        struct io_stat st;
        int fd = segment_open(volume, index, IO_READ | IO_DIRECT);
        if (fd < 0)
                return fd;
        uint8_t *block = blocks_alloc(BLOCK_BYTES);
        int error = block == NULL ? -ENOMEM : io->ops->fstat(io, fd, &st);
        int64_t got = error ? error : file_read_full(io, fd, block, BLOCK_BYTES, 0);
        if (!error && got != BLOCK_BYTES)
                error = got < 0 ? (int)got : -EBADMSG;
        if (!error && st.bytes != segment_bytes(volume->vault, index))
                error = -EBADMSG;
        if (!error)
                error = segment_block_check(block, &volume->id, index, st.bytes, &what);
        io->ops->close(io, fd);
        free(block);
        return error;
}

int
segment_make(struct volume *volume, uint32_t index)
{
        struct io *io = volume->vault->io;
        char folder[PATH_BYTES];
        if (path_join(folder, sizeof(folder), volume_path(volume), SEGMENTS_FOLDER))
                return -ENAMETOOLONG;
        int error = folder_make_io(io, folder);
        if (error)
                return error;
        if (segment_check(volume, index) == 0)
                return io->ops->sync_folder(io, folder);
        int fd = segment_begin(volume, index);
        return fd < 0 ? fd : segment_finish(volume, index, fd, false);
}

/* Makes the next segment when it will be needed and there is room. */
static bool
segment_prepare(struct volume *volume)
{
        struct vault *vault = volume->vault;
        uint32_t made = atomic_load_explicit(&volume->made, memory_order_relaxed);
        uint32_t current = atomic_load_explicit(&vault->current, memory_order_relaxed);
        uint64_t free_bytes = atomic_load_explicit(&volume->free_bytes, memory_order_relaxed);
        if (made >= current + 1 + vault->spares || made >= SEGMENTS_MAX)
                return false;
        int error = 0;
        if (free_bytes < vault->reserve_bytes ||
            free_bytes - vault->reserve_bytes < segment_bytes(vault, made))
                error = -ENOSPC;
        else
                error = segment_make(volume, made);
        if (!error)
                atomic_store_explicit(&volume->made, made + 1, memory_order_release);
        atomic_store_explicit(&volume->making_error, error, memory_order_release);
        return !error;
}

bool
volume_round(struct volume *volume)
{
        struct vault *vault = volume->vault;
        enum volume_state state = volume_state(volume);
        uint64_t free_bytes = 0; /* what cannot be known counts as none */
        if (state != VOLUME_MEMBER && state != VOLUME_FOLLOWING)
                return false;
        int error = volume_look(volume);
        if (error) {
                int none = 0;
                atomic_compare_exchange_strong(&volume->suspect, &none, error);
                return false;
        }
        if (vault->io->ops->space(vault->io, volume_path(volume), &free_bytes))
                free_bytes = 0;
        atomic_store_explicit(&volume->free_bytes, free_bytes, memory_order_relaxed);
        return segment_prepare(volume);
}
