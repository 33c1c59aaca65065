/* SPDX-License-Identifier: Apache-2.0 */
/* The message format of RFC 7252 §3, and its format errors. */
#include "wire.h"

/* RFC 7252 Appendix A, figures 16 and 17. */
Test(parse, reads_the_examples_of_rfc_7252)
{
        struct coap_message m;
        uint8_t data[64];
        size_t bytes;

        bytes = from_hex(data, "40017d34 bb 74656d7065726174757265");
        cr_assert_eq(coap_parse(&m, data, bytes), COAP_OK);
        cr_assert_eq(m.type, COAP_CON);
        cr_assert_eq(m.code, COAP_GET);
        cr_assert_eq(m.message_id, 0x7d34);
        cr_assert_eq(m.token_bytes, 0);
        cr_assert_eq(m.option_count, 1);
        cr_assert_eq(m.options[0].number, COAP_OPTION_URI_PATH);
        cr_assert_eq(m.options[0].offset, 5);
        cr_assert_eq(m.options[0].bytes, 11);
        cr_assert(coap_uri_path_equals(&m, "temperature"));
        cr_assert_null(m.payload);
        cr_assert_eq(m.bad_option, 0);

        bytes = from_hex(data, "61457d34 20 ff 32322e332043");
        cr_assert_eq(coap_parse(&m, data, bytes), COAP_OK);
        cr_assert_eq(m.type, COAP_ACK);
        cr_assert_eq(m.code, COAP_CONTENT);
        cr_assert_eq(m.token_bytes, 1);
        cr_assert_eq(m.token[0], 0x20);
        cr_assert_eq(m.option_count, 0);
        cr_assert_eq(m.payload_bytes, 6);
        cr_assert_arr_eq(m.payload, "22.3 C", 6);
}

/* RFC 8613 C.4: the outer message and its plaintext. */
Test(parse, reads_the_example_of_rfc_8613)
{
        struct coap_message m;
        uint8_t data[64];
        size_t bytes;

        bytes = from_hex(
            data, "44025d1f00003974 396c6f63616c686f7374 620914 ff 612f1092f1776f1c1668b3825e");
        cr_assert_eq(coap_parse(&m, data, bytes), COAP_OK);
        cr_assert_eq(m.code, COAP_POST);
        cr_assert_eq(m.token_bytes, 4);
        cr_assert_arr_eq(m.token, "\0\0\x39\x74\0\0\0\0", 8);
        cr_assert_eq(m.present, COAP_HAS(URI_HOST) | COAP_HAS(OSCORE));
        cr_assert_eq(m.options[1].bytes, 2);
        cr_assert_arr_eq(coap_option_value(&m, &m.options[1]), "\x09\x14", 2);
        cr_assert_eq(m.payload_bytes, 13);
        bytes = from_hex(data, "01b3747631");
        cr_assert_eq(coap_parse_inner(&m, data, bytes), COAP_OK);
        cr_assert_eq(m.code, COAP_GET);
        cr_assert(coap_uri_path_equals(&m, "tv1"));
}

Test(parse, reads_tokens_of_all_lengths_in_messages_of_all_lengths)
{
        static const uint8_t token[8] = {1, 2, 3, 4, 5, 6, 7, 8};
        struct coap_message m;
        uint8_t data[32];

        for (size_t n = 0; n <= 8; n++) {
                for (size_t payload = 0; payload <= 12; payload++) {
                        size_t bytes = 4 + n;

                        memcpy(data, "\x50\x02\x12\x34", 4);
                        data[0] |= (uint8_t)n;
                        memcpy(data + 4, token, n);
                        if (payload != 0) {
                                data[bytes] = 0xff;
                                memset(data + bytes + 1, 0xee, payload);
                                bytes += 1 + payload;
                        }
                        cr_assert_eq(parse_exact(&m, data, bytes), COAP_OK);
                        cr_assert_eq(m.token_bytes, n);
                        cr_assert_arr_eq(m.token, token, n);
                        for (size_t i = n; i < 8; i++)
                                cr_assert_eq(m.token[i], 0);
                        cr_assert_eq(m.payload_bytes, payload);
                }
        }
}

static const struct {
        const char *hex;
        enum coap_verdict verdict;
} format_errors[] = {
    {"", COAP_TRUNCATED_HEADER},
    {"400112", COAP_TRUNCATED_HEADER},
    {"00011234", COAP_BAD_VERSION},
    {"80011234", COAP_BAD_VERSION},
    {"c0011234", COAP_BAD_VERSION},
    {"49011234 010203040506070809", COAP_TOKEN_LENGTH},
    {"4f011234 0102030405060708090a0b0c0d0e0f", COAP_TOKEN_LENGTH},
    {"48011234 01020304050607", COAP_TRUNCATED_TOKEN},
    {"41011234", COAP_TRUNCATED_TOKEN},
    {"40001234 00", COAP_NOT_EMPTY},
    {"41001234 01", COAP_NOT_EMPTY},
    {"41001234", COAP_NOT_EMPTY},
    {"40001234 ff01", COAP_NOT_EMPTY},
    {"40201234", COAP_CODE_RESERVED},
    {"40c01234", COAP_CODE_RESERVED},
    {"40ff1234", COAP_CODE_RESERVED},
    {"40011234 f0", COAP_OPTION_RESERVED},
    {"40011234 fe", COAP_OPTION_RESERVED},
    {"40011234 0f", COAP_OPTION_RESERVED},
    {"40011234 bf", COAP_OPTION_RESERVED},
    {"40011234 d0", COAP_OPTION_TRUNCATED},
    {"40011234 e000", COAP_OPTION_TRUNCATED},
    {"40011234 0d", COAP_OPTION_TRUNCATED},
    {"40011234 0e00", COAP_OPTION_TRUNCATED},
    {"40011234 dd00", COAP_OPTION_TRUNCATED},
    {"40011234 b3 6162", COAP_OPTION_TRUNCATED},
    {"40011234 0eff00", COAP_OPTION_OVERFLOW},        /* 269 + 65280 = 65549 */
    {"40011234 0efef3", COAP_OPTION_OVERFLOW},        /* 65536 */
    {"40011234 0efef2", COAP_OPTION_TRUNCATED},       /* 65535 */
    {"40011234 e0fef2", COAP_OK},                     /* option 65535 */
    {"40011234 e0fef3", COAP_OPTION_OVERFLOW},        /* option 65536 */
    {"40011234 e0ffff", COAP_OPTION_OVERFLOW},        /* option 65804 */
    {"40011234 e0fef2 10", COAP_OPTION_OVERFLOW},     /* 65535 + 1 */
    {"40011234 e0f000 e0f000", COAP_OPTION_OVERFLOW}, /* twice 61709 */
    {"40011234 ff", COAP_PAYLOAD_EMPTY},
    {"40011234 b161 ff", COAP_PAYLOAD_EMPTY},
};

Test(parse, tells_each_format_error)
{
        bool seen[COAP_VERDICT_COUNT] = {false};
        uint8_t data[COAP_MESSAGE_BYTES_MAX + 1] = {0x40, 0x01, 0x12, 0x34, 0xff};
        struct coap_message m;

        for (size_t i = 0; i < sizeof(format_errors) / sizeof(format_errors[0]); i++) {
                enum coap_verdict got = parse_hex(&m, format_errors[i].hex);

                cr_expect_eq(got, format_errors[i].verdict, "%s: %s", format_errors[i].hex,
                    coap_verdict_text(got));
                seen[got] = true;
                /* A CON can be rejected: its type and message ID are known. */
                if (got != COAP_TRUNCATED_HEADER && got != COAP_BAD_VERSION) {
                        cr_expect_eq(m.type, COAP_CON);
                        cr_expect_eq(m.message_id, 0x1234, "%s", format_errors[i].hex);
                }
        }
        cr_expect_eq(parse_exact(&m, data, COAP_MESSAGE_BYTES_MAX), COAP_OK);
        cr_expect_eq(m.payload_bytes, COAP_MESSAGE_BYTES_MAX - 5);
        seen[parse_exact(&m, data, sizeof(data))] = true;
        memset(data + 4, 0, COAP_OPTIONS_MAX + 1);
        data[4] = 0xb0; /* Uri-Path, again and again */
        cr_expect_eq(parse_exact(&m, data, 4 + COAP_OPTIONS_MAX), COAP_OK);
        cr_expect_eq(m.option_count, COAP_OPTIONS_MAX);
        seen[parse_exact(&m, data, 4 + COAP_OPTIONS_MAX + 1)] = true;
        for (int v = 0; v < COAP_VERDICT_COUNT; v++)
                cr_expect(seen[v], "nothing yields: %s", coap_verdict_text((enum coap_verdict)v));
}

Test(parse, knows_a_ping)
{
        struct coap_message m;

        cr_assert_eq(parse_hex(&m, "4000beef"), COAP_OK);
        cr_assert_eq(m.code, COAP_EMPTY);
        cr_assert_eq(m.type, COAP_CON);
        cr_assert_not(coap_code_is_request(m.code));
        cr_assert_eq(parse_hex(&m, "7000beef"), COAP_OK);
        cr_assert_eq(m.type, COAP_RST);
        cr_assert(coap_code_is_request(COAP_POST));
        cr_assert_not(coap_code_is_request(COAP_CONTENT));
}

Test(parse, inner_messages_have_code_options_and_payload_alone)
{
        struct coap_message m;

        cr_assert_eq(parse_inner_hex(&m, ""), COAP_TRUNCATED_HEADER);
        cr_assert_eq(parse_inner_hex(&m, "00"), COAP_CODE_RESERVED);
        cr_assert_eq(parse_inner_hex(&m, "e1"), COAP_CODE_RESERVED);
        cr_assert_eq(parse_inner_hex(&m, "02ff"), COAP_PAYLOAD_EMPTY);
        cr_assert_eq(parse_inner_hex(&m, "02f1"), COAP_OPTION_RESERVED);
        cr_assert_eq(parse_inner_hex(&m, "02b2 61"), COAP_OPTION_TRUNCATED);
        cr_assert_eq(parse_inner_hex(&m, "02"), COAP_OK);
        cr_assert_eq(m.code, COAP_POST);
        cr_assert_eq(parse_inner_hex(&m, "02 b6766974616c73 116e ff 00"), COAP_OK);
        cr_assert_eq(m.present, COAP_HAS(URI_PATH) | COAP_HAS(CONTENT_FORMAT));
        cr_assert_eq(m.payload_bytes, 1);
}

/* A vital sign as a device posts it: every prefix is an error, or a message that ends at an
 * option's end; none reads beyond its end. */
Test(parse, every_truncation_is_rejected_or_shorter)
{
        static const char *const whole =
            "44027b01 0a0b0c0d 39 6c6f63616c686f7374 86 766974616c73 11 6e 34 643d6131 ff 5b5d";
        uint8_t data[64];
        size_t bytes = from_hex(data, whole);
        struct coap_message m;
        unsigned accepted = 0;

        cr_assert_eq(parse_exact(&m, data, bytes), COAP_OK);
        cr_assert_eq(m.payload_bytes, 2);
        cr_assert_eq(m.option_count, 4);
        for (size_t n = 0; n < bytes; n++) {
                enum coap_verdict verdict = parse_exact(&m, data, n);

                if (verdict != COAP_OK)
                        continue;
                accepted++;
                cr_expect(m.option_count < 4 || m.payload_bytes < 2, "cut to %zu", n);
        }
        /* After the token, each of four options, and the first byte of the payload. */
        cr_assert_eq(accepted, 6);
}

Test(parse, stays_inside_mutated_messages)
{
        static const char *const whole =
            "44027b01 0a0b0c0d 39 6c6f63616c686f7374 620914 26 766974616c73 11 6e 34 643d6131 "
            "dd1c00 61626364656667686970717273 d12f 0a ff 5b5d";
        uint8_t data[128], mutated[128];
        size_t bytes = from_hex(data, whole);
        uint32_t state = 88172645u;

        for (unsigned round = 0; round < 100000; round++) {
                struct coap_message m;
                uint8_t *copy;
                size_t n = bytes;

                memcpy(mutated, data, bytes);
                for (unsigned i = 0; i < 1 + round % 3; i++) {
                        state ^= state << 13;
                        state ^= state >> 17;
                        state ^= state << 5;
                        mutated[state % bytes] = (uint8_t)(state >> 16);
                }
                if (round % 5 == 0)
                        n = state % (bytes + 1);
                copy = exact(mutated, n);
                if (coap_parse(&m, copy, n) == COAP_OK) {
                        cr_assert_leq(m.option_count, COAP_OPTIONS_MAX);
                        for (unsigned i = 0; i < m.option_count; i++) {
                                cr_assert_leq((size_t)m.options[i].offset + m.options[i].bytes, n);
                                if (i > 0)
                                        cr_assert_geq(m.options[i].number, m.options[i - 1].number);
                        }
                        if (m.payload != NULL)
                                cr_assert_eq(m.payload + m.payload_bytes, copy + n);
                }
                drop_exact(copy);
        }
}
