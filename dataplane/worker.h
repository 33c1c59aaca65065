/* SPDX-License-Identifier: Apache-2.0 */
/* A worker, inside the data plane: what the nodes of one graph share. Only its own thread writes it,
 * counters included (others read those relaxed).
 *
 * The objects that travel between nodes: mbufs up to `classify`; from there `struct request *` of the
 * worker's array for this walk; mbufs again towards `port_tx`. */
#ifndef AORTA_DATAPLANE_WORKER_H
#define AORTA_DATAPLANE_WORKER_H

#include "crypto/engine.h"
#include "dataplane/dataplane.h"
#include "dataplane/drops.h"
#include "dataplane/request.h"

#include <rte_graph.h>
#include <rte_graph_worker.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

struct records; /* nodes coap … reply: pending slots, seal arena, scratch; records.h */

struct worker {
        unsigned id;
        const struct dataplane_config *config;
        struct dataplane *dataplane;
        struct engine *engine;
        struct rte_graph *graph;
        struct rte_mempool *pool; /* replies are made from it too */
        struct records *records;
        struct contexts *contexts;

        struct rte_ring *commit;          /* to the ledger writer */
        struct rte_ring *receipt;         /* from it */
        struct rte_ring *stray_out[WORKERS_MAX]; /* to the owner; NULL for itself */
        struct rte_ring *stray_in[WORKERS_MAX];

        uint64_t now_ns;  /* Unix time, set once a walk */
        uint64_t now_tsc; /* set once a walk */

        struct request requests[WALK_PACKETS_MAX];
        unsigned requests_n; /* taken in this walk; set to 0 before each */

        struct dataplane_counters counters;
};

/* The node's worker (rte_node ctx). */
static inline struct worker *
node_worker(struct rte_node *node)
{
        struct worker *worker;

        __builtin_memcpy(&worker, node->ctx, sizeof(worker));
        return worker;
}

/* Counts and frees a packet. */
static inline void
worker_drop(struct worker *worker, struct rte_mbuf *mbuf, enum drop_reason reason)
{
        worker->counters.drops[reason]++;
        rte_pktmbuf_free(mbuf);
}

/* plumbing.c's: makes and frees what the nodes coap … reply need (records.c). 0 or -errno. */
int records_create(struct worker *worker);
void records_destroy(struct worker *worker);
/* Slots between commit and receipt (any thread, relaxed). */
uint32_t records_pending(const struct worker *worker);

#endif
