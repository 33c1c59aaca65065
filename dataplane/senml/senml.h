/* SPDX-License-Identifier: Apache-2.0 */
/* SenML (RFC 8428) in JSON and CBOR: parsed, checked and resolved in one pass, without allocation.
 *
 * The caller owns the pack (a worker keeps one as scratch); parsing writes only what it uses of it.
 * A pack holds all its text itself: the input may be freed or overwritten afterwards. No function
 * here has state of its own: any thread, one pack a thread. */
#ifndef AORTA_SENML_SENML_H
#define AORTA_SENML_SENML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "dataplane/senml/decimal.h"

#define SENML_FORMAT_JSON 110 /* CoAP content formats (RFC 8428 §12.3) */
#define SENML_FORMAT_CBOR 112

#define SENML_RECORDS_MAX        64
#define SENML_NAME_BYTES_MAX     128 /* of a resolved name: base name and name */
#define SENML_UNIT_BYTES_MAX     64
#define SENML_INPUT_BYTES_MAX    2048 /* of a pack as it arrives */
#define SENML_DEPTH_MAX          16   /* of values nested in one field that is skipped */
#define SENML_UNKNOWN_LABELS_MAX 16   /* in one record */
#define SENML_VERSION_MAX        10   /* bver: the one that this understands, and the default */
#define SENML_RELATIVE_BELOW_S   (1 << 28) /* RFC 8428 §4.5.3: smaller times are relative to now */

/* Every string is copied once, every resolved name once more; copies go in words, so that the last
 * may write up to seven bytes more. */
#define SENML_TEXT_BYTES (SENML_INPUT_BYTES_MAX + SENML_RECORDS_MAX * SENML_NAME_BYTES_MAX + 8)

/* Why a pack is refused: the name, and the text for the diagnostic payload (RFC 7252 §5.5.2). */
#define SENML_ERRORS(X)                                                                            \
        X(OK, "ok")                                                                                \
        X(TOO_LONG, "pack too long")                                                               \
        X(TRUNCATED, "pack ends too early")                                                        \
        X(TRAILING, "bytes after the pack")                                                        \
        X(SYNTAX, "malformed JSON or CBOR")                                                        \
        X(UTF8, "text is not valid UTF-8")                                                         \
        X(DEPTH, "values nested too deeply")                                                       \
        X(NOT_ARRAY, "a pack is an array of records")                                              \
        X(NOT_RECORD, "a record is a map of labels to values")                                     \
        X(EMPTY, "pack without records")                                                           \
        X(TOO_MANY, "more than 64 records")                                                        \
        X(DUPLICATE_LABEL, "a label twice in one record")                                          \
        X(LABEL, "label of the wrong type: known ones are integers in CBOR")                       \
        X(TOO_MANY_LABELS, "too many unknown labels in one record")                                \
        X(MUST_UNDERSTAND, "unknown label that must be understood: it ends in _")                  \
        X(TYPE, "field of the wrong type")                                                         \
        X(NUMBER_RANGE, "number out of range")                                                     \
        X(NO_VALUE, "record without a value")                                                      \
        X(TWO_VALUES, "two values in one record")                                                  \
        X(NO_NAME, "record without a name")                                                        \
        X(NAME, "name with a character that is not allowed")                                       \
        X(NAME_LENGTH, "name longer than 128 bytes")                                               \
        X(UNIT_LENGTH, "unit longer than 64 bytes")                                                \
        X(VERSION, "version not supported")                                                        \
        X(VERSION_DIFFERS, "records of different versions")                                        \
        X(TIME_RANGE, "time out of range")                                                         \
        X(DATA, "data value is not base64url")

enum senml_error {
#define X(name, text) SENML_##name,
        SENML_ERRORS(X)
#undef X
            SENML_ERROR_COUNT
};

enum senml_kind {
        SENML_SUM_ONLY, /* no value field: has_sum is true */
        SENML_NUMBER,
        SENML_STRING,
        SENML_BOOLEAN,
        SENML_DATA_BYTES,
};

/* A piece of the pack's text, at pack->text + offset; not NUL-terminated. */
struct senml_span {
        uint16_t offset;
        uint16_t bytes;
};

/* A resolved record (RFC 8428 §4.6). */
struct senml_value {
        struct decimal number;  /* SENML_NUMBER: base value added */
        struct decimal sum;     /* where has_sum: base sum added */
        struct decimal update;  /* where has_update: update time, seconds */
        int64_t time_ns;        /* Unix time; now where the device gave none */
        struct senml_span name; /* 1..SENML_NAME_BYTES_MAX bytes */
        struct senml_span unit; /* 0 bytes: none */
        struct senml_span data; /* SENML_STRING: UTF-8, may hold NUL; SENML_DATA_BYTES: any bytes */
        uint8_t kind;           /* enum senml_kind */
        bool boolean;           /* SENML_BOOLEAN */
        bool has_sum;
        bool has_update;
};

struct senml_pack {
        uint16_t records;       /* in record[], at least 1; 0 after an error */
        uint16_t text_bytes;    /* used of text[] */
        uint16_t version;       /* bver */
        uint16_t failed_record; /* after an error: index of the record that it lies in */
        uint32_t failed_at;     /* after an error: byte offset in the input, or just behind it */
        struct senml_value record[SENML_RECORDS_MAX];
        char text[SENML_TEXT_BYTES];
};

/* Parses and resolves n bytes. now_ns (Unix time) stands for "now" of relative times. SENML_OK, or
 * why the whole pack is refused; then the pack has no records. in may be NULL when n is 0. */
enum senml_error senml_parse_json(struct senml_pack *, const uint8_t *in, size_t n, int64_t now_ns);
enum senml_error senml_parse_cbor(struct senml_pack *, const uint8_t *in, size_t n, int64_t now_ns);

/* A short text in plain English, static. */
const char *senml_error_text(enum senml_error);

static inline const char *
senml_text(const struct senml_pack *pack, struct senml_span span)
{
        return pack->text + span.offset;
}

/* Orders the records by time, keeping the order of those of the same time (RFC 8428 §4.6 wants
 * resolved records chronological). */
void senml_sort_by_time(struct senml_pack *);

/* Writes the resolved records as SenML JSON, NUL-terminated. Returns the bytes without the NUL, or
 * -ENOSPC. SENML_JSON_BYTES_MAX is always enough. Parsing the output gives the same records, but
 * for times before SENML_RELATIVE_BELOW_S, which SenML cannot express. */
ssize_t senml_write_json(char *out, size_t capacity, const struct senml_pack *);

/* A byte of a string or unit escapes to six at most; names and numbers have their bounds. */
#define SENML_JSON_BYTES_MAX (6 * SENML_INPUT_BYTES_MAX + SENML_RECORDS_MAX * 768 + 16)

#endif
