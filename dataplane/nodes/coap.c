/* SPDX-License-Identifier: Apache-2.0 */
/* coap: the message layer (RFC 7252 §4), plain requests, the context of OSCORE requests, and their
 * retransmissions, which are answered before replay protection sees them. */
#include "dataplane/nodes/records_node.h"

enum { EDGE_OPEN, EDGE_REPLY, EDGES };

/* What the first pass over a burst found. */
struct found {
        struct oscore_option option;
        enum coap_verdict verdict;
        enum oscore_option_verdict option_verdict;
        bool protected;
};

/* Class U options that a protected request may carry outside, and class E ones that are discarded
 * there (RFC 8613 §4.1, §8.2 step 1). */
#define OUTER_CRITICAL                                                                             \
        (COAP_HAS(OSCORE) | COAP_HAS(URI_HOST) | COAP_HAS(URI_PORT) | COAP_HAS(URI_PATH) |         \
            COAP_HAS(URI_QUERY) | COAP_HAS(ACCEPT) | COAP_HAS(IF_MATCH) | COAP_HAS(IF_NONE_MATCH))

static void
find(struct worker *worker, struct request *request, struct found *found)
{
        struct coap_message *message = &request->message;
        const struct coap_option *option;
        const struct context *context;
        uint32_t limit = AMPLIFICATION_FACTOR * request->datagram_bytes;

        request->reply_limit =
            (uint16_t)(limit < AMPLIFICATION_BYTES_MIN ? AMPLIFICATION_BYTES_MIN : limit);
        request->lab_entry = LAB_ENTRY_NONE;
        found->protected = false;
        found->verdict = coap_parse(message, request->datagram, request->datagram_bytes);
        if (found->verdict != COAP_OK)
                return;
        option = coap_find(message, COAP_OPTION_OSCORE);
        if (option == NULL)
                return;
        found->protected = true;
        found->option_verdict =
            oscore_option_parse(&found->option, coap_option_value(message, option), option->bytes);
        if (found->option_verdict != OSCORE_OPTION_OK || !found->option.has_kid)
                return;
        context =
            contexts_native_slot(worker->contexts, found->option.kid, found->option.kid_bytes);
        if (context != NULL) {
                rte_prefetch0(context);
                rte_prefetch0((const uint8_t *)context + RTE_CACHE_LINE_SIZE);
                rte_prefetch0((const uint8_t *)context + 2 * RTE_CACHE_LINE_SIZE);
        }
}

/* RFC 7252 §4.2, §4.3: a CON that cannot be understood is rejected, a NON ignored. */
static void
refuse_format(struct worker *worker, struct request *request, enum coap_verdict verdict)
{
        if (verdict == COAP_BAD_VERSION) {
                worker_drop(worker, request->mbuf, DROP_COAP_VERSION);
                return;
        }
        if (verdict != COAP_TRUNCATED_HEADER && request->message.type == COAP_CON)
                reply_reset(worker, request);
        worker_drop(worker, request->mbuf, DROP_COAP_FORMAT);
}

/* True when the message is a request; else it is dealt with. */
static bool
is_request(struct worker *worker, struct request *request)
{
        const struct coap_message *message = &request->message;

        if (message->type == COAP_CON && message->code == COAP_EMPTY) {
                reply_reset(worker, request);
                worker->counters.pings++;
                worker_drop(worker, request->mbuf, DROP_COAP_PING);
                return false;
        }
        if (message->type == COAP_ACK || message->type == COAP_RST ||
            !coap_code_is_request(message->code)) {
                /* RFC 7252 §4.2: a CON that there is no context for, such as a response. */
                if (message->type == COAP_CON)
                        reply_reset(worker, request);
                worker_drop(worker, request->mbuf, DROP_COAP_NOT_REQUEST);
                return false;
        }
        return true;
}

static void
refuse(struct worker *worker, struct request *request, uint16_t why, bool fresh,
    enum drop_reason reason)
{
        if (!why_is_silent(why, &request->message))
                reply_plain_error(worker, request, why, fresh);
        worker_drop(worker, request->mbuf, reason);
}

/* True when this worker owns the context; else the packet goes to the one that does. */
static bool
is_owner(struct worker *worker, struct request *request)
{
        uint32_t owner = context_owner(worker->contexts, request->context);

        if (owner == worker->id)
                return true;
        assert(owner < WORKERS_MAX && worker->stray_out[owner] != NULL);
        if (rte_ring_sp_enqueue(worker->stray_out[owner], request->mbuf) != 0)
                worker_drop(worker, request->mbuf, DROP_STRAY_RING_FULL);
        else
                worker->counters.strays++;
        return false;
}

/* True when the request goes on to open. */
static bool
protected_request(struct worker *worker, struct request *request, const struct found *found)
{
        const struct coap_message *message = &request->message;
        size_t tag_bytes;

        /* RFC 8613 §2: the option without a payload is a malformed message. */
        if (message->payload_bytes == 0) {
                refuse_format(worker, request, COAP_PAYLOAD_EMPTY);
                return false;
        }
        if (message->present & (COAP_HAS(PROXY_URI) | COAP_HAS(PROXY_SCHEME))) {
                refuse(worker, request, WHY(ERROR_PROXY, 0), false, DROP_COAP_REFUSED);
                return false;
        }
        if (found->option_verdict != OSCORE_OPTION_OK || !found->option.has_piv) {
                refuse(worker, request, WHY(ERROR_COSE, 0), true, DROP_OSCORE_OPTION);
                return false;
        }
        /* What is unknown outside is class E, and discarded there (RFC 8613 §8.2 step 1). */
        if ((message->present & COAP_CRITICAL & ~OUTER_CRITICAL) != 0 ||
            (message->malformed & COAP_HAS(OSCORE)) != 0) {
                refuse(worker, request, WHY(ERROR_BAD_OPTION, 0), false, DROP_COAP_REFUSED);
                return false;
        }
        request->context = contexts_find(worker->contexts, &found->option);
        if (request->context == NULL) {
                refuse(
                    worker, request, WHY(ERROR_NO_CONTEXT, 0), true, DROP_OSCORE_UNKNOWN_CONTEXT);
                return false;
        }
        if (!is_owner(worker, request))
                return false;
        tag_bytes = aead_tag_bytes(request->context->alg);
        if (message->payload_bytes <= tag_bytes) {
                refuse(worker, request, WHY(ERROR_DECRYPTION, 0), true, DROP_OSCORE_DECRYPT);
                return false;
        }
        worker->counters.requests++;
        request->kind = RECORD_OSCORE;
        request->partial_iv = found->option.piv;
        request->tag_bytes = (uint8_t)tag_bytes;
        memcpy(request->tag, message->payload + message->payload_bytes - tag_bytes, tag_bytes);
        if (retransmission_handle(worker, request))
                return false;
        rte_prefetch0(context_recipient_key(request->context));
        return true;
}

/* POST /vitals without OSCORE: for lab devices only, named in the query. */
static bool
lab_request(struct worker *worker, struct request *request, const struct target *target)
{
        const uint8_t *name;
        size_t name_bytes;

        if (!worker->config->lab) {
                refuse(worker, request, WHY(ERROR_NOT_PROTECTED, 0), false, DROP_COAP_REFUSED);
                return false;
        }
        if (coap_uri_query(&request->message, "d", &name, &name_bytes))
                request->context = contexts_find_lab(worker->contexts, name, name_bytes);
        if (request->context == NULL) {
                refuse(worker, request, WHY(ERROR_NOT_LAB, 0), false, DROP_LAB_NOT_ENROLLED);
                return false;
        }
        if (!is_owner(worker, request))
                return false;
        worker->counters.requests++;
        request->kind = RECORD_LAB;
        request->content_format = target->content_format;
        return true;
}

static bool
plain_request(struct worker *worker, struct request *request)
{
        const struct ledger_view *view = worker->config->view;
        struct target target;
        struct reply *reply;
        uint16_t why = target_find(&target, &request->message);

        if (why == 0 && target.resource == RESOURCE_VITALS)
                return lab_request(worker, request, &target);
        worker->counters.requests++;
        if (why != 0) {
                refuse(worker, request, why, false, DROP_COAP_REFUSED);
                return false;
        }
        reply = reply_to(worker, request);
        reply->shape = REPLY_PLAIN;
        reply->content = target.resource == RESOURCE_CORE ? CONTENT_CORE : CONTENT_LEAF;
        reply->target = target;
        reply->durable = target.leaf < atomic_load_explicit(&view->leaves, memory_order_relaxed);
        reply->published =
            target.leaf < atomic_load_explicit(&view->published, memory_order_relaxed);
        rte_pktmbuf_free(request->mbuf);
        return false;
}

unsigned
coap_burst(struct worker *worker, struct request *const *in, unsigned n, struct request **open)
{
        struct found found[WALK_PACKETS_MAX];
        unsigned open_n = 0;

        assert(n <= WALK_PACKETS_MAX);
        for (unsigned i = 0; i < n; i++)
                find(worker, in[i], &found[i]);
        for (unsigned i = 0; i < n; i++) {
                struct request *request = in[i];
                bool goes_on = false;

                if (found[i].verdict != COAP_OK)
                        refuse_format(worker, request, found[i].verdict);
                else if (!is_request(worker, request))
                        continue;
                else if (found[i].protected)
                        goes_on = protected_request(worker, request, &found[i]);
                else
                        goes_on = plain_request(worker, request);
                if (goes_on)
                        open[open_n++] = request;
        }
        return open_n;
}

static uint16_t
coap_process(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
        struct worker *worker = node_worker(node);
        struct request *open[WALK_PACKETS_MAX];
        unsigned open_n = coap_burst(worker, (struct request **)objs, n, open);

        outbox_enqueue(graph, node, worker->records, EDGE_REPLY);
        if (open_n != 0)
                rte_node_enqueue(graph, node, EDGE_OPEN, (void **)open, (uint16_t)open_n);
        return n;
}

static struct rte_node_register coap_node = {
    .name = "coap",
    .process = coap_process,
    .nb_edges = EDGES,
    .next_nodes = {[EDGE_OPEN] = "open", [EDGE_REPLY] = "reply"},
};
RTE_NODE_REGISTER(coap_node);
