// SPDX-License-Identifier: Apache-2.0
/* IEEE 754 binary numbers to decimal. A device that sends 36.6 as a single sends the bits of
 * 36.599998474121094; the reader wants 36.6. */
#include "dataplane/senml/decimal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

typedef unsigned __int128 u128;

#define EXACT_POWER_MAX 22 /* 10^22 is the largest power of ten that a double holds exactly */

static const double exact_power10[EXACT_POWER_MAX + 1] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7,
    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* A 128-bit binary number: mantissa * 2^exponent, the top bit of mantissa set. */
struct wide {
        u128 mantissa;
        int exponent;
};

/* Truncated product: less than two units of the last of 128 bits too small. */
static struct wide
wide_multiply(struct wide a, struct wide b)
{
        uint64_t a1 = (uint64_t)(a.mantissa >> 64), a0 = (uint64_t)a.mantissa;
        uint64_t b1 = (uint64_t)(b.mantissa >> 64), b0 = (uint64_t)b.mantissa;
        u128 middle = (u128)a1 * b0 + (((u128)a0 * b0) >> 64);
        u128 other = (u128)a0 * b1 + (uint64_t)middle;
        struct wide r = {.mantissa = (u128)a1 * b1 + (middle >> 64) + (other >> 64),
            .exponent = a.exponent + b.exponent + 128};

        if (!(r.mantissa >> 127)) {
                r.mantissa = (r.mantissa << 1) | ((other >> 63) & 1);
                r.exponent--;
        }
        return r;
}

/* 10^k for |k| <= 400, with an error below 2^-115 of it. */
static struct wide
wide_power10(int k)
{
        struct wide r = {.mantissa = (u128)1 << 127, .exponent = -127};
        struct wide base = {.mantissa = (u128)10 << 124, .exponent = -124};
        unsigned n = (unsigned)(k < 0 ? -k : k);

        assert(n <= 400);
        if (k < 0) {
                base.mantissa = ((u128)0xcccccccccccccccc << 64) | 0xcccccccccccccccd;
                base.exponent = -131;
        }
        for (; n != 0; n >>= 1) {
                if (n & 1)
                        r = wide_multiply(r, base);
                base = wide_multiply(base, base);
        }
        return r;
}

/* The shortest of the decimals nearest to scaled (in units of 10^-k, of which 17 digits are whole)
 * that is less than half a unit of significand away. 17 digits always are. */
static uint64_t
shorten(struct wide scaled, uint64_t digits, uint64_t significand)
{
        /* Eight bits less: no candidate overflows. */
        u128 value = scaled.mantissa >> 8, half = value / ((u128)significand * 2);
        int shift = -scaled.exponent - 8;

        if ((significand & (significand - 1)) == 0)
                half /= 2;  /* below a power of two floats lie twice as close */
        half -= half >> 32; /* no tie, and no error of this computation, is ever accepted */
        for (uint64_t unit = 10000000000000000u; unit > 1; unit /= 10) {
                uint64_t candidate = (digits + unit / 2) / unit * unit;
                u128 at = (u128)candidate << shift;
                u128 distance = at > value ? at - value : value - at;

                if (distance < half)
                        return candidate;
        }
        return digits;
}

/* significand * 2^exponent as the shortest decimal that a reader who has floats with that unit in
 * the last place turns back into it; an integer that fits stays itself. */
static int
shortest(struct decimal *out, uint64_t significand, int exponent, bool negative)
{
        const uint64_t least = 10000000000000000u; /* 10^16 */
        int shift = __builtin_clzll(significand), zeros = __builtin_ctzll(significand);
        struct wide value = {
            .mantissa = (u128)(significand << shift) << 64, .exponent = exponent - shift - 64};
        /* log10(2) = 0.30103: the estimate is off by one at most. */
        int k = 16 - (value.exponent + 127) * 30103 / 100000;

        if (exponent >= -zeros && exponent < shift) {
                int64_t m =
                    (int64_t)(exponent < 0 ? significand >> -exponent : significand << exponent);

                *out = DECIMAL(negative ? -m : m, 0);
                return 0;
        }
        for (int attempt = 0; attempt < 4; attempt++) {
                struct wide scaled = wide_multiply(value, wide_power10(k));
                uint64_t digits;

                assert(scaled.exponent <= -64 && scaled.exponent > -96);
                digits = (uint64_t)(scaled.mantissa >> -scaled.exponent);
                digits += (uint64_t)(scaled.mantissa >> (-scaled.exponent - 1)) & 1;
                if (digits < least) {
                        k++;
                } else if (digits >= least * 10) {
                        k--;
                } else {
                        int64_t m = (int64_t)shorten(scaled, digits, significand);

                        return decimal_normalize(out, DECIMAL(negative ? -m : m, (int16_t)-k));
                }
        }
        return -ERANGE;
}

/* The quick way for what devices send: M * 10^-k with M < 10^15 and k <= 22 is one correctly
 * rounded division, so an equal quotient proves that the decimal reads back as value, and with 15
 * digits or less it is the only one of its length. value is positive. */
static bool
few_digits(struct decimal *out, double value, bool negative)
{
        for (int k = 0; k <= EXACT_POWER_MAX; k++) {
                double scaled = value * exact_power10[k];
                int64_t m;

                if (scaled >= 1e15)
                        return false;
                m = (int64_t)(scaled + 0.5);
                if (m != 0 && (double)m / exact_power10[k] == value) {
                        *out = DECIMAL(negative ? -m : m, (int16_t)-k);
                        return true;
                }
        }
        return false;
}

int
decimal_from_double(struct decimal *out, uint64_t bits)
{
        bool negative = bits >> 63;
        int exponent = (int)(bits >> 52 & 0x7ff);
        uint64_t significand = bits & 0xfffffffffffffu;
        double value;

        if (exponent == 0x7ff)
                return -EINVAL;
        if (exponent == 0 && significand == 0) {
                *out = DECIMAL(0, 0);
                return 0;
        }
        bits &= INT64_MAX;
        memcpy(&value, &bits, sizeof(value));
        if (few_digits(out, value, negative))
                return 0;
        if (exponent == 0)
                exponent = 1;
        else
                significand |= (uint64_t)1 << 52;
        return shortest(out, significand, exponent - 1075, negative);
}

static int
from_narrow(struct decimal *out, uint32_t significand, int exponent, bool negative)
{
        if (significand == 0) {
                *out = DECIMAL(0, 0);
                return 0;
        }
        return shortest(out, significand, exponent, negative);
}

int
decimal_from_single(struct decimal *out, uint32_t bits)
{
        int exponent = (int)(bits >> 23 & 0xff);
        uint32_t significand = bits & 0x7fffff;

        if (exponent == 0xff)
                return -EINVAL;
        if (exponent == 0)
                exponent = 1;
        else
                significand |= 1u << 23;
        return from_narrow(out, significand, exponent - 150, bits >> 31);
}

int
decimal_from_half(struct decimal *out, uint16_t bits)
{
        int exponent = bits >> 10 & 0x1f;
        uint32_t significand = bits & 0x3ff;

        if (exponent == 0x1f)
                return -EINVAL;
        if (exponent == 0)
                exponent = 1;
        else
                significand |= 1u << 10;
        return from_narrow(out, significand, exponent - 25, bits >> 15);
}
