/* SPDX-License-Identifier: Apache-2.0 */
/* The data plane from within: what dataplane.c, graph.c and worker_loop.c share. */
#ifndef AORTA_DATAPLANE_PLUMBING_H
#define AORTA_DATAPLANE_PLUMBING_H

#include "dataplane/worker.h"

#include <pthread.h>

struct dataplane {
        struct clock clock;
        _Alignas(64) _Atomic bool stop; /* workers and the clock's thread leave */
        bool started;
        bool clock_runs;
        pthread_t clock_thread;
        struct dataplane_config config;
        char prefix[16]; /* of the names of its rings, pools and graphs; unique in the process */
        struct rte_mempool *pool;
        struct port ports[PORTS_MAX];
        unsigned ports_n; /* opened, or opened in part */
        struct worker *workers[WORKERS_MAX];
};

/* graph.c. Adds a worker's node counters to stats, which has used of n entries; returns how many
 * are used then. Any thread. */
unsigned graph_add_stats(
    const struct worker *worker, struct node_stat *stats, unsigned used, unsigned n);
/* Node streams that have grown since start; growing allocates, so there should be none. */
unsigned graph_streams_grown(const struct worker *worker);
int graph_export(const struct worker *worker, const char *path);

#endif
