/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger's door to disks and clocks: everything that vault, store and head do to files goes
 * through this table, so that a simulated disk can stand behind it. io_posix() is the real one;
 * NULL stands for it wherever a configuration takes an io.
 *
 * Paths are whole paths. Descriptors are small numbers >= 0 that belong to the io that gave them.
 * Calls return 0 (or what they say) or -errno; each does one system call's work and retries
 * nothing but EINTR. All but the queue's may be called by any thread; a queue belongs to one. */
#ifndef AORTA_LEDGER_IO_H
#define AORTA_LEDGER_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* What is handed over in one call: a fragment for each of 16 volumes. */
#define IO_BATCH_MAX 16u
/* Handed over and not yet polled, at most. */
#define IO_FLYING_MAX 64u

struct io;
struct io_queue;

enum io_open {
        IO_READ = 1,
        IO_WRITE = 2,  /* a write is on the medium when it has returned (O_DSYNC) */
        IO_CREATE = 4, /* makes the file; -EEXIST when the name stands. With IO_WRITE */
        IO_DIRECT = 8, /* O_DIRECT: buffer, offset and length are multiples of 4,096. Every
                          descriptor that writes has it */
};

struct io_stat {
        uint64_t device, inode, links, bytes;
        bool is_folder;
};

struct io_request {
        int fd;
        bool write;
        void *buffer; /* not touched by a write; belongs to the io until the completion is polled */
        uint32_t bytes;
        uint64_t offset_bytes;
        uint64_t tag;   /* comes back with the completion */
        int registered; /* index of the registered buffer that it lies in; -1: in none */
};

struct io_done {
        uint64_t tag;
        int32_t result; /* bytes, or -errno; fewer bytes than asked for are a short one */
};

/* Called once a name but `.` and `..`; a negative return ends the listing with it. */
typedef int io_list_fn(void *user, const char *name);

struct io_ops {
        int (*open)(struct io *io, const char *path, unsigned flags); /* enum io_open; mode 0600 */
        int (*close)(struct io *io, int fd);
        /* Bytes, 0 at the file's end. */
        int64_t (*read)(struct io *io, int fd, void *buffer, size_t bytes, uint64_t offset_bytes);
        int64_t (*write)(
            struct io *io, int fd, const void *buffer, size_t bytes, uint64_t offset_bytes);
        int (*fsync)(struct io *io, int fd);
        int (*truncate)(struct io *io, int fd, uint64_t bytes);
        int (*fstat)(struct io *io, int fd, struct io_stat *stat);

        int (*stat)(struct io *io, const char *path, struct io_stat *stat);
        /* fsync of a folder: names made, renamed or removed in it survive. */
        int (*sync_folder)(struct io *io, const char *path);
        /* Within one folder. replace false: -EEXIST when `to` stands. */
        int (*rename)(struct io *io, const char *from, const char *to, bool replace);
        int (*unlink)(struct io *io, const char *path);
        int (*mkdir)(struct io *io, const char *path); /* mode 0700; -EEXIST */
        int (*list)(struct io *io, const char *path, io_list_fn *name, void *user);
        /* Free bytes of the file system that path is on. */
        int (*space)(struct io *io, const char *path, uint64_t *free_bytes);
        /* Locks the open file exclusively until it is closed. -EBUSY: another has it, *holder is
         * its process or 0. */
        int (*lock)(struct io *io, int fd, int *holder);

        /* A queue of up to IO_FLYING_MAX requests in flight. */
        int (*queue_open)(struct io *io, struct io_queue **queue);
        /* Memory that requests will often use. Its failure is no harm: -1 as `registered` then. */
        int (*queue_register)(struct io_queue *queue, const struct iovec *buffers, unsigned n);
        /* Hands over up to IO_BATCH_MAX requests in one call, to run in parallel and in any order.
         * How many of them, from the first on, were handed over: the rest never will be, and the
         * queue takes no more when they were fewer than n. -errno: none was. */
        int (*queue_submit)(struct io_queue *queue, const struct io_request *requests, unsigned n);
        /* Completions, up to max; waits up to wait_us for the first. 0: none came. */
        int (*queue_poll)(
            struct io_queue *queue, struct io_done *done, unsigned max, uint32_t wait_us);
        /* Gives up what is in flight: such a buffer may still be read or written, its memory must
         * not be used for anything else. */
        void (*queue_close)(struct io_queue *queue);

        uint64_t (*now_us)(struct io *io); /* monotonic */
        void (*sleep_us)(struct io *io, uint64_t us);
        void (*random)(struct io *io, void *buffer, size_t bytes);
};

/* An implementation's own struct begins with this; so does that of io_queue with a struct io *. */
struct io {
        const struct io_ops *ops;
};
struct io_queue {
        struct io *io;
};

/* The real one; there is one a process. */
struct io *io_posix(void);
static inline struct io *
io_or_posix(struct io *io)
{
        return io != NULL ? io : io_posix();
}

#endif
