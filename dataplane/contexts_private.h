/* SPDX-License-Identifier: Apache-2.0 */
/* What the record path sees of contexts and patients' keys. Looked up between two quiescent states;
 * the pointer is good until the next one, and while something of the context is pending. */
#ifndef AORTA_DATAPLANE_CONTEXTS_PRIVATE_H
#define AORTA_DATAPLANE_CONTEXTS_PRIVATE_H

#include "dataplane/contexts.h"
#include "dataplane/coap/oscore_option.h"
#include "dataplane/replay.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

struct names;

#define CONTEXT_BYTES      512u
#define CONTEXT_KEY_AREA   (2u * AEAD_EXPANDED_CCM_BYTES)
#define CONTEXT_LEAF_MAX   ((UINT64_C(1) << 48) - 1)
#define KEPT_TAG_BYTES     8u
#define PENDING_NONE       UINT16_MAX
#define REPLY_COUNTER_BITS 20u /* of a server partial IV; the other 20 are the boot epoch */
#define REPLY_COUNTER_MAX  ((1u << REPLY_COUNTER_BITS) - 1)
static_assert(PENDING_SLOTS < PENDING_NONE, "a pending slot's number fits 16 bits");

enum context_state {
        CONTEXT_FREE,
        CONTEXT_PUBLISHED,
        CONTEXT_RETIRED, /* removed; something of it may be pending */
};

#define CONTEXT_NATIVE 0x01u
#define CONTEXT_LAB    0x02u
#define CONTEXT_POOLED 0x04u /* its expanded keys lie in the key pool */

/* A record's 2.01 of this context, in as few bytes as say it again. */
struct __attribute__((packed)) kept_receipt {
        uint8_t tag[KEPT_TAG_BYTES];
        uint64_t leaf : 48;
        uint64_t partial_iv : 40;
};
static_assert(sizeof(struct kept_receipt) == 19, "four of them and an error in 96 bytes");

/* The last protected error: its server partial IV's counter and what it said. */
struct __attribute__((packed)) kept_error {
        uint8_t tag[KEPT_TAG_BYTES];
        uint64_t partial_iv : 40;
        uint32_t counter : 20;
        uint32_t why : 12; /* 0: none is kept */
};
static_assert(sizeof(struct kept_error) == 17, "four receipts and an error in 96 bytes");

struct context {
        /* The control thread's, constant while published. */
        uint64_t context_id;
        uint32_t patient;
        _Atomic uint8_t state; /* enum context_state */
        uint8_t generation;
        uint8_t alg;
        uint8_t flags;
        uint8_t common_iv[OSCORE_NONCE_BYTES_MAX];
        uint8_t id_bytes; /* low nibble: the kid's; high: the sender ID's */
        uint8_t kid[OSCORE_ID_BYTES_MAX];
        uint8_t sender_id[OSCORE_ID_BYTES_MAX];

        /* The owning worker's. */
        _Atomic uint16_t pending; /* first pending slot, PENDING_NONE; the control thread looks */
        uint8_t window_state;     /* enum window_state */
        uint8_t receipts_n;
        uint64_t window_bits;
        uint64_t window_top : 40;
        uint64_t
            reply_counter : 24; /* next server partial IV's; REPLY_COUNTER_MAX + 1: exhausted */
        /* End of the first cache line: all that a fresh request touches, keys aside. */
        struct kept_receipt receipts[CONTEXT_RECEIPTS];
        struct kept_error error;
        uint8_t receipts_next;
        uint16_t replied_tick; /* of the last paced reply */

        /* The control thread's again: expanded keys, or where they are. */
        union {
                _Alignas(16) uint8_t inside[CONTEXT_KEY_AREA]; /* recipient's, then sender's */
                struct {
                        uint8_t *recipient;
                        uint8_t *sender;
                } pooled;
        } keys;
};
static_assert(sizeof(struct context) == CONTEXT_BYTES, "a device costs 512 bytes");
static_assert(offsetof(struct context, receipts) == 64, "one cache line until the receipts");
static_assert(offsetof(struct context, keys) == CONTEXT_BYTES - CONTEXT_KEY_AREA, "no padding");

enum patient_state {
        PATIENT_NONE, /* never set, or wiped */
        PATIENT_READY,
        PATIENT_CHANGING, /* its key is being replaced */
};

struct patient {
        _Atomic uint32_t state; /* enum patient_state */
        uint32_t key_epoch;
        uint8_t key_hash[32];
        _Alignas(16) uint8_t key[SEAL_KEY_BYTES]; /* expanded is the key itself */
};
static_assert(sizeof(struct patient) == 80, "a patient costs 80 bytes");

struct contexts_table {
        struct context *slots;
        struct patient *patients;
        uint32_t devices;
        uint32_t patients_n;
        uint32_t workers;
        struct names *names; /* foreign kids and lab names */
};

/* The record path's view; struct contexts begins with it. */
static inline const struct contexts_table *
contexts_table(const struct contexts *contexts)
{
        return (const struct contexts_table *)(const void *)contexts;
}

static inline uint32_t
context_slot(const struct contexts *contexts, const struct context *context)
{
        return (uint32_t)(context - contexts_table(contexts)->slots);
}

static inline uint32_t
context_owner(const struct contexts *contexts, const struct context *context)
{
        return context_slot(contexts, context) % CONTEXT_SHARDS % contexts_table(contexts)->workers;
}

static inline uint8_t
context_kid_bytes(const struct context *context)
{
        return context->id_bytes & 0x0f;
}

static inline uint8_t
context_sender_id_bytes(const struct context *context)
{
        return context->id_bytes >> 4;
}

static inline const void *
context_recipient_key(const struct context *context)
{
        return context->flags & CONTEXT_POOLED ? context->keys.pooled.recipient
                                               : context->keys.inside;
}

static inline const void *
context_sender_key(const struct context *context)
{
        return context->flags & CONTEXT_POOLED ? context->keys.pooled.sender
                                               : context->keys.inside + AEAD_EXPANDED_CCM_BYTES;
}

/* The slot that a kid names when it is native, without touching the slot; else NULL. */
static inline struct context *
contexts_native_slot(const struct contexts *contexts, const uint8_t *kid, size_t kid_bytes)
{
        const struct contexts_table *table = contexts_table(contexts);
        uint32_t slot;

        if (kid_bytes != NATIVE_KID_BYTES)
                return NULL;
        slot = (uint32_t)kid[1] << 24 | (uint32_t)kid[2] << 16 | (uint32_t)kid[3] << 8 | kid[4];
        if (slot >= table->devices || kid[0] != slot % CONTEXT_SHARDS)
                return NULL;
        return &table->slots[slot];
}

/* The context of a request's kid and kid context, or NULL. A native kid needs no kid context: one
 * that comes along is no more than a hint, and is not looked at. Any thread between quiescent
 * states. */
struct context *contexts_find(const struct contexts *contexts, const struct oscore_option *option);
/* The lab device of that name, or NULL. */
struct context *contexts_find_lab(
    const struct contexts *contexts, const uint8_t *name, size_t name_bytes);

static inline struct patient *
context_patient(const struct contexts *contexts, const struct context *context)
{
        return &contexts_table(contexts)->patients[context->patient];
}

static inline void
context_window_get(const struct context *context, struct replay_window *window)
{
        window->top = context->window_top;
        window->bits = context->window_bits;
}

static inline void
context_window_set(struct context *context, const struct replay_window *window)
{
        assert(window->top <= OSCORE_PIV_MAX);
        context->window_top = window->top;
        context->window_bits = window->bits;
}

/* The kept receipt of a partial IV and tag: its leaf. */
static inline bool
context_receipt_find(const struct context *context, uint64_t partial_iv,
    const uint8_t tag[KEPT_TAG_BYTES], uint64_t *leaf)
{
        for (unsigned i = 0; i < context->receipts_n; i++) {
                const struct kept_receipt *kept = &context->receipts[i];

                if (kept->partial_iv == partial_iv && memcmp(kept->tag, tag, KEPT_TAG_BYTES) == 0) {
                        *leaf = kept->leaf;
                        return true;
                }
        }
        return false;
}

/* Keeps a receipt, in the place of the oldest. */
static inline void
context_receipt_keep(
    struct context *context, uint64_t partial_iv, const uint8_t tag[KEPT_TAG_BYTES], uint64_t leaf)
{
        struct kept_receipt *kept = &context->receipts[context->receipts_next];

        assert(leaf <= CONTEXT_LEAF_MAX && context->receipts_next < CONTEXT_RECEIPTS);
        memcpy(kept->tag, tag, KEPT_TAG_BYTES);
        kept->leaf = leaf;
        kept->partial_iv = partial_iv;
        context->receipts_next = (uint8_t)((context->receipts_next + 1) % CONTEXT_RECEIPTS);
        if (context->receipts_n < CONTEXT_RECEIPTS)
                context->receipts_n++;
}

#endif
