/* SPDX-License-Identifier: Apache-2.0 */
/* What leaves the gateway so that a stranger can check a record, or a patient open it: its sealed
 * bytes, the hash of the key that its digest is bound to, and, only when asked for by name, the
 * key. */
#include "control/commands.h"

#include "control/hex.h"
#include "control/record_open.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

static void
set_hex(json_t *json, const char *name, const uint8_t *bytes, size_t n)
{
        char text[2 * SEAL_BYTES_MAX + 1];

        hex_encode(text, bytes, n);
        json_object_set_new(json, name, json_string(text));
        sodium_memzero(text, sizeof(text));
}

int
command_record_export(struct daemon *daemon, json_t *request, struct reply *reply)
{
        uint8_t sealed[SEAL_BYTES_MAX], digest[HASH_BYTES];
        uint32_t sealed_bytes = 0;
        uint64_t leaf;
        int rc = record_read(daemon, request, reply, &leaf, sealed, &sealed_bytes, digest);

        if (rc != 0)
                return rc;
        json_object_set_new(reply->json, "leaf", json_integer((json_int_t)leaf));
        set_hex(reply->json, "sealed", sealed, sealed_bytes);
        set_hex(reply->json, "digest", digest, sizeof(digest));
        return 0;
}

/* The key of the record's patient, after the record was opened by it. The caller wipes it. */
static int
key_of(struct daemon *daemon, json_t *request, struct reply *reply, uint64_t *leaf,
    struct device *device, uint8_t key[DATA_KEY_BYTES])
{
        uint8_t sealed[SEAL_BYTES_MAX], digest[HASH_BYTES];
        struct opened_record opened;
        uint32_t sealed_bytes = 0, epoch;
        int rc = record_read(daemon, request, reply, leaf, sealed, &sealed_bytes, digest);

        if (rc == 0)
                rc = record_open(daemon, *leaf, sealed, sealed_bytes, digest, &opened, reply->why);
        if (rc != 0)
                return rc;
        *device = opened.device;
        sodium_memzero(&opened, sizeof(opened));
        rc = registry_patient_key(daemon->registry, device->patient_slot, key, &epoch);
        if (rc != 0)
                command_fail(reply, rc, "the key of leaf %" PRIu64 " cannot be unwrapped", *leaf);
        return rc;
}

static int
hand_out(struct daemon *daemon, json_t *request, struct reply *reply, bool secret)
{
        uint8_t key[DATA_KEY_BYTES], hash[HASH_BYTES];
        struct device device;
        uint64_t leaf = 0;
        int rc = key_of(daemon, request, reply, &leaf, &device, key);

        if (rc == 0) {
                json_object_set_new(reply->json, "leaf", json_integer((json_int_t)leaf));
                json_object_set_new(reply->json, "patient", json_string(device.patient));
                seal_key_hash(hash, key);
                set_hex(reply->json, "key_hash", hash, sizeof(hash));
                if (secret) {
                        set_hex(reply->json, "key", key, sizeof(key));
                        fprintf(stderr,
                            "aortad: the data key of the patient of leaf %" PRIu64
                            " was handed out\n",
                            leaf);
                }
        }
        sodium_memzero(key, sizeof(key));
        return rc;
}

int
command_record_key_hash(struct daemon *daemon, json_t *request, struct reply *reply)
{
        return hand_out(daemon, request, reply, false);
}

int
command_record_key(struct daemon *daemon, json_t *request, struct reply *reply)
{
        return hand_out(daemon, request, reply, true);
}
