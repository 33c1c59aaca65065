/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/base64.h"

#include <errno.h>

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_encode(char *out, const uint8_t *in, size_t n)
{
        while (n > 0) {
                size_t take = n < 3 ? n : 3;
                uint32_t bits = (uint32_t)in[0] << 16;
                if (take > 1)
                        bits |= (uint32_t)in[1] << 8;
                if (take > 2)
                        bits |= in[2];
                *out++ = ALPHABET[bits >> 18];
                *out++ = ALPHABET[bits >> 12 & 63];
                *out++ = take > 1 ? ALPHABET[bits >> 6 & 63] : '=';
                *out++ = take > 2 ? ALPHABET[bits & 63] : '=';
                in += take;
                n -= take;
        }
        *out = '\0';
}

/* A character's six bits, or -1. */
static int
value_of(char c)
{
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        if (c == '+')
                return 62;
        return c == '/' ? 63 : -1;
}

/* One group of four characters; returns its 1 to 3 bytes or -EBADMSG. Padding only in the last
 * group, and the bits that it leaves unused must be zero (RFC 4648 §3.5). */
static int
decode_group(uint8_t out[3], const char in[4], int last)
{
        int pad = in[3] != '=' ? 0 : in[2] != '=' ? 1 : 2;
        uint32_t bits = 0;

        if (pad > 0 && !last)
                return -EBADMSG;
        for (int i = 0; i < 4; i++) {
                int v = i < 4 - pad ? value_of(in[i]) : 0;
                if (v < 0)
                        return -EBADMSG;
                bits = bits << 6 | (uint32_t)v;
        }
        if (pad > 0 && (bits & ((1u << (8 * pad)) - 1)) != 0)
                return -EBADMSG;
        out[0] = (uint8_t)(bits >> 16);
        out[1] = (uint8_t)(bits >> 8);
        out[2] = (uint8_t)bits;
        return 3 - pad;
}

long
base64_decode(uint8_t *out, size_t out_bytes, const char *in, size_t in_chars)
{
        size_t written = 0;

        if (in_chars % 4 != 0)
                return -EBADMSG;
        for (size_t at = 0; at < in_chars; at += 4) {
                uint8_t group[3];
                int n = decode_group(group, in + at, at + 4 == in_chars);
                if (n < 0 || (size_t)n > out_bytes - written)
                        return -EBADMSG;
                for (int i = 0; i < n; i++)
                        out[written++] = group[i];
        }
        return (long)written;
}
