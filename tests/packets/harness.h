/* SPDX-License-Identifier: Apache-2.0 */
/* The data plane over ports made of rings: raw frames in, raw frames out, and a ledger writer that
 * does as it is told. One harness a process at a time; Criterion runs each test in its own.
 *
 * Failures here are assertions of the running test. */
#ifndef AORTA_TESTS_PACKETS_HARNESS_H
#define AORTA_TESTS_PACKETS_HARNESS_H

#include "dataplane/dataplane.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HARNESS_FRAME_MAX 2048u
#define HARNESS_LCORES    4u /* lcore 0 is the test's own thread; 1 to 3 may be workers */

/* What the fake writer does with a descriptor. */
enum writer_mode {
        WRITER_COMMIT,  /* takes it and gives a receipt with the next leaf */
        WRITER_REFUSE,  /* RECEIPT_REFUSED */
        WRITER_SILENCE, /* RECEIPT_SILENCE */
        WRITER_HOLD,    /* takes it, and gives no receipt until harness_release() */
        WRITER_STALL,   /* leaves it in the ring */
};

/* A descriptor the writer took, with a copy of its sealed bytes made at that time. */
struct kept_record {
        struct commit_desc desc;
        uint8_t *sealed;
        uint64_t leaf; /* once there is a receipt that says COMMITTED */
        bool answered;
};

struct harness_options {
        struct dataplane_config config; /* ports, view and zero addresses are filled in */
        unsigned devices;               /* where config.contexts is NULL: its capacity; 0: 1024 */
        unsigned ports;                 /* 0: 1 */
        unsigned queues;                /* a port; 0: 1 */
        unsigned out_slots;             /* frames the peer takes before its ring is full; 0: 8192 */
        bool forget;                    /* keep no records, only count them */
};

struct harness {
        struct dataplane *dataplane;
        struct contexts *contexts; /* made here, or the test's own */
        bool own_contexts;
        struct ledger_view *view;
        struct rte_mempool *pool; /* of injected frames */
        unsigned ports, queues, workers;
        uint16_t port_id[PORTS_MAX];
        uint8_t mac[PORTS_MAX][6];
        struct rte_ring *in[PORTS_MAX][QUEUES_MAX];
        struct rte_ring *out[PORTS_MAX][QUEUES_MAX];

        enum writer_mode writer;
        bool forget;
        uint64_t next_leaf;
        uint64_t taken; /* descriptors */
        struct kept_record *kept;
        size_t kept_n, kept_room;
};

/* Starts EAL once in a process: no huge pages, no devices, memory enough for three workers. */
void harness_eal(void);

/* Makes ports and data plane. Defaults: one worker, gateway 10.77.0.2 and fd00:77::2. */
void harness_open(struct harness *harness, const struct harness_options *options);
/* Tears down; aborts unless every packet buffer and every reservation has come back. */
void harness_close(struct harness *harness);

/* Puts a frame on the wire towards the gateway (port, queue). */
void harness_inject_at(
    struct harness *harness, unsigned port, unsigned queue, const void *frame, size_t bytes);
/* The same at port 0, queue 0. */
void harness_inject(struct harness *harness, const void *frame, size_t bytes);
/* A packet buffer with that frame, for tests that change more than its bytes. */
struct rte_mbuf *harness_mbuf(struct harness *harness, const void *frame, size_t bytes);
void harness_inject_mbuf(
    struct harness *harness, unsigned port, unsigned queue, struct rte_mbuf *mbuf);

/* Hands a packet over as worker `from` does to the owner of its context; mbuf->port must be set. */
void harness_stray(struct harness *harness, unsigned from, unsigned to, struct rte_mbuf *mbuf);

/* Takes a frame the gateway has sent by a port, any queue; out has HARNESS_FRAME_MAX bytes. Returns
 * its length, 0 if there is none. */
size_t harness_take_at(struct harness *harness, unsigned port, uint8_t *out);
size_t harness_take(struct harness *harness, uint8_t *out);

/* Walks all workers, and the writer, until nothing moves any more. Returns the packets taken in. */
unsigned harness_drive(struct harness *harness);
/* One turn of the writer. Returns how many descriptors it took. */
unsigned harness_writer_turn(struct harness *harness);
/* Gives every record held back its receipt. */
void harness_release(struct harness *harness, enum receipt_status status);

/* Since the last call or the start: how much one drop counter has grown; asserts that no other drop
 * counter has. */
uint64_t harness_drops(struct harness *harness, unsigned reason);
/* All drops by now. */
uint64_t harness_drops_all(struct harness *harness);

#endif
