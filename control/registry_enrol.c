/* SPDX-License-Identifier: Apache-2.0 */
/* Enrolment. A patient's entry is durable before a device's that names it. What a failed write may
 * or may not have left in the store counts as used: secret, slot, generation and context id are not
 * given again. */
#include "control/registry_internal.h"

#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECRET_BYTES_MIN 16u /* RFC 8613 §3.2: a secret of good randomness */
#define SALT_BYTES_MADE  8u
#define ENROL_CHUNK      4096u /* devices a flush in bulk enrolment */

static int refuse(char *why, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int
refuse(char *why, int error, const char *format, ...)
{
        va_list list;

        va_start(list, format);
        vsnprintf(why, REGISTRY_WHY_BYTES, format, list);
        va_end(list);
        return error;
}

static uint64_t
now_ns(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int
check_name(const char *what, const char *name, char *why)
{
        if (entry_name_valid(name))
                return 0;
        return refuse(why, -EINVAL,
            "the %s's name must have 1 to %u characters of A-Z a-z 0-9 . _ : -", what,
            ENTRY_NAME_BYTES - 1);
}

/* A foreign kid that a native device has or may get one day. */
static bool
kid_is_native_form(const struct enrolment *enrolment)
{
        const uint8_t *kid = enrolment->kid;
        uint8_t native[NATIVE_KID_BYTES];
        uint32_t slot;

        if (enrolment->kid_bytes != NATIVE_KID_BYTES)
                return false;
        slot = (uint32_t)kid[1] << 24 | (uint32_t)kid[2] << 16 | (uint32_t)kid[3] << 8 | kid[4];
        native_kid(native, slot, kid[5]);
        return memcmp(native, kid, sizeof(native)) == 0;
}

static int
check_enrolment(const struct enrolment *enrolment, uint8_t alg, char *why)
{
        size_t id_max = aead_nonce_bytes(alg) - 6; /* RFC 8613 §3.3 */
        int rc;

        rc = check_name("device", enrolment->name, why);
        if (rc == 0)
                rc = check_name("patient", enrolment->patient, why);
        if (rc != 0)
                return rc;
        if (aead_key_bytes(alg) == 0)
                return refuse(why, -EINVAL,
                    "algorithm %u is not served: use 1, 3, 10, 24 or 30 (COSE numbers)", alg);
        if (enrolment->kid_bytes > id_max || enrolment->server_id_bytes > id_max)
                return refuse(why, -EINVAL,
                    "a kid or server ID may have %zu bytes at most with algorithm %u", id_max, alg);
        if (enrolment->secret_bytes != 0 && (enrolment->secret_bytes < SECRET_BYTES_MIN ||
                                                enrolment->secret_bytes > OSCORE_SECRET_BYTES_MAX))
                return refuse(why, -EINVAL, "the master secret must have %u to %u bytes",
                    SECRET_BYTES_MIN, OSCORE_SECRET_BYTES_MAX);
        if (enrolment->salt_bytes > OSCORE_SALT_BYTES_MAX)
                return refuse(why, -EINVAL, "the master salt may have %u bytes at most",
                    OSCORE_SALT_BYTES_MAX);
        if (enrolment->id_context_bytes > OSCORE_ID_CONTEXT_BYTES_MAX ||
            (!enrolment->has_id_context && enrolment->id_context_bytes != 0))
                return refuse(why, -EINVAL, "the ID context may have %u bytes at most",
                    OSCORE_ID_CONTEXT_BYTES_MAX);
        return 0;
}

/* secret, salt and ID context with their lengths: what must never come twice (promise 4). */
static void
make_fingerprint(
    const struct registry *registry, uint8_t fingerprint[16], const struct oscore_input *oscore)
{
        uint8_t
            text[4 + OSCORE_SECRET_BYTES_MAX + OSCORE_SALT_BYTES_MAX + OSCORE_ID_CONTEXT_BYTES_MAX];
        size_t n = 0;

        text[n++] = oscore->secret_bytes;
        memcpy(text + n, oscore->secret, oscore->secret_bytes);
        n += oscore->secret_bytes;
        text[n++] = oscore->salt_bytes;
        memcpy(text + n, oscore->salt, oscore->salt_bytes);
        n += oscore->salt_bytes;
        text[n++] = oscore->has_id_context;
        text[n++] = oscore->id_context_bytes;
        memcpy(text + n, oscore->id_context, oscore->id_context_bytes);
        n += oscore->id_context_bytes;
        realm_fingerprint(registry->realm_key, fingerprint, text, n);
        sodium_memzero(text, sizeof(text));
}

/* The input as the server, with what was not given made here. */
static void
make_oscore(struct oscore_input *oscore, const struct enrolment *enrolment, uint8_t alg,
    const uint8_t *kid, uint8_t kid_bytes)
{
        memset(oscore, 0, sizeof(*oscore));
        oscore->alg = alg;
        oscore->secret_bytes = enrolment->secret_bytes;
        memcpy(oscore->secret, enrolment->secret, enrolment->secret_bytes);
        oscore->salt_bytes = enrolment->salt_bytes;
        memcpy(oscore->salt, enrolment->salt, enrolment->salt_bytes);
        if (enrolment->secret_bytes == 0) {
                oscore->secret_bytes = (uint8_t)aead_key_bytes(alg);
                randombytes_buf(oscore->secret, oscore->secret_bytes);
                if (enrolment->salt_bytes == 0) {
                        oscore->salt_bytes = SALT_BYTES_MADE;
                        randombytes_buf(oscore->salt, oscore->salt_bytes);
                }
        }
        oscore->has_id_context = enrolment->has_id_context;
        oscore->id_context_bytes = enrolment->id_context_bytes;
        memcpy(oscore->id_context, enrolment->id_context, enrolment->id_context_bytes);
        oscore->recipient_id_bytes = kid_bytes;
        memcpy(oscore->recipient_id, kid, kid_bytes);
        oscore->sender_id_bytes =
            enrolment->server_id_bytes != 0 ? enrolment->server_id_bytes : SERVER_ID_BYTES;
        memcpy(oscore->sender_id,
            enrolment->server_id_bytes != 0 ? enrolment->server_id : SERVER_ID,
            oscore->sender_id_bytes);
}

static int
wrap_secrets(
    const struct registry *registry, struct device_entry *entry, const struct oscore_input *oscore)
{
        struct wrap_context context = wrap_context_device(entry->context_id);
        uint8_t secrets[ENTRY_SECRETS_BYTES] = {0};
        int rc;

        secrets[0] = oscore->secret_bytes;
        memcpy(secrets + 1, oscore->secret, oscore->secret_bytes);
        secrets[1 + OSCORE_SECRET_BYTES_MAX] = oscore->salt_bytes;
        memcpy(secrets + 2 + OSCORE_SECRET_BYTES_MAX, oscore->salt, oscore->salt_bytes);
        rc = realm_wrap(registry->realm_key, entry->wrapped, secrets, sizeof(secrets),
            context.bytes, sizeof(context.bytes));
        sodium_memzero(secrets, sizeof(secrets));
        return rc;
}

/* Fills the entry of a checked enrolment, but for its patient; takes slot, context id and place in
 * the store. */
static int
make_device(struct registry *registry, const struct enrolment *enrolment, uint8_t alg,
    struct device_entry *entry, char *why)
{
        uint8_t native[NATIVE_KID_BYTES], generation = 0;
        bool is_native = enrolment->kid_bytes == 0;
        struct oscore_input oscore;
        uint32_t slot = 0;
        int rc;

        memset(entry, 0, sizeof(*entry));
        rc = memory_peek_slot(registry, &slot, &generation);
        if (rc != 0 || registry->next_store_slot >= STORE_SLOTS_MAX)
                return refuse(why, -ENOSPC,
                    "no room for another device: %u of %u are enrolled; set dataplane.devices "
                    "higher and restart",
                    registry->active_n, registry->devices_max);
        native_kid(native, slot, generation);
        make_oscore(&oscore, enrolment, alg, is_native ? native : enrolment->kid,
            is_native ? NATIVE_KID_BYTES : enrolment->kid_bytes);
        entry->slot = slot;
        entry->generation = generation;
        entry->alg = alg;
        entry->flags = (uint8_t)((is_native ? ENTRY_NATIVE : 0) | (enrolment->lab ? ENTRY_LAB : 0) |
                                 (enrolment->has_id_context ? ENTRY_HAS_ID_CONTEXT : 0));
        entry->kid_bytes = oscore.recipient_id_bytes;
        memcpy(entry->kid, oscore.recipient_id, entry->kid_bytes);
        entry->server_id_bytes = oscore.sender_id_bytes;
        memcpy(entry->server_id, oscore.sender_id, entry->server_id_bytes);
        entry->id_context_bytes = oscore.id_context_bytes;
        memcpy(entry->id_context, oscore.id_context, entry->id_context_bytes);
        strcpy(entry->name, enrolment->name);
        make_fingerprint(registry, entry->fingerprint, &oscore);
        rc = 0;
        if (entry->kid_bytes == entry->server_id_bytes &&
            memcmp(entry->kid, entry->server_id, entry->kid_bytes) == 0)
                rc = refuse(why, -EINVAL,
                    "the kid is the server's own ID: choose another kid, or another server ID");
        else if (memory_find_kid(registry, entry) != INDEX_NONE)
                rc = refuse(why, -EADDRINUSE,
                    "another device has this kid (with this ID context): choose another kid");
        else if (memory_find_fingerprint(registry, entry->fingerprint) != INDEX_NONE)
                rc = refuse(why, -ENOTUNIQ,
                    "this secret, salt and ID context were used before, if only by a removed "
                    "device: nonces would repeat; use a new secret");
        if (rc == 0) {
                entry->context_id = registry->next_context_id;
                entry->enrolled_ns = now_ns();
                rc = wrap_secrets(registry, entry, &oscore);
        }
        sodium_memzero(&oscore, sizeof(oscore));
        if (rc != 0)
                return rc;
        registry->next_context_id++;
        memory_take_slot(registry);
        return 0;
}

/* A new patient with its data key, not yet in store or memory. */
static int
make_patient(struct registry *registry, const char *name, struct patient_entry *patient, char *why)
{
        uint8_t key[DATA_KEY_BYTES];
        struct wrap_context context;
        int rc;

        memset(patient, 0, sizeof(*patient));
        if (registry->next_patient >= registry->patients_max ||
            registry->next_store_slot >= STORE_SLOTS_MAX)
                return refuse(why, -ENOSPC,
                    "no room for another patient: %u are enrolled; set dataplane.patients higher "
                    "and restart",
                    registry->patients_n);
        patient->slot = registry->next_patient;
        patient->key_epoch = 1;
        strcpy(patient->name, name);
        context = wrap_context_patient(patient->slot);
        randombytes_buf(key, sizeof(key));
        rc = realm_wrap(registry->realm_key, patient->wrapped, key, sizeof(key), context.bytes,
            sizeof(context.bytes));
        sodium_memzero(key, sizeof(key));
        return rc;
}

static int
write_failed(char *why, int error)
{
        return refuse(why, error,
            error == -ENOSPC ? "the registry could not be written, the disk is full: %s; free space"
                             : "the registry could not be written: %s; check the volume's disk",
            strerror(-error));
}

/* What happened to a write is not known: nothing of the device is given again in this run. */
static void
add_ghost(struct registry *registry, struct device_entry *entry)
{
        entry->flags |= ENTRY_REMOVED;
        sodium_memzero(entry->wrapped, sizeof(entry->wrapped));
        memory_add_device(registry, entry);
}

/* Patients first: an entry of a device names one that is there. They are in memory on return, but
 * for an error. */
static int
put_patients(struct registry *registry, struct patient_entry *patients, uint32_t n, char *why)
{
        uint8_t(*values)[ENTRY_PATIENT_VALUE_BYTES];
        struct store_item *items;
        int rc = 0;

        if (n == 0)
                return 0;
        values = calloc(n, sizeof(*values));
        items = calloc(n, sizeof(*items));
        for (uint32_t i = 0; i < n && values != NULL && items != NULL; i++) {
                patients[i].store_slot = registry->next_store_slot++;
                entry_write_patient(values[i], &patients[i]);
                items[i] = (struct store_item){
                    patients[i].store_slot, ENTRY_PATIENT_VALUE_BYTES, values[i]};
        }
        if (values == NULL || items == NULL)
                rc = -ENOMEM;
        else if ((rc = store_put_many(registry->store, items, n)) != 0)
                write_failed(why, rc);
        for (uint32_t i = 0; i < n && rc == 0; i++)
                rc = memory_add_patient(registry, &patients[i]);
        free(values);
        free(items);
        return rc;
}

/* Devices whose patients are durable; in memory on return, as ghosts after an error. */
static int
put_devices(struct registry *registry, struct device_entry *devices, uint32_t n, char *why)
{
        uint8_t(*values)[ENTRY_DEVICE_VALUE_BYTES] = calloc(n, sizeof(*values));
        struct store_item *items = calloc(n, sizeof(*items));
        int rc = 0;

        for (uint32_t i = 0; i < n && values != NULL && items != NULL; i++) {
                devices[i].store_slot = registry->next_store_slot++;
                entry_write_device(values[i], &devices[i]);
                items[i] =
                    (struct store_item){devices[i].store_slot, ENTRY_DEVICE_VALUE_BYTES, values[i]};
        }
        if (values == NULL || items == NULL)
                rc = -ENOMEM;
        else if ((rc = store_put_many(registry->store, items, n)) != 0)
                write_failed(why, rc);
        for (uint32_t i = 0; i < n; i++) {
                if (rc != 0)
                        add_ghost(registry, &devices[i]);
                else
                        memory_add_device(registry, &devices[i]);
        }
        free(values);
        free(items);
        return rc;
}

/* The patient's slot: an old one's, or that of a new one, which is added to made. */
static int
find_or_make_patient(struct registry *registry, const char *name, uint32_t *slot,
    struct patient_entry *made, uint32_t *made_n, char *why)
{
        int rc;

        *slot = memory_find_patient(registry, name);
        if (*slot != INDEX_NONE)
                return 0;
        rc = make_patient(registry, name, &made[*made_n], why);
        if (rc == 0)
                *slot = made[(*made_n)++].slot;
        return rc;
}

int
registry_enrol(struct registry *registry, const struct enrolment *enrolment, struct device *device,
    struct credentials *credentials, char *why)
{
        uint8_t alg = enrolment->alg != 0 ? enrolment->alg : AEAD_AES_CCM_16_64_128;
        struct patient_entry patient;
        struct device_entry entry;
        uint32_t slot = 0, made = 0;
        int rc;

        why[0] = '\0';
        rc = check_enrolment(enrolment, alg, why);
        if (rc != 0)
                return rc;
        if (memory_find_name(registry, enrolment->name) != INDEX_NONE)
                return refuse(why, -EEXIST,
                    "a device named %s is enrolled: choose another name, or remove it first",
                    enrolment->name);
        if (kid_is_native_form(enrolment))
                return refuse(why, -EADDRINUSE,
                    "a 6-byte kid of this form is the gateway's to give: choose another kid, or "
                    "none");
        rc = memory_reserve(registry, 1);
        if (rc == 0)
                rc =
                    find_or_make_patient(registry, enrolment->patient, &slot, &patient, &made, why);
        if (rc == 0)
                rc = make_device(registry, enrolment, alg, &entry, why);
        if (rc != 0)
                return rc;
        registry->next_patient += made;
        rc = put_patients(registry, &patient, made, why);
        if (rc != 0)
                return rc;
        entry.patient = slot;
        rc = put_devices(registry, &entry, 1, why);
        if (rc != 0)
                return rc;
        device_of_entry(registry, &entry, device);
        return credentials_of_entry(registry, &entry, credentials);
}

/* One chunk in memory: entries made, nothing written. *n_made of them are good, also after an
 * error. */
static int
make_chunk(struct registry *registry, const char *prefix, uint32_t first, uint32_t n, uint8_t alg,
    struct device_entry *devices, uint32_t *devices_n, struct patient_entry *patients,
    uint32_t *patients_n, char *why)
{
        char name[ENTRY_NAME_BYTES + 16];
        struct enrolment enrolment = {.name = name, .patient = name, .alg = alg};
        uint32_t slot = 0, made;
        int rc = 0;

        *devices_n = *patients_n = 0;
        for (uint32_t i = 0; i < n; i++) {
                snprintf(name, sizeof(name), "%.*s%u", (int)ENTRY_NAME_BYTES, prefix, first + i);
                rc = check_enrolment(&enrolment, alg, why);
                if (rc == 0 && memory_find_name(registry, name) != INDEX_NONE)
                        rc = refuse(why, -EEXIST,
                            "a device named %s is enrolled: choose another prefix, or remove it "
                            "first",
                            name);
                made = *patients_n;
                if (rc == 0)
                        rc = find_or_make_patient(registry, name, &slot, patients, patients_n, why);
                if (rc == 0)
                        rc = make_device(registry, &enrolment, alg, &devices[i], why);
                if (rc != 0) {
                        *patients_n = made;
                        break;
                }
                registry->next_patient += *patients_n - made;
                devices[i].patient = slot;
                *devices_n = i + 1;
        }
        return rc;
}

static int
tell(struct registry *registry, const struct device_entry *devices, uint32_t n,
    registry_enrolled_fn *fn, void *user)
{
        struct credentials credentials;
        struct device device;
        int rc = 0;

        for (uint32_t i = 0; i < n && rc >= 0; i++) {
                device_of_entry(registry, &devices[i], &device);
                rc = credentials_of_entry(registry, &devices[i], &credentials);
                if (rc == 0)
                        rc = fn(user, &device, &credentials);
        }
        sodium_memzero(&credentials, sizeof(credentials));
        return rc < 0 ? rc : 0;
}

int
registry_enrol_range(struct registry *registry, const char *prefix, uint32_t first, uint32_t n,
    uint8_t alg, registry_enrolled_fn *fn, void *user, char *why)
{
        struct device_entry *devices = calloc(ENROL_CHUNK, sizeof(*devices));
        struct patient_entry *patients = calloc(ENROL_CHUNK, sizeof(*patients));
        uint32_t devices_n = 0, patients_n = 0, done = 0;
        int rc = 0, made = 0;

        why[0] = '\0';
        if (devices == NULL || patients == NULL)
                rc = -ENOMEM;
        else if (n > UINT32_MAX - first)
                rc = refuse(why, -EINVAL, "the last number is above %u", UINT32_MAX);
        if (alg == 0)
                alg = AEAD_AES_CCM_16_64_128;
        while (rc == 0 && made == 0 && done < n) {
                uint32_t chunk = n - done < ENROL_CHUNK ? n - done : ENROL_CHUNK;

                rc = memory_reserve(registry, chunk);
                if (rc != 0)
                        break;
                made = make_chunk(registry, prefix, first + done, chunk, alg, devices, &devices_n,
                    patients, &patients_n, why);
                rc = put_patients(registry, patients, patients_n, why);
                if (rc == 0 && devices_n > 0)
                        rc = put_devices(registry, devices, devices_n, why);
                if (rc == 0)
                        rc = tell(registry, devices, devices_n, fn, user);
                done += devices_n;
        }
        free(devices);
        free(patients);
        return rc != 0 ? rc : made;
}

int
registry_enrol_many(struct registry *registry, const char *prefix, uint32_t n, uint8_t alg,
    registry_enrolled_fn *fn, void *user, char *why)
{
        return registry_enrol_range(registry, prefix, 0, n, alg, fn, user, why);
}
