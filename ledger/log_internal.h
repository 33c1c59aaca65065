/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the log share: tiles while they fill, and their files. */
#ifndef AORTA_LEDGER_LOG_INTERNAL_H
#define AORTA_LEDGER_LOG_INTERNAL_H

#include "ledger/log.h"
#include "ledger/tree.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_LEVELS             8u   /* 2^64 leaves in tiles of 2^8 */
#define LOG_ENTRIES            (-1) /* the "level" of entry bundles */
#define LOG_BUNDLE_ENTRY_BYTES (2u + LEAF_ENTRY_BYTES)
#define LOG_TILE_BYTES         (LOG_TILE_HASHES * HASH_BYTES)
#define LOG_BUNDLE_BYTES       (LOG_TILE_HASHES * LOG_BUNDLE_ENTRY_BYTES)
#define LOG_TILE_BYTES_MAX     LOG_BUNDLE_BYTES
#define LOG_TILE_PATH_BYTES    64u /* tile/entries/ and seven groups of digits and .p/255 */
#define PROOF_HASHES_MAX       64u /* the height of the largest tree */
#define LOG_PENDING_FILES_MAX  64u /* synced one by one; more are synced with the file system */
#define LOG_PENDING_DIRS_MAX   64u

static_assert(LOG_BUNDLE_BYTES >= LOG_TILE_BYTES, "a buffer for bundles holds a tile");

/* Formats into why (LOG_WHY_BYTES; may be NULL) and returns error. */
int log_say(char *why, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* ---- tiles while they fill ---- */

struct tiles {
        struct tree tree;
        uint8_t hashes[LOG_LEVELS][LOG_TILE_BYTES]; /* tiles_width() hashes of each level count */
        uint8_t bundle[LOG_BUNDLE_BYTES];           /* entries, each after its length */
};

/* A tile or bundle (level LOG_ENTRIES) of width hashes or entries, 1 to LOG_TILE_HASHES. */
typedef int tile_fn(void *user, int level, uint64_t n, unsigned width, const uint8_t *bytes);

/* Index and width of the tile that fills at a level in a tree of that size; width 0: none. */
uint64_t tiles_index(uint64_t size, int level);
unsigned tiles_width(uint64_t size, int level);
size_t tiles_unit_bytes(int level);
/* Appends n <= TREE_BATCH_MAX entries; calls full() for every tile that fills. After an error
 * *tiles is as undefined as what full() has not seen: go back to a copy. scratch: n × HASH_BYTES.
 */
int tiles_append(struct tiles *tiles, struct engine *engine, uint8_t *scratch,
    const uint8_t *entries, uint32_t n, tile_fn *full, void *user);
/* Calls partial() for the bundle and for each level's tile that is not empty. */
int tiles_partial(const struct tiles *tiles, tile_fn *partial, void *user);
/* Copies what counts of a struct tiles. */
void tiles_copy(struct tiles *to, const struct tiles *from);

/* ---- files ---- */

/* Files and folders written but not synced yet. Files stay open until they are, so that an error of
 * their write-back is reported here and nowhere else. */
struct log_pending {
        int folder; /* of the log */
        bool all;   /* too many, or unknown: sync the file system */
        bool dirty; /* anything was written since the last sync */
        unsigned files_n, dirs_n;
        int files[LOG_PENDING_FILES_MAX];
        char dirs[LOG_PENDING_DIRS_MAX][LOG_TILE_PATH_BYTES];
};

/* Replaces a tile by a file renamed into its place, whose name and folders are synced with the
 * rest; its content too, or (now) before it takes its place. */
int log_tile_write(struct log_pending *pending, int level, uint64_t n, unsigned width,
    const uint8_t *bytes, bool now);
/* Everything written is durable on return. An error is final: what was not synced may be lost. */
int log_pending_sync(struct log_pending *pending);
void log_pending_drop(struct log_pending *pending);
/* Writes, syncs, renames in, syncs the folder. */
int log_checkpoint_replace(int folder, const char *note, size_t note_bytes);

int log_folder_open(const char *path, bool make, int *folder);
/* The file's bytes; -ENOENT; -EBADMSG when it is longer than out_bytes or no file. */
long log_file_read(int folder, const char *name, void *out, size_t out_bytes);
/* The file of exactly this width: -ENOENT, -EBADMSG for another length. */
int log_tile_read_exact(int folder, int level, uint64_t n, unsigned width, uint8_t *bytes);
/* The first width hashes or entries of a tile of a published size: from the file of that width, or,
 * when it went because the tile has filled since, from the full one. */
int log_tile_read(int folder, int level, uint64_t n, unsigned width, uint8_t *bytes);
/* Removes the partial tiles of a tile that is full and published. Best effort: what is left is
 * tried again at the next start, and harms nothing. */
void log_partials_remove(int folder, int level, uint64_t n);

int checkpoint_read(int folder, const struct note_verifier *verifier, struct checkpoint *checkpoint,
    char *note, long *note_bytes, char *why);
/* A decimal without sign or leading zeros, up to the byte `end`: characters used, or -EBADMSG. */
long log_decimal_parse(uint64_t *value, const char *text, size_t text_bytes, char end);

#endif
