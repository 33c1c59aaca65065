/* SPDX-License-Identifier: Apache-2.0 */
/* The order that makes "acknowledged" mean "durable" (promise 1):
 *
 *   1. descriptors are taken from the workers' rings, their sealed bytes copied into the filling
 * group;
 *   2. the group is submitted (one O_DIRECT|O_DSYNC write), nothing else of it is visible yet;
 *   3. only when the kernel has answered for the whole write are the leaves appended to the tree,
 *      view->leaves raised and the receipts pushed;
 *   4. the entries go to the publisher, and the buffer is released.
 *
 * A crash before 3 lost nothing that was acknowledged; a crash after 2 may have stored records that
 * nobody was told of: recovery finds them and the devices' retransmissions get their receipts. */
#include "control/writer.h"

#include "control/indexer.h"
#include "control/publisher.h"
#include "crypto/engine.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_pause.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#define TAKE_BURST     256u
#define IDLE_SLEEP_NS  20000
#define FLIGHT_WAIT_US 100u
#define SPACE_CHECK_US 10000u

/* To whom a group's receipts go, in leaf order. */
struct recipients {
        uint32_t n;
        uint32_t pending[GROUP_RECORDS_MAX];
        uint8_t worker[GROUP_RECORDS_MAX];
};

struct writer {
        struct writer_config config;
        struct engine *engine;
        struct tree tree;
        uint8_t root[HASH_BYTES];
        pthread_t thread;
        _Atomic bool stopping;
        _Atomic bool closed; /* the drain: new requests are refused whatever the space */
        bool stalled;        /* the last submit found no segment */

        struct group *filling, *flying, *unpublished;
        struct recipients recipients[2];
        struct index_origin origins[2][GROUP_RECORDS_MAX]; /* as recipients, until published */
        unsigned filling_recipients; /* index; the other is of the group in flight */
        uint64_t first_tsc;          /* when the filling group got its first record */
        uint64_t submitted_tsc, tsc_hz, group_tsc, space_checked_tsc;
        unsigned next_worker;                /* where taking begins: fair over rings */
        struct commit_desc held[TAKE_BURST]; /* taken, but the group was full */
        unsigned held_n, held_at;

        uint8_t hashes[GROUP_RECORDS_MAX * HASH_BYTES];
        uint8_t entries[GROUP_RECORDS_MAX * LEAF_ENTRY_BYTES]; /* no_flush only */
        uint32_t bare_n;                                       /* no_flush: records in entries */
        struct writer_stats stats;
};

static void
count(uint64_t *counter, uint64_t n)
{
        __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* Four buckets an octave. */
unsigned
writer_flush_bucket(uint64_t us)
{
        unsigned octave, bucket;

        if (us < 4)
                return (unsigned)us;
        octave = 63u - (unsigned)__builtin_clzll(us);
        bucket = (octave - 1) * 4 + (unsigned)((us >> (octave - 2)) & 3);
        return bucket < 63 ? bucket : 63;
}

uint64_t
writer_flush_bucket_us(unsigned bucket)
{
        if (bucket < 4)
                return bucket;
        return (UINT64_C(4) + bucket % 4) << (bucket / 4 - 1);
}

static void
push_receipt_run(struct writer *writer, unsigned worker, const struct receipt *receipts, unsigned n)
{
        /* The ring has as many slots as the worker has pending ones, so there is always room. */
        unsigned pushed = rte_ring_enqueue_bulk_elem(
            writer->config.receipt[worker], receipts, sizeof(*receipts), n, NULL);

        assert(pushed == n);
}

/* Gives each recipient its receipt, leaves counting from first. */
static void
push_receipts(struct writer *writer, struct recipients *recipients, uint64_t first, uint32_t status)
{
        struct receipt run[TAKE_BURST];
        unsigned n = 0;

        for (uint32_t i = 0; i < recipients->n; i++) {
                run[n++] = (struct receipt){
                    .leaf = status == RECEIPT_COMMITTED ? first + i : 0,
                    .pending = recipients->pending[i],
                    .status = status,
                };
                if (n == TAKE_BURST || i + 1 == recipients->n ||
                    recipients->worker[i + 1] != recipients->worker[i]) {
                        push_receipt_run(writer, recipients->worker[i], run, n);
                        n = 0;
                }
        }
        recipients->n = 0;
}

static void
refuse(struct writer *writer, bool refuse)
{
        if (atomic_load_explicit(&writer->config.view->refuse, memory_order_relaxed) != refuse)
                atomic_store_explicit(&writer->config.view->refuse, refuse, memory_order_release);
}

/* A failed flush ends writing for good: what was in flight may be durable and gets silence, what
 * was never written is refused. */
static void
fail(struct writer *writer, int error)
{
        assert(error < 0);
        refuse(writer, true);
        __atomic_store_n(&writer->stats.failed, (uint64_t)-error, __ATOMIC_RELEASE);
        push_receipts(
            writer, &writer->recipients[writer->filling_recipients ^ 1], 0, RECEIPT_SILENCE);
        push_receipts(writer, &writer->recipients[writer->filling_recipients], 0, RECEIPT_REFUSED);
}

static bool
has_failed(const struct writer *writer)
{
        return __atomic_load_n(&writer->stats.failed, __ATOMIC_RELAXED) != 0;
}

static struct recipients *
filling_recipients(struct writer *writer)
{
        return &writer->recipients[writer->filling_recipients];
}

static bool
add_record(struct writer *writer, const struct commit_desc *desc)
{
        struct recipients *recipients = filling_recipients(writer);

        if (recipients->n == writer->config.group_records)
                return false;
        if (writer->config.no_flush) {
                leaf_entry_write(writer->entries + (size_t)recipients->n * LEAF_ENTRY_BYTES,
                    desc->kind, desc->received_ns, desc->digest);
        } else if (!group_add(writer->filling, desc->sealed, desc->sealed_bytes, desc->digest)) {
                return false;
        }
        if (recipients->n == 0)
                writer->first_tsc = rte_rdtsc();
        writer->origins[writer->filling_recipients][recipients->n] =
            (struct index_origin){desc->context_id, desc->received_ns};
        recipients->pending[recipients->n] = desc->pending;
        recipients->worker[recipients->n] = desc->worker;
        recipients->n++;
        return true;
}

/* Moves held descriptors into the filling group; false when it is full. */
static bool
add_held(struct writer *writer)
{
        while (writer->held_at < writer->held_n) {
                if (!add_record(writer, &writer->held[writer->held_at]))
                        return false;
                writer->held_at++;
        }
        writer->held_n = writer->held_at = 0;
        return true;
}

/* Takes what the rings hold until the group is full. Returns how many; *full says why it ended. */
static unsigned
take(struct writer *writer, bool *full)
{
        unsigned taken = 0;

        *full = false;
        if (!writer->config.no_flush && writer->filling == NULL) {
                writer->filling = vault_group(writer->config.vault);
                if (writer->filling == NULL)
                        return 0;
        }
        if (!add_held(writer)) {
                *full = true;
                return 0;
        }
        for (unsigned i = 0; i < writer->config.workers; i++) {
                unsigned w = (writer->next_worker + i) % writer->config.workers;
                unsigned n = rte_ring_dequeue_burst_elem(writer->config.commit[w], writer->held,
                    sizeof(writer->held[0]), TAKE_BURST, NULL);

                taken += n;
                writer->held_n = n;
                writer->held_at = 0;
                if (!add_held(writer)) {
                        *full = true;
                        break;
                }
        }
        writer->next_worker = (writer->next_worker + 1) % writer->config.workers;
        return taken;
}

/* After a failure: everything that still arrives was certainly not written. */
static unsigned
refuse_all(struct writer *writer)
{
        struct recipients *recipients = filling_recipients(writer);
        unsigned taken = 0;

        for (unsigned w = 0; w < writer->config.workers; w++) {
                unsigned n = writer->held_n - writer->held_at;

                if (n > 0)
                        memmove(writer->held, writer->held + writer->held_at,
                            n * sizeof(writer->held[0]));
                else
                        n = rte_ring_dequeue_burst_elem(writer->config.commit[w], writer->held,
                            sizeof(writer->held[0]), TAKE_BURST, NULL);
                for (unsigned i = 0; i < n; i++) {
                        recipients->pending[i] = writer->held[i].pending;
                        recipients->worker[i] = writer->held[i].worker;
                }
                recipients->n = n;
                push_receipts(writer, recipients, 0, RECEIPT_REFUSED);
                writer->held_n = writer->held_at = 0;
                taken += n;
        }
        return taken;
}

/* The group is durable: tree, view, receipts. */
static void
acknowledge(struct writer *writer, const uint8_t *entries, struct recipients *recipients)
{
        uint64_t first = writer->tree.size;
        uint32_t n = recipients->n;

        tree_leaf_hashes(writer->engine, writer->hashes, entries, n);
        tree_append(&writer->tree, writer->engine, writer->hashes, n);
        tree_root(&writer->tree, writer->root);
        assert(writer->tree.size == first + n);
        atomic_store_explicit(
            &writer->config.view->leaves, writer->tree.size, memory_order_release);
        push_receipts(writer, recipients, first, RECEIPT_COMMITTED);
        count(&writer->stats.groups, 1);
        count(&writer->stats.leaves, n);
}

/* Hands a durable group's entries to the publisher and releases it; false when there is no room
 * yet. */
static bool
publish(struct writer *writer)
{
        struct group *group = writer->unpublished;
        uint32_t n;

        if (group == NULL)
                return true;
        if (writer->config.publisher != NULL &&
            !publisher_push(writer->config.publisher, group_entries(group), group_records(group)))
                return false;
        n = group_records(group);
        vault_release(writer->config.vault, group);
        writer->unpublished = NULL;
        /* No other group has landed since, nor been submitted. */
        indexer_push(writer->config.indexer, writer->tree.size - n,
            writer->origins[writer->filling_recipients ^ 1], n);
        return true;
}

static bool
land(struct writer *writer, uint32_t wait_us)
{
        struct group *done = NULL;
        uint64_t us;
        int r;

        if (writer->flying == NULL)
                return false;
        r = vault_poll(writer->config.vault, &done, wait_us);
        if (r == 0)
                return false;
        if (r < 0) {
                fail(writer, r);
                writer->flying = NULL;
                return true;
        }
        assert(done == writer->flying);
        us = (rte_rdtsc() - writer->submitted_tsc) * 1000000 / writer->tsc_hz;
        count(&writer->stats.flush_us[writer_flush_bucket(us)], 1);
        count(&writer->stats.flush_us_sum, us);
        writer->flying = NULL;
        acknowledge(
            writer, group_entries(done), &writer->recipients[writer->filling_recipients ^ 1]);
        writer->unpublished = done;
        (void)publish(writer);
        return true;
}

static void
submit(struct writer *writer)
{
        uint64_t begin = rte_rdtsc();
        int r =
            vault_submit(writer->config.vault, writer->filling, writer->tree.size, writer->root);

        if (r == -ENOSPC) {
                /* Nothing was written; the records wait in the group while new ones get 5.03. */
                if (!writer->stalled)
                        count(&writer->stats.stalls_no_space, 1);
                writer->stalled = true;
                refuse(writer, true);
                return;
        }
        writer->stalled = false;
        if (r < 0) {
                /* In flight is nothing, and whether anything reached the disk is unknown. */
                writer->filling_recipients ^= 1;
                fail(writer, r);
                writer->filling = NULL;
                return;
        }
        /* From before the call: a disk may do its work inside it. */
        writer->submitted_tsc = begin;
        writer->flying = writer->filling;
        writer->filling = NULL;
        writer->filling_recipients ^= 1;
        assert(filling_recipients(writer)->n == 0);
}

static void
check_space(struct writer *writer, uint64_t now)
{
        if (writer->config.no_flush || has_failed(writer) ||
            now - writer->space_checked_tsc < writer->tsc_hz / 1000000 * SPACE_CHECK_US)
                return;
        writer->space_checked_tsc = now;
        refuse(writer, writer->stalled ||
                           atomic_load_explicit(&writer->closed, memory_order_relaxed) ||
                           !vault_space(writer->config.vault));
}

static bool
step_bare(struct writer *writer)
{
        bool full;
        unsigned taken = take(writer, &full);

        if (filling_recipients(writer)->n == 0)
                return false;
        (void)taken;
        acknowledge(writer, writer->entries, filling_recipients(writer));
        return true;
}

/* One round; false when there was nothing to do. */
static bool
step(struct writer *writer)
{
        struct recipients *recipients;
        bool full = false, did;
        unsigned taken;
        uint64_t now;

        if (has_failed(writer))
                return refuse_all(writer) > 0;
        if (writer->config.no_flush)
                return step_bare(writer);
        did = land(writer, 0);
        if (has_failed(writer))
                return true;
        if (!publish(writer))
                return did;
        /* Volumes that were pulled go, rebuilt ones come: between two groups. */
        if (writer->flying == NULL) {
                int r = vault_tend(writer->config.vault);

                if (r < 0) {
                        fail(writer, r);
                        return true;
                }
        }
        taken = take(writer, &full);
        now = rte_rdtsc();
        check_space(writer, now);
        recipients = filling_recipients(writer);
        if (writer->flying == NULL && recipients->n > 0 &&
            (full || taken == 0 || recipients->n == writer->config.group_records ||
                now - writer->first_tsc >= writer->group_tsc)) {
                submit(writer);
                did = did || writer->flying != NULL;
        }
        return did || taken > 0;
}

static bool
is_empty(const struct writer *writer)
{
        if (writer->flying != NULL || writer->unpublished != NULL ||
            writer->recipients[0].n + writer->recipients[1].n > 0 || writer->held_n > 0)
                return false;
        for (unsigned w = 0; w < writer->config.workers; w++)
                if (!rte_ring_empty(writer->config.commit[w]))
                        return false;
        return true;
}

/* What is left cannot be finished: no more is written, no room, or a log that takes no more (its
 * entries come again from the vault at the next start). */
static bool
cannot_go_on(const struct writer *writer)
{
        return has_failed(writer) || writer->stalled ||
               (writer->unpublished != NULL && publisher_error(writer->config.publisher) != 0);
}

static void *
run(void *arg)
{
        struct writer *writer = arg;
        uint64_t begin = rte_rdtsc(), then = begin;

        for (;;) {
                bool did = step(writer);
                uint64_t now = rte_rdtsc();

                if (did)
                        count(&writer->stats.cycles_busy, now - then);
                __atomic_store_n(&writer->stats.cycles_all, now - begin, __ATOMIC_RELAXED);
                then = now;
                if (did)
                        continue;
                if (atomic_load_explicit(&writer->stopping, memory_order_acquire) &&
                    (is_empty(writer) || cannot_go_on(writer)))
                        break;
                if (writer->config.spin) {
                        rte_pause();
                } else if (writer->flying != NULL) {
                        (void)land(writer, FLIGHT_WAIT_US);
                } else {
                        struct timespec nap = {.tv_nsec = IDLE_SLEEP_NS};

                        clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
                }
                then = rte_rdtsc();
        }
        return NULL;
}

int
writer_start(struct writer **out, const struct writer_config *config)
{
        struct writer *writer;
        pthread_attr_t attr;
        int r;

        assert(config->workers > 0 && config->workers <= WORKERS_MAX);
        assert(config->group_records > 0 && config->group_records <= GROUP_RECORDS_MAX);
        writer = aligned_alloc(64, (sizeof(*writer) + 63) / 64 * 64);
        if (writer == NULL)
                return -ENOMEM;
        memset(writer, 0, sizeof(*writer));
        writer->config = *config;
        if (config->tree != NULL)
                writer->tree = *config->tree;
        else
                tree_init(&writer->tree);
        assert(config->tip == NULL || writer->tree.size == config->tip->leaves);
        r = engine_create(&writer->engine, ENGINE_AUTO);
        if (r < 0) {
                free(writer);
                return r;
        }
        tree_root(&writer->tree, writer->root);
        writer->tsc_hz = rte_get_tsc_hz();
        writer->group_tsc = writer->tsc_hz / 1000000 * config->group_us;
        atomic_store(&config->view->leaves, writer->tree.size);
        pthread_attr_init(&attr);
        if (config->core >= 0) {
                cpu_set_t cores;

                CPU_ZERO(&cores);
                CPU_SET((unsigned)config->core, &cores);
                pthread_attr_setaffinity_np(&attr, sizeof(cores), &cores);
        }
        r = -pthread_create(&writer->thread, &attr, run, writer);
        pthread_attr_destroy(&attr);
        if (r < 0) {
                engine_destroy(writer->engine);
                free(writer);
                return r;
        }
        pthread_setname_np(writer->thread, "aorta-writer");
        *out = writer;
        return 0;
}

void
writer_close(struct writer *writer)
{
        atomic_store_explicit(&writer->closed, true, memory_order_relaxed);
        refuse(writer, true);
}

void
writer_stop(struct writer *writer)
{
        atomic_store_explicit(&writer->stopping, true, memory_order_release);
        pthread_join(writer->thread, NULL);
}

void
writer_destroy(struct writer *writer)
{
        if (writer == NULL)
                return;
        engine_destroy(writer->engine);
        free(writer);
}

void
writer_stats(const struct writer *writer, struct writer_stats *stats)
{
        const uint64_t *from = (const uint64_t *)&writer->stats;
        uint64_t *to = (uint64_t *)stats;

        for (size_t i = 0; i < sizeof(*stats) / sizeof(*to); i++)
                to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}
