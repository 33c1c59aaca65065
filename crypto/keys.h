/* SPDX-License-Identifier: Apache-2.0 */
/* Where secrets live and how they are wrapped. Control threads only; not for the record path. */
#ifndef AORTA_CRYPTO_KEYS_H
#define AORTA_CRYPTO_KEYS_H

#include <stddef.h>
#include <stdint.h>

#define REALM_KEY_BYTES   32u
#define DATA_KEY_BYTES    32u
#define WRAP_OVERHEAD     40u /* nonce (24) and tag (16) of XChaCha20-Poly1305 */
#define WRAPPED_KEY_BYTES (DATA_KEY_BYTES + WRAP_OVERHEAD)

/* The realm key, in libsodium's guarded memory (sodium_malloc, read-only after load). */
struct realm_key;

/* Makes a new key file, mode 0600, never over an existing one; flushed, folder included. 0 or -errno. */
int realm_key_create_file(const char *path);

/* Reads a key file. -ENOENT, -EACCES when its mode lets group or others read it, -EBADMSG when its
 * content is not a key file's (wrong length, header or checksum), -ENOMEM. */
int realm_key_load(struct realm_key **key, const char *path);
void realm_key_free(struct realm_key *key);

/* Wraps in_bytes under the realm key with a random nonce; out has in_bytes + WRAP_OVERHEAD. The context
 * (what the secret is of: "patient" + id, "device" + id) is authenticated: a wrapped key moved to another
 * entry does not open. 0 or -errno. */
int realm_wrap(const struct realm_key *key, uint8_t *out, const uint8_t *in, size_t in_bytes,
    const void *context, size_t context_bytes);
/* 0 or -EBADMSG. */
int realm_unwrap(const struct realm_key *key, uint8_t *out, const uint8_t *in, size_t in_bytes,
    const void *context, size_t context_bytes);
/* A keyed fingerprint (BLAKE2b keyed by a subkey) to recognise a secret that was used before without
 * keeping it. */
void realm_fingerprint(
    const struct realm_key *key, uint8_t out[16], const void *data, size_t data_bytes);
/* The same under a subkey of its own: a name for who must not be named (the index's patients). */
void realm_pseudonym(
    const struct realm_key *key, uint8_t out[16], const void *data, size_t data_bytes);

/* How a range of secure pages is held; secure_pages_how() tells. */
enum secure_how { SECURE_HUGE, SECURE_LOCKED, SECURE_UNLOCKED };

/* Zeroed memory for keys: huge pages where they can be had (they are never swapped), else ordinary
 * pages that are locked, else (no right to lock so much) ordinary pages, and *how says so, for the
 * caller to warn. Always kept out of cores (MADV_DONTDUMP) and of children (MADV_DONTFORK).
 * bytes is rounded up to 2 MiB. 0 or -errno. */
int secure_pages_alloc(void **pages, size_t bytes, enum secure_how *how);
/* Wipes and unmaps; bytes as given to alloc. */
void secure_pages_free(void *pages, size_t bytes);

#endif
