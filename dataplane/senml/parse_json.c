// SPDX-License-Identifier: Apache-2.0
/* SenML JSON (RFC 8428 §5) by the letter of RFC 8259. One pass; strings are copied into the pack as
 * they are read. */
#include "dataplane/senml/resolve.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "strings are scanned in words");

struct json {
        const uint8_t *p, *end;
        struct resolver r;
};

#define EVERY_BYTE(b) ((uint64_t)(b)*0x0101010101010101u)

static inline void
skip_space(struct json *j)
{
        while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\r' || *j->p == '\t'))
                j->p++;
}

/* SENML_OK when the next byte is c, which is then behind us. */
static inline enum senml_error
expect(struct json *j, uint8_t c)
{
        if (j->p == j->end)
                return SENML_TRUNCATED;
        if (*j->p != c)
                return SENML_SYNTAX;
        j->p++;
        return SENML_OK;
}

static int
hex_value(uint8_t c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits behind \u. */
static enum senml_error
read_hex4(struct json *j, uint32_t *code)
{
        *code = 0;
        for (int i = 0; i < 4; i++) {
                int digit;

                if (j->p == j->end)
                        return SENML_TRUNCATED;
                digit = hex_value(*j->p++);
                if (digit < 0)
                        return SENML_SYNTAX;
                *code = *code << 4 | (uint32_t)digit;
        }
        return SENML_OK;
}

/* A \u escape, of which the surrogates come in pairs, as UTF-8: never longer than it was. */
static enum senml_error
read_unicode_escape(struct json *j, char **out)
{
        uint32_t code, low;
        enum senml_error error = read_hex4(j, &code);
        char *o = *out;

        if (error != SENML_OK)
                return error;
        if (code >= 0xdc00 && code <= 0xdfff)
                return SENML_UTF8;
        if (code >= 0xd800 && code <= 0xdbff) {
                if (j->end - j->p < 2)
                        return SENML_TRUNCATED;
                if (j->p[0] != '\\' || j->p[1] != 'u')
                        return SENML_UTF8;
                j->p += 2;
                error = read_hex4(j, &low);
                if (error != SENML_OK)
                        return error;
                if (low < 0xdc00 || low > 0xdfff)
                        return SENML_UTF8;
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        }
        if (code < 0x80) {
                *o++ = (char)code;
        } else if (code < 0x800) {
                *o++ = (char)(0xc0 | code >> 6);
                *o++ = (char)(0x80 | (code & 0x3f));
        } else if (code < 0x10000) {
                *o++ = (char)(0xe0 | code >> 12);
                *o++ = (char)(0x80 | (code >> 6 & 0x3f));
                *o++ = (char)(0x80 | (code & 0x3f));
        } else {
                *o++ = (char)(0xf0 | code >> 18);
                *o++ = (char)(0x80 | (code >> 12 & 0x3f));
                *o++ = (char)(0x80 | (code >> 6 & 0x3f));
                *o++ = (char)(0x80 | (code & 0x3f));
        }
        *out = o;
        return SENML_OK;
}

/* p stands behind the backslash. */
static enum senml_error
read_escape(struct json *j, char **out)
{
        char c;

        if (j->p == j->end)
                return SENML_TRUNCATED;
        switch (*j->p++) {
        case '"':
                c = '"';
                break;
        case '\\':
                c = '\\';
                break;
        case '/':
                c = '/';
                break;
        case 'b':
                c = '\b';
                break;
        case 'f':
                c = '\f';
                break;
        case 'n':
                c = '\n';
                break;
        case 'r':
                c = '\r';
                break;
        case 't':
                c = '\t';
                break;
        case 'u':
                return read_unicode_escape(j, out);
        default:
                return SENML_SYNTAX;
        }
        *(*out)++ = c;
        return SENML_OK;
}

/* A string into the pack's text; p stands behind the opening quote, and then behind the closing
 * one. Input is bounded, and text has room for all of it. */
static inline enum senml_error
read_string(struct json *j, struct senml_span *span)
{
        char *text = j->r.pack->text, *out = text + j->r.text_bytes;
        const uint8_t *p = j->p, *end = j->end;
        enum senml_error error;

        for (;;) {
                uint8_t c;
                unsigned n;

                while (end - p >= 8) {
                        uint64_t w, quote, escape, special;

                        memcpy(&w, p, 8);
                        memcpy(out, &w, 8);
                        /* The lowest byte that is marked is exact: borrows only go up. */
                        quote = w ^ EVERY_BYTE('"');
                        escape = w ^ EVERY_BYTE('\\');
                        special = ((w - EVERY_BYTE(0x20)) & ~w) | w;
                        special |= (quote - EVERY_BYTE(1)) & ~quote;
                        special |= (escape - EVERY_BYTE(1)) & ~escape;
                        special &= EVERY_BYTE(0x80);
                        if (special != 0) {
                                n = (unsigned)__builtin_ctzll(special) / 8;
                                p += n;
                                out += n;
                                break;
                        }
                        p += 8;
                        out += 8;
                }
                if (p == end) {
                        j->p = p;
                        return SENML_TRUNCATED;
                }
                c = *p;
                if (c == '"')
                        break;
                if (c >= 0x80) {
                        n = utf8_sequence(p, end);
                        if (n == 0) {
                                j->p = p;
                                return SENML_UTF8;
                        }
                        memcpy(out, p, n);
                        p += n;
                        out += n;
                } else if (c == '\\') {
                        j->p = p + 1;
                        error = read_escape(j, &out);
                        if (error != SENML_OK)
                                return error;
                        p = j->p;
                } else if (c < 0x20) {
                        j->p = p;
                        return SENML_SYNTAX;
                } else {
                        *out++ = (char)c;
                        p++;
                }
        }
        j->p = p + 1;
        span->offset = (uint16_t)j->r.text_bytes;
        span->bytes = (uint16_t)(out - text - j->r.text_bytes);
        j->r.text_bytes += span->bytes;
        assert(j->r.text_bytes <= SENML_TEXT_BYTES - 8);
        return SENML_OK;
}

static enum senml_error
read_number(struct json *j, struct decimal *number)
{
        ssize_t n = decimal_parse(number, j->p, (size_t)(j->end - j->p));

        if (n == -ERANGE)
                return SENML_NUMBER_RANGE;
        if (n < 0)
                return SENML_SYNTAX;
        j->p += n;
        return SENML_OK;
}

static enum senml_error
read_word(struct json *j, const char *word, size_t bytes)
{
        size_t left = (size_t)(j->end - j->p);

        if (memcmp(j->p, word, left < bytes ? left : bytes) != 0)
                return SENML_SYNTAX;
        if (left < bytes)
                return SENML_TRUNCATED;
        j->p += bytes;
        return SENML_OK;
}

/* A key of an object inside a skipped value, and its colon. */
static enum senml_error
skip_key(struct json *j)
{
        unsigned text_bytes = j->r.text_bytes;
        struct senml_span unused;
        enum senml_error error;

        skip_space(j);
        error = expect(j, '"');
        if (error == SENML_OK)
                error = read_string(j, &unused);
        j->r.text_bytes = text_bytes;
        if (error != SENML_OK)
                return error;
        skip_space(j);
        return expect(j, ':');
}

static enum senml_error
skip_scalar(struct json *j)
{
        unsigned text_bytes = j->r.text_bytes;
        struct senml_span unused;
        struct decimal number;
        enum senml_error error;

        switch (*j->p) {
        case '"':
                j->p++;
                error = read_string(j, &unused);
                j->r.text_bytes = text_bytes;
                return error;
        case 't':
                return read_word(j, "true", 4);
        case 'f':
                return read_word(j, "false", 5);
        case 'n':
                return read_word(j, "null", 4);
        default:
                return read_number(j, &number);
        }
}

/* Any value, checked and forgotten. A bit of objects a level says what is open there. */
static enum senml_error
skip_value(struct json *j)
{
        uint32_t objects = 0;
        unsigned depth = 0;
        enum senml_error error;

        static_assert(SENML_DEPTH_MAX <= 32, "a bit a level");
        for (;;) {
                bool opened = false;

                skip_space(j);
                if (j->p == j->end)
                        return SENML_TRUNCATED;
                if (*j->p == '{' || *j->p == '[') {
                        if (depth == SENML_DEPTH_MAX)
                                return SENML_DEPTH;
                        objects = objects << 1 | (*j->p++ == '{');
                        depth++;
                        opened = true;
                } else {
                        error = skip_scalar(j);
                        if (error != SENML_OK)
                                return error;
                }
                /* Closes what ends here, then on to the next value. */
                for (;;) {
                        if (depth == 0)
                                return SENML_OK;
                        skip_space(j);
                        if (j->p == j->end)
                                return SENML_TRUNCATED;
                        if (*j->p == (objects & 1 ? '}' : ']')) {
                                j->p++;
                                objects >>= 1;
                                depth--;
                                opened = false;
                                continue;
                        }
                        if (!opened) {
                                error = expect(j, ',');
                                if (error != SENML_OK)
                                        return error;
                        }
                        break;
                }
                if (objects & 1) {
                        error = skip_key(j);
                        if (error != SENML_OK)
                                return error;
                }
        }
}

/* base64url without padding (RFC 4648 §5), in place. Bits left over must be zero: one text a value.
 */
static enum senml_error
decode_data(struct json *j, struct senml_span *span)
{
        char *text = j->r.pack->text + span->offset;
        uint32_t bits = 0;
        unsigned have = 0, out = 0;

        for (unsigned i = 0; i < span->bytes; i++) {
                uint8_t c = (uint8_t)text[i];
                unsigned value;

                if (c >= 'A' && c <= 'Z')
                        value = c - 'A';
                else if (c >= 'a' && c <= 'z')
                        value = c - 'a' + 26u;
                else if (c >= '0' && c <= '9')
                        value = c - '0' + 52u;
                else if (c == '-')
                        value = 62;
                else if (c == '_')
                        value = 63;
                else
                        return SENML_DATA;
                bits = bits << 6 | value;
                have += 6;
                if (have >= 8) {
                        have -= 8;
                        text[out++] = (char)(bits >> have);
                        bits &= (1u << have) - 1;
                }
        }
        if (have == 6 || bits != 0)
                return SENML_DATA;
        span->bytes = (uint16_t)out;
        return SENML_OK;
}

static inline enum senml_error
read_value(struct json *j, enum label label)
{
        enum senml_error error;

        if (j->p == j->end)
                return SENML_TRUNCATED;
        switch (label) {
        case LABEL_BN:
        case LABEL_BU:
        case LABEL_N:
        case LABEL_U:
        case LABEL_VS:
        case LABEL_VD:
                if (*j->p != '"')
                        return SENML_TYPE;
                j->p++;
                error = read_string(j, &j->r.string[label]);
                if (error == SENML_OK && label == LABEL_VD)
                        error = decode_data(j, &j->r.string[label]);
                return error;
        case LABEL_VB:
                if (*j->p != 't' && *j->p != 'f')
                        return SENML_TYPE;
                j->r.boolean = *j->p == 't';
                return j->r.boolean ? read_word(j, "true", 4) : read_word(j, "false", 5);
        case LABEL_UNKNOWN:
                return skip_value(j);
        default:
                if (*j->p != '-' && (unsigned)*j->p - '0' > 9)
                        return SENML_TYPE;
                return read_number(j, &j->r.number[label]);
        }
}

/* The label behind an opening quote, to behind its closing one. Known labels leave no text. */
static inline enum senml_error
read_label(struct json *j, enum label *label)
{
        unsigned text_bytes = j->r.text_bytes;
        struct senml_span span;
        enum senml_error error;

        error = read_string(j, &span);
        if (error != SENML_OK)
                return error;
        *label = label_find(j->r.pack, span);
        if (*label == LABEL_UNKNOWN)
                return resolver_unknown_text(&j->r, span);
        j->r.text_bytes = text_bytes;
        if (j->r.seen & 1u << *label)
                return SENML_DUPLICATE_LABEL;
        j->r.seen |= 1u << *label;
        return SENML_OK;
}

/* p stands behind the opening brace. */
static enum senml_error
read_record(struct json *j)
{
        enum senml_error error;
        enum label label;

        skip_space(j);
        if (j->p < j->end && *j->p == '}') {
                j->p++;
                return resolver_end_record(&j->r);
        }
        for (;;) {
                error = expect(j, '"');
                if (error == SENML_OK)
                        error = read_label(j, &label);
                if (error != SENML_OK)
                        return error;
                skip_space(j);
                error = expect(j, ':');
                if (error != SENML_OK)
                        return error;
                skip_space(j);
                error = read_value(j, label);
                if (error != SENML_OK)
                        return error;
                skip_space(j);
                if (j->p < j->end && *j->p == '}') {
                        j->p++;
                        return resolver_end_record(&j->r);
                }
                error = expect(j, ',');
                if (error != SENML_OK)
                        return error;
                skip_space(j);
        }
}

static enum senml_error
read_pack(struct json *j)
{
        enum senml_error error;

        skip_space(j);
        error = expect(j, '[');
        if (error != SENML_OK)
                return error == SENML_SYNTAX ? SENML_NOT_ARRAY : error;
        skip_space(j);
        if (j->p < j->end && *j->p == ']') {
                j->p++;
                skip_space(j);
                return j->p == j->end ? SENML_OK : SENML_TRAILING;
        }
        for (;;) {
                error = expect(j, '{');
                if (error != SENML_OK)
                        return error == SENML_SYNTAX ? SENML_NOT_RECORD : error;
                error = read_record(j);
                if (error != SENML_OK)
                        return error;
                skip_space(j);
                if (j->p < j->end && *j->p == ']') {
                        j->p++;
                        break;
                }
                error = expect(j, ',');
                if (error != SENML_OK)
                        return error;
                skip_space(j);
        }
        skip_space(j);
        return j->p == j->end ? SENML_OK : SENML_TRAILING;
}

enum senml_error
senml_parse_json(struct senml_pack *pack, const uint8_t *in, size_t n, int64_t now_ns)
{
        struct json j;
        enum senml_error error;

        resolver_start(&j.r, pack, now_ns);
        if (n > SENML_INPUT_BYTES_MAX)
                return resolver_end(&j.r, SENML_TOO_LONG, SENML_INPUT_BYTES_MAX);
        if (n == 0)
                return resolver_end(&j.r, SENML_TRUNCATED, 0);
        j.p = in;
        j.end = in + n;
        error = read_pack(&j);
        return resolver_end(&j.r, error, (size_t)(j.p - in));
}
