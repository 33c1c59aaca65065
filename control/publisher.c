/* SPDX-License-Identifier: Apache-2.0 */
#include "control/publisher.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A power of two. At 1 M leaves/s this is half a second of backlog before the writer waits. */
#define QUEUE_ENTRIES (1u << 19)
#define DRAIN_NS      5000000
#define APPEND_MAX    4096u

struct publisher {
        struct publisher_config config;
        pthread_t thread;
        pthread_mutex_t lock; /* note, sync requests */
        pthread_cond_t done;
        uint64_t sync_asked, sync_done;
        int sync_result;
        char note[NOTE_BYTES_MAX];
        long note_bytes;
        _Atomic int error;
        _Atomic bool stopping;

        uint8_t *entries;                   /* QUEUE_ENTRIES × LEAF_ENTRY_BYTES */
        _Alignas(64) _Atomic uint64_t head; /* written by the writer */
        _Alignas(64) _Atomic uint64_t tail; /* written by this thread */
};

bool
publisher_push(struct publisher *publisher, const uint8_t *entries, uint32_t n)
{
        uint64_t head = atomic_load_explicit(&publisher->head, memory_order_relaxed);
        uint64_t tail = atomic_load_explicit(&publisher->tail, memory_order_acquire);
        uint32_t at = (uint32_t)(head & (QUEUE_ENTRIES - 1)), first;

        assert(n <= QUEUE_ENTRIES);
        if (QUEUE_ENTRIES - (head - tail) < n)
                return false;
        first = QUEUE_ENTRIES - at < n ? QUEUE_ENTRIES - at : n;
        memcpy(publisher->entries + (size_t)at * LEAF_ENTRY_BYTES, entries,
            (size_t)first * LEAF_ENTRY_BYTES);
        memcpy(publisher->entries, entries + (size_t)first * LEAF_ENTRY_BYTES,
            (size_t)(n - first) * LEAF_ENTRY_BYTES);
        atomic_store_explicit(&publisher->head, head + n, memory_order_release);
        return true;
}

/* Moves the queue into the log. A log that cannot take an entry keeps what it has: the entry stays
 * in the queue and is tried again. */
static int
drain(struct publisher *publisher)
{
        uint64_t tail = atomic_load_explicit(&publisher->tail, memory_order_relaxed);
        uint64_t head = atomic_load_explicit(&publisher->head, memory_order_acquire);

        while (tail < head) {
                uint32_t at = (uint32_t)(tail & (QUEUE_ENTRIES - 1));
                uint32_t n = head - tail < APPEND_MAX ? (uint32_t)(head - tail) : APPEND_MAX;
                uint64_t before = log_size(publisher->config.log);
                int r;

                if (n > QUEUE_ENTRIES - at)
                        n = QUEUE_ENTRIES - at;
                r = log_append(
                    publisher->config.log, publisher->entries + (size_t)at * LEAF_ENTRY_BYTES, n);
                tail += log_size(publisher->config.log) - before;
                atomic_store_explicit(&publisher->tail, tail, memory_order_release);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int
publish(struct publisher *publisher)
{
        int r = drain(publisher);

        if (r == 0)
                r = log_publish(publisher->config.log);
        atomic_store(&publisher->error, r);
        if (r < 0)
                return r;
        atomic_store_explicit(&publisher->config.view->published,
            log_published(publisher->config.log), memory_order_release);
        pthread_mutex_lock(&publisher->lock);
        publisher->note_bytes =
            log_checkpoint(publisher->config.log, publisher->note, sizeof(publisher->note));
        pthread_mutex_unlock(&publisher->lock);
        return 0;
}

static void
answer_sync(struct publisher *publisher, uint64_t asked, int result)
{
        pthread_mutex_lock(&publisher->lock);
        publisher->sync_done = asked;
        publisher->sync_result = result;
        pthread_cond_broadcast(&publisher->done);
        pthread_mutex_unlock(&publisher->lock);
}

static uint64_t
now_ms(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void *
run(void *arg)
{
        struct publisher *publisher = arg;
        uint64_t last = 0;

        for (;;) {
                struct timespec nap = {.tv_nsec = DRAIN_NS};
                bool stopping = atomic_load_explicit(&publisher->stopping, memory_order_acquire);
                uint64_t asked, now = now_ms();

                pthread_mutex_lock(&publisher->lock);
                asked = publisher->sync_asked;
                pthread_mutex_unlock(&publisher->lock);
                if (asked != publisher->sync_done || stopping ||
                    now - last >= publisher->config.interval_ms) {
                        int r = publish(publisher);

                        last = now;
                        if (asked != publisher->sync_done)
                                answer_sync(publisher, asked, r);
                } else {
                        int r = drain(publisher);

                        if (r < 0)
                                atomic_store(&publisher->error, r);
                }
                if (stopping)
                        return NULL;
                clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
        }
}

int
publisher_start(struct publisher **out, const struct publisher_config *config)
{
        struct publisher *publisher = aligned_alloc(64, (sizeof(*publisher) + 63) / 64 * 64);
        pthread_attr_t attr;
        int r;

        if (publisher == NULL)
                return -ENOMEM;
        memset(publisher, 0, sizeof(*publisher));
        publisher->config = *config;
        publisher->entries = malloc((size_t)QUEUE_ENTRIES * LEAF_ENTRY_BYTES);
        if (publisher->entries == NULL) {
                free(publisher);
                return -ENOMEM;
        }
        publisher->note_bytes = -ENOENT;
        pthread_mutex_init(&publisher->lock, NULL);
        pthread_cond_init(&publisher->done, NULL);
        pthread_attr_init(&attr);
        if (config->core >= 0) {
                cpu_set_t cores;

                CPU_ZERO(&cores);
                CPU_SET((unsigned)config->core, &cores);
                pthread_attr_setaffinity_np(&attr, sizeof(cores), &cores);
        }
        r = -pthread_create(&publisher->thread, &attr, run, publisher);
        pthread_attr_destroy(&attr);
        if (r < 0) {
                free(publisher->entries);
                free(publisher);
                return r;
        }
        pthread_setname_np(publisher->thread, "aorta-publish");
        *out = publisher;
        return 0;
}

int
publisher_sync(struct publisher *publisher)
{
        uint64_t mine;
        int r;

        pthread_mutex_lock(&publisher->lock);
        mine = ++publisher->sync_asked;
        while (publisher->sync_done < mine)
                pthread_cond_wait(&publisher->done, &publisher->lock);
        r = publisher->sync_result;
        pthread_mutex_unlock(&publisher->lock);
        return r;
}

long
publisher_checkpoint(struct publisher *publisher, char *out, size_t out_bytes)
{
        long n;

        pthread_mutex_lock(&publisher->lock);
        n = publisher->note_bytes;
        if (n >= 0 && (size_t)n + 1 > out_bytes)
                n = -ENOSPC;
        if (n >= 0)
                memcpy(out, publisher->note, (size_t)n + 1);
        pthread_mutex_unlock(&publisher->lock);
        return n;
}

int
publisher_error(const struct publisher *publisher)
{
        return atomic_load(&((struct publisher *)(uintptr_t)publisher)->error);
}

void
publisher_stop(struct publisher *publisher)
{
        atomic_store_explicit(&publisher->stopping, true, memory_order_release);
        pthread_join(publisher->thread, NULL);
}

void
publisher_destroy(struct publisher *publisher)
{
        if (publisher == NULL)
                return;
        pthread_mutex_destroy(&publisher->lock);
        pthread_cond_destroy(&publisher->done);
        free(publisher->entries);
        free(publisher);
}
