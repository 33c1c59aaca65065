/* SPDX-License-Identifier: Apache-2.0 */
/* What the process functions of the nodes coap … receipts share. */
#ifndef AORTA_DATAPLANE_NODES_RECORDS_NODE_H
#define AORTA_DATAPLANE_NODES_RECORDS_NODE_H

#include "dataplane/graph.h"
#include "dataplane/records.h"

/* Sends what the burst has to say to the node `reply`. */
static inline void
outbox_enqueue(
    struct rte_graph *graph, struct rte_node *node, struct records *records, rte_edge_t edge)
{
        unsigned n = records->outbox_n;

        records->outbox_n = 0;
        if (n != 0)
                rte_node_enqueue(graph, node, edge, (void **)records->outbox, (uint16_t)n);
}

#endif
