/* SPDX-License-Identifier: Apache-2.0 */
/* The multi-buffer back end on intel-ipsec-mb 1.3.
 *
 * Jobs are submitted and flushed within one call (the asynchronous interface: the synchronous
 * bursts leave CCM out). The library computes tags and compares none: that is done here. */
#include "crypto/engine_internal.h"

#include <assert.h>
#include <errno.h>
#include <intel-ipsec-mb.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* The library's own bound on CCM's AAD: B_0's length field and the AAD fill three blocks. */
#define MB_CCM_AAD_BYTES_MAX 46u
/* CCM's and SHA-256's lanes count bytes in 16 bits; kept clear of the edge. */
#define MB_LANE_BYTES_MAX   65000u
#define MB_ROUND_KEYS_BYTES (16u * 15u)

struct multi_buffer {
        IMB_MGR *mgr;
        struct portable *portable; /* the engine's */
        uint64_t completed[ENGINE_BITMAP_WORDS];
        _Alignas(64) uint8_t tags[ENGINE_BATCH_MAX][AEAD_TAG_BYTES_MAX];
};

static_assert(sizeof(struct gcm_key_data) % 16 == 0, "expanded GCM keys are whole blocks");
static_assert(AEAD_EXPANDED_CCM_BYTES == 11 * 16, "AES-128 has eleven round keys");

size_t
multi_buffer_gcm_bytes(void)
{
        return (sizeof(struct gcm_key_data) + 63) / 64 * 64;
}

static bool
usable(const IMB_MGR *mgr)
{
        if ((mgr->features & IMB_CPUFLAGS_SSE) != IMB_CPUFLAGS_SSE)
                return false; /* without AES-NI the library emulates it: slower than OpenSSL */
        if ((mgr->features & IMB_FEATURE_SELF_TEST) != 0 &&
            (mgr->features & IMB_FEATURE_SELF_TEST_PASS) == 0)
                return false;
        return true;
}

int
multi_buffer_create(struct multi_buffer **out, struct portable *portable)
{
        struct multi_buffer *mb = NULL;
        if (posix_memalign((void **)&mb, 64, sizeof(*mb)) != 0)
                return -ENOMEM;
        memset(mb, 0, sizeof(*mb));
        mb->portable = portable;
        mb->mgr = alloc_mb_mgr(0);
        if (mb->mgr == NULL) {
                free(mb);
                return imb_get_errno(NULL) == ENOMEM ? -ENOMEM : -ENOTSUP;
        }
        init_mb_mgr_auto(mb->mgr, NULL);
        if (imb_get_errno(mb->mgr) != 0 || !usable(mb->mgr)) {
                multi_buffer_destroy(mb);
                return -ENOTSUP;
        }
        *out = mb;
        return 0;
}

void
multi_buffer_destroy(struct multi_buffer *mb)
{
        if (mb == NULL)
                return;
        free_mb_mgr(mb->mgr);
        sodium_memzero(mb, sizeof(*mb));
        free(mb);
}

void
multi_buffer_expand_key(struct multi_buffer *mb, int alg, const uint8_t *key, void *expanded)
{
        _Alignas(16) uint8_t decrypt_keys[MB_ROUND_KEYS_BYTES]; /* CCM and GCM need none */

        switch (alg) {
        case AEAD_AES_CCM_16_64_128:
        case AEAD_AES_CCM_16_128_128:
                IMB_AES_KEYEXP_128(mb->mgr, key, expanded, decrypt_keys);
                sodium_memzero(decrypt_keys, sizeof(decrypt_keys));
                break;
        case AEAD_AES_128_GCM:
                memset(expanded, 0, multi_buffer_gcm_bytes());
                IMB_AES128_GCM_PRE(mb->mgr, key, expanded);
                break;
        case AEAD_AES_256_GCM:
                memset(expanded, 0, multi_buffer_gcm_bytes());
                IMB_AES256_GCM_PRE(mb->mgr, key, expanded);
                break;
        case AEAD_CHACHA20_POLY1305:
                memcpy(expanded, key, aead_key_bytes(alg));
                break;
        default:
                abort(); /* the engine checked */
        }
}

/* Whether the library takes the job; the others go the portable way and give the same bytes. */
static bool
takes(const struct aead_job *job, uint32_t plain_bytes)
{
        if (!aead_is_ccm(job->alg))
                return true;
        return job->aad_bytes <= MB_CCM_AAD_BYTES_MAX && plain_bytes <= MB_LANE_BYTES_MAX;
}

static void
note_completed(struct multi_buffer *mb, const IMB_JOB *done)
{
        for (; done != NULL; done = IMB_GET_COMPLETED_JOB(mb->mgr)) {
                if (done->status == IMB_STATUS_COMPLETED)
                        bitmap_set(mb->completed, (unsigned)(uintptr_t)done->user_data);
        }
}

static void
flush_all(struct multi_buffer *mb)
{
        for (IMB_JOB *done; (done = IMB_FLUSH_JOB(mb->mgr)) != NULL;) {
                if (done->status == IMB_STATUS_COMPLETED)
                        bitmap_set(mb->completed, (unsigned)(uintptr_t)done->user_data);
        }
}

static void
set_algorithm(IMB_JOB *slot, const struct aead_job *job, bool opening)
{
        /* CCM authenticates the plaintext, GCM and ChaCha20-Poly1305 the ciphertext. */
        bool hash_first = aead_is_ccm(job->alg) != opening;

        slot->chain_order = hash_first ? IMB_ORDER_HASH_CIPHER : IMB_ORDER_CIPHER_HASH;
        slot->cipher_direction = opening ? IMB_DIR_DECRYPT : IMB_DIR_ENCRYPT;
        slot->key_len_in_bytes = aead_key_bytes(job->alg);
        slot->iv_len_in_bytes = aead_nonce_bytes(job->alg);
        slot->auth_tag_output_len_in_bytes = aead_tag_bytes(job->alg);
        switch (job->alg) {
        case AEAD_AES_CCM_16_64_128:
        case AEAD_AES_CCM_16_128_128:
                slot->cipher_mode = IMB_CIPHER_CCM;
                slot->hash_alg = IMB_AUTH_AES_CCM;
                slot->u.CCM.aad = job->aad;
                slot->u.CCM.aad_len_in_bytes = job->aad_bytes;
                break;
        case AEAD_AES_128_GCM:
        case AEAD_AES_256_GCM:
                slot->cipher_mode = IMB_CIPHER_GCM;
                slot->hash_alg = IMB_AUTH_AES_GMAC;
                slot->u.GCM.aad = job->aad;
                slot->u.GCM.aad_len_in_bytes = job->aad_bytes;
                break;
        case AEAD_CHACHA20_POLY1305:
                slot->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
                slot->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
                slot->u.CHACHA20_POLY1305.aad = job->aad;
                slot->u.CHACHA20_POLY1305.aad_len_in_bytes = job->aad_bytes;
                break;
        default:
                abort(); /* the engine checked */
        }
}

/* The engine has checked everything that the library would check again: NOCHECK. */
static void
submit(struct multi_buffer *mb, const struct aead_job *job, unsigned i, uint32_t plain_bytes,
    uint8_t *tag, bool opening)
{
        IMB_JOB *slot = IMB_GET_NEXT_JOB(mb->mgr);

        set_algorithm(slot, job, opening);
        slot->enc_keys = job->key;
        slot->dec_keys = job->key;
        slot->src = job->in;
        slot->dst = job->out;
        slot->cipher_start_src_offset_in_bytes = 0;
        slot->msg_len_to_cipher_in_bytes = plain_bytes;
        slot->hash_start_src_offset_in_bytes = 0;
        slot->msg_len_to_hash_in_bytes = plain_bytes;
        slot->iv = job->nonce;
        slot->auth_tag_output = tag;
        slot->user_data = (void *)(uintptr_t)i;
        note_completed(mb, IMB_SUBMIT_JOB_NOCHECK(mb->mgr));
}

void
multi_buffer_open(struct multi_buffer *mb, const struct aead_job *jobs,
    const struct engine_order *order, uint64_t ok[ENGINE_BITMAP_WORDS])
{
        memset(mb->completed, 0, sizeof(mb->completed));
        for (unsigned k = 0; k < order->n; k++) {
                unsigned i = order->index[k];
                uint32_t plain_bytes = aead_plain_bytes(&jobs[i], true);
                if (takes(&jobs[i], plain_bytes))
                        submit(mb, &jobs[i], i, plain_bytes, mb->tags[k], true);
                else if (portable_open(mb->portable, &jobs[i]))
                        bitmap_set(ok, i);
        }
        flush_all(mb);
        for (unsigned k = 0; k < order->n; k++) {
                unsigned i = order->index[k];
                const struct aead_job *job = &jobs[i];
                if (!bitmap_get(mb->completed, i))
                        continue;
                if (sodium_memcmp(mb->tags[k], job->in + aead_plain_bytes(job, true),
                        aead_tag_bytes(job->alg)) == 0)
                        bitmap_set(ok, i);
        }
        /* The right tag of a forged message would be a forgery: keep none. */
        sodium_memzero(mb->tags, order->n * sizeof(mb->tags[0]));
}

void
multi_buffer_seal(
    struct multi_buffer *mb, const struct aead_job *jobs, const struct engine_order *order)
{
        memset(mb->completed, 0, sizeof(mb->completed));
        for (unsigned k = 0; k < order->n; k++) {
                unsigned i = order->index[k];
                const struct aead_job *job = &jobs[i];
                if (takes(job, job->in_bytes)) {
                        submit(mb, job, i, job->in_bytes, job->out + job->in_bytes, false);
                } else {
                        portable_seal(mb->portable, job);
                        bitmap_set(mb->completed, i);
                }
        }
        flush_all(mb);
        for (unsigned k = 0; k < order->n; k++)
                assert(bitmap_get(mb->completed, order->index[k]));
}

void
multi_buffer_sha256(struct multi_buffer *mb, const struct sha256_job *jobs, unsigned n)
{
        memset(mb->completed, 0, sizeof(mb->completed));
        for (unsigned i = 0; i < n; i++) {
                if (jobs[i].in_bytes > MB_LANE_BYTES_MAX) {
                        portable_sha256(mb->portable, &jobs[i]);
                        bitmap_set(mb->completed, i);
                        continue;
                }
                IMB_JOB *slot = IMB_GET_NEXT_JOB(mb->mgr);
                slot->cipher_mode = IMB_CIPHER_NULL;
                slot->cipher_direction = IMB_DIR_ENCRYPT;
                slot->hash_alg = IMB_AUTH_SHA_256;
                slot->chain_order = IMB_ORDER_HASH_CIPHER;
                slot->src = jobs[i].in;
                slot->hash_start_src_offset_in_bytes = 0;
                slot->msg_len_to_hash_in_bytes = jobs[i].in_bytes;
                slot->auth_tag_output = jobs[i].out;
                slot->auth_tag_output_len_in_bytes = SHA256_BYTES;
                slot->user_data = (void *)(uintptr_t)i;
                note_completed(mb, IMB_SUBMIT_JOB_NOCHECK(mb->mgr));
        }
        flush_all(mb);
        for (unsigned i = 0; i < n; i++)
                assert(bitmap_get(mb->completed, i));
}
