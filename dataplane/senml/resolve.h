/* SPDX-License-Identifier: Apache-2.0 */
/* What the JSON and the CBOR parser share: the fields of the record being read, the base fields in
 * force, and how a record is resolved. Private to dataplane/senml. */
#ifndef AORTA_SENML_RESOLVE_H
#define AORTA_SENML_RESOLVE_H

#include "dataplane/senml/senml.h"

/* JSON label, CBOR label (RFC 8428 §4.3, §6). */
#define SENML_LABELS(X)                                                                            \
        X(BVER, "bver", -1)                                                                        \
        X(BN, "bn", -2)                                                                            \
        X(BT, "bt", -3)                                                                            \
        X(BU, "bu", -4)                                                                            \
        X(BV, "bv", -5)                                                                            \
        X(BS, "bs", -6)                                                                            \
        X(N, "n", 0)                                                                               \
        X(U, "u", 1)                                                                               \
        X(V, "v", 2)                                                                               \
        X(VS, "vs", 3)                                                                             \
        X(VB, "vb", 4)                                                                             \
        X(S, "s", 5)                                                                               \
        X(T, "t", 6)                                                                               \
        X(UT, "ut", 7)                                                                             \
        X(VD, "vd", 8)

enum label {
#define X(name, json, cbor) LABEL_##name,
        SENML_LABELS(X)
#undef X
            LABEL_UNKNOWN
};

#define LABEL_CBOR_MIN (-6)
#define LABEL_CBOR_MAX 8

#define SEEN(label) (1u << LABEL_##label)
#define SEEN_VALUE  (SEEN(V) | SEEN(VS) | SEEN(VB) | SEEN(VD))
#define SEEN_BASES  (SEEN(BVER) | SEEN(BN) | SEEN(BT) | SEEN(BU) | SEEN(BV) | SEEN(BS))

/* An unknown label of the record, kept to find it twice. */
struct unknown_label {
        int64_t number;         /* CBOR integers */
        struct senml_span text; /* number is 0: text labels; integers this small are all known */
};

struct resolver {
        struct senml_pack *pack;
        int64_t now_ns;
        unsigned text_bytes; /* of pack->text */
        unsigned read;       /* records read, those of base fields alone too */
        unsigned records;    /* records resolved */

        /* Base fields in force; absent numbers are zero, absent strings empty. */
        unsigned bases; /* SEEN() of those that a record has given */
        struct senml_span base_name, base_unit;
        struct decimal base_time, base_value, base_sum;

        /* The record being read: numbers and strings by label. */
        unsigned seen;
        unsigned unknowns;
        bool boolean;
        struct decimal number[LABEL_UNKNOWN];
        struct senml_span string[LABEL_UNKNOWN];
        struct unknown_label unknown[SENML_UNKNOWN_LABELS_MAX];
};

void resolver_start(struct resolver *, struct senml_pack *, int64_t now_ns);

/* Resolves the record that has been read into the pack, and starts the next. One of base fields
 * alone only sets them: RFC 8428 §4.2 wants a value in each, but its own example in §5.1.7 begins
 * so. */
enum senml_error resolver_end_record(struct resolver *);

/* Done: the pack has its records, or none and the place of the error. */
enum senml_error resolver_end(struct resolver *, enum senml_error, size_t failed_at);

/* An unknown label: refused when it must be understood or came before. label's text stays in the
 * pack. */
enum senml_error resolver_unknown_text(struct resolver *, struct senml_span label);
enum senml_error resolver_unknown_number(struct resolver *, int64_t label);

/* The label with this JSON spelling, or LABEL_UNKNOWN. */
enum label label_find(const struct senml_pack *, struct senml_span);

/* Length of the valid UTF-8 sequence at p (RFC 3629), 0 when there is none. */
unsigned utf8_sequence(const uint8_t *p, const uint8_t *end);

#endif
