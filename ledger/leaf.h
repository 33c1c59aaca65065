/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger's entry for a record: small and fixed, says nothing of the patient.
 *
 *   version u8 (1) ‖ kind u8 (enum record_kind) ‖ minute u32be (Unix time / 60) ‖ record digest (32)
 *
 * 0x00 ‖ entry fits one SHA-256 block. */
#ifndef AORTA_LEDGER_LEAF_H
#define AORTA_LEDGER_LEAF_H

#include <stdint.h>

#define LEAF_VERSION     1u
#define LEAF_ENTRY_BYTES 38u
#define HASH_BYTES       32u

void leaf_entry_write(uint8_t entry[LEAF_ENTRY_BYTES], uint8_t kind, uint64_t received_ns,
    const uint8_t digest[HASH_BYTES]);
/* RFC 6962 §2.1: SHA-256(0x00 ‖ entry). */
void leaf_hash(uint8_t hash[HASH_BYTES], const uint8_t *entry, uint32_t entry_bytes);

#endif
