// SPDX-License-Identifier: Apache-2.0
/* SenML CBOR (RFC 8428 §6) by RFC 8949. Definite and indefinite lengths; a length that the bytes
 * left cannot hold is refused where it is read, so that no loop outlives the input. */
#include "dataplane/senml/resolve.h"

#include <assert.h>
#include <string.h>

enum major {
        MAJOR_UNSIGNED,
        MAJOR_NEGATIVE,
        MAJOR_BYTES,
        MAJOR_TEXT,
        MAJOR_ARRAY,
        MAJOR_MAP,
        MAJOR_TAG,
        MAJOR_SIMPLE,
};

#define INFO_BYTE              24 /* 24..27: the argument follows in 1, 2, 4, 8 bytes */
#define INFO_HALF              25
#define INFO_SINGLE            26
#define INFO_DOUBLE            27
#define INFO_INDEFINITE        31
#define SIMPLE_FALSE           20
#define SIMPLE_TRUE            21
#define SIMPLE_TWO_BYTES_LEAST 32 /* RFC 8949 §3.3 */
#define TAG_DECIMAL_FRACTION   4
#define BREAK                  0xff

struct cbor {
        const uint8_t *p, *end;
        struct resolver r;
};

/* A data item's head. */
struct head {
        uint64_t argument;
        uint8_t major;
        uint8_t info;
};

static inline size_t
left(const struct cbor *c)
{
        return (size_t)(c->end - c->p);
}

static inline enum senml_error
read_head(struct cbor *c, struct head *head)
{
        unsigned bytes;

        if (c->p == c->end)
                return SENML_TRUNCATED;
        head->major = *c->p >> 5;
        head->info = *c->p & 0x1f;
        c->p++;
        head->argument = head->info;
        if (head->info < INFO_BYTE)
                return SENML_OK;
        if (head->info == INFO_INDEFINITE) {
                /* Indefinite strings, arrays, maps; a break. */
                bool allowed = (head->major >= MAJOR_BYTES && head->major <= MAJOR_MAP) ||
                               head->major == MAJOR_SIMPLE;

                return allowed ? SENML_OK : SENML_SYNTAX;
        }
        if (head->info > INFO_DOUBLE)
                return SENML_SYNTAX;
        bytes = 1u << (head->info - INFO_BYTE);
        if (left(c) < bytes)
                return SENML_TRUNCATED;
        head->argument = 0;
        for (unsigned i = 0; i < bytes; i++)
                head->argument = head->argument << 8 | c->p[i];
        c->p += bytes;
        if (head->major == MAJOR_SIMPLE && head->info == INFO_BYTE &&
            head->argument < SIMPLE_TWO_BYTES_LEAST)
                return SENML_SYNTAX;
        return SENML_OK;
}

static inline bool
is_break(const struct head *head)
{
        return head->major == MAJOR_SIMPLE && head->info == INFO_INDEFINITE;
}

/* A chunk of a string, or a whole one, behind the pack's text. */
static inline enum senml_error
read_chunk(struct cbor *c, const struct head *head)
{
        const uint8_t *p = c->p, *end;
        char *out = c->r.pack->text + c->r.text_bytes;

        if (head->argument > left(c))
                return SENML_TRUNCATED;
        end = p + head->argument;
        assert(c->r.text_bytes + head->argument <= SENML_TEXT_BYTES);
        memcpy(out, p, (size_t)(end - p));
        if (head->major == MAJOR_TEXT) {
                while (p < end) {
                        unsigned n = utf8_sequence(p, end);
                        uint64_t w;

                        if (n == 0)
                                return SENML_UTF8;
                        p += n;
                        while (end - p >= 8) {
                                memcpy(&w, p, 8);
                                if (w & 0x8080808080808080u)
                                        break;
                                p += 8;
                        }
                }
        }
        c->r.text_bytes += (unsigned)head->argument;
        c->p = end;
        return SENML_OK;
}

/* The string whose head has been read, into the pack's text (RFC 8949 §3.2.3: the chunks of an
 * indefinite one are definite and of its kind, each valid in itself). */
static inline enum senml_error
read_string(struct cbor *c, const struct head *head, struct senml_span *span)
{
        enum senml_error error;

        span->offset = (uint16_t)c->r.text_bytes;
        if (head->info != INFO_INDEFINITE) {
                error = read_chunk(c, head);
                if (error != SENML_OK)
                        return error;
        } else {
                for (;;) {
                        struct head chunk;

                        error = read_head(c, &chunk);
                        if (error != SENML_OK)
                                return error;
                        if (is_break(&chunk))
                                break;
                        if (chunk.major != head->major || chunk.info == INFO_INDEFINITE)
                                return SENML_SYNTAX;
                        error = read_chunk(c, &chunk);
                        if (error != SENML_OK)
                                return error;
                }
        }
        span->bytes = (uint16_t)(c->r.text_bytes - span->offset);
        return SENML_OK;
}

/* Refuses more items than the bytes left can hold, each of them one byte at least. */
static inline enum senml_error
check_count(const struct cbor *c, const struct head *head)
{
        uint64_t bytes = left(c);

        if (head->info == INFO_INDEFINITE)
                return SENML_OK;
        return head->argument > (head->major == MAJOR_MAP ? bytes / 2 : bytes) ? SENML_TRUNCATED
                                                                               : SENML_OK;
}

/* An open array or map of a skipped value: a map counts keys and values. */
struct level {
        uint64_t items; /* still to come; of an indefinite one: read so far */
        bool indefinite, map;
};

/* An item that stands alone: everything but arrays, maps, tags, breaks. */
static enum senml_error
skip_scalar(struct cbor *c, const struct head *head)
{
        unsigned text_bytes = c->r.text_bytes;
        struct senml_span unused;
        enum senml_error error = SENML_OK;

        if (head->major == MAJOR_BYTES || head->major == MAJOR_TEXT)
                error = read_string(c, head, &unused);
        c->r.text_bytes = text_bytes;
        return error;
}

/* Any value, checked for being well-formed and forgotten. */
static enum senml_error
skip_value(struct cbor *c)
{
        struct level levels[SENML_DEPTH_MAX + 1] = {{.items = 1}};
        struct level *level = levels;
        bool tagged = false; /* a tag wants its item */

        for (;;) {
                struct head head;
                enum senml_error error;

                while (!level->indefinite && level->items == 0) {
                        if (level == levels)
                                return SENML_OK;
                        level--;
                }
                error = read_head(c, &head);
                if (error != SENML_OK)
                        return error;
                if (is_break(&head)) {
                        if (!level->indefinite || tagged || (level->map && (level->items & 1)))
                                return SENML_SYNTAX;
                        level--;
                        continue;
                }
                tagged = head.major == MAJOR_TAG;
                if (tagged)
                        continue;
                level->items += level->indefinite ? 1 : -1;
                if (head.major == MAJOR_ARRAY || head.major == MAJOR_MAP) {
                        bool map = head.major == MAJOR_MAP;

                        error = check_count(c, &head);
                        if (error != SENML_OK)
                                return error;
                        if (level == &levels[SENML_DEPTH_MAX])
                                return SENML_DEPTH;
                        *++level = (struct level){.map = map,
                            .indefinite = head.info == INFO_INDEFINITE,
                            .items =
                                head.info == INFO_INDEFINITE ? 0 : head.argument << (map ? 1 : 0)};
                        continue;
                }
                error = skip_scalar(c, &head);
                if (error != SENML_OK)
                        return error;
        }
}

static inline enum senml_error
read_integer(struct cbor *c, uint64_t *magnitude, bool *negative)
{
        struct head head;
        enum senml_error error = read_head(c, &head);

        if (error != SENML_OK)
                return error;
        if (head.major != MAJOR_UNSIGNED && head.major != MAJOR_NEGATIVE)
                return SENML_TYPE;
        *magnitude = head.argument;
        *negative = head.major == MAJOR_NEGATIVE;
        return SENML_OK;
}

/* RFC 8949 §3.4.4: an array of exponent and mantissa. */
static enum senml_error
read_decimal_fraction(struct cbor *c, struct decimal *number)
{
        uint64_t exponent, magnitude;
        bool exponent_negative, negative;
        struct decimal mantissa;
        struct head head;
        enum senml_error error = read_head(c, &head);

        if (error != SENML_OK)
                return error;
        if (head.major != MAJOR_ARRAY || (head.info != INFO_INDEFINITE && head.argument != 2))
                return SENML_TYPE;
        error = read_integer(c, &exponent, &exponent_negative);
        if (error == SENML_OK)
                error = read_integer(c, &magnitude, &negative);
        if (error != SENML_OK)
                return error;
        if (head.info == INFO_INDEFINITE) {
                if (c->p == c->end)
                        return SENML_TRUNCATED;
                if (*c->p++ != BREAK)
                        return SENML_TYPE;
        }
        mantissa = decimal_from_cbor_integer(magnitude, negative);
        if (exponent > 4 * DECIMAL_EXPONENT_MAX)
                exponent = 4 * DECIMAL_EXPONENT_MAX; /* out of range, or of zero */
        if (decimal_make(number, mantissa.mantissa,
                mantissa.exponent10 +
                    (exponent_negative ? -1 - (int64_t)exponent : (int64_t)exponent)) < 0)
                return SENML_NUMBER_RANGE;
        return SENML_OK;
}

static inline enum senml_error
read_number(struct cbor *c, const struct head *head, struct decimal *number)
{
        int rc;

        switch (head->major) {
        case MAJOR_UNSIGNED:
        case MAJOR_NEGATIVE:
                *number = decimal_from_cbor_integer(head->argument, head->major == MAJOR_NEGATIVE);
                return SENML_OK;
        case MAJOR_TAG:
                if (head->argument != TAG_DECIMAL_FRACTION)
                        return SENML_TYPE;
                return read_decimal_fraction(c, number);
        case MAJOR_SIMPLE:
                break;
        default:
                return SENML_TYPE;
        }
        if (head->info == INFO_DOUBLE)
                rc = decimal_from_double(number, head->argument);
        else if (head->info == INFO_SINGLE)
                rc = decimal_from_single(number, (uint32_t)head->argument);
        else if (head->info == INFO_HALF)
                rc = decimal_from_half(number, (uint16_t)head->argument);
        else
                return SENML_TYPE;
        return rc < 0 ? SENML_NUMBER_RANGE : SENML_OK;
}

static inline enum senml_error
read_value(struct cbor *c, enum label label)
{
        struct head head;
        enum senml_error error;
        uint8_t major = MAJOR_TEXT;

        if (label == LABEL_UNKNOWN)
                return skip_value(c);
        error = read_head(c, &head);
        if (error != SENML_OK)
                return error;
        switch (label) {
        case LABEL_VD:
                major = MAJOR_BYTES;
                /* fall through */
        case LABEL_BN:
        case LABEL_BU:
        case LABEL_N:
        case LABEL_U:
        case LABEL_VS:
                if (head.major != major)
                        return SENML_TYPE;
                return read_string(c, &head, &c->r.string[label]);
        case LABEL_VB:
                if (head.major != MAJOR_SIMPLE ||
                    (head.info != SIMPLE_FALSE && head.info != SIMPLE_TRUE))
                        return SENML_TYPE;
                c->r.boolean = head.info == SIMPLE_TRUE;
                return SENML_OK;
        case LABEL_BVER:
                if (head.major != MAJOR_UNSIGNED)
                        return SENML_TYPE; /* RFC 8428 §6: only an unsigned integer */
                /* fall through */
        default:
                return read_number(c, &head, &c->r.number[label]);
        }
}

static const uint8_t cbor_labels[LABEL_CBOR_MAX - LABEL_CBOR_MIN + 1] = {
#define X(name, json, cbor) [(cbor)-LABEL_CBOR_MIN] = LABEL_##name,
    SENML_LABELS(X)
#undef X
};

static enum senml_error
read_text_label(struct cbor *c, const struct head *head, enum label *label)
{
        struct senml_span span;
        enum senml_error error = read_string(c, head, &span);

        if (error != SENML_OK)
                return error;
        /* RFC 8428 §6: known labels are integers here. "n" would be a second name for one. */
        if (label_find(c->r.pack, span) != LABEL_UNKNOWN)
                return SENML_LABEL;
        *label = LABEL_UNKNOWN;
        return resolver_unknown_text(&c->r, span);
}

/* The label whose head has been read. */
static inline enum senml_error
read_label(struct cbor *c, const struct head *head, enum label *label)
{
        int64_t number;

        if (head->major == MAJOR_TEXT)
                return read_text_label(c, head, label);
        if (head->major > MAJOR_NEGATIVE || head->argument > INT64_MAX)
                return SENML_LABEL;
        number =
            head->major == MAJOR_UNSIGNED ? (int64_t)head->argument : -1 - (int64_t)head->argument;
        if (number < LABEL_CBOR_MIN || number > LABEL_CBOR_MAX) {
                *label = LABEL_UNKNOWN;
                return resolver_unknown_number(&c->r, number);
        }
        *label = (enum label)cbor_labels[number - LABEL_CBOR_MIN];
        if (c->r.seen & 1u << *label)
                return SENML_DUPLICATE_LABEL;
        c->r.seen |= 1u << *label;
        return SENML_OK;
}

/* A record whose head has been read. */
static enum senml_error
read_record(struct cbor *c, const struct head *map)
{
        bool indefinite = map->info == INFO_INDEFINITE;
        enum senml_error error;

        if (map->major != MAJOR_MAP)
                return SENML_NOT_RECORD;
        error = check_count(c, map);
        if (error != SENML_OK)
                return error;
        for (uint64_t pairs = map->argument; indefinite || pairs > 0; pairs--) {
                struct head head;
                enum label label;

                error = read_head(c, &head);
                if (error != SENML_OK)
                        return error;
                if (indefinite && is_break(&head))
                        break;
                error = read_label(c, &head, &label);
                if (error != SENML_OK)
                        return error;
                error = read_value(c, label);
                if (error != SENML_OK)
                        return error;
        }
        return resolver_end_record(&c->r);
}

static enum senml_error
read_pack(struct cbor *c)
{
        struct head array, head;
        enum senml_error error;
        bool indefinite;

        error = read_head(c, &array);
        if (error != SENML_OK)
                return error;
        if (array.major != MAJOR_ARRAY)
                return SENML_NOT_ARRAY;
        indefinite = array.info == INFO_INDEFINITE;
        error = check_count(c, &array);
        if (error != SENML_OK)
                return error;
        if (!indefinite && array.argument > SENML_RECORDS_MAX)
                return SENML_TOO_MANY;
        for (uint64_t records = array.argument; indefinite || records > 0; records--) {
                error = read_head(c, &head);
                if (error != SENML_OK)
                        return error;
                if (indefinite && is_break(&head))
                        break;
                error = read_record(c, &head);
                if (error != SENML_OK)
                        return error;
        }
        return c->p == c->end ? SENML_OK : SENML_TRAILING;
}

enum senml_error
senml_parse_cbor(struct senml_pack *pack, const uint8_t *in, size_t n, int64_t now_ns)
{
        struct cbor c;
        enum senml_error error;

        resolver_start(&c.r, pack, now_ns);
        if (n > SENML_INPUT_BYTES_MAX)
                return resolver_end(&c.r, SENML_TOO_LONG, SENML_INPUT_BYTES_MAX);
        if (n == 0)
                return resolver_end(&c.r, SENML_TRUNCATED, 0);
        c.p = in;
        c.end = in + n;
        error = read_pack(&c);
        return resolver_end(&c.r, error, (size_t)(c.p - in));
}
