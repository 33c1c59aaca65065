/* SPDX-License-Identifier: Apache-2.0 */
/* The tree's roots are RFC 6962's, however its leaves are cut into batches. */
#include "ledger/tree.h"

#include "tests/unit/ledger/naive.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static struct engine *engine;

static void
setup(void)
{
        cr_assert_eq(engine_create(&engine, ENGINE_AUTO), 0);
}

static void
teardown(void)
{
        engine_destroy(engine);
}

TestSuite(tree, .init = setup, .fini = teardown);

static const char *const ct_leaves[8] = {"", "00", "10", "2021", "3031", "40414243",
    "5051525354555657", "606162636465666768696a6b6c6d6e6f"};
static const char *const ct_roots[9] = {
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};

static void
ct_leaf_hash(uint8_t hash[HASH_BYTES], unsigned i)
{
        uint8_t entry[16];
        size_t n = 0;

        cr_assert_eq(sodium_hex2bin(
                         entry, sizeof(entry), ct_leaves[i], strlen(ct_leaves[i]), NULL, &n, NULL),
            0);
        leaf_hash(hash, entry, (uint32_t)n);
}

Test(tree, roots_of_the_certificate_transparency_tree)
{
        struct tree tree;
        uint8_t hash[HASH_BYTES], root[HASH_BYTES];
        char hex[2 * HASH_BYTES + 1];

        tree_init(&tree);
        for (unsigned n = 0; n <= 8; n++) {
                tree_root(&tree, root);
                sodium_bin2hex(hex, sizeof(hex), root, sizeof(root));
                cr_expect_str_eq(hex, ct_roots[n], "root of %u leaves", n);
                if (n < 8) {
                        ct_leaf_hash(hash, n);
                        tree_append(&tree, engine, hash, 1);
                }
        }
}

Test(tree, one_batch_gives_the_same_roots)
{
        for (unsigned n = 1; n <= 8; n++) {
                struct tree tree;
                uint8_t hashes[8][HASH_BYTES], root[HASH_BYTES];
                char hex[2 * HASH_BYTES + 1];

                tree_init(&tree);
                for (unsigned i = 0; i < n; i++)
                        ct_leaf_hash(hashes[i], i);
                tree_append(&tree, engine, hashes[0], n);
                cr_expect_eq(tree.size, n);
                tree_root(&tree, root);
                sodium_bin2hex(hex, sizeof(hex), root, sizeof(root));
                cr_expect_str_eq(hex, ct_roots[n], "root of %u leaves", n);
        }
}

Test(tree, random_batches_equal_the_naive_tree)
{
        enum { SIZE_MAX_TESTED = 1100 };
        uint8_t(*leaves)[HASH_BYTES] = naive_leaf_hashes(0, SIZE_MAX_TESTED);
        uint8_t scratch[SIZE_MAX_TESTED][HASH_BYTES], root[HASH_BYTES], want[HASH_BYTES];
        uint64_t seed = 1;

        for (uint32_t size = 0; size <= SIZE_MAX_TESTED; size++) {
                struct tree tree;
                tree_init(&tree);
                while (tree.size < size) {
                        uint32_t n = 1 + naive_random(&seed) % 300;
                        if (n > size - tree.size)
                                n = size - (uint32_t)tree.size;
                        memcpy(scratch, leaves[tree.size], n * HASH_BYTES);
                        tree_append(&tree, engine, scratch[0], n);
                }
                tree_root(&tree, root);
                naive_root(want, leaves, size);
                cr_assert_arr_eq(root, want, HASH_BYTES, "size %u", size);
        }
        free(leaves);
}

Test(tree, largest_batches_from_every_alignment)
{
        enum { SIZE = 3 * TREE_BATCH_MAX + 77 };
        uint8_t(*leaves)[HASH_BYTES] = naive_leaf_hashes(0, SIZE);
        uint8_t(*scratch)[HASH_BYTES] = malloc((size_t)TREE_BATCH_MAX * HASH_BYTES);
        uint8_t root[HASH_BYTES], want[HASH_BYTES];

        naive_root(want, leaves, SIZE);
        for (uint32_t before = 0; before < 77; before += 4) {
                struct tree tree;
                tree_init(&tree);
                while (tree.size < SIZE) {
                        uint32_t n = tree.size == 0 ? before + 1 : TREE_BATCH_MAX;
                        if (n > SIZE - tree.size)
                                n = SIZE - (uint32_t)tree.size;
                        memcpy(scratch, leaves[tree.size], (size_t)n * HASH_BYTES);
                        tree_append(&tree, engine, scratch[0], n);
                }
                tree_root(&tree, root);
                cr_assert_arr_eq(root, want, HASH_BYTES, "first batch of %u", before + 1);
        }
        free(scratch);
        free(leaves);
}

Test(tree, an_empty_batch_changes_nothing)
{
        struct tree tree, before;
        uint8_t hash[HASH_BYTES] = {1};

        tree_init(&tree);
        tree_append(&tree, engine, hash, 1);
        before = tree;
        tree_append(&tree, engine, hash, 0);
        cr_assert_arr_eq((uint8_t *)&tree, (uint8_t *)&before, sizeof(tree));
}

Test(tree, leaf_hashes_of_a_batch_equal_one_by_one)
{
        const uint32_t sizes[] = {0, 1, 2, 255, 256, 257, 511, 513, 700};
        uint8_t entries[700 * LEAF_ENTRY_BYTES], hashes[701 * HASH_BYTES], want[HASH_BYTES];

        for (size_t i = 0; i < sizeof(entries); i++)
                entries[i] = (uint8_t)(i * 131 >> 3);
        for (unsigned s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
                memset(hashes, 0x5a, sizeof(hashes));
                tree_leaf_hashes(engine, hashes, entries, sizes[s]);
                for (uint32_t i = 0; i < sizes[s]; i++) {
                        leaf_hash(want, entries + i * LEAF_ENTRY_BYTES, LEAF_ENTRY_BYTES);
                        cr_assert_arr_eq(hashes + i * HASH_BYTES, want, HASH_BYTES);
                }
                cr_assert_eq(hashes[sizes[s] * HASH_BYTES], 0x5a, "wrote past %u", sizes[s]);
        }
}

struct seen {
        uint8_t (*leaves)[HASH_BYTES];
        uint64_t next[TREE_LEVELS_MAX];
        unsigned wrong;
};

static void
see_layer(void *user, unsigned level, uint64_t first, const uint8_t *hashes, uint32_t n)
{
        struct seen *seen = user;

        seen->wrong += first != seen->next[level];
        for (uint32_t i = 0; i < n; i++) {
                uint8_t want[HASH_BYTES];
                naive_root(want, seen->leaves + ((first + i) << level), UINT64_C(1) << level);
                seen->wrong += memcmp(want, hashes + i * HASH_BYTES, HASH_BYTES) != 0;
        }
        seen->next[level] = first + n;
}

Test(tree, layers_show_every_complete_node_once_in_order)
{
        enum { SIZE = 1000 };
        struct seen seen = {.leaves = naive_leaf_hashes(0, SIZE)};
        uint8_t scratch[SIZE][HASH_BYTES];
        struct tree tree;
        uint64_t seed = 9;

        tree_init(&tree);
        while (tree.size < SIZE) {
                uint32_t n = 1 + naive_random(&seed) % 90;
                if (n > SIZE - tree.size)
                        n = SIZE - (uint32_t)tree.size;
                memcpy(scratch, seen.leaves[tree.size], n * HASH_BYTES);
                tree_append_layers(&tree, engine, scratch[0], n, see_layer, &seen);
        }
        cr_assert_eq(seen.wrong, 0);
        for (unsigned level = 0; level < TREE_LEVELS_MAX; level++)
                cr_expect_eq(seen.next[level], (uint64_t)SIZE >> level, "level %u", level);
        free(seen.leaves);
}
