// SPDX-License-Identifier: Apache-2.0
/* Resolved records as SenML JSON (RFC 8428 §4.6, §5). */
#include "dataplane/senml/senml.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Where the next byte goes; full once something did not fit, and then for good. */
struct sink {
        char *p, *end;
        bool full;
};

static void
put(struct sink *s, const char *bytes, size_t n)
{
        if (s->full || (size_t)(s->end - s->p) < n) {
                s->full = true;
                return;
        }
        memcpy(s->p, bytes, n);
        s->p += n;
}

static void
put_text(struct sink *s, const char *text)
{
        put(s, text, strlen(text));
}

static void
put_string(struct sink *s, const char *text, size_t bytes)
{
        put(s, "\"", 1);
        for (size_t i = 0; i < bytes; i++) {
                uint8_t c = (uint8_t)text[i];
                char escape[8];

                if (c == '"' || c == '\\') {
                        escape[0] = '\\';
                        escape[1] = (char)c;
                        put(s, escape, 2);
                } else if (c < 0x20) {
                        snprintf(escape, sizeof(escape), "\\u%04x", c);
                        put(s, escape, 6);
                } else {
                        put(s, text + i, 1);
                }
        }
        put(s, "\"", 1);
}

/* base64url without padding (RFC 4648 §5). */
static void
put_data(struct sink *s, const char *data, size_t bytes)
{
        static const char digits[] =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        uint32_t bits = 0;
        unsigned have = 0;

        put(s, "\"", 1);
        for (size_t i = 0; i < bytes; i++) {
                bits = (bits << 8 | (uint8_t)data[i]) & 0xffff;
                have += 8;
                while (have >= 6) {
                        have -= 6;
                        put(s, &digits[bits >> have & 0x3f], 1);
                }
        }
        if (have > 0)
                put(s, &digits[bits << (6 - have) & 0x3f], 1);
        put(s, "\"", 1);
}

static void
put_number(struct sink *s, const char *label, struct decimal number)
{
        char text[DECIMAL_TEXT_MAX];
        ssize_t n = decimal_print(text, sizeof(text), number);

        assert(n > 0);
        put_text(s, label);
        put(s, text, (size_t)n);
}

static void
put_record(struct sink *s, const struct senml_pack *pack, const struct senml_value *value)
{
        put_text(s, "{");
        if (pack->version != SENML_VERSION_MAX) {
                /* §4.6: the version stands in every resolved record unless it is the default. */
                put_number(s, "\"bver\":", DECIMAL(pack->version, 0));
                put_text(s, ",");
        }
        put_text(s, "\"n\":");
        put_string(s, senml_text(pack, value->name), value->name.bytes);
        if (value->unit.bytes > 0) {
                put_text(s, ",\"u\":");
                put_string(s, senml_text(pack, value->unit), value->unit.bytes);
        }
        switch ((enum senml_kind)value->kind) {
        case SENML_NUMBER:
                put_number(s, ",\"v\":", value->number);
                break;
        case SENML_STRING:
                put_text(s, ",\"vs\":");
                put_string(s, senml_text(pack, value->data), value->data.bytes);
                break;
        case SENML_BOOLEAN:
                put_text(s, value->boolean ? ",\"vb\":true" : ",\"vb\":false");
                break;
        case SENML_DATA_BYTES:
                put_text(s, ",\"vd\":");
                put_data(s, senml_text(pack, value->data), value->data.bytes);
                break;
        case SENML_SUM_ONLY:
                break;
        }
        if (value->has_sum)
                put_number(s, ",\"s\":", value->sum);
        put_number(s, ",\"t\":", decimal_from_nanoseconds(value->time_ns));
        if (value->has_update)
                put_number(s, ",\"ut\":", value->update);
        put_text(s, "}");
}

ssize_t
senml_write_json(char *out, size_t capacity, const struct senml_pack *pack)
{
        struct sink s = {.p = out, .end = out + capacity, .full = false};

        put_text(&s, "[");
        for (unsigned i = 0; i < pack->records; i++) {
                if (i > 0)
                        put_text(&s, ",");
                put_record(&s, pack, &pack->record[i]);
        }
        put(&s, "]", 2); /* its NUL too */
        return s.full ? -ENOSPC : s.p - out - 1;
}
