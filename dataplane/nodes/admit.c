/* SPDX-License-Identifier: Apache-2.0 */
/* admit: validates the inner request and its SenML. A refused one gives its reservations back; its
 * window has moved, since it was authentic. */
#include "dataplane/nodes/records_node.h"

#include "dataplane/senml/vitals.h"

enum { EDGE_SEAL, EDGE_REPLY, EDGES };

static void
refuse(struct worker *worker, struct request *request, uint16_t why, enum drop_reason reason)
{
        struct records *records = worker->records;

        pending_release(records, request->pending);
        if (request->kind == RECORD_LAB) {
                lab_release(records->lab, request->lab_entry);
                reply_plain_error(worker, request, why, false);
        } else if (!why_is_silent(why, &request->message)) {
                reply_protected_error(worker, request, why, true);
        }
        worker_drop(worker, request->mbuf, reason);
}

/* Answers a protected GET. Its server partial IV is not kept: what a leaf's representation says
 * changes, so that a retransmission of the request is a replay. */
static void
answer_get(struct worker *worker, struct request *request, const struct target *target)
{
        const struct ledger_view *view = worker->config->view;
        struct reply *reply;

        pending_release(worker->records, request->pending);
        reply = reply_to(worker, request);
        reply->shape = REPLY_PROTECTED;
        reply->content = target->resource == RESOURCE_CORE ? CONTENT_CORE : CONTENT_LEAF;
        reply->target = *target;
        reply->durable = target->leaf < atomic_load_explicit(&view->leaves, memory_order_relaxed);
        reply->published =
            target->leaf < atomic_load_explicit(&view->published, memory_order_relaxed);
        if (!reply_server_piv(worker, reply, false))
                reply_cancel(worker, reply);
        rte_pktmbuf_free(request->mbuf);
}

/* The request inside (RFC 8613 §8.2 step 8): true for a record. */
static bool
inner_request(struct worker *worker, struct request *request)
{
        struct coap_message inner;
        struct target target;
        uint16_t why;

        if (coap_parse_inner(&inner, request->plain, request->plain_bytes) != COAP_OK ||
            !coap_code_is_request(inner.code)) {
                refuse(worker, request, WHY(ERROR_BAD_MESSAGE, 0), DROP_OSCORE_INNER);
                return false;
        }
        why = target_find(&target, &inner);
        if (why != 0) {
                refuse(worker, request, why, DROP_OSCORE_INNER);
                return false;
        }
        if (target.resource != RESOURCE_VITALS) {
                answer_get(worker, request, &target);
                return false;
        }
        request->content_format = target.content_format;
        request->payload = inner.payload;
        request->payload_bytes = inner.payload_bytes;
        return true;
}

static bool
senml_request(struct worker *worker, struct request *request)
{
        struct senml_pack *pack = worker->records->pack;
        enum senml_error error;

        error = request->content_format == SENML_FORMAT_JSON
                    ? senml_parse_json(
                          pack, request->payload, request->payload_bytes, (int64_t)worker->now_ns)
                    : senml_parse_cbor(
                          pack, request->payload, request->payload_bytes, (int64_t)worker->now_ns);
        if (error != SENML_OK) {
                refuse(worker, request, WHY(ERROR_BAD_SENML, error), DROP_SENML_BAD);
                return false;
        }
        request->flags = vitals_check(pack);
        if (request->flags & RECORD_FLAG_IMPLAUSIBLE)
                worker->counters.implausible++;
        return true;
}

static bool
patient_ready(struct worker *worker, struct request *request)
{
        struct patient *patient = context_patient(worker->contexts, request->context);

        switch (atomic_load_explicit(&patient->state, memory_order_acquire)) {
        case PATIENT_READY:
                return true;
        case PATIENT_CHANGING:
                refuse(worker, request, WHY(ERROR_BUSY, 0), DROP_COAP_REFUSED);
                return false;
        default:
                refuse(worker, request, WHY(ERROR_NO_PATIENT, 0), DROP_COAP_REFUSED);
                return false;
        }
}

unsigned
admit_burst(struct worker *worker, struct request *const *in, unsigned n, struct request **seal)
{
        unsigned seal_n = 0;

        assert(n <= WALK_PACKETS_MAX);
        for (unsigned i = 0; i < n; i++)
                rte_prefetch0(context_patient(worker->contexts, in[i]->context));
        for (unsigned i = 0; i < n; i++) {
                struct request *request = in[i];

                if (request->kind == RECORD_OSCORE && !inner_request(worker, request))
                        continue;
                if (senml_request(worker, request) && patient_ready(worker, request))
                        seal[seal_n++] = request;
        }
        return seal_n;
}

static uint16_t
admit_process(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
        struct worker *worker = node_worker(node);
        struct request *seal[WALK_PACKETS_MAX];
        unsigned seal_n = admit_burst(worker, (struct request **)objs, n, seal);

        outbox_enqueue(graph, node, worker->records, EDGE_REPLY);
        if (seal_n != 0)
                rte_node_enqueue(graph, node, EDGE_SEAL, (void **)seal, (uint16_t)seal_n);
        return n;
}

static struct rte_node_register admit_node = {
    .name = "admit",
    .process = admit_process,
    .nb_edges = EDGES,
    .next_nodes = {[EDGE_SEAL] = "seal", [EDGE_REPLY] = "reply"},
};
RTE_NODE_REGISTER(admit_node);
