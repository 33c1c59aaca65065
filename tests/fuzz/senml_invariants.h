/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for every pack that was accepted, whatever bytes it came from. */
#ifndef AORTA_TESTS_FUZZ_SENML_INVARIANTS_H
#define AORTA_TESTS_FUZZ_SENML_INVARIANTS_H

#include <assert.h>
#include <string.h>

#include "crypto/seal.h"
#include "dataplane/senml/senml.h"
#include "dataplane/senml/vitals.h"

#define NOW_NS 1700000000250000000

static struct senml_pack pack, again;
static char written[SENML_JSON_BYTES_MAX];

static void
check_span(struct senml_span span, size_t bytes_max)
{
        assert((size_t)span.offset + span.bytes <= pack.text_bytes && span.bytes <= bytes_max);
}

static int
same_span(struct senml_span a, struct senml_span b)
{
        return a.bytes == b.bytes &&
               memcmp(senml_text(&pack, a), senml_text(&again, b), a.bytes) == 0;
}

static void
check_record(const struct senml_value *value)
{
        check_span(value->name, SENML_NAME_BYTES_MAX);
        check_span(value->unit, SENML_UNIT_BYTES_MAX);
        check_span(value->data, SENML_INPUT_BYTES_MAX);
        assert(value->name.bytes > 0 && value->kind <= SENML_DATA_BYTES);
        assert(value->kind != SENML_SUM_ONLY || value->has_sum);
        assert(value->number.exponent10 >= -DECIMAL_EXPONENT_MAX &&
               value->number.exponent10 <= DECIMAL_EXPONENT_MAX);
}

/* The written pack must read back, once it fits the bound on input, as the same. Times before 1978
 * have no SenML of their own. */
static void
check_round_trip(void)
{
        ssize_t n = senml_write_json(written, sizeof(written), &pack);
        enum senml_error error;

        assert(n > 0 && written[n] == '\0' && strlen(written) == (size_t)n);
        if (n > SENML_INPUT_BYTES_MAX)
                return;
        for (unsigned i = 0; i < pack.records; i++) {
                if (pack.record[i].time_ns / 1000000000 < SENML_RELATIVE_BELOW_S)
                        return;
        }
        error = senml_parse_json(&again, (const uint8_t *)written, (size_t)n, NOW_NS);
        assert(error == SENML_OK && again.records == pack.records);
        assert(again.version == pack.version);
        for (unsigned i = 0; i < pack.records; i++) {
                const struct senml_value *a = &pack.record[i], *b = &again.record[i];

                assert(a->kind == b->kind && a->time_ns == b->time_ns && a->boolean == b->boolean);
                assert(a->has_sum == b->has_sum && a->has_update == b->has_update);
                assert(decimal_compare(a->number, b->number) == 0);
                assert(decimal_compare(a->sum, b->sum) == 0);
                assert(decimal_compare(a->update, b->update) == 0);
                assert(same_span(a->name, b->name) && same_span(a->unit, b->unit));
                assert(same_span(a->data, b->data));
        }
        assert(vitals_check(&pack) == vitals_check(&again));
}

static void
check_parsed(enum senml_error error, size_t input_bytes)
{
        assert((unsigned)error < SENML_ERROR_COUNT);
        assert(pack.text_bytes <= sizeof(pack.text));
        if (error != SENML_OK) {
                assert(pack.records == 0 && pack.failed_at <= input_bytes);
                return;
        }
        assert(pack.records > 0 && pack.records <= SENML_RECORDS_MAX);
        assert(pack.version >= 1 && pack.version <= SENML_VERSION_MAX);
        for (unsigned i = 0; i < pack.records; i++)
                check_record(&pack.record[i]);
        check_round_trip();
        senml_sort_by_time(&pack);
        for (unsigned i = 1; i < pack.records; i++)
                assert(pack.record[i - 1].time_ns <= pack.record[i].time_ns);
}

#endif
