// SPDX-License-Identifier: Apache-2.0
#include "dataplane/senml/decimal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

typedef unsigned __int128 u128;

#define MANTISSA_LIMIT ((uint64_t)INT64_MAX + 1)

static const uint64_t power10[20] = {1u, 10u, 100u, 1000u, 10000u, 100000u, 1000000u, 10000000u,
    100000000u, 1000000000u, 10000000000u, 100000000000u, 1000000000000u, 10000000000000u,
    100000000000000u, 1000000000000000u, 10000000000000000u, 100000000000000000u,
    1000000000000000000u, 10000000000000000000u};

static inline uint64_t
magnitude_of(int64_t v)
{
        return v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
}

/* Rounds magnitude * 10^exponent, of which sticky says that something below the last digit was cut
 * off, to digits; the one place where rounding and the bounds are. */
static int
finish(struct decimal *out, u128 magnitude, bool negative, int64_t exponent, bool sticky,
    uint64_t limit)
{
        if (magnitude >= limit) {
                unsigned last = 0;
                bool below = sticky;

                while (magnitude >= limit) {
                        below |= last != 0;
                        last = (unsigned)(magnitude % 10);
                        magnitude /= 10;
                        exponent++;
                }
                if (last > 5 || (last == 5 && (below || (magnitude & 1))))
                        magnitude++;
                if (magnitude == limit) {
                        magnitude = (magnitude + 5) / 10; /* 10^n, or 2^63 */
                        exponent++;
                }
        }
        if (magnitude == 0)
                exponent = 0;
        /* A large exponent may only be a matter of zeros that the mantissa can take, and back. */
        while (exponent > DECIMAL_EXPONENT_MAX && magnitude < limit / 10) {
                magnitude *= 10;
                exponent--;
        }
        while (exponent < -DECIMAL_EXPONENT_MAX && magnitude % 10 == 0) {
                magnitude /= 10;
                exponent++;
        }
        if (exponent > DECIMAL_EXPONENT_MAX || exponent < -DECIMAL_EXPONENT_MAX)
                return -ERANGE;
        out->mantissa = negative ? -(int64_t)magnitude : (int64_t)magnitude;
        out->exponent10 = (int16_t)exponent;
        return 0;
}

/* A number's digits while they are read: 19 of them in low, the next one as guard, and of the rest
 * how many there are and whether one of them counts. */
struct digits {
        uint64_t low;
        int64_t dropped;
        int guard; /* -1: none yet */
        bool sticky;
};

static inline const uint8_t *
take_digits(struct digits *d, const uint8_t *p, const uint8_t *end)
{
        uint64_t low = d->low;

        for (; p < end; p++) {
                unsigned digit = (unsigned)*p - '0';

                if (digit > 9)
                        break;
                if (low < power10[18]) {
                        low = low * 10 + digit;
                } else if (d->guard < 0) {
                        d->guard = (int)digit;
                } else {
                        d->dropped++;
                        d->sticky |= digit != 0;
                }
        }
        d->low = low;
        return p;
}

/* exp = "e" / "E" [ sign ] 1*DIGIT; p stands behind the letter. NULL where no digit follows. */
static const uint8_t *
take_exponent(const uint8_t *p, const uint8_t *end, int64_t *exponent)
{
        bool negative = false;
        int64_t value = 0;
        const uint8_t *first;

        if (p < end && (*p == '-' || *p == '+'))
                negative = *p++ == '-';
        for (first = p; p < end && (unsigned)*p - '0' <= 9; p++) {
                if (value < 100000)
                        value = value * 10 + (*p - '0');
        }
        if (p == first)
                return NULL;
        *exponent += negative ? -value : value;
        return p;
}

ssize_t
decimal_parse(struct decimal *out, const uint8_t *text, size_t bytes)
{
        const uint8_t *p = text, *end = text + bytes, *first;
        struct digits digits = {.guard = -1};
        int64_t exponent = 0;
        bool negative = false;
        u128 magnitude;
        int rc;

        if (p < end && *p == '-') {
                negative = true;
                p++;
        }
        if (p == end || (unsigned)*p - '0' > 9)
                return -EINVAL;
        if (*p == '0')
                p++;
        else
                p = take_digits(&digits, p, end);
        if (p < end && *p == '.') {
                first = ++p;
                p = take_digits(&digits, p, end);
                if (p == first)
                        return -EINVAL;
                exponent = -(p - first);
        }
        if (p < end && (*p == 'e' || *p == 'E')) {
                p = take_exponent(p + 1, end, &exponent);
                if (p == NULL)
                        return -EINVAL;
        }
        if (p - text > DECIMAL_INPUT_MAX)
                return -ERANGE;
        if (digits.guard < 0 && digits.low < MANTISSA_LIMIT && exponent <= 0 &&
            exponent >= -DECIMAL_EXPONENT_MAX) {
                out->mantissa = negative ? -(int64_t)digits.low : (int64_t)digits.low;
                out->exponent10 = digits.low ? (int16_t)exponent : 0;
                return p - text;
        }
        magnitude = digits.low;
        if (digits.guard >= 0)
                magnitude = magnitude * 10 + (unsigned)digits.guard;
        rc = finish(
            out, magnitude, negative, exponent + digits.dropped, digits.sticky, MANTISSA_LIMIT);
        return rc < 0 ? rc : p - text;
}

int
decimal_make(struct decimal *out, int64_t mantissa, int64_t exponent10)
{
        /* Bounded first, so that nothing below can overflow. */
        if (exponent10 > 2 * DECIMAL_EXPONENT_MAX || exponent10 < -2 * DECIMAL_EXPONENT_MAX) {
                if (mantissa != 0)
                        return -ERANGE;
                exponent10 = 0;
        }
        return finish(out, magnitude_of(mantissa), mantissa < 0, exponent10, false, MANTISSA_LIMIT);
}

struct decimal
decimal_from_cbor_integer(uint64_t magnitude, bool negative)
{
        struct decimal d;
        int rc;

        rc = finish(&d, (u128)magnitude + negative, negative, 0, false, MANTISSA_LIMIT);
        assert(rc == 0); /* 20 digits round to an exponent of 2 at most */
        return d;
}

int
decimal_add(struct decimal *out, struct decimal a, struct decimal b)
{
        __int128 sum, high;
        int64_t low;
        int distance, exponent;
        bool negative;

        if (b.mantissa == 0)
                return decimal_make(out, a.mantissa, a.exponent10);
        if (a.mantissa == 0)
                return decimal_make(out, b.mantissa, b.exponent10);
        if (a.exponent10 < b.exponent10) {
                struct decimal swap = a;

                a = b;
                b = swap;
        }
        high = a.mantissa;
        low = b.mantissa;
        exponent = b.exponent10;
        distance = a.exponent10 - b.exponent10;
        if (distance > 19) {
                while (magnitude_of((int64_t)high) < power10[17] && distance > 19) {
                        high *= 10;
                        distance--;
                }
        }
        if (distance > 19) {
                /* high, 18 digits or more, moves 19 places; low comes down to meet it. What low
                 * loses is kept as a last digit other than zero: the sum has 36 digits, so that
                 * digit is rounded away and only breaks ties. */
                int down = distance - 18;
                int64_t quotient = down > 18 ? 0 : low / (int64_t)power10[down];
                bool lost = down > 18 || low % (int64_t)power10[down] != 0;

                low = quotient * 10 + (lost ? (low < 0 ? -1 : 1) : 0);
                exponent += distance - 19;
                distance = 19;
        }
        sum = high * (__int128)power10[distance] + low;
        negative = sum < 0;
        return finish(
            out, negative ? -(u128)sum : (u128)sum, negative, exponent, false, MANTISSA_LIMIT);
}

int
decimal_scale(struct decimal *out, struct decimal a, int64_t numerator, int64_t denominator)
{
        u128 product, quotient;
        uint64_t divisor, rest;
        int64_t exponent = a.exponent10;
        bool negative = (a.mantissa < 0) != (numerator < 0);

        if (denominator < 1)
                return -EINVAL;
        divisor = (uint64_t)denominator;
        product = (u128)magnitude_of(a.mantissa) * magnitude_of(numerator);
        quotient = product / divisor;
        rest = (uint64_t)(product % divisor);
        /* Long division: digits until it ends or one guard digit beyond the bound stands. */
        while (rest != 0 && quotient < power10[19]) {
                u128 next = (u128)rest * 10;

                quotient = quotient * 10 + next / divisor;
                rest = (uint64_t)(next % divisor);
                exponent--;
        }
        return finish(out, quotient, negative, exponent, rest != 0, MANTISSA_LIMIT);
}

int
decimal_round(struct decimal *out, struct decimal a, int digits)
{
        assert(digits >= 1 && digits <= DECIMAL_DIGITS_MAX);
        return finish(
            out, magnitude_of(a.mantissa), a.mantissa < 0, a.exponent10, false, power10[digits]);
}

int
decimal_normalize(struct decimal *out, struct decimal a)
{
        int64_t mantissa = a.mantissa, exponent = a.exponent10;

        if (mantissa == 0)
                exponent = 0;
        while (mantissa != 0 && mantissa % 10 == 0 && exponent < DECIMAL_EXPONENT_MAX) {
                mantissa /= 10;
                exponent++;
        }
        return decimal_make(out, mantissa, exponent);
}

int
decimal_compare(struct decimal a, struct decimal b)
{
        __int128 left = a.mantissa, right = b.mantissa;
        int distance = a.exponent10 - b.exponent10;

        if (distance != 0 && left != 0 && right != 0 && (left < 0) == (right < 0)) {
                /* 20 places put the larger exponent above any int64_t. */
                if (distance > 0) {
                        int up = distance < 20 ? distance : 19;

                        left *= (__int128)power10[up];
                        if (distance >= 20)
                                return left < 0 ? -1 : 1;
                } else {
                        int up = -distance < 20 ? -distance : 19;

                        right *= (__int128)power10[up];
                        if (-distance >= 20)
                                return right < 0 ? 1 : -1;
                }
        }
        return (left > right) - (left < right);
}

int
decimal_to_nanoseconds(int64_t *out, struct decimal seconds)
{
        uint64_t magnitude = magnitude_of(seconds.mantissa);
        bool negative = seconds.mantissa < 0;
        int exponent = seconds.exponent10 + 9;

        if (magnitude == 0) {
                *out = 0;
                return 0;
        }
        if (exponent < -19) {
                *out = 0; /* less than 10^19 * 10^-20 ns */
                return 0;
        }
        if (exponent < 0) {
                uint64_t divisor = power10[-exponent], rest = magnitude % divisor;

                magnitude /= divisor;
                if (rest > divisor - rest || (rest == divisor - rest && (magnitude & 1)))
                        magnitude++;
        } else {
                if (exponent > 18 || magnitude > INT64_MAX / power10[exponent])
                        return -ERANGE;
                magnitude *= power10[exponent];
        }
        if (magnitude > INT64_MAX)
                return -ERANGE;
        *out = negative ? -(int64_t)magnitude : (int64_t)magnitude;
        return 0;
}

struct decimal
decimal_from_nanoseconds(int64_t ns)
{
        struct decimal d;
        int rc;

        rc = decimal_normalize(&d, DECIMAL(ns, -9));
        assert(rc == 0);
        return d;
}

/* The digits of v, without a NUL; out has 20 bytes. */
static size_t
print_digits(char *out, uint64_t v)
{
        char reversed[20];
        size_t n = 0;

        do {
                reversed[n++] = (char)('0' + v % 10);
                v /= 10;
        } while (v != 0);
        for (size_t i = 0; i < n; i++)
                out[i] = reversed[n - 1 - i];
        return n;
}

/* d.ddd as "0.00ddd", "d.ddd" or "ddd000"; the caller has checked the length. */
static size_t
print_plain(char *out, const char *digits, size_t n, int exponent)
{
        size_t at = 0, whole;

        if (exponent >= 0) {
                memcpy(out, digits, n);
                memset(out + n, '0', (size_t)exponent);
                return n + (size_t)exponent;
        }
        if ((size_t)-exponent >= n) {
                out[at++] = '0';
                out[at++] = '.';
                memset(out + at, '0', (size_t)-exponent - n);
                at += (size_t)-exponent - n;
                memcpy(out + at, digits, n);
                return at + n;
        }
        whole = n - (size_t)-exponent;
        memcpy(out, digits, whole);
        out[whole] = '.';
        memcpy(out + whole + 1, digits + whole, n - whole);
        return n + 1;
}

ssize_t
decimal_print(char *out, size_t capacity, struct decimal a)
{
        char digits[20], text[64];
        size_t n, at = 0;
        uint64_t magnitude = magnitude_of(a.mantissa);
        int exponent = magnitude == 0 ? 0 : a.exponent10;

        while (magnitude != 0 && magnitude % 10 == 0) {
                magnitude /= 10;
                exponent++;
        }
        n = print_digits(digits, magnitude);
        if (a.mantissa < 0)
                text[at++] = '-';
        if ((exponent >= 0 && (int)n + exponent <= 20) || (exponent < 0 && exponent >= -20)) {
                at += print_plain(text + at, digits, n, exponent);
        } else {
                /* d.ddde±x */
                int shown = exponent + (int)n - 1;

                text[at++] = digits[0];
                if (n > 1) {
                        text[at++] = '.';
                        memcpy(text + at, digits + 1, n - 1);
                        at += n - 1;
                }
                text[at++] = 'e';
                if (shown < 0)
                        text[at++] = '-';
                at += print_digits(text + at, magnitude_of(shown));
        }
        if (at + 1 > capacity)
                return -ENOSPC;
        memcpy(out, text, at);
        out[at] = '\0';
        return (ssize_t)at;
}
