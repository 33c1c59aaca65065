/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/lab.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S UINT64_C(1000000000)

struct lab_entry {
        struct endpoint endpoint;
        uint16_t message_id;
        uint64_t expires_ns;
        uint64_t leaf;
        uint8_t state; /* enum lab_state */
};

struct lab_table {
        uint8_t hash_key[crypto_shorthash_KEYBYTES];
        struct lab_entry entries[LAB_SETS * LAB_WAYS];
};

int
lab_create(struct lab_table **out)
{
        struct lab_table *table = calloc(1, sizeof(*table));

        if (table == NULL)
                return -ENOMEM;
        crypto_shorthash_keygen(table->hash_key);
        *out = table;
        return 0;
}

void
lab_destroy(struct lab_table *table)
{
        free(table);
}

static uint32_t
lab_set(const struct lab_table *table, const struct endpoint *endpoint, uint16_t message_id)
{
        uint8_t key[IPV6_BYTES + 4];
        uint8_t hash[crypto_shorthash_BYTES];
        uint32_t set;

        memcpy(key, endpoint->peer_address, IPV6_BYTES);
        memcpy(key + IPV6_BYTES, &endpoint->peer_port, 2);
        memcpy(key + IPV6_BYTES + 2, &message_id, 2);
        crypto_shorthash(hash, key, sizeof(key), table->hash_key);
        memcpy(&set, hash, sizeof(set));
        return set % LAB_SETS;
}

static bool
entry_alive(const struct lab_entry *entry, uint64_t now_ns)
{
        /* A pending one outlives its time: its receipt will come. */
        return entry->state == LAB_PENDING ||
               (entry->state != LAB_FREE && entry->expires_ns > now_ns);
}

uint32_t
lab_take(struct lab_table *table, const struct endpoint *endpoint, uint16_t message_id,
    bool confirmable, uint64_t now_ns, bool *found)
{
        uint32_t first = lab_set(table, endpoint, message_id) * LAB_WAYS;
        uint32_t room = LAB_ENTRY_NONE;

        *found = false;
        for (uint32_t i = first; i < first + LAB_WAYS; i++) {
                struct lab_entry *entry = &table->entries[i];

                if (!entry_alive(entry, now_ns)) {
                        room = i;
                } else if (entry->message_id == message_id &&
                           endpoint_same(&entry->endpoint, endpoint)) {
                        *found = true;
                        return i;
                }
        }
        if (room == LAB_ENTRY_NONE)
                return room;
        table->entries[room] = (struct lab_entry){
            .endpoint = *endpoint,
            .message_id = message_id,
            .expires_ns = now_ns + (confirmable ? EXCHANGE_LIFETIME_S : NON_LIFETIME_S) * NS_PER_S,
            .state = LAB_PENDING,
        };
        return room;
}

enum lab_state
lab_state(const struct lab_table *table, uint32_t entry, uint64_t *leaf)
{
        assert(entry < LAB_SETS * LAB_WAYS);
        *leaf = table->entries[entry].leaf;
        return (enum lab_state)table->entries[entry].state;
}

static struct lab_entry *
entry_pending(struct lab_table *table, uint32_t entry)
{
        assert(entry < LAB_SETS * LAB_WAYS && table->entries[entry].state == LAB_PENDING);
        return &table->entries[entry];
}

void
lab_done(struct lab_table *table, uint32_t entry, uint64_t leaf)
{
        struct lab_entry *it = entry_pending(table, entry);

        it->leaf = leaf;
        it->state = LAB_DONE;
}

void
lab_silence(struct lab_table *table, uint32_t entry)
{
        entry_pending(table, entry)->state = LAB_SILENT;
}

void
lab_release(struct lab_table *table, uint32_t entry)
{
        entry_pending(table, entry)->state = LAB_FREE;
}
