/* SPDX-License-Identifier: Apache-2.0 */
/* The log's state: append and publish.
 *
 * A crash at any line loses nothing and forks nothing: tiles derive from groups that are durable
 * already, and are made again from them; until a tile is synced no checkpoint speaks of it; until
 * every head path remembers the tree nothing is signed, so that a signature that may have got out
 * is remembered. */
#include "ledger/head.h"
#include "ledger/log_internal.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

struct log {
        char *path;
        int folder;
        int failed; /* a flush failed: final */
        struct engine *engine;
        const struct note_signer *signer;
        int (*remember)(void *user, const struct head *head);
        void *remember_user;
        char **head_paths;
        unsigned head_paths_n;
        struct checkpoint published; /* size 0 when there is none */
        long note_bytes;             /* of note; 0: no checkpoint */
        struct log_pending pending;
        struct tiles tiles;
        struct tiles before; /* the batch that is being appended */
        char note[NOTE_BYTES_MAX];
        char why[LOG_WHY_BYTES];
        uint8_t scratch[TREE_BATCH_MAX * HASH_BYTES];
};

static int
copy_head_paths(struct log *log, const struct log_config *config)
{
        log->head_paths = calloc(config->head_paths_n + 1, sizeof(char *));
        if (log->head_paths == NULL)
                return -ENOMEM;
        for (unsigned i = 0; i < config->head_paths_n; i++) {
                log->head_paths[i] = strdup(config->head_paths[i]);
                if (log->head_paths[i] == NULL)
                        return -ENOMEM;
                log->head_paths_n++;
        }
        return 0;
}

static int
open_folder(struct log *log, char *why)
{
        int error = log_folder_open(log->path, true, &log->folder);

        if (error != 0) {
                log->folder = -1;
                return log_say(why, error, "the log's folder %s cannot be opened or made: %s",
                    log->path, strerror(-error));
        }
        log->pending.folder = log->folder;
        if (flock(log->folder, LOCK_EX | LOCK_NB) != 0)
                return errno == EWOULDBLOCK
                           ? log_say(why, -EBUSY, "another process writes the log %s: end it first",
                                 log->path)
                           : log_say(why, -errno, "the log %s cannot be locked: %s", log->path,
                                 strerror(errno));
        /* What a process before this one wrote and did not sync is not known. */
        log->pending.all = true;
        return 0;
}

static int
open_checkpoint(struct log *log, char *why)
{
        struct note_verifier verifier;
        char reason[LOG_WHY_BYTES] = "";

        note_signer_verifier(log->signer, &verifier);
        const int error = checkpoint_read(
            log->folder, &verifier, &log->published, log->note, &log->note_bytes, reason);
        if (error == -ENOENT)
                return 0;
        if (error == -EBADMSG)
                return log_say(why, error,
                    "%.200s/checkpoint: %.200s. Give the log its own folder and key; or, if the "
                    "file "
                    "is damaged, move it away: it is made anew from the vault",
                    log->path, reason);
        if (error != 0)
                return log_say(why, error, "%.200s/checkpoint: %.200s", log->path, reason);
        return 0;
}

int
log_open(struct log **log_out, const struct log_config *config, char *why)
{
        struct log *log = calloc(1, sizeof(*log));

        if (log == NULL)
                return log_say(why, -ENOMEM, "no memory for the log");
        log->folder = -1;
        log->signer = config->signer;
        log->remember = config->remember;
        log->remember_user = config->remember_user;
        tree_init(&log->tiles.tree);
        log->path = strdup(config->path);
        int error = log->path == NULL ? -ENOMEM : copy_head_paths(log, config);
        if (error == 0)
                error = engine_create(&log->engine, ENGINE_AUTO);
        if (error != 0)
                (void)log_say(why, error, "the log cannot start: %s", strerror(-error));
        if (error == 0)
                error = open_folder(log, why);
        if (error == 0)
                error = open_checkpoint(log, why);
        if (error != 0) {
                log_close(log);
                return error;
        }
        *log_out = log;
        return 0;
}

void
log_close(struct log *log)
{
        if (log == NULL)
                return;
        log_pending_drop(&log->pending);
        if (log->folder >= 0)
                close(log->folder);
        if (log->engine != NULL)
                engine_destroy(log->engine);
        for (unsigned i = 0; i < log->head_paths_n; i++)
                free(log->head_paths[i]);
        free(log->head_paths);
        free(log->path);
        free(log);
}

/* ---- append ---- */

static int
say_tile(struct log *log, int error, int level, uint64_t n, unsigned width, const char *what)
{
        char path[LOG_TILE_PATH_BYTES] = "";

        (void)log_tile_path(path, sizeof(path), level, n, width % LOG_TILE_HASHES);
        if (error == -EBADMSG)
                return log_say(log->why, error,
                    "%.200s/%s differs from the vault's records though it is published: move it "
                    "away "
                    "and start again, and it is made anew",
                    log->path, path);
        return log_say(
            log->why, error, "%.200s/%s: %s: %s", log->path, path, what, strerror(-error));
}

static int
write_tile(struct log *log, int level, uint64_t n, unsigned width, const uint8_t *bytes, bool now)
{
        const int error = log_tile_write(&log->pending, level, n, width, bytes, now);

        return error == 0 ? 0 : say_tile(log, error, level, n, width, "cannot be written");
}

/* A tile of the published size: it must have these bytes, or be missing, since what is derived may
 * be deleted. It is flushed before it takes its place: a crash must not leave an empty file there.
 */
static int
keep_published(void *user, int level, uint64_t n, unsigned width, const uint8_t *bytes)
{
        struct log *log = user;
        uint8_t file[LOG_TILE_BYTES_MAX];
        const int error = log_tile_read_exact(log->folder, level, n, width, file);

        if (error == -ENOENT)
                return write_tile(log, level, n, width, bytes, true);
        if (error != 0)
                return say_tile(log, error, level, n, width, "cannot be read");
        if (memcmp(file, bytes, width * tiles_unit_bytes(level)) != 0)
                return say_tile(log, -EBADMSG, level, n, width, "");
        return 0;
}

static int
keep_full(void *user, int level, uint64_t n, unsigned width, const uint8_t *bytes)
{
        struct log *log = user;

        if (n >= tiles_index(log->published.size, level))
                return write_tile(log, level, n, width, bytes, false);
        const int error = keep_published(log, level, n, width, bytes);
        if (error == 0)
                log_partials_remove(log->folder, level, n);
        return error;
}

/* The tree has just grown to the published size. */
static int
check_published(struct log *log)
{
        uint8_t root[HASH_BYTES];

        tree_root(&log->tiles.tree, root);
        if (memcmp(root, log->published.root, HASH_BYTES) != 0)
                return log_say(log->why, -EBADMSG,
                    "the vault's first %" PRIu64 " records have another root than the checkpoint "
                    "%.200s/checkpoint has signed: the vault or the log is not the one it was. "
                    "Restore the "
                    "one that was changed",
                    log->published.size, log->path);
        return tiles_partial(&log->tiles, keep_published, log);
}

static int
append_batch(struct log *log, const uint8_t *entries, uint32_t n)
{
        const uint64_t size = log->tiles.tree.size;
        const bool reaches_published =
            size < log->published.size && size + n == log->published.size;
        const bool may_fail = size % LOG_TILE_HASHES + n >= LOG_TILE_HASHES || reaches_published;

        if (may_fail)
                tiles_copy(&log->before, &log->tiles);
        int error =
            tiles_append(&log->tiles, log->engine, log->scratch, entries, n, keep_full, log);
        if (error == 0 && reaches_published)
                error = check_published(log);
        if (error != 0) {
                assert(may_fail);
                tiles_copy(&log->tiles, &log->before);
        }
        return error;
}

int
log_append(struct log *log, const uint8_t *entries, uint32_t n)
{
        if (log->failed != 0)
                return log->failed;
        log->why[0] = '\0';
        while (n > 0) {
                const uint64_t size = log->tiles.tree.size;
                uint32_t batch = n < TREE_BATCH_MAX ? n : TREE_BATCH_MAX;
                /* A batch ends at the published size, where root and partial tiles are checked. */
                if (size < log->published.size && batch > log->published.size - size)
                        batch = (uint32_t)(log->published.size - size);
                const int error = append_batch(log, entries, batch);
                if (error != 0)
                        return error;
                entries += (size_t)batch * LEAF_ENTRY_BYTES;
                n -= batch;
        }
        return 0;
}

/* ---- publish ---- */

static int
publish_partial(void *user, int level, uint64_t n, unsigned width, const uint8_t *bytes)
{
        struct log *log = user;
        const uint64_t was = log->published.size;

        if (tiles_index(was, level) == n && tiles_width(was, level) == width)
                return 0; /* of the published size too, and durable */
        return write_tile(log, level, n, width, bytes, false);
}

/* A failed flush may have lost what it was to flush, and a second one would not tell. */
static int
fail_flush(struct log *log, int error, const char *what)
{
        log->failed = error;
        return log_say(log->why, error,
            "%s of the log %.200s could not be flushed: %s. Nothing is published from here on: "
            "mend the disk "
            "and start again",
            what, log->path, strerror(-error));
}

static int
sync_tiles(struct log *log)
{
        const int error = log_pending_sync(&log->pending);

        return error == 0 ? 0 : fail_flush(log, error, "tiles");
}

static int
flush_heads(struct log *log, const struct head *head)
{
        if (log->remember != NULL) {
                const int error = log->remember(log->remember_user, head);
                if (error == -EINVAL)
                        return log_say(log->why, error,
                            "a volume's head remembers a larger tree than %" PRIu64
                            " leaves, or another root: records that were signed for are lost. Restore "
                            "the volumes",
                            head->size);
                if (error != 0)
                        return log_say(log->why, error,
                            "too few volumes took the head before signing: %s", strerror(-error));
        }
        for (unsigned i = 0; i < log->head_paths_n; i++) {
                const int error = head_write(log->head_paths[i], head);
                if (error == -EINVAL)
                        return log_say(log->why, error,
                            "the head in %.200s remembers a larger tree than %" PRIu64
                            " leaves, or another root: the vault has lost records that were signed "
                            "for. "
                            "Restore it",
                            log->head_paths[i], head->size);
                if (error == -ENOSPC)
                        return log_say(log->why, error,
                            "no space for the head in %.200s: make room", log->head_paths[i]);
                if (error != 0)
                        return fail_flush(log, error, "the head");
        }
        return 0;
}

static int
sign_and_replace(struct log *log, const struct checkpoint *next)
{
        char body[NOTE_BYTES_MAX], note[NOTE_BYTES_MAX];
        const long body_bytes = checkpoint_write(body, sizeof(body), next);

        if (body_bytes < 0)
                return log_say(log->why, (int)body_bytes, "the checkpoint cannot be written");
        const int note_bytes = note_sign(note, sizeof(note), body, (size_t)body_bytes, log->signer);
        if (note_bytes < 0)
                return log_say(log->why, note_bytes, "the checkpoint cannot be signed: %s",
                    strerror(-note_bytes));
        const int error = log_checkpoint_replace(log->folder, note, (size_t)note_bytes);
        if (error == -ENOSPC)
                return log_say(
                    log->why, error, "no space for the checkpoint in %.200s: make room", log->path);
        if (error != 0)
                return fail_flush(log, error, "the checkpoint");
        memcpy(log->note, note, (size_t)note_bytes + 1);
        log->note_bytes = note_bytes;
        return 0;
}

/* Partial tiles of sizes published earlier go once the full one is published too. */
static void
remove_partials(struct log *log, uint64_t was)
{
        for (int level = LOG_ENTRIES; level < (int)LOG_LEVELS; level++) {
                const uint64_t n = tiles_index(was, level);
                if (tiles_width(was, level) > 0 && tiles_index(log->published.size, level) > n)
                        log_partials_remove(log->folder, level, n);
        }
}

int
log_publish(struct log *log)
{
        const uint64_t was = log->published.size;
        struct head head = {.size = log->tiles.tree.size};
        struct checkpoint next = {.size = head.size};

        if (log->failed != 0)
                return log->failed;
        log->why[0] = '\0';
        if (head.size < was)
                return log_say(log->why, -EINVAL,
                    "the log has %" PRIu64
                    " leaves, but its checkpoint %.200s/checkpoint has signed %" PRIu64
                    ": append the vault's records first; if the vault has no more, it has lost "
                    "records: "
                    "restore it",
                    head.size, log->path, was);
        if (head.size == was) /* a tile may have been made again */
                return log->pending.dirty ? sync_tiles(log) : 0;

        tree_root(&log->tiles.tree, head.root);
        memcpy(next.root, head.root, HASH_BYTES);
        struct note_verifier verifier;
        note_signer_verifier(log->signer, &verifier);
        memcpy(next.origin, verifier.name, sizeof(next.origin));

        int error = tiles_partial(&log->tiles, publish_partial, log);
        if (error == 0)
                error = sync_tiles(log);
        if (error == 0)
                error = flush_heads(log, &head);
        if (error == 0)
                error = sign_and_replace(log, &next);
        if (error != 0)
                return error;
        log->published = next;
        remove_partials(log, was);
        return 0;
}

/* ---- state ---- */

uint64_t
log_size(const struct log *log)
{
        return log->tiles.tree.size;
}

uint64_t
log_published(const struct log *log)
{
        return log->published.size;
}

void
log_root(const struct log *log, uint8_t root[HASH_BYTES])
{
        tree_root(&log->tiles.tree, root);
}

const char *
log_why(const struct log *log)
{
        return log->why;
}

long
log_checkpoint(const struct log *log, char *out, size_t out_bytes)
{
        if (log->note_bytes == 0)
                return -ENOENT;
        if ((size_t)log->note_bytes >= out_bytes)
                return -ENOSPC;
        memcpy(out, log->note, (size_t)log->note_bytes + 1);
        return log->note_bytes;
}
