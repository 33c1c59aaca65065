/* SPDX-License-Identifier: Apache-2.0 */
/* classify: what a packet is. Datagrams to the CoAP port become requests of this walk; ARP,
 * neighbour solicitations and echo requests go to the nodes that answer them; all else is dropped
 * for its reason. Packets are not changed but for VLAN tags that the port took out: those are put
 * back, so that a packet handed to another worker is parsed alike there. */
#include "dataplane/nodes/packet.h"

#include <rte_ether.h>

enum { EDGE_COAP, EDGE_ARP, EDGE_ND, EDGE_ICMP, EDGE_DROP, EDGES };

#define PREFETCH_AHEAD 4u

/* Puts tags back into the frame: the inner first. 0 or -errno. */
static int
restore_vlan(struct rte_mbuf **mbuf)
{
        uint64_t flags = (*mbuf)->ol_flags;
        uint16_t outer = (*mbuf)->vlan_tci_outer;
        int rc = 0;

        if ((flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0)
                rc = rte_vlan_insert(mbuf);
        if (rc == 0 && (flags & RTE_MBUF_F_RX_QINQ_STRIPPED) != 0) {
                (*mbuf)->vlan_tci = outer;
                rc = rte_vlan_insert(mbuf);
        }
        (*mbuf)->ol_flags &= ~(RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_QINQ_STRIPPED);
        return rc;
}

static struct request *
make_request(struct worker *worker, struct rte_mbuf *mbuf, const struct frame *frame)
{
        struct request *request;

        assert(worker->requests_n < WALK_PACKETS_MAX);
        request = &worker->requests[worker->requests_n++];
        memset(request, 0, sizeof(*request));
        request->mbuf = mbuf;
        request->datagram = frame->payload;
        request->datagram_bytes = frame->payload_bytes;
        request->port_id = mbuf->port;
        frame_endpoint(&request->endpoint, frame, mbuf->port);
        return request;
}

/* Finds the edge of one packet; *obj becomes what travels along it. */
static rte_edge_t
classify_one(struct worker *worker, void **obj)
{
        struct rte_mbuf *mbuf = *obj;
        enum frame_verdict verdict;
        struct frame frame;

        if (unlikely((mbuf->ol_flags &
                         (RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_QINQ_STRIPPED)) != 0)) {
                if (restore_vlan(&mbuf) != 0) {
                        *worker_reason(worker, mbuf) = DROP_VLAN_TAGS;
                        return EDGE_DROP;
                }
        }
        verdict = packet_parse(worker, mbuf, &frame);
        if (likely(verdict == FRAME_UDP && frame.payload_bytes <= COAP_REQUEST_MAX)) {
                *obj = make_request(worker, mbuf, &frame);
                return EDGE_COAP;
        }
        switch (verdict) {
        case FRAME_ARP:
                return EDGE_ARP;
        case FRAME_ND_NS:
                return EDGE_ND;
        case FRAME_ICMP_ECHO:
        case FRAME_ICMPV6_ECHO:
                return EDGE_ICMP;
        case FRAME_UDP:
                frame.drop = DROP_FRAME_LONG;
                break;
        case FRAME_DROP:
                break;
        }
        *worker_reason(worker, mbuf) = (uint8_t)frame.drop;
        return EDGE_DROP;
}

static void
classify_burst(struct worker *worker, void **objs, rte_edge_t *edges, unsigned n)
{
        for (unsigned i = 0; i < n && i < PREFETCH_AHEAD; i++)
                rte_prefetch0(rte_pktmbuf_mtod((struct rte_mbuf *)objs[i], void *));
        for (unsigned i = 0; i < n; i++) {
                if (i + PREFETCH_AHEAD < n)
                        rte_prefetch0(
                            rte_pktmbuf_mtod((struct rte_mbuf *)objs[i + PREFETCH_AHEAD], void *));
                edges[i] = classify_one(worker, &objs[i]);
        }
}

static uint16_t
classify_process(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
        rte_edge_t edges[WALK_PACKETS_MAX];

        assert(n <= WALK_PACKETS_MAX);
        classify_burst(node_worker(node), objs, edges, n);
        graph_enqueue_runs(graph, node, objs, edges, n);
        return n;
}

static struct rte_node_register classify_node = {
    .name = "classify",
    .process = classify_process,
    .nb_edges = EDGES,
    .next_nodes =
        {
            [EDGE_COAP] = "coap",
            [EDGE_ARP] = "arp",
            [EDGE_ND] = "nd",
            [EDGE_ICMP] = "icmp",
            [EDGE_DROP] = "drop",
        },
};
RTE_NODE_REGISTER(classify_node);
