/* SPDX-License-Identifier: Apache-2.0 */
/* The data plane as the control plane sees it: ports, workers, rings, counters.
 *
 * EAL must be up. Made once at start; after dataplane_start() the record path makes no allocation, takes
 * no lock, makes no system call (the port driver's own aside) and writes no log. */
#ifndef AORTA_DATAPLANE_DATAPLANE_H
#define AORTA_DATAPLANE_DATAPLANE_H

#include "crypto/engine.h"
#include "dataplane/contexts.h"
#include "dataplane/handoff.h"
#include "dataplane/limits.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct dataplane;
struct rte_ring;
struct rte_mbuf;

/* Written by the ledger's threads, read by workers, a cache line of its own. */
struct ledger_view {
        _Alignas(64) _Atomic uint64_t leaves;    /* durable */
        _Atomic uint64_t published;              /* in the last checkpoint */
        _Atomic bool refuse;                     /* 5.03 to new requests: no space, failed flush, drain */
};

struct port_config {
        uint16_t port_id; /* an ethdev, not yet configured */
        uint16_t queues;  /* rx = tx queues to use, at most QUEUES_MAX */
};

struct dataplane_config {
        unsigned workers;
        unsigned lcores[WORKERS_MAX]; /* EAL lcore ids; several workers may not share one */
        unsigned ports;
        struct port_config port[PORTS_MAX]; /* queue q of a port is polled by worker q % workers */
        uint32_t mbufs;     /* in the pool; 0: 16,384 */
        uint8_t ip4[4];     /* the gateway's address; all zero: none */
        uint8_t ip6[16];    /* all zero: none but the link-local one made from the MAC */
        uint16_t coap_port; /* 0: 5683 */
        bool lab;           /* plain POST /vitals?d=NAME of lab devices */
        uint32_t realm;
        uint32_t boot_epoch;      /* 20 bits, durable before this call: of replies' partial IVs */
        uint8_t echo_secret[32];  /* random, of this boot */
        enum engine_backend backend;
        struct contexts *contexts;
        struct ledger_view *view;
        /* Called in the worker's thread before each walk when not NULL (benchmarks and tests feed here). */
        void (*before_walk)(void *user, unsigned worker);
        void *before_walk_user;
        bool idle_sleep; /* sleep a little when nothing comes (for few cores); else poll on */
};

/* Makes pool, ports, workers, graphs. why (512 bytes) says what failed and what to do. */
int dataplane_create(struct dataplane **dataplane, const struct dataplane_config *config, char *why);
int dataplane_start(struct dataplane *dataplane);
/* Runs one walk of a worker in the calling thread (never while started): tests and benchmarks. Returns
 * packets taken in. */
unsigned dataplane_walk(struct dataplane *dataplane, unsigned worker);
/* Requests between commit and receipt, all workers. Any thread. */
uint32_t dataplane_pending(const struct dataplane *dataplane);
/* Stops the workers' threads and waits for them. */
void dataplane_stop(struct dataplane *dataplane);
void dataplane_destroy(struct dataplane *dataplane);

/* The writer's ends. Elements: struct commit_desc and struct receipt (rte_ring_*_elem). */
struct rte_ring *dataplane_commit_ring(struct dataplane *dataplane, unsigned worker);
struct rte_ring *dataplane_receipt_ring(struct dataplane *dataplane, unsigned worker);

/* Counters, summed over workers at the time of reading (relaxed). */
#define COUNTERS(X)                                                                                   \
        X(rx_packets, "packets received")                                                             \
        X(tx_packets, "packets sent")                                                                 \
        X(requests, "CoAP requests parsed")                                                           \
        X(records, "requests accepted and handed to the ledger writer")                               \
        X(acknowledged, "receipts sent")                                                              \
        X(retransmissions, "retransmissions answered from kept receipts")                             \
        X(echo_challenges, "4.01 with Echo sent")                                                     \
        X(echo_passed, "requests that passed Echo")                                                   \
        X(implausible, "records with a value outside its plausible range")                            \
        X(busy, "5.03 sent")                                                                          \
        X(client_errors, "4.xx sent")                                                                 \
        X(strays, "packets handed to the owning worker")                                              \
        X(arp, "ARP replies")                                                                         \
        X(nd, "neighbour advertisements")                                                             \
        X(icmp, "ICMP and ICMPv6 echo replies")                                                       \
        X(pings, "CoAP pings answered")
struct dataplane_counters {
#define X(name, help) uint64_t name;
        COUNTERS(X)
#undef X
        uint64_t drops[64]; /* by enum drop_reason of drops.h */
};
void dataplane_counters(const struct dataplane *dataplane, struct dataplane_counters *counters);

/* Cycles and packets a node since start, summed over workers. n entries at most; returns how many. */
struct node_stat {
        char name[32];
        uint64_t calls, objs, cycles;
};
unsigned dataplane_node_stats(const struct dataplane *dataplane, struct node_stat *stats, unsigned n);
/* The live graph as dot text into a new file. */
int dataplane_export_dot(const struct dataplane *dataplane, const char *path);

#endif
