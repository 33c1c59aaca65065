/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/contexts_names.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <urcu-qsbr.h>
#include <urcu/rculfhash.h>

#define NAMES_BUCKETS_FIRST 64u
#define NAME_KIND_KID       1u
#define NAME_KIND_LAB       2u
static_assert(2 + DEVICE_NAME_MAX <= NAME_KEY_BYTES_MAX, "a lab name fits a key");
static_assert(4 + OSCORE_ID_BYTES_MAX + OSCORE_ID_CONTEXT_BYTES_MAX <= NAME_KEY_BYTES_MAX,
    "a kid and its ID context fit a key");

/* Two tables over the same entries: workers look up by key, the control thread removes by slot.
 *
 * liburcu wants updaters to be registered readers, so that nothing a walk stands on is freed. Here
 * the control thread is the only one that frees (after a grace period of its own), and a table that
 * keeps no count of its nodes only ever grows, so that the control thread need not be registered.
 */
struct names {
        struct cds_lfht *by_key;
        struct cds_lfht *by_slot;
        uint8_t hash_key[crypto_shorthash_KEYBYTES]; /* kids are chosen elsewhere */
        uint64_t entries;
};

struct name_entry {
        struct cds_lfht_node key_node;
        struct cds_lfht_node slot_node;
        struct name_entry *next; /* once removed */
        struct context *context;
        uint32_t slot;
        struct name_key key;
};

bool
name_key_kid(struct name_key *key, const uint8_t *kid, size_t kid_bytes, bool has_id_context,
    const uint8_t *id_context, size_t id_context_bytes)
{
        uint8_t *p = key->bytes;

        if (!has_id_context)
                id_context_bytes = 0;
        if (kid_bytes > OSCORE_ID_BYTES_MAX || id_context_bytes > OSCORE_ID_CONTEXT_BYTES_MAX)
                return false;
        *p++ = NAME_KIND_KID;
        *p++ = (uint8_t)kid_bytes;
        *p++ = has_id_context;
        if (kid_bytes != 0)
                memcpy(p, kid, kid_bytes);
        p += kid_bytes;
        if (id_context_bytes != 0)
                memcpy(p, id_context, id_context_bytes);
        p += id_context_bytes;
        key->n = (uint8_t)(p - key->bytes);
        return true;
}

bool
name_key_lab(struct name_key *key, const uint8_t *name, size_t name_bytes)
{
        if (name_bytes == 0 || name_bytes > DEVICE_NAME_MAX)
                return false;
        key->bytes[0] = NAME_KIND_LAB;
        memcpy(key->bytes + 1, name, name_bytes);
        key->n = (uint8_t)(1 + name_bytes);
        return true;
}

static unsigned long
key_hash(const struct names *names, const struct name_key *key)
{
        uint8_t out[crypto_shorthash_BYTES];
        unsigned long hash;

        static_assert(sizeof(out) == sizeof(hash), "SipHash gives a word");
        crypto_shorthash(out, key->bytes, key->n, names->hash_key);
        memcpy(&hash, out, sizeof(hash));
        return hash;
}

static int
key_match(struct cds_lfht_node *node, const void *wanted)
{
        const struct name_entry *entry = caa_container_of(node, struct name_entry, key_node);
        const struct name_key *key = wanted;

        return entry->key.n == key->n && memcmp(entry->key.bytes, key->bytes, key->n) == 0;
}

static unsigned long
slot_hash(uint32_t slot)
{
        return (unsigned long)(slot * UINT64_C(0x9e3779b97f4a7c15));
}

static int
slot_match(struct cds_lfht_node *node, const void *wanted)
{
        const struct name_entry *entry = caa_container_of(node, struct name_entry, slot_node);

        return entry->slot == *(const uint32_t *)wanted;
}

static struct cds_lfht *
table_new(void)
{
        return cds_lfht_new(
            NAMES_BUCKETS_FIRST, NAMES_BUCKETS_FIRST, 0, CDS_LFHT_AUTO_RESIZE, NULL);
}

int
names_create(struct names **out)
{
        struct names *names = calloc(1, sizeof(*names));

        if (names == NULL)
                return -ENOMEM;
        crypto_shorthash_keygen(names->hash_key);
        names->by_key = table_new();
        names->by_slot = table_new();
        if (names->by_key == NULL || names->by_slot == NULL) {
                names_destroy(names);
                return -ENOMEM;
        }
        *out = names;
        return 0;
}

void
names_destroy(struct names *names)
{
        struct cds_lfht_iter iter;
        struct name_entry *entry;

        if (names == NULL)
                return;
        if (names->by_key != NULL && names->by_slot != NULL) {
                cds_lfht_for_each_entry(names->by_key, &iter, entry, key_node)
                {
                        (void)cds_lfht_del(names->by_slot, &entry->slot_node);
                        (void)cds_lfht_del(names->by_key, &entry->key_node);
                        entry->next = NULL;
                        names_free(entry);
                }
        }
        if (names->by_key != NULL)
                (void)cds_lfht_destroy(names->by_key, NULL);
        if (names->by_slot != NULL)
                (void)cds_lfht_destroy(names->by_slot, NULL);
        free(names);
}

struct context *
names_find(const struct names *names, const struct name_key *key)
{
        struct cds_lfht_iter iter;
        struct cds_lfht_node *node;

        cds_lfht_lookup(names->by_key, key_hash(names, key), key_match, key, &iter);
        node = cds_lfht_iter_get_node(&iter);
        return node == NULL ? NULL : caa_container_of(node, struct name_entry, key_node)->context;
}

int
names_add(struct names *names, const struct name_key *key, struct context *context, uint32_t slot)
{
        struct name_entry *entry = calloc(1, sizeof(*entry));
        struct cds_lfht_node *node;

        if (entry == NULL)
                return -ENOMEM;
        cds_lfht_node_init(&entry->key_node);
        cds_lfht_node_init(&entry->slot_node);
        entry->context = context;
        entry->slot = slot;
        entry->key = *key;
        node = cds_lfht_add_unique(
            names->by_key, key_hash(names, key), key_match, key, &entry->key_node);
        if (node != &entry->key_node) {
                free(entry);
                return -EEXIST;
        }
        cds_lfht_add(names->by_slot, slot_hash(slot), &entry->slot_node);
        names->entries++;
        return 0;
}

struct name_entry *
names_remove(struct names *names, uint32_t slot)
{
        struct name_entry *list = NULL;
        struct cds_lfht_iter iter;
        struct cds_lfht_node *node;

        for (;;) {
                struct name_entry *entry;

                cds_lfht_lookup(names->by_slot, slot_hash(slot), slot_match, &slot, &iter);
                node = cds_lfht_iter_get_node(&iter);
                if (node == NULL)
                        return list;
                entry = caa_container_of(node, struct name_entry, slot_node);
                (void)cds_lfht_del(names->by_slot, &entry->slot_node);
                (void)cds_lfht_del(names->by_key, &entry->key_node);
                entry->next = list;
                list = entry;
                assert(names->entries > 0);
                names->entries--;
        }
}

void
names_free(struct name_entry *list)
{
        while (list != NULL) {
                struct name_entry *next = list->next;

                free(list);
                list = next;
        }
}

uint64_t
names_bytes(const struct names *names)
{
        /* Two tables that grow to about a bucket an entry, of two words each. */
        return sizeof(*names) + names->entries * (sizeof(struct name_entry) + 4 * sizeof(void *));
}
