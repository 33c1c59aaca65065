/* SPDX-License-Identifier: Apache-2.0 */
/* The signed tree head (C2SP tlog-checkpoint): origin, size, root, one a line. */
#include "crypto/base64.h"
#include "ledger/log_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

long
log_decimal_parse(uint64_t *value, const char *text, size_t text_bytes, char end)
{
        uint64_t sum = 0;
        size_t i = 0;

        for (; i < text_bytes && text[i] >= '0' && text[i] <= '9'; i++) {
                if (__builtin_mul_overflow(sum, 10, &sum) ||
                    __builtin_add_overflow(sum, (unsigned)(text[i] - '0'), &sum))
                        return -EBADMSG;
        }
        if (i == 0 || i == text_bytes || text[i] != end || (i > 1 && text[0] == '0'))
                return -EBADMSG;
        *value = sum;
        return (long)i;
}

/* The length of the line at text, without its '\n'; -EBADMSG when there is no whole line. */
static long
line_bytes(const char *text, size_t text_bytes)
{
        const char *end = memchr(text, '\n', text_bytes);

        return end == NULL ? -EBADMSG : (long)(end - text);
}

int
checkpoint_parse(struct checkpoint *checkpoint, const char *text, size_t text_bytes)
{
        const char *at = text;
        size_t left = text_bytes;

        for (size_t i = 0; i < text_bytes; i++)
                if ((uint8_t)text[i] < 0x20 && text[i] != '\n')
                        return -EBADMSG;

        const long origin = line_bytes(at, left);
        if (origin <= 0 || (size_t)origin > NOTE_NAME_BYTES_MAX)
                return -EBADMSG;
        memcpy(checkpoint->origin, at, (size_t)origin);
        checkpoint->origin[origin] = '\0';
        at += origin + 1;
        left -= (size_t)origin + 1;

        const long size = log_decimal_parse(&checkpoint->size, at, left, '\n');
        if (size < 0)
                return -EBADMSG;
        at += size + 1;
        left -= (size_t)size + 1;

        const long root = line_bytes(at, left);
        if (root != BASE64_BYTES(HASH_BYTES) ||
            base64_decode(checkpoint->root, HASH_BYTES, at, (size_t)root) != HASH_BYTES)
                return -EBADMSG;
        at += root + 1;
        left -= (size_t)root + 1;

        while (left > 0) { /* extension lines: not empty, else opaque */
                const long line = line_bytes(at, left);
                if (line <= 0)
                        return -EBADMSG;
                at += line + 1;
                left -= (size_t)line + 1;
        }
        return 0;
}

long
checkpoint_write(char *out, size_t out_bytes, const struct checkpoint *checkpoint)
{
        char root[BASE64_BYTES(HASH_BYTES) + 1];

        if (checkpoint->origin[0] == '\0' || strchr(checkpoint->origin, '\n') != NULL)
                return -EINVAL;
        base64_encode(root, checkpoint->root, HASH_BYTES);
        const int chars = snprintf(
            out, out_bytes, "%s\n%" PRIu64 "\n%s\n", checkpoint->origin, checkpoint->size, root);
        if (chars < 0)
                return -EINVAL;
        return (size_t)chars >= out_bytes ? -ENOSPC : chars;
}
