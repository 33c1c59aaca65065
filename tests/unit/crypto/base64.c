/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: base64 is RFC 4648's, and one byte string has exactly one accepted form. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/base64.h"

Test(base64, rfc4648_vectors)
{
        static const char *const vectors[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
            {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
        for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
                char out[16];
                uint8_t back[16];
                size_t n = strlen(vectors[i][0]), chars = strlen(vectors[i][1]);
                base64_encode(out, (const uint8_t *)vectors[i][0], n);
                cr_assert_str_eq(out, vectors[i][1]);
                cr_assert_eq(BASE64_BYTES(n), chars);
                cr_assert_eq(base64_decode(back, n, vectors[i][1], chars), (long)n);
                if (n == 0)
                        continue;
                cr_assert_arr_eq(back, vectors[i][0], n);
                cr_assert_eq(base64_decode(back, n - 1, vectors[i][1], chars), -EBADMSG, "no room");
        }
}

Test(base64, as_libsodium_at_every_length)
{
        uint8_t bytes[256], back[256];
        char ours[BASE64_BYTES(256) + 1], theirs[BASE64_BYTES(256) + 1];
        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (uint8_t)(i * 167 + 13); /* every value once */
        for (size_t n = 0; n <= sizeof(bytes); n++) {
                base64_encode(ours, bytes, n);
                sodium_bin2base64(theirs, sizeof(theirs), bytes, n, sodium_base64_VARIANT_ORIGINAL);
                cr_assert_str_eq(ours, theirs);
                cr_assert_eq(base64_decode(back, sizeof(back), ours, strlen(ours)), (long)n);
                if (n > 0)
                        cr_assert_arr_eq(back, bytes, n);
        }
}

Test(base64, refused)
{
        static const char *const bad[] = {"Z", "Zg", "Zg=", "Zg=a",
            "Z===", "====", "=Zg=", "Zh==", "Zm9=", "Zm8", "Zm9vZg==Zm9v", "Zm8=Zm9v", "Zm9 ",
            "Zm9\n", "Zm9-", "Zm9_", "Zm9v\n", "Zm9v====", "Zm\xc3\xa9", " Zm9v"};
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                uint8_t out[16];
                cr_assert_eq(base64_decode(out, sizeof(out), bad[i], strlen(bad[i])), -EBADMSG,
                    "%s", bad[i]);
        }
        uint8_t out[4];
        cr_assert_eq(base64_decode(out, sizeof(out), "Zm\0v", 4), -EBADMSG, "a NUL");
}

/* Whatever four characters decode to is encoded as the same four: 4096 endings of one group. */
Test(base64, decoding_is_injective)
{
        for (unsigned a = 0; a < 256; a++) {
                for (unsigned b = 0; b < 256; b++) {
                        char in[4] = {'Q', 'k', (char)a, (char)b}, again[5];
                        uint8_t out[3];
                        long n = base64_decode(out, sizeof(out), in, 4);
                        if (n < 0)
                                continue;
                        base64_encode(again, out, (size_t)n);
                        cr_assert_eq(memcmp(in, again, 4), 0, "Qk%02x%02x", a, b);
                }
        }
}
