/* SPDX-License-Identifier: Apache-2.0 */
/* The registry's hash index: from a key, held by the entries themselves, to an entry's number. Open
 * addressing, eight bytes a cell, doubled at two thirds. Hashes are keyed by the caller, since
 * names and kids come from outside. */
#ifndef AORTA_CONTROL_REGISTRY_INDEX_H
#define AORTA_CONTROL_REGISTRY_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#define INDEX_NONE UINT32_MAX

struct index {
        uint64_t *cells; /* hash << 32 | entry + 1; 0: empty */
        uint32_t mask, n;
};

/* Whether the entry has the key. */
typedef bool index_same_fn(const void *user, uint32_t entry, const void *key);

int index_create(struct index *index);
void index_free(struct index *index);
/* The entry, or INDEX_NONE. */
uint32_t index_find(const struct index *index, uint32_t hash, index_same_fn *same, const void *user,
    const void *key);
/* Makes room for n more entries: index_add() cannot fail for them. 0 or -ENOMEM. */
int index_reserve(struct index *index, uint32_t n);
void index_add(struct index *index, uint32_t hash, uint32_t entry);
/* The entry must be there (asserted). */
void index_remove(struct index *index, uint32_t hash, uint32_t entry);

#endif
