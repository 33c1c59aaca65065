/* SPDX-License-Identifier: Apache-2.0 */
/* The histogram knows a value to one part in 2^sub_bits, and percentiles never flatter. */
#include "control/histogram.h"

#include <criterion/criterion.h>

Test(histogram, every_value_lies_in_its_bucket)
{
        static const unsigned subs[] = {HISTOGRAM_COARSE_SUB_BITS, HISTOGRAM_SUB_BITS};

        for (unsigned s = 0; s < 2; s++) {
                for (unsigned shift = 0; shift < 64; shift++)
                        for (int near = -2; near <= 2; near++) {
                                uint64_t v = (UINT64_C(1) << shift) + (uint64_t)(int64_t)near;
                                unsigned b = histogram_bucket(subs[s], 4096, v);

                                cr_assert(histogram_low(subs[s], b) <= v, "%u %d", shift, near);
                                cr_assert(histogram_high(subs[s], b) >= v, "%u %d", shift, near);
                        }
        }
        cr_assert_eq(histogram_bucket(HISTOGRAM_SUB_BITS, 4096, UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

Test(histogram, buckets_follow_each_other)
{
        for (unsigned b = 1; b < HISTOGRAM_BUCKETS; b++)
                cr_assert_eq(histogram_low(HISTOGRAM_SUB_BITS, b),
                    histogram_high(HISTOGRAM_SUB_BITS, b - 1) + 1);
        cr_assert_eq(histogram_high(HISTOGRAM_SUB_BITS, HISTOGRAM_BUCKETS - 1), UINT64_MAX);
}

Test(histogram, what_is_too_large_counts_in_the_last_bucket)
{
        cr_assert_eq(
            histogram_high(HISTOGRAM_COARSE_SUB_BITS, HISTOGRAM_COARSE_BUCKETS - 1), 131071);
        cr_assert_eq(
            histogram_bucket(HISTOGRAM_COARSE_SUB_BITS, HISTOGRAM_COARSE_BUCKETS, 131071), 63);
        cr_assert_eq(
            histogram_bucket(HISTOGRAM_COARSE_SUB_BITS, HISTOGRAM_COARSE_BUCKETS, UINT64_MAX), 63);
}

Test(histogram, percentiles)
{
        static struct histogram h, other;

        cr_assert_eq(histogram_percentile(&h, 50), 0);
        for (uint64_t v = 1; v <= 1000; v++)
                histogram_add(v % 2 ? &h : &other, v);
        histogram_merge(&h, &other);
        cr_assert_eq(h.n, 1000);
        cr_assert_eq(h.sum, 500500);
        cr_assert(histogram_percentile(&h, 50) >= 500 && histogram_percentile(&h, 50) <= 516);
        cr_assert(histogram_percentile(&h, 99) >= 990);
        cr_assert_eq(histogram_percentile(&h, 100), 1000);
        cr_assert_eq(histogram_percentile(&h, 0), 1);
}

Test(histogram, one_slow_value_in_a_hundred_is_not_in_p99)
{
        static struct histogram h;

        for (int i = 0; i < 99; i++)
                histogram_add(&h, 10);
        histogram_add(&h, 1000000);
        cr_assert_eq(histogram_percentile(&h, 99), 10);
        cr_assert_eq(histogram_percentile(&h, 99.5), 1000000);
}
