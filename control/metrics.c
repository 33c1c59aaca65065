/* SPDX-License-Identifier: Apache-2.0 */
#include "control/metrics.h"

#include "control/health.h"
#include "control/histogram.h"
#include "control/publisher.h"
#include "dataplane/contexts.h"
#include "dataplane/drops.h"

#include <errno.h>
#include <inttypes.h>
#include <rte_ring.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECOND_NS UINT64_C(1000000000)

/* ---- read ---- */

void
metrics_read(struct metrics *metrics, struct daemon *daemon, const char *version)
{
        char why[HEALTH_WHY_BYTES];
        struct timespec now;

        memset(metrics, 0, sizeof(*metrics));
        clock_gettime(CLOCK_REALTIME, &now);
        metrics->now_ns = (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
        metrics->started_ns = daemon->started_ns;
        metrics->version = version;
        metrics->crypto = daemon->backend;
        metrics->boot_epoch = daemon->boot_epoch;
        metrics->healthy = health(daemon, why);
        metrics->publisher_failed = publisher_error(daemon->publisher) != 0;
        dataplane_counters(daemon->dataplane, &metrics->counters);
        metrics->pending = dataplane_pending(daemon->dataplane);
        metrics->context_bytes = contexts_bytes(daemon->contexts);
        metrics->workers = daemon->config.workers;
        for (unsigned w = 0; w < metrics->workers; w++) {
                metrics->commit_depth[w] =
                    rte_ring_count(dataplane_commit_ring(daemon->dataplane, w));
                metrics->receipt_depth[w] =
                    rte_ring_count(dataplane_receipt_ring(daemon->dataplane, w));
        }
        /* In this order the lag is never less than none. */
        metrics->published = atomic_load(&daemon->view.published);
        metrics->leaves = atomic_load(&daemon->view.leaves);
        writer_stats(daemon->writer, &metrics->writer);
        vault_stats(daemon->vault, &metrics->vault);
        vault_status(daemon->vault, &metrics->volumes);
        metrics->indexed = daemon->indexer != NULL;
        if (metrics->indexed)
                indexer_stats(daemon->indexer, &metrics->index);
        metrics->nodes = dataplane_node_stats(daemon->dataplane, metrics->node, METRICS_NODES_MAX);
}

/* ---- write ---- */

struct page {
        char *out;
        size_t room, used;
        bool full;
};

static void put(struct page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
put(struct page *page, const char *format, ...)
{
        va_list list;
        int n;

        if (page->full)
                return;
        va_start(list, format);
        n = vsnprintf(page->out + page->used, page->room - page->used, format, list);
        va_end(list);
        if (n < 0 || (size_t)n >= page->room - page->used)
                page->full = true;
        else
                page->used += (size_t)n;
}

/* A family's head. No text of ours holds a backslash or a line's end, which would need escaping. */
static void
head(struct page *page, const char *name, const char *kind, const char *help)
{
        put(page, "# HELP aorta_%s %s\n# TYPE aorta_%s %s\n", name, help, name, kind);
}

static void
one(struct page *page, const char *name, const char *kind, const char *help, uint64_t value)
{
        head(page, name, kind, help);
        put(page, "aorta_%s %" PRIu64 "\n", name, value);
}

static void
put_seconds(struct page *page, const char *name, const char *labels, uint64_t us)
{
        put(page, "aorta_%s%s %" PRIu64 ".%06" PRIu64 "\n", name, labels, us / 1000000,
            us % 1000000);
}

static void
put_process(struct page *page, const struct metrics *m)
{
        head(page, "build_info", "gauge", "Always 1; the version and the crypto engine in use.");
        put(page, "aorta_build_info{version=\"%s\",crypto=\"%s\"} 1\n", m->version, m->crypto);
        one(page, "healthy", "gauge", "1 while /healthz says ok.", m->healthy);
        head(page, "start_time_seconds", "gauge", "Unix time of the start.");
        put_seconds(page, "start_time_seconds", "", m->started_ns / 1000);
        head(page, "uptime_seconds", "gauge", "Seconds since the start.");
        put_seconds(page, "uptime_seconds", "",
            m->now_ns > m->started_ns ? (m->now_ns - m->started_ns) / 1000 : 0);
        one(page, "boot_epoch", "gauge", "The number of this start.", m->boot_epoch);
        one(page, "context_bytes", "gauge", "Memory of device contexts.", m->context_bytes);
}

static void
put_dataplane(struct page *page, const struct metrics *m)
{
#define X(name, help) one(page, #name "_total", "counter", help, m->counters.name);
        COUNTERS(X)
#undef X
        head(page, "drops_total", "counter",
            "Packets let go without being served, by reason (docs/operations.md).");
        for (int reason = DROP_NONE + 1; reason < DROP_REASON_COUNT; reason++)
                put(page, "aorta_drops_total{reason=\"%s\"} %" PRIu64 "\n",
                    drop_metric((enum drop_reason)reason), m->counters.drops[reason]);
        one(page, "pending", "gauge", "Requests between commit and receipt.", m->pending);
        head(page, "ring_depth", "gauge",
            "Descriptors waiting between a worker and the ledger writer.");
        for (unsigned w = 0; w < m->workers; w++)
                put(page,
                    "aorta_ring_depth{ring=\"commit\",worker=\"%u\"} %u\n"
                    "aorta_ring_depth{ring=\"receipt\",worker=\"%u\"} %u\n",
                    w, m->commit_depth[w], w, m->receipt_depth[w]);
        head(page, "ring_slots", "gauge", "Room of each of these rings.");
        put(page, "aorta_ring_slots{ring=\"commit\"} %u\naorta_ring_slots{ring=\"receipt\"} %u\n",
            COMMIT_RING_SLOTS, RECEIPT_RING_SLOTS);
}

static void
put_nodes(struct page *page, const struct metrics *m)
{
        head(page, "node_calls_total", "counter", "Times a node of the graph ran, all workers.");
        for (unsigned i = 0; i < m->nodes; i++)
                put(page, "aorta_node_calls_total{node=\"%s\"} %" PRIu64 "\n", m->node[i].name,
                    m->node[i].calls);
        head(page, "node_objects_total", "counter", "Packets and records a node handled.");
        for (unsigned i = 0; i < m->nodes; i++)
                put(page, "aorta_node_objects_total{node=\"%s\"} %" PRIu64 "\n", m->node[i].name,
                    m->node[i].objs);
        head(page, "node_cycles_total", "counter", "TSC cycles spent in a node.");
        for (unsigned i = 0; i < m->nodes; i++)
                put(page, "aorta_node_cycles_total{node=\"%s\"} %" PRIu64 "\n", m->node[i].name,
                    m->node[i].cycles);
}

/* The writer's buckets, each up to its highest whole microsecond; the last has no end. */
static void
put_flushes(struct page *page, const struct metrics *m)
{
        uint64_t flushes = 0;
        char label[48];

        head(page, "flush_seconds", "histogram",
            "From the submission of a group's writes to their last completion.");
        for (unsigned i = 0; i < HISTOGRAM_COARSE_BUCKETS - 1; i++) {
                const uint64_t us = histogram_high(HISTOGRAM_COARSE_SUB_BITS, i);

                flushes += m->writer.flush_us[i];
                snprintf(label, sizeof(label), "{le=\"%" PRIu64 ".%06" PRIu64 "\"}", us / 1000000,
                    us % 1000000);
                put(page, "aorta_flush_seconds_bucket%s %" PRIu64 "\n", label, flushes);
        }
        flushes += m->writer.flush_us[HISTOGRAM_COARSE_BUCKETS - 1];
        put(page, "aorta_flush_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n", flushes);
        put_seconds(page, "flush_seconds_sum", "", m->writer.flush_us_sum);
        put(page, "aorta_flush_seconds_count %" PRIu64 "\n", flushes);
}

static void
put_ledger(struct page *page, const struct metrics *m)
{
        one(page, "leaves", "gauge", "Durable records: the ledger's size.", m->leaves);
        one(page, "published_leaves", "gauge", "Leaves that the last checkpoint covers.",
            m->published);
        one(page, "publisher_lag_leaves", "gauge", "Durable leaves not in a checkpoint yet.",
            m->leaves > m->published ? m->leaves - m->published : 0);
        one(page, "publisher_failed", "gauge", "1 when the log can no longer be published.",
            m->publisher_failed);
        one(page, "writer_groups_total", "counter", "Groups flushed since the start.",
            m->writer.groups);
        one(page, "writer_leaves_total", "counter", "Records flushed since the start.",
            m->writer.leaves);
        one(page, "writer_stalls_no_space_total", "counter",
            "Times the writer waited for room on a full disk.", m->writer.stalls_no_space);
        one(page, "writer_failed", "gauge", "1 when a flush failed: nothing is accepted any more.",
            m->writer.failed != 0);
        one(page, "writer_busy_cycles_total", "counter", "TSC cycles the writer worked.",
            m->writer.cycles_busy);
        one(page, "writer_cycles_total", "counter", "TSC cycles of the writer's thread.",
            m->writer.cycles_all);
        put_flushes(page, m);
        one(page, "vault_groups", "gauge", "Groups in the vault.", m->vault.groups);
        one(page, "vault_segments", "gauge", "Segments in the vault.", m->vault.segments);
        one(page, "vault_written_bytes_total", "counter", "Bytes of groups written to the vault.",
            m->vault.bytes_written);
        one(page, "vault_free_bytes", "gauge", "Free space of the vault's file system.",
            m->vault.free_bytes);
        head(page, "vault_flush_last_seconds", "gauge", "The last flush.");
        put_seconds(page, "vault_flush_last_seconds", "", m->vault.flush_us_last);
        head(page, "vault_flush_max_seconds", "gauge", "The longest flush since the start.");
        put_seconds(page, "vault_flush_max_seconds", "", m->vault.flush_us_max);
}

/* A family with a number a volume. */
static void
put_each(struct page *page, const struct vault_status *vault, const char *name, const char *kind,
    const char *help, size_t member)
{
        head(page, name, kind, help);
        for (unsigned i = 0; i < vault->data + vault->parity; i++) {
                uint64_t value;

                memcpy(&value, (const char *)&vault->volumes[i] + member, sizeof(value));
                put(page, "aorta_%s{slot=\"%u\"} %" PRIu64 "\n", name, i, value);
        }
}

static void
put_volumes(struct page *page, const struct vault_status *vault)
{
        static const enum volume_state states[] = {
            VOLUME_MISSING, VOLUME_STALE, VOLUME_FILLING, VOLUME_FOLLOWING, VOLUME_MEMBER};

        one(page, "vault_volumes", "gauge", "Volumes of the vault.", vault->data + vault->parity);
        one(page, "vault_members", "gauge", "Volumes that hold all groups and are written to.",
            vault->members);
        one(page, "vault_floor", "gauge", "Members without which nothing is accepted.",
            vault->floor);
        one(page, "vault_epoch", "gauge", "Number of the membership.", vault->epoch);
        one(page, "vault_alarm", "gauge",
            "1 when fewer volumes than all are members, and no more than the floor.", vault->alarm);
        head(page, "volume_state", "gauge", "1 for the state that the volume is in.");
        for (unsigned i = 0; i < vault->data + vault->parity; i++)
                for (unsigned k = 0; k < sizeof(states) / sizeof(states[0]); k++)
                        put(page, "aorta_volume_state{slot=\"%u\",state=\"%s\"} %u\n", i,
                            volume_state_name(states[k]), vault->volumes[i].state == states[k]);
        put_each(page, vault, "volume_free_bytes", "gauge", "Free space of its file system.",
            offsetof(struct volume_status, free_bytes));
        put_each(page, vault, "volume_bad_fragments_total", "counter",
            "Fragments that were missing or failed their digest, since the start.",
            offsetof(struct volume_status, bad_fragments));
        put_each(page, vault, "volume_repaired_fragments_total", "counter",
            "Fragments written again since the start.",
            offsetof(struct volume_status, repaired_fragments));
        one(page, "vault_scrubbing", "gauge", "1 while a scrub runs.", vault->job == VAULT_SCRUB);
        one(page, "vault_rebuilding", "gauge", "1 while a volume is rebuilt.",
            vault->job == VAULT_REBUILD);
        one(page, "vault_job_groups_done", "gauge", "Groups done of the last or present job.",
            vault->job_done);
        one(page, "vault_job_groups", "gauge", "Groups of it in all.", vault->job_all);
        one(page, "vault_scrubs_total", "counter", "Scrubs finished since the start.",
            vault->scrubs);
        one(page, "vault_scrub_lost_groups", "gauge",
            "Groups that the last or present scrub found unreadable.", vault->scrub_lost);
}

static void
put_index(struct page *page, const struct metrics *m)
{
        const struct indexer_stats *index = &m->index;

        one(page, "index_covered_leaves", "gauge", "Leaves that the index of records covers.",
            index->covered);
        one(page, "index_lag_leaves", "gauge", "Durable leaves not in the index yet.",
            index->leaves - index->covered);
        one(page, "index_stopped", "gauge", "1 while the index stands still: no space, a disk.",
            index->state == INDEXER_STOPPED);
        one(page, "index_rebuilding", "gauge", "1 while the index is made anew.",
            index->state == INDEXER_REBUILDING);
        one(page, "index_entries_total", "counter", "Entries added to the index since the start.",
            index->added);
        one(page, "index_vault_entries_total", "counter",
            "Records that the indexer read from the vault.", index->from_vault);
        one(page, "index_unknown_total", "counter",
            "Records of devices that the registry does not know: not in the index.",
            index->unknown);
        one(page, "index_rebuilds_total", "counter", "Times the index was dropped and made anew.",
            index->rebuilds);
        one(page, "index_batches_total", "counter", "Transactions of the index.", index->batches);
        head(page, "index_batch_seconds_total", "counter", "Time in them, flushes included.");
        put_seconds(page, "index_batch_seconds_total", "", index->batch_us_sum);
        head(page, "index_batch_max_seconds", "gauge", "The longest of them.");
        put_seconds(page, "index_batch_max_seconds", "", index->batch_us_max);
}

long
metrics_write(char *out, size_t out_bytes, const struct metrics *metrics)
{
        struct page page = {.out = out, .room = out_bytes, .full = out_bytes == 0};

        put_process(&page, metrics);
        put_dataplane(&page, metrics);
        put_nodes(&page, metrics);
        put_ledger(&page, metrics);
        put_volumes(&page, &metrics->volumes);
        if (metrics->indexed)
                put_index(&page, metrics);
        return page.full ? -ENOSPC : (long)page.used;
}
