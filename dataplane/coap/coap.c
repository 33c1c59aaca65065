/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/coap/coap.h"

#include <errno.h>
#include <string.h>

static const struct option_rule {
        const char *name;
        uint16_t bytes_min;
        uint16_t bytes_max;
        bool repeatable;
} rules[COAP_OPTION_KINDS] = {
#define OPTION_RULE(name, number, text, shortest, longest, repeatable)                             \
        [COAP_INDEX_##name] = {text, shortest, longest, repeatable},
    COAP_OPTIONS(OPTION_RULE)
#undef OPTION_RULE
};

/* 1 + the index of a recognised number, 0 for all others. */
static const uint8_t index_of_number[COAP_OPTION_NUMBER_MAX + 1] = {
#define OPTION_INDEX(name, number, text, shortest, longest, repeatable)                            \
        [number] = COAP_INDEX_##name + 1,
    COAP_OPTIONS(OPTION_INDEX)
#undef OPTION_INDEX
};

static const uint8_t token_masks[COAP_TOKEN_BYTES_MAX + 1][COAP_TOKEN_BYTES_MAX] = {
    {0},
    {0xff},
    {0xff, 0xff},
    {0xff, 0xff, 0xff},
    {0xff, 0xff, 0xff, 0xff},
    {0xff, 0xff, 0xff, 0xff, 0xff},
    {0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
    {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
    {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
};

/* RFC 7252 §3.1: the extended form of a nibble of 13 or 14. False if the message ends first. */
static inline bool
read_extended(const uint8_t *data, size_t bytes, size_t *offset, uint32_t *value)
{
        if (*value == 13) {
                if (bytes - *offset < 1)
                        return false;
                *value = 13u + data[*offset];
                *offset += 1;
        } else if (*value == 14) {
                if (bytes - *offset < 2)
                        return false;
                *value = 269u + ((uint32_t)data[*offset] << 8 | data[*offset + 1]);
                *offset += 2;
        }
        return true;
}

/* Files one option under what RFC 7252 §5.4 makes of it. False: no room in the list. */
static inline bool
take_option(struct coap_message *message, uint32_t number, size_t offset, uint32_t bytes)
{
        unsigned index = number <= COAP_OPTION_NUMBER_MAX ? index_of_number[number] : 0;
        uint32_t bit = 0;

        if (index != 0) {
                const struct option_rule *rule = &rules[index - 1];

                bit = UINT32_C(1) << (index - 1);
                if (bytes >= rule->bytes_min && bytes <= rule->bytes_max &&
                    (rule->repeatable || ((message->present | message->malformed) & bit) == 0)) {
                        if (message->option_count == COAP_OPTIONS_MAX)
                                return false;
                        message->options[message->option_count++] = (struct coap_option){
                            .number = (uint16_t)number,
                            .offset = (uint16_t)offset,
                            .bytes = (uint16_t)bytes,
                        };
                        message->present |= bit;
                        return true;
                }
        }
        message->malformed |= bit;
        if (coap_option_is_critical((uint16_t)number) && message->bad_option == 0)
                message->bad_option = (uint16_t)number;
        return true;
}

/* Options and payload, from offset to the end. */
static enum coap_verdict
parse_options(struct coap_message *message, size_t offset, size_t bytes)
{
        const uint8_t *data = message->data;
        uint32_t number = 0;

        while (offset < bytes) {
                uint32_t delta = data[offset] >> 4;
                uint32_t length = data[offset] & 15u;

                offset++;
                if (delta == 15 || length == 15) {
                        if (delta != 15 || length != 15)
                                return COAP_OPTION_RESERVED;
                        if (offset == bytes)
                                return COAP_PAYLOAD_EMPTY;
                        message->payload = data + offset;
                        message->payload_bytes = (uint16_t)(bytes - offset);
                        return COAP_OK;
                }
                if (!read_extended(data, bytes, &offset, &delta) ||
                    !read_extended(data, bytes, &offset, &length))
                        return COAP_OPTION_TRUNCATED;
                number += delta;
                if (number > UINT16_MAX || length > UINT16_MAX)
                        return COAP_OPTION_OVERFLOW;
                if (length > bytes - offset)
                        return COAP_OPTION_TRUNCATED;
                if (!take_option(message, number, offset, length))
                        return COAP_OPTIONS_LIMIT;
                offset += length;
        }
        return COAP_OK;
}

/* All but the option list, which option_count bounds. */
static inline void
clear(struct coap_message *message, const uint8_t *data)
{
        memset(message, 0, offsetof(struct coap_message, options));
        message->data = data;
}

/* RFC 7252 §4.2: classes 1, 6 and 7 are reserved. */
static inline bool
code_is_reserved(uint8_t code)
{
        unsigned class = COAP_CODE_CLASS(code);

        return class == 1 || class >= 6;
}

enum coap_verdict
coap_parse(struct coap_message *message, const uint8_t *data, size_t bytes)
{
        size_t offset;

        clear(message, data);
        if (bytes < COAP_HEADER_BYTES)
                return COAP_TRUNCATED_HEADER;
        if (data[0] >> 6 != COAP_VERSION)
                return COAP_BAD_VERSION;
        message->type = data[0] >> 4 & 3;
        message->code = data[1];
        message->message_id = (uint16_t)(data[2] << 8 | data[3]);
        if (bytes > COAP_MESSAGE_BYTES_MAX)
                return COAP_TOO_LONG;
        message->token_bytes = data[0] & 15;
        if (message->token_bytes > COAP_TOKEN_BYTES_MAX)
                return COAP_TOKEN_LENGTH;
        if (message->code == COAP_EMPTY)
                return message->token_bytes == 0 && bytes == COAP_HEADER_BYTES ? COAP_OK
                                                                               : COAP_NOT_EMPTY;
        if (code_is_reserved(message->code))
                return COAP_CODE_RESERVED;
        offset = COAP_HEADER_BYTES + message->token_bytes;
        if (bytes < offset)
                return COAP_TRUNCATED_TOKEN;
        if (bytes >= COAP_HEADER_BYTES + COAP_TOKEN_BYTES_MAX) {
                /* Eight bytes and a mask are cheaper than a copy of variable length. */
                uint64_t token, mask;

                memcpy(&token, data + COAP_HEADER_BYTES, sizeof(token));
                memcpy(&mask, token_masks[message->token_bytes], sizeof(mask));
                token &= mask;
                memcpy(message->token, &token, sizeof(token));
        } else {
                memcpy(message->token, data + COAP_HEADER_BYTES, message->token_bytes);
        }
        return parse_options(message, offset, bytes);
}

enum coap_verdict
coap_parse_inner(struct coap_message *message, const uint8_t *data, size_t bytes)
{
        clear(message, data);
        if (bytes < 1)
                return COAP_TRUNCATED_HEADER;
        message->code = data[0];
        if (bytes > COAP_MESSAGE_BYTES_MAX)
                return COAP_TOO_LONG;
        if (message->code == COAP_EMPTY || code_is_reserved(message->code))
                return COAP_CODE_RESERVED;
        return parse_options(message, 1, bytes);
}

const char *
coap_verdict_text(enum coap_verdict verdict)
{
        static const char *const texts[COAP_VERDICT_COUNT] = {
#define VERDICT_TEXT(name, text) [COAP_##name] = text,
            COAP_VERDICTS(VERDICT_TEXT)
#undef VERDICT_TEXT
        };

        return (unsigned)verdict < COAP_VERDICT_COUNT ? texts[verdict] : "unknown";
}

const char *
coap_option_name(uint16_t number)
{
        unsigned index = number <= COAP_OPTION_NUMBER_MAX ? index_of_number[number] : 0;

        return index != 0 ? rules[index - 1].name : NULL;
}

static const struct coap_option *
find_from(const struct coap_message *message, unsigned from, uint16_t number)
{
        for (unsigned i = from; i < message->option_count; i++) {
                if (message->options[i].number == number)
                        return &message->options[i];
        }
        return NULL;
}

const struct coap_option *
coap_find(const struct coap_message *message, uint16_t number)
{
        unsigned index = number <= COAP_OPTION_NUMBER_MAX ? index_of_number[number] : 0;

        if (index == 0 || (message->present >> (index - 1) & 1) == 0)
                return NULL;
        return find_from(message, 0, number);
}

const struct coap_option *
coap_next(const struct coap_message *message, const struct coap_option *option)
{
        return find_from(message, (unsigned)(option - message->options) + 1, option->number);
}

int
coap_find_uint(const struct coap_message *message, uint16_t number, uint32_t *value)
{
        const struct coap_option *option = coap_find(message, number);
        uint32_t v = 0;

        if (option == NULL)
                return -ENOENT;
        if (option->bytes > sizeof(v))
                return -ERANGE;
        for (unsigned i = 0; i < option->bytes; i++)
                v = v << 8 | coap_option_value(message, option)[i];
        *value = v;
        return 0;
}

bool
coap_uri_path_equals(const struct coap_message *message, const char *path)
{
        const struct coap_option *option = coap_find(message, COAP_OPTION_URI_PATH);

        if (option == NULL)
                return *path == '\0';
        for (;;) {
                size_t bytes = strcspn(path, "/");

                if (bytes != option->bytes ||
                    memcmp(path, coap_option_value(message, option), bytes) != 0)
                        return false;
                path += bytes;
                option = coap_next(message, option);
                if (option == NULL)
                        return *path == '\0';
                if (*path++ != '/')
                        return false;
        }
}

bool
coap_uri_query(
    const struct coap_message *message, const char *key, const uint8_t **value, size_t *bytes)
{
        size_t key_bytes = strlen(key);

        for (const struct coap_option *option = coap_find(message, COAP_OPTION_URI_QUERY);
             option != NULL; option = coap_next(message, option)) {
                const uint8_t *query = coap_option_value(message, option);

                if (option->bytes > key_bytes && query[key_bytes] == '=' &&
                    memcmp(query, key, key_bytes) == 0) {
                        *value = query + key_bytes + 1;
                        *bytes = option->bytes - key_bytes - 1;
                        return true;
                }
        }
        return false;
}
