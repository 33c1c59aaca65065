/* SPDX-License-Identifier: Apache-2.0 */
/* From recovered to writing. Nothing is served before each of these is flushed, in this order:
 *
 *   1. a new membership epoch, of the members that are there and whole, on every one of them: from
 *      now on no start takes the word of a volume that is left behind, nor takes a fragment of the
 *      tail that is cut for one of the groups to come, which carry this epoch;
 *   2. the fragments of the last group that members lack: it is on all of them, as what recovery
 *      rests on says (members.h);
 *   3. zeros over what is cut.
 *
 * A crash after any write of these is followed by a recovery that finds the same groups: 1 changes
 * no group; 2 adds fragments of a group that had k anyway; 3 takes some of a group that had fewer
 * than k on the members, and a start decides by those alone. */
#include "ledger/vault_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE_BYTES (2u << 20)

/* ---- memory ---- */

/* Huge pages where there are some: fewer to pin, and outside of RLIMIT_MEMLOCK. */
static int
buffers_map(struct vault *vault)
{
        size_t bytes = (size_t)vault->n * FRAGMENT_BUFFERS * vault->fragment_max;
        bytes = (bytes + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
        int protection = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
        void *at = mmap(NULL, bytes, protection, flags | MAP_HUGETLB, -1, 0);
        if (at == MAP_FAILED)
                at = mmap(NULL, bytes, protection, flags, -1, 0);
        if (at == MAP_FAILED)
                return -errno;
        vault->buffers = at;
        vault->buffers_bytes = bytes;
        return 0;
}

int
groups_make(struct vault *vault)
{
        int error = buffers_map(vault);
        if (error)
                return error;
        struct iovec registered[VAULT_VOLUMES_MAX * FRAGMENT_BUFFERS];
        unsigned n = 0;
        for (unsigned i = 0; i < vault->n; i++)
                for (unsigned b = 0; b < FRAGMENT_BUFFERS; b++, n++) {
                        uint8_t *at = vault->buffers + (size_t)n * vault->fragment_max;
                        vault->volumes[i].buffers[b].at = at;
                        registered[n] = (struct iovec){at, vault->fragment_max};
                }
        for (unsigned i = 0; i < GROUPS_BUFFERED; i++) {
                struct group *group = &vault->groups[i];
                group->table = malloc(GROUP_TABLE_MAX);
                group->sealed = malloc(GROUP_BYTES_MAX);
                group->entries = malloc(GROUP_RECORDS_MAX * LEAF_ENTRY_BYTES);
                if (group->table == NULL || group->sealed == NULL || group->entries == NULL)
                        return -ENOMEM;
        }
        /* Without it (RLIMIT_MEMLOCK) the kernel pins the pages once a write: slower, not wrong. */
        vault->registered = vault->io->ops->queue_register(vault->queue, registered, n) == 0;
        return 0;
}

void
groups_free(struct vault *vault)
{
        if (vault->buffers != NULL)
                munmap(vault->buffers, vault->buffers_bytes);
        for (unsigned i = 0; i < GROUPS_BUFFERED; i++) {
                free(vault->groups[i].table);
                free(vault->groups[i].sealed);
                free(vault->groups[i].entries);
        }
}

/* ---- the three steps ---- */

/* Of a new vault: who it is. */
static void
members_name(struct vault *vault)
{
        struct members *members = &vault->members;
        members->data = vault->layout.data;
        members->parity = vault->layout.parity;
        members->set = 0;
        for (unsigned i = 0; i < vault->n; i++) {
                const struct volume *volume = &vault->volumes[i];
                if (volume_state(volume) != VOLUME_MEMBER)
                        continue;
                memcpy(members->vault, volume->id.vault, ID_BYTES);
                memcpy(members->volumes[i], volume->id.volume, ID_BYTES);
                members->set |= 1u << i;
        }
        atomic_store(&vault->set, members->set);
}

static int
fragments_mend(struct vault *vault)
{
        struct gather gather;
        bool any = false;
        for (unsigned i = 0; i < vault->n; i++)
                any = any || (volume_state(&vault->volumes[i]) == VOLUME_MEMBER &&
                                 vault->volumes[i].lacks_last);
        if (!any)
                return 0;
        int error = gather_open(&gather, vault);
        if (error)
                return error;
        error = gather_read(&gather, vault_readable(vault), vault->last_place.segment,
            vault->last_place.offset_bytes, vault->next_group - 1, NULL, false);
        for (unsigned i = 0; i < vault->n && !error; i++) {
                struct volume *volume = &vault->volumes[i];
                if (volume_state(volume) != VOLUME_MEMBER || !volume->lacks_last)
                        continue;
                const uint8_t *fragment = gather_fragment(&gather, i);
                int fd = segment_open(volume, vault->last_place.segment, IO_DURABLE);
                int failed = fd < 0 ? fd
                                    : file_write_full(vault->io, fd, fragment, gather.disk_bytes,
                                          vault->last_place.offset_bytes);
                if (fd >= 0)
                        vault->io->ops->close(vault->io, fd);
                if (failed)
                        volume_fence(volume, failed, "its last fragment cannot be written");
                volume->lacks_last = false;
        }
        gather_close(&gather);
        if (!error && vault->fenced)
                error = members_flush(vault);
        return error;
}

/* Zeros over what a torn write left on a volume. */
static int
volume_cut(struct volume *volume)
{
        struct vault *vault = volume->vault;
        uint32_t segments = 0;
        int error = 0;
        if (volume->cut_more)
                error = segments_count(volume, &segments);
        for (uint32_t i = vault->cut_segment; !error; i++) {
                uint64_t from = 0, to = 0;
                if (i - vault->cut_segment < 2) {
                        from = volume->cut_from_bytes[i - vault->cut_segment];
                        to = volume->cut_to_bytes[i - vault->cut_segment];
                } else if (i >= segments) {
                        break;
                } else {
                        from = BLOCK_BYTES;
                        to = segment_bytes(vault, i);
                }
                if (from >= to)
                        continue;
                int fd = segment_open(volume, i, IO_DURABLE);
                error = fd < 0 ? fd : file_write_zeros(vault->io, fd, from, to - from);
                if (fd >= 0)
                        vault->io->ops->close(vault->io, fd);
        }
        return error;
}

static int
tail_cut(struct vault *vault)
{
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                if (volume_state(volume) != VOLUME_MEMBER)
                        continue;
                int error = volume_cut(volume);
                if (error)
                        volume_fence(volume, error, "its torn end cannot be zeroed");
        }
        return vault->fenced ? members_flush(vault) : 0;
}

static int
leftovers_clean(struct vault *vault)
{
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                if (volume_state(volume) != VOLUME_MEMBER)
                        continue;
                int error = segments_clean(volume);
                if (error)
                        volume_fence(volume, error, "it cannot be written");
        }
        return vault->fenced ? members_flush(vault) : 0;
}

int
vault_begin(struct vault *vault, char *why)
{
        assert(vault->state == VAULT_RECOVERED);
        why[0] = '\0';
        members_name(vault);
        unsigned members = members_count(vault->members.set);
        if (members < vault->floor) {
                char list[VAULT_WHY_BYTES - 128];
                vault_list(vault, ~vault->members.set, list, sizeof(list));
                vault_why(why, "%u volumes can be written, the floor is %u: bring back %s", members,
                    vault->floor, list);
                return -EIO;
        }
        int error = members_flush(vault);
        if (!error)
                error = fragments_mend(vault);
        if (!error)
                error = tail_cut(vault);
        if (!error)
                error = leftovers_clean(vault);
        if (!error)
                error = groups_make(vault);
        if (!error)
                error = helpers_start(vault);
        if (error) {
                char list[VAULT_WHY_BYTES - 128];
                vault_list(vault, ~vault->members.set, list, sizeof(list));
                vault_why(why, "writing cannot begin: %s. %s", strerror(-error), list);
                return error;
        }
        vault->state = VAULT_WRITING;
        return 0;
}
