/* SPDX-License-Identifier: Apache-2.0 */
/* commit: hands a burst of sealed records to the ledger writer. The places in the ring were
 * reserved. */
#include "dataplane/nodes/records_node.h"

void
commit_burst(struct worker *worker, struct request *const *in, unsigned n)
{
        struct records *records = worker->records;
        unsigned pushed;

        assert(n <= WALK_PACKETS_MAX);
        for (unsigned i = 0; i < n; i++) {
                const struct request *request = in[i];
                struct pending *pending = &records->pending[request->pending];
                struct commit_desc *desc = &records->descs[i];

                assert(pending->state == PENDING_ACCEPTED);
                pending->state = PENDING_HANDED;
                *desc = (struct commit_desc){
                    .context_id = request->context->context_id,
                    .received_ns = worker->now_ns,
                    .sealed = seal_slot(records, request->pending) + SHA256_BYTES,
                    .pending = request->pending,
                    .sealed_bytes = (uint16_t)(SEAL_OVERHEAD + request->payload_bytes),
                    .kind = request->kind,
                    .worker = (uint8_t)worker->id,
                };
                memcpy(desc->digest, records->digest[request_index(worker, request)], SHA256_BYTES);
        }
        pushed = rte_ring_sp_enqueue_bulk_elem(
            worker->commit, records->descs, sizeof(struct commit_desc), n, NULL);
        assert(pushed == n && records->ring_reserved >= n);
        records->ring_reserved -= n;
        worker->counters.records += n;
        atomic_store_explicit(&records->handed,
            atomic_load_explicit(&records->handed, memory_order_relaxed) + n, memory_order_relaxed);
}

static uint16_t
commit_process(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
        commit_burst(node_worker(node), (struct request **)objs, n);
        return n;
}

static struct rte_node_register commit_node = {
    .name = "commit",
    .process = commit_process,
};
RTE_NODE_REGISTER(commit_node);
