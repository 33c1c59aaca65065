/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: CBOR packs by RFC 8949 and RFC 8428 §6, and the bombs: depth, lengths, indefinite items
 * without an end. */
#include "tests/unit/dataplane/senml/senml_test.h"

static void
expect_error(const char *hex, enum senml_error want)
{
        enum senml_error error = parse_cbor(hex);

        cr_expect(
            error == want, "%s: %s, not %s", hex, senml_error_text(error), senml_error_text(want));
}

/* A record "a" with the value v. */
static void
expect_number(const char *value, const char *want)
{
        char hex[128], text[DECIMAL_TEXT_MAX];

        sprintf(hex, "81a2 006161 02 %s", value);
        expect_error(hex, SENML_OK);
        cr_assert(pack.records == 1);
        cr_assert(decimal_print(text, sizeof(text), pack.record[0].number) > 0);
        cr_expect_str_eq(text, want, "%s: %s", value, text);
}

Test(senml_cbor, pack_structure)
{
        expect_error("", SENML_TRUNCATED);
        expect_error("80", SENML_EMPTY);
        expect_error("9fff", SENML_EMPTY);
        expect_error("8000", SENML_TRAILING);
        expect_error("a0", SENML_NOT_ARRAY);
        expect_error("ff", SENML_NOT_ARRAY);
        expect_error("8101", SENML_NOT_RECORD);
        expect_error("81a0", SENML_NO_VALUE);
        expect_error("81a1006161", SENML_NO_VALUE);
        expect_error("81a1216161", SENML_NO_VALUE);
        expect_error("81a2 006161 0201", SENML_OK);
        expect_error("81a2 006161 0201 00", SENML_TRAILING);
        expect_error("81a3 006161 0201 036178", SENML_TWO_VALUES);
        expect_error("81a2 006161 0201 ff", SENML_TRAILING);
        expect_error("1c", SENML_SYNTAX);
        expect_error("9e", SENML_SYNTAX);
        expect_error("81bd", SENML_SYNTAX);
        expect_error("ffff", SENML_NOT_ARRAY);
}

Test(senml_cbor, indefinite_lengths)
{
        expect_error("9f bf 006161 0201 ff ff", SENML_OK);
        expect_error("9f bf 006161 0201 ff bf 006162 0202 ff ff", SENML_OK);
        cr_expect(pack.records == 2);
        expect_error("9f bf 00 7f 6161 6162 ff 0201 ff ff", SENML_OK);
        cr_expect(pack.record[0].name.bytes == 2);
        expect_error("9f bf 006161 08 5f 42aabb 41cc 40 ff ff ff", SENML_OK);
        cr_expect(pack.record[0].data.bytes == 3);
        /* Without an end. */
        expect_error("9f", SENML_TRUNCATED);
        expect_error("9f bf", SENML_TRUNCATED);
        expect_error("9f bf 006161 0201 ff", SENML_TRUNCATED);
        expect_error("81 bf 00 7f 6161", SENML_TRUNCATED);
        expect_error("81 a2 00 7f", SENML_TRUNCATED);
        expect_error("81 a3 006161 0201 183f 9f9f9f", SENML_TRUNCATED);
        /* A break where none may be, chunks of another kind, chunks in chunks. */
        expect_error("81 a2 006161 02 ff", SENML_TYPE);
        expect_error("81 a2 006161 ff", SENML_LABEL);
        expect_error("81 bf 006161 02 ff", SENML_TYPE);
        expect_error("81 bf 00 7f 4161 ff 0201 ff", SENML_SYNTAX);
        expect_error("81 bf 00 7f 7f 6161 ff ff 0201 ff", SENML_SYNTAX);
        /* A character cut in two by chunks is not valid (RFC 8949 §3.2.3). */
        expect_error("81 bf 006161 03 7f 61c3 61a9 ff ff", SENML_UTF8);
        expect_error("81 bf 006161 03 7f 62c3a9 ff ff", SENML_OK);
}

Test(senml_cbor, length_bombs_are_refused_at_once)
{
        expect_error("9affffffff", SENML_TRUNCATED);
        expect_error("9bffffffffffffffff", SENML_TRUNCATED);
        expect_error("9b7fffffffffffffff a0", SENML_TRUNCATED);
        expect_error("81baffffffff", SENML_TRUNCATED);
        expect_error("81bbffffffffffffffff", SENML_TRUNCATED);
        expect_error("81bb8000000000000001 006161 0201", SENML_TRUNCATED);
        expect_error("81a1007affffffff", SENML_TRUNCATED);
        expect_error("81a1007bffffffffffffffff", SENML_TRUNCATED);
        expect_error("81a2006161085bffffffffffffffff", SENML_TRUNCATED);
        expect_error("81a3 006161 0201 18409affffffff", SENML_TRUNCATED);
        expect_error("81a3 006161 0201 1840bb8000000000000000", SENML_TRUNCATED);
        expect_error("81a3 006161 0201 18407bffffffffffffffff", SENML_TRUNCATED);
        expect_error("9a0000ffff", SENML_TRUNCATED);
}

Test(senml_cbor, records_are_bounded)
{
        char hex[2 * SENML_INPUT_BYTES_MAX + 16];
        size_t n = (size_t)sprintf(hex, "9840");

        for (unsigned i = 0; i < SENML_RECORDS_MAX; i++)
                n += (size_t)sprintf(hex + n, "a20061610201");
        expect_error(hex, SENML_OK);
        cr_expect(pack.records == SENML_RECORDS_MAX);
        memcpy(hex, "9841", 4);
        sprintf(hex + n, "a20061610201");
        expect_error(hex, SENML_TOO_MANY);
        memcpy(hex + 4, "00", 2); /* refused before any record is read */
        expect_error(hex, SENML_TOO_MANY);
        memcpy(hex + 4, "a2", 2);
        memcpy(hex, "9f9f", 4);
        hex[2] = 'a';
        hex[3] = '0';
        expect_error(hex, SENML_NO_VALUE);
        n = (size_t)sprintf(hex, "9f");
        for (unsigned i = 0; i <= SENML_RECORDS_MAX; i++)
                n += (size_t)sprintf(hex + n, "a20061610201");
        expect_error(hex, SENML_TOO_MANY);
}

Test(senml_cbor, depth_is_bounded)
{
        char hex[2 * SENML_INPUT_BYTES_MAX + 16];
        static const struct {
                const char *open, *inner;
        } kinds[] = {{"81", "01"}, {"9f", "01"}, {"a101", "01"}, {"bf01", "01"}, {"c181", "f6"}};

        for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
                for (unsigned depth = SENML_DEPTH_MAX; depth <= SENML_DEPTH_MAX + 1; depth++) {
                        size_t n = (size_t)sprintf(hex, "81a300616102011840");

                        for (unsigned i = 0; i < depth; i++)
                                n += (size_t)sprintf(hex + n, "%s", kinds[k].open);
                        n += (size_t)sprintf(hex + n, "%s", kinds[k].inner);
                        if (kinds[k].open[1] == 'f') {
                                for (unsigned i = 0; i < depth; i++)
                                        n += (size_t)sprintf(hex + n, "ff");
                        }
                        expect_error(hex, depth <= SENML_DEPTH_MAX ? SENML_OK : SENML_DEPTH);
                }
                size_t n = (size_t)sprintf(hex, "81a11840");

                while (n + 8 < 2 * SENML_INPUT_BYTES_MAX)
                        n += (size_t)sprintf(hex + n, "%s", kinds[k].open);
                expect_error(hex, SENML_DEPTH);
        }
        /* Tags do not nest here, they only take bytes. */
        size_t n = (size_t)sprintf(hex, "81a300616102011840");
        for (unsigned i = 0; i < 1000; i++)
                n += (size_t)sprintf(hex + n, "c6");
        expect_error(hex, SENML_TRUNCATED);
        sprintf(hex + n, "f6");
        expect_error(hex, SENML_OK);
}

Test(senml_cbor, labels)
{
        expect_error("81a3 006161 0201 0201", SENML_DUPLICATE_LABEL);
        expect_error("81a3 006161 0201 1802 01", SENML_DUPLICATE_LABEL); /* 2 in two bytes */
        expect_error("81a4 006161 0201 1840f6 1840f6", SENML_DUPLICATE_LABEL);
        expect_error("81a4 006161 0201 1840f6 3840f6", SENML_OK);
        expect_error("81a4 006161 0201 6178f6 6178f6", SENML_DUPLICATE_LABEL);
        expect_error("81a4 006161 0201 6178f6 6179f6", SENML_OK);
        expect_error("81a3 006161 0201 62785f f6", SENML_MUST_UNDERSTAND);
        expect_error("81a3 006161 0201 7f 6178 615f ff f6", SENML_MUST_UNDERSTAND);
        /* "n", "v", "bver" as text would be second names for what integers name. */
        expect_error("81a2 616e6161 0201", SENML_LABEL);
        expect_error("81a2 006161 617601", SENML_LABEL);
        expect_error("81a3 006161 0201 64627665720a", SENML_LABEL);
        expect_error("81a3 006161 0201 4178f6", SENML_LABEL);
        expect_error("81a3 006161 0201 f6f6", SENML_LABEL);
        expect_error("81a3 006161 0201 1bfffffffffffffffff6", SENML_LABEL);
        expect_error("81a3 006161 0201 3b7ffffffffffffffff6", SENML_OK);
        expect_error("81a3 006161 0201 61fff6", SENML_UTF8);
}

Test(senml_cbor, unknown_values_are_skipped_but_checked)
{
        expect_error("81a3 0061610201 1840 83018202039f0405ff", SENML_OK);
        expect_error("81a3 0061610201 1840 bf61610161629f0203ffff", SENML_OK);
        expect_error("81a3 0061610201 1840 c11a514b67b0", SENML_OK);
        expect_error("81a3 0061610201 1840 5f42010243030405ff", SENML_OK);
        expect_error("81a3 0061610201 1840 f820", SENML_OK);
        expect_error("81a3 0061610201 1840 f81f", SENML_SYNTAX);
        expect_error("81a3 0061610201 1840 bf01ff", SENML_SYNTAX);
        expect_error("81a3 0061610201 1840 ff", SENML_SYNTAX);
        expect_error("81a3 0061610201 1840 81ff", SENML_SYNTAX);
        expect_error("81a3 0061610201 1840 9fc1ff", SENML_SYNTAX);
        expect_error("81a3 0061610201 1840 1f", SENML_SYNTAX);
        expect_error("81a3 0061610201 1840 df", SENML_SYNTAX);
        expect_error("81a3 0061610201 1840 61ff", SENML_UTF8);
        expect_error("81a3 0061610201 1840", SENML_TRUNCATED);
}

Test(senml_cbor, types)
{
        static const char *const wrong[] = {"0001", "004161", "00f6", "0180", "0261 31", "02f5",
            "02f6", "0280", "02c201", "02c24101", "02c5820101", "02e0", "0301", "034161", "0401",
            "04f6", "04f816", "0561 31", "06f6", "0780", "086161", "0801", "2001 5", "2101",
            "22f5"};

        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                char hex[64];

                if (strcmp(wrong[i], "2001 5") == 0 || strcmp(wrong[i], "04f816") == 0)
                        continue;
                sprintf(hex, "81a1%s", wrong[i]);
                expect_error(hex, SENML_TYPE);
        }
        expect_error("81a104f816", SENML_SYNTAX); /* false and true have one encoding */
        /* RFC 8428 §6: the version is an unsigned integer. */
        expect_error("81a3 20 fb4014000000000000 006161 0201", SENML_TYPE);
        expect_error("81a3 20 24 006161 0201", SENML_TYPE);
        expect_error("81a3 20 05 006161 0201", SENML_OK);
        cr_expect(pack.version == 5);
        expect_error("81a3 20 0b 006161 0201", SENML_VERSION);
        expect_error("81a3 20 00 006161 0201", SENML_VERSION);
        expect_error("81a3 20 1bffffffffffffffff 006161 0201", SENML_VERSION);
        expect_error("82a3 20 05 006161 0201 a3 20 06 006161 0201", SENML_VERSION_DIFFERS);
        expect_error("81a2 006120 0201", SENML_NAME);
        expect_error("81a2 00613a 0201", SENML_NAME);
        expect_error("81a1 0201", SENML_NO_NAME);
        expect_error("81a2 0061ff 0201", SENML_UTF8);
}

Test(senml_cbor, numbers)
{
        expect_number("00", "0");
        expect_number("20", "-1");
        expect_number("1864", "100");
        expect_number("1b7fffffffffffffff", "9223372036854775807");
        expect_number("3b7ffffffffffffffe", "-9223372036854775807");
        expect_number("1bffffffffffffffff", "18446744073709551620"); /* rounded to 19 digits */
        expect_number("3bffffffffffffffff", "-18446744073709551620");
        expect_number("f90000", "0");
        expect_number("f98000", "0");
        expect_number("f93c00", "1");
        expect_number("f95093", "36.6"); /* the half next to it, 36.59375 */
        expect_number("f97bff", "65504");
        expect_number("fa42126666", "36.6"); /* the single next to it */
        expect_number("fac2c2999a", "-97.3");
        expect_number("fb40424ccccccccccd", "36.6");
        expect_number("fb3fb999999999999a", "0.1");
        expect_number("fb3fd3333333333334", "0.30000000000000004");
        expect_number("fbc010666666666666", "-4.1");
        expect_number("c482201870", "11.2");
        expect_number("c48221196ab3", "273.15");
        expect_number("c482 02 20", "-100");
        expect_number("c49f 21 196ab3 ff", "273.15");
        expect_number("c482 3a7fffffff 00", "0");
        expect_error("81a2 006161 02 f97e00", SENML_NUMBER_RANGE);
        expect_error("81a2 006161 02 f97c00", SENML_NUMBER_RANGE);
        expect_error("81a2 006161 02 fa7f800000", SENML_NUMBER_RANGE);
        expect_error("81a2 006161 02 fbfff0000000000000", SENML_NUMBER_RANGE);
        expect_error("81a2 006161 02 c482 3a7fffffff 01", SENML_NUMBER_RANGE);
        expect_error("81a2 006161 02 c482 1bffffffffffffffff 01", SENML_NUMBER_RANGE);
        expect_error("81a2 006161 02 c481 01", SENML_TYPE);
        expect_error("81a2 006161 02 c483 010101", SENML_TYPE);
        expect_error("81a2 006161 02 c49f 010101ff", SENML_TYPE);
        expect_error("81a2 006161 02 c482 01f93c00", SENML_TYPE);
        expect_error("81a2 006161 02 c4 01", SENML_TYPE);
        expect_error("81a2 006161 02 c482 01", SENML_TRUNCATED);
        expect_error("81a2 006161 02 c49f 0101", SENML_TRUNCATED);
}
