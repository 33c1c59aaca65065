/* SPDX-License-Identifier: Apache-2.0 */
/* The crypto engine: batches of AEAD and SHA-256 jobs in, a verdict bitmap out.
 *
 * One engine a thread; an engine is never shared. Two back ends give the same bytes: intel-ipsec-mb,
 * and a portable one on libsodium and OpenSSL. Expanded keys are those of the process's back end and
 * never leave the process. */
#ifndef AORTA_CRYPTO_ENGINE_H
#define AORTA_CRYPTO_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* COSE algorithm numbers (IANA; RFC 9053 §4). */
enum aead_alg {
        AEAD_AES_128_GCM = 1,
        AEAD_AES_256_GCM = 3,
        AEAD_AES_CCM_16_64_128 = 10,
        AEAD_CHACHA20_POLY1305 = 24,
        AEAD_AES_CCM_16_128_128 = 30,
};

#define ENGINE_BATCH_MAX        256u /* jobs a call */
#define ENGINE_BITMAP_WORDS     (ENGINE_BATCH_MAX / 64u)
#define AEAD_KEY_BYTES_MAX      32u
#define AEAD_TAG_BYTES_MAX      16u
#define AEAD_NONCE_BYTES_MAX    13u
#define AEAD_AAD_BYTES_MAX      128u
#define AEAD_EXPANDED_CCM_BYTES 176u /* an expanded CCM-128 key, in either back end, fits here */
#define SHA256_BYTES            32u

enum engine_backend { ENGINE_AUTO, ENGINE_IPSEC_MB, ENGINE_PORTABLE };

struct engine;

/* Sizes of an algorithm; 0 when it is not known. */
size_t aead_key_bytes(int alg);
size_t aead_tag_bytes(int alg);
size_t aead_nonce_bytes(int alg);
/* Bytes of an expanded key (16-byte aligned memory; 64 for GCM). CCM: AEAD_EXPANDED_CCM_BYTES. */
size_t aead_expanded_bytes(int alg);

/* Makes an engine (allocates; call at start only). AUTO takes ipsec-mb when it is usable here, else
 * the portable one. 0 or -errno. */
int engine_create(struct engine **engine, enum engine_backend backend);
void engine_destroy(struct engine *engine);
const char *engine_backend_name(const struct engine *engine);

/* Expands a key of aead_key_bytes(alg) into aead_expanded_bytes(alg) bytes. 0 or -EINVAL. */
int aead_expand_key(struct engine *engine, int alg, const uint8_t *key, void *expanded);

/* Nobody may write to in during the call: ChaCha20-Poly1305 and GCM read it twice, for the tag and for
 * the plaintext. Memory that a peer can write (memif) is copied first. in and out are the same or apart. */
struct aead_job {
        const void *key;      /* expanded */
        const uint8_t *nonce; /* aead_nonce_bytes(alg) */
        const uint8_t *aad;
        const uint8_t *in;  /* seal: plaintext; open: ciphertext ‖ tag */
        uint8_t *out;       /* seal: ciphertext ‖ tag; open: plaintext. in == out is allowed */
        uint32_t in_bytes;  /* length of in, the tag included when opening */
        uint16_t aad_bytes; /* at most AEAD_AAD_BYTES_MAX */
        uint8_t alg;
};

/* Opens n <= ENGINE_BATCH_MAX jobs of mixed algorithms. Bit i of ok says that job i is authentic; tags
 * are compared in constant time. The output of a job that failed is zeroed. A job that is malformed
 * (too short, unknown alg) fails. No allocation, no system call. */
void engine_open(
    struct engine *engine, const struct aead_job *jobs, unsigned n, uint64_t ok[ENGINE_BITMAP_WORDS]);

/* Seals n jobs; jobs must be well formed (asserted). */
void engine_seal(struct engine *engine, const struct aead_job *jobs, unsigned n);

struct sha256_job {
        const uint8_t *in;
        uint8_t *out; /* SHA256_BYTES */
        uint32_t in_bytes;
};

/* Digests n <= ENGINE_BATCH_MAX messages. */
void engine_sha256(struct engine *engine, const struct sha256_job *jobs, unsigned n);

#endif
