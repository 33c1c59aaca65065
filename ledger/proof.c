/* SPDX-License-Identifier: Apache-2.0 */
/* Audit paths checked, and as text (C2SP tlog-proof). Needs no files, no engine: what checks a
 * proof offline is built from here. */
#include "crypto/base64.h"
#include "ledger/log_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PROOF_MAGIC     "c2sp.org/tlog-proof@v1\n"
#define PROOF_EXTRA     "extra "
#define PROOF_INDEX     "index "
#define HASH_LINE_CHARS BASE64_BYTES(HASH_BYTES)

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
