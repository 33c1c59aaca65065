/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/pack.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static int64_t
scaled(double value, int decimals)
{
        static const double power[] = {1, 10, 100, 1000};

        return llround(value * power[decimals]);
}

static ssize_t
write_json(char *out, size_t out_bytes, const char *base, uint64_t unix_seconds,
    const struct vitals_sample *sample, uint32_t signs)
{
        size_t at = 0;
        const char *open = "[{";

        for (int s = 0; s < SIGNS; s++) {
                const struct sign_info *info = &sign_infos[s];
                int n;

                if (!(signs & 1u << s))
                        continue;
                n = snprintf(out + at, out_bytes - at, "%s", open);
                if (n > 0 && (size_t)n < out_bytes - at && open[0] == '[') {
                        at += (size_t)n;
                        n = snprintf(out + at, out_bytes - at, "\"bn\":\"%s\",\"bt\":%" PRIu64 ",",
                            base, unix_seconds);
                }
                if (n < 0 || (size_t)n >= out_bytes - at)
                        return -ENOSPC;
                at += (size_t)n;
                n = snprintf(out + at, out_bytes - at, "\"n\":\"%s\",\"u\":\"%s\",\"v\":%.*f}",
                    info->loinc, info->unit, info->decimals, sample->value[s]);
                if (n < 0 || (size_t)n >= out_bytes - at)
                        return -ENOSPC;
                at += (size_t)n;
                open = ",{";
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
                if (info->decimals > 0) {
                        put_head(&cbor, 6, 4); /* decimal fraction */
                        put_head(&cbor, 4, 2);
                        put_int(&cbor, -info->decimals);
                }
                put_int(&cbor, scaled(sample->value[s], info->decimals));
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
        snprintf(base, sizeof(base), "urn:dev:mac:%016" PRIx64 ":", device);
        if (format == PACK_JSON)
                return write_json((char *)out, out_bytes, base, unix_seconds, sample, signs);
        return write_cbor(out, out_bytes, base, unix_seconds, sample, signs);
}
