/* SPDX-License-Identifier: Apache-2.0 */
/* One datagram on its way through a walk, from classify to commit. Worker scratch: nothing of it
 * outlives the walk; what a reply needs is copied into a pending slot. */
#ifndef AORTA_DATAPLANE_REQUEST_H
#define AORTA_DATAPLANE_REQUEST_H

#include "dataplane/coap/coap.h"
#include "dataplane/net/frame.h"

#include <stdint.h>

struct rte_mbuf;
struct context;

struct request {
        /* set by classify */
        struct rte_mbuf *mbuf;   /* owned by the request until seal or drop */
        const uint8_t *datagram; /* UDP payload, in the mbuf's first segment */
        uint16_t datagram_bytes;
        uint16_t port_id;
        struct endpoint endpoint; /* where a reply goes */

        /* set by coap and later nodes */
        struct coap_message message;
        struct context *context;
        uint64_t partial_iv;
        uint32_t pending;
        uint16_t flags; /* RECORD_FLAG_* */
        uint8_t kind;   /* enum record_kind */
        uint8_t state;  /* open: DROP_NONE, or what was full when it reserved */
        uint32_t plain_bytes;
        uint8_t *plain;         /* worker scratch: the opened inner message */
        const uint8_t *payload; /* SenML, inside plain */
        uint16_t payload_bytes;
        uint16_t content_format;
        uint16_t
            reply_limit; /* bytes of a reply to an endpoint that nothing vouches for (RFC 9175) */
        uint8_t tag[16]; /* of the OSCORE request, zero padded */
        uint8_t tag_bytes;
        uint32_t lab_entry; /* lab records: in the table of duplicates */
};

#endif
