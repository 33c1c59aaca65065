/* SPDX-License-Identifier: Apache-2.0 */
/* Consistency proofs checked. Needs no files, no engine. */
#include "ledger/log.h"
#include "ledger/tree.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#define CONSISTENCY_HASHES_MAX 64u

static int
check_equal(const uint8_t a[HASH_BYTES], const uint8_t b[HASH_BYTES])
{
        return memcmp(a, b, HASH_BYTES) == 0 ? 0 : -EBADMSG;
}

/* RFC 9162 §2.1.4.2 steps 3 to 7; first is the subtree that both trees have. */
static int
check_hashes(uint64_t old_size, const uint8_t old_root[HASH_BYTES], uint64_t new_size,
    const uint8_t new_root[HASH_BYTES], const uint8_t first[HASH_BYTES],
    const uint8_t hashes[][HASH_BYTES], unsigned n)
{
        uint8_t old_hash[HASH_BYTES], new_hash[HASH_BYTES];
        uint64_t old_node = old_size - 1, new_node = new_size - 1;

        while ((old_node & 1) != 0) {
                old_node >>= 1;
                new_node >>= 1;
        }
        memcpy(old_hash, first, HASH_BYTES);
        memcpy(new_hash, first, HASH_BYTES);
        for (unsigned i = 0; i < n; i++) {
                if (new_node == 0)
                        return -EBADMSG; /* too long */
                if ((old_node & 1) != 0 || old_node == new_node) {
                        tree_node(old_hash, hashes[i], old_hash);
                        tree_node(new_hash, hashes[i], new_hash);
                        while (old_node != 0 && (old_node & 1) == 0) {
                                old_node >>= 1;
                                new_node >>= 1;
                        }
                } else {
                        tree_node(new_hash, new_hash, hashes[i]);
                }
                old_node >>= 1;
                new_node >>= 1;
        }
        if (new_node != 0 || check_equal(old_hash, old_root) != 0)
                return -EBADMSG;
        return check_equal(new_hash, new_root);
}

int
consistency_check(uint64_t old_size, const uint8_t old_root[HASH_BYTES], uint64_t new_size,
    const uint8_t new_root[HASH_BYTES], const uint8_t hashes[][HASH_BYTES], unsigned n)
{
        uint8_t empty[HASH_BYTES];

        if (old_size > new_size || n > CONSISTENCY_HASHES_MAX)
                return -EBADMSG;
        if (old_size == new_size)
                return n == 0 ? check_equal(old_root, new_root) : -EBADMSG;
        if (old_size == 0) {
                crypto_hash_sha256(empty, (const uint8_t *)"", 0);
                return n == 0 ? check_equal(old_root, empty) : -EBADMSG;
        }
        /* A full old tree is itself the subtree that both have, and is not in the proof. */
        if ((old_size & (old_size - 1)) == 0)
                return check_hashes(old_size, old_root, new_size, new_root, old_root, hashes, n);
        if (n == 0)
                return -EBADMSG;
        return check_hashes(old_size, old_root, new_size, new_root, hashes[0], hashes + 1, n - 1);
}
