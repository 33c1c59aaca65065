/* SPDX-License-Identifier: Apache-2.0 */
#include "control/hex.h"

#include <errno.h>
#include <string.h>

void
hex_encode(char *out, const uint8_t *in, size_t n)
{
        static const char digits[] = "0123456789abcdef";

        for (size_t i = 0; i < n; i++) {
                *out++ = digits[in[i] >> 4];
                *out++ = digits[in[i] & 15];
        }
        *out = '\0';
}

static int
digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

long
hex_decode(uint8_t *out, size_t out_bytes, const char *text)
{
        size_t n = strlen(text);

        if (n % 2 != 0)
                return -EINVAL;
        for (size_t i = 0; i < n; i++)
                if (digit(text[i]) < 0)
                        return -EINVAL;
        if (n / 2 > out_bytes)
                return -E2BIG;
        for (size_t i = 0; i < n / 2; i++)
                out[i] = (uint8_t)(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
        return (long)(n / 2);
}
