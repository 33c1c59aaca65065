/* SPDX-License-Identifier: Apache-2.0 */
/* The auditor's pass over a log: from the entries everything is computed again and
 * compared. */
#include "ledger/log_internal.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef int entry_fn(void *user, uint64_t leaf, const uint8_t *entry, uint32_t entry_bytes);

struct verify {
        const struct log_source *source;
        char *why;
        struct engine *engine;
        struct checkpoint checkpoint;
        entry_fn *entry;
        void *user;
        struct tiles tiles;
        uint32_t entries_n; /* waiting for their hashing */
        uint8_t entries[TREE_BATCH_MAX * LEAF_ENTRY_BYTES];
        uint8_t scratch[TREE_BATCH_MAX * HASH_BYTES];
};

static_assert(TREE_BATCH_MAX % LOG_TILE_HASHES == 0, "whole bundles fill a batch");

static int
say_tile(struct verify *verify, int error, int level, uint64_t n, unsigned width, const char *what)
{
        char name[LOG_TILE_PATH_BYTES] = "";

        (void)log_tile_path(name, sizeof(name), level, n, width % LOG_TILE_HASHES);
        return log_say(verify->why, error, "%.200s/%s %s", verify->source->name, name, what);
}

static int
read_tile(struct verify *verify, int level, uint64_t n, unsigned width, uint8_t *bytes)
{
        const int error = verify->source->tile(verify->source->user, level, n, width, bytes);

        if (error == -ENOENT)
                return say_tile(verify, -EBADMSG, level, n, width, "is missing");
        if (error == -EBADMSG)
                return say_tile(verify, error, level, n, width, "has a wrong length");
        if (error != 0)
                return say_tile(verify, error, level, n, width, strerror(-error));
        return 0;
}

static int
compare_tile(void *user, int level, uint64_t n, unsigned width, const uint8_t *bytes)
{
        struct verify *verify = user;
        uint8_t file[LOG_TILE_BYTES_MAX];

        if (level == LOG_ENTRIES)
                return 0; /* what all else is computed from */
        const int error = read_tile(verify, level, n, width, file);
        if (error != 0)
                return error;
        if (memcmp(file, bytes, width * HASH_BYTES) == 0)
                return 0;
        return say_tile(verify, -EBADMSG, level, n, width,
            level == 0
                ? "does not hold the hashes of its entry bundle (the one or the other is damaged)"
                : "does not hold the hashes of the tiles below it");
}

static int
hash_entries(struct verify *verify)
{
        const uint32_t n = verify->entries_n;

        verify->entries_n = 0;
        return tiles_append(&verify->tiles, verify->engine, verify->scratch, verify->entries, n,
            compare_tile, verify);
}

static int
verify_bundle(struct verify *verify, uint64_t n, unsigned width)
{
        uint8_t bundle[LOG_BUNDLE_BYTES];
        int error = read_tile(verify, LOG_ENTRIES, n, width, bundle);

        if (error != 0)
                return error;
        for (unsigned i = 0; i < width; i++) {
                const uint8_t *at = bundle + i * LOG_BUNDLE_ENTRY_BYTES;
                if ((at[0] << 8 | at[1]) != LEAF_ENTRY_BYTES)
                        return say_tile(verify, -EBADMSG, LOG_ENTRIES, n, width,
                            "holds an entry of a wrong length");
                if (verify->entry != NULL) {
                        error = verify->entry(
                            verify->user, n * LOG_TILE_HASHES + i, at + 2, LEAF_ENTRY_BYTES);
                        if (error != 0)
                                return log_say(verify->why, error, "stopped by the caller");
                }
                memcpy(verify->entries + verify->entries_n++ * LEAF_ENTRY_BYTES, at + 2,
                    LEAF_ENTRY_BYTES);
        }
        return verify->entries_n == TREE_BATCH_MAX ? hash_entries(verify) : 0;
}

static int
verify_log(struct verify *verify)
{
        const uint64_t size = verify->checkpoint.size;
        const uint64_t full = tiles_index(size, LOG_ENTRIES);
        const unsigned width = tiles_width(size, LOG_ENTRIES);
        uint8_t root[HASH_BYTES];
        int error = 0;

        for (uint64_t n = 0; n < full && error == 0; n++)
                error = verify_bundle(verify, n, LOG_TILE_HASHES);
        if (error == 0 && width > 0)
                error = verify_bundle(verify, full, width);
        if (error == 0)
                error = hash_entries(verify);
        if (error == 0)
                error = tiles_partial(&verify->tiles, compare_tile, verify);
        if (error != 0)
                return error;
        assert(verify->tiles.tree.size == size);
        tree_root(&verify->tiles.tree, root);
        if (memcmp(root, verify->checkpoint.root, HASH_BYTES) != 0)
                return log_say(verify->why, -EBADMSG,
                    "the %" PRIu64
                    " entries of %.200s have another root than its checkpoint: they were "
                    "changed after they were signed",
                    size, verify->source->name);
        return 0;
}

int
log_source_verify(const struct log_source *source, const struct note_verifier *verifier,
    int (*entry)(void *user, uint64_t leaf, const uint8_t *entry, uint32_t entry_bytes), void *user,
    struct checkpoint *checkpoint, char *why)
{
        struct verify *verify = calloc(1, sizeof(*verify));

        if (verify == NULL)
                return log_say(why, -ENOMEM, "no memory to verify");
        verify->source = source;
        verify->why = why;
        verify->entry = entry;
        verify->user = user;
        tree_init(&verify->tiles.tree);
        int error = engine_create(&verify->engine, ENGINE_AUTO);
        if (error != 0)
                (void)log_say(why, error, "no hash engine: %s", strerror(-error));
        if (error == 0)
                error =
                    log_source_checkpoint(source, verifier, &verify->checkpoint, NULL, NULL, why);
        if (error == 0)
                error = verify_log(verify);
        if (checkpoint != NULL && error == 0)
                *checkpoint = verify->checkpoint;
        if (verify->engine != NULL)
                engine_destroy(verify->engine);
        free(verify);
        return error;
}

int
log_verify(const char *path, const struct note_verifier *verifier,
    int (*entry)(void *user, uint64_t leaf, const uint8_t *entry, uint32_t entry_bytes), void *user,
    struct checkpoint *checkpoint, char *why)
{
        struct log_folder folder;
        int error = log_folder_source(&folder, path, why);

        if (error != 0)
                return error;
        error = log_source_verify(&folder.source, verifier, entry, user, checkpoint, why);
        log_folder_close(&folder);
        return error;
}
