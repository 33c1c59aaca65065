/* SPDX-License-Identifier: Apache-2.0 */
/* Records out of the vault, for the commands that show or hand out one. Control thread. */
#ifndef AORTA_CONTROL_RECORD_OPEN_H
#define AORTA_CONTROL_RECORD_OPEN_H

#include "control/commands.h"
#include "control/registry.h"
#include "crypto/seal.h"
#include "ledger/leaf.h"

#include <stdint.h>

/* A record opened: what its keys and its digest say of it. */
struct opened_record {
        struct seal_header header;
        struct device device;
        uint8_t plain[SEAL_PAYLOAD_MAX]; /* the caller wipes it */
};

/* Reads the record that the request's "leaf" names; sealed has SEAL_BYTES_MAX. 0, or -errno told.
 */
int record_read(struct daemon *daemon, json_t *request, struct reply *reply, uint64_t *leaf,
    uint8_t *sealed, uint32_t *sealed_bytes, uint8_t digest[HASH_BYTES]);
/* Tells that there is no such leaf: -ENOENT. */
int record_no_such_leaf(struct daemon *daemon, uint64_t leaf, struct reply *reply);
/* Opens a record that the vault gave; the digest binds the patient's key, so that a record under
 * another key of the same nonce would show. 0, or -EBADMSG with why (COMMAND_WHY_BYTES). */
int record_open(struct daemon *daemon, uint64_t leaf, const uint8_t *sealed, uint32_t sealed_bytes,
    const uint8_t digest[HASH_BYTES], struct opened_record *opened, char *why);
/* Adds what record get tells of it to json; *senml as record_senml_json(), whose errors these are,
 * with why (COMMAND_WHY_BYTES) of -EBADMSG. */
int record_show(struct daemon *daemon, uint64_t leaf, uint32_t sealed_bytes,
    const uint8_t digest[HASH_BYTES], const struct opened_record *opened, json_t *json,
    char **senml, char *why);

#endif
