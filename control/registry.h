/* SPDX-License-Identifier: Apache-2.0 */
/* Devices and patients, kept in the in-place store (ledger/store.h), secrets wrapped by the realm
 * key. One thread at a time (the control thread); everything is durable on return. */
#ifndef AORTA_CONTROL_REGISTRY_H
#define AORTA_CONTROL_REGISTRY_H

#include "crypto/keys.h"
#include "dataplane/contexts.h"

#include <stdbool.h>
#include <stdint.h>

#define PATIENT_NAME_MAX 63u

struct registry;

struct registry_config {
        const char *path; /* the volume's folder */
        const struct realm_key *realm_key;
        uint32_t devices, patients; /* capacity */
};

struct device {
        char name[DEVICE_NAME_MAX + 1];
        char patient[PATIENT_NAME_MAX + 1];
        uint64_t context_id; /* never reused */
        uint64_t enrolled_ns;
        uint32_t slot; /* of contexts; reused with another generation */
        uint32_t patient_slot;
        uint8_t generation;
        bool native, lab, removed;
        uint8_t alg;
        uint8_t kid[OSCORE_ID_BYTES_MAX], kid_bytes;
        bool has_id_context;
        uint8_t id_context[OSCORE_ID_CONTEXT_BYTES_MAX], id_context_bytes;
};

/* Loads everything. why (512 bytes). */
int registry_open(struct registry **registry, const struct registry_config *config, char *why);
void registry_close(struct registry *registry);

/* What the caller gives at enrolment; secret_bytes 0: all is made here (native kid, random secret
 * and salt). */
struct enrolment {
        const char *name, *patient;
        bool lab;
        uint8_t alg;                                 /* 0: 10 */
        uint8_t kid_bytes, kid[OSCORE_ID_BYTES_MAX]; /* 0 bytes: native */
        uint8_t secret_bytes, secret[OSCORE_SECRET_BYTES_MAX];
        uint8_t salt_bytes, salt[OSCORE_SALT_BYTES_MAX];
        bool has_id_context;
        uint8_t id_context_bytes, id_context[OSCORE_ID_CONTEXT_BYTES_MAX];
};
/* The credentials of a new device as the device needs them; wiped by the caller. */
struct credentials {
        struct oscore_input
            oscore; /* as the server: recipient_id is the device's kid, sender_id the server's */
};

/* Enrols: patient and its data key are made when new; durable, then *device and *credentials.
 * -EEXIST name in use, -EADDRINUSE kid in use, -EKEYREUSED secret, salt and ID context were used
 * before (removed devices included), -EINVAL, -ENOSPC. */
int registry_enrol(struct registry *registry, const struct enrolment *enrolment,
    struct device *device, struct credentials *credentials, char *why);
/* Enrols n native devices PREFIX0…; few flushes. fn gets each with its credentials. */
int registry_enrol_many(struct registry *registry, const char *prefix, uint32_t n, uint8_t alg,
    int (*fn)(void *user, const struct device *device, const struct credentials *credentials),
    void *user, char *why);
/* Marks removed: its records stay readable, its secret is overwritten, its fingerprint kept. */
int registry_remove(struct registry *registry, const char *name, struct device *device);

int registry_find(const struct registry *registry, const char *name, struct device *device);
/* Of a context id, removed devices too: to open a record. */
int registry_find_context(
    const struct registry *registry, uint64_t context_id, struct device *device);
/* In slot order; negative return ends. Removed ones are not walked unless all. */
int registry_walk(const struct registry *registry, bool all,
    int (*fn)(void *user, const struct device *device), void *user);
uint32_t registry_devices(const struct registry *registry);
/* Unwraps. 0 or -ENOENT, -EBADMSG. */
int registry_credentials(
    const struct registry *registry, const struct device *device, struct credentials *credentials);
int registry_patient_key(const struct registry *registry, uint32_t patient_slot,
    uint8_t key[DATA_KEY_BYTES], uint32_t *key_epoch);

#endif
