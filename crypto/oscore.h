/* SPDX-License-Identifier: Apache-2.0 */
/* OSCORE's key schedule, nonces and AAD (RFC 8613 §3.2, §5.2, §5.4); nothing of CoAP. */
#ifndef AORTA_CRYPTO_OSCORE_H
#define AORTA_CRYPTO_OSCORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OSCORE_ID_BYTES_MAX         7u /* nonce length - 6 (13-byte nonces) */
#define OSCORE_SECRET_BYTES_MAX     32u
#define OSCORE_SALT_BYTES_MAX       16u
#define OSCORE_ID_CONTEXT_BYTES_MAX 16u
#define OSCORE_NONCE_BYTES_MAX      13u
#define OSCORE_PIV_MAX              ((UINT64_C(1) << 40) - 1)
#define OSCORE_PIV_BYTES_MAX        5u
#define OSCORE_AAD_BYTES_MAX        64u

struct oscore_input {
        uint8_t secret[OSCORE_SECRET_BYTES_MAX];
        uint8_t salt[OSCORE_SALT_BYTES_MAX];
        uint8_t id_context[OSCORE_ID_CONTEXT_BYTES_MAX];
        uint8_t sender_id[OSCORE_ID_BYTES_MAX];    /* of the side that derives */
        uint8_t recipient_id[OSCORE_ID_BYTES_MAX]; /* of its peer */
        uint8_t secret_bytes, salt_bytes, sender_id_bytes, recipient_id_bytes;
        uint8_t id_context_bytes;
        bool has_id_context;
        uint8_t alg; /* COSE number */
};

struct oscore_keys {
        uint8_t sender_key[32];
        uint8_t recipient_key[32];
        uint8_t common_iv[OSCORE_NONCE_BYTES_MAX];
};

/* RFC 8613 §3.2.1 with HKDF-SHA-256. 0, or -EINVAL for an unknown algorithm, a secret under 16 bytes,
 * an ID longer than the algorithm's nonce allows, or two equal IDs. */
int oscore_derive_keys(const struct oscore_input *input, struct oscore_keys *keys);

/* RFC 8613 §5.2: the nonce of partial IV piv chosen by the endpoint whose ID is id. Writes
 * aead_nonce_bytes(alg) bytes. */
void oscore_nonce(uint8_t *nonce, int alg, const uint8_t *common_iv, const uint8_t *id,
    size_t id_bytes, uint64_t piv);

/* RFC 8613 §5.4: the encoded Enc_structure around external_aad of a request's kid and partial IV (the
 * same for its response). Returns its length, at most OSCORE_AAD_BYTES_MAX. */
size_t oscore_aad(uint8_t aad[OSCORE_AAD_BYTES_MAX], int alg, const uint8_t *request_kid,
    size_t kid_bytes, uint64_t request_piv);

/* Minimal big-endian encoding of a partial IV (0 is one zero byte). Returns 1 to 5. */
size_t oscore_encode_piv(uint8_t out[OSCORE_PIV_BYTES_MAX], uint64_t piv);

#endif
