/* SPDX-License-Identifier: Apache-2.0 */
/* Chance by seed: SplitMix64. The same seed gives the same run, on every machine. */
#ifndef AORTA_TESTS_SIM_RNG_H
#define AORTA_TESTS_SIM_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rng {
        uint64_t state;
};

static inline uint64_t
rng_next(struct rng *rng)
{
        uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

/* 0 to n-1. */
static inline uint64_t
rng_below(struct rng *rng, uint64_t n)
{
        return rng_next(rng) % n;
}

static inline uint64_t
rng_between(struct rng *rng, uint64_t least, uint64_t most)
{
        return least + rng_below(rng, most - least + 1);
}

/* Parts in a million. */
static inline bool
rng_chance(struct rng *rng, uint32_t ppm)
{
        return rng_below(rng, 1000000) < ppm;
}

static inline void
rng_fill(struct rng *rng, void *out, size_t bytes)
{
        uint8_t *at = (uint8_t *)out;
        for (size_t i = 0; i < bytes; i++)
                at[i] = (uint8_t)rng_next(rng);
}

#endif
