/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/pipeline_fleet.h"

#include "dataplane/coap/coap.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/frame.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#define SERVER_ID_BYTE 0x41
#define KEY_EPOCH      1u
#define BASE_TIME      UINT64_C(1800000000)
#define COAP_PORT      5683u
#define FIRST_PORT     20000u
#define PORTS          40000u
#define STRIDE_FIRST   2654435761u /* far from any small period */

static const uint8_t peer_mac[MAC_BYTES] = {0x02, 0, 0, 0, 0, 0x99};
static const uint8_t gateway_ip4[IPV4_BYTES] = {10, 77, 0, 2};

static uint64_t
mix(uint64_t z)
{
        z += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

static uint64_t
greatest_common_divisor(uint64_t a, uint64_t b)
{
        while (b != 0) {
                uint64_t rest = a % b;

                a = b;
                b = rest;
        }
        return a;
}

/* 32 bytes that follow from the process's seed. */
static void
derive(const struct fleet *fleet, uint8_t out[32], char what, uint32_t device)
{
        uint8_t in[5] = {(uint8_t)what};

        memcpy(in + 1, &device, sizeof(device));
        crypto_generichash(out, 32, in, sizeof(in), fleet->seed, sizeof(fleet->seed));
}

uint64_t
fleet_context_id(uint32_t device)
{
        return UINT64_C(1) + device;
}

static int
enrol(struct fleet *fleet, struct contexts *contexts, uint32_t device, uint8_t alg)
{
        struct context_spec spec = {
            .context_id = fleet_context_id(device),
            .slot = device,
            .patient = device,
            .native = true,
            .window = {.state = WINDOW_FRESH},
        };
        struct oscore_input input = {
            .alg = alg,
            .secret_bytes = 16,
            .recipient_id = {SERVER_ID_BYTE},
            .recipient_id_bytes = 1,
            .sender_id_bytes = NATIVE_KID_BYTES,
        };
        uint8_t key[SEAL_KEY_BYTES];
        int r;

        derive(fleet, key, 's', device);
        memcpy(input.secret, key, 16);
        native_kid(input.sender_id, device, spec.generation);
        r = client_init(&fleet->clients[device], fleet->engine, &input);
        if (r < 0)
                return r;
        spec.oscore = input;
        memcpy(spec.oscore.sender_id, input.recipient_id, sizeof(spec.oscore.sender_id));
        memcpy(spec.oscore.recipient_id, input.sender_id, sizeof(spec.oscore.recipient_id));
        spec.oscore.sender_id_bytes = input.recipient_id_bytes;
        spec.oscore.recipient_id_bytes = input.sender_id_bytes;
        snprintf(spec.name, sizeof(spec.name), "bench-%u", device);
        derive(fleet, key, 'p', device);
        r = contexts_patient_set(contexts, device, key, KEY_EPOCH);
        return r < 0 ? r : contexts_add(contexts, &spec);
}

int
fleet_create(struct fleet *fleet, struct contexts *contexts, uint32_t devices,
    uint32_t payload_bytes, uint8_t alg, enum engine_backend backend)
{
        int r;

        memset(fleet, 0, sizeof(*fleet));
        assert(payload_bytes >= FLEET_PAYLOAD_MIN && payload_bytes <= SEAL_PAYLOAD_MAX);
        fleet->payload_bytes = payload_bytes;
        fleet->stride = STRIDE_FIRST % devices + 1;
        while (greatest_common_divisor(fleet->stride, devices) != 1)
                fleet->stride++;
        randombytes_buf(fleet->seed, sizeof(fleet->seed));
        fleet->clients = calloc(devices, sizeof(fleet->clients[0]));
        if (fleet->clients == NULL)
                return -ENOMEM;
        r = engine_create(&fleet->engine, backend);
        for (; r == 0 && fleet->devices < devices; fleet->devices++)
                r = enrol(fleet, contexts, fleet->devices, alg);
        return r;
}

void
fleet_destroy(struct fleet *fleet)
{
        for (uint32_t i = 0; i < fleet->devices; i++)
                client_fini(&fleet->clients[i]);
        free(fleet->clients);
        if (fleet->engine != NULL)
                engine_destroy(fleet->engine);
        memset(fleet, 0, sizeof(*fleet));
}

uint32_t
fleet_device(const struct fleet *fleet, uint64_t record)
{
        return (uint32_t)(record % fleet->devices * fleet->stride % fleet->devices);
}

/* Readings follow the first one for as long as there is room; the rest is blanks, which JSON
 * allows. */
void
fleet_payload(const struct fleet *fleet, uint64_t record, uint8_t *out)
{
        static const struct {
                const char *loinc, *unit;
                unsigned low, span, scale;
        } signs[] = {
            {"2708-6", "/", 900, 100, 1000},
            {"9279-1", "1/min", 120, 100, 10},
            {"8310-5", "Cel", 361, 20, 10},
            {"8480-6", "mmHg", 1000, 400, 10},
        };
        char text[SEAL_PAYLOAD_MAX + 128];
        uint64_t dice = mix(record);
        int n = snprintf(text, sizeof(text),
            "[{\"bn\":\"urn:dev:mac:%016" PRIx64 ":\",\"bt\":%" PRIu64
            ",\"n\":\"8867-4\",\"u\":\"beat/min\",\"v\":%u.%u}",
            mix(fleet_device(fleet, record)), BASE_TIME + record / fleet->devices,
            50 + (unsigned)(dice % 60), (unsigned)(dice >> 8) % 10);
        size_t at = (size_t)n;

        for (unsigned i = 0; i < 60; i++) {
                unsigned sign = i % (sizeof(signs) / sizeof(signs[0]));
                unsigned value = signs[sign].low + (unsigned)(mix(dice + i) % signs[sign].span);

                n = snprintf(text + at, sizeof(text) - at,
                    ",{\"n\":\"%s\",\"u\":\"%s\",\"v\":%u.%0*u}", signs[sign].loinc,
                    signs[sign].unit, value / signs[sign].scale, signs[sign].scale == 1000 ? 3 : 1,
                    value % signs[sign].scale);
                if (at + (size_t)n + 1 > fleet->payload_bytes)
                        break;
                at += (size_t)n;
        }
        assert(at < fleet->payload_bytes);
        memset(text + at, ' ', fleet->payload_bytes - at);
        text[fleet->payload_bytes - 1] = ']';
        memcpy(out, text, fleet->payload_bytes);
}

static void
put16(uint8_t *at, unsigned value)
{
        at[0] = (uint8_t)(value >> 8);
        at[1] = (uint8_t)value;
}

/* Ethernet, IPv4 and UDP before a message that is in its place already. */
static void
write_headers(const struct fleet *fleet, uint32_t device, uint8_t *frame, size_t message_bytes)
{
        uint8_t *ip = frame + ETHER_HEADER_BYTES, *udp = ip + IPV4_HEADER_BYTES;
        uint8_t source[IPV4_BYTES] = {
            10, (uint8_t)(78 + (device >> 16) % 128), (uint8_t)(device >> 8), (uint8_t)device};
        uint16_t udp_bytes = (uint16_t)(UDP_HEADER_BYTES + message_bytes), sum;

        memcpy(frame, fleet->gateway_mac, MAC_BYTES);
        memcpy(frame + MAC_BYTES, peer_mac, MAC_BYTES);
        put16(frame + 2 * MAC_BYTES, 0x0800);
        memset(ip, 0, IPV4_HEADER_BYTES);
        ip[0] = 0x45;
        put16(ip + 2, IPV4_HEADER_BYTES + udp_bytes);
        ip[6] = 0x40; /* DF */
        ip[8] = FRAME_HOP_LIMIT;
        ip[9] = 17;
        memcpy(ip + 12, source, IPV4_BYTES);
        memcpy(ip + 16, gateway_ip4, IPV4_BYTES);
        sum = checksum_finish(checksum_add(0, ip, IPV4_HEADER_BYTES));
        memcpy(ip + 10, &sum, sizeof(sum));
        put16(udp, FIRST_PORT + device % PORTS);
        put16(udp + 2, COAP_PORT);
        put16(udp + 4, udp_bytes);
        put16(udp + 6, 0);
        sum = checksum_finish_udp(
            checksum_add(checksum_pseudo4(source, gateway_ip4, 17, udp_bytes), udp, udp_bytes));
        memcpy(udp + 6, &sum, sizeof(sum));
}

size_t
fleet_frame(struct fleet *fleet, uint64_t record, uint32_t token, uint8_t *out)
{
        const size_t headers = ETHER_HEADER_BYTES + IPV4_HEADER_BYTES + UDP_HEADER_BYTES;
        uint32_t device = fleet_device(fleet, record);
        struct client *client = &fleet->clients[device];
        uint8_t payload[SEAL_PAYLOAD_MAX], message[CLIENT_MESSAGE_MAX];
        struct client_request request = {
            .type = COAP_CON,
            .message_id = (uint16_t)(record / fleet->devices),
            .token = (const uint8_t *)&token,
            .token_bytes = FLEET_TOKEN_BYTES,
            .content_format = COAP_FORMAT_SENML_JSON,
            .payload = payload,
            .payload_bytes = fleet->payload_bytes,
        };
        uint64_t piv;
        ssize_t n;

        fleet_payload(fleet, record, payload);
        client->next_piv = record / fleet->devices;
        n = client_protect(client, fleet->engine, &request, message, &piv);
        assert(n > 0 && headers + (size_t)n <= fleet->payload_bytes + FLEET_FRAME_OVERHEAD);
        assert(piv == record / fleet->devices);
        memcpy(out + headers, message, (size_t)n);
        write_headers(fleet, device, out, (size_t)n);
        return headers + (size_t)n;
}

int
fleet_open_reply(
    struct fleet *fleet, uint64_t record, const uint8_t *message, size_t bytes, uint64_t *leaf)
{
        struct client_reply reply;
        int r = client_open(&fleet->clients[fleet_device(fleet, record)], fleet->engine,
            record / fleet->devices, message, bytes, &reply);

        if (r < 0 || !reply.protected || reply.code != COAP_CREATED || !reply.has_leaf)
                return -EBADMSG;
        *leaf = reply.leaf;
        return 0;
}

int
fleet_check_record(
    struct fleet *fleet, uint64_t record, const uint8_t *sealed, uint32_t sealed_bytes)
{
        uint32_t device = fleet_device(fleet, record);
        uint8_t key[SEAL_KEY_BYTES], plain[SEAL_PAYLOAD_MAX], want[SEAL_PAYLOAD_MAX];
        struct seal_header header;

        if (seal_header_read(&header, sealed, sealed_bytes) < 0 || header.kind != RECORD_OSCORE ||
            header.context_id != fleet_context_id(device) ||
            header.partial_iv != record / fleet->devices ||
            header.payload_bytes != fleet->payload_bytes ||
            header.content_format != COAP_FORMAT_SENML_JSON)
                return -EBADMSG;
        derive(fleet, key, 'p', device);
        if (seal_open_record(plain, sealed, sealed_bytes, key) < 0)
                return -EBADMSG;
        fleet_payload(fleet, record, want);
        return memcmp(plain, want, fleet->payload_bytes) == 0 ? 0 : -EBADMSG;
}
