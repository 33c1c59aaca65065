/* SPDX-License-Identifier: Apache-2.0 */
/* reply: protects replies in batches and makes packets of them. */
#include "dataplane/nodes/records_node.h"

enum { EDGE_PORT_TX, EDGES };

static uint16_t
reply_process(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
        struct worker *worker = node_worker(node);
        struct records *records = worker->records;
        struct rte_mbuf *mbufs[ENGINE_BATCH_MAX];

        for (unsigned from = 0; from < n; from += ENGINE_BATCH_MAX) {
                unsigned batch = RTE_MIN(n - from, ENGINE_BATCH_MAX);
                unsigned made = reply_build(worker, (struct reply **)objs + from, batch, mbufs);

                if (made != 0)
                        rte_node_enqueue(graph, node, EDGE_PORT_TX, (void **)mbufs, (uint16_t)made);
        }
        records->replies_done += n;
        assert(records->replies_done <= records->replies_n);
        if (records->replies_done == records->replies_n)
                records->replies_n = records->replies_done = 0;
        return n;
}

static struct rte_node_register reply_node = {
    .name = "reply",
    .process = reply_process,
    .nb_edges = EDGES,
    .next_nodes = {[EDGE_PORT_TX] = "port_tx"},
};
RTE_NODE_REGISTER(reply_node);
