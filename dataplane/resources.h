/* SPDX-License-Identifier: Apache-2.0 */
/* The resources that the gateway serves, and the errors it answers with: the same for plain
 * requests and for the inner requests of OSCORE. Pure; any thread. */
#ifndef AORTA_DATAPLANE_RESOURCES_H
#define AORTA_DATAPLANE_RESOURCES_H

#include "dataplane/coap/coap.h"

#include <stdbool.h>
#include <stdint.h>

/* X(NAME, code, diagnostic payload). */
#define ERRORS(X)                                                                                  \
        X(BAD_MESSAGE, COAP_BAD_REQUEST, "malformed request")                                      \
        X(BAD_SENML, COAP_BAD_REQUEST, NULL) /* the detail says which enum senml_error */          \
        X(BAD_OPTION, COAP_BAD_OPTION, "unknown critical option")                                  \
        X(COSE, COAP_BAD_OPTION, "Failed to decode COSE")                                          \
        X(NO_CONTEXT, COAP_UNAUTHORIZED, "Security context not found")                             \
        X(REPLAY, COAP_UNAUTHORIZED, "Replay detected")                                            \
        X(DECRYPTION, COAP_BAD_REQUEST, "Decryption failed")                                       \
        X(NOT_PROTECTED, COAP_UNAUTHORIZED, "OSCORE required")                                     \
        X(NOT_LAB, COAP_UNAUTHORIZED, "no such lab device")                                        \
        X(NO_PATIENT, COAP_FORBIDDEN, "no key for this patient")                                   \
        X(NOT_FOUND, COAP_NOT_FOUND, "no such resource")                                           \
        X(METHOD, COAP_METHOD_NOT_ALLOWED, "method not allowed")                                   \
        X(ACCEPT, COAP_NOT_ACCEPTABLE, "format not available")                                     \
        X(TOO_LARGE, COAP_TOO_LARGE, "pack too large")                                             \
        X(FORMAT, COAP_UNSUPPORTED_FORMAT, "content format 110 or 112")                            \
        X(BUSY, COAP_UNAVAILABLE, "try again later")                                               \
        X(PROXY, COAP_NO_PROXYING, "not a proxy")

enum error_reply {
        ERROR_NONE,
#define X(name, code, text) ERROR_##name,
        ERRORS(X)
#undef X
            ERROR_COUNT,
        ERROR_SILENCE = ERROR_COUNT, /* kept in place of an answer that must not be given */
};

/* An error and its detail in 12 bits: all that is kept to say it again. 0 is no error. */
#define WHY_ERROR_BITS     5u
#define WHY(error, detail) ((uint16_t)((error) | (uint32_t)(detail) << WHY_ERROR_BITS))
#define WHY_ERROR(why)     ((why) & ((1u << WHY_ERROR_BITS) - 1))
#define WHY_DETAIL(why)    ((why) >> WHY_ERROR_BITS)
#define WHY_DETAIL_MAX     127u
static_assert(ERROR_SILENCE < 1u << WHY_ERROR_BITS, "an error fits its bits");

uint8_t why_code(uint16_t why);
/* RFC 7252 §5.4.1, §4.3: an unknown critical option gets 4.02 in a CON; a NON with one is ignored.
 * message: the outer one, whose type counts. */
bool why_is_silent(uint16_t why, const struct coap_message *message);
/* Appends an error's options and diagnostic payload to a message begun with why_code(why). fresh:
 * with Max-Age 0, so that no proxy keeps it (RFC 8613 §8.2). */
void why_write(struct coap_writer *writer, uint16_t why, bool fresh);

enum resource { RESOURCE_VITALS, RESOURCE_LEAF, RESOURCE_CORE };

struct target {
        enum resource resource;
        uint64_t leaf;           /* RESOURCE_LEAF */
        uint16_t content_format; /* RESOURCE_VITALS */
        bool has_block2;         /* the client wants a block of the representation */
        uint8_t block2_szx;
        uint32_t block2_num;
};

/* What a request wants. 0, or WHY() it is refused. */
uint16_t target_find(struct target *target, const struct coap_message *message);

/* The representations; each appends Content-Format, Block2 if asked for, and payload. */
void core_write(struct coap_writer *writer, const struct target *target);
#define LEAF_JSON_BYTES_MAX 96u
void leaf_write(
    struct coap_writer *writer, const struct target *target, bool durable, bool published);
/* The receipt's: Location-Path r/<leaf>. A pure function of leaf, for ever: see the reply's nonce.
 */
void location_write(struct coap_writer *writer, uint64_t leaf);

#endif
