/* SPDX-License-Identifier: Apache-2.0 */
#include "control/record_open.h"

#include "ledger/vault.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

int
record_open(struct daemon *daemon, uint64_t leaf, const uint8_t *sealed, uint32_t sealed_bytes,
    const uint8_t digest[HASH_BYTES], struct opened_record *opened, char *why)
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

int
record_no_such_leaf(struct daemon *daemon, uint64_t leaf, struct reply *reply)
{
        uint64_t leaves = atomic_load(&daemon->view.leaves);

        if (leaves == 0)
                return command_fail(
                    reply, -ENOENT, "there is no leaf %" PRIu64 ": the ledger is empty", leaf);
        return command_fail(reply, -ENOENT,
            "there is no leaf %" PRIu64 ": the ledger has leaves 0 to %" PRIu64, leaf, leaves - 1);
}

int
record_read(struct daemon *daemon, json_t *request, struct reply *reply, uint64_t *leaf,
    uint8_t *sealed, uint32_t *sealed_bytes, uint8_t digest[HASH_BYTES])
{
        int rc = command_number(request, reply, "leaf", 0, INT64_MAX, UINT64_MAX, leaf);

        if (rc == 0 && *leaf == UINT64_MAX)
                rc = command_fail(reply, -EINVAL, "leaf is missing");
        if (rc != 0)
                return rc;
        rc = vault_read_leaf(daemon->vault, *leaf, sealed, sealed_bytes, digest);
        if (rc == -ENOENT)
                return record_no_such_leaf(daemon, *leaf, reply);
        if (rc != 0)
                return command_fail(reply, rc,
                    "leaf %" PRIu64 " cannot be read from %s: %s; check the disk", *leaf,
                    daemon->config.volume, strerror(-rc));
        return 0;
}
