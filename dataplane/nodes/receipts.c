/* SPDX-License-Identifier: Apache-2.0 */
/* receipts: what the ledger writer says of records it was handed. Only a durable one is
 * acknowledged (promise 1); of one that may be durable nothing is said (promise 7). */
#include "dataplane/nodes/records_node.h"

enum { EDGE_REPLY, EDGES };

static void
committed(struct worker *worker, struct pending *pending, uint64_t leaf)
{
        struct reply *reply = reply_to_pending(worker, pending);

        reply->content = CONTENT_RECEIPT;
        reply->target.leaf = leaf;
        if (pending->kind == RECORD_OSCORE)
                context_receipt_keep(pending->context, pending->partial_iv, pending->tag, leaf);
        else
                lab_done(worker->records->lab, pending->lab_entry, leaf);
        worker->counters.acknowledged++;
}

static void
keep_error(struct pending *pending, const struct reply *reply, uint16_t why)
{
        struct kept_error *error = &pending->context->error;

        memcpy(error->tag, pending->tag, KEPT_TAG_BYTES);
        error->partial_iv = pending->partial_iv;
        error->counter = reply != NULL ? reply->server_piv & REPLY_COUNTER_MAX : 0;
        error->why = why;
}

/* Certainly not written: 5.03, for good as far as this partial IV goes. */
static void
refused(struct worker *worker, struct pending *pending)
{
        struct reply *reply = reply_to_pending(worker, pending);

        reply->content = CONTENT_ERROR;
        reply->why = WHY(ERROR_BUSY, 0);
        if (pending->kind == RECORD_LAB) {
                lab_release(worker->records->lab, pending->lab_entry);
        } else if (reply_server_piv(worker, reply, false)) {
                keep_error(pending, reply, reply->why);
        } else {
                reply_cancel(worker, reply);
                return;
        }
        worker->counters.busy++;
}

static void
silence(struct worker *worker, struct pending *pending)
{
        if (pending->kind == RECORD_LAB)
                lab_silence(worker->records->lab, pending->lab_entry);
        else
                keep_error(pending, NULL, WHY(ERROR_SILENCE, 0));
        worker->counters.drops[DROP_FLUSH_FAILED]++;
}

void
receipts_burst(struct worker *worker, const struct receipt *receipts, unsigned n)
{
        struct records *records = worker->records;

        assert(n <= RECEIPT_BURST_MAX);
        for (unsigned i = 0; i < n; i++) {
                assert(receipts[i].pending < PENDING_SLOTS);
                rte_prefetch0(&records->pending[receipts[i].pending]);
        }
        for (unsigned i = 0; i < n; i++) {
                const struct context *context = records->pending[receipts[i].pending].context;

                rte_prefetch0(context);
                rte_prefetch0((const uint8_t *)context + RTE_CACHE_LINE_SIZE);
        }
        for (unsigned i = 0; i < n; i++) {
                struct pending *pending = &records->pending[receipts[i].pending];

                /* Every descriptor gets exactly one receipt. */
                assert(pending->state == PENDING_HANDED);
                switch ((enum receipt_status)receipts[i].status) {
                case RECEIPT_COMMITTED:
                        committed(worker, pending, receipts[i].leaf);
                        break;
                case RECEIPT_REFUSED:
                        refused(worker, pending);
                        break;
                case RECEIPT_SILENCE:
                        silence(worker, pending);
                        break;
                default:
                        assert(!"a receipt's status");
                }
                pending_finish(records, receipts[i].pending);
        }
        assert(records->handed >= n);
        atomic_store_explicit(&records->handed,
            atomic_load_explicit(&records->handed, memory_order_relaxed) - n, memory_order_relaxed);
}

static uint16_t
receipts_process(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t nb_objs)
{
        struct worker *worker = node_worker(node);
        struct receipt receipts[RECEIPT_BURST_MAX];
        unsigned n = rte_ring_sc_dequeue_burst_elem(
            worker->receipt, receipts, sizeof(struct receipt), RECEIPT_BURST_MAX, NULL);

        if (n == 0)
                return 0;
        receipts_burst(worker, receipts, n);
        outbox_enqueue(graph, node, worker->records, EDGE_REPLY);
        return (uint16_t)n;
}

static struct rte_node_register receipts_node = {
    .name = "receipts",
    .flags = RTE_NODE_SOURCE_F,
    .process = receipts_process,
    .nb_edges = EDGES,
    .next_nodes = {[EDGE_REPLY] = "reply"},
};
RTE_NODE_REGISTER(receipts_node);
