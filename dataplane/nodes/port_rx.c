/* SPDX-License-Identifier: Apache-2.0 */
/* port_rx: takes packets from the worker's receive queues, a share from each in turn. */
#include "dataplane/graph.h"

#include <rte_ethdev.h>

enum { EDGE_CLASSIFY, EDGES };

/* Fills mbufs with at most room packets, every one marked with its port. */
static unsigned
port_rx_burst(struct worker *worker, struct rte_mbuf **mbufs, unsigned room)
{
        unsigned n = 0;
        unsigned at = worker->rx_next;

        for (unsigned i = 0; i < worker->rx_n && n < room; i++) {
                uint16_t share = (uint16_t)RTE_MIN(room - n, PORT_BURST_MAX);
                uint16_t port_id = worker->rx[at].port_id;
                uint16_t got = rte_eth_rx_burst(port_id, worker->rx[at].queue, mbufs + n, share);

                /* Not every driver (net_ring) sets it. */
                for (unsigned j = n; j < n + got; j++)
                        mbufs[j]->port = port_id;
                n += got;
                at = at + 1 < worker->rx_n ? at + 1 : 0;
        }
        worker->rx_next = worker->rx_next + 1 < worker->rx_n ? worker->rx_next + 1 : 0;
        worker->counters.rx_packets += n;
        return n;
}

static uint16_t
port_rx_process(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t nb_objs)
{
        struct worker *worker = node_worker(node);
        unsigned room = WALK_PACKETS_MAX - worker->taken;
        struct rte_mbuf **mbufs;
        unsigned n;

        /* What other workers hand over keeps its share, however much the ports bring. */
        if (worker->config->workers > 1)
                room = RTE_MIN(room, WALK_PACKETS_MAX - STRAY_SHARE_MAX);
        mbufs = (struct rte_mbuf **)rte_node_next_stream_get(
            graph, node, EDGE_CLASSIFY, (uint16_t)room);
        n = port_rx_burst(worker, mbufs, room);
        worker->taken += n;
        rte_node_next_stream_put(graph, node, EDGE_CLASSIFY, (uint16_t)n);
        return (uint16_t)n;
}

static struct rte_node_register port_rx_node = {
    .name = "port_rx",
    .flags = RTE_NODE_SOURCE_F,
    .process = port_rx_process,
    .nb_edges = EDGES,
    .next_nodes = {[EDGE_CLASSIFY] = "classify"},
};
RTE_NODE_REGISTER(port_rx_node);
