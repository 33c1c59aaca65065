/* SPDX-License-Identifier: Apache-2.0 */
/* Audit paths and consistency proofs, from the tiles. */
#include "ledger/log_internal.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So that no proof is longer than PROOF_HASHES_MAX. */
#define LEAVES_MAX ((uint64_t)INT64_MAX)

struct reader {
        const struct log_source *source;
        char *why;
        struct checkpoint published; /* its signature is not checked here */
        /* The last tile of each level; width 0: none. */
        uint64_t tile_n[LOG_LEVELS];
        unsigned tile_width[LOG_LEVELS];
        uint8_t tiles[LOG_LEVELS][LOG_TILE_BYTES];
};

static int
read_tile(struct reader *reader, int level, uint64_t n)
{
        const uint64_t size = reader->published.size;
        const unsigned width =
            n < tiles_index(size, level) ? LOG_TILE_HASHES : tiles_width(size, level);
        char name[LOG_TILE_PATH_BYTES] = "";

        assert(n <= tiles_index(size, level) && width > 0);
        if (reader->tile_width[level] == width && reader->tile_n[level] == n)
                return 0;
        reader->tile_width[level] = 0;
        const int error =
            reader->source->tile(reader->source->user, level, n, width, reader->tiles[level]);
        if (error != 0) {
                (void)log_tile_path(name, sizeof(name), level, n, width % LOG_TILE_HASHES);
                return log_say(reader->why, error,
                    "%.200s/%s is missing or damaged (%s): a restart of the gateway makes it anew",
                    reader->source->name, name, strerror(-error));
        }
        reader->tile_width[level] = width;
        reader->tile_n[level] = n;
        return 0;
}

/* The root of a full subtree of 2^height leaves, the index-th of its height. */
static int
read_node(struct reader *reader, unsigned height, uint64_t index, uint8_t out[HASH_BYTES])
{
        const int level = (int)(height / 8);
        unsigned n = 1u << height % 8;
        const uint64_t first = index << height % 8;
        const unsigned at = (unsigned)(first % LOG_TILE_HASHES);
        uint8_t nodes[LOG_TILE_HASHES / 2][HASH_BYTES];

        const int error = read_tile(reader, level, first / LOG_TILE_HASHES);
        if (error != 0)
                return error;
        assert(at + n <= reader->tile_width[level]);
        memcpy(nodes, reader->tiles[level] + at * HASH_BYTES, n * HASH_BYTES);
        for (; n > 1; n /= 2)
                for (unsigned i = 0; i < n / 2; i++)
                        tree_node(nodes[i], nodes[2 * i], nodes[2 * i + 1]);
        memcpy(out, nodes[0], HASH_BYTES);
        return 0;
}

/* MTH(D[first:end]) where first is a multiple of the power of two at or above end - first: full
 * subtrees from the left, folded from the right (RFC 6962 §2.1). */
static int
read_range(struct reader *reader, uint64_t first, uint64_t end, uint8_t out[HASH_BYTES])
{
        const uint64_t n = end - first;
        bool any = false;

        for (unsigned height = 0; height < 64; height++) {
                uint8_t node[HASH_BYTES];
                if ((n >> height & 1) == 0)
                        continue;
                /* The subtrees right of this one are the low bits of n. */
                const uint64_t start = end - (n & ((UINT64_C(2) << height) - 1));
                const int error = read_node(reader, height, start >> height, node);
                if (error != 0)
                        return error;
                if (any)
                        tree_node(out, node, out);
                else
                        memcpy(out, node, HASH_BYTES);
                any = true;
        }
        assert(any);
        return 0;
}

/* Subtrees as ranges of leaves, from the root down: a proof gives their roots from the leaf up. */
struct ranges {
        uint64_t first[PROOF_HASHES_MAX], end[PROOF_HASHES_MAX];
        unsigned n;
};

static void
add_range(struct ranges *ranges, uint64_t first, uint64_t end)
{
        assert(ranges->n < PROOF_HASHES_MAX && first < end);
        ranges->first[ranges->n] = first;
        ranges->end[ranges->n++] = end;
}

/* The largest power of two smaller than the number of leaves, which is at least 2. */
static uint64_t
split(uint64_t leaves)
{
        return UINT64_C(1) << (63 - __builtin_clzll(leaves - 1));
}

static int
read_ranges(struct reader *reader, const struct ranges *ranges,
    uint8_t hashes[PROOF_HASHES_MAX][HASH_BYTES], unsigned *n)
{
        for (unsigned i = 0; i < ranges->n; i++) {
                const unsigned at = ranges->n - 1 - i;
                const int error = read_range(reader, ranges->first[at], ranges->end[at], hashes[i]);
                if (error != 0)
                        return error;
        }
        *n = ranges->n;
        return 0;
}

/* RFC 6962 §2.1.1 PATH(leaf, D[size]). */
static int
read_path(struct reader *reader, uint64_t leaf, uint64_t size,
    uint8_t proof[PROOF_HASHES_MAX][HASH_BYTES], unsigned *n)
{
        struct ranges ranges = {.n = 0};
        uint64_t first = 0, end = size;

        while (end - first > 1) {
                const uint64_t middle = first + split(end - first);
                if (leaf < middle) {
                        add_range(&ranges, middle, end);
                        end = middle;
                } else {
                        add_range(&ranges, first, middle);
                        first = middle;
                }
        }
        return read_ranges(reader, &ranges, proof, n);
}

/* RFC 6962 §2.1.2 PROOF(old_size, D[new_size]). */
static int
read_consistency(struct reader *reader, uint64_t old_size, uint64_t new_size,
    uint8_t hashes[PROOF_HASHES_MAX][HASH_BYTES], unsigned *n)
{
        struct ranges ranges = {.n = 0};
        uint64_t first = 0, end = new_size;

        *n = 0;
        if (old_size == 0)
                return 0;
        while (end != old_size) {
                const uint64_t middle = first + split(end - first);
                if (old_size <= middle) {
                        add_range(&ranges, middle, end);
                        end = middle;
                } else {
                        add_range(&ranges, first, middle);
                        first = middle;
                }
        }
        if (first > 0) /* else the old tree's root is known to who asks */
                add_range(&ranges, first, end);
        return read_ranges(reader, &ranges, hashes, n);
}

/* The checkpoint tells which tiles there are; whoever checks the proof checks its signature. */
static int
read_published(struct reader *reader)
{
        char text[NOTE_BYTES_MAX];
        const long n = reader->source->checkpoint(reader->source->user, text, sizeof(text));

        if (n == -ENOENT)
                return log_say(reader->why, -ENOENT, "nothing is published yet: wait a second");
        if (n < 0)
                return log_say(reader->why, (int)n, "%.200s/checkpoint cannot be read: %s",
                    reader->source->name, strerror((int)-n));
        for (const char *at = text + n; at - text >= 2; at--) { /* the last empty line */
                if (at[-1] != '\n' || at[-2] != '\n')
                        continue;
                if (checkpoint_parse(&reader->published, text, (size_t)(at - 1 - text)) == 0)
                        return 0;
                break;
        }
        return log_say(
            reader->why, -EBADMSG, "%.200s/checkpoint is malformed", reader->source->name);
}

static int
say_damaged(const struct reader *reader)
{
        return log_say(reader->why, -EBADMSG,
            "the tiles of %.200s do not lead to the checkpoint's root: one is damaged. `aortactl "
            "log verify` tells which",
            reader->source->name);
}

/* The tree of that size is a beginning of the published one; its root. */
static int
read_root(struct reader *reader, uint64_t size, uint8_t root[HASH_BYTES])
{
        const struct checkpoint *published = &reader->published;
        uint8_t hashes[PROOF_HASHES_MAX][HASH_BYTES];
        unsigned n = 0;
        int error = 0;

        if (size == 0)
                crypto_hash_sha256(root, (const uint8_t *)"", 0);
        else
                error = read_range(reader, 0, size, root);
        if (error == 0)
                error = read_consistency(reader, size, published->size, hashes, &n);
        if (error != 0)
                return error;
        if (consistency_check(size, root, published->size, published->root,
                (const uint8_t(*)[HASH_BYTES])hashes, n) != 0)
                return say_damaged(reader);
        return 0;
}

static int
check_size(const struct reader *reader, uint64_t size)
{
        if (reader->published.size > LEAVES_MAX)
                return log_say(reader->why, -EBADMSG, "the checkpoint's size is impossible");
        if (size <= reader->published.size)
                return 0;
        return log_say(reader->why, -ENOENT,
            "a tree of %" PRIu64 " leaves is not published yet, only of %" PRIu64, size,
            reader->published.size);
}

static int
prove(struct reader *reader, uint64_t leaf, uint64_t size,
    uint8_t proof[PROOF_HASHES_MAX][HASH_BYTES], unsigned *n)
{
        uint8_t hash[HASH_BYTES], root[HASH_BYTES];
        int error = check_size(reader, size);

        if (error == 0)
                error = read_path(reader, leaf, size, proof, n);
        if (error == 0)
                error = read_node(reader, 0, leaf, hash);
        if (error == 0)
                error = read_root(reader, size, root);
        if (error != 0)
                return error;
        if (proof_check(hash, leaf, size, (const uint8_t(*)[HASH_BYTES])proof, *n, root) != 0)
                return say_damaged(reader);
        return 0;
}

static int
prove_consistency(struct reader *reader, struct consistency *consistency)
{
        int error = check_size(reader, consistency->new_size);

        if (error == 0)
                error = read_root(reader, consistency->old_size, consistency->old_root);
        if (error == 0)
                error = read_root(reader, consistency->new_size, consistency->new_root);
        if (error == 0)
                error = read_consistency(reader, consistency->old_size, consistency->new_size,
                    consistency->hashes, &consistency->n);
        if (error != 0)
                return error;
        if (consistency_check(consistency->old_size, consistency->old_root, consistency->new_size,
                consistency->new_root, (const uint8_t(*)[HASH_BYTES])consistency->hashes,
                consistency->n) != 0)
                return say_damaged(reader);
        return 0;
}

/* A reader of source; published NULL: as its checkpoint says. */
static int
reader_open(struct reader **reader_out, const struct log_source *source,
    const struct checkpoint *published, char *why)
{
        struct reader *reader = calloc(1, sizeof(*reader));
        int error = 0;

        if (reader == NULL)
                return log_say(why, -ENOMEM, "no memory for the tiles");
        reader->source = source;
        reader->why = why;
        if (published != NULL)
                reader->published = *published;
        else
                error = read_published(reader);
        if (error != 0) {
                free(reader);
                return error;
        }
        *reader_out = reader;
        return 0;
}

static int
source_prove(const struct log_source *source, const struct checkpoint *published, uint64_t leaf,
    uint64_t size, uint8_t proof[PROOF_HASHES_MAX][HASH_BYTES], unsigned *n, char *why)
{
        struct reader *reader = NULL;
        int error;

        if (leaf >= size)
                return log_say(why, -EINVAL,
                    "leaf %" PRIu64 " is not in a tree of %" PRIu64 " leaves", leaf, size);
        error = reader_open(&reader, source, published, why);
        if (error != 0)
                return error;
        error = prove(reader, leaf, size, proof, n);
        free(reader);
        return error;
}

static int
source_prove_consistency(const struct log_source *source, const struct checkpoint *published,
    struct consistency *consistency, char *why)
{
        struct reader *reader = NULL;
        int error;

        if (consistency->old_size > consistency->new_size)
                return log_say(why, -EINVAL,
                    "the old tree, of %" PRIu64 " leaves, is larger than the new one, of %" PRIu64,
                    consistency->old_size, consistency->new_size);
        error = reader_open(&reader, source, published, why);
        if (error != 0)
                return error;
        error = prove_consistency(reader, consistency);
        free(reader);
        return error;
}

int
log_source_prove(const struct log_source *source, const struct checkpoint *published, uint64_t leaf,
    uint64_t size, uint8_t proof[64][HASH_BYTES], unsigned *n, char *why)
{
        assert(published != NULL);
        return source_prove(source, published, leaf, size, proof, n, why);
}

int
log_source_prove_consistency(const struct log_source *source, const struct checkpoint *published,
    struct consistency *consistency, char *why)
{
        assert(published != NULL);
        return source_prove_consistency(source, published, consistency, why);
}

int
log_prove(const char *path, uint64_t leaf, uint64_t size, uint8_t proof[64][HASH_BYTES],
    unsigned *n, char *why)
{
        struct log_folder folder;
        int error = log_folder_source(&folder, path, why);

        if (error != 0)
                return error;
        error = source_prove(&folder.source, NULL, leaf, size, proof, n, why);
        log_folder_close(&folder);
        return error;
}

int
log_prove_consistency(const char *path, uint64_t old_size, uint64_t new_size,
    uint8_t hashes[64][HASH_BYTES], unsigned *n, char *why)
{
        struct consistency consistency = {.old_size = old_size, .new_size = new_size};
        struct log_folder folder;
        int error = log_folder_source(&folder, path, why);

        if (error != 0)
                return error;
        error = source_prove_consistency(&folder.source, NULL, &consistency, why);
        log_folder_close(&folder);
        if (error == 0) {
                memcpy(hashes, consistency.hashes, sizeof(consistency.hashes));
                *n = consistency.n;
        }
        return error;
}
