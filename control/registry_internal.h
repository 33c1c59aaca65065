/* SPDX-License-Identifier: Apache-2.0 */
/* What the registry's files share: the entries in memory and their indexes. */
#ifndef AORTA_CONTROL_REGISTRY_INTERNAL_H
#define AORTA_CONTROL_REGISTRY_INTERNAL_H

#include "control/registry.h"
#include "control/registry_entry.h"
#include "control/registry_index.h"
#include "ledger/store.h"

#include <string.h>

#define CHUNK_ENTRIES 4096u
#define CHUNKS_MAX    (STORE_SLOTS_MAX / CHUNK_ENTRIES)
#define SLOT_UNUSED   UINT16_MAX

struct registry {
        const struct realm_key *realm_key;
        struct store *store;
        uint32_t next_store_slot;
        uint64_t next_context_id;

        struct device_entry *devices[CHUNKS_MAX]; /* in order of enrolment; removed ones too */
        uint32_t devices_n, active_n;
        struct patient_entry *patients[CHUNKS_MAX]; /* by patient slot */
        uint32_t patients_n, next_patient;          /* next_patient: the lowest slot never used */
        struct index patient_name, name, kid, context, fingerprint; /* name, kid: active ones */
        uint8_t hash_key[16];

        /* Slots of contexts. A slot never used comes before one that is used again, and of those
         * the one that has been free the longest: it is least likely to have something pending. */
        uint32_t devices_max, patients_max;
        uint32_t fresh;            /* the lowest slot that may never have been used */
        uint16_t *slot_generation; /* the last one given; SLOT_UNUSED */
        uint32_t *slot_device;     /* entry + 1 of the active device; 0 */
        uint32_t *free_slots;      /* ring of devices_max */
        uint32_t free_head, free_n;
};

static inline struct device_entry *
device_at(const struct registry *registry, uint32_t entry)
{
        assert(entry < registry->devices_n);
        return &registry->devices[entry / CHUNK_ENTRIES][entry % CHUNK_ENTRIES];
}

/* The patient of a slot, or NULL. */
static inline struct patient_entry *
patient_at(const struct registry *registry, uint32_t slot)
{
        struct patient_entry *chunk;

        if (slot >= registry->patients_max || slot / CHUNK_ENTRIES >= CHUNKS_MAX)
                return NULL;
        chunk = registry->patients[slot / CHUNK_ENTRIES];
        if (chunk == NULL || chunk[slot % CHUNK_ENTRIES].name[0] == '\0')
                return NULL;
        return &chunk[slot % CHUNK_ENTRIES];
}

/* What a wrapped secret is bound to: its kind and the number of its owner. */
struct wrap_context {
        uint8_t bytes[15]; /* "patient" or "device\0" ‖ u64 little-endian */
};

static inline struct wrap_context
wrap_context(const char kind[8], uint64_t number)
{
        struct wrap_context context;

        memcpy(context.bytes, kind, 7);
        for (unsigned i = 0; i < 8; i++)
                context.bytes[7 + i] = (uint8_t)(number >> (8 * i));
        return context;
}

static inline struct wrap_context
wrap_context_device(uint64_t context_id)
{
        return wrap_context("device\0", context_id);
}

static inline struct wrap_context
wrap_context_patient(uint32_t slot)
{
        return wrap_context("patient", slot);
}

/* ---- registry.c ---- */

void device_of_entry(
    const struct registry *registry, const struct device_entry *entry, struct device *device);
int credentials_of_entry(const struct registry *registry, const struct device_entry *entry,
    struct credentials *credentials);

/* ---- registry_memory.c ---- */

int memory_create(struct registry *registry, uint32_t devices_max, uint32_t patients_max);
void memory_free(struct registry *registry);
/* Room for n more devices, each with a patient of its own: the adding below cannot fail for them.
 */
int memory_reserve(struct registry *registry, uint32_t n);
/* Adds a copy. An active device takes its slot, which must be free. */
uint32_t memory_add_device(struct registry *registry, const struct device_entry *device);
/* Takes an active device out of use; its secrets are wiped, its slot is free. */
void memory_retire_device(struct registry *registry, uint32_t entry);
int memory_add_patient(struct registry *registry, const struct patient_entry *patient);
uint32_t memory_find_patient(const struct registry *registry, const char *name);
uint32_t memory_find_name(const struct registry *registry, const char *name);
uint32_t memory_find_kid(const struct registry *registry, const struct device_entry *like);
uint32_t memory_find_context(const struct registry *registry, uint64_t context_id);
uint32_t memory_find_fingerprint(const struct registry *registry, const uint8_t fingerprint[16]);
/* The slot and generation the next device gets, ahead by i devices. -ENOSPC. */
int memory_peek_slot(const struct registry *registry, uint32_t *slot, uint8_t *generation);
/* Takes the slot that memory_peek_slot() told. */
void memory_take_slot(struct registry *registry);
/* After loading: every slot seen and not in use is free, or retired after its last generation. */
void memory_settle_slots(struct registry *registry);

#endif
