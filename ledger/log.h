/* SPDX-License-Identifier: Apache-2.0 */
/* The published log: C2SP tlog-tiles in a folder that any static file server may serve.
 *
 *   checkpoint · tile/<L>/<N>[.p/<W>] · tile/entries/<N>[.p/<W>]
 *
 * One thread owns a struct log. */
#ifndef AORTA_LEDGER_LOG_H
#define AORTA_LEDGER_LOG_H

#include "crypto/note.h"
#include "ledger/leaf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_TILE_HASHES 256u
#define LOG_WHY_BYTES   512u

struct log;
struct head;

struct log_config {
        const char *path;                 /* the log's folder; made when absent (its parent is not) */
        const struct note_signer *signer; /* its name is the origin; outlives the log */
        /* Flushes the head to the vault's volumes before signing (vault_remember()); may be NULL. As
         * head_write(). */
        int (*remember)(void *user, const struct head *head);
        void *remember_user;
        const char *const *head_paths;    /* folders that remember the head, flushed before signing */
        unsigned head_paths_n;
};

/* Opens and locks (exclusively) the folder; remembers what is published. Files of tiles left by a crash
 * beyond the published size are overwritten when their turn comes. On failure why (LOG_WHY_BYTES, may be
 * NULL) says what is wrong and what to do. -EBUSY: another process has it. -EBADMSG: the checkpoint is
 * damaged, or of another key or origin. */
int log_open(struct log **log, const struct log_config *config, char *why);
/* Appends n leaf entries (n × LEAF_ENTRY_BYTES) of durable groups, in order; at start the recovered ones
 * from 0. Tiles and entry bundles of the published size that exist with the same bytes are not written
 * again, and a missing one is written again; one that differs is -EBADMSG, and so is a root that is not
 * the checkpoint's at its size. After an error log_size() leaves are in the log: call again with the rest
 * when the cause is gone (e.g. -ENOSPC). */
int log_append(struct log *log, const uint8_t *entries, uint32_t n);
/* Publishes all that was appended: tiles and bundles written and synced with their folders, the head
 * flushed to every head path, then the checkpoint signed, written, synced, renamed in, folder synced.
 * Nothing new: no work, 0. -EINVAL when a head path remembers a larger tree or another root, or when the
 * checkpoint's tree is larger. Nothing is signed unless all before it was flushed. A failed flush is
 * final: all later calls return its error, and a new start writes and flushes again what was not published. */
int log_publish(struct log *log);
/* What the last error of log_append() or log_publish() was, and what to do; "" when there was none. */
const char *log_why(const struct log *log);
uint64_t log_size(const struct log *log);      /* appended */
uint64_t log_published(const struct log *log); /* in the checkpoint */
void log_root(const struct log *log, uint8_t root[HASH_BYTES]);
/* The last checkpoint (a signed note), NUL-terminated; its length, -ENOENT, or -ENOSPC. */
long log_checkpoint(const struct log *log, char *out, size_t out_bytes);
void log_close(struct log *log);

/* ---- for readers of a folder, with no state: any process ---- */

struct checkpoint {
        char origin[NOTE_NAME_BYTES_MAX + 1];
        uint64_t size;
        uint8_t root[HASH_BYTES];
};
/* Parses a checkpoint's body (tlog-checkpoint; extension lines are allowed). 0 or -EBADMSG. */
int checkpoint_parse(struct checkpoint *checkpoint, const char *text, size_t text_bytes);
/* Writes the body, NUL-terminated: its length, -ENOSPC, or -EINVAL (no origin). */
long checkpoint_write(char *out, size_t out_bytes, const struct checkpoint *checkpoint);
/* Reads, checks signature and origin, parses. note (NOTE_BYTES_MAX, NUL-terminated) may be NULL. -ENOENT
 * when nothing was published yet; -EBADMSG for a damaged one, another key or origin. */
int log_read_checkpoint(const char *path, const struct note_verifier *verifier,
    struct checkpoint *checkpoint, char *note, char *why);

/* The audit path of leaf in the tree of the given size, from the tiles: proof has room for 64 hashes,
 * *n hashes from the leaf's sibling up. -EINVAL: no such leaf in a tree of that size. -ENOENT: nothing or
 * less is published, or a tile is missing. -EBADMSG: damaged. The checkpoint's signature is not checked. */
int log_prove(const char *path, uint64_t leaf, uint64_t size, uint8_t proof[64][HASH_BYTES], unsigned *n, char *why);
/* RFC 6962 §2.1.1: 0 when the path leads from the leaf hash to root, else -EBADMSG. */
int proof_check(const uint8_t leaf_hash_in[HASH_BYTES], uint64_t leaf, uint64_t size,
    const uint8_t proof[][HASH_BYTES], unsigned n, const uint8_t root[HASH_BYTES]);
/* A .tlog-proof (c2sp.org/tlog-proof@v1) as text: its length or -errno. */
long proof_write(char *out, size_t out_bytes, uint64_t leaf, const uint8_t proof[][HASH_BYTES], unsigned n, const char *note);
int proof_parse(const char *text, size_t text_bytes, uint64_t *leaf, uint8_t proof[64][HASH_BYTES], unsigned *n, const char **note);

/* Verifies the folder alone: checkpoint signature, every tile and bundle up to its size, root.
 * entry() is called for every leaf entry in order (may be NULL). */
int log_verify(const char *path, const struct note_verifier *verifier,
    int (*entry)(void *user, uint64_t leaf, const uint8_t *entry, uint32_t entry_bytes), void *user,
    struct checkpoint *checkpoint, char *why);

/* ---- a log that lies elsewhere: the reader brings what fetches it ---- */

struct log_source {
        const char *name; /* in messages: a folder, a URL */
        void *user;
        /* The checkpoint's bytes: its length; -ENOENT; -EBADMSG when it is longer than out_bytes. */
        long (*checkpoint)(void *user, char *out, size_t out_bytes);
        /* The first width hashes or entries (level -1) of tile n, LOG_TILE_HASHES for all of it; the
         * tile may have filled since the checkpoint, and its file of that width be gone. bytes has room
         * for a full one. 0, -ENOENT, -EBADMSG (of another length), or -errno. */
        int (*tile)(void *user, int level, uint64_t n, unsigned width, uint8_t *bytes);
};
/* A folder as a source, until it is closed; path outlives it. */
struct log_folder {
        struct log_source source;
        int folder;
};
int log_folder_source(struct log_folder *folder, const char *path, char *why);
void log_folder_close(struct log_folder *folder);
/* log_read_checkpoint(), log_verify() and log_prove() of any source. note_bytes may be NULL. */
int log_source_checkpoint(const struct log_source *source, const struct note_verifier *verifier,
    struct checkpoint *checkpoint, char *note, long *note_bytes, char *why);
int log_source_verify(const struct log_source *source, const struct note_verifier *verifier,
    int (*entry)(void *user, uint64_t leaf, const uint8_t *entry, uint32_t entry_bytes), void *user,
    struct checkpoint *checkpoint, char *why);
/* published: the tree whose tiles there are, as its (verified) checkpoint tells; what the tiles give is
 * checked against its root. */
int log_source_prove(const struct log_source *source, const struct checkpoint *published,
    uint64_t leaf, uint64_t size, uint8_t proof[64][HASH_BYTES], unsigned *n, char *why);
/* RFC 6962 §2.1.2: that the tree of new_size leaves extends that of old_size, with both roots. */
struct consistency {
        uint64_t old_size, new_size;
        uint8_t old_root[HASH_BYTES], new_root[HASH_BYTES];
        unsigned n;
        uint8_t hashes[64][HASH_BYTES];
};
int log_source_prove_consistency(const struct log_source *source,
    const struct checkpoint *published, struct consistency *consistency, char *why);
/* The same from a folder. -EINVAL: old_size > new_size. -ENOENT: nothing or less is published, or a tile
 * is missing. -EBADMSG: damaged. The checkpoint's signature is not checked. */
int log_prove_consistency(const char *path, uint64_t old_size, uint64_t new_size,
    uint8_t hashes[64][HASH_BYTES], unsigned *n, char *why);
/* RFC 9162 §2.1.4.2: 0 when the n hashes show that the tree of new_size leaves and new_root extends that
 * of old_size and old_root, else -EBADMSG. An empty tree, and a tree of the same size, take no hashes. */
int consistency_check(uint64_t old_size, const uint8_t old_root[HASH_BYTES], uint64_t new_size,
    const uint8_t new_root[HASH_BYTES], const uint8_t hashes[][HASH_BYTES], unsigned n);

/* tile path of the spec into out, e.g. "tile/0/x001/x234/067.p/5" */
int log_tile_path(char *out, size_t out_bytes, int level /* -1: entries */, uint64_t n, unsigned width /* 0: full */);
/* The reverse: strict, so that every tile has one path. 0 or -EBADMSG. */
int log_tile_path_parse(const char *path, int *level, uint64_t *n, unsigned *width);
/* Is the tile, or part of it, one of the tree of that size? (Its own last tile at that width, or one of a
 * smaller tree: parts of a tile that is full may be gone.) */
bool log_tile_published(uint64_t size, int level, uint64_t n, unsigned width);
/* The length of a tile's file. */
size_t log_tile_bytes(int level, unsigned width);

#endif
