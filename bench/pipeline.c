/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/pipeline.h"

#include "bench/pipeline_feed.h"
#include "bench/pipeline_fleet.h"
#include "bench/pipeline_host.h"
#include "control/writer.h"
#include "dataplane/drops.h"
#include "dataplane/plumbing.h"
#include "ledger/vault.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_malloc.h>
#include <sodium.h>

#define NAP_NS              1000000L
#define STUCK_NAPS          20000u /* of no progress: 20 s and more */
#define SPARE_SEGMENTS      4u
#define SEGMENT_BYTES_SMALL (4u << 20)
#define SEGMENT_BYTES_LARGE (64u << 20)
#define BLOCK_BYTES         4096u
#define STORED_OVERHEAD     256u /* of a record, on the disk, about */
#define RESERVE_BYTES       (UINT64_C(64) << 20)
#define LEAF_NONE           UINT64_MAX
#define FLUSH_BUCKETS       64u
static_assert(PATH_MAX == 4096, "host_make_folder()'s path");

struct bench {
        const struct pipeline_options *options;
        const struct pipeline_environment *environment;
        struct contexts *contexts;
        struct fleet fleet;
        uint64_t next_record; /* over all runs: partial IVs go on */
        uint64_t *leaves;     /* of the run's records, LEAF_NONE where there is no answer */
        uint64_t *owners;     /* the other way: record of a leaf */

        /* of a run */
        char folder[PATH_MAX];
        struct ledger_view *view;
        struct feed *feed;
        struct dataplane *dataplane;
        struct vault *vault;
        struct writer *writer;
        uint64_t first_record;
};

static void
nap(long ns)
{
        struct timespec time = {.tv_nsec = ns};

        nanosleep(&time, NULL);
}

/* ---- a run's parts ---- */

static int
start_dataplane(struct bench *bench, unsigned run, char *why)
{
        const struct pipeline_options *options = bench->options;
        struct dataplane_config config = {
            .workers = 1,
            .lcores = {HOST_WORKER_LCORE},
            .ports = 1,
            .ip4 = {10, 77, 0, 2},
            .realm = 1,
            .boot_epoch = run + 1,
            .backend = options->backend,
            .contexts = bench->contexts,
            .view = bench->view,
            .before_walk = feed_before_walk,
        };
        int r = feed_create(&bench->feed, options, why);

        if (r < 0)
                return r;
        randombytes_buf(config.echo_secret, sizeof(config.echo_secret));
        config.port[0].port_id = bench->feed->port_id;
        config.port[0].queues = PIPELINE_QUEUES;
        config.before_walk_user = bench->feed;
        r = dataplane_create(&bench->dataplane, &config, why);
        /* A ring has no address; the data plane has chosen one. */
        if (r == 0)
                memcpy(bench->fleet.gateway_mac, bench->dataplane->ports[0].local.mac,
                    sizeof(bench->fleet.gateway_mac));
        return r;
}

/* The default's, but for runs so short that zeroing segments would take longer than they do. */
static uint32_t
segment_bytes(const struct pipeline_options *options)
{
        uint64_t all = options->records * (options->payload_bytes + STORED_OVERHEAD);
        uint64_t wanted = all / SPARE_SEGMENTS;

        return wanted < SEGMENT_BYTES_SMALL   ? SEGMENT_BYTES_SMALL
               : wanted < SEGMENT_BYTES_LARGE ? (uint32_t)wanted / BLOCK_BYTES * BLOCK_BYTES
                                              : SEGMENT_BYTES_LARGE;
}

static int
start_ledger(struct bench *bench, unsigned run, char *why)
{
        const struct pipeline_options *options = bench->options;
        struct vault_config vault = {.path = bench->folder,
            .segment_bytes = segment_bytes(options),
            .spare_segments = SPARE_SEGMENTS,
            .reserve_bytes = RESERVE_BYTES};
        struct vault_tip tip = {0};
        struct writer_config config = {
            .workers = 1,
            .commit = {dataplane_commit_ring(bench->dataplane, 0)},
            .receipt = {dataplane_receipt_ring(bench->dataplane, 0)},
            .view = bench->view,
            .group_records = options->group_records,
            .group_us = options->group_us,
            .core = bench->environment->control_core,
            .spin = options->spin,
            .no_flush = options->no_flush,
        };
        int r = 0;

        if (!options->no_flush) {
                r = host_make_folder(options, run, bench->folder, why);
                r = r < 0 ? r : vault_open(&bench->vault, &vault, why);
                r = r < 0 ? r : vault_recover(bench->vault, 0, NULL, NULL, NULL, &tip, why);
                r = r < 0 ? r : vault_begin(bench->vault, why);
                if (r < 0)
                        return r;
                config.vault = bench->vault;
                config.tip = &tip;
                config.tree = vault_tree(bench->vault);
        }
        r = writer_start(&bench->writer, &config);
        if (r < 0)
                snprintf(why, PIPELINE_WHY, "the ledger writer does not start: %s", strerror(-r));
        return r;
}

static void
stop_writer(struct bench *bench)
{
        if (bench->writer != NULL) {
                writer_stop(bench->writer);
                writer_destroy(bench->writer);
        }
        bench->writer = NULL;
}

static void
end_run(struct bench *bench)
{
        if (bench->dataplane != NULL)
                dataplane_stop(bench->dataplane);
        stop_writer(bench);
        dataplane_destroy(bench->dataplane);
        bench->dataplane = NULL;
        feed_destroy(bench->feed);
        bench->feed = NULL;
        if (bench->vault != NULL)
                vault_close(bench->vault);
        bench->vault = NULL;
        if (bench->folder[0] != '\0' && host_remove_folder(bench->folder) < 0)
                fprintf(stderr, "aorta-bench: %s cannot be removed: %s\n", bench->folder,
                    strerror(errno));
        bench->folder[0] = '\0';
        rte_free(bench->view);
        bench->view = NULL;
}

/* ---- waves ---- */

static void
build_wave(struct bench *bench, uint64_t first, uint32_t n)
{
        struct feed *feed = bench->feed;

        for (uint32_t i = 0; i < n; i++)
                feed->frame_bytes[i] = (uint16_t)fleet_frame(
                    &bench->fleet, first + i, i, feed->frames + (size_t)i * feed->frame_room);
        memset(feed->replies, 0, n * sizeof(feed->replies[0]));
}

/* What became of the requests, by the gateway's own counters. */
static void
say_stuck(const struct bench *bench, uint64_t missing, uint32_t n, char *why)
{
        struct dataplane_counters counters;
        int at = snprintf(why, PIPELINE_WHY,
            "%lu of %u requests of a wave have no answer (%lu fed); dropped:",
            (unsigned long)missing, n, (unsigned long)(bench->feed->fed - bench->feed->base));

        dataplane_counters(bench->dataplane, &counters);
        for (unsigned i = 0; i < DROP_REASON_COUNT && at < (int)PIPELINE_WHY; i++)
                if (counters.drops[i] > 0)
                        at += snprintf(why + at, PIPELINE_WHY - (size_t)at, " %s %lu",
                            drop_metric(i), (unsigned long)counters.drops[i]);
}

static int
ride_wave(struct bench *bench, uint32_t n, char *why)
{
        struct feed *feed = bench->feed;
        uint64_t before = atomic_load(&feed->taken), goal = before + n;
        unsigned stuck = 0;

        feed->base = feed->fed = before;
        atomic_store_explicit(&feed->limit, goal, memory_order_release);
        while (stuck < STUCK_NAPS) {
                uint64_t taken = atomic_load_explicit(&feed->taken, memory_order_acquire);

                if (taken >= goal)
                        return 0;
                stuck = taken == before ? stuck + 1 : 0;
                before = taken;
                nap(NAP_NS);
        }
        say_stuck(bench, goal - before, n, why);
        return -ETIMEDOUT;
}

static void
check_replies(struct bench *bench, uint64_t first, uint32_t n, struct pipeline_result *result)
{
        for (uint32_t i = 0; i < n; i++) {
                const struct feed_reply *reply = &bench->feed->replies[i];
                uint64_t *leaf = &bench->leaves[first + i - bench->first_record];

                *leaf = LEAF_NONE;
                if (reply->bytes == 0 || fleet_open_reply(&bench->fleet, first + i, reply->data,
                                             reply->bytes, leaf) < 0) {
                        *leaf = LEAF_NONE;
                        result->replies_wrong++;
                }
        }
}

/* What the nodes spent during a wave is added to the result. */
static void
add_stages(struct pipeline_result *result, const struct node_stat *before, unsigned before_n,
    const struct node_stat *after, unsigned after_n)
{
        for (unsigned i = 0; i < after_n; i++) {
                struct node_stat *stage = &result->stages[i];
                struct node_stat zero = {0};
                const struct node_stat *old = i < before_n ? &before[i] : &zero;

                memcpy(stage->name, after[i].name, sizeof(stage->name));
                stage->calls += after[i].calls - old->calls;
                stage->objs += after[i].objs - old->objs;
                stage->cycles += after[i].cycles - old->cycles;
        }
        result->stages_n = after_n;
}

static int
run_wave(struct bench *bench, uint32_t n, struct pipeline_result *result, char *why)
{
        struct node_stat before[PIPELINE_STAGES_MAX], after[PIPELINE_STAGES_MAX];
        struct feed *feed = bench->feed;
        unsigned before_n, after_n;
        int r;

        build_wave(bench, bench->next_record, n);
        before_n = dataplane_node_stats(bench->dataplane, before, PIPELINE_STAGES_MAX);
        r = ride_wave(bench, n, why);
        if (r < 0)
                return r;
        after_n = dataplane_node_stats(bench->dataplane, after, PIPELINE_STAGES_MAX);
        add_stages(result, before, before_n, after, after_n);
        result->cycles += feed->last_tsc - feed->first_tsc;
        result->ran_ns += feed->ran_ns;
        result->records += n;
        check_replies(bench, bench->next_record, n, result);
        bench->next_record += n;
        return 0;
}

static int
run_waves(struct bench *bench, struct pipeline_result *result, char *why)
{
        const struct pipeline_options *options = bench->options;
        double limit =
            options->seconds > 0 ? options->seconds * (double)bench->environment->tsc_hz : 0;

        while (
            result->records < options->records && (limit == 0 || (double)result->cycles < limit)) {
                uint64_t n = options->records - result->records;
                int r =
                    run_wave(bench, n < PIPELINE_WAVE ? (uint32_t)n : PIPELINE_WAVE, result, why);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- verification ---- */

struct checking {
        struct bench *bench;
        struct pipeline_result *result;
};

static int
check_stored(void *user, const struct vault_record *stored)
{
        struct checking *checking = user;
        struct bench *bench = checking->bench;
        uint64_t owner =
            stored->leaf < checking->result->records ? bench->owners[stored->leaf] : LEAF_NONE;

        if (owner != LEAF_NONE && fleet_check_record(&bench->fleet, bench->first_record + owner,
                                      stored->sealed, stored->sealed_bytes) == 0)
                checking->result->verified++;
        else
                checking->result->records_wrong++;
        return 0;
}

/* Each record has a leaf of its own; without a vault that is all there is to check. */
static void
invert_leaves(struct bench *bench, struct pipeline_result *result, bool count)
{
        for (uint64_t i = 0; i < result->records; i++)
                bench->owners[i] = LEAF_NONE;
        for (uint64_t i = 0; i < result->records; i++) {
                uint64_t leaf = bench->leaves[i];

                if (leaf == LEAF_NONE)
                        continue;
                if (leaf >= result->records || bench->owners[leaf] != LEAF_NONE) {
                        result->replies_wrong++;
                        continue;
                }
                bench->owners[leaf] = i;
                result->verified += count;
        }
}

/* Reads the whole vault back as a restart does: every digest, the chain, the tree. Then each record
 * is opened with its patient's key and compared with what the device of its leaf's receipt sent. */
static int
verify(struct bench *bench, struct pipeline_result *result, char *why)
{
        struct vault_config config = {
            .path = bench->folder, .segment_bytes = segment_bytes(bench->options)};
        struct checking checking = {bench, result};
        struct vault_tip tip;
        int r;

        invert_leaves(bench, result, bench->options->no_flush);
        if (bench->options->no_flush)
                return 0;
        vault_close(bench->vault);
        bench->vault = NULL;
        r = vault_open(&bench->vault, &config, why);
        if (r == 0)
                r = vault_recover(
                    bench->vault, result->records, check_stored, &checking, NULL, &tip, why);
        return r;
}

/* ---- all together ---- */

static uint64_t
flush_percentile(const struct writer_stats *stats, double part)
{
        uint64_t all = 0, seen = 0;

        for (unsigned i = 0; i < FLUSH_BUCKETS; i++)
                all += stats->flush_us[i];
        for (unsigned i = 0; i < FLUSH_BUCKETS; i++) {
                seen += stats->flush_us[i];
                if (all > 0 && (double)seen >= (double)all * part)
                        return writer_flush_bucket_us(i + 1 < FLUSH_BUCKETS ? i + 1 : i);
        }
        return 0;
}

static void
collect(struct bench *bench, struct pipeline_result *result)
{
        struct dataplane_counters counters;
        struct writer_stats stats;

        dataplane_counters(bench->dataplane, &counters);
        writer_stats(bench->writer, &stats);
        result->feeder_cycles = bench->feed->cycles;
        result->idle_cycles = bench->feed->idle_cycles;
        result->replies_wrong += bench->feed->strange;
        result->groups = stats.groups;
        result->flush_p50_us = flush_percentile(&stats, 0.50);
        result->flush_p99_us = flush_percentile(&stats, 0.99);
        result->busy = counters.busy;
        for (unsigned i = 0; i < sizeof(counters.drops) / sizeof(counters.drops[0]); i++)
                result->drops += counters.drops[i];
        result->records_per_s = result->cycles > 0
                                    ? (double)result->records * (double)bench->environment->tsc_hz /
                                          (double)result->cycles
                                    : 0;
        if (result->cycles > 0)
                result->core_share = (double)result->ran_ns * 1e-9 *
                                     (double)bench->environment->tsc_hz / (double)result->cycles;
        result->writer_busy =
            stats.cycles_all > 0 ? (double)stats.cycles_busy / (double)result->cycles : 0;
}

static int
one_run(struct bench *bench, unsigned run, struct pipeline_result *result, char *why)
{
        int r;

        memset(result, 0, sizeof(*result));
        bench->first_record = bench->next_record;
        bench->view = rte_zmalloc("view", sizeof(*bench->view), RTE_CACHE_LINE_SIZE);
        r = bench->view != NULL ? 0 : -ENOMEM;
        r = r < 0 ? r : start_dataplane(bench, run, why);
        r = r < 0 ? r : start_ledger(bench, run, why);
        r = r < 0 ? r : dataplane_start(bench->dataplane);
        if (r == 0)
                r = run_waves(bench, result, why);
        if (r == 0)
                collect(bench, result);
        if (bench->dataplane != NULL)
                dataplane_stop(bench->dataplane);
        stop_writer(bench);
        if (r == 0)
                r = verify(bench, result, why);
        end_run(bench);
        return r;
}

static int
open_bench(struct bench *bench, struct pipeline_environment *environment, char *why)
{
        const struct pipeline_options *options = bench->options;
        struct contexts_config config = {
            .devices = options->devices,
            .patients = options->devices,
            .workers = 1,
            .backend = options->backend,
        };
        int r = host_start(options, environment, why);

        if (r < 0)
                return r;
        bench->leaves = calloc(options->records, sizeof(bench->leaves[0]));
        bench->owners = calloc(options->records, sizeof(bench->owners[0]));
        if (bench->leaves == NULL || bench->owners == NULL)
                return -ENOMEM;
        r = contexts_create(
            &bench->contexts, &config, &environment->keys_locked, why, PIPELINE_WHY);
        if (r < 0)
                return r;
        r = fleet_create(&bench->fleet, bench->contexts, options->devices, options->payload_bytes,
            options->alg, options->backend);
        if (r < 0)
                snprintf(why, PIPELINE_WHY, "%u devices cannot be made: %s", options->devices,
                    strerror(-r));
        return r;
}

int
pipeline_run(const struct pipeline_options *options, struct pipeline_environment *environment,
    struct pipeline_result *results, char *why)
{
        static struct bench bench;
        int r;

        memset(&bench, 0, sizeof(bench));
        bench.options = options;
        bench.environment = environment;
        why[0] = '\0';
        r = open_bench(&bench, environment, why);
        for (unsigned i = 0; r == 0 && i < options->runs; i++) {
                r = one_run(&bench, i, &results[i], why);
                if (r == 0 && !options->json)
                        fprintf(stderr, "run %u of %u: %.0f records/s, verified %lu of %lu\n",
                            i + 1, options->runs, results[i].records_per_s,
                            (unsigned long)results[i].verified, (unsigned long)results[i].records);
        }
        fleet_destroy(&bench.fleet);
        if (bench.contexts != NULL)
                contexts_destroy(bench.contexts);
        free(bench.leaves);
        free(bench.owners);
        if (r < 0 && why[0] == '\0')
                snprintf(why, PIPELINE_WHY, "%s", strerror(-r));
        return r;
}
