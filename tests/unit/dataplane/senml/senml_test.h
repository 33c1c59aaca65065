/* SPDX-License-Identifier: Apache-2.0 */
/* What the SenML tests share: parsing from heap buffers of the exact size, so that ASan sees every
 * byte read beyond, and comparing packs by what they mean. */
#ifndef AORTA_TESTS_SENML_TEST_H
#define AORTA_TESTS_SENML_TEST_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/senml/senml.h"

#define NOW_NS 1700000000250000000 /* 2023-11-14 22:13:20.25 UTC */

static struct senml_pack pack;
static char written[SENML_JSON_BYTES_MAX];

static inline enum senml_error
parse(struct senml_pack *out, int format, const void *bytes, size_t n)
{
        uint8_t *exact = malloc(n);
        enum senml_error error;

        cr_assert(exact != NULL || n == 0);
        if (n > 0)
                memcpy(exact, bytes, n);
        error = format == SENML_FORMAT_JSON ? senml_parse_json(out, exact, n, NOW_NS)
                                            : senml_parse_cbor(out, exact, n, NOW_NS);
        free(exact);
        cr_assert((error == SENML_OK) == (out->records > 0));
        return error;
}

static inline enum senml_error
parse_json(const char *text)
{
        return parse(&pack, SENML_FORMAT_JSON, text, strlen(text));
}

/* Bytes of a hex text, spaces ignored; the caller frees. */
static inline uint8_t *
from_hex(const char *hex, size_t *n)
{
        uint8_t *bytes = malloc(strlen(hex) / 2 + 1);
        unsigned half = 0, value = 0;

        *n = 0;
        for (; *hex != '\0'; hex++) {
                if (*hex == ' ')
                        continue;
                value = value << 4 | (unsigned)(*hex <= '9' ? *hex - '0' : *hex - 'a' + 10);
                if (half++ & 1) {
                        bytes[(*n)++] = (uint8_t)value;
                        value = 0;
                }
        }
        cr_assert(half % 2 == 0, "half a byte in the test's hex");
        return bytes;
}

static inline enum senml_error
parse_cbor(const char *hex)
{
        size_t n;
        uint8_t *bytes = from_hex(hex, &n);
        enum senml_error error = parse(&pack, SENML_FORMAT_CBOR, bytes, n);

        free(bytes);
        return error;
}

/* The resolved pack as JSON. */
static inline const char *
resolved(const struct senml_pack *p)
{
        ssize_t n = senml_write_json(written, sizeof(written), p);

        cr_assert(n > 0 && (size_t)n == strlen(written));
        return written;
}

static inline bool
same_span(const struct senml_pack *a, struct senml_span x, const struct senml_pack *b,
    struct senml_span y)
{
        return x.bytes == y.bytes && memcmp(senml_text(a, x), senml_text(b, y), x.bytes) == 0;
}

static inline bool
same_record(const struct senml_pack *a, const struct senml_value *x, const struct senml_pack *b,
    const struct senml_value *y)
{
        return x->kind == y->kind && x->boolean == y->boolean && x->has_sum == y->has_sum &&
               x->has_update == y->has_update && x->time_ns == y->time_ns &&
               decimal_compare(x->number, y->number) == 0 && decimal_compare(x->sum, y->sum) == 0 &&
               decimal_compare(x->update, y->update) == 0 && same_span(a, x->name, b, y->name) &&
               same_span(a, x->unit, b, y->unit) && same_span(a, x->data, b, y->data);
}

static inline bool
same_pack(const struct senml_pack *a, const struct senml_pack *b)
{
        if (a->records != b->records || a->version != b->version)
                return false;
        for (unsigned i = 0; i < a->records; i++) {
                if (!same_record(a, &a->record[i], b, &b->record[i]))
                        return false;
        }
        return true;
}

#endif
