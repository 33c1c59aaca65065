/* SPDX-License-Identifier: Apache-2.0 */
#include "control/yaml_reader.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_CHARS_MAX  40 /* of a value, in a message */
#define NUMBER_CHARS_MAX 20 /* digits of the largest uint64_t */

static int
fail_at(struct yaml_reader *reader, yaml_mark_t mark, const char *format, va_list list)
{
        int n = snprintf(reader->why, reader->why_bytes, "%s:%zu:%zu: ", reader->name,
            mark.line + 1, mark.column + 1);

        if (n >= 0 && (size_t)n < reader->why_bytes)
                vsnprintf(reader->why + n, reader->why_bytes - (size_t)n, format, list);
        return -EINVAL;
}

int
yaml_fail(struct yaml_reader *reader, const char *format, ...)
{
        va_list list;
        int rc;

        va_start(list, format);
        rc = fail_at(reader, reader->event.start_mark, format, list);
        va_end(list);
        return rc;
}

static int
fail_parser(struct yaml_reader *reader, yaml_mark_t mark, const char *format, ...)
{
        va_list list;
        int rc;

        va_start(list, format);
        rc = fail_at(reader, mark, format, list);
        va_end(list);
        return rc;
}

static void
release(struct yaml_reader *reader)
{
        if (reader->held)
                yaml_event_delete(&reader->event);
        reader->held = false;
}

/* Anchors, aliases and tags have no use here, and aliases make small files large. */
static int
refuse_indirection(struct yaml_reader *reader)
{
        const yaml_event_t *event = &reader->event;
        const yaml_char_t *anchor = NULL, *tag = NULL;

        switch (event->type) {
        case YAML_ALIAS_EVENT:
                return yaml_fail(reader, "aliases are not allowed: write the value out");
        case YAML_SCALAR_EVENT:
                anchor = event->data.scalar.anchor;
                tag = event->data.scalar.tag;
                break;
        case YAML_SEQUENCE_START_EVENT:
                anchor = event->data.sequence_start.anchor;
                tag = event->data.sequence_start.tag;
                break;
        case YAML_MAPPING_START_EVENT:
                anchor = event->data.mapping_start.anchor;
                tag = event->data.mapping_start.tag;
                break;
        default:
                break;
        }
        if (anchor != NULL)
                return yaml_fail(reader, "anchors are not allowed: remove the &name");
        if (tag != NULL)
                return yaml_fail(reader, "tags are not allowed: remove the !tag");
        return 0;
}

int
yaml_next(struct yaml_reader *reader)
{
        release(reader);
        if (!yaml_parser_parse(&reader->parser, &reader->event)) {
                const yaml_parser_t *parser = &reader->parser;

                if (parser->error == YAML_MEMORY_ERROR)
                        return -ENOMEM;
                return fail_parser(reader,
                    parser->error == YAML_READER_ERROR ? parser->mark : parser->problem_mark,
                    "not valid YAML: %s", parser->problem != NULL ? parser->problem : "unreadable");
        }
        reader->held = true;
        return refuse_indirection(reader);
}

int
yaml_reader_open(struct yaml_reader *reader, const char *text, size_t text_bytes, const char *name,
    char *why, size_t why_bytes)
{
        int rc;

        memset(reader, 0, sizeof(*reader));
        reader->name = name;
        reader->why = why;
        reader->why_bytes = why_bytes;
        if (!yaml_parser_initialize(&reader->parser))
                return -ENOMEM;
        yaml_parser_set_input_string(&reader->parser, (const unsigned char *)text, text_bytes);
        yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING);
        do {
                rc = yaml_next(reader);
        } while (rc == 0 && (reader->event.type == YAML_STREAM_START_EVENT ||
                                reader->event.type == YAML_DOCUMENT_START_EVENT));
        if (rc != 0)
                yaml_reader_close(reader);
        return rc;
}

int
yaml_reader_end(struct yaml_reader *reader)
{
        int rc = yaml_next(reader);

        if (rc == 0 && reader->event.type == YAML_DOCUMENT_END_EVENT)
                rc = yaml_next(reader);
        if (rc == 0 && reader->event.type != YAML_STREAM_END_EVENT)
                rc = yaml_fail(reader, "a second document: keep one in a file");
        return rc;
}

void
yaml_reader_close(struct yaml_reader *reader)
{
        release(reader);
        yaml_parser_delete(&reader->parser);
}

/* A key or value for a message: shortened, and with nothing a terminal would act on. */
static const char *
shown(const yaml_event_t *event, char out[SHOWN_CHARS_MAX + 4])
{
        const unsigned char *in = event->data.scalar.value;
        size_t n = event->data.scalar.length, i;

        for (i = 0; i < n && i < SHOWN_CHARS_MAX; i++)
                out[i] = in[i] >= 0x20 && in[i] < 0x7f ? (char)in[i] : '?';
        strcpy(out + i, i < n ? "..." : "");
        return out;
}

static const char *
kind_name(const yaml_event_t *event)
{
        switch (event->type) {
        case YAML_MAPPING_START_EVENT:
                return "a mapping";
        case YAML_SEQUENCE_START_EVENT:
                return "a list";
        case YAML_SCALAR_EVENT:
                return event->data.scalar.length == 0 ? "nothing" : "a single value";
        default:
                return "the end";
        }
}

static int
fail_unknown_key(
    struct yaml_reader *reader, const char *what, const struct yaml_key *keys, unsigned n)
{
        char list[256] = "", text[SHOWN_CHARS_MAX + 4];
        size_t used = 0;

        for (unsigned i = 0; i < n && used < sizeof(list); i++) {
                int k = snprintf(
                    list + used, sizeof(list) - used, "%s%s", i > 0 ? ", " : "", keys[i].name);

                assert(k > 0);
                used += (size_t)k;
        }
        return yaml_fail(reader, "unknown key \"%s\" in %s: the keys are %s",
            shown(&reader->event, text), what, list);
}

static struct yaml_key *
find_key(const struct yaml_reader *reader, struct yaml_key *keys, unsigned n)
{
        const char *text = (const char *)reader->event.data.scalar.value;
        size_t bytes = reader->event.data.scalar.length;

        for (unsigned i = 0; i < n; i++)
                if (strlen(keys[i].name) == bytes && memcmp(keys[i].name, text, bytes) == 0)
                        return &keys[i];
        return NULL;
}

int
yaml_read_mapping(
    struct yaml_reader *reader, const char *what, struct yaml_key *keys, unsigned n, void *user)
{
        struct yaml_key *key;
        int rc;

        assert(n <= YAML_KEYS_MAX);
        if (reader->event.type != YAML_MAPPING_START_EVENT)
                return yaml_fail(reader, "%s must be a mapping of keys to values, not %s", what,
                    kind_name(&reader->event));
        for (;;) {
                rc = yaml_next(reader);
                if (rc != 0)
                        return rc;
                if (reader->event.type == YAML_MAPPING_END_EVENT)
                        return 0;
                if (reader->event.type != YAML_SCALAR_EVENT)
                        return yaml_fail(reader, "a key of %s must be a word, not %s", what,
                            kind_name(&reader->event));
                key = find_key(reader, keys, n);
                if (key == NULL)
                        return fail_unknown_key(reader, what, keys, n);
                if (key->given)
                        return yaml_fail(
                            reader, "key \"%s\" is given twice in %s: keep one", key->name, what);
                key->given = true;
                rc = yaml_next(reader);
                if (rc == 0)
                        rc = key->read(reader, key, user);
                if (rc != 0)
                        return rc;
        }
}

int
yaml_read_sequence(struct yaml_reader *reader, const char *what, unsigned low, unsigned high,
    int (*item)(struct yaml_reader *reader, const char *what, unsigned i, void *user), void *user)
{
        unsigned i;
        int rc;

        if (reader->event.type != YAML_SEQUENCE_START_EVENT)
                return yaml_fail(
                    reader, "%s must be a list, not %s", what, kind_name(&reader->event));
        for (i = 0;; i++) {
                rc = yaml_next(reader);
                if (rc != 0)
                        return rc;
                if (reader->event.type == YAML_SEQUENCE_END_EVENT)
                        break;
                if (i == high)
                        return yaml_fail(reader, "%s has too many entries: at most %u", what, high);
                rc = item(reader, what, i, user);
                if (rc != 0)
                        return rc;
        }
        if (i < low)
                return yaml_fail(reader, "%s has too few entries: at least %u", what, low);
        return 0;
}

int
yaml_read_text(
    struct yaml_reader *reader, const char *what, uint64_t low, uint64_t high, const char **text)
{
        const yaml_event_t *event = &reader->event;

        if (event->type != YAML_SCALAR_EVENT)
                return yaml_fail(reader, "%s must be a text, not %s", what, kind_name(event));
        *text = (const char *)event->data.scalar.value;
        if (event->data.scalar.length < low || event->data.scalar.length > high)
                return yaml_fail(
                    reader, "%s must have %" PRIu64 " to %" PRIu64 " bytes", what, low, high);
        for (size_t i = 0; i < event->data.scalar.length; i++)
                if ((unsigned char)(*text)[i] < 0x20 || (*text)[i] == 0x7f)
                        return yaml_fail(reader, "%s holds a control character", what);
        return 0;
}

int
yaml_read_number(
    struct yaml_reader *reader, const char *what, uint64_t low, uint64_t high, uint64_t *number)
{
        const yaml_event_t *event = &reader->event;
        char text[SHOWN_CHARS_MAX + 4];
        uint64_t value = 0;
        bool good;

        if (event->type != YAML_SCALAR_EVENT)
                return yaml_fail(reader,
                    "%s must be a number from %" PRIu64 " to %" PRIu64 ", not %s", what, low, high,
                    kind_name(event));
        good = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
               event->data.scalar.length > 0 && event->data.scalar.length <= NUMBER_CHARS_MAX;
        for (size_t i = 0; good && i < event->data.scalar.length; i++) {
                unsigned char c = event->data.scalar.value[i];

                good = c >= '0' && c <= '9' && !__builtin_mul_overflow(value, 10, &value) &&
                       !__builtin_add_overflow(value, (uint64_t)(c - '0'), &value);
        }
        /* A leading zero is octal to some readers of YAML and decimal to others. */
        if (good && event->data.scalar.length > 1 && event->data.scalar.value[0] == '0')
                good = false;
        if (!good || value < low || value > high)
                return yaml_fail(reader,
                    "%s must be a number from %" PRIu64 " to %" PRIu64 ", not \"%s\"", what, low,
                    high, shown(event, text));
        *number = value;
        return 0;
}

int
yaml_read_word(
    struct yaml_reader *reader, const char *what, const char *const *words, unsigned *index)
{
        const yaml_event_t *event = &reader->event;
        char list[128] = "", text[SHOWN_CHARS_MAX + 4];
        size_t used = 0;

        if (event->type == YAML_SCALAR_EVENT)
                for (unsigned i = 0; words[i] != NULL; i++)
                        if (strlen(words[i]) == event->data.scalar.length &&
                            memcmp(words[i], event->data.scalar.value, event->data.scalar.length) ==
                                0) {
                                *index = i;
                                return 0;
                        }
        for (unsigned i = 0; words[i] != NULL && used < sizeof(list); i++)
                used += (size_t)snprintf(
                    list + used, sizeof(list) - used, "%s%s", i > 0 ? ", " : "", words[i]);
        return yaml_fail(reader, "%s must be one of %s, not %s%s%s", what, list,
            event->type == YAML_SCALAR_EVENT ? "\"" : "",
            event->type == YAML_SCALAR_EVENT ? shown(event, text) : kind_name(event),
            event->type == YAML_SCALAR_EVENT ? "\"" : "");
}

int
yaml_read_bool(struct yaml_reader *reader, const char *what, bool *value)
{
        static const char *const words[] = {"false", "true", NULL};
        unsigned index;
        int rc;

        if (reader->event.type == YAML_SCALAR_EVENT &&
            reader->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
                return yaml_fail(reader, "%s must be true or false, without quotes", what);
        rc = yaml_read_word(reader, what, words, &index);
        if (rc == 0)
                *value = index == 1;
        return rc;
}
