/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of records when something is full, fails, or was restarted: promises 1, 2, 4 and 7.
 */
#include "tests/packets/client.h"

#include "dataplane/contexts_private.h"
#include "dataplane/drops.h"
#include "dataplane/echo.h"
#include "dataplane/plumbing.h"
#include "dataplane/records.h"

#include <criterion/criterion.h>
#include <string.h>

#define EPOCH 0xabcdeu

static struct harness harness;
static struct client client;
static struct client_reply reply, again;

static void
setup(void)
{
        struct harness_options options = {
            .config = {.boot_epoch = EPOCH, .echo_secret = {1, 2, 3}, .realm = 7}};

        harness_open(&harness, &options);
}

static void
teardown(void)
{
        harness_close(&harness);
}

TestSuite(records, .init = setup, .fini = teardown);

static void
send_again(const struct client_request *request)
{
        struct datagram datagram;

        client_write(&client, request, &datagram);
        client_send(&client, &harness, &datagram);
        harness_drive(&harness);
}

static void
expect_drops(enum drop_reason reason, uint64_t n)
{
        uint64_t drops = harness_drops(&harness, reason);

        cr_assert_eq(drops, n, "%s: %lu", drop_metric(reason), (unsigned long)drops);
}

static void
enrol(const struct context_window *window)
{
        client_enrol(&client, &harness, 5, AEAD_AES_CCM_16_64_128, window);
}

static struct context *
context(void)
{
        return &contexts_table(harness.contexts)->slots[client.spec.slot];
}

/* ---- after a clean stop ---- */

Test(records, a_known_window_and_its_receipts_hold)
{
        struct context_window window = {0};
        struct client_request request, before;
        struct datagram datagram;

        /* What the device sent before the stop. */
        enrol(NULL);
        client.next_piv = 20;
        before = client_post(&client);
        client_write(&client, &before, &datagram);
        cr_assert_eq(contexts_remove(harness.contexts, 5), 0);
        window.state = WINDOW_KNOWN;
        window.top = 22;
        window.bits = 0x5; /* 22 and 20 */
        window.receipts_n = 1;
        window.receipts[0].partial_iv = 20;
        window.receipts[0].leaf = 123456789012;
        memcpy(window.receipts[0].tag, datagram.bytes + datagram.n - 8, 8);
        enrol(&window);

        send_again(&before);
        cr_assert_eq(client_expect_leaf(&client, &harness, &before, &reply), 123456789012);
        client.next_piv = 22;
        request = client_exchange(&client, &harness);
        client_expect_plain(&client, &harness, &request, COAP_UNAUTHORIZED, "Replay detected");
        client.next_piv = 21;
        request = client_exchange(&client, &harness);
        cr_assert_eq(client_expect_leaf(&client, &harness, &request, &reply), 0);
        cr_assert_eq(harness.kept_n, 1);
}

/* ---- after an unclean one ---- */

static void
take_echo(const struct client_request *request, uint8_t echo[ECHO_BYTES])
{
        const struct coap_option *option;

        client_expect(&client, &harness, request, COAP_UNAUTHORIZED, &reply);
        cr_assert_eq(reply.piv >> REPLY_COUNTER_BITS, EPOCH, "the server's own partial IV");
        cr_assert_eq(reply.inner.option_count, 1, "Echo only");
        cr_assert_eq(reply.inner.payload_bytes, 0);
        option = coap_find(&reply.inner, COAP_OPTION_ECHO);
        cr_assert(option != NULL && option->bytes == ECHO_BYTES);
        memcpy(echo, coap_option_value(&reply.inner, option), ECHO_BYTES);
}

static const struct context_window unknown = {.state = WINDOW_UNKNOWN};

Test(records, an_unknown_window_takes_an_echo_and_starts_there)
{
        struct client_request request, second;
        uint8_t echo[ECHO_BYTES];

        enrol(&unknown);
        client.next_piv = 50;
        request = client_exchange(&client, &harness);
        take_echo(&request, echo);
        cr_assert_eq(harness.kept_n, 0);
        expect_drops(DROP_OSCORE_ECHO, 1);

        second = client_post(&client); /* 51 */
        second.echo = echo;
        second.echo_bytes = sizeof(echo);
        send_again(&second);
        cr_assert_eq(client_expect_leaf(&client, &harness, &second, &reply), 0);
        /* The floor: the first was never accepted, and never will be. */
        send_again(&request);
        client_expect_plain(&client, &harness, &request, COAP_UNAUTHORIZED, "Replay detected");
        /* From here on as ever. */
        request = client_exchange(&client, &harness);
        cr_assert_eq(client_expect_leaf(&client, &harness, &request, &reply), 1);
        send_again(&second);
        cr_assert_eq(client_expect_leaf(&client, &harness, &second, &reply), 0);
}

Test(records, an_echo_of_another_context_or_time_is_none)
{
        struct client_request request;
        uint8_t echo[ECHO_BYTES], secret[ECHO_SECRET_BYTES] = {1, 2, 3};
        uint64_t now_ns;

        enrol(&unknown);
        request = client_exchange(&client, &harness);
        take_echo(&request, echo);
        now_ns = harness.dataplane->workers[0]->now_ns;
        for (unsigned i = 0; i < 3; i++) {
                request = client_post(&client);
                request.echo = echo;
                request.echo_bytes = sizeof(echo);
                if (i == 0)
                        echo_make(echo, secret, client.spec.context_id + 1, now_ns);
                else if (i == 1)
                        echo_make(echo, secret, client.spec.context_id,
                            now_ns - (ECHO_LIFETIME_S + 2) * UINT64_C(1000000000));
                else
                        request.echo_bytes = ECHO_BYTES - 1;
                send_again(&request);
                client_expect(&client, &harness, &request, COAP_UNAUTHORIZED, &reply);
                cr_assert_eq(context()->window_state, WINDOW_UNKNOWN);
        }
        cr_assert_eq(harness.kept_n, 0);
}

Test(records, what_was_recorded_before_an_unclean_stop_is_a_retransmission)
{
        struct context_window window = {.state = WINDOW_UNKNOWN, .top = 20, .bits = 0x9};
        struct client_request before, request;
        struct datagram datagram;
        uint8_t echo[ECHO_BYTES];

        enrol(NULL);
        client.next_piv = 20;
        before = client_post(&client);
        client_write(&client, &before, &datagram);
        cr_assert_eq(contexts_remove(harness.contexts, 5), 0);
        window.receipts_n = 1;
        window.receipts[0].partial_iv = 20;
        window.receipts[0].leaf = 77;
        memcpy(window.receipts[0].tag, datagram.bytes + datagram.n - 8, 8);
        enrol(&window);

        send_again(&before);
        cr_assert_eq(client_expect_leaf(&client, &harness, &before, &reply), 77);
        client.next_piv = 17; /* recorded, its receipt no longer kept */
        request = client_exchange(&client, &harness);
        client_expect_plain(&client, &harness, &request, COAP_UNAUTHORIZED, "Replay detected");
        client.next_piv = 18; /* perhaps accepted, perhaps not */
        request = client_exchange(&client, &harness);
        take_echo(&request, echo);
        /* Echo does not help a partial IV below what was recorded: it is no new request. */
        request.echo = echo;
        request.echo_bytes = sizeof(echo);
        send_again(&request);
        client_expect(&client, &harness, &request, COAP_UNAUTHORIZED, &reply);
        client.next_piv = 21;
        request = client_post(&client);
        request.echo = echo;
        request.echo_bytes = sizeof(echo);
        send_again(&request);
        cr_assert_eq(client_expect_leaf(&client, &harness, &request, &reply), 0);
        /* The floor has erased nothing. */
        send_again(&before);
        cr_assert_eq(client_expect_leaf(&client, &harness, &before, &reply), 77);
}

/* ---- promise 4: server partial IVs ---- */

Test(records, server_partial_ivs_never_repeat_and_run_out_in_silence)
{
        struct client_request request;

        enrol(NULL);
        context()->reply_counter = REPLY_COUNTER_MAX - 1;
        for (unsigned i = 0; i < 4; i++) {
                request = client_post(&client);
                request.path = "nowhere";
                send_again(&request);
                if (i < 2) {
                        client_expect(&client, &harness, &request, COAP_NOT_FOUND, &reply);
                        cr_assert_eq(reply.piv,
                            (uint64_t)EPOCH << REPLY_COUNTER_BITS | (REPLY_COUNTER_MAX - 1 + i));
                } else {
                        client_expect_nothing(&harness);
                }
        }
        /* A receipt needs none. */
        request = client_exchange(&client, &harness);
        cr_assert_eq(client_expect_leaf(&client, &harness, &request, &reply), 0);
}

Test(records, replies_that_anyone_can_provoke_are_paced)
{
        struct client_request request;
        unsigned answered = 0;

        enrol(&unknown);
        context()->reply_counter = REPLY_PACED_FROM;
        request = client_post(&client);
        for (unsigned i = 0; i < 50; i++) {
                send_again(&request);
                while (client_take(&client, &harness, &request, &reply))
                        answered++;
        }
        cr_assert_geq(answered, 1);
        cr_assert_eq(context()->reply_counter, REPLY_PACED_FROM + answered);
        cr_assert_eq(
            answered + harness.dataplane->workers[0]->counters.drops[DROP_RATE_LIMITED_ERROR], 50);
        /* An hour would do for fifty copies: a test this slow is broken otherwise. */
        cr_assert_lt(answered, 50);
}

/* ---- promise 7 ---- */

Test(records, a_full_commit_ring_refuses_and_moves_no_window)
{
        struct client_request request;
        unsigned served = 0;

        harness.writer = WRITER_STALL;
        /* As many of each context as one may have, until the ring holds no more. */
        for (unsigned i = 0; i < 400 && served < COMMIT_RING_SLOTS; i++) {
                client_enrol(&client, &harness, 100 + i, AEAD_AES_CCM_16_64_128, NULL);
                for (unsigned j = 0; j < PENDING_CONTEXT_MAX; j++) {
                        struct datagram datagram;

                        request = client_post(&client);
                        client_write(&client, &request, &datagram);
                        client_send(&client, &harness, &datagram);
                }
                harness_drive(&harness);
                served += PENDING_CONTEXT_MAX;
        }
        expect_drops(DROP_NONE, 0);
        cr_assert_eq(dataplane_pending(harness.dataplane), COMMIT_RING_SLOTS);
        enrol(NULL);
        request = client_exchange(&client, &harness);
        client_expect(&client, &harness, &request, COAP_UNAVAILABLE, &reply);
        expect_drops(DROP_RING_FULL, 1);
        cr_assert_eq(context()->window_bits, 0);
        harness.writer = WRITER_COMMIT;
        harness_drive(&harness);
        cr_assert_eq(dataplane_pending(harness.dataplane), 0);
        {
                uint8_t frame[HARNESS_FRAME_MAX];
                unsigned receipts = 0;

                while (harness_take(&harness, frame) != 0)
                        receipts++;
                /* The peer's ring is smaller than that: what it did not take is counted. */
                cr_assert_eq(receipts + harness_drops(&harness, DROP_TX_FULL), COMMIT_RING_SLOTS);
        }
        send_again(&request);
        cr_assert_eq(client_expect_leaf(&client, &harness, &request, &reply), COMMIT_RING_SLOTS);
}

Test(records, one_context_holds_64_at_most)
{
        struct client_request request;

        harness.writer = WRITER_HOLD;
        enrol(NULL);
        for (unsigned i = 0; i < PENDING_CONTEXT_MAX; i++)
                request = client_exchange(&client, &harness);
        expect_drops(DROP_NONE, 0);
        request = client_exchange(&client, &harness);
        client_expect(&client, &harness, &request, COAP_UNAVAILABLE, &reply);
        expect_drops(DROP_PENDING_FULL, 1);
        harness_release(&harness, RECEIPT_COMMITTED);
        harness_drive(&harness);
        cr_assert_eq(atomic_load(&context()->pending), PENDING_NONE);
        {
                uint8_t frame[HARNESS_FRAME_MAX];
                unsigned n = 0;

                while (harness_take(&harness, frame) != 0)
                        n++;
                cr_assert_eq(n, PENDING_CONTEXT_MAX);
        }
        harness.writer = WRITER_COMMIT;
        send_again(&request);
        cr_assert_eq(client_expect_leaf(&client, &harness, &request, &reply), PENDING_CONTEXT_MAX);
}

Test(records, refused_by_the_writer)
{
        struct client_request request;

        harness.writer = WRITER_REFUSE;
        enrol(NULL);
        request = client_exchange(&client, &harness);
        client_expect(&client, &harness, &request, COAP_UNAVAILABLE, &reply);
        /* Final for this partial IV; and the same bytes again. */
        harness.writer = WRITER_COMMIT;
        send_again(&request);
        client_expect(&client, &harness, &request, COAP_UNAVAILABLE, &again);
        cr_assert_eq(again.raw.n, reply.raw.n);
        cr_assert_eq(memcmp(again.raw.bytes, reply.raw.bytes, reply.raw.n), 0);
        request = client_exchange(&client, &harness);
        cr_assert_eq(client_expect_leaf(&client, &harness, &request, &reply), 0);
}

Test(records, of_a_failed_flush_nothing_is_said_ever)
{
        struct client_request request;

        harness.writer = WRITER_SILENCE;
        enrol(NULL);
        request = client_exchange(&client, &harness);
        client_expect_nothing(&harness);
        expect_drops(DROP_FLUSH_FAILED, 1);
        harness.writer = WRITER_COMMIT;
        send_again(&request);
        client_expect_nothing(&harness);
        expect_drops(DROP_COAP_RETRANSMISSION_PENDING, 1);
        cr_assert_eq(harness.kept_n, 1);
        cr_assert_eq(dataplane_pending(harness.dataplane), 0);
}

Test(records, a_device_that_is_removed_while_pending_gets_its_receipt)
{
        struct client_request request;
        struct context_spec spec;

        harness.writer = WRITER_HOLD;
        enrol(NULL);
        request = client_exchange(&client, &harness);
        spec = client.spec;
        cr_assert_eq(contexts_remove(harness.contexts, 5), 0);
        spec.generation++;
        native_kid(spec.oscore.recipient_id, 5, spec.generation);
        cr_assert_eq(contexts_add(harness.contexts, &spec), -EAGAIN);
        harness_release(&harness, RECEIPT_COMMITTED);
        harness_drive(&harness);
        cr_assert_eq(client_expect_leaf(&client, &harness, &request, &reply), 0);
        cr_assert_eq(contexts_add(harness.contexts, &spec), 0);
        send_again(&request);
        client_expect_plain(
            &client, &harness, &request, COAP_UNAUTHORIZED, "Security context not found");
}

Test(records, a_patient_without_a_key)
{
        struct client_request request;

        enrol(NULL);
        cr_assert_eq(contexts_patient_wipe(harness.contexts, client.spec.patient), 0);
        request = client_exchange(&client, &harness);
        client_expect(&client, &harness, &request, COAP_FORBIDDEN, &reply);
        cr_assert_eq(harness.kept_n, 0);
        cr_assert_eq(dataplane_pending(harness.dataplane), 0);
}

Test(records, seals_never_share_a_nonce)
{
        static uint8_t nonces[300][SEAL_NONCE_BYTES];
        struct seal_header header;

        enrol(NULL);
        for (unsigned i = 0; i < 300; i++) {
                if (i == 150)
                        harness.dataplane->workers[0]->records->seal_counter = UINT32_MAX - 10;
                client_exchange(&client, &harness);
                cr_assert_eq(harness.kept_n, i + 1);
                cr_assert_eq(seal_header_read(&header, harness.kept[i].sealed,
                                 harness.kept[i].desc.sealed_bytes),
                    0);
                memcpy(nonces[i], header.nonce, SEAL_NONCE_BYTES);
                cr_assert_eq(
                    header.nonce[0] << 12 | header.nonce[1] << 4 | header.nonce[2] >> 4, EPOCH);
                for (unsigned j = 0; j < i; j++)
                        cr_assert_neq(memcmp(nonces[i], nonces[j], SEAL_NONCE_BYTES), 0);
        }
}

Test(records, an_implausible_value_is_stored_and_flagged)
{
        struct client_request request;
        struct seal_header header;

        enrol(NULL);
        request = client_post(&client);
        request.payload = "[{\"n\":\"urn:dev:x:8867-4\",\"u\":\"beat/min\",\"v\":7200}]";
        request.payload_bytes = strlen(request.payload);
        send_again(&request);
        cr_assert_eq(client_expect_leaf(&client, &harness, &request, &reply), 0);
        client_check_record(&client, &request, &harness.kept[0]);
        cr_assert_eq(
            seal_header_read(&header, harness.kept[0].sealed, harness.kept[0].desc.sealed_bytes),
            0);
        cr_assert_eq(header.flags, RECORD_FLAG_IMPLAUSIBLE);
}

/* The largest pack that is a record, and the first that is not. */
Test(records, the_largest_payload)
{
        static char payload[SEAL_PAYLOAD_MAX + 1];
        struct client_request request;
        static const char head[] = "[{\"n\":\"urn:dev:x:8867-4\",\"u\":\"beat/min\",\"v\":72}";

        enrol(NULL);
        memset(payload, ' ', sizeof(payload));
        memcpy(payload, head, sizeof(head) - 1);
        for (unsigned more = 0; more < 2; more++) {
                request = client_post(&client);
                payload[SEAL_PAYLOAD_MAX - 1] = ' ';
                payload[SEAL_PAYLOAD_MAX - 1 + more] = ']';
                request.payload = payload;
                request.payload_bytes = SEAL_PAYLOAD_MAX + more;
                send_again(&request);
                if (more == 0) {
                        cr_assert_eq(client_expect_leaf(&client, &harness, &request, &reply), 0);
                        client_check_record(&client, &request, &harness.kept[0]);
                } else {
                        uint32_t size1;

                        client_expect(&client, &harness, &request, COAP_TOO_LARGE, &reply);
                        cr_assert_eq(coap_find_uint(&reply.inner, COAP_OPTION_SIZE1, &size1), 0);
                        cr_assert_eq(size1, SEAL_PAYLOAD_MAX);
                }
        }
        cr_assert_eq(harness.kept_n, 1);
}
