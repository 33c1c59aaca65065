/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/records.h"

#include "crypto/keys.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/mman.h>

#define BOOT_EPOCH_BITS 20u
#define ARENA_BYTES     ((size_t)PENDING_SLOTS * SEAL_SLOT_BYTES)
#define SCRATCH_BYTES   ((size_t)WALK_PACKETS_MAX * SCRATCH_LINE_BYTES)
#define INNER_BYTES     ((size_t)ENGINE_BATCH_MAX * REPLY_INNER_BYTES_MAX)
#define PACK_AT         ((SCRATCH_BYTES + INNER_BYTES + 63) / 64 * 64)
#define SECRET_BYTES    (PACK_AT + sizeof(struct senml_pack))

/* The seals' epoch (56 bits): the boot's ‖ bits drawn from its secret, in case an epoch should ever
 * come twice ‖ room for the part of a worker's counter beyond 32 bits. */
static uint64_t
seal_epoch(const struct dataplane_config *config)
{
        static const char purpose[8] = "seal 1";
        uint8_t drawn[crypto_generichash_BYTES_MIN];
        uint64_t bits;

        assert(config->boot_epoch >> BOOT_EPOCH_BITS == 0);
        (void)crypto_generichash(drawn, sizeof(drawn), (const uint8_t *)purpose, sizeof(purpose),
            config->echo_secret, sizeof(config->echo_secret));
        bits = (uint64_t)drawn[0] << 12 | (uint64_t)drawn[1] << 4 | drawn[2] >> 4;
        return (uint64_t)config->boot_epoch << 36 | bits << 16;
}

static struct rate_limit
rate_limit_make(uint64_t per_s, uint64_t burst)
{
        uint64_t cost_ns = UINT64_C(1000000000) / per_s;

        return (struct rate_limit){
            .cost_ns = cost_ns,
            .credit_max_ns = cost_ns * burst,
            .credit_ns = cost_ns * burst,
        };
}

bool
rate_limit_pass(struct rate_limit *limit, uint64_t now_ns)
{
        /* A clock that was set back gives nothing. */
        if (now_ns > limit->last_ns) {
                uint64_t passed = now_ns - limit->last_ns;

                limit->credit_ns = passed > limit->credit_max_ns - limit->credit_ns
                                       ? limit->credit_max_ns
                                       : limit->credit_ns + passed;
        }
        limit->last_ns = now_ns;
        if (limit->credit_ns < limit->cost_ns)
                return false;
        limit->credit_ns -= limit->cost_ns;
        return true;
}

static int
memory_create(struct records *records, bool lab)
{
        enum secure_how how;
        void *pages;
        int rc;

        records->pending = aligned_alloc(64, PENDING_SLOTS * sizeof(struct pending));
        pages = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages == MAP_FAILED || records->pending == NULL) {
                if (pages != MAP_FAILED)
                        (void)munmap(pages, ARENA_BYTES);
                return -ENOMEM;
        }
        records->arena = pages;
        /* Touched now, so that the record path takes no page fault; in huge pages if there are any.
         */
        (void)madvise(records->arena, ARENA_BYTES, MADV_HUGEPAGE);
        memset(records->arena, 0, ARENA_BYTES);
        memset(records->pending, 0, PENDING_SLOTS * sizeof(struct pending));
        rc = secure_pages_alloc(&pages, SECRET_BYTES, &how);
        if (rc != 0)
                return rc;
        records->scratch = pages;
        records->inner = (void *)(records->scratch + SCRATCH_BYTES);
        records->pack = (void *)(records->scratch + PACK_AT);
        return lab ? lab_create(&records->lab) : 0;
}

int
records_create(struct worker *worker)
{
        struct records *records = aligned_alloc(64, (sizeof(struct records) + 63) / 64 * 64);
        int rc;

        if (records == NULL)
                return -ENOMEM;
        assert(contexts_table(worker->contexts)->workers == worker->config->workers);
        memset(records, 0, sizeof(*records));
        worker->records = records;
        rc = memory_create(records, worker->config->lab);
        if (rc != 0) {
                records_destroy(worker);
                return rc;
        }
        for (uint32_t i = 0; i < PENDING_SLOTS; i++)
                records->free[i] = PENDING_SLOTS - 1 - i;
        records->free_n = PENDING_SLOTS;
        records->seal_epoch = seal_epoch(worker->config);
        /* Another start in each boot, the same in all workers: see message_begin(). */
        records->message_id_first =
            (uint16_t)(worker->config->echo_secret[0] << 8 | worker->config->echo_secret[1]);
        records->message_id_first += (uint16_t)worker->id;
        records->errors = rate_limit_make(ERROR_REPLIES_PER_S, ERROR_REPLIES_BURST);
        records->challenges = rate_limit_make(CHALLENGES_PER_S, CHALLENGES_BURST);
        return 0;
}

void
records_destroy(struct worker *worker)
{
        struct records *records = worker->records;

        if (records == NULL)
                return;
        lab_destroy(records->lab);
        if (records->scratch != NULL)
                secure_pages_free(records->scratch, SECRET_BYTES);
        if (records->arena != NULL)
                (void)munmap(records->arena, ARENA_BYTES);
        free(records->pending);
        free(records);
        worker->records = NULL;
}

uint32_t
records_pending(const struct worker *worker)
{
        return atomic_load_explicit(&worker->records->handed, memory_order_relaxed);
}

/* ---- pending slots ---- */

enum drop_reason
pending_reserve(struct records *records, struct request *request, uint32_t room)
{
        struct pending *pending;

        /* The ring first: a writer that stands still fills both. */
        if (records->ring_reserved >= room)
                return DROP_RING_FULL;
        if (records->free_n == 0)
                return DROP_PENDING_FULL;
        request->pending = records->free[--records->free_n];
        pending = &records->pending[request->pending];
        assert(pending->state == PENDING_FREE);
        pending->state = PENDING_RESERVED;
        pending->lab_entry = LAB_ENTRY_NONE;
        records->ring_reserved++;
        return DROP_NONE;
}

void
pending_accept(struct records *records, const struct request *request)
{
        struct pending *pending = &records->pending[request->pending];
        struct context *context = request->context;

        assert(pending->state == PENDING_RESERVED);
        pending->endpoint = request->endpoint;
        pending->message_id = request->message.message_id;
        pending->type = request->message.type;
        pending->token_bytes = request->message.token_bytes;
        memcpy(pending->token, request->message.token, sizeof(pending->token));
        memcpy(pending->tag, request->tag, KEPT_TAG_BYTES);
        pending->context = context;
        pending->partial_iv = request->partial_iv;
        pending->reply_limit = request->reply_limit;
        pending->kind = request->kind;
        pending->lab_entry = request->lab_entry;
        pending->state = PENDING_ACCEPTED;
        pending->next = atomic_load_explicit(&context->pending, memory_order_relaxed);
        atomic_store_explicit(&context->pending, (uint16_t)request->pending, memory_order_relaxed);
}

/* Takes a slot out of its context's list. Release: the control thread that sees the list empty sees
 * all that was written to the context before. */
static void
pending_unlink(struct records *records, uint32_t slot)
{
        struct pending *pending = &records->pending[slot];
        struct context *context = pending->context;
        uint16_t at = atomic_load_explicit(&context->pending, memory_order_relaxed);

        if (at == slot) {
                atomic_store_explicit(&context->pending, pending->next, memory_order_release);
                return;
        }
        while (records->pending[at].next != slot) {
                at = records->pending[at].next;
                assert(at != PENDING_NONE);
        }
        records->pending[at].next = pending->next;
}

static void
pending_free(struct records *records, uint32_t slot)
{
        struct pending *pending = &records->pending[slot];

        pending->context = NULL;
        pending->state = PENDING_FREE;
        assert(records->free_n < PENDING_SLOTS);
        records->free[records->free_n++] = slot;
}

void
pending_release(struct records *records, uint32_t slot)
{
        struct pending *pending = &records->pending[slot];

        assert(pending->state == PENDING_RESERVED || pending->state == PENDING_ACCEPTED);
        if (pending->state == PENDING_ACCEPTED)
                pending_unlink(records, slot);
        pending_free(records, slot);
        assert(records->ring_reserved > 0);
        records->ring_reserved--;
}

void
pending_finish(struct records *records, uint32_t slot)
{
        assert(records->pending[slot].state == PENDING_HANDED);
        pending_unlink(records, slot);
        pending_free(records, slot);
}

bool
pending_find(const struct records *records, struct context *context, uint64_t partial_iv,
    const uint8_t tag[KEPT_TAG_BYTES], unsigned *n)
{
        uint16_t at = atomic_load_explicit(&context->pending, memory_order_relaxed);
        bool found = false;

        for (*n = 0; at != PENDING_NONE; at = records->pending[at].next, (*n)++) {
                const struct pending *pending = &records->pending[at];

                assert(*n < PENDING_CONTEXT_MAX);
                found |= pending->kind == RECORD_OSCORE && pending->partial_iv == partial_iv &&
                         memcmp(pending->tag, tag, KEPT_TAG_BYTES) == 0;
        }
        return found;
}

/* RFC 8613 says nothing of retransmissions; a message layer that answers them from memory must do
 * so before replay protection refuses them. */
bool
retransmission_handle(struct worker *worker, struct request *request)
{
        struct records *records = worker->records;
        struct context *context = request->context;
        const struct kept_error *error = &context->error;
        struct reply *reply;
        uint64_t leaf = 0;
        unsigned n;
        bool receipt, refused;

        receipt = context_receipt_find(context, request->partial_iv, request->tag, &leaf);
        refused = !receipt && error->why != 0 && error->partial_iv == request->partial_iv &&
                  memcmp(error->tag, request->tag, KEPT_TAG_BYTES) == 0;
        if (!receipt && !refused &&
            !pending_find(records, context, request->partial_iv, request->tag, &n))
                return false;
        if (request->message.type != COAP_CON) {
                worker_drop(worker, request->mbuf, DROP_COAP_DUPLICATE_NON);
                return true;
        }
        if ((!receipt && !refused) || (refused && WHY_ERROR(error->why) == ERROR_SILENCE)) {
                worker_drop(worker, request->mbuf, DROP_COAP_RETRANSMISSION_PENDING);
                return true;
        }
        reply = reply_to(worker, request);
        reply->shape = REPLY_PROTECTED;
        reply->content = receipt ? CONTENT_RECEIPT : CONTENT_ERROR;
        reply->target.leaf = leaf;
        if (refused) {
                reply->why = error->why;
                reply->has_server_piv = true;
                reply->server_piv =
                    (uint64_t)worker->config->boot_epoch << REPLY_COUNTER_BITS | error->counter;
        }
        worker->counters.retransmissions++;
        rte_pktmbuf_free(request->mbuf);
        return true;
}
