/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: the client's OSCORE is RFC 8613's, by the requests of Appendix C.4 to C.6 and the
 * responses of C.7 and C.8, byte by byte. */
#include "bench/client.h"
#include "dataplane/coap/coap.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

struct request_vector {
        const char *salt, *id_context, *sender_id, *message;
        uint16_t message_id;
};

static const struct request_vector c4 = {"9e7ca92223786340", NULL, "",
    "44025d1f00003974396c6f63616c686f7374620914ff612f1092f1776f1c1668b3825e", 0x5d1f};
static const struct request_vector c5 = {"", NULL, "00",
    "440271c30000b932396c6f63616c686f737463091400ff4ed339a5a379b0b8bc731fffb0", 0x71c3};
static const struct request_vector c6 = {"9e7ca92223786340", "37cbf3210017a2d3", "",
    "44022f8eef9bbf7a396c6f63616c686f73746b19140837cbf3210017a2d3ff72cd7273fd331ac45cffbe55c3",
    0x2f8e};
static const char c7[] = "64445d1f0000397490ffdbaad1e9a7e7b2a813d3c31524378303cdafae119106";
static const char c8[] = "64445d1f00003974920100ff4d4c13669384b67354b2b6175ff4b8658c666a6cf88e";

static uint8_t
hex(uint8_t *out, size_t room, const char *text)
{
        size_t n = 0;

        cr_assert_eq(sodium_hex2bin(out, room, text, strlen(text), NULL, &n, NULL), 0);
        return (uint8_t)n;
}

static struct engine *
new_engine(enum engine_backend backend)
{
        struct engine *engine = NULL;

        if (engine_create(&engine, backend) < 0)
                return NULL;
        return engine;
}

static void
open_client(struct client *client, struct engine *engine, const struct request_vector *vector)
{
        struct oscore_input input = {.alg = 10, .recipient_id = {1}, .recipient_id_bytes = 1};

        input.secret_bytes =
            hex(input.secret, sizeof(input.secret), "0102030405060708090a0b0c0d0e0f10");
        input.salt_bytes = hex(input.salt, sizeof(input.salt), vector->salt);
        input.sender_id_bytes = hex(input.sender_id, sizeof(input.sender_id), vector->sender_id);
        if (vector->id_context != NULL) {
                input.has_id_context = true;
                input.id_context_bytes =
                    hex(input.id_context, sizeof(input.id_context), vector->id_context);
        }
        cr_assert_eq(client_init(client, engine, &input), 0);
        client->next_piv = 20;
}

static void
check_request(const struct request_vector *vector, enum engine_backend backend)
{
        struct engine *engine = new_engine(backend);
        struct client client;
        uint8_t want[128], got[CLIENT_MESSAGE_MAX];
        size_t want_bytes;
        uint64_t piv = 0;

        if (engine == NULL)
                return;
        want_bytes = hex(want, sizeof(want), vector->message);
        open_client(&client, engine, vector);
        struct client_request request = {
            .type = COAP_CON,
            .code = COAP_GET,
            .path = "tv1",
            .host = "localhost",
            .message_id = vector->message_id,
            .token = want + 4, /* of the vector itself */
            .token_bytes = 4,
        };
        ssize_t n = client_protect(&client, engine, &request, got, &piv);
        cr_assert_eq(n, want_bytes);
        cr_assert_arr_eq(got, want, want_bytes);
        cr_assert_eq(piv, 20);
        cr_assert_eq(client.next_piv, 21);
        client_fini(&client);
        engine_destroy(engine);
}

Test(client, requests_are_those_of_appendix_c)
{
        static const enum engine_backend backends[] = {ENGINE_PORTABLE, ENGINE_IPSEC_MB};

        for (unsigned b = 0; b < 2; b++) {
                check_request(&c4, backends[b]);
                check_request(&c5, backends[b]);
                check_request(&c6, backends[b]);
        }
}

static void
check_response(const char *message, bool own_piv)
{
        struct engine *engine = new_engine(ENGINE_AUTO);
        struct client client;
        struct client_reply reply;
        uint8_t data[128];
        size_t bytes = hex(data, sizeof(data), message);

        open_client(&client, engine, &c4);
        cr_assert_eq(client_open(&client, engine, 20, data, bytes, &reply), 0);
        cr_expect(reply.protected);
        cr_expect_eq(reply.own_piv, own_piv);
        cr_expect_eq(reply.server_piv, 0);
        cr_expect_eq(reply.code, COAP_CONTENT);
        cr_expect_eq(reply.message_id, 0x5d1f);
        cr_expect_eq(reply.type, COAP_ACK);
        cr_expect_eq(reply.payload_bytes, 12);
        cr_expect_arr_eq(reply.payload, "Hello World!", 12);
        cr_expect_not(reply.has_leaf);
        /* To another request it is not the answer. */
        cr_expect_eq(client_open(&client, engine, 21, data, bytes, &reply), -EPROTO);
        client_fini(&client);
        engine_destroy(engine);
}

Test(client, responses_of_appendix_c_open)
{
        check_response(c7, false);
        check_response(c8, true);
}

/* Whichever bit of the protected part flips, it does not open; outside it is never "protected" with
 * another content. */
Test(client, a_changed_response_never_opens)
{
        struct engine *engine = new_engine(ENGINE_AUTO);
        struct client client;
        struct client_reply reply;
        uint8_t data[128];
        size_t bytes = hex(data, sizeof(data), c7), protected_from = 10;

        open_client(&client, engine, &c4);
        for (size_t bit = 0; bit < bytes * 8; bit++) {
                int r;

                data[bit / 8] ^= (uint8_t)(1u << bit % 8);
                r = client_open(&client, engine, 20, data, bytes, &reply);
                if (bit / 8 >= protected_from)
                        cr_assert_eq(r, -EPROTO, "bit %zu", bit);
                if (r == 0 && reply.protected)
                        cr_assert_arr_eq(reply.payload, "Hello World!", 12);
                data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t n = 0; n < bytes; n++) {
                int r = client_open(&client, engine, 20, data, n, &reply);

                cr_assert(r < 0 || !reply.protected, "%zu bytes", n);
        }
        client_fini(&client);
        engine_destroy(engine);
}

/* 2.01 with Location-Path r/<leaf> and other shapes, unprotected so that they can be written here.
 */
static int
read_plain(const char *const *segments, struct client_reply *reply)
{
        struct engine *engine = new_engine(ENGINE_PORTABLE);
        struct client client;
        struct coap_writer writer;
        uint8_t data[128];
        int r;

        open_client(&client, engine, &c4);
        coap_write_begin(&writer, data, sizeof(data), COAP_ACK, COAP_CREATED, 1, NULL, 0);
        for (; *segments != NULL; segments++)
                coap_write_option(&writer, COAP_OPTION_LOCATION_PATH, *segments, strlen(*segments));
        r = client_open(&client, engine, 20, data, (size_t)coap_write_end(&writer), reply);
        client_fini(&client);
        engine_destroy(engine);
        return r;
}

Test(client, the_leaf_is_a_decimal_number_in_its_shortest_form)
{
        struct client_reply reply;

        cr_assert_eq(read_plain((const char *[]){"r", "0", NULL}, &reply), 0);
        cr_expect(reply.has_leaf && reply.leaf == 0 && !reply.protected);
        cr_assert_eq(read_plain((const char *[]){"r", "9223372036854775807", NULL}, &reply), 0);
        cr_expect_eq(reply.leaf, INT64_MAX);
        cr_assert_eq(read_plain((const char *[]){NULL}, &reply), 0);
        cr_expect_not(reply.has_leaf);
        cr_expect_lt(read_plain((const char *[]){"r", NULL}, &reply), 0);
        cr_expect_lt(read_plain((const char *[]){"r", "", NULL}, &reply), 0);
        cr_expect_lt(read_plain((const char *[]){"r", "01", NULL}, &reply), 0);
        cr_expect_lt(read_plain((const char *[]){"r", "1x", NULL}, &reply), 0);
        cr_expect_lt(read_plain((const char *[]){"x", "1", NULL}, &reply), 0);
        cr_expect_lt(read_plain((const char *[]){"r", "1", "2", NULL}, &reply), 0);
        cr_expect_lt(read_plain((const char *[]){"r", "99999999999999999999", NULL}, &reply), 0);
}

Test(client, partial_ivs_end_and_are_never_used_twice)
{
        struct engine *engine = new_engine(ENGINE_AUTO);
        struct client client;
        uint8_t out[CLIENT_MESSAGE_MAX];
        struct client_request request = {.type = COAP_CON};
        uint64_t piv;

        open_client(&client, engine, &c4);
        client.next_piv = OSCORE_PIV_MAX;
        cr_assert_gt(client_protect(&client, engine, &request, out, &piv), 0);
        cr_assert_eq(piv, OSCORE_PIV_MAX);
        cr_assert_eq(client_protect(&client, engine, &request, out, &piv), -ERANGE);
        client_fini(&client);
        engine_destroy(engine);
}
