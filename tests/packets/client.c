/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/packets/client.h"

#include "dataplane/coap/oscore_option.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

const uint8_t client_patient_key[SEAL_KEY_BYTES] = {0x42, 1, 2, 3};

/* The device's own engine: the portable back end, whatever the gateway runs on. */
static struct engine *
client_engine(void)
{
        static struct engine *engine;

        if (engine == NULL)
                cr_assert_eq(engine_create(&engine, ENGINE_PORTABLE), 0);
        return engine;
}

struct context_spec
client_spec(uint32_t slot, int alg)
{
        struct context_spec spec = {
            .context_id = 5000 + slot,
            .slot = slot,
            .patient = slot,
            .generation = 3,
            .native = true,
            .oscore =
                {
                    .secret = {0xd0, 0xe1, (uint8_t)(slot >> 8), (uint8_t)slot},
                    .secret_bytes = 16,
                    .salt = {7, 7},
                    .salt_bytes = 8,
                    .sender_id = {0x9a},
                    .sender_id_bytes = 1,
                    .recipient_id_bytes = NATIVE_KID_BYTES,
                    .alg = (uint8_t)alg,
                },
        };

        native_kid(spec.oscore.recipient_id, slot, spec.generation);
        return spec;
}

void
client_enrol_spec(struct client *device, struct harness *harness, const struct context_spec *spec)
{
        int rc;

        memset(device, 0, sizeof(*device));
        device->spec = *spec;
        device->input = spec->oscore;
        memcpy(device->input.sender_id, spec->oscore.recipient_id, OSCORE_ID_BYTES_MAX);
        memcpy(device->input.recipient_id, spec->oscore.sender_id, OSCORE_ID_BYTES_MAX);
        device->input.sender_id_bytes = spec->oscore.recipient_id_bytes;
        device->input.recipient_id_bytes = spec->oscore.sender_id_bytes;
        cr_assert_eq(oscore_derive_keys(&device->input, &device->keys), 0);
        device->port = (uint16_t)(40000 + spec->slot);
        device->family = 4;
        device->next_message_id = (uint16_t)(100 * spec->slot + 1);
        rc = contexts_patient_set(harness->contexts, spec->patient, client_patient_key, 9);
        cr_assert_eq(rc, 0);
        rc = contexts_add(harness->contexts, spec);
        cr_assert_eq(rc, 0, "contexts_add: %d", rc);
}

void
client_enrol(struct client *device, struct harness *harness, uint32_t slot, int alg,
    const struct context_window *window)
{
        struct context_spec spec = client_spec(slot, alg);

        if (window != NULL)
                spec.window = *window;
        client_enrol_spec(device, harness, &spec);
}

struct client_request
client_post(struct client *device)
{
        struct client_request request = {
            .payload = CLIENT_PACK,
            .payload_bytes = sizeof(CLIENT_PACK) - 1,
            .piv = device->next_piv++,
            .message_id = device->next_message_id++,
            .token_bytes = 4,
        };

        request.token[0] = 0x70;
        request.token[3] = (uint8_t)request.piv;
        return request;
}

static size_t
write_inner(const struct client_request *request, uint8_t *out)
{
        const char *path = request->path != NULL ? request->path : "vitals";
        struct coap_writer writer;

        coap_write_begin_inner(
            &writer, out, CLIENT_MESSAGE_MAX, request->code != 0 ? request->code : COAP_POST);
        while (*path != '\0') {
                size_t bytes = strcspn(path, "/");

                coap_write_option(&writer, COAP_OPTION_URI_PATH, path, bytes);
                path += bytes + (path[bytes] == '/');
        }
        if (request->content_format != -1)
                coap_write_uint(&writer, COAP_OPTION_CONTENT_FORMAT,
                    request->content_format != 0 ? (uint32_t)request->content_format : 110);
        if (request->accept != 0)
                coap_write_uint(&writer, COAP_OPTION_ACCEPT, (uint32_t)request->accept);
        if (request->echo != NULL)
                coap_write_option(&writer, COAP_OPTION_ECHO, request->echo, request->echo_bytes);
        if (request->extra_option != 0)
                coap_write_option(&writer, request->extra_option, NULL, 0);
        coap_write_payload(&writer, request->payload, request->payload_bytes);
        cr_assert_gt(coap_write_end(&writer), 0);
        return (size_t)coap_write_end(&writer);
}

static void
crypt(const struct client *device, bool opening, const uint8_t *key, const uint8_t *nonce,
    uint64_t piv, const uint8_t *in, size_t in_bytes, uint8_t *out, bool *ok)
{
        int alg = device->input.alg;
        uint8_t aad[OSCORE_AAD_BYTES_MAX];
        uint64_t verdict[ENGINE_BITMAP_WORDS];
        void *expanded = aligned_alloc(64, (aead_expanded_bytes(alg) + 63) / 64 * 64);
        struct aead_job job = {
            .key = expanded,
            .nonce = nonce,
            .aad = aad,
            .aad_bytes = (uint16_t)oscore_aad(
                aad, alg, device->input.sender_id, device->input.sender_id_bytes, piv),
            .in = in,
            .in_bytes = (uint32_t)in_bytes,
            .out = out,
            .alg = (uint8_t)alg,
        };

        cr_assert_eq(aead_expand_key(client_engine(), alg, key, expanded), 0);
        *ok = true;
        if (opening) {
                engine_open(client_engine(), &job, 1, verdict);
                *ok = verdict[0] & 1;
        } else {
                engine_seal(client_engine(), &job, 1);
        }
        free(expanded);
}

void
client_write(
    const struct client *device, const struct client_request *request, struct datagram *out)
{
        const struct oscore_input *input = &device->input;
        struct oscore_option option = {
            .has_piv = true,
            .piv = request->piv,
            .has_kid = true,
            .kid = input->sender_id,
            .kid_bytes = input->sender_id_bytes,
            .has_kid_context = input->has_id_context,
            .kid_context = input->id_context,
            .kid_context_bytes = input->id_context_bytes,
        };
        uint8_t plain[CLIENT_MESSAGE_MAX], cipher[CLIENT_MESSAGE_MAX + 16];
        uint8_t value[64], nonce[OSCORE_NONCE_BYTES_MAX];
        struct coap_writer writer;
        size_t plain_bytes = write_inner(request, plain);
        ssize_t value_bytes = oscore_option_write(value, sizeof(value), &option);
        bool ok;

        cr_assert_gt(value_bytes, 0);
        oscore_nonce(nonce, input->alg, device->keys.common_iv, input->sender_id,
            input->sender_id_bytes, request->piv);
        crypt(device, false, device->keys.sender_key, nonce, request->piv, plain, plain_bytes,
            cipher, &ok);
        coap_write_begin(&writer, out->bytes, sizeof(out->bytes), request->type, COAP_POST,
            request->message_id, request->token, request->token_bytes);
        coap_write_option(&writer, COAP_OPTION_OSCORE, value, (size_t)value_bytes);
        coap_write_payload(&writer, cipher, plain_bytes + aead_tag_bytes(input->alg));
        cr_assert_gt(coap_write_end(&writer), 0);
        out->n = (size_t)coap_write_end(&writer);
}

void
client_send(struct client *device, struct harness *harness, const struct datagram *datagram)
{
        struct wire wire;

        wire_datagram(
            &wire, device->family, harness->mac[0], device->port, datagram->bytes, datagram->n);
        harness_inject(harness, wire.bytes, wire.n);
}

struct client_request
client_exchange(struct client *device, struct harness *harness)
{
        struct client_request request = client_post(device);
        struct datagram datagram;

        client_write(device, &request, &datagram);
        client_send(device, harness, &datagram);
        harness_drive(harness);
        return request;
}

static void
open_reply(
    const struct client *device, const struct client_request *request, struct client_reply *reply)
{
        const struct coap_message *outer = &reply->outer;
        const struct coap_option *option = coap_find(outer, COAP_OPTION_OSCORE);
        const struct oscore_input *input = &device->input;
        struct oscore_option value;

        if (option == NULL)
                return;
        reply->is_protected = true;
        cr_assert_eq(outer->code, COAP_CHANGED, "the outer code says nothing");
        cr_assert_eq(
            oscore_option_parse(&value, coap_option_value(outer, option), option->bytes), 0);
        cr_assert(!value.has_kid && !value.has_kid_context);
        reply->has_piv = value.has_piv;
        reply->piv = value.piv;
        if (value.has_piv)
                oscore_nonce(reply->nonce, input->alg, device->keys.common_iv, input->recipient_id,
                    input->recipient_id_bytes, value.piv);
        else
                oscore_nonce(reply->nonce, input->alg, device->keys.common_iv, input->sender_id,
                    input->sender_id_bytes, request->piv);
        crypt(device, true, device->keys.recipient_key, reply->nonce, request->piv, outer->payload,
            outer->payload_bytes, reply->plain, &reply->opened);
        if (reply->opened)
                cr_assert_eq(coap_parse_inner(&reply->inner, reply->plain,
                                 outer->payload_bytes - aead_tag_bytes(input->alg)),
                    COAP_OK);
}

void
client_read(const struct client *device, const struct client_request *request,
    const uint8_t *message, size_t bytes, struct client_reply *reply)
{
        memset(reply, 0, sizeof(*reply));
        cr_assert_leq(bytes, sizeof(reply->raw.bytes));
        reply->raw.n = bytes;
        memcpy(reply->raw.bytes, message, bytes);
        cr_assert_eq(coap_parse(&reply->outer, reply->raw.bytes, bytes), COAP_OK);
        open_reply(device, request, reply);
}

bool
client_take(const struct client *device, struct harness *harness,
    const struct client_request *request, struct client_reply *reply)
{
        uint8_t frame[HARNESS_FRAME_MAX];
        size_t bytes = harness_take(harness, frame), payload_bytes;
        const uint8_t *payload;

        memset(reply, 0, sizeof(*reply));
        if (bytes == 0)
                return false;
        payload = wire_payload(frame, bytes, &payload_bytes);
        cr_assert_eq(payload[-6] << 8 | payload[-5], device->port, "the reply goes to the sender");
        client_read(device, request, payload, payload_bytes, reply);
        return true;
}

static void
expect_message(const struct client_request *request, const struct client_reply *reply)
{
        cr_assert_eq(reply->outer.type, request->type == COAP_CON ? COAP_ACK : COAP_NON);
        if (request->type == COAP_CON)
                cr_assert_eq(reply->outer.message_id, request->message_id);
        cr_assert_eq(reply->outer.token_bytes, request->token_bytes);
        cr_assert_eq(memcmp(reply->outer.token, request->token, request->token_bytes), 0);
}

void
client_expect(const struct client *device, struct harness *harness,
    const struct client_request *request, uint8_t code, struct client_reply *reply)
{
        cr_assert(client_take(device, harness, request, reply), "no reply");
        expect_message(request, reply);
        cr_assert(reply->is_protected, "not protected: %u.%02u %.*s", reply->outer.code >> 5,
            reply->outer.code & 31, (int)reply->outer.payload_bytes,
            (const char *)reply->outer.payload);
        cr_assert(reply->opened, "does not open");
        cr_assert_eq(reply->inner.code, code, "%u.%02u %.*s", reply->inner.code >> 5,
            reply->inner.code & 31, (int)reply->inner.payload_bytes,
            (const char *)reply->inner.payload);
        /* Promise 4: the request's nonce is the receipt's alone. */
        cr_assert_eq(reply->has_piv, code != COAP_CREATED);
}

uint64_t
client_leaf(const struct client_reply *reply)
{
        const struct coap_option *segment;
        char digits[24] = {0};

        segment = coap_find(&reply->inner, COAP_OPTION_LOCATION_PATH);
        cr_assert_not_null(segment);
        cr_assert_eq(segment->bytes, 1);
        cr_assert_eq(coap_option_value(&reply->inner, segment)[0], 'r');
        segment = coap_next(&reply->inner, segment);
        cr_assert_not_null(segment);
        cr_assert_lt(segment->bytes, sizeof(digits));
        memcpy(digits, coap_option_value(&reply->inner, segment), segment->bytes);
        cr_assert_eq(reply->inner.option_count, 2, "a pure function of the leaf");
        cr_assert_eq(reply->inner.payload_bytes, 0);
        return strtoull(digits, NULL, 10);
}

uint64_t
client_expect_leaf(const struct client *device, struct harness *harness,
    const struct client_request *request, struct client_reply *reply)
{
        client_expect(device, harness, request, COAP_CREATED, reply);
        return client_leaf(reply);
}

void
client_expect_plain(const struct client *device, struct harness *harness,
    const struct client_request *request, uint8_t code, const char *text)
{
        struct client_reply reply;

        cr_assert(client_take(device, harness, request, &reply), "no reply");
        expect_message(request, &reply);
        cr_assert(!reply.is_protected);
        cr_assert_eq(reply.outer.code, code, "%u.%02u %.*s", reply.outer.code >> 5,
            reply.outer.code & 31, (int)reply.outer.payload_bytes,
            (const char *)reply.outer.payload);
        if (text != NULL) {
                cr_assert_eq(reply.outer.payload_bytes, strlen(text));
                cr_assert_eq(memcmp(reply.outer.payload, text, strlen(text)), 0);
        }
}

void
client_expect_nothing(struct harness *harness)
{
        uint8_t frame[HARNESS_FRAME_MAX];

        cr_assert_eq(harness_take(harness, frame), 0, "the gateway should be silent");
}

void
client_check_record(const struct client *device, const struct client_request *request,
    const struct kept_record *record)
{
        const struct commit_desc *desc = &record->desc;
        uint8_t plain[SEAL_PAYLOAD_MAX], hash[32], digest[32];
        struct seal_header header;

        cr_assert_eq(seal_header_read(&header, record->sealed, desc->sealed_bytes), 0);
        cr_assert_eq(header.kind, RECORD_OSCORE);
        cr_assert_eq(desc->kind, RECORD_OSCORE);
        cr_assert_eq(header.context_id, device->spec.context_id);
        cr_assert_eq(desc->context_id, device->spec.context_id);
        cr_assert_eq(header.partial_iv, request->piv);
        cr_assert_eq(header.key_epoch, 9);
        cr_assert_eq(header.received_ns, desc->received_ns);
        cr_assert_eq(header.oscore_tag_bytes, aead_tag_bytes(device->input.alg));
        cr_assert_eq(header.payload_bytes, request->payload_bytes);
        cr_assert_eq(
            header.content_format, request->content_format != 0 ? request->content_format : 110);
        cr_assert_eq(
            seal_open_record(plain, record->sealed, desc->sealed_bytes, client_patient_key), 0);
        cr_assert_eq(memcmp(plain, request->payload, request->payload_bytes), 0);
        seal_key_hash(hash, client_patient_key);
        seal_digest(digest, hash, record->sealed, desc->sealed_bytes);
        cr_assert_arr_eq(digest, desc->digest, 32);
}
