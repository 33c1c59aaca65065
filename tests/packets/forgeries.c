/* SPDX-License-Identifier: Apache-2.0 */
/* Promise 3, nothing unauthenticated changes state, and promise 2, exactly once: requests that were
 * changed on their way, forged, replayed, reordered or malformed, each next to the true one. */
#include "tests/packets/client.h"

#include "dataplane/contexts_private.h"
#include "dataplane/drops.h"
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
        struct harness_options options = {.config = {.boot_epoch = 7}};

        harness_open(&harness, &options);
}

static void
teardown(void)
{
        harness_close(&harness);
}

TestSuite(forgeries, .init = setup, .fini = teardown);

static void
expect_drops(enum drop_reason reason, uint64_t n)
{
        uint64_t drops = harness_drops(&harness, reason);

        cr_assert_eq(drops, n, "%s: %lu", drop_metric(reason), (unsigned long)drops);
}

static struct context *
context(void)
{
        return &contexts_table(harness.contexts)->slots[device.spec.slot];
}

/* Takes all replies; none exceeds what a request of that many bytes may provoke (RFC 9175). */
static unsigned
take_all(size_t request_bytes)
{
        size_t limit = AMPLIFICATION_FACTOR * request_bytes;
        uint8_t frame[HARNESS_FRAME_MAX];
        unsigned n = 0;
        size_t bytes;

        if (limit < AMPLIFICATION_BYTES_MIN)
                limit = AMPLIFICATION_BYTES_MIN;
        while ((bytes = harness_take(&harness, frame)) != 0) {
                size_t payload_bytes;

                (void)wire_payload(frame, bytes, &payload_bytes);
                cr_assert_leq(payload_bytes, limit);
                n++;
        }
        return n;
}

/* Sends it alone; how many records that made. */
static size_t
records_of(const struct datagram *datagram)
{
        size_t before = harness.kept_n;

        client_send(&device, &harness, datagram);
        harness_drive(&harness);
        cr_assert_leq(take_all(datagram->n), 1, "more replies than requests");
        return harness.kept_n - before;
}

/* ---- changed on the way ---- */

static void
flip_all_bits(uint32_t slot, int alg)
{
        struct client_request request;
        struct datagram datagram, changed;
        size_t bits = 1;

        client_enrol(&device, &harness, slot, alg, NULL);
        for (size_t bit = 0; bit < bits; bit++) {
                size_t made;

                request = client_post(&device);
                client_write(&device, &request, &datagram);
                bits = 8 * datagram.n;
                changed = datagram;
                changed.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
                made = records_of(&changed);
                cr_assert_leq(made, 1);
                /* What was not accepted has not moved the window; what was, is there once. */
                cr_assert_eq(made + records_of(&datagram), 1, "alg %d, byte %zu, bit %zu", alg,
                    bit / 8, bit % 8);
                client_check_record(&device, &request, &harness.kept[harness.kept_n - 1]);
                cr_assert_eq(context()->window_top, request.piv);
        }
}

/* Each bit of a request flipped, and then the request itself: one record together. */
Test(forgeries, a_flipped_bit_is_accepted_at_most_once)
{
        flip_all_bits(1, AEAD_AES_CCM_16_64_128);
        flip_all_bits(2, AEAD_CHACHA20_POLY1305);
}

/* The same on the wire, where sums guard most bits. */
Test(forgeries, a_bit_flipped_in_the_frame)
{
        for (unsigned family = 4; family <= 6; family += 2) {
                client_enrol(&device, &harness, family, AEAD_AES_128_GCM, NULL);
                device.family = family;
                for (size_t bit = 0, bits = 1; bit < bits; bit++) {
                        struct client_request request = client_post(&device);
                        struct datagram datagram;
                        struct wire wire;
                        size_t before = harness.kept_n;

                        client_write(&device, &request, &datagram);
                        wire_datagram(
                            &wire, family, harness.mac[0], device.port, datagram.bytes, datagram.n);
                        bits = 8 * wire.n;
                        wire.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
                        harness_inject(&harness, wire.bytes, wire.n);
                        wire.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
                        harness_inject(&harness, wire.bytes, wire.n);
                        harness_drive(&harness);
                        cr_assert_leq(take_all(datagram.n), 2);
                        cr_assert_eq(harness.kept_n - before, 1, "IPv%u, byte %zu, bit %zu", family,
                            bit / 8, bit % 8);
                }
        }
}

/* ---- partial IVs ---- */

/* A window's width of partial IVs in disorder, three copies of each, two of them in one burst; then
 * all of them again, in another order. */
Test(forgeries, reordered_and_duplicated_in_one_burst)
{
        struct client_request requests[REPLAY_WINDOW_BITS];
        struct datagram datagrams[REPLAY_WINDOW_BITS];
        unsigned replies = 0;

        client_enrol(&device, &harness, 3, AEAD_AES_CCM_16_64_128, NULL);
        for (unsigned i = 0; i < REPLAY_WINDOW_BITS; i++) {
                requests[i] = client_post(&device);
                client_write(&device, &requests[i], &datagrams[i]);
        }
        harness.writer = WRITER_HOLD;
        for (unsigned i = 0; i < REPLAY_WINDOW_BITS; i++) {
                client_send(&device, &harness, &datagrams[i * 37 % REPLAY_WINDOW_BITS]);
                client_send(&device, &harness, &datagrams[i * 37 % REPLAY_WINDOW_BITS]);
        }
        for (unsigned i = 0; i < REPLAY_WINDOW_BITS; i++)
                client_send(&device, &harness, &datagrams[i]);
        harness_drive(&harness);
        cr_assert_eq(harness.kept_n, REPLAY_WINDOW_BITS);
        client_expect_nothing(&harness);
        harness_release(&harness, RECEIPT_COMMITTED);
        harness.writer = WRITER_COMMIT;
        harness_drive(&harness);
        cr_assert_eq(take_all(datagrams[0].n), REPLAY_WINDOW_BITS);
        expect_drops(DROP_COAP_RETRANSMISSION_PENDING, 2 * REPLAY_WINDOW_BITS);
        cr_assert_eq(context()->window_bits, UINT64_MAX);

        for (unsigned i = 0; i < REPLAY_WINDOW_BITS; i++)
                client_send(&device, &harness, &datagrams[i * 29 % REPLAY_WINDOW_BITS]);
        harness_drive(&harness);
        while (client_take(&device, &harness, &requests[0], &reply)) {
                if (!reply.is_protected)
                        cr_assert_eq(reply.outer.code, COAP_UNAUTHORIZED);
                replies += reply.is_protected;
        }
        cr_assert_eq(replies, CONTEXT_RECEIPTS);
        expect_drops(DROP_OSCORE_REPLAY, REPLAY_WINDOW_BITS - CONTEXT_RECEIPTS);
        cr_assert_eq(harness.kept_n, REPLAY_WINDOW_BITS);
        for (unsigned i = 0; i < REPLAY_WINDOW_BITS; i++)
                client_check_record(
                    &device, &requests[i * 37 % REPLAY_WINDOW_BITS], &harness.kept[i]);
}

/* Forged copies before, between and behind the true one, in one burst; a forged partial IV that
 * would move the window to its end. */
Test(forgeries, forged_tags_around_the_true_one)
{
        struct client_request request, far;
        struct datagram datagram, forged, top;

        client_enrol(&device, &harness, 4, AEAD_AES_CCM_16_64_128, NULL);
        request = client_post(&device);
        client_write(&device, &request, &datagram);
        far = request;
        far.piv = OSCORE_PIV_MAX;
        client_write(&device, &far, &top);
        forged = datagram;
        forged.bytes[forged.n - 1] ^= 1;
        top.bytes[top.n - 1] ^= 1;
        client_send(&device, &harness, &forged);
        client_send(&device, &harness, &top);
        client_send(&device, &harness, &datagram);
        client_send(&device, &harness, &forged);
        client_send(&device, &harness, &top);
        harness_drive(&harness);
        cr_assert_eq(harness.kept_n, 1);
        client_check_record(&device, &request, &harness.kept[0]);
        expect_drops(DROP_OSCORE_DECRYPT, 3 + 1);
        cr_assert_eq(context()->window_top, request.piv);
        cr_assert_eq(context()->window_bits, 1);
        (void)take_all(datagram.n);
        /* From now on that partial IV is a replay, whatever its tag. */
        cr_assert_eq(records_of(&forged), 0);
        expect_drops(DROP_OSCORE_REPLAY, 1);
        cr_assert_eq(records_of(&top), 0);
        expect_drops(DROP_OSCORE_DECRYPT, 1);
}

/* ---- what is inside ---- */

struct bad_pack {
        int format;
        uint8_t bytes[64];
        uint8_t n;
};

#define JSON(text)                                                                                 \
        {                                                                                          \
                COAP_FORMAT_SENML_JSON, text, sizeof(text) - 1                                     \
        }
#define CBOR(octets)                                                                               \
        {                                                                                          \
                COAP_FORMAT_SENML_CBOR, octets, sizeof(octets) - 1                                 \
        }

static const struct bad_pack bad_packs[] = {
    JSON("["),
    JSON("[]x"),
    JSON("[{\"n\":\"a\",\"v\":1,\"vs\":\"b\"}]"), /* two values */
    JSON("[{\"n\":\"a\",\"v\":1,\"v\":2}]"),      /* one twice */
    JSON("[{\"n\":\"a\"}]"),                      /* none */
    JSON("[{\"n\":\"a\",\"v\":1,\"new_\":2}]"),   /* must be understood */
    JSON("[{\"n\":\"a\",\"v\":1,\"bver\":11}]"),
    JSON("[{\"n\":\"a\",\"v\":1,\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[["),
    JSON("[{\"n\":\"a\",\"v\":1e999999999}]"),
    CBOR("\x9b\xff\xff\xff\xff\xff\xff\xff\xff"),     /* 2^64 - 1 records */
    CBOR("\x81\xbb\xff\xff\xff\xff\xff\xff\xff\xff"), /* as many labels */
    CBOR("\x81\xa2\x00\x7b\xff\xff\xff\xff\xff\xff\xff\xff"
         "a"), /* a name of 2^64 - 1 */
    CBOR("\x81\xa2\x00\x7a\x7f\xff\xff\xff"
         "a\x02\x01"),
    CBOR("\x9f\xbf\x00"
         "aa\x02\x01\xff"),                                                   /* never ends */
    CBOR("\x9f\x9f\x9f\x9f\x9f\x9f\x9f\x9f\x9f\x9f\x9f\x9f\x9f\x9f\x9f\x9f"), /* deep */
    CBOR("\x81\xa3\x00"
         "aa\x02\x01\x61x\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81"
         "\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x81\x00"),
    CBOR("\x81\xa2\x00"
         "aa\x02\xc4\x82\x3b\xff\xff\xff\xff\xff\xff\xff\xff\x01"), /* 1e-2^64 */
    CBOR("\x81\xa3\x00"
         "aa\x02\x01\x03"
         "ab"), /* two values */
    CBOR("\x81\xa1\x00"
         "aa"), /* none */
    CBOR("\x81\xa3\x00"
         "aa\x02\x01\x62y_\x01"), /* must be understood */
    CBOR("\x81\xa2\x00"
         "aa\x02\x01\x00"), /* bytes behind it */
    CBOR("\xff"),
};

/* Authentic, so the window moves; refused inside OSCORE with a reason, and nothing is left of it.
 */
Test(forgeries, malformed_packs)
{
        client_enrol(&device, &harness, 6, AEAD_AES_CCM_16_64_128, NULL);
        for (unsigned i = 0; i < sizeof(bad_packs) / sizeof(bad_packs[0]); i++) {
                struct client_request request = client_post(&device);
                struct datagram datagram;

                request.content_format = bad_packs[i].format;
                request.payload = bad_packs[i].bytes;
                request.payload_bytes = bad_packs[i].n;
                client_write(&device, &request, &datagram);
                client_send(&device, &harness, &datagram);
                harness_drive(&harness);
                cr_assert_eq(harness.taken, 0, "pack %u was accepted", i);
                client_expect(&device, &harness, &request, COAP_BAD_REQUEST, &reply);
                cr_assert_gt(reply.inner.payload_bytes, 0, "pack %u: no reason", i);
                expect_drops(DROP_SENML_BAD, 1);
                cr_assert_eq(context()->window_top, request.piv);
                cr_assert_eq(atomic_load(&context()->pending), PENDING_NONE);
        }
}
