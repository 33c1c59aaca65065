/* SPDX-License-Identifier: Apache-2.0 */
/* Echo values (RFC 9175 §2; RFC 8613 §B.1.2): bound to a boot by its secret, to a context and to a
 * time. Pure; any thread. */
#ifndef AORTA_DATAPLANE_ECHO_H
#define AORTA_DATAPLANE_ECHO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ECHO_BYTES        16u /* time, 4 bytes of seconds ‖ MAC, 12 bytes */
#define ECHO_SECRET_BYTES 32u
#define ECHO_LIFETIME_S   60u

void echo_make(uint8_t echo[ECHO_BYTES], const uint8_t secret[ECHO_SECRET_BYTES],
    uint64_t context_id, uint64_t now_ns);
/* True for a value that this boot made for this context, at most ECHO_LIFETIME_S ago. */
bool echo_valid(const uint8_t *echo, size_t echo_bytes, const uint8_t secret[ECHO_SECRET_BYTES],
    uint64_t context_id, uint64_t now_ns);

#endif
