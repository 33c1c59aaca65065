/* SPDX-License-Identifier: Apache-2.0 */
/* Three workers on two cores: whichever worker a packet comes to, the one that owns its context
 * serves it, once (promise 2), and its receipt says where its record is (promise 1). */
#include "crypto/seal.h"
#include "dataplane/drops.h"
#include "tests/packets/device.h"
#include "tests/packets/frames.h"
#include "tests/packets/harness.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>

#define DEVICES    150u
#define TURNS      8u /* requests a device */
#define DEADLINE_S 120

static struct harness harness;
static struct device devices[DEVICES];
static struct engine *engine;
static uint8_t got[HARNESS_FRAME_MAX];
/* Leaf + 1 of the receipt for a device's partial IV. */
static uint64_t leaves[DEVICES][TURNS];

static const int algs[] = {AEAD_AES_CCM_16_64_128, AEAD_AES_128_GCM, AEAD_AES_256_GCM,
    AEAD_CHACHA20_POLY1305, AEAD_AES_CCM_16_128_128};

static void
open_workers(unsigned queues, bool idle_sleep)
{
        struct harness_options options = {
            .config = {.workers = 3, .idle_sleep = idle_sleep},
            .queues = queues,
            .devices = DEVICES,
        };

        harness_open(&harness, &options);
        cr_assert_eq(engine_create(&engine, ENGINE_AUTO), 0);
        for (unsigned i = 0; i < DEVICES; i++)
                device_enrol(
                    &devices[i], harness.contexts, i, algs[i % (sizeof(algs) / sizeof(algs[0]))]);
}

static void
inject(unsigned i, uint64_t partial_iv, unsigned queue)
{
        uint8_t message[DEVICE_MESSAGE_MAX];
        struct device_request request;
        struct wire wire;
        size_t bytes;

        device_next(&devices[i], &request);
        request.partial_iv = partial_iv;
        bytes = device_protect(&devices[i], engine, &request, message);
        wire_datagram(
            &wire, 4 + 2 * (i & 1), harness.mac[0], (uint16_t)(20000 + i), message, bytes);
        harness_inject_at(&harness, 0, queue, wire.bytes, wire.n);
}

/* Takes what is there; a receipt is noted, and must be the same when it comes again. */
static unsigned
take_receipts(void)
{
        uint8_t plain[DEVICE_MESSAGE_MAX];
        size_t bytes, payload_bytes;
        unsigned n = 0;

        while ((bytes = harness_take(&harness, got)) != 0) {
                const uint8_t *reply = wire_payload(got, bytes, &payload_bytes);
                unsigned piv = reply[4], i = reply[5];
                uint64_t leaf;
                int length;

                cr_assert_eq(reply[0] & 0x0f, 2, "the request's token");
                cr_assert(piv < TURNS && i < DEVICES);
                length = device_open(&devices[i], engine, piv, reply, payload_bytes, plain);
                cr_assert_gt(length, 0, "the reply is not authentic");
                leaf = device_leaf(plain, (size_t)length);
                cr_assert(leaves[i][piv] == 0 || leaves[i][piv] == leaf + 1);
                leaves[i][piv] = leaf + 1;
                n++;
        }
        return n;
}

/* Every request has its own record, which opens with its patient's key, and its receipt. */
static void
check_ledger(void)
{
        static bool seen[DEVICES][TURNS];

        memset(seen, 0, sizeof(seen));
        cr_assert_eq(harness.kept_n, DEVICES * TURNS, "%zu records", harness.kept_n);
        for (size_t k = 0; k < harness.kept_n; k++) {
                const struct kept_record *record = &harness.kept[k];
                uint8_t plain[SEAL_PAYLOAD_MAX];
                struct seal_header header;
                unsigned i;

                cr_assert_eq(
                    seal_header_read(&header, record->sealed, record->desc.sealed_bytes), 0);
                i = (unsigned)(header.context_id - devices[0].context_id);
                cr_assert(i < DEVICES && header.partial_iv < TURNS);
                cr_assert_not(seen[i][header.partial_iv], "two records of one request");
                seen[i][header.partial_iv] = true;
                cr_assert_eq(seal_open_record(plain, record->sealed, record->desc.sealed_bytes,
                                 devices[i].patient_key),
                    0);
                cr_assert_eq(leaves[i][header.partial_iv], record->leaf + 1);
        }
}

static void
close_workers(void)
{
        engine_destroy(engine);
        harness_close(&harness);
}

/* All packets come to the one queue, of worker 0; twice each, the copies in the same burst. */
Test(workers, strays_find_their_owner)
{
        struct dataplane_counters counters;

        open_workers(1, false);
        for (unsigned piv = 0; piv < TURNS; piv++) {
                for (unsigned i = 0; i < DEVICES; i++) {
                        inject(i, piv, 0);
                        inject(i, piv, 0);
                }
                harness_drive(&harness);
                take_receipts();
        }
        check_ledger();
        dataplane_counters(harness.dataplane, &counters);
        cr_assert_eq(counters.records, DEVICES * TURNS);
        cr_assert_gt(counters.strays, DEVICES * TURNS);
        cr_assert_eq(counters.drops[DROP_STRAY_RING_FULL], 0);
        close_workers();
}

/* A request that comes again by another worker's queue gets the same receipt. */
Test(workers, retransmission_changes_its_worker)
{
        open_workers(3, false);
        for (unsigned piv = 0; piv < TURNS; piv++) {
                for (unsigned i = 0; i < DEVICES; i++)
                        inject(i, piv, (i + piv) % 3);
                harness_drive(&harness);
                cr_assert_eq(take_receipts(), DEVICES);
                for (unsigned i = 0; i < DEVICES; i++)
                        inject(i, piv, (i + piv + 1) % 3);
                harness_drive(&harness);
                cr_assert_eq(take_receipts(), DEVICES);
        }
        check_ledger();
        close_workers();
}

/* The workers' own threads, two queues for three workers. A device sends again what is not answered
 * after a while, since strays may be dropped under load. */
Test(workers, three_threads_on_two_cores)
{
        time_t deadline = time(NULL) + DEADLINE_S;

        open_workers(2, true);
        cr_assert_eq(dataplane_start(harness.dataplane), 0);
        for (unsigned piv = 0; piv < TURNS; piv++) {
                unsigned missing = DEVICES;

                for (unsigned round = 0; missing != 0; round++) {
                        cr_assert_lt(time(NULL), deadline, "%u requests unanswered", missing);
                        for (unsigned i = 0; i < DEVICES && round % 1000 == 0; i++) {
                                if (leaves[i][piv] == 0)
                                        inject(i, piv, (i + round) % 2);
                        }
                        usleep(1000);
                        harness_writer_turn(&harness);
                        take_receipts();
                        missing = 0;
                        for (unsigned i = 0; i < DEVICES; i++)
                                missing += leaves[i][piv] == 0;
                }
        }
        dataplane_stop(harness.dataplane);
        harness_drive(&harness);
        take_receipts();
        check_ledger();
        close_workers();
}

/* A ring between workers that is full drops, counted; what was dropped may come again. */
Test(workers, full_stray_ring_drops)
{
        unsigned rounds = STRAY_RING_SLOTS / DEVICES + 4;

        open_workers(1, false);
        for (unsigned round = 0; round < rounds; round++) {
                for (unsigned i = 0; i < DEVICES; i++)
                        if (i % 64 % 3 == 1) /* shard 1 of three: worker 1 */
                                for (unsigned copy = 0; copy < 8; copy++)
                                        inject(i, 0, 0);
                while (dataplane_walk(harness.dataplane, 0) != 0)
                        ;
        }
        cr_assert_gt(harness_drops(&harness, DROP_STRAY_RING_FULL), 0);
        harness_drive(&harness);
        take_receipts();
        for (unsigned i = 0; i < DEVICES; i++)
                cr_assert_eq(leaves[i][0] != 0, i % 64 % 3 == 1);
        close_workers();
}
