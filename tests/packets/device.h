/* SPDX-License-Identifier: Apache-2.0 */
/* Simulated devices for tests of load: native contexts, each with a patient of its own. */
#ifndef AORTA_TESTS_PACKETS_DEVICE_H
#define AORTA_TESTS_PACKETS_DEVICE_H

#include "crypto/engine.h"
#include "crypto/oscore.h"
#include "dataplane/contexts.h"

#include <stddef.h>
#include <stdint.h>

#define DEVICE_MESSAGE_MAX 1500u

struct device {
        uint64_t context_id;
        uint32_t slot;
        struct oscore_input oscore; /* as the gateway derives: recipient_id is the device's kid */
        struct oscore_keys keys;
        uint64_t partial_iv; /* next */
        uint16_t message_id; /* next */
        uint8_t patient_key[32];
};

struct device_request {
        uint8_t type; /* enum coap_type */
        uint64_t partial_iv;
        uint16_t message_id;
        const void *payload;
        size_t payload_bytes;
        uint16_t content_format;
        const uint8_t *echo; /* NULL: none */
        size_t echo_bytes;
};

/* Makes a device of that slot and a patient of the same, and adds both. */
void device_enrol(struct device *device, struct contexts *contexts, uint32_t slot, int alg);
/* A CON POST of one heart rate, with the next partial IV and message ID. */
void device_next(struct device *device, struct device_request *request);
/* The CoAP message of a request, protected. Token: low byte of the partial IV, low byte of the
 * slot. Returns its length. */
size_t device_protect(const struct device *device, struct engine *engine,
    const struct device_request *request, uint8_t *message);
/* Opens the reply to the request of that partial IV; returns the inner message's length, -1 when it
 * is none or not authentic. */
int device_open(const struct device *device, struct engine *engine, uint64_t partial_iv,
    const uint8_t *reply, size_t bytes, uint8_t *plain);
/* The leaf of an inner 2.01; asserts that it is one. */
uint64_t device_leaf(const uint8_t *plain, size_t bytes);

#endif
