/* SPDX-License-Identifier: Apache-2.0 */
/* Promise 9: what happens when something is full, and that its counter says so. Promise 7: a reply
 * that could not leave is had by asking again; no packet buffer is lost (harness_close() looks). */
#include "tests/packets/client.h"

#include "dataplane/contexts_private.h"
#include "dataplane/drops.h"
#include "dataplane/plumbing.h"
#include "dataplane/records.h"
#include "dataplane/senml/senml.h"

#include <criterion/criterion.h>
#include <string.h>

static struct harness harness;
static struct client device;
static struct client_reply reply;

static void
setup(void)
{
        struct harness_options options = {
            .config = {.boot_epoch = 7, .mbufs = 2048}, .out_slots = 4};

        harness_open(&harness, &options);
        client_enrol(&device, &harness, 5, AEAD_AES_CCM_16_64_128, NULL);
}

static void
teardown(void)
{
        harness_close(&harness);
}

TestSuite(limits, .init = setup, .fini = teardown);

static void
expect_drops(enum drop_reason reason, uint64_t n)
{
        uint64_t drops = harness_drops(&harness, reason);

        cr_assert_eq(drops, n, "%s: %lu", drop_metric(reason), (unsigned long)drops);
}

static void
send_again(const struct client_request *request)
{
        struct datagram datagram;

        client_write(&device, request, &datagram);
        client_send(&device, &harness, &datagram);
        harness_drive(&harness);
}

static void
expect_busy(const struct client_request *request, enum drop_reason reason)
{
        const struct context *context = &contexts_table(harness.contexts)->slots[5];
        uint32_t max_age;

        client_expect(&device, &harness, request, COAP_UNAVAILABLE, &reply);
        cr_assert_eq(coap_find_uint(&reply.inner, COAP_OPTION_MAX_AGE, &max_age), 0);
        cr_assert_eq(max_age, MAX_AGE_BUSY_S);
        expect_drops(reason, 1);
        cr_assert_eq(context->window_bits, 0, "the window is untouched");
}

/* A ring that the writer does not empty says ring_full; records that it took and does not answer,
 * pending_full. Both at once is the writer's standing still. */
Test(limits, a_full_ring_and_full_pending_slots)
{
        struct worker *worker = harness.dataplane->workers[0];
        struct records *records = worker->records;
        struct client_request request = client_post(&device);
        struct commit_desc desc = {.worker = 0};
        uint32_t free_n = records->free_n;

        harness.writer = WRITER_STALL;
        while (rte_ring_enqueue_elem(worker->commit, &desc, sizeof(desc)) == 0)
                ;
        send_again(&request);
        expect_busy(&request, DROP_RING_FULL);
        records->free_n = 0;
        send_again(&request);
        expect_busy(&request, DROP_RING_FULL);
        while (rte_ring_dequeue_elem(worker->commit, &desc, sizeof(desc)) == 0)
                ;
        send_again(&request);
        expect_busy(&request, DROP_PENDING_FULL);

        records->free_n = free_n;
        harness.writer = WRITER_COMMIT;
        send_again(&request);
        cr_assert_eq(client_expect_leaf(&device, &harness, &request, &reply), 0);
        cr_assert_eq(harness.kept_n, 1);
}

/* One place in the ring, and a burst of five: one is served, in packet order. */
Test(limits, the_last_place_in_the_ring)
{
        struct worker *worker = harness.dataplane->workers[0];
        struct client_request requests[5];
        struct commit_desc desc = {.worker = 0};

        while (rte_ring_free_count(worker->commit) > 1)
                cr_assert_eq(rte_ring_enqueue_elem(worker->commit, &desc, sizeof(desc)), 0);
        harness.writer = WRITER_STALL;
        for (unsigned i = 0; i < 5; i++) {
                struct datagram datagram;

                requests[i] = client_post(&device);
                client_write(&device, &requests[i], &datagram);
                client_send(&device, &harness, &datagram);
        }
        harness_drive(&harness);
        for (unsigned i = 1; i < 5; i++)
                client_expect(&device, &harness, &requests[i], COAP_UNAVAILABLE, &reply);
        expect_drops(DROP_RING_FULL, 4);
        cr_assert_eq(worker->records->ring_reserved, 0);
        for (unsigned i = 1; i < COMMIT_RING_SLOTS; i++)
                cr_assert_eq(rte_ring_dequeue_elem(worker->commit, &desc, sizeof(desc)), 0);
        harness.writer = WRITER_COMMIT;
        harness_drive(&harness);
        cr_assert_eq(client_expect_leaf(&device, &harness, &requests[0], &reply), 0);
}

/* No buffer for the receipt: the record stands, and who asks again has it. */
Test(limits, no_buffer_for_a_reply)
{
        static struct rte_mbuf *taken[4096];
        struct client_request request = client_post(&device);
        unsigned n = 0;

        while (n < 4096 && (taken[n] = rte_pktmbuf_alloc(harness.dataplane->pool)) != NULL)
                n++;
        cr_assert(n > 0 && n < 4096);
        send_again(&request);
        cr_assert_eq(harness.kept_n, 1);
        client_expect_nothing(&harness);
        expect_drops(DROP_REPLY_NO_MBUF, 1);
        send_again(&request);
        client_expect_nothing(&harness);
        expect_drops(DROP_REPLY_NO_MBUF, 1);
        rte_pktmbuf_free_bulk(taken, n);
        send_again(&request);
        cr_assert_eq(client_expect_leaf(&device, &harness, &request, &reply), 0);
        cr_assert_eq(harness.kept_n, 1);
}

/* A port that takes no more: the same. */
Test(limits, a_full_transmit_queue)
{
        struct client_request requests[6];

        for (unsigned i = 0; i < 6; i++)
                requests[i] = client_exchange(&device, &harness);
        expect_drops(DROP_TX_FULL, 2);
        for (unsigned i = 0; i < 4; i++)
                cr_assert_eq(client_expect_leaf(&device, &harness, &requests[i], &reply), i);
        for (unsigned i = 4; i < 6; i++) {
                send_again(&requests[i]);
                cr_assert_eq(client_expect_leaf(&device, &harness, &requests[i], &reply), i);
        }
        cr_assert_eq(harness.kept_n, 6);
}

/* ---- amplification (RFC 9175 §2.4) ---- */

/* Makes a packet of the last reply taken, or not; its CoAP message's length, 0 for none. */
static size_t
build(struct worker *worker, struct reply *it)
{
        struct records *records = worker->records;
        size_t bytes = 0, payload_bytes;
        struct rte_mbuf *mbuf;

        if (reply_build(worker, &it, 1, &mbuf) == 1) {
                (void)wire_payload(
                    rte_pktmbuf_mtod(mbuf, uint8_t *), mbuf->data_len, &payload_bytes);
                bytes = payload_bytes;
                rte_pktmbuf_free(mbuf);
        }
        records->replies_n = records->replies_done = records->outbox_n = 0;
        return bytes;
}

/* No error is longer than what any request may provoke, plain or protected; and one that was would
 * be withheld. */
Test(limits, no_reply_amplifies)
{
        struct worker *worker = harness.dataplane->workers[0];
        struct request request = {.reply_limit = AMPLIFICATION_BYTES_MIN,
            .endpoint = {.ip_version = 6, .peer_port = 1, .own_port = 5683},
            .message = {.token_bytes = 8},
            .partial_iv = OSCORE_PIV_MAX};

        client_enrol(&device, &harness, 6, AEAD_AES_256_GCM, NULL); /* a tag of 16 */
        request.context = &contexts_table(harness.contexts)->slots[6];
        for (unsigned error = ERROR_NONE + 1; error < ERROR_COUNT; error++) {
                unsigned details = error == ERROR_BAD_SENML ? SENML_ERROR_COUNT : 1;

                for (unsigned detail = error == ERROR_BAD_SENML; detail < details; detail++) {
                        struct reply *it;

                        it = reply_to(worker, &request);
                        it->shape = REPLY_PROTECTED;
                        it->content = CONTENT_ERROR;
                        it->why = WHY(error, detail);
                        cr_assert(reply_server_piv(worker, it, false));
                        cr_assert_gt(build(worker, it), 0, "error %u.%u", error, detail);
                        it = reply_to(worker, &request);
                        it->shape = REPLY_PLAIN;
                        it->content = CONTENT_ERROR;
                        it->why = WHY(error, detail);
                        it->fresh = true;
                        cr_assert_gt(build(worker, it), 0, "plain error %u.%u", error, detail);
                }
        }
        for (unsigned content = CONTENT_CHALLENGE; content <= CONTENT_CORE; content++) {
                struct reply *it = reply_to(worker, &request);
                size_t bytes;

                it->shape = REPLY_PROTECTED;
                it->content = (uint8_t)content;
                it->target.leaf = UINT64_C(999999999999999);
                it->target.has_block2 = true;
                cr_assert(reply_server_piv(worker, it, false));
                it->target.block2_szx = 6;
                bytes = build(worker, it);
                cr_assert_gt(bytes, 0, "content %u", content);
                /* A byte less, and it would not go out. */
                it = reply_to(worker, &request);
                it->shape = REPLY_PROTECTED;
                it->content = (uint8_t)content;
                it->target.leaf = UINT64_C(999999999999999);
                it->target.has_block2 = true;
                it->target.block2_szx = 6;
                cr_assert(reply_server_piv(worker, it, false));
                it->limit = (uint16_t)(bytes - 1);
                cr_assert_eq(build(worker, it), 0);
                expect_drops(DROP_AMPLIFICATION, 1);
        }
}
