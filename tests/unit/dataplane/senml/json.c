/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: each rule of RFC 8428 and RFC 8259 refuses what breaks it, with its own diagnostic. */
#include "tests/unit/dataplane/senml/senml_test.h"

static void
expect_error(const char *text, enum senml_error want)
{
        enum senml_error error = parse_json(text);

        cr_expect(
            error == want, "%s: %s, not %s", text, senml_error_text(error), senml_error_text(want));
        cr_expect(error == SENML_OK || pack.failed_at <= strlen(text));
}

static void
expect_resolved(const char *text, const char *want)
{
        enum senml_error error = parse_json(text);

        cr_assert(error == SENML_OK, "%s: %s", text, senml_error_text(error));
        cr_expect_str_eq(resolved(&pack), want, "%s: %s", text, written);
}

Test(senml_json, pack_structure)
{
        expect_error("", SENML_TRUNCATED);
        expect_error("   ", SENML_TRUNCATED);
        expect_error("[]", SENML_EMPTY);
        expect_error(" [ ] ", SENML_EMPTY);
        expect_error("[] x", SENML_TRAILING);
        expect_error("{\"n\":\"a\",\"v\":1}", SENML_NOT_ARRAY);
        expect_error("1", SENML_NOT_ARRAY);
        expect_error("[1]", SENML_NOT_RECORD);
        expect_error("[[]]", SENML_NOT_RECORD);
        expect_error("[{\"n\":\"a\",\"v\":1},]", SENML_NOT_RECORD);
        expect_error("[{\"n\":\"a\",\"v\":1}", SENML_TRUNCATED);
        expect_error("[{\"n\":\"a\",\"v\":1}}", SENML_SYNTAX);
        expect_error("[{\"n\":\"a\",\"v\":1}]]", SENML_TRAILING);
        expect_error("[{\"n\":\"a\",\"v\":1}] []", SENML_TRAILING);
        expect_error("[{\"n\":\"a\",\"v\":1,}]", SENML_SYNTAX);
        expect_error("[{\"n\":\"a\" \"v\":1}]", SENML_SYNTAX);
        expect_error("[{\"n\",\"a\"}]", SENML_SYNTAX);
        expect_error("[{n:\"a\",\"v\":1}]", SENML_SYNTAX);
        expect_error("\xef\xbb\xbf[{\"n\":\"a\",\"v\":1}]", SENML_NOT_ARRAY);
        expect_error(
            " \t\r\n[ { \"n\" : \"a\" , \"v\" : 1 } , {\"n\":\"b\",\"v\":2} ] \n", SENML_OK);
        cr_expect(pack.records == 2);
}

Test(senml_json, exactly_one_value)
{
        expect_error("[{\"n\":\"a\"}]", SENML_NO_VALUE);
        expect_error("[{}]", SENML_NO_VALUE);
        expect_error("[{\"bn\":\"a\"}]", SENML_NO_VALUE);
        expect_error("[{\"n\":\"a\",\"bv\":1}]", SENML_NO_VALUE);
        expect_error("[{\"n\":\"a\",\"bs\":1}]", SENML_NO_VALUE);
        expect_error("[{\"n\":\"a\",\"v\":1,\"vs\":\"x\"}]", SENML_TWO_VALUES);
        expect_error("[{\"n\":\"a\",\"vb\":true,\"vd\":\"\"}]", SENML_TWO_VALUES);
        expect_error("[{\"n\":\"a\",\"v\":1,\"vb\":true,\"s\":1}]", SENML_TWO_VALUES);
        expect_error("[{\"n\":\"a\",\"s\":1}]", SENML_OK);
        cr_expect(pack.record[0].kind == SENML_SUM_ONLY);
        expect_error("[{\"n\":\"a\",\"s\":1,\"v\":1}]", SENML_OK);
        cr_expect_str_eq(senml_error_text(SENML_TWO_VALUES), "two values in one record");
}

Test(senml_json, labels)
{
        expect_error("[{\"n\":\"a\",\"v\":1,\"x_\":2}]", SENML_MUST_UNDERSTAND);
        expect_error("[{\"_\":2,\"n\":\"a\",\"v\":1}]", SENML_MUST_UNDERSTAND);
        expect_error("[{\"n\":\"a\",\"v\":1,\"\\u005f\":2}]", SENML_MUST_UNDERSTAND);
        expect_error("[{\"n\":\"a\",\"v\":1,\"x_y\":2,\"\":0,\"N\":1,\"vv\":null}]", SENML_OK);
        expect_error("[{\"n\":\"a\",\"v\":1,\"v\":1}]", SENML_DUPLICATE_LABEL);
        expect_error("[{\"n\":\"a\",\"v\":1,\"\\u0076\":1}]", SENML_DUPLICATE_LABEL);
        expect_error("[{\"n\":\"a\",\"v\":1,\"x\":1,\"y\":1,\"x\":1}]", SENML_DUPLICATE_LABEL);
        expect_error("[{\"n\":\"a\",\"v\":1,\"x\":1},{\"n\":\"a\",\"v\":1,\"x\":1}]", SENML_OK);
        expect_error(
            "[{\"n\":\"a\",\"v\":1,\"1\":0,\"2\":0,\"3\":0,\"4\":0,\"5\":0,\"6\":0,\"7\":0,"
            "\"8\":0,\"9\":0,\"10\":0,\"11\":0,\"12\":0,\"13\":0,\"14\":0,\"15\":0,"
            "\"16\":0}]",
            SENML_OK);
        expect_error(
            "[{\"n\":\"a\",\"v\":1,\"1\":0,\"2\":0,\"3\":0,\"4\":0,\"5\":0,\"6\":0,\"7\":0,"
            "\"8\":0,\"9\":0,\"10\":0,\"11\":0,\"12\":0,\"13\":0,\"14\":0,\"15\":0,"
            "\"16\":0,\"17\":0}]",
            SENML_TOO_MANY_LABELS);
        expect_error("[{\"n\":\"a\",\"n\\u0000\":1,\"v\":1,\"v\\u0000\\u0000\":2}]", SENML_OK);
        expect_resolved("[{\"\\u006e\":\"a\",\"\\u0076\":1,\"t\":1e9}]",
            "[{\"n\":\"a\",\"v\":1,\"t\":1000000000}]");
}

Test(senml_json, unknown_values_are_skipped_but_checked)
{
        expect_error(
            "[{\"n\":\"a\",\"x\":{\"a\":[1,2,{}],\"b\":\"]}\",\"c\":[[],{\"d\":null}]},\"v\":1}]",
            SENML_OK);
        expect_error("[{\"n\":\"a\",\"x\":[1,],\"v\":1}]", SENML_SYNTAX);
        expect_error("[{\"n\":\"a\",\"x\":[,1],\"v\":1}]", SENML_SYNTAX);
        expect_error("[{\"n\":\"a\",\"x\":[1 2],\"v\":1}]", SENML_SYNTAX);
        expect_error("[{\"n\":\"a\",\"x\":[1},\"v\":1}]", SENML_SYNTAX);
        expect_error("[{\"n\":\"a\",\"x\":{\"a\"},\"v\":1}]", SENML_SYNTAX);
        expect_error("[{\"n\":\"a\",\"x\":{\"a\":},\"v\":1}]", SENML_SYNTAX);
        expect_error("[{\"n\":\"a\",\"x\":{\"a\":1,},\"v\":1}]", SENML_SYNTAX);
        expect_error("[{\"n\":\"a\",\"x\":{1:1},\"v\":1}]", SENML_SYNTAX);
        expect_error("[{\"n\":\"a\",\"x\":tru,\"v\":1}]", SENML_SYNTAX);
        expect_error("[{\"n\":\"a\",\"x\":nul", SENML_TRUNCATED);
        expect_error("[{\"n\":\"a\",\"x\":\"\x80\",\"v\":1}]", SENML_UTF8);
        expect_error("[{\"n\":\"a\",\"x\":{\"\xff\":1},\"v\":1}]", SENML_UTF8);
}

Test(senml_json, depth_is_bounded)
{
        char text[SENML_INPUT_BYTES_MAX + 64];

        for (unsigned depth = SENML_DEPTH_MAX; depth <= SENML_DEPTH_MAX + 1; depth++) {
                size_t n = (size_t)sprintf(text, "[{\"n\":\"a\",\"v\":1,\"x\":");

                memset(text + n, '[', depth);
                memset(text + n + depth, ']', depth);
                strcpy(text + n + 2 * depth, "}]");
                expect_error(text, depth <= SENML_DEPTH_MAX ? SENML_OK : SENML_DEPTH);
        }
        memset(text, '[', SENML_INPUT_BYTES_MAX);
        memcpy(text, "[{\"x\":", 6);
        text[SENML_INPUT_BYTES_MAX] = '\0';
        expect_error(text, SENML_DEPTH);
}

Test(senml_json, lengths_are_bounded)
{
        char text[SENML_INPUT_BYTES_MAX + 64];
        size_t n = 1;

        text[0] = '[';
        for (unsigned i = 0; i < SENML_RECORDS_MAX; i++)
                n += (size_t)sprintf(text + n, "{\"n\":\"a%u\",\"v\":%u},", i, i);
        text[n - 1] = ']';
        text[n] = '\0';
        expect_error(text, SENML_OK);
        cr_expect(pack.records == SENML_RECORDS_MAX);
        strcpy(text + n - 1, ",{\"n\":\"a\",\"v\":1}]");
        expect_error(text, SENML_TOO_MANY);

        n = (size_t)sprintf(text, "[{\"n\":\"a\",\"vs\":\"");
        memset(text + n, 'x', sizeof(text) - n);
        strcpy(text + SENML_INPUT_BYTES_MAX - 3, "\"}]");
        expect_error(text, SENML_OK);
        cr_expect(pack.record[0].data.bytes == SENML_INPUT_BYTES_MAX - 3 - n);
        cr_expect(strlen(resolved(&pack)) > SENML_INPUT_BYTES_MAX);
        memcpy(text + SENML_INPUT_BYTES_MAX - 3, "xxxx", 4);
        strcpy(text + SENML_INPUT_BYTES_MAX - 2, "\"}]");
        expect_error(text, SENML_TOO_LONG);
}

/* The longest that a pack can become: no write leaves the pack or the output's bound. */
Test(senml_json, the_largest_pack_fits)
{
        static char text[SENML_INPUT_BYTES_MAX + 1];
        size_t n = 0;

        n += (size_t)sprintf(text + n, "[{\"bu\":\"");
        for (unsigned i = 0; i < SENML_UNIT_BYTES_MAX; i++)
                text[n++] = 0x7f;
        n += (size_t)sprintf(text + n, "\",\"bn\":\"");
        memset(text + n, 'a', SENML_NAME_BYTES_MAX);
        n += SENML_NAME_BYTES_MAX;
        n += (size_t)sprintf(text + n, "\",\"bs\":-1.234567890123456789e-300,\"vb\":true}");
        for (unsigned i = 1; i < SENML_RECORDS_MAX; i++)
                n += (size_t)sprintf(text + n, ",{\"vb\":false}");
        n += (size_t)sprintf(text + n, "]");
        cr_assert(n <= SENML_INPUT_BYTES_MAX);
        cr_assert(parse_json(text) == SENML_OK);
        cr_expect(pack.records == SENML_RECORDS_MAX);
        cr_expect(strlen(resolved(&pack)) < SENML_JSON_BYTES_MAX);
}

Test(senml_json, names)
{
        char text[512], name[SENML_NAME_BYTES_MAX + 2];

        expect_error("[{\"v\":1}]", SENML_NO_NAME);
        expect_error("[{\"n\":\"\",\"bn\":\"\",\"v\":1}]", SENML_NO_NAME);
        expect_error("[{\"n\":\"-a\",\"v\":1}]", SENML_NAME);
        expect_error("[{\"n\":\":\",\"v\":1}]", SENML_NAME);
        expect_error("[{\"n\":\"/a\",\"v\":1}]", SENML_NAME);
        expect_error("[{\"n\":\"a b\",\"v\":1}]", SENML_NAME);
        expect_error("[{\"n\":\"a\\u0000\",\"v\":1}]", SENML_NAME);
        expect_error("[{\"n\":\"\xc3\xa9\",\"v\":1}]", SENML_NAME);
        expect_error("[{\"n\":\"a~\",\"v\":1}]", SENML_NAME);
        expect_error("[{\"bn\":\"9\",\"n\":\"-:./_zZ0\",\"v\":1}]", SENML_OK);
        expect_error("[{\"bn\":\"a/\",\"n\":\"b\",\"v\":1},{\"bn\":\"\",\"v\":1}]", SENML_NO_NAME);
        memset(name, 'n', sizeof(name));
        sprintf(text, "[{\"n\":\"%.*s\",\"bn\":\"b\",\"v\":1}]", SENML_NAME_BYTES_MAX - 1, name);
        expect_error(text, SENML_OK);
        cr_expect(pack.record[0].name.bytes == SENML_NAME_BYTES_MAX);
        sprintf(text, "[{\"n\":\"%.*s\",\"bn\":\"b\",\"v\":1}]", SENML_NAME_BYTES_MAX, name);
        expect_error(text, SENML_NAME_LENGTH);
        memset(name, 'u', sizeof(name));
        sprintf(text, "[{\"n\":\"a\",\"u\":\"%.*s\",\"v\":1}]", SENML_UNIT_BYTES_MAX, name);
        expect_error(text, SENML_OK);
        sprintf(text, "[{\"n\":\"a\",\"bu\":\"%.*s\",\"v\":1}]", SENML_UNIT_BYTES_MAX + 1, name);
        expect_error(text, SENML_UNIT_LENGTH);
}

Test(senml_json, versions)
{
        expect_error("[{\"bver\":10,\"n\":\"a\",\"v\":1}]", SENML_OK);
        expect_error("[{\"bver\":1e1,\"n\":\"a\",\"v\":1}]", SENML_OK);
        expect_error("[{\"bver\":5,\"n\":\"a\",\"v\":1},{\"n\":\"b\",\"v\":1}]", SENML_OK);
        cr_expect(pack.version == 5);
        expect_error("[{\"bver\":11,\"n\":\"a\",\"v\":1}]", SENML_VERSION);
        expect_error("[{\"bver\":0,\"n\":\"a\",\"v\":1}]", SENML_VERSION);
        expect_error("[{\"bver\":-1,\"n\":\"a\",\"v\":1}]", SENML_VERSION);
        expect_error("[{\"bver\":9.5,\"n\":\"a\",\"v\":1}]", SENML_VERSION);
        expect_error("[{\"bver\":1e300,\"n\":\"a\",\"v\":1}]", SENML_VERSION);
        expect_error("[{\"bver\":5,\"n\":\"a\",\"v\":1},{\"bver\":6,\"n\":\"b\",\"v\":1}]",
            SENML_VERSION_DIFFERS);
        expect_error(
            "[{\"n\":\"a\",\"v\":1},{\"bver\":5,\"n\":\"b\",\"v\":1}]", SENML_VERSION_DIFFERS);
        expect_error("[{\"bn\":\"a\"},{\"bver\":5,\"v\":1}]", SENML_VERSION_DIFFERS);
        expect_error("[{\"n\":\"a\",\"v\":1},{\"bver\":10,\"n\":\"b\",\"v\":1}]", SENML_OK);
        cr_expect(pack.failed_record == 0);
        expect_error("[{\"n\":\"a\",\"v\":1},{\"n\":\"b\"}]", SENML_NO_VALUE);
        cr_expect(pack.failed_record == 1);
}

Test(senml_json, base_fields_last_until_overridden)
{
        expect_resolved("[{\"v\":1,\"bv\":0.5,\"n\":\"x\",\"bn\":\"a/\",\"bu\":\"Cel\",\"bt\":1e9},"
                        "{\"n\":\"y\",\"v\":-0.5,\"u\":\"K\",\"t\":0.5},"
                        "{\"bv\":10,\"bn\":\"b/\",\"bt\":2e9,\"bu\":\"m\",\"n\":\"z\",\"v\":1},"
                        "{\"n\":\"s\",\"vs\":\"q\"}]",
            "[{\"n\":\"a/x\",\"u\":\"Cel\",\"v\":1.5,\"t\":1000000000},"
            "{\"n\":\"a/y\",\"u\":\"K\",\"v\":0,\"t\":1000000000.5},"
            "{\"n\":\"b/z\",\"u\":\"m\",\"v\":11,\"t\":2000000000},"
            "{\"n\":\"b/s\",\"u\":\"m\",\"vs\":\"q\",\"t\":2000000000}]");
        /* RFC 8428 §4.5.4: a sum that only the base gives is that. */
        expect_resolved(
            "[{\"bs\":5,\"n\":\"a\",\"v\":1,\"t\":1e9},{\"n\":\"b\",\"s\":1,\"t\":1e9}]",
            "[{\"n\":\"a\",\"v\":1,\"s\":5,\"t\":1000000000},{\"n\":\"b\",\"s\":6,\"t\":1000000000}"
            "]");
}

Test(senml_json, times)
{
        static const struct {
                const char *fields;
                int64_t ns;
        } cases[] = {
            {"\"v\":1", NOW_NS},
            {"\"v\":1,\"t\":0", NOW_NS},
            {"\"v\":1,\"t\":-1.5", NOW_NS - 1500000000},
            {"\"v\":1,\"t\":20e-3", NOW_NS + 20000000},
            {"\"v\":1,\"t\":268435455", NOW_NS + 268435455000000000},
            {"\"v\":1,\"t\":268435455.9999999999", NOW_NS + 268435456000000000},
            {"\"v\":1,\"t\":268435456", 268435456000000000},
            {"\"v\":1,\"bt\":268435455,\"t\":1", 268435456000000000},
            {"\"v\":1,\"bt\":268435456,\"t\":-1", NOW_NS + 268435455000000000},
            {"\"v\":1,\"bt\":-10", NOW_NS - 10000000000},
            {"\"v\":1,\"t\":1700000000.123456789", 1700000000123456789},
            {"\"v\":1,\"t\":1e-400", NOW_NS},
        };
        char text[128];

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                sprintf(text, "[{\"n\":\"a\",%s}]", cases[i].fields);
                expect_error(text, SENML_OK);
                cr_expect(pack.record[0].time_ns == cases[i].ns, "%s: %ld", text,
                    (long)pack.record[0].time_ns);
        }
        expect_error("[{\"n\":\"a\",\"v\":1,\"t\":1e10}]", SENML_TIME_RANGE);
        expect_error("[{\"n\":\"a\",\"v\":1,\"t\":-1e300}]", SENML_TIME_RANGE);
        expect_error("[{\"n\":\"a\",\"v\":1,\"t\":1e420}]", SENML_NUMBER_RANGE);
        expect_resolved("[{\"n\":\"a\",\"v\":1,\"t\":1e9,\"ut\":0.25}]",
            "[{\"n\":\"a\",\"v\":1,\"t\":1000000000,\"ut\":0.25}]");
}

Test(senml_json, types)
{
        static const char *const wrong[] = {"\"n\":1", "\"n\":null", "\"bn\":[]", "\"u\":{}",
            "\"bu\":true", "\"v\":\"1\"", "\"v\":true", "\"v\":null", "\"v\":+1", "\"v\":.5",
            "\"v\":NaN", "\"vs\":1", "\"vb\":1", "\"vb\":\"true\"", "\"vb\":null", "\"vd\":1",
            "\"t\":\"1\"", "\"ut\":[]", "\"s\":{}", "\"bv\":\"\"", "\"bs\":true", "\"bt\":null",
            "\"bver\":\"10\""};
        char text[64];

        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                sprintf(text, "[{%s}]", wrong[i]);
                expect_error(text, SENML_TYPE);
        }
        expect_error("[{\"n\":\"a\",\"vb\":True}]", SENML_TYPE);
        expect_error("[{\"n\":\"a\",\"vb\":trux}]", SENML_SYNTAX);
        expect_error("[{\"n\":\"a\",\"vb\":truex}]", SENML_SYNTAX);
        expect_error("[{\"n\":\"a\",\"v\":01}]", SENML_SYNTAX);
        expect_error("[{\"n\":\"a\",\"v\":1.}]", SENML_SYNTAX);
        expect_error("[{\"n\":\"a\",\"v\":-}]", SENML_SYNTAX);
        expect_error("[{\"n\":\"a\",\"v\":1e}]", SENML_SYNTAX);
        expect_error("[{\"n\":\"a\",\"v\":0x1}]", SENML_SYNTAX);
        expect_error("[{\"n\":\"a\",\"v\":1e999}]", SENML_NUMBER_RANGE);
}

Test(senml_json, strings)
{
        static const struct {
                const char *json, *text;
                size_t bytes;
        } good[] = {
            {"", "", 0},
            {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t", 8},
            {"\\u0041\\u00e9\\u20AC\\ud83D\\uDE00", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10},
            {"a\\u0000b", "a\0b", 3},
            {"\xc2\x80\xe0\xa0\x80\xed\x9f\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
                "\xc2\x80\xe0\xa0\x80\xed\x9f\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 16},
            {"1234567\\n12345678\\n123456789", "1234567\n12345678\n123456789", 26},
            {"\x7f", "\x7f", 1},
        };
        static const struct {
                const char *json;
                enum senml_error error;
        } bad[] = {
            {"\\x", SENML_SYNTAX},
            {"\\u12g4", SENML_SYNTAX},
            {"\n", SENML_SYNTAX},
            {"12345678\x1f", SENML_SYNTAX},
            {"\\ud800", SENML_UTF8},
            {"\\ud800x", SENML_UTF8},
            {"\\ud800\\u0041", SENML_UTF8},
            {"\\ude00", SENML_UTF8},
            {"\x80", SENML_UTF8},
            {"\xc0\xaf", SENML_UTF8},
            {"\xc3(", SENML_UTF8},
            {"\xe0\x80\x80", SENML_UTF8},
            {"\xed\xa0\x80", SENML_UTF8},
            {"\xf0\x80\x80\x80", SENML_UTF8},
            {"\xf4\x90\x80\x80", SENML_UTF8},
            {"\xf5\x80\x80\x80", SENML_UTF8},
            {"123456789\xff", SENML_UTF8},
        };
        static struct senml_pack again;
        char text[128];

        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
                sprintf(text, "[{\"n\":\"a\",\"vs\":\"%s\"}]", good[i].json);
                expect_error(text, SENML_OK);
                cr_expect(pack.record[0].kind == SENML_STRING);
                cr_assert(pack.record[0].data.bytes == good[i].bytes, "%s: %u", text,
                    pack.record[0].data.bytes);
                cr_expect(memcmp(senml_text(&pack, pack.record[0].data), good[i].text,
                              good[i].bytes) == 0,
                    "%s", text);
                again = pack;
                cr_expect(parse_json(resolved(&again)) == SENML_OK);
                cr_expect(same_pack(&pack, &again), "%s", written);
        }
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                sprintf(text, "[{\"n\":\"a\",\"vs\":\"%s\"}]", bad[i].json);
                expect_error(text, bad[i].error);
        }
}

/* A quote or a backslash at every place of a word, and behind it. */
Test(senml_json, strings_of_every_length)
{
        char text[128], want[64];

        for (unsigned length = 0; length < 40; length++) {
                memset(want, 'w', sizeof(want));
                sprintf(text, "[{\"n\":\"a\",\"vs\":\"%.*s\\\\%.*s\"}]", (int)length, want,
                    (int)length, want);
                cr_assert(parse_json(text) == SENML_OK);
                cr_assert(pack.record[0].data.bytes == 2 * length + 1);
                want[length] = '\\';
                cr_expect(memcmp(senml_text(&pack, pack.record[0].data), want, length + 1) == 0);
        }
}

Test(senml_json, data_values)
{
        static const struct {
                const char *json;
                enum senml_error error;
                unsigned bytes;
        } cases[] = {{"", SENML_OK, 0}, {"aGkgCg", SENML_OK, 4}, {"-_-_", SENML_OK, 3},
            {"AA", SENML_OK, 1}, {"AAA", SENML_OK, 2}, {"A", SENML_DATA, 0}, {"AB", SENML_DATA, 0},
            {"AAB", SENML_DATA, 0}, {"AA==", SENML_DATA, 0}, {"+/+/", SENML_DATA, 0},
            {"AA AA", SENML_DATA, 0}, {"AAAAA", SENML_DATA, 0}};
        char text[64];

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                sprintf(text, "[{\"n\":\"a\",\"vd\":\"%s\"}]", cases[i].json);
                expect_error(text, cases[i].error);
                if (cases[i].error == SENML_OK) {
                        char want[32];

                        cr_expect(pack.record[0].data.bytes == cases[i].bytes);
                        sprintf(want, "\"vd\":\"%s\"", cases[i].json);
                        cr_expect(strstr(resolved(&pack), want) != NULL, "%s", written);
                }
        }
}

Test(senml_json, every_error_has_its_text)
{
        for (unsigned i = 0; i < SENML_ERROR_COUNT; i++) {
                const char *text = senml_error_text((enum senml_error)i);

                cr_assert(text != NULL && text[0] != '\0' && strlen(text) <= 64);
        }
        cr_expect(senml_error_text((enum senml_error)999) != NULL);
}
