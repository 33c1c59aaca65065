/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds a worker from prebuilt frames and takes its answers, in the worker's own thread before each
 * walk; counts what that costs. */
#ifndef AORTA_BENCH_PIPELINE_FEED_H
#define AORTA_BENCH_PIPELINE_FEED_H

#include "bench/pipeline.h"

#include <stdatomic.h>

#define FEED_REPLY_ROOM 63u
#define FEED_BURST      64u    /* frames a queue a walk: the share that port_rx takes of it */
#define FEED_TAKE_BURST 512u   /* answers a walk */
#define FEED_WINDOW     12288u /* requests under way: fewer than pending slots */
#define FEED_PER_DEVICE 32u    /* likewise of one device: fewer than its replay window */
#define FEED_POOL       16383u
#define FEED_RING_SLOTS 1024u
#define FEED_OUT_SLOTS  16384u

struct rte_mempool;
struct rte_ring;

/* The CoAP message of an answer. */
struct feed_reply {
        uint8_t bytes; /* 0: none came */
        uint8_t data[FEED_REPLY_ROOM];
};

struct feed {
        /* set while the worker is idle: taken == limit */
        uint8_t *frames; /* one each frame_room bytes */
        uint16_t *frame_bytes;
        struct feed_reply *replies;
        uint32_t frame_room;
        uint64_t base; /* of the wave: records count on over waves */
        uint32_t window;
        struct rte_ring *in[PIPELINE_QUEUES], *out[PIPELINE_QUEUES];
        struct rte_mempool *pool;
        uint16_t port_id;

        _Alignas(64) _Atomic uint64_t limit; /* the main thread: so many may be fed */
        /* the worker's */
        _Alignas(64) _Atomic uint64_t taken; /* answers; read by the main thread */
        uint64_t fed;
        uint64_t strange; /* frames that answer none of the wave's requests, or answer twice */
        uint64_t first_tsc, last_tsc;  /* of the wave */
        uint64_t first_ran_ns, ran_ns; /* the thread's CPU time: at the wave's begin, and of it */
        uint64_t cycles, idle_cycles;
        uint64_t walk_tsc; /* begin of the last call */
        bool last_idle;    /* the last walk was given nothing */
};

/* Makes rings, pool and port; frames and replies for a wave of so many records. 0 or -errno with
 * why. EAL must be up. */
int feed_create(struct feed **feed, const struct pipeline_options *options, char *why);
/* After the data plane, which closes the port, is gone. */
void feed_destroy(struct feed *feed);
/* dataplane_config.before_walk; user: the feed. */
void feed_before_walk(void *user, unsigned worker);

#endif
