/* SPDX-License-Identifier: Apache-2.0 */
/* Tiles while they fill: layer 8 L of the tree is cut into the tiles of level L (tlog-tiles). */
#include "ledger/log_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
log_say(char *why, int error, const char *format, ...)
{
        if (why != NULL) {
                va_list args;
                va_start(args, format);
                (void)vsnprintf(why, LOG_WHY_BYTES, format, args); /* a long path is cut */
                va_end(args);
        }
        return error;
}

static unsigned
level_shift(int level)
{
        assert(level >= LOG_ENTRIES && level < (int)LOG_LEVELS);
        return level == LOG_ENTRIES ? 0 : 8 * (unsigned)level;
}

uint64_t
tiles_index(uint64_t size, int level)
{
        return (size >> level_shift(level)) / LOG_TILE_HASHES;
}

unsigned
tiles_width(uint64_t size, int level)
{
        return (unsigned)((size >> level_shift(level)) % LOG_TILE_HASHES);
}

size_t
tiles_unit_bytes(int level)
{
        return level == LOG_ENTRIES ? LOG_BUNDLE_ENTRY_BYTES : HASH_BYTES;
}

struct append {
        struct tiles *tiles;
        tile_fn *full;
        void *user;
        int error;
};

static void
append_layer(void *user, unsigned tree_level, uint64_t first, const uint8_t *hashes, uint32_t n)
{
        struct append *append = user;
        const int level = (int)(tree_level / 8);

        if (tree_level % 8 != 0)
                return;
        while (n > 0 && append->error == 0) {
                uint8_t *tile = append->tiles->hashes[level];
                const uint32_t at = (uint32_t)(first % LOG_TILE_HASHES);
                const uint32_t room = LOG_TILE_HASHES - at;
                const uint32_t m = n < room ? n : room;

                memcpy(tile + at * HASH_BYTES, hashes, m * HASH_BYTES);
                if (m == room)
                        append->error = append->full(
                            append->user, level, first / LOG_TILE_HASHES, LOG_TILE_HASHES, tile);
                first += m;
                hashes += m * HASH_BYTES;
                n -= m;
        }
}

static int
append_entries(struct tiles *tiles, const uint8_t *entries, uint32_t n, tile_fn *full, void *user)
{
        uint64_t leaf = tiles->tree.size;

        for (uint32_t i = 0; i < n; i++, leaf++) {
                const uint32_t at = (uint32_t)(leaf % LOG_TILE_HASHES);
                uint8_t *out = tiles->bundle + at * LOG_BUNDLE_ENTRY_BYTES;

                out[0] = LEAF_ENTRY_BYTES >> 8;
                out[1] = LEAF_ENTRY_BYTES & 0xff;
                memcpy(out + 2, entries + i * LEAF_ENTRY_BYTES, LEAF_ENTRY_BYTES);
                if (at + 1 == LOG_TILE_HASHES) {
                        const int error = full(user, LOG_ENTRIES, leaf / LOG_TILE_HASHES,
                            LOG_TILE_HASHES, tiles->bundle);
                        if (error != 0)
                                return error;
                }
        }
        return 0;
}

int
tiles_append(struct tiles *tiles, struct engine *engine, uint8_t *scratch, const uint8_t *entries,
    uint32_t n, tile_fn *full, void *user)
{
        struct append append = {.tiles = tiles, .full = full, .user = user};
        const int error = append_entries(tiles, entries, n, full, user);

        assert(n <= TREE_BATCH_MAX);
        if (error != 0)
                return error;
        tree_leaf_hashes(engine, scratch, entries, n);
        tree_append_layers(&tiles->tree, engine, scratch, n, append_layer, &append);
        return append.error;
}

int
tiles_partial(const struct tiles *tiles, tile_fn *partial, void *user)
{
        const uint64_t size = tiles->tree.size;

        for (int level = LOG_ENTRIES; level < (int)LOG_LEVELS; level++) {
                const unsigned width = tiles_width(size, level);
                const uint8_t *bytes = level == LOG_ENTRIES ? tiles->bundle : tiles->hashes[level];
                if (width == 0)
                        continue;
                const int error = partial(user, level, tiles_index(size, level), width, bytes);
                if (error != 0)
                        return error;
        }
        return 0;
}

void
tiles_copy(struct tiles *to, const struct tiles *from)
{
        const uint64_t size = from->tree.size;

        to->tree = from->tree;
        for (int level = 0; level < (int)LOG_LEVELS; level++)
                memcpy(
                    to->hashes[level], from->hashes[level], tiles_width(size, level) * HASH_BYTES);
        memcpy(to->bundle, from->bundle, tiles_width(size, LOG_ENTRIES) * LOG_BUNDLE_ENTRY_BYTES);
}
