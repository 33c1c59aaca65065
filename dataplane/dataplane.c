/* SPDX-License-Identifier: Apache-2.0 */
/* Makes and runs the data plane: pool, ports, workers with their rings and graphs. */
#include "dataplane/plumbing.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <urcu-qsbr.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_mbuf_dyn.h>

static_assert(DROP_REASON_COUNT <= RTE_DIM(((struct dataplane_counters *)0)->drops),
    "every drop reason has its counter");
static_assert(sizeof(struct dataplane_counters) % sizeof(uint64_t) == 0, "counters only");

static int
check_config(const struct dataplane_config *config, char *why)
{
        if (config->workers == 0 || config->workers > WORKERS_MAX) {
                snprintf(why, WHY_BYTES, "workers: %u; give 1 to %u", config->workers, WORKERS_MAX);
                return -EINVAL;
        }
        if (config->ports > PORTS_MAX) {
                snprintf(why, WHY_BYTES, "ports: %u; give at most %u", config->ports, PORTS_MAX);
                return -EINVAL;
        }
        for (unsigned i = 0; i < config->ports; i++) {
                for (unsigned j = 0; j < i; j++) {
                        if (config->port[i].port_id == config->port[j].port_id) {
                                snprintf(why, WHY_BYTES, "port %u is named twice",
                                    config->port[i].port_id);
                                return -EEXIST;
                        }
                }
        }
        if (config->view == NULL) {
                snprintf(why, WHY_BYTES, "no view of the ledger");
                return -EINVAL;
        }
        return 0;
}

/* The drop reason's place in packet buffers: the same for all data planes of the process. */
static int
find_reason_field(char *why)
{
        static const struct rte_mbuf_dynfield field = {
            .name = "aorta_drop_reason",
            .size = sizeof(uint8_t),
            .align = _Alignof(uint8_t),
        };
        int offset = rte_mbuf_dynfield_register(&field);

        if (offset < 0) {
                snprintf(why, WHY_BYTES, "no room for a field in packet buffers: %s",
                    rte_strerror(rte_errno));
                return rte_errno != 0 ? -rte_errno : -ENOSPC;
        }
        return offset;
}

/* An SPSC ring that holds slots elements of bytes each. */
static struct rte_ring *
make_ring(const struct dataplane *dataplane, const char *what, unsigned a, unsigned b,
    unsigned bytes, unsigned slots, char *why)
{
        char name[RTE_RING_NAMESIZE];
        struct rte_ring *ring;

        snprintf(name, sizeof(name), "%s_%s%u_%u", dataplane->prefix, what, a, b);
        ring = rte_ring_create_elem(name, bytes, slots, (int)rte_socket_id(),
            RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
        if (ring == NULL)
                snprintf(why, WHY_BYTES, "no memory for the ring %s: %s; give EAL more (-m)", name,
                    rte_strerror(rte_errno));
        return ring;
}

static int
make_worker(struct dataplane *dataplane, unsigned id, int reason_field, char *why)
{
        struct worker *worker = rte_zmalloc("worker", sizeof(struct worker), RTE_CACHE_LINE_SIZE);
        int rc;

        if (worker == NULL) {
                snprintf(why, WHY_BYTES, "no memory for worker %u; give EAL more (-m)", id);
                return -ENOMEM;
        }
        dataplane->workers[id] = worker;
        worker->id = id;
        worker->config = &dataplane->config;
        worker->dataplane = dataplane;
        worker->pool = dataplane->pool;
        worker->contexts = dataplane->config.contexts;
        worker->reason_field = reason_field;
        worker->ports = dataplane->ports;
        worker->ports_n = dataplane->ports_n;
        rc = engine_create(&worker->engine, dataplane->config.backend);
        if (rc != 0) {
                snprintf(why, WHY_BYTES, "worker %u: no crypto engine: %s", id, rte_strerror(-rc));
                return rc;
        }
        worker->commit = make_ring(
            dataplane, "commit", id, 0, sizeof(struct commit_desc), COMMIT_RING_SLOTS, why);
        worker->receipt =
            make_ring(dataplane, "receipt", id, 0, sizeof(struct receipt), RECEIPT_RING_SLOTS, why);
        return worker->commit != NULL && worker->receipt != NULL ? 0 : -ENOMEM;
}

static void
assign_queues(struct dataplane *dataplane, struct worker *worker)
{
        memset(worker->port_index, PORT_NONE, sizeof(worker->port_index));
        for (unsigned i = 0; i < dataplane->ports_n; i++) {
                const struct port *port = &dataplane->ports[i];

                worker->port_index[port->port_id] = (uint8_t)i;
                for (uint16_t q = 0; q < port->queues; q++) {
                        if (q % dataplane->config.workers != worker->id)
                                continue;
                        worker->rx[worker->rx_n].port_id = port->port_id;
                        worker->rx[worker->rx_n].queue = q;
                        worker->rx_n++;
                }
        }
}

static int
connect_workers(struct dataplane *dataplane, char *why)
{
        unsigned n = dataplane->config.workers;

        for (unsigned from = 0; from < n; from++) {
                for (unsigned to = 0; to < n; to++) {
                        struct rte_ring *ring;

                        if (from == to)
                                continue;
                        ring = make_ring(
                            dataplane, "stray", from, to, sizeof(void *), STRAY_RING_SLOTS, why);
                        if (ring == NULL)
                                return -ENOMEM;
                        dataplane->workers[from]->stray_out[to] = ring;
                        dataplane->workers[to]->stray_in[from] = ring;
                }
        }
        return 0;
}

static int
make_graphs(struct dataplane *dataplane, char *why)
{
        char name[RTE_GRAPH_NAMESIZE];

        for (unsigned i = 0; i < dataplane->config.workers; i++) {
                struct worker *worker = dataplane->workers[i];
                int rc = records_create(worker);

                if (rc != 0) {
                        snprintf(why, WHY_BYTES, "worker %u: no memory for its records: %s", i,
                            rte_strerror(-rc));
                        return rc;
                }
                snprintf(name, sizeof(name), "%s_worker%u", dataplane->prefix, i);
                rc = graph_create(worker, name, why);
                if (rc != 0)
                        return rc;
        }
        return 0;
}

static int
build(struct dataplane *dataplane, char *why)
{
        char name[RTE_MEMPOOL_NAMESIZE];
        int rc, reason_field;

        reason_field = find_reason_field(why);
        if (reason_field < 0)
                return reason_field;
        snprintf(name, sizeof(name), "%s_mbufs", dataplane->prefix);
        rc = ports_pool_create(&dataplane->pool, name, dataplane->config.mbufs, why);
        for (unsigned i = 0; rc == 0 && i < dataplane->config.ports; i++) {
                dataplane->ports_n++;
                rc = port_open(&dataplane->ports[i], &dataplane->config.port[i], &dataplane->config,
                    dataplane->pool, dataplane->prefix, why);
        }
        for (unsigned i = 0; rc == 0 && i < dataplane->config.workers; i++) {
                rc = make_worker(dataplane, i, reason_field, why);
                if (rc == 0)
                        assign_queues(dataplane, dataplane->workers[i]);
        }
        if (rc == 0)
                rc = connect_workers(dataplane, why);
        return rc == 0 ? make_graphs(dataplane, why) : rc;
}

int
dataplane_create(struct dataplane **out, const struct dataplane_config *config, char *why)
{
        static atomic_uint made;
        struct dataplane *dataplane;
        int rc;

        *out = NULL;
        why[0] = '\0';
        rc = check_config(config, why);
        if (rc != 0)
                return rc;
        dataplane = rte_zmalloc("dataplane", sizeof(*dataplane), RTE_CACHE_LINE_SIZE);
        if (dataplane == NULL) {
                snprintf(why, WHY_BYTES, "no memory for the data plane; give EAL more (-m)");
                return -ENOMEM;
        }
        dataplane->config = *config;
        snprintf(dataplane->prefix, sizeof(dataplane->prefix), "aorta%u",
            atomic_fetch_add(&made, 1) % 100000);
        clock_init(&dataplane->clock);
        rc = build(dataplane, why);
        if (rc != 0) {
                dataplane_destroy(dataplane);
                return rc;
        }
        *out = dataplane;
        return 0;
}

static void *
clock_loop(void *arg)
{
        struct dataplane *dataplane = arg;
        const struct timespec tick = {0, CLOCK_TICK_MS * 1000000L};

        while (!atomic_load_explicit(&dataplane->stop, memory_order_acquire)) {
                clock_tick(&dataplane->clock);
                (void)nanosleep(&tick, NULL); /* a signal only makes the tick come early */
        }
        return NULL;
}

int
dataplane_start(struct dataplane *dataplane)
{
        const struct dataplane_config *config = &dataplane->config;
        int rc;

        assert(!dataplane->started);
        for (unsigned i = 0; i < config->workers; i++) {
                unsigned lcore = config->lcores[i];

                if (lcore >= RTE_MAX_LCORE || !rte_lcore_is_enabled(lcore) ||
                    lcore == rte_get_main_lcore())
                        return -EINVAL;
                if (rte_eal_get_lcore_state(lcore) != WAIT)
                        return -EBUSY;
                for (unsigned j = 0; j < i; j++) {
                        if (config->lcores[j] == lcore)
                                return -EINVAL;
                }
        }
        atomic_store(&dataplane->stop, false);
        rc = rte_ctrl_thread_create(
            &dataplane->clock_thread, "aorta-clock", NULL, clock_loop, dataplane);
        if (rc != 0)
                return rc;
        dataplane->clock_runs = true;
        dataplane->started = true;
        for (unsigned i = 0; i < config->workers; i++) {
                rc = rte_eal_remote_launch(worker_loop, dataplane->workers[i], config->lcores[i]);
                if (rc != 0) {
                        dataplane_stop(dataplane);
                        return rc;
                }
        }
        return 0;
}

unsigned
dataplane_walk(struct dataplane *dataplane, unsigned worker)
{
        bool reader = rcu_read_ongoing();
        unsigned taken;

        assert(!dataplane->started && worker < dataplane->config.workers);
        if (rte_rdtsc() >= dataplane->clock.next_tick_tsc)
                clock_tick(&dataplane->clock);
        if (!reader)
                rcu_register_thread();
        taken = worker_walk(dataplane->workers[worker]);
        if (reader)
                rcu_quiescent_state();
        else
                rcu_unregister_thread();
        return taken;
}

uint32_t
dataplane_pending(const struct dataplane *dataplane)
{
        uint32_t pending = 0;

        for (unsigned i = 0; i < dataplane->config.workers; i++)
                pending += records_pending(dataplane->workers[i]);
        return pending;
}

void
dataplane_stop(struct dataplane *dataplane)
{
        if (!dataplane->started)
                return;
        atomic_store_explicit(&dataplane->stop, true, memory_order_release);
        for (unsigned i = 0; i < dataplane->config.workers; i++)
                (void)rte_eal_wait_lcore(dataplane->config.lcores[i]); /* the loop returns 0 */
        if (dataplane->clock_runs) {
                int rc = pthread_join(dataplane->clock_thread, NULL);

                assert(rc == 0);
        }
        dataplane->clock_runs = false;
        dataplane->started = false;
}

static void
destroy_worker(struct dataplane *dataplane, unsigned id)
{
        struct worker *worker = dataplane->workers[id];
        struct rte_mbuf *mbuf;

        graph_destroy(worker);
        if (worker->records != NULL)
                records_destroy(worker);
        for (unsigned i = 0; i < WORKERS_MAX; i++) {
                while (worker->stray_in[i] != NULL &&
                       rte_ring_dequeue(worker->stray_in[i], (void **)&mbuf) == 0)
                        rte_pktmbuf_free(mbuf);
                rte_ring_free(worker->stray_in[i]);
        }
        rte_ring_free(worker->commit);
        rte_ring_free(worker->receipt);
        if (worker->engine != NULL)
                engine_destroy(worker->engine);
        rte_free(worker);
        dataplane->workers[id] = NULL;
}

void
dataplane_destroy(struct dataplane *dataplane)
{
        if (dataplane == NULL)
                return;
        dataplane_stop(dataplane);
        for (unsigned i = 0; i < dataplane->config.workers; i++) {
                if (dataplane->workers[i] != NULL)
                        destroy_worker(dataplane, i);
        }
        for (unsigned i = 0; i < dataplane->ports_n; i++)
                port_close(&dataplane->ports[i]);
        rte_mempool_free(dataplane->pool);
        rte_free(dataplane);
}

struct rte_ring *
dataplane_commit_ring(struct dataplane *dataplane, unsigned worker)
{
        assert(worker < dataplane->config.workers);
        return dataplane->workers[worker]->commit;
}

struct rte_ring *
dataplane_receipt_ring(struct dataplane *dataplane, unsigned worker)
{
        assert(worker < dataplane->config.workers);
        return dataplane->workers[worker]->receipt;
}

void
dataplane_counters(const struct dataplane *dataplane, struct dataplane_counters *counters)
{
        uint64_t *sums = (uint64_t *)counters;

        memset(counters, 0, sizeof(*counters));
        for (unsigned i = 0; i < dataplane->config.workers; i++) {
                const uint64_t *mine = (const uint64_t *)&dataplane->workers[i]->counters;

                for (size_t j = 0; j < sizeof(*counters) / sizeof(uint64_t); j++)
                        sums[j] += __atomic_load_n(&mine[j], __ATOMIC_RELAXED);
        }
}

unsigned
dataplane_node_stats(const struct dataplane *dataplane, struct node_stat *stats, unsigned n)
{
        unsigned used = 0;

        for (unsigned i = 0; i < dataplane->config.workers; i++)
                used = graph_add_stats(dataplane->workers[i], stats, used, n);
        return used;
}

int
dataplane_export_dot(const struct dataplane *dataplane, const char *path)
{
        return graph_export(dataplane->workers[0], path);
}
