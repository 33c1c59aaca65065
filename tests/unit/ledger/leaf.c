/* SPDX-License-Identifier: Apache-2.0 */
/* The leaf entry's bytes and its hash (RFC 6962 §2.1). */
#include "ledger/leaf.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

Test(leaf, entry_is_version_kind_minute_digest)
{
        uint8_t digest[HASH_BYTES], entry[LEAF_ENTRY_BYTES + 1];

        for (unsigned i = 0; i < HASH_BYTES; i++)
                digest[i] = (uint8_t)(0xa0 + i);
        memset(entry, 0x5a, sizeof(entry));
        /* 0x01020304 minutes, and 59.999999999 s of the next. */
        leaf_entry_write(
            entry, 2, UINT64_C(0x01020304) * 60 * 1000000000 + UINT64_C(59999999999), digest);
        const uint8_t head[6] = {1, 2, 0x01, 0x02, 0x03, 0x04};
        cr_assert_arr_eq(entry, head, 6);
        cr_assert_arr_eq(entry + 6, digest, HASH_BYTES);
        cr_assert_eq(entry[LEAF_ENTRY_BYTES], 0x5a, "wrote past the entry");
}

Test(leaf, the_last_nanosecond_does_not_wrap)
{
        uint8_t digest[HASH_BYTES] = {0}, entry[LEAF_ENTRY_BYTES];

        leaf_entry_write(entry, 1, UINT64_MAX, digest);
        const uint32_t minute = (uint32_t)entry[2] << 24 | (uint32_t)entry[3] << 16 |
                                (uint32_t)entry[4] << 8 | entry[5];
        cr_assert_eq(minute, UINT64_MAX / 1000000000 / 60);
}

Test(leaf, hash_of_the_empty_entry_is_the_known_one)
{
        /* certificate-transparency's test tree: one leaf "". */
        uint8_t hash[HASH_BYTES];
        char hex[2 * HASH_BYTES + 1];

        leaf_hash(hash, NULL, 0);
        sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
        cr_assert_str_eq(hex, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
}

Test(leaf, hash_is_of_zero_byte_and_entry)
{
        uint8_t in[1 + 300], hash[HASH_BYTES], want[HASH_BYTES];

        in[0] = 0;
        for (unsigned i = 1; i < sizeof(in); i++)
                in[i] = (uint8_t)(i * 7);
        for (uint32_t n = 0; n <= 300; n++) {
                leaf_hash(hash, in + 1, n);
                crypto_hash_sha256(want, in, n + 1);
                cr_assert_arr_eq(hash, want, HASH_BYTES, "length %u", n);
        }
}
