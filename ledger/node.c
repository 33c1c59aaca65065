/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/tree.h"

#include <sodium.h>
#include <string.h>

void
tree_node(uint8_t out[HASH_BYTES], const uint8_t left[HASH_BYTES], const uint8_t right[HASH_BYTES])
{
        uint8_t in[1 + 2 * HASH_BYTES];

        in[0] = 0x01;
        memcpy(in + 1, left, HASH_BYTES);
        memcpy(in + 1 + HASH_BYTES, right, HASH_BYTES);
        crypto_hash_sha256(out, in, sizeof(in));
}
