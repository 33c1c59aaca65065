/* SPDX-License-Identifier: Apache-2.0 */
/* aorta-bench pipeline: the whole way of a record, memory to memory, in one process. Requests of
 * many devices are protected beforehand, in waves; a real worker thread on one core opens, seals
 * and answers them, a real ledger writer on the other makes them durable. Afterwards every answer
 * is opened and every record read back from the disk. */
#ifndef AORTA_BENCH_PIPELINE_H
#define AORTA_BENCH_PIPELINE_H

#include "dataplane/dataplane.h"

#include <stdbool.h>
#include <stdint.h>

#define PIPELINE_DEVICES     100000u
#define PIPELINE_PAYLOAD     128u
#define PIPELINE_RECORDS     1000000u
#define PIPELINE_RECORDS_MAX 4000000u /* a run's, all of them are verified */
#define PIPELINE_WAVE        262144u  /* requests prebuilt at once */
#define PIPELINE_RUNS_MAX    99u
#define PIPELINE_QUEUES      4u /* of the ring port: as many bursts a walk */
#define PIPELINE_STAGES_MAX  32u
#define PIPELINE_WHY         512u
#define PIPELINE_STATE       "./var/bench/state"

struct pipeline_options {
        uint32_t devices, payload_bytes, runs, mbufs;
        uint64_t records; /* a run */
        double seconds;   /* of worker time a run; 0: by records */
        uint8_t alg;
        const char *state; /* folder for the vaults, removed after use */
        bool no_flush, json, huge_forbidden, spin, help;
        int worker_core, control_core; /* -1: chosen */
        uint32_t group_records, group_us;
        enum engine_backend backend;
};

/* One run's measurement. Cycles are the worker core's TSC. */
struct pipeline_result {
        uint64_t records, verified, replies_wrong, records_wrong;
        uint64_t cycles;        /* from the first request fed to the last answer taken, per wave */
        uint64_t feeder_cycles; /* of them: copying requests in and answers out */
        uint64_t idle_cycles;   /* of them: walks that found nothing (waiting for flushes) */
        uint64_t ran_ns;        /* CPU time of the worker's thread meanwhile */
        double records_per_s;
        struct node_stat stages[PIPELINE_STAGES_MAX];
        unsigned stages_n;
        uint64_t groups, flush_p50_us, flush_p99_us;
        double core_share;  /* of the measured time that the worker's thread really ran */
        double writer_busy; /* share of the writer's core */
        uint64_t busy, drops;
};

struct pipeline_environment {
        const char *backend, *memory;
        char cpu[128], kernel[128];
        uint64_t tsc_hz;
        int worker_core, control_core;
        bool keys_locked;
};

/* pipeline_options.c: 0, or -EINVAL with why (PIPELINE_WHY bytes). */
int pipeline_options_parse(struct pipeline_options *options, int argc, char **argv, char *why);
const char *pipeline_usage(void);

/* pipeline.c: everything; results has options->runs entries. 0 or -errno with why. */
int pipeline_run(const struct pipeline_options *options, struct pipeline_environment *environment,
    struct pipeline_result *results, char *why);

/* pipeline_report.c: to stdout. */
void pipeline_report(const struct pipeline_options *options,
    const struct pipeline_environment *environment, const struct pipeline_result *results);

#endif
