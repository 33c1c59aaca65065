/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger writer and the publisher: a receipt only for what is durable (promise 1), silence for
 * what may be, refusal for what is certainly not (promise 7). The disk's answers, the log and the
 * publisher's queue are held up by wrapping vault_poll(), log_append() and publisher_push(). */
#include "control/publisher.h"
#include "control/writer.h"
#include "crypto/seal.h"
#include "tests/unit/control/folder.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sodium.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#define WORKERS       2u
#define RECORDS_MAX   12000u /* a worker */
#define RING_SLOTS    16384u
#define SEALED_BYTES  1000u
#define WAIT_MS       30000u
#define SEGMENT_BYTES (4096u + (2u << 20)) /* the shortest */

/* ---- wraps ---- */

static _Atomic bool disk_held, log_stuck, queue_full;
static _Atomic unsigned polls_held;

int __real_vault_poll(struct vault *vault, struct group **done, uint32_t wait_us);
int __wrap_vault_poll(struct vault *vault, struct group **done, uint32_t wait_us);
int __real_log_append(struct log *log, const uint8_t *entries, uint32_t n);
int __wrap_log_append(struct log *log, const uint8_t *entries, uint32_t n);
bool __real_publisher_push(struct publisher *publisher, const uint8_t *entries, uint32_t n);
bool __wrap_publisher_push(struct publisher *publisher, const uint8_t *entries, uint32_t n);

int
__wrap_vault_poll(struct vault *vault, struct group **done, uint32_t wait_us)
{
        if (!atomic_load(&disk_held))
                return __real_vault_poll(vault, done, wait_us);
        atomic_fetch_add(&polls_held, 1);
        *done = NULL;
        return 0;
}

int
__wrap_log_append(struct log *log, const uint8_t *entries, uint32_t n)
{
        return atomic_load(&log_stuck) ? -EIO : __real_log_append(log, entries, n);
}

bool
__wrap_publisher_push(struct publisher *publisher, const uint8_t *entries, uint32_t n)
{
        return !atomic_load(&queue_full) && __real_publisher_push(publisher, entries, n);
}

/* ---- the fixture ---- */

static char folder[64], volume[96], log_folder[96];
static char why[VAULT_WHY_BYTES];
static struct vault *vault;
static struct vault_tip tip;
static struct ledger_view view;
static struct rte_ring *commit[WORKERS], *receipt[WORKERS];
static struct writer *writer;
static struct note_signer *signer;
static struct log *ledger_log;
static struct publisher *publisher;

static uint8_t sealed[WORKERS][RECORDS_MAX][SEALED_BYTES];
static unsigned pushed[WORKERS], answered[WORKERS];
static struct receipt receipts[WORKERS][RECORDS_MAX]; /* in order of arrival */

static void
nap(void)
{
        struct timespec ms = {.tv_nsec = 1000000};

        nanosleep(&ms, NULL);
}

static void
take_receipts(void)
{
        for (unsigned w = 0; w < WORKERS; w++)
                answered[w] += rte_ring_dequeue_burst_elem(receipt[w], &receipts[w][answered[w]],
                    sizeof(struct receipt), RECORDS_MAX - answered[w], NULL);
}

/* Waits until the condition holds; takes receipts meanwhile. */
#define WAIT_FOR(condition)                                                                        \
        do {                                                                                       \
                unsigned waited_ms = 0;                                                            \
                for (take_receipts(); !(condition) && waited_ms < WAIT_MS; waited_ms++) {          \
                        nap();                                                                     \
                        take_receipts();                                                           \
                }                                                                                  \
                cr_assert(condition, "waited in vain");                                            \
        } while (0)

/* Long enough for a writer that errs to be seen erring; no verdict rests on its length. */
static void
linger(void)
{
        for (unsigned i = 0; i < 100; i++)
                nap();
        take_receipts();
}

/* n records of a worker, in one step, so that the writer takes them together: random bytes that
 * look like sealed records; record i has pending slot i. */
static void
push(unsigned worker, unsigned n)
{
        static struct commit_desc descs[RECORDS_MAX];

        cr_assert_leq(pushed[worker] + n, RECORDS_MAX);
        for (unsigned k = 0; k < n; k++) {
                unsigned i = pushed[worker] + k;
                uint8_t *bytes = sealed[worker][i], seed[randombytes_SEEDBYTES] = {0};
                struct commit_desc *desc = &descs[k];

                *desc = (struct commit_desc){.context_id = 1,
                    .received_ns = 1,
                    .sealed = bytes,
                    .pending = i,
                    .sealed_bytes = SEALED_BYTES,
                    .kind = RECORD_OSCORE,
                    .worker = (uint8_t)worker};
                seed[0] = (uint8_t)worker;
                memcpy(seed + 1, &i, sizeof(i));
                randombytes_buf_deterministic(bytes, SEALED_BYTES, seed);
                bytes[0] = SEAL_VERSION;
                bytes[1] = RECORD_OSCORE;
                crypto_hash_sha256(desc->digest, bytes, SEALED_BYTES);
        }
        pushed[worker] += n;
        cr_assert_eq(
            rte_ring_enqueue_bulk_elem(commit[worker], descs, sizeof(descs[0]), n, NULL), n);
}

static void
start_eal(void)
{
        char prefix[32];
        char *argv[] = {"writer", "--no-huge", "-m", "64", "--no-pci", "--no-telemetry",
            "--no-shconf", "--file-prefix", prefix, "--log-level", "warning", NULL};

        snprintf(prefix, sizeof(prefix), "aorta-test-%d", (int)getpid());
        cr_assert_geq(rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])) - 1, argv), 0);
}

static void
make_rings(void)
{
        char name[32];

        for (unsigned w = 0; w < WORKERS; w++) {
                snprintf(name, sizeof(name), "commit%u", w);
                commit[w] = rte_ring_create_elem(name, sizeof(struct commit_desc), RING_SLOTS,
                    SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
                snprintf(name, sizeof(name), "receipt%u", w);
                receipt[w] = rte_ring_create_elem(name, sizeof(struct receipt), RING_SLOTS,
                    SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
                cr_assert(commit[w] != NULL && receipt[w] != NULL);
        }
}

static int
no_record(void *user, const struct vault_record *record)
{
        return 0;
}

static void
open_vault(void)
{
        struct vault_config config = {
            .path = volume, .segment_bytes = SEGMENT_BYTES, .spare_segments = 1};

        cr_assert_eq(vault_open(&vault, &config, why), 0, "%s", why);
        cr_assert_eq(vault_recover(vault, 0, no_record, NULL, NULL, &tip, why), 0, "%s", why);
}

static void
setup(void)
{
        cr_assert(sodium_init() >= 0);
        start_eal();
        make_rings();
        folder_make(folder, sizeof(folder));
        snprintf(volume, sizeof(volume), "%s/volume", folder);
        snprintf(log_folder, sizeof(log_folder), "%s/log", folder);
        open_vault();
        cr_assert_eq(vault_begin(vault, why), 0, "%s", why);
}

static void
start_publisher(uint32_t interval_ms)
{
        static const char *heads[1];
        uint8_t seed[32] = {1};
        struct log_config log_config = {.path = log_folder, .head_paths = heads, .head_paths_n = 1};
        struct publisher_config config = {.view = &view, .interval_ms = interval_ms, .core = -1};

        heads[0] = folder;
        cr_assert_eq(note_signer_create(&signer, "example.org/log", seed), 0);
        log_config.signer = signer;
        cr_assert_eq(log_open(&ledger_log, &log_config, why), 0, "%s", why);
        config.log = ledger_log;
        cr_assert_eq(publisher_start(&publisher, &config), 0);
}

static void
stop_publisher(void)
{
        publisher_stop(publisher);
        publisher_destroy(publisher);
        publisher = NULL;
        log_close(ledger_log);
        note_signer_free(signer);
}

static void
start_writer(uint32_t group_records)
{
        struct writer_config config = {
            .vault = vault,
            .tip = &tip,
            .tree = vault_tree(vault),
            .workers = WORKERS,
            .view = &view,
            .publisher = publisher,
            .group_records = group_records,
            .group_us = 1000,
            .core = -1,
        };

        for (unsigned w = 0; w < WORKERS; w++) {
                config.commit[w] = commit[w];
                config.receipt[w] = receipt[w];
        }
        cr_assert_eq(writer_start(&writer, &config), 0);
}

static void
stop_writer(void)
{
        writer_stop(writer);
        take_receipts();
        writer_destroy(writer);
        writer = NULL;
}

static void
teardown(void)
{
        if (writer != NULL)
                stop_writer();
        if (publisher != NULL)
                stop_publisher();
        vault_close(vault);
        folder_remove(folder);
}

TestSuite(writer, .init = setup, .fini = teardown, .timeout = 100);

/* Receipts from `from` on have this status. */
static void
expect_status(unsigned worker, unsigned from, unsigned n, enum receipt_status status)
{
        cr_assert_geq(answered[worker], from + n);
        for (unsigned i = from; i < from + n; i++)
                cr_expect_eq(receipts[worker][i].status, status, "receipt %u of worker %u: %u", i,
                    worker, receipts[worker][i].status);
}

/* What recovery finds in a leaf is what the receipt was for. */
struct expected {
        uint64_t leaves;
        const uint8_t *sealed[WORKERS * RECORDS_MAX];
};
static struct expected expected;

static int
check_record(void *user, const struct vault_record *record)
{
        if (record->leaf < expected.leaves) {
                cr_assert_eq(record->sealed_bytes, SEALED_BYTES);
                cr_assert_eq(memcmp(record->sealed, expected.sealed[record->leaf], SEALED_BYTES), 0,
                    "leaf %lu holds another record", record->leaf);
        }
        return 0;
}

/* Every committed receipt: in its worker's order, a leaf of its own, and on the disk. */
static void
expect_durable(void)
{
        struct vault_config config = {.path = volume, .segment_bytes = SEGMENT_BYTES};

        memset(&expected, 0, sizeof(expected));
        for (unsigned w = 0; w < WORKERS; w++) {
                uint64_t last = 0;

                for (unsigned i = 0; i < answered[w]; i++) {
                        const struct receipt *one = &receipts[w][i];

                        if (one->status != RECEIPT_COMMITTED)
                                continue;
                        cr_assert(i == 0 || one->leaf > last, "leaves out of order");
                        cr_assert_lt(one->leaf, WORKERS * RECORDS_MAX);
                        cr_assert_null(expected.sealed[one->leaf], "leaf %lu twice", one->leaf);
                        expected.sealed[one->leaf] = sealed[w][one->pending];
                        expected.leaves++;
                        last = one->leaf;
                }
        }
        for (uint64_t i = 0; i < expected.leaves; i++)
                cr_assert_not_null(expected.sealed[i], "leaf %lu was given to nobody", i);
        vault_close(vault);
        cr_assert_eq(vault_open(&vault, &config, why), 0, "%s", why);
        cr_assert_eq(vault_recover(vault, expected.leaves, check_record, NULL, NULL, &tip, why), 0,
            "%s", why);
}

/* ---- receipts ---- */

Test(writer, gives_receipts_only_when_the_group_is_durable)
{
        atomic_store(&disk_held, true);
        start_writer(GROUP_RECORDS_MAX);
        push(0, 10);
        WAIT_FOR(atomic_load(&polls_held) > 10); /* in flight, and asked for again and again */
        linger();
        cr_expect_eq(answered[0], 0, "a receipt before the disk has answered");
        cr_expect_eq(atomic_load(&view.leaves), 0, "leaves before the disk has answered");
        atomic_store(&disk_held, false);
        WAIT_FOR(answered[0] == 10);
        cr_expect_eq(atomic_load(&view.leaves), 10);
        expect_status(0, 0, 10, RECEIPT_COMMITTED);
        stop_writer();
        expect_durable();
        cr_expect_eq(expected.leaves, 10);
        cr_expect_eq(tip.leaves, 10);
}

Test(writer, numbers_leaves_in_the_order_of_the_groups)
{
        struct writer_stats stats;

        start_writer(16);
        for (unsigned i = 0; i < 50; i++) {
                push(0, 7);
                push(1, 11);
                if (i % 8 == 0)
                        nap();
        }
        WAIT_FOR(answered[0] == 350 && answered[1] == 550);
        for (unsigned w = 0; w < WORKERS; w++)
                for (unsigned i = 0; i < answered[w]; i++)
                        cr_assert_eq(receipts[w][i].pending, i, "receipts out of order");
        writer_stats(writer, &stats);
        cr_expect_eq(stats.leaves, 900);
        cr_expect_geq(stats.groups, (900 + 15) / 16, "groups larger than group_records");
        stop_writer();
        expect_durable();
        cr_expect_eq(tip.leaves, 900);
}

/* ---- failures ---- */

/* A group in flight, and records that wait in the next one and in the ring. */
static void
fail_in_flight(int error)
{
        struct writer_stats stats;

        atomic_store(&disk_held, true);
        vault_inject(vault, error);
        start_writer(16);
        push(0, 6);
        WAIT_FOR(atomic_load(&polls_held) > 0);
        push(1, 40);
        WAIT_FOR(rte_ring_empty(commit[1]));
        atomic_store(&disk_held, false);
        WAIT_FOR(answered[0] == 6 && answered[1] == 40);
        expect_status(0, 0, 6, RECEIPT_SILENCE);
        expect_status(1, 0, 40, RECEIPT_REFUSED);
        cr_expect(atomic_load(&view.refuse));
        cr_expect_eq(atomic_load(&view.leaves), 0);
        writer_stats(writer, &stats);
        cr_expect_eq(stats.failed, EIO);

        /* For good, also when the disk would take writes again. */
        vault_inject(vault, 0);
        push(0, 3);
        WAIT_FOR(answered[0] == 9);
        expect_status(0, 6, 3, RECEIPT_REFUSED);
        linger();
        cr_expect(atomic_load(&view.refuse), "new requests are let in after a failed flush");
        stop_writer();
        /* Refused means: certainly not there. */
        vault_close(vault);
        open_vault();
        cr_expect_leq(tip.leaves, 6);
}

Test(writer, is_silent_on_what_a_failed_flush_held_and_refuses_the_rest)
{
        fail_in_flight(EIO);
}

Test(writer, takes_a_short_write_for_a_failure)
{
        fail_in_flight(-4096);
}

/* ---- a full disk ---- */

static void
push_until_stalled(void)
{
        struct writer_stats stats;

        vault_inject(vault, ENOSPC);
        start_writer(256);
        do {
                push(0, 250);
                WAIT_FOR(rte_ring_empty(commit[0]));
                linger();
                writer_stats(writer, &stats);
        } while (stats.stalls_no_space == 0 && pushed[0] + 250 < RECORDS_MAX);
        cr_assert_gt(stats.stalls_no_space, 0);
        WAIT_FOR(atomic_load(&view.refuse));
        linger();
        cr_expect(atomic_load(&view.refuse), "refusal ended while the disk is full");
        cr_expect_lt(answered[0], pushed[0], "nothing waits");
        expect_status(0, 0, answered[0], RECEIPT_COMMITTED);
}

Test(writer, waits_for_room_on_a_full_disk_and_goes_on)
{
        push_until_stalled();
        vault_inject(vault, 0);
        WAIT_FOR(answered[0] == pushed[0] && !atomic_load(&view.refuse));
        expect_status(0, 0, pushed[0], RECEIPT_COMMITTED);
        push(1, 5);
        WAIT_FOR(answered[1] == 5);
        stop_writer();
        expect_durable();
        cr_expect_eq(tip.leaves, pushed[0] + 5);
}

Test(writer, ends_on_a_full_disk_without_answering_what_waits)
{
        unsigned before;

        push_until_stalled();
        before = answered[0];
        stop_writer();
        cr_expect_eq(answered[0], before);
        expect_durable();
        cr_expect_eq(tip.leaves, before);
}

/* ---- the drain ---- */

Test(writer, drains_what_it_has_and_keeps_refusing)
{
        start_writer(GROUP_RECORDS_MAX);
        push(0, 100);
        writer_close(writer);
        linger();
        cr_expect(atomic_load(&view.refuse), "the drain's refusal was taken back");
        push(1, 1000);
        stop_writer();
        cr_expect_eq(answered[0], 100);
        cr_expect_eq(answered[1], 1000);
        expect_status(0, 0, 100, RECEIPT_COMMITTED);
        expect_status(1, 0, 1000, RECEIPT_COMMITTED);
        expect_durable();
}

/* ---- the publisher ---- */

Test(writer, passes_every_leaf_on_to_the_log)
{
        start_publisher(20);
        start_writer(64);
        push(0, 700);
        WAIT_FOR(answered[0] == 700 && atomic_load(&view.published) == 700);
        push(0, 1);
        WAIT_FOR(atomic_load(&view.published) == 701);
        stop_writer();
        cr_expect_eq(publisher_sync(publisher), 0);
        cr_expect_eq(log_size(ledger_log), 701);
        /* The log's tree is the one that the vault's headers were chained by. */
        uint8_t root[HASH_BYTES];
        log_root(ledger_log, root);
        expect_durable();
        cr_expect_eq(memcmp(root, tip.root, HASH_BYTES), 0);
}

Test(writer, waits_for_a_publisher_that_has_no_room)
{
        start_publisher(20);
        atomic_store(&queue_full, true);
        start_writer(64);
        push(0, 64);
        WAIT_FOR(answered[0] > 0);
        push(0, 500);
        linger();
        cr_expect_leq(answered[0], 64, "a second group acknowledged ahead of a log that is stuck");
        atomic_store(&queue_full, false);
        WAIT_FOR(answered[0] == 564 && atomic_load(&view.published) == 564);
        stop_writer();
        expect_durable();
}

/* The log is broken and its queue full: a stop ends all the same. */
Test(writer, ends_when_the_publisher_is_broken)
{
        start_publisher(20);
        atomic_store(&queue_full, true);
        atomic_store(&log_stuck, true);
        start_writer(64);
        push(0, 10);
        WAIT_FOR(answered[0] > 0);
        uint8_t entry[LEAF_ENTRY_BYTES] = {1};
        cr_assert(__real_publisher_push(publisher, entry, 1));
        WAIT_FOR(publisher_error(publisher) != 0);
        stop_writer();
        expect_durable();
}

Test(writer, publisher_holds_a_full_queue_and_loses_nothing)
{
        enum { BATCH = 4096 };
        static uint8_t entries[BATCH * LEAF_ENTRY_BYTES];
        uint64_t in = 0;

        atomic_store(&log_stuck, true);
        start_publisher(10);
        for (unsigned i = 0; i < BATCH; i++)
                entries[i * LEAF_ENTRY_BYTES] = (uint8_t)i;
        while (in < (1u << 21) && publisher_push(publisher, entries, BATCH))
                in += BATCH;
        cr_expect_gt(in, 100000);
        cr_expect_not(publisher_push(publisher, entries, BATCH), "a full queue took more");
        WAIT_FOR(publisher_error(publisher) == -EIO);
        cr_expect_eq(publisher_sync(publisher), -EIO);
        cr_expect_eq(atomic_load(&view.published), 0);
        atomic_store(&log_stuck, false);
        WAIT_FOR(atomic_load(&view.published) == in);
        cr_expect(publisher_push(publisher, entries, 3));
        cr_expect_eq(publisher_sync(publisher), 0);
        cr_expect_eq(publisher_error(publisher), 0);
        cr_expect_eq(log_published(ledger_log), in + 3);
}

Test(writer, publisher_gives_the_checkpoint_as_text)
{
        uint8_t entry[LEAF_ENTRY_BYTES] = {1};
        char note[NOTE_BYTES_MAX];

        start_publisher(3600000);
        cr_assert(publisher_push(publisher, entry, 1));
        cr_assert_eq(publisher_sync(publisher), 0);
        cr_assert_gt(publisher_checkpoint(publisher, note, sizeof(note)), 0);
        cr_expect_eq(strncmp(note, "example.org/log\n1\n", 18), 0, "%s", note);
        cr_expect_eq(publisher_checkpoint(publisher, note, 10), -ENOSPC);
}

Test(writer, flush_buckets_hold_their_times)
{
        for (uint64_t us = 0; us < 100000; us++) {
                unsigned bucket = writer_flush_bucket(us);

                cr_assert_lt(bucket, 64);
                cr_assert_leq(writer_flush_bucket_us(bucket), us);
                if (bucket < 63)
                        cr_assert_lt(us, writer_flush_bucket_us(bucket + 1), "%lu", us);
        }
        cr_assert_eq(writer_flush_bucket(UINT64_MAX), 63);
}
