/* SPDX-License-Identifier: Apache-2.0 */
/* Enrolment is durable, secrets are wrapped, and neither a secret nor a context id, nor a kid of a
 * native device, ever comes twice (promises 2, 4 and 6). */
#include "control/registry.h"
#include "control/registry_entry.h"
#include "control/registry_index.h"
#include "ledger/store.h"
#include "tests/unit/control/folder.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char folder[64], why[REGISTRY_WHY_BYTES];
static struct realm_key *realm_key;
static struct registry *registry;

static void
open_with(uint32_t devices, uint32_t patients)
{
        struct registry_config config = {
            .path = folder, .realm_key = realm_key, .devices = devices, .patients = patients};
        int rc = registry_open(&registry, &config, why);

        cr_assert_eq(rc, 0, "%d %s", rc, why);
}

static void
reopen(void)
{
        registry_close(registry);
        open_with(100, 100);
}

static void
setup(void)
{
        char path[128];

        cr_assert(sodium_init() >= 0);
        folder_make(folder, sizeof(folder));
        snprintf(path, sizeof(path), "%s/realm.key", folder);
        cr_assert_eq(realm_key_create_file(path), 0);
        cr_assert_eq(realm_key_load(&realm_key, path), 0);
        open_with(100, 100);
}

static void
teardown(void)
{
        registry_close(registry);
        realm_key_free(realm_key);
        folder_remove(folder);
}

TestSuite(registry, .init = setup, .fini = teardown);

static struct enrolment
foreign(const char *name, const char *kid, const char *secret)
{
        struct enrolment enrolment = {.name = name, .patient = "p"};

        enrolment.kid_bytes = (uint8_t)strlen(kid);
        memcpy(enrolment.kid, kid, enrolment.kid_bytes);
        enrolment.secret_bytes = (uint8_t)strlen(secret);
        memcpy(enrolment.secret, secret, enrolment.secret_bytes);
        return enrolment;
}

static int
enrol(struct enrolment enrolment, struct device *device)
{
        struct credentials credentials;
        struct device ignored;

        return registry_enrol(
            registry, &enrolment, device != NULL ? device : &ignored, &credentials, why);
}

/* Bytes in the raw files of the store, both copies counted. */
static unsigned
raw_count(const void *bytes, size_t n)
{
        static const char *const names[] = {"store.a", "store.b"};
        unsigned found = 0;

        for (unsigned f = 0; f < 2; f++) {
                size_t size;
                uint8_t *raw = folder_read(folder, names[f], &size);

                for (size_t i = 0; i + n <= size; i++)
                        if (memcmp(raw + i, bytes, n) == 0)
                                found++;
                free(raw);
        }
        return found;
}

Test(registry, native_device_survives_a_restart)
{
        struct enrolment enrolment = {.name = "d", .patient = "p", .lab = true};
        struct credentials made, again;
        struct device device, found;
        uint8_t kid[NATIVE_KID_BYTES], key[DATA_KEY_BYTES], key_again[DATA_KEY_BYTES];
        uint32_t epoch;

        cr_assert_eq(registry_enrol(registry, &enrolment, &device, &made, why), 0, "%s", why);
        native_kid(kid, device.slot, device.generation);
        cr_assert(device.native && device.lab && !device.removed);
        cr_assert_eq(device.kid_bytes, NATIVE_KID_BYTES);
        cr_assert_arr_eq(device.kid, kid, NATIVE_KID_BYTES);
        cr_assert_eq(device.alg, 10);
        cr_assert_neq(device.context_id, 0);
        cr_assert(device.enrolled_ns > UINT64_C(1600000000) * 1000000000);
        cr_assert_eq(made.oscore.secret_bytes, 16);
        cr_assert_eq(made.oscore.salt_bytes, 8);
        cr_assert_arr_eq(made.oscore.recipient_id, kid, NATIVE_KID_BYTES);
        cr_assert_eq(made.oscore.sender_id_bytes, SERVER_ID_BYTES);
        cr_assert_eq(made.oscore.sender_id[0], SERVER_ID[0]);
        cr_assert_eq(registry_patient_key(registry, device.patient_slot, key, &epoch), 0);
        cr_assert_eq(epoch, 1);
        reopen();
        cr_assert_eq(registry_find(registry, "d", &found), 0);
        cr_assert_eq(memcmp(&found, &device, sizeof(device)), 0);
        cr_assert_eq(registry_find_context(registry, device.context_id, &found), 0);
        cr_assert_eq(memcmp(&found, &device, sizeof(device)), 0);
        cr_assert_eq(registry_credentials(registry, &found, &again), 0);
        cr_assert_eq(memcmp(&made, &again, sizeof(made)), 0);
        cr_assert_eq(registry_patient_key(registry, found.patient_slot, key_again, &epoch), 0);
        cr_assert_arr_eq(key, key_again, sizeof(key));
        cr_assert_eq(registry_devices(registry), 1);
        cr_assert_eq(registry_patients(registry), 1);
}

Test(registry, foreign_device_keeps_what_it_was_given)
{
        struct enrolment enrolment = foreign("d", "\x01\x02", "0123456789abcdef0123456789abcdef");
        struct credentials credentials;
        struct device device;

        enrolment.alg = 24;
        enrolment.has_id_context = true;
        enrolment.id_context_bytes = 3;
        memcpy(enrolment.id_context, "abc", 3);
        enrolment.salt_bytes = 2;
        memcpy(enrolment.salt, "xy", 2);
        enrolment.server_id_bytes = 1;
        enrolment.server_id[0] = 7;
        cr_assert_eq(
            registry_enrol(registry, &enrolment, &device, &credentials, why), 0, "%s", why);
        reopen();
        cr_assert_eq(registry_find(registry, "d", &device), 0);
        cr_assert_eq(registry_credentials(registry, &device, &credentials), 0);
        cr_assert(!device.native);
        cr_assert_eq(credentials.oscore.alg, 24);
        cr_assert_eq(credentials.oscore.secret_bytes, 32);
        cr_assert_arr_eq(credentials.oscore.secret, enrolment.secret, 32);
        cr_assert_eq(credentials.oscore.salt_bytes, 2);
        cr_assert_arr_eq(credentials.oscore.salt, "xy", 2);
        cr_assert(credentials.oscore.has_id_context);
        cr_assert_eq(credentials.oscore.id_context_bytes, 3);
        cr_assert_arr_eq(credentials.oscore.id_context, "abc", 3);
        cr_assert_eq(credentials.oscore.recipient_id_bytes, 2);
        cr_assert_arr_eq(credentials.oscore.recipient_id, "\x01\x02", 2);
        cr_assert_eq(credentials.oscore.sender_id_bytes, 1);
        cr_assert_eq(credentials.oscore.sender_id[0], 7);
}

Test(registry, secrets_are_not_in_the_files)
{
        struct enrolment enrolment = foreign("secretive", "k", "a secret of 22 bytes!!");
        uint8_t key[DATA_KEY_BYTES];
        struct device device;
        uint32_t epoch;

        cr_assert_eq(enrol(enrolment, &device), 0, "%s", why);
        cr_assert_eq(registry_patient_key(registry, device.patient_slot, key, &epoch), 0);
        cr_assert_eq(raw_count("secretive", 9), 2);
        cr_assert_eq(raw_count("a secret of 22 bytes!!", 22), 0);
        cr_assert_eq(raw_count(key, sizeof(key)), 0);
}

Test(registry, removal_overwrites_the_wrapped_secret)
{
        struct device device, found;
        struct credentials credentials;
        uint8_t wrapped[32], *raw, *at;
        size_t size;

        cr_assert_eq(enrol(foreign("victim", "k", "a secret of 22 bytes!!"), &device), 0);
        raw = folder_read(folder, "store.a", &size);
        at = memmem(raw, size, "victim", 6);
        cr_assert(at != NULL);
        /* name field (63 bytes), fingerprint, wrapped */
        memcpy(wrapped, at + 63 + ENTRY_FINGERPRINT_BYTES, sizeof(wrapped));
        free(raw);
        cr_assert(!sodium_is_zero(wrapped, sizeof(wrapped)));
        cr_assert_eq(raw_count(wrapped, sizeof(wrapped)), 2);
        cr_assert_eq(registry_remove(registry, "victim", &device), 0);
        cr_assert(device.removed);
        cr_assert_eq(raw_count(wrapped, sizeof(wrapped)), 0);
        cr_assert_eq(registry_remove(registry, "victim", &device), -ENOENT);
        for (int i = 0; i < 2; i++) {
                cr_assert_eq(registry_find(registry, "victim", &found), -ENOENT);
                cr_assert_eq(registry_find_context(registry, device.context_id, &found), 0);
                cr_assert(found.removed);
                cr_assert_str_eq(found.patient, "p");
                cr_assert_eq(registry_credentials(registry, &found, &credentials), -ENOENT);
                cr_assert_eq(registry_devices(registry), 0);
                reopen();
        }
}

Test(registry, a_secret_comes_once)
{
        const char *secret = "0123456789abcdef";
        struct enrolment other;
        struct device device;

        cr_assert_eq(enrol(foreign("a", "k1", secret), NULL), 0);
        cr_assert_eq(enrol(foreign("b", "k2", secret), NULL), -ENOTUNIQ);
        cr_assert(strstr(why, "used before") != NULL, "%s", why);
        cr_assert_eq(registry_remove(registry, "a", &device), 0);
        cr_assert_eq(enrol(foreign("b", "k2", secret), NULL), -ENOTUNIQ);
        reopen();
        cr_assert_eq(enrol(foreign("b", "k2", secret), NULL), -ENOTUNIQ);
        cr_assert_eq(enrol(foreign("a", "k1", secret), NULL), -ENOTUNIQ);
        /* With a salt, or an ID context, even an empty one, the keys are others. */
        other = foreign("b", "k2", secret);
        other.salt_bytes = 1;
        cr_assert_eq(enrol(other, NULL), 0, "%s", why);
        other = foreign("c", "k3", secret);
        other.has_id_context = true;
        cr_assert_eq(enrol(other, NULL), 0, "%s", why);
        other.name = "d";
        other.kid[1] = '4';
        cr_assert_eq(enrol(other, NULL), -ENOTUNIQ);
        /* A byte that moves from salt to secret makes another triple. */
        other = foreign("e", "k5", "0123456789abcdefX");
        cr_assert_eq(enrol(other, NULL), 0, "%s", why);
        other = foreign("f", "k6", secret);
        other.salt_bytes = 1;
        other.salt[0] = 'X';
        cr_assert_eq(enrol(other, NULL), 0, "%s", why);
}

Test(registry, kids_of_active_devices_differ)
{
        struct enrolment enrolment = foreign("a", "kid", "0123456789abcde0");
        struct device device;

        cr_assert_eq(enrol(enrolment, NULL), 0);
        cr_assert_eq(enrol(foreign("b", "kid", "0123456789abcde1"), NULL), -EADDRINUSE);
        cr_assert(strstr(why, "choose another kid") != NULL, "%s", why);
        enrolment = foreign("b", "kid", "0123456789abcde1");
        enrolment.has_id_context = true;
        cr_assert_eq(enrol(enrolment, NULL), 0, "%s", why);
        cr_assert_eq(registry_remove(registry, "a", &device), 0);
        cr_assert_eq(enrol(foreign("c", "kid", "0123456789abcde2"), NULL), 0, "%s", why);
        /* The form of native kids, free now or not, and the server's own ID. */
        enrolment = foreign("d", "123456", "0123456789abcde3");
        native_kid(enrolment.kid, 77, 3);
        cr_assert_eq(enrol(enrolment, NULL), -EADDRINUSE);
        cr_assert(strstr(why, "gateway's to give") != NULL, "%s", why);
        cr_assert_eq(enrol(foreign("d", "123456", "0123456789abcde3"), NULL), 0, "%s", why);
        cr_assert_eq(enrol(foreign("e", "A", "0123456789abcde4"), NULL), -EINVAL);
        cr_assert(strstr(why, "server's own ID") != NULL, "%s", why);
        enrolment = foreign("e", "A", "0123456789abcde4");
        enrolment.server_id_bytes = 1;
        cr_assert_eq(enrol(enrolment, NULL), 0, "%s", why);
}

Test(registry, names)
{
        static const char *const bad[] = {"", " ", "a b", "a/b", "a\n", "\xc3\xa9", "a\"b", "a&b",
            "0123456789012345678901234567890123456789012345678901234567890123"};
        static const char good[] = "012345678901234567890123456789012345678901234567890-._:AZaz";
        struct enrolment enrolment = {.patient = "p"};

        for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                enrolment.name = bad[i];
                enrolment.patient = "p";
                cr_expect_eq(enrol(enrolment, NULL), -EINVAL, "%s", bad[i]);
                cr_expect_str_eq(
                    why, "the device's name must have 1 to 63 characters of A-Z a-z 0-9 . _ : -");
                enrolment.name = "d";
                enrolment.patient = bad[i];
                cr_expect_eq(enrol(enrolment, NULL), -EINVAL, "%s", bad[i]);
                cr_expect_str_eq(
                    why, "the patient's name must have 1 to 63 characters of A-Z a-z 0-9 . _ : -");
        }
        enrolment.name = enrolment.patient = good;
        cr_assert_eq(enrol(enrolment, NULL), 0, "%s", why);
        cr_assert_eq(enrol(enrolment, NULL), -EEXIST);
        cr_assert(strstr(why, "is enrolled: choose another name") != NULL, "%s", why);
        cr_assert_eq(registry_patients(registry), 1);
}

Test(registry, wrong_lengths_and_algorithms)
{
        struct enrolment enrolment = foreign("a", "k", "0123456789abcde");

        cr_assert_eq(enrol(enrolment, NULL), -EINVAL);
        cr_assert_str_eq(why, "the master secret must have 16 to 32 bytes");
        enrolment = foreign("a", "1234567", "0123456789abcdef");
        enrolment.alg = 1;
        cr_assert_eq(enrol(enrolment, NULL), -EINVAL);
        cr_assert_str_eq(why, "a kid or server ID may have 6 bytes at most with algorithm 1");
        enrolment.alg = 2;
        cr_assert_eq(enrol(enrolment, NULL), -EINVAL);
        cr_assert_str_eq(why, "algorithm 2 is not served: use 1, 3, 10, 24 or 30 (COSE numbers)");
        enrolment.alg = 10;
        enrolment.salt_bytes = 17;
        cr_assert_eq(enrol(enrolment, NULL), -EINVAL);
        enrolment.salt_bytes = 0;
        enrolment.id_context_bytes = 1;
        cr_assert_eq(enrol(enrolment, NULL), -EINVAL);
        cr_assert_eq(registry_patients(registry), 0);
        enrolment.id_context_bytes = 0;
        cr_assert_eq(enrol(enrolment, NULL), 0, "%s", why);
}

Test(registry, context_ids_grow_over_removals_and_restarts)
{
        struct enrolment enrolment = {.name = "d", .patient = "p"};
        struct device device;
        uint64_t last = 0;

        for (int i = 0; i < 6; i++) {
                cr_assert_eq(enrol(enrolment, &device), 0, "%s", why);
                cr_assert(device.context_id > last);
                last = device.context_id;
                cr_assert_eq(registry_remove(registry, "d", &device), 0);
                if (i % 2)
                        reopen();
        }
}

static int
ignore(void *user, uint32_t slot, const uint8_t *value, uint32_t bytes)
{
        return 0;
}

static void
put_raw(uint32_t slot, const void *value, uint32_t bytes)
{
        struct store *store;

        cr_assert_eq(store_open(&store, folder, ignore, NULL, why), 0, "%s", why);
        cr_assert_eq(store_put(store, slot, value, bytes), 0);
        store_close(store);
}

Test(registry, slots_come_again_with_another_generation_until_they_retire)
{
        struct device_entry old = {.context_id = 500,
            .alg = 10,
            .kid_bytes = 6,
            .slot = 1,
            .generation = 253,
            .flags = ENTRY_NATIVE | ENTRY_REMOVED,
            .name = "old"};
        struct enrolment enrolment = {.name = "d", .patient = "p"};
        static const uint32_t slots[] = {0, 1, 1, 1, 0, 0};
        static const uint8_t generations[] = {0, 254, 255, 0, 1, 2};
        uint8_t value[ENTRY_DEVICE_VALUE_BYTES], kid[NATIVE_KID_BYTES];
        struct device device;

        registry_close(registry);
        open_with(2, 10);
        cr_assert_eq(enrol(enrolment, &device), 0, "%s", why);
        cr_assert_eq(device.slot, 0);
        registry_close(registry);
        entry_write_device(value, &old);
        put_raw(3, value, sizeof(value));
        open_with(2, 10);
        enrolment.name = "e";
        for (unsigned i = 1; i < 3; i++) {
                cr_assert_eq(enrol(enrolment, &device), 0, "%u %s", i, why);
                cr_assert_eq(device.slot, slots[i]);
                cr_assert_eq(device.generation, generations[i]);
                native_kid(kid, device.slot, device.generation);
                cr_assert_arr_eq(device.kid, kid, sizeof(kid));
                cr_assert(device.context_id > 500);
                cr_assert_eq(registry_remove(registry, "e", &device), 0);
        }
        /* Slot 1 had its last generation; slot 0 is in use, and then goes on. */
        for (int i = 0; i < 2; i++) {
                cr_assert_eq(enrol(enrolment, &device), -ENOSPC);
                cr_assert(strstr(why, "set dataplane.devices higher") != NULL, "%s", why);
                registry_close(registry);
                open_with(2, 10);
        }
        for (unsigned i = 4; i < 6; i++) {
                cr_assert_eq(registry_remove(registry, "d", &device), 0);
                enrolment.name = "d";
                cr_assert_eq(enrol(enrolment, &device), 0, "%s", why);
                cr_assert_eq(device.slot, slots[i]);
                cr_assert_eq(device.generation, generations[i]);
        }
}

Test(registry, capacity)
{
        struct registry_config config = {
            .path = folder, .realm_key = realm_key, .devices = 1, .patients = 100};
        struct enrolment enrolment = {.name = "a", .patient = "p"};

        registry_close(registry);
        open_with(2, 1);
        cr_assert_eq(enrol(enrolment, NULL), 0);
        enrolment.name = "b";
        enrolment.patient = "q";
        cr_assert_eq(enrol(enrolment, NULL), -ENOSPC);
        cr_assert(strstr(why, "set dataplane.patients higher") != NULL, "%s", why);
        enrolment.patient = "p";
        cr_assert_eq(enrol(enrolment, NULL), 0, "%s", why);
        enrolment.name = "c";
        cr_assert_eq(enrol(enrolment, NULL), -ENOSPC);
        cr_assert(strstr(why, "set dataplane.devices higher") != NULL, "%s", why);
        registry_close(registry);
        registry = NULL;
        cr_assert_eq(registry_open(&registry, &config, why), -ENOSPC);
        cr_assert(strstr(why, "set dataplane.devices to at least 2") != NULL, "%s", why);
}

Test(registry, another_realm_key_is_named)
{
        struct registry_config config = {.path = folder, .devices = 100, .patients = 100};
        struct realm_key *other;
        struct registry *none = NULL;
        char path[128];

        snprintf(path, sizeof(path), "%s/other.key", folder);
        cr_assert_eq(realm_key_create_file(path), 0);
        cr_assert_eq(realm_key_load(&other, path), 0);
        registry_close(registry);
        registry = NULL;
        config.realm_key = other;
        cr_assert_eq(registry_open(&none, &config, why), -EKEYREJECTED);
        cr_assert(strstr(why, "keys.realm names another key file") != NULL, "%s", why);
        realm_key_free(other);
        open_with(100, 100);
}

static uint32_t told;

static int
count_one(void *user, const struct device *device, const struct credentials *credentials)
{
        char name[32];

        snprintf(name, sizeof(name), "sim-%u", told);
        cr_assert_str_eq(device->name, name);
        cr_assert_str_eq(device->patient, name);
        cr_assert_eq(credentials->oscore.alg, device->alg);
        told++;
        return user != NULL && told == *(uint32_t *)user ? -EPIPE : 0;
}

static int
count_any(void *user, const struct device *device, const struct credentials *credentials)
{
        ++*(uint32_t *)user;
        return 0;
}

Test(registry, many_at_once)
{
        struct device page[64], device;
        uint32_t position = 0, n = 0, k, end = 7000;

        registry_close(registry);
        open_with(10000, 10000);
        cr_assert_eq(registry_enrol_many(registry, "sim-", 5000, 0, count_one, NULL, why), 0);
        cr_assert_eq(told, 5000);
        cr_assert_eq(
            registry_enrol_range(registry, "sim-", 5000, 5000, 1, count_one, &end, why), -EPIPE);
        cr_assert_eq(told, 7000);
        cr_assert_eq(registry_enrol_many(registry, "sim-", 1, 0, count_one, NULL, why), -EEXIST);
        cr_assert(strstr(why, "sim-0 is enrolled") != NULL, "%s", why);
        registry_close(registry);
        open_with(10000, 10000);
        while ((k = registry_page(registry, false, &position, page, 64)) > 0)
                n += k;
        cr_assert_eq(n, registry_devices(registry));
        cr_assert_eq(registry_patients(registry), n);
        cr_assert_eq(registry_find(registry, "sim-4999", &device), 0);
        cr_assert_eq(registry_find(registry, "sim-6999", &device), 0);
        cr_assert_eq(device.alg, 1);
        /* What fits is enrolled, and then the limit is named. */
        n = 0;
        cr_assert_eq(registry_enrol_many(registry, "x", 5000, 0, count_any, &n, why), -ENOSPC);
        cr_assert(strstr(why, "no room for another") != NULL, "%s", why);
        cr_assert_eq(n, 10000 - 9096);
        cr_assert_eq(registry_devices(registry), 10000);
}

/* A patient whose device was not written any more: the next enrolment takes it. */
Test(registry, crash_between_patient_and_device)
{
        struct enrolment enrolment = {.name = "d", .patient = "p"};
        struct device device, later;
        struct store *store;

        cr_assert_eq(enrol(enrolment, &device), 0);
        registry_close(registry);
        /* Slots: check, patient, device. */
        cr_assert_eq(store_open(&store, folder, ignore, NULL, why), 0);
        cr_assert_eq(store_end(store), 3);
        cr_assert_eq(store_erase(store, 2), 0);
        store_close(store);
        open_with(100, 100);
        cr_assert_eq(registry_devices(registry), 0);
        cr_assert_eq(registry_patients(registry), 1);
        cr_assert_eq(enrol(enrolment, &later), 0, "%s", why);
        cr_assert_eq(registry_patients(registry), 1);
        cr_assert_eq(later.patient_slot, device.patient_slot);
}

/* A device whose write failed, so it seemed, and that was enrolled again under its name: the
 * younger one counts, and both fingerprints. */
Test(registry, a_shadowed_device_is_out_of_use)
{
        struct device first, second, found;
        uint8_t value[ENTRY_DEVICE_VALUE_BYTES], *raw, *at;
        struct device_entry entry;
        size_t size;

        cr_assert_eq(enrol(foreign("d", "k1", "0123456789abcdef"), &first), 0);
        raw = folder_read(folder, "store.a", &size);
        for (at = raw; at + sizeof(value) <= raw + size; at++)
                if (entry_read_device(&entry, at, sizeof(value)) == 0)
                        break;
        cr_assert(at + sizeof(value) <= raw + size);
        memcpy(value, at, sizeof(value));
        free(raw);
        cr_assert_eq(registry_remove(registry, "d", &first), 0);
        cr_assert_eq(enrol(foreign("d", "k2", "0123456789abcdeg"), &second), 0);
        registry_close(registry);
        put_raw(2, value, sizeof(value));
        open_with(100, 100);
        cr_assert_eq(registry_devices(registry), 1);
        cr_assert_eq(registry_find(registry, "d", &found), 0);
        cr_assert_eq(found.context_id, second.context_id);
        cr_assert_eq(registry_find_context(registry, first.context_id, &found), 0);
        cr_assert(found.removed);
        cr_assert_eq(enrol(foreign("e", "k3", "0123456789abcdef"), NULL), -ENOTUNIQ);
}

Test(registry, what_is_no_entry_is_refused)
{
        struct registry_config config = {
            .path = folder, .realm_key = realm_key, .devices = 100, .patients = 100};
        uint8_t value[ENTRY_DEVICE_VALUE_BYTES] = {0};
        struct device_entry entry = {
            .context_id = 9, .alg = 10, .kid_bytes = 1, .slot = 4, .patient = 5, .name = "d"};
        struct registry *none = NULL;

        cr_assert_eq(enrol((struct enrolment){.name = "a", .patient = "p"}, NULL), 0);
        registry_close(registry);
        registry = NULL;
        for (unsigned i = 0; i < 6; i++) {
                entry.patient = i == 0 ? 5 : 0; /* 5: there is none */
                entry_write_device(value, &entry);
                if (i == 1)
                        value[0] = 'X';
                if (i == 2)
                        value[1] = 9; /* version */
                if (i == 3)
                        value[2] = 0x80; /* flags */
                if (i == 4)
                        value[29] = 8; /* length of the kid */
                put_raw(3, value, i == 5 ? sizeof(value) - 1 : sizeof(value));
                cr_expect_eq(registry_open(&none, &config, why), -EBADMSG, "%u", i);
                cr_expect(strstr(why, "slot 3 of the store holds no entry") != NULL, "%s", why);
        }
        entry_write_device(value, &entry);
        put_raw(3, value, sizeof(value));
        open_with(100, 100);
        cr_assert_eq(registry_devices(registry), 2);
}

static bool
same_number(const void *user, uint32_t entry, const void *key)
{
        return entry == *(const uint32_t *)key;
}

/* Against the obvious: hashes that collide on purpose, in random order. */
Test(registry_index, adds_finds_removes)
{
        static bool in[2000];
        struct index index;
        uint32_t seed = 1, n = 0;

        cr_assert_eq(index_create(&index), 0);
        for (unsigned i = 0; i < 8000; i++) {
                uint32_t entry, h;

                seed = seed * 1664525u + 1013904223u;
                entry = (seed >> 8) % 2000;
                h = entry % 50 * 0x10001u;
                cr_assert_eq(index_find(&index, h, same_number, NULL, &entry),
                    in[entry] ? entry : INDEX_NONE);
                if (in[entry]) {
                        index_remove(&index, h, entry);
                        n--;
                } else {
                        cr_assert_eq(index_reserve(&index, 1), 0);
                        index_add(&index, h, entry);
                        n++;
                }
                in[entry] = !in[entry];
                cr_assert_eq(index.n, n);
        }
        for (uint32_t entry = 0; entry < 2000; entry++)
                cr_assert_eq(
                    index_find(&index, entry % 50 * 0x10001u, same_number, NULL, &entry) == entry,
                    in[entry]);
        index_free(&index);
}
