/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of a benchmark and their requests. Record k is of device (k mod devices, in an order
 * that jumps about) under partial IV k / devices; its payload follows from k, so that everything
 * can be checked afterwards without being kept. One thread. */
#ifndef AORTA_BENCH_PIPELINE_FLEET_H
#define AORTA_BENCH_PIPELINE_FLEET_H

#include "bench/client.h"
#include "crypto/seal.h"
#include "dataplane/contexts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLEET_FRAME_OVERHEAD 192u /* frame, CoAP and OSCORE around a payload, at most */
#define FLEET_TOKEN_BYTES    4u
#define FLEET_PAYLOAD_MIN    112u

struct fleet {
        struct engine *engine;
        struct client *clients;
        uint32_t devices, payload_bytes;
        uint64_t stride; /* coprime to devices */
        uint8_t gateway_mac[6];
        uint8_t seed[32];
};

/* Makes devices and enrols them, each with a patient of its own. 0 or -errno. */
int fleet_create(struct fleet *fleet, struct contexts *contexts, uint32_t devices,
    uint32_t payload_bytes, uint8_t alg, enum engine_backend backend);
void fleet_destroy(struct fleet *fleet);

uint32_t fleet_device(const struct fleet *fleet, uint64_t record);
uint64_t fleet_context_id(uint32_t device);
/* The SenML JSON of a record: payload_bytes. */
void fleet_payload(const struct fleet *fleet, uint64_t record, uint8_t *out);
/* The whole Ethernet frame of a record's request. The token is `token`. Returns its length. */
size_t fleet_frame(struct fleet *fleet, uint64_t record, uint32_t token, uint8_t *out);
/* Opens the answer (CoAP message) to a record's request: 0 with its leaf, or -EBADMSG. */
int fleet_open_reply(
    struct fleet *fleet, uint64_t record, const uint8_t *message, size_t bytes, uint64_t *leaf);
/* Opens a sealed record and compares it with what the device sent: 0 or -EBADMSG. */
int fleet_check_record(
    struct fleet *fleet, uint64_t record, const uint8_t *sealed, uint32_t sealed_bytes);

#endif
