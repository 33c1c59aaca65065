/* SPDX-License-Identifier: Apache-2.0 */
/* Every leaf of every published size is proven, and nothing else is. */
#include "crypto/base64.h"
#include "tests/unit/ledger/log_fixture.h"

static void
prove(struct fixture *f, uint64_t leaf, uint64_t size, uint8_t proof[64][HASH_BYTES], unsigned *n)
{
        const int error = log_prove(f->path, leaf, size, proof, n, f->why);

        cr_assert_eq(error, 0, "leaf %" PRIu64 " of %" PRIu64 ": %s", leaf, size, f->why);
}

/* RFC 6962 §2.1.1 PATH(m, D[n]), plainly. */
static unsigned
naive_path(uint8_t proof[64][HASH_BYTES], uint8_t (*leaves)[HASH_BYTES], uint64_t leaf, uint64_t n)
{
        uint64_t k = 1;
        unsigned used;

        if (n == 1)
                return 0;
        while (k * 2 < n)
                k *= 2;
        if (leaf < k) {
                used = naive_path(proof, leaves, leaf, k);
                naive_root(proof[used], leaves + k, n - k);
        } else {
                used = naive_path(proof, leaves + k, leaf - k, n - k);
                naive_root(proof[used], leaves, k);
        }
        return used + 1;
}

static void
check_all_wrong(const uint8_t hash[HASH_BYTES], uint64_t leaf, uint64_t size,
    uint8_t proof[64][HASH_BYTES], unsigned n, const uint8_t root[HASH_BYTES])
{
        uint8_t wrong[HASH_BYTES];
        uint8_t longer[65][HASH_BYTES];

        for (unsigned i = 0; i < n; i++) {
                proof[i][(leaf + i) % HASH_BYTES] ^= 1 << (size % 8);
                cr_assert_eq(proof_check(hash, leaf, size, proof, n, root), -EBADMSG);
                proof[i][(leaf + i) % HASH_BYTES] ^= 1 << (size % 8);
        }
        memcpy(wrong, hash, HASH_BYTES);
        wrong[31] ^= 1;
        cr_assert_eq(proof_check(wrong, leaf, size, proof, n, root), -EBADMSG);
        memcpy(wrong, root, HASH_BYTES);
        wrong[0] ^= 0x80;
        cr_assert_eq(proof_check(hash, leaf, size, proof, n, wrong), -EBADMSG);
        const uint64_t step = size <= 20 ? 1 : 1 + size / 7; /* every other index, or some */
        for (uint64_t other = leaf % step; other <= size + step; other += step)
                if (other != leaf)
                        cr_assert_eq(proof_check(hash, other, size, proof, n, root), -EBADMSG);
        if (n > 0)
                cr_assert_eq(proof_check(hash, leaf, size, proof, n - 1, root), -EBADMSG);
        memcpy(longer, proof, n * HASH_BYTES);
        memcpy(longer[n], root, HASH_BYTES);
        cr_assert_eq(proof_check(hash, leaf, size, longer, n + 1, root), -EBADMSG);
        /* Nor with a root that the longer path would lead to. */
        uint8_t above[1 + 2 * HASH_BYTES] = {1};
        memcpy(above + 1, longer[n], HASH_BYTES);
        memcpy(above + 1 + HASH_BYTES, root, HASH_BYTES);
        crypto_hash_sha256(wrong, above, sizeof(above));
        cr_assert_eq(proof_check(hash, leaf, size, longer, n + 1, wrong), -EBADMSG);
}

Test(proof, every_leaf_of_every_size_to_70)
{
        uint8_t(*leaves)[HASH_BYTES] = naive_leaf_hashes(0, 70);
        uint8_t proof[64][HASH_BYTES], want[64][HASH_BYTES], root[HASH_BYTES];
        struct fixture f;
        unsigned n;

        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, 70, 70);
        fixture_publish(&f);
        for (uint64_t size = 1; size <= 70; size++) {
                naive_root(root, leaves, size);
                for (uint64_t leaf = 0; leaf < size; leaf++) {
                        prove(&f, leaf, size, proof, &n);
                        cr_assert_eq(n, naive_path(want, leaves, leaf, size));
                        cr_assert_eq(memcmp(proof, want, n * HASH_BYTES), 0);
                        cr_assert_eq(proof_check(leaves[leaf], leaf, size, proof, n, root), 0);
                        check_all_wrong(leaves[leaf], leaf, size, proof, n, root);
                }
        }
        free(leaves);
        fixture_end(&f);
}

Test(proof, does_not_hold_for_a_size_of_another_shape)
{
        /* A path may hold for another size only where tree and path have one shape: the size itself
         * is bound by the checkpoint. Whatever changes the path's length is refused. */
        uint8_t(*leaves)[HASH_BYTES] = naive_leaf_hashes(0, 33);
        uint8_t proof[64][HASH_BYTES], other[64][HASH_BYTES], root[HASH_BYTES];

        for (uint64_t size = 1; size <= 33; size++) {
                naive_root(root, leaves, size);
                for (uint64_t leaf = 0; leaf < size; leaf++) {
                        const unsigned n = naive_path(proof, leaves, leaf, size);
                        for (uint64_t wrong = leaf + 1; wrong <= 33; wrong++)
                                if (naive_path(other, leaves, leaf, wrong) != n)
                                        cr_assert_eq(
                                            proof_check(leaves[leaf], leaf, wrong, proof, n, root),
                                            -EBADMSG);
                        cr_assert_eq(
                            proof_check(leaves[leaf], leaf, leaf, proof, n, root), -EBADMSG);
                        cr_assert_eq(proof_check(leaves[leaf], leaf, 0, proof, n, root), -EBADMSG);
                }
        }
        free(leaves);
}

Test(proof, random_leaves_of_a_log_of_three_levels)
{
        enum { SIZE = 70000 };
        uint8_t(*leaves)[HASH_BYTES] = naive_leaf_hashes(0, SIZE);
        uint8_t proof[64][HASH_BYTES], want[64][HASH_BYTES], root[HASH_BYTES];
        uint64_t sizes[12] = {257, 511, 512, 513, 65535, 65536, 65537, SIZE - 1, SIZE};
        uint64_t seed = 77;
        struct fixture f;
        unsigned n;

        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, SIZE, 4096);
        fixture_publish(&f);
        for (unsigned s = 0; s < 12; s++) {
                const uint64_t size = sizes[s] != 0 ? sizes[s] : 1 + naive_random(&seed) % SIZE;
                naive_root(root, leaves, size);
                for (unsigned i = 0; i < 8; i++) {
                        const uint64_t leaf = i == 0   ? 0
                                              : i == 1 ? size - 1
                                                       : naive_random(&seed) % size;
                        prove(&f, leaf, size, proof, &n);
                        cr_assert_eq(proof_check(leaves[leaf], leaf, size, proof, n, root), 0);
                        if (i < 3 && s % 4 == 0) {
                                cr_assert_eq(n, naive_path(want, leaves, leaf, size));
                                cr_assert_eq(memcmp(proof, want, n * HASH_BYTES), 0);
                        }
                }
        }
        free(leaves);
        fixture_end(&f);
}

Test(proof, is_found_when_the_partial_tile_has_gone)
{
        uint8_t(*leaves)[HASH_BYTES] = naive_leaf_hashes(0, 300);
        uint8_t proof[64][HASH_BYTES], root[HASH_BYTES], old[NOTE_BYTES_MAX];
        struct fixture f;
        char path[128];
        unsigned n;

        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, 200, 200);
        fixture_publish(&f);
        const long bytes = fixture_read(&f, "checkpoint", old, sizeof(old));
        fixture_append(&f, 300, 300);
        fixture_publish(&f);
        cr_assert_not(fixture_has(&f, "tile/0/000.p/200"));
        /* A reader that read the checkpoint before. */
        snprintf(path, sizeof(path), "%s/checkpoint", f.path);
        const int fd = open(path, O_WRONLY | O_TRUNC);
        cr_assert_eq(write(fd, old, (size_t)bytes), bytes);
        close(fd);
        prove(&f, 7, 200, proof, &n);
        naive_root(root, leaves, 200);
        cr_assert_eq(proof_check(leaves[7], 7, 200, proof, n, root), 0);
        free(leaves);
        fixture_end(&f);
}

Test(proof, what_is_not_there_is_refused)
{
        uint8_t proof[64][HASH_BYTES];
        struct fixture f;
        unsigned n;

        fixture_start(&f);
        cr_assert_eq(log_prove(f.path, 0, 1, proof, &n, f.why), -ENOENT);
        fixture_open(&f);
        cr_assert_eq(log_prove(f.path, 0, 1, proof, &n, f.why), -ENOENT);
        fixture_append(&f, 600, 600);
        fixture_publish(&f);
        cr_assert_eq(log_prove(f.path, 600, 600, proof, &n, f.why), -EINVAL);
        cr_assert_eq(log_prove(f.path, 0, 0, proof, &n, f.why), -EINVAL);
        cr_assert_eq(log_prove(f.path, 0, 601, proof, &n, f.why), -ENOENT);
        cr_assert_eq(log_prove(f.path, 0, UINT64_MAX, proof, &n, f.why), -ENOENT);
        fixture_damage(&f, "tile/0/000", 40);
        cr_assert_eq(log_prove(f.path, 0, 600, proof, &n, f.why), -EBADMSG);
        fixture_damage(&f, "tile/0/000", -1);
        cr_assert_eq(log_prove(f.path, 0, 600, proof, &n, f.why), -EBADMSG);
        cr_assert_not_null(strstr(f.why, "tile/0/000"), "%s", f.why);
        fixture_damage(&f, "checkpoint", 20);
        cr_assert_eq(log_prove(f.path, 0, 600, proof, &n, f.why), -EBADMSG);
        fixture_end(&f);
}

Test(proof, of_the_largest_trees_neither_loops_nor_overflows)
{
        uint8_t proof[65][HASH_BYTES] = {{0}}, hash[HASH_BYTES] = {0};

        cr_assert_eq(proof_check(hash, UINT64_MAX - 1, UINT64_MAX, proof, 64, hash), -EBADMSG);
        cr_assert_eq(proof_check(hash, 0, UINT64_MAX, proof, 65, hash), -EBADMSG);
        cr_assert_eq(proof_check(hash, UINT64_MAX, UINT64_MAX, proof, 64, hash), -EBADMSG);
}

#define NOTE "origin\n5\nroot\n\n\xe2\x80\x94 origin c2ln\n"

Test(proof, text_is_the_specification_s)
{
        uint8_t proof[64][HASH_BYTES] = {{0}}, back[64][HASH_BYTES];
        char text[8192], hash[2][BASE64_BYTES(HASH_BYTES) + 1], want[1024];
        const char *note;
        uint64_t leaf;
        unsigned n;

        memset(proof[1], 0xff, HASH_BYTES);
        base64_encode(hash[0], proof[0], HASH_BYTES);
        base64_encode(hash[1], proof[1], HASH_BYTES);
        snprintf(want, sizeof(want), "c2sp.org/tlog-proof@v1\nindex 12\n%s\n%s\n\n" NOTE, hash[0],
            hash[1]);
        const long bytes = proof_write(text, sizeof(text), 12, proof, 2, NOTE);
        cr_assert_eq(bytes, (long)strlen(want));
        cr_assert_str_eq(text, want);
        for (size_t room = 0; room <= (size_t)bytes; room++)
                cr_assert_eq(proof_write(text, room, 12, proof, 2, NOTE), -ENOSPC);
        cr_assert_eq(proof_parse(want, strlen(want), &leaf, back, &n, &note), 0);
        cr_assert_eq(leaf, 12);
        cr_assert_eq(n, 2);
        cr_assert_eq(memcmp(back, proof, 2 * HASH_BYTES), 0);
        cr_assert_str_eq(note, NOTE);
        /* Every text cut before the note, which note_open() checks, is refused. */
        for (size_t cut = 0; cut <= strlen(want) - strlen(NOTE); cut++)
                cr_assert_eq(proof_parse(want, cut, &leaf, back, &n, &note), -EBADMSG);

        cr_assert_gt(proof_write(text, sizeof(text), UINT64_MAX, proof, 64, NOTE), 0);
        cr_assert_eq(proof_parse(text, strlen(text), &leaf, back, &n, &note), 0);
        cr_assert_eq(leaf, UINT64_MAX);
        cr_assert_eq(n, 64);
        cr_assert_gt(proof_write(text, sizeof(text), 0, proof, 0, NOTE), 0);
        cr_assert_eq(proof_parse(text, strlen(text), &leaf, back, &n, &note), 0);
        cr_assert_eq(n, 0);
        cr_assert_eq(proof_write(text, sizeof(text), 0, proof, 65, NOTE), -EINVAL);
}

Test(proof, malformed_text_is_refused)
{
#define HEAD "c2sp.org/tlog-proof@v1\n"
#define HASH "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
        static const char *const bad[] = {
            "c2sp.org/tlog-proof@v2\nindex 1\n\n" NOTE,
            HEAD "index 01\n\n" NOTE,
            HEAD "index -1\n\n" NOTE,
            HEAD "index \n\n" NOTE,
            HEAD "index 18446744073709551616\n\n" NOTE,
            HEAD "\n" NOTE,
            HEAD "extra !\nindex 1\n\n" NOTE,
            HEAD "index 1\nextra AA==\n\n" NOTE,
            HEAD "index 1\n" HASH NOTE,
            HEAD "index 1\nAAAA\n\n" NOTE,
            HEAD "index 1\n" HASH "\n",
            HEAD "index 1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n\n" NOTE,
        };
        uint8_t proof[64][HASH_BYTES];
        char text[8192] = HEAD "index 1\n";
        const char *note;
        uint64_t leaf;
        unsigned n;

        for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                cr_expect_eq(proof_parse(bad[i], strlen(bad[i]), &leaf, proof, &n, &note), -EBADMSG,
                    "number %u", i);
        const char *good = HEAD "extra AA==\nindex 1\n" HASH "\n" NOTE;
        cr_expect_eq(proof_parse(good, strlen(good), &leaf, proof, &n, &note), 0);
        cr_expect_eq(n, 1);
        for (unsigned i = 0; i < 65; i++)
                strcat(text, HASH);
        strcat(text, "\n" NOTE);
        cr_expect_eq(
            proof_parse(text, strlen(text), &leaf, proof, &n, &note), -EBADMSG, "65 hashes");
}

Test(proof, a_stranger_checks_one_from_text_alone)
{
        uint8_t proof[64][HASH_BYTES], hash[HASH_BYTES];
        char text[16384], note[NOTE_BYTES_MAX];
        struct checkpoint checkpoint;
        const char *note_back;
        struct fixture f;
        uint64_t leaf;
        size_t body;
        unsigned n;

        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, 1000, 1000);
        fixture_publish(&f);
        cr_assert_gt(log_checkpoint(f.log, note, sizeof(note)), 0);
        prove(&f, 321, 1000, proof, &n);
        cr_assert_gt(proof_write(text, sizeof(text), 321, proof, n, note), 0);

        cr_assert_eq(proof_parse(text, strlen(text), &leaf, proof, &n, &note_back), 0);
        cr_assert_eq(note_open(note_back, strlen(note_back), &f.verifier, &body), 0);
        cr_assert_eq(checkpoint_parse(&checkpoint, note_back, body), 0);
        naive_leaf_hash(hash, 321);
        cr_assert_eq(proof_check(hash, leaf, checkpoint.size, proof, n, checkpoint.root), 0);
        fixture_end(&f);
}
