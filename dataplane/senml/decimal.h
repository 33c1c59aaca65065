/* SPDX-License-Identifier: Apache-2.0 */
/* Decimal numbers: what a device wrote is what the ledger's reader sees, 36.6 and not
 * 36.6000000000000014. Value = mantissa * 10^exponent10.
 *
 * Every function here takes any mantissa and exponent. A result whose digits do not fit the
 * mantissa is rounded once, half to even, to at least DECIMAL_DIGITS_MAX of them. An exponent
 * beyond
 * +-DECIMAL_EXPONENT_MAX is -ERANGE (a small magnitude is not made zero). No locale, no allocation,
 * no global state: any thread. On an error *out is untouched. */
#ifndef AORTA_SENML_DECIMAL_H
#define AORTA_SENML_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define DECIMAL_DIGITS_MAX   18   /* that a mantissa always holds */
#define DECIMAL_EXPONENT_MAX 400  /* covers every IEEE double */
#define DECIMAL_INPUT_MAX    1024 /* bytes of a number's text; more is -ERANGE */
#define DECIMAL_TEXT_MAX     32   /* bytes that decimal_print needs at most, its NUL included */

struct decimal {
        int64_t mantissa;
        int16_t exponent10;
};

#define DECIMAL(m, e) ((struct decimal){.mantissa = (m), .exponent10 = (e)})

/* Reads the JSON number (RFC 8259 §6) at the start of text. Returns its length in bytes, -EINVAL
 * when no number starts there, or -ERANGE. What follows the number is the caller's to judge. */
ssize_t decimal_parse(struct decimal *out, const uint8_t *text, size_t bytes);

/* mantissa * 10^exponent10 as it came from elsewhere (a CBOR decimal fraction); 0 or -ERANGE. */
int decimal_make(struct decimal *out, int64_t mantissa, int64_t exponent10);

/* Magnitude and sign: a CBOR integer, whose range is larger than int64_t. negative gives
 * -1 - magnitude (RFC 8949 §3.1, major type 1). Never fails. */
struct decimal decimal_from_cbor_integer(uint64_t magnitude, bool negative);

/* IEEE 754 binary numbers, given as their bits: the shortest decimal that a reader of that width
 * turns back into the same bits; an integer below 2^63 exactly. -EINVAL for NaN and infinities. */
int decimal_from_double(struct decimal *out, uint64_t bits);
int decimal_from_single(struct decimal *out, uint32_t bits);
int decimal_from_half(struct decimal *out, uint16_t bits);

/* a + b, correctly rounded. 0 or -ERANGE. */
int decimal_add(struct decimal *out, struct decimal a, struct decimal b);

/* a * numerator / denominator, correctly rounded. Exact results stay exact. 0 or -ERANGE;
 * -EINVAL when denominator < 1. */
int decimal_scale(struct decimal *out, struct decimal a, int64_t numerator, int64_t denominator);

/* a rounded half to even to at most digits significant digits (1..DECIMAL_DIGITS_MAX). */
int decimal_round(struct decimal *out, struct decimal a, int digits);

/* Without trailing zeros: one representation a value; zero is {0, 0}. 0 or -ERANGE. */
int decimal_normalize(struct decimal *out, struct decimal a);

/* -1, 0 or 1 as a is less than, equal to or greater than b, by value. Never fails. */
int decimal_compare(struct decimal a, struct decimal b);

/* a * 10^9 as an integer, half to even: seconds to nanoseconds. 0 or -ERANGE. */
int decimal_to_nanoseconds(int64_t *out, struct decimal seconds);

/* The inverse, exact. */
struct decimal decimal_from_nanoseconds(int64_t ns);

/* Writes a as a JSON number, NUL-terminated: plain notation where it stays short, else with an
 * exponent; no trailing zeros. Returns the bytes without the NUL or -ENOSPC; DECIMAL_TEXT_MAX is
 * always enough for what these functions made. */
ssize_t decimal_print(char *out, size_t capacity, struct decimal a);

#endif
