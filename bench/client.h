/* SPDX-License-Identifier: Apache-2.0 */
/* A device's end of OSCORE over CoAP (RFC 8613 §8.1, §8.4): its own keys and sequence, no state
 * shared with the gateway. One thread a client. */
#ifndef AORTA_BENCH_CLIENT_H
#define AORTA_BENCH_CLIENT_H

#include "crypto/engine.h"
#include "crypto/oscore.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CLIENT_MESSAGE_MAX 1500u
#define CLIENT_ECHO_MAX    40u

struct client {
        uint8_t alg;
        uint8_t sender_id_bytes, recipient_id_bytes, id_context_bytes;
        bool has_id_context;
        uint8_t sender_id[OSCORE_ID_BYTES_MAX], recipient_id[OSCORE_ID_BYTES_MAX];
        uint8_t id_context[OSCORE_ID_CONTEXT_BYTES_MAX];
        uint8_t common_iv[OSCORE_NONCE_BYTES_MAX];
        uint64_t next_piv;
        void *seal_key, *open_key; /* expanded, of the engine's back end */
};

/* input is as the device sees it: sender_id is its kid. 0 or -errno. */
int client_init(struct client *client, struct engine *engine, const struct oscore_input *input);
void client_fini(struct client *client);

struct client_request {
        uint8_t type;     /* COAP_CON or COAP_NON */
        uint8_t code;     /* inner; 0: POST */
        const char *path; /* inner Uri-Path, its segments joined by '/'; NULL: vitals */
        const char *host; /* outer Uri-Host, or NULL */
        uint16_t message_id;
        const uint8_t *token;
        uint8_t token_bytes;
        uint16_t content_format;
        const uint8_t *payload;
        size_t payload_bytes;
        const uint8_t *echo; /* inner Echo option, or NULL */
        size_t echo_bytes;
};

/* Protects a request under the next partial IV, which it returns in *piv. Length or -errno. */
ssize_t client_protect(struct client *client, struct engine *engine,
    const struct client_request *request, uint8_t out[CLIENT_MESSAGE_MAX], uint64_t *piv);

struct client_reply {
        uint8_t type;
        uint16_t message_id;
        uint8_t token[8], token_bytes;
        bool protected; /* opened under the context: authentic */
        bool own_piv;   /* it carried the server's partial IV */
        uint64_t server_piv;
        uint8_t code;  /* the inner one when protected */
        bool has_leaf; /* Location-Path r/<leaf> */
        uint64_t leaf;
        uint32_t max_age; /* 0 when absent */
        uint8_t echo[CLIENT_ECHO_MAX];
        uint8_t echo_bytes;
        uint16_t content_format;
        uint16_t payload_bytes;
        uint8_t payload[CLIENT_MESSAGE_MAX];
};

/* Parses the outer message only: type, message ID, token, so that the request can be found.
 * -EBADMSG. */
int client_peek(struct client_reply *reply, const uint8_t *data, size_t bytes);
/* Opens a reply to the request sent under piv. 0; -EBADMSG malformed; -EPROTO when its protection
 * is wrong. */
int client_open(struct client *client, struct engine *engine, uint64_t piv, const uint8_t *data,
    size_t bytes, struct client_reply *reply);

#endif
