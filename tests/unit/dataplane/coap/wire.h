/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of the CoAP tests: hex, and buffers that end where the message ends. */
#ifndef AORTA_TESTS_COAP_WIRE_H
#define AORTA_TESTS_COAP_WIRE_H

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/coap/coap.h"

/* Bytes of a hex string; blanks are skipped. */
static inline size_t
from_hex(uint8_t *out, const char *hex)
{
        size_t nibbles = 0;

        for (; *hex != '\0'; hex++) {
                unsigned digit;

                if (*hex == ' ')
                        continue;
                digit = *hex <= '9' ? (unsigned)(*hex - '0') : (unsigned)(*hex - 'a') + 10;
                if (nibbles % 2 == 0)
                        out[nibbles / 2] = (uint8_t)(digit << 4);
                else
                        out[nibbles / 2] |= (uint8_t)digit;
                nibbles++;
        }
        return nibbles / 2;
}

/* A copy whose end is the heap block's end, so that ASan sees a read too many. Freed by
 * drop_exact(). */
static inline uint8_t *
exact(const void *data, size_t bytes)
{
        uint8_t *block = malloc(bytes + 1);

        if (bytes != 0)
                memcpy(block + 1, data, bytes);
        return block + 1;
}

static inline void
drop_exact(uint8_t *copy)
{
        free(copy - 1);
}

/* Parses a copy of exactly bytes; the message's pointers are of no use afterwards. */
static inline enum coap_verdict
parse_exact(struct coap_message *message, const uint8_t *data, size_t bytes)
{
        uint8_t *copy = exact(data, bytes);
        enum coap_verdict verdict = coap_parse(message, copy, bytes);

        drop_exact(copy);
        return verdict;
}

static inline enum coap_verdict
parse_hex(struct coap_message *message, const char *hex)
{
        uint8_t data[2048];

        return parse_exact(message, data, from_hex(data, hex));
}

static inline enum coap_verdict
parse_inner_hex(struct coap_message *message, const char *hex)
{
        uint8_t data[2048];
        size_t bytes = from_hex(data, hex);
        uint8_t *copy = exact(data, bytes);
        enum coap_verdict verdict = coap_parse_inner(message, copy, bytes);

        drop_exact(copy);
        return verdict;
}

#endif
