/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/net/checksum.h"

#include <criterion/criterion.h>

#include "packet.h"

/* RFC 1071 §3's own numbers: the sum is ddf2. */
Test(checksum, sums_the_example_of_rfc_1071)
{
        static const uint8_t data[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

        cr_assert_eq(ntohs(checksum_fold(checksum_add(0, data, sizeof(data)))), 0xddf2);
        cr_assert_eq(ntohs(checksum_finish(checksum_add(0, data, sizeof(data)))), 0x220d);
}

Test(checksum, agrees_with_the_plain_sum_at_all_lengths)
{
        uint8_t data[1501];
        uint32_t state = 12345;

        for (size_t i = 0; i < sizeof(data); i++) {
                state = state * 1664525u + 1013904223u;
                /* Runs of 0xff make the carries. */
                data[i] = i % 97 < 40 ? 0xff : (uint8_t)(state >> 24);
        }
        for (size_t n = 0; n <= 1500; n++) {
                unsigned want = plain_sum(0, data + 1, n);
                unsigned got = ntohs(checksum_fold(checksum_add(0, data + 1, n)));

                cr_assert_eq(got % 0xffff, want % 0xffff, "%zu bytes: %x, not %x", n, got, want);
        }
}

/* No carry is lost, however large the sum. */
Test(checksum, folds_the_largest_sums)
{
        cr_assert_eq(checksum_fold(UINT64_MAX), 0xffff);
        cr_assert_eq(checksum_fold(UINT64_C(0xffffffff00000001)), 1);
        cr_assert_eq(checksum_fold(UINT64_C(0x1fffe)), 0xffff);
        cr_assert_eq(checksum_fold(UINT64_C(0x00010000ffff0000)), 1);
        cr_assert_eq(checksum_fold(0), 0);
}

Test(checksum, sums_in_pieces)
{
        uint8_t data[61];
        uint64_t sum;

        for (size_t i = 0; i < sizeof(data); i++)
                data[i] = (uint8_t)(i * 37);
        sum = checksum_add(checksum_add(checksum_add(0, data, 20), data + 20, 6), data + 26, 35);
        cr_assert_eq(checksum_fold(sum), checksum_fold(checksum_add(0, data, sizeof(data))));
}

Test(checksum, never_gives_udp_a_zero)
{
        static const uint8_t ones[2] = {0xff, 0xff};

        cr_assert_eq(checksum_finish(checksum_add(0, ones, 2)), 0);
        cr_assert_eq(checksum_finish_udp(checksum_add(0, ones, 2)), 0xffff);
        cr_assert_eq(checksum_finish_udp(0), 0xffff);
}
