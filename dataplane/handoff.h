/* SPDX-License-Identifier: Apache-2.0 */
/* What crosses between a worker and the ledger writer, by two SPSC rings a worker.
 *
 * The sealed bytes stay in the worker's seal arena until the receipt comes back; the writer reads them
 * there. Every descriptor gets exactly one receipt, or the process ends. */
#ifndef AORTA_DATAPLANE_HANDOFF_H
#define AORTA_DATAPLANE_HANDOFF_H

#include <assert.h>
#include <stdint.h>

struct commit_desc {
        uint64_t context_id;
        uint64_t received_ns; /* Unix time */
        uint8_t digest[32];   /* of the sealed record */
        const uint8_t *sealed; /* in the worker's seal arena */
        uint32_t pending;     /* the worker's slot; comes back in the receipt */
        uint16_t sealed_bytes;
        uint8_t kind; /* enum record_kind */
        uint8_t worker;
};
static_assert(sizeof(struct commit_desc) == 64, "one cache line");

enum receipt_status {
        RECEIPT_COMMITTED = 0, /* durable, at leaf */
        RECEIPT_REFUSED = 1,   /* certainly not written: the worker may answer 5.03 */
        RECEIPT_SILENCE = 2,   /* a flush failed: it may be durable; no answer */
};

struct receipt {
        uint64_t leaf;
        uint32_t pending;
        uint32_t status; /* enum receipt_status */
};
static_assert(sizeof(struct receipt) == 16, "ring element");

#endif
