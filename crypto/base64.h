/* SPDX-License-Identifier: Apache-2.0 */
/* Standard base64 with padding (RFC 4648 §4), strict when decoding. */
#ifndef AORTA_CRYPTO_BASE64_H
#define AORTA_CRYPTO_BASE64_H

#include <stddef.h>
#include <stdint.h>

#define BASE64_BYTES(n) (((n) + 2) / 3 * 4)

/* Writes BASE64_BYTES(n) characters and a NUL. */
void base64_encode(char *out, const uint8_t *in, size_t n);
/* Decodes exactly in_chars characters; returns the bytes written or -EBADMSG (also for more than
 * out_bytes). Non-canonical forms are refused. */
long base64_decode(uint8_t *out, size_t out_bytes, const char *in, size_t in_chars);

#endif
