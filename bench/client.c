/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/client.h"

#include "dataplane/coap/coap.h"
#include "dataplane/coap/oscore_option.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

int
client_init(struct client *client, struct engine *engine, const struct oscore_input *input)
{
        struct oscore_keys keys;
        size_t bytes = aead_expanded_bytes(input->alg);
        int r = oscore_derive_keys(input, &keys);

        if (r < 0)
                return r;
        memset(client, 0, sizeof(*client));
        client->alg = input->alg;
        client->sender_id_bytes = input->sender_id_bytes;
        client->recipient_id_bytes = input->recipient_id_bytes;
        memcpy(client->sender_id, input->sender_id, sizeof(client->sender_id));
        memcpy(client->recipient_id, input->recipient_id, sizeof(client->recipient_id));
        client->has_id_context = input->has_id_context;
        client->id_context_bytes = input->id_context_bytes;
        memcpy(client->id_context, input->id_context, sizeof(client->id_context));
        memcpy(client->common_iv, keys.common_iv, sizeof(client->common_iv));
        bytes = (bytes + 63) / 64 * 64;
        client->seal_key = aligned_alloc(64, bytes);
        client->open_key = aligned_alloc(64, bytes);
        if (client->seal_key == NULL || client->open_key == NULL)
                r = -ENOMEM;
        if (r == 0)
                r = aead_expand_key(engine, client->alg, keys.sender_key, client->seal_key);
        if (r == 0)
                r = aead_expand_key(engine, client->alg, keys.recipient_key, client->open_key);
        sodium_memzero(&keys, sizeof(keys));
        if (r < 0)
                client_fini(client);
        return r;
}

void
client_fini(struct client *client)
{
        free(client->seal_key);
        free(client->open_key);
        sodium_memzero(client, sizeof(*client));
}

static ssize_t
write_inner(const struct client_request *request, uint8_t *out, size_t out_bytes)
{
        struct coap_writer writer;
        const char *segment = request->path != NULL ? request->path : "vitals";

        coap_write_begin_inner(
            &writer, out, out_bytes, request->code != 0 ? request->code : COAP_POST);
        while (*segment != '\0') {
                size_t n = strcspn(segment, "/");

                coap_write_option(&writer, COAP_OPTION_URI_PATH, segment, n);
                segment += n + (segment[n] == '/');
        }
        if (request->payload_bytes > 0)
                coap_write_uint(&writer, COAP_OPTION_CONTENT_FORMAT, request->content_format);
        if (request->echo != NULL)
                coap_write_option(&writer, COAP_OPTION_ECHO, request->echo, request->echo_bytes);
        coap_write_payload(&writer, request->payload, request->payload_bytes);
        return coap_write_end(&writer);
}

ssize_t
client_protect(struct client *client, struct engine *engine, const struct client_request *request,
    uint8_t out[CLIENT_MESSAGE_MAX], uint64_t *piv)
{
        uint8_t inner[CLIENT_MESSAGE_MAX], nonce[OSCORE_NONCE_BYTES_MAX], aad[OSCORE_AAD_BYTES_MAX];
        uint8_t value[OSCORE_OPTION_BYTES_MAX];
        struct oscore_option option = {
            .kid = client->sender_id,
            .kid_bytes = client->sender_id_bytes,
            .has_kid = true,
            .kid_context = client->id_context,
            .kid_context_bytes = client->id_context_bytes,
            .has_kid_context = client->has_id_context,
            .piv = client->next_piv,
            .has_piv = true,
        };
        struct coap_writer writer;
        struct aead_job job = {
            .alg = client->alg, .key = client->seal_key, .nonce = nonce, .aad = aad};
        ssize_t inner_bytes = write_inner(request, inner, sizeof(inner)), n;

        if (inner_bytes < 0)
                return inner_bytes;
        if (client->next_piv > OSCORE_PIV_MAX)
                return -ERANGE;
        *piv = client->next_piv++;
        n = oscore_option_write(value, sizeof(value), &option);
        if (n < 0)
                return n;
        coap_write_begin(&writer, out, CLIENT_MESSAGE_MAX, (enum coap_type)request->type, COAP_POST,
            request->message_id, request->token, request->token_bytes);
        if (request->host != NULL)
                coap_write_option(
                    &writer, COAP_OPTION_URI_HOST, request->host, strlen(request->host));
        coap_write_option(&writer, COAP_OPTION_OSCORE, value, (size_t)n);
        job.out =
            coap_write_payload_room(&writer, (size_t)inner_bytes + aead_tag_bytes(client->alg));
        if (job.out == NULL)
                return -ENOSPC;
        job.in = inner;
        job.in_bytes = (uint32_t)inner_bytes;
        job.aad_bytes = (uint16_t)oscore_aad(
            aad, client->alg, client->sender_id, client->sender_id_bytes, *piv);
        oscore_nonce(nonce, client->alg, client->common_iv, client->sender_id,
            client->sender_id_bytes, *piv);
        engine_seal(engine, &job, 1);
        return coap_write_end(&writer);
}

int
client_peek(struct client_reply *reply, const uint8_t *data, size_t bytes)
{
        struct coap_message message;

        if (coap_parse(&message, data, bytes) != COAP_OK)
                return -EBADMSG;
        memset(reply, 0, offsetof(struct client_reply, payload));
        reply->type = message.type;
        reply->message_id = message.message_id;
        reply->code = message.code;
        reply->token_bytes = message.token_bytes;
        memcpy(reply->token, message.token, sizeof(reply->token));
        return 0;
}

static int
read_leaf(const struct coap_message *message, struct client_reply *reply)
{
        const struct coap_option *option = coap_find(message, COAP_OPTION_LOCATION_PATH);
        uint64_t leaf = 0;

        if (option == NULL)
                return 0;
        if (option->bytes != 1 || coap_option_value(message, option)[0] != 'r')
                return -EBADMSG;
        option = coap_next(message, option);
        if (option == NULL || option->bytes == 0 || option->bytes > 19 ||
            coap_next(message, option) != NULL)
                return -EBADMSG;
        for (unsigned i = 0; i < option->bytes; i++) {
                uint8_t c = coap_option_value(message, option)[i];

                if (c < '0' || c > '9' || (i == 0 && c == '0' && option->bytes > 1))
                        return -EBADMSG;
                leaf = leaf * 10 + (c - '0');
        }
        reply->has_leaf = true;
        reply->leaf = leaf;
        return 0;
}

static int
read_body(const struct coap_message *message, struct client_reply *reply)
{
        const struct coap_option *echo = coap_find(message, COAP_OPTION_ECHO);
        uint32_t value;

        reply->code = message->code;
        if (echo != NULL && echo->bytes <= CLIENT_ECHO_MAX) {
                reply->echo_bytes = (uint8_t)echo->bytes;
                memcpy(reply->echo, coap_option_value(message, echo), echo->bytes);
        }
        if (coap_find_uint(message, COAP_OPTION_MAX_AGE, &value) == 0)
                reply->max_age = value;
        if (coap_find_uint(message, COAP_OPTION_CONTENT_FORMAT, &value) == 0)
                reply->content_format = (uint16_t)value;
        if (message->payload_bytes > sizeof(reply->payload))
                return -EBADMSG;
        reply->payload_bytes = message->payload_bytes;
        if (message->payload_bytes > 0)
                memcpy(reply->payload, message->payload, message->payload_bytes);
        return read_leaf(message, reply);
}

int
client_open(struct client *client, struct engine *engine, uint64_t piv, const uint8_t *data,
    size_t bytes, struct client_reply *reply)
{
        uint8_t plain[CLIENT_MESSAGE_MAX], nonce[OSCORE_NONCE_BYTES_MAX], aad[OSCORE_AAD_BYTES_MAX];
        struct aead_job job = {
            .alg = client->alg, .key = client->open_key, .nonce = nonce, .aad = aad, .out = plain};
        uint64_t ok[ENGINE_BITMAP_WORDS];
        const struct coap_option *value;
        struct oscore_option option;
        struct coap_message message;

        if (client_peek(reply, data, bytes) < 0 || coap_parse(&message, data, bytes) != COAP_OK)
                return -EBADMSG;
        value = coap_find(&message, COAP_OPTION_OSCORE);
        if (value == NULL)
                return read_body(&message, reply);
        if (oscore_option_parse(&option, coap_option_value(&message, value), value->bytes) !=
                OSCORE_OPTION_OK ||
            message.payload_bytes > sizeof(plain) || message.payload == NULL)
                return -EBADMSG;
        if (option.has_piv) {
                reply->own_piv = true;
                reply->server_piv = option.piv;
                oscore_nonce(nonce, client->alg, client->common_iv, client->recipient_id,
                    client->recipient_id_bytes, option.piv);
        } else {
                oscore_nonce(nonce, client->alg, client->common_iv, client->sender_id,
                    client->sender_id_bytes, piv);
        }
        job.aad_bytes =
            (uint16_t)oscore_aad(aad, client->alg, client->sender_id, client->sender_id_bytes, piv);
        job.in = message.payload;
        job.in_bytes = message.payload_bytes;
        engine_open(engine, &job, 1, ok);
        if (!(ok[0] & 1))
                return -EPROTO;
        reply->protected = true;
        if (coap_parse_inner(
                &message, plain, job.in_bytes - (uint32_t)aead_tag_bytes(client->alg)) != COAP_OK)
                return -EBADMSG;
        return read_body(&message, reply);
}
