/* SPDX-License-Identifier: Apache-2.0 */
/* icmp: answers ICMP and ICMPv6 echo requests. The reply is written over the request, which
 * is parsed again: a peer that shares the buffer may have changed it since classify saw it. */
#include "dataplane/nodes/packet.h"

static rte_edge_t
icmp_one(struct worker *worker, struct rte_mbuf *mbuf)
{
        struct frame frame;
        enum frame_verdict verdict = packet_parse(worker, mbuf, &frame);

        if ((verdict == FRAME_ICMP_ECHO && packet_answer(worker, mbuf, &frame, icmp_echo_reply)) ||
            (verdict == FRAME_ICMPV6_ECHO &&
                packet_answer(worker, mbuf, &frame, icmpv6_echo_reply))) {
                worker->counters.icmp++;
                return ANSWER_PORT_TX;
        }
        if (verdict != FRAME_DROP)
                frame.drop = DROP_ICMP_SHORT;
        *worker_reason(worker, mbuf) = (uint8_t)frame.drop;
        return ANSWER_DROP;
}

static void
icmp_burst(struct worker *worker, void **objs, rte_edge_t *edges, unsigned n)
{
        for (unsigned i = 0; i < n; i++)
                edges[i] = icmp_one(worker, objs[i]);
}

static uint16_t
icmp_process(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
        rte_edge_t edges[WALK_PACKETS_MAX];

        assert(n <= WALK_PACKETS_MAX);
        icmp_burst(node_worker(node), objs, edges, n);
        graph_enqueue_runs(graph, node, objs, edges, n);
        return n;
}

static struct rte_node_register icmp_node = {
    .name = "icmp",
    .process = icmp_process,
    .nb_edges = ANSWER_EDGES,
    .next_nodes = {[ANSWER_PORT_TX] = "port_tx", [ANSWER_DROP] = "drop"},
};
RTE_NODE_REGISTER(icmp_node);
