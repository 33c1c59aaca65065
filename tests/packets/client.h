/* SPDX-License-Identifier: Apache-2.0 */
/* OSCORE devices for packet tests: they enrol in a harness's contexts, make requests and open
 * replies. */
#ifndef AORTA_TESTS_PACKETS_CLIENT_H
#define AORTA_TESTS_PACKETS_CLIENT_H

#include "tests/packets/frames.h"
#include "tests/packets/harness.h"

#include "crypto/oscore.h"
#include "dataplane/coap/coap.h"

#define CLIENT_MESSAGE_MAX 1600u

struct client {
        struct oscore_input input; /* as the device: sender_id is its kid */
        struct oscore_keys keys;
        struct context_spec spec; /* as enrolled */
        uint64_t next_piv;
        uint16_t next_message_id;
        uint16_t port;   /* its UDP port */
        unsigned family; /* 4 or 6 */
};

/* A UDP payload. */
struct datagram {
        uint8_t bytes[CLIENT_MESSAGE_MAX];
        size_t n;
};

struct client_request {
        enum coap_type type;
        uint8_t code;       /* inner; 0: POST */
        const char *path;   /* NULL: "vitals"; segments joined by '/' */
        int content_format; /* 0: 110; -1: none */
        const void *payload;
        size_t payload_bytes;
        const uint8_t *echo;
        size_t echo_bytes;
        int accept; /* 0: none */
        uint64_t piv;
        uint16_t message_id;
        uint8_t token[8];
        uint8_t token_bytes;
        uint16_t extra_option; /* an inner option without value; 0: none */
};

/* What came back. */
struct client_reply {
        struct coap_message outer; /* into raw */
        struct datagram raw;
        bool is_protected, opened, has_piv;
        uint64_t piv;
        uint8_t nonce[OSCORE_NONCE_BYTES_MAX];
        uint8_t plain[CLIENT_MESSAGE_MAX];
        struct coap_message inner; /* into plain, when opened */
};

#define CLIENT_PACK "[{\"n\":\"urn:dev:ow:10e2073a01080063:8867-4\",\"u\":\"beat/min\",\"v\":72}]"
extern const uint8_t client_patient_key[SEAL_KEY_BYTES];

/* Enrols a native device at slot, with a patient of its own (patient slot = slot). window may be
 * NULL. */
void client_enrol(struct client *device, struct harness *harness, uint32_t slot, int alg,
    const struct context_window *window);
/* Derives a device from a spec (for foreign kids) that the caller has adapted, and adds it. */
void client_enrol_spec(
    struct client *device, struct harness *harness, const struct context_spec *spec);
/* A native device's spec. */
struct context_spec client_spec(uint32_t slot, int alg);

/* A CON POST of CLIENT_PACK with the next partial IV, message ID, and a token of its own. */
struct client_request client_post(struct client *device);
void client_write(
    const struct client *device, const struct client_request *request, struct datagram *out);
void client_send(struct client *device, struct harness *harness, const struct datagram *datagram);
/* client_post(), client_write(), client_send(), and the drive of the harness. */
struct client_request client_exchange(struct client *device, struct harness *harness);

/* Parses the reply to a request, and opens a protected one. */
void client_read(const struct client *device, const struct client_request *request,
    const uint8_t *message, size_t bytes, struct client_reply *reply);
/* Takes one frame the gateway has sent to this device's endpoint; false when there is none. Opens a
 * protected one with request's nonce or its own partial IV. */
bool client_take(const struct client *device, struct harness *harness,
    const struct client_request *request, struct client_reply *reply);
/* Asserts that the next reply is a piggybacked (or NON) protected one with that inner code. */
void client_expect(const struct client *device, struct harness *harness,
    const struct client_request *request, uint8_t code, struct client_reply *reply);
/* The leaf of an opened 2.01. */
uint64_t client_leaf(const struct client_reply *reply);
/* Asserts a 2.01 and returns its leaf. */
uint64_t client_expect_leaf(const struct client *device, struct harness *harness,
    const struct client_request *request, struct client_reply *reply);
/* Asserts an unprotected reply with that code and diagnostic payload (NULL: any). */
void client_expect_plain(const struct client *device, struct harness *harness,
    const struct client_request *request, uint8_t code, const char *text);
/* Asserts that the gateway has sent nothing (more). */
void client_expect_nothing(struct harness *harness);

/* Takes the name of a kept record's inside: opens it with the patient's key, checks digest and
 * header against device and request. */
void client_check_record(const struct client *device, const struct client_request *request,
    const struct kept_record *record);

#endif
