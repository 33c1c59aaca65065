/* SPDX-License-Identifier: Apache-2.0 */
/* Unix time for workers without a system call: TSC cycles, scaled by a rate that one thread (the
 * clock's writer) publishes a few times a second and every worker reads once a walk.
 *
 * Time never runs backwards for a reader. Where the system's clock was set back, the rate falls to
 * half until both agree again; where it was set forward by more than a second, readers jump. */
#ifndef AORTA_DATAPLANE_CLOCK_H
#define AORTA_DATAPLANE_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CLOCK_TICK_MS    100u
#define CLOCK_RATE_SHIFT 32 /* a rate is nanoseconds a cycle, times 2^32 */

/* A line through (tsc, ns). */
struct clock_line {
        uint64_t tsc;
        uint64_t ns;
        uint64_t rate;
};

struct clock {
        /* A sequence lock; odd while the writer is between. */
        _Alignas(64) _Atomic uint32_t version;
        _Atomic uint64_t tsc, ns, rate;
        /* The writer's own: where the true rate is measured from. */
        uint64_t first_tsc, first_mono_ns, true_rate, next_tick_tsc;
};

/* A reader's copy of the line, and what it told last. One thread. */
struct clock_reader {
        struct clock_line line;
        uint64_t last_ns;
};

/* Starts the clock. The writer's thread, before any reader. */
void clock_init(struct clock *clock);
/* Compares with the system's clock and publishes a new line. The writer's thread. */
void clock_tick(struct clock *clock);
/* Two parts of clock_tick() that tests feed: what to publish at (tsc, real_ns, mono_ns). */
struct clock_line clock_steer(
    struct clock *clock, uint64_t tsc, uint64_t real_ns, uint64_t mono_ns);
void clock_publish(struct clock *clock, const struct clock_line *line);

static inline uint64_t
clock_line_at(const struct clock_line *line, uint64_t tsc)
{
        if (tsc <= line->tsc)
                return line->ns;
        return line->ns +
               (uint64_t)(((unsigned __int128)(tsc - line->tsc) * line->rate) >> CLOCK_RATE_SHIFT);
}

/* Unix time in nanoseconds at a TSC value; never less than what this reader was told before. While
 * the writer is between, the line of before serves: a reader never waits. */
static inline uint64_t
clock_read(const struct clock *clock, struct clock_reader *reader, uint64_t tsc)
{
        uint32_t version = atomic_load_explicit(&clock->version, memory_order_acquire);
        struct clock_line line;
        uint64_t ns;

        line.tsc = atomic_load_explicit(&clock->tsc, memory_order_relaxed);
        line.ns = atomic_load_explicit(&clock->ns, memory_order_relaxed);
        line.rate = atomic_load_explicit(&clock->rate, memory_order_relaxed);
        atomic_thread_fence(memory_order_acquire);
        if ((version & 1) == 0 &&
            version == atomic_load_explicit(&clock->version, memory_order_relaxed))
                reader->line = line;
        ns = clock_line_at(&reader->line, tsc);
        if (ns > reader->last_ns)
                reader->last_ns = ns;
        return reader->last_ns;
}

#endif
