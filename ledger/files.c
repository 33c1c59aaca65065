/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/files.h"

#include <assert.h>
#include <errno.h>
#include <isa-l/crc.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZEROS_BYTES (1u << 20)

/* Written by nobody: the source of all zero-filling. */
static uint8_t zeros[ZEROS_BYTES] __attribute__((aligned(BLOCK_BYTES)));

int64_t
file_read_full(struct io *io, int fd, void *buffer, size_t bytes, uint64_t offset_bytes)
{
        assert(bytes <= INT_MAX && offset_bytes <= INT64_MAX - bytes);
        size_t done = 0;
        while (done < bytes) {
                int64_t got = io->ops->read(
                    io, fd, (uint8_t *)buffer + done, bytes - done, offset_bytes + done);
                if (got < 0)
                        return got;
                if (got == 0)
                        break;
                done += (size_t)got;
        }
        return (int64_t)done;
}

int64_t
file_read(struct io *io, const char *path, void *buffer, size_t bytes, uint64_t offset_bytes)
{
        int fd = io->ops->open(io, path, IO_READ | IO_DIRECT);
        if (fd < 0)
                return fd;
        int64_t got = file_read_full(io, fd, buffer, bytes, offset_bytes);
        io->ops->close(io, fd);
        return got;
}

int
file_write_full(struct io *io, int fd, const void *buffer, size_t bytes, uint64_t offset_bytes)
{
        assert(bytes <= INT_MAX && offset_bytes <= INT64_MAX - bytes);
        size_t done = 0;
        while (done < bytes) {
                int64_t put = io->ops->write(
                    io, fd, (const uint8_t *)buffer + done, bytes - done, offset_bytes + done);
                if (put < 0)
                        return (int)put;
                if (put == 0)
                        return -EIO;
                done += (size_t)put;
        }
        return 0;
}

int
file_write_zeros(struct io *io, int fd, uint64_t offset_bytes, uint64_t bytes)
{
        assert(offset_bytes % BLOCK_BYTES == 0 && bytes % BLOCK_BYTES == 0);
        while (bytes > 0) {
                size_t piece = bytes < ZEROS_BYTES ? (size_t)bytes : ZEROS_BYTES;
                int error = file_write_full(io, fd, zeros, piece, offset_bytes);
                if (error)
                        return error;
                offset_bytes += piece;
                bytes -= piece;
        }
        return 0;
}

/* Makes one folder whose parent exists. */
static int
folder_make_one(struct io *io, char *path, size_t parent_bytes)
{
        int error = io->ops->mkdir(io, path);
        if (error == 0) {
                char kept = path[parent_bytes];
                path[parent_bytes] = '\0';
                error =
                    io->ops->sync_folder(io, parent_bytes > 0 ? path : (kept == '/' ? "/" : "."));
                path[parent_bytes] = kept;
                return error;
        }
        if (error != -EEXIST)
                return error;
        struct io_stat st;
        error = io->ops->stat(io, path, &st);
        if (error)
                return error;
        return st.is_folder ? 0 : -ENOTDIR;
}

int
folder_make_io(struct io *io, const char *path)
{
        char full[PATH_MAX];
        size_t bytes = strlen(path);
        if (bytes == 0)
                return -EINVAL;
        if (bytes >= sizeof(full))
                return -ENAMETOOLONG;
        memcpy(full, path, bytes + 1);
        size_t parent_bytes = 0;
        for (size_t i = 1; i <= bytes; i++) {
                if (full[i] != '/' && full[i] != '\0')
                        continue;
                if (full[i - 1] == '/')
                        continue;
                char kept = full[i];
                full[i] = '\0';
                int error = folder_make_one(io, full, parent_bytes);
                full[i] = kept;
                if (error)
                        return error;
                parent_bytes = i;
        }
        return 0;
}

int
folder_make(const char *path)
{
        return folder_make_io(io_posix(), path);
}

int
path_join(char *out, size_t out_bytes, const char *path, const char *name)
{
        int n = snprintf(out, out_bytes, "%s/%s", path, name);
        return n < 0 || (size_t)n >= out_bytes ? -ENAMETOOLONG : 0;
}

int
file_make(struct io *io, const char *path, const char *name, const void *buffer, size_t bytes)
{
        assert(bytes > 0 && bytes % BLOCK_BYTES == 0);
        char final[PATH_MAX], temp[PATH_MAX + 8];
        struct io_stat st;
        int error = path_join(final, sizeof(final), path, name);
        if (error)
                return error;
        snprintf(temp, sizeof(temp), "%s.tmp", final);
        if (io->ops->stat(io, final, &st) == 0)
                return -EEXIST;
        error = io->ops->unlink(io, temp);
        if (error && error != -ENOENT)
                return error;
        int fd = io->ops->open(io, temp, IO_DURABLE | IO_CREATE);
        if (fd < 0)
                return fd;
        error = file_write_full(io, fd, buffer, bytes, 0);
        /* O_DSYNC flushed the bytes; fsync adds what else belongs to a new inode. */
        if (!error)
                error = io->ops->fsync(io, fd);
        int closed = io->ops->close(io, fd);
        if (!error)
                error = closed;
        if (!error)
                error = io->ops->rename(io, temp, final, false);
        if (error) {
                io->ops->unlink(io, temp);
                return error;
        }
        return io->ops->sync_folder(io, path);
}

void *
blocks_alloc(size_t bytes)
{
        assert(bytes > 0 && bytes % BLOCK_BYTES == 0);
        void *blocks = aligned_alloc(BLOCK_BYTES, bytes);
        if (blocks != NULL)
                memset(blocks, 0, bytes);
        return blocks;
}

bool
bytes_are_zero(const void *buffer, size_t bytes)
{
        const uint8_t *p = buffer;
        return bytes == 0 || (p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0);
}

uint32_t
crc32c(const void *buffer, size_t bytes)
{
        assert(bytes <= INT_MAX);
        return ~crc32_iscsi((unsigned char *)(uintptr_t)buffer, (int)bytes, ~0u);
}
