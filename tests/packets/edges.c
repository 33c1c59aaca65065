/* SPDX-License-Identifier: Apache-2.0 */
/* Where the ways of packets, contexts and workers cross: a context that goes while its request is
 * under way, replies said again many thousand times, and what RFC 7252 says of messages that are
 * not understood. */
#include "tests/packets/client.h"

#include "dataplane/contexts_private.h"
#include "dataplane/drops.h"
#include "dataplane/plumbing.h"
#include "dataplane/records.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define RETRANSMISSIONS 65536u
#define WALK            64u /* packets a walk takes from one port */

static struct harness harness;
static struct client device;
static struct client_reply reply, again;

static void
open_with(unsigned workers)
{
        struct harness_options options = {
            .config = {.boot_epoch = 7, .workers = workers, .echo_secret = {1}}};

        harness_open(&harness, &options);
}

static void
expect_drops(enum drop_reason reason, uint64_t n)
{
        uint64_t drops = harness_drops(&harness, reason);

        cr_assert_eq(drops, n, "%s: %lu", drop_metric(reason), (unsigned long)drops);
}

static void
send_request(const struct client_request *request)
{
        struct datagram datagram;

        client_write(&device, request, &datagram);
        client_send(&device, &harness, &datagram);
}

/* ---- said again ---- */

/* 65,536 copies of a request, each with a message ID of its own, from many endpoints: the same
 * ciphertext each time, and no other record. */
Test(edges, retransmissions_by_the_thousand)
{
        struct client_request request;
        struct datagram datagram;
        unsigned got = 0;

        open_with(1);
        client_enrol(&device, &harness, 1, AEAD_AES_CCM_16_64_128, NULL);
        request = client_exchange(&device, &harness);
        client_expect_leaf(&device, &harness, &request, &reply);
        client_write(&device, &request, &datagram);
        for (unsigned i = 0; i < RETRANSMISSIONS; i += WALK) {
                uint8_t frame[HARNESS_FRAME_MAX];
                size_t bytes, n;

                for (unsigned j = i; j < i + WALK; j++) {
                        device.port = (uint16_t)(1024 + j % 1000);
                        datagram.bytes[2] = (uint8_t)(j >> 8);
                        datagram.bytes[3] = (uint8_t)j;
                        client_send(&device, &harness, &datagram);
                }
                cr_assert_eq(dataplane_walk(harness.dataplane, 0), WALK);
                while ((bytes = harness_take(&harness, frame)) != 0) {
                        const uint8_t *message = wire_payload(frame, bytes, &n);

                        cr_assert_eq(message[2] << 8 | message[3], got & 0xffff);
                        cr_assert_eq(n, reply.raw.n);
                        cr_assert_eq(memcmp(message + 4, reply.raw.bytes + 4, n - 4), 0);
                        got++;
                }
        }
        cr_assert_eq(got, RETRANSMISSIONS);
        cr_assert_eq(harness.kept_n, 1);
        expect_drops(DROP_NONE, 0);
        cr_assert_eq(dataplane_pending(harness.dataplane), 0);
        harness_close(&harness);
}

/* ---- a context goes ---- */

static void
remove_device(void)
{
        cr_assert_eq(contexts_remove(harness.contexts, device.spec.slot), 0);
}

/* Its request lies in the ring between two workers when the device is removed, or its slot is given
 * to another: the owner looks again, and knows it no more. */
Test(edges, a_stray_whose_context_was_removed)
{
        struct client_request request;
        struct context_spec spec;
        struct client other;

        open_with(3);
        client_enrol(&device, &harness, 1, AEAD_AES_256_GCM, NULL); /* worker 1's */
        request = client_post(&device);
        send_request(&request);
        cr_assert_eq(dataplane_walk(harness.dataplane, 0), 1);
        remove_device();
        harness_drive(&harness);
        client_expect_plain(
            &device, &harness, &request, COAP_UNAUTHORIZED, "Security context not found");

        client_enrol(&device, &harness, 1, AEAD_AES_256_GCM, NULL);
        request = client_post(&device);
        send_request(&request);
        cr_assert_eq(dataplane_walk(harness.dataplane, 0), 1);
        remove_device();
        spec = device.spec;
        spec.generation++;
        native_kid(spec.oscore.recipient_id, 1, spec.generation);
        spec.oscore.secret[5] ^= 1;
        client_enrol_spec(&other, &harness, &spec);
        harness_drive(&harness);
        client_expect_plain(
            &device, &harness, &request, COAP_UNAUTHORIZED, "Security context not found");
        expect_drops(DROP_OSCORE_UNKNOWN_CONTEXT, 2);

        /* A foreign kid that moved to another worker's slot, with other keys: it is handed on. */
        spec.native = false;
        spec.slot = 4; /* worker 1's */
        spec.oscore.recipient_id_bytes = 3;
        client_enrol_spec(&device, &harness, &spec);
        request = client_post(&device);
        send_request(&request);
        cr_assert_eq(dataplane_walk(harness.dataplane, 0), 1);
        remove_device();
        spec.slot = 5; /* worker 2's */
        spec.oscore.secret[5] ^= 2;
        client_enrol_spec(&other, &harness, &spec);
        harness_drive(&harness);
        client_expect_plain(&device, &harness, &request, COAP_BAD_REQUEST, "Decryption failed");
        expect_drops(DROP_OSCORE_DECRYPT, 1);
        cr_assert_eq(harness.kept_n, 0);
        harness_close(&harness);
}

/* A foreign device's kid is free again at once, for another slot, while a request of the removed
 * one is pending: each gets its own receipt, from its own keys. */
Test(edges, a_foreign_kid_enrolled_anew_while_pending)
{
        struct client_request old_request, request;
        struct context_spec spec;
        struct client old;

        open_with(1);
        spec = client_spec(8, AEAD_AES_128_GCM);
        spec.native = false;
        spec.oscore.recipient_id_bytes = 2;
        client_enrol_spec(&device, &harness, &spec);
        harness.writer = WRITER_HOLD;
        old_request = client_exchange(&device, &harness);
        old = device;
        cr_assert_eq(contexts_remove(harness.contexts, 8), 0);
        /* The slot is not free, the kid is. */
        spec.context_id += 1000;
        spec.oscore.secret[7] ^= 1;
        cr_assert_eq(contexts_add(harness.contexts, &spec), -EAGAIN);
        spec.slot = 9;
        spec.patient = 9;
        client_enrol_spec(&device, &harness, &spec);
        device.port = old.port;
        request = client_exchange(&device, &harness); /* of the same partial IV */
        cr_assert_eq(request.piv, old_request.piv);
        cr_assert_eq(harness.kept_n, 2);
        harness_release(&harness, RECEIPT_COMMITTED);
        harness_drive(&harness);
        cr_assert_eq(client_expect_leaf(&old, &harness, &old_request, &reply), 0);
        cr_assert_eq(client_expect_leaf(&device, &harness, &request, &again), 1);
        client_check_record(&old, &old_request, &harness.kept[0]);
        client_check_record(&device, &request, &harness.kept[1]);
        /* Said again by the new one alone. */
        harness.writer = WRITER_COMMIT;
        send_request(&request);
        harness_drive(&harness);
        cr_assert_eq(client_expect_leaf(&device, &harness, &request, &again), 1);
        cr_assert_eq(dataplane_pending(harness.dataplane), 0);
        harness_close(&harness);
}

/* ---- RFC 7252 ---- */

static void
send_raw(const void *bytes, size_t n)
{
        struct datagram datagram = {.n = n};

        memcpy(datagram.bytes, bytes, n);
        client_send(&device, &harness, &datagram);
        harness_drive(&harness);
}

#define SEND(literal) send_raw(literal, sizeof(literal) - 1)

/* The next reply's first bytes. */
static void
expect_start(const void *bytes, size_t n)
{
        struct client_request none = {0};

        cr_assert(client_take(&device, &harness, &none, &reply), "no reply");
        cr_assert_geq(reply.raw.n, n);
        cr_assert_arr_eq(reply.raw.bytes, bytes, n);
}

#define EXPECT(literal) expect_start(literal, sizeof(literal) - 1)

Test(edges, messages_that_are_not_understood)
{
        uint8_t oversized[1300] = "\x40\x01\x12\x39\xbe\x04\x00"; /* a Uri-Path of 1,293 bytes */
        struct client_request request;

        open_with(1);
        client_enrol(&device, &harness, 1, AEAD_AES_CCM_16_64_128, NULL);
        /* §4.2: a CON that there is no context for is reset. */
        SEND("\x40\x45\x12\x34");
        EXPECT("\x70\x00\x12\x34");
        SEND("\x50\x45\x12\x35");
        SEND("\x60\x45\x12\x36");
        client_expect_nothing(&harness);
        expect_drops(DROP_COAP_NOT_REQUEST, 3);

        /* §5.4.1: a critical option that is unknown, or oversized: 4.02 to a CON; a NON is ignored.
         */
        SEND("\x40\x01\x12\x37\xe0\xfc\xdc");
        EXPECT("\x60\x82\x12\x37");
        send_raw(oversized, sizeof(oversized));
        EXPECT("\x60\x82\x12\x39");
        SEND("\x50\x01\x12\x38\xe0\xfc\xdc");
        oversized[0] = 0x50;
        send_raw(oversized, sizeof(oversized));
        client_expect_nothing(&harness);
        expect_drops(DROP_COAP_REFUSED, 4);
        /* OSCORE twice. */
        SEND("\x40\x02\x12\x3a\x93\x09\x05k\x03\x09\x05k\xff"
             "0123456789");
        EXPECT("\x60\x82\x12\x3a");
        SEND("\x50\x02\x12\x3b\x93\x09\x05k\x03\x09\x05k\xff"
             "0123456789");
        client_expect_nothing(&harness);
        expect_drops(DROP_COAP_REFUSED, 2);
        /* §3.1: numbers can only grow, up to 65,535. */
        SEND("\x40\x01\x12\x3c\xe0\xfc\xdc\xe0\xfc\xdc");
        EXPECT("\x70\x00\x12\x3c");
        SEND("\x50\x01\x12\x3d\xe0\xfc\xdc\xe0\xfc\xdc");
        client_expect_nothing(&harness);
        expect_drops(DROP_COAP_FORMAT, 2);

        /* The same inside OSCORE. */
        request = client_post(&device);
        request.extra_option = 65001;
        send_request(&request);
        harness_drive(&harness);
        client_expect(&device, &harness, &request, COAP_BAD_OPTION, &reply);
        request = client_post(&device);
        request.extra_option = 65001;
        request.type = COAP_NON;
        send_request(&request);
        harness_drive(&harness);
        client_expect_nothing(&harness);
        cr_assert_eq(harness_drops(&harness, DROP_OSCORE_INNER), 2);
        cr_assert_eq(harness.taken, 0);
        cr_assert_eq(dataplane_pending(harness.dataplane), 0);
        harness_close(&harness);
}

/* RFC 8613 §8.2 step 1: what is unknown outside is class E and discarded there, critical or not. */
Test(edges, unknown_options_outside_are_discarded)
{
        struct client_request request;
        struct datagram datagram;
        size_t at;

        open_with(1);
        client_enrol(&device, &harness, 1, AEAD_AES_CCM_16_64_128, NULL);
        request = client_post(&device);
        client_write(&device, &request, &datagram);
        /* After the OSCORE option (9), its value shorter than 13: option 13, critical, nobody's. */
        at = COAP_HEADER_BYTES + request.token_bytes;
        cr_assert_eq(datagram.bytes[at] >> 4, 9);
        at += 1 + (datagram.bytes[at] & 15u);
        cr_assert_eq(datagram.bytes[at], COAP_PAYLOAD_MARKER);
        memmove(datagram.bytes + at + 1, datagram.bytes + at, datagram.n - at);
        datagram.bytes[at] = 0x40;
        datagram.n++;
        client_send(&device, &harness, &datagram);
        harness_drive(&harness);
        cr_assert_eq(client_expect_leaf(&device, &harness, &request, &reply), 0);
}
