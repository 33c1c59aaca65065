/* SPDX-License-Identifier: Apache-2.0 */
/* The table of security contexts, and the patients' data keys.
 *
 * The control thread publishes keys under RCU (QSBR); the owning worker writes everything else of a
 * context. Native kids are shard ‖ slot ‖ generation: one cache line, no hash. Foreign kids (with their
 * ID context) go through a liburcu hash table. Keys lie in secure pages (crypto/keys.h).
 *
 * With algorithm 10 a device costs at most 512 bytes here, all counted. */
#ifndef AORTA_DATAPLANE_CONTEXTS_H
#define AORTA_DATAPLANE_CONTEXTS_H

#include "crypto/engine.h"
#include "crypto/oscore.h"
#include "crypto/seal.h"
#include "dataplane/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct contexts;

#define NATIVE_KID_BYTES 6u
/* shard (1) ‖ slot (4, big-endian) ‖ generation (1). Slots count over the whole table; shard = slot %
 * CONTEXT_SHARDS; a shard's worker is shard % workers. */
#define CONTEXT_SHARDS 64u
void native_kid(uint8_t kid[NATIVE_KID_BYTES], uint32_t slot, uint8_t generation);

struct contexts_config {
        uint32_t devices;  /* capacity, at most DEVICES_MAX */
        uint32_t patients; /* capacity */
        uint32_t workers;
        enum engine_backend backend; /* of the workers' engines: expanded keys are its own */
};

/* What is known of a context's replay window at start. */
enum window_state {
        WINDOW_FRESH,   /* newly enrolled: nothing was ever accepted */
        WINDOW_KNOWN,   /* exact, from a clean stop */
        WINDOW_UNKNOWN, /* after an unclean stop: recorded requests are retransmissions, others get Echo */
};

struct context_receipt {
        uint64_t partial_iv;
        uint64_t leaf;
        uint8_t tag[8]; /* first 8 bytes of the request's AEAD tag */
};

struct context_window {
        enum window_state state;
        uint64_t top;  /* highest partial IV accepted; meaningless when FRESH */
        uint64_t bits; /* bit i: top - i was accepted; bit 0 is set */
        struct context_receipt receipts[CONTEXT_RECEIPTS]; /* newest last */
        uint32_t receipts_n;
};

struct context_spec {
        uint64_t context_id; /* never reused, never 0 */
        uint32_t slot;       /* device slot, given by the registry */
        uint32_t patient;    /* patient slot, added before */
        uint8_t generation;
        bool native;    /* kid is native_kid(slot, generation) */
        bool lab;       /* also reachable by name on the plain listener when the lab is on */
        char name[DEVICE_NAME_MAX + 1];
        struct oscore_input oscore; /* as the server: recipient_id is the device's kid */
        struct context_window window;
};

/* Allocates the tables. 0 or -errno; why says what to do. Warns through *locked = false when keys could
 * not be locked. */
int contexts_create(struct contexts **contexts, const struct contexts_config *config, bool *locked, char *why, size_t why_bytes);
void contexts_destroy(struct contexts *contexts); /* after the workers have stopped; wipes */

/* ---- control thread ---- */

/* Derives keys and publishes; in effect for the next packet. -EEXIST (slot or kid in use), -EINVAL,
 * -ENOSPC. The spec's secrets are the caller's to wipe. */
int contexts_add(struct contexts *contexts, const struct context_spec *spec);
/* Unpublishes at once; the slot is free again (for contexts_add) only when nothing of it is pending and
 * all workers have passed a quiescent state: -EAGAIN from contexts_add until then. Waits a walk of every
 * worker's. Keys are wiped at once, or, while something is pending, by a later call for any slot.
 * -ENOENT. */
int contexts_remove(struct contexts *contexts, uint32_t slot);
/* A patient's data key (copied, hashed once). While a key is replaced its devices get 5.03; once it is
 * wiped, 4.03. Both wait a walk of every worker's. */
int contexts_patient_set(struct contexts *contexts, uint32_t patient, const uint8_t key[SEAL_KEY_BYTES], uint32_t key_epoch);
int contexts_patient_wipe(struct contexts *contexts, uint32_t patient);
/* The state of all contexts, for a clean stop; only while no worker runs. */
typedef int contexts_export_fn(void *user, uint64_t context_id, uint32_t slot, const struct context_window *window);
int contexts_export(const struct contexts *contexts, contexts_export_fn *fn, void *user);
uint64_t contexts_bytes(const struct contexts *contexts); /* all memory held */
uint32_t contexts_count(const struct contexts *contexts);

#endif
