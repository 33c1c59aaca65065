/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/clock.h"

#include <assert.h>
#include <time.h>

#include <rte_cycles.h>

#define SECOND_NS       UINT64_C(1000000000)
#define BASELINE_NS_MIN (SECOND_NS / 2) /* the shortest span the true rate is measured over */
#define JUMP_NS         SECOND_NS       /* a lag above this is jumped, one below is caught up */
#define PAIR_TRIES      3

static uint64_t
read_ns(clockid_t id)
{
        struct timespec ts;
        int rc = clock_gettime(id, &ts);

        assert(rc == 0);
        return (uint64_t)ts.tv_sec * SECOND_NS + (uint64_t)ts.tv_nsec;
}

/* The TSC at which the system's clocks were read: of a few tries the tightest, because the thread
 * may lose its core between two reads. */
static uint64_t
read_pair(uint64_t *real_ns, uint64_t *mono_ns)
{
        uint64_t best = UINT64_MAX;
        uint64_t tsc = 0;

        for (unsigned i = 0; i < PAIR_TRIES; i++) {
                uint64_t before = rte_rdtsc();
                uint64_t real = read_ns(CLOCK_REALTIME);
                uint64_t mono = read_ns(CLOCK_MONOTONIC);
                uint64_t after = rte_rdtsc();

                if (after - before < best) {
                        best = after - before;
                        tsc = before + (after - before) / 2;
                        *real_ns = real;
                        *mono_ns = mono;
                }
        }
        return tsc;
}

static uint64_t
rate_of(uint64_t ns, uint64_t cycles)
{
        return (uint64_t)(((unsigned __int128)ns << CLOCK_RATE_SHIFT) / cycles);
}

void
clock_publish(struct clock *clock, const struct clock_line *line)
{
        uint32_t version = atomic_load_explicit(&clock->version, memory_order_relaxed);

        assert((version & 1) == 0);
        atomic_store_explicit(&clock->version, version + 1, memory_order_relaxed);
        atomic_thread_fence(memory_order_release);
        atomic_store_explicit(&clock->tsc, line->tsc, memory_order_relaxed);
        atomic_store_explicit(&clock->ns, line->ns, memory_order_relaxed);
        atomic_store_explicit(&clock->rate, line->rate, memory_order_relaxed);
        atomic_store_explicit(&clock->version, version + 2, memory_order_release);
}

void
clock_init(struct clock *clock)
{
        uint64_t real_ns, mono_ns;
        uint64_t tsc = read_pair(&real_ns, &mono_ns);

        clock->first_tsc = tsc;
        clock->first_mono_ns = mono_ns;
        clock->true_rate = rate_of(SECOND_NS, rte_get_tsc_hz());
        clock->next_tick_tsc = tsc;
        clock_publish(clock, &(struct clock_line){tsc, real_ns, clock->true_rate});
}

struct clock_line
clock_steer(struct clock *clock, uint64_t tsc, uint64_t real_ns, uint64_t mono_ns)
{
        struct clock_line line = {atomic_load_explicit(&clock->tsc, memory_order_relaxed),
            atomic_load_explicit(&clock->ns, memory_order_relaxed),
            atomic_load_explicit(&clock->rate, memory_order_relaxed)};
        uint64_t ours = clock_line_at(&line, tsc);
        int64_t lag, half = (int64_t)(clock->true_rate / 2);
        __int128 change;

        if (mono_ns - clock->first_mono_ns >= BASELINE_NS_MIN && tsc > clock->first_tsc)
                clock->true_rate = rate_of(mono_ns - clock->first_mono_ns, tsc - clock->first_tsc);
        lag = (int64_t)(real_ns - ours);
        if (lag > (int64_t)JUMP_NS)
                return (struct clock_line){tsc, real_ns, clock->true_rate};
        /* Catches up within about a second, at half to one and a half times the true rate. */
        change = (__int128)lag * (int64_t)clock->true_rate / (int64_t)SECOND_NS;
        if (change > half)
                change = half;
        if (change < -half)
                change = -half;
        return (struct clock_line){tsc, ours, clock->true_rate + (uint64_t)(int64_t)change};
}

void
clock_tick(struct clock *clock)
{
        uint64_t real_ns, mono_ns;
        uint64_t tsc = read_pair(&real_ns, &mono_ns);
        struct clock_line line = clock_steer(clock, tsc, real_ns, mono_ns);

        clock_publish(clock, &line);
        clock->next_tick_tsc = tsc + rte_get_tsc_hz() / 1000 * CLOCK_TICK_MS;
}
