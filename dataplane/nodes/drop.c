/* SPDX-License-Identifier: Apache-2.0 */
/* drop: counts packets by the reason that stands in them (worker_reason()), and frees them. */
#include "dataplane/graph.h"

static void
drop_burst(struct worker *worker, struct rte_mbuf **mbufs, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                uint8_t reason = *worker_reason(worker, mbufs[i]);

                assert(reason > DROP_NONE && reason < DROP_REASON_COUNT);
                worker->counters.drops[reason]++;
        }
        rte_pktmbuf_free_bulk(mbufs, n);
}

static uint16_t
drop_process(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
        drop_burst(node_worker(node), (struct rte_mbuf **)objs, n);
        return n;
}

static struct rte_node_register drop_node = {
    .name = "drop",
    .process = drop_process,
};
RTE_NODE_REGISTER(drop_node);
