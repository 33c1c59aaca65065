/* SPDX-License-Identifier: Apache-2.0 */
/* A small gateway on the loopback for tests of the simulator: it opens requests, answers as it is
 * told, and remembers what it saw. */
#ifndef AORTA_TESTS_BENCH_GATEWAY_H
#define AORTA_TESTS_BENCH_GATEWAY_H

#include "bench/wire.h"
#include "crypto/engine.h"
#include "crypto/oscore.h"
#include "dataplane/coap/coap.h"
#include "dataplane/coap/oscore_option.h"

#include <criterion/criterion.h>
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define GATEWAY_DEVICES 4
#define GATEWAY_ECHO    "proof"

enum behaviour {
        ANSWER,        /* 2.01, the next leaf */
        ANSWER_TWICE,  /* the same, sent twice */
        SEPARATE,      /* an empty ACK, then the answer as a CON of its own */
        ECHO_FIRST,    /* each device's first request is answered 4.01 with Echo */
        ECHO_ALWAYS,   /* whatever it sends */
        BUSY_FIRST,    /* a device's first request: 5.03, Max-Age 1 */
        BUSY_ALWAYS,   /* Max-Age 60 */
        SILENT_FIRST,  /* a device's first message is not answered; its retransmission is */
        SILENT,        /* no request is answered */
        SAME_LEAF,     /* every acknowledgement names leaf 7 */
        NO_LEAF,       /* 2.01 without Location-Path */
        UNPROTECTED,   /* 2.01 without OSCORE */
        FORGED,        /* a wrong tag */
        OTHER_REQUEST, /* protected for another partial IV */
        BAD_REQUEST,   /* protected 4.00 */
        REJECT,        /* RST */
        WRONG_ID,      /* an ACK of another message ID */
};

struct gateway_device {
        struct oscore_input input; /* as the server */
        uint8_t common_iv[OSCORE_NONCE_BYTES_MAX];
        _Alignas(64) uint8_t open_key[2048], seal_key[2048];
        uint64_t server_piv, last_piv;
        uint64_t first_ns;
        unsigned requests, first_bytes;
        uint8_t first[1500];
};

struct gateway {
        int fd;
        union address address;
        pthread_t thread;
        atomic_bool stop;
        enum behaviour behaviour;
        struct engine *engine;
        struct gateway_device devices[GATEWAY_DEVICES];
        uint64_t leaf;
        atomic_uint requests, acks, echoes_right, identical, repeated_pivs, resets, early;
        char devices_path[64];
};

static inline int
gateway_find(struct gateway *gateway, const struct oscore_option *option)
{
        if (option->kid_bytes != 1 || option->kid[0] >= GATEWAY_DEVICES)
                return -1;
        (void)gateway;
        return option->kid[0];
}

static inline bool
gateway_unseal(struct gateway *gateway, struct gateway_device *device,
    const struct coap_message *message, uint64_t piv, uint8_t *plain, struct coap_message *inner)
{
        uint8_t nonce[OSCORE_NONCE_BYTES_MAX], aad[OSCORE_AAD_BYTES_MAX];
        const struct oscore_input *input = &device->input;
        uint64_t ok[ENGINE_BITMAP_WORDS];
        struct aead_job job = {.alg = input->alg,
            .key = device->open_key,
            .nonce = nonce,
            .aad = aad,
            .in = message->payload,
            .in_bytes = message->payload_bytes,
            .out = plain};

        oscore_nonce(nonce, input->alg, device->common_iv, input->recipient_id,
            input->recipient_id_bytes, piv);
        job.aad_bytes = (uint16_t)oscore_aad(
            aad, input->alg, input->recipient_id, input->recipient_id_bytes, piv);
        engine_open(gateway->engine, &job, 1, ok);
        return (ok[0] & 1) &&
               coap_parse_inner(inner, plain, job.in_bytes - aead_tag_bytes(input->alg)) == COAP_OK;
}

struct gateway_answer {
        enum coap_type type;
        uint8_t code;
        uint16_t message_id;
        const char *leaf, *echo;
        uint32_t max_age;
        bool own_piv, plain, forge;
};

static inline size_t
gateway_write(struct gateway *gateway, struct gateway_device *device,
    const struct coap_message *request, uint64_t piv, const struct gateway_answer *answer,
    uint8_t out[512])
{
        uint8_t inner[256], value[16], nonce[OSCORE_NONCE_BYTES_MAX], aad[OSCORE_AAD_BYTES_MAX];
        const struct oscore_input *input = &device->input;
        struct oscore_option option = {.has_piv = answer->own_piv, .piv = device->server_piv};
        struct coap_writer writer;
        struct aead_job job = {
            .alg = input->alg, .key = device->seal_key, .nonce = nonce, .aad = aad, .in = inner};

        if (answer->plain)
                coap_write_begin(&writer, out, 512, answer->type, answer->code, answer->message_id,
                    request->token, request->token_bytes);
        else
                coap_write_begin_inner(&writer, inner, sizeof(inner), answer->code);
        if (answer->leaf != NULL) {
                coap_write_option(&writer, COAP_OPTION_LOCATION_PATH, "r", 1);
                coap_write_option(
                    &writer, COAP_OPTION_LOCATION_PATH, answer->leaf, strlen(answer->leaf));
        }
        if (answer->max_age != 0)
                coap_write_uint(&writer, COAP_OPTION_MAX_AGE, answer->max_age);
        if (answer->echo != NULL)
                coap_write_option(&writer, COAP_OPTION_ECHO, answer->echo, strlen(answer->echo));
        cr_assert_gt(coap_write_end(&writer), 0);
        if (answer->plain)
                return (size_t)coap_write_end(&writer);
        job.in_bytes = (uint32_t)coap_write_end(&writer);
        coap_write_begin(&writer, out, 512, answer->type, COAP_CHANGED, answer->message_id,
            request->token, request->token_bytes);
        coap_write_option(&writer, COAP_OPTION_OSCORE, value,
            (size_t)oscore_option_write(value, sizeof(value), &option));
        job.out = coap_write_payload_room(&writer, job.in_bytes + aead_tag_bytes(input->alg));
        if (answer->own_piv)
                oscore_nonce(nonce, input->alg, device->common_iv, input->sender_id,
                    input->sender_id_bytes, device->server_piv++);
        else
                oscore_nonce(nonce, input->alg, device->common_iv, input->recipient_id,
                    input->recipient_id_bytes, piv);
        job.aad_bytes = (uint16_t)oscore_aad(
            aad, input->alg, input->recipient_id, input->recipient_id_bytes, piv);
        engine_seal(gateway->engine, &job, 1);
        if (answer->forge)
                job.out[job.in_bytes] ^= 1;
        return (size_t)coap_write_end(&writer);
}

/* What to answer; false: nothing. */
static inline bool
gateway_choose(struct gateway *gateway, struct gateway_device *device,
    const struct coap_message *inner, char leaf[24], struct gateway_answer *answer)
{
        const struct coap_option *echo = coap_find(inner, COAP_OPTION_ECHO);
        bool first = device->requests == 1, proved = false;

        if (echo != NULL)
                proved = echo->bytes == strlen(GATEWAY_ECHO) &&
                         memcmp(coap_option_value(inner, echo), GATEWAY_ECHO, echo->bytes) == 0;
        gateway->echoes_right += proved;
        snprintf(leaf, 24, "%llu",
            (unsigned long long)(gateway->behaviour == SAME_LEAF ? 7 : gateway->leaf));
        answer->code = COAP_CREATED;
        answer->leaf = leaf;
        switch (gateway->behaviour) {
        case ECHO_FIRST:
        case ECHO_ALWAYS:
                if ((first || gateway->behaviour == ECHO_ALWAYS)) {
                        *answer = (struct gateway_answer){.type = answer->type,
                            .message_id = answer->message_id,
                            .code = COAP_UNAUTHORIZED,
                            .echo = GATEWAY_ECHO,
                            .own_piv = true};
                }
                break;
        case BUSY_FIRST:
        case BUSY_ALWAYS:
                if (first || gateway->behaviour == BUSY_ALWAYS) {
                        answer->code = COAP_UNAVAILABLE;
                        answer->leaf = NULL;
                        answer->max_age = gateway->behaviour == BUSY_ALWAYS ? 60 : 1;
                        answer->own_piv = true;
                }
                break;
        case SILENT:
                return false;
        case SILENT_FIRST:
                if (first)
                        return false;
                break;
        case NO_LEAF:
                answer->leaf = NULL;
                break;
        case UNPROTECTED:
                answer->plain = true;
                break;
        case FORGED:
                answer->forge = true;
                break;
        case BAD_REQUEST:
                answer->code = COAP_BAD_REQUEST;
                answer->leaf = NULL;
                answer->own_piv = true;
                break;
        default:
                break;
        }
        if (answer->code == COAP_CREATED)
                gateway->leaf++;
        return true;
}

static inline uint64_t
gateway_now_ns(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static inline void
gateway_note(struct gateway *gateway, struct gateway_device *device, const uint8_t *data,
    size_t bytes, uint64_t piv)
{
        gateway->requests++;
        device->requests++;
        if (device->requests == 1) {
                device->first_ns = gateway_now_ns();
                memcpy(device->first, data, bytes);
                device->first_bytes = (unsigned)bytes;
        } else if (device->first_bytes == bytes && memcmp(device->first, data, bytes) == 0) {
                gateway->identical++;
                return;
        }
        /* Told to wait a second, it came sooner. */
        gateway->early += gateway->behaviour == BUSY_FIRST && device->requests == 2 &&
                          gateway_now_ns() < device->first_ns + UINT64_C(1000000000);
        gateway->repeated_pivs += device->requests > 1 && piv <= device->last_piv;
        device->last_piv = piv;
}

static inline void
gateway_serve(struct gateway *gateway, const uint8_t *data, size_t bytes,
    const struct sockaddr *from, socklen_t from_bytes)
{
        struct gateway_answer answer = {.type = COAP_ACK};
        struct gateway_device *device;
        struct coap_message message, inner;
        struct oscore_option option;
        const struct coap_option *value;
        uint8_t plain[1500], out[512];
        char leaf[24];
        size_t n;
        int index;

        cr_assert_eq(coap_parse(&message, data, bytes), COAP_OK);
        if (message.code == COAP_EMPTY) {
                gateway->acks += message.type == COAP_ACK;
                gateway->resets += message.type == COAP_RST;
                if (message.type == COAP_CON) {
                        coap_write_empty(out, COAP_RST, message.message_id);
                        sendto(gateway->fd, out, COAP_HEADER_BYTES, 0, from, from_bytes);
                }
                return;
        }
        value = coap_find(&message, COAP_OPTION_OSCORE);
        cr_assert_not_null(value);
        cr_assert_eq(oscore_option_parse(&option, coap_option_value(&message, value), value->bytes),
            OSCORE_OPTION_OK);
        index = gateway_find(gateway, &option);
        cr_assert_geq(index, 0);
        device = &gateway->devices[index];
        cr_assert(gateway_unseal(gateway, device, &message, option.piv, plain, &inner));
        cr_assert(coap_uri_path_equals(&inner, "vitals"));
        gateway_note(gateway, device, data, bytes, option.piv);
        answer.message_id = (uint16_t)(message.message_id + (gateway->behaviour == WRONG_ID));
        if (gateway->behaviour == REJECT) {
                coap_write_empty(out, COAP_RST, message.message_id);
                sendto(gateway->fd, out, COAP_HEADER_BYTES, 0, from, from_bytes);
                return;
        }
        if (message.type == COAP_NON)
                answer.type = COAP_NON;
        if (gateway->behaviour == SEPARATE) {
                coap_write_empty(out, COAP_ACK, message.message_id);
                sendto(gateway->fd, out, COAP_HEADER_BYTES, 0, from, from_bytes);
                answer.type = COAP_CON;
                answer.message_id = (uint16_t)(0x4000 + gateway->requests);
        }
        if (!gateway_choose(gateway, device, &inner, leaf, &answer))
                return;
        n = gateway_write(gateway, device, &message,
            option.piv + (gateway->behaviour == OTHER_REQUEST), &answer, out);
        for (int i = gateway->behaviour == ANSWER_TWICE; i >= 0; i--)
                sendto(gateway->fd, out, n, 0, from, from_bytes);
}

static inline void *
gateway_thread(void *user)
{
        struct gateway *gateway = user;

        while (!gateway->stop) {
                struct pollfd ready = {.fd = gateway->fd, .events = POLLIN};
                uint8_t data[2048];
                union address from;
                socklen_t from_bytes = sizeof(from);
                ssize_t n;

                if (poll(&ready, 1, 20) != 1)
                        continue;
                n = recvfrom(gateway->fd, data, sizeof(data), 0, &from.any, &from_bytes);
                if (n > 0)
                        gateway_serve(gateway, data, (size_t)n, &from.any, from_bytes);
        }
        return NULL;
}

static inline void
gateway_make_devices(struct gateway *gateway)
{
        static const uint8_t algs[GATEWAY_DEVICES] = {10, 24, 1, 30};
        int fd;

        snprintf(gateway->devices_path, sizeof(gateway->devices_path), "/tmp/aorta-sim-XXXXXX");
        fd = mkstemp(gateway->devices_path);
        cr_assert_geq(fd, 0);
        dprintf(fd, "# devices of a test\n");
        for (unsigned i = 0; i < GATEWAY_DEVICES; i++) {
                struct gateway_device *device = &gateway->devices[i];
                struct oscore_input *input = &device->input;
                struct oscore_keys keys;

                *input = (struct oscore_input){.alg = algs[i],
                    .sender_id = {0x41},
                    .sender_id_bytes = 1,
                    .recipient_id = {(uint8_t)i},
                    .recipient_id_bytes = 1,
                    .secret_bytes = 16};
                memset(input->secret, (int)i + 1, 16);
                cr_assert_eq(oscore_derive_keys(input, &keys), 0);
                memcpy(device->common_iv, keys.common_iv, sizeof(device->common_iv));
                cr_assert_leq(aead_expanded_bytes(algs[i]), sizeof(device->open_key));
                aead_expand_key(gateway->engine, algs[i], keys.recipient_key, device->open_key);
                aead_expand_key(gateway->engine, algs[i], keys.sender_key, device->seal_key);
                dprintf(fd, "dev%u %u %02x 41 ", i, algs[i], i);
                for (unsigned b = 0; b < 16; b++)
                        dprintf(fd, "%02x", i + 1);
                dprintf(fd, " -\n");
        }
        close(fd);
}

static inline struct gateway *
gateway_start(enum behaviour behaviour)
{
        struct gateway *gateway = aligned_alloc(64, (sizeof(*gateway) + 63) / 64 * 64);
        socklen_t bytes = sizeof(gateway->address);

        memset(gateway, 0, sizeof(*gateway));
        gateway->behaviour = behaviour;
        gateway->leaf = 1000;
        cr_assert_eq(engine_create(&gateway->engine, ENGINE_PORTABLE), 0);
        gateway_make_devices(gateway);
        gateway->fd = socket(AF_INET, SOCK_DGRAM, 0);
        gateway->address.v4.sin_family = AF_INET;
        gateway->address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        cr_assert_eq(bind(gateway->fd, &gateway->address.any, sizeof(gateway->address.v4)), 0);
        cr_assert_eq(getsockname(gateway->fd, &gateway->address.any, &bytes), 0);
        cr_assert_eq(pthread_create(&gateway->thread, NULL, gateway_thread, gateway), 0);
        return gateway;
}

static inline void
gateway_stop(struct gateway *gateway)
{
        gateway->stop = true;
        pthread_join(gateway->thread, NULL);
        close(gateway->fd);
        unlink(gateway->devices_path);
        engine_destroy(gateway->engine);
        free(gateway);
}

#endif
