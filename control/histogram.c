/* SPDX-License-Identifier: Apache-2.0 */
#include "control/histogram.h"

#include <assert.h>

uint64_t
histogram_low(unsigned sub_bits, unsigned bucket)
{
        unsigned octave = bucket >> sub_bits;
        uint64_t within = bucket & ((1u << sub_bits) - 1);

        if (octave == 0)
                return within;
        assert(octave - 1 + sub_bits < 64);
        return ((UINT64_C(1) << sub_bits) + within) << (octave - 1);
}

uint64_t
histogram_high(unsigned sub_bits, unsigned bucket)
{
        unsigned octave = bucket >> sub_bits;

        if (octave == 0)
                return bucket;
        return histogram_low(sub_bits, bucket) + ((UINT64_C(1) << (octave - 1)) - 1);
}

uint64_t
histogram_part(const uint64_t *counts, unsigned buckets, unsigned sub_bits, double part)
{
        uint64_t all = 0, seen = 0, wanted;
        unsigned i;

        for (i = 0; i < buckets; i++)
                all += counts[i];
        if (all == 0)
                return 0;
        wanted = (uint64_t)((double)all * part);
        if ((double)wanted < (double)all * part)
                wanted++;
        if (wanted == 0)
                wanted = 1;
        if (wanted > all)
                wanted = all;
        for (i = 0; i < buckets; i++) {
                seen += counts[i];
                if (seen >= wanted)
                        break;
        }
        assert(i < buckets);
        return histogram_high(sub_bits, i);
}

void
histogram_merge(struct histogram *into, const struct histogram *from)
{
        for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
                into->counts[i] += from->counts[i];
        into->n += from->n;
        into->sum += from->sum;
        if (from->max > into->max)
                into->max = from->max;
}

uint64_t
histogram_percentile(const struct histogram *histogram, double percent)
{
        uint64_t value = histogram_part(
            histogram->counts, HISTOGRAM_BUCKETS, HISTOGRAM_SUB_BITS, percent / 100.0);

        return value < histogram->max ? value : histogram->max;
}
