/* SPDX-License-Identifier: Apache-2.0 */
/* What the codec makes of options: RFC 7252 §5.4. */
#include <errno.h>

#include "wire.h"

static const struct {
        const char *name;
        uint16_t number, shortest, longest;
        bool repeatable;
} known[] = {
    /* Written anew from RFC 7252 §5.10 and the later RFCs, not taken from COAP_OPTIONS. */
    {"If-Match", 1, 0, 8, true},
    {"Uri-Host", 3, 1, 255, false},
    {"ETag", 4, 1, 8, true},
    {"If-None-Match", 5, 0, 0, false},
    {"Observe", 6, 0, 3, false},
    {"Uri-Port", 7, 0, 2, false},
    {"Location-Path", 8, 0, 255, true},
    {"OSCORE", 9, 0, 255, false},
    {"Uri-Path", 11, 0, 255, true},
    {"Content-Format", 12, 0, 2, false},
    {"Max-Age", 14, 0, 4, false},
    {"Uri-Query", 15, 0, 255, true},
    {"Hop-Limit", 16, 1, 1, false},
    {"Accept", 17, 0, 2, false},
    {"Location-Query", 20, 0, 255, true},
    {"Block2", 23, 0, 3, false},
    {"Block1", 27, 0, 3, false},
    {"Size2", 28, 0, 4, false},
    {"Proxy-Uri", 35, 1, 1034, false},
    {"Proxy-Scheme", 39, 1, 255, false},
    {"Size1", 60, 0, 4, false},
    {"Echo", 252, 1, 40, false},
    {"No-Response", 258, 0, 1, false},
    {"Request-Tag", 292, 0, 8, true},
};
#define KNOWN (sizeof(known) / sizeof(known[0]))

/* A message whose options are count times one of that number and length. */
static enum coap_verdict
parse_repeated(struct coap_message *m, uint16_t number, size_t bytes, unsigned count)
{
        static const uint8_t value[2000];
        uint8_t data[8192];
        struct coap_writer w;
        ssize_t total;

        coap_write_begin(&w, data, sizeof(data), COAP_CON, COAP_POST, 1, NULL, 0);
        for (unsigned i = 0; i < count; i++)
                coap_write_option(&w, number, value, bytes);
        total = coap_write_end(&w);
        cr_assert_gt(total, 0);
        return parse_exact(m, data, (size_t)total);
}

static void
expect_unrecognised(
    const struct coap_message *m, uint16_t number, unsigned listed, const char *what)
{
        cr_expect_eq(m->option_count, listed, "%s of %u", what, number);
        cr_expect_eq(m->bad_option, number % 2 == 1 ? number : 0, "%s of %u", what, number);
        cr_expect_neq(m->malformed, 0, "%s of %u", what, number);
}

Test(options, lengths_out_of_range_count_as_unrecognised)
{
        struct coap_message m;

        cr_assert_eq(KNOWN, COAP_OPTION_KINDS);
        for (size_t i = 0; i < KNOWN; i++) {
                cr_assert_str_eq(coap_option_name(known[i].number), known[i].name);
                for (unsigned end = 0; end < 2; end++) {
                        size_t bytes = end == 0 ? known[i].shortest : known[i].longest;

                        cr_expect_eq(parse_repeated(&m, known[i].number, bytes, 1), COAP_OK);
                        cr_expect_eq(m.option_count, 1, "%s", known[i].name);
                        cr_expect_eq(m.bad_option, 0, "%s", known[i].name);
                        cr_expect_eq(m.malformed, 0, "%s", known[i].name);
                        cr_expect_not_null(coap_find(&m, known[i].number));
                }
                parse_repeated(&m, known[i].number, known[i].longest + 1u, 1);
                expect_unrecognised(&m, known[i].number, 0, "too long a value");
                cr_expect_null(coap_find(&m, known[i].number));
                if (known[i].shortest != 0) {
                        parse_repeated(&m, known[i].number, known[i].shortest - 1u, 1);
                        expect_unrecognised(&m, known[i].number, 0, "too short a value");
                }
        }
}

Test(options, a_second_one_counts_as_unrecognised_unless_repeatable)
{
        struct coap_message m;

        for (size_t i = 0; i < KNOWN; i++) {
                parse_repeated(&m, known[i].number, known[i].longest, 2);
                if (known[i].repeatable) {
                        cr_expect_eq(m.option_count, 2, "%s", known[i].name);
                        cr_expect_eq(m.bad_option, 0, "%s", known[i].name);
                } else {
                        expect_unrecognised(&m, known[i].number, 1, "a second");
                }
        }
}

/* §5.4.5: the second is supernumerary even if the first was no good. */
Test(options, a_second_one_does_not_replace_a_bad_first)
{
        struct coap_message m;

        cr_assert_eq(parse_hex(&m, "40021234 c3010203 016e"), COAP_OK);
        cr_assert_eq(m.option_count, 0);
        cr_assert_eq(m.malformed, COAP_HAS(CONTENT_FORMAT));
}

Test(options, unknown_elective_ones_are_passed_over_and_critical_ones_told)
{
        struct coap_message m;

        cr_assert_eq(parse_hex(&m, "40021234 20 91 61"), COAP_OK); /* 2, 11 */
        cr_assert_eq(m.option_count, 1);
        cr_assert_eq(m.bad_option, 0);
        cr_assert_eq(parse_hex(&m, "40021234 b161 20 60 20"), COAP_OK); /* 11, 13, 19, 21 */
        cr_assert_eq(m.option_count, 1);
        cr_assert_eq(m.bad_option, 13, "the first of them");
        cr_assert_eq(parse_hex(&m, "40021234 e0fef2"), COAP_OK);
        cr_assert_eq(m.bad_option, 65535);
        cr_assert_eq(parse_hex(&m, "40021234 e0fef1"), COAP_OK);
        cr_assert_eq(m.bad_option, 0);
        cr_assert_null(coap_option_name(13));
        cr_assert_null(coap_option_name(65535));
        cr_assert(coap_option_is_critical(13));
        cr_assert_not(coap_option_is_critical(14));
}

/* However many elective options there are, they take no room. */
Test(options, unknown_elective_ones_have_no_limit)
{
        struct coap_message m;

        cr_assert_eq(parse_repeated(&m, 2050, 3, 200), COAP_OK);
        cr_assert_eq(m.option_count, 0);
        cr_assert_eq(m.bad_option, 0);
}

Test(options, critical_set_follows_the_numbers)
{
        cr_assert_eq(COAP_CRITICAL,
            COAP_HAS(IF_MATCH) | COAP_HAS(URI_HOST) | COAP_HAS(IF_NONE_MATCH) | COAP_HAS(URI_PORT) |
                COAP_HAS(OSCORE) | COAP_HAS(URI_PATH) | COAP_HAS(URI_QUERY) | COAP_HAS(ACCEPT) |
                COAP_HAS(BLOCK2) | COAP_HAS(BLOCK1) | COAP_HAS(PROXY_URI) | COAP_HAS(PROXY_SCHEME));
}

static bool
path_equals(const char *hex, const char *path)
{
        uint8_t data[128];
        struct coap_message m;

        cr_assert_eq(coap_parse(&m, data, from_hex(data, hex)), COAP_OK);
        return coap_uri_path_equals(&m, path);
}

Test(options, compares_paths_by_segments)
{
        cr_assert(path_equals("40011234", ""));
        cr_assert(path_equals("40011234 b0", ""));
        cr_assert_not(path_equals("40011234", "r"));
        cr_assert(path_equals("40011234 b172 0137", "r/7"));
        cr_assert_not(path_equals("40011234 b172 0137", "r"));
        cr_assert_not(path_equals("40011234 b172", "r/7"));
        cr_assert_not(path_equals("40011234 b172 0137", "r/77"));
        cr_assert_not(path_equals("40011234 b3722f37", "r/7"), "one segment that holds a slash");
        cr_assert_not(path_equals("40011234 b172 00", "r"));
        cr_assert(path_equals("40011234 b172 00", "r/"));
        cr_assert_not(path_equals("40011234 b27200", "r"), "a NUL ends nothing");
        cr_assert(path_equals("40011234 bb2e77656c6c2d6b6e6f776e 04636f7265", ".well-known/core"));
}

Test(options, finds_queries_by_key)
{
        uint8_t data[128];
        struct coap_message m;
        const uint8_t *value;
        size_t bytes;

        /* "dd=1", "d", "d=demo", "d=x" */
        cr_assert_eq(coap_parse(&m, data,
                         from_hex(data, "40021234 d40264643d31 0164 06643d64656d6f 03643d78")),
            COAP_OK);
        cr_assert(coap_uri_query(&m, "d", &value, &bytes));
        cr_assert_eq(bytes, 4);
        cr_assert_arr_eq(value, "demo", 4);
        cr_assert(coap_uri_query(&m, "dd", &value, &bytes));
        cr_assert_eq(bytes, 1);
        cr_assert_not(coap_uri_query(&m, "e", &value, &bytes));
        cr_assert_not(coap_uri_query(&m, "d=d", &value, &bytes));
        /* "d", and then an option whose first byte happens to be '='. */
        cr_assert_eq(
            coap_parse(&m, data, from_hex(data, "40021234 d10264 3d00 00000000000000000000000000")),
            COAP_OK);
        cr_assert_not(coap_uri_query(&m, "d", &value, &bytes));
}

Test(options, reads_uints_of_all_lengths)
{
        uint8_t data[64];
        struct coap_message m;
        uint32_t value = 1;

        cr_assert_eq(coap_parse(&m, data, from_hex(data, "40021234 c0")), COAP_OK);
        cr_assert_eq(coap_find_uint(&m, COAP_OPTION_CONTENT_FORMAT, &value), 0);
        cr_assert_eq(value, 0);
        cr_assert_eq(coap_parse(&m, data, from_hex(data, "40021234 c2006e")), COAP_OK);
        cr_assert_eq(coap_find_uint(&m, COAP_OPTION_CONTENT_FORMAT, &value), 0);
        cr_assert_eq(value, 110, "leading zeros are accepted, RFC 7252 s. 3.2");
        cr_assert_eq(
            coap_parse(&m, data, from_hex(data, "40021234 e4 ffff")), COAP_OPTION_OVERFLOW);
        cr_assert_eq(coap_parse(&m, data, from_hex(data, "40021234 d42ffffefdfc")), COAP_OK);
        cr_assert_eq(coap_find_uint(&m, COAP_OPTION_SIZE1, &value), 0);
        cr_assert_eq(value, 0xfffefdfcu);
        cr_assert_eq(coap_find_uint(&m, COAP_OPTION_SIZE2, &value), -ENOENT);
        cr_assert_eq(coap_find_uint(&m, 9999, &value), -ENOENT);
        cr_assert_eq(coap_parse(&m, data, from_hex(data, "40021234 350102030405")), COAP_OK);
        cr_assert_eq(coap_find_uint(&m, COAP_OPTION_URI_HOST, &value), -ERANGE);
}
