/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: RFC 8428's own examples resolve as it says; a pack means the same in JSON and CBOR; what
 * is written reads back as the same; no truncation of a valid pack is read beyond its end or, in
 * CBOR, is valid. */
#include <errno.h>

#include "tests/unit/dataplane/senml/examples.h"
#include "tests/unit/dataplane/senml/senml_test.h"

static struct senml_pack other;

Test(senml_examples, json_resolves_as_the_rfc_says)
{
        for (size_t i = 0; i < EXAMPLES; i++) {
                enum senml_error error = parse_json(examples[i].json);

                cr_assert(
                    error == SENML_OK, "%s: %s", examples[i].section, senml_error_text(error));
                cr_expect_str_eq(
                    resolved(&pack), examples[i].resolved, "%s: %s", examples[i].section, written);
        }
}

Test(senml_examples, cbor_means_the_same_as_json)
{
        for (size_t i = 0; i < EXAMPLES; i++) {
                enum senml_error error = parse_cbor(examples[i].cbor);

                cr_assert(error == SENML_OK, "%s: %s at %u", examples[i].section,
                    senml_error_text(error), pack.failed_at);
                cr_expect_str_eq(
                    resolved(&pack), examples[i].resolved, "%s: %s", examples[i].section, written);
                other = pack;
                cr_assert(parse_json(examples[i].json) == SENML_OK);
                cr_expect(same_pack(&pack, &other), "%s", examples[i].section);
        }
}

Test(senml_examples, what_is_written_reads_back)
{
        for (size_t i = 0; i < EXAMPLES; i++) {
                cr_assert(parse_json(examples[i].json) == SENML_OK);
                other = pack;
                cr_assert(parse_json(resolved(&other)) == SENML_OK);
                cr_expect(same_pack(&pack, &other), "%s: %s", examples[i].section, written);
        }
}

/* RFC 8428 §6, its bytes up to the second record's value. */
Test(senml_examples, section_6_byte_by_byte)
{
        static const char hex[] =
            "82 a7 21 78 1b 75 72 6e 3a 64 65 76 3a 6f 77 3a 31 30 65 32 30 37 33 61 30 31 30 38"
            "30 30 36 3a 22 fb 41 d3 03 a1 5b 00 10 62 23 61 41 20 05 00 67 76 6f 6c 74 61 67 65"
            "01 61 56 02 fb 40 5e 06 66 66 66 66 66"
            "a3 00 67 63 75 72 72 65 6e 74 06 24 02 fb 3f f3 33 33 33 33 33 33";

        cr_assert(parse_cbor(hex) == SENML_OK);
        cr_expect_str_eq(resolved(&pack),
            "[{\"bver\":5,\"n\":\"urn:dev:ow:10e2073a0108006:voltage\",\"u\":\"V\",\"v\":120.1,"
            "\"t\":1276020076.001},{\"bver\":5,\"n\":\"urn:dev:ow:10e2073a0108006:current\","
            "\"u\":\"A\",\"v\":1.2,\"t\":1276020071.001}]");
}

Test(senml_examples, no_truncation_is_valid)
{
        for (size_t i = 0; i < EXAMPLES; i++) {
                size_t n = strlen(examples[i].json), cbor_bytes;
                uint8_t *cbor = from_hex(examples[i].cbor, &cbor_bytes);

                for (size_t cut = 0; cut < n; cut++) {
                        enum senml_error error =
                            parse(&pack, SENML_FORMAT_JSON, examples[i].json, cut);

                        cr_expect(error == SENML_TRUNCATED || error == SENML_SYNTAX ||
                                      error == SENML_UTF8,
                            "%s cut at %zu: %s", examples[i].section, cut, senml_error_text(error));
                        cr_expect(pack.failed_at <= cut);
                }
                for (size_t cut = 0; cut < cbor_bytes; cut++) {
                        enum senml_error error = parse(&pack, SENML_FORMAT_CBOR, cbor, cut);

                        cr_expect(error == SENML_TRUNCATED, "%s cut at %zu: %s",
                            examples[i].section, cut, senml_error_text(error));
                }
                free(cbor);
        }
}

/* Every single byte changed to every value: refused or another pack, and written without a trace of
 * what is outside the pack. */
Test(senml_examples, any_changed_byte_is_survived)
{
        size_t n;
        uint8_t *cbor = from_hex(examples[2].cbor, &n);

        for (size_t at = 0; at < n; at++) {
                uint8_t before = cbor[at];

                for (unsigned value = 0; value < 256; value++) {
                        cbor[at] = (uint8_t)value;
                        if (parse(&pack, SENML_FORMAT_CBOR, cbor, n) == SENML_OK)
                                resolved(&pack);
                }
                cbor[at] = before;
        }
        free(cbor);
}

Test(senml_examples, a_full_buffer_is_enospc)
{
        char small[64];
        size_t need;

        cr_assert(parse_json(examples[0].json) == SENML_OK);
        need = strlen(resolved(&pack)) + 1;
        for (size_t capacity = 0; capacity < sizeof(small); capacity++)
                cr_expect(senml_write_json(small, capacity, &pack) == -ENOSPC);
        cr_expect(senml_write_json(written, need - 1, &pack) == -ENOSPC);
        cr_expect(senml_write_json(written, need, &pack) == (ssize_t)need - 1);
}

Test(senml_examples, sorting_is_by_time_and_stable)
{
        cr_assert(parse_json(
                      "[{\"n\":\"a\",\"v\":1,\"t\":5},{\"n\":\"b\",\"v\":1,\"t\":-5},"
                      "{\"n\":\"c\",\"v\":1,\"t\":5},{\"n\":\"d\",\"v\":1,\"t\":-5}]") == SENML_OK);
        senml_sort_by_time(&pack);
        for (unsigned i = 0; i < 4; i++)
                cr_expect(*senml_text(&pack, pack.record[i].name) == "bdac"[i]);
}
