/* SPDX-License-Identifier: Apache-2.0 */
/* Guards the limits on answers that nothing vouches for: no more than a burst at once, no more than
 * the rate in the long run, whatever the clock does. */
#include "dataplane/records.h"

#include <criterion/criterion.h>

#define COST  UINT64_C(1000)
#define BURST 5u

static struct rate_limit limit;

static void
setup(void)
{
        limit = (struct rate_limit){
            .cost_ns = COST, .credit_ns = COST * BURST, .credit_max_ns = COST * BURST};
}

TestSuite(rate, .init = setup);

static unsigned
passes(uint64_t now_ns)
{
        unsigned n = 0;

        while (n < 1000 && rate_limit_pass(&limit, now_ns))
                n++;
        return n;
}

Test(rate, a_burst_and_then_the_rate)
{
        const uint64_t now = UINT64_C(1800000000000000000);

        cr_assert_eq(passes(now), BURST);
        cr_assert_eq(passes(now + COST - 1), 0);
        cr_assert_eq(passes(now + COST), 1);
        cr_assert_eq(passes(now + 3 * COST + COST / 2), 2);
        cr_assert_eq(passes(now + 4 * COST), 1);
        cr_assert_eq(passes(now + 1000 * COST), BURST);
}

Test(rate, a_clock_set_back_gives_nothing)
{
        const uint64_t now = UINT64_C(1800000000000000000);

        cr_assert_eq(passes(now), BURST);
        cr_assert_eq(passes(now - 100 * COST), 0);
        cr_assert_eq(passes(now - 99 * COST), 1);
        cr_assert_eq(passes(UINT64_MAX), BURST);
}
