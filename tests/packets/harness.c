/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/packets/harness.h"
#include "dataplane/drops.h"
#include "dataplane/plumbing.h"
#include "dataplane/records.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#define POOL_MBUFS      16383u
#define IN_SLOTS        16384u
#define OUT_SLOTS       8192u
#define WRITER_BURST    64u
#define QUIET_ROUNDS    3u /* a packet may need a walk of its owner and one of its sender */
#define DEVICES_DEFAULT 1024u
#define ROUNDS_MAX      1000000u
#define RUNTIME_FILE    "/var/run/dpdk"

static uint64_t drops_seen[DROP_REASON_COUNT];

static void
cpu_list(char *out, size_t bytes)
{
        cpu_set_t set;
        size_t used = 0;

        cr_assert_eq(sched_getaffinity(0, sizeof(set), &set), 0);
        for (unsigned cpu = 0; cpu < CPU_SETSIZE && used + 8 < bytes; cpu++) {
                if (CPU_ISSET(cpu, &set))
                        used += (size_t)snprintf(
                            out + used, bytes - used, "%s%u", used != 0 ? "," : "", cpu);
        }
}

void
harness_eal(void)
{
        static bool done;
        char cpus[256], lcores[300], prefix[32];
        char *argv[] = {"packets", "--no-huge", "-m", "512", "--no-pci", "--no-telemetry",
            "--no-shconf", "--file-prefix", prefix, "--lcores", lcores, "--log-level", "warning",
            NULL};
        int rc;

        if (done)
                return;
        cpu_list(cpus, sizeof(cpus));
        snprintf(lcores, sizeof(lcores), "(0-%u)@(%s)", HARNESS_LCORES - 1, cpus);
        snprintf(prefix, sizeof(prefix), "aorta-test-%d", (int)getpid());
        rc = rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])) - 1, argv);
        cr_assert_geq(rc, 0, "EAL does not start");
        done = true;
        /* EAL leaves its folder behind, empty without shared configuration. */
        char folder[300];
        snprintf(folder, sizeof(folder), RUNTIME_FILE "/%s", prefix);
        (void)rmdir(folder);
}

static struct rte_ring *
make_wire(const char *what, unsigned port, unsigned queue, unsigned slots)
{
        char name[RTE_RING_NAMESIZE];
        struct rte_ring *ring;

        snprintf(name, sizeof(name), "wire_%s%u_%u", what, port, queue);
        ring = rte_ring_create(
            name, slots, (int)rte_socket_id(), RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
        cr_assert_not_null(ring);
        return ring;
}

static void
make_port(struct harness *harness, unsigned port, unsigned out_slots)
{
        static unsigned made;
        char name[32];
        int id;

        for (unsigned q = 0; q < harness->queues; q++) {
                harness->in[port][q] = make_wire("in", port, q, IN_SLOTS);
                harness->out[port][q] = make_wire("out", port, q, out_slots);
        }
        /* A closed port's device keeps its name. */
        snprintf(name, sizeof(name), "wire%u", made++);
        id = rte_eth_from_rings(name, harness->in[port], harness->queues, harness->out[port],
            harness->queues, rte_socket_id());
        cr_assert_geq(id, 0);
        harness->port_id[port] = (uint16_t)id;
}

static struct contexts *
make_contexts(struct harness *harness, const struct harness_options *options,
    const struct dataplane_config *config)
{
        uint32_t devices = options->devices != 0 ? options->devices : DEVICES_DEFAULT;
        struct contexts_config contexts_config = {
            .devices = devices,
            .patients = devices,
            .workers = config->workers,
            .backend = config->backend,
        };
        struct contexts *contexts = NULL;
        char why[WHY_BYTES] = "";
        bool locked;
        int rc = contexts_create(&contexts, &contexts_config, &locked, why, sizeof(why));

        cr_assert_eq(rc, 0, "%s", why);
        harness->own_contexts = true;
        return contexts;
}

void
harness_open(struct harness *harness, const struct harness_options *options)
{
        struct dataplane_config config = options->config;
        char why[WHY_BYTES];
        int rc;

        harness_eal();
        memset(harness, 0, sizeof(*harness));
        memset(drops_seen, 0, sizeof(drops_seen));
        harness->ports = options->ports != 0 ? options->ports : 1;
        harness->queues = options->queues != 0 ? options->queues : 1;
        harness->forget = options->forget;
        harness->pool = rte_pktmbuf_pool_create(
            "wire", POOL_MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, (int)rte_socket_id());
        cr_assert_not_null(harness->pool);
        harness->view = rte_zmalloc("view", sizeof(*harness->view), RTE_CACHE_LINE_SIZE);
        cr_assert_not_null(harness->view);

        if (config.workers == 0)
                config.workers = 1;
        harness->workers = config.workers;
        for (unsigned i = 0; i < config.workers && config.lcores[i] == 0; i++)
                config.lcores[i] = i + 1;
        if (config.contexts == NULL)
                config.contexts = make_contexts(harness, options, &config);
        harness->contexts = config.contexts;
        config.view = harness->view;
        config.ports = harness->ports;
        for (unsigned i = 0; i < harness->ports; i++) {
                make_port(harness, i, options->out_slots != 0 ? options->out_slots : OUT_SLOTS);
                config.port[i].port_id = harness->port_id[i];
                config.port[i].queues = (uint16_t)harness->queues;
        }
        if (config.ip4[0] == 0)
                memcpy(config.ip4, (uint8_t[]){10, 77, 0, 2}, 4);
        if (config.ip6[0] == 0)
                memcpy(config.ip6,
                    (uint8_t[]){0xfd, 0, 0, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}, 16);
        rc = dataplane_create(&harness->dataplane, &config, why);
        cr_assert_eq(rc, 0, "%s", why);
        for (unsigned i = 0; i < harness->ports; i++)
                memcpy(harness->mac[i], harness->dataplane->ports[i].local.mac, 6);
}

static void
drain(struct rte_ring *ring)
{
        struct rte_mbuf *mbuf;

        while (rte_ring_dequeue(ring, (void **)&mbuf) == 0)
                rte_pktmbuf_free(mbuf);
}

/* Criterion counts no assertion that fails in a suite's .fini: a program that dies there fails. */
static void
must_be(const char *what, uint64_t is, uint64_t must)
{
        if (is == must)
                return;
        fprintf(stderr, "%s: %lu, not %lu\n", what, (unsigned long)is, (unsigned long)must);
        abort();
}

/* Every pending slot is free or with the writer, every promise of a place in the ring is kept. */
static void
check_slots(const struct worker *worker)
{
        const struct records *records = worker->records;

        must_be("pending slots", records->free_n + records_pending(worker), PENDING_SLOTS);
        must_be("reserved places in the commit ring", records->ring_reserved, 0);
}

void
harness_close(struct harness *harness)
{
        for (unsigned p = 0; p < harness->ports; p++) {
                for (unsigned q = 0; q < harness->queues; q++) {
                        drain(harness->in[p][q]);
                        drain(harness->out[p][q]);
                }
        }
        for (unsigned w = 0; w < harness->workers; w++)
                check_slots(harness->dataplane->workers[w]);
        must_be("the data plane's lost packet buffers",
            rte_mempool_in_use_count(harness->dataplane->pool), 0);
        dataplane_destroy(harness->dataplane);
        must_be("lost packet buffers", rte_mempool_in_use_count(harness->pool), 0);
        for (unsigned p = 0; p < harness->ports; p++) {
                for (unsigned q = 0; q < harness->queues; q++) {
                        rte_ring_free(harness->in[p][q]);
                        rte_ring_free(harness->out[p][q]);
                }
        }
        if (harness->own_contexts)
                contexts_destroy(harness->contexts);
        rte_mempool_free(harness->pool);
        rte_free(harness->view);
        for (size_t i = 0; i < harness->kept_n; i++)
                free(harness->kept[i].sealed);
        free(harness->kept);
        memset(harness, 0, sizeof(*harness));
}

struct rte_mbuf *
harness_mbuf(struct harness *harness, const void *frame, size_t bytes)
{
        struct rte_mbuf *mbuf = rte_pktmbuf_alloc(harness->pool);
        char *data;

        cr_assert_not_null(mbuf, "the harness has no packet buffers left");
        data = rte_pktmbuf_append(mbuf, (uint16_t)bytes);
        cr_assert_not_null(data);
        memcpy(data, frame, bytes);
        return mbuf;
}

void
harness_inject_mbuf(struct harness *harness, unsigned port, unsigned queue, struct rte_mbuf *mbuf)
{
        cr_assert_eq(rte_ring_enqueue(harness->in[port][queue], mbuf), 0);
}

void
harness_inject_at(
    struct harness *harness, unsigned port, unsigned queue, const void *frame, size_t bytes)
{
        harness_inject_mbuf(harness, port, queue, harness_mbuf(harness, frame, bytes));
}

void
harness_inject(struct harness *harness, const void *frame, size_t bytes)
{
        harness_inject_at(harness, 0, 0, frame, bytes);
}

void
harness_stray(struct harness *harness, unsigned from, unsigned to, struct rte_mbuf *mbuf)
{
        cr_assert_eq(rte_ring_enqueue(harness->dataplane->workers[from]->stray_out[to], mbuf), 0);
}

size_t
harness_take_at(struct harness *harness, unsigned port, uint8_t *out)
{
        for (unsigned q = 0; q < harness->queues; q++) {
                struct rte_mbuf *mbuf;
                size_t bytes;

                if (rte_ring_dequeue(harness->out[port][q], (void **)&mbuf) != 0)
                        continue;
                bytes = mbuf->pkt_len;
                cr_assert_eq(mbuf->nb_segs, 1);
                cr_assert_leq(bytes, HARNESS_FRAME_MAX);
                memcpy(out, rte_pktmbuf_mtod(mbuf, void *), bytes);
                rte_pktmbuf_free(mbuf);
                return bytes;
        }
        return 0;
}

size_t
harness_take(struct harness *harness, uint8_t *out)
{
        return harness_take_at(harness, 0, out);
}

static struct kept_record *
keep(struct harness *harness, const struct commit_desc *desc)
{
        struct kept_record *record;

        if (harness->kept_n == harness->kept_room) {
                harness->kept_room = harness->kept_room != 0 ? 2 * harness->kept_room : 256;
                harness->kept =
                    realloc(harness->kept, harness->kept_room * sizeof(harness->kept[0]));
                cr_assert_not_null(harness->kept);
        }
        record = &harness->kept[harness->kept_n++];
        memset(record, 0, sizeof(*record));
        record->desc = *desc;
        record->sealed = malloc(desc->sealed_bytes);
        cr_assert_not_null(record->sealed);
        memcpy(record->sealed, desc->sealed, desc->sealed_bytes);
        return record;
}

static uint64_t
give_receipt(struct harness *harness, const struct commit_desc *desc, enum receipt_status status)
{
        struct receipt receipt = {.pending = desc->pending, .status = status};

        if (status == RECEIPT_COMMITTED) {
                receipt.leaf = harness->next_leaf++;
                atomic_store(&harness->view->leaves, harness->next_leaf);
        }
        cr_assert_eq(rte_ring_enqueue_elem(dataplane_receipt_ring(harness->dataplane, desc->worker),
                         &receipt, sizeof(receipt)),
            0, "a receipt always finds room");
        return receipt.leaf;
}

static void
take_desc(struct harness *harness, const struct commit_desc *desc)
{
        static const enum receipt_status status[] = {
            [WRITER_COMMIT] = RECEIPT_COMMITTED,
            [WRITER_REFUSE] = RECEIPT_REFUSED,
            [WRITER_SILENCE] = RECEIPT_SILENCE,
        };
        struct kept_record *record = harness->forget ? NULL : keep(harness, desc);
        uint64_t leaf;

        harness->taken++;
        if (harness->writer == WRITER_HOLD) {
                cr_assert_not_null(record, "a writer that holds must keep");
                return;
        }
        leaf = give_receipt(harness, desc, status[harness->writer]);
        if (record != NULL) {
                record->leaf = leaf;
                record->answered = true;
        }
}

unsigned
harness_writer_turn(struct harness *harness)
{
        struct commit_desc descs[WRITER_BURST];
        unsigned total = 0;

        if (harness->writer == WRITER_STALL)
                return 0;
        for (unsigned w = 0; w < harness->workers; w++) {
                struct rte_ring *ring = dataplane_commit_ring(harness->dataplane, w);
                unsigned n =
                    rte_ring_dequeue_burst_elem(ring, descs, sizeof(descs[0]), WRITER_BURST, NULL);

                for (unsigned i = 0; i < n; i++) {
                        cr_assert_eq(descs[i].worker, w);
                        take_desc(harness, &descs[i]);
                }
                total += n;
        }
        return total;
}

void
harness_release(struct harness *harness, enum receipt_status status)
{
        for (size_t i = 0; i < harness->kept_n; i++) {
                if (harness->kept[i].answered)
                        continue;
                harness->kept[i].leaf = give_receipt(harness, &harness->kept[i].desc, status);
                harness->kept[i].answered = true;
        }
}

unsigned
harness_drive(struct harness *harness)
{
        unsigned total = 0, quiet = 0, rounds;

        for (rounds = 0; quiet < QUIET_ROUNDS && rounds < ROUNDS_MAX; rounds++) {
                unsigned moved = 0;

                for (unsigned w = 0; w < harness->workers; w++) {
                        unsigned taken = dataplane_walk(harness->dataplane, w);

                        total += taken;
                        moved += taken + !worker_is_idle(harness->dataplane->workers[w]);
                }
                moved += harness_writer_turn(harness);
                quiet = moved == 0 ? quiet + 1 : 0;
        }
        cr_assert_lt(rounds, ROUNDS_MAX, "the data plane never comes to rest");
        return total;
}

uint64_t
harness_drops(struct harness *harness, unsigned reason)
{
        struct dataplane_counters counters;
        uint64_t grown = 0;

        dataplane_counters(harness->dataplane, &counters);
        for (unsigned i = 0; i < DROP_REASON_COUNT; i++) {
                if (i == reason)
                        grown = counters.drops[i] - drops_seen[i];
                else
                        cr_expect_eq(counters.drops[i], drops_seen[i], "dropped for %s, not for %s",
                            drop_metric(i), drop_metric(reason));
                drops_seen[i] = counters.drops[i];
        }
        return grown;
}

uint64_t
harness_drops_all(struct harness *harness)
{
        struct dataplane_counters counters;
        uint64_t sum = 0;

        dataplane_counters(harness->dataplane, &counters);
        for (unsigned i = 0; i < DROP_REASON_COUNT; i++)
                sum += counters.drops[i];
        return sum;
}
