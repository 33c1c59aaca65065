/* SPDX-License-Identifier: Apache-2.0 */
/* Audit paths: from the tiles, checked, and as text (C2SP tlog-proof). */
#include "crypto/base64.h"
#include "ledger/log_internal.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROOF_HASHES_MAX 64u
#define PROOF_MAGIC      "c2sp.org/tlog-proof@v1\n"
#define PROOF_EXTRA      "extra "
#define PROOF_INDEX      "index "
#define HASH_LINE_CHARS  BASE64_BYTES(HASH_BYTES)

/* ---- from the tiles ---- */

struct reader {
        int folder;
        const char *path;
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
        const int error = log_tile_read(reader->folder, level, n, width, reader->tiles[level]);
        if (error != 0) {
                (void)log_tile_path(name, sizeof(name), level, n, width % LOG_TILE_HASHES);
                return log_say(reader->why, error,
                    "%.200s/%s is missing or damaged (%s): restart the gateway to make it anew",
                    reader->path, name, strerror(-error));
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

static int
read_path(struct reader *reader, uint64_t leaf, uint64_t size,
    uint8_t proof[PROOF_HASHES_MAX][HASH_BYTES], unsigned *n)
{
        uint64_t firsts[PROOF_HASHES_MAX], ends[PROOF_HASHES_MAX];
        uint64_t first = 0, end = size;
        unsigned steps = 0;

        while (end - first > 1) {
                /* The largest power of two smaller than the number of leaves. */
                const uint64_t k = UINT64_C(1) << (63 - __builtin_clzll(end - first - 1));
                assert(steps < PROOF_HASHES_MAX);
                if (leaf < first + k) {
                        firsts[steps] = first + k;
                        ends[steps] = end;
                        end = first + k;
                } else {
                        firsts[steps] = first;
                        ends[steps] = first + k;
                        first += k;
                }
                steps++;
        }
        for (unsigned i = 0; i < steps; i++) {
                const unsigned step = steps - 1 - i; /* the leaf's sibling comes first */
                const int error = read_range(reader, firsts[step], ends[step], proof[i]);
                if (error != 0)
                        return error;
        }
        *n = steps;
        return 0;
}

/* The checkpoint tells which tiles there are; whoever checks the proof checks its signature. */
static int
read_published(struct reader *reader)
{
        char text[NOTE_BYTES_MAX];
        const long n = log_file_read(reader->folder, "checkpoint", text, sizeof(text));

        if (n == -ENOENT)
                return log_say(reader->why, -ENOENT, "nothing is published yet: wait a second");
        if (n < 0)
                return log_say(reader->why, (int)n, "%.200s/checkpoint cannot be read: %s",
                    reader->path, strerror((int)-n));
        for (const char *at = text + n; at - text >= 2; at--) { /* the last empty line */
                if (at[-1] != '\n' || at[-2] != '\n')
                        continue;
                if (checkpoint_parse(&reader->published, text, (size_t)(at - 1 - text)) == 0)
                        return 0;
                break;
        }
        return log_say(reader->why, -EBADMSG, "%.200s/checkpoint is malformed", reader->path);
}

static int
prove(struct reader *reader, uint64_t leaf, uint64_t size,
    uint8_t proof[PROOF_HASHES_MAX][HASH_BYTES], unsigned *n)
{
        uint8_t hash[HASH_BYTES];
        int error = read_published(reader);

        if (error != 0)
                return error;
        if (size > reader->published.size)
                return log_say(reader->why, -ENOENT,
                    "a tree of %" PRIu64 " leaves is not published yet, only of %" PRIu64, size,
                    reader->published.size);
        error = read_path(reader, leaf, size, proof, n);
        if (error != 0 || size != reader->published.size)
                return error;
        error = read_node(reader, 0, leaf, hash);
        if (error != 0)
                return error;
        if (proof_check(hash, leaf, size, proof, *n, reader->published.root) != 0)
                return log_say(reader->why, -EBADMSG,
                    "the tiles of %.200s do not lead to the checkpoint's root: one is damaged. "
                    "`aortactl "
                    "log verify` tells which",
                    reader->path);
        return 0;
}

int
log_prove(const char *path, uint64_t leaf, uint64_t size, uint8_t proof[64][HASH_BYTES],
    unsigned *n, char *why)
{
        if (leaf >= size)
                return log_say(why, -EINVAL,
                    "leaf %" PRIu64 " is not in a tree of %" PRIu64 " leaves", leaf, size);
        struct reader *reader = calloc(1, sizeof(*reader));
        if (reader == NULL)
                return log_say(why, -ENOMEM, "no memory for the tiles");
        reader->path = path;
        reader->why = why;
        int error = log_folder_open(path, false, &reader->folder);
        if (error != 0) {
                (void)log_say(
                    why, error, "the log %s cannot be opened: %s", path, strerror(-error));
        } else {
                error = prove(reader, leaf, size, proof, n);
                close(reader->folder);
        }
        free(reader);
        return error;
}

/* ---- checked ---- */

int
proof_check(const uint8_t leaf_hash_in[HASH_BYTES], uint64_t leaf, uint64_t size,
    const uint8_t proof[][HASH_BYTES], unsigned n, const uint8_t root[HASH_BYTES])
{
        uint8_t hash[HASH_BYTES];

        if (leaf >= size || n > PROOF_HASHES_MAX)
                return -EBADMSG;
        /* RFC 9162 §2.1.3.2: node is the index at the present height, last the last one's. */
        uint64_t node = leaf, last = size - 1;
        memcpy(hash, leaf_hash_in, HASH_BYTES);
        for (unsigned i = 0; i < n; i++) {
                if (last == 0)
                        return -EBADMSG; /* too long */
                if ((node & 1) != 0 || node == last) {
                        tree_node(hash, proof[i], hash);
                        while (node != 0 && (node & 1) == 0) {
                                node >>= 1;
                                last >>= 1;
                        }
                } else {
                        tree_node(hash, hash, proof[i]);
                }
                node >>= 1;
                last >>= 1;
        }
        if (last != 0)
                return -EBADMSG; /* too short */
        return memcmp(hash, root, HASH_BYTES) == 0 ? 0 : -EBADMSG;
}

/* ---- as text ---- */

struct text {
        char *out;
        size_t room, used;
        bool full;
};

static void
put(struct text *text, const char *bytes, size_t n)
{
        if (text->full || n >= text->room - text->used) {
                text->full = true;
                return;
        }
        memcpy(text->out + text->used, bytes, n);
        text->used += n;
        text->out[text->used] = '\0';
}

long
proof_write(char *out, size_t out_bytes, uint64_t leaf, const uint8_t proof[][HASH_BYTES],
    unsigned n, const char *note)
{
        struct text text = {.out = out, .room = out_bytes, .full = out_bytes == 0};
        char line[64];

        if (n > PROOF_HASHES_MAX || note[0] == '\0')
                return -EINVAL;
        put(&text, PROOF_MAGIC, strlen(PROOF_MAGIC));
        const int chars = snprintf(line, sizeof(line), PROOF_INDEX "%" PRIu64 "\n", leaf);
        put(&text, line, (size_t)chars);
        for (unsigned i = 0; i < n; i++) {
                base64_encode(line, proof[i], HASH_BYTES);
                line[HASH_LINE_CHARS] = '\n';
                put(&text, line, HASH_LINE_CHARS + 1);
        }
        put(&text, "\n", 1);
        put(&text, note, strlen(note));
        return text.full ? -ENOSPC : (long)text.used;
}

static bool
skip(const char **at, size_t *left, const char *prefix)
{
        const size_t n = strlen(prefix);

        if (*left < n || memcmp(*at, prefix, n) != 0)
                return false;
        *at += n;
        *left -= n;
        return true;
}

/* `extra BASE64`: not for this reader, but it must be base64. */
static int
skip_extra(const char **at, size_t *left)
{
        uint8_t decoded[NOTE_BYTES_MAX];

        if (!skip(at, left, PROOF_EXTRA))
                return 0;
        const char *end = memchr(*at, '\n', *left);
        if (end == NULL || base64_decode(decoded, sizeof(decoded), *at, (size_t)(end - *at)) < 0)
                return -EBADMSG;
        *left -= (size_t)(end + 1 - *at);
        *at = end + 1;
        return 0;
}

int
proof_parse(const char *text, size_t text_bytes, uint64_t *leaf, uint8_t proof[64][HASH_BYTES],
    unsigned *n, const char **note)
{
        const char *at = text;
        size_t left = text_bytes;

        if (!skip(&at, &left, PROOF_MAGIC) || skip_extra(&at, &left) != 0 ||
            !skip(&at, &left, PROOF_INDEX))
                return -EBADMSG;
        const long digits = log_decimal_parse(leaf, at, left, '\n');
        if (digits < 0)
                return -EBADMSG;
        at += digits + 1;
        left -= (size_t)digits + 1;
        *n = 0;
        while (!skip(&at, &left, "\n")) {
                if (left <= HASH_LINE_CHARS || at[HASH_LINE_CHARS] != '\n' ||
                    *n == PROOF_HASHES_MAX ||
                    base64_decode(proof[*n], HASH_BYTES, at, HASH_LINE_CHARS) != HASH_BYTES)
                        return -EBADMSG;
                (*n)++;
                at += HASH_LINE_CHARS + 1;
                left -= HASH_LINE_CHARS + 1;
        }
        if (left == 0)
                return -EBADMSG;
        *note = at; /* to the text's end */
        return 0;
}
