/* SPDX-License-Identifier: Apache-2.0 */
/* What the nodes' process functions share. */
#ifndef AORTA_DATAPLANE_GRAPH_H
#define AORTA_DATAPLANE_GRAPH_H

#include "dataplane/worker.h"

#include <rte_graph_worker.h>

/* Hands n objects on, each along its edge; runs of the same edge at once. */
static inline void
graph_enqueue_runs(struct rte_graph *graph, struct rte_node *node, void **objs,
    const rte_edge_t *edges, unsigned n)
{
        unsigned first = 0;

        for (unsigned i = 1; i <= n; i++) {
                if (i < n && edges[i] == edges[first])
                        continue;
                rte_node_enqueue(graph, node, edges[first], objs + first, (uint16_t)(i - first));
                first = i;
        }
}

#endif
