/* SPDX-License-Identifier: Apache-2.0 */
#include "control/commands.h"

#include "control/hex.h"
#include "control/record_json.h"
#include "control/registry.h"
#include "crypto/seal.h"
#include "ledger/leaf.h"
#include "ledger/vault.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A record opened: what its keys and its digest say of it. */
struct opened {
        struct seal_header header;
        struct device device;
        uint8_t plain[SEAL_PAYLOAD_MAX];
};

/* Opens a record that the vault gave; the digest binds the patient's key, so that a record under
 * another key of the same nonce would show. 0, or -EBADMSG or -ENOENT with why. */
static int
open_record(struct daemon *daemon, uint64_t leaf, const uint8_t *sealed, uint32_t sealed_bytes,
    const uint8_t digest[HASH_BYTES], struct opened *opened, char *why)
{
        uint8_t key[DATA_KEY_BYTES], hash[HASH_BYTES], own[HASH_BYTES];
        const char *problem = NULL;
        uint32_t epoch = 0;

        why[0] = '\0';
        if (seal_header_read(&opened->header, sealed, sealed_bytes) != 0 ||
            opened->header.payload_bytes > sizeof(opened->plain))
                problem = "its header is malformed";
        else if (registry_find_context(
                     daemon->registry, opened->header.context_id, &opened->device) != 0)
                problem = "it is of a device that the registry does not know";
        else if (registry_patient_key(daemon->registry, opened->device.patient_slot, key, &epoch) !=
                 0)
                problem = "its patient's key cannot be unwrapped";
        else if (epoch != opened->header.key_epoch)
                problem = "it is sealed under another epoch of the patient's key";
        if (problem == NULL) {
                seal_key_hash(hash, key);
                seal_digest(own, hash, sealed, sealed_bytes);
                if (sodium_memcmp(own, digest, sizeof(own)) != 0)
                        problem = "its digest does not fit its patient's key and its bytes";
                else if (seal_open_record(opened->plain, sealed, sealed_bytes, key) != 0)
                        problem = "it does not open under its patient's key";
        }
        sodium_memzero(key, sizeof(key));
        sodium_memzero(hash, sizeof(hash));
        if (problem == NULL)
                return 0;
        snprintf(why, COMMAND_WHY_BYTES, "leaf %" PRIu64 " is damaged: %s", leaf, problem);
        return -EBADMSG;
}

static int
no_such_leaf(struct daemon *daemon, uint64_t leaf, struct reply *reply)
{
        uint64_t leaves = atomic_load(&daemon->view.leaves);

        if (leaves == 0)
                return command_fail(
                    reply, -ENOENT, "there is no leaf %" PRIu64 ": the ledger is empty", leaf);
        return command_fail(reply, -ENOENT,
            "there is no leaf %" PRIu64 ": the ledger has leaves 0 to %" PRIu64, leaf, leaves - 1);
}

static void
set_device(json_t *json, const struct device *device)
{
        json_object_set_new(json, "device", json_string(device->name));
        json_object_set_new(json, "patient", json_string(device->patient));
        json_object_set_new(json, "device_removed", json_boolean(device->removed));
}

int
command_record_get(struct daemon *daemon, json_t *request, struct reply *reply)
{
        uint8_t sealed[SEAL_BYTES_MAX], digest[HASH_BYTES];
        char text[2 * HASH_BYTES + 1];
        uint32_t sealed_bytes = 0;
        const char *error = NULL;
        struct opened opened;
        uint64_t leaf;
        int rc = command_number(request, reply, "leaf", 0, INT64_MAX, UINT64_MAX, &leaf);

        if (rc == 0 && leaf == UINT64_MAX)
                rc = command_fail(reply, -EINVAL, "leaf is missing");
        if (rc != 0)
                return rc;
        rc = vault_read_leaf(daemon->vault, leaf, sealed, &sealed_bytes, digest);
        if (rc == -ENOENT)
                return no_such_leaf(daemon, leaf, reply);
        if (rc != 0)
                return command_fail(reply, rc,
                    "leaf %" PRIu64 " cannot be read from %s: %s; check the disk", leaf,
                    daemon->config.volume, strerror(-rc));
        rc = open_record(daemon, leaf, sealed, sealed_bytes, digest, &opened, reply->why);
        if (rc != 0)
                return rc;
        json_object_set_new(reply->json, "leaf", json_integer((json_int_t)leaf));
        set_device(reply->json, &opened.device);
        record_header_json(reply->json, &opened.header);
        hex_encode(text, digest, sizeof(digest));
        json_object_set_new(reply->json, "digest", json_string(text));
        json_object_set_new(reply->json, "sealed_bytes", json_integer(sealed_bytes));
        json_object_set_new(
            reply->json, "published", json_boolean(leaf < atomic_load(&daemon->view.published)));
        rc = record_senml_json(reply->json, &opened.header, opened.plain, &reply->raw, &error);
        reply->raw_name = "senml";
        sodium_memzero(opened.plain, sizeof(opened.plain));
        if (rc == -EBADMSG)
                command_fail(reply, rc, "leaf %" PRIu64 " opens, but its payload is no SenML: %s",
                    leaf, error);
        return rc;
}

/* ---- scan ---- */

struct scan {
        struct daemon *daemon;
        struct reply *reply;
        uint64_t limit, n;
        char *entries; /* leaf entries in hexadecimal */
        json_t *origins;
        struct opened opened;
};

#define SCAN_FULL (-ECANCELED)

static int
scan_one(void *user, const struct vault_record *record)
{
        struct scan *scan = user;
        uint8_t entry[LEAF_ENTRY_BYTES];
        int rc;

        if (scan->n == scan->limit)
                return SCAN_FULL;
        rc = open_record(scan->daemon, record->leaf, record->sealed, record->sealed_bytes,
            record->digest, &scan->opened, scan->reply->why);
        if (rc != 0)
                return rc;
        leaf_entry_write(
            entry, scan->opened.header.kind, scan->opened.header.received_ns, record->digest);
        hex_encode(scan->entries + scan->n * 2 * LEAF_ENTRY_BYTES, entry, sizeof(entry));
        scan->n++;
        if (scan->origins != NULL) {
                json_t *origin = json_array();

                json_array_append_new(origin, json_string(scan->opened.device.name));
                json_array_append_new(
                    origin, json_integer((json_int_t)scan->opened.header.partial_iv));
                json_array_append_new(
                    origin, json_string(record_kind_name(scan->opened.header.kind)));
                json_array_append_new(
                    origin, json_integer((json_int_t)scan->opened.header.context_id));
                json_array_append_new(scan->origins, origin);
        }
        return 0;
}

/* The leaf entries of records from `leaf` to the end of its group, made anew from the vault: each
 * record was opened under its patient's key. With origins: [device, partial IV, kind,
 * context id] of each. */
int
command_record_scan(struct daemon *daemon, json_t *request, struct reply *reply)
{
        struct scan *scan;
        uint64_t leaf, limit;
        bool origins = false;
        int rc = command_number(request, reply, "leaf", 0, INT64_MAX, 0, &leaf);

        if (rc == 0)
                rc = command_number(
                    request, reply, "limit", 1, COMMAND_SCAN_MAX, COMMAND_SCAN_MAX, &limit);
        if (rc == 0)
                rc = command_flag(request, reply, "origins", &origins);
        if (rc != 0)
                return rc;
        scan = calloc(1, sizeof(*scan));
        if (scan == NULL)
                return -ENOMEM;
        scan->daemon = daemon;
        scan->reply = reply;
        scan->limit = limit;
        scan->entries = calloc(limit, 2 * LEAF_ENTRY_BYTES + 1);
        scan->origins = origins ? json_array() : NULL;
        rc =
            scan->entries != NULL ? vault_read_group(daemon->vault, leaf, scan_one, scan) : -ENOMEM;
        if (rc == -ENOENT)
                no_such_leaf(daemon, leaf, reply);
        else if (rc == SCAN_FULL)
                rc = 0;
        else if (rc != 0 && reply->why[0] == '\0')
                command_fail(reply, rc,
                    "leaf %" PRIu64 " cannot be read from %s: %s; check the disk", leaf + scan->n,
                    daemon->config.volume, strerror(-rc));
        if (rc == 0) {
                json_object_set_new(reply->json, "leaf", json_integer((json_int_t)leaf));
                json_object_set_new(reply->json, "entries", json_string(scan->entries));
                if (scan->origins != NULL)
                        json_object_set(reply->json, "origins", scan->origins);
        }
        json_decref(scan->origins);
        free(scan->entries);
        sodium_memzero(scan, sizeof(*scan));
        free(scan);
        return rc;
}
