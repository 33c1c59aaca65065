/* SPDX-License-Identifier: Apache-2.0 */
/* The index: what is found is what was added, in order and within the range; what it covers and
 * what it holds are one, whenever the process is killed; a full map stops it whole. A commit of
 * LMDB can be held to account, and the process killed after it, by wrapping mdb_txn_commit(). */
#include "control/index.h"
#include "tests/unit/control/folder.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lmdb.h>

#define PATIENTS 5u
#define EVERYONE PATIENTS
#define ALL      4096u
#define SECOND   UINT64_C(1000000000)
#define BEGIN    (UINT64_C(1700000000) * SECOND)

static const uint8_t owner[INDEX_PATIENT_BYTES] = "owner";
static char folder[64], path[80], why[INDEX_WHY_BYTES];
static struct record_index *records;
static struct index_hit hits[ALL];

static unsigned die_after; /* commits; 0: never */

int __real_mdb_txn_commit(MDB_txn *txn);
int __wrap_mdb_txn_commit(MDB_txn *txn);

int
__wrap_mdb_txn_commit(MDB_txn *txn)
{
        int rc = __real_mdb_txn_commit(txn);

        if (die_after > 0 && --die_after == 0)
                kill(getpid(), SIGKILL);
        return rc;
}

/* ---- the fixture ---- */

static void
open_index(uint64_t map_bytes)
{
        int r = record_index_open(&records, path, owner, map_bytes, why);

        cr_assert_eq(r, 0, "%d: %s", r, why);
}

static void
reopen(void)
{
        record_index_close(records);
        open_index(INDEX_MAP_BYTES_MAX);
}

static void
setup(void)
{
        folder_make(folder, sizeof(folder));
        snprintf(path, sizeof(path), "%s/index", folder);
        open_index(INDEX_MAP_BYTES_MAX);
}

static void
teardown(void)
{
        record_index_close(records);
        folder_remove(folder);
}

TestSuite(index, .init = setup, .fini = teardown);

/* Neighbours in the order of keys: a range that is off by one key finds the other's. */
static void
patient_of(uint8_t patient[INDEX_PATIENT_BYTES], unsigned number)
{
        memset(patient, 0x7f, INDEX_PATIENT_BYTES);
        patient[INDEX_PATIENT_BYTES - 1] = (uint8_t)number;
}

static struct index_cover
cover_of(uint64_t leaves)
{
        struct index_cover cover = {.leaves = leaves, .group = leaves / 3};

        memset(cover.digest, (int)(leaves & 0xff), sizeof(cover.digest));
        return cover;
}

static int
add(struct index_entry *entries, size_t n, uint64_t leaves)
{
        struct index_cover cover = cover_of(leaves);

        return record_index_add(records, entries, n, &cover);
}

static void
expect_cover(uint64_t leaves)
{
        struct index_cover cover, own = cover_of(leaves);

        cr_assert_eq(record_index_cover(records, &cover), 0);
        cr_assert_eq(cover.leaves, leaves, "%lu, not %lu", cover.leaves, leaves);
        cr_assert_eq(cover.group, own.group);
        cr_assert_arr_eq(cover.digest, own.digest, sizeof(own.digest));
}

static struct index_query
query_of(unsigned patient, uint64_t from_ns, uint64_t to_ns)
{
        struct index_query query = {
            .from_ns = from_ns, .to_ns = to_ns, .before = {UINT64_MAX, UINT64_MAX}};

        patient_of(query.patient, patient);
        return query;
}

static long
find(unsigned patient, uint64_t from_ns, uint64_t to_ns)
{
        struct index_query query = query_of(patient, from_ns, to_ns);

        return record_index_find(records, &query, hits, ALL);
}

/* ---- order and ranges ---- */

static int
newest_first(const void *a, const void *b)
{
        const struct index_entry *x = a, *y = b;

        if (x->received_ns != y->received_ns)
                return x->received_ns > y->received_ns ? -1 : 1;
        return (x->leaf < y->leaf) - (x->leaf > y->leaf);
}

/* Entries over four blocks, with times that go back now and then, some of them equal. */
static void
make_entries(struct index_entry *entries, size_t n, unsigned seed)
{
        uint64_t time = BEGIN, leaf = INDEX_BLOCK_LEAVES - n / 4;

        srand(seed);
        for (size_t i = 0; i < n; i++, leaf++) {
                if (i % (n / 4) == n / 8)
                        leaf += INDEX_BLOCK_LEAVES - n / 8;
                if (rand() % 50 == 0)
                        time -= 20 * SECOND;
                time += (uint64_t)(rand() % 3) * SECOND;
                entries[i] = (struct index_entry){.received_ns = time, .leaf = leaf};
                patient_of(entries[i].patient, (unsigned)rand() % PATIENTS);
        }
}

/* All of a patient's hits, by pages of so many, against the entries themselves. */
static void
expect_same(const struct index_entry *sorted, size_t n, unsigned patient, uint64_t from_ns,
    uint64_t to_ns, size_t page)
{
        struct index_query query = query_of(patient, from_ns, to_ns);
        size_t at = 0;
        long got, k = 0;

        got = record_index_find(records, &query, hits, page);
        cr_assert_geq(got, 0);
        for (at = 0; at < n; at++) {
                if (memcmp(sorted[at].patient, query.patient, sizeof(query.patient)) != 0 ||
                    sorted[at].received_ns < from_ns || sorted[at].received_ns >= to_ns)
                        continue;
                if (k == got) {
                        cr_assert_eq(got, (long)page, "a page ended early");
                        query.before = hits[got - 1];
                        got = record_index_find(records, &query, hits, page);
                        k = 0;
                }
                cr_assert_lt(k, got, "leaf %lu is missing", sorted[at].leaf);
                cr_assert_eq(
                    hits[k].leaf, sorted[at].leaf, "%lu, not %lu", hits[k].leaf, sorted[at].leaf);
                cr_assert_eq(hits[k].received_ns, sorted[at].received_ns);
                k++;
        }
        cr_assert_eq(k, got, "found more than was added");
        if (got == (long)page && page > 0) {
                query.before = hits[got - 1];
                cr_assert_eq(record_index_find(records, &query, hits, page), 0);
        }
}

Test(index, order_and_ranges)
{
        static struct index_entry entries[4000], sorted[4000];
        uint64_t low, high;
        size_t n = 4000;

        make_entries(entries, n, 1);
        memcpy(sorted, entries, sizeof(sorted));
        qsort(sorted, n, sizeof(sorted[0]), newest_first);
        for (size_t i = 0; i < n; i += 400)
                cr_assert_eq(add(entries + i, 400, sorted[0].leaf + 4 * INDEX_BLOCK_LEAVES), 0);
        low = sorted[n - 1].received_ns;
        high = sorted[0].received_ns;
        for (unsigned patient = 0; patient <= PATIENTS; patient++) {
                expect_same(sorted, n, patient, 0, UINT64_MAX, ALL);
                expect_same(sorted, n, patient, 0, UINT64_MAX, 1);
                expect_same(sorted, n, patient, 0, UINT64_MAX, 7);
                expect_same(sorted, n, patient, low, high, 33);
                expect_same(sorted, n, patient, low, high + 1, 33);
                expect_same(sorted, n, patient, low + 1, high, 33);
        }
        for (unsigned i = 0; i < 300; i++) {
                uint64_t from = low + (uint64_t)rand() % (high - low);
                uint64_t to = from + (uint64_t)rand() % (200 * SECOND);

                /* On a record's very time as often as between two. */
                from = rand() % 2 ? from : sorted[(size_t)rand() % n].received_ns;
                to = rand() % 2 ? to : sorted[(size_t)rand() % n].received_ns;
                expect_same(
                    sorted, n, (unsigned)rand() % PATIENTS, from, to, 1 + (size_t)rand() % 20);
        }
}

Test(index, ends_of_a_range)
{
        struct index_entry entries[3];

        for (unsigned i = 0; i < 3; i++) {
                entries[i] = (struct index_entry){.received_ns = BEGIN + i, .leaf = i};
                patient_of(entries[i].patient, 1);
        }
        cr_assert_eq(add(entries, 3, 3), 0);
        cr_expect_eq(find(1, BEGIN, BEGIN + 3), 3);
        cr_expect_eq(find(1, BEGIN, BEGIN + 2), 2, "to is not part of the range");
        cr_expect_eq(hits[0].leaf, 1);
        cr_expect_eq(find(1, BEGIN + 1, BEGIN + 2), 1, "from is part of it");
        cr_expect_eq(hits[0].leaf, 1);
        cr_expect_eq(find(1, BEGIN, BEGIN + 1), 1, "the block's first time");
        cr_expect_eq(find(1, BEGIN + 2, BEGIN + 3), 1, "and its last");
        cr_expect_eq(find(1, BEGIN + 1, BEGIN + 1), 0);
        cr_expect_eq(find(1, BEGIN + 2, BEGIN + 1), 0);
        cr_expect_eq(find(1, BEGIN + 3, UINT64_MAX), 0);
        cr_expect_eq(find(1, 0, BEGIN), 0);
        cr_expect_eq(find(0, 0, UINT64_MAX), 0);
        cr_expect_eq(find(2, 0, UINT64_MAX), 0);
}

Test(index, an_empty_one)
{
        expect_cover(0);
        cr_expect_eq(find(1, 0, UINT64_MAX), 0);
        cr_assert_eq(add(NULL, 0, 17), 0, "leaves of nobody known");
        expect_cover(17);
        cr_expect_eq(find(1, 0, UINT64_MAX), 0);
        reopen();
        expect_cover(17);
}

/* ---- what is on the disk ---- */

static void
refuses(const char *what)
{
        int r = record_index_open(&records, path, owner, INDEX_MAP_BYTES_MAX, why);

        cr_expect_eq(r, -EBADMSG, "%s: %d", what, r);
        cr_expect_neq(why[0], '\0');
        cr_assert_eq(record_index_drop(path), 0);
        open_index(INDEX_MAP_BYTES_MAX);
        expect_cover(0);
}

static void
overwrite(long from, const void *bytes, size_t n)
{
        char file[96];
        FILE *to;

        snprintf(file, sizeof(file), "%s/data.mdb", path);
        to = fopen(file, "r+b");
        cr_assert_not_null(to);
        fseek(to, from, SEEK_SET);
        cr_assert_eq(fwrite(bytes, 1, n, to), n);
        fclose(to);
}

Test(index, refuses_what_is_not_its_own)
{
        static uint8_t other[INDEX_PATIENT_BYTES] = "other", noise[8192];
        static struct index_entry entries[4000];
        char file[96];

        snprintf(file, sizeof(file), "%s/data.mdb", path);
        make_entries(entries, 4000, 2);
        cr_assert_eq(add(entries, 4000, 8 * INDEX_BLOCK_LEAVES), 0);
        record_index_close(records);
        cr_expect_eq(record_index_open(&records, path, other, INDEX_MAP_BYTES_MAX, why), -EBADMSG);
        open_index(INDEX_MAP_BYTES_MAX);
        expect_cover(8 * INDEX_BLOCK_LEAVES);
        record_index_close(records);
        /* Shorter than its tree: reading on would end the process by SIGBUS. */
        cr_assert_eq(truncate(file, 5 * 4096), 0);
        refuses("a file that was cut");
        record_index_close(records);
        memset(noise, 0xa5, sizeof(noise));
        overwrite(0, noise, sizeof(noise));
        refuses("noise");
}

/* ---- killed ---- */

static void
add_for_ever(void)
{
        struct index_cover cover;
        uint64_t leaf;

        cr_assert_eq(record_index_cover(records, &cover), 0);
        for (leaf = cover.leaves;;) {
                struct index_entry entries[50];

                for (unsigned i = 0; i < 50; i++, leaf++) {
                        entries[i] = (struct index_entry){
                            .received_ns = BEGIN + leaf * SECOND, .leaf = leaf};
                        patient_of(entries[i].patient, (unsigned)leaf % PATIENTS);
                }
                if (add(entries, 50, leaf) != 0)
                        _exit(1);
        }
}

/* Every leaf that it covers, and none beyond, is found. */
static uint64_t
expect_whole(void)
{
        struct index_cover cover;

        cr_assert_eq(record_index_cover(records, &cover), 0);
        expect_cover(cover.leaves);
        cr_assert_leq(cover.leaves / PATIENTS, ALL);
        for (unsigned p = 0; p < PATIENTS; p++) {
                uint64_t leaf = cover.leaves / PATIENTS * PATIENTS + p;
                long n = find(p, 0, UINT64_MAX);

                cr_assert_eq(n, (long)(cover.leaves / PATIENTS), "patient %u has %ld of %lu", p, n,
                    cover.leaves / PATIENTS);
                for (long k = 0; k < n; k++) {
                        leaf -= PATIENTS;
                        cr_assert_eq(hits[k].leaf, leaf);
                        cr_assert_eq(hits[k].received_ns, BEGIN + leaf * SECOND);
                }
        }
        return cover.leaves;
}

/* After each single commit, whatever was to follow it. */
Test(index, killed_after_a_commit)
{
        uint64_t before = 0, leaves;

        for (unsigned commits = 1; commits <= 8; commits++) {
                int status;
                pid_t child;

                record_index_close(records);
                child = fork();
                if (child == 0) {
                        die_after = commits;
                        open_index(INDEX_MAP_BYTES_MAX);
                        add_for_ever();
                }
                cr_assert_eq(waitpid(child, &status, 0), child);
                cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
                open_index(INDEX_MAP_BYTES_MAX);
                leaves = expect_whole();
                /* Opening is a commit as well. */
                cr_expect_eq(leaves, before + (commits - 1) * 50, "%lu", leaves);
                before = leaves;
        }
}

Test(index, killed_at_any_moment)
{
        uint64_t leaves = 0;

        for (unsigned round = 0; round < 4; round++) {
                struct timespec nap = {.tv_nsec = 3000000 + 1700000 * (long)round};
                int status;
                pid_t child;

                record_index_close(records);
                child = fork();
                if (child == 0) {
                        open_index(INDEX_MAP_BYTES_MAX);
                        add_for_ever();
                }
                nanosleep(&nap, NULL);
                kill(child, SIGKILL);
                cr_assert_eq(waitpid(child, &status, 0), child);
                cr_assert(WIFSIGNALED(status));
                open_index(INDEX_MAP_BYTES_MAX);
                cr_expect_geq(expect_whole(), leaves);
                leaves = expect_whole();
                if (leaves > 15000)
                        break; /* what ALL hits can hold */
        }
}

/* ---- room ---- */

static void
next_batch(struct index_entry *entries, size_t n, uint64_t *leaf)
{
        for (size_t i = 0; i < n; i++, ++*leaf) {
                entries[i] =
                    (struct index_entry){.received_ns = BEGIN + *leaf * SECOND, .leaf = *leaf};
                patient_of(entries[i].patient, (unsigned)*leaf % PATIENTS);
        }
}

Test(index, a_full_map_adds_nothing)
{
        static struct index_entry entries[500];
        uint64_t leaf = 0, covered;
        int r;

        record_index_close(records);
        cr_assert_eq(record_index_drop(path), 0);
        open_index(1u << 19);
        do {
                covered = leaf;
                next_batch(entries, 500, &leaf);
                r = add(entries, 500, leaf);
        } while (r == 0 && leaf < 100000);
        cr_assert_eq(r, -ENOSPC, "%d", r);
        cr_assert_gt(covered, 0);
        cr_expect_eq(expect_whole(), covered);
        cr_expect_eq(add(entries, 500, leaf), -ENOSPC, "and goes on to say so");
        cr_expect_eq(expect_whole(), covered);
        reopen();
        cr_expect_eq(expect_whole(), covered);
        cr_assert_eq(add(entries, 500, leaf), 0, "with room it goes on");
        cr_expect_eq(expect_whole(), leaf);
}

static _Atomic bool ended;

static void *
find_all_the_time(void *user)
{
        struct index_query query = query_of(1, 0, UINT64_MAX);
        struct index_hit own[64];
        long most = 0;

        while (!atomic_load(&ended)) {
                long n = record_index_find(records, &query, own, 64);

                if (n < most)
                        return "found less than before";
                most = n;
                for (long i = 1; i < n; i++)
                        if (own[i].leaf + PATIENTS != own[i - 1].leaf)
                                return "found with a gap";
        }
        return NULL;
}

Test(index, grows_while_others_find)
{
        static struct index_entry entries[8000];
        struct stat status;
        pthread_t finder;
        uint64_t leaf = 0;
        void *failure;
        char file[96];

        cr_assert_eq(pthread_create(&finder, NULL, find_all_the_time, NULL), 0);
        while (leaf < 160000) {
                next_batch(entries, 8000, &leaf);
                cr_assert_eq(add(entries, 8000, leaf), 0);
        }
        atomic_store(&ended, true);
        pthread_join(finder, &failure);
        cr_assert_null(failure, "%s", (const char *)failure);
        snprintf(file, sizeof(file), "%s/data.mdb", path);
        cr_assert_eq(stat(file, &status), 0);
        cr_expect_gt(status.st_size, INDEX_MAP_BYTES, "it did not grow");
        reopen();
        expect_cover(leaf);
        cr_expect_eq(find(1, 0, UINT64_MAX), ALL);
        cr_expect_eq(hits[0].leaf, leaf - PATIENTS + 1);
}
