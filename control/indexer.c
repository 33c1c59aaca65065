/* SPDX-License-Identifier: Apache-2.0 */
/* `next` is the leaf that the batch takes next; the index covers the leaves before the batch. Each
 * step takes from the queue what continues at `next`, skips what was read from the vault meanwhile,
 * and reads a group from the vault where the queue has a gap. Whatever fails, the batch is dropped
 * and `next` goes back to what the index covers: nothing can be left out. */
#include "control/indexer.h"

#include "control/registry.h"
#include "crypto/keys.h"
#include "crypto/seal.h"
#include "ledger/store.h"
#include "ledger/vault.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define NICE           10 /* behind the writer, which shares the core */
#define IDLE_NS        5000000
#define RETRY_MS       1000u
#define BATCH_SMALL    8192u
#define BATCH_SMALL_MS 100u  /* how old a small batch may grow */
#define BATCH_MS       1000u /* any batch: larger ones fill their pages better */

#define CHUNK_CONTEXTS 4096u
/* Ids are given one after the other, one an entry of the store and enrolment. */
#define CHUNKS_MAX (STORE_SLOTS_MAX / CHUNK_CONTEXTS)

struct queued {
        uint64_t leaf;
        struct index_origin origin;
};

struct indexer {
        struct indexer_config config;
        char path[PATH_MAX]; /* config's */
        pthread_t thread;
        _Atomic bool stopping, rebuild;

        /* Context id to patient. */
        pthread_mutex_t patients_lock;
        uint8_t (*patients[CHUNKS_MAX])[INDEX_PATIENT_BYTES]; /* all zero: not known */
        uint8_t owner[INDEX_PATIENT_BYTES];

        /* Who finds shares it; opening and dropping have it alone. */
        pthread_rwlock_t open_lock;
        struct record_index *index; /* NULL: not open */

        struct index_cover cover;
        uint64_t next;
        struct index_entry *batch;
        uint32_t batch_n;
        uint64_t batch_since_ms, rebuilt_to;

        _Atomic uint64_t leaves, covered, added, from_vault, unknown, rebuilds;
        _Atomic uint64_t batches, batch_us_sum, batch_us_max;
        _Atomic int error;
        _Atomic bool rebuilding;

        struct queued *queue;
        _Alignas(64) _Atomic uint64_t head; /* written by the writer */
        _Alignas(64) _Atomic uint64_t tail; /* written by this thread */
};

static uint64_t
now_us(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t
now_ms(void)
{
        return now_us() / 1000;
}

/* ---- whose a context is ---- */

void
indexer_patient(
    const struct realm_key *realm_key, uint32_t patient_slot, uint8_t patient[INDEX_PATIENT_BYTES])
{
        uint8_t slot[4];

        for (unsigned i = 0; i < 4; i++)
                slot[i] = (uint8_t)(patient_slot >> (8 * i));
        realm_pseudonym(realm_key, patient, slot, sizeof(slot));
}

int
indexer_learn(struct indexer *indexer, uint64_t context_id, uint32_t patient_slot)
{
        uint64_t chunk = context_id / CHUNK_CONTEXTS;
        int r = 0;

        if (indexer == NULL)
                return 0;
        if (chunk >= CHUNKS_MAX)
                return -ENOMEM;
        pthread_mutex_lock(&indexer->patients_lock);
        if (indexer->patients[chunk] == NULL)
                indexer->patients[chunk] = calloc(CHUNK_CONTEXTS, INDEX_PATIENT_BYTES);
        if (indexer->patients[chunk] == NULL)
                r = -ENOMEM;
        else
                indexer_patient(indexer->config.realm_key, patient_slot,
                    indexer->patients[chunk][context_id % CHUNK_CONTEXTS]);
        pthread_mutex_unlock(&indexer->patients_lock);
        return r;
}

/* False: not known. */
static bool
patient_of(struct indexer *indexer, uint64_t context_id, uint8_t patient[INDEX_PATIENT_BYTES])
{
        static const uint8_t none[INDEX_PATIENT_BYTES];
        uint64_t chunk = context_id / CHUNK_CONTEXTS;
        bool known = false;

        if (chunk >= CHUNKS_MAX)
                return false;
        pthread_mutex_lock(&indexer->patients_lock);
        if (indexer->patients[chunk] != NULL) {
                memcpy(patient, indexer->patients[chunk][context_id % CHUNK_CONTEXTS],
                    INDEX_PATIENT_BYTES);
                known = memcmp(patient, none, INDEX_PATIENT_BYTES) != 0;
        }
        pthread_mutex_unlock(&indexer->patients_lock);
        return known;
}

static int
learn_device(void *user, const struct device *device)
{
        return indexer_learn(user, device->context_id, device->patient_slot);
}

/* ---- the queue ---- */

void
indexer_push(
    struct indexer *indexer, uint64_t first, const struct index_origin *origins, uint32_t n)
{
        uint64_t head, tail;

        if (indexer == NULL)
                return;
        head = atomic_load_explicit(&indexer->head, memory_order_relaxed);
        tail = atomic_load_explicit(&indexer->tail, memory_order_acquire);
        if (origins != NULL && indexer->config.queue_records - (head - tail) >= n) {
                for (uint32_t i = 0; i < n; i++)
                        indexer->queue[(head + i) & (indexer->config.queue_records - 1)] =
                            (struct queued){first + i, origins[i]};
                atomic_store_explicit(&indexer->head, head + n, memory_order_release);
        }
        /* After the queue: who sees it and finds less in the queue knows that it was left out. */
        atomic_store_explicit(&indexer->leaves, first + n, memory_order_release);
}

static void
take_one(struct indexer *indexer, uint64_t leaf, const struct index_origin *origin)
{
        struct index_entry *entry = &indexer->batch[indexer->batch_n];

        assert(
            leaf == indexer->next && leaf - indexer->cover.leaves < indexer->config.batch_records);
        if (leaf == indexer->cover.leaves)
                indexer->batch_since_ms = now_ms();
        indexer->next++;
        if (!patient_of(indexer, origin->context_id, entry->patient)) {
                atomic_fetch_add_explicit(&indexer->unknown, 1, memory_order_relaxed);
                return;
        }
        entry->received_ns = origin->received_ns;
        entry->leaf = leaf;
        indexer->batch_n++;
}

/* Leaves that the batch has room for. */
static uint64_t
room(const struct indexer *indexer)
{
        return indexer->config.batch_records - (indexer->next - indexer->cover.leaves);
}

/* Takes what continues the batch; true when something was taken. */
static bool
take_queued(struct indexer *indexer)
{
        uint64_t tail = atomic_load_explicit(&indexer->tail, memory_order_relaxed);
        uint64_t head = atomic_load_explicit(&indexer->head, memory_order_acquire);
        uint64_t before = indexer->next;

        while (tail < head && room(indexer) > 0) {
                const struct queued *one =
                    &indexer->queue[tail & (indexer->config.queue_records - 1)];

                if (one->leaf > indexer->next)
                        break;
                if (one->leaf == indexer->next)
                        take_one(indexer, one->leaf, &one->origin);
                tail++;
        }
        atomic_store_explicit(&indexer->tail, tail, memory_order_release);
        return indexer->next != before;
}

/* ---- the vault ---- */

#define ENOUGH (-ECANCELED)

static int
take_record(void *user, const struct vault_record *record)
{
        struct indexer *indexer = user;
        struct seal_header header;
        int r = seal_header_read(&header, record->sealed, record->sealed_bytes);

        if (r < 0)
                return r;
        if (room(indexer) == 0)
                return ENOUGH;
        take_one(
            indexer, record->leaf, &(struct index_origin){header.context_id, header.received_ns});
        atomic_fetch_add_explicit(&indexer->from_vault, 1, memory_order_relaxed);
        return 0;
}

/* Damage of the vault is not the index's. */
static int
vault_error(int error)
{
        return error == ENOUGH ? 0 : error == -EBADMSG || error == -ENOENT ? -EIO : error;
}

static int
take_group(struct indexer *indexer)
{
        return vault_error(
            vault_read_group(indexer->config.vault, indexer->next, take_record, indexer));
}

static int
take_cover(void *user, const struct vault_record *record)
{
        struct index_cover *cover = user;

        cover->group = record->group;
        memcpy(cover->digest, record->digest, sizeof(cover->digest));
        return ENOUGH;
}

/* What an index of this ledger that covers so many leaves would be bound to. */
static int
cover_of(struct indexer *indexer, uint64_t leaves, struct index_cover *cover)
{
        memset(cover, 0, sizeof(*cover));
        cover->leaves = leaves;
        if (leaves == 0)
                return 0;
        return vault_error(vault_read_group(indexer->config.vault, leaves - 1, take_cover, cover));
}

/* ---- the index ---- */

static void
go_back(struct indexer *indexer)
{
        indexer->batch_n = 0;
        indexer->next = indexer->cover.leaves;
}

static void
close_index(struct indexer *indexer)
{
        pthread_rwlock_wrlock(&indexer->open_lock);
        record_index_close(indexer->index);
        indexer->index = NULL;
        pthread_rwlock_unlock(&indexer->open_lock);
}

static void
set_cover(struct indexer *indexer, const struct index_cover *cover)
{
        indexer->cover = *cover;
        atomic_store(&indexer->covered, cover->leaves);
        if (cover->leaves >= indexer->rebuilt_to)
                atomic_store(&indexer->rebuilding, false);
        go_back(indexer);
}

static int
drop(struct indexer *indexer, const char *reason)
{
        int r;

        fprintf(
            stderr, "aortad: the index in %s is made again: %s\n", indexer->config.path, reason);
        close_index(indexer);
        indexer->rebuilt_to = atomic_load_explicit(&indexer->leaves, memory_order_acquire);
        atomic_fetch_add(&indexer->rebuilds, 1);
        atomic_store(&indexer->rebuilding, true);
        set_cover(indexer, &(struct index_cover){0});
        r = record_index_drop(indexer->config.path);
        atomic_store(&indexer->rebuild, r < 0); /* still to be done */
        return r;
}

/* Is it of this ledger? 0, -EBADMSG with why, or the error of reading the vault. */
static int
check_chain(struct indexer *indexer, const struct index_cover *cover, char *why)
{
        struct index_cover own;
        int r;

        if (cover->leaves > atomic_load(&indexer->leaves)) {
                snprintf(why, INDEX_WHY_BYTES, "it is ahead of the vault");
                return -EBADMSG;
        }
        r = cover_of(indexer, cover->leaves, &own);
        if (r < 0)
                return r;
        if (own.group == cover->group && memcmp(own.digest, cover->digest, HASH_BYTES) == 0)
                return 0;
        snprintf(why, INDEX_WHY_BYTES, "it is of another ledger");
        return -EBADMSG;
}

static int
open_once(struct indexer *indexer, char *why)
{
        const struct indexer_config *config = &indexer->config;
        struct record_index *index;
        struct index_cover cover;
        int r = record_index_open(&index, config->path, indexer->owner, config->map_bytes_max, why);

        if (r < 0)
                return r;
        r = record_index_cover(index, &cover);
        if (r == 0)
                r = check_chain(indexer, &cover, why);
        if (r < 0) {
                record_index_close(index);
                return r;
        }
        pthread_rwlock_wrlock(&indexer->open_lock);
        indexer->index = index;
        pthread_rwlock_unlock(&indexer->open_lock);
        set_cover(indexer, &cover);
        return 0;
}

static int
open_index(struct indexer *indexer)
{
        char why[INDEX_WHY_BYTES] = "it is damaged";
        int r = open_once(indexer, why);

        if (r != -EBADMSG)
                return r;
        r = drop(indexer, why);
        return r < 0 ? r : open_once(indexer, why);
}

static int
check_space(const struct indexer *indexer)
{
        struct statvfs status;

        if (statvfs(indexer->config.path, &status) < 0)
                return -errno;
        return (uint64_t)status.f_bavail * status.f_frsize < indexer->config.reserve_bytes ? -ENOSPC
                                                                                           : 0;
}

static int
write_batch(struct indexer *indexer)
{
        uint64_t begin = now_us(), us;
        struct index_cover cover;
        int r = check_space(indexer), added = 0;

        if (r == 0)
                r = cover_of(indexer, indexer->next, &cover);
        if (r == 0)
                added = record_index_add(indexer->index, indexer->batch, indexer->batch_n, &cover);
        if (added < 0 && added != -ENOSPC)
                close_index(indexer); /* its file is looked at afresh */
        if (r < 0 || added < 0)
                return r < 0 ? r : added;
        us = now_us() - begin;
        atomic_store(&indexer->error, 0);
        atomic_fetch_add(&indexer->added, indexer->batch_n);
        atomic_fetch_add(&indexer->batches, 1);
        atomic_fetch_add(&indexer->batch_us_sum, us);
        if (us > atomic_load(&indexer->batch_us_max))
                atomic_store(&indexer->batch_us_max, us);
        set_cover(indexer, &cover);
        return 0;
}

static bool
is_due(const struct indexer *indexer)
{
        uint64_t n = indexer->next - indexer->cover.leaves;
        uint64_t age_ms = n > 0 ? now_ms() - indexer->batch_since_ms : 0;

        return room(indexer) == 0 || age_ms >= BATCH_MS ||
               (n > 0 && n < BATCH_SMALL && age_ms >= BATCH_SMALL_MS);
}

/* ---- the thread ---- */

/* Takes some, adds when it is time. 1: did something, 0: nothing to do, -errno. */
static int
step(struct indexer *indexer)
{
        uint64_t leaves = atomic_load_explicit(&indexer->leaves, memory_order_acquire);
        bool did = take_queued(indexer);
        int r = 0;

        if (!did && indexer->next < leaves && room(indexer) > 0) {
                r = take_group(indexer);
                did = true;
        }
        if (r == 0 && is_due(indexer)) {
                r = write_batch(indexer);
                did = true;
        }
        return r < 0 ? r : did;
}

static void
fail(struct indexer *indexer, int error)
{
        if (atomic_exchange(&indexer->error, -error) != -error)
                fprintf(stderr,
                    "aortad: the index in %s stands still, records go on: %s; tried again every "
                    "%u s\n",
                    indexer->config.path, strerror(-error), RETRY_MS / 1000);
        go_back(indexer);
}

/* Sleeps, but no longer than until it is to stop or to rebuild. */
static void
wait_ms(const struct indexer *indexer, unsigned ms)
{
        struct timespec nap = {.tv_nsec = IDLE_NS};

        for (uint64_t end = now_ms() + ms;
             now_ms() < end && !atomic_load(&indexer->stopping) && !atomic_load(&indexer->rebuild);)
                clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
}

/* One round of the thread: as step(). */
static int
round_once(struct indexer *indexer)
{
        int r = 0;

        if (atomic_load(&indexer->rebuild))
                r = drop(indexer, "asked for");
        if (r == 0 && indexer->index == NULL)
                r = open_index(indexer);
        if (r == 0)
                r = step(indexer);
        if (r == -EBADMSG) {
                r = drop(indexer, "it is damaged");
                wait_ms(
                    indexer, RETRY_MS); /* a disk that spoils what it gets is not to be chased */
        }
        return r;
}

/* What the writer left in the queue. */
static void
finish(struct indexer *indexer)
{
        int r = 0;

        if (indexer->index == NULL || atomic_load(&indexer->error) != 0)
                return;
        while (r == 0 && (take_queued(indexer) || indexer->next > indexer->cover.leaves))
                r = write_batch(indexer);
        if (r < 0)
                fail(indexer, r);
}

static void *
run(void *arg)
{
        struct indexer *indexer = arg;
        struct timespec nap = {.tv_nsec = IDLE_NS};

        (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
        while (!atomic_load_explicit(&indexer->stopping, memory_order_acquire)) {
                int r = round_once(indexer);

                if (r < 0) {
                        fail(indexer, r);
                        wait_ms(indexer, RETRY_MS);
                } else if (r == 0) {
                        if (indexer->next == indexer->cover.leaves)
                                atomic_store(&indexer->error, 0);
                        clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
                }
        }
        finish(indexer);
        return NULL;
}

static int
make(struct indexer *indexer, const struct indexer_config *config)
{
        if (snprintf(indexer->path, sizeof(indexer->path), "%s", config->path) >=
            (int)sizeof(indexer->path))
                return -ENAMETOOLONG;
        indexer->config = *config;
        indexer->config.path = indexer->path;
        if (config->map_bytes_max == 0)
                indexer->config.map_bytes_max = INDEX_MAP_BYTES_MAX;
        if (config->queue_records == 0)
                indexer->config.queue_records = INDEXER_QUEUE_RECORDS;
        if (config->batch_records == 0)
                indexer->config.batch_records = INDEXER_BATCH_RECORDS;
        assert((indexer->config.queue_records & (indexer->config.queue_records - 1)) == 0);
        atomic_store(&indexer->leaves, config->leaves);
        indexer_patient(config->realm_key, UINT32_MAX, indexer->owner);
        indexer->batch = malloc(indexer->config.batch_records * sizeof(*indexer->batch));
        indexer->queue = malloc(indexer->config.queue_records * sizeof(*indexer->queue));
        if (indexer->batch == NULL || indexer->queue == NULL)
                return -ENOMEM;
        return config->registry == NULL
                   ? 0
                   : registry_walk(config->registry, true, learn_device, indexer);
}

int
indexer_start(struct indexer **out, const struct indexer_config *config)
{
        struct indexer *indexer = aligned_alloc(64, (sizeof(*indexer) + 63) / 64 * 64);
        pthread_attr_t attr;
        int r;

        if (indexer == NULL)
                return -ENOMEM;
        memset(indexer, 0, sizeof(*indexer));
        pthread_mutex_init(&indexer->patients_lock, NULL);
        pthread_rwlock_init(&indexer->open_lock, NULL);
        r = make(indexer, config);
        if (r < 0) {
                indexer_destroy(indexer);
                return r;
        }
        pthread_attr_init(&attr);
        if (config->core >= 0) {
                cpu_set_t cores;

                CPU_ZERO(&cores);
                CPU_SET((unsigned)config->core, &cores);
                pthread_attr_setaffinity_np(&attr, sizeof(cores), &cores);
        }
        r = -pthread_create(&indexer->thread, &attr, run, indexer);
        pthread_attr_destroy(&attr);
        if (r < 0) {
                indexer_destroy(indexer);
                return r;
        }
        pthread_setname_np(indexer->thread, "aorta-index");
        *out = indexer;
        return 0;
}

void
indexer_stop(struct indexer *indexer)
{
        if (indexer == NULL)
                return;
        atomic_store_explicit(&indexer->stopping, true, memory_order_release);
        pthread_join(indexer->thread, NULL);
}

void
indexer_destroy(struct indexer *indexer)
{
        if (indexer == NULL)
                return;
        record_index_close(indexer->index);
        for (unsigned i = 0; i < CHUNKS_MAX; i++)
                free(indexer->patients[i]);
        pthread_mutex_destroy(&indexer->patients_lock);
        pthread_rwlock_destroy(&indexer->open_lock);
        free(indexer->batch);
        free(indexer->queue);
        free(indexer);
}

/* ---- for others ---- */

void
indexer_rebuild(struct indexer *indexer)
{
        atomic_store(&indexer->rebuild, true);
}

void
indexer_stats(const struct indexer *indexer, struct indexer_stats *stats)
{
        struct indexer *from = (struct indexer *)(uintptr_t)indexer;

        /* In this order the lag is never less than none. */
        stats->covered = atomic_load(&from->covered);
        stats->leaves = atomic_load(&from->leaves);
        stats->added = atomic_load(&from->added);
        stats->from_vault = atomic_load(&from->from_vault);
        stats->unknown = atomic_load(&from->unknown);
        stats->rebuilds = atomic_load(&from->rebuilds);
        stats->batches = atomic_load(&from->batches);
        stats->batch_us_sum = atomic_load(&from->batch_us_sum);
        stats->batch_us_max = atomic_load(&from->batch_us_max);
        stats->error = atomic_load(&from->error);
        stats->state = stats->error != 0 ? INDEXER_STOPPED
                       : atomic_load(&from->rebuild) || atomic_load(&from->rebuilding)
                           ? INDEXER_REBUILDING
                           : INDEXER_FOLLOWING;
}

long
indexer_find(
    struct indexer *indexer, const struct index_query *query, struct index_hit *hits, size_t n)
{
        long found;

        pthread_rwlock_rdlock(&indexer->open_lock);
        found =
            indexer->index == NULL ? -EAGAIN : record_index_find(indexer->index, query, hits, n);
        pthread_rwlock_unlock(&indexer->open_lock);
        return found;
}
