/* SPDX-License-Identifier: Apache-2.0 */
/* A second, slow and plain reading of RFC 6962 §2.1 for the tests, on libsodium alone, and entries
 * to fill a log with. Shares nothing with ledger/ but sizes. */
#ifndef AORTA_TESTS_LEDGER_NAIVE_H
#define AORTA_TESTS_LEDGER_NAIVE_H

#include "ledger/leaf.h"

#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* xorshift64*: the same numbers on every machine. */
static inline uint32_t
naive_random(uint64_t *seed)
{
        *seed ^= *seed >> 12;
        *seed ^= *seed << 25;
        *seed ^= *seed >> 27;
        return (uint32_t)(*seed * UINT64_C(2685821657736338717) >> 32);
}

static inline void
naive_entry(uint8_t entry[LEAF_ENTRY_BYTES], uint64_t leaf)
{
        uint64_t seed = leaf * UINT64_C(0x9e3779b97f4a7c15) + 12345;

        for (unsigned i = 0; i < LEAF_ENTRY_BYTES; i++)
                entry[i] = (uint8_t)naive_random(&seed);
}

static inline uint8_t *
naive_entries(uint64_t first, uint64_t n)
{
        uint8_t *entries = malloc((n + 1) * LEAF_ENTRY_BYTES);

        if (entries == NULL)
                abort();
        for (uint64_t i = 0; i < n; i++)
                naive_entry(entries + i * LEAF_ENTRY_BYTES, first + i);
        return entries;
}

static inline void
naive_leaf_hash(uint8_t hash[HASH_BYTES], uint64_t leaf)
{
        uint8_t in[1 + LEAF_ENTRY_BYTES] = {0};

        naive_entry(in + 1, leaf);
        crypto_hash_sha256(hash, in, sizeof(in));
}

/* The caller frees. */
static inline uint8_t (*naive_leaf_hashes(uint64_t first, uint64_t n))[HASH_BYTES]
{
        uint8_t(*hashes)[HASH_BYTES] = malloc((n + 1) * HASH_BYTES);

        if (hashes == NULL)
                abort();
        for (uint64_t i = 0; i < n; i++)
                naive_leaf_hash(hashes[i], first + i);
        return hashes;
}

/* MTH(D[n]), from leaf hashes. */
static inline void
naive_root(uint8_t root[HASH_BYTES], uint8_t (*leaves)[HASH_BYTES], uint64_t n)
{
        uint8_t in[1 + 2 * HASH_BYTES] = {1};
        uint64_t k = 1;

        if (n == 0) {
                crypto_hash_sha256(root, (const uint8_t *)"", 0);
                return;
        }
        if (n == 1) {
                memcpy(root, leaves[0], HASH_BYTES);
                return;
        }
        while (k * 2 < n)
                k *= 2;
        naive_root(in + 1, leaves, k);
        naive_root(in + 1 + HASH_BYTES, leaves + k, n - k);
        crypto_hash_sha256(root, in, sizeof(in));
}

#endif
