/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/files.h"

#include <assert.h>
#include <errno.h>
#include <isa-l/crc.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ZEROS_BYTES (1u << 20)

/* Written by nobody: the source of all zero-filling. */
static uint8_t zeros[ZEROS_BYTES] __attribute__((aligned(BLOCK_BYTES)));

int64_t
file_read_full(int fd, void *buffer, size_t bytes, uint64_t offset_bytes)
{
        assert(bytes <= INT_MAX && offset_bytes <= INT64_MAX - bytes);
        size_t done = 0;
        while (done < bytes) {
                ssize_t got =
                    pread(fd, (uint8_t *)buffer + done, bytes - done, (off_t)(offset_bytes + done));
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return -errno;
                if (got == 0)
                        break;
                done += (size_t)got;
        }
        return (int64_t)done;
}

int
file_write_full(int fd, const void *buffer, size_t bytes, uint64_t offset_bytes)
{
        assert(bytes <= INT_MAX && offset_bytes <= INT64_MAX - bytes);
        size_t done = 0;
        while (done < bytes) {
                ssize_t put = pwrite(
                    fd, (const uint8_t *)buffer + done, bytes - done, (off_t)(offset_bytes + done));
                if (put < 0 && errno == EINTR)
                        continue;
                if (put < 0)
                        return -errno;
                if (put == 0)
                        return -EIO;
                done += (size_t)put;
        }
        return 0;
}

int
file_write_zeros(int fd, uint64_t offset_bytes, uint64_t bytes)
{
        assert(offset_bytes % BLOCK_BYTES == 0 && bytes % BLOCK_BYTES == 0);
        while (bytes > 0) {
                size_t piece = bytes < ZEROS_BYTES ? (size_t)bytes : ZEROS_BYTES;
                int error = file_write_full(fd, zeros, piece, offset_bytes);
                if (error)
                        return error;
                offset_bytes += piece;
                bytes -= piece;
        }
        return 0;
}

int
folder_sync(const char *path)
{
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        int error = fsync(fd) ? -errno : 0;
        close(fd);
        return error;
}

/* Makes one folder whose parent exists. */
static int
folder_make_one(char *path, size_t parent_bytes)
{
        if (mkdir(path, FOLDER_MODE) == 0) {
                char kept = path[parent_bytes];
                path[parent_bytes] = '\0';
                int error = folder_sync(parent_bytes > 0 ? path : (kept == '/' ? "/" : "."));
                path[parent_bytes] = kept;
                return error;
        }
        if (errno != EEXIST)
                return -errno;
        struct stat st;
        if (stat(path, &st))
                return -errno;
        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int
folder_make(const char *path)
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
                int error = folder_make_one(full, parent_bytes);
                full[i] = kept;
                if (error)
                        return error;
                parent_bytes = i;
        }
        return 0;
}

int
path_join(char *out, size_t out_bytes, const char *path, const char *name)
{
        int n = snprintf(out, out_bytes, "%s/%s", path, name);
        return n < 0 || (size_t)n >= out_bytes ? -ENAMETOOLONG : 0;
}

int
file_make(const char *path, const char *name, const void *buffer, size_t bytes)
{
        assert(bytes > 0 && bytes % BLOCK_BYTES == 0);
        char final[PATH_MAX], temp[PATH_MAX + 8];
        int error = path_join(final, sizeof(final), path, name);
        if (error)
                return error;
        snprintf(temp, sizeof(temp), "%s.tmp", final);
        if (access(final, F_OK) == 0)
                return -EEXIST;
        if (unlink(temp) && errno != ENOENT)
                return -errno;
        int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | DURABLE_FLAGS, FILE_MODE);
        if (fd < 0)
                return -errno;
        error = file_write_full(fd, buffer, bytes, 0);
        /* O_DSYNC flushed the bytes; fsync adds what else belongs to a new inode. */
        if (!error && fsync(fd))
                error = -errno;
        if (close(fd) && !error)
                error = -errno;
        if (!error && renameat2(AT_FDCWD, temp, AT_FDCWD, final, RENAME_NOREPLACE))
                error = -errno;
        if (error) {
                unlink(temp);
                return error;
        }
        return folder_sync(path);
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
