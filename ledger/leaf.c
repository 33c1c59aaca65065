/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/leaf.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#define NS_PER_MINUTE UINT64_C(60000000000)

/* 2^64 ns are fewer minutes than 2^32, so that no time can wrap. */
static_assert(UINT64_MAX / NS_PER_MINUTE <= UINT32_MAX, "minutes fit 32 bits");
static_assert(1 + 1 + 4 + HASH_BYTES == LEAF_ENTRY_BYTES, "the entry's fields");
/* One SHA-256 block holds 55 bytes of message. */
static_assert(1 + LEAF_ENTRY_BYTES <= 55, "0x00 and entry fit one block");

void
leaf_entry_write(uint8_t entry[LEAF_ENTRY_BYTES], uint8_t kind, uint64_t received_ns,
    const uint8_t digest[HASH_BYTES])
{
        const uint32_t minute = (uint32_t)(received_ns / NS_PER_MINUTE);

        entry[0] = LEAF_VERSION;
        entry[1] = kind;
        entry[2] = (uint8_t)(minute >> 24);
        entry[3] = (uint8_t)(minute >> 16);
        entry[4] = (uint8_t)(minute >> 8);
        entry[5] = (uint8_t)minute;
        memcpy(entry + 6, digest, HASH_BYTES);
}

void
leaf_hash(uint8_t hash[HASH_BYTES], const uint8_t *entry, uint32_t entry_bytes)
{
        static const uint8_t prefix = 0x00;
        crypto_hash_sha256_state state;

        crypto_hash_sha256_init(&state);
        crypto_hash_sha256_update(&state, &prefix, 1);
        if (entry_bytes > 0)
                crypto_hash_sha256_update(&state, entry, entry_bytes);
        crypto_hash_sha256_final(&state, hash);
}
