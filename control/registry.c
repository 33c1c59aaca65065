/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, finding, removing; enrolment is in registry_enrol.c. */
#include "control/registry_internal.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK_TEXT    "aorta registry 1" /* ENTRY_CHECK_BYTES */
#define CHECK_CONTEXT "registry"

struct loading {
        struct registry *registry;
        char why[REGISTRY_WHY_BYTES];
        bool checked;
};

static int
load_check(struct loading *loading, uint32_t slot, const uint8_t *value, uint32_t value_bytes)
{
        uint8_t text[ENTRY_CHECK_BYTES];

        if (slot != 0 || value_bytes != ENTRY_REALM_CHECK_VALUE_BYTES || value[1] != ENTRY_VERSION)
                return -EBADMSG;
        if (realm_unwrap(loading->registry->realm_key, text, value + 2, value_bytes - 2,
                CHECK_CONTEXT, strlen(CHECK_CONTEXT)) != 0 ||
            memcmp(text, CHECK_TEXT, sizeof(text)) != 0) {
                snprintf(loading->why, sizeof(loading->why),
                    "the realm key does not open this registry: keys.realm names another key file "
                    "than the one that this state was made with; put the right one back");
                return -EKEYREJECTED;
        }
        loading->checked = true;
        return 0;
}

static int
load_patient(struct loading *loading, uint32_t slot, const uint8_t *value, uint32_t value_bytes)
{
        struct registry *registry = loading->registry;
        struct patient_entry patient = {.store_slot = slot};
        int rc = entry_read_patient(&patient, value, value_bytes);

        if (rc != 0)
                return rc;
        if (patient.slot >= registry->patients_max) {
                snprintf(loading->why, sizeof(loading->why),
                    "the registry has a patient in slot %u and room for %u patients: set "
                    "dataplane.patients to at least %u",
                    patient.slot, registry->patients_max, patient.slot + 1);
                return -ENOSPC;
        }
        if (patient_at(registry, patient.slot) != NULL)
                return -EBADMSG;
        return memory_add_patient(registry, &patient);
}

/* Two active devices with one name, kid or slot: the write of the older one had failed, so its
 * credentials were never told to anyone, and the younger one was enrolled in its place. */
static void
retire_shadowed(struct registry *registry, const struct device_entry *device)
{
        uint32_t entry;

        entry = memory_find_name(registry, device->name);
        if (entry != INDEX_NONE)
                memory_retire_device(registry, entry);
        entry = memory_find_kid(registry, device);
        if (entry != INDEX_NONE)
                memory_retire_device(registry, entry);
        if (registry->slot_device[device->slot] != 0)
                memory_retire_device(registry, registry->slot_device[device->slot] - 1);
}

static int
load_device(struct loading *loading, uint32_t slot, const uint8_t *value, uint32_t value_bytes)
{
        struct registry *registry = loading->registry;
        struct device_entry device = {.store_slot = slot};
        uint16_t *generation;
        int rc = entry_read_device(&device, value, value_bytes);

        if (rc != 0)
                return rc;
        if (device.slot >= registry->devices_max) {
                snprintf(loading->why, sizeof(loading->why),
                    "the registry has a device in slot %u and room for %u devices: set "
                    "dataplane.devices to at least %u",
                    device.slot, registry->devices_max, device.slot + 1);
                return -ENOSPC;
        }
        if (memory_find_context(registry, device.context_id) != INDEX_NONE ||
            patient_at(registry, device.patient) == NULL)
                return -EBADMSG;
        rc = memory_reserve(registry, 1);
        if (rc != 0)
                return rc;
        generation = &registry->slot_generation[device.slot];
        if (*generation == SLOT_UNUSED || *generation < device.generation)
                *generation = device.generation;
        if ((device.flags & ENTRY_REMOVED) == 0)
                retire_shadowed(registry, &device);
        memory_add_device(registry, &device);
        return 0;
}

static int
load(void *user, uint32_t slot, const uint8_t *value, uint32_t value_bytes)
{
        struct loading *loading = user;
        int rc = -EBADMSG;

        /* The check comes first: nothing else is read under another realm's key. */
        if (value_bytes >= 2 && (value[0] == ENTRY_REALM_CHECK || loading->checked)) {
                if (value[0] == ENTRY_REALM_CHECK)
                        rc = load_check(loading, slot, value, value_bytes);
                else if (value[0] == ENTRY_PATIENT)
                        rc = load_patient(loading, slot, value, value_bytes);
                else if (value[0] == ENTRY_DEVICE)
                        rc = load_device(loading, slot, value, value_bytes);
        }
        if (rc == -EBADMSG)
                snprintf(loading->why, sizeof(loading->why),
                    "slot %u of the store holds no entry of a registry, or one that does not fit "
                    "the others: restore store.a and store.b from a copy",
                    slot);
        return rc;
}

static int
put_check(struct registry *registry)
{
        uint8_t value[ENTRY_REALM_CHECK_VALUE_BYTES] = {ENTRY_REALM_CHECK, ENTRY_VERSION};
        int rc;

        static_assert(sizeof(CHECK_TEXT) - 1 == ENTRY_CHECK_BYTES, "length of the constant");
        rc = realm_wrap(registry->realm_key, value + 2, (const uint8_t *)CHECK_TEXT,
            ENTRY_CHECK_BYTES, CHECK_CONTEXT, strlen(CHECK_CONTEXT));
        return rc != 0 ? rc : store_put(registry->store, 0, value, sizeof(value));
}

static int
open_store(struct registry *registry, const struct registry_config *config, struct loading *loading,
    char *why)
{
        struct store_volumes volumes = {
            .paths = config->volumes, .data = config->data, .parity = config->parity};

        if (config->volumes == NULL)
                return store_open(&registry->store, config->path, load, loading, why);
        return store_open_volumes(&registry->store, &volumes, load, loading, why);
}

uint32_t
registry_copies(const struct registry *registry)
{
        return store_copies(registry->store);
}

int
registry_copy_leave(struct registry *registry, unsigned i)
{
        return store_leave(registry->store, i);
}

int
registry_copy_join(struct registry *registry, unsigned i, const char *path, char *why)
{
        return store_join(registry->store, i, path, why);
}

int
registry_open(struct registry **registry, const struct registry_config *config, char *why)
{
        struct loading loading = {.why = ""};
        const char *where = config->path != NULL ? config->path : "the volumes' store";
        struct registry *own = calloc(1, sizeof(*own));
        int rc;

        why[0] = '\0';
        if (own == NULL)
                return -ENOMEM;
        assert(config->devices > 0 && config->devices <= DEVICES_MAX);
        assert(config->patients > 0 && config->patients <= PATIENTS_MAX);
        loading.registry = own;
        own->realm_key = config->realm_key;
        rc = memory_create(own, config->devices, config->patients);
        if (rc == 0)
                rc = open_store(own, config, &loading, why);
        if (rc == 0) {
                memory_settle_slots(own);
                own->next_store_slot = store_end(own->store);
                if (own->next_store_slot == 0) {
                        rc = put_check(own);
                        own->next_store_slot = 1;
                }
        }
        if (rc != 0) {
                if (loading.why[0] != '\0')
                        snprintf(why, REGISTRY_WHY_BYTES, "%s: %s", where, loading.why);
                else if (why[0] == '\0')
                        snprintf(why, REGISTRY_WHY_BYTES, "%s: the registry cannot be opened: %s",
                            where, strerror(-rc));
                registry_close(own);
                return rc;
        }
        *registry = own;
        return 0;
}

void
registry_close(struct registry *registry)
{
        if (registry == NULL)
                return;
        if (registry->store != NULL)
                store_close(registry->store);
        memory_free(registry);
        free(registry);
}

void
device_of_entry(
    const struct registry *registry, const struct device_entry *entry, struct device *device)
{
        const struct patient_entry *patient = patient_at(registry, entry->patient);

        assert(patient != NULL);
        memset(device, 0, sizeof(*device));
        strcpy(device->name, entry->name);
        strcpy(device->patient, patient->name);
        device->context_id = entry->context_id;
        device->enrolled_ns = entry->enrolled_ns;
        device->slot = entry->slot;
        device->patient_slot = entry->patient;
        device->generation = entry->generation;
        device->native = entry->flags & ENTRY_NATIVE;
        device->lab = entry->flags & ENTRY_LAB;
        device->removed = entry->flags & ENTRY_REMOVED;
        device->alg = entry->alg;
        device->kid_bytes = entry->kid_bytes;
        memcpy(device->kid, entry->kid, entry->kid_bytes);
        device->has_id_context = entry->flags & ENTRY_HAS_ID_CONTEXT;
        device->id_context_bytes = entry->id_context_bytes;
        memcpy(device->id_context, entry->id_context, entry->id_context_bytes);
}

int
registry_remove(struct registry *registry, const char *name, struct device *device)
{
        uint8_t value[ENTRY_DEVICE_VALUE_BYTES];
        struct device_entry removed;
        uint32_t entry;
        int rc;

        entry = strlen(name) < ENTRY_NAME_BYTES ? memory_find_name(registry, name) : INDEX_NONE;
        if (entry == INDEX_NONE)
                return -ENOENT;
        removed = *device_at(registry, entry);
        removed.flags |= ENTRY_REMOVED;
        memset(removed.wrapped, 0, sizeof(removed.wrapped));
        entry_write_device(value, &removed);
        rc = store_put(registry->store, removed.store_slot, value, sizeof(value));
        if (rc != 0)
                return rc;
        memory_retire_device(registry, entry);
        device_of_entry(registry, device_at(registry, entry), device);
        return 0;
}

int
registry_find(const struct registry *registry, const char *name, struct device *device)
{
        uint32_t entry =
            strlen(name) < ENTRY_NAME_BYTES ? memory_find_name(registry, name) : INDEX_NONE;

        if (entry == INDEX_NONE)
                return -ENOENT;
        device_of_entry(registry, device_at(registry, entry), device);
        return 0;
}

int
registry_find_patient(const struct registry *registry, const char *name, uint32_t *patient_slot)
{
        uint32_t slot =
            strlen(name) < ENTRY_NAME_BYTES ? memory_find_patient(registry, name) : INDEX_NONE;

        if (slot == INDEX_NONE)
                return -ENOENT;
        *patient_slot = slot;
        return 0;
}

int
registry_find_context(const struct registry *registry, uint64_t context_id, struct device *device)
{
        uint32_t entry = memory_find_context(registry, context_id);

        if (entry == INDEX_NONE)
                return -ENOENT;
        device_of_entry(registry, device_at(registry, entry), device);
        return 0;
}

uint32_t
registry_page(const struct registry *registry, bool all, uint32_t *position, struct device *devices,
    uint32_t n)
{
        uint32_t end = all ? registry->devices_n : registry->devices_max, filled = 0, entry;

        for (; *position < end && filled < n; ++*position) {
                if (all)
                        entry = *position;
                else if (registry->slot_device[*position] != 0)
                        entry = registry->slot_device[*position] - 1;
                else
                        continue;
                device_of_entry(registry, device_at(registry, entry), &devices[filled++]);
        }
        return filled;
}

int
registry_walk(const struct registry *registry, bool all,
    int (*fn)(void *user, const struct device *device), void *user)
{
        struct device device;
        uint32_t position = 0;
        int rc;

        while (registry_page(registry, all, &position, &device, 1) == 1) {
                rc = fn(user, &device);
                if (rc < 0)
                        return rc;
        }
        return 0;
}

uint32_t
registry_devices(const struct registry *registry)
{
        return registry->active_n;
}

uint32_t
registry_patients(const struct registry *registry)
{
        return registry->patients_n;
}

uint32_t
registry_patient_devices(const struct registry *registry, uint32_t patient_slot)
{
        const struct patient_entry *patient = patient_at(registry, patient_slot);

        return patient != NULL ? patient->active : 0;
}

int
credentials_of_entry(const struct registry *registry, const struct device_entry *entry,
    struct credentials *credentials)
{
        struct oscore_input *oscore = &credentials->oscore;
        struct wrap_context context = wrap_context_device(entry->context_id);
        uint8_t secrets[ENTRY_SECRETS_BYTES];

        memset(credentials, 0, sizeof(*credentials));
        if (entry->flags & ENTRY_REMOVED)
                return -ENOENT;
        if (realm_unwrap(registry->realm_key, secrets, entry->wrapped, sizeof(entry->wrapped),
                context.bytes, sizeof(context.bytes)) != 0 ||
            secrets[0] > OSCORE_SECRET_BYTES_MAX ||
            secrets[1 + OSCORE_SECRET_BYTES_MAX] > OSCORE_SALT_BYTES_MAX) {
                sodium_memzero(secrets, sizeof(secrets));
                return -EBADMSG;
        }
        oscore->secret_bytes = secrets[0];
        memcpy(oscore->secret, secrets + 1, oscore->secret_bytes);
        oscore->salt_bytes = secrets[1 + OSCORE_SECRET_BYTES_MAX];
        memcpy(oscore->salt, secrets + 2 + OSCORE_SECRET_BYTES_MAX, oscore->salt_bytes);
        sodium_memzero(secrets, sizeof(secrets));
        oscore->alg = entry->alg;
        oscore->sender_id_bytes = entry->server_id_bytes;
        memcpy(oscore->sender_id, entry->server_id, entry->server_id_bytes);
        oscore->recipient_id_bytes = entry->kid_bytes;
        memcpy(oscore->recipient_id, entry->kid, entry->kid_bytes);
        oscore->has_id_context = entry->flags & ENTRY_HAS_ID_CONTEXT;
        oscore->id_context_bytes = entry->id_context_bytes;
        memcpy(oscore->id_context, entry->id_context, entry->id_context_bytes);
        return 0;
}

int
registry_credentials(
    const struct registry *registry, const struct device *device, struct credentials *credentials)
{
        uint32_t entry = memory_find_context(registry, device->context_id);

        if (entry == INDEX_NONE)
                return -ENOENT;
        return credentials_of_entry(registry, device_at(registry, entry), credentials);
}

int
registry_patient_key(const struct registry *registry, uint32_t patient_slot,
    uint8_t key[DATA_KEY_BYTES], uint32_t *key_epoch)
{
        const struct patient_entry *patient = patient_at(registry, patient_slot);
        struct wrap_context context = wrap_context_patient(patient_slot);

        if (patient == NULL)
                return -ENOENT;
        if (realm_unwrap(registry->realm_key, key, patient->wrapped, sizeof(patient->wrapped),
                context.bytes, sizeof(context.bytes)) != 0)
                return -EBADMSG;
        *key_epoch = patient->key_epoch;
        return 0;
}
