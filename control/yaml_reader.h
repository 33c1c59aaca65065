/* SPDX-License-Identifier: Apache-2.0 */
/* A strict reader of small YAML files over libyaml's events: one document, block or flow, plain or
 * quoted scalars; no aliases, anchors or tags. Every error names its line and column. The caller's
 * tables bound the depth: what no table expects is refused before it is read. */
#ifndef AORTA_CONTROL_YAML_READER_H
#define AORTA_CONTROL_YAML_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yaml.h>

#define YAML_FILE_BYTES_MAX (1u << 20)
#define YAML_KEYS_MAX       32u /* in one table */

struct yaml_reader {
        yaml_parser_t parser;
        yaml_event_t event; /* the current one */
        bool held;          /* event is to be freed */
        const char *name;   /* of the file, for messages */
        char *why;
        size_t why_bytes;
};

/* A key of a mapping: read() gets the current event, the key's value, and consumes what belongs to
 * it. 0 or -errno with why set. */
struct yaml_key {
        const char *name;
        int (*read)(struct yaml_reader *reader, const struct yaml_key *key, void *user);
        size_t offset;      /* of the field in what user points to */
        uint64_t low, high; /* of a number, or lengths of a text; both included */
        bool given;         /* set when read: a key may come once */
};

/* Starts at the first event of the document's root. An empty document: event.type is
 * YAML_STREAM_END_EVENT. */
int yaml_reader_open(struct yaml_reader *reader, const char *text, size_t text_bytes,
    const char *name, char *why, size_t why_bytes);
/* After the root was read: nothing may follow. */
int yaml_reader_end(struct yaml_reader *reader);
void yaml_reader_close(struct yaml_reader *reader);

/* The next event. */
int yaml_next(struct yaml_reader *reader);
/* Sets why to "FILE:LINE:COLUMN: ..." of the current event; returns -EINVAL. */
int yaml_fail(struct yaml_reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Reads the mapping that starts at the current event by a table of n keys. what names the mapping
 * in messages. */
int yaml_read_mapping(
    struct yaml_reader *reader, const char *what, struct yaml_key *keys, unsigned n, void *user);
/* Calls item() for each entry of the sequence that starts at the current event: low to high. */
int yaml_read_sequence(struct yaml_reader *reader, const char *what, unsigned low, unsigned high,
    int (*item)(struct yaml_reader *reader, const char *what, unsigned i, void *user), void *user);
/* The current event as a scalar: no NUL in it. */
int yaml_read_text(
    struct yaml_reader *reader, const char *what, uint64_t low, uint64_t high, const char **text);
int yaml_read_number(
    struct yaml_reader *reader, const char *what, uint64_t low, uint64_t high, uint64_t *number);
int yaml_read_bool(struct yaml_reader *reader, const char *what, bool *value);
/* The index of the word in a NULL-terminated list. */
int yaml_read_word(
    struct yaml_reader *reader, const char *what, const char *const *words, unsigned *index);

#endif
