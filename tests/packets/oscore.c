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
