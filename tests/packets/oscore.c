/* SPDX-License-Identifier: Apache-2.0 */
/* OSCORE through the whole graph: promises 1 to 4 as a device sees them. */
#include "tests/packets/client.h"

#include "dataplane/drops.h"

#include <criterion/criterion.h>
#include <string.h>

static struct harness harness;
static struct client device;
static struct client_reply reply, again;

static void
setup(void)
{
        struct harness_options options = {
            .config = {.boot_epoch = 0xabcde, .echo_secret = {1, 2, 3}, .realm = 7}};

        harness_open(&harness, &options);
        client_enrol(&device, &harness, 5, AEAD_AES_CCM_16_64_128, NULL);
}

static void
teardown(void)
{
        harness_close(&harness);
}

TestSuite(oscore, .init = setup, .fini = teardown);

static void
send_again(const struct client_request *request)
{
        struct datagram datagram;

        client_write(&device, request, &datagram);
        client_send(&device, &harness, &datagram);
}

static void
expect_drops(enum drop_reason reason, uint64_t n)
{
        uint64_t drops = harness_drops(&harness, reason);

        cr_assert_eq(drops, n, "%s: %lu", drop_metric(reason), (unsigned long)drops);
}

Test(oscore, every_algorithm_gets_its_receipt)
{
        static const int algs[] = {AEAD_AES_128_GCM, AEAD_AES_256_GCM, AEAD_AES_CCM_16_64_128,
            AEAD_CHACHA20_POLY1305, AEAD_AES_CCM_16_128_128};

        for (unsigned i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {
                struct client_request request;

                client_enrol(&device, &harness, 10 + i, algs[i], NULL);
                device.family = i % 2 == 0 ? 4 : 6;
                request = client_exchange(&device, &harness);
                cr_assert_eq(client_expect_leaf(&device, &harness, &request, &reply), i);
                client_check_record(&device, &request, &harness.kept[i]);
        }
        client_expect_nothing(&harness);
        expect_drops(DROP_NONE, 0);
}

Test(oscore, a_foreign_device_with_an_id_context)
{
        struct context_spec spec = client_spec(6, AEAD_AES_CCM_16_64_128);
        struct client_request request;

        spec.native = false;
        spec.oscore.recipient_id_bytes = 0; /* RFC 8613 C.3: an empty kid */
        spec.oscore.has_id_context = true;
        spec.oscore.id_context_bytes = 8;
        memcpy(spec.oscore.id_context, "\x37\xcb\xf3\x21\x00\x17\xa2\xd3", 8);
        client_enrol_spec(&device, &harness, &spec);
        request = client_exchange(&device, &harness);
        cr_assert_eq(client_expect_leaf(&device, &harness, &request, &reply), 0);
}

Test(oscore, a_mixed_burst)
{
        static struct client devices[60];
        static struct client_request requests[60];
        static const int algs[] = {1, 3, 10, 24, 30};
        struct datagram datagram;

        for (unsigned i = 0; i < 60; i++) {
                client_enrol(&devices[i], &harness, 100 + i, algs[i % 5], NULL);
                requests[i] = client_post(&devices[i]);
                client_write(&devices[i], &requests[i], &datagram);
                if (i % 7 == 3)
                        datagram.bytes[datagram.n - 1 - i % 8] ^= 1;
                client_send(&devices[i], &harness, &datagram);
        }
        harness_drive(&harness);
        /* Each device finds its own reply; errors come before receipts. */
        for (unsigned i = 3; i < 60; i += 7)
                client_expect_plain(
                    &devices[i], &harness, &requests[i], COAP_BAD_REQUEST, "Decryption failed");
        for (unsigned i = 0, leaf = 0; i < 60; i++) {
                if (i % 7 == 3)
                        continue;
                cr_assert_eq(client_expect_leaf(&devices[i], &harness, &requests[i], &reply), leaf);
                client_check_record(&devices[i], &requests[i], &harness.kept[leaf++]);
        }
        client_expect_nothing(&harness);
        expect_drops(DROP_OSCORE_DECRYPT, 9);
}

/* RFC 8613, Appendix C: the requests of vectors C.4, C.5 and C.6, byte for byte. The gateway has no
 * /tv1, which only one that has opened them can know. */
static const struct {
        uint8_t salt_bytes, kid_bytes, id_context_bytes;
        uint8_t request[64];
        uint8_t request_bytes;
} vectors[] = {
    {8, 0, 0,
        {0x44, 0x02, 0x5d, 0x1f, 0x00, 0x00, 0x39, 0x74, 0x39, 'l', 'o', 'c', 'a', 'l', 'h', 'o',
            's', 't', 0x62, 0x09, 0x14, 0xff, 0x61, 0x2f, 0x10, 0x92, 0xf1, 0x77, 0x6f, 0x1c, 0x16,
            0x68, 0xb3, 0x82, 0x5e},
        35},
    {0, 1, 0,
        {0x44, 0x02, 0x71, 0xc3, 0x00, 0x00, 0xb9, 0x32, 0x39, 'l', 'o', 'c', 'a', 'l', 'h', 'o',
            's', 't', 0x63, 0x09, 0x14, 0x00, 0xff, 0x4e, 0xd3, 0x39, 0xa5, 0xa3, 0x79, 0xb0, 0xb8,
            0xbc, 0x73, 0x1f, 0xff, 0xb0},
        36},
    {8, 0, 8,
        {0x44, 0x02, 0x2f, 0x8e, 0xef, 0x9b, 0xbf, 0x7a, 0x39, 'l', 'o', 'c', 'a', 'l', 'h', 'o',
            's', 't', 0x6b, 0x19, 0x14, 0x08, 0x37, 0xcb, 0xf3, 0x21, 0x00, 0x17, 0xa2, 0xd3, 0xff,
            0x72, 0xcd, 0x72, 0x73, 0xfd, 0x33, 0x1a, 0xc4, 0x5c, 0xff, 0xbe, 0x55, 0xc3},
        44},
};

Test(oscore, the_rfcs_own_requests)
{
        for (unsigned i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
                const uint8_t *bytes = vectors[i].request;
                struct context_spec spec = client_spec(20 + i, AEAD_AES_CCM_16_64_128);
                struct oscore_input *input = &spec.oscore;
                struct client_request request = {.piv = 20, .token_bytes = 4};
                struct datagram datagram = {.n = vectors[i].request_bytes};

                spec.native = false;
                for (uint8_t j = 0; j < 16; j++)
                        input->secret[j] = (uint8_t)(j + 1);
                memcpy(input->salt, "\x9e\x7c\xa9\x22\x23\x78\x63\x40", 8);
                input->salt_bytes = vectors[i].salt_bytes;
                input->sender_id[0] = 1;
                input->recipient_id[0] = 0;
                input->recipient_id_bytes = vectors[i].kid_bytes;
                input->has_id_context = vectors[i].id_context_bytes != 0;
                input->id_context_bytes = vectors[i].id_context_bytes;
                memcpy(input->id_context, "\x37\xcb\xf3\x21\x00\x17\xa2\xd3", 8);
                client_enrol_spec(&device, &harness, &spec);

                memcpy(datagram.bytes, bytes, datagram.n);
                request.message_id = (uint16_t)(bytes[2] << 8 | bytes[3]);
                memcpy(request.token, bytes + 4, 4);
                client_send(&device, &harness, &datagram);
                harness_drive(&harness);
                client_expect(&device, &harness, &request, COAP_NOT_FOUND, &reply);
        }
        expect_drops(DROP_OSCORE_INNER, 3);
}

/* Promise 1. */
Test(oscore, nothing_is_said_before_the_record_is_durable)
{
        struct client_request request;

        harness.writer = WRITER_HOLD;
        request = client_exchange(&device, &harness);
        client_expect_nothing(&harness);
        cr_assert_eq(dataplane_pending(harness.dataplane), 1);
        harness_release(&harness, RECEIPT_COMMITTED);
        harness_drive(&harness);
        cr_assert_eq(client_expect_leaf(&device, &harness, &request, &reply), 0);
        cr_assert_eq(dataplane_pending(harness.dataplane), 0);
}

/* Promise 2. */
Test(oscore, a_retransmission_gets_the_same_receipt_from_any_endpoint)
{
        struct client_request request = client_exchange(&device, &harness);

        client_expect_leaf(&device, &harness, &request, &reply);
        for (unsigned i = 0; i < 3; i++) {
                device.port++;
                device.family = i % 2 == 0 ? 6 : 4;
                request.message_id += 3;
                request.token[0]++;
                request.token_bytes = (uint8_t)(2 * i);
                send_again(&request);
                harness_drive(&harness);
                cr_assert_eq(client_expect_leaf(&device, &harness, &request, &again), 0);
                cr_assert_eq(again.outer.payload_bytes, reply.outer.payload_bytes);
                cr_assert_eq(
                    memcmp(again.outer.payload, reply.outer.payload, reply.outer.payload_bytes), 0);
        }
        cr_assert_eq(harness.kept_n, 1);
        client_expect_nothing(&harness);
        expect_drops(DROP_NONE, 0);
}

Test(oscore, the_last_four_receipts_are_kept)
{
        struct client_request requests[6];

        for (unsigned i = 0; i < 6; i++) {
                requests[i] = client_exchange(&device, &harness);
                cr_assert_eq(client_expect_leaf(&device, &harness, &requests[i], &reply), i);
        }
        for (unsigned i = 2; i < 6; i++) {
                send_again(&requests[i]);
                harness_drive(&harness);
                cr_assert_eq(client_expect_leaf(&device, &harness, &requests[i], &reply), i);
        }
        expect_drops(DROP_NONE, 0);
        send_again(&requests[1]);
        harness_drive(&harness);
        client_expect_plain(&device, &harness, &requests[1], COAP_UNAUTHORIZED, "Replay detected");
        expect_drops(DROP_OSCORE_REPLAY, 1);
        cr_assert_eq(harness.kept_n, 6);
}

Test(oscore, a_pending_retransmission_gets_silence_also_in_one_burst)
{
        struct client_request request = client_post(&device);

        harness.writer = WRITER_HOLD;
        send_again(&request);
        send_again(&request);
        send_again(&request);
        harness_drive(&harness);
        expect_drops(DROP_COAP_RETRANSMISSION_PENDING, 2);
        send_again(&request);
        harness_drive(&harness);
        expect_drops(DROP_COAP_RETRANSMISSION_PENDING, 1);
        client_expect_nothing(&harness);
        harness_release(&harness, RECEIPT_COMMITTED);
        harness_drive(&harness);
        cr_assert_eq(client_expect_leaf(&device, &harness, &request, &reply), 0);
        client_expect_nothing(&harness);
        cr_assert_eq(harness.kept_n, 1);
}

Test(oscore, a_duplicate_non_is_dropped)
{
        struct client_request request = client_post(&device);

        request.type = COAP_NON;
        send_again(&request);
        send_again(&request);
        harness_drive(&harness);
        cr_assert_eq(client_expect_leaf(&device, &harness, &request, &reply), 0);
        expect_drops(DROP_COAP_DUPLICATE_NON, 1);
        send_again(&request);
        harness_drive(&harness);
        client_expect_nothing(&harness);
        expect_drops(DROP_COAP_DUPLICATE_NON, 1);
        cr_assert_eq(harness.kept_n, 1);
}

/* Two requests of one partial IV cannot both be the device's; the first in order wins. */
Test(oscore, two_requests_of_one_partial_iv_in_a_burst_make_one_record)
{
        struct client_request first = client_post(&device), second = first;

        second.payload = "[{\"n\":\"urn:dev:x:8867-4\",\"u\":\"beat/min\",\"v\":73}]";
        second.payload_bytes = strlen(second.payload);
        send_again(&first);
        send_again(&second);
        harness_drive(&harness);
        client_expect_plain(&device, &harness, &second, COAP_UNAUTHORIZED, "Replay detected");
        cr_assert_eq(client_expect_leaf(&device, &harness, &first, &reply), 0);
        cr_assert_eq(harness.kept_n, 1);
        client_check_record(&device, &first, &harness.kept[0]);
        expect_drops(DROP_OSCORE_REPLAY, 1);
}

Test(oscore, partial_ivs_out_of_order)
{
        static const uint64_t order[] = {1, 3, 2, 70, 8, 7, 71, (UINT64_C(1) << 40) - 1};
        unsigned leaf = 0;

        for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
                struct client_request request;

                device.next_piv = order[i];
                request = client_exchange(&device, &harness);
                cr_assert_eq(client_expect_leaf(&device, &harness, &request, &reply), leaf++);
        }
        /* All else is far below the window; those whose receipts are kept are retransmissions. */
        for (uint64_t piv = 0; piv < 80; piv++) {
                struct client_request request;

                if (piv == 7 || piv == 8 || piv == 71)
                        continue;
                device.next_piv = piv;
                request = client_exchange(&device, &harness);
                client_expect_plain(
                    &device, &harness, &request, COAP_UNAUTHORIZED, "Replay detected");
        }
}

/* Promise 3. */
Test(oscore, forged_requests_change_nothing)
{
        struct client_request request = client_post(&device);
        struct datagram datagram, forged;
        uint64_t answered = 0;

        client_write(&device, &request, &datagram);
        /* Every single bit of ciphertext and tag. */
        for (size_t bit = 8 * (datagram.n - 80); bit < 8 * datagram.n; bit++) {
                forged = datagram;
                forged.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
                client_send(&device, &harness, &forged);
                harness_drive(&harness);
                client_expect_plain(
                    &device, &harness, &request, COAP_BAD_REQUEST, "Decryption failed");
                answered++;
        }
        expect_drops(DROP_OSCORE_DECRYPT, answered);
        cr_assert_eq(harness.kept_n, 0);
        client_send(&device, &harness, &datagram);
        harness_drive(&harness);
        cr_assert_eq(client_expect_leaf(&device, &harness, &request, &reply), 0);
}

Test(oscore, an_unknown_kid)
{
        struct client_request request = client_post(&device);

        device.input.sender_id[5] ^= 1; /* another generation */
        send_again(&request);
        harness_drive(&harness);
        client_expect_plain(
            &device, &harness, &request, COAP_UNAUTHORIZED, "Security context not found");
        expect_drops(DROP_OSCORE_UNKNOWN_CONTEXT, 1);
}

/* Promise 4: refused, then accepted, under one partial IV: two messages, two nonces. */
Test(oscore, busy_then_accepted)
{
        struct client_request request = client_post(&device);

        atomic_store(&harness.view->refuse, true);
        for (unsigned i = 0; i < 2; i++) {
                send_again(&request);
                harness_drive(&harness);
                client_expect(&device, &harness, &request, COAP_UNAVAILABLE, &again);
                cr_assert_eq(again.piv, (uint64_t)0xabcde << 20 | i);
                uint32_t max_age;

                cr_assert_eq(coap_find_uint(&again.inner, COAP_OPTION_MAX_AGE, &max_age), 0);
                cr_assert_eq(max_age, MAX_AGE_BUSY_S);
        }
        expect_drops(DROP_DRAINING, 2);
        atomic_store(&harness.view->refuse, false);
        send_again(&request);
        harness_drive(&harness);
        cr_assert_eq(client_expect_leaf(&device, &harness, &request, &reply), 0);
        cr_assert_neq(memcmp(reply.nonce, again.nonce, 13), 0);
}

Test(oscore, an_error_is_said_again_in_the_same_bytes)
{
        struct client_request request = client_post(&device);

        request.payload = "[{\"n\":\"a\"}]";
        request.payload_bytes = strlen(request.payload);
        send_again(&request);
        send_again(&request);
        harness_drive(&harness);
        client_expect(&device, &harness, &request, COAP_BAD_REQUEST, &reply);
        cr_assert_gt(reply.inner.payload_bytes, 0, "a diagnostic payload, inside");
        send_again(&request);
        harness_drive(&harness);
        client_expect(&device, &harness, &request, COAP_BAD_REQUEST, &again);
        cr_assert_eq(again.piv, reply.piv);
        cr_assert_eq(again.raw.n, reply.raw.n);
        cr_assert_eq(memcmp(again.raw.bytes, reply.raw.bytes, reply.raw.n), 0);
        cr_assert_eq(harness.kept_n, 0);
        cr_assert_eq(dataplane_pending(harness.dataplane), 0);
}

/* GET and refusals inside OSCORE: protected all of them, and no record. */
Test(oscore, inner_requests_that_are_no_records)
{
        struct client_request request;

        atomic_store(&harness.view->leaves, 3);
        request = client_post(&device);
        request.code = COAP_GET;
        request.path = "r/2";
        request.payload_bytes = 0;
        request.content_format = -1;
        send_again(&request);
        harness_drive(&harness);
        client_expect(&device, &harness, &request, COAP_CONTENT, &reply);
        cr_assert_arr_eq(
            reply.inner.payload, "{\"leaf\":2,\"durable\":true,\"published\":false}", 44);
        /* Not kept: what a leaf's representation says changes. */
        send_again(&request);
        harness_drive(&harness);
        client_expect_plain(&device, &harness, &request, COAP_UNAUTHORIZED, "Replay detected");

        request = client_post(&device);
        request.code = COAP_PUT;
        send_again(&request);
        harness_drive(&harness);
        client_expect(&device, &harness, &request, COAP_METHOD_NOT_ALLOWED, &reply);
        request = client_post(&device);
        request.content_format = 50;
        send_again(&request);
        harness_drive(&harness);
        client_expect(&device, &harness, &request, COAP_UNSUPPORTED_FORMAT, &reply);
        request = client_post(&device);
        request.extra_option = 65001;
        send_again(&request);
        harness_drive(&harness);
        client_expect(&device, &harness, &request, COAP_BAD_OPTION, &reply);
        cr_assert_eq(harness.taken, 0);
        cr_assert_eq(dataplane_pending(harness.dataplane), 0);
}

/* Every truncation of a valid request is rejected; every single bit flipped is accepted at most
 * once. */
Test(oscore, truncations_and_flipped_bits)
{
        struct client_request request = client_post(&device);
        struct datagram datagram, changed;
        uint8_t frame[HARNESS_FRAME_MAX];

        client_write(&device, &request, &datagram);
        for (size_t n = 0; n < datagram.n; n++) {
                changed = datagram;
                changed.n = n;
                client_send(&device, &harness, &changed);
                harness_drive(&harness);
        }
        cr_assert_eq(harness.taken, 0, "a truncated request was accepted");
        for (size_t bit = 0; bit < 8 * datagram.n; bit++) {
                changed = datagram;
                changed.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
                client_send(&device, &harness, &changed);
                harness_drive(&harness);
                while (harness_take(&harness, frame) != 0)
                        ;
        }
        /* Type, message ID, token are not protected: such a copy is the request, the first time. */
        cr_assert_eq(harness.taken, 1);
        client_check_record(&device, &request, &harness.kept[0]);
}
