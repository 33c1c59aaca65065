/* SPDX-License-Identifier: Apache-2.0 */
#include "control/commands.h"

#include "control/hex.h"
#include "control/record_json.h"
#include "control/record_open.h"
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

static void
set_device(json_t *json, const struct device *device)
{
        json_object_set_new(json, "device", json_string(device->name));
        json_object_set_new(json, "patient", json_string(device->patient));
        json_object_set_new(json, "device_removed", json_boolean(device->removed));
}

int
record_show(struct daemon *daemon, uint64_t leaf, uint32_t sealed_bytes,
    const uint8_t digest[HASH_BYTES], const struct opened_record *opened, json_t *json,
    char **senml, char *why)
{
        char text[2 * HASH_BYTES + 1];
        const char *error = NULL;
        int rc;

        json_object_set_new(json, "leaf", json_integer((json_int_t)leaf));
        set_device(json, &opened->device);
        record_header_json(json, &opened->header);
        hex_encode(text, digest, HASH_BYTES);
        json_object_set_new(json, "digest", json_string(text));
        json_object_set_new(json, "sealed_bytes", json_integer(sealed_bytes));
        json_object_set_new(
            json, "published", json_boolean(leaf < atomic_load(&daemon->view.published)));
        rc = record_senml_json(json, &opened->header, opened->plain, senml, &error);
        if (rc == -EBADMSG)
                snprintf(why, COMMAND_WHY_BYTES,
                    "leaf %" PRIu64 " opens, but its payload is no SenML: %s", leaf, error);
        return rc;
}

int
command_record_get(struct daemon *daemon, json_t *request, struct reply *reply)
{
        uint8_t sealed[SEAL_BYTES_MAX], digest[HASH_BYTES];
        uint32_t sealed_bytes = 0;
        struct opened_record opened;
        uint64_t leaf;
        int rc = record_read(daemon, request, reply, &leaf, sealed, &sealed_bytes, digest);

        if (rc != 0)
                return rc;
        rc = record_open(daemon, leaf, sealed, sealed_bytes, digest, &opened, reply->why);
        if (rc != 0)
                return rc;
        rc = record_show(
            daemon, leaf, sealed_bytes, digest, &opened, reply->json, &reply->raw, reply->why);
        reply->raw_name = "senml";
        sodium_memzero(opened.plain, sizeof(opened.plain));
        return rc;
}

/* ---- scan ---- */

struct scan {
        struct daemon *daemon;
        struct reply *reply;
        uint64_t limit, n;
        char *entries; /* leaf entries in hexadecimal */
        json_t *origins;
        struct opened_record opened;
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
        rc = record_open(scan->daemon, record->leaf, record->sealed, record->sealed_bytes,
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
                record_no_such_leaf(daemon, leaf, reply);
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
