/* SPDX-License-Identifier: Apache-2.0 */
/* Guards promise 2 after an unclean stop: an Echo value is good for its boot, its context and a
 * short time, and nothing else (RFC 8613 §B.1.2). */
#include "dataplane/echo.h"

#include <criterion/criterion.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)
#define NOW    (UINT64_C(1800000000) * SECOND)

static const uint8_t secret[ECHO_SECRET_BYTES] = {1, 2, 3};

Test(echo, is_valid_for_its_lifetime)
{
        uint8_t echo[ECHO_BYTES];

        echo_make(echo, secret, 7, NOW);
        cr_assert(echo_valid(echo, sizeof(echo), secret, 7, NOW));
        cr_assert(echo_valid(echo, sizeof(echo), secret, 7, NOW + ECHO_LIFETIME_S * SECOND));
        cr_assert(!echo_valid(echo, sizeof(echo), secret, 7, NOW + (ECHO_LIFETIME_S + 1) * SECOND));
        cr_assert(!echo_valid(echo, sizeof(echo), secret, 7, NOW - SECOND), "from the future");
        cr_assert(!echo_valid(echo, sizeof(echo), secret, 7, NOW + (SECOND << 31)));
}

Test(echo, is_bound_to_context_and_boot)
{
        uint8_t echo[ECHO_BYTES];
        uint8_t other[ECHO_SECRET_BYTES];

        memcpy(other, secret, sizeof(other));
        other[31] ^= 1;
        echo_make(echo, secret, 7, NOW);
        cr_assert(!echo_valid(echo, sizeof(echo), secret, 8, NOW));
        cr_assert(!echo_valid(echo, sizeof(echo), secret, 7 + (UINT64_C(1) << 40), NOW));
        cr_assert(!echo_valid(echo, sizeof(echo), other, 7, NOW));
}

Test(echo, any_flipped_bit_and_any_other_length_is_refused)
{
        uint8_t echo[ECHO_BYTES + 1] = {0};

        echo_make(echo, secret, 7, NOW);
        for (unsigned bit = 0; bit < 8 * ECHO_BYTES; bit++) {
                echo[bit / 8] ^= (uint8_t)(1 << bit % 8);
                cr_assert(!echo_valid(echo, ECHO_BYTES, secret, 7, NOW));
                echo[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (size_t bytes = 0; bytes <= sizeof(echo); bytes++)
                cr_assert_eq(echo_valid(echo, bytes, secret, 7, NOW), bytes == ECHO_BYTES);
}
