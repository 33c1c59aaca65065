/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/disk_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FREE_BYTES (UINT64_C(1) << 40)

static struct sim_disk *
of(struct io *io)
{
        return (struct sim_disk *)io;
}

struct sim_disk *
sim_disk_open(uint64_t seed)
{
        struct sim_disk *disk = calloc(1, sizeof(*disk));
        assert(disk != NULL);
        disk->io.ops = &sim_ops;
        disk->rng.state = seed;
        disk->next_inode = 2;
        disk->now_us = 1000000;
        disk->root = node_make(disk, NO_DISK, true);
        return disk;
}

void
sim_disk_close(struct sim_disk *disk)
{
        while (disk->nodes != NULL) {
                struct node *node = disk->nodes;
                disk->nodes = node->next;
                node_free(node);
        }
        free(disk);
}

struct io *
sim_disk_io(struct sim_disk *disk)
{
        return &disk->io;
}

void
sim_disk_trace(struct sim_disk *disk, FILE *trace)
{
        disk->trace = trace;
}

const struct sim_counts *
sim_disk_counts(const struct sim_disk *disk)
{
        return &disk->counts;
}

uint64_t
sim_disk_pages(const struct sim_disk *disk)
{
        uint64_t n = 0;
        for (const struct node *node = disk->nodes; node != NULL; node = node->next)
                for (size_t i = 0; i < node->pages_n; i++)
                        n += node->pages[i] != NULL;
        return n;
}

/* ---- paths ---- */

/* "/d7/..." is on disk 7. */
static uint32_t
disk_of(const char *name)
{
        unsigned index;
        int end = 0;
        if (sscanf(name, "d%u%n", &index, &end) == 1 && name[end] == '\0' && index < SIM_DISKS_MAX)
                return index;
        return NO_DISK;
}

/* The folder that holds path's last name, and that name ("" for the root). */
static int
parent_find(struct sim_disk *disk, const char *path, struct node **folder, char name[NAME_BYTES])
{
        struct node *at = disk->root;
        assert(path[0] == '/');
        name[0] = '\0';
        for (;;) {
                while (*path == '/')
                        path++;
                if (*path == '\0')
                        break;
                if (name[0] != '\0') {
                        at = entries_find(&at->now, name);
                        if (at == NULL)
                                return -ENOENT;
                        if (!at->is_folder)
                                return -ENOTDIR;
                }
                size_t n = strcspn(path, "/");
                if (n >= NAME_BYTES)
                        return -ENAMETOOLONG;
                memcpy(name, path, n);
                name[n] = '\0';
                path += n;
                uint32_t on = at == disk->root ? disk_of(name) : at->disk;
                if (on == NO_DISK)
                        continue;
                if (disk->faults[on].dead)
                        return -EIO;
                if (disk->faults[on].gone)
                        return -ENOENT;
        }
        *folder = at;
        return 0;
}

static int
path_find(struct sim_disk *disk, const char *path, struct node **node)
{
        char name[NAME_BYTES];
        struct node *folder;
        int error = parent_find(disk, path, &folder, name);
        if (error)
                return error;
        *node = name[0] != '\0' ? entries_find(&folder->now, name) : disk->root;
        return *node != NULL ? 0 : -ENOENT;
}

/* ---- descriptors ---- */

static int
do_open(struct sim_disk *disk, const char *path, unsigned flags)
{
        char name[NAME_BYTES];
        struct node *folder, *node;
        int error = parent_find(disk, path, &folder, name);
        if (error)
                return error;
        node = name[0] != '\0' ? entries_find(&folder->now, name) : disk->root;
        if (flags & IO_CREATE) {
                assert(flags & IO_WRITE);
                if (node != NULL)
                        return -EEXIST;
                error = fault_write(disk, folder, true);
                if (error)
                        return error;
                node = node_make(disk, folder->disk, false);
                node->links = 1;
                node_change(folder, NULL, name, node);
        } else if (node == NULL) {
                return -ENOENT;
        } else {
                error = fault_read(disk, node);
                if (!error && flags & IO_WRITE) {
                        const struct sim_faults *faults = faults_of(disk, node);
                        error = faults != NULL && faults->read_only ? -EROFS : 0;
                }
                if (error)
                        return error;
        }
        for (unsigned fd = 0; fd < DESCRIPTORS_MAX; fd++) {
                if (disk->descriptors[fd].node != NULL)
                        continue;
                disk->descriptors[fd] = (struct descriptor){.node = node, .flags = flags};
                return (int)fd;
        }
        return -EMFILE;
}

static int
sim_open(struct io *io, const char *path, unsigned flags)
{
        struct sim_disk *disk = of(io);
        int error = flags & IO_CREATE ? effect_enter(disk) : call_enter(disk);
        if (error)
                return error;
        assert(!(flags & IO_WRITE) || flags & IO_DIRECT);
        return (int)call_leave(disk, do_open(disk, path, flags), "open(%s,%s%s%s)", path,
            flags & IO_READ ? " read" : "", flags & IO_WRITE ? " write" : "",
            flags & IO_CREATE ? " create" : "");
}

static struct descriptor *
descriptor(struct sim_disk *disk, int fd)
{
        assert(fd >= 0 && fd < (int)DESCRIPTORS_MAX && disk->descriptors[fd].node != NULL);
        return &disk->descriptors[fd];
}

static int
sim_close(struct io *io, int fd)
{
        struct sim_disk *disk = of(io);
        struct descriptor *own = descriptor(disk, fd);
        if (own->node->locked_by == fd)
                own->node->locked_by = -1;
        own->node = NULL;
        return 0;
}

static void
check_direct(const struct descriptor *own, const void *buffer, size_t bytes, uint64_t offset_bytes)
{
        if (!(own->flags & IO_DIRECT))
                return;
        assert((uintptr_t)buffer % SIM_PAGE_BYTES == 0);
        assert(bytes % SIM_PAGE_BYTES == 0 && offset_bytes % SIM_PAGE_BYTES == 0);
}

static int64_t
do_read(struct sim_disk *disk, struct node *node, void *buffer, size_t bytes, uint64_t offset_bytes)
{
        int error = fault_read(disk, node);
        if (error)
                return error;
        if (offset_bytes >= node->bytes)
                return 0;
        if (bytes > node->bytes - offset_bytes)
                bytes = node->bytes - offset_bytes;
        node_get(node, offset_bytes, buffer, bytes);
        return (int64_t)bytes;
}

static int64_t
sim_read(struct io *io, int fd, void *buffer, size_t bytes, uint64_t offset_bytes)
{
        struct sim_disk *disk = of(io);
        int error = call_enter(disk);
        if (error)
                return error;
        struct descriptor *own = descriptor(disk, fd);
        assert(own->flags & IO_READ && !own->node->is_folder);
        check_direct(own, buffer, bytes, offset_bytes);
        int64_t got = do_read(disk, own->node, buffer, bytes, offset_bytes);
        return call_leave(disk, got, "read(%d #%lu, %zu at %lu)", fd,
            (unsigned long)own->node->inode, bytes, (unsigned long)offset_bytes);
}

/* What an untroubled, lying or troubled disk makes of a write. */
static int64_t
do_write(struct sim_disk *disk, struct node *node, const void *buffer, size_t bytes,
    uint64_t offset_bytes)
{
        const struct sim_faults *faults = faults_of(disk, node);
        int error = fault_write(disk, node, offset_bytes + bytes > node->bytes);
        if (error == -EIO)
                write_torn(disk, node, offset_bytes, buffer, bytes);
        if (error)
                return error;
        if (disk->torn) {
                write_torn(disk, node, offset_bytes, buffer, bytes);
                return -EIO;
        }
        if (faults != NULL && bytes > SIM_PAGE_BYTES && rng_chance(&disk->rng, faults->short_ppm)) {
                bytes = rng_between(&disk->rng, 1, bytes / SIM_PAGE_BYTES - 1) * SIM_PAGE_BYTES;
                disk->counts.shorts++;
        }
        bool lost = faults != NULL && rng_chance(&disk->rng, faults->lost_ppm);
        if (!lost && faults != NULL && rng_chance(&disk->rng, faults->misdirected_ppm)) {
                uint64_t there;
                struct node *elsewhere = place_elsewhere(disk, node, bytes, &there);
                if (elsewhere != NULL) {
                        node_put(elsewhere, there, buffer, bytes, true, false);
                        disk->counts.misdirected++;
                        lost = true;
                }
        } else if (lost) {
                disk->counts.lost++;
        }
        node_put(node, offset_bytes, buffer, bytes, !lost, true);
        return (int64_t)bytes;
}

static int64_t
sim_write(struct io *io, int fd, const void *buffer, size_t bytes, uint64_t offset_bytes)
{
        struct sim_disk *disk = of(io);
        int error = effect_enter(disk);
        if (error)
                return error;
        struct descriptor *own = descriptor(disk, fd);
        assert(own->flags & IO_WRITE);
        check_direct(own, buffer, bytes, offset_bytes);
        int64_t put = do_write(disk, own->node, buffer, bytes, offset_bytes);
        return call_leave(disk, put, "write(%d #%lu, %zu at %lu)", fd,
            (unsigned long)own->node->inode, bytes, (unsigned long)offset_bytes);
}

static int
sim_fsync(struct io *io, int fd)
{
        struct sim_disk *disk = of(io);
        int error = effect_enter(disk);
        if (error)
                return error;
        struct node *node = descriptor(disk, fd)->node;
        error = fault_write(disk, node, false);
        if (!error)
                node->durable_bytes = node->bytes;
        return (int)call_leave(disk, error, "fsync(%d #%lu)", fd, (unsigned long)node->inode);
}

static int
sim_truncate(struct io *io, int fd, uint64_t bytes)
{
        struct sim_disk *disk = of(io);
        int error = effect_enter(disk);
        if (error)
                return error;
        struct node *node = descriptor(disk, fd)->node;
        error = fault_write(disk, node, bytes > node->bytes);
        if (!error) {
                for (size_t i = (bytes + SIM_PAGE_BYTES - 1) / SIM_PAGE_BYTES; i < node->pages_n;
                     i++) {
                        if (node->pages[i] == NULL)
                                continue;
                        free(node->pages[i]->honest);
                        free(node->pages[i]);
                        node->pages[i] = NULL;
                }
                node->bytes = bytes;
        }
        return (int)call_leave(disk, error, "truncate(%d #%lu, %lu)", fd,
            (unsigned long)node->inode, (unsigned long)bytes);
}

static void
stat_take(const struct node *node, struct io_stat *stat)
{
        *stat = (struct io_stat){
            .device = node->disk,
            .inode = node->inode,
            .links = node->links,
            .bytes = node->bytes,
            .is_folder = node->is_folder,
        };
}

static int
sim_fstat(struct io *io, int fd, struct io_stat *stat)
{
        struct sim_disk *disk = of(io);
        int error = call_enter(disk);
        if (error)
                return error;
        struct node *node = descriptor(disk, fd)->node;
        stat_take(node, stat);
        return (int)call_leave(
            disk, fault_read(disk, node), "fstat(%d #%lu)", fd, (unsigned long)node->inode);
}

/* ---- names ---- */

static int
sim_stat(struct io *io, const char *path, struct io_stat *stat)
{
        struct sim_disk *disk = of(io);
        struct node *node;
        int error = call_enter(disk);
        if (error)
                return error;
        error = path_find(disk, path, &node);
        if (!error)
                stat_take(node, stat);
        return (int)call_leave(disk, error, "stat(%s)", path);
}

static int
sim_sync_folder(struct io *io, const char *path)
{
        struct sim_disk *disk = of(io);
        struct node *node;
        int error = effect_enter(disk);
        if (error)
                return error;
        error = path_find(disk, path, &node);
        if (!error && !node->is_folder)
                error = -ENOTDIR;
        if (!error) {
                const struct sim_faults *faults = faults_of(disk, node);
                /* A read-only file system has nothing to sync. */
                if (faults == NULL || !faults->read_only)
                        error = fault_write(disk, node, false);
        }
        if (!error && !disk->torn)
                node_sync(node);
        return (int)call_leave(disk, error, "sync_folder(%s)", path);
}

static int
do_rename(struct sim_disk *disk, const char *from, const char *to, bool replace)
{
        char from_name[NAME_BYTES], to_name[NAME_BYTES];
        struct node *from_folder, *to_folder;
        int error = parent_find(disk, from, &from_folder, from_name);
        if (!error)
                error = parent_find(disk, to, &to_folder, to_name);
        if (error)
                return error;
        assert(from_folder == to_folder);
        struct node *node = entries_find(&from_folder->now, from_name);
        if (node == NULL)
                return -ENOENT;
        if (!replace && entries_find(&to_folder->now, to_name) != NULL)
                return -EEXIST;
        error = fault_write(disk, from_folder, false);
        if (!error)
                node_change(from_folder, from_name, to_name, node);
        return error;
}

static int
sim_rename(struct io *io, const char *from, const char *to, bool replace)
{
        struct sim_disk *disk = of(io);
        int error = effect_enter(disk);
        if (error)
                return error;
        return (int)call_leave(
            disk, do_rename(disk, from, to, replace), "rename(%s, %s)", from, to);
}

static int
do_unlink(struct sim_disk *disk, const char *path)
{
        char name[NAME_BYTES];
        struct node *folder;
        int error = parent_find(disk, path, &folder, name);
        if (error)
                return error;
        struct node *node = entries_find(&folder->now, name);
        if (node == NULL)
                return -ENOENT;
        if (node->is_folder)
                return -EISDIR;
        error = fault_write(disk, folder, false);
        if (!error)
                node_change(folder, name, NULL, NULL);
        return error;
}

static int
sim_unlink(struct io *io, const char *path)
{
        struct sim_disk *disk = of(io);
        int error = effect_enter(disk);
        if (error)
                return error;
        return (int)call_leave(disk, do_unlink(disk, path), "unlink(%s)", path);
}

static int
do_mkdir(struct sim_disk *disk, const char *path)
{
        char name[NAME_BYTES];
        struct node *folder;
        int error = parent_find(disk, path, &folder, name);
        if (error)
                return error;
        if (name[0] == '\0' || entries_find(&folder->now, name) != NULL)
                return -EEXIST;
        uint32_t on = folder == disk->root ? disk_of(name) : folder->disk;
        struct node *node = node_make(disk, on, true);
        error = fault_write(disk, node, true);
        if (error)
                return error;
        node->links = 1;
        node_change(folder, NULL, name, node);
        return 0;
}

static int
sim_mkdir(struct io *io, const char *path)
{
        struct sim_disk *disk = of(io);
        int error = effect_enter(disk);
        if (error)
                return error;
        return (int)call_leave(disk, do_mkdir(disk, path), "mkdir(%s)", path);
}

static int
do_list(struct sim_disk *disk, const char *path, io_list_fn *fn, void *user)
{
        struct node *folder;
        int error = path_find(disk, path, &folder);
        if (!error && !folder->is_folder)
                error = -ENOTDIR;
        if (!error)
                error = fault_read(disk, folder);
        /* The callback may make calls itself. */
        struct entries names = {0};
        if (!error)
                entries_copy(&names, &folder->now);
        for (unsigned i = 0; i < names.n && !error; i++)
                error = fn(user, names.all[i].name);
        free(names.all);
        return error < 0 ? error : 0;
}

static int
sim_list(struct io *io, const char *path, io_list_fn *fn, void *user)
{
        struct sim_disk *disk = of(io);
        int error = call_enter(disk);
        if (error)
                return error;
        error = do_list(disk, path, fn, user);
        return disk->crashed ? -EIO : (int)call_leave(disk, error, "list(%s)", path);
}

static int
sim_space(struct io *io, const char *path, uint64_t *free_bytes)
{
        struct sim_disk *disk = of(io);
        struct node *node;
        int error = call_enter(disk);
        if (error)
                return error;
        error = path_find(disk, path, &node);
        if (!error) {
                const struct sim_faults *faults = faults_of(disk, node);
                *free_bytes = faults != NULL && faults->full ? 0 : FREE_BYTES;
        }
        return (int)call_leave(disk, error, "space(%s)", path);
}

static int
sim_lock(struct io *io, int fd, int *holder)
{
        struct sim_disk *disk = of(io);
        int error = call_enter(disk);
        if (error)
                return error;
        struct node *node = descriptor(disk, fd)->node;
        *holder = 0;
        if (node->locked_by >= 0 && node->locked_by != fd)
                error = -EBUSY;
        else
                node->locked_by = fd;
        return (int)call_leave(disk, error, "lock(%d #%lu)", fd, (unsigned long)node->inode);
}

int
sim_disk_rot_at(struct sim_disk *disk, const char *path, uint64_t offset_bytes)
{
        struct node *node;
        uint8_t byte;
        int error = path_find(disk, path, &node);
        if (error)
                return error;
        node_get(node, offset_bytes, &byte, 1);
        byte ^= 1;
        node_put(node, offset_bytes, &byte, 1, true, false);
        disk->counts.rotten++;
        return 0;
}

int
sim_disk_find_last(
    struct sim_disk *disk, const char *path, const char *begins, uint64_t *offset_bytes)
{
        struct node *node;
        int error = path_find(disk, path, &node);
        if (error)
                return error;
        for (size_t i = node->pages_n; i-- > 1;)
                if (node->pages[i] != NULL &&
                    memcmp(node->pages[i]->data, begins, strlen(begins)) == 0) {
                        *offset_bytes = (uint64_t)i * SIM_PAGE_BYTES;
                        return 0;
                }
        return -ENOENT;
}

/* ---- time and chance ---- */

static uint64_t
sim_now_us(struct io *io)
{
        return of(io)->now_us;
}

static void
sim_sleep_us(struct io *io, uint64_t us)
{
        of(io)->now_us += us;
}

static void
sim_random(struct io *io, void *buffer, size_t bytes)
{
        rng_fill(&of(io)->rng, buffer, bytes);
}

const struct io_ops sim_ops = {
    .open = sim_open,
    .close = sim_close,
    .read = sim_read,
    .write = sim_write,
    .fsync = sim_fsync,
    .truncate = sim_truncate,
    .fstat = sim_fstat,
    .stat = sim_stat,
    .sync_folder = sim_sync_folder,
    .rename = sim_rename,
    .unlink = sim_unlink,
    .mkdir = sim_mkdir,
    .list = sim_list,
    .space = sim_space,
    .lock = sim_lock,
    .queue_open = sim_queue_open,
    .queue_register = sim_queue_register,
    .queue_submit = sim_queue_submit,
    .queue_poll = sim_queue_poll,
    .queue_close = sim_queue_close,
    .now_us = sim_now_us,
    .sleep_us = sim_sleep_us,
    .random = sim_random,
};
