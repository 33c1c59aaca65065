/* SPDX-License-Identifier: Apache-2.0 */
/* The vault: groups of sealed records, cut into k data and m parity fragments, one a volume, flushed
 * together. The group stream is the only source of truth for records. Any m volumes may be slow,
 * full, read-only, missing, damaged or lying: what was acknowledged is read all the same.
 *
 * A volume is a folder, best its own disk: `volume` (identity, lock), `members` (members.h),
 * `segments/NNNNNNNN` (bounded size, zeroed and flushed with their folder before use, never appended
 * to, never recycled), `head` (head.h), `store.a` (store.h).
 *
 * Threads: one thread, the writer, uses the writing calls (vault_begin() to vault_release(),
 * vault_tend()); all others may be called by any thread after vault_begin(). */
#ifndef AORTA_LEDGER_VAULT_H
#define AORTA_LEDGER_VAULT_H

#include "ledger/leaf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GROUP_RECORDS_MAX 4096u
#define GROUP_BYTES_MAX   (2u << 20) /* header and padding included */
#define GROUPS_BUFFERED   2u         /* one fills while one is in flight */
#define VAULT_WHY_BYTES   512u

struct vault;
struct group;
struct tree;

struct io;
struct head;

#define VAULT_VOLUMES_MAX 16u
#define VOLUME_WHY_BYTES  160u

struct vault_config {
        const char *path;       /* of the only volume, when volumes is NULL */
        uint32_t segment_bytes; /* 0: 64 MiB */
        uint32_t spare_segments; /* zeroed ahead of need; 0: 2 */
        uint64_t reserve_bytes; /* free space kept on each file system: below it vault_space() says so */

        const char *const *volumes; /* data + parity folders; made when all of them are new */
        uint32_t data, parity;      /* k > m; 0 and 0: 1 and 0 with path, 4 and 2 with volumes */
        uint32_t floor;             /* members without which nothing is written, >= k; 0: k */
        uint32_t fence_ms;          /* a write that takes longer fences its volume; 0: 1,000 */
        uint32_t share_percent;     /* of time that scrub and rebuild use the disks; 0: 25 */
        bool cut_tail; /* recovery cuts a last group that missing volumes may hold, and what follows
                          it, and takes all volumes that are there as members: the operator's word,
                          to be logged. What was signed is never cut */
        bool stepped;  /* no threads: all that they do is done by vault_step() */
        struct io *io; /* NULL: the real one */
};

struct vault_record {
        uint64_t leaf;
        uint64_t group;
        const uint8_t *digest; /* HASH_BYTES */
        const uint8_t *sealed;
        uint32_t sealed_bytes;
};
/* Called once a record in leaf order; a negative return ends the walk with that error. */
typedef int vault_record_fn(void *user, const struct vault_record *record);

struct vault_tip {
        uint64_t groups;             /* committed */
        uint64_t leaves;             /* tree size */
        uint8_t root[HASH_BYTES];    /* of that tree */
        uint8_t last_group[HASH_BYTES];
        uint64_t cut_bytes; /* of a torn tail, on all volumes, that vault_begin() will zero; 0 for none */
        uint64_t bytes_read;
        uint32_t mended; /* fragments of the last group that vault_begin() will write */
};

/* Opens and locks (exclusively) the volumes; makes a new vault in empty or absent folders. Writes nothing
 * to an existing one. On failure why (VAULT_WHY_BYTES) says what is wrong and what to do.
 * -EBUSY: another process has one. -EBADMSG: too few volumes, not volumes, or damaged. */
int vault_open(struct vault **vault, const struct vault_config *config, char *why);

/* Walks all groups, checks every digest, the chain and the tree root in each header, and the tree
 * against each volume's head; finds the torn tail (vault_tail.c tells the rule and why it is safe).
 * floor_leaves: a size that was signed or acknowledged elsewhere: a tail that would leave fewer is damage,
 * not a torn write. -EBADMSG with why: a damaged group, a chain that does not fit, too short, or a last
 * group that missing volumes may hold. Reads ahead with O_DIRECT. progress may be NULL: called with
 * bytes done and in all. */
int vault_recover(struct vault *vault, uint64_t floor_leaves, vault_record_fn *record, void *user,
    void (*progress)(void *user, uint64_t done, uint64_t all), struct vault_tip *tip, char *why);

/* After recovery, in this order, each flushed: a new membership epoch on all members, fragments that
 * members lack of the last group, zeros over the torn tail; then segments, registered buffers,
 * threads. Writing is allowed from here on. */
int vault_begin(struct vault *vault, char *why);

/* The tree that recovery computed, of tip.leaves leaves; for who goes on with it. Valid until
 * vault_close(). After vault_recover(). */
const struct tree *vault_tree(const struct vault *vault);
/* Where writing stands: groups, leaves, last_group (the root is the writer's to know). Writing thread, or
 * any once it has ended; no group in flight. */
void vault_position(const struct vault *vault, struct vault_tip *tip);

/* The group to fill, or NULL while both buffers are taken. */
struct group *vault_group(struct vault *vault);
/* Copies a record in. False when the group is full (the record was not added). */
bool group_add(struct group *group, const uint8_t *sealed, uint32_t sealed_bytes, const uint8_t digest[HASH_BYTES]);
uint32_t group_records(const struct group *group);
/* The leaf entries of a group's records, group_records() × LEAF_ENTRY_BYTES, valid until released. */
const uint8_t *group_entries(const struct group *group);

/* Seals the headers (chain, tree size and root before it) and submits the fragments' writes in one
 * call (O_DIRECT|O_DSYNC, registered buffers). One group may be in flight: -EBUSY otherwise. -ENOSPC when
 * no segment is ready (nothing was written; try again later). Any other error is fatal for the writer. */
int vault_submit(struct vault *vault, struct group *group, uint64_t tree_size, const uint8_t root[HASH_BYTES]);
/* 1 and *done: the group in flight is durable on every member. 0: nothing yet. -errno: too few volumes
 * are left; fatal: the vault refuses every later write. wait_us > 0 sleeps up to that long.
 * A volume whose write failed, was short or late is no member any more before this returns 1; the
 * flush of the new membership may then take up to fence_ms. With nothing in flight, vault_tend(). */
int vault_poll(struct vault *vault, struct group **done, uint32_t wait_us);
/* Gives a durable group's buffer back and counts its leaves as readable. */
void vault_release(struct vault *vault, struct group *group);

/* Writer, with no group in flight (else it does nothing): fences volumes that were found pulled, lets
 * rebuilt ones in. Cheap when there is nothing to do; to be called at least ten times a second also
 * while there is no traffic. 0, or -errno as vault_poll(). */
int vault_tend(struct vault *vault);

/* Room for growth: false once free space is below the reserve on too many volumes, or too few are left,
 * so that new requests get 5.03 early. Any thread. */
bool vault_space(struct vault *vault);

/* ---- volumes ---- */

enum volume_state {
        VOLUME_MISSING,   /* no folder, or not one of this vault's */
        VOLUME_STALE,     /* holds old groups; not written until it is rebuilt */
        VOLUME_FILLING,   /* being rebuilt */
        VOLUME_FOLLOWING, /* being rebuilt, and written already */
        VOLUME_MEMBER,
};

struct volume_status {
        enum volume_state state;
        char path[256];
        char why[VOLUME_WHY_BYTES]; /* it is not a member; empty otherwise */
        uint64_t free_bytes, bad_fragments, repaired_fragments;
        uint32_t segments;
};
enum vault_job { VAULT_IDLE, VAULT_SCRUB, VAULT_REBUILD };
struct vault_status {
        uint32_t data, parity, floor, members;
        uint64_t epoch;
        bool alarm;  /* fewer members than volumes, and no more than the floor */
        bool failed; /* below the floor, or a fatal error: nothing is written any more */
        enum vault_job job;
        uint32_t job_slot;               /* being rebuilt */
        uint64_t job_done, job_all;      /* groups */
        uint64_t scrubs;                 /* finished since the start */
        uint64_t scrub_bad, scrub_fixed; /* fragments found by the last or the present one */
        uint64_t scrub_lost;             /* groups of which too few fragments were good */
        int rebuild_error;               /* of the last rebuild that ended without success; 0 */
        struct volume_status volumes[VAULT_VOLUMES_MAX];
};
void vault_status(struct vault *vault, struct vault_status *status);

/* Compares each volume's folder and open files with what their paths name, now; the helper threads do
 * so ten times a second. How many members were found pulled; the writer's next call fences them. */
unsigned vault_look(struct vault *vault);

/* Fills the volume (stale, missing: its folder may be empty or absent) while traffic flows; a member
 * again when done. Starts it and returns; vault_status() tells. -EBUSY: a job runs, or a late write
 * of the volume is still with the kernel; -EALREADY: it is a member; -EINVAL. */
int vault_rebuild(struct vault *vault, uint32_t slot);
/* The slot's volume is from now on in folder path (empty or absent); a member is fenced first. Then as
 * vault_rebuild(). The configuration must be changed too. */
int vault_replace(struct vault *vault, uint32_t slot, const char *path);
/* Reads and checks every fragment on every member, writes bad ones again. Starts it and returns.
 * -EBUSY: a job runs. */
int vault_scrub(struct vault *vault);
/* Configurations with stepped only: one round of what the threads do. True: there is more to do at
 * once. May be called between any two writing calls. */
bool vault_step(struct vault *vault);

/* The signer's memory: flushes size and root to every member before a checkpoint is signed. A member
 * that fails is fenced by the writer's next call; 0 when at least the floor's number have it,
 * otherwise -errno; -EINVAL as head_write(). One thread at a time. */
int vault_remember(struct vault *vault, const struct head *head);

/* Reads a committed record: *sealed_bytes its length, sealed has SEAL_BYTES_MAX room. Checked against the
 * group's digest. -ENOENT beyond the tip; -EBADMSG damaged; -EIO. Any thread. */
int vault_read_leaf(struct vault *vault, uint64_t leaf, uint8_t *sealed, uint32_t *sealed_bytes,
    uint8_t digest[HASH_BYTES]);

/* Reads a group once: record() gets the leaf and those after it in its group. For who reads many.
 * As vault_read_leaf(), or what record() returned below zero. Any thread. */
int vault_read_group(struct vault *vault, uint64_t leaf, vault_record_fn *record, void *user);

/* Bytes, latencies for status: last and p50-ish flush in us. */
struct vault_stats {
        uint64_t groups, leaves, bytes_written, flush_us_last, flush_us_max;
        uint64_t segments, free_bytes;
};
void vault_stats(struct vault *vault, struct vault_stats *stats);

/* Waits for the writes in flight (no longer than a volume may take), unlocks, frees. */
void vault_close(struct vault *vault);

/* Test and operator aid, off at start and with 0; of all volumes. ENOSPC: segments cannot be made until it
 * is taken back. Another errno: a group's writes are carried out and then answered with it. Negative: a
 * group's writes stop short after that many bytes (a multiple of 4,096). Costs the writer a plain field
 * read. Any thread. */
void vault_inject(struct vault *vault, int error);

#endif
