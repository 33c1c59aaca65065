/* SPDX-License-Identifier: Apache-2.0 */
/* What the vault's tests share: a folder on a file system with O_DIRECT, records that follow from
 * their leaf index, and a small writer that keeps the tree. */
#ifndef AORTA_TESTS_VAULT_HELPERS_H
#define AORTA_TESTS_VAULT_HELPERS_H

#include "crypto/seal.h"
#include "ledger/group.h"
#include "ledger/tree.h"
#include "ledger/vault.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HELPER __attribute__((unused)) static

/* /var/tmp rather than /tmp: O_DIRECT wants a disk's file system. */
HELPER void
folder_new(char path[PATH_MAX])
{
        strcpy(path, "/var/tmp/aorta-vault-XXXXXX");
        cr_assert_not_null(mkdtemp(path));
}

HELPER int
folder_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        return remove(path);
}

HELPER void
folder_remove(const char *path)
{
        nftw(path, folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The sealed bytes of a leaf: random-looking, of a length of its own. */
HELPER uint32_t
sealed_make(uint8_t sealed[SEAL_BYTES_MAX], uint64_t leaf, uint8_t digest[HASH_BYTES])
{
        uint8_t seed[randombytes_SEEDBYTES] = {0};
        memcpy(seed, &leaf, sizeof(leaf));
        uint32_t bytes = SEAL_OVERHEAD + (uint32_t)(leaf * 7919 % 400);
        randombytes_buf_deterministic(sealed, bytes, seed);
        sealed[0] = SEAL_VERSION;
        sealed[1] = leaf % 3 == 0 ? RECORD_LAB : RECORD_OSCORE;
        crypto_hash_sha256(digest, sealed, bytes);
        return bytes;
}

HELPER void
sealed_check(uint64_t leaf, const uint8_t *sealed, uint32_t sealed_bytes, const uint8_t *digest)
{
        uint8_t want[SEAL_BYTES_MAX], want_digest[HASH_BYTES];
        uint32_t want_bytes = sealed_make(want, leaf, want_digest);
        cr_assert_eq(sealed_bytes, want_bytes, "leaf %llu", (unsigned long long)leaf);
        cr_assert_eq(memcmp(sealed, want, want_bytes), 0, "leaf %llu", (unsigned long long)leaf);
        cr_assert_eq(memcmp(digest, want_digest, HASH_BYTES), 0);
}

/* A vault being written, and the tree that its writer keeps. */
struct writing {
        char path[PATH_MAX];
        char volume_paths[VAULT_VOLUMES_MAX][PATH_MAX];
        const char *volumes[VAULT_VOLUMES_MAX];
        struct vault_config config;
        struct vault *vault;
        struct vault_tip tip;
        struct tree tree;
        struct engine *engine;
        uint64_t next_leaf; /* of the next record to be added */
        uint64_t seen;      /* records that recovery showed */
        char why[VAULT_WHY_BYTES];
};

HELPER int
record_check(void *user, const struct vault_record *record)
{
        struct writing *w = user;
        cr_assert_eq(record->leaf, w->seen);
        sealed_check(record->leaf, record->sealed, record->sealed_bytes, record->digest);
        w->seen++;
        return 0;
}

HELPER void
writing_init(struct writing *w)
{
        memset(w, 0, sizeof(*w));
        cr_assert(sodium_init() >= 0);
        folder_new(w->path);
        w->config = (struct vault_config){
            .path = w->path, .segment_bytes = SEGMENT_BYTES_MIN, .spare_segments = 1};
        cr_assert_eq(engine_create(&w->engine, ENGINE_AUTO), 0);
}

/* A vault of k + m volumes in folders of their own. */
HELPER void
writing_init_volumes(struct writing *w, uint32_t data, uint32_t parity)
{
        writing_init(w);
        for (uint32_t i = 0; i < data + parity; i++) {
                snprintf(w->volume_paths[i], PATH_MAX, "%.4000s/v%u", w->path, i);
                w->volumes[i] = w->volume_paths[i];
        }
        w->config.volumes = w->volumes;
        w->config.data = data;
        w->config.parity = parity;
        w->config.share_percent = 100;
        w->config.segment_bytes = segment_bytes_min(data);
}

/* Opens and recovers; the error of whichever failed, with the vault closed. */
HELPER int
writing_recover(struct writing *w, uint64_t floor_leaves)
{
        int error = vault_open(&w->vault, &w->config, w->why);
        if (error)
                return error;
        w->seen = 0;
        error = vault_recover(w->vault, floor_leaves, record_check, w, NULL, &w->tip, w->why);
        if (error) {
                vault_close(w->vault);
                w->vault = NULL;
                return error;
        }
        cr_assert_eq(w->seen, w->tip.leaves);
        w->tree = *vault_tree(w->vault);
        cr_assert_eq(w->tree.size, w->tip.leaves);
        w->next_leaf = w->tip.leaves;
        return 0;
}

HELPER void
writing_begin(struct writing *w)
{
        int error = writing_recover(w, 0);
        cr_assert_eq(error, 0, "%s", w->why);
        error = vault_begin(w->vault, w->why);
        cr_assert_eq(error, 0, "%s", w->why);
}

HELPER void
writing_close(struct writing *w)
{
        vault_close(w->vault);
        w->vault = NULL;
}

HELPER void
writing_end(struct writing *w)
{
        writing_close(w);
        engine_destroy(w->engine);
        folder_remove(w->path);
}

/* Adds up to n records to the group that is filling: how many found room. */
HELPER uint32_t
writing_fill(struct writing *w, struct group *group, uint32_t n)
{
        uint8_t sealed[SEAL_BYTES_MAX], digest[HASH_BYTES];
        for (uint32_t i = 0; i < n; i++) {
                uint32_t bytes = sealed_make(sealed, w->next_leaf, digest);
                if (!group_add(group, sealed, bytes, digest))
                        return i;
                w->next_leaf++;
        }
        return n;
}

/* Submits the group that is filling; waits while the helper makes segments. */
HELPER int
writing_submit(struct writing *w, struct group *group)
{
        uint8_t root[HASH_BYTES];
        tree_root(&w->tree, root);
        int error = -ENOSPC;
        for (unsigned i = 0; error == -ENOSPC && i < 3000; i++) {
                error = vault_submit(w->vault, group, w->tree.size, root);
                if (error == -ENOSPC)
                        usleep(10000);
        }
        return error;
}

/* Waits for the group in flight, extends the tree, releases. */
HELPER int
writing_flush(struct writing *w)
{
        struct group *done = NULL;
        int ready = 0;
        while (ready == 0)
                ready = vault_poll(w->vault, &done, 100000);
        if (ready < 0)
                return ready;
        uint8_t *hashes = malloc(GROUP_RECORDS_MAX * HASH_BYTES);
        tree_leaf_hashes(w->engine, hashes, group_entries(done), group_records(done));
        tree_append(&w->tree, w->engine, hashes, group_records(done));
        free(hashes);
        vault_release(w->vault, done);
        return 0;
}

HELPER int
writing_group(struct writing *w, uint32_t records)
{
        struct group *group = vault_group(w->vault);
        cr_assert_not_null(group);
        cr_assert_eq(writing_fill(w, group, records), records);
        int error = writing_submit(w, group);
        return error ? error : writing_flush(w);
}

/* ---- the bytes of files, through the page cache: the kernel writes them back before a direct read
 * ---- */

HELPER void
segment_path(const struct writing *w, uint32_t segment, char path[PATH_MAX])
{
        int n = snprintf(path, PATH_MAX, "%s/segments/%08u", w->path, segment);
        cr_assert(n > 0 && n < PATH_MAX);
}

HELPER void
volume_segment_path(const struct writing *w, unsigned volume, uint32_t segment, char path[PATH_MAX])
{
        int n = snprintf(path, PATH_MAX, "%.4000s/segments/%08u", w->volume_paths[volume], segment);
        cr_assert(n > 0 && n < PATH_MAX);
}

HELPER void
raw_write(const char *path, uint64_t offset, const void *bytes, size_t n)
{
        int fd = open(path, O_WRONLY);
        cr_assert(fd >= 0, "%s", path);
        cr_assert_eq(pwrite(fd, bytes, n, (off_t)offset), (ssize_t)n);
        close(fd);
}

HELPER void
raw_read(const char *path, uint64_t offset, void *bytes, size_t n)
{
        int fd = open(path, O_RDONLY);
        cr_assert(fd >= 0, "%s", path);
        cr_assert_eq(pread(fd, bytes, n, (off_t)offset), (ssize_t)n);
        close(fd);
}

HELPER void
raw_flip(const char *path, uint64_t offset, uint8_t mask)
{
        uint8_t byte;
        raw_read(path, offset, &byte, 1);
        byte ^= mask;
        raw_write(path, offset, &byte, 1);
}

#endif
