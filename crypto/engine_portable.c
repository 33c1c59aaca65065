/* SPDX-License-Identifier: Apache-2.0 */
/* The portable back end: OpenSSL's AES and SHA-256, libsodium's ChaCha20-Poly1305.
 *
 * Contexts are made at the start; a call sets only key and nonce, which allocates nothing. CCM is
 * put together here of OpenSSL's CTR and CBC: its own CCM pushes an entry (with allocated strings)
 * on the error queue for each forged tag, and forged tags are what a stranger sends. */

/* SHA256_Init() and its kin: since OpenSSL 3.0 a digest through EVP allocates each time, and
 * libsodium's does not use the SHA instructions. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "crypto/engine_internal.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define AES_BLOCK_BYTES  16u
#define GCM_TAG_BYTES    16
#define CCM_NONCE_BYTES  13u
#define CCM_LENGTH_BYTES 2u
#define CBC_CHUNK_BYTES  512u

enum { GCM_128, GCM_256, GCM_KINDS };

struct portable {
        EVP_CIPHER_CTX *ctr, *cbc; /* AES-128 */
        EVP_CIPHER_CTX *gcm_seal[GCM_KINDS], *gcm_open[GCM_KINDS];
        SHA256_CTX sha256;
        uint8_t cbc_out[CBC_CHUNK_BYTES];
};

static EVP_CIPHER_CTX *
make_context(const char *name, int sealing)
{
        EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
        EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
        if (cipher == NULL || ctx == NULL ||
            EVP_CipherInit_ex2(ctx, cipher, NULL, NULL, sealing, NULL) != 1) {
                EVP_CIPHER_CTX_free(ctx);
                ctx = NULL;
        }
        EVP_CIPHER_free(cipher); /* the context holds its own reference */
        return ctx;
}

int
portable_create(struct portable **portable)
{
        struct portable *p = calloc(1, sizeof(*p));
        if (p == NULL)
                return -ENOMEM;
        p->ctr = make_context("AES-128-CTR", 1);
        p->cbc = make_context("AES-128-CBC", 1);
        p->gcm_seal[GCM_128] = make_context("AES-128-GCM", 1);
        p->gcm_open[GCM_128] = make_context("AES-128-GCM", 0);
        p->gcm_seal[GCM_256] = make_context("AES-256-GCM", 1);
        p->gcm_open[GCM_256] = make_context("AES-256-GCM", 0);
        if (p->ctr == NULL || p->cbc == NULL || p->gcm_seal[GCM_128] == NULL ||
            p->gcm_open[GCM_128] == NULL || p->gcm_seal[GCM_256] == NULL ||
            p->gcm_open[GCM_256] == NULL || EVP_CIPHER_CTX_set_padding(p->cbc, 0) != 1) {
                portable_destroy(p);
                return -ENOMEM;
        }
        *portable = p;
        return 0;
}

void
portable_destroy(struct portable *p)
{
        if (p == NULL)
                return;
        EVP_CIPHER_CTX_free(p->ctr);
        EVP_CIPHER_CTX_free(p->cbc);
        for (int i = 0; i < GCM_KINDS; i++) {
                EVP_CIPHER_CTX_free(p->gcm_seal[i]);
                EVP_CIPHER_CTX_free(p->gcm_open[i]);
        }
        sodium_memzero(p, sizeof(*p));
        free(p);
}

void
portable_expand_key(int alg, const uint8_t *key, void *expanded)
{
        memset(expanded, 0, aead_expanded_bytes(alg));
        memcpy(expanded, key, aead_key_bytes(alg));
}

/* None of OpenSSL's calls below can fail on the arguments they get (contexts exist, keys and
 * lengths are right); a failure is a broken library, and going on would send out a wrong
 * ciphertext. */
static void
must(int rc)
{
        if (rc != 1)
                abort();
}

static void
update(EVP_CIPHER_CTX *ctx, uint8_t *out, const uint8_t *in, uint32_t bytes)
{
        int written = 0;
        if (bytes == 0)
                return;
        must(EVP_CipherUpdate(ctx, out, &written, in, (int)bytes));
        assert((uint32_t)written == bytes);
}

/* Runs whole blocks through CBC and keeps the last one: the CBC-MAC so far. */
static void
cbc_mac(struct portable *p, uint8_t mac[AES_BLOCK_BYTES], const uint8_t *in, uint32_t bytes)
{
        assert(bytes % AES_BLOCK_BYTES == 0);
        while (bytes > 0) {
                uint32_t chunk = bytes < CBC_CHUNK_BYTES ? bytes : CBC_CHUNK_BYTES;
                update(p->cbc, p->cbc_out, in, chunk);
                memcpy(mac, p->cbc_out + chunk - AES_BLOCK_BYTES, AES_BLOCK_BYTES);
                in += chunk;
                bytes -= chunk;
        }
}

/* RFC 3610 §2.2: the CBC-MAC over B_0, the AAD and the plaintext. */
static void
ccm_mac(struct portable *p, const struct aead_job *job, const uint8_t *plain, uint32_t plain_bytes,
    uint8_t mac[AES_BLOCK_BYTES])
{
        enum { HEAD = AES_BLOCK_BYTES + 2 + AEAD_AAD_BYTES_MAX + AES_BLOCK_BYTES };
        static const uint8_t zero_iv[AES_BLOCK_BYTES];
        uint8_t head[HEAD] = {0}, last[AES_BLOCK_BYTES] = {0};
        unsigned tag_bytes = (unsigned)aead_tag_bytes(job->alg);
        uint32_t head_bytes = AES_BLOCK_BYTES;

        head[0] = (uint8_t)((job->aad_bytes > 0 ? 0x40 : 0) | (tag_bytes - 2) / 2 << 3 |
                            (CCM_LENGTH_BYTES - 1));
        memcpy(head + 1, job->nonce, CCM_NONCE_BYTES);
        head[14] = (uint8_t)(plain_bytes >> 8);
        head[15] = (uint8_t)plain_bytes;
        if (job->aad_bytes > 0) {
                head[16] = (uint8_t)(job->aad_bytes >> 8);
                head[17] = (uint8_t)job->aad_bytes;
                memcpy(head + 18, job->aad, job->aad_bytes);
                head_bytes += (2u + job->aad_bytes + 15u) / 16u * 16u;
        }
        must(EVP_EncryptInit_ex2(p->cbc, NULL, job->key, zero_iv, NULL));
        cbc_mac(p, mac, head, head_bytes);
        uint32_t whole = plain_bytes / AES_BLOCK_BYTES * AES_BLOCK_BYTES;
        cbc_mac(p, mac, plain, whole);
        if (plain_bytes > whole) {
                memcpy(last, plain + whole, plain_bytes - whole);
                cbc_mac(p, mac, last, AES_BLOCK_BYTES);
                sodium_memzero(last, sizeof(last));
        }
}

/* RFC 3610 §2.3: sets up the key stream and takes its block 0, which hides the MAC. */
static void
ccm_start(struct portable *p, const struct aead_job *job, uint8_t s0[AES_BLOCK_BYTES])
{
        static const uint8_t zero[AES_BLOCK_BYTES];
        uint8_t a0[AES_BLOCK_BYTES] = {CCM_LENGTH_BYTES - 1};

        memcpy(a0 + 1, job->nonce, CCM_NONCE_BYTES);
        must(EVP_EncryptInit_ex2(p->ctr, NULL, job->key, a0, NULL));
        update(p->ctr, s0, zero, AES_BLOCK_BYTES);
}

static void
ccm_seal(struct portable *p, const struct aead_job *job)
{
        uint8_t s0[AES_BLOCK_BYTES], mac[AES_BLOCK_BYTES];
        size_t tag_bytes = aead_tag_bytes(job->alg);

        ccm_mac(p, job, job->in, job->in_bytes, mac);
        ccm_start(p, job, s0);
        update(p->ctr, job->out, job->in, job->in_bytes);
        for (size_t i = 0; i < tag_bytes; i++)
                job->out[job->in_bytes + i] = mac[i] ^ s0[i];
        sodium_memzero(s0, sizeof(s0));
        sodium_memzero(mac, sizeof(mac));
}

static bool
ccm_open(struct portable *p, const struct aead_job *job)
{
        uint8_t s0[AES_BLOCK_BYTES], mac[AES_BLOCK_BYTES];
        uint32_t plain_bytes = aead_plain_bytes(job, true);
        size_t tag_bytes = aead_tag_bytes(job->alg);

        ccm_start(p, job, s0);
        update(p->ctr, job->out, job->in, plain_bytes);
        ccm_mac(p, job, job->out, plain_bytes, mac);
        for (size_t i = 0; i < tag_bytes; i++)
                mac[i] ^= s0[i];
        bool same = sodium_memcmp(mac, job->in + plain_bytes, tag_bytes) == 0;
        sodium_memzero(s0, sizeof(s0));
        sodium_memzero(mac, sizeof(mac));
        return same;
}

static void
gcm_start(EVP_CIPHER_CTX *ctx, const struct aead_job *job, int sealing)
{
        int aad_bytes = 0;
        must(EVP_CipherInit_ex2(ctx, NULL, job->key, job->nonce, sealing, NULL));
        if (job->aad_bytes > 0)
                must(EVP_CipherUpdate(ctx, NULL, &aad_bytes, job->aad, job->aad_bytes));
}

static void
gcm_seal(EVP_CIPHER_CTX *ctx, const struct aead_job *job)
{
        uint8_t nothing[AES_BLOCK_BYTES];
        int more = 0;

        gcm_start(ctx, job, 1);
        update(ctx, job->out, job->in, job->in_bytes);
        must(EVP_CipherFinal_ex(ctx, nothing, &more));
        must(EVP_CIPHER_CTX_ctrl(
            ctx, EVP_CTRL_AEAD_GET_TAG, GCM_TAG_BYTES, job->out + job->in_bytes));
}

/* OpenSSL compares GCM's tag itself, by CRYPTO_memcmp, and puts nothing on its error queue. */
static bool
gcm_open(EVP_CIPHER_CTX *ctx, const struct aead_job *job)
{
        uint32_t plain_bytes = aead_plain_bytes(job, true);
        uint8_t nothing[AES_BLOCK_BYTES], tag[GCM_TAG_BYTES];
        int more = 0;

        memcpy(tag, job->in + plain_bytes, sizeof(tag));
        gcm_start(ctx, job, 0);
        update(ctx, job->out, job->in, plain_bytes);
        must(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, GCM_TAG_BYTES, tag));
        return EVP_CipherFinal_ex(ctx, nothing, &more) == 1;
}

void
portable_seal(struct portable *p, const struct aead_job *job)
{
        switch (job->alg) {
        case AEAD_AES_CCM_16_64_128:
        case AEAD_AES_CCM_16_128_128:
                ccm_seal(p, job);
                break;
        case AEAD_AES_128_GCM:
                gcm_seal(p->gcm_seal[GCM_128], job);
                break;
        case AEAD_AES_256_GCM:
                gcm_seal(p->gcm_seal[GCM_256], job);
                break;
        case AEAD_CHACHA20_POLY1305:
                (void)crypto_aead_chacha20poly1305_ietf_encrypt_detached(job->out,
                    job->out + job->in_bytes, NULL, job->in, job->in_bytes, job->aad,
                    job->aad_bytes, NULL, job->nonce, job->key); /* always 0 */
                break;
        default:
                abort(); /* the engine checked */
        }
}

bool
portable_open(struct portable *p, const struct aead_job *job)
{
        uint32_t plain_bytes = aead_plain_bytes(job, true);

        switch (job->alg) {
        case AEAD_AES_CCM_16_64_128:
        case AEAD_AES_CCM_16_128_128:
                return ccm_open(p, job);
        case AEAD_AES_128_GCM:
                return gcm_open(p->gcm_open[GCM_128], job);
        case AEAD_AES_256_GCM:
                return gcm_open(p->gcm_open[GCM_256], job);
        case AEAD_CHACHA20_POLY1305:
                return crypto_aead_chacha20poly1305_ietf_decrypt_detached(job->out, NULL, job->in,
                           plain_bytes, job->in + plain_bytes, job->aad, job->aad_bytes, job->nonce,
                           job->key) == 0;
        default:
                abort(); /* the engine checked */
        }
}

void
portable_sha256(struct portable *p, const struct sha256_job *job)
{
        must(SHA256_Init(&p->sha256));
        must(SHA256_Update(&p->sha256, job->in, job->in_bytes));
        must(SHA256_Final(job->out, &p->sha256));
}
