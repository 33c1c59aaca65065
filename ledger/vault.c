/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/vault_internal.h"

#include "ledger/head.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* vault_close() waits for late writes as long as this many times what a write may take. */
#define CLOSE_PATIENCE 5u

void
vault_why(char *why, const char *format, ...)
{
        va_list args;
        va_start(args, format);
        vsnprintf(why, VAULT_WHY_BYTES, format, args);
        va_end(args);
}

void
volume_why(struct volume *volume, const char *format, ...)
{
        va_list args;
        va_start(args, format);
        vsnprintf(volume->why, VOLUME_WHY_BYTES, format, args);
        va_end(args);
}

uint32_t
vault_readable(const struct vault *vault)
{
        uint32_t set = 0;
        for (unsigned i = 0; i < vault->n; i++)
                if (volume_state(&vault->volumes[i]) != VOLUME_MISSING)
                        set |= 1u << i;
        return set;
}

void
vault_list(const struct vault *vault, uint32_t of, char *out, size_t out_bytes)
{
        size_t at = 0;
        out[0] = '\0';
        for (unsigned i = 0; i < vault->n && at + 1 < out_bytes; i++) {
                const struct volume *volume = &vault->volumes[i];
                if (!(of >> i & 1))
                        continue;
                int n = snprintf(out + at, out_bytes - at, "%svolume %u (%.200s%s%s)",
                    at > 0 ? "; " : "", i, volume_path(volume), volume->why[0] ? ": " : "",
                    volume->why);
                at += n > 0 ? (size_t)n : 0;
        }
}

/* ---- open ---- */

static int
config_check(const struct vault_config *config, char *why)
{
        uint32_t bytes = config->segment_bytes;
        uint32_t k = config->data, m = config->parity;
        if (k == 0) {
                k = config->volumes != NULL ? 4 : 1;
                m = config->volumes != NULL ? 2 : 0;
        }
        if (m >= k || k + m > VAULT_VOLUMES_MAX || (config->volumes == NULL && k + m > 1)) {
                vault_why(why,
                    "%u data and %u parity volumes: take more data than parity, at most %u in all",
                    k, m, VAULT_VOLUMES_MAX);
                return -EINVAL;
        }
        uint32_t bytes_min = segment_bytes_min(k);
        if (bytes != 0 &&
            (bytes < bytes_min || bytes > SEGMENT_BYTES_MAX || bytes % BLOCK_BYTES != 0)) {
                vault_why(why, "segments of %u bytes: take a multiple of %u between %u and %u",
                    bytes, BLOCK_BYTES, bytes_min, SEGMENT_BYTES_MAX);
                return -EINVAL;
        }
        if (config->floor != 0 && (config->floor < k || config->floor > k + m)) {
                vault_why(why, "a floor of %u volumes: take %u to %u", config->floor, k, k + m);
                return -EINVAL;
        }
        for (uint32_t i = 0; i < k + m; i++) {
                const char *path = config->volumes != NULL ? config->volumes[i] : config->path;
                if (path == NULL ||
                    strlen(path) >= PATH_BYTES - sizeof("/" SEGMENTS_FOLDER "/00000000")) {
                        vault_why(why, "the path of volume %u is too long", i);
                        return -ENAMETOOLONG;
                }
        }
        return 0;
}

static int
volumes_init(struct vault *vault, const struct vault_config *config)
{
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                const char *path = config->volumes != NULL ? config->volumes[i] : config->path;
                volume->vault = vault;
                volume->layout = vault->layout;
                volume->layout.slot = (uint8_t)i;
                volume->lock_fd = volume->members_fd = volume->segment_fd = -1;
                volume->flying_buffer = -1;
                vault->paths[i] = strdup(path);
                if (vault->paths[i] == NULL)
                        return -ENOMEM;
                vault->paths_n = i + 1;
                atomic_store(&volume->path, vault->paths[i]);
        }
        return 0;
}

static int
locks_init(struct vault *vault)
{
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_mutex_init(&vault->lock, NULL);
        pthread_cond_init(&vault->wake, &attr);
        pthread_cond_init(&vault->round, &attr);
        pthread_condattr_destroy(&attr);
        vault->has_lock = true;
        return 0;
}

static int
vault_prepare(struct vault *vault, const struct vault_config *config, char *why)
{
        vault->io = io_or_posix(config->io);
        vault->layout.data = (uint8_t)config->data;
        vault->layout.parity = (uint8_t)config->parity;
        if (config->data == 0) {
                vault->layout.data = config->volumes != NULL ? 4 : 1;
                vault->layout.parity = config->volumes != NULL ? 2 : 0;
        }
        vault->n = (unsigned)vault->layout.data + vault->layout.parity;
        vault->floor = config->floor ? config->floor : vault->layout.data;
        vault->fence_us = (config->fence_ms ? config->fence_ms : FENCE_MS_DEFAULT) * UINT64_C(1000);
        vault->share_percent =
            config->share_percent ? config->share_percent : SHARE_PERCENT_DEFAULT;
        if (vault->share_percent > 100)
                vault->share_percent = 100;
        vault->cut_tail = config->cut_tail;
        vault->stepped = config->stepped;
        vault->segment_bytes =
            config->segment_bytes ? config->segment_bytes : SEGMENT_BYTES_DEFAULT;
        vault->spares = config->spare_segments ? config->spare_segments : SPARE_SEGMENTS_DEFAULT;
        vault->reserve_bytes = config->reserve_bytes;
        vault->fragment_max = group_disk_bytes(GROUP_PAYLOAD_MAX, vault->layout.data);
        vault->job.fd = -1;
        parity_init(&vault->parity, vault->layout.data, vault->layout.parity);
        int error = locks_init(vault);
        if (!error)
                error = volumes_init(vault, config);
        if (!error)
                error = digester_open(&vault->digester);
        if (!error)
                error = group_index_open(&vault->index);
        if (error) {
                vault_why(why, "%s", strerror(-error));
                return error;
        }
        error = vault->io->ops->queue_open(vault->io, &vault->queue);
        if (error) {
                vault_why(why, "io_uring is not to be had: %s. See sysctl kernel.io_uring_disabled",
                    strerror(-error));
                return error;
        }
        return volumes_open(vault, why);
}

int
vault_open(struct vault **out, const struct vault_config *config, char *why)
{
        *out = NULL;
        why[0] = '\0';
        if (sodium_init() < 0)
                return -ENOSYS;
        int error = config_check(config, why);
        if (error)
                return error;
        struct vault *vault = calloc(1, sizeof(*vault));
        if (vault == NULL)
                return -ENOMEM;
        error = vault_prepare(vault, config, why);
        if (error) {
                vault_close(vault);
                return error;
        }
        *out = vault;
        return 0;
}

/* ---- the rest ---- */

bool
vault_space(struct vault *vault)
{
        uint32_t current = atomic_load_explicit(&vault->current, memory_order_relaxed);
        unsigned ready = 0;
        if (atomic_load_explicit(&vault->failed, memory_order_relaxed))
                return false;
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                ready += volume_state(volume) == VOLUME_MEMBER &&
                         atomic_load_explicit(&volume->made, memory_order_relaxed) > current + 1 &&
                         atomic_load_explicit(&volume->free_bytes, memory_order_relaxed) >=
                             vault->reserve_bytes;
        }
        return ready >= vault->floor;
}

void
vault_stats(struct vault *vault, struct vault_stats *stats)
{
        stats->groups = atomic_load_explicit(&vault->index.count, memory_order_acquire);
        stats->leaves = atomic_load_explicit(&vault->index.leaves, memory_order_relaxed);
        stats->bytes_written = atomic_load_explicit(&vault->bytes_written, memory_order_relaxed);
        stats->flush_us_last = atomic_load_explicit(&vault->flush_us_last, memory_order_relaxed);
        stats->flush_us_max = atomic_load_explicit(&vault->flush_us_max, memory_order_relaxed);
        stats->segments = 0;
        stats->free_bytes = UINT64_MAX;
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                uint32_t made = atomic_load_explicit(&volume->made, memory_order_relaxed);
                uint64_t free_bytes =
                    atomic_load_explicit(&volume->free_bytes, memory_order_relaxed);
                if (volume_state(volume) != VOLUME_MEMBER)
                        continue;
                if (made > stats->segments)
                        stats->segments = made;
                if (free_bytes < stats->free_bytes)
                        stats->free_bytes = free_bytes;
        }
        if (stats->free_bytes == UINT64_MAX)
                stats->free_bytes = 0;
}

void
vault_status(struct vault *vault, struct vault_status *status)
{
        pthread_mutex_lock(&vault->lock);
        *status = vault->told;
        status->data = vault->layout.data;
        status->parity = vault->layout.parity;
        status->floor = vault->floor;
        status->epoch = atomic_load(&vault->epoch);
        status->failed = atomic_load(&vault->failed) != 0;
        status->members = 0;
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                struct volume_status *own = &status->volumes[i];
                own->state = volume_state(volume);
                status->members += own->state == VOLUME_MEMBER;
                snprintf(own->path, sizeof(own->path), "%s", volume_path(volume));
                memcpy(own->why, volume->why, sizeof(own->why));
                int suspect = atomic_load(&volume->suspect);
                if (own->state == VOLUME_MEMBER && suspect) {
                        /* The writer, idle, has not fenced it yet. */
                        own->state = VOLUME_STALE;
                        status->members--;
                        snprintf(own->why, sizeof(own->why), "its folder was pulled: %s",
                            strerror(-suspect));
                }
                own->free_bytes = atomic_load(&volume->free_bytes);
                own->segments = atomic_load(&volume->made);
                own->bad_fragments = atomic_load(&volume->bad_fragments);
                own->repaired_fragments = atomic_load(&volume->repaired_fragments);
        }
        pthread_mutex_unlock(&vault->lock);
        status->alarm = status->members < vault->n && status->members <= vault->floor;
}

void
vault_position(const struct vault *vault, struct vault_tip *tip)
{
        assert(vault->state == VAULT_WRITING && vault->flying == NULL);
        *tip = (struct vault_tip){.groups = vault->next_group, .leaves = vault->next_leaf};
        memcpy(tip->last_group, vault->last_group, HASH_BYTES);
}

const struct tree *
vault_tree(const struct vault *vault)
{
        assert(vault->state != VAULT_OPENED);
        return &vault->tree;
}

void
vault_inject(struct vault *vault, int error)
{
        if (error == ENOSPC || error == 0)
                atomic_store_explicit(&vault->segments_inject, -error, memory_order_relaxed);
        if (error != ENOSPC)
                atomic_store_explicit(&vault->inject, error, memory_order_relaxed);
}

int
vault_remember(struct vault *vault, const struct head *head)
{
        assert(vault->state == VAULT_WRITING);
        unsigned written = 0;
        int last = -EIO;
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                if (volume_state(volume) != VOLUME_MEMBER || atomic_load(&volume->suspect))
                        continue;
                int error = head_write_io(vault->io, volume_path(volume), head), none = 0;
                if (error == -EINVAL)
                        return error;
                if (error) {
                        last = error;
                        atomic_compare_exchange_strong(&volume->suspect, &none, error);
                } else {
                        written++;
                }
        }
        return written >= vault->floor ? 0 : last;
}

/* Writes that the kernel still holds: 0 when there are none. */
static unsigned
outstanding(const struct vault *vault)
{
        unsigned n = 0;
        for (unsigned i = 0; i < vault->n; i++)
                n += vault->volumes[i].outstanding + vault->volumes[i].members_flying;
        return n;
}

void
vault_close(struct vault *vault)
{
        if (vault == NULL)
                return;
        helpers_stop(vault);
        job_end(vault);
        bool given_up = false;
        if (vault->queue != NULL) {
                struct io *io = vault->io;
                uint64_t until = io->ops->now_us(io) + CLOSE_PATIENCE * vault->fence_us;
                vault->flying = NULL;
                for (unsigned i = 0; i < vault->n; i++)
                        vault->volumes[i].flying_buffer = -1;
                while (outstanding(vault) > 0 && io->ops->now_us(io) < until)
                        if (completions_take(vault, (uint32_t)(vault->fence_us / 10)))
                                break;
                given_up = outstanding(vault) > 0;
                io->ops->queue_close(vault->queue);
        }
        /* What a disk may still read stays mapped. */
        if (!given_up)
                groups_free(vault);
        if (vault->io != NULL)
                volumes_close(vault);
        digester_close(&vault->digester);
        group_index_close(&vault->index);
        free(vault->lengths);
        for (unsigned i = 0; i < vault->paths_n; i++)
                free(vault->paths[i]);
        if (vault->has_lock) {
                pthread_cond_destroy(&vault->round);
                pthread_cond_destroy(&vault->wake);
                pthread_mutex_destroy(&vault->lock);
        }
        free(vault);
}
