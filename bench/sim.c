/* SPDX-License-Identifier: Apache-2.0 */
/* aorta-sim: virtual patients against a running gateway. */
#include "bench/sim_loop.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <sodium.h>

#define EXIT_USAGE 2

static volatile sig_atomic_t stop;

static void
on_signal(int number)
{
        (void)number;
        stop = stop + 1;
}

int
main(int argc, char **argv)
{
        static struct sim sim;
        struct sigaction action = {.sa_handler = on_signal};
        struct sim_options options;
        char why[SIM_WHY] = "";
        const struct sim_counters *counters = &sim.report.counters;
        int r;

        if (sim_options_parse(&options, argc, argv, why) < 0) {
                fprintf(stderr, "aorta-sim: %s; see aorta-sim --help\n", why);
                return EXIT_USAGE;
        }
        if (options.help) {
                fputs(sim_usage(), stdout);
                return 0;
        }
        if (sodium_init() < 0) {
                fprintf(stderr, "aorta-sim: libsodium does not start\n");
                return EXIT_FAILURE;
        }
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        r = sim_open(&sim, &options, &stop, why);
        if (r == 0) {
                r = sim_run(&sim, why);
                if (sim.begin_ns != 0 &&
                    sim_report_summary(&sim.report, &options, sim_seconds(&sim)) < 0)
                        r = r < 0 ? r : -EIO;
        }
        if (r < 0 && why[0] != '\0')
                fprintf(stderr, "aorta-sim: %s\n", why);
        if (r == 0 && (counters->errors > 0 || (counters->unanswered > 0 && options.loss == 0)))
                r = -EBADMSG;
        sim_close(&sim);
        return r == 0 ? 0 : EXIT_FAILURE;
}
