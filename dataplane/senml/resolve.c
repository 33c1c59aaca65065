// SPDX-License-Identifier: Apache-2.0
#include "dataplane/senml/resolve.h"

#include <assert.h>
#include <string.h>

#define NANOSECONDS 1000000000

static_assert(SENML_TEXT_BYTES <= UINT16_MAX, "spans have 16 bits");
static_assert(sizeof(struct senml_pack) <= 20 * 1024, "a worker's scratch");

static const char *const error_text[SENML_ERROR_COUNT] = {
#define X(name, text) [SENML_##name] = text,
    SENML_ERRORS(X)
#undef X
};

const char *
senml_error_text(enum senml_error error)
{
        if ((unsigned)error >= SENML_ERROR_COUNT)
                return "unknown error";
        return error_text[error];
}

#define LABEL_BYTES_MAX 4

/* Zero-padded: one comparison a label. */
static const char label_texts[LABEL_UNKNOWN][LABEL_BYTES_MAX] = {
#define X(name, json, cbor) [LABEL_##name] = json,
    SENML_LABELS(X)
#undef X
};

enum label
label_find(const struct senml_pack *pack, struct senml_span span)
{
        char padded[LABEL_BYTES_MAX] = {0};
        const char *text = pack->text + span.offset;
        uint32_t key, known;

        if (span.bytes == 0 || span.bytes > LABEL_BYTES_MAX)
                return LABEL_UNKNOWN;
        for (unsigned i = 0; i < span.bytes; i++)
                padded[i] = text[i];
        if (padded[span.bytes - 1] == '\0')
                return LABEL_UNKNOWN; /* "n" and a NUL is not "n" */
        memcpy(&key, padded, sizeof(key));
        for (unsigned i = 0; i < LABEL_UNKNOWN; i++) {
                memcpy(&known, label_texts[i], sizeof(known));
                if (known == key)
                        return (enum label)i;
        }
        return LABEL_UNKNOWN;
}

/* RFC 3629 §4: no overlong forms, no surrogates, nothing above U+10FFFF. */
unsigned
utf8_sequence(const uint8_t *p, const uint8_t *end)
{
        size_t left = (size_t)(end - p);
        uint8_t low = 0x80, high = 0xbf;
        unsigned n;

        if (left == 0)
                return 0;
        if (p[0] < 0x80)
                return 1;
        if (p[0] < 0xc2 || p[0] > 0xf4)
                return 0;
        n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
        if (left < n)
                return 0;
        if (p[0] == 0xe0)
                low = 0xa0;
        else if (p[0] == 0xed)
                high = 0x9f;
        else if (p[0] == 0xf0)
                low = 0x90;
        else if (p[0] == 0xf4)
                high = 0x8f;
        if (p[1] < low || p[1] > high)
                return 0;
        for (unsigned i = 2; i < n; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
        }
        return n;
}

void
resolver_start(struct resolver *r, struct senml_pack *pack, int64_t now_ns)
{
        r->pack = pack;
        r->now_ns = now_ns;
        r->text_bytes = 0;
        r->read = 0;
        r->records = 0;
        r->bases = 0;
        r->base_name = (struct senml_span){0, 0};
        r->base_unit = (struct senml_span){0, 0};
        r->base_time = DECIMAL(0, 0);
        r->base_value = DECIMAL(0, 0);
        r->base_sum = DECIMAL(0, 0);
        r->seen = 0;
        r->unknowns = 0;
        pack->records = 0;
        pack->text_bytes = 0;
        pack->version = SENML_VERSION_MAX;
        pack->failed_record = 0;
        pack->failed_at = 0;
}

enum senml_error
resolver_end(struct resolver *r, enum senml_error error, size_t failed_at)
{
        struct senml_pack *pack = r->pack;

        pack->text_bytes = (uint16_t)r->text_bytes;
        if (error == SENML_OK && r->records == 0)
                error = r->read > 0 ? SENML_NO_VALUE : SENML_EMPTY;
        if (error == SENML_OK) {
                pack->records = (uint16_t)r->records;
                return SENML_OK;
        }
        pack->records = 0;
        pack->failed_record = (uint16_t)r->read;
        pack->failed_at = (uint32_t)failed_at;
        return error;
}

/* RFC 8428 §4.4: all records of a pack have one version; a first record without it has 10. */
static enum senml_error
check_version(struct resolver *r)
{
        struct decimal version = r->number[LABEL_BVER];

        if (!(r->seen & SEEN(BVER)))
                return SENML_OK;
        if (decimal_normalize(&version, version) < 0 || version.mantissa <= 0 ||
            version.exponent10 < 0 || decimal_compare(version, DECIMAL(SENML_VERSION_MAX, 0)) > 0)
                return SENML_VERSION;
        /* Not above 10, so 10 itself is the only one with an exponent. */
        if (version.exponent10 > 0)
                version.mantissa = SENML_VERSION_MAX;
        if (r->read == 0)
                r->pack->version = (uint16_t)version.mantissa;
        return r->pack->version == version.mantissa ? SENML_OK : SENML_VERSION_DIFFERS;
}

static inline void
take_bases(struct resolver *r)
{
        r->bases |= r->seen;
        if (r->seen & SEEN(BN))
                r->base_name = r->string[LABEL_BN];
        if (r->seen & SEEN(BU))
                r->base_unit = r->string[LABEL_BU];
        if (r->seen & SEEN(BT))
                r->base_time = r->number[LABEL_BT];
        if (r->seen & SEEN(BV))
                r->base_value = r->number[LABEL_BV];
        if (r->seen & SEEN(BS))
                r->base_sum = r->number[LABEL_BS];
}

/* RFC 8428 §4.5.1. 1: allowed; 3: allowed at the start too. */
static const uint8_t name_characters[256] = {
    ['-'] = 1,
    [':'] = 1,
    ['.'] = 1,
    ['/'] = 1,
    ['_'] = 1,
    ['0' ... '9'] = 3,
    ['A' ... 'Z'] = 3,
    ['a' ... 'z'] = 3,
};

static inline enum senml_error
resolve_name(struct resolver *r, struct senml_value *value)
{
        struct senml_span own = {0, 0};
        char *text = r->pack->text, *name = text + r->text_bytes;
        unsigned bytes;
        uint8_t all = 1;

        if (r->seen & SEEN(N))
                own = r->string[LABEL_N];
        bytes = (unsigned)r->base_name.bytes + own.bytes;
        if (bytes == 0)
                return SENML_NO_NAME;
        if (bytes > SENML_NAME_BYTES_MAX)
                return SENML_NAME_LENGTH;
        assert(r->text_bytes + bytes <= SENML_TEXT_BYTES);
        memcpy(name, text + r->base_name.offset, r->base_name.bytes);
        memcpy(name + r->base_name.bytes, text + own.offset, own.bytes);
        for (unsigned i = 0; i < bytes; i++)
                all &= name_characters[(uint8_t)name[i]];
        if (!all || name_characters[(uint8_t)name[0]] != 3)
                return SENML_NAME;
        value->name = (struct senml_span){(uint16_t)r->text_bytes, (uint16_t)bytes};
        r->text_bytes += bytes;
        return SENML_OK;
}

/* RFC 8428 §4.5.3. */
static inline enum senml_error
resolve_time(struct resolver *r, struct senml_value *value)
{
        struct decimal time = r->base_time;
        int64_t ns;

        value->time_ns = r->now_ns;
        if (r->seen & SEEN(T)) {
                if (decimal_add(&time, time, r->number[LABEL_T]) < 0)
                        return SENML_TIME_RANGE;
        } else if (!(r->bases & SEEN(BT))) {
                return SENML_OK;
        }
        if (decimal_to_nanoseconds(&ns, time) < 0)
                return SENML_TIME_RANGE;
        if (decimal_compare(time, DECIMAL(SENML_RELATIVE_BELOW_S, 0)) < 0 &&
            __builtin_add_overflow(ns, r->now_ns, &ns))
                return SENML_TIME_RANGE;
        value->time_ns = ns;
        return SENML_OK;
}

/* RFC 8428 §4.5.4: a missing base is zero. Where only a base sum is in force, the sum is that. */
static inline enum senml_error
resolve_value(struct resolver *r, struct senml_value *value)
{
        unsigned fields = r->seen & SEEN_VALUE;

        if (fields == 0 && !(r->seen & SEEN(S)))
                return SENML_NO_VALUE;
        if (fields & (fields - 1))
                return SENML_TWO_VALUES;
        value->data = (struct senml_span){0, 0};
        value->number = DECIMAL(0, 0);
        value->boolean = false;
        if (fields == SEEN(V)) {
                value->kind = SENML_NUMBER;
                value->number = r->number[LABEL_V];
                if ((r->bases & SEEN(BV)) &&
                    decimal_add(&value->number, value->number, r->base_value) < 0)
                        return SENML_NUMBER_RANGE;
        } else if (fields == SEEN(VS)) {
                value->kind = SENML_STRING;
                value->data = r->string[LABEL_VS];
        } else if (fields == SEEN(VB)) {
                value->kind = SENML_BOOLEAN;
                value->boolean = r->boolean;
        } else if (fields == SEEN(VD)) {
                value->kind = SENML_DATA_BYTES;
                value->data = r->string[LABEL_VD];
        } else {
                value->kind = SENML_SUM_ONLY;
        }
        value->sum = DECIMAL(0, 0);
        value->has_sum = (r->seen & SEEN(S)) || (r->bases & SEEN(BS));
        if (r->seen & SEEN(S))
                value->sum = r->number[LABEL_S];
        if ((r->bases & SEEN(BS)) && decimal_add(&value->sum, value->sum, r->base_sum) < 0)
                return SENML_NUMBER_RANGE;
        return SENML_OK;
}

static inline void
next_record(struct resolver *r)
{
        r->read++;
        r->seen = 0;
        r->unknowns = 0;
}

enum senml_error
resolver_end_record(struct resolver *r)
{
        struct senml_value *value;
        enum senml_error error;

        if (r->read == SENML_RECORDS_MAX)
                return SENML_TOO_MANY;
        value = &r->pack->record[r->records];
        error = check_version(r);
        if (error != SENML_OK)
                return error;
        take_bases(r);
        if (r->seen != 0 && (r->seen & ~SEEN_BASES) == 0 && r->unknowns == 0) {
                next_record(r);
                return SENML_OK;
        }
        error = resolve_value(r, value);
        if (error != SENML_OK)
                return error;
        error = resolve_name(r, value);
        if (error != SENML_OK)
                return error;
        error = resolve_time(r, value);
        if (error != SENML_OK)
                return error;
        value->unit = r->seen & SEEN(U) ? r->string[LABEL_U] : r->base_unit;
        if (value->unit.bytes > SENML_UNIT_BYTES_MAX)
                return SENML_UNIT_LENGTH;
        value->has_update = r->seen & SEEN(UT);
        value->update = value->has_update ? r->number[LABEL_UT] : DECIMAL(0, 0);
        r->records++;
        next_record(r);
        return SENML_OK;
}

static enum senml_error
keep_unknown(struct resolver *r, struct unknown_label label)
{
        const char *text = r->pack->text;

        for (unsigned i = 0; i < r->unknowns; i++) {
                const struct unknown_label *other = &r->unknown[i];

                if (other->number == label.number && other->text.bytes == label.text.bytes &&
                    memcmp(text + other->text.offset, text + label.text.offset, label.text.bytes) ==
                        0)
                        return SENML_DUPLICATE_LABEL;
        }
        if (r->unknowns == SENML_UNKNOWN_LABELS_MAX)
                return SENML_TOO_MANY_LABELS;
        r->unknown[r->unknowns++] = label;
        return SENML_OK;
}

enum senml_error
resolver_unknown_text(struct resolver *r, struct senml_span label)
{
        if (label.bytes > 0 && r->pack->text[label.offset + label.bytes - 1] == '_')
                return SENML_MUST_UNDERSTAND; /* RFC 8428 §4.4 */
        return keep_unknown(r, (struct unknown_label){.text = label});
}

enum senml_error
resolver_unknown_number(struct resolver *r, int64_t label)
{
        assert(label < LABEL_CBOR_MIN || label > LABEL_CBOR_MAX);
        return keep_unknown(r, (struct unknown_label){.number = label});
}

/* Insertion: packs are short and nearly always in order already. */
void
senml_sort_by_time(struct senml_pack *pack)
{
        for (unsigned i = 1; i < pack->records; i++) {
                struct senml_value moving = pack->record[i];
                unsigned at = i;

                for (; at > 0 && pack->record[at - 1].time_ns > moving.time_ns; at--)
                        pack->record[at] = pack->record[at - 1];
                pack->record[at] = moving;
        }
}
