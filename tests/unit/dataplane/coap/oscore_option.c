/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/coap/oscore_option.h"

#include <errno.h>

#include "wire.h"

static uint8_t value[300];

static enum oscore_option_verdict
parse(struct oscore_option *o, const char *hex)
{
        size_t bytes = from_hex(value, hex);
        uint8_t *copy = exact(value, bytes);
        enum oscore_option_verdict verdict = oscore_option_parse(o, copy, bytes);

        drop_exact(copy);
        /* Again on a buffer that stays, for the pointers. */
        cr_assert_eq(oscore_option_parse(o, value, bytes), verdict);
        return verdict;
}

/* RFC 8613 §6.3, and C.4, C.5, C.6, C.8. */
Test(oscore_option, reads_and_writes_the_examples_of_rfc_8613)
{
        static const struct {
                const char *hex;
                bool has_piv, has_kid, has_kid_context;
                uint64_t piv;
                const char *kid, *kid_context;
                uint8_t kid_context_bytes;
        } cases[] = {
            {"0914", true, true, false, 0x14, "", NULL},
            {"091400", true, true, false, 0x14, "\0", NULL},
            {"19140837cbf3210017a2d3", true, true, true, 0x14, "",
                "\x37\xcb\xf3\x21\x00\x17\xa2\xd3", 8},
            {"090525", true, true, false, 0x05, "\x25", NULL},
            {"19050444616c656b", true, true, true, 0x05, "k", "Dale", 4},
            {"", false, false, false, 0, NULL, NULL},
            {"0107", true, false, false, 7, NULL, NULL},
            {"0100", true, false, false, 0, NULL, NULL},
            {"05ffffffffff", true, false, false, UINT64_C(0xffffffffff), NULL, NULL},
            {"08", false, true, false, 0, "", NULL},
            {"1000", false, false, true, 0, NULL, ""},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct oscore_option o;
                uint8_t out[64], want[64];
                size_t bytes = from_hex(want, cases[i].hex);

                cr_assert_eq(parse(&o, cases[i].hex), OSCORE_OPTION_OK, "%s", cases[i].hex);
                cr_expect_eq(o.has_piv, cases[i].has_piv, "%s", cases[i].hex);
                cr_expect_eq(o.has_kid, cases[i].has_kid, "%s", cases[i].hex);
                cr_expect_eq(o.has_kid_context, cases[i].has_kid_context, "%s", cases[i].hex);
                cr_expect_eq(o.piv, cases[i].piv, "%s", cases[i].hex);
                if (o.has_kid)
                        cr_expect_arr_eq(o.kid, cases[i].kid, o.kid_bytes, "%s", cases[i].hex);
                if (o.has_kid_context) {
                        cr_expect_arr_eq(o.kid_context, cases[i].kid_context, o.kid_context_bytes);
                        cr_expect_eq(o.kid_context_bytes, cases[i].kid_context_bytes);
                }
                cr_expect_eq(
                    oscore_option_write(out, sizeof(out), &o), (ssize_t)bytes, "%s", cases[i].hex);
                cr_expect_arr_eq(out, want, bytes, "%s", cases[i].hex);
        }
}

Test(oscore_option, tells_each_malformed_value)
{
        static const struct {
                const char *hex;
                enum oscore_option_verdict verdict;
        } cases[] = {
            {"2914", OSCORE_OPTION_RESERVED_BITS},
            {"4914", OSCORE_OPTION_RESERVED_BITS},
            {"8914", OSCORE_OPTION_RESERVED_BITS},
            {"80", OSCORE_OPTION_RESERVED_BITS},
            {"06010203040506", OSCORE_OPTION_PIV_LENGTH},
            {"0701020304050607", OSCORE_OPTION_PIV_LENGTH},
            {"00", OSCORE_OPTION_NOT_EMPTY},
            {"0001", OSCORE_OPTION_NOT_EMPTY},
            {"09", OSCORE_OPTION_TRUNCATED},
            {"0dffffffff", OSCORE_OPTION_TRUNCATED},
            {"1914", OSCORE_OPTION_TRUNCATED},
            {"18", OSCORE_OPTION_TRUNCATED},
            {"191402aa", OSCORE_OPTION_TRUNCATED},
            {"1914ffaa", OSCORE_OPTION_TRUNCATED},
            {"0a0001", OSCORE_OPTION_PIV_NOT_MINIMAL},
            {"0a0000", OSCORE_OPTION_PIV_NOT_MINIMAL},
            {"0d00ffffffff", OSCORE_OPTION_PIV_NOT_MINIMAL},
            {"010700", OSCORE_OPTION_TRAILING},
            {"10000a", OSCORE_OPTION_TRAILING},
        };
        bool seen[OSCORE_OPTION_VERDICT_COUNT] = {[OSCORE_OPTION_OK] = true};
        struct oscore_option o;
        uint8_t big[256] = {0x09, 0x14};

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                enum oscore_option_verdict got = parse(&o, cases[i].hex);

                cr_expect_eq(
                    got, cases[i].verdict, "%s: %s", cases[i].hex, oscore_option_verdict_text(got));
                seen[got] = true;
        }
        cr_expect_eq(oscore_option_parse(&o, big, 255), OSCORE_OPTION_OK);
        cr_expect_eq(o.kid_bytes, 253, "too long a kid is an unknown context, no format error");
        seen[oscore_option_parse(&o, big, 256)] = true;
        for (int v = 0; v < OSCORE_OPTION_VERDICT_COUNT; v++)
                cr_expect(seen[v], "nothing yields: %s",
                    oscore_option_verdict_text((enum oscore_option_verdict)v));
}

/* All first bytes with all lengths, each in a block that ends there: what is accepted lies inside.
 */
Test(oscore_option, stays_inside_every_flag_byte_and_length)
{
        static const uint8_t fills[] = {0x00, 0x01, 0x05, 0xff};

        for (unsigned flags = 0; flags < 256; flags++) {
                for (size_t bytes = 1; bytes <= 24; bytes++) {
                        for (size_t f = 0; f < sizeof(fills); f++) {
                                struct oscore_option o;
                                uint8_t *copy;
                                uint8_t out[64];

                                memset(value, fills[f], bytes);
                                value[0] = (uint8_t)flags;
                                copy = exact(value, bytes);
                                if (oscore_option_parse(&o, copy, bytes) == OSCORE_OPTION_OK) {
                                        if (o.has_kid)
                                                cr_assert_eq(o.kid + o.kid_bytes, copy + bytes);
                                        if (o.has_kid_context)
                                                cr_assert_leq((size_t)(o.kid_context - copy) +
                                                                  o.kid_context_bytes,
                                                    bytes);
                                        /* One value has one spelling. */
                                        cr_assert_eq(oscore_option_write(out, sizeof(out), &o),
                                            (ssize_t)bytes);
                                        cr_assert_arr_eq(out, value, bytes);
                                }
                                drop_exact(copy);
                        }
                }
        }
}

Test(oscore_option, writes_partial_ivs_minimally_and_in_bounds)
{
        static const struct {
                uint64_t piv;
                ssize_t bytes;
        } cases[] = {{0, 2}, {1, 2}, {0xff, 2}, {0x100, 3}, {0xffff, 3}, {0x10000, 4},
            {0x1000000, 5}, {UINT64_C(0x100000000), 6}, {UINT64_C(0xffffffffff), 6},
            {UINT64_C(0x10000000000), -ERANGE}, {UINT64_MAX, -ERANGE}};
        uint8_t out[300], kid[255] = {1};
        struct oscore_option o = {.has_piv = true};

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct oscore_option back;

                o.piv = cases[i].piv;
                cr_assert_eq(oscore_option_write(out, sizeof(out), &o), cases[i].bytes);
                if (cases[i].bytes < 0)
                        continue;
                cr_assert_eq(
                    oscore_option_parse(&back, out, (size_t)cases[i].bytes), OSCORE_OPTION_OK);
                cr_assert_eq(back.piv, o.piv);
                cr_assert_eq(back.piv_bytes + 1, cases[i].bytes);
                cr_assert_eq(oscore_option_write(out, (size_t)cases[i].bytes - 1, &o), -ENOSPC);
        }
        o = (struct oscore_option){.has_kid = true, .kid = kid, .kid_bytes = 254};
        cr_assert_eq(oscore_option_write(out, sizeof(out), &o), 255);
        o.kid_bytes = 255;
        cr_assert_eq(oscore_option_write(out, sizeof(out), &o), -ENOSPC);
}
