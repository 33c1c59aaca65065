/* SPDX-License-Identifier: Apache-2.0 */
/* A packet buffer as a frame: what classify and the nodes that answer at once share. */
#ifndef AORTA_DATAPLANE_NODES_PACKET_H
#define AORTA_DATAPLANE_NODES_PACKET_H

#include "dataplane/graph.h"

/* Edges of arp, nd and icmp. */
enum answer_edge { ANSWER_PORT_TX, ANSWER_DROP, ANSWER_EDGES };

/* The port a packet came from; port_rx has set mbuf->port. */
static inline const struct port *
packet_port(const struct worker *worker, const struct rte_mbuf *mbuf)
{
        assert(mbuf->port < RTE_MAX_ETHPORTS && worker->port_index[mbuf->port] != PORT_NONE);
        return &worker->ports[worker->port_index[mbuf->port]];
}

/* Parses the packet where it lies. Frames in several segments are refused: no port here is set up
 * to make them, and a frame that does not fit one buffer is longer than any the gateway serves. */
static inline enum frame_verdict
packet_parse(const struct worker *worker, struct rte_mbuf *mbuf, struct frame *frame)
{
        const struct port *port = packet_port(worker, mbuf);
        unsigned good = 0;

        if (mbuf->nb_segs != 1) {
                frame->drop = DROP_FRAME_SEGMENTED;
                return FRAME_DROP;
        }
        if (port->checksums) {
                if ((mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD)
                        good |= FRAME_IP_CHECKSUM_GOOD;
                if ((mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
                        good |= FRAME_UDP_CHECKSUM_GOOD;
        }
        return frame_parse(
            frame, rte_pktmbuf_mtod(mbuf, const uint8_t *), mbuf->data_len, &port->local, good);
}

/* Writes a reply over its request, given the request's frame: arp_reply() and its like. */
typedef int packet_reply_fn(
    uint8_t *out, size_t out_bytes, const struct frame *request, const struct net_local *local);

/* Turns the request into its reply. False when there is no room for one. */
static inline bool
packet_answer(const struct worker *worker, struct rte_mbuf *mbuf, const struct frame *frame,
    packet_reply_fn *reply)
{
        size_t room = (size_t)mbuf->data_len + rte_pktmbuf_tailroom(mbuf);
        int bytes = reply(
            rte_pktmbuf_mtod(mbuf, uint8_t *), room, frame, &packet_port(worker, mbuf)->local);

        if (bytes < 0)
                return false;
        mbuf->data_len = (uint16_t)bytes;
        mbuf->pkt_len = (uint32_t)bytes;
        mbuf->ol_flags = 0;
        return true;
}

#endif
