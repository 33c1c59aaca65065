/* SPDX-License-Identifier: Apache-2.0 */
/* Writing groups. One is in flight at a time, and the next is submitted only when it is durable on
 * every member: so any fragment of group N+1 proves that N had been acknowledged. */
#include "ledger/vault_internal.h"

#include "crypto/seal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* How long the writer waits for a slow volume's next segment while enough others have theirs: this
 * many times what a write may take. */
#define SEGMENT_PATIENCE 10u

/* ---- fill ---- */

struct group *
vault_group(struct vault *vault)
{
        assert(vault->state == VAULT_WRITING);
        if (vault->filling != NULL)
                return vault->filling;
        for (unsigned i = 0; i < GROUPS_BUFFERED; i++) {
                struct group *group = &vault->groups[i];
                if (group->state != GROUP_FREE)
                        continue;
                group->state = GROUP_FILLING;
                group->records = 0;
                group->sealed_bytes = 0;
                vault->filling = group;
                return group;
        }
        return NULL;
}

bool
group_add(struct group *group, const uint8_t *sealed, uint32_t sealed_bytes,
    const uint8_t digest[HASH_BYTES])
{
        assert(group->state == GROUP_FILLING);
        assert(sealed_bytes >= SEAL_OVERHEAD && sealed_bytes <= SEAL_BYTES_MAX);
        uint32_t i = group->records;
        uint32_t payload_bytes = (i + 1) * GROUP_ENTRY_BYTES + group->sealed_bytes + sealed_bytes;
        if (i == GROUP_RECORDS_MAX || payload_bytes > GROUP_PAYLOAD_MAX)
                return false;
        uint8_t *at = group->sealed + group->sealed_bytes;
        memcpy(at, sealed, sealed_bytes);
        /* The offset counts from the first sealed byte until the group is closed. */
        group_entry_write(group->table + i * GROUP_ENTRY_BYTES, digest, (uint16_t)sealed_bytes,
            sealed[1] /* kind; crypto/seal.h */, group->sealed_bytes);
        group_leaf_entry(group->entries + i * LEAF_ENTRY_BYTES, at, digest);
        group->sealed_bytes += sealed_bytes;
        group->records++;
        return true;
}

uint32_t
group_records(const struct group *group)
{
        return group->records;
}

const uint8_t *
group_entries(const struct group *group)
{
        assert(group->state != GROUP_FREE);
        return group->entries;
}

/* ---- a place for it ---- */

static bool
is_written(const struct volume *volume)
{
        enum volume_state state = volume_state(volume);
        return state == VOLUME_MEMBER || state == VOLUME_FOLLOWING;
}

/* Whether the members have the segment. A volume that is full, or does not come to an end with it,
 * is fenced when enough others have theirs; -ENOSPC when it must be waited for. */
static int
segment_await(struct vault *vault, uint32_t index)
{
        struct io *io = vault->io;
        unsigned ready = 0;
        bool busy = false, lacking = false;
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                if (volume_state(volume) != VOLUME_MEMBER)
                        continue;
                if (atomic_load_explicit(&volume->made, memory_order_acquire) > index) {
                        ready++;
                        continue;
                }
                lacking = true;
                busy = busy || atomic_load(&volume->making_error) == 0;
        }
        if (!lacking) {
                vault->segment_wait_us = 0;
                return 0;
        }
        uint64_t now = io->ops->now_us(io);
        if (vault->segment_wait_us == 0)
                vault->segment_wait_us = now;
        if (ready < vault->floor ||
            (busy && now - vault->segment_wait_us < SEGMENT_PATIENCE * vault->fence_us))
                return -ENOSPC;
        vault->segment_wait_us = 0;
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                if (!is_written(volume) || atomic_load(&volume->made) > index)
                        continue;
                int error = atomic_load(&volume->making_error);
                volume_fence(volume, error ? error : -ETIMEDOUT, "it has no next segment");
        }
        return 0;
}

/* Opens the current segment on every volume that is written; those that fail are fenced. */
static int
segment_open_all(struct vault *vault)
{
        struct io *io = vault->io;
        uint32_t current = atomic_load_explicit(&vault->current, memory_order_relaxed);
        int error = segment_await(vault, current);
        if (error)
                return error;
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                struct io_stat st;
                if (!is_written(volume))
                        continue;
                int fd = atomic_load(&volume->made) > current
                             ? segment_open(volume, current, IO_DURABLE)
                             : -ENOENT;
                error = fd < 0 ? fd : io->ops->fstat(io, fd, &st);
                if (!error && st.bytes != segment_bytes(vault, current))
                        error = -EBADMSG;
                if (!error) {
                        volume->segment_fd = fd;
                        atomic_store(&volume->segment_seen, st.inode);
                        continue;
                }
                if (fd >= 0)
                        io->ops->close(io, fd);
                volume_fence(volume, error, "its segment cannot be opened");
        }
        vault->segment_open = true;
        return vault->fenced ? members_flush(vault) : 0;
}

static void
segment_close_all(struct vault *vault)
{
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                atomic_store(&volume->segment_seen, 0);
                if (volume->segment_fd < 0 || volume->outstanding > 0)
                        continue;
                vault->io->ops->close(vault->io, volume->segment_fd);
                volume->segment_fd = -1;
        }
        vault->segment_open = false;
}

/* Makes vault->offset_bytes in the current segment a place for bytes. -ENOSPC when it must wait. */
static int
place_find(struct vault *vault, uint32_t bytes)
{
        uint32_t current = atomic_load_explicit(&vault->current, memory_order_relaxed);
        if (vault->offset_bytes + bytes <= segment_bytes(vault, current))
                return vault->segment_open ? 0 : segment_open_all(vault);
        int error = segment_await(vault, current + 1);
        if (error)
                return error;
        assert(vault->flying == NULL);
        segment_close_all(vault);
        atomic_store_explicit(&vault->current, current + 1, memory_order_relaxed);
        vault->offset_bytes = BLOCK_BYTES;
        helpers_wake(vault);
        return segment_open_all(vault);
}

/* ---- submit ---- */

/* Lays the fragments out: payload cut into k, parity, digests, headers. */
static void
fragments_make(struct vault *vault, struct group *group, uint8_t *at[VAULT_VOLUMES_MAX])
{
        struct group_header *header = &group->header;
        uint32_t table_bytes = group->records * GROUP_ENTRY_BYTES;
        uint32_t piece_bytes = group->disk_bytes - GROUP_HEADER_BYTES;
        uint8_t *pieces[VAULT_VOLUMES_MAX];
        group_table_shift(group->table, group->records, table_bytes);
        for (unsigned i = 0; i < vault->n; i++)
                pieces[i] = at[i] + GROUP_HEADER_BYTES;
        for (uint32_t d = 0, from = 0; d < vault->layout.data; d++, from += piece_bytes) {
                uint32_t end = from + piece_bytes, here = 0;
                if (from < table_bytes) {
                        here = (end < table_bytes ? end : table_bytes) - from;
                        memcpy(pieces[d], group->table + from, here);
                }
                if (end > table_bytes && from < header->payload_bytes) {
                        uint32_t skip = from + here - table_bytes;
                        uint32_t n = piece_bytes - here, left = group->sealed_bytes - skip;
                        n = n < left ? n : left;
                        memcpy(pieces[d] + here, group->sealed + skip, n);
                        here += n;
                }
                memset(pieces[d] + here, 0, piece_bytes - here);
        }
        parity_encode(&vault->parity, piece_bytes, pieces);
        memset(header->fragments, 0, sizeof(header->fragments));
        for (unsigned i = 0; i < vault->n; i++)
                digester_sha256(&vault->digester, header->fragments[i], pieces[i], piece_bytes);
        for (unsigned i = 0; i < vault->n; i++) {
                memcpy(header->id.volume, vault->volumes[i].id.volume, ID_BYTES);
                header->layout.slot = (uint8_t)i;
                group_header_write(at[i], header, &vault->digester);
        }
}

/* A buffer of the volume that no late write holds. */
static unsigned
buffer_take(const struct volume *volume)
{
        unsigned b = 0;
        while (volume->buffers[b].flying)
                b++;
        assert(b < FRAGMENT_BUFFERS);
        return b;
}

/* Hands the writes to the kernel: one call, a request a volume, header and bytes together. */
static int
fragments_write(struct vault *vault, struct group *group, const unsigned *buffers)
{
        struct io_request requests[VAULT_VOLUMES_MAX];
        unsigned n = 0;
        int inject = atomic_load_explicit(&vault->inject, memory_order_relaxed);
        uint32_t bytes = group->disk_bytes;
        if (inject < 0 && (uint32_t)-inject < bytes)
                bytes = (uint32_t)-inject;
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                if (!is_written(volume))
                        continue;
                assert(volume->outstanding == 0 && volume->segment_fd >= 0);
                volume->flying_buffer = (int)buffers[i];
                volume->buffers[buffers[i]].flying = true;
                volume->outstanding = 1;
                requests[n++] = (struct io_request){
                    .fd = volume->segment_fd,
                    .write = true,
                    .buffer = volume->buffers[buffers[i]].at,
                    .bytes = bytes,
                    .offset_bytes = vault->offset_bytes,
                    .tag = write_tag(volume, false, buffers[i]),
                    .registered = vault->registered ? (int)(i * FRAGMENT_BUFFERS + buffers[i]) : -1,
                };
        }
        group->state = GROUP_FLYING;
        vault->filling = NULL;
        vault->flying = group;
        vault->flying_since_us = vault->io->ops->now_us(vault->io);
        int handed = vault->io->ops->queue_submit(vault->queue, requests, n);
        if (handed == (int)n)
                return 0;
        /* What was not handed over never will be; what was is waited for at the end. The vault
         * writes no more. */
        for (unsigned i = handed > 0 ? (unsigned)handed : 0; i < n; i++) {
                struct volume *volume = &vault->volumes[requests[i].tag >> 8 & 0xff];
                volume->buffers[requests[i].tag & 0xff].flying = false;
                volume->outstanding = 0;
        }
        for (unsigned i = 0; i < vault->n; i++)
                vault->volumes[i].flying_buffer = -1;
        vault->flying = NULL;
        return vault_fail(vault, handed < 0 ? handed : -EIO);
}

int
vault_submit(
    struct vault *vault, struct group *group, uint64_t tree_size, const uint8_t root[HASH_BYTES])
{
        assert(vault->state == VAULT_WRITING);
        assert(group == vault->filling && group->records > 0);
        int error = vault_tend(vault);
        if (error)
                return error;
        if (vault->flying != NULL)
                return -EBUSY;
        assert(tree_size == vault->next_leaf);
        error = group_index_reserve(&vault->index);
        if (error)
                return vault_fail(vault, error);
        struct group_header *header = &group->header;
        header->payload_bytes = group->records * GROUP_ENTRY_BYTES + group->sealed_bytes;
        group->disk_bytes = group_disk_bytes(header->payload_bytes, vault->layout.data);
        error = place_find(vault, group->disk_bytes);
        if (error)
                return error == -ENOSPC && !atomic_load(&vault->failed) ? error
                                                                        : vault_fail(vault, error);
        header->layout = vault->layout;
        memcpy(header->id.vault, vault->members.vault, ID_BYTES);
        header->number = vault->next_group;
        header->epoch = vault->members.epoch;
        header->tree_size = tree_size;
        header->records = group->records;
        memcpy(header->root, root, HASH_BYTES);
        memcpy(header->previous, vault->last_group, HASH_BYTES);
        unsigned buffers[VAULT_VOLUMES_MAX];
        uint8_t *at[VAULT_VOLUMES_MAX];
        for (unsigned i = 0; i < vault->n; i++) {
                buffers[i] = buffer_take(&vault->volumes[i]);
                at[i] = vault->volumes[i].buffers[buffers[i]].at;
        }
        fragments_make(vault, group, at);
        group->place = (struct group_place){
            .first_leaf = tree_size,
            .segment = atomic_load_explicit(&vault->current, memory_order_relaxed),
            .offset_bytes = (uint32_t)vault->offset_bytes,
        };
        return fragments_write(vault, group, buffers);
}

/* ---- poll ---- */

static void
flush_count(struct vault *vault, const struct group *group)
{
        uint64_t us = vault->io->ops->now_us(vault->io) - vault->flying_since_us;
        uint64_t bytes = (uint64_t)group->disk_bytes * members_count(vault->members.set);
        atomic_fetch_add_explicit(&vault->bytes_written, bytes, memory_order_relaxed);
        atomic_store_explicit(&vault->flush_us_last, us, memory_order_relaxed);
        if (us > atomic_load_explicit(&vault->flush_us_max, memory_order_relaxed))
                atomic_store_explicit(&vault->flush_us_max, us, memory_order_relaxed);
}

static bool
fragments_wait(const struct vault *vault)
{
        for (unsigned i = 0; i < vault->n; i++)
                if (vault->volumes[i].flying_buffer >= 0)
                        return true;
        return false;
}

/* Waits for the fragments: 1 when all have answered or were fenced, 0 or -errno. */
static int
fragments_land(struct vault *vault, uint32_t wait_us)
{
        struct io *io = vault->io;
        uint64_t begin = io->ops->now_us(io), now = begin;
        uint64_t late = vault->flying_since_us + vault->fence_us;
        while (fragments_wait(vault)) {
                uint64_t left = begin + wait_us > now ? begin + wait_us - now : 0;
                if (now < late && left > late - now)
                        left = late - now;
                int error = completions_take(vault, now < late ? (uint32_t)left : 0);
                if (error)
                        return error;
                now = io->ops->now_us(io);
                if (!fragments_wait(vault))
                        break;
                if (now >= late) {
                        for (unsigned i = 0; i < vault->n; i++)
                                if (vault->volumes[i].flying_buffer >= 0)
                                        volume_fence(
                                            &vault->volumes[i], -ETIMEDOUT, "a write was late");
                        break;
                }
                if (now >= begin + wait_us)
                        return 0;
        }
        return 1;
}

int
vault_poll(struct vault *vault, struct group **done, uint32_t wait_us)
{
        *done = NULL;
        struct group *group = vault->flying;
        if (group == NULL)
                return vault_tend(vault);
        int failed = atomic_load_explicit(&vault->failed, memory_order_relaxed);
        if (failed)
                return failed;
        int ready = fragments_land(vault, wait_us);
        if (ready < 0)
                return vault_fail(vault, ready);
        if (ready == 0)
                return 0;
        /* Who is left has the group. Those that are not must be known to all who are, first. */
        if (members_suspects(vault)) {
                int error = members_flush(vault);
                if (error) {
                        vault->flying = NULL;
                        return error;
                }
        }
        flush_count(vault, group);
        vault->flying = NULL;
        group->state = GROUP_DURABLE;
        vault->offset_bytes += group->disk_bytes;
        vault->next_group++;
        vault->next_leaf += group->records;
        memcpy(vault->last_group, group->header.digest, HASH_BYTES);
        *done = group;
        return 1;
}

void
vault_release(struct vault *vault, struct group *group)
{
        assert(group->state == GROUP_DURABLE);
        group_index_add(&vault->index, &group->place, group->records);
        group->state = GROUP_FREE;
}
