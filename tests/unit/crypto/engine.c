/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: both back ends give the same bytes as OpenSSL and libsodium called one message at a time;
 * exactly the authentic jobs are reported, whatever stands beside them; what failed is zeroed; a
 * call allocates nothing. */
#include <criterion/criterion.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/engine.h"

#define LENGTH_MAX 1500u
#define SLOT_BYTES (LENGTH_MAX + AEAD_TAG_BYTES_MAX + 32)
#define KEYS       4u
#define GUARD      0xA5

static const uint8_t ALGS[] = {AEAD_AES_CCM_16_64_128, AEAD_CHACHA20_POLY1305, AEAD_AES_128_GCM,
    AEAD_AES_CCM_16_128_128, AEAD_AES_256_GCM};
#define ALG_COUNT 5u

/* ---- random numbers that are the same in each run ---- */

static uint64_t rng_state;

static uint32_t
rng(uint32_t below)
{
        rng_state = rng_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (uint32_t)(rng_state >> 33) % below;
}

static void
fill(void *out, size_t bytes)
{
        uint8_t seed[randombytes_SEEDBYTES] = {0};
        rng(2);
        memcpy(seed, &rng_state, sizeof(rng_state));
        randombytes_buf_deterministic(out, bytes, seed);
}

/* ---- one message at a time, straight from the libraries ---- */

static const char *
cipher_name(int alg)
{
        switch (alg) {
        case AEAD_AES_128_GCM:
                return "AES-128-GCM";
        case AEAD_AES_256_GCM:
                return "AES-256-GCM";
        default:
                return "AES-128-CCM";
        }
}

static void
reference_seal(int alg, const uint8_t *key, const struct aead_job *job, uint8_t *out)
{
        if (alg == AEAD_CHACHA20_POLY1305) {
                unsigned long long n;
                crypto_aead_chacha20poly1305_ietf_encrypt(out, &n, job->in, job->in_bytes, job->aad,
                    job->aad_bytes, NULL, job->nonce, key);
                return;
        }
        static EVP_CIPHER *ciphers[256];
        if (ciphers[alg] == NULL)
                ciphers[alg] = EVP_CIPHER_fetch(NULL, cipher_name(alg), NULL);
        bool ccm = alg == AEAD_AES_CCM_16_64_128 || alg == AEAD_AES_CCM_16_128_128;
        int tag_bytes = (int)aead_tag_bytes(alg), n = 0;
        uint8_t none[16];
        EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
        EVP_EncryptInit_ex2(ctx, ciphers[alg], NULL, NULL, NULL);
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, (int)aead_nonce_bytes(alg), NULL);
        if (ccm)
                EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, tag_bytes, NULL);
        EVP_EncryptInit_ex2(ctx, NULL, key, job->nonce, NULL);
        if (ccm)
                EVP_EncryptUpdate(ctx, NULL, &n, NULL, (int)job->in_bytes);
        if (job->aad_bytes > 0)
                EVP_EncryptUpdate(ctx, NULL, &n, job->aad, job->aad_bytes);
        if (ccm || job->in_bytes > 0)
                EVP_EncryptUpdate(ctx, out, &n, job->in, (int)job->in_bytes);
        EVP_EncryptFinal_ex(ctx, none, &n);
        int rc = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, tag_bytes, out + job->in_bytes);
        cr_assert_eq(rc, 1);
        EVP_CIPHER_CTX_free(ctx);
}

/* ---- a batch with memory of its own ---- */

struct lane {
        uint8_t nonce[AEAD_NONCE_BYTES_MAX];
        uint8_t aad[AEAD_AAD_BYTES_MAX + 1];
        uint8_t plain[SLOT_BYTES], sealed[SLOT_BYTES], out[SLOT_BYTES];
        unsigned key;
};

static struct engine *engines[2];
static unsigned engine_count;
static uint8_t keys[KEYS][AEAD_KEY_BYTES_MAX];
static _Alignas(64) uint8_t expanded[2][ALG_COUNT][KEYS][2048];
static struct lane lanes[ENGINE_BATCH_MAX];
static struct aead_job jobs[ENGINE_BATCH_MAX];

static unsigned
alg_index(int alg)
{
        for (unsigned a = 0; a < ALG_COUNT; a++) {
                if (ALGS[a] == alg)
                        return a;
        }
        cr_assert_fail("unknown algorithm");
        return 0;
}

static void
setup(void)
{
        cr_assert_geq(sodium_init(), 0);
        rng_state = 1;
        fill(keys, sizeof(keys));
        cr_assert_eq(engine_create(&engines[0], ENGINE_PORTABLE), 0);
        cr_assert_str_eq(engine_backend_name(engines[0]), "portable");
        engine_count = 1;
        int rc = engine_create(&engines[1], ENGINE_IPSEC_MB);
        if (rc == 0) {
                cr_assert_str_eq(engine_backend_name(engines[1]), "ipsec-mb");
                engine_count = 2;
        } else {
                cr_assert_eq(rc, -ENOTSUP);
                cr_log_warn("ipsec-mb is not usable on this CPU: portable back end only");
        }
        for (unsigned e = 0; e < engine_count; e++) {
                for (unsigned a = 0; a < ALG_COUNT; a++) {
                        cr_assert_leq(aead_expanded_bytes(ALGS[a]), sizeof(expanded[0][0][0]));
                        for (unsigned k = 0; k < KEYS; k++)
                                cr_assert_eq(aead_expand_key(
                                                 engines[e], ALGS[a], keys[k], expanded[e][a][k]),
                                    0);
                }
        }
}

static void
teardown(void)
{
        for (unsigned e = 0; e < engine_count; e++)
                engine_destroy(engines[e]);
}

TestSuite(engine, .init = setup, .fini = teardown);

static void
make_lane(unsigned i, int alg, uint32_t bytes, uint16_t aad_bytes)
{
        struct lane *lane = &lanes[i];
        fill(lane->nonce, sizeof(lane->nonce));
        fill(lane->aad, sizeof(lane->aad));
        fill(lane->plain, bytes);
        lane->key = rng(KEYS);
        jobs[i] = (struct aead_job){
            .nonce = lane->nonce,
            .aad = aad_bytes > 0 ? lane->aad : NULL,
            .in = lane->plain,
            .in_bytes = bytes,
            .aad_bytes = aad_bytes,
            .alg = (uint8_t)alg,
        };
        memset(lane->sealed, GUARD, sizeof(lane->sealed));
        reference_seal(alg, keys[lane->key], &jobs[i], lane->sealed);
}

static bool
guarded(const uint8_t *out, size_t from)
{
        for (size_t i = from; i < SLOT_BYTES; i++) {
                if (out[i] != GUARD)
                        return false;
        }
        return true;
}

/* Seals lanes 0..n in engine e, in place for the odd ones, and compares with the reference. */
static void
check_seal(unsigned e, unsigned n)
{
        struct aead_job run[ENGINE_BATCH_MAX] = {0};
        for (unsigned i = 0; i < n; i++) {
                run[i] = jobs[i];
                run[i].key = expanded[e][alg_index(jobs[i].alg)][lanes[i].key];
                run[i].out = lanes[i].out;
                memset(lanes[i].out, GUARD, SLOT_BYTES);
                if (i % 2 == 1) {
                        memcpy(lanes[i].out, lanes[i].plain, jobs[i].in_bytes);
                        run[i].in = lanes[i].out;
                }
        }
        engine_seal(engines[e], run, n);
        for (unsigned i = 0; i < n; i++)
                cr_assert_arr_eq(lanes[i].out, lanes[i].sealed, SLOT_BYTES,
                    "%s: alg %d, %u bytes, %u of AAD, job %u of %u",
                    engine_backend_name(engines[e]), jobs[i].alg, jobs[i].in_bytes,
                    jobs[i].aad_bytes, i, n);
}

/* Opens lanes 0..n; those of the bitmap forged are expected to fail, the others to open. */
static void
check_open(unsigned e, unsigned n, const uint64_t *forged)
{
        static uint8_t forgery[ENGINE_BATCH_MAX][SLOT_BYTES];
        static const uint8_t zero[SLOT_BYTES];
        struct aead_job run[ENGINE_BATCH_MAX] = {0};
        uint64_t ok[ENGINE_BITMAP_WORDS];

        memset(ok, 0xff, sizeof(ok));
        for (unsigned i = 0; i < n; i++) {
                uint32_t tag_bytes = (uint32_t)aead_tag_bytes(jobs[i].alg);
                memcpy(forgery[i], lanes[i].sealed, SLOT_BYTES);
                if (forged[i / 64] >> (i % 64) & 1)
                        forgery[i][jobs[i].in_bytes + rng(tag_bytes)] ^= (uint8_t)(1 << rng(8));
                run[i] = jobs[i];
                run[i].key = expanded[e][alg_index(jobs[i].alg)][lanes[i].key];
                run[i].in = forgery[i];
                run[i].in_bytes = jobs[i].in_bytes + tag_bytes;
                run[i].out = i % 2 == 0 ? lanes[i].out : forgery[i];
                memset(lanes[i].out, GUARD, SLOT_BYTES);
        }
        engine_open(engines[e], run, n, ok);
        for (unsigned i = 0; i < ENGINE_BATCH_MAX; i++) {
                bool is_forged = i < n && (forged[i / 64] >> (i % 64) & 1);
                bool opened = ok[i / 64] >> (i % 64) & 1;
                cr_assert_eq(opened, i < n && !is_forged, "%s: alg %d, job %u of %u",
                    engine_backend_name(engines[e]), jobs[i].alg, i, n);
                if (i >= n)
                        continue;
                const uint8_t *expected = is_forged ? zero : lanes[i].plain;
                cr_assert_arr_eq(run[i].out, expected, jobs[i].in_bytes,
                    "%s: plaintext, alg %d, job %u of %u", engine_backend_name(engines[e]),
                    jobs[i].alg, i, n);
                if (run[i].out == lanes[i].out)
                        cr_assert(guarded(run[i].out, jobs[i].in_bytes), "written past the end");
        }
}

static uint16_t
some_aad_bytes(void)
{
        /* Around OSCORE's lengths, ipsec-mb's limit for CCM, a seal's header, and the maximum. */
        static const uint8_t edges[] = {
            0, 1, 13, 14, 15, 16, 20, 29, 30, 31, 33, 45, 46, 47, 48, 80, 127, AEAD_AAD_BYTES_MAX};
        return rng(2) ? edges[rng(sizeof(edges))] : (uint16_t)rng(AEAD_AAD_BYTES_MAX + 1);
}

Test(engine, every_length_in_mixed_batches_with_forgeries)
{
        unsigned n = 0, batch_bytes = 0;
        for (uint32_t bytes = 0; bytes <= LENGTH_MAX; bytes++) {
                for (unsigned a = 0; a < ALG_COUNT; a++) {
                        make_lane(n++, ALGS[a], bytes, some_aad_bytes());
                        bool last = bytes == LENGTH_MAX && a == ALG_COUNT - 1;
                        if (n < ENGINE_BATCH_MAX - rng(2) && !last)
                                continue;
                        uint64_t forged[ENGINE_BITMAP_WORDS];
                        fill(forged, sizeof(forged));
                        forged[rng(ENGINE_BITMAP_WORDS)] = 0;
                        for (unsigned e = 0; e < engine_count; e++) {
                                check_seal(e, n);
                                check_open(e, n, forged);
                        }
                        batch_bytes += n;
                        n = 0;
                }
        }
        cr_assert_eq(batch_bytes, (LENGTH_MAX + 1) * ALG_COUNT);
}

Test(engine, batch_sizes)
{
        static const unsigned sizes[] = {0, 1, 2, 7, 8, 9, 63, 64, 65, 127, 128, 129, 255, 256};
        for (unsigned i = 0; i < ENGINE_BATCH_MAX; i++)
                make_lane(i, ALGS[rng(ALG_COUNT)], rng(300), some_aad_bytes());
        for (unsigned s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
                static const uint64_t none[ENGINE_BITMAP_WORDS],
                    all[ENGINE_BITMAP_WORDS] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
                for (unsigned e = 0; e < engine_count; e++) {
                        check_seal(e, sizes[s]);
                        check_open(e, sizes[s], none);
                        check_open(e, sizes[s], all);
                        for (unsigned one = 0; one < sizes[s]; one += 17) {
                                uint64_t forged[ENGINE_BITMAP_WORDS] = {0};
                                forged[one / 64] = UINT64_C(1) << (one % 64);
                                check_open(e, sizes[s], forged);
                        }
                }
        }
}

/* One algorithm only, lanes of one length and of very different lengths. */
Test(engine, batches_of_one_algorithm)
{
        static const uint64_t forged[ENGINE_BITMAP_WORDS] = {0x8000000000000001, 0, 0x10, 1};
        for (unsigned a = 0; a < ALG_COUNT; a++) {
                for (unsigned kind = 0; kind < 2; kind++) {
                        for (unsigned i = 0; i < ENGINE_BATCH_MAX; i++)
                                make_lane(i, ALGS[a], kind == 0 ? 144 : rng(LENGTH_MAX), 20);
                        for (unsigned e = 0; e < engine_count; e++) {
                                check_seal(e, ENGINE_BATCH_MAX);
                                check_open(e, ENGINE_BATCH_MAX, forged);
                        }
                }
        }
}

/* Each flipped bit of ciphertext, tag, nonce and AAD, and each truncation, is refused. */
Test(engine, bit_flips_and_truncations)
{
        for (unsigned e = 0; e < engine_count; e++) {
                for (unsigned a = 0; a < ALG_COUNT; a++) {
                        make_lane(0, ALGS[a], 37, 21);
                        struct lane *lane = &lanes[0];
                        uint32_t tag_bytes = (uint32_t)aead_tag_bytes(ALGS[a]);
                        uint32_t sealed_bytes = 37 + tag_bytes;
                        struct aead_job job = jobs[0];
                        uint64_t ok[ENGINE_BITMAP_WORDS];
                        job.key = expanded[e][a][lane->key];
                        job.in = lane->sealed;
                        job.out = lane->out;
                        job.in_bytes = sealed_bytes;
                        struct {
                                uint8_t *at;
                                size_t bytes;
                        } parts[] = {{lane->sealed, sealed_bytes},
                            {lane->nonce, aead_nonce_bytes(ALGS[a])}, {lane->aad, 21}};
                        for (unsigned p = 0; p < 3; p++) {
                                for (size_t bit = 0; bit < parts[p].bytes * 8; bit++) {
                                        parts[p].at[bit / 8] ^= (uint8_t)(1 << (bit % 8));
                                        engine_open(engines[e], &job, 1, ok);
                                        cr_assert_eq(
                                            ok[0], 0, "alg %d part %u bit %zu", ALGS[a], p, bit);
                                        parts[p].at[bit / 8] ^= (uint8_t)(1 << (bit % 8));
                                }
                        }
                        for (job.in_bytes = 0; job.in_bytes < sealed_bytes; job.in_bytes++) {
                                engine_open(engines[e], &job, 1, ok);
                                cr_assert_eq(ok[0], 0, "alg %d cut to %u", ALGS[a], job.in_bytes);
                        }
                        engine_open(engines[e], &job, 1, ok);
                        cr_assert_eq(ok[0], 1, "alg %d untouched", ALGS[a]);
                }
        }
}

/* Malformed jobs fail, and only they do. */
Test(engine, malformed_jobs_between_good_ones)
{
        static const uint8_t unknown[] = {0, 2, 11, 25, 31, 255};
        for (unsigned e = 0; e < engine_count; e++) {
                struct aead_job run[64];
                uint64_t ok[ENGINE_BITMAP_WORDS], expected = 0;
                for (unsigned i = 0; i < 64; i++) {
                        /* Too long an AAD: authentic otherwise. */
                        make_lane(
                            i, ALGS[i % ALG_COUNT], 50, i % 8 == 3 ? AEAD_AAD_BYTES_MAX + 1 : 20);
                        run[i] = jobs[i];
                        run[i].key = expanded[e][i % ALG_COUNT][lanes[i].key];
                        run[i].in = lanes[i].sealed;
                        run[i].in_bytes = 50 + (uint32_t)aead_tag_bytes(jobs[i].alg);
                        run[i].out = lanes[i].out;
                        memset(lanes[i].out, GUARD, SLOT_BYTES);
                        if (i % 4 == 1)
                                run[i].alg = unknown[i % sizeof(unknown)];
                        else if (i % 4 == 2)
                                run[i].in_bytes = (uint32_t)aead_tag_bytes(run[i].alg) - 1;
                        else if (i % 8 != 3)
                                expected |= UINT64_C(1) << i;
                }
                engine_open(engines[e], run, 64, ok);
                cr_assert_eq(ok[0], expected, "%llx is not %llx", (unsigned long long)ok[0],
                    (unsigned long long)expected);
                static const uint8_t zero[50];
                for (unsigned i = 3; i < 64; i += 8)
                        cr_assert_arr_eq(run[i].out, zero, 50);
        }
}

/* Lengths where ipsec-mb's 16-bit lanes and CCM's two-byte length end. */
Test(engine, long_messages)
{
        static const uint32_t lengths[] = {4096, 64999, 65000, 65001, 65279, 65535, 65536, 70001};
        uint8_t *plain = malloc(70001), *sealed = malloc(70017), *out = malloc(70017);
        uint8_t nonce[AEAD_NONCE_BYTES_MAX], aad[20];
        fill(plain, 70001);
        fill(nonce, sizeof(nonce));
        fill(aad, sizeof(aad));
        for (unsigned l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
                for (unsigned a = 0; a < ALG_COUNT; a++) {
                        bool ccm = aead_nonce_bytes(ALGS[a]) == 13;
                        uint32_t tag_bytes = (uint32_t)aead_tag_bytes(ALGS[a]);
                        for (unsigned e = 0; e < engine_count; e++) {
                                struct aead_job job = {expanded[e][a][0], nonce, aad, plain, out,
                                    lengths[l], sizeof(aad), ALGS[a]};
                                uint64_t ok[ENGINE_BITMAP_WORDS];
                                if (ccm && lengths[l] > 65535) {
                                        job.in_bytes += tag_bytes;
                                        engine_open(engines[e], &job, 1, ok);
                                        cr_assert_eq(ok[0], 0);
                                        continue;
                                }
                                reference_seal(ALGS[a], keys[0], &job, sealed);
                                engine_seal(engines[e], &job, 1);
                                cr_assert_arr_eq(out, sealed, lengths[l] + tag_bytes,
                                    "%s: alg %d, %u bytes", engine_backend_name(engines[e]),
                                    ALGS[a], lengths[l]);
                                job.in = sealed;
                                job.in_bytes += tag_bytes;
                                engine_open(engines[e], &job, 1, ok);
                                cr_assert_eq(ok[0], 1);
                                cr_assert_arr_eq(out, plain, lengths[l]);
                        }
                }
                for (unsigned e = 0; e < engine_count; e++) {
                        uint8_t digest[32], expected[32];
                        struct sha256_job job = {plain, digest, lengths[l]};
                        crypto_hash_sha256(expected, plain, lengths[l]);
                        engine_sha256(engines[e], &job, 1);
                        cr_assert_arr_eq(digest, expected, 32);
                }
        }
        free(plain);
        free(sealed);
        free(out);
}

Test(engine, sha256_every_length)
{
        static uint8_t message[LENGTH_MAX + ENGINE_BATCH_MAX];
        static uint8_t digests[ENGINE_BATCH_MAX][SHA256_BYTES];
        static const unsigned sizes[] = {0, 1, 255, 256};
        fill(message, sizeof(message));
        for (unsigned e = 0; e < engine_count; e++) {
                uint32_t bytes = 0;
                for (unsigned s = 0; bytes <= LENGTH_MAX; s = (s + 1) % 4) {
                        struct sha256_job run[ENGINE_BATCH_MAX] = {0};
                        unsigned n = sizes[s];
                        for (unsigned i = 0; i < n; i++) {
                                uint32_t at = (bytes + i) % (LENGTH_MAX + 1);
                                run[i] = (struct sha256_job){message + i, digests[i], at};
                        }
                        engine_sha256(engines[e], run, n);
                        for (unsigned i = 0; i < n; i++) {
                                uint8_t expected[SHA256_BYTES];
                                crypto_hash_sha256(expected, run[i].in, run[i].in_bytes);
                                cr_assert_arr_eq(digests[i], expected, SHA256_BYTES,
                                    "%s: %u bytes, job %u of %u", engine_backend_name(engines[e]),
                                    run[i].in_bytes, i, n);
                        }
                        bytes += n;
                }
        }
}

Test(engine, sizes_and_refusals)
{
        struct engine *e = NULL;
        cr_assert_eq(engine_create(&e, (enum engine_backend)7), -EINVAL);
        cr_assert_eq(engine_create(&e, ENGINE_AUTO), 0);
        cr_assert_str_eq(engine_backend_name(e), engine_count == 2 ? "ipsec-mb" : "portable");
        engine_destroy(e);
        cr_assert_eq(aead_tag_bytes(AEAD_AES_CCM_16_64_128), 8);
        cr_assert_eq(aead_nonce_bytes(AEAD_AES_CCM_16_64_128), 13);
        cr_assert_eq(aead_expanded_bytes(AEAD_AES_CCM_16_64_128), AEAD_EXPANDED_CCM_BYTES);
        cr_assert_eq(aead_expanded_bytes(AEAD_AES_128_GCM) % 64, 0);
        for (int alg = -1; alg < 300; alg++) {
                bool known = alg == 1 || alg == 3 || alg == 10 || alg == 24 || alg == 30;
                cr_assert_eq(aead_key_bytes(alg) != 0, known);
                cr_assert_eq(aead_expanded_bytes(alg) != 0, known);
                cr_assert_leq(aead_tag_bytes(alg), AEAD_TAG_BYTES_MAX);
                cr_assert_leq(aead_nonce_bytes(alg), AEAD_NONCE_BYTES_MAX);
                if (!known)
                        cr_assert_eq(
                            aead_expand_key(engines[0], alg, keys[0], expanded[0][0][0]), -EINVAL);
        }
}

/* ---- OpenSSL's allocations are counted: a forged tag must not cost one ---- */

static unsigned long allocations;
static int counting;

static void *
count_malloc(size_t n, const char *file, int line)
{
        allocations++;
        return malloc(n);
}

static void *
count_realloc(void *p, size_t n, const char *file, int line)
{
        allocations++;
        return realloc(p, n);
}

static void
count_free(void *p, const char *file, int line)
{
        free(p);
}

__attribute__((constructor)) static void
count_openssl_allocations(void)
{
        counting = CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free);
}

Test(engine, calls_allocate_nothing_in_openssl)
{
        if (!counting || allocations == 0)
                cr_skip_test("OpenSSL's allocator was already in use");
        for (unsigned i = 0; i < ENGINE_BATCH_MAX; i++)
                make_lane(i, ALGS[rng(ALG_COUNT)], rng(300), some_aad_bytes());
        for (unsigned e = 0; e < engine_count; e++) {
                static const uint64_t half[ENGINE_BITMAP_WORDS] = {
                    0x5555555555555555, 0x3333333333333333, 0xf0f0f0f0f0f0f0f0, 1};
                uint8_t digest[32];
                struct sha256_job sha = {lanes[0].plain, digest, 300};
                unsigned long before = allocations;
                check_seal(e, ENGINE_BATCH_MAX);
                check_open(e, ENGINE_BATCH_MAX, half);
                engine_sha256(engines[e], &sha, 1);
                cr_assert_eq(allocations, before, "%s: %lu allocations",
                    engine_backend_name(engines[e]), allocations - before);
        }
}
