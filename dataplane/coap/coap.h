/* SPDX-License-Identifier: Apache-2.0 */
/* CoAP's message layer codec (RFC 7252 §3), and that of OSCORE's inner messages (RFC 8613 §5.3).
 * Pure functions on byte buffers; any thread; nothing is allocated. */
#ifndef AORTA_DATAPLANE_COAP_COAP_H
#define AORTA_DATAPLANE_COAP_COAP_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define COAP_VERSION           1u
#define COAP_HEADER_BYTES      4u
#define COAP_TOKEN_BYTES_MAX   8u
#define COAP_OPTIONS_MAX       24u /* recognised options a message */
#define COAP_PAYLOAD_MARKER    0xffu
#define COAP_MESSAGE_BYTES_MAX 65535u
#define COAP_ECHO_BYTES_MAX    40u

enum coap_type { COAP_CON, COAP_NON, COAP_ACK, COAP_RST };

#define COAP_CODE(class, detail) ((class) << 5 | (detail))
#define COAP_CODE_CLASS(code)    ((code) >> 5)

enum coap_code {
        COAP_EMPTY = COAP_CODE(0, 0),
        COAP_GET = COAP_CODE(0, 1),
        COAP_POST = COAP_CODE(0, 2),
        COAP_PUT = COAP_CODE(0, 3),
        COAP_DELETE = COAP_CODE(0, 4),
        COAP_FETCH = COAP_CODE(0, 5),
        COAP_PATCH = COAP_CODE(0, 6),
        COAP_IPATCH = COAP_CODE(0, 7),
        COAP_CREATED = COAP_CODE(2, 1),
        COAP_DELETED = COAP_CODE(2, 2),
        COAP_VALID = COAP_CODE(2, 3),
        COAP_CHANGED = COAP_CODE(2, 4),
        COAP_CONTENT = COAP_CODE(2, 5),
        COAP_CONTINUE = COAP_CODE(2, 31),
        COAP_BAD_REQUEST = COAP_CODE(4, 0),
        COAP_UNAUTHORIZED = COAP_CODE(4, 1),
        COAP_BAD_OPTION = COAP_CODE(4, 2),
        COAP_FORBIDDEN = COAP_CODE(4, 3),
        COAP_NOT_FOUND = COAP_CODE(4, 4),
        COAP_METHOD_NOT_ALLOWED = COAP_CODE(4, 5),
        COAP_NOT_ACCEPTABLE = COAP_CODE(4, 6),
        COAP_INCOMPLETE = COAP_CODE(4, 8),
        COAP_CONFLICT = COAP_CODE(4, 9),
        COAP_PRECONDITION_FAILED = COAP_CODE(4, 12),
        COAP_TOO_LARGE = COAP_CODE(4, 13),
        COAP_UNSUPPORTED_FORMAT = COAP_CODE(4, 15),
        COAP_UNPROCESSABLE = COAP_CODE(4, 22),
        COAP_TOO_MANY_REQUESTS = COAP_CODE(4, 29),
        COAP_SERVER_ERROR = COAP_CODE(5, 0),
        COAP_NOT_IMPLEMENTED = COAP_CODE(5, 1),
        COAP_UNAVAILABLE = COAP_CODE(5, 3),
        COAP_NO_PROXYING = COAP_CODE(5, 5),
};

enum coap_format {
        COAP_FORMAT_TEXT = 0,
        COAP_FORMAT_LINK = 40,
        COAP_FORMAT_OCTETS = 42,
        COAP_FORMAT_JSON = 50,
        COAP_FORMAT_CBOR = 60,
        COAP_FORMAT_SENML_JSON = 110,
        COAP_FORMAT_SENML_CBOR = 112,
};

/* X(NAME, number, name, shortest, longest, repeatable): the options the codec recognises (RFC 7252
 * §5.10, 7641, 7959, 7967, 8613, 8768, 9175). A value out of its lengths, or a second one of an
 * option that is not repeatable, counts as unrecognised (RFC 7252 §5.4.3, §5.4.5). */
#define COAP_OPTIONS(X)                                                                            \
        X(IF_MATCH, 1, "If-Match", 0, 8, true)                                                     \
        X(URI_HOST, 3, "Uri-Host", 1, 255, false)                                                  \
        X(ETAG, 4, "ETag", 1, 8, true)                                                             \
        X(IF_NONE_MATCH, 5, "If-None-Match", 0, 0, false)                                          \
        X(OBSERVE, 6, "Observe", 0, 3, false)                                                      \
        X(URI_PORT, 7, "Uri-Port", 0, 2, false)                                                    \
        X(LOCATION_PATH, 8, "Location-Path", 0, 255, true)                                         \
        X(OSCORE, 9, "OSCORE", 0, 255, false)                                                      \
        X(URI_PATH, 11, "Uri-Path", 0, 255, true)                                                  \
        X(CONTENT_FORMAT, 12, "Content-Format", 0, 2, false)                                       \
        X(MAX_AGE, 14, "Max-Age", 0, 4, false)                                                     \
        X(URI_QUERY, 15, "Uri-Query", 0, 255, true)                                                \
        X(HOP_LIMIT, 16, "Hop-Limit", 1, 1, false)                                                 \
        X(ACCEPT, 17, "Accept", 0, 2, false)                                                       \
        X(LOCATION_QUERY, 20, "Location-Query", 0, 255, true)                                      \
        X(BLOCK2, 23, "Block2", 0, 3, false)                                                       \
        X(BLOCK1, 27, "Block1", 0, 3, false)                                                       \
        X(SIZE2, 28, "Size2", 0, 4, false)                                                         \
        X(PROXY_URI, 35, "Proxy-Uri", 1, 1034, false)                                              \
        X(PROXY_SCHEME, 39, "Proxy-Scheme", 1, 255, false)                                         \
        X(SIZE1, 60, "Size1", 0, 4, false)                                                         \
        X(ECHO, 252, "Echo", 1, 40, false)                                                         \
        X(NO_RESPONSE, 258, "No-Response", 0, 1, false)                                            \
        X(REQUEST_TAG, 292, "Request-Tag", 0, 8, true)

enum coap_option_number {
#define COAP_OPTION_NUMBER(name, number, text, shortest, longest, repeatable)                      \
        COAP_OPTION_##name = number,
        COAP_OPTIONS(COAP_OPTION_NUMBER)
#undef COAP_OPTION_NUMBER
            COAP_OPTION_NUMBER_MAX = COAP_OPTION_REQUEST_TAG,
};

enum coap_option_index {
#define COAP_OPTION_INDEX(name, number, text, shortest, longest, repeatable) COAP_INDEX_##name,
        COAP_OPTIONS(COAP_OPTION_INDEX)
#undef COAP_OPTION_INDEX
            COAP_OPTION_KINDS,
};
static_assert(COAP_OPTION_KINDS <= 32, "sets of options are 32-bit masks");

/* Sets of recognised options, one bit each: COAP_HAS(URI_PATH) | COAP_HAS(ACCEPT). */
#define COAP_HAS(name) (UINT32_C(1) << COAP_INDEX_##name)
/* Those that a recipient must understand (RFC 7252 §5.4.1). */
#define COAP_OPTION_CRITICAL_BIT(name, number, text, shortest, longest, repeatable)                \
        | (((number)&1) != 0 ? COAP_HAS(name) : 0)
#define COAP_CRITICAL (UINT32_C(0) COAP_OPTIONS(COAP_OPTION_CRITICAL_BIT))

/* Those that mean something outside OSCORE's protection; a server ignores all others there, unknown
 * ones included, whatever bad_option says (RFC 8613 §4.1, §8.2 step 1). */
#define COAP_CLASS_U                                                                               \
        (COAP_HAS(URI_HOST) | COAP_HAS(URI_PORT) | COAP_HAS(OSCORE) | COAP_HAS(HOP_LIMIT) |        \
            COAP_HAS(PROXY_URI) | COAP_HAS(PROXY_SCHEME))

/* What coap_parse() can find. TRUNCATED_HEADER and VERSION leave nothing to answer to; for the
 * others type and message_id are set, so that a CON can be rejected with a RST (RFC 7252 §4.2). */
#define COAP_VERDICTS(X)                                                                           \
        X(OK, "well-formed")                                                                       \
        X(TRUNCATED_HEADER, "shorter than its header")                                             \
        X(BAD_VERSION, "not version 1; ignored silently")                                          \
        X(TOO_LONG, "longer than a datagram")                                                      \
        X(TOKEN_LENGTH, "a token length of 9 to 15")                                               \
        X(TRUNCATED_TOKEN, "the message ends inside its token")                                    \
        X(NOT_EMPTY, "a token or bytes after an Empty header")                                     \
        X(CODE_RESERVED, "a code of class 1, 6 or 7, or an Empty inner message")                   \
        X(OPTION_RESERVED, "an option nibble of 15 that is no payload marker")                     \
        X(OPTION_OVERFLOW, "an option number or length beyond 65535")                              \
        X(OPTION_TRUNCATED, "the message ends inside an option")                                   \
        X(OPTIONS_LIMIT, "more recognised options than COAP_OPTIONS_MAX")                          \
        X(PAYLOAD_EMPTY, "a payload marker with no payload")

enum coap_verdict {
#define COAP_VERDICT_ENUM(name, text) COAP_##name,
        COAP_VERDICTS(COAP_VERDICT_ENUM)
#undef COAP_VERDICT_ENUM
            COAP_VERDICT_COUNT,
};

struct coap_option {
        uint16_t number;
        uint16_t offset; /* of the value, from message->data */
        uint16_t bytes;
};

/* Pointers are into the buffer that was parsed, which the caller keeps. */
struct coap_message {
        const uint8_t *data;
        const uint8_t *payload; /* NULL if there is none */
        uint16_t payload_bytes;
        uint16_t message_id;
        uint8_t type; /* enum coap_type; of no meaning in an inner message */
        uint8_t code;
        uint8_t token_bytes;
        uint8_t option_count;
        uint8_t token[COAP_TOKEN_BYTES_MAX]; /* zero beyond token_bytes */
        uint32_t present;                    /* COAP_HAS() of each option listed below */
        /* COAP_HAS() of each recognised number whose value counts as unrecognised. */
        uint32_t malformed;
        /* The number of the first critical option that counts as unrecognised: a request gets 4.02,
         * a NON response is ignored. 0 if there is none. */
        uint16_t bad_option;
        /* Recognised options only, in order of their numbers; elective ones that are not recognised
         * are passed over. */
        struct coap_option options[COAP_OPTIONS_MAX];
};

/* Parses a whole datagram. On a verdict other than COAP_OK only type, code and message_id may be
 * used, and these only as said above. */
enum coap_verdict coap_parse(struct coap_message *message, const uint8_t *data, size_t bytes);

/* Parses OSCORE's plaintext: code, options, payload (RFC 8613 §5.3). */
enum coap_verdict coap_parse_inner(struct coap_message *message, const uint8_t *data, size_t bytes);

const char *coap_verdict_text(enum coap_verdict verdict);

static inline bool
coap_option_is_critical(uint16_t number)
{
        return (number & 1) != 0;
}

/* A recognised option's name, else NULL. */
const char *coap_option_name(uint16_t number);

static inline bool
coap_code_is_request(uint8_t code)
{
        return COAP_CODE_CLASS(code) == 0 && code != COAP_EMPTY;
}

static inline const uint8_t *
coap_option_value(const struct coap_message *message, const struct coap_option *option)
{
        return message->data + option->offset;
}

/* The first option of that number, or NULL. */
const struct coap_option *coap_find(const struct coap_message *message, uint16_t number);
/* The one after option that has the same number, or NULL. */
const struct coap_option *coap_next(
    const struct coap_message *message, const struct coap_option *option);

/* Reads the uint option of that number (RFC 7252 §3.2: leading zeros are accepted). 0; -ENOENT if
 * the message has none, -ERANGE if it is longer than 4 bytes. */
int coap_find_uint(const struct coap_message *message, uint16_t number, uint32_t *value);

/* True if the Uri-Path is this one, its segments joined by '/', without a leading slash ("vitals",
 * ".well-known/core"); "" is the root. A segment that holds a '/' never matches. */
bool coap_uri_path_equals(const struct coap_message *message, const char *path);

/* Finds the first Uri-Query "key=value"; sets value and its length. False if there is none. */
bool coap_uri_query(
    const struct coap_message *message, const char *key, const uint8_t **value, size_t *bytes);

/* Writes a message into a bounded buffer. Errors stick: after one, all calls return it, and so does
 * coap_write_end(), so that a caller may look once. */
struct coap_writer {
        uint8_t *data;
        size_t limit;
        size_t bytes;
        uint16_t last_option;
        bool has_payload;
        int error; /* 0 or -errno */
};

/* Begins a message at out. 0, -ENOSPC, or -EINVAL for a token longer than 8 bytes. */
int coap_write_begin(struct coap_writer *writer, uint8_t *out, size_t limit, enum coap_type type,
    uint8_t code, uint16_t message_id, const uint8_t *token, size_t token_bytes);
/* Begins an inner message, OSCORE's plaintext. */
int coap_write_begin_inner(struct coap_writer *writer, uint8_t *out, size_t limit, uint8_t code);
/* Appends an option; numbers must not fall. 0, -ENOSPC, or -EINVAL if out of order or after the
 * payload. */
int coap_write_option(struct coap_writer *writer, uint16_t number, const void *value, size_t bytes);
/* The same with a uint in its shortest form (0 is empty). */
int coap_write_uint(struct coap_writer *writer, uint16_t number, uint32_t value);
/* Appends the marker and a payload; nothing if bytes is 0. */
int coap_write_payload(struct coap_writer *writer, const void *payload, size_t bytes);
/* Appends the marker and makes room for bytes (at least 1) of payload, for the caller to fill. NULL
 * on error. */
uint8_t *coap_write_payload_room(struct coap_writer *writer, size_t bytes);
/* The message's length, or the first error. */
ssize_t coap_write_end(const struct coap_writer *writer);

/* Writes an Empty message: a RST, or an ACK. */
void coap_write_empty(uint8_t out[COAP_HEADER_BYTES], enum coap_type type, uint16_t message_id);

#endif
