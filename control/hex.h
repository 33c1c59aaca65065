/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as hexadecimal text. */
#ifndef AORTA_CONTROL_HEX_H
#define AORTA_CONTROL_HEX_H

#include <stddef.h>
#include <stdint.h>

/* 2 n lower-case digits and a NUL. */
void hex_encode(char *out, const uint8_t *in, size_t n);
/* The bytes of a text of an even number of digits: how many, or -EINVAL (no digit, odd), -E2BIG
 * (more than out_bytes). */
long hex_decode(uint8_t *out, size_t out_bytes, const char *text);

#endif
