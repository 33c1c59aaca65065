/* SPDX-License-Identifier: Apache-2.0 */
/* Devices and patients, kept in the in-place store (ledger/store.h), secrets wrapped by the realm
 * key. One thread at a time (the control thread); everything is durable on return. */
#ifndef AORTA_CONTROL_REGISTRY_H
#define AORTA_CONTROL_REGISTRY_H

#include "crypto/keys.h"
#include "dataplane/contexts.h"

#include <stdbool.h>
#include <stdint.h>

#define PATIENT_NAME_MAX   63u
#define REGISTRY_WHY_BYTES 512u
/* The server's OSCORE ID where enrolment names no other: "A". A device may not have it as its kid.
 */
#define SERVER_ID_BYTES 1u
#define SERVER_ID       ((const uint8_t[SERVER_ID_BYTES]){0x41})

struct registry;

struct registry_config {
        const char *path; /* the only volume's folder; NULL with volumes */
        /* A folder a volume, by slot; NULL for one that is no member. data + parity of them. */
        const char *const *volumes;
        unsigned data, parity;
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

/* Loads everything; makes a new registry in a folder without one. On failure why
 * (REGISTRY_WHY_BYTES) says what is wrong and what to do. -EKEYREJECTED: made under another realm
 * key. -ENOSPC: holds more than the capacity. -EBADMSG: damaged. */
int registry_open(struct registry **registry, const struct registry_config *config, char *why);
/* The store's copies: bit i for volume i; with one volume 1. A copy is left out when its volume is fenced,
 * and made again when it is a member again. As store_leave(), store_join(). */
uint32_t registry_copies(const struct registry *registry);
int registry_copy_leave(struct registry *registry, unsigned i);
int registry_copy_join(struct registry *registry, unsigned i, const char *path, char *why);
void registry_close(struct registry *registry);

/* What the caller gives at enrolment. What is absent is made here: without a kid a native one,
 * without a secret a random one, and then, without a salt, a random salt. Names: 1 to 63 of A-Z a-z
 * 0-9 . _ : - */
struct enrolment {
        const char *name, *patient;
        bool lab;
        uint8_t alg;                                 /* 0: 10 */
        uint8_t kid_bytes, kid[OSCORE_ID_BYTES_MAX]; /* 0 bytes: native */
        uint8_t secret_bytes, secret[OSCORE_SECRET_BYTES_MAX];
        uint8_t salt_bytes, salt[OSCORE_SALT_BYTES_MAX];
        bool has_id_context;
        uint8_t id_context_bytes, id_context[OSCORE_ID_CONTEXT_BYTES_MAX];
        uint8_t server_id_bytes, server_id[OSCORE_ID_BYTES_MAX]; /* 0 bytes: SERVER_ID */
};
/* The credentials of a new device as the device needs them; wiped by the caller. */
struct credentials {
        struct oscore_input
            oscore; /* as the server: recipient_id is the device's kid, sender_id the server's */
};

/* Enrols: patient and its data key are made when new; durable, then *device and *credentials.
 * -EEXIST name in use, -EADDRINUSE kid in use, -ENOTUNIQ secret, salt and ID context were used
 * before (removed devices included), -EINVAL, -ENOSPC. */
int registry_enrol(struct registry *registry, const struct enrolment *enrolment,
    struct device *device, struct credentials *credentials, char *why);
/* Enrols n native devices PREFIX0…, each of a patient with the same name; few flushes. fn gets each
 * one with its credentials when it is durable; a negative return of it ends, and is returned. */
typedef int registry_enrolled_fn(
    void *user, const struct device *device, const struct credentials *credentials);
int registry_enrol_many(struct registry *registry, const char *prefix, uint32_t n, uint8_t alg,
    registry_enrolled_fn *fn, void *user, char *why);
/* The same from PREFIXfirst. */
int registry_enrol_range(struct registry *registry, const char *prefix, uint32_t first, uint32_t n,
    uint8_t alg, registry_enrolled_fn *fn, void *user, char *why);
/* Marks removed: its records stay readable, its secret is overwritten, its fingerprint kept. */
int registry_remove(struct registry *registry, const char *name, struct device *device);

int registry_find(const struct registry *registry, const char *name, struct device *device);
/* Of a patient: its slot, for good. */
int registry_find_patient(
    const struct registry *registry, const char *name, uint32_t *patient_slot);
/* Of a context id, removed devices too: to open a record. */
int registry_find_context(
    const struct registry *registry, uint64_t context_id, struct device *device);
/* Active ones in slot order; all: removed ones too, in order of enrolment. A negative return ends.
 */
int registry_walk(const struct registry *registry, bool all,
    int (*fn)(void *user, const struct device *device), void *user);
/* The same in pages: up to n devices from *position (0 at first), which moves on. Returns how many;
 * 0 at the end. */
uint32_t registry_page(const struct registry *registry, bool all, uint32_t *position,
    struct device *devices, uint32_t n);
uint32_t registry_devices(const struct registry *registry); /* active */
/* Active devices of a patient. */
uint32_t registry_patient_devices(const struct registry *registry, uint32_t patient_slot);
uint32_t registry_patients(const struct registry *registry);
/* Unwraps. 0 or -ENOENT (removed, or no such entry), -EBADMSG. The caller wipes. */
int registry_credentials(
    const struct registry *registry, const struct device *device, struct credentials *credentials);
int registry_patient_key(const struct registry *registry, uint32_t patient_slot,
    uint8_t key[DATA_KEY_BYTES], uint32_t *key_epoch);

#endif
