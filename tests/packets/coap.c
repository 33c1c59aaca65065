/* SPDX-License-Identifier: Apache-2.0 */
/* Plain CoAP through the whole graph: the message layer, the resources, lab records. Messages are
 * written out as bytes. */
#include "tests/packets/client.h"

#include "dataplane/drops.h"
#include "dataplane/plumbing.h"
#include "dataplane/records.h"

#include <criterion/criterion.h>
#include <string.h>

static struct harness harness;
static uint16_t port = 50000;
static const uint8_t token[2] = {0xca, 0xfe};

static void
open_harness(bool lab)
{
        struct harness_options options = {.config = {.boot_epoch = 1, .lab = lab}};
        struct context_spec spec = client_spec(5, AEAD_AES_CCM_16_64_128);

        harness_open(&harness, &options);
        spec.lab = true;
        strcpy(spec.name, "demo");
        cr_assert_eq(contexts_patient_set(harness.contexts, 5, client_patient_key, 1), 0);
        cr_assert_eq(contexts_add(harness.contexts, &spec), 0);
}

static void
setup(void)
{
        open_harness(false);
}

static void
setup_lab(void)
{
        open_harness(true);
}

static void
teardown(void)
{
        harness_close(&harness);
}

TestSuite(coap, .init = setup, .fini = teardown);
TestSuite(lab, .init = setup_lab, .fini = teardown);

static void
send_bytes(const void *message, size_t bytes)
{
        struct wire wire;

        wire_datagram(&wire, 4, harness.mac[0], port, message, bytes);
        harness_inject(&harness, wire.bytes, wire.n);
        harness_drive(&harness);
}

#define SEND(literal) send_bytes(literal, sizeof(literal) - 1)

/* The next message the gateway sent; 0 bytes when there is none. */
static size_t
take(uint8_t out[HARNESS_FRAME_MAX])
{
        uint8_t frame[HARNESS_FRAME_MAX];
        size_t frame_bytes = harness_take(&harness, frame), bytes;
        const uint8_t *payload;

        if (frame_bytes == 0)
                return 0;
        payload = wire_payload(frame, frame_bytes, &bytes);
        memcpy(out, payload, bytes);
        return bytes;
}

static void
expect_bytes(const void *message, size_t bytes)
{
        uint8_t got[HARNESS_FRAME_MAX];

        cr_assert_eq(take(got), bytes);
        cr_assert_arr_eq(got, message, bytes);
}

#define EXPECT(literal) expect_bytes(literal, sizeof(literal) - 1)

static void
expect_silence(void)
{
        uint8_t got[HARNESS_FRAME_MAX];

        cr_assert_eq(take(got), 0, "the gateway should be silent");
}

static void
expect_drops(enum drop_reason reason, uint64_t n)
{
        uint64_t drops = harness_drops(&harness, reason);

        cr_assert_eq(drops, n, "%s: %lu", drop_metric(reason), (unsigned long)drops);
}

/* A request of the given type to path (segments joined by '/'), with options in between. */
struct ask {
        enum coap_type type;
        uint8_t code;
        const char *path, *query;
        int format, accept, block1, block2; /* -1: none */
        const void *payload;
        size_t payload_bytes;
        uint16_t message_id, extra_option;
};

#define ASK(code_, path_)                                                                          \
        ((struct ask){.code = (code_),                                                             \
            .path = (path_),                                                                       \
            .format = -1,                                                                          \
            .accept = -1,                                                                          \
            .block1 = -1,                                                                          \
            .block2 = -1,                                                                          \
            .message_id = 0x1234})

static size_t
write_ask(const struct ask *ask, uint8_t *out)
{
        const char *path = ask->path;
        struct coap_writer writer;

        coap_write_begin(
            &writer, out, CLIENT_MESSAGE_MAX, ask->type, ask->code, ask->message_id, token, 2);
        while (*path != '\0') {
                size_t bytes = strcspn(path, "/");

                coap_write_option(&writer, COAP_OPTION_URI_PATH, path, bytes);
                path += bytes + (path[bytes] == '/');
        }
        if (ask->format >= 0)
                coap_write_uint(&writer, COAP_OPTION_CONTENT_FORMAT, (uint32_t)ask->format);
        if (ask->query != NULL)
                coap_write_option(&writer, COAP_OPTION_URI_QUERY, ask->query, strlen(ask->query));
        if (ask->accept >= 0)
                coap_write_uint(&writer, COAP_OPTION_ACCEPT, (uint32_t)ask->accept);
        if (ask->block2 >= 0)
                coap_write_uint(&writer, COAP_OPTION_BLOCK2, (uint32_t)ask->block2);
        if (ask->block1 >= 0)
                coap_write_uint(&writer, COAP_OPTION_BLOCK1, (uint32_t)ask->block1);
        if (ask->extra_option != 0)
                coap_write_option(&writer, ask->extra_option, NULL, 0);
        coap_write_payload(&writer, ask->payload, ask->payload_bytes);
        cr_assert_gt(coap_write_end(&writer), 0);
        return (size_t)coap_write_end(&writer);
}

static uint8_t answer_bytes[HARNESS_FRAME_MAX];
static size_t answer_n;

/* Sends, and parses the answer: of the right type, message ID and token. */
static struct coap_message
ask(const struct ask *what)
{
        uint8_t message[CLIENT_MESSAGE_MAX];
        struct coap_message answer;

        send_bytes(message, write_ask(what, message));
        answer_n = take(answer_bytes);
        cr_assert_gt(answer_n, 0, "no answer");
        cr_assert_eq(coap_parse(&answer, answer_bytes, answer_n), COAP_OK);
        cr_assert_eq(answer.type, what->type == COAP_CON ? COAP_ACK : COAP_NON);
        if (what->type == COAP_CON)
                cr_assert_eq(answer.message_id, what->message_id);
        cr_assert_eq(answer.token_bytes, 2);
        cr_assert_arr_eq(answer.token, token, 2);
        return answer;
}

static void
expect_code(struct ask what, uint8_t code)
{
        struct coap_message answer = ask(&what);

        cr_assert_eq(
            answer.code, code, "%u.%02u for %s", answer.code >> 5, answer.code & 31, what.path);
}

/* ---- the message layer (RFC 7252 §4) ---- */

Test(coap, a_ping_is_reset)
{
        SEND("\x40\x00\x12\x34");
        EXPECT("\x70\x00\x12\x34");
        expect_drops(DROP_COAP_PING, 1);
}

Test(coap, malformed_cons_are_reset_and_nons_ignored)
{
        SEND("\x49\x01\x12\x34ttttttttt"); /* a token of 9 */
        EXPECT("\x70\x00\x12\x34");
        SEND("\x44\x01\x12\x35tt"); /* a cut token */
        EXPECT("\x70\x00\x12\x35");
        SEND("\x40\x01\x12\x36\xff"); /* a marker without a payload */
        EXPECT("\x70\x00\x12\x36");
        SEND("\x40\x01\x12\x37\xf1"); /* a reserved option delta */
        EXPECT("\x70\x00\x12\x37");
        SEND("\x41\x00\x12\x38t"); /* Empty with a token */
        EXPECT("\x70\x00\x12\x38");
        expect_drops(DROP_COAP_FORMAT, 5);
        SEND("\x59\x01\x12\x34ttttttttt");
        SEND("\x50\x01\x12\x36\xff");
        SEND("\x40\x01\x12"); /* no header to answer to */
        expect_silence();
        expect_drops(DROP_COAP_FORMAT, 3);
        SEND("\x80\x01\x12\x34");
        expect_silence();
        expect_drops(DROP_COAP_VERSION, 1);
}

Test(coap, what_is_no_request_is_never_answered)
{
        SEND("\x60\x00\x12\x34"); /* ACK */
        SEND("\x70\x00\x12\x34"); /* RST */
        SEND("\x60\x45\x12\x34"); /* ACK 2.05 */
        SEND("\x50\x45\x12\x34"); /* NON 2.05 */
        SEND("\x60\x01\x12\x34"); /* an ACK that is a GET */
        SEND("\x50\x00\x12\x34"); /* Empty NON */
        expect_silence();
        expect_drops(DROP_COAP_NOT_REQUEST, 6);
}

Test(coap, non_answers_have_message_ids_of_their_own)
{
        struct ask what = ASK(COAP_GET, "nowhere");
        uint16_t first;

        what.type = COAP_NON;
        first = ask(&what).message_id;
        cr_assert_neq(ask(&what).message_id, first);
}

/* Every truncation of a request that is served makes no record. */
Test(coap, truncations)
{
        uint8_t message[CLIENT_MESSAGE_MAX], got[HARNESS_FRAME_MAX];
        struct ask what = ASK(COAP_POST, "vitals");
        size_t bytes;

        what.format = 110;
        what.payload = CLIENT_PACK;
        what.payload_bytes = sizeof(CLIENT_PACK) - 1;
        bytes = write_ask(&what, message);
        for (size_t n = 0; n < bytes; n++) {
                send_bytes(message, n);
                while (take(got) != 0)
                        cr_assert_neq(got[1] >> 5, 2, "a success for %zu of %zu bytes", n, bytes);
        }
        cr_assert_eq(harness.taken, 0);
}

/* ---- resources ---- */

Test(coap, well_known_core)
{
        struct ask what = ASK(COAP_GET, ".well-known/core");
        struct coap_message answer = ask(&what);
        static const char links[] = "</vitals>;ct=\"110 112\",</r>;ct=50";
        uint32_t format, block2;

        cr_assert_eq(answer.code, COAP_CONTENT);
        cr_assert_eq(coap_find_uint(&answer, COAP_OPTION_CONTENT_FORMAT, &format), 0);
        cr_assert_eq(format, COAP_FORMAT_LINK);
        cr_assert_eq(answer.payload_bytes, sizeof(links) - 1);
        cr_assert_arr_eq(answer.payload, links, sizeof(links) - 1);
        /* RFC 9175: at most 136 bytes to whom nothing is known of. */
        cr_assert_leq(answer_n, AMPLIFICATION_BYTES_MIN);
        what.block2 = 1 << 4; /* the second block of 16 bytes */
        answer = ask(&what);
        cr_assert_eq(answer.payload_bytes, 16);
        cr_assert_arr_eq(answer.payload, links + 16, 16);
        cr_assert_eq(coap_find_uint(&answer, COAP_OPTION_BLOCK2, &block2), 0);
        cr_assert_eq(block2, 1 << 4 | 8);
        what.block2 = 2 << 4;
        answer = ask(&what);
        cr_assert_eq(answer.payload_bytes, sizeof(links) - 1 - 32);
        cr_assert_eq(coap_find_uint(&answer, COAP_OPTION_BLOCK2, &block2), 0);
        cr_assert_eq(block2, 2 << 4);
        expect_drops(DROP_NONE, 0);
}

static void
expect_leaf(const char *path, const char *json)
{
        struct ask what = ASK(COAP_GET, path);
        struct coap_message answer = ask(&what);

        cr_assert_eq(answer.code, COAP_CONTENT);
        cr_assert_eq(answer.payload_bytes, strlen(json));
        cr_assert_arr_eq(answer.payload, json, strlen(json));
}

Test(coap, what_is_known_of_a_leaf)
{
        atomic_store(&harness.view->leaves, 10);
        atomic_store(&harness.view->published, 9);
        expect_leaf("r/0", "{\"leaf\":0,\"durable\":true,\"published\":true}");
        expect_leaf("r/9", "{\"leaf\":9,\"durable\":true,\"published\":false}");
        expect_leaf("r/10", "{\"leaf\":10,\"durable\":false,\"published\":false}");
        expect_code(ASK(COAP_GET, "r"), COAP_NOT_FOUND);
        expect_code(ASK(COAP_GET, "r/01"), COAP_NOT_FOUND);
        expect_code(ASK(COAP_GET, "r/x"), COAP_NOT_FOUND);
        expect_code(ASK(COAP_GET, "r/1234567890123456"), COAP_NOT_FOUND);
        expect_code(ASK(COAP_GET, "r/1/2"), COAP_NOT_FOUND);
        expect_drops(DROP_COAP_REFUSED, 5);
}

Test(coap, refusals)
{
        struct ask what;
        struct coap_message answer;
        uint32_t size1;

        expect_code(ASK(COAP_GET, "nowhere"), COAP_NOT_FOUND);
        expect_code(ASK(COAP_GET, "vitals"), COAP_METHOD_NOT_ALLOWED);
        expect_code(ASK(COAP_DELETE, "vitals"), COAP_METHOD_NOT_ALLOWED);
        expect_code(ASK(COAP_POST, "r/1"), COAP_METHOD_NOT_ALLOWED);
        expect_code(ASK(COAP_PUT, ".well-known/core"), COAP_METHOD_NOT_ALLOWED);
        expect_code(ASK(COAP_POST, "vitals"), COAP_UNSUPPORTED_FORMAT);
        what = ASK(COAP_POST, "vitals");
        what.format = 50;
        expect_code(what, COAP_UNSUPPORTED_FORMAT);
        what.format = 110;
        expect_code(what, COAP_UNAUTHORIZED);
        what.query = "d=demo"; /* the lab is off */
        expect_code(what, COAP_UNAUTHORIZED);
        what = ASK(COAP_GET, ".well-known/core");
        what.accept = 50;
        expect_code(what, COAP_NOT_ACCEPTABLE);
        what = ASK(COAP_GET, ".well-known/core");
        what.extra_option = 65001; /* critical, unknown */
        expect_code(what, COAP_BAD_OPTION);
        what.extra_option = 65000; /* elective */
        expect_code(what, COAP_CONTENT);
        what = ASK(COAP_POST, "vitals");
        what.format = 110;
        what.block1 = 8 | 6; /* more to come */
        answer = ask(&what);
        cr_assert_eq(answer.code, COAP_TOO_LARGE);
        cr_assert_eq(coap_find_uint(&answer, COAP_OPTION_SIZE1, &size1), 0);
        cr_assert_eq(size1, SEAL_PAYLOAD_MAX);
        cr_assert_eq(harness.taken, 0);
        expect_drops(DROP_COAP_REFUSED, 12);
}

/* Errors to whom nothing is known of are so many a second, the rest silence. */
Test(coap, errors_are_rate_limited)
{
        struct rate_limit *limit = &harness.dataplane->workers[0]->records->errors;
        struct ask what = ASK(COAP_GET, "nowhere");
        uint8_t message[CLIENT_MESSAGE_MAX], got[HARNESS_FRAME_MAX];
        size_t bytes = write_ask(&what, message);
        struct dataplane_counters counters;
        unsigned answers = 0;

        /* Three now, and the next in eleven days. */
        limit->cost_ns = UINT64_C(1000000000000000);
        limit->credit_ns = limit->credit_max_ns = 3 * limit->cost_ns;
        for (unsigned i = 0; i < 10; i++) {
                send_bytes(message, bytes);
                while (take(got) != 0)
                        answers++;
        }
        SEND("\x40\x00\x12\x34"); /* a ping's RST is such an answer, too */
        expect_silence();
        cr_assert_eq(answers, 3);
        dataplane_counters(harness.dataplane, &counters);
        cr_assert_eq(counters.drops[DROP_RATE_LIMITED_ERROR], 8);
        cr_assert_eq(counters.drops[DROP_COAP_REFUSED], 10);
}

/* ---- OSCORE's unprotected errors ---- */

Test(coap, oscore_that_cannot_be)
{
        uint8_t message[64] = "\x42\x02\x12\x34\xca\xfe";
        uint8_t got[HARNESS_FRAME_MAX];
        /* The option's delta and length, then its value. */
        static const struct {
                uint8_t bytes[16];
                uint8_t n, code;
                enum drop_reason drop;
        } bad[] = {
            {{0x93, 0xe0, 0, 0}, 4, COAP_BAD_OPTION, DROP_OSCORE_OPTION}, /* reserved bits */
            {{0x91, 0x06}, 2, COAP_BAD_OPTION, DROP_OSCORE_OPTION},       /* a partial IV of 6 */
            {{0x93, 0x0a, 0, 1}, 4, COAP_BAD_OPTION, DROP_OSCORE_OPTION}, /* not minimal */
            {{0x92, 0x08, 'k'}, 3, COAP_BAD_OPTION, DROP_OSCORE_OPTION},  /* no partial IV */
            {{0x90}, 1, COAP_BAD_OPTION, DROP_OSCORE_OPTION},             /* nothing at all */
            {{0x92, 0x01, 5}, 3, COAP_UNAUTHORIZED, DROP_OSCORE_UNKNOWN_CONTEXT}, /* no kid */
            {{0x93, 0x09, 5, 'k'}, 4, COAP_UNAUTHORIZED, DROP_OSCORE_UNKNOWN_CONTEXT},
        };

        for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                memcpy(message + 6, bad[i].bytes, bad[i].n);
                memcpy(message + 6 + bad[i].n,
                    "\xff"
                    "0123456789abcdef",
                    17);
                send_bytes(message, 6u + bad[i].n + 17);
                cr_assert_gt(take(got), 0);
                cr_assert_eq(got[0], 0x62);
                cr_assert_eq(got[1], bad[i].code, "case %u: %u.%02u", i, got[1] >> 5, got[1] & 31);
                expect_drops(bad[i].drop, 1);
        }
        /* Without a payload the message is malformed, RFC 8613 section 2. */
        memcpy(message + 6, "\x92\x09\x05", 3);
        send_bytes(message, 9);
        EXPECT("\x70\x00\x12\x34");
        expect_drops(DROP_COAP_FORMAT, 1);
        cr_assert_eq(harness.taken, 0);
}

/* ---- the lab ---- */

static struct ask
lab_post(uint16_t message_id)
{
        struct ask what = ASK(COAP_POST, "vitals");

        what.format = 110;
        what.query = "d=demo";
        what.payload = CLIENT_PACK;
        what.payload_bytes = sizeof(CLIENT_PACK) - 1;
        what.message_id = message_id;
        return what;
}

/* 2.01, Location-Path r/<one digit>. */
static void
expect_created(const struct coap_message *answer, char leaf)
{
        cr_assert_eq(answer->code, COAP_CREATED);
        cr_assert_eq(answer->option_count, 2);
        cr_assert_eq(coap_option_value(answer, &answer->options[0])[0], 'r');
        cr_assert_eq(answer->options[1].bytes, 1);
        cr_assert_eq(coap_option_value(answer, &answer->options[1])[0], leaf);
}

Test(lab, a_plain_record)
{
        struct ask what = lab_post(7);
        struct coap_message answer = ask(&what);
        const struct kept_record *record = &harness.kept[0];
        uint8_t plain[SEAL_PAYLOAD_MAX];
        struct seal_header header;

        expect_created(&answer, '0');
        cr_assert_eq(harness.kept_n, 1);
        cr_assert_eq(seal_header_read(&header, record->sealed, record->desc.sealed_bytes), 0);
        cr_assert_eq(header.kind, RECORD_LAB);
        cr_assert_eq(record->desc.kind, RECORD_LAB);
        cr_assert_eq(header.context_id, 5005);
        cr_assert_eq(header.oscore_tag_bytes, 0);
        cr_assert_eq(header.message_id & 0xffff, 7);
        cr_assert_eq(
            seal_open_record(plain, record->sealed, record->desc.sealed_bytes, client_patient_key),
            0);
        cr_assert_arr_eq(plain, CLIENT_PACK, sizeof(CLIENT_PACK) - 1);
        expect_drops(DROP_NONE, 0);
}

Test(lab, only_enrolled_lab_devices)
{
        struct ask what = lab_post(7);

        what.query = "d=demo2";
        expect_code(what, COAP_UNAUTHORIZED);
        what.query = "e=demo";
        expect_code(what, COAP_UNAUTHORIZED);
        what.query = NULL;
        expect_code(what, COAP_UNAUTHORIZED);
        expect_drops(DROP_LAB_NOT_ENROLLED, 3);
        cr_assert_eq(harness.taken, 0);
}

Test(lab, a_duplicate_con_gets_the_same_bytes)
{
        struct ask what = lab_post(7);
        uint8_t first[HARNESS_FRAME_MAX];
        size_t first_n;

        ask(&what);
        first_n = answer_n;
        memcpy(first, answer_bytes, first_n);
        for (unsigned i = 0; i < 3; i++) {
                ask(&what);
                cr_assert_eq(answer_n, first_n);
                cr_assert_arr_eq(answer_bytes, first, first_n);
        }
        cr_assert_eq(harness.kept_n, 1);
        /* From another endpoint it is another message. */
        port++;
        ask(&what);
        cr_assert_eq(harness.kept_n, 2);
        what.message_id++;
        ask(&what);
        cr_assert_eq(harness.kept_n, 3);
}

Test(lab, pending_and_non_duplicates_get_silence)
{
        uint8_t message[CLIENT_MESSAGE_MAX];
        struct ask what = lab_post(7);
        size_t bytes = write_ask(&what, message);

        harness.writer = WRITER_HOLD;
        send_bytes(message, bytes);
        send_bytes(message, bytes);
        expect_silence();
        expect_drops(DROP_COAP_RETRANSMISSION_PENDING, 1);
        harness_release(&harness, RECEIPT_COMMITTED);
        harness_drive(&harness);
        cr_assert_gt(take(answer_bytes), 0);
        expect_silence();
        what.type = COAP_NON;
        what.message_id++;
        harness.writer = WRITER_COMMIT;
        ask(&what);
        bytes = write_ask(&what, message);
        send_bytes(message, bytes);
        expect_silence();
        expect_drops(DROP_COAP_DUPLICATE_NON, 1);
        cr_assert_eq(harness.kept_n, 2);
}

Test(lab, a_bad_pack_is_refused_and_may_be_mended)
{
        struct ask what = lab_post(7);
        struct coap_message answer;

        what.payload = "[{}]";
        what.payload_bytes = 4;
        answer = ask(&what);
        cr_assert_eq(answer.code, COAP_BAD_REQUEST);
        cr_assert_gt(answer.payload_bytes, 0);
        expect_drops(DROP_SENML_BAD, 1);
        what = lab_post(7);
        answer = ask(&what);
        expect_created(&answer, '0');
        cr_assert_eq(dataplane_pending(harness.dataplane), 0);
}

Test(lab, failed_flushes_and_refusals)
{
        uint8_t message[CLIENT_MESSAGE_MAX];
        struct ask what = lab_post(7);
        struct coap_message answer;
        uint32_t max_age;

        harness.writer = WRITER_SILENCE;
        send_bytes(message, write_ask(&what, message));
        harness.writer = WRITER_COMMIT;
        send_bytes(message, write_ask(&what, message));
        expect_silence();
        cr_assert_eq(harness.kept_n, 1);

        harness.writer = WRITER_REFUSE;
        what.message_id++;
        answer = ask(&what);
        cr_assert_eq(answer.code, COAP_UNAVAILABLE);
        harness.writer = WRITER_COMMIT;
        answer = ask(&what);
        expect_created(&answer, '0');

        atomic_store(&harness.view->refuse, true);
        what.message_id++;
        answer = ask(&what);
        cr_assert_eq(answer.code, COAP_UNAVAILABLE);
        cr_assert_eq(coap_find_uint(&answer, COAP_OPTION_MAX_AGE, &max_age), 0);
        cr_assert_eq(max_age, MAX_AGE_BUSY_S);
}

/* Debian's coap-client sends what is longer than it likes in blocks. */
Test(lab, blocks_get_4_13)
{
        struct ask what = lab_post(7);

        what.block1 = 8 | 6;
        expect_code(what, COAP_TOO_LARGE);
        what.message_id++;
        what.block1 = 6; /* one block that is all */
        expect_code(what, COAP_CREATED);
}
