/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/pipeline.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REAL_DIGITS    8
#define CORE_SHARE_LOW 0.98

static int
by_rate(const void *a, const void *b)
{
        const struct pipeline_result *const *x = a, *const *y = b;

        return ((*x)->records_per_s > (*y)->records_per_s) -
               ((*x)->records_per_s < (*y)->records_per_s);
}

/* The lower one of the two in the middle. */
static const struct pipeline_result *
median(const struct pipeline_result *results, unsigned n)
{
        const struct pipeline_result *sorted[PIPELINE_RUNS_MAX];

        for (unsigned i = 0; i < n; i++)
                sorted[i] = &results[i];
        qsort(sorted, n, sizeof(sorted[0]), by_rate);
        return sorted[(n - 1) / 2];
}

static double
a_record(const struct pipeline_result *result, uint64_t cycles)
{
        return result->records > 0 ? (double)cycles / (double)result->records : 0;
}

static double
part(const struct pipeline_result *result, uint64_t cycles)
{
        return result->cycles > 0 ? (double)cycles / (double)result->cycles : 0;
}

static uint64_t
nodes_cycles(const struct pipeline_result *result)
{
        uint64_t sum = 0;

        for (unsigned i = 0; i < result->stages_n; i++)
                sum += result->stages[i].cycles;
        return sum;
}

static uint64_t
sum_of(const struct pipeline_result *results, unsigned n, size_t field)
{
        uint64_t sum = 0;

        for (unsigned i = 0; i < n; i++)
                sum += *(const uint64_t *)((const char *)&results[i] + field);
        return sum;
}
#define SUM(field) sum_of(results, options->runs, offsetof(struct pipeline_result, field))

static void
report_text(const struct pipeline_options *options, const struct pipeline_environment *environment,
    const struct pipeline_result *results)
{
        const struct pipeline_result *m = median(results, options->runs);

        printf("pipeline, memory to memory: %u devices, algorithm %u, %u-byte payloads, %" PRIu64
               " records a run, %u runs\n",
            options->devices, options->alg, options->payload_bytes, m->records, options->runs);
        printf("on %s, %s, crypto %s, %s; worker on core %d, writer on core %d; TSC %.0f MHz\n",
            environment->cpu, environment->kernel, environment->backend, environment->memory,
            environment->worker_core, environment->control_core, (double)environment->tsc_hz / 1e6);
        printf("%s records/s per worker core, feeding included: %.0f (median; feeder %.1f %%, idle "
               "%.1f %%)\n",
            options->no_flush ? "not durable (--no-flush)" : "durable", m->records_per_s,
            100 * part(m, m->feeder_cycles), 100 * part(m, m->idle_cycles));
        if (m->core_share < CORE_SHARE_LOW)
                printf("WARNING: the worker had its core for only %.0f %% of the time: other "
                       "programs ran there, and all figures are worse for it\n",
                    100 * m->core_share);
        printf("cycles a record: %.0f in all, %.0f in nodes, %.0f feeding, %.0f idle\n",
            a_record(m, m->cycles), a_record(m, nodes_cycles(m)), a_record(m, m->feeder_cycles),
            a_record(m, m->idle_cycles));
        for (unsigned i = 0; i < m->stages_n; i++)
                if (m->stages[i].objs > 0)
                        printf("  %-10s %8.1f cycles a record  %6.1f objects a call\n",
                            m->stages[i].name, a_record(m, m->stages[i].cycles),
                            m->stages[i].calls > 0
                                ? (double)m->stages[i].objs / (double)m->stages[i].calls
                                : 0);
        printf("writer: %" PRIu64 " groups, %.0f records a group, flush p50 %" PRIu64
               " us, p99 %" PRIu64 " us, busy %.0f %%\n",
            m->groups, m->groups > 0 ? (double)m->records / (double)m->groups : 0, m->flush_p50_us,
            m->flush_p99_us, 100 * m->writer_busy);
        if (SUM(busy) + SUM(drops) > 0)
                printf("busy %" PRIu64 ", dropped %" PRIu64 "\n", SUM(busy), SUM(drops));
        printf("verified %" PRIu64 " of %" PRIu64 "%s\n", SUM(verified), SUM(records),
            options->no_flush ? " answers (no records are stored)" : "");
}

static void
report_json(const struct pipeline_options *options, const struct pipeline_environment *environment,
    const struct pipeline_result *results)
{
        const struct pipeline_result *m = median(results, options->runs);
        json_t *runs = json_array(), *stages = json_object(), *report;

        for (unsigned i = 0; i < options->runs; i++)
                json_array_append_new(runs, json_real(results[i].records_per_s));
        for (unsigned i = 0; i < m->stages_n; i++)
                if (m->stages[i].objs > 0)
                        json_object_set_new(
                            stages, m->stages[i].name, json_real(a_record(m, m->stages[i].cycles)));
        report = json_pack("{s:s, s:f, s:o, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o}", "benchmark",
            "pipeline", "records_per_s", m->records_per_s, "runs", runs, "cycles_per_record",
            a_record(m, m->cycles), "node_cycles_per_record", a_record(m, nodes_cycles(m)),
            "feeder_cycles_per_record", a_record(m, m->feeder_cycles), "feeder_share",
            part(m, m->feeder_cycles), "idle_share", part(m, m->idle_cycles), "writer_busy",
            m->writer_busy, "core_share", m->core_share, "stages", stages);
        json_object_update_new(report,
            json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "durable",
                !options->no_flush, "records", (json_int_t)SUM(records), "verified",
                (json_int_t)SUM(verified), "replies_wrong", (json_int_t)SUM(replies_wrong),
                "records_wrong", (json_int_t)SUM(records_wrong), "busy", (json_int_t)SUM(busy),
                "drops", (json_int_t)SUM(drops), "groups", (json_int_t)m->groups, "flush_p50_us",
                (json_int_t)m->flush_p50_us, "flush_p99_us", (json_int_t)m->flush_p99_us));
        json_object_update_new(
            report, json_pack("{s:i, s:i, s:i, s:s, s:s, s:s, s:s, s:I, s:i, s:i}", "devices",
                        (int)options->devices, "payload_bytes", (int)options->payload_bytes, "alg",
                        (int)options->alg, "backend", environment->backend, "cpu", environment->cpu,
                        "kernel", environment->kernel, "memory", environment->memory, "tsc_hz",
                        (json_int_t)environment->tsc_hz, "worker_core", environment->worker_core,
                        "control_core", environment->control_core));
        json_dumpf(report, stdout, JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS));
        putchar('\n');
        json_decref(report);
}

void
pipeline_report(const struct pipeline_options *options,
    const struct pipeline_environment *environment, const struct pipeline_result *results)
{
        if (options->json)
                report_json(options, environment, results);
        else
                report_text(options, environment, results);
}
