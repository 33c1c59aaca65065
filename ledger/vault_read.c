/* SPDX-License-Identifier: Apache-2.0 */
/* Where groups lie, and reading a record back. The index only grows: a chunk never moves once it is
 * published, and a reader looks only at groups below the count that it loaded. */
#include "ledger/vault_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int
group_index_open(struct group_index *index)
{
        index->chunks = calloc(INDEX_CHUNKS_MAX, sizeof(*index->chunks));
        return index->chunks == NULL ? -ENOMEM : 0;
}

void
group_index_close(struct group_index *index)
{
        for (uint32_t i = 0; index->chunks != NULL && i < INDEX_CHUNKS_MAX; i++)
                free(index->chunks[i]);
        free(index->chunks);
        index->chunks = NULL;
}

int
group_index_reserve(struct group_index *index)
{
        /* One group may be durable and not yet released when the next is submitted. */
        uint64_t count = atomic_load_explicit(&index->count, memory_order_relaxed);
        for (uint64_t i = count; i < count + GROUPS_BUFFERED; i++) {
                uint64_t chunk = i / INDEX_CHUNK_GROUPS;
                if (chunk >= INDEX_CHUNKS_MAX)
                        return -EOVERFLOW;
                if (index->chunks[chunk] == NULL)
                        index->chunks[chunk] =
                            malloc(INDEX_CHUNK_GROUPS * sizeof(struct group_place));
                if (index->chunks[chunk] == NULL)
                        return -ENOMEM;
        }
        return 0;
}

void
group_index_add(struct group_index *index, const struct group_place *place, uint32_t records)
{
        uint64_t count = atomic_load_explicit(&index->count, memory_order_relaxed);
        uint64_t leaves = atomic_load_explicit(&index->leaves, memory_order_relaxed);
        assert(place->first_leaf == leaves && records > 0);
        struct group_place *chunk = index->chunks[count / INDEX_CHUNK_GROUPS];
        assert(chunk != NULL);
        chunk[count % INDEX_CHUNK_GROUPS] = *place;
        atomic_store_explicit(&index->leaves, leaves + records, memory_order_relaxed);
        atomic_store_explicit(&index->count, count + 1, memory_order_release);
}

const struct group_place *
group_index_at(const struct group_index *index, uint64_t number)
{
        return &index->chunks[number / INDEX_CHUNK_GROUPS][number % INDEX_CHUNK_GROUPS];
}

/* The number of the group that holds leaf, among count groups: the last that begins at or before
 * it. */
static uint64_t
group_find(const struct group_index *index, uint64_t count, uint64_t leaf)
{
        uint64_t low = 0, high = count;
        while (high - low > 1) {
                uint64_t middle = low + (high - low) / 2;
                if (group_index_at(index, middle)->first_leaf <= leaf)
                        low = middle;
                else
                        high = middle;
        }
        return low;
}

/* Reads the group that holds leaf; *i is the leaf's record in it. */
static int
group_fetch(struct vault *vault, uint64_t leaf, struct gather *gather, uint32_t *i)
{
        uint64_t count = atomic_load_explicit(&vault->index.count, memory_order_acquire);
        /* At least the leaves of count groups; perhaps a moment newer, which the check below
         * catches. */
        if (count == 0 || leaf >= atomic_load_explicit(&vault->index.leaves, memory_order_relaxed))
                return -ENOENT;
        uint64_t number = group_find(&vault->index, count, leaf);
        const struct group_place *place = group_index_at(&vault->index, number);
        int error = gather_open(gather, vault);
        if (error)
                return error;
        error = gather_read(gather, vault_readable(vault), place->segment, place->offset_bytes,
            number, NULL, false);
        const struct group_header *header = &gather->header;
        if (!error && header->tree_size != place->first_leaf)
                error = -EBADMSG;
        if (!error && leaf - header->tree_size >= header->records)
                error = number + 1 == count ? -ENOENT : -EBADMSG;
        if (error)
                gather_close(gather);
        else
                *i = (uint32_t)(leaf - header->tree_size);
        return error;
}

int
vault_read_leaf(struct vault *vault, uint64_t leaf, uint8_t *sealed, uint32_t *sealed_bytes,
    uint8_t digest[HASH_BYTES])
{
        struct gather gather;
        struct vault_record record;
        uint32_t i;
        int error = group_fetch(vault, leaf, &gather, &i);
        if (error)
                return error;
        group_record(gather.payload, &gather.header, i, &record);
        memcpy(sealed, record.sealed, record.sealed_bytes);
        *sealed_bytes = record.sealed_bytes;
        memcpy(digest, record.digest, HASH_BYTES);
        gather_close(&gather);
        return 0;
}

int
vault_read_group(struct vault *vault, uint64_t leaf, vault_record_fn *record, void *user)
{
        struct gather gather;
        uint32_t i;
        int error = group_fetch(vault, leaf, &gather, &i);
        if (error)
                return error;
        for (; !error && i < gather.header.records; i++) {
                struct vault_record one;
                group_record(gather.payload, &gather.header, i, &one);
                int answer = record(user, &one);
                error = answer < 0 ? answer : 0;
        }
        gather_close(&gather);
        return error;
}
