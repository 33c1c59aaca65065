/* SPDX-License-Identifier: Apache-2.0 */
/* The log's files. A file under its final name is whole: it was written as `tile.tmp` or
 * `checkpoint.tmp` and renamed in. Whether it is durable only log_pending_sync() tells. */
#include "ledger/log_internal.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TILE_TMP       "tile.tmp"
#define CHECKPOINT_TMP "checkpoint.tmp"
#define FILE_MODE      0644 /* any file server may serve them */
#define FOLDER_MODE    0755

int
log_tile_path(char *out, size_t out_bytes, int level, uint64_t n, unsigned width)
{
        char index[40] = "", group[8]; /* seven groups and a NUL */
        size_t at = sizeof(index) - 1;

        if (level < LOG_ENTRIES || level > 63 || width >= LOG_TILE_HASHES)
                return -EINVAL;
        /* Groups of three digits from the right, all but the last after an x. */
        for (bool last = true; last || n > 0; last = false, n /= 1000) {
                const int chars =
                    snprintf(group, sizeof(group), last ? "%03u" : "x%03u/", (unsigned)(n % 1000));
                at -= (size_t)chars;
                memcpy(index + at, group, (size_t)chars);
        }

        char name[16], part[16] = "";
        if (level == LOG_ENTRIES)
                (void)snprintf(name, sizeof(name), "entries");
        else
                (void)snprintf(name, sizeof(name), "%d", level);
        if (width > 0)
                (void)snprintf(part, sizeof(part), ".p/%u", width);
        const int chars = snprintf(out, out_bytes, "tile/%s/%s%s", name, index + at, part);
        return chars < 0 || (size_t)chars >= out_bytes ? -ENOSPC : 0;
}

/* The path of a tile of width 1 to LOG_TILE_HASHES. */
static void
tile_path(char out[LOG_TILE_PATH_BYTES], int level, uint64_t n, unsigned width)
{
        assert(width > 0 && width <= LOG_TILE_HASHES);
        const int error =
            log_tile_path(out, LOG_TILE_PATH_BYTES, level, n, width % LOG_TILE_HASHES);
        assert(error == 0);
        (void)error;
}

/* ---- syncing ---- */

static void
pending_all(struct log_pending *pending)
{
        for (unsigned i = 0; i < pending->files_n; i++)
                close(pending->files[i]); /* syncfs() reports what close() does not */
        pending->files_n = 0;
        pending->dirs_n = 0;
        pending->all = true;
}

/* Takes fd. */
static void
pending_add_file(struct log_pending *pending, int fd)
{
        if (pending->files_n == LOG_PENDING_FILES_MAX)
                pending_all(pending);
        if (pending->all)
                close(fd);
        else
                pending->files[pending->files_n++] = fd;
}

static void
pending_add_dir(struct log_pending *pending, const char *path, size_t path_bytes)
{
        assert(path_bytes < LOG_TILE_PATH_BYTES);
        for (unsigned i = 0; i < pending->dirs_n; i++)
                if (strlen(pending->dirs[i]) == path_bytes &&
                    memcmp(pending->dirs[i], path, path_bytes) == 0)
                        return;
        if (pending->dirs_n == LOG_PENDING_DIRS_MAX)
                pending_all(pending);
        if (pending->all)
                return;
        memcpy(pending->dirs[pending->dirs_n], path, path_bytes);
        pending->dirs[pending->dirs_n++][path_bytes] = '\0';
}

static int
sync_dir(int folder, const char *name)
{
        const int fd =
            openat(folder, *name == '\0' ? "." : name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        const int error = fsync(fd) != 0 ? -errno : 0;
        close(fd);
        return error;
}

int
log_pending_sync(struct log_pending *pending)
{
        int error = 0;

        if (pending->all && syncfs(pending->folder) != 0)
                error = -errno;
        for (unsigned i = 0; i < pending->files_n; i++)
                if (error == 0 && fsync(pending->files[i]) != 0)
                        error = -errno;
        for (unsigned i = 0; i < pending->dirs_n && error == 0; i++)
                error = sync_dir(pending->folder, pending->dirs[i]);
        log_pending_drop(pending);
        return error;
}

void
log_pending_drop(struct log_pending *pending)
{
        pending_all(pending);
        pending->all = false;
        pending->dirty = false;
}

/* ---- writing ---- */

static int
write_tmp(int folder, const char *tmp, const void *bytes, size_t n, int *fd_out)
{
        const uint8_t *at = bytes;
        int error = 0;
        const int fd =
            openat(folder, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);

        if (fd < 0)
                return -errno;
        while (n > 0 && error == 0) {
                const ssize_t written = write(fd, at, n);
                if (written > 0) {
                        at += written;
                        n -= (size_t)written;
                } else if (written == 0) {
                        error = -EIO;
                } else if (errno != EINTR) {
                        error = -errno;
                }
        }
        if (error != 0) {
                close(fd);
                return error;
        }
        *fd_out = fd;
        return 0;
}

/* Makes the folders of a path; notes the parents of new ones. */
static int
make_folders(struct log_pending *pending, const char *path)
{
        char prefix[LOG_TILE_PATH_BYTES];
        size_t parent = 0;

        for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
                const size_t bytes = (size_t)(slash - path);
                memcpy(prefix, path, bytes);
                prefix[bytes] = '\0';
                if (mkdirat(pending->folder, prefix, FOLDER_MODE) == 0)
                        pending_add_dir(pending, path, parent);
                else if (errno != EEXIST)
                        return -errno;
                parent = bytes;
        }
        return 0;
}

int
log_tile_write(struct log_pending *pending, int level, uint64_t n, unsigned width,
    const uint8_t *bytes, bool now)
{
        char path[LOG_TILE_PATH_BYTES];
        const int folder = pending->folder;
        int fd;

        tile_path(path, level, n, width);
        pending->dirty = true;
        int error = write_tmp(folder, TILE_TMP, bytes, width * tiles_unit_bytes(level), &fd);
        if (error != 0)
                return error;
        if (now && fsync(fd) != 0)
                error = -errno;
        if (error == 0 && renameat(folder, TILE_TMP, folder, path) != 0) {
                error = -errno;
                if (error == -ENOENT) {
                        error = make_folders(pending, path);
                        if (error == 0 && renameat(folder, TILE_TMP, folder, path) != 0)
                                error = -errno;
                }
        }
        if (error != 0) {
                close(fd);
                return error;
        }
        pending_add_file(pending, fd);
        pending_add_dir(pending, path, (size_t)(strrchr(path, '/') - path));
        return 0;
}

int
log_checkpoint_replace(int folder, const char *note, size_t note_bytes)
{
        int fd;
        int error = write_tmp(folder, CHECKPOINT_TMP, note, note_bytes, &fd);

        if (error != 0)
                return error;
        if (fsync(fd) != 0)
                error = -errno;
        if (close(fd) != 0 && error == 0)
                error = -errno;
        if (error == 0 && renameat(folder, CHECKPOINT_TMP, folder, "checkpoint") != 0)
                error = -errno;
        return error != 0 ? error : sync_dir(folder, "");
}

void
log_partials_remove(int folder, int level, uint64_t n)
{
        char path[LOG_TILE_PATH_BYTES];

        tile_path(path, level, n, 1);
        *strrchr(path, '/') = '\0';
        const int fd = openat(folder, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return;
        DIR *dir = fdopendir(fd);
        if (dir == NULL) {
                close(fd);
                return;
        }
        for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
                if (entry->d_name[0] != '.')
                        (void)unlinkat(fd, entry->d_name, 0);
        closedir(dir);
        (void)unlinkat(folder, path, AT_REMOVEDIR);
}

/* ---- reading ---- */

/* Makes the folder's own name durable. */
static int
sync_parent(const char *path)
{
        char *copy = strdup(path);
        if (copy == NULL)
                return -ENOMEM;

        size_t n = strlen(copy);
        while (n > 1 && copy[n - 1] == '/')
                copy[--n] = '\0';
        char *slash = strrchr(copy, '/');
        if (slash == copy)
                slash[1] = '\0';
        else if (slash != NULL)
                *slash = '\0';
        const int error = sync_dir(AT_FDCWD, slash == NULL ? "." : copy);
        free(copy);
        return error;
}

int
log_folder_open(const char *path, bool make, int *folder)
{
        if (make && mkdir(path, FOLDER_MODE) == 0) {
                const int error = sync_parent(path);
                if (error != 0)
                        return error;
        } else if (make && errno != EEXIST) {
                return -errno;
        }
        *folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return *folder < 0 ? -errno : 0;
}

long
log_file_read(int folder, const char *name, void *out, size_t out_bytes)
{
        struct stat stat;
        size_t n = 0;
        /* O_NONBLOCK: a pipe in a file's place must not hang the reader. */
        const int fd = openat(folder, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

        assert(out_bytes <= LONG_MAX);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &stat) != 0) {
                const int error = -errno;
                close(fd);
                return error;
        }
        if (!S_ISREG(stat.st_mode) || stat.st_size < 0 || (uint64_t)stat.st_size > out_bytes) {
                close(fd);
                return -EBADMSG;
        }
        while (n < out_bytes) {
                const ssize_t got = read(fd, (uint8_t *)out + n, out_bytes - n);
                if (got == 0)
                        break;
                if (got > 0) {
                        n += (size_t)got;
                } else if (errno != EINTR) {
                        const int error = -errno;
                        close(fd);
                        return error;
                }
        }
        close(fd);
        return (long)n;
}

int
log_tile_read_exact(int folder, int level, uint64_t n, unsigned width, uint8_t *bytes)
{
        char path[LOG_TILE_PATH_BYTES];
        uint8_t file[LOG_TILE_BYTES_MAX];
        const size_t want = width * tiles_unit_bytes(level);

        tile_path(path, level, n, width);
        const long got = log_file_read(folder, path, file, sizeof(file));
        if (got < 0)
                return (int)got;
        if ((size_t)got != want)
                return -EBADMSG;
        memcpy(bytes, file, want);
        return 0;
}

int
log_tile_read(int folder, int level, uint64_t n, unsigned width, uint8_t *bytes)
{
        const int error = log_tile_read_exact(folder, level, n, width, bytes);
        uint8_t full[LOG_TILE_BYTES_MAX];

        if (error != -ENOENT || width == LOG_TILE_HASHES)
                return error;
        const int full_error = log_tile_read_exact(folder, level, n, LOG_TILE_HASHES, full);
        if (full_error != 0)
                return full_error;
        memcpy(bytes, full, width * tiles_unit_bytes(level));
        return 0;
}
