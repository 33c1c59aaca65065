/* SPDX-License-Identifier: Apache-2.0 */
/* The vault's threads: one a volume, so that a slow one holds up no other, and one for rebuilding
 * and scrubbing. A stepped vault has none of them; vault_step() does one round of each. */
#include "ledger/vault_internal.h"

#include <assert.h>
#include <errno.h>
#include <time.h>

/* How long vault_begin() waits for the first segments of a slow volume. */
#define FIRST_ROUND_S    10
#define JOB_PAUSE_MAX_US 1000000u

static void
deadline(struct timespec *until, uint64_t us)
{
        clock_gettime(CLOCK_MONOTONIC, until);
        uint64_t ns = (uint64_t)until->tv_nsec + us * 1000;
        until->tv_sec += (time_t)(ns / 1000000000u);
        until->tv_nsec = (long)(ns % 1000000000u);
}

static void *
volume_main(void *user)
{
        struct volume *volume = user;
        struct vault *vault = volume->vault;
        pthread_mutex_lock(&vault->lock);
        while (!vault->stop) {
                pthread_mutex_unlock(&vault->lock);
                bool more = volume_round(volume);
                pthread_mutex_lock(&vault->lock);
                if (more || vault->stop)
                        continue;
                struct timespec until;
                volume->rounds++;
                pthread_cond_broadcast(&vault->round);
                deadline(&until, HELPER_PERIOD_MS * 1000u);
                pthread_cond_timedwait(&vault->wake, &vault->lock, &until);
        }
        pthread_mutex_unlock(&vault->lock);
        return NULL;
}

/* Works share_percent of the time. */
static void *
job_main(void *user)
{
        struct vault *vault = user;
        struct io *io = vault->io;
        pthread_mutex_lock(&vault->lock);
        while (!vault->stop) {
                pthread_mutex_unlock(&vault->lock);
                uint64_t begin = io->ops->now_us(io);
                bool more = job_step(vault);
                uint64_t worked = io->ops->now_us(io) - begin;
                uint64_t pause = worked * (100 - vault->share_percent) / vault->share_percent;
                if (!more)
                        pause = HELPER_PERIOD_MS * 1000u;
                else if (pause > JOB_PAUSE_MAX_US)
                        pause = JOB_PAUSE_MAX_US;
                pthread_mutex_lock(&vault->lock);
                if (vault->stop || pause == 0)
                        continue;
                struct timespec until;
                deadline(&until, pause);
                pthread_cond_timedwait(&vault->wake, &vault->lock, &until);
        }
        pthread_mutex_unlock(&vault->lock);
        return NULL;
}

static bool
first_rounds_done(const struct vault *vault)
{
        for (unsigned i = 0; i < vault->n; i++)
                if (vault->volumes[i].running && vault->volumes[i].rounds == 0)
                        return false;
        return true;
}

int
helpers_start(struct vault *vault)
{
        if (vault->stepped) {
                for (unsigned i = 0; i < vault->n; i++)
                        while (volume_round(&vault->volumes[i]))
                                ;
                return 0;
        }
        int error = 0;
        for (unsigned i = 0; i < vault->n && !error; i++) {
                struct volume *volume = &vault->volumes[i];
                error = -pthread_create(&volume->thread, NULL, volume_main, volume);
                volume->running = !error;
                if (!error)
                        pthread_setname_np(volume->thread, "volume");
        }
        if (!error) {
                error = -pthread_create(&vault->job_thread, NULL, job_main, vault);
                vault->job_running = !error;
        }
        if (error)
                return error;
        pthread_setname_np(vault->job_thread, "scrub");
        struct timespec until;
        deadline(&until, FIRST_ROUND_S * 1000000u);
        pthread_mutex_lock(&vault->lock);
        while (!first_rounds_done(vault))
                if (pthread_cond_timedwait(&vault->round, &vault->lock, &until) == ETIMEDOUT)
                        break;
        pthread_mutex_unlock(&vault->lock);
        return 0;
}

void
helpers_stop(struct vault *vault)
{
        if (!vault->has_lock)
                return;
        pthread_mutex_lock(&vault->lock);
        vault->stop = true;
        pthread_cond_broadcast(&vault->wake);
        pthread_mutex_unlock(&vault->lock);
        for (unsigned i = 0; i < vault->n; i++)
                if (vault->volumes[i].running)
                        pthread_join(vault->volumes[i].thread, NULL);
        if (vault->job_running)
                pthread_join(vault->job_thread, NULL);
}

void
helpers_wake(struct vault *vault)
{
        if (vault->stepped)
                return;
        pthread_mutex_lock(&vault->lock);
        pthread_cond_broadcast(&vault->wake);
        pthread_mutex_unlock(&vault->lock);
}

bool
vault_step(struct vault *vault)
{
        assert(vault->stepped && vault->state == VAULT_WRITING);
        bool more = false;
        for (unsigned i = 0; i < vault->n; i++)
                more |= volume_round(&vault->volumes[i]);
        return job_step(vault) || more;
}

unsigned
vault_look(struct vault *vault)
{
        unsigned pulled = 0;
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                if (volume_state(volume) != VOLUME_MEMBER)
                        continue;
                int error = volume_look(volume), none = 0;
                if (error)
                        atomic_compare_exchange_strong(&volume->suspect, &none, error);
                pulled += atomic_load(&volume->suspect) != 0;
        }
        return pulled;
}
