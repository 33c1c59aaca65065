/* SPDX-License-Identifier: Apache-2.0 */
/* The graph of a worker: which nodes it has, and what is to be read from it while it runs. */
#include "dataplane/graph.h"
#include "dataplane/plumbing.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_graph.h>

static const char *const node_names[] = {
    /* sources: each walk begins with them, in this order */
    "port_rx",
    "stray",
    "receipts",
    /* by arrival of work */
    "classify",
    "arp",
    "nd",
    "icmp",
    "coap",
    "open",
    "admit",
    "seal",
    "commit",
    "reply",
    "port_tx",
    "drop",
};

static_assert(sizeof(struct worker *) <= RTE_NODE_CTX_SZ, "a node's context holds its worker");

int
graph_create(struct worker *worker, const char *name, char *why)
{
        struct rte_graph_param param = {
            .socket_id = (int)rte_socket_id(),
            .nb_node_patterns = RTE_DIM(node_names),
            .node_patterns = (const char **)(uintptr_t)node_names,
        };
        struct rte_node *node;
        rte_graph_off_t off;
        rte_node_t count;

        for (size_t i = 0; i < RTE_DIM(node_names); i++) {
                if (rte_node_from_name(node_names[i]) == RTE_NODE_ID_INVALID) {
                        snprintf(why, WHY_BYTES, "this program lacks the node %s", node_names[i]);
                        return -ENOENT;
                }
        }
        if (rte_graph_create(name, &param) == RTE_GRAPH_ID_INVALID) {
                snprintf(
                    why, WHY_BYTES, "cannot make the graph %s: %s", name, rte_strerror(rte_errno));
                return rte_errno != 0 ? -rte_errno : -EINVAL;
        }
        worker->graph = rte_graph_lookup(name);
        assert(worker->graph != NULL);
        rte_graph_foreach_node(count, off, worker->graph, node)
        {
                memcpy(node->ctx, &worker, sizeof(worker));
                /* A stream grows by allocation: make it large enough now. */
                __rte_node_stream_alloc_size(worker->graph, node, NODE_STREAM);
                if (node->objs == NULL || node->size < NODE_STREAM) {
                        snprintf(
                            why, WHY_BYTES, "no memory for the graph %s; give EAL more (-m)", name);
                        return -ENOMEM;
                }
                worker->streams_grown += node->realloc_count;
        }
        return 0;
}

void
graph_destroy(struct worker *worker)
{
        if (worker->graph != NULL)
                (void)rte_graph_destroy(worker->graph->id); /* fails only for an unknown graph */
        worker->graph = NULL;
}

static unsigned
find_stat(struct node_stat *stats, unsigned n, const char *name)
{
        unsigned i;

        for (i = 0; i < n && strcmp(stats[i].name, name) != 0; i++)
                ;
        return i;
}

unsigned
graph_add_stats(const struct worker *worker, struct node_stat *stats, unsigned used, unsigned n)
{
        struct rte_graph *graph = worker->graph;
        struct rte_node *node;
        rte_graph_off_t off;
        rte_node_t count;

        rte_graph_foreach_node(count, off, graph, node)
        {
                unsigned i = find_stat(stats, used, node->name);

                if (i == used) {
                        if (used == n)
                                continue;
                        memset(&stats[i], 0, sizeof(stats[i]));
                        snprintf(stats[i].name, sizeof(stats[i].name), "%.31s", node->name);
                        used++;
                }
                stats[i].calls += __atomic_load_n(&node->total_calls, __ATOMIC_RELAXED);
                stats[i].objs += __atomic_load_n(&node->total_objs, __ATOMIC_RELAXED);
                stats[i].cycles += __atomic_load_n(&node->total_cycles, __ATOMIC_RELAXED);
        }
        return used;
}

unsigned
graph_streams_grown(const struct worker *worker)
{
        struct rte_node *node;
        rte_graph_off_t off;
        rte_node_t count;
        unsigned grown = 0;

        rte_graph_foreach_node(count, off, worker->graph, node)
        {
                grown += node->realloc_count;
        }
        return grown - worker->streams_grown;
}

int
graph_export(const struct worker *worker, const char *path)
{
        FILE *file = fopen(path, "wxe");
        int rc;

        if (file == NULL)
                return -errno;
        rc = rte_graph_export(worker->graph->name, file);
        if (rc == 0 && fflush(file) != 0)
                rc = -errno;
        if (fclose(file) != 0 && rc == 0)
                rc = -errno;
        return rc;
}
