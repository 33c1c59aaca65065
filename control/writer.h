/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger writer: one thread that takes commit descriptors from the workers' rings, closes
 * groups (at group_records, group_us after the first, or at once when idle), submits them, and when
 * a group is durable extends the tree, pushes the receipts and passes the leaf entries to the
 * publisher. */
#ifndef AORTA_CONTROL_WRITER_H
#define AORTA_CONTROL_WRITER_H

#include "dataplane/dataplane.h"
#include "ledger/tree.h"
#include "ledger/vault.h"

#include <stdbool.h>
#include <stdint.h>

struct writer;
struct indexer;
struct publisher;

struct writer_config {
        struct vault *vault; /* after vault_begin() */
        const struct vault_tip *tip;
        const struct tree *tree; /* of tip.leaves; copied */
        unsigned workers;
        struct rte_ring *commit[WORKERS_MAX], *receipt[WORKERS_MAX];
        struct ledger_view *view;
        struct publisher *publisher; /* may be NULL */
        struct indexer *indexer;     /* may be NULL */
        uint32_t group_records, group_us;
        int core;  /* pinned to it; -1: not */
        bool spin; /* never sleep (a core of its own) */
        /* Benchmarks: take the disk away; receipts come as if flushed. */
        bool no_flush;
};

int writer_start(struct writer **writer, const struct writer_config *config);
/* New requests get 5.03 from now on: the drain begins. Any thread. */
void writer_close(struct writer *writer);
/* Finishes what is in the rings and in flight, then ends the thread. What waits for space on a full
 * disk is left without an answer. */
void writer_stop(struct writer *writer);
void writer_destroy(struct writer *writer);

struct writer_stats {
        uint64_t groups, leaves, stalls_no_space;
        uint64_t failed;       /* errno of the fatal error, or 0 */
        uint64_t flush_us[64]; /* flushes by latency: buckets of writer_flush_bucket() */
        uint64_t flush_us_sum; /* of all flushes */
        uint64_t cycles_busy, cycles_all;
};
/* Any thread. */
void writer_stats(const struct writer *writer, struct writer_stats *stats);

/* Four buckets an octave of microseconds; the lower bound of a bucket. */
unsigned writer_flush_bucket(uint64_t us);
uint64_t writer_flush_bucket_us(unsigned bucket);

#endif
