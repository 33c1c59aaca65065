/* SPDX-License-Identifier: Apache-2.0 */
/* The value of CoAP's OSCORE option (RFC 8613 §6.1). Pure functions; any thread. */
#ifndef AORTA_DATAPLANE_COAP_OSCORE_OPTION_H
#define AORTA_DATAPLANE_COAP_OSCORE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define OSCORE_OPTION_BYTES_MAX 255u

/* Each answered 4.02, "Failed to decode COSE" (RFC 8613 §8.2 step 2). */
#define OSCORE_OPTION_VERDICTS(X)                                                                  \
        X(OK, "well-formed")                                                                       \
        X(TOO_LONG, "longer than 255 bytes")                                                       \
        X(RESERVED_BITS, "one of the three reserved flag bits is set")                             \
        X(PIV_LENGTH, "partial IV length 6 or 7")                                                  \
        X(NOT_EMPTY, "all flag bits zero in a value that is not empty")                            \
        X(TRUNCATED, "the value ends inside the partial IV or the kid context")                    \
        X(PIV_NOT_MINIMAL, "the partial IV has leading zero bytes")                                \
        X(TRAILING, "bytes follow though no kid flag is set")

enum oscore_option_verdict {
#define OSCORE_OPTION_ENUM(name, text) OSCORE_OPTION_##name,
        OSCORE_OPTION_VERDICTS(OSCORE_OPTION_ENUM)
#undef OSCORE_OPTION_ENUM
            OSCORE_OPTION_VERDICT_COUNT,
};

struct oscore_option {
        const uint8_t *kid;         /* into the value; may be longer than any ID: no such context */
        const uint8_t *kid_context; /* into the value */
        uint64_t piv;               /* 0 to 2^40 - 1 */
        uint8_t kid_bytes;
        uint8_t kid_context_bytes;
        uint8_t piv_bytes; /* 1 to 5 if has_piv; not looked at when writing */
        bool has_piv;
        bool has_kid; /* an empty kid is a kid */
        bool has_kid_context;
};

/* Parses a value; an empty one has neither partial IV nor kid. */
enum oscore_option_verdict oscore_option_parse(
    struct oscore_option *option, const uint8_t *value, size_t bytes);

/* Writes a value and returns its length (0 for one with nothing in it); -ENOSPC if it exceeds
 * out_bytes or OSCORE_OPTION_BYTES_MAX, -ERANGE for a partial IV beyond 2^40 - 1. */
ssize_t oscore_option_write(uint8_t *out, size_t out_bytes, const struct oscore_option *option);

const char *oscore_option_verdict_text(enum oscore_option_verdict verdict);

#endif
