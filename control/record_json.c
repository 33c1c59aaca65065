/* SPDX-License-Identifier: Apache-2.0 */
#include "control/record_json.h"

#include "control/commands.h"
#include "control/hex.h"
#include "dataplane/senml/senml.h"
#include "dataplane/senml/vitals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *
record_kind_name(uint8_t kind)
{
        switch (kind) {
        case RECORD_OSCORE:
                return "oscore";
        case RECORD_LAB:
                return "lab";
        default:
                return "unknown";
        }
}

static json_t *
flags_json(uint16_t flags)
{
        static const struct {
                uint16_t flag;
                const char *word;
        } words[] = {
            {RECORD_FLAG_IMPLAUSIBLE, "implausible"},
            {RECORD_FLAG_UNKNOWN_CODE, "unknown-code"},
            {RECORD_FLAG_UNKNOWN_UNIT, "unknown-unit"},
        };
        json_t *list = json_array();

        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
                if (flags & words[i].flag)
                        json_array_append_new(list, json_string(words[i].word));
        return list;
}

void
record_header_json(json_t *object, const struct seal_header *header)
{
        char time[TIME_TEXT_BYTES], tag[2 * sizeof(header->oscore_tag) + 1];

        time_text(time, header->received_ns);
        hex_encode(tag, header->oscore_tag, header->oscore_tag_bytes);
        json_object_set_new(object, "kind", json_string(record_kind_name(header->kind)));
        json_object_set_new(object, "received", json_string(time));
        json_object_set_new(object, "received_ns", json_integer((json_int_t)header->received_ns));
        json_object_set_new(object, "flags", flags_json(header->flags));
        json_object_set_new(object, "content_format", json_integer(header->content_format));
        json_object_set_new(object, "realm", json_integer(header->realm));
        json_object_set_new(object, "context_id", json_integer((json_int_t)header->context_id));
        if (header->kind == RECORD_OSCORE) {
                json_object_set_new(
                    object, "partial_iv", json_integer((json_int_t)header->partial_iv));
                json_object_set_new(object, "oscore_tag", json_string(tag));
        }
        json_object_set_new(object, "key_epoch", json_integer(header->key_epoch));
}

static void
set_decimal(json_t *object, const char *name, struct decimal value)
{
        char text[DECIMAL_TEXT_MAX];

        if (decimal_print(text, sizeof(text), value) > 0)
                json_object_set_new(object, name, json_string(text));
}

/* One value for people: of a known sign in its UCUM unit, else as the device sent it. */
static json_t *
value_json(const struct senml_pack *pack, const struct senml_value *value)
{
        const struct vital *vital = vitals_find(senml_text(pack, value->name), value->name.bytes);
        json_t *object = json_object();
        char time[TIME_TEXT_BYTES];
        struct decimal number;

        json_object_set_new(
            object, "name", json_stringn(senml_text(pack, value->name), value->name.bytes));
        if (vital != NULL) {
                json_object_set_new(object, "code", json_string(vital->loinc));
                json_object_set_new(object, "sign", json_string(vital->name));
        }
        if (value->kind == SENML_NUMBER && vital != NULL &&
            vitals_convert(&number, vital, senml_text(pack, value->unit), value->unit.bytes,
                value->number) == 0) {
                set_decimal(object, "value", number);
                json_object_set_new(object, "unit", json_string(vital->ucum));
        } else {
                if (value->kind == SENML_NUMBER)
                        set_decimal(object, "value", value->number);
                else if (value->kind == SENML_BOOLEAN)
                        json_object_set_new(
                            object, "value", json_string(value->boolean ? "true" : "false"));
                else if (value->kind == SENML_STRING)
                        json_object_set_new(object, "value",
                            json_stringn(senml_text(pack, value->data), value->data.bytes));
                if (value->unit.bytes > 0)
                        json_object_set_new(object, "unit",
                            json_stringn(senml_text(pack, value->unit), value->unit.bytes));
        }
        if (value->time_ns >= 0) {
                time_text(time, (uint64_t)value->time_ns);
                json_object_set_new(object, "time", json_string(time));
        }
        json_object_set_new(object, "flags", flags_json(vitals_check_record(pack, value)));
        return object;
}

int
record_senml_json(json_t *object, const struct seal_header *header, const uint8_t *payload,
    char **senml, const char **error)
{
        struct senml_pack *pack = malloc(sizeof(*pack));
        char *text = malloc(SENML_JSON_BYTES_MAX);
        enum senml_error result;
        json_t *list;
        int rc = 0;

        *error = NULL;
        if (pack == NULL || text == NULL) {
                free(pack);
                free(text);
                return -ENOMEM;
        }
        result = header->content_format == SENML_FORMAT_CBOR
                     ? senml_parse_cbor(
                           pack, payload, header->payload_bytes, (int64_t)header->received_ns)
                     : senml_parse_json(
                           pack, payload, header->payload_bytes, (int64_t)header->received_ns);
        if (result != SENML_OK) {
                *error = senml_error_text(result);
                rc = -EBADMSG;
        } else {
                senml_sort_by_time(pack);
                list = json_array();
                for (unsigned i = 0; i < pack->records; i++)
                        json_array_append_new(list, value_json(pack, &pack->record[i]));
                json_object_set_new(object, "vitals", list);
                if (senml_write_json(text, SENML_JSON_BYTES_MAX, pack) < 0)
                        rc = -ENOMEM;
        }
        explicit_bzero(pack, sizeof(*pack));
        free(pack);
        if (rc != 0) {
                free(text);
                return rc;
        }
        *senml = text;
        return 0;
}
