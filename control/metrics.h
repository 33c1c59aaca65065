/* SPDX-License-Identifier: Apache-2.0 */
/* What the gateway counts, in Prometheus' text format 0.0.4. Names, kinds and texts come from the
 * lists that the counters themselves come from. */
#ifndef AORTA_CONTROL_METRICS_H
#define AORTA_CONTROL_METRICS_H

#include "control/daemon.h"
#include "control/indexer.h"
#include "control/writer.h"
#include "dataplane/dataplane.h"
#include "ledger/vault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define METRICS_NODES_MAX 64u

struct metrics {
        const char *version, *crypto;
        uint64_t now_ns, started_ns; /* Unix time */
        uint32_t boot_epoch;
        bool healthy;
        bool publisher_failed;
        struct dataplane_counters counters;
        uint32_t pending;
        uint64_t context_bytes;
        unsigned workers;
        uint32_t commit_depth[WORKERS_MAX], receipt_depth[WORKERS_MAX];
        uint64_t leaves, published;
        struct writer_stats writer;
        struct vault_stats vault;
        struct vault_status volumes;
        bool indexed; /* else index is not told */
        struct indexer_stats index;
        unsigned nodes;
        struct node_stat node[METRICS_NODES_MAX];
};

/* Reads all of a running daemon. Any thread, from the start of the writer to its end. */
void metrics_read(struct metrics *metrics, struct daemon *daemon, const char *version);
/* Writes them, NUL-terminated: the length, or -ENOSPC. */
long metrics_write(char *out, size_t out_bytes, const struct metrics *metrics);

#endif
