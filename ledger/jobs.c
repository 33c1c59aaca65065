/* SPDX-License-Identifier: Apache-2.0 */
/* Rebuilding and scrubbing, in slices of one group, by one thread (or vault_step()).
 *
 * Full segments are never written in place. One with bad fragments is made again whole, of what the
 * volume's own good fragments and the others' give, under a temporary name, flushed, and renamed
 * over the old one (segment_finish()). A crash leaves the old or the new one, and each holds every
 * good fragment that the old one held. The segment being written is the exception: there a bad
 * fragment is written again where it stands (O_DIRECT|O_DSYNC, its own blocks only). It held
 * nothing, so that a torn write loses nothing; and the writer writes other blocks only.
 *
 * A rebuild makes every segment of the volume in that way, the last ones as segments of zeros, and
 * then asks the writer to write to the volume from the next group J on, though nobody relies on
 * it. Groups before J that lie in segments made here are written into their zeros. Then the volume
 * has all groups, and the writer takes it into the membership between two groups. A crash or a
 * failure before that leaves a volume that is stale, as before. */
#include "ledger/vault_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { REBUILD_OPEN, REBUILD_SEGMENTS, REBUILD_FOLLOW, REBUILD_CATCH_UP, REBUILD_JOIN };
enum { SCRUB_READ, SCRUB_REPAIR };

static uint64_t
groups_published(const struct vault *vault)
{
        return atomic_load_explicit(&vault->index.count, memory_order_acquire);
}

/* ---- start and end ---- */

static int
job_start(struct vault *vault, enum vault_job kind, unsigned slot, const char *path)
{
        struct job *job = &vault->job;
        char *kept = path != NULL ? strdup(path) : NULL;
        assert(vault->state == VAULT_WRITING);
        if (path != NULL && kept == NULL)
                return -ENOMEM;
        pthread_mutex_lock(&vault->lock);
        bool busy = vault->told.job != VAULT_IDLE;
        if (!busy) {
                *job = (struct job){.kind = kind, .slot = slot, .path = kept, .fd = -1};
                job->end = groups_published(vault);
                vault->told.job_slot = slot;
                vault->told.job_done = 0;
                vault->told.job_all = job->end;
                if (kind == VAULT_SCRUB)
                        vault->told.scrub_bad = vault->told.scrub_fixed = vault->told.scrub_lost =
                            0;
                vault->told.job = kind;
        }
        pthread_mutex_unlock(&vault->lock);
        if (busy) {
                free(kept);
                return -EBUSY;
        }
        helpers_wake(vault);
        return 0;
}

void
job_end(struct vault *vault)
{
        struct job *job = &vault->job;
        if (job->fd >= 0)
                vault->io->ops->close(vault->io, job->fd);
        job->fd = -1;
        if (job->has_gather)
                gather_close(&job->gather);
        job->has_gather = false;
        free(job->path);
        job->path = NULL;
}

static bool
job_finish(struct vault *vault, int error)
{
        job_end(vault);
        pthread_mutex_lock(&vault->lock);
        if (vault->job.kind == VAULT_SCRUB && !error)
                vault->told.scrubs++;
        if (vault->job.kind == VAULT_REBUILD)
                vault->told.rebuild_error = error;
        vault->told.job = VAULT_IDLE;
        pthread_mutex_unlock(&vault->lock);
        return false;
}

int
vault_scrub(struct vault *vault)
{
        return job_start(vault, VAULT_SCRUB, 0, NULL);
}

int
vault_rebuild(struct vault *vault, uint32_t slot)
{
        if (slot >= vault->n)
                return -EINVAL;
        struct volume *volume = &vault->volumes[slot];
        if (volume_state(volume) == VOLUME_MEMBER && !atomic_load(&volume->suspect))
                return -EALREADY;
        return job_start(vault, VAULT_REBUILD, slot, NULL);
}

int
vault_replace(struct vault *vault, uint32_t slot, const char *path)
{
        if (slot >= vault->n || path[0] == '\0' ||
            strlen(path) >= PATH_BYTES - sizeof("/" SEGMENTS_FOLDER "/00000000"))
                return -EINVAL;
        int error = job_start(vault, VAULT_REBUILD, slot, path), none = 0;
        struct volume *volume = &vault->volumes[slot];
        if (!error && volume_state(volume) == VOLUME_MEMBER)
                atomic_compare_exchange_strong(&volume->suspect, &none, -ECANCELED);
        return error;
}

/* ---- rebuild ---- */

static bool
rebuild_fail(struct vault *vault, int error, const char *what)
{
        struct volume *volume = &vault->volumes[vault->job.slot];
        int none = 0;
        if (volume_state(volume) == VOLUME_FOLLOWING) {
                /* The writer's to let go of. */
                atomic_compare_exchange_strong(&volume->suspect, &none, error);
                return job_finish(vault, error);
        }
        pthread_mutex_lock(&vault->lock);
        if (volume_state(volume) == VOLUME_FILLING) {
                volume_why(volume, "%s: %s", what, strerror(-error));
                atomic_store(&volume->state, VOLUME_STALE);
        }
        pthread_mutex_unlock(&vault->lock);
        atomic_store(&volume->follow_wanted, false);
        return job_finish(vault, error);
}

/* The volume's folder, with an identity, locked. */
static bool
rebuild_open(struct vault *vault, struct job *job)
{
        struct volume *volume = &vault->volumes[job->slot];
        char folder[PATH_BYTES];
        if (volume_state(volume) == VOLUME_MEMBER) {
                /* The writer has not fenced it yet. */
                return false;
        }
        int error = 0;
        if (job->path != NULL || volume_state(volume) == VOLUME_MISSING || volume_look(volume))
                error = volume_adopt(volume, job->path != NULL ? job->path : volume_path(volume));
        if (!error)
                error = path_join(folder, sizeof(folder), volume_path(volume), SEGMENTS_FOLDER);
        if (!error)
                error = folder_make_io(vault->io, folder);
        if (!error)
                error = segments_clean(volume);
        if (!error)
                error = segments_count(volume, &volume->segments);
        if (error)
                return rebuild_fail(vault, error, "it cannot be used");
        atomic_store(&volume->follow_wanted, false);
        atomic_store(&volume->caught_up, false);
        atomic_store(&volume->made, 0);
        atomic_store(&volume->making_error, 0);
        atomic_store(&volume->state, VOLUME_FILLING);
        job->phase = REBUILD_SEGMENTS;
        return true;
}

/* Writes the slot's fragment of a group to fd. */
static int
fragment_copy(struct vault *vault, struct job *job, unsigned slot, uint64_t group, int fd)
{
        const struct group_place *place = group_index_at(&vault->index, group);
        struct gather *gather = &job->gather;
        int error = gather_read(
            gather, vault_readable(vault), place->segment, place->offset_bytes, group, NULL, false);
        if (!error)
                return file_write_full(vault->io, fd, gather_fragment(gather, slot),
                    gather->disk_bytes, place->offset_bytes);
        if (gather->verdicts[slot] != FRAGMENT_GOOD)
                return error;
        /* The group is lost, but not this fragment of it. */
        uint32_t bytes = group_disk_bytes(gather->headers[slot].payload_bytes, vault->layout.data);
        int written =
            file_write_full(vault->io, fd, gather->fragments[slot], bytes, place->offset_bytes);
        return written ? written : error;
}

/* One group, or the beginning or end of a segment. */
static bool
rebuild_segments(struct vault *vault, struct job *job)
{
        struct volume *volume = &vault->volumes[job->slot];
        uint32_t current = atomic_load(&vault->current);
        int error = 0;
        if (job->fd < 0) {
                if (job->segment > current + vault->spares && job->segment >= volume->segments) {
                        atomic_store(&volume->follow_wanted, true);
                        job->phase = REBUILD_FOLLOW;
                        return true;
                }
                job->fd = segment_begin(volume, job->segment);
                if (job->fd < 0)
                        return rebuild_fail(vault, job->fd, "a segment cannot be made");
                return true;
        }
        if (job->group < groups_published(vault) &&
            group_index_at(&vault->index, job->group)->segment == job->segment) {
                error = fragment_copy(vault, job, job->slot, job->group, job->fd);
                if (error)
                        return rebuild_fail(vault, error, "a group cannot be copied");
                job->group++;
                return true;
        }
        int fd = job->fd;
        job->fd = -1;
        error = segment_finish(volume, job->segment, fd, true);
        if (error)
                return rebuild_fail(vault, error, "a segment cannot be made");
        job->segment++;
        atomic_store_explicit(&volume->made, job->segment, memory_order_release);
        return true;
}

/* Until the writer writes to it. */
static bool
rebuild_follow(struct vault *vault, struct job *job)
{
        struct volume *volume = &vault->volumes[job->slot];
        enum volume_state state = volume_state(volume);
        if (state == VOLUME_FOLLOWING) {
                job->phase = REBUILD_CATCH_UP;
                return true;
        }
        if (state != VOLUME_FILLING)
                return rebuild_fail(vault, -EIO, "it cannot be written");
        uint32_t made = atomic_load(&volume->made);
        if (made > atomic_load(&vault->current) + vault->spares)
                return false;
        int error = segment_make(volume, made);
        if (error)
                return rebuild_fail(vault, error, "a segment cannot be made");
        atomic_store_explicit(&volume->made, made + 1, memory_order_release);
        return true;
}

/* The groups before those that the writer has written to it. */
static bool
rebuild_catch_up(struct vault *vault, struct job *job)
{
        struct volume *volume = &vault->volumes[job->slot];
        if (volume_state(volume) != VOLUME_FOLLOWING)
                return rebuild_fail(vault, -EIO, "it cannot be written");
        if (job->group == atomic_load(&volume->follow_from)) {
                atomic_store(&volume->caught_up, true);
                job->phase = REBUILD_JOIN;
                return true;
        }
        if (job->group >= groups_published(vault))
                return false;
        const struct group_place *place = group_index_at(&vault->index, job->group);
        int fd = segment_open(volume, place->segment, IO_DURABLE);
        int error = fd < 0 ? fd : fragment_copy(vault, job, job->slot, job->group, fd);
        if (fd >= 0)
                vault->io->ops->close(vault->io, fd);
        if (error)
                return rebuild_fail(vault, error, "a group cannot be copied");
        job->group++;
        return true;
}

static bool
rebuild_step(struct vault *vault, struct job *job)
{
        enum volume_state state = volume_state(&vault->volumes[job->slot]);
        pthread_mutex_lock(&vault->lock);
        vault->told.job_done = job->group;
        vault->told.job_all = groups_published(vault);
        pthread_mutex_unlock(&vault->lock);
        switch (job->phase) {
        case REBUILD_OPEN:
                return rebuild_open(vault, job);
        case REBUILD_SEGMENTS:
                return rebuild_segments(vault, job);
        case REBUILD_FOLLOW:
                return rebuild_follow(vault, job);
        case REBUILD_CATCH_UP:
                return rebuild_catch_up(vault, job);
        default:
                if (state == VOLUME_FOLLOWING)
                        return false; /* the writer has not taken it in yet */
                return job_finish(vault, state == VOLUME_MEMBER ? 0 : -EIO);
        }
}

/* ---- scrub ---- */

static void
scrub_count(struct vault *vault, struct volume *volume, bool fixed, uint64_t n)
{
        pthread_mutex_lock(&vault->lock);
        if (fixed)
                vault->told.scrub_fixed += n;
        else
                vault->told.scrub_bad += n;
        pthread_mutex_unlock(&vault->lock);
        atomic_fetch_add(fixed ? &volume->repaired_fragments : &volume->bad_fragments, n);
}

/* A volume that cannot be repaired is one that cannot be written. */
static void
scrub_suspect(struct volume *volume, int error)
{
        int none = 0;
        atomic_compare_exchange_strong(&volume->suspect, &none, error);
}

/* In the segment being written: where it stands. */
static void
fragment_repair(struct vault *vault, struct job *job, struct volume *volume)
{
        const struct group_place *place = group_index_at(&vault->index, job->group);
        struct gather *gather = &job->gather;
        const uint8_t *fragment = gather_fragment(gather, volume->layout.slot);
        int fd = segment_open(volume, place->segment, IO_DURABLE);
        int error = fd < 0 ? fd
                           : file_write_full(
                                 vault->io, fd, fragment, gather->disk_bytes, place->offset_bytes);
        if (fd >= 0)
                vault->io->ops->close(vault->io, fd);
        if (error)
                scrub_suspect(volume, error);
        else
                scrub_count(vault, volume, true, 1);
}

/* Every member's fragment of the next group. */
static bool
scrub_read(struct vault *vault, struct job *job)
{
        if (job->group == job->end && job->bad_set == 0)
                return job_finish(vault, 0);
        const struct group_place *place =
            job->group < job->end ? group_index_at(&vault->index, job->group) : NULL;
        if (job->bad_set != 0 && (place == NULL || place->segment != job->bad_segment)) {
                job->phase = SCRUB_REPAIR;
                job->repair_group = job->bad_from;
                return true;
        }
        if (place->segment != job->segment || job->group == 0) {
                job->segment = place->segment;
                job->bad_from = job->group;
        }
        int error = gather_read(&job->gather, vault_readable(vault), place->segment,
            place->offset_bytes, job->group, NULL, true);
        if (error) {
                pthread_mutex_lock(&vault->lock);
                vault->told.scrub_lost++;
                pthread_mutex_unlock(&vault->lock);
        }
        for (unsigned i = 0; i < vault->n && !error; i++) {
                struct volume *volume = &vault->volumes[i];
                if (volume_state(volume) != VOLUME_MEMBER || job->gather.good[i])
                        continue;
                scrub_count(vault, volume, false, 1);
                if (place->segment >= atomic_load(&vault->current)) {
                        fragment_repair(vault, job, volume);
                        continue;
                }
                job->bad_set |= 1u << i;
                job->bad_n[i]++;
                job->bad_segment = place->segment;
        }
        job->group++;
        pthread_mutex_lock(&vault->lock);
        vault->told.job_done = job->group;
        pthread_mutex_unlock(&vault->lock);
        return true;
}

/* A full segment of one volume, made anew group by group. */
static bool
scrub_repair(struct vault *vault, struct job *job)
{
        if (job->bad_set == 0) {
                job->phase = SCRUB_READ;
                return true;
        }
        unsigned slot = (unsigned)__builtin_ctz(job->bad_set);
        struct volume *volume = &vault->volumes[slot];
        int error = 0;
        if (volume_state(volume) != VOLUME_MEMBER) {
                error = -ECANCELED;
        } else if (job->fd < 0) {
                job->fd = segment_begin(volume, job->bad_segment);
                if (job->fd >= 0)
                        return true;
                error = job->fd;
                scrub_suspect(volume, error);
        } else if (job->repair_group < job->end &&
                   group_index_at(&vault->index, job->repair_group)->segment == job->bad_segment) {
                error = fragment_copy(vault, job, slot, job->repair_group, job->fd);
                job->repair_group++;
                if (!error || error == -EBADMSG)
                        return true;
                scrub_suspect(volume, error);
        } else {
                int fd = job->fd;
                job->fd = -1;
                error = segment_finish(volume, job->bad_segment, fd, true);
                if (error)
                        scrub_suspect(volume, error);
                else
                        scrub_count(vault, volume, true, job->bad_n[slot]);
        }
        if (job->fd >= 0)
                segment_abandon(volume, job->fd);
        job->fd = -1;
        job->bad_set &= ~(1u << slot);
        job->repair_group = job->bad_from;
        job->bad_n[slot] = 0;
        return true;
}

bool
job_step(struct vault *vault)
{
        struct job *job = &vault->job;
        pthread_mutex_lock(&vault->lock);
        enum vault_job kind = vault->told.job;
        pthread_mutex_unlock(&vault->lock);
        if (kind == VAULT_IDLE)
                return false;
        if (!job->has_gather) {
                int error = gather_open(&job->gather, vault);
                if (error)
                        return kind == VAULT_REBUILD
                                   ? rebuild_fail(vault, error, "too little memory")
                                   : job_finish(vault, error);
                job->has_gather = true;
        }
        if (kind == VAULT_REBUILD)
                return rebuild_step(vault, job);
        return job->phase == SCRUB_REPAIR ? scrub_repair(vault, job) : scrub_read(vault, job);
}
