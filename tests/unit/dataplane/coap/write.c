/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "wire.h"

Test(write, makes_the_examples_of_rfc_7252)
{
        uint8_t out[64], want[64];
        struct coap_writer w;
        size_t bytes;

        bytes = from_hex(want, "41017d35 20 bb 74656d7065726174757265");
        cr_assert_eq(coap_write_begin(&w, out, sizeof(out), COAP_CON, COAP_GET, 0x7d35,
                         (const uint8_t *)"\x20", 1),
            0);
        cr_assert_eq(coap_write_option(&w, COAP_OPTION_URI_PATH, "temperature", 11), 0);
        cr_assert_eq(coap_write_end(&w), (ssize_t)bytes);
        cr_assert_arr_eq(out, want, bytes);

        bytes = from_hex(want, "61457d35 20 ff 32322e332043");
        coap_write_begin(
            &w, out, sizeof(out), COAP_ACK, COAP_CONTENT, 0x7d35, (const uint8_t *)"\x20", 1);
        cr_assert_eq(coap_write_payload(&w, "22.3 C", 6), 0);
        cr_assert_eq(coap_write_end(&w), (ssize_t)bytes);
        cr_assert_arr_eq(out, want, bytes);
}

Test(write, makes_inner_messages)
{
        uint8_t out[64], want[64];
        struct coap_writer w;
        size_t bytes = from_hex(want, "45 ff 48656c6c6f20576f726c6421"); /* RFC 8613 C.7 */

        cr_assert_eq(coap_write_begin_inner(&w, out, sizeof(out), COAP_CONTENT), 0);
        cr_assert_eq(coap_write_payload(&w, "Hello World!", 12), 0);
        cr_assert_eq(coap_write_end(&w), (ssize_t)bytes);
        cr_assert_arr_eq(out, want, bytes);
        cr_assert_eq(coap_write_begin_inner(&w, out, 0, COAP_CONTENT), -ENOSPC);
}

Test(write, makes_empty_messages)
{
        uint8_t out[4];

        coap_write_empty(out, COAP_RST, 0xbeef);
        cr_assert_arr_eq(out, "\x70\x00\xbe\xef", 4);
        coap_write_empty(out, COAP_ACK, 1);
        cr_assert_arr_eq(out, "\x60\x00\x00\x01", 4);
}

Test(write, uints_are_as_short_as_can_be)
{
        static const struct {
                uint32_t value;
                const char *hex;
        } cases[] = {{0, "c0"}, {1, "c101"}, {255, "c1ff"}, {256, "c20100"}, {65535, "c2ffff"},
            {65536, "c3010000"}, {0x01000000, "c401000000"}, {UINT32_MAX, "c4ffffffff"},
            {0x00ff00ff, "c3ff00ff"}};
        uint8_t out[64], want[64];
        struct coap_writer w;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                size_t bytes = from_hex(want, cases[i].hex);

                coap_write_begin_inner(&w, out, sizeof(out), COAP_CONTENT);
                coap_write_uint(&w, COAP_OPTION_CONTENT_FORMAT, cases[i].value);
                cr_expect_eq(coap_write_end(&w), (ssize_t)(1 + bytes), "%s", cases[i].hex);
                cr_expect_arr_eq(out + 1, want, bytes, "%s", cases[i].hex);
        }
}

/* All forms of delta and length, around the values where they change. */
Test(write, options_read_back_at_the_edges_of_their_forms)
{
        static const uint16_t numbers[] = {1, 12, 13, 14, 268, 269, 270, 65535};
        static const size_t lengths[] = {0, 1, 12, 13, 14, 268, 269, 270, 1034};
        uint8_t value[1034], out[2048];

        for (size_t i = 0; i < sizeof(value); i++)
                value[i] = (uint8_t)(i * 13);
        for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++) {
                for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
                        struct coap_writer w;
                        struct coap_message m;
                        ssize_t bytes;

                        coap_write_begin_inner(&w, out, sizeof(out), COAP_POST);
                        cr_assert_eq(coap_write_option(&w, numbers[n], value, lengths[l]), 0);
                        coap_write_payload(&w, "end", 3);
                        bytes = coap_write_end(&w);
                        cr_assert_gt(bytes, 0);
                        cr_assert_eq(coap_parse_inner(&m, out, (size_t)bytes), COAP_OK);
                        cr_assert_eq(m.payload_bytes, 3, "%u of %zu", numbers[n], lengths[l]);
                        if (m.option_count == 1) {
                                cr_assert_eq(m.options[0].number, numbers[n]);
                                cr_assert_eq(m.options[0].bytes, lengths[l]);
                                cr_assert_arr_eq(
                                    coap_option_value(&m, &m.options[0]), value, lengths[l]);
                        } else if (coap_option_is_critical(numbers[n])) {
                                cr_assert_eq(m.bad_option, numbers[n]);
                        }
                }
        }
}

static ssize_t
write_all(uint8_t *out, size_t limit)
{
        static const uint8_t token[8] = {1, 2, 3, 4, 5, 6, 7, 8};
        struct coap_writer w;

        coap_write_begin(&w, out, limit, COAP_NON, COAP_CREATED, 7, token, 8);
        coap_write_option(&w, COAP_OPTION_LOCATION_PATH, "r", 1);
        coap_write_option(&w, COAP_OPTION_LOCATION_PATH, "1234567890123456", 16);
        coap_write_uint(&w, COAP_OPTION_MAX_AGE, 60);
        coap_write_uint(&w, COAP_OPTION_SIZE1, 1024);
        coap_write_payload(&w, "payload", 7);
        return coap_write_end(&w);
}

Test(write, every_smaller_buffer_is_refused_and_not_overrun)
{
        uint8_t whole[128];
        ssize_t bytes = write_all(whole, sizeof(whole));

        cr_assert_gt(bytes, 0);
        for (size_t limit = 0; limit < (size_t)bytes; limit++) {
                uint8_t *out = malloc(limit + 1); /* ASan guards its end; the first byte is spare */

                cr_assert_eq(write_all(out + 1, limit), -ENOSPC, "%zu", limit);
                free(out);
        }
        cr_assert_eq(write_all(whole, (size_t)bytes), bytes);
}

Test(write, refuses_options_out_of_order_and_after_the_payload)
{
        uint8_t out[64];
        struct coap_writer w;

        coap_write_begin_inner(&w, out, sizeof(out), COAP_CONTENT);
        cr_assert_eq(coap_write_uint(&w, COAP_OPTION_MAX_AGE, 1), 0);
        cr_assert_eq(coap_write_uint(&w, COAP_OPTION_CONTENT_FORMAT, 1), -EINVAL);
        cr_assert_eq(coap_write_uint(&w, COAP_OPTION_SIZE1, 1), -EINVAL, "errors stick");
        cr_assert_eq(coap_write_payload(&w, "x", 1), -EINVAL);
        cr_assert_null(coap_write_payload_room(&w, 1));
        cr_assert_eq(coap_write_end(&w), -EINVAL);
        coap_write_begin_inner(&w, out, sizeof(out), COAP_CONTENT);
        cr_assert_not_null(coap_write_payload_room(&w, 4));
        cr_assert_eq(coap_write_uint(&w, COAP_OPTION_SIZE1, 1), -EINVAL);
        coap_write_begin_inner(&w, out, sizeof(out), COAP_CONTENT);
        cr_assert_null(coap_write_payload_room(&w, 0), "a marker needs a payload");
        cr_assert_eq(
            coap_write_begin(&w, out, sizeof(out), COAP_CON, COAP_GET, 1, out, 9), -EINVAL);
}

/* Lengths near SIZE_MAX must not wrap around the room that is left. */
Test(write, refuses_lengths_that_would_overflow)
{
        uint8_t out[64];
        struct coap_writer w;

        coap_write_begin_inner(&w, out, sizeof(out), COAP_CONTENT);
        cr_assert_eq(coap_write_option(&w, COAP_OPTION_URI_PATH, out, SIZE_MAX), -ENOSPC);
        coap_write_begin_inner(&w, out, sizeof(out), COAP_CONTENT);
        cr_assert_null(coap_write_payload_room(&w, SIZE_MAX));
        cr_assert_eq(coap_write_end(&w), -ENOSPC);
        coap_write_begin_inner(&w, out, sizeof(out), COAP_CONTENT);
        cr_assert_eq(coap_write_payload(&w, NULL, 0), 0, "nothing is no marker");
        cr_assert_eq(coap_write_end(&w), 1);
}
