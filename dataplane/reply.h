/* SPDX-License-Identifier: Apache-2.0 */
/* Replies: what the nodes say to an endpoint, and how it becomes a packet.
 *
 * A node takes a reply from the worker's array, says what it is and hands it to the node `reply`,
 * which protects a whole batch at once and makes packets. Worker's thread only.
 *
 * Nonces (promise 4): a receipt takes the request's nonce and is a pure function of context,
 * partial IV and leaf. Every other protected reply takes a server partial IV: boot epoch (20 bits)
 * ‖ the context's counter (20 bits). */
#ifndef AORTA_DATAPLANE_REPLY_H
#define AORTA_DATAPLANE_REPLY_H

#include "dataplane/contexts_private.h"
#include "dataplane/echo.h"
#include "dataplane/resources.h"
#include "dataplane/worker.h"

/* Between two runs of the node `reply` at most a burst of requests and one of receipts are
 * answered. */
#define REPLIES_MAX (WALK_PACKETS_MAX + RECEIPT_BURST_MAX)
/* RFC 9175 §2.4: what an endpoint may get before it has proved its address. */
#define AMPLIFICATION_FACTOR    3u
#define AMPLIFICATION_BYTES_MIN 136u
#define REPLY_INNER_BYTES_MAX   192u /* code, options, payload */
#define REPLY_BYTES_MAX         256u /* the CoAP message */
/* From this many server partial IVs on, a context's replies that anyone can ask for again by
 * sending a captured request again are at most one a tick, so that a counter lasts for days. */
#define REPLY_PACED_FROM (1u << 16)
#define REPLY_TICK_SHIFT 28u /* of nanoseconds: 268 ms */

enum reply_shape {
        REPLY_RESET,     /* an Empty RST */
        REPLY_PLAIN,     /* CoAP without OSCORE */
        REPLY_PROTECTED, /* under the context */
};

enum reply_content {
        CONTENT_RECEIPT,   /* 2.01 with Location-Path */
        CONTENT_ERROR,     /* why */
        CONTENT_CHALLENGE, /* 4.01 with Echo */
        CONTENT_LEAF,
        CONTENT_CORE,
};

struct reply {
        struct endpoint endpoint;
        uint16_t message_id; /* of the request */
        uint8_t type;        /* of the request */
        uint8_t token_bytes;
        uint8_t token[COAP_TOKEN_BYTES_MAX];
        uint16_t limit; /* bytes */
        uint8_t shape;
        uint8_t content;
        uint16_t why;
        bool fresh;          /* an error that no cache may keep */
        bool has_server_piv; /* else the request's nonce */
        bool durable, published;
        struct context *context;
        uint64_t partial_iv; /* of the request */
        uint64_t server_piv;
        struct target target; /* the leaf of a receipt is here too */
        uint8_t echo[ECHO_BYTES];
};

/* A reply to a request, with nothing in it yet. */
struct reply *reply_to(struct worker *worker, const struct request *request);

struct pending;
/* A reply to a pending request, protected if the request was. */
struct reply *reply_to_pending(struct worker *worker, const struct pending *pending);

/* RST, plain error. The request's packet stays the caller's. */
void reply_reset(struct worker *worker, const struct request *request);
void reply_plain_error(
    struct worker *worker, const struct request *request, uint16_t why, bool fresh);

/* Gives a protected reply its server partial IV. False when the context has no more, or it is not
 * this context's turn yet (paced): counted, and the reply must be given back with reply_cancel().
 */
bool reply_server_piv(struct worker *worker, struct reply *reply, bool paced);
void reply_cancel(struct worker *worker, struct reply *reply); /* the last one taken */

/* A protected error to an authentic request. keep: its retransmission is to get the same bytes. */
void reply_protected_error(
    struct worker *worker, const struct request *request, uint16_t why, bool keep);

/* Makes packets of n <= ENGINE_BATCH_MAX replies; returns how many stand in mbufs. What could not
 * be made is counted. */
unsigned reply_build(
    struct worker *worker, struct reply *const *replies, unsigned n, struct rte_mbuf **mbufs);

#endif
