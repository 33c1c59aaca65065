/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/packets/device.h"

#include "dataplane/coap/coap.h"
#include "dataplane/coap/oscore_option.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const char pack[] =
    "[{\"n\":\"urn:dev:ow:10e2073a01080063:8867-4\",\"u\":\"beat/min\",\"v\":72}]";

void
device_enrol(struct device *device, struct contexts *contexts, uint32_t slot, int alg)
{
        struct context_spec spec = {.slot = slot, .patient = slot, .generation = 1, .native = true};

        memset(device, 0, sizeof(*device));
        device->context_id = 1000 + slot;
        device->slot = slot;
        device->message_id = 1;
        memset(device->patient_key, 0x5a, sizeof(device->patient_key));
        memcpy(device->patient_key, &slot, sizeof(slot));
        device->oscore.alg = (uint8_t)alg;
        device->oscore.secret_bytes = 16;
        memcpy(device->oscore.secret, &slot, sizeof(slot));
        device->oscore.sender_id[0] = 0xa0;
        device->oscore.sender_id_bytes = 1;
        device->oscore.recipient_id_bytes = NATIVE_KID_BYTES;
        native_kid(device->oscore.recipient_id, slot, spec.generation);
        cr_assert_eq(oscore_derive_keys(&device->oscore, &device->keys), 0);

        spec.context_id = device->context_id;
        spec.oscore = device->oscore;
        cr_assert_eq(contexts_patient_set(contexts, slot, device->patient_key, 1), 0);
        cr_assert_eq(contexts_add(contexts, &spec), 0);
}

void
device_next(struct device *device, struct device_request *request)
{
        *request = (struct device_request){
            .type = COAP_CON,
            .partial_iv = device->partial_iv++,
            .message_id = device->message_id++,
            .payload = pack,
            .payload_bytes = sizeof(pack) - 1,
            .content_format = COAP_FORMAT_SENML_JSON,
        };
}

/* An expanded key and the AAD of a request's partial IV. */
static struct aead_job
make_job(const struct device *device, struct engine *engine, const uint8_t *key, void *expanded,
    uint8_t aad[OSCORE_AAD_BYTES_MAX], uint64_t partial_iv)
{
        const struct oscore_input *oscore = &device->oscore;

        cr_assert_eq(aead_expand_key(engine, oscore->alg, key, expanded), 0);
        return (struct aead_job){
            .key = expanded,
            .aad = aad,
            .aad_bytes = (uint16_t)oscore_aad(
                aad, oscore->alg, oscore->recipient_id, oscore->recipient_id_bytes, partial_iv),
            .alg = oscore->alg,
        };
}

size_t
device_protect(const struct device *device, struct engine *engine,
    const struct device_request *request, uint8_t *message)
{
        const struct oscore_input *oscore = &device->oscore;
        struct oscore_option option = {.has_piv = true,
            .piv = request->partial_iv,
            .has_kid = true,
            .kid = oscore->recipient_id,
            .kid_bytes = oscore->recipient_id_bytes};
        uint8_t token[2] = {(uint8_t)request->partial_iv, (uint8_t)device->slot};
        _Alignas(64) uint8_t expanded[4096];
        uint8_t plain[DEVICE_MESSAGE_MAX], aad[OSCORE_AAD_BYTES_MAX], value[32];
        uint8_t nonce[OSCORE_NONCE_BYTES_MAX];
        struct coap_writer inner, outer;
        struct aead_job job;
        ssize_t plain_bytes;

        coap_write_begin_inner(&inner, plain, sizeof(plain), COAP_POST);
        coap_write_option(&inner, COAP_OPTION_URI_PATH, "vitals", 6);
        coap_write_uint(&inner, COAP_OPTION_CONTENT_FORMAT, request->content_format);
        if (request->echo != NULL)
                coap_write_option(&inner, COAP_OPTION_ECHO, request->echo, request->echo_bytes);
        coap_write_payload(&inner, request->payload, request->payload_bytes);
        plain_bytes = coap_write_end(&inner);
        cr_assert_gt(plain_bytes, 0);

        coap_write_begin(&outer, message, DEVICE_MESSAGE_MAX, (enum coap_type)request->type,
            COAP_POST, request->message_id, token, sizeof(token));
        coap_write_option(&outer, COAP_OPTION_OSCORE, value,
            (size_t)oscore_option_write(value, sizeof(value), &option));
        cr_assert_leq(aead_expanded_bytes(oscore->alg), sizeof(expanded));
        job = make_job(
            device, engine, device->keys.recipient_key, expanded, aad, request->partial_iv);
        oscore_nonce(nonce, oscore->alg, device->keys.common_iv, oscore->recipient_id,
            oscore->recipient_id_bytes, request->partial_iv);
        job.nonce = nonce;
        job.in = plain;
        job.in_bytes = (uint32_t)plain_bytes;
        job.out =
            coap_write_payload_room(&outer, (size_t)plain_bytes + aead_tag_bytes(oscore->alg));
        cr_assert_not_null(job.out);
        engine_seal(engine, &job, 1);
        return (size_t)coap_write_end(&outer);
}

int
device_open(const struct device *device, struct engine *engine, uint64_t partial_iv,
    const uint8_t *reply, size_t bytes, uint8_t *plain)
{
        const struct oscore_input *oscore = &device->oscore;
        _Alignas(64) uint8_t expanded[4096];
        uint8_t aad[OSCORE_AAD_BYTES_MAX], nonce[OSCORE_NONCE_BYTES_MAX];
        const struct coap_option *option;
        uint64_t ok[ENGINE_BITMAP_WORDS];
        struct oscore_option value;
        struct coap_message outer;
        struct aead_job job;

        if (coap_parse(&outer, reply, bytes) != COAP_OK)
                return -1;
        option = coap_find(&outer, COAP_OPTION_OSCORE);
        if (option == NULL || oscore_option_parse(&value, coap_option_value(&outer, option),
                                  option->bytes) != OSCORE_OPTION_OK)
                return -1;
        job = make_job(device, engine, device->keys.sender_key, expanded, aad, partial_iv);
        if (value.has_piv)
                oscore_nonce(nonce, oscore->alg, device->keys.common_iv, oscore->sender_id,
                    oscore->sender_id_bytes, value.piv);
        else
                oscore_nonce(nonce, oscore->alg, device->keys.common_iv, oscore->recipient_id,
                    oscore->recipient_id_bytes, partial_iv);
        job.nonce = nonce;
        job.in = outer.payload;
        job.in_bytes = outer.payload_bytes;
        job.out = plain;
        engine_open(engine, &job, 1, ok);
        return (ok[0] & 1) != 0 ? (int)(outer.payload_bytes - aead_tag_bytes(oscore->alg)) : -1;
}

uint64_t
device_leaf(const uint8_t *plain, size_t bytes)
{
        const struct coap_option *segment;
        struct coap_message inner;
        char digits[24] = {0};

        cr_assert_eq(coap_parse_inner(&inner, plain, bytes), COAP_OK);
        cr_assert_eq(inner.code, COAP_CREATED);
        segment = coap_find(&inner, COAP_OPTION_LOCATION_PATH);
        cr_assert(segment != NULL && segment->bytes == 1);
        segment = coap_next(&inner, segment);
        cr_assert(segment != NULL && segment->bytes < sizeof(digits));
        memcpy(digits, coap_option_value(&inner, segment), segment->bytes);
        return strtoull(digits, NULL, 10);
}
