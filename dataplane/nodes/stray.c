/* SPDX-License-Identifier: Apache-2.0 */
/* stray: packets that arrived at another worker, whose contexts are this one's. They are classified
 * again: nothing that the other worker found travels with them. */
#include "dataplane/graph.h"

enum { EDGE_CLASSIFY, EDGES };

static unsigned
stray_burst(struct worker *worker, struct rte_mbuf **mbufs, unsigned room)
{
        unsigned workers = worker->config->workers;
        unsigned at = worker->stray_next;
        unsigned n = 0;

        for (unsigned i = 0; i < workers && n < room; i++) {
                if (worker->stray_in[at] != NULL)
                        n += rte_ring_dequeue_burst(
                            worker->stray_in[at], (void **)(mbufs + n), room - n, NULL);
                at = at + 1 < workers ? at + 1 : 0;
        }
        worker->stray_next = worker->stray_next + 1 < workers ? worker->stray_next + 1 : 0;
        return n;
}

static uint16_t
stray_process(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t nb_objs)
{
        struct worker *worker = node_worker(node);
        unsigned room = RTE_MIN(STRAY_SHARE_MAX, WALK_PACKETS_MAX - worker->taken);
        struct rte_mbuf **mbufs;
        unsigned n;

        if (room == 0 || worker->config->workers == 1)
                return 0;
        mbufs = (struct rte_mbuf **)rte_node_next_stream_get(
            graph, node, EDGE_CLASSIFY, (uint16_t)room);
        n = stray_burst(worker, mbufs, room);
        worker->taken += n;
        rte_node_next_stream_put(graph, node, EDGE_CLASSIFY, (uint16_t)n);
        return (uint16_t)n;
}

static struct rte_node_register stray_node = {
    .name = "stray",
    .flags = RTE_NODE_SOURCE_F,
    .process = stray_process,
    .nb_edges = EDGES,
    .next_nodes = {[EDGE_CLASSIFY] = "classify"},
};
RTE_NODE_REGISTER(stray_node);
