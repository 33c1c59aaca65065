/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/pack.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define DECIMALS_MAX 3

/* A value as mantissa and digits after the point, none of them a trailing zero. */
struct reading {
        int64_t mantissa;
        int decimals;
};

static struct reading
round_value(double value, int decimals)
{
        static const double power[DECIMALS_MAX + 1] = {1, 10, 100, 1000};
        struct reading reading = {llround(value * power[decimals]), decimals};

        while (reading.decimals > 0 && reading.mantissa % 10 == 0) {
                reading.mantissa /= 10;
                reading.decimals--;
        }
        return reading;
}

static int
print_reading(char *out, size_t out_bytes, struct reading reading)
{
        static const uint64_t power[DECIMALS_MAX + 1] = {1, 10, 100, 1000};
        uint64_t magnitude =
            reading.mantissa < 0 ? -(uint64_t)reading.mantissa : (uint64_t)reading.mantissa;
        const char *sign = reading.mantissa < 0 ? "-" : "";

        if (reading.decimals == 0)
                return snprintf(out, out_bytes, "%s%" PRIu64 "}", sign, magnitude);
        return snprintf(out, out_bytes, "%s%" PRIu64 ".%0*" PRIu64 "}", sign,
            magnitude / power[reading.decimals], reading.decimals,
            magnitude % power[reading.decimals]);
}

/* Appends what snprintf() made; false when it did not fit. */
static bool
advance(size_t *at, size_t out_bytes, int n)
{
        if (n < 0 || (size_t)n >= out_bytes - *at)
                return false;
        *at += (size_t)n;
        return true;
}

static ssize_t
write_json(char *out, size_t out_bytes, const char *base, uint64_t unix_seconds,
    const struct vitals_sample *sample, uint32_t signs)
{
        size_t at = 0;

        for (int s = 0; s < SIGNS; s++) {
                const struct sign_info *info = &sign_infos[s];
                bool fits;

                if (!(signs & 1u << s))
                        continue;
                if (at == 0)
                        fits = advance(&at, out_bytes,
                            snprintf(out, out_bytes, "[{\"bn\":\"%s\",\"bt\":%" PRIu64 ",", base,
                                unix_seconds));
                else
                        fits = advance(&at, out_bytes, snprintf(out + at, out_bytes - at, ",{"));
                fits =
                    fits && advance(&at, out_bytes,
                                snprintf(out + at, out_bytes - at,
                                    "\"n\":\"%s\",\"u\":\"%s\",\"v\":", info->loinc, info->unit));
                fits = fits && advance(&at, out_bytes,
                                   print_reading(out + at, out_bytes - at,
                                       round_value(sample->value[s], info->decimals)));
                if (!fits)
                        return -ENOSPC;
        }
        if (at + 1 >= out_bytes)
                return -ENOSPC;
        out[at++] = ']';
        return (ssize_t)at;
}

struct cbor {
        uint8_t *out;
        size_t bytes, limit;
};

static void
put(struct cbor *cbor, const void *data, size_t n)
{
        if (cbor->bytes + n <= cbor->limit)
                memcpy(cbor->out + cbor->bytes, data, n);
        cbor->bytes += n;
}

static void
put_head(struct cbor *cbor, uint8_t major, uint64_t value)
{
        uint8_t head[9];
        size_t n;

        if (value < 24) {
                head[0] = (uint8_t)(major << 5 | value);
                n = 1;
        } else {
                unsigned log = value < 256                 ? 0
                               : value < 65536             ? 1
                               : value < UINT64_C(1) << 32 ? 2
                                                           : 3;

                head[0] = (uint8_t)(major << 5 | (24 + log));
                n = 1 + (1u << log);
                for (size_t i = 1; i < n; i++)
                        head[i] = (uint8_t)(value >> 8 * (n - 1 - i));
        }
        put(cbor, head, n);
}

static void
put_int(struct cbor *cbor, int64_t value)
{
        put_head(cbor, value < 0, value < 0 ? (uint64_t) - (value + 1) : (uint64_t)value);
}

static void
put_text(struct cbor *cbor, const char *text)
{
        put_head(cbor, 3, strlen(text));
        put(cbor, text, strlen(text));
}

static ssize_t
write_cbor(uint8_t *out, size_t out_bytes, const char *base, uint64_t unix_seconds,
    const struct vitals_sample *sample, uint32_t signs)
{
        struct cbor cbor = {.out = out, .limit = out_bytes};
        int first = 1;

        put_head(&cbor, 4, (uint64_t)__builtin_popcount(signs));
        for (int s = 0; s < SIGNS; s++) {
                const struct sign_info *info = &sign_infos[s];
                struct reading reading;

                if (!(signs & 1u << s))
                        continue;
                put_head(&cbor, 5, first ? 5 : 3);
                if (first) {
                        put_int(&cbor, -2); /* bn */
                        put_text(&cbor, base);
                        put_int(&cbor, -3); /* bt */
                        put_head(&cbor, 0, unix_seconds);
                        first = 0;
                }
                put_int(&cbor, 0); /* n */
                put_text(&cbor, info->loinc);
                put_int(&cbor, 1); /* u */
                put_text(&cbor, info->unit);
                put_int(&cbor, 2); /* v */
                reading = round_value(sample->value[s], info->decimals);
                if (reading.decimals > 0) {
                        put_head(&cbor, 6, 4); /* decimal fraction (RFC 8949 §3.4.4) */
                        put_head(&cbor, 4, 2);
                        put_int(&cbor, -reading.decimals);
                }
                put_int(&cbor, reading.mantissa);
        }
        return cbor.bytes <= out_bytes ? (ssize_t)cbor.bytes : -ENOSPC;
}

ssize_t
pack_write(uint8_t *out, size_t out_bytes, enum pack_format format, uint64_t device,
    uint64_t unix_seconds, const struct vitals_sample *sample, uint32_t signs)
{
        char base[32];

        signs &= sample->present;
        if (signs == 0)
                return -ENODATA;
        for (int s = 0; s < SIGNS; s++)
                if ((signs & 1u << s) && !(fabs(sample->value[s]) < PACK_VALUE_MAX))
                        return -ERANGE;
        snprintf(base, sizeof(base), "urn:dev:mac:%016" PRIx64 ":", device);
        if (format == PACK_JSON)
                return write_json((char *)out, out_bytes, base, unix_seconds, sample, signs);
        return write_cbor(out, out_bytes, base, unix_seconds, sample, signs);
}
