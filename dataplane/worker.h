/* SPDX-License-Identifier: Apache-2.0 */
/* A worker, inside the data plane: what the nodes of one graph share. Only its own thread writes
 * it, counters included (others read those relaxed).
 *
 * The objects that travel between nodes: mbufs up to `classify`; from there `struct request *` of
 * the worker's array for this walk; mbufs again towards `port_tx`. */
#ifndef AORTA_DATAPLANE_WORKER_H
#define AORTA_DATAPLANE_WORKER_H

#include "crypto/engine.h"
#include "dataplane/clock.h"
#include "dataplane/dataplane.h"
#include "dataplane/drops.h"
#include "dataplane/ports.h"
#include "dataplane/request.h"

#include <rte_graph.h>
#include <rte_graph_worker.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <rte_ring.h>

#define PORT_NONE    UINT8_MAX
#define TX_BURST_MAX 256u  /* packets port_tx gathers a port before it sends */
#define NODE_STREAM  1024u /* objects a node can hold: set at start, since growing allocates */

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

        struct rte_ring *commit;                 /* to the ledger writer */
        struct rte_ring *receipt;                /* from it */
        struct rte_ring *stray_out[WORKERS_MAX]; /* to the owner; NULL for itself */
        struct rte_ring *stray_in[WORKERS_MAX];

        uint64_t now_ns;  /* Unix time, set once a walk */
        uint64_t now_tsc; /* set once a walk */

        struct request requests[WALK_PACKETS_MAX];
        unsigned requests_n; /* taken in this walk; set to 0 before each */

        struct dataplane_counters counters;

        /* ---- the plumbing's own ---- */
        unsigned taken;   /* packets this walk, all sources together: at most WALK_PACKETS_MAX */
        int reason_field; /* offset of the drop reason in an mbuf (a dynamic field) */
        struct clock_reader clock;
        unsigned streams_grown; /* by graph_create() itself */

        struct port *ports; /* the data plane's */
        unsigned ports_n;
        uint8_t port_index[RTE_MAX_ETHPORTS]; /* port id to index in ports, or PORT_NONE */

        struct { /* the receive queues this worker polls */
                uint16_t port_id;
                uint16_t queue;
        } rx[PORTS_MAX * QUEUES_MAX];
        unsigned rx_n;
        unsigned rx_next;    /* where the next walk begins, for fairness */
        unsigned stray_next; /* likewise */

        struct { /* packets gathered for a port within port_tx */
                struct rte_mbuf *mbufs[TX_BURST_MAX];
                unsigned n;
        } tx[PORTS_MAX];
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

/* Why an mbuf that is on its way to the node `drop` goes there. */
static inline uint8_t *
worker_reason(const struct worker *worker, struct rte_mbuf *mbuf)
{
        return RTE_MBUF_DYNFIELD(mbuf, worker->reason_field, uint8_t *);
}

/* One walk of a worker: time, hook, graph. Returns packets taken in. The worker's thread. */
unsigned worker_walk(struct worker *worker);
/* Whether the walk found, or left, nothing to do. */
bool worker_is_idle(const struct worker *worker);
/* The body of a worker's thread, for rte_eal_remote_launch(). */
int worker_loop(void *worker);

/* Sends what other workers left for this one's transmit queues. port_tx.c */
void port_tx_overflow(struct worker *worker);

/* graph.c: one graph a worker, named NAME. 0 or -errno with why. */
int graph_create(struct worker *worker, const char *name, char *why);
void graph_destroy(struct worker *worker);

/* records.c: makes and frees what the nodes coap … reply need (records.c). 0 or -errno. */
int records_create(struct worker *worker);
void records_destroy(struct worker *worker);
/* Slots between commit and receipt (any thread, relaxed). */
uint32_t records_pending(const struct worker *worker);

#endif
