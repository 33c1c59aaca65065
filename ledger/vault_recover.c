/* SPDX-License-Identifier: Apache-2.0 */
/* Recovery: walks the group stream from its start, believes nothing, changes nothing.
 *
 * One group is in flight at a time, and the next is submitted only when it is durable. So the
 * stream that a crash leaves is: whole groups in an unbroken chain, then at one place at most a
 * torn write, then zeros. The place is the one behind the last group or, when the write did not fit
 * there, the start of the next segment. Everything else is damage, and the walk stops:
 *
 *   - a header with a good CRC anywhere but at that place: something was written after it, so what
 * is not readable before it had been durable;
 *   - a header with a good CRC at that place whose chain, tree size, root, version or volume does
 * not fit: a torn write does not make one;
 *   - bytes that are not zero where no single write could have left them;
 *   - fewer leaves than were signed or acknowledged. */
#include "ledger/vault_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES (4u << 20) /* a read */
/* Before each piece: what the last piece held of a group that goes on in this one. */
#define CARRY_BYTES GROUP_BYTES_MAX

struct place {
        uint32_t segment;
        uint64_t offset_bytes;
};

struct piece {
        struct place at;
        uint32_t bytes; /* 0: there is none */
        int fd;
        uint8_t *buffer; /* CARRY_BYTES + PIECE_BYTES */
};

struct walk {
        struct vault *vault;
        struct engine *engine;
        vault_record_fn *record;
        void *user;
        char *why;
        uint8_t *entries, *hashes; /* of one group */

        /* Reading. */
        uint32_t segments;
        uint64_t *segment_bytes;
        struct place cursor; /* the next piece to ask for */
        struct piece pieces[2];
        uint64_t read_bytes;

        /* Where the chain has ended, so far: no group at that place. */
        bool ended;
        struct place end;
        const char *end_what;
        /* What was found behind. */
        bool torn;
        struct place torn_at;
        uint64_t torn_end_bytes, torn_limit_bytes;
};

/* ---- reading ahead: one piece is looked at while the next is read ---- */

static int
pieces_open(struct walk *walk)
{
        walk->segment_bytes = calloc(walk->segments + 1, sizeof(*walk->segment_bytes));
        walk->entries = malloc(GROUP_RECORDS_MAX * LEAF_ENTRY_BYTES);
        walk->hashes = malloc(GROUP_RECORDS_MAX * HASH_BYTES);
        if (walk->segment_bytes == NULL || walk->entries == NULL || walk->hashes == NULL)
                return -ENOMEM;
        for (unsigned i = 0; i < 2; i++) {
                walk->pieces[i].fd = -1;
                walk->pieces[i].buffer = aligned_alloc(BLOCK_BYTES, CARRY_BYTES + PIECE_BYTES);
                if (walk->pieces[i].buffer == NULL)
                        return -ENOMEM;
        }
        return 0;
}

static void
pieces_close(struct walk *walk)
{
        struct io_uring_cqe *cqe;
        for (unsigned i = 0; i < 2; i++) {
                struct piece *piece = &walk->pieces[i];
                if (piece->buffer != NULL && piece->bytes > 0 && piece->fd >= 0) {
                        /* Asked for and not waited for: the kernel still writes into the buffer. */
                        if (io_uring_wait_cqe(&walk->vault->ring, &cqe) == 0)
                                io_uring_cqe_seen(&walk->vault->ring, cqe);
                        close(piece->fd);
                }
                free(piece->buffer);
        }
        free(walk->hashes);
        free(walk->entries);
        free(walk->segment_bytes);
}

static int
read_failed(struct walk *walk, const struct place *at, int error)
{
        vault_why(walk->why,
            "%s: segment %08u cannot be read at offset %llu: %s. Nothing was changed",
            walk->vault->path, at->segment, (unsigned long long)at->offset_bytes, strerror(-error));
        return error;
}

/* Asks for the piece at the cursor, and moves it. */
static int
piece_request(struct walk *walk, struct piece *piece)
{
        piece->bytes = 0;
        if (walk->cursor.segment == walk->segments)
                return 0;
        piece->at = walk->cursor;
        uint64_t left = walk->segment_bytes[piece->at.segment] - piece->at.offset_bytes;
        uint32_t bytes = left < PIECE_BYTES ? (uint32_t)left : PIECE_BYTES;
        int fd = segment_open(
            &walk->vault->segments, piece->at.segment, O_RDONLY | O_DIRECT | O_CLOEXEC);
        if (fd < 0)
                return read_failed(walk, &piece->at, fd);
        struct io_uring_sqe *sqe = io_uring_get_sqe(&walk->vault->ring);
        assert(sqe != NULL);
        io_uring_prep_read(sqe, fd, piece->buffer + CARRY_BYTES, bytes, piece->at.offset_bytes);
        int submitted;
        do
                submitted = io_uring_submit(&walk->vault->ring);
        while (submitted == -EINTR);
        if (submitted != 1) {
                close(fd);
                return read_failed(walk, &piece->at, submitted < 0 ? submitted : -EIO);
        }
        piece->fd = fd;
        piece->bytes = bytes;
        walk->cursor.offset_bytes += bytes;
        if (bytes == left)
                walk->cursor = (struct place){piece->at.segment + 1, 0};
        return 0;
}

/* Waits for the piece that was asked for last. */
static int
piece_wait(struct walk *walk, struct piece *piece)
{
        struct io_uring_cqe *cqe;
        int error;
        do
                error = io_uring_wait_cqe(&walk->vault->ring, &cqe);
        while (error == -EINTR);
        int64_t got = error ? error : cqe->res;
        if (!error)
                io_uring_cqe_seen(&walk->vault->ring, cqe);
        if (got >= 0 && got < (int64_t)piece->bytes)
                got = file_read_full(
                    piece->fd, piece->buffer + CARRY_BYTES, piece->bytes, piece->at.offset_bytes);
        close(piece->fd);
        piece->fd = -1;
        if (got == (int64_t)piece->bytes)
                return 0;
        return read_failed(walk, &piece->at, got < 0 ? (int)got : -EIO);
}

/* ---- the verdict ---- */

/* The volume is damaged: the chain ends at walk->end for a reason, and `what` at `at` shows that it
 * went on. */
static int
damaged(struct walk *walk, const struct place *at, const char *what)
{
        const struct place *end = walk->ended ? &walk->end : at;
        if (end->segment == at->segment && end->offset_bytes == at->offset_bytes)
                vault_why(walk->why,
                    "%s: group %llu in segment %08u at offset %llu: %s. Nothing was changed; "
                    "restore the "
                    "volume from a copy",
                    walk->vault->path, (unsigned long long)walk->vault->next_group, at->segment,
                    (unsigned long long)at->offset_bytes, what);
        else
                vault_why(walk->why,
                    "%s: group %llu in segment %08u at offset %llu: %s; yet in segment %08u at "
                    "offset "
                    "%llu: %s. Nothing was changed; restore the volume from a copy",
                    walk->vault->path, (unsigned long long)walk->vault->next_group, end->segment,
                    (unsigned long long)end->offset_bytes, walk->end_what, at->segment,
                    (unsigned long long)at->offset_bytes, what);
        return -EBADMSG;
}

static void
chain_end(struct walk *walk, const struct place *at, const char *what)
{
        if (walk->ended)
                return;
        walk->ended = true;
        walk->end = *at;
        walk->end_what = what;
}

/* Bytes between the chain's end and the end of its segment: a group that fits there is written
 * there. */
static uint64_t
end_room(const struct walk *walk)
{
        return walk->segment_bytes[walk->end.segment] - walk->end.offset_bytes;
}

/* A place where the next group may stand: right behind the last one, or where the next segment
 * begins. */
static bool
place_is_next(const struct walk *walk, const struct place *at)
{
        if (!walk->ended)
                return true;
        if (at->segment == walk->end.segment)
                return at->offset_bytes == walk->end.offset_bytes;
        return at->segment == walk->end.segment + 1 && at->offset_bytes == BLOCK_BYTES;
}

/* ---- groups ---- */

static const char *
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

/* A whole group in its place: into the tree and the index, and to the caller. */
static int
group_take(struct walk *walk, const struct place *at, const uint8_t *fragment,
    const struct group_header *header)
{
        struct vault *vault = walk->vault;
        struct vault_record record;
        int error = group_index_reserve(&vault->index);
        if (error) {
                vault_why(walk->why, "%s: too little memory for the index", vault->path);
                return error;
        }
        for (uint32_t i = 0; i < header->records; i++) {
                group_record(fragment, header, i, &record);
                group_leaf_entry(
                    walk->entries + i * LEAF_ENTRY_BYTES, record.sealed, record.digest);
        }
        tree_leaf_hashes(walk->engine, walk->hashes, walk->entries, header->records);
        tree_append(&vault->tree, walk->engine, walk->hashes, header->records);
        struct group_place place = {header->tree_size, at->segment, (uint32_t)at->offset_bytes};
        group_index_add(&vault->index, &place, header->records);
        vault->next_group++;
        vault->next_leaf += header->records;
        assert(vault->tree.size == vault->next_leaf);
        memcpy(vault->last_group, header->digest, HASH_BYTES);
        for (uint32_t i = 0; walk->record != NULL && i < header->records; i++) {
                group_record(fragment, header, i, &record);
                error = walk->record(walk->user, &record);
                if (error < 0)
                        return error;
        }
        return 0;
}

/* Looks for the next group at a place where it may stand; available bytes of the segment are in
 * memory. 1: taken, *bytes long. 0 and *bytes > available: read on. 0 and *bytes == 0: there is
 * none; *limit is where a torn one ends at the latest. -errno: stop. */
static int
group_try(struct walk *walk, const struct place *at, const uint8_t *fragment, uint64_t available,
    uint64_t *bytes, uint64_t *limit)
{
        struct vault *vault = walk->vault;
        struct group_header header;
        const char *what = NULL;
        *bytes = 0;
        *limit = at->offset_bytes + GROUP_BYTES_MAX;
        enum header_verdict verdict =
            group_header_read(&header, fragment, &vault->id, &vault->digester, &what);
        if (verdict == HEADER_FOREIGN)
                return damaged(walk, at, what);
        if (verdict == HEADER_NONE) {
                chain_end(walk, at, what);
                return 0;
        }
        uint64_t group_bytes = group_disk_bytes(header.payload_bytes);
        what = chain_objection(vault, &header);
        if (what == NULL && at->offset_bytes + group_bytes > walk->segment_bytes[at->segment])
                what = "it is longer than its segment";
        if (what == NULL && walk->torn)
                what = "a whole group stands here";
        if (what == NULL && walk->ended && end_room(walk) >= group_bytes)
                what = "a group stands here that had room there";
        if (what != NULL)
                return damaged(walk, at, what);
        if (available < group_bytes) {
                *bytes = group_bytes;
                return 0;
        }
        if (group_payload_check(fragment, &header, &vault->digester, &what)) {
                chain_end(walk, at, what);
                *limit = at->offset_bytes + group_bytes;
                return 0;
        }
        *bytes = group_bytes;
        walk->ended = false;
        int error = group_take(walk, at, fragment, &header);
        return error ? error : 1;
}

/* A block behind the chain's end: zero, or a part of the one torn write. */
static int
block_after_end(struct walk *walk, const struct place *at, const uint8_t *block, bool next_place)
{
        struct group_header header;
        const char *what;
        if (bytes_are_zero(block, BLOCK_BYTES))
                return 0;
        if (!next_place && group_header_read(&header, block, &walk->vault->id,
                               &walk->vault->digester, &what) != HEADER_NONE)
                return damaged(walk, at, "a later group stands here");
        if (!walk->torn) {
                bool second = at->segment == walk->end.segment + 1;
                if (at->segment != walk->end.segment &&
                    (!second || end_room(walk) >= GROUP_BYTES_MAX))
                        return damaged(walk, at, "data stand here");
                walk->torn = true;
                walk->torn_at = second ? (struct place){at->segment, BLOCK_BYTES} : walk->end;
        }
        if (at->segment != walk->torn_at.segment || at->offset_bytes >= walk->torn_limit_bytes)
                return damaged(walk, at, "data stand here, behind what one torn write leaves");
        walk->torn_end_bytes = at->offset_bytes + BLOCK_BYTES;
        return 0;
}

/* Walks a segment's bytes in memory, from *at on. Stops early, before a group that is not all
 * there. */
static int
walk_bytes(struct walk *walk, struct place *at, const uint8_t *bytes, uint64_t available)
{
        while (available > 0) {
                assert(available >= BLOCK_BYTES);
                bool next_place = place_is_next(walk, at);
                uint64_t group_bytes = 0, limit_bytes = 0;
                int taken = 0;
                if (next_place) {
                        taken = group_try(walk, at, bytes, available, &group_bytes, &limit_bytes);
                        if (taken < 0)
                                return taken;
                        if (taken == 0 && group_bytes > available)
                                return 0;
                        if (!walk->torn)
                                walk->torn_limit_bytes = limit_bytes;
                }
                uint64_t step = BLOCK_BYTES;
                if (taken)
                        step = group_bytes;
                else {
                        int error = block_after_end(walk, at, bytes, next_place);
                        if (error)
                                return error;
                }
                bytes += step;
                available -= step;
                at->offset_bytes += step;
        }
        return 0;
}

/* ---- the whole stream ---- */

static int
segment_lengths(struct walk *walk, uint64_t *all_bytes)
{
        *all_bytes = 0;
        for (uint32_t i = 0; i < walk->segments; i++) {
                struct place at = {i, 0};
                struct stat st;
                int fd = segment_open(&walk->vault->segments, i, O_RDONLY | O_CLOEXEC);
                int error = fd < 0 ? fd : fstat(fd, &st) ? -errno : 0;
                if (fd >= 0)
                        close(fd);
                if (error)
                        return read_failed(walk, &at, error);
                if (st.st_size < SEGMENT_BYTES_MIN || st.st_size > SEGMENT_BYTES_MAX ||
                    st.st_size % BLOCK_BYTES != 0)
                        return damaged(walk, &at, "the segment's length makes no sense");
                walk->segment_bytes[i] = (uint64_t)st.st_size;
                *all_bytes += (uint64_t)st.st_size;
        }
        return 0;
}

/* One piece and what was carried over before it. *carry_bytes: what must be looked at again with
 * the next. */
static int
piece_walk(struct walk *walk, const struct piece *piece, uint64_t *carry_bytes)
{
        struct place at = {piece->at.segment, piece->at.offset_bytes - *carry_bytes};
        const uint8_t *bytes = piece->buffer + CARRY_BYTES - *carry_bytes;
        uint64_t available = *carry_bytes + piece->bytes;
        uint64_t segment_bytes = walk->segment_bytes[at.segment];
        if (at.offset_bytes == 0) {
                const char *what;
                if (segment_block_check(
                        bytes, &walk->vault->id, at.segment, segment_bytes, &what)) {
                        chain_end(walk, &at, what);
                        return damaged(walk, &at, what);
                }
                at.offset_bytes = BLOCK_BYTES;
                bytes += BLOCK_BYTES;
                available -= BLOCK_BYTES;
        }
        uint64_t begin_bytes = at.offset_bytes;
        int error = walk_bytes(walk, &at, bytes, available);
        if (error)
                return error;
        *carry_bytes = available - (at.offset_bytes - begin_bytes);
        assert(*carry_bytes < CARRY_BYTES);
        if (piece->at.offset_bytes + piece->bytes == segment_bytes) {
                assert(*carry_bytes == 0);
                /* The next group, if there is one, is where the next segment begins. */
                chain_end(walk, &at, "the segment ends");
        }
        return 0;
}

static int
stream_walk(struct walk *walk, void (*progress)(void *user, uint64_t done, uint64_t all))
{
        uint64_t all_bytes, carry_bytes = 0;
        int error = segment_lengths(walk, &all_bytes);
        if (!error)
                error = piece_request(walk, &walk->pieces[0]);
        for (unsigned b = 0; !error && walk->pieces[b].bytes > 0; b ^= 1) {
                struct piece *piece = &walk->pieces[b], *next = &walk->pieces[b ^ 1];
                error = piece_wait(walk, piece);
                if (!error)
                        error = piece_request(walk, next);
                if (!error)
                        error = piece_walk(walk, piece, &carry_bytes);
                if (error)
                        break;
                memcpy(next->buffer + CARRY_BYTES - carry_bytes,
                    piece->buffer + CARRY_BYTES + piece->bytes - carry_bytes, carry_bytes);
                walk->read_bytes += piece->bytes;
                if (progress != NULL)
                        progress(walk->user, walk->read_bytes, all_bytes);
        }
        return error;
}

/* Takes over what the walk found. */
static void
walk_finish(struct walk *walk, struct vault_tip *tip)
{
        struct vault *vault = walk->vault;
        struct place next = {0, BLOCK_BYTES};
        if (walk->ended)
                next = walk->end;
        atomic_store(&vault->segments.current, next.segment);
        atomic_store(&vault->segments.made, walk->segments);
        vault->offset_bytes = next.offset_bytes;
        if (walk->torn) {
                vault->cut_segment = walk->torn_at.segment;
                vault->cut_offset_bytes = walk->torn_at.offset_bytes;
                vault->cut_bytes = walk->torn_end_bytes - walk->torn_at.offset_bytes;
        }
        *tip = (struct vault_tip){
            .groups = vault->next_group,
            .leaves = vault->next_leaf,
            .cut_bytes = vault->cut_bytes,
            .bytes_read = walk->read_bytes,
        };
        tree_root(&vault->tree, tip->root);
        memcpy(tip->last_group, vault->last_group, HASH_BYTES);
}

static int
floor_check(struct walk *walk, uint64_t floor_leaves)
{
        const struct vault *vault = walk->vault;
        if (vault->next_leaf >= floor_leaves)
                return 0;
        vault_why(walk->why,
            "%s: holds %llu records in %llu groups, but %llu were signed or acknowledged: group "
            "%llu, "
            "segment %08u, offset %llu, is lost (%s). Nothing was changed; restore the volume from "
            "a copy",
            vault->path, (unsigned long long)vault->next_leaf,
            (unsigned long long)vault->next_group, (unsigned long long)floor_leaves,
            (unsigned long long)vault->next_group, walk->ended ? walk->end.segment : 0,
            (unsigned long long)(walk->ended ? walk->end.offset_bytes : BLOCK_BYTES),
            walk->ended ? walk->end_what : "there are no segments");
        return -EBADMSG;
}

static int
segments_find(struct walk *walk)
{
        struct vault *vault = walk->vault;
        uint32_t missing = 0;
        int error = segments_count(&vault->segments, &walk->segments, &missing);
        if (error == -EBADMSG)
                vault_why(walk->why,
                    "%s: segment %08u is missing before others. Nothing was changed; restore the "
                    "volume from a copy",
                    vault->path, missing);
        else if (error)
                vault_why(walk->why, "%s: %s", vault->segments.path, strerror(-error));
        return error;
}

int
vault_recover(struct vault *vault, uint64_t floor_leaves, vault_record_fn *record, void *user,
    void (*progress)(void *user, uint64_t done, uint64_t all), struct vault_tip *tip, char *why)
{
        assert(vault->state == VAULT_OPENED);
        vault->state = VAULT_DAMAGED;
        why[0] = '\0';
        struct walk walk = {.vault = vault, .record = record, .user = user, .why = why};
        tree_init(&vault->tree);
        int error = segments_find(&walk);
        if (error)
                return error;
        error = engine_create(&walk.engine, ENGINE_AUTO);
        if (error) {
                vault_why(why, "the crypto engine does not start: %s", strerror(-error));
                return error;
        }
        error = pieces_open(&walk);
        if (error)
                vault_why(why, "%s: too little memory to read the volume", vault->path);
        if (!error)
                error = stream_walk(&walk, progress);
        if (!error)
                error = floor_check(&walk, floor_leaves);
        if (!error) {
                walk_finish(&walk, tip);
                vault->state = VAULT_RECOVERED;
        }
        if (error && why[0] == '\0')
                vault_why(why, "%s: a record was refused: %s", vault->path, strerror(-error));
        pieces_close(&walk);
        engine_destroy(walk.engine);
        return error;
}
