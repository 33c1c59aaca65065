/* SPDX-License-Identifier: Apache-2.0 */
/* What the simulated disk's files share. */
#ifndef AORTA_TESTS_SIM_DISK_INTERNAL_H
#define AORTA_TESTS_SIM_DISK_INTERNAL_H

#include "tests/sim/disk.h"

#define NAME_BYTES      64u
#define DESCRIPTORS_MAX 512u
#define QUEUES_MAX      8u
#define NO_DISK         UINT32_MAX

struct page {
        uint8_t data[SIM_PAGE_BYTES];
        uint8_t *honest; /* what an honest disk would hold; NULL: the same */
};

struct entry {
        char name[NAME_BYTES];
        struct node *node;
};

struct entries {
        struct entry *all;
        unsigned n, room;
};

/* A change of a folder that its sync has not made durable yet. */
struct change {
        char from[NAME_BYTES]; /* removed; "" none */
        char to[NAME_BYTES];   /* added; "" none */
        struct node *node;
};

struct node {
        uint64_t inode;
        uint32_t disk; /* NO_DISK: on none that has faults */
        bool is_folder;
        bool held; /* while garbage is collected */
        uint64_t links;
        int locked_by; /* descriptor; -1 */

        uint64_t bytes, durable_bytes;
        struct page **pages;
        size_t pages_n;

        struct entries now, durable;
        struct change *changes;
        unsigned changes_n, changes_room;

        struct node *next; /* of all nodes */
};

struct descriptor {
        struct node *node; /* NULL: free */
        unsigned flags;
};

struct request {
        struct sim_queue *queue; /* NULL: free */
        struct node *node;
        struct io_request asked;
        uint64_t ready_us;
        int32_t result;
        bool lost, hung;
        struct node *elsewhere;
        uint64_t elsewhere_bytes;
};

struct sim_queue {
        struct io_queue queue;
};

#define REQUESTS_MAX (IO_FLYING_MAX * QUEUES_MAX)

struct sim_disk {
        struct io io;
        struct rng rng;
        FILE *trace;
        struct sim_counts counts;
        uint64_t now_us, next_inode;
        uint64_t crash_at; /* counts.effects; 0 none */
        bool crashed, process_only;
        bool dying; /* this call is the last one */
        bool torn;  /* and stops in its middle */

        struct node *nodes, *root;
        struct node *copies[SIM_DISKS_MAX];
        struct node *original; /* while a copy of everything runs */
        struct sim_faults faults[SIM_DISKS_MAX], original_faults[SIM_DISKS_MAX];
        struct descriptor descriptors[DESCRIPTORS_MAX];
        struct sim_queue *queues[QUEUES_MAX];
        struct request requests[REQUESTS_MAX];
};

/* ---- disk_node.c ---- */

struct node *node_make(struct sim_disk *disk, uint32_t on, bool is_folder);
void node_free(struct node *node);
void node_get(const struct node *node, uint64_t offset_bytes, void *out, size_t bytes);
/* To the medium, to what an honest one would hold, or to both. */
void node_put(struct node *node, uint64_t offset_bytes, const void *in, size_t bytes, bool medium,
    bool honest);
/* Makes the file at least bytes long. */
void node_grow(struct node *node, uint64_t bytes);
struct node *entries_find(const struct entries *entries, const char *name);
void entries_set(struct entries *entries, const char *name, struct node *node); /* NULL: removes */
void entries_copy(struct entries *to, const struct entries *from);
/* A folder's change, not durable yet. */
void node_change(struct node *folder, const char *from, const char *to, struct node *node);
void node_sync(struct node *folder);
/* A copy of what stands below, with new inodes. */
struct node *node_copy(struct sim_disk *disk, const struct node *from);

/* ---- disk_queue.c ---- */

extern const struct io_ops sim_ops;
int sim_queue_open(struct io *io, struct io_queue **queue);
int sim_queue_register(struct io_queue *queue, const struct iovec *buffers, unsigned n);
int sim_queue_submit(struct io_queue *queue, const struct io_request *requests, unsigned n);
int sim_queue_poll(struct io_queue *queue, struct io_done *done, unsigned max, uint32_t wait_us);
void sim_queue_close(struct io_queue *queue);

/* ---- disk_fault.c ---- */

/* Begins a call: 0, or -EIO when the machine has ended. */
int call_enter(struct sim_disk *disk);
/* The same for one that changes something: the machine may end here. */
int effect_enter(struct sim_disk *disk);
/* Ends it: result, or -EIO when this call was the last. */
int64_t call_leave(struct sim_disk *disk, int64_t result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static inline struct sim_faults *
faults_of(struct sim_disk *disk, const struct node *node)
{
        return node->disk == NO_DISK ? NULL : &disk->faults[node->disk];
}
/* How a read or write by a descriptor goes: 0 or -errno. */
int fault_read(struct sim_disk *disk, const struct node *node);
int fault_write(struct sim_disk *disk, const struct node *node, bool grows);
/* Some of a write's sectors, each by itself. */
void write_torn(
    struct sim_disk *disk, struct node *node, uint64_t offset_bytes, const void *in, size_t bytes);
/* A place for a write that goes astray: a file of the same disk and an offset within. NULL: none.
 */
struct node *place_elsewhere(
    struct sim_disk *disk, const struct node *node, size_t bytes, uint64_t *offset_bytes);

#endif
