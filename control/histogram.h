/* SPDX-License-Identifier: Apache-2.0 */
/* Log-linear histograms: 2^sub_bits buckets an octave, so that a value is known to one part in
 * 2^sub_bits over the whole range. Values below 2^sub_bits have a bucket each. Values past the last
 * bucket count in the last one.
 *
 * The counters are the caller's: one writer, who may be a busy thread; readers copy. */
#ifndef AORTA_CONTROL_HISTOGRAM_H
#define AORTA_CONTROL_HISTOGRAM_H

#include <stdint.h>

/* Coarse: 64 counters, within 25 %, up to 131,071 (the writer's flushes in us). */
#define HISTOGRAM_COARSE_SUB_BITS 2u
#define HISTOGRAM_COARSE_BUCKETS  64u
/* Fine: within 3.2 %, all of uint64_t. */
#define HISTOGRAM_SUB_BITS 5u
#define HISTOGRAM_BUCKETS  ((64u - HISTOGRAM_SUB_BITS + 1u) << HISTOGRAM_SUB_BITS)

struct histogram {
        uint64_t counts[HISTOGRAM_BUCKETS];
        uint64_t n, sum, max;
};

/* The bucket of a value among `buckets`. */
static inline unsigned
histogram_bucket(unsigned sub_bits, unsigned buckets, uint64_t value)
{
        unsigned bucket, exponent;

        if (value < UINT64_C(1) << sub_bits)
                bucket = (unsigned)value;
        else {
                exponent = 63u - (unsigned)__builtin_clzll(value);
                bucket = ((exponent - sub_bits + 1) << sub_bits) +
                         (unsigned)(value >> (exponent - sub_bits) & ((1u << sub_bits) - 1));
        }
        return bucket < buckets ? bucket : buckets - 1;
}

/* The lowest and the highest value of a bucket. */
uint64_t histogram_low(unsigned sub_bits, unsigned bucket);
uint64_t histogram_high(unsigned sub_bits, unsigned bucket);
/* The highest value of the bucket in which the given part (0 < part <= 1) of all values is reached:
 * "part of them took at most this". 0 when there are none. */
uint64_t histogram_part(const uint64_t *counts, unsigned buckets, unsigned sub_bits, double part);

/* The fine one. histogram_percentile() never exceeds the maximum seen. */
static inline void
histogram_add(struct histogram *histogram, uint64_t value)
{
        histogram->counts[histogram_bucket(HISTOGRAM_SUB_BITS, HISTOGRAM_BUCKETS, value)]++;
        histogram->n++;
        histogram->sum += value;
        if (value > histogram->max)
                histogram->max = value;
}
void histogram_merge(struct histogram *into, const struct histogram *from);
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

#endif
