/* SPDX-License-Identifier: Apache-2.0 */
/* SenML packs (RFC 8428) as a device writes them: one of JSON or CBOR. */
#ifndef AORTA_BENCH_PACK_H
#define AORTA_BENCH_PACK_H

#include "bench/patient.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PACK_BYTES_MAX 1024u
#define PACK_VALUE_MAX 1e12

enum pack_format { PACK_JSON = 110, PACK_CBOR = 112 }; /* CoAP content formats */

/* Writes the present signs of `signs` (bit per sign) with base name "urn:dev:mac:<device>:" and
 * base time. Returns the length, -ENOSPC, -ENODATA when no value is present, or -ERANGE for a value
 * that is no finite number below PACK_VALUE_MAX. Values are rounded to the digits a device reports,
 * without trailing zeros: the same decimal in both formats. */
ssize_t pack_write(uint8_t *out, size_t out_bytes, enum pack_format format, uint64_t device,
    uint64_t unix_seconds, const struct vitals_sample *sample, uint32_t signs);

#endif
