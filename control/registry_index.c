/* SPDX-License-Identifier: Apache-2.0 */
#include "control/registry_index.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define INDEX_CELLS_MIN 64u
#define INDEX_CELLS_MAX (UINT64_C(1) << 31)

static uint32_t
cell_hash(uint64_t cell)
{
        return (uint32_t)(cell >> 32);
}

static uint32_t
cell_entry(uint64_t cell)
{
        return (uint32_t)cell - 1;
}

int
index_create(struct index *index)
{
        index->cells = calloc(INDEX_CELLS_MIN, sizeof(*index->cells));
        if (index->cells == NULL)
                return -ENOMEM;
        index->mask = INDEX_CELLS_MIN - 1;
        index->n = 0;
        return 0;
}

void
index_free(struct index *index)
{
        free(index->cells);
        index->cells = NULL;
}

uint32_t
index_find(const struct index *index, uint32_t hash, index_same_fn *same, const void *user,
    const void *key)
{
        for (uint32_t i = hash & index->mask; index->cells[i] != 0; i = (i + 1) & index->mask)
                if (cell_hash(index->cells[i]) == hash &&
                    same(user, cell_entry(index->cells[i]), key))
                        return cell_entry(index->cells[i]);
        return INDEX_NONE;
}

static void
place(struct index *index, uint64_t cell)
{
        uint32_t i = cell_hash(cell) & index->mask;

        while (index->cells[i] != 0)
                i = (i + 1) & index->mask;
        index->cells[i] = cell;
}

int
index_reserve(struct index *index, uint32_t n)
{
        uint64_t wanted = ((uint64_t)index->n + n) * 3 / 2 + 1, cells = (uint64_t)index->mask + 1;
        struct index grown = {.n = index->n};

        if (wanted <= cells)
                return 0;
        while (cells < wanted)
                cells *= 2;
        if (cells > INDEX_CELLS_MAX)
                return -ENOMEM;
        grown.cells = calloc(cells, sizeof(*grown.cells));
        if (grown.cells == NULL)
                return -ENOMEM;
        grown.mask = (uint32_t)(cells - 1);
        for (uint64_t i = 0; i <= index->mask; i++)
                if (index->cells[i] != 0)
                        place(&grown, index->cells[i]);
        free(index->cells);
        *index = grown;
        return 0;
}

void
index_add(struct index *index, uint32_t hash, uint32_t entry)
{
        assert(entry != INDEX_NONE);
        assert(index->n < index->mask);
        place(index, (uint64_t)hash << 32 | (entry + 1));
        index->n++;
}

void
index_remove(struct index *index, uint32_t hash, uint32_t entry)
{
        uint64_t cell = (uint64_t)hash << 32 | (entry + 1);
        uint32_t hole = hash & index->mask, i, home;

        while (index->cells[hole] != cell) {
                assert(index->cells[hole] != 0);
                hole = (hole + 1) & index->mask;
        }
        /* Closes the gap: a later cell of the run moves back unless its home lies behind the hole.
         */
        for (i = (hole + 1) & index->mask; index->cells[i] != 0; i = (i + 1) & index->mask) {
                home = cell_hash(index->cells[i]) & index->mask;
                if (((i - home) & index->mask) >= ((i - hole) & index->mask)) {
                        index->cells[hole] = index->cells[i];
                        hole = i;
                }
        }
        index->cells[hole] = 0;
        index->n--;
}
