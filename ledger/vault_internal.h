/* SPDX-License-Identifier: Apache-2.0 */
/* What the vault's own files share. */
#ifndef AORTA_LEDGER_VAULT_INTERNAL_H
#define AORTA_LEDGER_VAULT_INTERNAL_H

#include "ledger/group.h"
#include "ledger/tree.h"
#include "ledger/vault.h"

#include <liburing.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#define SPARE_SEGMENTS_DEFAULT 2u
#define RING_ENTRIES           4u
#define PATH_BYTES             PATH_MAX

/* ---- where groups lie (vault_read.c): grows at its end, never moves; readers take no lock ---- */

#define INDEX_CHUNK_GROUPS (1u << 16)
#define INDEX_CHUNKS_MAX   (1u << 16)

struct group_place {
        uint64_t first_leaf;
        uint32_t segment;
        uint32_t offset_bytes;
};

struct group_index {
        struct group_place *
            *chunks;             /* INDEX_CHUNKS_MAX pointers; one is set before count reaches it */
        _Atomic uint64_t count;  /* groups published */
        _Atomic uint64_t leaves; /* leaves in them; stored before count */
};

int group_index_open(struct group_index *index);
void group_index_close(struct group_index *index);
/* Makes sure that the next GROUPS_BUFFERED groups can be added without failing. 0, -ENOMEM,
 * -EOVERFLOW. */
int group_index_reserve(struct group_index *index);
/* Publishes a group of records leaves after a reserve. One thread. */
void group_index_add(struct group_index *index, const struct group_place *place, uint32_t records);

/* ---- segments and the helper thread that makes them (segment.c) ---- */

struct segments {
        char path[PATH_BYTES];
        struct volume_id id;
        uint32_t segment_bytes;
        uint32_t spares;
        uint64_t reserve_bytes;
        _Atomic uint32_t made;    /* segments 0 to made-1 exist, flushed with their folder */
        _Atomic uint32_t current; /* being written */
        _Atomic uint64_t free_bytes;
        _Atomic int inject; /* an error that each making of a segment gets; 0: none */
        pthread_mutex_t lock;
        pthread_cond_t wake;  /* the helper: a segment was begun, or stop */
        pthread_cond_t round; /* who waits in segments_start(): a round is done */
        uint64_t rounds;
        bool stop, running;
        pthread_t thread;
};

/* "00000017". */
void segment_name(char name[SEGMENT_NAME_BYTES], uint32_t index);
int segment_open(const struct segments *segments, uint32_t index, int flags);
/* Counts the segments that exist: 0, or -EBADMSG with *missing when one is missing in the middle.
 */
int segments_count(struct segments *segments, uint32_t *count, uint32_t *missing);
/* Removes what a crash left half made. */
int segments_clean(struct segments *segments);
/* Makes segment index, durable on return. -EEXIST, -ENOSPC, ... and then nothing is left of it. */
int segment_make(struct segments *segments, uint32_t index);
void segments_update_free(struct segments *segments);
/* Starts the helper and waits until it has made what it can. */
int segments_start(struct segments *segments);
void segments_stop(struct segments *segments);
/* The writer goes to the next segment: -ENOSPC when it is not there yet. */
int segments_advance(struct segments *segments);

/* ---- the vault ---- */

enum vault_state { VAULT_OPENED, VAULT_DAMAGED, VAULT_RECOVERED, VAULT_WRITING };
enum group_state { GROUP_FREE, GROUP_FILLING, GROUP_FLYING, GROUP_DURABLE };

/* A group's memory. Sealed bytes are copied to `sealed_at` on, where a full table and the header
 * fit before them; the table moves in front of them when the group is closed. */
struct group {
        enum group_state state;
        uint8_t *buffer;  /* GROUP_BUFFER_BYTES, aligned to BLOCK_BYTES */
        uint8_t *start;   /* of the fragment in buffer, once closed */
        uint8_t *table;   /* GROUP_TABLE_MAX */
        uint8_t *entries; /* GROUP_RECORDS_MAX leaf entries */
        uint32_t records;
        uint32_t sealed_bytes;
        uint32_t disk_bytes;
        unsigned index; /* of the registered buffer */
        struct group_header header;
        struct group_place place;
};

#define GROUP_SEALED_AT                                                                            \
        ((GROUP_HEADER_BYTES + GROUP_TABLE_MAX + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES)
#define GROUP_BUFFER_BYTES (GROUP_SEALED_AT + GROUP_BYTES_MAX)

struct vault {
        enum vault_state state;
        char path[PATH_BYTES];
        struct volume_id id;
        int lock_fd;
        struct segments segments;
        struct io_uring ring;
        struct digester digester;
        struct group_index index;

        /* What recovery found, and what has been committed since. */
        struct tree tree;
        uint64_t next_group, next_leaf;
        uint8_t last_group[HASH_BYTES];
        uint64_t offset_bytes; /* in the current segment: the next group's place */
        uint32_t cut_segment;
        uint64_t cut_offset_bytes, cut_bytes;

        /* Writing. */
        int segment_fd;
        uint64_t segment_fd_bytes; /* length of that segment */
        struct group groups[GROUPS_BUFFERED];
        void *buffers;
        size_t buffers_bytes;
        bool registered;
        struct group *filling, *flying;
        uint64_t flying_since_us;
        int failed;          /* -errno of the first failed write: no other is made */
        _Atomic bool fenced; /* failed is set; for vault_space() */
        _Atomic int inject;

        _Atomic uint64_t bytes_written, flush_us_last, flush_us_max;
};

/* Makes the folder and, where it is empty, a new identity (volume.c). */
int volume_prepare(struct vault *vault, char *why);
/* Locks the volume and reads its identity. -EBUSY: another process has it. */
int volume_lock(struct vault *vault, char *why);

void vault_why(char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
