/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes, checks and dispatch; the back ends do the work. */
#include "crypto/engine.h"
#include "crypto/engine_internal.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct engine {
        struct portable *portable;
        struct multi_buffer *mb; /* NULL: portable only */
        struct engine_order order;
};

enum { ALG_SLOTS = 5 };

/* RFC 9053 §4; a slot orders the algorithms within a batch. */
struct alg_sizes {
        uint8_t key, tag, nonce, slot;
};

static struct alg_sizes
alg_sizes(int alg)
{
        switch (alg) {
        case AEAD_AES_128_GCM:
                return (struct alg_sizes){16, 16, 12, 2};
        case AEAD_AES_256_GCM:
                return (struct alg_sizes){32, 16, 12, 3};
        case AEAD_AES_CCM_16_64_128:
                return (struct alg_sizes){16, 8, 13, 0};
        case AEAD_AES_CCM_16_128_128:
                return (struct alg_sizes){16, 16, 13, 1};
        case AEAD_CHACHA20_POLY1305:
                return (struct alg_sizes){32, 16, 12, 4};
        default:
                return (struct alg_sizes){0, 0, 0, 0};
        }
}

size_t
aead_key_bytes(int alg)
{
        return alg_sizes(alg).key;
}

size_t
aead_tag_bytes(int alg)
{
        return alg_sizes(alg).tag;
}

size_t
aead_nonce_bytes(int alg)
{
        return alg_sizes(alg).nonce;
}

size_t
aead_expanded_bytes(int alg)
{
        switch (alg) {
        case AEAD_AES_CCM_16_64_128:
        case AEAD_AES_CCM_16_128_128:
                return AEAD_EXPANDED_CCM_BYTES;
        case AEAD_AES_128_GCM:
        case AEAD_AES_256_GCM:
                return multi_buffer_gcm_bytes();
        case AEAD_CHACHA20_POLY1305:
                return aead_key_bytes(alg);
        default:
                return 0;
        }
}

int
engine_create(struct engine **engine, enum engine_backend backend)
{
        if (backend != ENGINE_AUTO && backend != ENGINE_IPSEC_MB && backend != ENGINE_PORTABLE)
                return -EINVAL;
        if (sodium_init() < 0)
                return -EIO;
        struct engine *e = calloc(1, sizeof(*e));
        if (e == NULL)
                return -ENOMEM;
        int rc = portable_create(&e->portable);
        if (rc == 0 && backend != ENGINE_PORTABLE) {
                rc = multi_buffer_create(&e->mb, e->portable);
                if (rc == -ENOTSUP && backend == ENGINE_AUTO)
                        rc = 0;
        }
        if (rc != 0) {
                engine_destroy(e);
                return rc;
        }
        *engine = e;
        return 0;
}

void
engine_destroy(struct engine *engine)
{
        if (engine == NULL)
                return;
        multi_buffer_destroy(engine->mb);
        portable_destroy(engine->portable);
        free(engine);
}

const char *
engine_backend_name(const struct engine *engine)
{
        return engine->mb != NULL ? "ipsec-mb" : "portable";
}

int
aead_expand_key(struct engine *engine, int alg, const uint8_t *key, void *expanded)
{
        if (aead_key_bytes(alg) == 0)
                return -EINVAL;
        bool gcm = alg == AEAD_AES_128_GCM || alg == AEAD_AES_256_GCM;
        assert((uintptr_t)expanded % (gcm ? 64 : 16) == 0);
        if (engine->mb != NULL)
                multi_buffer_expand_key(engine->mb, alg, key, expanded);
        else
                portable_expand_key(alg, key, expanded);
        return 0;
}

static bool
job_well_formed(const struct aead_job *job, bool opening)
{
        uint32_t tag_bytes = (uint32_t)aead_tag_bytes(job->alg);
        if (tag_bytes == 0 || job->aad_bytes > AEAD_AAD_BYTES_MAX)
                return false;
        if (opening && job->in_bytes < tag_bytes)
                return false;
        uint32_t limit = aead_is_ccm(job->alg) ? CCM_MESSAGE_BYTES_MAX : AEAD_MESSAGE_BYTES_MAX;
        return aead_plain_bytes(job, opening) <= limit;
}

/* Groups the well formed jobs by algorithm, so that one algorithm's lanes fill: a counting sort,
 * stable. */
static void
order_jobs(struct engine_order *order, const struct aead_job *jobs, unsigned n, bool opening)
{
        unsigned start[ALG_SLOTS + 1] = {0};
        uint8_t slot[ENGINE_BATCH_MAX];

        for (unsigned i = 0; i < n; i++) {
                slot[i] = ALG_SLOTS;
                if (job_well_formed(&jobs[i], opening)) {
                        slot[i] = alg_sizes(jobs[i].alg).slot;
                        start[slot[i] + 1]++;
                }
        }
        for (unsigned s = 0; s < ALG_SLOTS; s++)
                start[s + 1] += start[s];
        order->n = start[ALG_SLOTS];
        for (unsigned i = 0; i < n; i++) {
                if (slot[i] < ALG_SLOTS)
                        order->index[start[slot[i]]++] = (uint16_t)i;
        }
}

/* A malformed job wrote nothing; what its output would have been, as far as that is known, is
 * zeroed all the same, so that a caller never reads what stood there before. */
static void
zero_failed(const struct aead_job *job)
{
        uint32_t tag_bytes = (uint32_t)aead_tag_bytes(job->alg);
        if (tag_bytes != 0 && job->in_bytes > tag_bytes)
                memset(job->out, 0, job->in_bytes - tag_bytes);
}

void
engine_open(struct engine *engine, const struct aead_job *jobs, unsigned n,
    uint64_t ok[ENGINE_BITMAP_WORDS])
{
        assert(n <= ENGINE_BATCH_MAX);
        struct engine_order *order = &engine->order;

        memset(ok, 0, ENGINE_BITMAP_WORDS * sizeof(ok[0]));
        order_jobs(order, jobs, n, true);
        if (engine->mb != NULL) {
                multi_buffer_open(engine->mb, jobs, order, ok);
        } else {
                for (unsigned k = 0; k < order->n; k++) {
                        unsigned i = order->index[k];
                        if (portable_open(engine->portable, &jobs[i]))
                                bitmap_set(ok, i);
                }
        }
        for (unsigned i = 0; i < n; i++) {
                if (!bitmap_get(ok, i))
                        zero_failed(&jobs[i]);
        }
}

void
engine_seal(struct engine *engine, const struct aead_job *jobs, unsigned n)
{
        assert(n <= ENGINE_BATCH_MAX);
        struct engine_order *order = &engine->order;

        order_jobs(order, jobs, n, false);
        assert(order->n == n);
        if (engine->mb != NULL) {
                multi_buffer_seal(engine->mb, jobs, order);
                return;
        }
        for (unsigned k = 0; k < n; k++)
                portable_seal(engine->portable, &jobs[order->index[k]]);
}

void
engine_sha256(struct engine *engine, const struct sha256_job *jobs, unsigned n)
{
        assert(n <= ENGINE_BATCH_MAX);
        if (engine->mb != NULL) {
                multi_buffer_sha256(engine->mb, jobs, n);
                return;
        }
        for (unsigned i = 0; i < n; i++)
                portable_sha256(engine->portable, &jobs[i]);
}
