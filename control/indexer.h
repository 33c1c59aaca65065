/* SPDX-License-Identifier: Apache-2.0 */
/* The indexer: a thread that keeps the index (control/index.h) behind the commit. The writer tells
 * it whose each durable record is through a bounded queue; what found no room there, and what was
 * durable before the start, it reads from the vault, group by group. It goes on from what the index
 * covers, in batches; an index that is not of this ledger, or ahead of it, is dropped and made
 * again. It never holds the writer up: a queue that is full is left behind, an index that cannot be
 * written (disk full) waits, and is tried again until it can. */
#ifndef AORTA_CONTROL_INDEXER_H
#define AORTA_CONTROL_INDEXER_H

#include "control/index.h"

#include <stdbool.h>
#include <stdint.h>

struct indexer;
struct realm_key;
struct registry;
struct vault;

#define INDEXER_QUEUE_RECORDS (1u << 18) /* a second's, at 250k records/s; 6 MiB */
#define INDEXER_BATCH_RECORDS (1u << 18) /* one transaction's at most; 8 MiB */

struct indexer_config {
        const char *path;    /* the index's folder; copied */
        struct vault *vault; /* after vault_begin() */
        uint64_t leaves;     /* durable at this start */
        const struct realm_key *realm_key;
        const struct registry *registry; /* read during indexer_start() only */
        uint64_t reserve_bytes;          /* free space that the index leaves to the records */
        uint64_t map_bytes_max;          /* 0: INDEX_MAP_BYTES_MAX */
        int core;                        /* pinned to it; -1: not */
        /* 0: INDEXER_QUEUE_RECORDS, INDEXER_BATCH_RECORDS; less for a test. The queue's is a power
         * of two. */
        uint32_t queue_records, batch_records;
};

/* 0, -ENOMEM, -EAGAIN, -ENAMETOOLONG. An index that cannot be opened is no failure here: status
 * tells. */
int indexer_start(struct indexer **indexer, const struct indexer_config *config);
/* Adds what is at hand, ends the thread. After the writer has ended. */
void indexer_stop(struct indexer *indexer);
void indexer_destroy(struct indexer *indexer);

/* Whose the records of a context are: before its first one, so before it gets into contexts. NULL
 * is no indexer. 0 or -ENOMEM: its records will count as unknown until a rebuild after a restart.
 * Control thread. */
int indexer_learn(struct indexer *indexer, uint64_t context_id, uint32_t patient_slot);

struct index_origin {
        uint64_t context_id, received_ns;
};
/* n records from leaf first on are durable and can be read from the vault. Never waits. origins may
 * be NULL: they are read from the vault then. NULL is no indexer. Writer thread. */
void indexer_push(
    struct indexer *indexer, uint64_t first, const struct index_origin *origins, uint32_t n);

/* Drops the index and makes it anew in the background. Any thread. */
void indexer_rebuild(struct indexer *indexer);

enum indexer_state {
        INDEXER_FOLLOWING,  /* up to date, or nearly */
        INDEXER_REBUILDING, /* covers less than what was durable when it was dropped */
        INDEXER_STOPPED,    /* error tells why; tried again every few seconds */
};

struct indexer_stats {
        enum indexer_state state;
        int error;           /* errno, or 0 */
        uint64_t leaves;     /* durable, as the writer told */
        uint64_t covered;    /* leaves in the index */
        uint64_t added;      /* entries since the start */
        uint64_t from_vault; /* of them, read from the vault rather than from the queue */
        uint64_t unknown;  /* records since the start whose device is not known: not in the index */
        uint64_t rebuilds; /* since the start */
        uint64_t batches, batch_us_sum, batch_us_max; /* transactions, flush included */
};
/* Any thread. */
void indexer_stats(const struct indexer *indexer, struct indexer_stats *stats);

/* The pseudonym of a patient's slot. */
void indexer_patient(
    const struct realm_key *realm_key, uint32_t patient_slot, uint8_t patient[INDEX_PATIENT_BYTES]);
/* As record_index_find(). -EAGAIN: the index is not open (stats tell why). Any thread. */
long indexer_find(
    struct indexer *indexer, const struct index_query *query, struct index_hit *hits, size_t n);

#endif
