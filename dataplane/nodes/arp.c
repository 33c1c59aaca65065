/* SPDX-License-Identifier: Apache-2.0 */
/* arp: answers ARP requests for the gateway's addresses. The reply is written over the request,
 * which is parsed again: a peer that shares the buffer may have changed it since classify saw it.
 */
#include "dataplane/nodes/packet.h"

static rte_edge_t
arp_one(struct worker *worker, struct rte_mbuf *mbuf)
{
        struct frame frame;
        enum frame_verdict verdict = packet_parse(worker, mbuf, &frame);

        if (verdict == FRAME_ARP && packet_answer(worker, mbuf, &frame, arp_reply)) {
                worker->counters.arp++;
                return ANSWER_PORT_TX;
        }
        if (verdict != FRAME_DROP)
                frame.drop = DROP_ARP_BAD;
        *worker_reason(worker, mbuf) = (uint8_t)frame.drop;
        return ANSWER_DROP;
}

static void
arp_burst(struct worker *worker, void **objs, rte_edge_t *edges, unsigned n)
{
        for (unsigned i = 0; i < n; i++)
                edges[i] = arp_one(worker, objs[i]);
}

static uint16_t
arp_process(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
        rte_edge_t edges[WALK_PACKETS_MAX];

        assert(n <= WALK_PACKETS_MAX);
        arp_burst(node_worker(node), objs, edges, n);
        graph_enqueue_runs(graph, node, objs, edges, n);
        return n;
}

static struct rte_node_register arp_node = {
    .name = "arp",
    .process = arp_process,
    .nb_edges = ANSWER_EDGES,
    .next_nodes = {[ANSWER_PORT_TX] = "port_tx", [ANSWER_DROP] = "drop"},
};
RTE_NODE_REGISTER(arp_node);
