/* SPDX-License-Identifier: Apache-2.0 */
/* port_tx: sends packets through the port named in mbuf->port, in one burst a port. What the port
 * does not take is freed and counted: a reply is never kept for later. */
#include "dataplane/graph.h"

#include <rte_ethdev.h>

/* Short frames are filled with zeros to Ethernet's minimum: not every port does it, and one that
 * does might send old bytes of the buffer. */
static void
pad(struct rte_mbuf *mbuf)
{
        if (mbuf->pkt_len < PORT_FRAME_BYTES_MIN && mbuf->nb_segs == 1) {
                uint16_t bytes = (uint16_t)(PORT_FRAME_BYTES_MIN - mbuf->pkt_len);
                char *end = rte_pktmbuf_append(mbuf, bytes);

                if (end != NULL)
                        memset(end, 0, bytes);
        }
}

static void
give_up(struct worker *worker, struct rte_mbuf **mbufs, unsigned n)
{
        worker->counters.drops[DROP_TX_FULL] += n;
        rte_pktmbuf_free_bulk(mbufs, n);
}

static void
send_burst(
    struct worker *worker, uint16_t port_id, uint16_t queue, struct rte_mbuf **mbufs, unsigned n)
{
        unsigned sent = 0;

        while (sent < n) { /* some drivers take a part at a time */
                uint16_t took =
                    rte_eth_tx_burst(port_id, queue, mbufs + sent, (uint16_t)(n - sent));

                if (took == 0)
                        break;
                sent += took;
        }
        worker->counters.tx_packets += sent;
        if (unlikely(sent < n))
                give_up(worker, mbufs + sent, n - sent);
}

/* Sends what was gathered for a port: by the worker's own queue, or by that queue's owner. */
static void
port_tx_flush(struct worker *worker, unsigned index)
{
        struct port *port = &worker->ports[index];
        struct rte_mbuf **mbufs = worker->tx[index].mbufs;
        unsigned n = worker->tx[index].n;
        unsigned took;

        if (n == 0)
                return;
        worker->tx[index].n = 0;
        if (worker->id < port->queues) {
                send_burst(worker, port->port_id, (uint16_t)worker->id, mbufs, n);
                return;
        }
        took = rte_ring_enqueue_burst(
            port->overflow[worker->id % port->queues], (void **)mbufs, n, NULL);
        if (took < n)
                give_up(worker, mbufs + took, n - took);
}

static void
port_tx_burst(struct worker *worker, struct rte_mbuf **mbufs, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                unsigned index;

                assert(mbufs[i]->port < RTE_MAX_ETHPORTS);
                index = worker->port_index[mbufs[i]->port];
                assert(index < worker->ports_n);
                pad(mbufs[i]);
                worker->tx[index].mbufs[worker->tx[index].n++] = mbufs[i];
                if (worker->tx[index].n == TX_BURST_MAX)
                        port_tx_flush(worker, index);
        }
        for (unsigned index = 0; index < worker->ports_n; index++)
                port_tx_flush(worker, index);
}

void
port_tx_overflow(struct worker *worker)
{
        struct rte_mbuf *mbufs[PORT_BURST_MAX];

        for (unsigned i = 0; i < worker->ports_n; i++) {
                struct port *port = &worker->ports[i];
                unsigned n;

                if (worker->id >= port->queues || port->overflow[worker->id] == NULL)
                        continue;
                /* At most the ring's length a walk, whatever the others add meanwhile. */
                for (unsigned total = 0; total < PORT_TX_OVERFLOW; total += n) {
                        n = rte_ring_dequeue_burst(
                            port->overflow[worker->id], (void **)mbufs, PORT_BURST_MAX, NULL);
                        if (n == 0)
                                break;
                        send_burst(worker, port->port_id, (uint16_t)worker->id, mbufs, n);
                }
        }
}

static uint16_t
port_tx_process(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
        port_tx_burst(node_worker(node), (struct rte_mbuf **)objs, n);
        return n;
}

static struct rte_node_register port_tx_node = {
    .name = "port_tx",
    .process = port_tx_process,
};
RTE_NODE_REGISTER(port_tx_node);
