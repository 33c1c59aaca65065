/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: what a device writes is SenML that the gateway reads, with the same values in JSON and
 * CBOR. */
#include "bench/pack.h"
#include "dataplane/senml/senml.h"
#include "dataplane/senml/vitals.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define ALL    ((1u << SIGNS) - 1)
#define WHEN   UINT64_C(1800000000)
#define DEVICE UINT64_C(0x0024befffe804ff1)

static void
parse(struct senml_pack *pack, enum pack_format format, const uint8_t *data, size_t bytes)
{
        enum senml_error error = format == PACK_JSON ? senml_parse_json(pack, data, bytes, 0)
                                                     : senml_parse_cbor(pack, data, bytes, 0);

        cr_assert_eq(error, SENML_OK, "%s: %.*s", senml_error_text(error),
            format == PACK_JSON ? (int)bytes : 0, (const char *)data);
}

/* Record i of the pack is sign s with its value rounded to the sign's digits. */
static void
expect_record(const struct senml_pack *pack, unsigned i, int s, double value)
{
        const struct senml_value *record = &pack->record[i];
        struct decimal want;
        char name[64], text[64];

        snprintf(name, sizeof(name), "urn:dev:mac:%016" PRIx64 ":%s", DEVICE, sign_infos[s].loinc);
        cr_assert_eq(record->name.bytes, strlen(name));
        cr_assert_arr_eq(senml_text(pack, record->name), name, strlen(name));
        cr_assert_eq(record->unit.bytes, strlen(sign_infos[s].unit));
        cr_assert_arr_eq(
            senml_text(pack, record->unit), sign_infos[s].unit, strlen(sign_infos[s].unit));
        cr_assert_eq(record->kind, SENML_NUMBER);
        cr_assert_eq(record->time_ns, (int64_t)WHEN * 1000000000);
        snprintf(text, sizeof(text), "%.*f", sign_infos[s].decimals, value);
        cr_assert_gt(decimal_parse(&want, (const uint8_t *)text, strlen(text)), 0);
        cr_assert_eq(decimal_compare(record->number, want), 0, "%s: %s", sign_infos[s].loinc, text);
}

static void
expect_all(const struct vitals_sample *sample, uint32_t signs)
{
        static struct senml_pack pack;
        uint8_t out[PACK_BYTES_MAX];
        static const enum pack_format formats[] = {PACK_JSON, PACK_CBOR};

        for (unsigned f = 0; f < 2; f++) {
                ssize_t n = pack_write(out, sizeof(out), formats[f], DEVICE, WHEN, sample, signs);
                unsigned i = 0;

                cr_assert_gt(n, 0);
                parse(&pack, formats[f], out, (size_t)n);
                for (int s = 0; s < SIGNS; s++)
                        if (signs & sample->present & 1u << s)
                                expect_record(&pack, i++, s, sample->value[s]);
                cr_assert_eq(pack.records, i);
        }
}

Test(pack, both_formats_parse_to_the_same_values_for_every_set_of_signs)
{
        struct patient patient;
        struct vitals_sample sample;

        patient_init(&patient, 11);
        for (uint32_t signs = 1; signs <= ALL; signs++) {
                patient_sample(&patient, (double)WHEN + signs * 60, &sample);
                if ((signs & sample.present) != 0)
                        expect_all(&sample, signs);
        }
}

Test(pack, edge_values_survive)
{
        static const double values[] = {0, -0.0, 1, 9.96, 0.04, 0.96, -0.4, -12.34, 100, 1000.5,
            0.001, 0.0004, 99999999, 123456789012.0};

        for (unsigned v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
                struct vitals_sample sample = {.present = ALL};

                for (int s = 0; s < SIGNS; s++)
                        sample.value[s] = values[v];
                expect_all(&sample, ALL);
        }
}

Test(pack, a_trailing_zero_is_left_out)
{
        struct vitals_sample sample = {.present = 1u << SIGN_HEART_RATE};
        uint8_t out[PACK_BYTES_MAX];
        ssize_t n;

        sample.value[SIGN_HEART_RATE] = 72.0;
        n = pack_write(out, sizeof(out), PACK_JSON, DEVICE, WHEN, &sample, ALL);
        cr_assert_gt(n, 0);
        out[n] = '\0';
        cr_assert_str_eq((char *)out,
            "[{\"bn\":\"urn:dev:mac:0024befffe804ff1:\",\"bt\":1800000000,"
            "\"n\":\"8867-4\",\"u\":\"beat/min\",\"v\":72}]");
}

Test(pack, what_does_not_fit_is_refused_at_every_length)
{
        struct vitals_sample sample = {.present = ALL};
        uint8_t out[PACK_BYTES_MAX + 1];
        static const enum pack_format formats[] = {PACK_JSON, PACK_CBOR};

        for (unsigned f = 0; f < 2; f++) {
                ssize_t n = pack_write(out, PACK_BYTES_MAX, formats[f], DEVICE, WHEN, &sample, ALL);

                cr_assert_gt(n, 0);
                for (size_t room = 0; room < (size_t)n; room++) {
                        memset(out, 0xa5, sizeof(out));
                        cr_assert_eq(
                            pack_write(out, room, formats[f], DEVICE, WHEN, &sample, ALL), -ENOSPC);
                        for (size_t i = room; i < sizeof(out); i++)
                                cr_assert_eq(out[i], 0xa5, "wrote past %zu bytes", room);
                }
        }
}

Test(pack, nothing_to_say_or_no_number_is_an_error)
{
        struct vitals_sample sample = {.present = 1u << SIGN_SPO2};
        uint8_t out[PACK_BYTES_MAX];
        static const double wrong[] = {NAN, INFINITY, -INFINITY, 1e300, 1e12};

        cr_expect_eq(
            pack_write(out, sizeof(out), PACK_JSON, DEVICE, WHEN, &sample, 1u << SIGN_GLUCOSE),
            -ENODATA);
        for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                sample.value[SIGN_SPO2] = wrong[i];
                cr_expect_eq(
                    pack_write(out, sizeof(out), PACK_CBOR, DEVICE, WHEN, &sample, ALL), -ERANGE);
        }
}
