/* SPDX-License-Identifier: Apache-2.0 */
/* Where the chain ends: what may be cut there, and what must not.
 *
 * Let k+m be the volumes, M the members of the newest membership that any volume holds, g the group
 * after the last one that k fragments could be found of.
 *
 * What is known (members.h): every acknowledged group is on all of M. One group is in flight at a
 * time, so that g, if it was ever begun, is the last, unless a fragment of a later one is found.
 *
 * The rule. g is cut when
 *   (a) at least k members are there and whole (each other one is a fault, as is each volume
 * outside M: so there are no more than m), and (b) no member holds a fragment of a group after g,
 * and (c) what is left covers every size that a volume's head, or the caller, remembers as signed
 * or acknowledged (vault_recover()). Otherwise recovery stops and names what is missing.
 *
 * Why no acknowledged group is cut. Suppose that g had been acknowledged. Then all members had g.
 * Fewer than k of them show a good fragment of it now; so those that do not, the missing ones among
 * them, and the volumes outside M are together more than m volumes that lost something: more faults
 * than any vault of k+m promises to bear. As long as no more than m volumes fail, then, "fewer than
 * k" means "never acknowledged". With fewer than k members there, (a) fails: the missing ones could
 * hold g together with those that show it, and nobody can tell; only the operator's word (cut_tail)
 * goes on from there. (b) and (c) see faults beyond the budget where they can be seen: g+1 was
 * submitted only after g was acknowledged, and a size was signed only after its groups were.
 *
 * A fragment of an older epoch than the newest whose number is above that membership's first group
 * proves nothing: it was cut by the start that began this epoch, and that start did not live to
 * write its zeros. It is cut again.
 *
 * A torn write leaves bytes at one place only: behind the last group, or, when the group did not
 * fit there, at the start of the next segment, and no more than a group's. A member with other
 * bytes behind the end, or with a whole header there that does not follow, or without the last two
 * groups, is a fault: it stays out of the next membership, to be rebuilt. */
#include "ledger/vault_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCAN_BYTES   (1u << 20)
#define SCAN_WAIT_US 1000000u

struct scan {
        struct vault *vault;
        struct tail *tail;
        struct digester digester;
        uint32_t set; /* volumes that are looked at */
        uint8_t *buffers[VAULT_VOLUMES_MAX];
        int fds[VAULT_VOLUMES_MAX];
        int32_t got[VAULT_VOLUMES_MAX];
        unsigned waits;
        uint64_t limit_bytes[VAULT_VOLUMES_MAX][2]; /* where a torn write ends at the latest */
};

/* ---- one block ---- */

/* The next group may stand here: 0 behind the last one, 1 at the next segment's start; -1. */
static int
place_of(const struct tail *tail, uint32_t segment, uint64_t offset_bytes)
{
        if (segment == tail->segment && offset_bytes == tail->offset_bytes)
                return 0;
        return segment == tail->segment + 1 && offset_bytes == BLOCK_BYTES ? 1 : -1;
}

/* A whole header behind the end. */
static void
header_seen(struct scan *scan, struct volume *volume, uint32_t segment, uint64_t offset_bytes,
    const struct group_header *header)
{
        struct vault *vault = scan->vault;
        struct tail *tail = scan->tail;
        int place = place_of(tail, segment, offset_bytes);
        unsigned slot = volume->layout.slot;
        if (header->number > vault->next_group) {
                if (header->epoch < vault->members.epoch &&
                    header->number > vault->members.first_group) {
                        volume->cut_more = true;
                        return;
                }
                if (tail->later == NULL) {
                        tail->later = place >= 0 ? "a group with another number stands here"
                                                 : "a later group stands here";
                        tail->later_slot = slot;
                        tail->later_segment = segment;
                        tail->later_offset_bytes = offset_bytes;
                }
                return;
        }
        const char *what =
            place < 0 ? "a group stands where none was written" : chain_objection(vault, header);
        if (what != NULL)
                volume_damage(volume, "segment %08u, offset %llu: %s", segment,
                    (unsigned long long)offset_bytes, what);
        else
                scan->limit_bytes[slot][place] =
                    offset_bytes + group_disk_bytes(header->payload_bytes, vault->layout.data);
}

static void
block_seen(struct scan *scan, struct volume *volume, uint32_t segment, uint64_t offset_bytes,
    const uint8_t *block)
{
        struct tail *tail = scan->tail;
        struct group_header header;
        const char *what;
        unsigned slot = volume->layout.slot, at = segment - tail->segment;
        if (bytes_are_zero(block, BLOCK_BYTES))
                return;
        enum header_verdict verdict =
            group_header_read(&header, block, &volume->id, &volume->layout, &scan->digester, &what);
        if (verdict == HEADER_OURS)
                header_seen(scan, volume, segment, offset_bytes, &header);
        else if (verdict == HEADER_FOREIGN && place_of(tail, segment, offset_bytes) >= 0)
                volume_damage(volume, "segment %08u, offset %llu: %s", segment,
                    (unsigned long long)offset_bytes, what);
        if (volume->cut_more && at > 1)
                return;
        if (at > 1 || offset_bytes >= scan->limit_bytes[slot][at]) {
                if (!volume->cut_more && tail->later == NULL)
                        volume_damage(volume,
                            "segment %08u, offset %llu: data stand here, behind what one torn "
                            "write leaves",
                            segment, (unsigned long long)offset_bytes);
                if (at > 1)
                        return;
        }
        if (volume->cut_from_bytes[at] == volume->cut_to_bytes[at])
                volume->cut_from_bytes[at] = at == 0 ? tail->offset_bytes : BLOCK_BYTES;
        volume->cut_to_bytes[at] = offset_bytes + BLOCK_BYTES;
}

/* ---- reading: the same stretch of all volumes at once ---- */

static int
stretch_read(struct scan *scan, uint64_t offset_bytes, uint32_t bytes)
{
        struct vault *vault = scan->vault;
        struct io_request requests[VAULT_VOLUMES_MAX];
        unsigned n = 0;
        for (unsigned i = 0; i < vault->n; i++) {
                scan->got[i] = -ENOENT;
                if (scan->fds[i] < 0)
                        continue;
                requests[n++] = (struct io_request){
                    .fd = scan->fds[i],
                    .buffer = scan->buffers[i],
                    .bytes = bytes,
                    .offset_bytes = offset_bytes,
                    .tag = i,
                    .registered = -1,
                };
        }
        if (n == 0)
                return 0;
        int handed = vault->io->ops->queue_submit(vault->queue, requests, n);
        scan->waits = handed > 0 ? (unsigned)handed : 0;
        while (scan->waits > 0) {
                struct io_done done[IO_BATCH_MAX];
                int got =
                    vault->io->ops->queue_poll(vault->queue, done, IO_BATCH_MAX, SCAN_WAIT_US);
                if (got < 0)
                        return got;
                for (int i = 0; i < got; i++, scan->waits--)
                        scan->got[done[i].tag] = done[i].result;
        }
        return handed == (int)n ? 0 : handed < 0 ? handed : -EIO;
}

static int
segment_scan(struct scan *scan, uint32_t segment, uint64_t from_bytes)
{
        struct vault *vault = scan->vault;
        uint64_t end = segment_bytes(vault, segment);
        int error = 0;
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                scan->fds[i] = (scan->set >> i & 1) && segment < volume->segments
                                   ? segment_open(volume, segment, IO_READ | IO_DIRECT)
                                   : -1;
        }
        for (uint64_t at = from_bytes; at < end && !error; at += SCAN_BYTES) {
                uint32_t bytes = end - at < SCAN_BYTES ? (uint32_t)(end - at) : SCAN_BYTES;
                error = stretch_read(scan, at, bytes);
                for (unsigned i = 0; i < vault->n && !error; i++) {
                        struct volume *volume = &vault->volumes[i];
                        if (scan->fds[i] < 0)
                                continue;
                        if (scan->got[i] != (int32_t)bytes) {
                                volume_damage(volume, "segment %08u cannot be read at offset %llu",
                                    segment, (unsigned long long)at);
                                continue;
                        }
                        scan->tail->read_bytes += bytes;
                        for (uint32_t b = 0; b < bytes; b += BLOCK_BYTES)
                                block_seen(scan, volume, segment, at + b, scan->buffers[i] + b);
                }
        }
        for (unsigned i = 0; i < vault->n; i++)
                if (scan->fds[i] >= 0)
                        vault->io->ops->close(vault->io, scan->fds[i]);
        return error;
}

/* Bytes that no single write could have left where they are. */
static void
places_check(struct scan *scan)
{
        struct vault *vault = scan->vault;
        const struct tail *tail = scan->tail;
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                bool first = volume->cut_from_bytes[0] < volume->cut_to_bytes[0];
                bool second = volume->cut_from_bytes[1] < volume->cut_to_bytes[1];
                uint64_t room = segment_bytes(vault, tail->segment) - tail->offset_bytes;
                if (!second || volume->cut_more || tail->later != NULL)
                        continue;
                if (first || room >= vault->fragment_max)
                        volume_damage(volume,
                            "segment %08u: data stand here, where no torn write leaves any",
                            tail->segment + 1);
        }
}

static int
tail_scan(struct scan *scan)
{
        struct vault *vault = scan->vault;
        struct tail *tail = scan->tail;
        int error = digester_open(&scan->digester);
        for (unsigned i = 0; i < vault->n && !error; i++) {
                scan->limit_bytes[i][0] = tail->offset_bytes + vault->fragment_max;
                scan->limit_bytes[i][1] = BLOCK_BYTES + vault->fragment_max;
                if (!(scan->set >> i & 1))
                        continue;
                scan->buffers[i] = aligned_alloc(BLOCK_BYTES, SCAN_BYTES);
                if (scan->buffers[i] == NULL)
                        error = -ENOMEM;
        }
        for (uint32_t s = tail->segment; s < tail->segments && !error; s++)
                error =
                    segment_scan(scan, s, s == tail->segment ? tail->offset_bytes : BLOCK_BYTES);
        if (!error)
                places_check(scan);
        for (unsigned i = 0; i < vault->n; i++)
                free(scan->buffers[i]);
        digester_close(&scan->digester);
        return error;
}

/* ---- the last group ---- */

/* Which members lack it, to be written before serving, and which lack more than that. */
static int
last_check(struct vault *vault, struct gather *gather, uint32_t set)
{
        if (vault->next_group == 0)
                return 0;
        uint64_t last = vault->next_group - 1;
        bool any = false;
        for (unsigned back = 0; back < 2 && back <= last; back++) {
                const struct group_place *place = group_index_at(&vault->index, last - back);
                int error = gather_read(gather, vault_readable(vault), place->segment,
                    place->offset_bytes, last - back, NULL, true);
                if (error)
                        return error;
                for (unsigned i = 0; i < vault->n; i++) {
                        struct volume *volume = &vault->volumes[i];
                        if (!(set >> i & 1) || gather->good[i])
                                continue;
                        if (place->segment >= volume->segments)
                                volume_damage(volume, "segment %08u is missing", place->segment);
                        if (back == 1 && volume->lacks_last)
                                volume_damage(volume, "it does not hold the last groups");
                        if (back == 0)
                                any = volume->lacks_last = true;
                }
                if (!any)
                        return 0;
        }
        return 0;
}

/* ---- the verdict ---- */

static uint32_t
members_whole(struct vault *vault, uint32_t set)
{
        uint32_t whole = 0;
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                if ((set >> i & 1) && volume->damage[0] == '\0')
                        whole |= 1u << i;
        }
        return whole;
}

/* Volumes that are no members after this say why. */
static void
members_take(struct vault *vault, uint32_t whole)
{
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                if (volume_state(volume) == VOLUME_MISSING)
                        continue;
                if (volume->damage[0] != '\0')
                        memcpy(volume->why, volume->damage, sizeof(volume->why));
                else if (whole >> i & 1)
                        volume->why[0] = '\0';
                atomic_store(&volume->state, whole >> i & 1 ? VOLUME_MEMBER : VOLUME_STALE);
        }
}

static int
stop(struct vault *vault, const struct tail *tail, uint32_t whole, char *why)
{
        char list[VAULT_WHY_BYTES / 2];
        unsigned members = members_count(whole);
        members_take(vault, whole);
        vault_list(vault, ((1u << vault->n) - 1) & ~whole, list, sizeof(list));
        if (tail->later != NULL)
                vault_why(why,
                    "group %llu in segment %08u at offset %llu cannot be read; yet on volume %u in "
                    "segment %08u at offset %llu: %s. Nothing was changed; restore the volumes "
                    "from a copy. %s",
                    (unsigned long long)vault->next_group, tail->segment,
                    (unsigned long long)tail->offset_bytes, tail->later_slot, tail->later_segment,
                    (unsigned long long)tail->later_offset_bytes, tail->later, list);
        else
                vault_why(why,
                    "group %llu in segment %08u at offset %llu: it may have been acknowledged: %u "
                    "members are whole, %u are needed. Nothing was changed; bring back or restore "
                    "%s",
                    (unsigned long long)vault->next_group, tail->segment,
                    (unsigned long long)tail->offset_bytes, members, vault->layout.data, list);
        return -EBADMSG;
}

int
tail_judge(struct vault *vault, struct gather *gather, struct tail *tail, char *why)
{
        uint32_t members = 0;
        for (unsigned i = 0; i < vault->n; i++)
                if (volume_state(&vault->volumes[i]) == VOLUME_MEMBER)
                        members |= 1u << i;
        uint32_t set = vault->cut_tail ? vault_readable(vault) : members;
        struct scan scan = {.vault = vault, .tail = tail, .set = set};
        int error = tail_scan(&scan);
        if (!error)
                error = last_check(vault, gather, set);
        if (error) {
                vault_why(why, "the volumes' ends cannot be read: %s", strerror(-error));
                return error;
        }
        uint32_t whole = members_whole(vault, members);
        bool enough = members_count(whole) >= vault->layout.data;
        if (!enough && vault->cut_tail) {
                /* The operator's word: what can be read is all there is. */
                for (unsigned i = 0; i < vault->n; i++)
                        vault->volumes[i].cut_more = true;
                whole = members_whole(vault, set);
                tail->later = NULL;
                enough = members_count(whole) >= vault->layout.data;
        }
        if (!enough || tail->later != NULL)
                return stop(vault, tail, whole, why);
        members_take(vault, whole);
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                if (!(whole >> i & 1))
                        continue;
                tail->mended += volume->lacks_last;
                for (unsigned at = 0; at < 2; at++)
                        tail->cut_bytes += volume->cut_to_bytes[at] - volume->cut_from_bytes[at];
        }
        return 0;
}
