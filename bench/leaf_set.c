/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/leaf_set.h"

#include <errno.h>
#include <stdlib.h>

struct chunk {
        uint64_t number;
        uint64_t bits[LEAF_CHUNK_BITS / 64];
};

struct leaf_set {
        uint32_t chunks;
        struct chunk *table[LEAF_TABLE_SLOTS]; /* open addressing */
};

int
leaf_set_create(struct leaf_set **set)
{
        *set = calloc(1, sizeof(**set));
        return *set != NULL ? 0 : -ENOMEM;
}

void
leaf_set_destroy(struct leaf_set *set)
{
        if (set == NULL)
                return;
        for (uint32_t i = 0; i < LEAF_TABLE_SLOTS; i++)
                free(set->table[i]);
        free(set);
}

int
leaf_set_add(struct leaf_set *set, uint64_t leaf)
{
        uint64_t number = leaf / LEAF_CHUNK_BITS, bit = leaf % LEAF_CHUNK_BITS, *word, mask;
        uint64_t slot = (number * UINT64_C(0x9e3779b97f4a7c15) >> 32) % LEAF_TABLE_SLOTS;
        struct chunk *chunk;

        while (set->table[slot] != NULL && set->table[slot]->number != number)
                slot = (slot + 1) % LEAF_TABLE_SLOTS;
        chunk = set->table[slot];
        if (chunk == NULL) {
                if (set->chunks == LEAF_CHUNKS_MAX)
                        return -ENOSPC;
                chunk = calloc(1, sizeof(*chunk));
                if (chunk == NULL)
                        return -ENOMEM;
                chunk->number = number;
                set->table[slot] = chunk;
                set->chunks++;
        }
        word = &chunk->bits[bit / 64];
        mask = UINT64_C(1) << bit % 64;
        if (*word & mask)
                return 0;
        *word |= mask;
        return 1;
}
