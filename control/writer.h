/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger writer: one thread that takes commit descriptors from the workers' rings, closes groups (at
 * group_records, group_us after the first, or at once when idle), submits them, and when a group is
 * durable extends the tree, pushes the receipts and passes the leaf entries to the publisher. */
#ifndef AORTA_CONTROL_WRITER_H
#define AORTA_CONTROL_WRITER_H

#include "dataplane/dataplane.h"
#include "ledger/tree.h"
#include "ledger/vault.h"

#include <stdbool.h>
#include <stdint.h>

struct writer;
struct publisher;

struct writer_config {
        struct vault *vault; /* after vault_begin() */
        const struct vault_tip *tip;
        const struct tree *tree; /* of tip.leaves; copied */
        unsigned workers;
        struct rte_ring *commit[WORKERS_MAX], *receipt[WORKERS_MAX];
        struct ledger_view *view;
        struct publisher *publisher; /* may be NULL */
        uint32_t group_records, group_us;
        int core; /* pinned to it; -1: not */
        bool spin; /* never sleep (a core of its own) */
        /* Benchmarks: take the disk away; receipts come as if flushed. */
        bool no_flush;
};

int writer_start(struct writer **writer, const struct writer_config *config);
/* Finishes what is in the rings and in flight, then ends the thread. */
void writer_stop(struct writer *writer);
void writer_destroy(struct writer *writer);

struct writer_stats {
        uint64_t groups, leaves, stalls_no_space, failed; /* failed: -errno of the fatal error, 0 */
        uint64_t flush_us[64]; /* histogram, log-linear: control/histogram.h */
        uint64_t cycles_busy, cycles_all;
};
void writer_stats(const struct writer *writer, struct writer_stats *stats);

#endif
