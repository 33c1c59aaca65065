/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: a decimal is what was written; arithmetic is exact or correctly rounded; what does not
 * fit is an error. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/senml/decimal.h"

static struct decimal
parsed(const char *text)
{
        struct decimal d = {0};
        ssize_t n = decimal_parse(&d, (const uint8_t *)text, strlen(text));

        cr_assert(n == (ssize_t)strlen(text), "%s: %zd", text, n);
        return d;
}

static const char *
printed(struct decimal d)
{
        static char text[DECIMAL_TEXT_MAX];

        cr_assert(decimal_print(text, sizeof(text), d) == (ssize_t)strlen(text));
        return text;
}

static void
expect_printed(struct decimal d, const char *want)
{
        const char *got = printed(d);

        cr_expect(strcmp(got, want) == 0, "%s, not %s", got, want);
}

Test(decimal, parse_and_print)
{
        static const char *const cases[][2] = {
            {"0", "0"},
            {"-0", "0"},
            {"0.0", "0"},
            {"0e999", "0"},
            {"1", "1"},
            {"-1.50", "-1.5"},
            {"36.6", "36.6"},
            {"0.001", "0.001"},
            {"1e3", "1000"},
            {"1E+3", "1000"},
            {"100e-2", "1"},
            {"1.276020076001e+09", "1276020076.001"},
            {"1e20", "1e20"},
            {"1e19", "10000000000000000000"},
            {"1e-18", "0.000000000000000001"},
            {"1e-20", "0.00000000000000000001"},
            {"1e-21", "1e-21"},
            {"-1.25e-300", "-1.25e-300"},
            {"9223372036854775807", "9223372036854775807"},
            {"-9223372036854775807", "-9223372036854775807"},
            {"9223372036854775808", "9223372036854775810"},
            {"12345678901234567890", "12345678901234567890"},
            {"1234567890123456789012", "1.234567890123456789e21"},
            {"0.97199999999999997513", "0.971999999999999975"},
            {"1.00000000000000000000000000000000000000", "1"},
            {"100000000000000000000000000000000000000", "1e38"},
            /* Half to even at the nineteenth digit, and what lies beyond breaks the tie. */
            {"1.0000000000000000005", "1"},
            {"1.00000000000000000050000000000000000000000", "1"},
            {"1.00000000000000000050000000000000000000001", "1.000000000000000001"},
            {"1.0000000000000000015", "1.000000000000000002"},
            {"9.9999999999999999999", "10"},
            {"9223372036854775807.9", "9223372036854775810"},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                expect_printed(parsed(cases[i][0]), cases[i][1]);
                cr_expect(decimal_compare(parsed(cases[i][1]), parsed(cases[i][0])) == 0);
        }
}

Test(decimal, parse_refuses)
{
        static const char *const bad[] = {"", "-", "+1", ".5", "a", " 1", "1.", "1.e5", "1e", "1e+",
            "-.5", "--1", "Infinity", "NaN"};
        static const char *const partly[] = {"01", "-01", "1 ", "1a", "0x10", "1,5"};
        static const char *const huge[] = {
            "1e420", "1e99999999999999999999", "-1e420", "1e-420", "1e-99999999999999999999"};
        struct decimal d = DECIMAL(7, 7);
        static char zeros[DECIMAL_INPUT_MAX + 2];

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                cr_expect(decimal_parse(&d, (const uint8_t *)bad[i], strlen(bad[i])) == -EINVAL,
                    "%s", bad[i]);
        for (size_t i = 0; i < sizeof(huge) / sizeof(huge[0]); i++)
                cr_expect(decimal_parse(&d, (const uint8_t *)huge[i], strlen(huge[i])) == -ERANGE,
                    "%s", huge[i]);
        memset(zeros, '1', sizeof(zeros));
        cr_expect(decimal_parse(&d, (const uint8_t *)zeros, sizeof(zeros)) == -ERANGE);
        cr_expect(d.mantissa == 7 && d.exponent10 == 7, "an error leaves the result alone");
        for (size_t i = 0; i < sizeof(partly) / sizeof(partly[0]); i++) {
                ssize_t n = decimal_parse(&d, (const uint8_t *)partly[i], strlen(partly[i]));

                cr_expect(n > 0 && n < (ssize_t)strlen(partly[i]), "%s", partly[i]);
        }
        cr_expect(decimal_parse(&d, (const uint8_t *)"123", 2) == 2 && d.mantissa == 12);
}

Test(decimal, add)
{
        static const char *const cases[][3] = {
            {"1", "2", "3"},
            {"0.1", "0.2", "0.3"},
            {"1276020076.001", "-5", "1276020071.001"},
            {"310.15", "-273.15", "37"},
            {"1e300", "1", "1e300"},
            {"1", "1e-300", "1"},
            {"-1", "1e-300", "-1"},
            {"9223372036854775807", "1", "9223372036854775810"},
            {"9223372036854775807", "-9223372036854775807", "0"},
            {"1e19", "-1", "9999999999999999999"},
            {"1e20", "0.5", "1e20"},
            {"0", "5e-100", "5e-100"},
            {"9007199254740993", "0.25", "9007199254740993.25"},
        };
        struct decimal d;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct decimal a = parsed(cases[i][0]), b = parsed(cases[i][1]), e;

                cr_assert(decimal_add(&d, a, b) == 0);
                cr_assert(decimal_add(&e, b, a) == 0);
                cr_expect(decimal_compare(d, parsed(cases[i][2])) == 0, "%s + %s = %s", cases[i][0],
                    cases[i][1], printed(d));
                cr_expect(decimal_compare(d, e) == 0, "%s + %s", cases[i][1], cases[i][0]);
        }
        cr_expect(decimal_add(&d, DECIMAL(INT64_MAX, 400), DECIMAL(INT64_MAX, 400)) == -ERANGE);
        cr_expect(decimal_add(&d, DECIMAL(INT64_MIN, 0), DECIMAL(INT64_MIN, 0)) == 0);
        expect_printed(d, "-18446744073709551620");
        /* Rounding a sum whose parts are 10^20 and more apart. */
        cr_assert(decimal_add(&d, DECIMAL(1, 25), DECIMAL(-1, 0)) == 0);
        expect_printed(d, "1e25");
        /* A tie that only the far smaller operand breaks, either way. */
        cr_assert(decimal_add(&d, DECIMAL(5000000000000000000, 0), DECIMAL(5, -1)) == 0);
        expect_printed(d, "5000000000000000000");
        cr_assert(decimal_add(
                      &d, DECIMAL(5000000000000000000, 0), DECIMAL(5000000000000000001, -19)) == 0);
        expect_printed(d, "5000000000000000001");
        cr_assert(decimal_add(&d, DECIMAL(5000000000000000001, 30), DECIMAL(INT64_MAX, 0)) == 0);
        expect_printed(d, "5.000000000000000001e48");
        cr_assert(decimal_add(&d, DECIMAL(5000000000000000001, 30), DECIMAL(5, 29)) == 0);
        expect_printed(d, "5.000000000000000002e48");
        cr_assert(
            decimal_add(&d, DECIMAL(100000000000000000, 20), DECIMAL(5000000000000000000, 0)) == 0);
        expect_printed(d, "1e37");
        cr_assert(
            decimal_add(&d, DECIMAL(100000000000000000, 20), DECIMAL(5000000000000000001, 0)) == 0);
        expect_printed(d, "1.000000000000000001e37");
        cr_assert(decimal_add(&d, DECIMAL(1, 20), DECIMAL(-INT64_MAX, 0)) == 0);
        expect_printed(d, "90776627963145224190");
}

Test(decimal, scale)
{
        struct decimal d;

        cr_assert(decimal_scale(&d, parsed("0.97"), 100, 1) == 0);
        expect_printed(d, "97");
        cr_assert(decimal_scale(&d, parsed("5.5"), 180156, 10000) == 0);
        expect_printed(d, "99.0858");
        cr_assert(decimal_scale(&d, parsed("16000"), 1000000000, 133322387415) == 0);
        cr_assert(decimal_round(&d, d, 15) == 0);
        expect_printed(d, "120.009852135305");
        cr_assert(decimal_scale(&d, parsed("133.322387415"), 1000000000, 133322387415) == 0);
        expect_printed(d, "1");
        cr_assert(decimal_scale(&d, parsed("1"), 1, 3) == 0);
        expect_printed(d, "0.3333333333333333333");
        cr_assert(decimal_scale(&d, parsed("-2"), 1, 3) == 0);
        expect_printed(d, "-0.6666666666666666667");
        cr_assert(decimal_scale(&d, parsed("5"), -7, 1) == 0);
        expect_printed(d, "-35");
        cr_assert(decimal_scale(&d, DECIMAL(INT64_MIN, 0), INT64_MIN, INT64_MAX) == 0);
        cr_assert(decimal_scale(&d, DECIMAL(0, 400), 5, 3) == 0);
        expect_printed(d, "0");
        cr_expect(decimal_scale(&d, parsed("1"), 1, 0) == -EINVAL);
        cr_expect(decimal_scale(&d, parsed("1"), 1, -3) == -EINVAL);
        cr_expect(decimal_scale(&d, DECIMAL(INT64_MAX, 400), INT64_MAX, 1) == -ERANGE);
}

Test(decimal, round)
{
        static const struct {
                const char *in;
                int digits;
                const char *out;
        } cases[] = {{"2.5", 1, "2"}, {"3.5", 1, "4"}, {"-2.5", 1, "-2"}, {"2.51", 1, "3"},
            {"99.96", 3, "100"}, {"123456", 3, "123000"}, {"0.00012345", 4, "0.0001234"},
            {"9223372036854775807", 1, "9000000000000000000"}, {"7", 18, "7"}};
        struct decimal d;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                cr_assert(decimal_round(&d, parsed(cases[i].in), cases[i].digits) == 0);
                expect_printed(d, cases[i].out);
        }
}

Test(decimal, compare)
{
        static const char *const ascending[] = {"-1e400", "-1e300", "-100", "-1.5", "-1e-300",
            "-1e-400", "0", "1e-400", "1e-300", "0.1", "0.11", "1", "99.9", "100", "100.1", "1e19",
            "9223372036854775807e10", "1e300", "1e400"};
        size_t n = sizeof(ascending) / sizeof(ascending[0]);

        for (size_t i = 0; i < n; i++) {
                for (size_t k = 0; k < n; k++) {
                        int want = (i > k) - (i < k);

                        cr_expect(
                            decimal_compare(parsed(ascending[i]), parsed(ascending[k])) == want,
                            "%s and %s", ascending[i], ascending[k]);
                }
        }
        cr_expect(decimal_compare(DECIMAL(10, 0), DECIMAL(1, 1)) == 0);
        cr_expect(decimal_compare(DECIMAL(0, 5), DECIMAL(0, -5)) == 0);
        cr_expect(decimal_compare(DECIMAL(INT64_MIN, 0), DECIMAL(INT64_MIN, 1)) == 1);
        cr_expect(decimal_compare(DECIMAL(INT64_MAX, -19), DECIMAL(1, 0)) == -1);
        cr_expect(decimal_compare(DECIMAL(INT64_MAX, -18), DECIMAL(1, 0)) == 1);
}

Test(decimal, nanoseconds)
{
        static const struct {
                const char *seconds;
                int64_t ns;
                int rc;
        } cases[] = {{"0", 0, 0}, {"1", 1000000000, 0}, {"-0.5", -500000000, 0},
            {"1700000000.123456789", 1700000000123456789, 0}, {"1e-9", 1, 0}, {"5e-10", 0, 0},
            {"15e-10", 2, 0}, {"5.1e-10", 1, 0}, {"9e-30", 0, 0},
            {"9223372036854775807e-9", INT64_MAX, 0}, {"9223372036854775807e-28", 1, 0},
            {"1e10", 0, -ERANGE}, {"-1e300", 0, -ERANGE}, {"9223372036854775807", 0, -ERANGE}};

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                int64_t ns = 0;

                cr_expect(decimal_to_nanoseconds(&ns, parsed(cases[i].seconds)) == cases[i].rc &&
                              ns == cases[i].ns,
                    "%s: %ld", cases[i].seconds, (long)ns);
        }
        expect_printed(decimal_from_nanoseconds(1700000000123456789), "1700000000.123456789");
        expect_printed(decimal_from_nanoseconds(-1), "-0.000000001");
        expect_printed(decimal_from_nanoseconds(INT64_MIN), "-9223372036.85477581");
}

static struct decimal
of_double(double v)
{
        struct decimal d = {0};
        uint64_t bits;

        memcpy(&bits, &v, sizeof(bits));
        cr_assert(decimal_from_double(&d, bits) == 0);
        return d;
}

Test(decimal, doubles)
{
        expect_printed(of_double(36.6), "36.6");
        expect_printed(of_double(0.1), "0.1");
        expect_printed(of_double(-0.0), "0");
        expect_printed(of_double(120.1), "120.1");
        expect_printed(of_double(1276020076.001), "1276020076.001");
        expect_printed(of_double(0.1 + 0.2), "0.30000000000000004");
        expect_printed(of_double(1e300), "1e300");
        expect_printed(of_double(1e22), "1e22");
        expect_printed(of_double(0x1p-1074), "5e-324");
        expect_printed(of_double(1.7976931348623157e308), "1.7976931348623157e308");
        expect_printed(of_double(9007199254740991.0), "9007199254740991");
        expect_printed(of_double(-9223372036854774784.0), "-9223372036854774784");
}

/* The C library reads each back as the same bits: all magnitudes, and random significands. */
Test(decimal, doubles_read_back)
{
        uint64_t state = 1;

        for (unsigned i = 0; i < 200000; i++) {
                uint64_t bits, again;
                struct decimal d;
                double back;

                state = state * 6364136223846793005u + 1442695040888963407u;
                bits = state ^ state >> 29;
                if (i % 4 == 0)
                        bits &= 0xfff0000000000000u; /* powers of two */
                else if (i % 4 == 1)
                        bits |= 0x000fffffffffff00u;
                if ((bits >> 52 & 0x7ff) == 0x7ff) {
                        cr_assert(decimal_from_double(&d, bits) == -EINVAL);
                        continue;
                }
                if (bits << 1 == 0)
                        continue;
                cr_assert(decimal_from_double(&d, bits) == 0, "%016lx", (unsigned long)bits);
                back = strtod(printed(d), NULL);
                memcpy(&again, &back, sizeof(again));
                cr_assert(again == bits, "%016lx: %s", (unsigned long)bits, printed(d));
        }
}

Test(decimal, singles_read_back)
{
        uint64_t state = 1;

        for (unsigned i = 0; i < 200000; i++) {
                uint32_t bits, again;
                struct decimal d;
                float back;

                state = state * 6364136223846793005u + 1442695040888963407u;
                bits = (uint32_t)(state >> 32);
                if (i % 4 == 0)
                        bits &= 0xff800000u;
                if ((bits >> 23 & 0xff) == 0xff) {
                        cr_assert(decimal_from_single(&d, bits) == -EINVAL);
                        continue;
                }
                if (bits << 1 == 0)
                        continue;
                cr_assert(decimal_from_single(&d, bits) == 0);
                back = strtof(printed(d), NULL);
                memcpy(&again, &back, sizeof(again));
                cr_assert(again == bits, "%08x: %s", bits, printed(d));
        }
        /* Each tenth from 0 to 1000 comes out as one digit behind the point. */
        for (int tenths = 0; tenths <= 10000; tenths++) {
                float v = (float)tenths / 10;
                uint32_t bits;
                struct decimal d;

                memcpy(&bits, &v, sizeof(bits));
                cr_assert(decimal_from_single(&d, bits) == 0);
                cr_assert(
                    decimal_compare(d, DECIMAL(tenths, -1)) == 0, "%d: %s", tenths, printed(d));
        }
}

/* Every half: the decimal is nearer to it than to its neighbours. */
Test(decimal, halves)
{
        for (uint32_t bits = 1; bits < 0x7c00; bits++) {
                struct decimal d;
                unsigned exponent = bits >> 10;
                double unit = exponent == 0 ? 0x1p-24 : 0x1p-25 * (double)(1u << exponent);
                double value = unit * ((bits & 0x3ff) + (exponent == 0 ? 0 : 1024));
                double below = exponent > 1 && (bits & 0x3ff) == 0 ? unit / 2 : unit;
                double back;

                cr_assert(decimal_from_half(&d, (uint16_t)bits) == 0);
                back = strtod(printed(d), NULL);
                cr_assert(back < value + unit / 2 && back > value - below / 2, "%04x: %s", bits,
                    printed(d));
        }
        struct decimal d;
        cr_expect(decimal_from_half(&d, 0x7c00) == -EINVAL);
        cr_expect(decimal_from_half(&d, 0xfe00) == -EINVAL);
}

Test(decimal, a_small_buffer_is_enospc)
{
        char text[8];

        cr_expect(decimal_print(text, 4, parsed("36.6")) == -ENOSPC);
        cr_expect(decimal_print(text, 5, parsed("36.6")) == 4);
        cr_expect(decimal_print(text, 0, parsed("0")) == -ENOSPC);
}

/* No mantissa or exponent that a caller may make up is beyond the buffer. */
Test(decimal, text_bound)
{
        static const int64_t mantissas[] = {0, 1, -1, INT64_MAX, INT64_MIN, -9223372036854775807};
        char text[DECIMAL_TEXT_MAX];

        for (size_t i = 0; i < sizeof(mantissas) / sizeof(mantissas[0]); i++) {
                for (int exponent = INT16_MIN; exponent <= INT16_MAX; exponent++)
                        cr_assert(decimal_print(text, sizeof(text),
                                      DECIMAL(mantissas[i], (int16_t)exponent)) > 0);
        }
}
