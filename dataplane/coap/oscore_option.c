/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/coap/oscore_option.h"

#include <errno.h>
#include <string.h>

#include "crypto/oscore.h"

/* RFC 8613 §6.1: 0 0 0 h k n n n. */
#define FLAGS_RESERVED   0xe0u
#define FLAG_KID_CONTEXT 0x10u
#define FLAG_KID         0x08u
#define FLAGS_PIV_BYTES  0x07u

enum oscore_option_verdict
oscore_option_parse(struct oscore_option *option, const uint8_t *value, size_t bytes)
{
        size_t offset = 1;
        uint8_t flags;

        memset(option, 0, sizeof(*option));
        if (bytes == 0)
                return OSCORE_OPTION_OK;
        if (bytes > OSCORE_OPTION_BYTES_MAX)
                return OSCORE_OPTION_TOO_LONG;
        flags = value[0];
        if ((flags & FLAGS_RESERVED) != 0)
                return OSCORE_OPTION_RESERVED_BITS;
        if (flags == 0)
                return OSCORE_OPTION_NOT_EMPTY;
        option->piv_bytes = flags & FLAGS_PIV_BYTES;
        if (option->piv_bytes > OSCORE_PIV_BYTES_MAX)
                return OSCORE_OPTION_PIV_LENGTH;
        if (option->piv_bytes > bytes - offset)
                return OSCORE_OPTION_TRUNCATED;
        if (option->piv_bytes != 0) {
                /* §5: leading zeros SHALL be removed. A second spelling of a partial IV would be a
                 * second request to whatever compares bytes. */
                if (option->piv_bytes > 1 && value[offset] == 0)
                        return OSCORE_OPTION_PIV_NOT_MINIMAL;
                option->has_piv = true;
                for (unsigned i = 0; i < option->piv_bytes; i++)
                        option->piv = option->piv << 8 | value[offset++];
        }
        if ((flags & FLAG_KID_CONTEXT) != 0) {
                if (bytes - offset < 1)
                        return OSCORE_OPTION_TRUNCATED;
                option->kid_context_bytes = value[offset++];
                if (option->kid_context_bytes > bytes - offset)
                        return OSCORE_OPTION_TRUNCATED;
                option->has_kid_context = true;
                option->kid_context = value + offset;
                offset += option->kid_context_bytes;
        }
        if ((flags & FLAG_KID) != 0) {
                option->has_kid = true;
                option->kid = value + offset;
                option->kid_bytes = (uint8_t)(bytes - offset);
        } else if (offset != bytes) {
                return OSCORE_OPTION_TRAILING;
        }
        return OSCORE_OPTION_OK;
}

static size_t
piv_length(uint64_t piv)
{
        size_t bytes = 1;

        while (piv >> 8 * bytes != 0)
                bytes++;
        return bytes;
}

ssize_t
oscore_option_write(uint8_t *out, size_t out_bytes, const struct oscore_option *option)
{
        size_t piv_bytes = 0;
        size_t bytes = 1;
        uint8_t *p = out;

        if (!option->has_piv && !option->has_kid && !option->has_kid_context)
                return 0; /* §6.1: all flags zero is an empty value */
        if (option->has_piv) {
                if (option->piv > OSCORE_PIV_MAX)
                        return -ERANGE;
                piv_bytes = piv_length(option->piv);
        }
        bytes += piv_bytes;
        bytes += option->has_kid_context ? 1u + option->kid_context_bytes : 0;
        bytes += option->has_kid ? option->kid_bytes : 0;
        if (bytes > out_bytes || bytes > OSCORE_OPTION_BYTES_MAX)
                return -ENOSPC;
        *p++ = (uint8_t)((option->has_kid_context ? FLAG_KID_CONTEXT : 0) |
                         (option->has_kid ? FLAG_KID : 0) | piv_bytes);
        for (size_t i = piv_bytes; i-- > 0;)
                *p++ = (uint8_t)(option->piv >> 8 * i);
        if (option->has_kid_context) {
                *p++ = option->kid_context_bytes;
                if (option->kid_context_bytes != 0)
                        memcpy(p, option->kid_context, option->kid_context_bytes);
                p += option->kid_context_bytes;
        }
        if (option->has_kid && option->kid_bytes != 0)
                memcpy(p, option->kid, option->kid_bytes);
        return (ssize_t)bytes;
}

const char *
oscore_option_verdict_text(enum oscore_option_verdict verdict)
{
        static const char *const texts[OSCORE_OPTION_VERDICT_COUNT] = {
#define VERDICT_TEXT(name, text) [OSCORE_OPTION_##name] = text,
            OSCORE_OPTION_VERDICTS(VERDICT_TEXT)
#undef VERDICT_TEXT
        };

        return (unsigned)verdict < OSCORE_OPTION_VERDICT_COUNT ? texts[verdict] : "unknown";
}
