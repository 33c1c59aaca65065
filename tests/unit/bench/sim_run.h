/* SPDX-License-Identifier: Apache-2.0 */
/* A run of the simulator against the small gateway, in a folder of its own. */
#ifndef AORTA_TESTS_BENCH_SIM_RUN_H
#define AORTA_TESTS_BENCH_SIM_RUN_H

#include "bench/sim_loop.h"
#include "tests/unit/bench/gateway.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stop;

struct run {
        struct sim_counters counters;
        struct gateway *gateway;
        char folder[64];
        int result;
};

static inline void
path_of(const struct run *run, const char *name, char out[96])
{
        snprintf(out, 96, "%s/%s", run->folder, name);
}

static inline void
run_sim(struct run *run, enum behaviour behaviour, const char *records, const char *drain,
    const char *extra)
{
        static struct sim sim;
        struct sim_options options;
        char why[SIM_WHY] = "", address[64], acks[96], progress[96], summary[96];
        char *argv[24] = {"aorta-sim", "--gateway", address, "--devices", NULL, "--rate", "1000",
            "--records", (char *)records, "--drain", (char *)drain, "--ack-log", acks, "--progress",
            progress, "--summary", summary, (char *)extra, NULL};

        memset(run, 0, sizeof(*run));
        snprintf(run->folder, sizeof(run->folder), "/tmp/aorta-sim-run-XXXXXX");
        cr_assert_not_null(mkdtemp(run->folder));
        run->gateway = gateway_start(behaviour);
        snprintf(
            address, sizeof(address), "127.0.0.1:%u", ntohs(run->gateway->address.v4.sin_port));
        argv[4] = run->gateway->devices_path;
        path_of(run, "acks", acks);
        path_of(run, "progress", progress);
        path_of(run, "summary", summary);
        cr_assert_eq(sim_options_parse(&options, extra != NULL ? 18 : 17, argv, why), 0, "%s", why);
        cr_assert_eq(sim_open(&sim, &options, &stop, why), 0, "%s", why);
        run->result = sim_run(&sim, why);
        cr_assert_eq(run->result, 0, "%s", why);
        cr_assert_eq(sim_report_summary(&sim.report, &options, sim_seconds(&sim)), 0);
        run->counters = sim.report.counters;
        sim_close(&sim);
}

static inline void
end(struct run *run)
{
        static const char *const names[] = {"acks", "progress", "summary"};
        char path[96];

        cr_expect_eq(run->gateway->repeated_pivs, 0);
        gateway_stop(run->gateway);
        for (unsigned i = 0; i < 3; i++) {
                path_of(run, names[i], path);
                unlink(path);
        }
        rmdir(run->folder);
}

static inline unsigned
lines_of(const struct run *run, const char *name)
{
        char path[96];
        unsigned lines = 0;
        FILE *file;
        int c;

        path_of(run, name, path);
        file = fopen(path, "r");
        cr_assert_not_null(file);
        while ((c = fgetc(file)) != EOF)
                lines += c == '\n';
        fclose(file);
        return lines;
}

#endif
