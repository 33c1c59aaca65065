/* SPDX-License-Identifier: Apache-2.0 */
/* The indexer leaves no record out: by the queue, past a queue that overflowed, after a restart,
 * with a device that was enrolled while it runs; it drops an index that is not this ledger's; and
 * an index that cannot be written holds up nobody. The index's answers are held up by wrapping
 * record_index_add(). */
#include "control/indexer.h"
#include "crypto/keys.h"
#include "crypto/seal.h"
#include "ledger/vault.h"
#include "tests/unit/control/folder.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sodium.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define CONTEXTS 8u
#define CONTEXT  100u /* the first one's id */
#define PATIENTS 4u   /* context c is patient c modulo */
#define WAIT_MS  60000u
#define BEGIN    UINT64_C(1700000000000000000)
#define HITS_MAX 20000u
/* A batch ends inside a group. */
#define QUEUE_RECORDS 4096u
#define BATCH_RECORDS 700u
#define SEALED_BYTES  (SEAL_OVERHEAD + 8u)

static _Atomic int add_error;

int __real_record_index_add(struct record_index *index, struct index_entry *entries, size_t n,
    const struct index_cover *cover);
int __wrap_record_index_add(struct record_index *index, struct index_entry *entries, size_t n,
    const struct index_cover *cover);

int
__wrap_record_index_add(struct record_index *index, struct index_entry *entries, size_t n,
    const struct index_cover *cover)
{
        int error = atomic_load(&add_error);

        return error != 0 ? error : __real_record_index_add(index, entries, n, cover);
}

static char folder[64], volume[2][80], path[80], why[VAULT_WHY_BYTES];
static struct realm_key *realm_key;
static struct vault *vaults[2], *vault;
static uint64_t leaves_of[2], leaves; /* of the vault in use */
static unsigned which;
static struct indexer *indexer;
static struct index_hit hits[HITS_MAX];

/* ---- the fixture ---- */

static void
use_vault(unsigned number)
{
        struct vault_config config = {.segment_bytes = 4u << 20, .spare_segments = 1};
        struct vault_tip tip;

        leaves_of[which] = leaves;
        which = number;
        leaves = leaves_of[number];
        if (vaults[number] == NULL) {
                config.path = volume[number];
                cr_assert_eq(vault_open(&vaults[number], &config, why), 0, "%s", why);
                cr_assert_eq(
                    vault_recover(vaults[number], 0, NULL, NULL, NULL, &tip, why), 0, "%s", why);
                cr_assert_eq(vault_begin(vaults[number], why), 0, "%s", why);
        }
        vault = vaults[number];
}

static void
setup(void)
{
        char key[96];

        cr_assert(sodium_init() >= 0);
        folder_make(folder, sizeof(folder));
        for (unsigned i = 0; i < 2; i++)
                snprintf(volume[i], sizeof(volume[i]), "%s/volume%u", folder, i);
        snprintf(path, sizeof(path), "%s/index", folder);
        snprintf(key, sizeof(key), "%s/realm.key", folder);
        cr_assert_eq(realm_key_create_file(key), 0);
        cr_assert_eq(realm_key_load(&realm_key, key), 0);
        use_vault(0);
}

static void
end(void)
{
        indexer_stop(indexer);
        indexer_destroy(indexer);
        indexer = NULL;
}

static void
teardown(void)
{
        end();
        vault_close(vaults[0]);
        vault_close(vaults[1]);
        realm_key_free(realm_key);
        folder_remove(folder);
}

TestSuite(indexer, .init = setup, .fini = teardown);

static void
begin(void)
{
        struct indexer_config config = {.path = path,
            .vault = vault,
            .leaves = leaves,
            .realm_key = realm_key,
            .core = -1,
            .queue_records = QUEUE_RECORDS,
            .batch_records = BATCH_RECORDS};

        cr_assert_eq(indexer_start(&indexer, &config), 0);
        for (unsigned i = 0; i < CONTEXTS; i++)
                cr_assert_eq(indexer_learn(indexer, CONTEXT + i, i % PATIENTS), 0);
}

/* Leaf l is of context l modulo CONTEXTS, received at BEGIN + l. */
static struct index_origin
origin_of(uint64_t leaf)
{
        return (struct index_origin){CONTEXT + leaf % CONTEXTS, BEGIN + leaf};
}

enum how { QUEUE, VAULT, NOT_PUSHED };

/* One durable group of n records, told to the indexer or not. */
static void
commit(uint32_t n, enum how how)
{
        static struct index_origin origins[GROUP_RECORDS_MAX];
        static const uint8_t root[HASH_BYTES];
        struct group *group = vault_group(vault), *done = NULL;
        uint8_t sealed[SEALED_BYTES], digest[HASH_BYTES];

        cr_assert_not_null(group);
        for (uint32_t i = 0; i < n; i++) {
                struct seal_header header = {.kind = RECORD_OSCORE,
                    .content_format = 110,
                    .oscore_tag_bytes = 8,
                    .payload_bytes = SEALED_BYTES - SEAL_OVERHEAD};

                origins[i] = origin_of(leaves + i);
                header.context_id = origins[i].context_id;
                header.received_ns = origins[i].received_ns;
                randombytes_buf(sealed, sizeof(sealed));
                seal_header_write(sealed, &header);
                randombytes_buf(digest, sizeof(digest));
                cr_assert(group_add(group, sealed, sizeof(sealed), digest));
        }
        cr_assert_eq(vault_submit(vault, group, leaves, root), 0);
        while (vault_poll(vault, &done, 1000) == 0)
                ;
        cr_assert(done == group);
        vault_release(vault, group);
        if (how != NOT_PUSHED)
                indexer_push(indexer, leaves, how == QUEUE ? origins : NULL, n);
        leaves += n;
}

#define WAIT_FOR(condition)                                                                        \
        do {                                                                                       \
                struct timespec nap_ = {.tv_nsec = 1000000};                                       \
                for (unsigned ms_ = 0; !(condition) && ms_ < WAIT_MS; ms_++)                       \
                        nanosleep(&nap_, NULL);                                                    \
                cr_assert(condition, "waited in vain");                                            \
        } while (0)

static struct indexer_stats
stats(void)
{
        struct indexer_stats all;

        indexer_stats(indexer, &all);
        return all;
}

static long
find(unsigned patient)
{
        struct index_query query = {.to_ns = UINT64_MAX, .before = {UINT64_MAX, UINT64_MAX}};

        indexer_patient(realm_key, patient, query.patient);
        return indexer_find(indexer, &query, hits, HITS_MAX);
}

static bool
is_following(uint64_t covered)
{
        struct indexer_stats now = stats();

        return now.state == INDEXER_FOLLOWING && now.covered == covered && now.leaves == covered;
}

/* All leaves of patients that are known, each once, and with its time. */
static void
expect_all(uint64_t from_unknown)
{
        WAIT_FOR(is_following(leaves));
        for (unsigned p = 0; p < PATIENTS; p++) {
                uint64_t expected = 0, leaf = leaves;
                long n = find(p);

                for (uint64_t l = p; l < leaves; l += PATIENTS)
                        expected += l % CONTEXTS < from_unknown;
                cr_assert_eq(n, (long)expected, "patient %u: %ld of %lu", p, n, expected);
                for (long k = 0; k < n; k++) {
                        cr_assert_lt(hits[k].leaf, leaf);
                        leaf = hits[k].leaf;
                        cr_assert_eq(leaf % PATIENTS, p);
                        cr_assert_eq(hits[k].received_ns, BEGIN + leaf);
                }
        }
        cr_expect_eq(find(PATIENTS), 0);
}

/* ---- following ---- */

Test(indexer, follows_the_queue_and_the_vault)
{
        begin();
        for (unsigned i = 0; i < 40; i++)
                commit(1 + i * 7, QUEUE);
        expect_all(CONTEXTS);
        cr_expect_lt(stats().from_vault, leaves, "the queue was not used");
        for (unsigned i = 0; i < 40; i++)
                commit(1 + i * 5, i % 3 == 0 ? VAULT : QUEUE);
        expect_all(CONTEXTS);
        cr_expect_geq(stats().from_vault, 40u);
        cr_expect_eq(stats().added, leaves);
        cr_expect_eq(stats().unknown, 0);
        cr_expect_eq(stats().rebuilds, 0);
}

Test(indexer, goes_on_after_a_restart)
{
        begin();
        commit(1000, QUEUE);
        commit(1000, QUEUE);
        end(); /* adds what is in the queue */
        begin();
        expect_all(CONTEXTS);
        cr_expect_eq(stats().added, 0, "%lu", stats().added);
        end();
        for (unsigned i = 0; i < 5; i++)
                commit(300, NOT_PUSHED);
        begin();
        expect_all(CONTEXTS);
        cr_expect_eq(stats().added, 1500, "it began anew");
        cr_expect_eq(stats().rebuilds, 0);
}

Test(indexer, learns_while_it_runs)
{
        begin();
        commit(100, QUEUE);
        expect_all(CONTEXTS);
        cr_assert_eq(indexer_learn(indexer, UINT64_MAX, 0), -ENOMEM);
        cr_assert_eq(indexer_learn(indexer, CONTEXT + 5000, 77), 0);
        commit(1, NOT_PUSHED);
        indexer_push(indexer, leaves - 1, &(struct index_origin){CONTEXT + 5000, 5}, 1);
        WAIT_FOR(is_following(leaves));
        cr_expect_eq(find(77), 1);
        cr_expect_eq(hits[0].leaf, leaves - 1);
        cr_expect_eq(hits[0].received_ns, 5);
}

/* What the vault gave already comes late from the queue, in part. */
Test(indexer, takes_nothing_twice)
{
        struct index_origin origins[20];

        begin();
        commit(10, VAULT);
        WAIT_FOR(is_following(10));
        commit(10, NOT_PUSHED);
        for (unsigned i = 0; i < 20; i++)
                origins[i] = origin_of(i);
        indexer_push(indexer, 0, origins, 20);
        expect_all(CONTEXTS);
        cr_expect_eq(stats().added, 20);
}

Test(indexer, counts_records_of_nobody)
{
        struct index_origin origins[3] = {
            {CONTEXT, BEGIN}, {7, BEGIN + 1}, {CONTEXT + 2, BEGIN + 2}};

        begin();
        commit(3, NOT_PUSHED);
        indexer_push(indexer, 0, origins, 3);
        WAIT_FOR(is_following(3));
        cr_expect_eq(stats().unknown, 1);
        cr_expect_eq(find(0), 1);
        cr_expect_eq(find(1), 0);
        cr_expect_eq(find(2), 1);
        cr_expect_eq(hits[0].leaf, 2);
}

/* ---- standing still ---- */

Test(indexer, an_index_without_room_holds_up_nobody)
{
        begin();
        commit(100, QUEUE);
        expect_all(CONTEXTS);
        atomic_store(&add_error, -ENOSPC);
        commit(100, QUEUE);
        WAIT_FOR(stats().state == INDEXER_STOPPED);
        cr_expect_eq(stats().error, ENOSPC);
        /* More than the queue holds. */
        while (leaves < 5 * QUEUE_RECORDS)
                commit(1500, QUEUE);
        cr_expect_eq(find(0), 25, "what it has is found");
        cr_expect_eq(stats().covered, 100);
        atomic_store(&add_error, 0);
        expect_all(CONTEXTS);
        cr_expect_gt(stats().from_vault, 2 * QUEUE_RECORDS);
        commit(100, QUEUE);
        expect_all(CONTEXTS);
}

Test(indexer, opens_an_index_afresh_that_fails)
{
        begin();
        atomic_store(&add_error, -EIO);
        commit(100, QUEUE);
        WAIT_FOR(stats().state == INDEXER_STOPPED);
        cr_expect_eq(stats().error, EIO);
        atomic_store(&add_error, 0);
        expect_all(CONTEXTS);
        cr_expect_eq(stats().rebuilds, 0);
}

/* ---- making it anew ---- */

Test(indexer, rebuild_makes_the_same)
{
        begin();
        for (unsigned i = 0; i < 30; i++)
                commit(100, QUEUE);
        expect_all(CONTEXTS);
        indexer_rebuild(indexer);
        cr_expect_neq(stats().state, INDEXER_FOLLOWING);
        for (unsigned i = 0; i < 30; i++)
                commit(10, QUEUE);
        expect_all(CONTEXTS);
        cr_expect_eq(stats().rebuilds, 1);
        cr_expect_geq(stats().from_vault, 3000u);
}

Test(indexer, drops_what_is_damaged)
{
        begin();
        commit(100, QUEUE);
        expect_all(CONTEXTS);
        atomic_store(&add_error, -EBADMSG);
        commit(100, QUEUE);
        WAIT_FOR(stats().rebuilds > 0);
        atomic_store(&add_error, 0);
        expect_all(CONTEXTS);
}

Test(indexer, drops_the_index_of_another_ledger)
{
        begin();
        commit(500, QUEUE);
        expect_all(CONTEXTS);
        end();
        /* As long, from the same devices. */
        use_vault(1);
        commit(500, NOT_PUSHED);
        begin();
        expect_all(CONTEXTS);
        cr_expect_eq(stats().rebuilds, 1);
        commit(500, QUEUE);
        expect_all(CONTEXTS);
        end();
        /* Ahead of the vault. */
        use_vault(0);
        begin();
        expect_all(CONTEXTS);
        cr_expect_eq(stats().rebuilds, 1);
}

Test(indexer, drops_the_index_of_another_realm)
{
        char key[96];

        begin();
        commit(100, QUEUE);
        expect_all(CONTEXTS);
        end();
        realm_key_free(realm_key);
        snprintf(key, sizeof(key), "%s/other.key", folder);
        cr_assert_eq(realm_key_create_file(key), 0);
        cr_assert_eq(realm_key_load(&realm_key, key), 0);
        begin();
        expect_all(CONTEXTS);
        cr_expect_eq(stats().rebuilds, 1);
}
