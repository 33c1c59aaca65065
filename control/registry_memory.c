/* SPDX-License-Identifier: Apache-2.0 */
/* The registry in memory: entries, indexes, free slots. Nothing here writes. */
#include "control/registry_internal.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static uint32_t
hash(const struct registry *registry, const void *key, size_t key_bytes)
{
        uint8_t out[crypto_shorthash_BYTES];
        uint32_t word;

        static_assert(
            sizeof(registry->hash_key) == crypto_shorthash_KEYBYTES, "SipHash takes 16 bytes");
        crypto_shorthash(out, key, key_bytes, registry->hash_key);
        memcpy(&word, out, sizeof(word));
        return word;
}

/* kid and ID context as one key: lengths first, so that no two pairs share it. */
struct kid_key {
        uint8_t bytes[3 + OSCORE_ID_BYTES_MAX + OSCORE_ID_CONTEXT_BYTES_MAX];
};

static struct kid_key
kid_key(const struct device_entry *device)
{
        struct kid_key key = {0};

        key.bytes[0] = device->kid_bytes;
        key.bytes[1] = (device->flags & ENTRY_HAS_ID_CONTEXT) != 0;
        key.bytes[2] = device->id_context_bytes;
        memcpy(key.bytes + 3, device->kid, device->kid_bytes);
        memcpy(key.bytes + 3 + OSCORE_ID_BYTES_MAX, device->id_context, device->id_context_bytes);
        return key;
}

static uint32_t
hash_kid(const struct registry *registry, const struct device_entry *device)
{
        struct kid_key key = kid_key(device);

        return hash(registry, key.bytes, sizeof(key.bytes));
}

static bool
same_patient(const void *user, uint32_t entry, const void *key)
{
        const struct patient_entry *patient = patient_at(user, entry);

        return patient != NULL && strcmp(patient->name, key) == 0;
}

static bool
same_name(const void *user, uint32_t entry, const void *key)
{
        return strcmp(device_at(user, entry)->name, key) == 0;
}

static bool
same_kid(const void *user, uint32_t entry, const void *key)
{
        struct kid_key own = kid_key(device_at(user, entry)), other = kid_key(key);

        return memcmp(own.bytes, other.bytes, sizeof(own.bytes)) == 0;
}

static bool
same_context(const void *user, uint32_t entry, const void *key)
{
        return device_at(user, entry)->context_id == *(const uint64_t *)key;
}

static bool
same_fingerprint(const void *user, uint32_t entry, const void *key)
{
        return memcmp(device_at(user, entry)->fingerprint, key, ENTRY_FINGERPRINT_BYTES) == 0;
}

uint32_t
memory_find_patient(const struct registry *registry, const char *name)
{
        return index_find(&registry->patient_name, hash(registry, name, strlen(name)), same_patient,
            registry, name);
}

uint32_t
memory_find_name(const struct registry *registry, const char *name)
{
        return index_find(
            &registry->name, hash(registry, name, strlen(name)), same_name, registry, name);
}

uint32_t
memory_find_kid(const struct registry *registry, const struct device_entry *like)
{
        return index_find(&registry->kid, hash_kid(registry, like), same_kid, registry, like);
}

uint32_t
memory_find_context(const struct registry *registry, uint64_t context_id)
{
        return index_find(&registry->context, hash(registry, &context_id, sizeof(context_id)),
            same_context, registry, &context_id);
}

uint32_t
memory_find_fingerprint(const struct registry *registry, const uint8_t fingerprint[16])
{
        return index_find(&registry->fingerprint,
            hash(registry, fingerprint, ENTRY_FINGERPRINT_BYTES), same_fingerprint, registry,
            fingerprint);
}

int
memory_create(struct registry *registry, uint32_t devices_max, uint32_t patients_max)
{
        struct index *const indexes[] = {&registry->patient_name, &registry->name, &registry->kid,
            &registry->context, &registry->fingerprint};

        randombytes_buf(registry->hash_key, sizeof(registry->hash_key));
        registry->devices_max = devices_max;
        registry->patients_max = patients_max;
        registry->next_context_id = 1;
        for (unsigned i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++)
                if (index_create(indexes[i]) != 0)
                        return -ENOMEM;
        registry->slot_generation = malloc(devices_max * sizeof(*registry->slot_generation));
        registry->slot_device = calloc(devices_max, sizeof(*registry->slot_device));
        registry->free_slots = calloc(devices_max, sizeof(*registry->free_slots));
        if (registry->slot_generation == NULL || registry->slot_device == NULL ||
            registry->free_slots == NULL)
                return -ENOMEM;
        memset(registry->slot_generation, 0xff, devices_max * sizeof(*registry->slot_generation));
        return 0;
}

void
memory_free(struct registry *registry)
{
        for (uint32_t i = 0; i < CHUNKS_MAX; i++) {
                free(registry->devices[i]);
                free(registry->patients[i]);
        }
        index_free(&registry->patient_name);
        index_free(&registry->name);
        index_free(&registry->kid);
        index_free(&registry->context);
        index_free(&registry->fingerprint);
        free(registry->slot_generation);
        free(registry->slot_device);
        free(registry->free_slots);
}

static int
reserve_patient(struct registry *registry, uint32_t slot)
{
        struct patient_entry **chunk = &registry->patients[slot / CHUNK_ENTRIES];

        if (*chunk == NULL)
                *chunk = calloc(CHUNK_ENTRIES, sizeof(**chunk));
        return *chunk != NULL ? 0 : -ENOMEM;
}

int
memory_reserve(struct registry *registry, uint32_t n)
{
        struct index *const indexes[] = {&registry->patient_name, &registry->name, &registry->kid,
            &registry->context, &registry->fingerprint};

        if ((uint64_t)registry->devices_n + n > STORE_SLOTS_MAX)
                return -ENOSPC;
        for (uint32_t i = registry->devices_n / CHUNK_ENTRIES;
             n > 0 && i <= (registry->devices_n + n - 1) / CHUNK_ENTRIES; i++) {
                if (registry->devices[i] == NULL)
                        registry->devices[i] = calloc(CHUNK_ENTRIES, sizeof(*registry->devices[i]));
                if (registry->devices[i] == NULL)
                        return -ENOMEM;
        }
        for (uint32_t i = 0; i < n && registry->next_patient + i < registry->patients_max; i++)
                if (reserve_patient(registry, registry->next_patient + i) != 0)
                        return -ENOMEM;
        for (unsigned i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++)
                if (index_reserve(indexes[i], n) != 0)
                        return -ENOMEM;
        return 0;
}

uint32_t
memory_add_device(struct registry *registry, const struct device_entry *device)
{
        uint32_t entry = registry->devices_n++;
        struct device_entry *own = device_at(registry, entry);

        *own = *device;
        index_add(
            &registry->context, hash(registry, &own->context_id, sizeof(own->context_id)), entry);
        index_add(&registry->fingerprint, hash(registry, own->fingerprint, ENTRY_FINGERPRINT_BYTES),
            entry);
        if (own->context_id >= registry->next_context_id)
                registry->next_context_id = own->context_id + 1;
        if (own->flags & ENTRY_REMOVED)
                return entry;
        assert(registry->slot_device[own->slot] == 0);
        registry->slot_device[own->slot] = entry + 1;
        index_add(&registry->name, hash(registry, own->name, strlen(own->name)), entry);
        index_add(&registry->kid, hash_kid(registry, own), entry);
        registry->active_n++;
        patient_at(registry, own->patient)->active++;
        return entry;
}

static void
give_slot(struct registry *registry, uint32_t slot)
{
        /* After its last generation a slot retires: its kids would come again. */
        if (registry->slot_generation[slot] == UINT8_MAX)
                return;
        assert(registry->free_n < registry->devices_max);
        registry->free_slots[(registry->free_head + registry->free_n++) % registry->devices_max] =
            slot;
}

void
memory_retire_device(struct registry *registry, uint32_t entry)
{
        struct device_entry *own = device_at(registry, entry);

        assert((own->flags & ENTRY_REMOVED) == 0);
        index_remove(&registry->name, hash(registry, own->name, strlen(own->name)), entry);
        index_remove(&registry->kid, hash_kid(registry, own), entry);
        own->flags |= ENTRY_REMOVED;
        sodium_memzero(own->wrapped, sizeof(own->wrapped));
        assert(registry->slot_device[own->slot] == entry + 1);
        registry->slot_device[own->slot] = 0;
        registry->active_n--;
        patient_at(registry, own->patient)->active--;
        give_slot(registry, own->slot);
}

int
memory_add_patient(struct registry *registry, const struct patient_entry *patient)
{
        struct patient_entry *own;
        uint32_t old;

        if (patient->slot >= registry->patients_max ||
            reserve_patient(registry, patient->slot) != 0 ||
            index_reserve(&registry->patient_name, 1) != 0)
                return -ENOMEM;
        own = &registry->patients[patient->slot / CHUNK_ENTRIES][patient->slot % CHUNK_ENTRIES];
        assert(own->name[0] == '\0');
        /* A patient twice: the first one's write had failed, or so it seemed; no device has it. */
        old = memory_find_patient(registry, patient->name);
        if (old != INDEX_NONE)
                index_remove(&registry->patient_name,
                    hash(registry, patient->name, strlen(patient->name)), old);
        *own = *patient;
        index_add(&registry->patient_name, hash(registry, own->name, strlen(own->name)), own->slot);
        registry->patients_n++;
        if (own->slot >= registry->next_patient)
                registry->next_patient = own->slot + 1;
        return 0;
}

int
memory_peek_slot(const struct registry *registry, uint32_t *slot, uint8_t *generation)
{
        uint32_t fresh = registry->fresh;

        while (fresh < registry->devices_max && registry->slot_generation[fresh] != SLOT_UNUSED)
                fresh++;
        if (fresh < registry->devices_max) {
                *slot = fresh;
                *generation = 0;
                return 0;
        }
        if (registry->free_n == 0)
                return -ENOSPC;
        *slot = registry->free_slots[registry->free_head];
        assert(registry->slot_generation[*slot] < UINT8_MAX);
        *generation = (uint8_t)(registry->slot_generation[*slot] + 1);
        return 0;
}

void
memory_take_slot(struct registry *registry)
{
        uint8_t generation = 0;
        uint32_t slot = 0;
        int rc = memory_peek_slot(registry, &slot, &generation);

        assert(rc == 0);
        if (registry->slot_generation[slot] == SLOT_UNUSED) {
                registry->fresh = slot + 1;
        } else {
                registry->fresh = registry->devices_max;
                registry->free_head = (registry->free_head + 1) % registry->devices_max;
                registry->free_n--;
        }
        registry->slot_generation[slot] = generation;
}

void
memory_settle_slots(struct registry *registry)
{
        registry->free_head = registry->free_n = 0;
        for (uint32_t slot = 0; slot < registry->devices_max; slot++)
                if (registry->slot_generation[slot] != SLOT_UNUSED &&
                    registry->slot_device[slot] == 0)
                        give_slot(registry, slot);
}
