/* SPDX-License-Identifier: Apache-2.0 */
/* The real io with faults: by volume (the folder that a path begins with), or the power gone after
 * the n-th change that any call makes. */
#ifndef AORTA_TESTS_FAULTY_IO_H
#define AORTA_TESTS_FAULTY_IO_H

#include "ledger/io.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAULTY_VOLUMES 16u
#define FAULTY_FDS     1024u
#define FAULTY_HELD    64u

enum fault {
        FAULT_NONE,
        FAULT_WRITE_ERROR, /* each write answers `error` and writes nothing */
        FAULT_SHORT,       /* each queued write of more than a block writes its first block only */
        FAULT_LATE,        /* each queued write is done, its completion comes when the fault ends */
        FAULT_LOST,        /* each write is answered and thrown away */
        FAULT_CREATE,      /* no file can be made: `error` */
        FAULT_READ_ERROR,  /* each read answers `error` */
        FAULT_GONE,        /* nothing can be opened or looked at: `error` */
};

struct faulty {
        struct io io;
        char paths[FAULTY_VOLUMES][4096];
        enum fault faults[FAULTY_VOLUMES];
        int errors[FAULTY_VOLUMES];
        int volume_of_fd[FAULTY_FDS]; /* 1 + volume */
        bool only_members;            /* faults hit the files `members` only... */
        bool only_segments;           /* ...or segments only */
        char name_of_fd[FAULTY_FDS][16];
        uint64_t clock_us; /* added to the real clock */
        /* Power. */
        uint64_t changes, stop_after; /* 0: never */
        bool off, tear;
        struct {
                struct io_done done;
                int volume;
        } held[FAULTY_HELD];
        unsigned held_n;
        unsigned late_now;
};

struct faulty_queue {
        struct io_queue queue;
        struct io_queue *inner;
        struct io_done ready[FAULTY_HELD];
        unsigned ready_n;
        struct {
                uint64_t tag;
                int volume;
                const void *buffer;
                void *copy; /* of what was to be written */
                uint32_t bytes;
        } late[FAULTY_HELD];
        unsigned late_n;
};

static struct faulty faulty;

#define REAL io_posix()->ops

static int
faulty_volume(const char *path)
{
        for (unsigned i = 0; i < FAULTY_VOLUMES; i++) {
                size_t n = strlen(faulty.paths[i]);
                if (n > 0 && strncmp(path, faulty.paths[i], n) == 0 &&
                    (path[n] == '/' || path[n] == '\0'))
                        return (int)i;
        }
        return -1;
}

static bool
faulty_hits(const char *name, int volume, enum fault fault)
{
        if (volume < 0 || faulty.faults[volume] != fault)
                return false;
        if (faulty.only_members && strcmp(name, "members"))
                return false;
        if (faulty.only_segments && strspn(name, "0123456789") != 8)
                return false;
        return true;
}

/* Counts a change; true when the power is off before it. */
static bool
faulty_change(void)
{
        if (faulty.off)
                return true;
        faulty.changes++;
        if (faulty.stop_after == 0 || faulty.changes < faulty.stop_after)
                return false;
        faulty.off = true;
        return true;
}

static const char *
faulty_name(const char *path)
{
        const char *slash = strrchr(path, '/');
        return slash != NULL ? slash + 1 : path;
}

static int
faulty_open(struct io *io, const char *path, unsigned flags)
{
        int volume = faulty_volume(path);
        const char *name = faulty_name(path);
        if (faulty.off || ((flags & IO_CREATE) && faulty_change()))
                return -EIO;
        if (faulty_hits(name, volume, FAULT_GONE))
                return -faulty.errors[volume];
        if ((flags & IO_CREATE) && volume >= 0 && faulty.faults[volume] == FAULT_CREATE)
                return -faulty.errors[volume];
        int fd = REAL->open(io, path, flags);
        if (fd >= 0) {
                cr_assert(fd < (int)FAULTY_FDS);
                faulty.volume_of_fd[fd] = volume + 1;
                snprintf(faulty.name_of_fd[fd], sizeof(faulty.name_of_fd[fd]), "%s", name);
        }
        return fd;
}

static int
faulty_close(struct io *io, int fd)
{
        faulty.volume_of_fd[fd] = 0;
        return REAL->close(io, fd);
}

static bool
faulty_hits_fd(int fd, enum fault fault)
{
        return faulty_hits(faulty.name_of_fd[fd], faulty.volume_of_fd[fd] - 1, fault);
}

static int64_t
faulty_read(struct io *io, int fd, void *buffer, size_t bytes, uint64_t offset_bytes)
{
        if (faulty.off)
                return -EIO;
        if (faulty_hits_fd(fd, FAULT_READ_ERROR))
                return -faulty.errors[faulty.volume_of_fd[fd] - 1];
        return REAL->read(io, fd, buffer, bytes, offset_bytes);
}

/* A write when the power goes leaves its first block, or nothing. */
static void
faulty_torn(struct io *io, int fd, const void *buffer, size_t bytes, uint64_t offset_bytes)
{
        if (faulty.tear && faulty.changes == faulty.stop_after && bytes > 4096)
                REAL->write(io, fd, buffer, 4096, offset_bytes);
        faulty.tear = false;
}

static int64_t
faulty_write(struct io *io, int fd, const void *buffer, size_t bytes, uint64_t offset_bytes)
{
        if (faulty_change()) {
                faulty_torn(io, fd, buffer, bytes, offset_bytes);
                return -EIO;
        }
        if (faulty_hits_fd(fd, FAULT_WRITE_ERROR))
                return -faulty.errors[faulty.volume_of_fd[fd] - 1];
        if (faulty_hits_fd(fd, FAULT_LOST))
                return (int64_t)bytes;
        return REAL->write(io, fd, buffer, bytes, offset_bytes);
}

static int
faulty_fsync(struct io *io, int fd)
{
        return faulty_change() ? -EIO : REAL->fsync(io, fd);
}

static int
faulty_truncate(struct io *io, int fd, uint64_t bytes)
{
        return faulty_change() ? -EIO : REAL->truncate(io, fd, bytes);
}

static int
faulty_fstat(struct io *io, int fd, struct io_stat *stat)
{
        return faulty.off ? -EIO : REAL->fstat(io, fd, stat);
}

static int
faulty_stat(struct io *io, const char *path, struct io_stat *stat)
{
        int volume = faulty_volume(path);
        if (faulty.off)
                return -EIO;
        if (faulty_hits(faulty_name(path), volume, FAULT_GONE))
                return -faulty.errors[volume];
        return REAL->stat(io, path, stat);
}

static int
faulty_sync_folder(struct io *io, const char *path)
{
        return faulty_change() ? -EIO : REAL->sync_folder(io, path);
}

static int
faulty_rename(struct io *io, const char *from, const char *to, bool replace)
{
        return faulty_change() ? -EIO : REAL->rename(io, from, to, replace);
}

static int
faulty_unlink(struct io *io, const char *path)
{
        return faulty_change() ? -EIO : REAL->unlink(io, path);
}

static int
faulty_mkdir(struct io *io, const char *path)
{
        return faulty_change() ? -EIO : REAL->mkdir(io, path);
}

static int
faulty_list(struct io *io, const char *path, io_list_fn *name, void *user)
{
        return faulty.off ? -EIO : REAL->list(io, path, name, user);
}

static int
faulty_space(struct io *io, const char *path, uint64_t *free_bytes)
{
        return faulty.off ? -EIO : REAL->space(io, path, free_bytes);
}

static int
faulty_lock(struct io *io, int fd, int *holder)
{
        return faulty.off ? -EIO : REAL->lock(io, fd, holder);
}

static int
faulty_queue_open(struct io *io, struct io_queue **out)
{
        struct faulty_queue *queue = calloc(1, sizeof(*queue));
        cr_assert_not_null(queue);
        queue->queue.io = io;
        int error = REAL->queue_open(io_posix(), &queue->inner);
        if (error)
                free(queue);
        else
                *out = &queue->queue;
        return error;
}

static int
faulty_queue_register(struct io_queue *own, const struct iovec *buffers, unsigned n)
{
        return -ENOMEM;
}

static void
faulty_ready(struct faulty_queue *queue, uint64_t tag, int32_t result)
{
        cr_assert(queue->ready_n < FAULTY_HELD);
        queue->ready[queue->ready_n++] = (struct io_done){tag, result};
}

static void
faulty_request(struct faulty_queue *queue, struct io_request request)
{
        int fd = request.fd;
        if (request.write && faulty_change()) {
                faulty_torn(
                    queue->queue.io, fd, request.buffer, request.bytes, request.offset_bytes);
                faulty_ready(queue, request.tag, -EIO);
                return;
        }
        int32_t error =
            -faulty.errors[faulty.volume_of_fd[fd] > 0 ? faulty.volume_of_fd[fd] - 1 : 0];
        if (faulty.off) {
                faulty_ready(queue, request.tag, -EIO);
                return;
        }
        if (request.write ? faulty_hits_fd(fd, FAULT_WRITE_ERROR)
                          : faulty_hits_fd(fd, FAULT_READ_ERROR)) {
                faulty_ready(queue, request.tag, error);
                return;
        }
        if (request.write && faulty_hits_fd(fd, FAULT_LOST)) {
                faulty_ready(queue, request.tag, (int32_t)request.bytes);
                return;
        }
        if (request.write && faulty_hits_fd(fd, FAULT_SHORT) && request.bytes > 4096)
                request.bytes = 4096;
        if (request.write && faulty_hits_fd(fd, FAULT_LATE)) {
                cr_assert(queue->late_n < FAULTY_HELD);
                queue->late[queue->late_n].tag = request.tag;
                queue->late[queue->late_n].buffer = request.buffer;
                queue->late[queue->late_n].bytes = request.bytes;
                queue->late[queue->late_n].copy = malloc(request.bytes);
                memcpy(queue->late[queue->late_n].copy, request.buffer, request.bytes);
                queue->late[queue->late_n++].volume = faulty.volume_of_fd[fd] - 1;
        }
        cr_assert_eq(REAL->queue_submit(queue->inner, &request, 1), 1);
}

static int
faulty_queue_submit(struct io_queue *own, const struct io_request *requests, unsigned n)
{
        for (unsigned i = 0; i < n; i++)
                faulty_request((struct faulty_queue *)own, requests[i]);
        return (int)n;
}

/* Late completions are kept back until their fault has ended. */
static bool
faulty_keeps(struct faulty_queue *queue, const struct io_done *done)
{
        for (unsigned i = 0; i < queue->late_n; i++) {
                if (queue->late[i].tag != done->tag)
                        continue;
                cr_assert(faulty.held_n < FAULTY_HELD);
                faulty.held[faulty.held_n].done = *done;
                faulty.held[faulty.held_n++].volume = queue->late[i].volume;
                return true;
        }
        return false;
}

/* The late write is answered: until now the disk may have read its buffer. */
static void
faulty_release(struct faulty_queue *queue, uint64_t tag)
{
        for (unsigned i = 0; i < queue->late_n; i++) {
                if (queue->late[i].tag != tag)
                        continue;
                cr_assert_eq(
                    memcmp(queue->late[i].buffer, queue->late[i].copy, queue->late[i].bytes), 0,
                    "the buffer of a late write was used again");
                free(queue->late[i].copy);
                queue->late[i] = queue->late[--queue->late_n];
                return;
        }
}

static int
faulty_queue_poll(struct io_queue *own, struct io_done *done, unsigned max, uint32_t wait_us)
{
        struct faulty_queue *queue = (struct faulty_queue *)own;
        unsigned n = 0;
        while (queue->ready_n > 0 && n < max)
                done[n++] = queue->ready[--queue->ready_n];
        for (unsigned i = 0; i < faulty.held_n && n < max;) {
                if (faulty.faults[faulty.held[i].volume] == FAULT_LATE) {
                        i++;
                        continue;
                }
                faulty_release(queue, faulty.held[i].done.tag);
                done[n++] = faulty.held[i].done;
                faulty.held[i] = faulty.held[--faulty.held_n];
        }
        if (n > 0)
                return (int)n;
        int got = REAL->queue_poll(queue->inner, done, max, wait_us);
        for (int i = 0; i < got; i++)
                if (!faulty_keeps(queue, &done[i]))
                        done[n++] = done[i];
        return got < 0 ? got : (int)n;
}

static void
faulty_queue_close(struct io_queue *own)
{
        struct faulty_queue *queue = (struct faulty_queue *)own;
        REAL->queue_close(queue->inner);
        for (unsigned i = 0; i < queue->late_n; i++)
                free(queue->late[i].copy);
        free(queue);
}

static uint64_t
faulty_now_us(struct io *io)
{
        return REAL->now_us(io) + faulty.clock_us;
}

static void
faulty_sleep_us(struct io *io, uint64_t us)
{
        faulty.clock_us += us;
}

static void
faulty_random(struct io *io, void *buffer, size_t bytes)
{
        REAL->random(io, buffer, bytes);
}

static const struct io_ops faulty_ops = {
    .open = faulty_open,
    .close = faulty_close,
    .read = faulty_read,
    .write = faulty_write,
    .fsync = faulty_fsync,
    .truncate = faulty_truncate,
    .fstat = faulty_fstat,
    .stat = faulty_stat,
    .sync_folder = faulty_sync_folder,
    .rename = faulty_rename,
    .unlink = faulty_unlink,
    .mkdir = faulty_mkdir,
    .list = faulty_list,
    .space = faulty_space,
    .lock = faulty_lock,
    .queue_open = faulty_queue_open,
    .queue_register = faulty_queue_register,
    .queue_submit = faulty_queue_submit,
    .queue_poll = faulty_queue_poll,
    .queue_close = faulty_queue_close,
    .now_us = faulty_now_us,
    .sleep_us = faulty_sleep_us,
    .random = faulty_random,
};

/* A fresh io over n volumes' folders. */
static inline struct io *
faulty_io(const char *const *paths, unsigned n)
{
        memset(&faulty, 0, sizeof(faulty));
        faulty.io.ops = &faulty_ops;
        for (unsigned i = 0; i < n; i++)
                snprintf(faulty.paths[i], sizeof(faulty.paths[i]), "%s", paths[i]);
        return &faulty.io;
}

static inline void
faulty_set(unsigned volume, enum fault fault, int error)
{
        faulty.faults[volume] = fault;
        faulty.errors[volume] = error;
}

#endif
