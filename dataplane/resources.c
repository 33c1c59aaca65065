/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/resources.h"

#include "crypto/seal.h"
#include "dataplane/limits.h"
#include "dataplane/senml/senml.h"

#include <errno.h>
#include <string.h>

#define LEAF_DIGITS_MAX 15u /* below 2^48 there are no longer ones */
#define BLOCK_SZX_MAX   6u
#define BLOCK_MORE      0x8u
static_assert(SENML_ERROR_COUNT <= WHY_DETAIL_MAX, "a SenML error is a detail");

/* Critical options that a request may carry; any other gets 4.02. */
#define SUPPORTED_CRITICAL                                                                         \
        (COAP_HAS(URI_HOST) | COAP_HAS(URI_PORT) | COAP_HAS(URI_PATH) | COAP_HAS(URI_QUERY) |      \
            COAP_HAS(ACCEPT) | COAP_HAS(BLOCK1) | COAP_HAS(BLOCK2))

static const char core_links[] = "</vitals>;ct=\"110 112\",</r>;ct=50";

static const struct {
        uint8_t code;
        const char *text;
} errors[ERROR_COUNT] = {
#define X(name, code_, text_) [ERROR_##name] = {.code = (code_), .text = (text_)},
    ERRORS(X)
#undef X
};

uint8_t
why_code(uint16_t why)
{
        assert(WHY_ERROR(why) != ERROR_NONE && WHY_ERROR(why) < ERROR_COUNT);
        return errors[WHY_ERROR(why)].code;
}

bool
why_is_silent(uint16_t why, const struct coap_message *message)
{
        return WHY_ERROR(why) == ERROR_BAD_OPTION && message->type != COAP_CON;
}

void
why_write(struct coap_writer *writer, uint16_t why, bool fresh)
{
        enum error_reply error = (enum error_reply)WHY_ERROR(why);
        const char *text;

        assert(error != ERROR_NONE && error < ERROR_COUNT);
        text = error == ERROR_BAD_SENML ? senml_error_text((enum senml_error)WHY_DETAIL(why))
                                        : errors[error].text;
        if (error == ERROR_BUSY)
                coap_write_uint(writer, COAP_OPTION_MAX_AGE, MAX_AGE_BUSY_S);
        else if (fresh)
                coap_write_uint(writer, COAP_OPTION_MAX_AGE, 0);
        if (error == ERROR_TOO_LARGE)
                coap_write_uint(writer, COAP_OPTION_SIZE1, SEAL_PAYLOAD_MAX);
        coap_write_payload(writer, text, strlen(text));
}

/* "r" and a number in its shortest form. */
static bool
leaf_path(const struct coap_message *message, uint64_t *leaf)
{
        const struct coap_option *segment = coap_find(message, COAP_OPTION_URI_PATH);
        const uint8_t *digits;
        uint64_t value = 0;

        if (segment == NULL || segment->bytes != 1 || coap_option_value(message, segment)[0] != 'r')
                return false;
        segment = coap_next(message, segment);
        if (segment == NULL || segment->bytes == 0 || segment->bytes > LEAF_DIGITS_MAX ||
            coap_next(message, segment) != NULL)
                return false;
        digits = coap_option_value(message, segment);
        if (digits[0] == '0' && segment->bytes > 1)
                return false;
        for (unsigned i = 0; i < segment->bytes; i++) {
                if (digits[i] < '0' || digits[i] > '9')
                        return false;
                value = value * 10 + (uint64_t)(digits[i] - '0');
        }
        *leaf = value;
        return true;
}

/* POST /vitals. */
static uint16_t
vitals_target(struct target *target, const struct coap_message *message)
{
        uint32_t block1, format;

        target->resource = RESOURCE_VITALS;
        if (message->code != COAP_POST)
                return WHY(ERROR_METHOD, 0);
        /* RFC 7959 §2.9.3: a body in blocks would be larger than a record may be, or needs state.
         */
        if (coap_find_uint(message, COAP_OPTION_BLOCK1, &block1) == 0 &&
            ((block1 & BLOCK_MORE) != 0 || block1 >> 4 != 0))
                return WHY(ERROR_TOO_LARGE, 0);
        if (message->payload_bytes > SEAL_PAYLOAD_MAX)
                return WHY(ERROR_TOO_LARGE, 0);
        if (coap_find_uint(message, COAP_OPTION_CONTENT_FORMAT, &format) != 0 ||
            (format != COAP_FORMAT_SENML_JSON && format != COAP_FORMAT_SENML_CBOR))
                return WHY(ERROR_FORMAT, 0);
        target->content_format = (uint16_t)format;
        return 0;
}

/* GET of a representation in one format. */
static uint16_t
get_target(struct target *target, const struct coap_message *message, enum coap_format format)
{
        uint32_t accept, block2;

        if (message->code != COAP_GET)
                return WHY(ERROR_METHOD, 0);
        if (coap_find_uint(message, COAP_OPTION_ACCEPT, &accept) == 0 && accept != (uint32_t)format)
                return WHY(ERROR_ACCEPT, 0);
        if (coap_find_uint(message, COAP_OPTION_BLOCK2, &block2) == 0) {
                target->has_block2 = true;
                target->block2_szx = block2 & 7;
                target->block2_num = block2 >> 4;
                if (target->block2_szx > BLOCK_SZX_MAX)
                        return WHY(ERROR_BAD_MESSAGE, 0);
                /* Every representation here is shorter than this many of the smallest blocks. */
                if (target->block2_num >= LEAF_JSON_BYTES_MAX / 16)
                        return WHY(ERROR_BAD_MESSAGE, 0);
        }
        return 0;
}

uint16_t
target_find(struct target *target, const struct coap_message *message)
{
        memset(target, 0, sizeof(*target));
        if (message->present & (COAP_HAS(PROXY_URI) | COAP_HAS(PROXY_SCHEME)))
                return WHY(ERROR_PROXY, 0);
        if (message->bad_option != 0 ||
            (message->present & COAP_CRITICAL & ~SUPPORTED_CRITICAL) != 0)
                return WHY(ERROR_BAD_OPTION, 0);
        if (coap_uri_path_equals(message, "vitals"))
                return vitals_target(target, message);
        if (leaf_path(message, &target->leaf)) {
                target->resource = RESOURCE_LEAF;
                return get_target(target, message, COAP_FORMAT_JSON);
        }
        if (coap_uri_path_equals(message, ".well-known/core")) {
                target->resource = RESOURCE_CORE;
                return get_target(target, message, COAP_FORMAT_LINK);
        }
        return WHY(ERROR_NOT_FOUND, 0);
}

/* The representation, or the block of it that was asked for (RFC 7959 §2.2). */
static void
representation_write(struct coap_writer *writer, const struct target *target,
    enum coap_format format, const char *text, size_t bytes)
{
        size_t from = 0, n = bytes;
        bool more = false;

        if (target->has_block2) {
                size_t size = (size_t)16 << target->block2_szx;

                from = (size_t)target->block2_num * size;
                if (from > bytes)
                        from = bytes;
                n = bytes - from;
                if (n > size) {
                        n = size;
                        more = true;
                }
        }
        coap_write_uint(writer, COAP_OPTION_CONTENT_FORMAT, format);
        if (target->has_block2)
                coap_write_uint(writer, COAP_OPTION_BLOCK2,
                    target->block2_num << 4 | (more ? BLOCK_MORE : 0) | target->block2_szx);
        coap_write_payload(writer, text + from, n);
}

void
core_write(struct coap_writer *writer, const struct target *target)
{
        static_assert(sizeof(core_links) <= LEAF_JSON_BYTES_MAX, "get_target() bounds the blocks");
        representation_write(writer, target, COAP_FORMAT_LINK, core_links, sizeof(core_links) - 1);
}

/* Decimal digits of value at out, not terminated; returns how many. */
static size_t
digits_write(char *out, uint64_t value)
{
        char reversed[20];
        size_t n = 0;

        do {
                reversed[n++] = (char)('0' + value % 10);
                value /= 10;
        } while (value != 0);
        for (size_t i = 0; i < n; i++)
                out[i] = reversed[n - 1 - i];
        return n;
}

static char *
append(char *out, const char *text)
{
        size_t n = strlen(text);

        memcpy(out, text, n);
        return out + n;
}

void
leaf_write(struct coap_writer *writer, const struct target *target, bool durable, bool published)
{
        char json[LEAF_JSON_BYTES_MAX];
        char *p = json;

        p = append(p, "{\"leaf\":");
        p += digits_write(p, target->leaf);
        p = append(p, durable ? ",\"durable\":true" : ",\"durable\":false");
        p = append(p, published ? ",\"published\":true}" : ",\"published\":false}");
        assert(p <= json + sizeof(json));
        representation_write(writer, target, COAP_FORMAT_JSON, json, (size_t)(p - json));
}

void
location_write(struct coap_writer *writer, uint64_t leaf)
{
        char digits[20];
        size_t n = digits_write(digits, leaf);

        coap_write_option(writer, COAP_OPTION_LOCATION_PATH, "r", 1);
        coap_write_option(writer, COAP_OPTION_LOCATION_PATH, digits, n);
}
