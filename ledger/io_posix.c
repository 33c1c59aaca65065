/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/files.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define NEW_FOLDER_MODE 0700

static int
posix_open(struct io *io, const char *path, unsigned flags)
{
        int how = O_CLOEXEC;
        if (flags & IO_WRITE) {
                assert(flags & IO_DIRECT);
                how |= (flags & IO_READ ? O_RDWR : O_WRONLY) | O_DSYNC;
        } else {
                how |= O_RDONLY;
        }
        if (flags & IO_CREATE)
                how |= O_CREAT | O_EXCL;
        if (flags & IO_DIRECT)
                how |= O_DIRECT;
        int fd;
        do
                fd = open(path, how, FILE_MODE);
        while (fd < 0 && errno == EINTR);
        return fd < 0 ? -errno : fd;
}

static int
posix_close(struct io *io, int fd)
{
        return close(fd) ? -errno : 0;
}

static int64_t
posix_read(struct io *io, int fd, void *buffer, size_t bytes, uint64_t offset_bytes)
{
        ssize_t got;
        do
                got = pread(fd, buffer, bytes, (off_t)offset_bytes);
        while (got < 0 && errno == EINTR);
        return got < 0 ? -errno : got;
}

static int64_t
posix_write(struct io *io, int fd, const void *buffer, size_t bytes, uint64_t offset_bytes)
{
        ssize_t put;
        do
                put = pwrite(fd, buffer, bytes, (off_t)offset_bytes);
        while (put < 0 && errno == EINTR);
        return put < 0 ? -errno : put;
}

static int
posix_fsync(struct io *io, int fd)
{
        return fsync(fd) ? -errno : 0;
}

static int
posix_truncate(struct io *io, int fd, uint64_t bytes)
{
        return ftruncate(fd, (off_t)bytes) ? -errno : 0;
}

static void
stat_take(struct io_stat *out, const struct stat *st)
{
        *out = (struct io_stat){
            .device = (uint64_t)st->st_dev,
            .inode = (uint64_t)st->st_ino,
            .links = (uint64_t)st->st_nlink,
            .bytes = (uint64_t)st->st_size,
            .is_folder = S_ISDIR(st->st_mode),
        };
}

static int
posix_fstat(struct io *io, int fd, struct io_stat *out)
{
        struct stat st;
        if (fstat(fd, &st))
                return -errno;
        stat_take(out, &st);
        return 0;
}

static int
posix_stat(struct io *io, const char *path, struct io_stat *out)
{
        struct stat st;
        if (stat(path, &st))
                return -errno;
        stat_take(out, &st);
        return 0;
}

static int
posix_sync_folder(struct io *io, const char *path)
{
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        int error = fsync(fd) ? -errno : 0;
        close(fd);
        return error;
}

static int
posix_rename(struct io *io, const char *from, const char *to, bool replace)
{
        return renameat2(AT_FDCWD, from, AT_FDCWD, to, replace ? 0 : RENAME_NOREPLACE) ? -errno : 0;
}

static int
posix_unlink(struct io *io, const char *path)
{
        return unlink(path) ? -errno : 0;
}

static int
posix_mkdir(struct io *io, const char *path)
{
        return mkdir(path, NEW_FOLDER_MODE) ? -errno : 0;
}

static int
posix_list(struct io *io, const char *path, io_list_fn *name, void *user)
{
        DIR *folder = opendir(path);
        if (folder == NULL)
                return -errno;
        int error = 0;
        struct dirent *entry;
        while (!error) {
                errno = 0;
                entry = readdir(folder);
                if (entry == NULL) {
                        error = -errno;
                        break;
                }
                if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
                        error = name(user, entry->d_name);
        }
        closedir(folder);
        return error < 0 ? error : 0;
}

static int
posix_space(struct io *io, const char *path, uint64_t *free_bytes)
{
        struct statvfs fs;
        if (statvfs(path, &fs))
                return -errno;
        *free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
        return 0;
}

/* The process that holds a lock on the file, from /proc/locks; 0 when that does not say. */
static int
lock_holder(int fd)
{
        struct stat st;
        FILE *locks = fopen("/proc/locks", "re");
        if (locks == NULL)
                return 0;
        char line[256], inode[64];
        int pid = 0, found = 0;
        if (fstat(fd, &st) == 0) {
                snprintf(inode, sizeof(inode), "%02x:%02x:%llu", major(st.st_dev), minor(st.st_dev),
                    (unsigned long long)st.st_ino);
                while (!found && fgets(line, sizeof(line), locks) != NULL)
                        if (strstr(line, inode) != NULL &&
                            sscanf(line, "%*s FLOCK %*s %*s %d", &pid) == 1)
                                found = pid;
        }
        fclose(locks);
        return found;
}

static int
posix_lock(struct io *io, int fd, int *holder)
{
        *holder = 0;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
                return 0;
        int error = errno == EWOULDBLOCK ? -EBUSY : -errno;
        if (error == -EBUSY)
                *holder = lock_holder(fd);
        return error;
}

/* ---- the queue: io_uring ---- */

struct posix_queue {
        struct io_queue queue;
        struct io_uring ring;
        bool broken; /* requests stand in the ring that must not be handed over any more */
};

static int
posix_queue_open(struct io *io, struct io_queue **out)
{
        struct posix_queue *queue = calloc(1, sizeof(*queue));
        if (queue == NULL)
                return -ENOMEM;
        queue->queue.io = io;
        int error = io_uring_queue_init(IO_FLYING_MAX, &queue->ring, 0);
        if (error) {
                free(queue);
                return error;
        }
        *out = &queue->queue;
        return 0;
}

static int
posix_queue_register(struct io_queue *own, const struct iovec *buffers, unsigned n)
{
        struct posix_queue *queue = (struct posix_queue *)own;
        return io_uring_register_buffers(&queue->ring, buffers, n);
}

static void
request_prepare(struct io_uring_sqe *sqe, const struct io_request *request)
{
        if (request->write && request->registered >= 0)
                io_uring_prep_write_fixed(sqe, request->fd, request->buffer, request->bytes,
                    request->offset_bytes, request->registered);
        else if (request->write)
                io_uring_prep_write(
                    sqe, request->fd, request->buffer, request->bytes, request->offset_bytes);
        else
                io_uring_prep_read(
                    sqe, request->fd, request->buffer, request->bytes, request->offset_bytes);
        io_uring_sqe_set_data64(sqe, request->tag);
}

static int
posix_queue_submit(struct io_queue *own, const struct io_request *requests, unsigned n)
{
        struct posix_queue *queue = (struct posix_queue *)own;
        assert(n > 0 && n <= IO_BATCH_MAX);
        if (queue->broken)
                return -EIO;
        for (unsigned i = 0; i < n; i++) {
                struct io_uring_sqe *sqe = io_uring_get_sqe(&queue->ring);
                assert(sqe != NULL);
                request_prepare(sqe, &requests[i]);
        }
        unsigned handed = 0;
        int error = 0;
        while (handed < n && !error) {
                int submitted = io_uring_submit(&queue->ring);
                if (submitted > 0)
                        handed += (unsigned)submitted;
                else if (submitted != -EINTR)
                        error = submitted < 0 ? submitted : -EIO;
        }
        if (error)
                queue->broken = true;
        return handed > 0 ? (int)handed : error;
}

static int
posix_queue_poll(struct io_queue *own, struct io_done *done, unsigned max, uint32_t wait_us)
{
        struct posix_queue *queue = (struct posix_queue *)own;
        struct io_uring_cqe *cqe = NULL;
        unsigned n = 0;
        if (io_uring_cq_ready(&queue->ring) == 0 && wait_us > 0) {
                struct __kernel_timespec ts = {
                    wait_us / 1000000u, (long long)(wait_us % 1000000u) * 1000};
                int error = io_uring_wait_cqe_timeout(&queue->ring, &cqe, &ts);
                if (error == -ETIME || error == -EAGAIN || error == -EINTR)
                        return 0;
                if (error)
                        return error;
        }
        while (n < max && io_uring_peek_cqe(&queue->ring, &cqe) == 0) {
                done[n].tag = io_uring_cqe_get_data64(cqe);
                done[n].result = cqe->res;
                n++;
                io_uring_cqe_seen(&queue->ring, cqe);
        }
        return (int)n;
}

static void
posix_queue_close(struct io_queue *own)
{
        struct posix_queue *queue = (struct posix_queue *)own;
        io_uring_queue_exit(&queue->ring);
        free(queue);
}

/* ---- time and chance ---- */

static uint64_t
posix_now_us(struct io *io)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

static void
posix_sleep_us(struct io *io, uint64_t us)
{
        struct timespec ts = {(time_t)(us / 1000000u), (long)(us % 1000000u) * 1000};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
}

static void
posix_random(struct io *io, void *buffer, size_t bytes)
{
        randombytes_buf(buffer, bytes);
}

static const struct io_ops posix_ops = {
    .open = posix_open,
    .close = posix_close,
    .read = posix_read,
    .write = posix_write,
    .fsync = posix_fsync,
    .truncate = posix_truncate,
    .fstat = posix_fstat,
    .stat = posix_stat,
    .sync_folder = posix_sync_folder,
    .rename = posix_rename,
    .unlink = posix_unlink,
    .mkdir = posix_mkdir,
    .list = posix_list,
    .space = posix_space,
    .lock = posix_lock,
    .queue_open = posix_queue_open,
    .queue_register = posix_queue_register,
    .queue_submit = posix_queue_submit,
    .queue_poll = posix_queue_poll,
    .queue_close = posix_queue_close,
    .now_us = posix_now_us,
    .sleep_us = posix_sleep_us,
    .random = posix_random,
};
static struct io posix = {.ops = &posix_ops};

struct io *
io_posix(void)
{
        return &posix;
}
