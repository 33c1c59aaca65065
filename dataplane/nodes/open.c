/* SPDX-License-Identifier: Apache-2.0 */
/* open: reserves all that a record will need, opens the whole burst at once, then moves windows in
 * packet order, so that two copies of one partial IV in a burst make one acceptance (RFC 8613
 * §8.2). */
#include "dataplane/nodes/records_node.h"

enum { EDGE_ADMIT, EDGE_REPLY, EDGES };

static uint8_t *
scratch_line(const struct worker *worker, const struct request *request)
{
        return worker->records->scratch +
               (size_t)request_index(worker, request) * SCRATCH_LINE_BYTES;
}

/* Reserves, and remembers in request->state why it could not: 5.03 once the request is known to be
 * authentic. */
static void
reserve(struct worker *worker, struct request *request, uint32_t room)
{
        enum drop_reason full = DROP_DRAINING;

        if (!atomic_load_explicit(&worker->config->view->refuse, memory_order_relaxed))
                full = pending_reserve(worker->records, request, room);
        request->state = (uint8_t)full;
}

static void
unreserve(struct worker *worker, const struct request *request)
{
        if (request->state == DROP_NONE)
                pending_release(worker->records, request->pending);
}

static void
refuse_plain(struct worker *worker, struct request *request, uint16_t why, bool fresh,
    enum drop_reason reason)
{
        unreserve(worker, request);
        reply_plain_error(worker, request, why, fresh);
        worker_drop(worker, request->mbuf, reason);
}

/* ---- lab records ---- */

/* A duplicate of an accepted plain record: the same answer, or silence. */
static void
lab_duplicate(struct worker *worker, struct request *request, uint32_t entry)
{
        struct reply *reply;
        uint64_t leaf;
        bool done = lab_state(worker->records->lab, entry, &leaf) == LAB_DONE;

        unreserve(worker, request);
        if (request->message.type != COAP_CON) {
                worker_drop(worker, request->mbuf, DROP_COAP_DUPLICATE_NON);
                return;
        }
        if (!done) {
                worker_drop(worker, request->mbuf, DROP_COAP_RETRANSMISSION_PENDING);
                return;
        }
        reply = reply_to(worker, request);
        reply->shape = REPLY_PLAIN;
        reply->content = CONTENT_RECEIPT;
        reply->target.leaf = leaf;
        worker->counters.retransmissions++;
        rte_pktmbuf_free(request->mbuf);
}

static bool
open_lab(struct worker *worker, struct request *request)
{
        struct records *records = worker->records;
        const struct coap_message *message = &request->message;
        bool found;
        unsigned pending_n;

        request->lab_entry = lab_take(records->lab, &request->endpoint, message->message_id,
            message->type == COAP_CON, worker->now_ns, &found);
        if (found) {
                lab_duplicate(worker, request, request->lab_entry);
                return false;
        }
        (void)pending_find(records, request->context, 0, request->tag, &pending_n);
        if (request->lab_entry == LAB_ENTRY_NONE || request->state != DROP_NONE ||
            pending_n >= PENDING_CONTEXT_MAX) {
                if (request->lab_entry != LAB_ENTRY_NONE)
                        lab_release(records->lab, request->lab_entry);
                refuse_plain(worker, request, WHY(ERROR_BUSY, 0), false,
                    request->state != DROP_NONE ? (enum drop_reason)request->state
                                                : DROP_PENDING_FULL);
                return false;
        }
        request->plain = scratch_line(worker, request);
        request->plain_bytes = message->payload_bytes;
        if (message->payload_bytes != 0)
                memcpy(request->plain, message->payload, message->payload_bytes);
        request->payload = request->plain;
        request->payload_bytes = message->payload_bytes;
        pending_accept(records, request);
        return true;
}

/* ---- OSCORE ---- */

/* Puts a request into the batch; false when it is refused. */
static bool
open_prepare(struct worker *worker, struct request *request, unsigned job)
{
        struct records *records = worker->records;
        const struct context *context = request->context;
        const struct coap_message *message = &request->message;
        struct replay_window window;

        context_window_get(context, &window);
        if (!replay_fresh(&window, request->partial_iv)) {
                refuse_plain(worker, request, WHY(ERROR_REPLAY, 0), true, DROP_OSCORE_REPLAY);
                return false;
        }
        request->plain = scratch_line(worker, request);
        memcpy(request->plain, message->payload, message->payload_bytes);
        request->plain_bytes = (uint32_t)message->payload_bytes - request->tag_bytes;
        /* The tag that is checked is the one that is kept. */
        memcpy(request->tag, request->plain + request->plain_bytes, request->tag_bytes);
        oscore_nonce(records->nonces[job], context->alg, context->common_iv, context->kid,
            context_kid_bytes(context), request->partial_iv);
        records->jobs[job] = (struct aead_job){
            .key = context_recipient_key(context),
            .nonce = records->nonces[job],
            .aad = records->aads[job],
            .aad_bytes = (uint16_t)oscore_aad(records->aads[job], context->alg, context->kid,
                context_kid_bytes(context), request->partial_iv),
            .in = request->plain,
            .in_bytes = message->payload_bytes,
            .out = request->plain,
            .alg = context->alg,
        };
        return true;
}

/* Says no to an authentic request without moving its window: anyone may send it again. */
static void
refuse_unmoved(
    struct worker *worker, struct request *request, uint16_t why, enum drop_reason reason)
{
        unreserve(worker, request);
        reply_protected_error(worker, request, why, false);
        worker_drop(worker, request->mbuf, reason);
}

static void
challenge(struct worker *worker, struct request *request)
{
        const struct dataplane_config *config = worker->config;
        struct reply *reply;

        unreserve(worker, request);
        if (!rate_limit_pass(&worker->records->challenges, worker->now_ns)) {
                worker_drop(worker, request->mbuf, DROP_RATE_LIMITED_ERROR);
                return;
        }
        reply = reply_to(worker, request);
        reply->shape = REPLY_PROTECTED;
        reply->content = CONTENT_CHALLENGE;
        if (reply_server_piv(worker, reply, true)) {
                echo_make(
                    reply->echo, config->echo_secret, request->context->context_id, worker->now_ns);
                worker->counters.echo_challenges++;
                worker->counters.client_errors++;
        } else {
                reply_cancel(worker, reply);
        }
        worker_drop(worker, request->mbuf, DROP_OSCORE_ECHO);
}

/* RFC 8613 §B.1.2: what was recorded is known, what was accepted beside it is not. True when the
 * request proves by Echo that it is new. */
static bool
echo_passes(
    struct worker *worker, const struct request *request, const struct replay_window *window)
{
        const struct dataplane_config *config = worker->config;
        const struct coap_option *option;
        struct coap_message inner;

        /* A device that has seen this boot's challenge is past all that it sent before. */
        if (window->bits != 0 && request->partial_iv <= window->top)
                return false;
        if (coap_parse_inner(&inner, request->plain, request->plain_bytes) != COAP_OK)
                return false;
        option = coap_find(&inner, COAP_OPTION_ECHO);
        return option != NULL &&
               echo_valid(coap_option_value(&inner, option), option->bytes, config->echo_secret,
                   request->context->context_id, worker->now_ns);
}

/* True when an authentic request is accepted; packet order matters. */
static bool
accept_request(struct worker *worker, struct request *request)
{
        struct records *records = worker->records;
        struct context *context = request->context;
        struct replay_window window;
        unsigned pending_n;
        bool copy = pending_find(records, context, request->partial_iv, request->tag, &pending_n);

        context_window_get(context, &window);
        if (!replay_fresh(&window, request->partial_iv)) {
                if (!copy) {
                        refuse_plain(
                            worker, request, WHY(ERROR_REPLAY, 0), true, DROP_OSCORE_REPLAY);
                        return false;
                }
                unreserve(worker, request);
                worker_drop(worker, request->mbuf,
                    request->message.type == COAP_CON ? DROP_COAP_RETRANSMISSION_PENDING
                                                      : DROP_COAP_DUPLICATE_NON);
                return false;
        }
        if (request->state != DROP_NONE) {
                refuse_unmoved(
                    worker, request, WHY(ERROR_BUSY, 0), (enum drop_reason)request->state);
                return false;
        }
        if (pending_n >= PENDING_CONTEXT_MAX) {
                refuse_unmoved(worker, request, WHY(ERROR_BUSY, 0), DROP_PENDING_FULL);
                return false;
        }
        if (context->window_state == WINDOW_UNKNOWN) {
                if (!echo_passes(worker, request, &window)) {
                        challenge(worker, request);
                        return false;
                }
                replay_floor(&window, request->partial_iv);
                worker->counters.echo_passed++;
        } else {
                replay_accept(&window, request->partial_iv);
        }
        context->window_state = WINDOW_KNOWN;
        context_window_set(context, &window);
        pending_accept(records, request);
        return true;
}

/* Opens one batch; requests that go on are appended to admit. */
static unsigned
open_batch(struct worker *worker, struct request *const *in, unsigned n, struct request **admit)
{
        struct request *opened[ENGINE_BATCH_MAX];
        uint64_t ok[ENGINE_BITMAP_WORDS];
        uint32_t room = rte_ring_free_count(worker->commit);
        unsigned opened_n = 0, admit_n = 0, job = 0;

        static_assert(WALK_PACKETS_MAX <= ENGINE_BATCH_MAX, "a burst is one batch");
        for (unsigned i = 0; i < n; i++) {
                reserve(worker, in[i], room);
                if (in[i]->kind == RECORD_LAB) {
                        if (open_lab(worker, in[i]))
                                admit[admit_n++] = in[i];
                } else if (open_prepare(worker, in[i], opened_n)) {
                        opened[opened_n++] = in[i];
                }
        }
        if (opened_n == 0)
                return admit_n;
        engine_open(worker->engine, worker->records->jobs, opened_n, ok);
        for (job = 0; job < opened_n; job++) {
                if ((ok[job / 64] >> job % 64 & 1) == 0)
                        refuse_plain(worker, opened[job], WHY(ERROR_DECRYPTION, 0), true,
                            DROP_OSCORE_DECRYPT);
                else if (accept_request(worker, opened[job]))
                        admit[admit_n++] = opened[job];
        }
        return admit_n;
}

unsigned
open_burst(struct worker *worker, struct request *const *in, unsigned n, struct request **admit)
{
        assert(n <= WALK_PACKETS_MAX);
        return n == 0 ? 0 : open_batch(worker, in, n, admit);
}

static uint16_t
open_process(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
        struct worker *worker = node_worker(node);
        struct request *admit[WALK_PACKETS_MAX];
        unsigned admit_n = open_burst(worker, (struct request **)objs, n, admit);

        outbox_enqueue(graph, node, worker->records, EDGE_REPLY);
        if (admit_n != 0)
                rte_node_enqueue(graph, node, EDGE_ADMIT, (void **)admit, (uint16_t)admit_n);
        return n;
}

static struct rte_node_register open_node = {
    .name = "open",
    .process = open_process,
    .nb_edges = EDGES,
    .next_nodes = {[EDGE_ADMIT] = "admit", [EDGE_REPLY] = "reply"},
};
RTE_NODE_REGISTER(open_node);
