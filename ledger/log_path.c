/* SPDX-License-Identifier: Apache-2.0 */
/* Tile paths read (C2SP tlog-tiles): what a stranger asks for is a path only when it is the one
 * that log_tile_path() writes. */
#include "ledger/log_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define TILE_PREFIX    "tile/"
#define ENTRIES_PREFIX "entries/"
#define LEVEL_MAX      63u

static bool
skip(const char **at, const char *prefix)
{
        const size_t n = strlen(prefix);

        if (strncmp(*at, prefix, n) != 0)
                return false;
        *at += n;
        return true;
}

/* A decimal number below limit of at most three digits, as many as there are. */
static bool
read_small(const char **at, unsigned limit, unsigned *value)
{
        unsigned digits = 0;

        for (*value = 0; digits < 4 && **at >= '0' && **at <= '9'; digits++, (*at)++)
                *value = *value * 10 + (unsigned)(**at - '0');
        return digits > 0 && digits < 4 && *value < limit;
}

static bool
read_index(const char **at, uint64_t *n)
{
        for (*n = 0;;) {
                const bool last = **at != 'x';
                unsigned group;

                *at += !last;
                if (!read_small(at, 1000, &group) || __builtin_mul_overflow(*n, 1000, n) ||
                    __builtin_add_overflow(*n, group, n))
                        return false;
                if (last)
                        return true;
                if (!skip(at, "/"))
                        return false;
        }
}

int
log_tile_path_parse(const char *path, int *level, uint64_t *n, unsigned *width)
{
        char canonical[LOG_TILE_PATH_BYTES];
        const char *at = path;
        unsigned number = 0;

        if (strnlen(path, LOG_TILE_PATH_BYTES) == LOG_TILE_PATH_BYTES || !skip(&at, TILE_PREFIX))
                return -EBADMSG;
        *level = LOG_ENTRIES;
        *width = 0;
        if (!skip(&at, ENTRIES_PREFIX)) {
                if (!read_small(&at, LEVEL_MAX + 1, &number) || !skip(&at, "/"))
                        return -EBADMSG;
                *level = (int)number;
        }
        if (!read_index(&at, n))
                return -EBADMSG;
        if (skip(&at, ".p/")) {
                if (!read_small(&at, LOG_TILE_HASHES, width) || *width == 0)
                        return -EBADMSG;
        }
        if (*at != '\0' || log_tile_path(canonical, sizeof(canonical), *level, *n, *width) != 0 ||
            strcmp(canonical, path) != 0)
                return -EBADMSG;
        return 0;
}

bool
log_tile_published(uint64_t size, int level, uint64_t n, unsigned width)
{
        if (level >= (int)LOG_LEVELS) /* none of 2^64 leaves reach so high */
                return false;
        assert(level >= LOG_ENTRIES && width < LOG_TILE_HASHES);
        return n < tiles_index(size, level) ||
               (n == tiles_index(size, level) && width > 0 && width <= tiles_width(size, level));
}

size_t
log_tile_bytes(int level, unsigned width)
{
        return (width > 0 ? width : LOG_TILE_HASHES) * tiles_unit_bytes(level);
}
