/* SPDX-License-Identifier: Apache-2.0 */
/* What the nodes coap … reply of one worker share: pending slots with their sealed records,
 * scratch, rate limits. Made at start; only the worker's thread touches it. */
#ifndef AORTA_DATAPLANE_RECORDS_H
#define AORTA_DATAPLANE_RECORDS_H

#include "dataplane/contexts_private.h"
#include "dataplane/lab.h"
#include "dataplane/reply.h"
#include "dataplane/senml/senml.h"
#include "dataplane/worker.h"

/* A request's copy is opened in place in worker memory: never in packet buffers, which a memif peer
 * shares and may change between the check of a tag and the reading of what it vouches for. Lines
 * are of an odd number so that neighbours do not fall on the same cache sets. */
#define SCRATCH_LINE_BYTES  1600u
#define SEAL_SLOT_BYTES     1152u /* hash of the patient's key ‖ sealed record */
#define PENDING_CONTEXT_MAX 64u   /* pending requests of one context: its window has no more bits */
#define ERROR_REPLIES_PER_S 4096u /* unprotected errors, RSTs */
#define ERROR_REPLIES_BURST 4096u
#define CHALLENGES_PER_S    20000u /* Echo */
#define CHALLENGES_BURST    4096u
static_assert(COAP_REQUEST_MAX <= SCRATCH_LINE_BYTES, "a request fits its scratch");
static_assert(SEAL_SLOT_BYTES >= SHA256_BYTES + SEAL_BYTES_MAX && SEAL_SLOT_BYTES % 64 == 0,
    "a sealed record fits its slot");
static_assert(REPLAY_WINDOW_BITS >= PENDING_CONTEXT_MAX, "pending ones stay in the window");

enum pending_state {
        PENDING_FREE,
        PENDING_RESERVED, /* for a request of this walk */
        PENDING_ACCEPTED, /* authentic, its window moved; linked to its context */
        PENDING_HANDED,   /* with the ledger writer */
};

/* What is needed when the receipt comes. */
struct pending {
        struct endpoint endpoint;
        uint16_t message_id;
        uint8_t type;
        uint8_t token_bytes;
        uint8_t token[COAP_TOKEN_BYTES_MAX];
        uint16_t next; /* of the same context, or PENDING_NONE */
        uint8_t tag[KEPT_TAG_BYTES];
        struct context *context;
        uint64_t partial_iv;
        uint32_t lab_entry;
        uint16_t reply_limit;
        uint8_t state; /* enum pending_state */
        uint8_t kind;  /* enum record_kind */
} __attribute__((aligned(64)));
static_assert(sizeof(struct pending) == 128, "two cache lines");

/* At most `burst` at once and `per second` in the long run. */
struct rate_limit {
        uint64_t credit_ns;
        uint64_t last_ns;
        uint64_t cost_ns;
        uint64_t credit_max_ns;
};

struct records {
        struct pending *pending;
        uint8_t *arena; /* PENDING_SLOTS seal slots */
        uint32_t free[PENDING_SLOTS];
        uint32_t free_n;
        uint32_t ring_reserved;  /* descriptors promised a place in the commit ring */
        _Atomic uint32_t handed; /* between commit and receipt; any thread reads */

        uint64_t seal_epoch; /* boot epoch ‖ random bits ‖ 16 bits for the counter's high part */
        uint64_t seal_counter; /* of this boot and worker */
        uint16_t message_id_first; /* NON replies' message IDs: see message_begin() */
        uint16_t message_id_n;
        struct rate_limit errors;
        struct rate_limit challenges;
        struct lab_table *lab; /* NULL unless the lab is on */

        struct reply replies[REPLIES_MAX];
        unsigned replies_n;                /* taken */
        unsigned replies_done;             /* made into packets, or given up */
        struct reply *outbox[REPLIES_MAX]; /* of the node that runs, on their way to `reply` */
        unsigned outbox_n;

        struct senml_pack *pack;
        uint8_t
            *scratch; /* WALK_PACKETS_MAX lines, in secure pages, and the replies' inner messages */
        uint8_t (*inner)[REPLY_INNER_BYTES_MAX];

        struct aead_job jobs[ENGINE_BATCH_MAX];
        struct sha256_job digests[ENGINE_BATCH_MAX];
        uint8_t nonces[ENGINE_BATCH_MAX][16];
        uint8_t aads[ENGINE_BATCH_MAX][OSCORE_AAD_BYTES_MAX];
        uint8_t digest[WALK_PACKETS_MAX][SHA256_BYTES]; /* by request of this walk */
        struct commit_desc descs[WALK_PACKETS_MAX];
};

/* True when one more may go out now. */
bool rate_limit_pass(struct rate_limit *limit, uint64_t now_ns);

/* ---- pending slots ---- */

static inline uint32_t
request_index(const struct worker *worker, const struct request *request)
{
        uint32_t index = (uint32_t)(request - worker->requests);

        assert(index < WALK_PACKETS_MAX);
        return index;
}

static inline uint8_t *
seal_slot(const struct records *records, uint32_t pending)
{
        assert(pending < PENDING_SLOTS);
        return records->arena + (size_t)pending * SEAL_SLOT_BYTES;
}

/* Reserves a pending slot, its seal slot and a place in the commit ring, or says what is full.
 * room: the ring's free places at the start of the burst. */
enum drop_reason pending_reserve(struct records *records, struct request *request, uint32_t room);
/* Ties a reserved slot to its request, which is authentic. */
void pending_accept(struct records *records, const struct request *request);
/* Gives a slot back that was not handed over. */
void pending_release(struct records *records, uint32_t slot);
/* Gives a slot back after its receipt. The last touch of its context. */
void pending_finish(struct records *records, uint32_t slot);
/* Looks for a pending OSCORE request of a context. *n: how many are pending in all. */
bool pending_find(const struct records *records, struct context *context, uint64_t partial_iv,
    const uint8_t tag[KEPT_TAG_BYTES], unsigned *n);

/* ---- the nodes' bodies. Each takes n <= WALK_PACKETS_MAX; replies go to the outbox. ---- */

unsigned coap_burst(
    struct worker *worker, struct request *const *in, unsigned n, struct request **open);
unsigned open_burst(
    struct worker *worker, struct request *const *in, unsigned n, struct request **admit);
unsigned admit_burst(
    struct worker *worker, struct request *const *in, unsigned n, struct request **seal);
void seal_burst(struct worker *worker, struct request *const *in, unsigned n);
void commit_burst(struct worker *worker, struct request *const *in, unsigned n);
void receipts_burst(struct worker *worker, const struct receipt *receipts, unsigned n);

/* Answers a retransmission of an OSCORE request, or stays silent; false when it is none. Drops the
 * packet when true. */
bool retransmission_handle(struct worker *worker, struct request *request);

#endif
