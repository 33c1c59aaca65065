/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/pipeline_feed.h"

#include "bench/pipeline_fleet.h"
#include "dataplane/coap/coap.h"
#include "dataplane/net/frame.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_eth_ring.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#define FRAME_ALIGN  64u
#define MBUF_CACHE   256u
#define HEADER_BYTES (ETHER_HEADER_BYTES + IPV4_HEADER_BYTES + UDP_HEADER_BYTES)

static int
make_rings(struct feed *feed, unsigned made, char *why)
{
        char name[RTE_RING_NAMESIZE];
        const unsigned flags = RING_F_SP_ENQ | RING_F_SC_DEQ;
        int id;

        for (unsigned q = 0; q < PIPELINE_QUEUES; q++) {
                snprintf(name, sizeof(name), "feed%u_in%u", made, q);
                feed->in[q] = rte_ring_create(name, FEED_RING_SLOTS, (int)rte_socket_id(), flags);
                snprintf(name, sizeof(name), "feed%u_out%u", made, q);
                feed->out[q] = rte_ring_create(name, FEED_OUT_SLOTS, (int)rte_socket_id(), flags);
                if (feed->in[q] == NULL || feed->out[q] == NULL) {
                        snprintf(
                            why, PIPELINE_WHY, "no memory for rings: %s", rte_strerror(rte_errno));
                        return -ENOMEM;
                }
        }
        snprintf(name, sizeof(name), "feed%u", made);
        id = rte_eth_from_rings(
            name, feed->in, PIPELINE_QUEUES, feed->out, PIPELINE_QUEUES, rte_socket_id());
        if (id < 0) {
                snprintf(why, PIPELINE_WHY, "no port of rings: %s", rte_strerror(rte_errno));
                return -ENODEV;
        }
        feed->port_id = (uint16_t)id;
        snprintf(name, sizeof(name), "feed%u_pool", made);
        feed->pool = rte_pktmbuf_pool_create(
            name, FEED_POOL, MBUF_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, (int)rte_socket_id());
        if (feed->pool == NULL) {
                snprintf(
                    why, PIPELINE_WHY, "no memory for packet buffers: %s", rte_strerror(rte_errno));
                return -ENOMEM;
        }
        return 0;
}

int
feed_create(struct feed **out, const struct pipeline_options *options, char *why)
{
        static unsigned made;
        struct feed *feed = aligned_alloc(64, (sizeof(*feed) + 63) / 64 * 64);
        int r;

        if (feed == NULL)
                return -ENOMEM;
        memset(feed, 0, sizeof(*feed));
        feed->frame_room = (options->payload_bytes + FLEET_FRAME_OVERHEAD + FRAME_ALIGN - 1) /
                           FRAME_ALIGN * FRAME_ALIGN;
        feed->window = FEED_WINDOW;
        if ((uint64_t)options->devices * FEED_PER_DEVICE < feed->window)
                feed->window = options->devices * FEED_PER_DEVICE;
        feed->frames = aligned_alloc(FRAME_ALIGN, (size_t)PIPELINE_WAVE * feed->frame_room);
        feed->frame_bytes = calloc(PIPELINE_WAVE, sizeof(feed->frame_bytes[0]));
        feed->replies = aligned_alloc(64, PIPELINE_WAVE * sizeof(feed->replies[0]));
        *out = feed;
        if (feed->frames == NULL || feed->frame_bytes == NULL || feed->replies == NULL) {
                snprintf(why, PIPELINE_WHY, "no memory for a wave of requests");
                return -ENOMEM;
        }
        r = make_rings(feed, made++, why);
        return r;
}

void
feed_destroy(struct feed *feed)
{
        struct rte_mbuf *mbuf;

        if (feed == NULL)
                return;
        for (unsigned q = 0; q < PIPELINE_QUEUES; q++) {
                struct rte_ring *rings[] = {feed->in[q], feed->out[q]};

                for (unsigned i = 0; i < 2; i++) {
                        while (rings[i] != NULL && rte_ring_dequeue(rings[i], (void **)&mbuf) == 0)
                                rte_pktmbuf_free(mbuf);
                        rte_ring_free(rings[i]);
                }
        }
        rte_mempool_free(feed->pool);
        free(feed->frames);
        free(feed->frame_bytes);
        free(feed->replies);
        free(feed);
}

/* Copies an answer's CoAP message to its record's place: the token says which. */
static void
keep_reply(struct feed *feed, const struct rte_mbuf *mbuf)
{
        const uint8_t *frame = rte_pktmbuf_mtod(mbuf, const uint8_t *);
        const uint8_t *udp = frame + ETHER_HEADER_BYTES + IPV4_HEADER_BYTES;
        struct feed_reply *reply;
        unsigned bytes;
        uint32_t token;

        feed->strange++;
        if (mbuf->data_len < HEADER_BYTES + COAP_HEADER_BYTES + FLEET_TOKEN_BYTES)
                return;
        /* A short frame is padded: UDP's own length counts. */
        bytes = (unsigned)udp[4] << 8 | udp[5];
        if (bytes < UDP_HEADER_BYTES + COAP_HEADER_BYTES + FLEET_TOKEN_BYTES ||
            bytes - UDP_HEADER_BYTES > FEED_REPLY_ROOM ||
            HEADER_BYTES + bytes - UDP_HEADER_BYTES > mbuf->data_len)
                return;
        bytes -= UDP_HEADER_BYTES;
        memcpy(&token, frame + HEADER_BYTES + COAP_HEADER_BYTES, sizeof(token));
        if (token >= feed->fed - feed->base || feed->replies[token].bytes != 0)
                return;
        reply = &feed->replies[token];
        reply->bytes = (uint8_t)bytes;
        memcpy(reply->data, frame + HEADER_BYTES, bytes);
        feed->strange--;
}

static unsigned
take_replies(struct feed *feed)
{
        struct rte_mbuf *mbufs[FEED_TAKE_BURST];
        unsigned all = 0;

        for (unsigned q = 0; q < PIPELINE_QUEUES && all < FEED_TAKE_BURST; q++) {
                unsigned n = rte_ring_dequeue_burst(
                    feed->out[q], (void **)mbufs, FEED_TAKE_BURST - all, NULL);

                for (unsigned i = 0; i < n; i++)
                        keep_reply(feed, mbufs[i]);
                rte_pktmbuf_free_bulk(mbufs, n);
                all += n;
        }
        return all;
}

static unsigned
give_frames(struct feed *feed, unsigned q, unsigned n)
{
        struct rte_mbuf *mbufs[FEED_BURST];
        unsigned room = rte_ring_free_count(feed->in[q]);
        uint64_t at = feed->fed - feed->base;

        if (n > FEED_BURST)
                n = FEED_BURST;
        if (n > room)
                n = room;
        if (n == 0 || rte_pktmbuf_alloc_bulk(feed->pool, mbufs, n) != 0)
                return 0;
        for (unsigned i = 0; i < n; i++) {
                uint16_t bytes = feed->frame_bytes[at + i];

                memcpy(rte_pktmbuf_mtod(mbufs[i], void *),
                    feed->frames + (at + i) * feed->frame_room, bytes);
                mbufs[i]->data_len = bytes;
                mbufs[i]->pkt_len = bytes;
        }
        n = rte_ring_enqueue_burst(feed->in[q], (void *const *)mbufs, n, NULL);
        feed->fed += n;
        return n;
}

static uint64_t
thread_ns(void)
{
        struct timespec ran;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ran);
        return (uint64_t)ran.tv_sec * UINT64_C(1000000000) + (uint64_t)ran.tv_nsec;
}

void
feed_before_walk(void *user, unsigned worker)
{
        struct feed *feed = user;
        uint64_t limit = atomic_load_explicit(&feed->limit, memory_order_acquire);
        uint64_t taken = atomic_load_explicit(&feed->taken, memory_order_relaxed);
        uint64_t begin, end, room;
        unsigned took, gave = 0;

        (void)worker;
        if (taken == limit)
                return; /* between waves */
        begin = rte_rdtsc();
        if (feed->fed == feed->base) {
                /* Two system calls a wave, before it and after. */
                feed->first_ran_ns = thread_ns();
                begin = rte_rdtsc();
                feed->first_tsc = feed->walk_tsc = begin;
                feed->last_idle = false;
        }
        took = take_replies(feed);
        /* The walk before: nothing went in, and nothing came out of it. */
        if (feed->last_idle && took == 0)
                feed->idle_cycles += begin - feed->walk_tsc;
        taken += took;
        room = feed->window - (feed->fed - taken);
        if (room > limit - feed->fed)
                room = limit - feed->fed;
        for (unsigned q = 0; q < PIPELINE_QUEUES && room > 0; q++) {
                unsigned n = give_frames(feed, q, (unsigned)room);

                room -= n;
                gave += n;
        }
        end = rte_rdtsc();
        feed->last_idle = gave == 0 && took == 0;
        feed->walk_tsc = begin;
        feed->cycles += feed->last_idle ? 0 : end - begin;
        if (taken == limit) {
                feed->last_tsc = end;
                feed->ran_ns = thread_ns() - feed->first_ran_ns;
        }
        atomic_store_explicit(&feed->taken, taken, memory_order_release);
}
