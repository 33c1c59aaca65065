/* SPDX-License-Identifier: Apache-2.0 */
/* The commands on a registry, contexts and a vault of their own, without a data plane: each refusal
 * with its message, and a record opened to what the device wrote. */
#include "control/commands.h"
#include "control/hex.h"
#include "control/registry.h"
#include "crypto/seal.h"
#include "ledger/leaf.h"
#include "ledger/tree.h"
#include "ledger/vault.h"
#include "tests/unit/control/folder.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct daemon gateway;
static char folder[64], volume[80], why[512];
static struct device demo;
static json_t *last;

/* Asks, and keeps the answer as `last` until the next. */
static bool
ask(const char *request)
{
        char *text = commands_answer(&gateway, request, strlen(request));

        cr_assert(text != NULL);
        cr_assert(strchr(text, '\n') == NULL);
        json_decref(last);
        last = json_loads(text, 0, NULL);
        cr_assert(json_is_object(last), "%s", text);
        free(text);
        return json_is_true(json_object_get(last, "ok"));
}

static const char *
text_of(const char *name)
{
        const char *text = json_string_value(json_object_get(last, name));

        return text != NULL ? text : "";
}

static void
refused(const char *request, const char *code, const char *message)
{
        cr_expect(!ask(request), "%s", request);
        cr_expect_str_eq(text_of("code"), code, "%s: %s", request, text_of("code"));
        cr_expect_str_eq(text_of("error"), message, "%s: %s", request, text_of("error"));
}

static void
setup(void)
{
        struct contexts_config contexts = {
            .devices = 64, .patients = 64, .workers = 1, .backend = ENGINE_PORTABLE};
        struct registry_config registry = {.path = volume, .devices = 64, .patients = 64};
        struct vault_config vault = {
            .path = volume, .segment_bytes = 4u << 20, .spare_segments = 1};
        char path[128];
        struct vault_tip tip;

        cr_assert(sodium_init() >= 0);
        folder_make(folder, sizeof(folder));
        snprintf(volume, sizeof(volume), "%s/volume", folder);
        snprintf(path, sizeof(path), "%s/realm.key", folder);
        cr_assert_eq(realm_key_create_file(path), 0);
        cr_assert_eq(realm_key_load(&gateway.realm_key, path), 0);
        registry.realm_key = gateway.realm_key;
        cr_assert_eq(vault_open(&gateway.vault, &vault, why), 0, "%s", why);
        cr_assert_eq(vault_recover(gateway.vault, 0, NULL, NULL, NULL, &tip, why), 0, "%s", why);
        cr_assert_eq(vault_begin(gateway.vault, why), 0, "%s", why);
        cr_assert_eq(registry_open(&gateway.registry, &registry, why), 0, "%s", why);
        cr_assert_eq(
            contexts_create(&gateway.contexts, &contexts, &gateway.keys_locked, why, sizeof(why)),
            0, "%s", why);
        strcpy(gateway.config.volume, volume);
        cr_assert(ask("{\"command\":\"device add\",\"name\":\"demo\",\"patient\":\"anna\"}"), "%s",
            text_of("error"));
        cr_assert_eq(registry_find(gateway.registry, "demo", &demo), 0);
}

static void
teardown(void)
{
        json_decref(last);
        contexts_destroy(gateway.contexts);
        registry_close(gateway.registry);
        vault_close(gateway.vault);
        realm_key_free(gateway.realm_key);
        folder_remove(folder);
}

TestSuite(commands, .init = setup, .fini = teardown);

Test(commands, requests_that_are_none)
{
        static const char *const bad[] = {"", "{", "[]", "1", "\"status\"", "null",
            "{\"a\":1,\"a\":2}", "{\"command\":\"log info\"", "\xff",
            "{\"command\":\"log info\"}x"};
        char *deep = malloc(100001);

        for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                refused(bad[i], "EBADMSG", "the request is not one JSON object");
        memset(deep, '[', 100000);
        deep[100000] = '\0';
        refused(deep, "EBADMSG", "the request is not one JSON object");
        free(deep);
        refused("{}", "ENOSYS", "no such command: aortactl and aortad must be of the same version");
        refused("{\"command\":7}", "ENOSYS",
            "no such command: aortactl and aortad must be of the same version");
        refused("{\"command\":\"device show\",\"name\":\"demo\",\"x\":1}", "EINVAL",
            "device show takes no member of that name");
        refused("{\"command\":\"device show\"}", "EINVAL", "name is missing");
        refused("{\"command\":\"device show\",\"name\":1}", "EINVAL", "name must be a text");
        refused("{\"command\":\"device show\",\"name\":\"a\\u0000b\"}", "EBADMSG",
            "the request is not one JSON object");
}

Test(commands, device_add_prints_credentials_and_takes_effect)
{
        const json_t *credentials;
        uint32_t before = contexts_count(gateway.contexts);

        cr_assert(ask("{\"command\":\"device add\",\"name\":\"f\",\"patient\":\"anna\","
                      "\"kid\":\"0102\",\"secret\":\"00112233445566778899aabbccddeeff\","
                      "\"salt\":\"\",\"id_context\":\"\",\"alg\":\"a128gcm\",\"lab\":true}"),
            "%s", text_of("error"));
        credentials = json_object_get(last, "credentials");
        cr_assert_str_eq(json_string_value(json_object_get(credentials, "sender_id")), "0102");
        cr_assert_str_eq(json_string_value(json_object_get(credentials, "recipient_id")), "41");
        cr_assert_str_eq(json_string_value(json_object_get(credentials, "secret")),
            "00112233445566778899aabbccddeeff");
        cr_assert_str_eq(json_string_value(json_object_get(credentials, "salt")), "");
        cr_assert_str_eq(json_string_value(json_object_get(credentials, "id_context")), "");
        cr_assert_eq(json_integer_value(json_object_get(credentials, "alg")), 1);
        cr_assert_str_eq(text_of("note"), "the plain listener is off: set lab: true and restart");
        cr_assert_eq(contexts_count(gateway.contexts), before + 1);
        /* Never again. */
        cr_assert(ask("{\"command\":\"device show\",\"name\":\"f\"}"));
        char *text = json_dumps(last, 0);
        cr_assert(strstr(text, "00112233") == NULL, "%s", text);
        free(text);
        cr_assert(ask("{\"command\":\"device list\"}"));
        cr_assert_eq(json_array_size(json_object_get(last, "devices")), 2);
}

Test(commands, device_add_refusals)
{
#define ADD "{\"command\":\"device add\",\"name\":\"x\",\"patient\":\"p\","
        refused("{\"command\":\"device add\",\"name\":\"x\"}", "EINVAL", "patient is missing");
        refused(ADD "\"alg\":\"rot13\"}", "EINVAL",
            "no such algorithm: use AES-CCM-16-64-128 (10), A128GCM (1), A256GCM (3), "
            "ChaCha20/Poly1305 (24) or AES-CCM-16-128-128 (30)");
        refused(ADD "\"kid\":\"0\"}", "EINVAL", "kid must be hexadecimal, two digits a byte");
        refused(ADD "\"kid\":\"0011223344556677\"}", "EINVAL", "kid may have 7 bytes at most");
        refused(ADD "\"kid\":\"\"}", "EINVAL",
            "an empty kid cannot be told from none: leave it out, or choose one byte");
        refused(
            ADD "\"secret\":\"\"}", "EINVAL", "the secret is empty: it must have 16 to 32 bytes");
        refused(ADD "\"secret\":\"00\"}", "EINVAL", "the master secret must have 16 to 32 bytes");
        refused(ADD "\"salt\":\"0011223344556677001122334455667788\"}", "EINVAL",
            "salt may have 16 bytes at most");
        refused(ADD "\"lab\":1}", "EINVAL", "lab must be true or false");
        refused(ADD "\"kid\":\"41\"}", "EINVAL",
            "the kid is the server's own ID: choose another kid, or another server ID");
        refused("{\"command\":\"device add\",\"name\":\"demo\",\"patient\":\"p\"}", "EEXIST",
            "a device named demo is enrolled: choose another name, or remove it first");
        refused("{\"command\":\"device add\",\"name\":\"a b\",\"patient\":\"p\"}", "EINVAL",
            "the device's name must have 1 to 63 characters of A-Z a-z 0-9 . _ : -");
        cr_assert_eq(registry_devices(gateway.registry), 1);
}

Test(commands, device_remove)
{
        uint32_t before = contexts_count(gateway.contexts);

        cr_assert(ask("{\"command\":\"device remove\",\"name\":\"demo\"}"), "%s", text_of("error"));
        cr_assert_eq(contexts_count(gateway.contexts), before - 1);
        refused("{\"command\":\"device remove\",\"name\":\"demo\"}", "ENOENT",
            "no device of that name is enrolled: `aortactl device list` shows them");
        refused("{\"command\":\"device show\",\"name\":\"demo\"}", "ENOENT",
            "no device of that name is enrolled: `aortactl device list` shows them");
        cr_assert(ask("{\"command\":\"device list\"}"));
        cr_assert_eq(json_array_size(json_object_get(last, "devices")), 0);
        cr_assert(ask("{\"command\":\"device list\",\"all\":true}"));
        cr_assert_eq(json_array_size(json_object_get(last, "devices")), 1);
        cr_assert(ask("{\"command\":\"device add\",\"name\":\"demo\",\"patient\":\"anna\"}"));
}

/* Fills all slots, takes some out, and fills them again: the next generation of a slot goes into
 * effect while its last one is torn down. */
Test(commands, many_devices_in_pages)
{
        uint32_t seen = 0;
        bool more = true;
        char request[128];
        json_int_t position = 0;

        cr_assert(ask("{\"command\":\"device add-many\",\"prefix\":\"s\",\"count\":60}"), "%s",
            text_of("error"));
        cr_assert_eq(json_array_size(json_object_get(last, "credentials")), 60);
        cr_assert_eq(contexts_count(gateway.contexts), 61);
        /* Three fit; that the rest does not is told beside their credentials. */
        cr_assert(
            ask("{\"command\":\"device add-many\",\"prefix\":\"s\",\"first\":60,\"count\":10}"));
        cr_assert_eq(json_array_size(json_object_get(last, "credentials")), 3);
        cr_assert(
            strstr(text_of("stopped"), "no room for another") != NULL, "%s", text_of("stopped"));
        refused("{\"command\":\"device add-many\",\"prefix\":\"s\",\"count\":1}", "EEXIST",
            "a device named s0 is enrolled: choose another prefix, or remove it first");
        refused("{\"command\":\"device add-many\",\"prefix\":\"s\",\"count\":0}", "EINVAL",
            "count must be a number from 1 to 1024");
        while (more) {
                snprintf(request, sizeof(request),
                    "{\"command\":\"device list\",\"limit\":10,\"position\":%lld}",
                    (long long)position);
                cr_assert(ask(request));
                seen += (uint32_t)json_array_size(json_object_get(last, "devices"));
                position = json_integer_value(json_object_get(last, "position"));
                more = json_is_true(json_object_get(last, "more"));
        }
        cr_assert_eq(seen, 64);
        for (int i = 0; i < 3; i++) {
                snprintf(request, sizeof(request),
                    "{\"command\":\"device remove\",\"name\":\"s%d\"}", i);
                cr_assert(ask(request));
        }
        cr_assert(ask("{\"command\":\"device add\",\"name\":\"t\",\"patient\":\"s0\"}"), "%s",
            text_of("error"));
}

/* A record of the device, sealed by libsodium alone, into a group of the vault. */
static void
commit_record(const char *senml, uint16_t flags, uint64_t partial_iv, uint8_t wrong_key)
{
        static uint64_t committed;
        static struct tree tree;
        static struct engine *engine;
        struct seal_header header = {.kind = RECORD_OSCORE,
            .content_format = 110,
            .realm = 1,
            .context_id = demo.context_id,
            .partial_iv = partial_iv,
            .oscore_tag_bytes = 8,
            .key_epoch = 1,
            .payload_bytes = (uint32_t)strlen(senml),
            .received_ns = UINT64_C(1700000000123456789),
            .flags = flags};
        uint8_t sealed[SEAL_BYTES_MAX], key[DATA_KEY_BYTES], hash[32], digest[32], root[32],
            leaves[32];
        struct group *group = vault_group(gateway.vault), *done = NULL;
        uint32_t epoch;

        if (engine == NULL) {
                cr_assert_eq(engine_create(&engine, ENGINE_PORTABLE), 0);
                tree_init(&tree);
        }
        cr_assert_eq(registry_patient_key(gateway.registry, demo.patient_slot, key, &epoch), 0);
        key[0] ^= wrong_key;
        seal_nonce(header.nonce, 1, 0, (uint32_t)committed);
        seal_header_write(sealed, &header);
        cr_assert_eq(crypto_aead_chacha20poly1305_ietf_encrypt(sealed + SEAL_HEADER_BYTES, NULL,
                         (const uint8_t *)senml, header.payload_bytes, sealed, SEAL_HEADER_BYTES,
                         NULL, header.nonce, key),
            0);
        seal_key_hash(hash, key);
        seal_digest(digest, hash, sealed, SEAL_OVERHEAD + header.payload_bytes);
        cr_assert(group != NULL);
        cr_assert(group_add(group, sealed, SEAL_OVERHEAD + header.payload_bytes, digest));
        tree_root(&tree, root);
        tree_leaf_hashes(engine, leaves, group_entries(group), 1);
        cr_assert_eq(vault_submit(gateway.vault, group, committed, root), 0);
        while (vault_poll(gateway.vault, &done, 1000) == 0)
                ;
        cr_assert(done == group);
        vault_release(gateway.vault, group);
        tree_append(&tree, engine, leaves, 1);
        atomic_store(&gateway.view.leaves, ++committed);
}

Test(commands, record_get)
{
        const json_t *vital;
        char *text;

        refused("{\"command\":\"record get\",\"leaf\":0}", "ENOENT",
            "there is no leaf 0: the ledger is empty");
        commit_record("[{\"bn\":\"urn:dev:ow:10e2073a01080063:\",\"n\":\"8310-5\",\"u\":\"Cel\","
                      "\"v\":36.60},{\"n\":\"8867-4\",\"u\":\"beat/min\",\"v\":720}]",
            RECORD_FLAG_IMPLAUSIBLE, 5, 0);
        cr_assert(ask("{\"command\":\"record get\",\"leaf\":0}"), "%s", text_of("error"));
        cr_assert_str_eq(text_of("device"), "demo");
        cr_assert_str_eq(text_of("patient"), "anna");
        cr_assert_str_eq(text_of("kind"), "oscore");
        cr_assert_str_eq(text_of("received"), "2023-11-14T22:13:20.123456789Z");
        cr_assert_eq(json_integer_value(json_object_get(last, "partial_iv")), 5);
        cr_assert_str_eq(
            json_string_value(json_array_get(json_object_get(last, "flags"), 0)), "implausible");
        cr_assert_eq(strlen(text_of("digest")), 64);
        cr_assert(json_is_false(json_object_get(last, "published")));
        vital = json_array_get(json_object_get(last, "vitals"), 0);
        cr_assert_str_eq(json_string_value(json_object_get(vital, "code")), "8310-5");
        cr_assert_str_eq(json_string_value(json_object_get(vital, "value")), "36.6");
        cr_assert_str_eq(json_string_value(json_object_get(vital, "unit")), "Cel");
        cr_assert_eq(json_array_size(json_object_get(last, "senml")), 2);
        /* The decimal number as the device wrote it. */
        text = commands_answer(&gateway, "{\"command\":\"record get\",\"leaf\":0}", 33);
        cr_assert(
            strstr(text, "\"v\":36.6,") != NULL || strstr(text, "\"v\":36.6}") != NULL, "%s", text);
        free(text);
        refused("{\"command\":\"record get\",\"leaf\":1}", "ENOENT",
            "there is no leaf 1: the ledger has leaves 0 to 0");
        refused("{\"command\":\"record get\",\"leaf\":-1}", "EINVAL",
            "leaf must be a number from 0 to 9223372036854775807");
        refused("{\"command\":\"record get\"}", "EINVAL", "leaf is missing");
        /* Also of a device that was removed. */
        cr_assert(ask("{\"command\":\"device remove\",\"name\":\"demo\"}"));
        cr_assert(ask("{\"command\":\"record get\",\"leaf\":0}"), "%s", text_of("error"));
        cr_assert(json_is_true(json_object_get(last, "device_removed")));
}

Test(commands, records_that_do_not_open_are_named)
{
        commit_record("[{\"n\":\"8867-4\",\"u\":\"beat/min\",\"v\":72}]", 0, 1, 0);
        commit_record("[{\"n\":\"8867-4\",\"u\":\"beat/min\",\"v\":72}]", 0, 2, 1);
        commit_record("no senml", 0, 3, 0);
        refused("{\"command\":\"record get\",\"leaf\":1}", "EBADMSG",
            "leaf 1 is damaged: its digest does not fit its patient's key and its bytes");
        cr_assert(!ask("{\"command\":\"record get\",\"leaf\":2}"));
        cr_assert(strstr(text_of("error"), "leaf 2 opens, but its payload is no SenML") != NULL,
            "%s", text_of("error"));
        cr_assert(ask("{\"command\":\"record scan\",\"leaf\":0}"), "%s", text_of("error"));
        refused("{\"command\":\"record scan\",\"leaf\":1}", "EBADMSG",
            "leaf 1 is damaged: its digest does not fit its patient's key and its bytes");
}

Test(commands, record_scan)
{
        const json_t *origin;

        commit_record("[{\"n\":\"8867-4\",\"u\":\"beat/min\",\"v\":72}]", 0, 77, 0);
        cr_assert(ask("{\"command\":\"record scan\",\"leaf\":0,\"origins\":true}"), "%s",
            text_of("error"));
        /* version, kind, minute, digest */
        cr_assert_eq(strlen(text_of("entries")), 2 * LEAF_ENTRY_BYTES);
        cr_assert_eq(strncmp(text_of("entries"), "010101b05515", 12), 0, "%s", text_of("entries"));
        origin = json_array_get(json_object_get(last, "origins"), 0);
        cr_assert_str_eq(json_string_value(json_array_get(origin, 0)), "demo");
        cr_assert_eq(json_integer_value(json_array_get(origin, 1)), 77);
        cr_assert_str_eq(json_string_value(json_array_get(origin, 2)), "oscore");
        cr_assert_eq(json_integer_value(json_array_get(origin, 3)), (json_int_t)demo.context_id);
        refused("{\"command\":\"record scan\",\"leaf\":1}", "ENOENT",
            "there is no leaf 1: the ledger has leaves 0 to 0");
}

/* What is handed out is enough to make the log's entry anew, and the key only when asked for. */
Test(commands, record_export_and_key)
{
        uint8_t sealed[SEAL_BYTES_MAX], key[32], hash[32], digest[32], plain[SEAL_PAYLOAD_MAX];
        static const char senml[] = "[{\"n\":\"8867-4\",\"u\":\"beat/min\",\"v\":72}]";
        char wanted[65];
        long sealed_bytes;

        commit_record(senml, 0, 1, 0);
        commit_record(senml, 0, 2, 1);
        cr_assert(ask("{\"command\":\"record export\",\"leaf\":0}"), "%s", text_of("error"));
        sealed_bytes = hex_decode(sealed, sizeof(sealed), text_of("sealed"));
        cr_assert_eq(sealed_bytes, (long)(SEAL_OVERHEAD + strlen(senml)));
        snprintf(wanted, sizeof(wanted), "%s", text_of("digest"));
        cr_assert_null(json_object_get(last, "key"));
        cr_assert(ask("{\"command\":\"record key-hash\",\"leaf\":0}"), "%s", text_of("error"));
        cr_assert_eq(hex_decode(hash, sizeof(hash), text_of("key_hash")), 32);
        cr_assert_null(json_object_get(last, "key"));
        cr_assert_str_eq(text_of("patient"), "anna");
        seal_digest(digest, hash, sealed, (size_t)sealed_bytes);
        char got[65];
        hex_encode(got, digest, sizeof(digest));
        cr_assert_str_eq(got, wanted);
        cr_assert(ask("{\"command\":\"record key\",\"leaf\":0}"), "%s", text_of("error"));
        cr_assert_eq(hex_decode(key, sizeof(key), text_of("key")), 32);
        cr_assert_eq(seal_open_record(plain, sealed, (size_t)sealed_bytes, key), 0);
        cr_assert_eq(memcmp(plain, senml, strlen(senml)), 0);
        /* No key for a record that it does not open. */
        refused("{\"command\":\"record key\",\"leaf\":1}", "EBADMSG",
            "leaf 1 is damaged: its digest does not fit its patient's key and its bytes");
        cr_assert(ask("{\"command\":\"record export\",\"leaf\":1}"));
        refused("{\"command\":\"record export\",\"leaf\":2}", "ENOENT",
            "there is no leaf 2: the ledger has leaves 0 to 1");
        refused("{\"command\":\"record key-hash\"}", "EINVAL", "leaf is missing");
}
