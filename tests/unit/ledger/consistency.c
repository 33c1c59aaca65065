/* SPDX-License-Identifier: Apache-2.0 */
/* Every published tree extends every one before it, and a proof shows exactly that. */
#include "tests/unit/ledger/log_fixture.h"

/* RFC 6962 §2.1.2 SUBPROOF(m, D[n], whole), plainly. */
static unsigned
naive_subproof(uint8_t proof[64][HASH_BYTES], uint8_t (*leaves)[HASH_BYTES], uint64_t m, uint64_t n,
    bool whole)
{
        uint64_t k = 1;
        unsigned used;

        if (m == n) {
                if (whole)
                        return 0;
                naive_root(proof[0], leaves, n);
                return 1;
        }
        while (k * 2 < n)
                k *= 2;
        if (m <= k) {
                used = naive_subproof(proof, leaves, m, k, whole);
                naive_root(proof[used], leaves + k, n - k);
        } else {
                used = naive_subproof(proof, leaves + k, m - k, n - k, false);
                naive_root(proof[used], leaves, k);
        }
        return used + 1;
}

struct trees {
        uint64_t old_size, new_size;
        uint8_t old_root[HASH_BYTES], new_root[HASH_BYTES];
};

static int
check(const struct trees *t, uint8_t hashes[64][HASH_BYTES], unsigned n)
{
        return consistency_check(t->old_size, t->old_root, t->new_size, t->new_root,
            (const uint8_t(*)[HASH_BYTES])hashes, n);
}

/* Whatever is changed of a proof, it does not hold. */
static void
check_all_wrong(struct trees t, uint8_t hashes[64][HASH_BYTES], unsigned n)
{
        uint8_t longer[64][HASH_BYTES];

        for (unsigned i = 0; i < n; i++) {
                hashes[i][(t.old_size + i) % HASH_BYTES] ^= 1 << (t.new_size % 8);
                cr_assert_eq(check(&t, hashes, n), -EBADMSG);
                hashes[i][(t.old_size + i) % HASH_BYTES] ^= 1 << (t.new_size % 8);
        }
        if (n > 0)
                cr_assert_eq(check(&t, hashes, n - 1), -EBADMSG);
        memcpy(longer, hashes, n * HASH_BYTES);
        memcpy(longer[n], t.new_root, HASH_BYTES);
        cr_assert_eq(check(&t, longer, n + 1), -EBADMSG);
        /* Nor with a root that the longer proof would lead to. */
        uint8_t above[1 + 2 * HASH_BYTES] = {1};
        struct trees higher = t;
        memcpy(above + 1, longer[n], HASH_BYTES);
        memcpy(above + 1 + HASH_BYTES, t.new_root, HASH_BYTES);
        crypto_hash_sha256(higher.new_root, above, sizeof(above));
        cr_assert_eq(check(&higher, longer, n + 1), -EBADMSG);
        memcpy(above + 1 + HASH_BYTES, t.old_root, HASH_BYTES);
        crypto_hash_sha256(higher.old_root, above, sizeof(above));
        cr_assert_eq(check(&higher, longer, n + 1), -EBADMSG);

        t.old_root[3] ^= 0x10;
        cr_assert_eq(check(&t, hashes, n), -EBADMSG);
        t.old_root[3] ^= 0x10;
        if (t.old_size > 0) { /* of an empty tree any is an extension */
                t.new_root[31] ^= 1;
                cr_assert_eq(check(&t, hashes, n), -EBADMSG);
                t.new_root[31] ^= 1;
        }
        if (t.old_size < t.new_size) {
                const struct trees back = {.old_size = t.new_size, .new_size = t.old_size};
                cr_assert_eq(check(&back, hashes, n), -EBADMSG);
        }
        cr_assert_eq(check(&t, hashes, n), 0); /* all is as it was */
}

Test(consistency, every_tree_to_70_extends_every_one_before)
{
        uint8_t(*leaves)[HASH_BYTES] = naive_leaf_hashes(0, 70);
        uint8_t hashes[64][HASH_BYTES], want[64][HASH_BYTES];
        struct fixture f;
        unsigned n;

        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, 70, 70);
        fixture_publish(&f);
        for (uint64_t new_size = 0; new_size <= 70; new_size++) {
                for (uint64_t old_size = 0; old_size <= new_size; old_size++) {
                        struct trees t = {.old_size = old_size, .new_size = new_size};
                        unsigned want_n = 0;

                        naive_root(t.old_root, leaves, old_size);
                        naive_root(t.new_root, leaves, new_size);
                        n = 99;
                        cr_assert_eq(
                            log_prove_consistency(f.path, old_size, new_size, hashes, &n, f.why), 0,
                            "%" PRIu64 " to %" PRIu64 ": %s", old_size, new_size, f.why);
                        if (old_size > 0)
                                want_n = naive_subproof(want, leaves, old_size, new_size, true);
                        cr_assert_eq(n, want_n);
                        cr_assert_eq(memcmp(hashes, want, n * HASH_BYTES), 0);
                        cr_assert_eq(check(&t, hashes, n), 0);
                        check_all_wrong(t, hashes, n);
                }
        }
        free(leaves);
        fixture_end(&f);
}

Test(consistency, random_trees_of_a_log_of_three_levels)
{
        enum { SIZE = 70000 };
        uint8_t(*leaves)[HASH_BYTES] = naive_leaf_hashes(0, SIZE);
        uint8_t hashes[64][HASH_BYTES], want[64][HASH_BYTES];
        uint64_t sizes[14] = {1, 255, 256, 257, 512, 65535, 65536, 65537, SIZE - 1, SIZE};
        uint64_t seed = 99;
        struct fixture f;
        unsigned n;

        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, SIZE, 4096);
        fixture_publish(&f);
        for (unsigned i = 10; i < 14; i++)
                sizes[i] = 1 + naive_random(&seed) % SIZE;
        for (unsigned i = 0; i < 14; i++) {
                const unsigned other = naive_random(&seed) % 14;
                struct trees t = {.old_size = sizes[i] < sizes[other] ? sizes[i] : sizes[other],
                    .new_size = sizes[i] < sizes[other] ? sizes[other] : sizes[i]};

                naive_root(t.old_root, leaves, t.old_size);
                naive_root(t.new_root, leaves, t.new_size);
                cr_assert_eq(
                    log_prove_consistency(f.path, t.old_size, t.new_size, hashes, &n, f.why), 0,
                    "%s", f.why);
                cr_assert_eq(n, naive_subproof(want, leaves, t.old_size, t.new_size, true));
                cr_assert_eq(memcmp(hashes, want, n * HASH_BYTES), 0);
                check_all_wrong(t, hashes, n);
        }
        free(leaves);
        fixture_end(&f);
}

Test(consistency, does_not_hold_for_a_size_of_another_shape)
{
        /* As for audit paths: whatever changes the proof's length is refused. */
        uint8_t(*leaves)[HASH_BYTES] = naive_leaf_hashes(0, 33);
        uint8_t hashes[64][HASH_BYTES], other[64][HASH_BYTES];
        unsigned refused = 0;

        for (uint64_t new_size = 2; new_size <= 33; new_size++) {
                for (uint64_t old_size = 1; old_size < new_size; old_size++) {
                        struct trees t = {.old_size = old_size};
                        const unsigned n = naive_subproof(hashes, leaves, old_size, new_size, true);

                        naive_root(t.old_root, leaves, old_size);
                        naive_root(t.new_root, leaves, new_size);
                        for (uint64_t wrong = old_size + 1; wrong <= 33; wrong++) {
                                if (naive_subproof(other, leaves, old_size, wrong, true) == n)
                                        continue;
                                t.new_size = wrong;
                                cr_assert_eq(check(&t, hashes, n), -EBADMSG);
                                refused++;
                        }
                }
        }
        cr_assert_gt(refused, 1000);
        free(leaves);
}

Test(consistency, a_fork_is_no_extension)
{
        /* The same 50 leaves but for one, at every place of a tree of 37 before it. */
        uint8_t(*leaves)[HASH_BYTES] = naive_leaf_hashes(0, 50);
        uint8_t hashes[64][HASH_BYTES];
        struct trees t = {.old_size = 37, .new_size = 50};

        naive_root(t.old_root, leaves, 37);
        for (unsigned changed = 0; changed < 37; changed++) {
                leaves[changed][0] ^= 1;
                naive_root(t.new_root, leaves, 50);
                const unsigned n = naive_subproof(hashes, leaves, 37, 50, true);
                cr_assert_eq(check(&t, hashes, n), -EBADMSG);
                leaves[changed][0] ^= 1;
        }
        free(leaves);
}

Test(consistency, says_what_cannot_be_proven)
{
        uint8_t hashes[64][HASH_BYTES];
        char path[200];
        struct fixture f;
        unsigned n;

        fixture_start(&f);
        fixture_open(&f);
        cr_assert_eq(log_prove_consistency(f.path, 0, 0, hashes, &n, f.why), -ENOENT);
        fixture_append(&f, 300, 300);
        fixture_publish(&f);
        cr_assert_eq(log_prove_consistency(f.path, 5, 4, hashes, &n, f.why), -EINVAL);
        cr_assert_eq(log_prove_consistency(f.path, 5, 301, hashes, &n, f.why), -ENOENT);
        cr_assert_neq(strstr(f.why, "not published yet"), NULL);
        /* A damaged tile, also where the proof itself does not need it. */
        snprintf(path, sizeof(path), "%s/tile/0/000", f.path);
        const int fd = open(path, O_RDWR);
        cr_assert_geq(fd, 0);
        cr_assert_eq(pwrite(fd, "x", 1, 77), 1);
        close(fd);
        cr_assert_eq(log_prove_consistency(f.path, 100, 200, hashes, &n, f.why), -EBADMSG);
        cr_assert_eq(unlink(path), 0);
        cr_assert_eq(log_prove_consistency(f.path, 100, 200, hashes, &n, f.why), -ENOENT);
        fixture_end(&f);
}
