/* SPDX-License-Identifier: Apache-2.0 */
/* Membership while writing.
 *
 * A write that failed, was short or late fences its volume and is never tried again: the kernel or
 * the disk may have thrown away what it could not write, and a later success would say nothing of
 * it. A late write's buffer stays the kernel's until its completion comes. Before the group in
 * flight is acknowledged, the new membership stands on every remaining member (members_flush()):
 *
 *      pwrite(members, 4,096, older block; O_DIRECT|O_DSYNC)   on all of them, by one
 * io_uring_enter
 *
 * so that no later start takes the fenced volume's word for a group that it may not have. */
#include "ledger/vault_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TAG_MEMBERS  (1u << 16)
#define TAG_SLOT_BIT 8

uint64_t
write_tag(const struct volume *volume, bool of_members, unsigned buffer)
{
        return (of_members ? TAG_MEMBERS : 0) | (unsigned)volume->layout.slot << TAG_SLOT_BIT |
               buffer;
}

int
vault_fail(struct vault *vault, int error)
{
        assert(error < 0);
        int none = 0;
        atomic_compare_exchange_strong(&vault->failed, &none, error);
        return atomic_load(&vault->failed);
}

/* ---- fencing ---- */

/* A volume that is not written any more: its descriptors may go once nothing is in flight. */
static void
volume_detach(struct volume *volume)
{
        struct io *io = volume->vault->io;
        atomic_store(&volume->segment_seen, 0);
        if (volume->outstanding == 0 && volume->segment_fd >= 0) {
                io->ops->close(io, volume->segment_fd);
                volume->segment_fd = -1;
        }
        if (!volume->members_flying && volume->members_fd >= 0) {
                io->ops->close(io, volume->members_fd);
                volume->members_fd = -1;
        }
}

void
volume_fence(struct volume *volume, int error, const char *what)
{
        struct vault *vault = volume->vault;
        bool member = volume_state(volume) == VOLUME_MEMBER;
        assert(error < 0);
        pthread_mutex_lock(&vault->lock);
        volume_why(volume, "%s: %s", what, strerror(-error));
        pthread_mutex_unlock(&vault->lock);
        atomic_store(&volume->state, VOLUME_STALE);
        atomic_store(&volume->suspect, 0);
        volume->flying_buffer = -1;
        volume_detach(volume);
        if (!member)
                return;
        vault->members.set &= ~(1u << volume->layout.slot);
        atomic_store(&vault->set, vault->members.set);
        vault->fenced = true;
        vault->fence_error = error;
}

bool
members_suspects(struct vault *vault)
{
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                int error = atomic_load_explicit(&volume->suspect, memory_order_relaxed);
                if (error == 0)
                        continue;
                enum volume_state state = volume_state(volume);
                if (state == VOLUME_MEMBER || state == VOLUME_FOLLOWING)
                        volume_fence(volume, error,
                            error == -ECANCELED ? "it was taken out" : "its folder was pulled");
                else
                        atomic_store(&volume->suspect, 0);
        }
        return vault->fenced;
}

/* ---- completions ---- */

static void
fragment_done(struct volume *volume, unsigned buffer, int32_t result)
{
        struct vault *vault = volume->vault;
        assert(volume->buffers[buffer].flying && volume->outstanding > 0);
        volume->buffers[buffer].flying = false;
        volume->outstanding--;
        if (volume->flying_buffer != (int)buffer) {
                /* Late: it was fenced for it. */
                enum volume_state state = volume_state(volume);
                if (state != VOLUME_MEMBER && state != VOLUME_FOLLOWING)
                        volume_detach(volume);
                return;
        }
        volume->flying_buffer = -1;
        int inject = atomic_load_explicit(&vault->inject, memory_order_relaxed);
        if (inject > 0)
                result = -inject;
        if (result < 0)
                volume_fence(volume, result, "a write failed");
        else if ((uint32_t)result != vault->flying->disk_bytes)
                volume_fence(volume, -EIO, "a write was short");
}

static void
members_done(struct volume *volume, int32_t result)
{
        assert(volume->members_flying);
        volume->members_flying = false;
        volume->members_result = result < 0 ? result : result == BLOCK_BYTES ? 0 : -EIO;
        if (volume_state(volume) != VOLUME_MEMBER)
                volume_detach(volume);
}

int
completions_take(struct vault *vault, uint32_t wait_us)
{
        struct io_done done[IO_BATCH_MAX];
        int n = vault->io->ops->queue_poll(vault->queue, done, IO_BATCH_MAX, wait_us);
        for (int i = 0; i < n; i++) {
                unsigned slot = done[i].tag >> TAG_SLOT_BIT & 0xff;
                assert(slot < vault->n);
                if (done[i].tag & TAG_MEMBERS)
                        members_done(&vault->volumes[slot], done[i].result);
                else
                        fragment_done(
                            &vault->volumes[slot], (unsigned)(done[i].tag & 0xff), done[i].result);
        }
        return n < 0 ? n : 0;
}

/* ---- the flush of a membership ---- */

/* A new file has one valid block, which the flush that follows leaves alone. */
int
members_open(struct volume *volume)
{
        struct vault *vault = volume->vault;
        struct io *io = vault->io;
        char path[PATH_BYTES];
        if (path_join(path, sizeof(path), volume_path(volume), MEMBERS_FILE))
                return -ENAMETOOLONG;
        int fd = io->ops->open(io, path, IO_DURABLE);
        if (fd == -ENOENT) {
                uint8_t *blocks = blocks_alloc(MEMBERS_BLOCKS * BLOCK_BYTES);
                if (blocks == NULL)
                        return -ENOMEM;
                struct members first = vault->members;
                if (first.epoch == 0)
                        first.epoch = 1;
                members_block_write(blocks, &first);
                int error = file_make(
                    io, volume_path(volume), MEMBERS_FILE, blocks, MEMBERS_BLOCKS * BLOCK_BYTES);
                free(blocks);
                if (error)
                        return error;
                volume->members_older = 1;
                fd = io->ops->open(io, path, IO_DURABLE);
        }
        if (fd < 0)
                return fd;
        volume->members_fd = fd;
        if (volume->members_block == NULL)
                volume->members_block = blocks_alloc(BLOCK_BYTES);
        return volume->members_block == NULL ? -ENOMEM : 0;
}

/* Hands the blocks over: how many, or -errno. */
static int
flush_submit(struct vault *vault)
{
        struct io_request requests[VAULT_VOLUMES_MAX];
        unsigned n = 0;
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                if (volume_state(volume) != VOLUME_MEMBER)
                        continue;
                int error = volume->members_flying ? -EBUSY : 0;
                if (!error && volume->members_fd < 0)
                        error = members_open(volume);
                if (error) {
                        volume_fence(volume, error, "its membership cannot be written");
                        continue;
                }
                members_block_write(volume->members_block, &vault->members);
                volume->members_flying = true;
                volume->members_result = -EINPROGRESS;
                requests[n++] = (struct io_request){
                    .fd = volume->members_fd,
                    .write = true,
                    .buffer = volume->members_block,
                    .bytes = BLOCK_BYTES,
                    .offset_bytes = (uint64_t)volume->members_older * BLOCK_BYTES,
                    .tag = write_tag(volume, true, 0),
                    .registered = -1,
                };
        }
        if (n == 0)
                return 0;
        int handed = vault->io->ops->queue_submit(vault->queue, requests, n);
        for (unsigned i = handed > 0 ? (unsigned)handed : 0; i < n; i++)
                vault->volumes[requests[i].tag >> TAG_SLOT_BIT & 0xff].members_flying = false;
        return handed == (int)n ? handed : handed < 0 ? handed : -EIO;
}

static bool
flush_waits(const struct vault *vault)
{
        for (unsigned i = 0; i < vault->n; i++)
                if (volume_state(&vault->volumes[i]) == VOLUME_MEMBER &&
                    vault->volumes[i].members_flying)
                        return true;
        return false;
}

/* One epoch, tried on every member. */
static int
flush_once(struct vault *vault)
{
        struct io *io = vault->io;
        vault->members.epoch++;
        vault->members.first_group = vault->next_group;
        vault->members.set = atomic_load(&vault->set);
        vault->fenced = false;
        uint64_t begin = io->ops->now_us(io);
        int error = flush_submit(vault);
        if (error < 0)
                return error;
        while (flush_waits(vault)) {
                uint64_t gone = io->ops->now_us(io) - begin;
                if (gone >= vault->fence_us)
                        break;
                error = completions_take(vault, (uint32_t)(vault->fence_us - gone));
                if (error)
                        return error;
        }
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                if (volume_state(volume) != VOLUME_MEMBER)
                        continue;
                if (volume->members_flying)
                        volume_fence(volume, -ETIMEDOUT, "its membership was not written in time");
                else if (volume->members_result)
                        volume_fence(
                            volume, volume->members_result, "its membership cannot be written");
                else {
                        volume->members_older ^= 1;
                        volume->members = vault->members;
                }
        }
        return 0;
}

int
members_flush(struct vault *vault)
{
        vault->fenced = true;
        while (vault->fenced) {
                if (members_count(vault->members.set) < vault->floor)
                        return vault_fail(vault, vault->fence_error ? vault->fence_error : -EIO);
                int error = flush_once(vault);
                if (error)
                        return vault_fail(vault, error);
        }
        atomic_store(&vault->epoch, vault->members.epoch);
        atomic_store(&vault->first_group, vault->members.first_group);
        return 0;
}

/* ---- between groups ---- */

/* A filled volume wants to be written from the next group on. */
static void
follow_begin(struct volume *volume)
{
        struct vault *vault = volume->vault;
        uint32_t current = atomic_load(&vault->current);
        if (volume->outstanding > 0 || volume->members_flying ||
            atomic_load(&volume->made) <= current)
                return;
        atomic_store(&volume->follow_wanted, false);
        atomic_store(&volume->suspect, 0);
        volume_detach(volume);
        int fd = -1;
        if (vault->segment_open) {
                fd = segment_open(volume, current, IO_DURABLE);
                if (fd < 0) {
                        volume_fence(volume, fd, "its segment cannot be opened");
                        return;
                }
        }
        volume->segment_fd = fd;
        atomic_store(&volume->follow_from, vault->next_group);
        atomic_store(&volume->state, VOLUME_FOLLOWING);
}

/* It holds all groups: its file `members` and those of all others say so before it counts. */
static int
join(struct volume *volume)
{
        struct vault *vault = volume->vault;
        unsigned slot = volume->layout.slot;
        atomic_store(&volume->caught_up, false);
        memcpy(vault->members.volumes[slot], volume->id.volume, ID_BYTES);
        vault->members.set |= 1u << slot;
        atomic_store(&vault->set, vault->members.set);
        pthread_mutex_lock(&vault->lock);
        volume->why[0] = '\0';
        pthread_mutex_unlock(&vault->lock);
        atomic_store(&volume->state, VOLUME_MEMBER);
        return members_flush(vault);
}

int
vault_tend(struct vault *vault)
{
        int failed = atomic_load_explicit(&vault->failed, memory_order_relaxed);
        if (failed || vault->flying != NULL)
                return failed;
        int error = 0;
        for (unsigned i = 0; i < vault->n; i++)
                if (vault->volumes[i].outstanding > 0 || vault->volumes[i].members_flying) {
                        error = completions_take(vault, 0); /* late ones */
                        break;
                }
        if (error)
                return vault_fail(vault, error);
        if (members_suspects(vault))
                error = members_flush(vault);
        for (unsigned i = 0; i < vault->n && !error; i++) {
                struct volume *volume = &vault->volumes[i];
                enum volume_state state = volume_state(volume);
                if (state == VOLUME_FILLING && atomic_load(&volume->follow_wanted))
                        follow_begin(volume);
                else if (state == VOLUME_FOLLOWING && atomic_load(&volume->caught_up))
                        error = join(volume);
        }
        return error;
}
