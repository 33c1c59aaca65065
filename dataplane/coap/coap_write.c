/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/coap/coap.h"

#include <errno.h>
#include <string.h>

static int
fail(struct coap_writer *writer, int error)
{
        if (writer->error == 0)
                writer->error = error;
        return writer->error;
}

/* Room for bytes more, or NULL with the error set. */
static uint8_t *
room(struct coap_writer *writer, size_t bytes)
{
        uint8_t *place;

        if (writer->error != 0)
                return NULL;
        if (bytes > writer->limit - writer->bytes) {
                fail(writer, -ENOSPC);
                return NULL;
        }
        place = writer->data + writer->bytes;
        writer->bytes += bytes;
        return place;
}

static void
start(struct coap_writer *writer, uint8_t *out, size_t limit)
{
        *writer = (struct coap_writer){
            .data = out,
            .limit = limit < COAP_MESSAGE_BYTES_MAX ? limit : COAP_MESSAGE_BYTES_MAX,
        };
}

int
coap_write_begin(struct coap_writer *writer, uint8_t *out, size_t limit, enum coap_type type,
    uint8_t code, uint16_t message_id, const uint8_t *token, size_t token_bytes)
{
        uint8_t *header;

        start(writer, out, limit);
        if (token_bytes > COAP_TOKEN_BYTES_MAX)
                return fail(writer, -EINVAL);
        header = room(writer, COAP_HEADER_BYTES + token_bytes);
        if (header == NULL)
                return writer->error;
        header[0] = (uint8_t)(COAP_VERSION << 6 | ((unsigned)type & 3) << 4 | token_bytes);
        header[1] = code;
        header[2] = (uint8_t)(message_id >> 8);
        header[3] = (uint8_t)message_id;
        if (token_bytes != 0)
                memcpy(header + COAP_HEADER_BYTES, token, token_bytes);
        return 0;
}

int
coap_write_begin_inner(struct coap_writer *writer, uint8_t *out, size_t limit, uint8_t code)
{
        uint8_t *place;

        start(writer, out, limit);
        place = room(writer, 1);
        if (place == NULL)
                return writer->error;
        *place = code;
        return 0;
}

/* RFC 7252 §3.1: the nibble of a delta or a length; its extended bytes are appended to head. */
static unsigned
write_extended(uint8_t *head, size_t *head_bytes, uint32_t value)
{
        if (value < 13)
                return value;
        if (value < 269) {
                head[(*head_bytes)++] = (uint8_t)(value - 13);
                return 13;
        }
        head[(*head_bytes)++] = (uint8_t)((value - 269) >> 8);
        head[(*head_bytes)++] = (uint8_t)(value - 269);
        return 14;
}

int
coap_write_option(struct coap_writer *writer, uint16_t number, const void *value, size_t bytes)
{
        uint8_t head[5];
        size_t head_bytes = 1;
        unsigned delta, length;
        uint8_t *place;

        if (writer->error != 0)
                return writer->error;
        if (writer->has_payload || number < writer->last_option)
                return fail(writer, -EINVAL);
        if (bytes > writer->limit)
                return fail(writer, -ENOSPC);
        delta = write_extended(head, &head_bytes, (uint32_t)(number - writer->last_option));
        length = write_extended(head, &head_bytes, (uint32_t)bytes);
        head[0] = (uint8_t)(delta << 4 | length);
        place = room(writer, head_bytes + bytes);
        if (place == NULL)
                return writer->error;
        memcpy(place, head, head_bytes);
        if (bytes != 0)
                memcpy(place + head_bytes, value, bytes);
        writer->last_option = number;
        return 0;
}

int
coap_write_uint(struct coap_writer *writer, uint16_t number, uint32_t value)
{
        uint8_t bytes[4];
        size_t count = 0;

        for (int shift = 24; shift >= 0; shift -= 8) {
                if (value >> shift != 0)
                        bytes[count++] = (uint8_t)(value >> shift);
        }
        return coap_write_option(writer, number, bytes, count);
}

uint8_t *
coap_write_payload_room(struct coap_writer *writer, size_t bytes)
{
        uint8_t *place;

        if (writer->error != 0)
                return NULL;
        if (writer->has_payload || bytes == 0) {
                fail(writer, -EINVAL);
                return NULL;
        }
        if (bytes > writer->limit) {
                fail(writer, -ENOSPC);
                return NULL;
        }
        place = room(writer, 1 + bytes);
        if (place == NULL)
                return NULL;
        writer->has_payload = true;
        *place = COAP_PAYLOAD_MARKER;
        return place + 1;
}

int
coap_write_payload(struct coap_writer *writer, const void *payload, size_t bytes)
{
        uint8_t *place;

        if (writer->error != 0 || bytes == 0)
                return writer->error;
        place = coap_write_payload_room(writer, bytes);
        if (place == NULL)
                return writer->error;
        memcpy(place, payload, bytes);
        return 0;
}

ssize_t
coap_write_end(const struct coap_writer *writer)
{
        return writer->error != 0 ? writer->error : (ssize_t)writer->bytes;
}

void
coap_write_empty(uint8_t out[COAP_HEADER_BYTES], enum coap_type type, uint16_t message_id)
{
        out[0] = (uint8_t)(COAP_VERSION << 6 | ((unsigned)type & 3) << 4);
        out[1] = COAP_EMPTY;
        out[2] = (uint8_t)(message_id >> 8);
        out[3] = (uint8_t)message_id;
}
