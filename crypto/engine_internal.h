/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine's dispatch and its two back ends know of each other. */
#ifndef AORTA_CRYPTO_ENGINE_INTERNAL_H
#define AORTA_CRYPTO_ENGINE_INTERNAL_H

#include "crypto/engine.h"

/* CCM with a 13-byte nonce counts its message in two bytes (RFC 3610 §2, L = 2). */
#define CCM_MESSAGE_BYTES_MAX 65535u
/* The others: far above any message here, and an int for OpenSSL. */
#define AEAD_MESSAGE_BYTES_MAX (1u << 30)

/* Sealing: the input; opening: the input without its tag. */
static inline uint32_t
aead_plain_bytes(const struct aead_job *job, bool opening)
{
        return opening ? job->in_bytes - (uint32_t)aead_tag_bytes(job->alg) : job->in_bytes;
}

static inline bool
aead_is_ccm(int alg)
{
        return alg == AEAD_AES_CCM_16_64_128 || alg == AEAD_AES_CCM_16_128_128;
}

/* The jobs of one call that are well formed, grouped by algorithm, in their order within it. */
struct engine_order {
        uint16_t index[ENGINE_BATCH_MAX];
        unsigned n;
};

static inline void
bitmap_set(uint64_t *bitmap, unsigned i)
{
        bitmap[i / 64] |= UINT64_C(1) << (i % 64);
}

static inline bool
bitmap_get(const uint64_t *bitmap, unsigned i)
{
        return bitmap[i / 64] >> (i % 64) & 1;
}

/* The portable back end, one message at a time. Its keys are the raw ones; since an expanded AES
 * key begins with the raw key, it takes ipsec-mb's expanded keys as well. */
struct portable;
int portable_create(struct portable **portable);
void portable_destroy(struct portable *portable);
void portable_expand_key(int alg, const uint8_t *key, void *expanded);
bool portable_open(struct portable *portable, const struct aead_job *job);
void portable_seal(struct portable *portable, const struct aead_job *job);
void portable_sha256(struct portable *portable, const struct sha256_job *job);

/* The ipsec-mb back end, a batch at a time; what the library does not take goes to portable. */
struct multi_buffer;
/* 0, -ENOTSUP when this CPU lacks what the library needs or its self-test failed, -ENOMEM. */
int multi_buffer_create(struct multi_buffer **mb, struct portable *portable);
void multi_buffer_destroy(struct multi_buffer *mb);
size_t multi_buffer_gcm_bytes(void);
void multi_buffer_expand_key(struct multi_buffer *mb, int alg, const uint8_t *key, void *expanded);
void multi_buffer_open(struct multi_buffer *mb, const struct aead_job *jobs,
    const struct engine_order *order, uint64_t ok[ENGINE_BITMAP_WORDS]);
void multi_buffer_seal(
    struct multi_buffer *mb, const struct aead_job *jobs, const struct engine_order *order);
void multi_buffer_sha256(struct multi_buffer *mb, const struct sha256_job *jobs, unsigned n);

#endif
