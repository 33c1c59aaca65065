/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/echo.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#define NS_PER_S       UINT64_C(1000000000)
#define TIME_BYTES     4u
#define MAC_BYTES_USED (ECHO_BYTES - TIME_BYTES)

static void
echo_write(uint8_t echo[ECHO_BYTES], const uint8_t secret[ECHO_SECRET_BYTES], uint64_t context_id,
    uint32_t time_s)
{
        static const char purpose[8] = "echo 1";
        uint8_t mac[crypto_generichash_BYTES_MIN];
        uint8_t message[sizeof(purpose) + 8 + TIME_BYTES];

        static_assert(sizeof(mac) >= MAC_BYTES_USED, "the MAC is cut");
        for (unsigned i = 0; i < TIME_BYTES; i++)
                echo[i] = (uint8_t)(time_s >> (24 - 8 * i));
        memcpy(message, purpose, sizeof(purpose));
        for (unsigned i = 0; i < 8; i++)
                message[sizeof(purpose) + i] = (uint8_t)(context_id >> (56 - 8 * i));
        memcpy(message + sizeof(purpose) + 8, echo, TIME_BYTES);
        (void)crypto_generichash(
            mac, sizeof(mac), message, sizeof(message), secret, ECHO_SECRET_BYTES);
        memcpy(echo + TIME_BYTES, mac, MAC_BYTES_USED);
}

void
echo_make(uint8_t echo[ECHO_BYTES], const uint8_t secret[ECHO_SECRET_BYTES], uint64_t context_id,
    uint64_t now_ns)
{
        echo_write(echo, secret, context_id, (uint32_t)(now_ns / NS_PER_S));
}

bool
echo_valid(const uint8_t *echo, size_t echo_bytes, const uint8_t secret[ECHO_SECRET_BYTES],
    uint64_t context_id, uint64_t now_ns)
{
        uint8_t wanted[ECHO_BYTES];
        uint32_t made_s = 0;
        uint32_t age_s;

        if (echo_bytes != ECHO_BYTES)
                return false;
        for (unsigned i = 0; i < TIME_BYTES; i++)
                made_s = made_s << 8 | echo[i];
        /* Modulo 2^32: a value from the future is older than any lifetime. */
        age_s = (uint32_t)(now_ns / NS_PER_S) - made_s;
        echo_write(wanted, secret, context_id, made_s);
        return sodium_memcmp(wanted, echo, ECHO_BYTES) == 0 && age_s <= ECHO_LIFETIME_S;
}
