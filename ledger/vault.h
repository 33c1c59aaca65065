/* SPDX-License-Identifier: Apache-2.0 */
/* The vault: groups of sealed records, flushed together. The group stream is the only source of truth
 * for records. One volume for now; the format has a fragment's fields for more.
 *
 * A volume is a folder: `volume` (identity, lock), `segments/NNNNNNNN` (bounded size, zeroed and flushed
 * with their folder before use, never appended to, never recycled), `head` (see head.h).
 *
 * Threads: one thread uses the writing calls; vault_read_leaf() may be called by any thread. */
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

struct vault_config {
        const char *path;       /* the volume's folder; made when absent */
        uint32_t segment_bytes; /* 0: 64 MiB */
        uint32_t spare_segments; /* zeroed ahead of need by a helper thread; 0: 2 */
        uint64_t reserve_bytes; /* free space kept on the file system: below it vault_space() says so */
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
        uint64_t cut_bytes;          /* of a torn tail that vault_begin() will zero; 0 for none */
        uint64_t bytes_read;
};

/* Opens and locks (exclusively) the volume; makes a new one in an empty or absent folder. Writes nothing
 * to an existing one. On failure why (VAULT_WHY_BYTES) says what is wrong and what to do.
 * -EBUSY: another process has it. -EBADMSG: not a volume or damaged. */
int vault_open(struct vault **vault, const struct vault_config *config, char *why);

/* Walks all groups, checks every digest, the chain and the tree root in each header; finds the torn tail.
 * floor_leaves: a size that was signed or acknowledged: a tail that would leave fewer is damage, not a
 * torn write. -EBADMSG with why: a damaged group in the middle, a chain that does not fit, or too short.
 * Reads ahead with O_DIRECT. progress may be NULL: called with bytes done and in all. */
int vault_recover(struct vault *vault, uint64_t floor_leaves, vault_record_fn *record, void *user,
    void (*progress)(void *user, uint64_t done, uint64_t all), struct vault_tip *tip, char *why);

/* After recovery: zeros over the torn tail (flushed), segments ready, buffers registered. Writing is
 * allowed from here on. */
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

/* Seals the header (chain, tree size and root before it) and submits its write by io_uring
 * (O_DIRECT|O_DSYNC, registered buffers). One group may be in flight: -EBUSY otherwise. -ENOSPC when no
 * segment is ready (nothing was written; try again later). Any other error is fatal for the writer. */
int vault_submit(struct vault *vault, struct group *group, uint64_t tree_size, const uint8_t root[HASH_BYTES]);
/* 1 and *done: the group in flight is durable. 0: nothing yet. -errno: it failed or was short; fatal: the
 * vault refuses every later write. wait_us > 0 sleeps up to that long for a completion. */
int vault_poll(struct vault *vault, struct group **done, uint32_t wait_us);
/* Gives a durable group's buffer back and counts its leaves as readable. */
void vault_release(struct vault *vault, struct group *group);

/* Room for growth: false once free space is below the reserve, so that new requests get 5.03 early. */
bool vault_space(struct vault *vault);

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

/* Waits for the write in flight, unlocks, frees. */
void vault_close(struct vault *vault);

/* Test and operator aid, off at start and with 0. ENOSPC: segments cannot be made until it is taken back.
 * Another errno: a group's write is carried out and then answered with it. Negative: a group's write stops
 * short after that many bytes (a multiple of 4,096). Costs the writer a plain field read. Any thread. */
void vault_inject(struct vault *vault, int error);

#endif
