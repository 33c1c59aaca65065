/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: the simulator waits after 5.03 as long as it is told, and retransmits identically. */
#include "tests/unit/bench/sim_run.h"

Test(sim_waits, after_busy_it_waits_and_tries_again)
{
        struct run run;

        run_sim(&run, BUSY_FIRST, "1500", "5", NULL);
        cr_expect_eq(run.counters.busy, GATEWAY_DEVICES);
        cr_expect_eq(run.counters.acked, 1500);
        cr_expect_eq(run.gateway->early, 0);
        cr_expect_eq(run.counters.errors + run.counters.refused, 0);
        end(&run);
}

Test(sim_waits, silence_brings_an_identical_retransmission)
{
        struct run run;

        run_sim(&run, SILENT_FIRST, "4", "10", NULL);
        cr_expect_eq(run.counters.acked, 4);
        cr_expect_eq(run.counters.retransmitted, 4);
        cr_expect_eq(run.gateway->identical, 4);
        end(&run);
}
