/* SPDX-License-Identifier: Apache-2.0 */
/* The sealed record: what the vault keeps of a request. Layout in docs/formats.md.
 *
 *   header (SEAL_HEADER_BYTES, the AAD) ‖ ChaCha20 ciphertext ‖ Poly1305 tag (RFC 8439)
 *
 * Anyone who holds the patient's data key opens it with libsodium's
 * crypto_aead_chacha20poly1305_ietf_decrypt alone. Its digest is
 * SHA-256(SHA-256(patient key) ‖ sealed bytes), because the cipher does not commit to its key. */
#ifndef AORTA_CRYPTO_SEAL_H
#define AORTA_CRYPTO_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEAL_VERSION      1u
#define SEAL_HEADER_BYTES 80u
#define SEAL_TAG_BYTES    16u
#define SEAL_NONCE_BYTES  12u
#define SEAL_KEY_BYTES    32u
#define SEAL_OVERHEAD     (SEAL_HEADER_BYTES + SEAL_TAG_BYTES)
#define SEAL_PAYLOAD_MAX  1024u /* SenML bytes of a record; a longer pack is 4.13 */
#define SEAL_BYTES_MAX    (SEAL_OVERHEAD + SEAL_PAYLOAD_MAX)

enum record_kind {
        RECORD_OSCORE = 1, /* a device's request under OSCORE */
        RECORD_LAB = 2,    /* a plain request of a lab device: proves no origin, touches no window */
};

/* The header, field by field; all integers little-endian on disk. */
struct seal_header {
        uint8_t kind;            /* enum record_kind; offset 1 (offset 0 is SEAL_VERSION) */
        uint16_t content_format; /* CoAP content format, 110 or 112; offset 2 */
        uint32_t realm;          /* offset 4 */
        uint64_t context_id;     /* never reused; offset 8 */
        uint64_t partial_iv;     /* offset 16 */
        uint8_t oscore_tag[16];  /* of the request, zero padded; offset 24 */
        uint32_t key_epoch;      /* of the patient's data key; offset 40 */
        uint32_t payload_bytes;  /* offset 44 */
        uint64_t received_ns;    /* Unix time; offset 48 */
        uint64_t message_id;     /* lab records: message ID and token hash, else 0; offset 56 */
        uint8_t nonce[12];       /* boot epoch ‖ worker ‖ counter; offset 64 */
        uint16_t flags;          /* RECORD_FLAG_*; offset 76 */
        uint8_t oscore_tag_bytes; /* 0, 8 or 16; offset 78 (offset 79 is zero) */
};

#define RECORD_FLAG_IMPLAUSIBLE  0x0001u /* a value outside its plausible range */
#define RECORD_FLAG_UNKNOWN_CODE 0x0002u /* a name that ends in no known LOINC code */
#define RECORD_FLAG_UNKNOWN_UNIT 0x0004u /* a known code with a unit that is not accepted */

/* Writes the header's bytes. The header must be one that seal_header_read() takes (asserted): a known kind,
 * content format and flags; a tag of 8 or 16 bytes for RECORD_OSCORE, of 0 for RECORD_LAB, zero padded. */
void seal_header_write(uint8_t out[SEAL_HEADER_BYTES], const struct seal_header *header);

/* Parses and checks a header whose sealed record has sealed_bytes bytes. 0 or -EBADMSG. */
int seal_header_read(struct seal_header *header, const uint8_t *sealed, size_t sealed_bytes);

/* boot epoch (u64, only the low 56 bits used) ‖ worker (u8) ‖ counter (u32): 12 bytes: epoch 7 ‖
 * worker 1 ‖ counter 4, big-endian. A worker whose counter would wrap must stop sealing. */
void seal_nonce(uint8_t nonce[SEAL_NONCE_BYTES], uint64_t boot_epoch, uint8_t worker, uint32_t counter);

/* One record, libsodium only: for tools and tests. plain has room for payload_bytes. 0 or -EBADMSG. */
int seal_open_record(uint8_t *plain, const uint8_t *sealed, size_t sealed_bytes,
    const uint8_t key[SEAL_KEY_BYTES]);

/* SHA-256 of the key, computed once a key; and the record's digest (libsodium). */
void seal_key_hash(uint8_t hash[32], const uint8_t key[SEAL_KEY_BYTES]);
void seal_digest(uint8_t digest[32], const uint8_t key_hash[32], const uint8_t *sealed, size_t sealed_bytes);

#endif
