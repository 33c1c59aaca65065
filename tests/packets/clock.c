/* SPDX-License-Identifier: Apache-2.0 */
/* The workers' clock: near the system's time, and never backwards, whatever is done to that.
 * Time and cycles are fed in: a cycle here is a nanosecond long. */
#include "dataplane/clock.h"
#include "tests/packets/harness.h"

#include <time.h>

#include <criterion/criterion.h>

#include <rte_cycles.h>

#define SECOND   UINT64_C(1000000000)
#define START    (UINT64_C(1700000000) * SECOND)
#define TICK     (SECOND / 10)
#define RATE_ONE (UINT64_C(1) << CLOCK_RATE_SHIFT)

static struct clock clock_;
static struct clock_reader reader;

static void
begin(uint64_t rate)
{
        clock_ = (struct clock){0};
        reader = (struct clock_reader){0};
        clock_.true_rate = rate;
        clock_publish(&clock_, &(struct clock_line){0, START, rate});
}

/* At `tsc` the system says real; the machine has run for `tsc` nanoseconds. */
static void
tick(uint64_t tsc, uint64_t real)
{
        struct clock_line line = clock_steer(&clock_, tsc, real, tsc);

        clock_publish(&clock_, &line);
}

static uint64_t
away(uint64_t a, uint64_t b)
{
        return a > b ? a - b : b - a;
}

Test(clock, follows_the_systems_time)
{
        begin(RATE_ONE + RATE_ONE / 500); /* the first guess of the rate is 0.2 % off */
        for (uint64_t tsc = TICK; tsc <= 100 * TICK; tsc += TICK) {
                tick(tsc, START + tsc);
                cr_assert_lt(
                    away(clock_read(&clock_, &reader, tsc + TICK / 2), START + tsc + TICK / 2),
                    SECOND / 500);
        }
        cr_assert_lt(away(reader.last_ns, START + 100 * TICK + TICK / 2), SECOND / 10000);
}

Test(clock, never_runs_backwards_when_the_system_is_set_back)
{
        uint64_t last = 0, tsc, behind;

        begin(RATE_ONE);
        for (tsc = TICK; tsc <= 10 * TICK; tsc += TICK)
                tick(tsc, START + tsc);
        /* Set back by ten seconds: the clock goes on, at half its rate, until both agree. */
        for (; tsc <= 400 * TICK; tsc += TICK) {
                tick(tsc, START + tsc - 10 * SECOND);
                for (uint64_t part = 0; part < TICK; part += TICK / 8) {
                        uint64_t now = clock_read(&clock_, &reader, tsc + part);

                        cr_assert_gt(now, last);
                        last = now;
                }
        }
        behind = START + tsc - 10 * SECOND;
        cr_assert_lt(away(clock_read(&clock_, &reader, tsc), behind), SECOND / 1000);
}

Test(clock, jumps_when_the_system_is_set_forward)
{
        begin(RATE_ONE);
        tick(TICK, START + TICK + 3600 * SECOND);
        cr_assert_eq(clock_read(&clock_, &reader, TICK), START + TICK + 3600 * SECOND);
        /* Half a second is caught up, not jumped. */
        tick(2 * TICK, START + 2 * TICK + 3600 * SECOND + SECOND / 2);
        cr_assert_eq(clock_read(&clock_, &reader, 2 * TICK), START + 2 * TICK + 3600 * SECOND);
        for (uint64_t tsc = 3 * TICK; tsc <= 200 * TICK; tsc += TICK)
                tick(tsc, START + tsc + 3600 * SECOND + SECOND / 2);
        cr_assert_lt(away(clock_read(&clock_, &reader, 200 * TICK),
                         START + 200 * TICK + 3600 * SECOND + SECOND / 2),
            SECOND / 1000);
}

Test(clock, a_reader_does_not_wait_for_the_writer)
{
        uint64_t before;

        begin(RATE_ONE);
        before = clock_read(&clock_, &reader, TICK);
        /* The writer is between: half of a new line stands there. */
        atomic_fetch_add(&clock_.version, 1);
        atomic_store(&clock_.ns, 0);
        cr_assert_eq(clock_read(&clock_, &reader, 2 * TICK), before + TICK);
}

/* The TSC of another core, or of before an interrupt, may lie a little behind. */
Test(clock, an_earlier_cycle_tells_no_earlier_time)
{
        uint64_t told;

        begin(RATE_ONE);
        told = clock_read(&clock_, &reader, 2 * TICK);
        cr_assert_eq(told, START + 2 * TICK);
        cr_assert_eq(clock_read(&clock_, &reader, TICK), told);
}

Test(clock, begins_with_the_systems_time)
{
        struct timespec ts;
        uint64_t now;

        harness_eal(); /* measures the TSC */
        reader = (struct clock_reader){0};
        clock_init(&clock_);
        now = clock_read(&clock_, &reader, rte_rdtsc());
        clock_gettime(CLOCK_REALTIME, &ts);
        cr_assert_lt(away(now, (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec), 30 * SECOND);
}
