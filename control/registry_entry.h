/* SPDX-License-Identifier: Apache-2.0 */
/* What the registry keeps in a slot of the store, and its bytes (docs/formats.md). All integers are
 * little-endian; a text is its length (one byte) and its bytes in a field of fixed size.
 *
 *   realm check (slot 0)      kind 'R' ‖ version ‖ wrapped constant (56)
 *   patient                   kind 'P' ‖ version ‖ slot u32 ‖ key epoch u32 ‖ name (64) ‖ wrapped
 * key (72) device                    kind 'D' ‖ version ‖ flags ‖ alg ‖ generation ‖ slot u32 ‖
 * patient u32 ‖ context id u64 ‖ enrolled u64 (Unix ns) ‖ kid (8) ‖ server's ID (8) ‖ ID context
 * (17) ‖ name (64) ‖ fingerprint (16) ‖ wrapped secrets (90)
 *
 * Wrapped secrets hold secret (33) ‖ salt (17), always 50 bytes. A removed device keeps its entry,
 * with zeros for them. */
#ifndef AORTA_CONTROL_REGISTRY_ENTRY_H
#define AORTA_CONTROL_REGISTRY_ENTRY_H

#include "control/registry.h"
#include "crypto/keys.h"
#include "ledger/store.h"

#include <assert.h>
#include <stdint.h>

#define ENTRY_VERSION           1u
#define ENTRY_NAME_BYTES        64u
#define ENTRY_SECRETS_BYTES     (1 + OSCORE_SECRET_BYTES_MAX + 1 + OSCORE_SALT_BYTES_MAX)
#define ENTRY_WRAPPED_BYTES     (ENTRY_SECRETS_BYTES + WRAP_OVERHEAD)
#define ENTRY_FINGERPRINT_BYTES 16u
#define ENTRY_CHECK_BYTES       16u

enum entry_kind { ENTRY_REALM_CHECK = 'R', ENTRY_PATIENT = 'P', ENTRY_DEVICE = 'D' };

#define ENTRY_NATIVE         0x01u
#define ENTRY_LAB            0x02u
#define ENTRY_REMOVED        0x04u
#define ENTRY_HAS_ID_CONTEXT 0x08u
#define ENTRY_FLAGS          0x0fu

struct patient_entry {
        uint32_t store_slot;
        uint32_t slot;
        uint32_t key_epoch;
        uint32_t active;             /* devices; in memory only */
        char name[ENTRY_NAME_BYTES]; /* empty: no such patient */
        uint8_t wrapped[WRAPPED_KEY_BYTES];
};

struct device_entry {
        uint64_t context_id, enrolled_ns;
        uint32_t store_slot, slot, patient;
        uint8_t flags, alg, generation;
        uint8_t kid_bytes, server_id_bytes, id_context_bytes;
        uint8_t kid[OSCORE_ID_BYTES_MAX], server_id[OSCORE_ID_BYTES_MAX];
        uint8_t id_context[OSCORE_ID_CONTEXT_BYTES_MAX];
        uint8_t fingerprint[ENTRY_FINGERPRINT_BYTES];
        uint8_t wrapped[ENTRY_WRAPPED_BYTES];
        char name[ENTRY_NAME_BYTES];
};
static_assert(sizeof(struct device_entry) <= 256, "a million devices stay under 256 MB");

#define ENTRY_REALM_CHECK_VALUE_BYTES (2u + ENTRY_CHECK_BYTES + WRAP_OVERHEAD)
#define ENTRY_PATIENT_VALUE_BYTES     (10u + ENTRY_NAME_BYTES + WRAPPED_KEY_BYTES)
#define ENTRY_DEVICE_VALUE_BYTES                                                                   \
        (29u + 8u + 8u + 17u + ENTRY_NAME_BYTES + ENTRY_FINGERPRINT_BYTES + ENTRY_WRAPPED_BYTES)
static_assert(ENTRY_DEVICE_VALUE_BYTES <= STORE_VALUE_BYTES, "an entry fits its slot");

void entry_write_patient(uint8_t *value, const struct patient_entry *patient);
void entry_write_device(uint8_t *value, const struct device_entry *device);
/* 0, or -EBADMSG for what entry_write_* never writes. */
int entry_read_patient(struct patient_entry *patient, const uint8_t *value, uint32_t value_bytes);
int entry_read_device(struct device_entry *device, const uint8_t *value, uint32_t value_bytes);

/* A name of a device or a patient: 1 to 63 of A-Z a-z 0-9 . _ : - */
bool entry_name_valid(const char *name);

#endif
