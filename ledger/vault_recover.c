/* SPDX-License-Identifier: Apache-2.0 */
/* Recovery: walks the group stream from its start, believes nothing, changes nothing.
 *
 * What is read: of each segment all bytes of k volumes, by large direct reads of all k at once, the
 * next ones while these are looked at. That is as much as the records take, whatever m is. The
 * other m volumes need no look as long as those k agree: k fragments of one group leave none for
 * another, and what the others lack of a group that was acknowledged is not the recovery's but the
 * scrub's to find. Where the k do not agree, all volumes are asked for that group; so they are for
 * the last group and all that lies behind it (vault_tail.c), where a crash leaves its traces. */
#include "ledger/vault_internal.h"

#include "ledger/head.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES  (2u << 20) /* a read */
#define READ_WAIT_US 1000000u

struct window {
        uint64_t offset_bytes;
        uint32_t bytes; /* 0: there is none */
        unsigned waits; /* reads not answered */
        bool bad[VAULT_VOLUMES_MAX];
        uint8_t *buffers[VAULT_VOLUMES_MAX]; /* fragment_max to carry + PIECE_BYTES */
};

struct walk {
        struct vault *vault;
        struct engine *engine;
        vault_record_fn *record;
        void *user;
        char *why;
        void (*progress)(void *user, uint64_t done, uint64_t all);
        uint64_t before_bytes, all_bytes, told_bytes;
        uint8_t *entries, *hashes; /* of one group */
        struct gather gather;
        struct head heads[VAULT_VOLUMES_MAX];
        unsigned heads_n;

        uint32_t segments;
        unsigned primaries[VAULT_VOLUMES_MAX]; /* k of them */
        int fds[VAULT_VOLUMES_MAX];
        unsigned faults[VAULT_VOLUMES_MAX];
        struct window windows[2];
        uint64_t first_bytes; /* of the first group of the segment */
        uint64_t read_bytes;

        struct tail tail;
};

void
volume_damage(struct volume *volume, const char *format, ...)
{
        va_list args;
        if (volume->damage[0] != '\0')
                return;
        va_start(args, format);
        vsnprintf(volume->damage, VOLUME_WHY_BYTES, format, args);
        va_end(args);
}

/* ---- the volumes' segments ---- */

/* The length that most volumes, members first, give a segment; 0: none has it. */
static uint32_t
length_choose(struct vault *vault, const uint32_t *blocks)
{
        uint32_t best = 0;
        unsigned best_n = 0;
        for (unsigned i = 0; i < vault->n; i++) {
                unsigned votes = 0;
                for (unsigned j = 0; j < vault->n; j++)
                        if (blocks[j] == blocks[i])
                                votes += volume_state(&vault->volumes[j]) == VOLUME_MEMBER
                                             ? VAULT_VOLUMES_MAX
                                             : 1;
                if (blocks[i] != 0 && votes > best_n) {
                        best = blocks[i];
                        best_n = votes;
                }
        }
        return best;
}

/* Opens a segment and checks its first block: its length in blocks, or 0 with the damage told. */
static uint32_t
segment_measure(struct volume *volume, uint32_t index, uint8_t *block)
{
        struct io *io = volume->vault->io;
        struct io_stat st;
        const char *what = "it cannot be read";
        int fd = segment_open(volume, index, IO_READ | IO_DIRECT);
        if (fd == -ENOENT) {
                volume_damage(volume, "segment %08u is missing before others", index);
                return 0;
        }
        int error = fd < 0 ? fd : io->ops->fstat(io, fd, &st);
        if (!error && (st.bytes < segment_bytes_min(volume->layout.data) ||
                          st.bytes > SEGMENT_BYTES_MAX || st.bytes % BLOCK_BYTES != 0)) {
                error = -EBADMSG;
                what = "its length makes no sense";
        }
        if (!error && file_read_full(io, fd, block, BLOCK_BYTES, 0) != BLOCK_BYTES)
                error = -EIO;
        else if (!error)
                error = segment_block_check(block, &volume->id, index, st.bytes, &what);
        if (fd >= 0)
                io->ops->close(io, fd);
        if (!error)
                return (uint32_t)(st.bytes / BLOCK_BYTES);
        volume_damage(volume, "segment %08u: %s", index, what);
        return 0;
}

static int
segments_measure(struct walk *walk)
{
        struct vault *vault = walk->vault;
        uint8_t *block = blocks_alloc(BLOCK_BYTES);
        if (block == NULL)
                return -ENOMEM;
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                if (volume_state(volume) == VOLUME_MISSING)
                        continue;
                int error = segments_count(volume, &volume->segments);
                if (error)
                        volume_damage(volume, "its segments: %s", strerror(-error));
                if (volume->segments > walk->segments)
                        walk->segments = volume->segments;
        }
        vault->lengths = calloc(walk->segments + 1, sizeof(*vault->lengths));
        if (vault->lengths == NULL) {
                free(block);
                return -ENOMEM;
        }
        vault->lengths_n = walk->segments;
        for (uint32_t s = 0; s < walk->segments; s++) {
                uint32_t blocks[VAULT_VOLUMES_MAX] = {0};
                for (unsigned i = 0; i < vault->n; i++)
                        if (s < vault->volumes[i].segments)
                                blocks[i] = segment_measure(&vault->volumes[i], s, block);
                vault->lengths[s] = length_choose(vault, blocks);
                for (unsigned i = 0; i < vault->n; i++)
                        if (blocks[i] != 0 && blocks[i] != vault->lengths[s])
                                volume_damage(&vault->volumes[i],
                                    "segment %08u: its length is not that of the others", s);
                walk->all_bytes += segment_bytes(vault, s);
        }
        free(block);
        return 0;
}

/* What each volume remembers of the signed trees. One that cannot tell tells nothing. */
static void
heads_read(struct walk *walk)
{
        struct vault *vault = walk->vault;
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                if (volume_state(volume) == VOLUME_MISSING)
                        continue;
                int error =
                    head_read_io(vault->io, volume_path(volume), &walk->heads[walk->heads_n]);
                if (error == 0)
                        walk->heads_n++;
                else if (error != -ENOENT)
                        volume_damage(volume, "its file 'head' cannot be read");
        }
}

/* ---- groups ---- */

const char *
chain_objection(const struct vault *vault, const struct group_header *header)
{
        uint8_t root[HASH_BYTES];
        if (header->number != vault->next_group)
                return "a group with another number stands here";
        if (memcmp(header->previous, vault->last_group, HASH_BYTES))
                return "it does not follow the group before it";
        if (header->tree_size != vault->next_leaf)
                return "its tree size does not fit";
        tree_root(&vault->tree, root);
        if (memcmp(header->root, root, HASH_BYTES))
                return "its tree root does not fit";
        return NULL;
}

static int
head_check(struct walk *walk)
{
        uint8_t root[HASH_BYTES];
        for (unsigned i = 0; i < walk->heads_n; i++) {
                if (walk->heads[i].size != walk->vault->tree.size)
                        continue;
                tree_root(&walk->vault->tree, root);
                if (memcmp(root, walk->heads[i].root, HASH_BYTES) == 0)
                        continue;
                vault_why(walk->why,
                    "the records make another tree of %llu leaves than the one that was signed: "
                    "the ledger would fork. Nothing was changed; restore the volumes that belong "
                    "together",
                    (unsigned long long)walk->heads[i].size);
                return -EBADMSG;
        }
        return 0;
}

/* Appends to the tree, and holds it against what was signed. */
static int
leaves_append(struct walk *walk, uint32_t n)
{
        struct tree *tree = &walk->vault->tree;
        for (uint32_t at = 0; at < n;) {
                uint32_t step = n - at;
                for (unsigned i = 0; i < walk->heads_n; i++) {
                        uint64_t size = walk->heads[i].size;
                        if (size > tree->size && size - tree->size < step)
                                step = (uint32_t)(size - tree->size);
                }
                tree_append(tree, walk->engine, walk->hashes + (size_t)at * HASH_BYTES, step);
                at += step;
                int error = head_check(walk);
                if (error)
                        return error;
        }
        return 0;
}

/* A whole group in its place: into the tree and the index, and to the caller. */
static int
group_take(struct walk *walk, uint32_t segment, uint64_t offset_bytes, const uint8_t *payload,
    const struct group_header *header)
{
        struct vault *vault = walk->vault;
        struct vault_record record;
        int error = group_index_reserve(&vault->index);
        if (error) {
                vault_why(walk->why, "too little memory for the index");
                return error;
        }
        for (uint32_t i = 0; i < header->records; i++) {
                group_record(payload, header, i, &record);
                group_leaf_entry(
                    walk->entries + i * LEAF_ENTRY_BYTES, record.sealed, record.digest);
        }
        tree_leaf_hashes(walk->engine, walk->hashes, walk->entries, header->records);
        error = leaves_append(walk, header->records);
        if (error)
                return error;
        struct group_place place = {header->tree_size, segment, (uint32_t)offset_bytes};
        group_index_add(&vault->index, &place, header->records);
        vault->last_place = place;
        vault->next_group++;
        vault->next_leaf += header->records;
        assert(vault->tree.size == vault->next_leaf);
        memcpy(vault->last_group, header->digest, HASH_BYTES);
        for (uint32_t i = 0; walk->record != NULL && i < header->records; i++) {
                group_record(payload, header, i, &record);
                error = walk->record(walk->user, &record);
                if (error < 0)
                        return error;
        }
        return 0;
}

/* Volumes whose fragments of the next group count: behind the newest membership's first group, its
 * members alone. */
static uint32_t
next_set(const struct vault *vault)
{
        uint32_t set = 0;
        if (vault->cut_tail || vault->next_group < atomic_load(&vault->first_group))
                return vault_readable(vault);
        for (unsigned i = 0; i < vault->n; i++)
                if (volume_state(&vault->volumes[i]) == VOLUME_MEMBER)
                        set |= 1u << i;
        return set;
}

/* The next group, from whichever volumes have it: 1 taken, *bytes long; 0 there is none; -errno. */
static int
group_search(struct walk *walk, uint32_t segment, uint64_t offset_bytes, uint64_t *bytes)
{
        struct vault *vault = walk->vault;
        struct gather *gather = &walk->gather;
        *bytes = 0;
        if (offset_bytes + BLOCK_BYTES > segment_bytes(vault, segment) ||
            gather_read(gather, next_set(vault), segment, offset_bytes, vault->next_group,
                chain_objection, false))
                return 0;
        walk->read_bytes += (uint64_t)gather->good_n * gather->disk_bytes;
        for (unsigned i = 0; i < vault->n; i++)
                walk->faults[i] +=
                    gather->verdicts[i] != FRAGMENT_GOOD && gather->verdicts[i] != FRAGMENT_UNREAD;
        *bytes = gather->disk_bytes;
        int error = group_take(walk, segment, offset_bytes, gather->payload, &gather->header);
        return error ? error : 1;
}

/* ---- reading ahead ---- */

/* The k volumes to read a segment from: those that have it, with the fewest faults; data before
 * parity. */
static void
primaries_choose(struct walk *walk, uint32_t segment)
{
        struct vault *vault = walk->vault;
        bool taken[VAULT_VOLUMES_MAX] = {false};
        for (unsigned j = 0; j < vault->layout.data; j++) {
                int best = -1;
                for (unsigned i = 0; i < vault->n; i++) {
                        const struct volume *volume = &vault->volumes[i];
                        if (taken[i] || volume_state(volume) == VOLUME_MISSING ||
                            segment >= volume->segments)
                                continue;
                        if (best < 0 || walk->faults[i] < walk->faults[best])
                                best = (int)i;
                }
                walk->fds[j] = -1;
                walk->primaries[j] = best < 0 ? 0 : (unsigned)best;
                if (best < 0)
                        continue;
                taken[best] = true;
                walk->fds[j] = segment_open(&vault->volumes[best], segment, IO_READ | IO_DIRECT);
        }
}

static int
window_request(struct walk *walk, unsigned w, uint32_t segment, uint64_t offset_bytes)
{
        struct vault *vault = walk->vault;
        struct window *window = &walk->windows[w];
        struct io_request requests[VAULT_VOLUMES_MAX];
        uint64_t left = segment_bytes(vault, segment) - offset_bytes;
        unsigned n = 0;
        window->offset_bytes = offset_bytes;
        window->bytes = left < PIECE_BYTES ? (uint32_t)left : PIECE_BYTES;
        window->waits = 0;
        if (left == 0)
                return 0;
        for (unsigned j = 0; j < vault->layout.data; j++) {
                window->bad[j] = walk->fds[j] < 0;
                if (window->bad[j])
                        continue;
                requests[n++] = (struct io_request){
                    .fd = walk->fds[j],
                    .buffer = window->buffers[j] + vault->fragment_max,
                    .bytes = window->bytes,
                    .offset_bytes = offset_bytes,
                    .tag = w << 8 | j,
                    .registered = -1,
                };
        }
        if (n == 0)
                return 0;
        int handed = vault->io->ops->queue_submit(vault->queue, requests, n);
        if (handed < 0)
                return handed;
        window->waits = (unsigned)handed;
        return handed == (int)n ? 0 : -EIO;
}

static int
window_wait(struct walk *walk, unsigned w)
{
        struct vault *vault = walk->vault;
        while (walk->windows[w].waits > 0) {
                struct io_done done[IO_BATCH_MAX];
                int n = vault->io->ops->queue_poll(vault->queue, done, IO_BATCH_MAX, READ_WAIT_US);
                if (n < 0)
                        return n;
                for (int i = 0; i < n; i++) {
                        struct window *of = &walk->windows[done[i].tag >> 8];
                        assert(of->waits > 0);
                        of->waits--;
                        if (done[i].result < 0 || (uint32_t)done[i].result != of->bytes)
                                of->bad[done[i].tag & 0xff] = true;
                        else
                                walk->read_bytes += of->bytes;
                }
        }
        return 0;
}

static int
windows_open(struct walk *walk)
{
        struct vault *vault = walk->vault;
        for (unsigned w = 0; w < 2; w++)
                for (unsigned j = 0; j < vault->layout.data; j++) {
                        uint8_t **buffer = &walk->windows[w].buffers[j];
                        *buffer = aligned_alloc(BLOCK_BYTES, vault->fragment_max + PIECE_BYTES);
                        if (*buffer == NULL)
                                return -ENOMEM;
                }
        return 0;
}

static void
windows_close(struct walk *walk)
{
        for (unsigned w = 0; w < 2; w++)
                for (unsigned j = 0; j < walk->vault->layout.data; j++)
                        free(walk->windows[w].buffers[j]);
}

/* ---- the walk ---- */

/* The next group, from the k primaries' memory: 1 taken; 0 with *bytes > available: read on; 0 with
 * *bytes 0: they do not have it. */
static int
group_try(struct walk *walk, const struct window *window, uint32_t segment, uint64_t offset_bytes,
    uint64_t available, uint64_t *bytes)
{
        struct vault *vault = walk->vault;
        struct group_header first, header;
        const uint8_t *at[VAULT_VOLUMES_MAX];
        const char *what;
        unsigned k = vault->layout.data;
        *bytes = 0;
        for (unsigned j = 0; j < k; j++) {
                struct volume *volume = &vault->volumes[walk->primaries[j]];
                if (window->bad[j])
                        return 0;
                at[j] =
                    window->buffers[j] + vault->fragment_max + offset_bytes - window->offset_bytes;
                if (group_header_read(&header, at[j], &volume->id, &volume->layout,
                        &vault->digester, &what) != HEADER_OURS)
                        return 0;
                if (j == 0)
                        first = header;
                if (memcmp(header.digest, first.digest, HASH_BYTES) ||
                    (vault->next_group >= atomic_load(&vault->first_group) &&
                        !(next_set(vault) >> walk->primaries[j] & 1)))
                        return 0;
        }
        uint32_t disk_bytes = group_disk_bytes(first.payload_bytes, k);
        uint32_t piece_bytes = disk_bytes - GROUP_HEADER_BYTES;
        if (chain_objection(vault, &first) != NULL ||
            offset_bytes + disk_bytes > segment_bytes(vault, segment))
                return 0;
        if (available < disk_bytes) {
                *bytes = disk_bytes;
                return 0;
        }
        uint8_t *payload = walk->gather.payload;
        uint8_t *pieces[VAULT_VOLUMES_MAX];
        bool good[VAULT_VOLUMES_MAX] = {false}, wanted[VAULT_VOLUMES_MAX] = {false};
        for (unsigned i = 0; i < vault->n; i++)
                pieces[i] = walk->gather.fragments[i] + GROUP_HEADER_BYTES;
        for (unsigned j = 0; j < k; j++) {
                unsigned slot = walk->primaries[j];
                header = first;
                header.layout.slot = (uint8_t)slot;
                if (!group_fragment_check(at[j], &header, &vault->digester))
                        return 0;
                good[slot] = true;
                pieces[slot] = (uint8_t *)(uintptr_t)at[j] + GROUP_HEADER_BYTES;
        }
        for (unsigned i = 0; i < k; i++)
                wanted[i] = !good[i];
        int error = parity_rebuild(&vault->parity, piece_bytes, pieces, good, wanted);
        assert(!error);
        for (unsigned i = 0; i < k; i++)
                memcpy(payload + (size_t)i * piece_bytes, pieces[i], piece_bytes);
        if (group_payload_check(payload, &first, &what))
                return 0;
        error = group_take(walk, segment, offset_bytes, payload, &first);
        if (error)
                return error;
        *bytes = disk_bytes;
        return 1;
}

static void
tell_progress(struct walk *walk, uint64_t done)
{
        if (walk->progress == NULL || done <= walk->told_bytes)
                return;
        walk->told_bytes = done;
        walk->progress(walk->user, done, walk->all_bytes);
}

/* What of a window is in memory, as far as it goes: 0 when more must be read or *ended. */
static int
window_walk(
    struct walk *walk, const struct window *window, uint32_t segment, uint64_t *at, bool *ended)
{
        uint64_t end = window->offset_bytes + window->bytes;
        if (*at == 0)
                *at = BLOCK_BYTES;
        while (*at < end) {
                uint64_t bytes;
                int taken = group_try(walk, window, segment, *at, end - *at, &bytes);
                if (taken == 0 && bytes > 0)
                        return 0;
                if (taken == 0)
                        taken = group_search(walk, segment, *at, &bytes);
                if (taken < 0)
                        return taken;
                if (taken == 0) {
                        *ended = true;
                        return 0;
                }
                if (*at == BLOCK_BYTES)
                        walk->first_bytes = bytes;
                *at += bytes;
        }
        return 0;
}

/* Groups of a segment, from its start: *at is where they end. */
static int
segment_walk(struct walk *walk, uint32_t segment, uint64_t *at)
{
        struct vault *vault = walk->vault;
        bool ended = false;
        *at = 0;
        primaries_choose(walk, segment);
        int error = window_request(walk, 0, segment, 0);
        for (unsigned w = 0; !error && !ended && walk->windows[w].bytes > 0; w ^= 1) {
                struct window *window = &walk->windows[w], *next = &walk->windows[w ^ 1];
                uint64_t end = window->offset_bytes + window->bytes;
                error = window_wait(walk, w);
                if (!error)
                        error = window_request(walk, w ^ 1, segment, end);
                if (!error)
                        error = window_walk(walk, window, segment, at, &ended);
                if (error || ended)
                        break;
                uint64_t carry = end > *at ? end - *at : 0;
                assert(carry <= vault->fragment_max);
                for (unsigned j = 0; j < vault->layout.data; j++) {
                        memcpy(next->buffers[j] + vault->fragment_max - carry,
                            window->buffers[j] + vault->fragment_max + window->bytes - carry,
                            carry);
                        next->bad[j] = next->bad[j] || (carry > 0 && window->bad[j]);
                }
                tell_progress(walk, walk->before_bytes + end);
        }
        for (unsigned w = 0; w < 2; w++) {
                int waited = window_wait(walk, w);
                error = error ? error : waited;
                walk->windows[w].bytes = 0;
        }
        for (unsigned j = 0; j < vault->layout.data; j++)
                if (walk->fds[j] >= 0)
                        vault->io->ops->close(vault->io, walk->fds[j]);
        if (*at < BLOCK_BYTES)
                *at = BLOCK_BYTES;
        walk->before_bytes += segment_bytes(vault, segment);
        return error;
}

/* The whole stream: a group that does not follow in its segment may be the next one's first, when
 * it did not fit. */
static int
stream_walk(struct walk *walk)
{
        struct vault *vault = walk->vault;
        struct tail *tail = &walk->tail;
        tail->offset_bytes = BLOCK_BYTES;
        tail->segments = walk->segments;
        for (uint32_t s = 0; s < walk->segments; s++) {
                uint64_t at, groups = vault->next_group;
                int error = segment_walk(walk, s, &at);
                if (error)
                        return error;
                if (s > 0 && vault->next_group == groups)
                        return 0; /* it ended before */
                if (s > 0) {
                        if (tail->offset_bytes + walk->first_bytes <= segment_bytes(vault, s - 1)) {
                                vault_why(walk->why,
                                    "group %llu in segment %08u at offset %u: a group stands here "
                                    "that had room in segment %08u at offset %llu. Nothing was "
                                    "changed; restore the volumes from a copy",
                                    (unsigned long long)groups, s, BLOCK_BYTES, s - 1,
                                    (unsigned long long)tail->offset_bytes);
                                return -EBADMSG;
                        }
                }
                tail->segment = s;
                tail->offset_bytes = at;
        }
        return 0;
}

static int
floor_check(struct walk *walk, uint64_t floor_leaves)
{
        const struct vault *vault = walk->vault;
        for (unsigned i = 0; i < walk->heads_n; i++)
                if (walk->heads[i].size > floor_leaves)
                        floor_leaves = walk->heads[i].size;
        if (vault->next_leaf >= floor_leaves)
                return 0;
        vault_why(walk->why,
            "there are %llu records in %llu groups, but %llu were signed or acknowledged: group "
            "%llu, segment %08u, offset %llu, is lost. Nothing was changed; restore the volumes "
            "from a copy",
            (unsigned long long)vault->next_leaf, (unsigned long long)vault->next_group,
            (unsigned long long)floor_leaves, (unsigned long long)vault->next_group,
            walk->tail.segment, (unsigned long long)walk->tail.offset_bytes);
        return -EBADMSG;
}

/* Takes over what the walk found. */
static void
walk_finish(struct walk *walk, struct vault_tip *tip)
{
        struct vault *vault = walk->vault;
        const struct tail *tail = &walk->tail;
        atomic_store(&vault->current, tail->segment);
        for (unsigned i = 0; i < vault->n; i++)
                atomic_store(&vault->volumes[i].made, vault->volumes[i].segments);
        vault->offset_bytes = tail->offset_bytes;
        vault->cut_segment = tail->segment;
        *tip = (struct vault_tip){
            .groups = vault->next_group,
            .leaves = vault->next_leaf,
            .cut_bytes = tail->cut_bytes,
            .bytes_read = walk->read_bytes + tail->read_bytes,
            .mended = tail->mended,
        };
        tree_root(&vault->tree, tip->root);
        memcpy(tip->last_group, vault->last_group, HASH_BYTES);
        tell_progress(walk, walk->all_bytes);
}

static int
walk_open(struct walk *walk)
{
        walk->entries = malloc(GROUP_RECORDS_MAX * LEAF_ENTRY_BYTES);
        walk->hashes = malloc(GROUP_RECORDS_MAX * HASH_BYTES);
        int error = walk->entries == NULL || walk->hashes == NULL ? -ENOMEM : 0;
        if (!error)
                error = gather_open(&walk->gather, walk->vault);
        if (!error)
                error = windows_open(walk);
        if (!error)
                error = segments_measure(walk);
        if (error)
                vault_why(walk->why, "too little memory to read the volumes");
        else
                heads_read(walk);
        return error;
}

int
vault_recover(struct vault *vault, uint64_t floor_leaves, vault_record_fn *record, void *user,
    void (*progress)(void *user, uint64_t done, uint64_t all), struct vault_tip *tip, char *why)
{
        assert(vault->state == VAULT_OPENED);
        vault->state = VAULT_DAMAGED;
        why[0] = '\0';
        struct walk *walk = calloc(1, sizeof(*walk));
        if (walk == NULL)
                return -ENOMEM;
        walk->vault = vault;
        walk->record = record;
        walk->user = user;
        walk->why = why;
        walk->progress = progress;
        tree_init(&vault->tree);
        int error = engine_create(&walk->engine, ENGINE_AUTO);
        if (error)
                vault_why(why, "the crypto engine does not start: %s", strerror(-error));
        if (!error)
                error = walk_open(walk);
        if (!error)
                error = stream_walk(walk);
        if (!error)
                error = tail_judge(vault, &walk->gather, &walk->tail, why);
        if (!error)
                error = floor_check(walk, floor_leaves);
        if (!error) {
                walk_finish(walk, tip);
                vault->state = VAULT_RECOVERED;
        }
        if (error && why[0] == '\0')
                vault_why(
                    why, "a record was refused, or the disks cannot be read: %s", strerror(-error));
        windows_close(walk);
        gather_close(&walk->gather);
        free(walk->hashes);
        free(walk->entries);
        if (walk->engine != NULL)
                engine_destroy(walk->engine);
        free(walk);
        return error;
}
