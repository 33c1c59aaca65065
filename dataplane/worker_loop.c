/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's thread: walks, and little else. */
#include "dataplane/plumbing.h"

#include <urcu-qsbr.h>

#include <rte_cycles.h>
#include <rte_graph_worker.h>

#define IDLE_WALKS    4096u /* empty walks in a row before the first sleep */
#define IDLE_SLEEP_US 20u

unsigned
worker_walk(struct worker *worker)
{
        const struct dataplane_config *config = worker->config;

        worker->now_tsc = rte_rdtsc();
        worker->now_ns = clock_read(&worker->dataplane->clock, &worker->clock, worker->now_tsc);
        if (config->before_walk != NULL)
                config->before_walk(config->before_walk_user, worker->id);
        worker->taken = 0;
        worker->requests_n = 0;
        port_tx_overflow(worker);
        rte_graph_walk(worker->graph);
        assert(worker->taken <= WALK_PACKETS_MAX);
        return worker->taken;
}

bool
worker_is_idle(const struct worker *worker)
{
        if (worker->taken != 0 || !rte_ring_empty(worker->receipt))
                return false;
        for (unsigned i = 0; i < worker->config->workers; i++) {
                if (worker->stray_in[i] != NULL && !rte_ring_empty(worker->stray_in[i]))
                        return false;
        }
        return true;
}

int
worker_loop(void *arg)
{
        struct worker *worker = arg;
        struct dataplane *dataplane = worker->dataplane;
        bool sleeps = worker->config->idle_sleep;
        unsigned idle = 0;

        rcu_register_thread();
        while (!atomic_load_explicit(&dataplane->stop, memory_order_acquire)) {
                worker_walk(worker);
                rcu_quiescent_state();
                if (!sleeps)
                        continue;
                idle = worker_is_idle(worker) ? idle + 1 : 0;
                if (idle >= IDLE_WALKS) {
                        /* The only system call of a worker, and none while there is work. */
                        rte_delay_us_sleep(IDLE_SLEEP_US);
                        idle = IDLE_WALKS;
                }
        }
        rcu_unregister_thread();
        return 0;
}
