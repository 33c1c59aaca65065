/* SPDX-License-Identifier: Apache-2.0 */
/* What the vault's own files share. */
#ifndef AORTA_LEDGER_VAULT_INTERNAL_H
#define AORTA_LEDGER_VAULT_INTERNAL_H

#include "ledger/files.h"
#include "ledger/group.h"
#include "ledger/members.h"
#include "ledger/parity.h"
#include "ledger/tree.h"
#include "ledger/vault.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#define SPARE_SEGMENTS_DEFAULT 2u
#define FENCE_MS_DEFAULT       1000u
#define SHARE_PERCENT_DEFAULT  25u
#define PATH_BYTES             PATH_MAX
#define VOLUME_FILE            "volume"
#define SEGMENTS_FOLDER        "segments"
/* How often a helper looks at its volume. */
#define HELPER_PERIOD_MS 100u
/* A fragment's buffers a volume: one to write from while a late one is pinned. */
#define FRAGMENT_BUFFERS 2u

/* ---- where groups lie (vault_read.c): grows at its end, never moves; readers take no lock ---- */

#define INDEX_CHUNK_GROUPS (1u << 16)
#define INDEX_CHUNKS_MAX   (1u << 16)

struct group_place {
        uint64_t first_leaf;
        uint32_t segment;
        uint32_t offset_bytes; /* the same on every volume */
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
/* Of a published group. */
const struct group_place *group_index_at(const struct group_index *index, uint64_t number);

/* ---- volumes ---- */

struct fragment_buffer {
        uint8_t *at;
        bool flying; /* with the kernel: pinned */
};

struct volume {
        struct vault *vault;
        struct fragment_layout layout;
        _Atomic(const char *) path; /* replaced by vault_replace(); old ones live until the end */
        struct volume_id id;
        int lock_fd;
        _Atomic uint64_t device, inode; /* of the folder, when it was locked */
        _Atomic int state;              /* enum volume_state */
        /* -errno: to be fenced by the writer. Set by any thread. */
        _Atomic int suspect;
        char why[VOLUME_WHY_BYTES]; /* under vault->lock once writing */

        /* Its own `members` file. */
        struct members members; /* the newest that it holds; epoch 0: none */
        int members_error;      /* of reading it */
        unsigned members_older; /* the block to be written next */
        int members_fd;
        uint8_t *members_block;
        bool members_flying;
        int members_result; /* of the last write: 0 or -errno */

        /* Recovery: what it found, and what begin has to write. */
        uint32_t segments;
        char damage[VOLUME_WHY_BYTES]; /* it cannot be a member; empty: none */
        bool lacks_last;
        uint64_t cut_from_bytes[2], cut_to_bytes[2]; /* in segments cut_segment and the next */
        bool cut_more;                               /* zeros over all that follows, too */

        /* Segments; its helper's but for `made`, which recovery sets. */
        _Atomic uint32_t made;    /* segments 0 to made-1 exist, flushed with their folder */
        _Atomic int making_error; /* of the last try to make the next; 0 */
        _Atomic uint64_t free_bytes;
        _Atomic uint64_t segment_seen; /* inode of the segment that the writer has open; 0: none */

        /* The writer's. */
        int segment_fd;
        struct fragment_buffer buffers[FRAGMENT_BUFFERS];
        int flying_buffer; /* of the group in flight, not yet answered; -1 */
        unsigned outstanding;

        /* Between the job that fills it and the writer. */
        _Atomic bool follow_wanted, caught_up;
        _Atomic uint64_t follow_from; /* the first group that the writer has written to it */

        _Atomic uint64_t bad_fragments, repaired_fragments;
        pthread_t thread;
        bool running;
        uint64_t rounds; /* under vault->lock */
};

/* ---- a group's memory ---- */

enum vault_state { VAULT_OPENED, VAULT_DAMAGED, VAULT_RECOVERED, VAULT_WRITING };
enum group_state { GROUP_FREE, GROUP_FILLING, GROUP_FLYING, GROUP_DURABLE };

struct group {
        enum group_state state;
        uint8_t *table;   /* GROUP_TABLE_MAX */
        uint8_t *sealed;  /* GROUP_BYTES_MAX */
        uint8_t *entries; /* GROUP_RECORDS_MAX leaf entries */
        uint32_t records;
        uint32_t sealed_bytes;
        uint32_t disk_bytes; /* of a fragment */
        struct group_header header;
        struct group_place place;
};

/* ---- reading a group from any k volumes (vault_gather.c) ---- */

enum fragment_verdict {
        FRAGMENT_UNREAD,
        FRAGMENT_ERROR,   /* the volume does not answer */
        FRAGMENT_ZERO,    /* never written */
        FRAGMENT_DAMAGED, /* its header, or its bytes under a good header */
        FRAGMENT_OTHER,   /* a good one of another group or volume */
        FRAGMENT_GOOD,
};

/* Memory to read, check and rebuild one group; one thread. */
struct gather {
        struct vault *vault;
        struct digester digester;
        uint8_t *memory;
        uint8_t *fragments[VAULT_VOLUMES_MAX]; /* header and bytes */
        uint8_t *spare;                        /* one more fragment */
        uint8_t *payload;                      /* k x F */
        struct group_header headers[VAULT_VOLUMES_MAX];
        enum fragment_verdict verdicts[VAULT_VOLUMES_MAX];
        const char *what[VAULT_VOLUMES_MAX];
        bool good[VAULT_VOLUMES_MAX]; /* of the group that was chosen */
        unsigned good_n;
        struct group_header header; /* its, of some slot */
        uint32_t disk_bytes;
};

int gather_open(struct gather *gather, struct vault *vault);
void gather_close(struct gather *gather);
/* The group `number` at place from any k of the volumes in set; all: reads every one of them, for
 * the verdicts. fits (may be NULL) is asked of each header: NULL or an objection. 0: gather->header
 * and payload are whole and checked. -EBADMSG: fewer than k fragments go together. */
typedef const char *gather_fits_fn(const struct vault *vault, const struct group_header *header);
int gather_read(struct gather *gather, uint32_t set, uint32_t segment, uint64_t offset_bytes,
    uint64_t number, gather_fits_fn *fits, bool all);
/* After a read: the whole fragment (disk_bytes) of a slot, made of the others when it is not good.
 */
const uint8_t *gather_fragment(struct gather *gather, unsigned slot);

/* ---- the vault ---- */

struct job {
        enum vault_job kind;
        unsigned slot;
        int phase;
        char *path;       /* of vault_replace(); in vault->paths once used */
        uint64_t group;   /* the next to look at */
        uint64_t end;     /* scrub: where it ends */
        uint32_t segment; /* being made anew... */
        int fd;           /* ...under its temporary name; -1 */
        bool has_gather;
        struct gather gather;
        uint32_t bad_segment, bad_set; /* scrub: volumes whose fragments there are bad */
        uint64_t bad_from;             /* the first group of that segment */
        uint32_t bad_n[VAULT_VOLUMES_MAX];
        uint64_t repair_group;
};

struct vault {
        enum vault_state state;
        struct io *io;
        struct fragment_layout layout; /* slot unused */
        unsigned n;
        unsigned floor;
        uint64_t fence_us;
        uint32_t share_percent;
        bool cut_tail, stepped, fresh;
        struct volume volumes[VAULT_VOLUMES_MAX];
        struct parity parity;
        struct io_queue *queue;
        struct digester digester;
        struct group_index index;
        char *paths[4 * VAULT_VOLUMES_MAX]; /* every path that ever was one, to be freed */
        unsigned paths_n;

        /* Membership: changed by the writer only. */
        struct members members;
        _Atomic uint32_t set;
        _Atomic uint64_t epoch;
        _Atomic uint64_t first_group;

        /* Segments. */
        uint32_t segment_bytes, spares;
        uint64_t reserve_bytes;
        uint32_t *lengths; /* of the segments that recovery saw, in blocks */
        uint32_t lengths_n;
        _Atomic uint32_t current; /* being written */
        _Atomic int segments_inject;

        /* What recovery found, and what has been committed since. */
        struct tree tree;
        uint64_t next_group, next_leaf;
        uint8_t last_group[HASH_BYTES];
        uint64_t offset_bytes; /* in the current segment: the next group's place */
        uint32_t cut_segment;
        struct group_place last_place;

        /* Writing. */
        bool segment_open;        /* on the members */
        uint64_t segment_wait_us; /* since when the next one is waited for; 0 */
        struct group groups[GROUPS_BUFFERED];
        uint8_t *buffers;
        size_t buffers_bytes;
        uint32_t fragment_max;
        bool registered;
        struct group *filling, *flying;
        uint64_t flying_since_us;
        bool fenced;        /* a member was, since the membership was flushed */
        int fence_error;    /* of the last one */
        _Atomic int failed; /* -errno of what ended writing */
        _Atomic int inject;

        _Atomic uint64_t bytes_written, flush_us_last, flush_us_max;

        /* Helpers. */
        pthread_mutex_t lock; /* why strings, the job, rounds */
        pthread_cond_t wake, round;
        bool has_lock, stop;
        pthread_t job_thread;
        bool job_running;
        struct job job;
        struct vault_status told; /* the job's counters; under lock */
};

void vault_why(char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));
void volume_why(struct volume *volume, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline const char *
volume_path(const struct volume *volume)
{
        return atomic_load_explicit(&volume->path, memory_order_acquire);
}

static inline enum volume_state
volume_state(const struct volume *volume)
{
        return (enum volume_state)atomic_load_explicit(&volume->state, memory_order_acquire);
}

/* Volumes whose folder can be read. */
uint32_t vault_readable(const struct vault *vault);
/* "volume 2 (/path): why; ..." of those that are in `of`, into out. */
void vault_list(const struct vault *vault, uint32_t of, char *out, size_t out_bytes);

/* ---- volume.c ---- */

/* Looks at all folders: identities, locks, memberships; a new vault's identities are made. */
int volumes_open(struct vault *vault, char *why);
void volumes_close(struct vault *vault);
/* Gives a folder (made when absent) that is this slot's, or empty, an identity and locks it; for a
 * rebuild. */
int volume_adopt(struct volume *volume, const char *path);
/* 0, or why the folder or an open file is not what the path names: -errno. Any thread. */
int volume_look(struct volume *volume);

/* ---- segment.c ---- */

/* "00000017". */
void segment_name(char name[SEGMENT_NAME_BYTES], uint32_t index);
int segment_path(const struct volume *volume, uint32_t index, char path[PATH_BYTES]);
int segment_open(const struct volume *volume, uint32_t index, unsigned flags);
/* Length that segment index has on every volume. */
uint32_t segment_bytes(const struct vault *vault, uint32_t index);
/* One past the last segment that exists: 0 or -errno. */
int segments_count(const struct volume *volume, uint32_t *count);
/* Removes what a crash left half made. */
int segments_clean(const struct volume *volume);
/* A new segment of zeros under a temporary name, open for writing: the descriptor or -errno; the
 * first block is not written yet. */
int segment_begin(const struct volume *volume, uint32_t index);
/* Its first block, flushed, under its name (replacing another), folder flushed; closes fd. */
int segment_finish(const struct volume *volume, uint32_t index, int fd, bool replace);
void segment_abandon(const struct volume *volume, int fd);
/* Makes segment index, durable on return. -ENOSPC, ... and then nothing is left of it. */
int segment_make(struct volume *volume, uint32_t index);
/* What a volume's helper does: looks, counts free space, makes at most one segment. True when there
 * may be more to do at once. */
bool volume_round(struct volume *volume);

/* ---- helpers.c ---- */

int helpers_start(struct vault *vault);
void helpers_stop(struct vault *vault);
void helpers_wake(struct vault *vault);

/* ---- vault_members.c: the writer's ---- */

/* Takes a volume out of the set; its reason is told. The membership is not flushed yet. */
void volume_fence(struct volume *volume, int error, const char *what);
/* Ends writing for good. Returns the first error. */
int vault_fail(struct vault *vault, int error);
/* Flushes a new epoch, of the present set, to every member; fences those that fail. -errno: fewer
 * than the floor are left; the vault has failed. */
int members_flush(struct vault *vault);
/* Fences what is suspect: whether any was. */
bool members_suspects(struct vault *vault);
/* Takes completions in, waiting for the first for up to wait_us: 0 or -errno. */
int completions_take(struct vault *vault, uint32_t wait_us);
/* A write's tag: what it is, whose, and from which of its buffers. */
uint64_t write_tag(const struct volume *volume, bool of_members, unsigned buffer);
/* Opens the volume's `members` for writing; made when absent. 0 or -errno. */
int members_open(struct volume *volume);

/* ---- vault_begin.c ---- */

int groups_make(struct vault *vault);
void groups_free(struct vault *vault);

/* ---- vault_tail.c ---- */

struct tail {
        uint32_t segments; /* in all */
        uint32_t segment;  /* where the chain ended */
        uint64_t offset_bytes;
        uint64_t cut_bytes;
        uint64_t read_bytes;
        unsigned mended;
        /* A fragment of a group after the next one: the next one had been acknowledged. */
        const char *later;
        unsigned later_slot;
        uint32_t later_segment;
        uint64_t later_offset_bytes;
};

/* Looks at all that lies behind the chain's end and decides. 0: vault_begin() may cut it. */
int tail_judge(struct vault *vault, struct gather *gather, struct tail *tail, char *why);
void volume_damage(struct volume *volume, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Whether a group may follow the last one: NULL or what speaks against it. */
const char *chain_objection(const struct vault *vault, const struct group_header *header);

/* ---- jobs.c ---- */

/* A slice of the job that runs: true when there is more to do. */
bool job_step(struct vault *vault);
void job_end(struct vault *vault);

#endif
