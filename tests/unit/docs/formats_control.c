/* SPDX-License-Identifier: Apache-2.0 */
/* docs/formats.md, the control plane's part: key files, registry entries, saved windows. */
#include "bench/devices_file.h"
#include "control/log_key.h"
#include "control/registry_entry.h"
#include "control/registry_internal.h"
#include "control/windows.h"
#include "crypto/keys.h"
#include "dataplane/contexts.h"
#include "tests/unit/docs/inputs.h"

#define KEY_FILE_BYTES 64u

TestSuite(formats_control, .init = place_make, .fini = place_remove);

/* The realm key's file by hand. */
static void
make_key_file(uint8_t file[KEY_FILE_BYTES])
{
        memcpy(file, "AORTAKEY\1\0\0\0\0\0\0\0", 16);
        input_realm_key(file + 16);
        crypto_generichash(file + 48, 16, file, 48, NULL, 0);
}

/* What realm_wrap() does, with a nonce that counts up from `first`. */
static void
wrap(uint8_t *out, const void *in, size_t in_bytes, uint8_t first, const void *context,
    size_t context_bytes)
{
        uint8_t realm[32], key[32];

        input_realm_key(realm);
        crypto_kdf_derive_from_key(key, sizeof(key), 1, "aortakey", realm);
        input_count(out, 24, first);
        crypto_aead_xchacha20poly1305_ietf_encrypt(
            out + 24, NULL, in, in_bytes, context, context_bytes, NULL, out, key);
}

/* The realm key from the page's file. */
static struct realm_key *
page_realm_key(void)
{
        uint8_t file[KEY_FILE_BYTES], *there;
        struct realm_key *key;

        make_key_file(file);
        there = example("realm-key", file, sizeof(file));
        place_write("realm.key", there, sizeof(file), 0);
        free(there);
        cr_assert_eq(realm_key_load(&key, place_path("realm.key")), 0);
        return key;
}

Test(formats_control, realm_key)
{
        uint8_t file[KEY_FILE_BYTES], wrapped[3 + WRAP_OVERHEAD], plain[3], *made;
        struct realm_key *key = page_realm_key();
        size_t n;

        wrap(wrapped, "abc", 3, 1, "context", 7);
        cr_assert_eq(realm_unwrap(key, plain, wrapped, sizeof(wrapped), "context", 7), 0);
        cr_assert_eq(memcmp(plain, "abc", 3), 0);
        realm_key_free(key);
        /* What the code makes has this shape, but for the key. */
        cr_assert_eq(realm_key_create_file(place_path("new.key")), 0);
        made = place_read("new.key", &n);
        cr_assert_eq(n, KEY_FILE_BYTES);
        make_key_file(file);
        memcpy(file + 16, made + 16, 32);
        crypto_generichash(file + 48, 16, file, 48, NULL, 0);
        cr_assert_eq(memcmp(made, file, n), 0);
        free(made);
}

Test(formats_control, log_key)
{
        struct realm_key *key = page_realm_key();
        uint8_t seed[32], file[9 + 32 + WRAP_OVERHEAD], *there, *made;
        struct note_verifier want, got;
        struct note_signer *signer;
        size_t n;

        input_log_seed(seed);
        memcpy(file, "aortalog\1", 9);
        wrap(file + 9, seed, sizeof(seed), 0xa0, "log signing key", 15);
        there = example("log-key", file, sizeof(file));
        place_write("log.key", there, sizeof(file), 0);
        free(there);
        cr_assert_eq(log_key_load(&signer, place_path("log.key"), INPUT_ORIGIN, key), 0);
        note_signer_verifier(signer, &got);
        note_signer_free(signer);
        cr_assert_eq(note_signer_create(&signer, INPUT_ORIGIN, seed), 0);
        note_signer_verifier(signer, &want);
        note_signer_free(signer);
        cr_assert_eq(memcmp(want.public_key, got.public_key, sizeof(want.public_key)), 0);

        cr_assert_eq(log_key_create_file(place_path("new.key"), key), 0);
        made = place_read("new.key", &n);
        cr_assert_eq(n, sizeof(file));
        cr_assert_eq(memcmp(made, "aortalog\1", 9), 0);
        free(made);
        realm_key_free(key);
}

Test(formats_control, patient_entry)
{
        struct patient_entry patient = {.slot = 0, .key_epoch = 1, .name = "demo"}, got;
        struct wrap_context context = wrap_context_patient(0);
        struct realm_key *realm = page_realm_key();
        uint8_t value[ENTRY_PATIENT_VALUE_BYTES], key[32], opened[32], *there;

        input_patient_key(key);
        wrap(patient.wrapped, key, sizeof(key), 0xb0, context.bytes, sizeof(context.bytes));
        entry_write_patient(value, &patient);
        there = example("patient-entry", value, sizeof(value));
        cr_assert_eq(entry_read_patient(&got, there, sizeof(value)), 0);
        free(there);
        cr_assert_str_eq(got.name, "demo");
        cr_assert_eq(got.key_epoch, 1);
        cr_assert_eq(realm_unwrap(realm, opened, got.wrapped, sizeof(got.wrapped), context.bytes,
                         sizeof(context.bytes)),
            0);
        cr_assert_eq(memcmp(opened, key, sizeof(key)), 0);
        realm_key_free(realm);
}

Test(formats_control, device_entry)
{
        struct device_entry device = {
            .context_id = INPUT_CONTEXT_ID,
            .enrolled_ns = INPUT_RECEIVED_NS,
            .flags = ENTRY_NATIVE | ENTRY_LAB,
            .alg = 10,
            .generation = 1,
            .kid_bytes = NATIVE_KID_BYTES,
            .server_id_bytes = 1,
            .server_id = {0x41},
            .name = "demo",
        };
        struct device_entry got;
        struct wrap_context context = wrap_context_device(INPUT_CONTEXT_ID);
        struct realm_key *realm = page_realm_key();
        uint8_t value[ENTRY_DEVICE_VALUE_BYTES], secrets[ENTRY_SECRETS_BYTES] = {0};
        uint8_t opened[ENTRY_SECRETS_BYTES], *there;

        native_kid(device.kid, 0, 1);
        input_count(device.fingerprint, sizeof(device.fingerprint), 0xf0);
        secrets[0] = 16;
        input_count(secrets + 1, 16, 0x01);
        secrets[1 + OSCORE_SECRET_BYTES_MAX] = 8;
        input_count(secrets + 2 + OSCORE_SECRET_BYTES_MAX, 8, 0x11);
        wrap(device.wrapped, secrets, sizeof(secrets), 0xc0, context.bytes, sizeof(context.bytes));
        entry_write_device(value, &device);
        there = example("device-entry", value, sizeof(value));
        cr_assert_eq(entry_read_device(&got, there, sizeof(value)), 0);
        free(there);
        cr_assert_str_eq(got.name, "demo");
        cr_assert_eq(got.context_id, INPUT_CONTEXT_ID);
        cr_assert_eq(got.kid_bytes, NATIVE_KID_BYTES);
        cr_assert_eq(memcmp(got.kid, device.kid, NATIVE_KID_BYTES), 0);
        cr_assert_eq(realm_unwrap(realm, opened, got.wrapped, sizeof(got.wrapped), context.bytes,
                         sizeof(context.bytes)),
            0);
        cr_assert_eq(memcmp(opened, secrets, sizeof(secrets)), 0);
        realm_key_free(realm);
}

/* A context whose window is exact: partial IVs 5, 4 and 2 were accepted. */
static struct contexts *
make_contexts(struct context_window *window)
{
        struct contexts_config config = {.devices = 16, .patients = 16, .workers = 1};
        struct context_spec spec = {
            .context_id = INPUT_CONTEXT_ID, .generation = 1, .native = true};
        uint8_t key[SEAL_KEY_BYTES];
        struct contexts *contexts;
        char why[512] = "";
        bool locked;

        cr_assert_eq(contexts_create(&contexts, &config, &locked, why, sizeof(why)), 0, "%s", why);
        input_patient_key(key);
        cr_assert_eq(contexts_patient_set(contexts, 0, key, 1), 0);
        window->state = WINDOW_KNOWN;
        window->top = 5;
        window->bits = 0x0b;
        window->receipts_n = 2;
        window->receipts[0] = (struct context_receipt){.partial_iv = 4, .leaf = 0x100};
        window->receipts[1] = (struct context_receipt){.partial_iv = 5, .leaf = 0x101};
        input_count(window->receipts[0].tag, 8, 0xd0);
        input_count(window->receipts[1].tag, 8, 0xe0);
        spec.window = *window;
        spec.oscore = (struct oscore_input){.secret_bytes = 16,
            .sender_id_bytes = 1,
            .sender_id = {0x41},
            .recipient_id_bytes = NATIVE_KID_BYTES,
            .alg = 10};
        native_kid(spec.oscore.recipient_id, 0, 1);
        cr_assert_eq(contexts_add(contexts, &spec), 0);
        return contexts;
}

static int
check_window(void *user, uint64_t context_id, const struct context_window *window)
{
        const struct context_window *want = user;

        cr_assert_eq(context_id, INPUT_CONTEXT_ID);
        cr_assert_eq(window->state, want->state);
        cr_assert_eq(window->top, want->top);
        cr_assert_eq(window->bits, want->bits);
        cr_assert_eq(window->receipts_n, want->receipts_n);
        for (uint32_t i = 0; i < want->receipts_n; i++) {
                cr_assert_eq(window->receipts[i].partial_iv, want->receipts[i].partial_iv);
                cr_assert_eq(window->receipts[i].leaf, want->receipts[i].leaf);
                cr_assert_eq(memcmp(window->receipts[i].tag, want->receipts[i].tag, 8), 0);
        }
        return 0;
}

Test(formats_control, windows)
{
        struct context_window window = {0};
        struct contexts *contexts = make_contexts(&window);
        struct vault_tip tip = {.leaves = 0x102, .groups = 9};
        uint8_t *made, *there;
        size_t n;

        input_count(tip.last_group, sizeof(tip.last_group), 0x30);
        cr_assert_eq(windows_save(place, contexts, &tip), 0);
        made = place_read("windows", &n);
        there = example("windows", made, n);
        place_write("windows", there, n, 0);
        free(made);
        free(there);
        cr_assert_eq(windows_take(place, &tip, check_window, &window), 0);
        contexts_destroy(contexts);
}

/* A device's credentials as `aortactl device add-many --out` writes them. */
Test(formats_control, devices_file)
{
        struct device_credentials *devices;
        char why[DEVICES_FILE_WHY] = "", *there;
        const struct oscore_input *oscore;
        size_t n;

        there = example_text("devices",
            "# name alg kid server-id secret salt [id-context]\n"
            "sim-0 10 000000000001 41 0102030405060708090a0b0c0d0e0f10 1112131415161718\n");
        place_write("devices", there, strlen(there), 0);
        free(there);
        cr_assert_eq(devices_file_read(place_path("devices"), 1, &devices, &n, why), 0, "%s", why);
        cr_assert_eq(n, 1);
        oscore = &devices[0].oscore;
        cr_assert_str_eq(devices[0].name, "sim-0");
        cr_assert_eq(oscore->alg, 10);
        cr_assert_eq(oscore->sender_id_bytes, NATIVE_KID_BYTES);
        cr_assert_eq(oscore->recipient_id[0], 0x41);
        cr_assert_eq(oscore->secret_bytes, 16);
        cr_assert_eq(oscore->salt_bytes, 8);
        cr_assert_not(oscore->has_id_context);
        devices_file_free(devices, n);
}
