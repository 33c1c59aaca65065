/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/contexts.h"
#include "dataplane/contexts_names.h"
#include "dataplane/contexts_private.h"

#include "crypto/keys.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <urcu-qsbr.h>

#define KEY_CHUNK_BYTES   (2u << 20) /* of the key pool, taken when an algorithm needs it */
#define SECURE_PAGE_BYTES ((size_t)2 << 20)
#define KEY_CHUNKS_MAX    16384u
#define KEY_ENTRY_ALIGN   64u
#define RETIRED_MAX       1024u /* removed while pending, remembered to wipe their keys early */

/* Expanded keys that do not fit a context (AES-GCM's tables): pairs of them in secure chunks. */
struct key_pool {
        void **chunks;
        void *free; /* list through the entries' first word */
        uint32_t chunks_n;
        uint32_t entry_bytes;
};

struct contexts {
        struct contexts_table table; /* first: contexts_table() */
        struct engine *engine;       /* expands keys */
        struct key_pool pool;
        size_t slots_bytes, patients_bytes;
        uint32_t count;
        uint32_t retired_n;
        uint32_t retired[RETIRED_MAX];
        bool all_locked;
};

void
native_kid(uint8_t kid[NATIVE_KID_BYTES], uint32_t slot, uint8_t generation)
{
        kid[0] = (uint8_t)(slot % CONTEXT_SHARDS);
        kid[1] = (uint8_t)(slot >> 24);
        kid[2] = (uint8_t)(slot >> 16);
        kid[3] = (uint8_t)(slot >> 8);
        kid[4] = (uint8_t)slot;
        kid[5] = generation;
}

/* ---- key pool ---- */

static int
pool_grow(struct contexts *contexts)
{
        struct key_pool *pool = &contexts->pool;
        enum secure_how how;
        uint8_t *chunk;
        void *pages;
        int rc;

        if (pool->chunks == NULL) {
                pool->chunks = calloc(KEY_CHUNKS_MAX, sizeof(*pool->chunks));
                if (pool->chunks == NULL)
                        return -ENOMEM;
        }
        if (pool->chunks_n == KEY_CHUNKS_MAX)
                return -ENOSPC;
        rc = secure_pages_alloc(&pages, KEY_CHUNK_BYTES, &how);
        if (rc != 0)
                return rc;
        if (how == SECURE_UNLOCKED)
                contexts->all_locked = false;
        pool->chunks[pool->chunks_n++] = pages;
        chunk = pages;
        for (size_t at = 0; at + pool->entry_bytes <= KEY_CHUNK_BYTES; at += pool->entry_bytes) {
                memcpy(chunk + at, &pool->free, sizeof(pool->free));
                pool->free = chunk + at;
        }
        return 0;
}

static int
pool_take(struct contexts *contexts, uint8_t **entry)
{
        struct key_pool *pool = &contexts->pool;
        int rc = 0;

        if (pool->free == NULL)
                rc = pool_grow(contexts);
        if (rc != 0)
                return rc;
        *entry = pool->free;
        memcpy(&pool->free, *entry, sizeof(pool->free));
        return 0;
}

static void
pool_give(struct contexts *contexts, uint8_t *entry)
{
        struct key_pool *pool = &contexts->pool;

        sodium_memzero(entry, pool->entry_bytes);
        memcpy(entry, &pool->free, sizeof(pool->free));
        pool->free = entry;
}

static size_t
key_stride(size_t expanded_bytes)
{
        return (expanded_bytes + KEY_ENTRY_ALIGN - 1) / KEY_ENTRY_ALIGN * KEY_ENTRY_ALIGN;
}

/* ---- create, destroy ---- */

/* As secure_pages_alloc() rounds. */
static size_t
whole_pages(size_t bytes)
{
        return (bytes + SECURE_PAGE_BYTES - 1) / SECURE_PAGE_BYTES * SECURE_PAGE_BYTES;
}

static int
tables_alloc(
    struct contexts *contexts, const struct contexts_config *config, char *why, size_t why_bytes)
{
        struct contexts_table *table = &contexts->table;
        enum secure_how how = SECURE_HUGE;
        void *pages;
        int rc;

        contexts->slots_bytes = whole_pages((size_t)config->devices * sizeof(struct context));
        contexts->patients_bytes = whole_pages((size_t)config->patients * sizeof(struct patient));
        rc = secure_pages_alloc(&pages, contexts->slots_bytes, &how);
        if (rc == 0) {
                table->slots = pages;
                contexts->all_locked = how != SECURE_UNLOCKED;
                rc = secure_pages_alloc(&pages, contexts->patients_bytes, &how);
        }
        if (rc != 0) {
                snprintf(why, why_bytes,
                    "no memory for the keys of %u devices and %u patients (%zu MiB): reserve huge "
                    "pages, or configure fewer",
                    config->devices, config->patients,
                    (contexts->slots_bytes + contexts->patients_bytes) >> 20);
                return rc;
        }
        table->patients = pages;
        contexts->all_locked &= how != SECURE_UNLOCKED;
        return 0;
}

int
contexts_create(struct contexts **out, const struct contexts_config *config, bool *locked,
    char *why, size_t why_bytes)
{
        struct contexts *contexts;
        int rc;

        if (config->devices == 0 || config->devices > DEVICES_MAX || config->patients == 0 ||
            config->patients > PATIENTS_MAX || config->workers == 0 ||
            config->workers > WORKERS_MAX) {
                snprintf(why, why_bytes,
                    "devices, patients or workers out of range (1 to %u, %u, %u)", DEVICES_MAX,
                    PATIENTS_MAX, WORKERS_MAX);
                return -EINVAL;
        }
        contexts = calloc(1, sizeof(*contexts));
        if (contexts == NULL) {
                snprintf(why, why_bytes, "out of memory");
                return -ENOMEM;
        }
        contexts->table.devices = config->devices;
        contexts->table.patients_n = config->patients;
        contexts->table.workers = config->workers;
        rc = engine_create(&contexts->engine, config->backend);
        if (rc != 0)
                snprintf(why, why_bytes, "this machine cannot run the chosen crypto back end");
        if (rc == 0) {
                assert(aead_expanded_bytes(AEAD_CHACHA20_POLY1305) == SEAL_KEY_BYTES);
                contexts->pool.entry_bytes =
                    (uint32_t)(2 * key_stride(aead_expanded_bytes(AEAD_AES_256_GCM)));
                rc = names_create(&contexts->table.names);
                if (rc != 0)
                        snprintf(why, why_bytes, "out of memory");
        }
        if (rc == 0)
                rc = tables_alloc(contexts, config, why, why_bytes);
        if (rc != 0) {
                contexts_destroy(contexts);
                return rc;
        }
        *locked = contexts->all_locked;
        *out = contexts;
        return 0;
}

void
contexts_destroy(struct contexts *contexts)
{
        if (contexts == NULL)
                return;
        names_destroy(contexts->table.names);
        for (uint32_t i = 0; i < contexts->pool.chunks_n; i++)
                secure_pages_free(contexts->pool.chunks[i], KEY_CHUNK_BYTES);
        free(contexts->pool.chunks);
        if (contexts->table.slots != NULL)
                secure_pages_free(contexts->table.slots, contexts->slots_bytes);
        if (contexts->table.patients != NULL)
                secure_pages_free(contexts->table.patients, contexts->patients_bytes);
        engine_destroy(contexts->engine);
        free(contexts);
}

/* ---- add, remove ---- */

/* Wipes a context of which nothing is published or pending, and which no worker sees any more. */
static void
slot_wipe(struct contexts *contexts, struct context *context)
{
        if (context->flags & CONTEXT_POOLED)
                pool_give(contexts, context->keys.pooled.recipient);
        sodium_memzero(context, sizeof(*context));
}

static bool
slot_idle(struct context *context)
{
        return atomic_load_explicit(&context->pending, memory_order_acquire) == PENDING_NONE;
}

/* Wipes what was retired while pending and is idle by now. A worker that has just let go of the
 * last pending slot may still be making its reply, so a grace period stands between the look and
 * the wipe. */
static void
retired_sweep(struct contexts *contexts)
{
        uint32_t idle[RETIRED_MAX];
        uint32_t idle_n = 0, kept_n = 0;

        for (uint32_t i = 0; i < contexts->retired_n; i++) {
                uint32_t slot = contexts->retired[i];
                struct context *context = &contexts->table.slots[slot];

                if (atomic_load(&context->state) != CONTEXT_RETIRED)
                        continue;
                if (slot_idle(context))
                        idle[idle_n++] = slot;
                else
                        contexts->retired[kept_n++] = slot;
        }
        contexts->retired_n = kept_n;
        if (idle_n == 0)
                return;
        synchronize_rcu();
        for (uint32_t i = 0; i < idle_n; i++)
                slot_wipe(contexts, &contexts->table.slots[idle[i]]);
}

static bool
slot_free(struct contexts *contexts, struct context *context)
{
        if (atomic_load(&context->state) == CONTEXT_RETIRED && slot_idle(context)) {
                /* Not remembered in the full list of retired ones. */
                synchronize_rcu();
                slot_wipe(contexts, context);
        }
        return atomic_load(&context->state) == CONTEXT_FREE;
}

/* A receipt whose partial IV the window would accept again would make two receipts under one nonce
 * (promise 4). */
static bool
spec_window_valid(const struct context_window *window)
{
        const struct replay_window replay = {.top = window->top, .bits = window->bits};

        if (window->top > OSCORE_PIV_MAX || window->receipts_n > CONTEXT_RECEIPTS)
                return false;
        for (uint32_t i = 0; i < window->receipts_n; i++)
                if (window->receipts[i].partial_iv > OSCORE_PIV_MAX ||
                    window->receipts[i].leaf > CONTEXT_LEAF_MAX ||
                    replay_fresh(&replay, window->receipts[i].partial_iv))
                        return false;
        switch (window->state) {
        case WINDOW_FRESH:
                return window->receipts_n == 0;
        case WINDOW_KNOWN:
        case WINDOW_UNKNOWN:
                return window->bits == 0 || (window->bits & 1) != 0;
        default:
                return false;
        }
}

static int
spec_check(const struct contexts *contexts, const struct context_spec *spec)
{
        const struct oscore_input *oscore = &spec->oscore;
        const struct contexts_table *table = &contexts->table;
        uint8_t kid[NATIVE_KID_BYTES];

        if (spec->context_id == 0 || spec->slot >= table->devices ||
            spec->patient >= table->patients_n || !spec_window_valid(&spec->window))
                return -EINVAL;
        if (atomic_load(&table->patients[spec->patient].state) != PATIENT_READY)
                return -EINVAL;
        if (oscore->recipient_id_bytes > OSCORE_ID_BYTES_MAX ||
            oscore->sender_id_bytes > OSCORE_ID_BYTES_MAX)
                return -EINVAL;
        native_kid(kid, spec->slot, spec->generation);
        if (spec->native)
                return oscore->recipient_id_bytes == NATIVE_KID_BYTES &&
                               memcmp(oscore->recipient_id, kid, NATIVE_KID_BYTES) == 0
                           ? 0
                           : -EINVAL;
        /* A foreign kid that looks native would never be found. */
        return contexts_native_slot(contexts, oscore->recipient_id, oscore->recipient_id_bytes) ==
                       NULL
                   ? 0
                   : -EINVAL;
}

static int
keys_set(struct contexts *contexts, struct context *context, const struct context_spec *spec)
{
        size_t expanded_bytes = aead_expanded_bytes(spec->oscore.alg);
        struct oscore_keys keys;
        uint8_t *recipient, *sender;
        int rc;

        rc = oscore_derive_keys(&spec->oscore, &keys);
        if (rc != 0)
                return rc;
        if (expanded_bytes <= AEAD_EXPANDED_CCM_BYTES) {
                recipient = context->keys.inside;
                sender = recipient + AEAD_EXPANDED_CCM_BYTES;
        } else {
                rc = pool_take(contexts, &recipient);
                if (rc != 0)
                        goto out;
                sender = recipient + key_stride(expanded_bytes);
                context->flags |= CONTEXT_POOLED;
                context->keys.pooled.recipient = recipient;
                context->keys.pooled.sender = sender;
        }
        rc = aead_expand_key(contexts->engine, spec->oscore.alg, keys.recipient_key, recipient);
        if (rc == 0)
                rc = aead_expand_key(contexts->engine, spec->oscore.alg, keys.sender_key, sender);
        memcpy(context->common_iv, keys.common_iv, sizeof(context->common_iv));
out:
        sodium_memzero(&keys, sizeof(keys));
        return rc;
}

static void
identity_set(struct context *context, const struct context_spec *spec)
{
        const struct context_window *window = &spec->window;

        context->context_id = spec->context_id;
        context->patient = spec->patient;
        context->generation = spec->generation;
        context->alg = spec->oscore.alg;
        context->flags |=
            (uint8_t)((spec->native ? CONTEXT_NATIVE : 0) | (spec->lab ? CONTEXT_LAB : 0));
        context->id_bytes =
            (uint8_t)(spec->oscore.recipient_id_bytes | spec->oscore.sender_id_bytes << 4);
        memcpy(context->kid, spec->oscore.recipient_id, spec->oscore.recipient_id_bytes);
        memcpy(context->sender_id, spec->oscore.sender_id, spec->oscore.sender_id_bytes);

        atomic_store(&context->pending, PENDING_NONE);
        context->window_state = (uint8_t)window->state;
        if (window->state != WINDOW_FRESH && window->bits != 0) {
                context->window_top = window->top;
                context->window_bits = window->bits;
        }
        for (uint32_t i = 0; i < window->receipts_n; i++)
                context_receipt_keep(context, window->receipts[i].partial_iv,
                    window->receipts[i].tag, window->receipts[i].leaf);
}

static int
context_name(struct contexts *contexts, struct context *context, const struct context_spec *spec)
{
        const struct oscore_input *oscore = &spec->oscore;
        struct name_key key;
        int rc;

        if (!spec->native) {
                if (!name_key_kid(&key, oscore->recipient_id, oscore->recipient_id_bytes,
                        oscore->has_id_context, oscore->id_context, oscore->id_context_bytes))
                        return -EINVAL;
                rc = names_add(contexts->table.names, &key, context, spec->slot);
                if (rc != 0)
                        return rc;
        }
        if (!spec->lab)
                return 0;
        if (!name_key_lab(
                &key, (const uint8_t *)spec->name, strnlen(spec->name, sizeof(spec->name))))
                return -EINVAL;
        return names_add(contexts->table.names, &key, context, spec->slot);
}

int
contexts_add(struct contexts *contexts, const struct context_spec *spec)
{
        struct context *context;
        int rc;

        retired_sweep(contexts);
        rc = spec_check(contexts, spec);
        if (rc != 0)
                return rc;
        context = &contexts->table.slots[spec->slot];
        if (atomic_load(&context->state) == CONTEXT_PUBLISHED)
                return -EEXIST;
        if (!slot_free(contexts, context))
                return -EAGAIN;
        rc = keys_set(contexts, context, spec);
        if (rc == 0) {
                identity_set(context, spec);
                rc = context_name(contexts, context, spec);
        }
        if (rc != 0) {
                /* A name may be out already, but the state says that there is no context. */
                struct name_entry *entries = names_remove(contexts->table.names, spec->slot);

                if (entries != NULL)
                        synchronize_rcu();
                names_free(entries);
                slot_wipe(contexts, context);
                return rc;
        }
        atomic_store_explicit(&context->state, CONTEXT_PUBLISHED, memory_order_release);
        contexts->count++;
        return 0;
}

int
contexts_remove(struct contexts *contexts, uint32_t slot)
{
        struct name_entry *entries;
        struct context *context;

        if (slot >= contexts->table.devices)
                return -ENOENT;
        context = &contexts->table.slots[slot];
        if (atomic_load(&context->state) != CONTEXT_PUBLISHED)
                return -ENOENT;
        atomic_store(&context->state, CONTEXT_RETIRED);
        entries = names_remove(contexts->table.names, slot);
        contexts->count--;
        /* After this no worker begins anything new with it. */
        synchronize_rcu();
        names_free(entries);
        if (contexts->retired_n < RETIRED_MAX)
                contexts->retired[contexts->retired_n++] = slot;
        retired_sweep(contexts);
        return 0;
}

/* ---- patients ---- */

int
contexts_patient_set(struct contexts *contexts, uint32_t patient, const uint8_t key[SEAL_KEY_BYTES],
    uint32_t key_epoch)
{
        struct patient *entry;
        int rc;

        if (patient >= contexts->table.patients_n)
                return -EINVAL;
        entry = &contexts->table.patients[patient];
        if (atomic_load(&entry->state) != PATIENT_NONE) {
                atomic_store(&entry->state, PATIENT_CHANGING);
                synchronize_rcu();
        }
        rc = aead_expand_key(contexts->engine, AEAD_CHACHA20_POLY1305, key, entry->key);
        if (rc != 0) {
                contexts_patient_wipe(contexts, patient);
                return rc;
        }
        seal_key_hash(entry->key_hash, key);
        entry->key_epoch = key_epoch;
        atomic_store_explicit(&entry->state, PATIENT_READY, memory_order_release);
        return 0;
}

int
contexts_patient_wipe(struct contexts *contexts, uint32_t patient)
{
        struct patient *entry;

        if (patient >= contexts->table.patients_n)
                return -EINVAL;
        entry = &contexts->table.patients[patient];
        if (atomic_load(&entry->state) == PATIENT_NONE)
                return -ENOENT;
        atomic_store(&entry->state, PATIENT_NONE);
        synchronize_rcu();
        sodium_memzero(entry, sizeof(*entry));
        return 0;
}

/* ---- looking up, looking on ---- */

struct context *
contexts_find(const struct contexts *contexts, const struct oscore_option *option)
{
        const struct contexts_table *table = contexts_table(contexts);
        struct context *context;
        struct name_key key;

        if (!option->has_kid)
                return NULL;
        context = contexts_native_slot(contexts, option->kid, option->kid_bytes);
        if (context == NULL) {
                if (!name_key_kid(&key, option->kid, option->kid_bytes, option->has_kid_context,
                        option->kid_context, option->kid_context_bytes))
                        return NULL;
                context = names_find(table->names, &key);
                if (context == NULL)
                        return NULL;
        }
        if (atomic_load_explicit(&context->state, memory_order_acquire) != CONTEXT_PUBLISHED)
                return NULL;
        /* The generation too: a slot that was given anew has another. */
        if (context_kid_bytes(context) != option->kid_bytes ||
            memcmp(context->kid, option->kid, option->kid_bytes) != 0)
                return NULL;
        return context;
}

struct context *
contexts_find_lab(const struct contexts *contexts, const uint8_t *name, size_t name_bytes)
{
        struct context *context;
        struct name_key key;

        if (!name_key_lab(&key, name, name_bytes))
                return NULL;
        context = names_find(contexts_table(contexts)->names, &key);
        if (context == NULL ||
            atomic_load_explicit(&context->state, memory_order_acquire) != CONTEXT_PUBLISHED)
                return NULL;
        assert(context->flags & CONTEXT_LAB);
        return context;
}

static void
window_export(const struct context *context, struct context_window *window)
{
        unsigned first = context->receipts_n < CONTEXT_RECEIPTS ? 0 : context->receipts_next;

        memset(window, 0, sizeof(*window));
        window->state = (enum window_state)context->window_state;
        window->top = context->window_top;
        window->bits = context->window_bits;
        window->receipts_n = context->receipts_n;
        for (unsigned i = 0; i < context->receipts_n; i++) {
                const struct kept_receipt *kept =
                    &context->receipts[(first + i) % CONTEXT_RECEIPTS];

                window->receipts[i].partial_iv = kept->partial_iv;
                window->receipts[i].leaf = kept->leaf;
                memcpy(window->receipts[i].tag, kept->tag, KEPT_TAG_BYTES);
        }
}

int
contexts_export(const struct contexts *contexts, contexts_export_fn *fn, void *user)
{
        struct context_window window;
        int rc;

        for (uint32_t slot = 0; slot < contexts->table.devices; slot++) {
                const struct context *context = &contexts->table.slots[slot];

                if (atomic_load(&context->state) != CONTEXT_PUBLISHED)
                        continue;
                window_export(context, &window);
                rc = fn(user, context->context_id, slot, &window);
                if (rc != 0)
                        return rc;
        }
        return 0;
}

uint64_t
contexts_bytes(const struct contexts *contexts)
{
        return sizeof(*contexts) + contexts->slots_bytes + contexts->patients_bytes +
               (uint64_t)contexts->pool.chunks_n * KEY_CHUNK_BYTES +
               (contexts->pool.chunks != NULL ? KEY_CHUNKS_MAX * sizeof(void *) : 0) +
               names_bytes(contexts->table.names);
}

uint32_t
contexts_count(const struct contexts *contexts)
{
        return contexts->count;
}
