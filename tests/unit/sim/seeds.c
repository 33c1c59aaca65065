/* SPDX-License-Identifier: Apache-2.0 */
/* A fixed set of runs of the ledger on simulated disks. A broken one is run again by itself, every
 * call printed, by: aorta-simulate --seed N --trace */
#include "tests/sim/world.h"

#include <criterion/criterion.h>
#include <sodium.h>

#define PARTS      4u
#define PART_SEEDS 5u

static void
run_part(unsigned part)
{
        struct sim_counts all = {0};
        uint64_t acknowledged = 0;
        cr_assert_geq(sodium_init(), 0);
        for (unsigned i = 1; i <= PART_SEEDS; i++) {
                struct world_config config = {.seed = part * PART_SEEDS + i};
                struct world_result result;
                world_run(&config, &result);
                cr_assert(result.ok, "seed %lu, step %u: %s", (unsigned long)config.seed,
                    result.step, result.why);
                acknowledged += result.acknowledged;
                all.crashes += result.disk.crashes;
                all.torn_writes += result.disk.torn_writes;
        }
        /* Runs in which nothing happens prove nothing. */
        cr_assert_gt(acknowledged, 1000u);
        cr_assert_gt(all.crashes, PART_SEEDS);
        cr_assert_gt(all.torn_writes, 0u);
}

Test(seeds, promises_hold_1)
{
        run_part(0);
}

Test(seeds, promises_hold_2)
{
        run_part(1);
}

Test(seeds, promises_hold_3)
{
        run_part(2);
}

Test(seeds, promises_hold_4)
{
        run_part(3);
}

/* Otherwise a seed that breaks could not be looked at. */
Test(seeds, same_seed_same_run)
{
        struct world_config config = {.seed = 4};
        struct world_result a, b;
        cr_assert_geq(sodium_init(), 0);
        world_run(&config, &a);
        world_run(&config, &b);
        cr_assert_eq(a.disk.calls, b.disk.calls);
        cr_assert_eq(a.disk.torn_writes, b.disk.torn_writes);
        cr_assert_eq(a.acknowledged, b.acknowledged);
        cr_assert_eq(a.crashes, b.crashes);
}
