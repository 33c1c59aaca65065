/* SPDX-License-Identifier: Apache-2.0 */
/* A log in a temporary folder, and what its files must be by the plain reading of the formats. */
#ifndef AORTA_TESTS_LEDGER_LOG_FIXTURE_H
#define AORTA_TESTS_LEDGER_LOG_FIXTURE_H

#include "ledger/log.h"
#include "tests/unit/ledger/naive.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIXTURE_ORIGIN "log.example/aorta"

struct fixture {
        char root[64], path[80], head[80];
        const char *heads[1];
        struct note_signer *signer;
        struct note_verifier verifier;
        struct log *log;
        char why[LOG_WHY_BYTES];
};

static inline int
fixture_remove_one(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
        (void)stat;
        (void)flag;
        (void)ftw;
        return remove(path);
}

static inline void
fixture_remove(const char *path)
{
        cr_assert_eq(nftw(path, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void
fixture_start(struct fixture *f)
{
        const uint8_t seed[32] = {1, 2, 3};

        memset(f, 0, sizeof(*f));
        /* Heads are written with O_DIRECT, which a memory file system has not. */
        strcpy(f->root, "/var/tmp/aorta-log-XXXXXX");
        cr_assert_not_null(mkdtemp(f->root));
        snprintf(f->path, sizeof(f->path), "%s/log", f->root);
        snprintf(f->head, sizeof(f->head), "%s/volume", f->root);
        cr_assert_eq(mkdir(f->head, 0700), 0);
        f->heads[0] = f->head;
        cr_assert_eq(note_signer_create(&f->signer, FIXTURE_ORIGIN, seed), 0);
        note_signer_verifier(f->signer, &f->verifier);
}

static inline int
fixture_try_open(struct fixture *f)
{
        const struct log_config config = {
            .path = f->path, .signer = f->signer, .head_paths = f->heads, .head_paths_n = 1};

        return log_open(&f->log, &config, f->why);
}

static inline void
fixture_open(struct fixture *f)
{
        const int error = fixture_try_open(f);

        cr_assert_eq(error, 0, "%d: %s", error, f->why);
}

static inline void
fixture_close(struct fixture *f)
{
        log_close(f->log);
        f->log = NULL;
}

static inline void
fixture_end(struct fixture *f)
{
        fixture_close(f);
        note_signer_free(f->signer);
        fixture_remove(f->root);
}

/* Appends the naive entries up to a size, in batches of at most `batch`. */
static inline int
fixture_try_append(struct fixture *f, uint64_t size, uint32_t batch)
{
        const uint64_t first = log_size(f->log);
        uint8_t *entries = naive_entries(first, size - first);
        int error = 0;

        for (uint64_t at = first; at < size && error == 0; at += batch) {
                const uint32_t n = size - at < batch ? (uint32_t)(size - at) : batch;
                error = log_append(f->log, entries + (at - first) * LEAF_ENTRY_BYTES, n);
        }
        free(entries);
        return error;
}

static inline void
fixture_append(struct fixture *f, uint64_t size, uint32_t batch)
{
        const int error = fixture_try_append(f, size, batch);

        cr_assert_eq(error, 0, "%d: %s", error, log_why(f->log));
        cr_assert_eq(log_size(f->log), size);
}

static inline void
fixture_publish(struct fixture *f)
{
        const int error = log_publish(f->log);

        cr_assert_eq(error, 0, "%d: %s", error, log_why(f->log));
        cr_assert_eq(log_published(f->log), log_size(f->log));
}

static inline long
fixture_read(const struct fixture *f, const char *name, uint8_t *out, size_t out_bytes)
{
        char path[256];

        snprintf(path, sizeof(path), "%s/%s", f->path, name);
        const int fd = open(path, O_RDONLY);
        if (fd < 0)
                return -errno;
        const ssize_t n = read(fd, out, out_bytes);
        close(fd);
        return n;
}

static inline bool
fixture_has(const struct fixture *f, const char *name)
{
        char path[256];

        snprintf(path, sizeof(path), "%s/%s", f->path, name);
        return access(path, F_OK) == 0;
}

/* Turns one bit of a file, or with at < 0 cuts its last byte off. */
static inline void
fixture_damage(const struct fixture *f, const char *name, long at)
{
        uint8_t bytes[16384];
        char path[256];
        const long n = fixture_read(f, name, bytes, sizeof(bytes));

        cr_assert_gt(n, at, "%s has %ld bytes", name, n);
        if (at >= 0)
                bytes[at] ^= 0x10;
        snprintf(path, sizeof(path), "%s/%s", f->path, name);
        const int fd = open(path, O_WRONLY | O_TRUNC);
        cr_assert_geq(fd, 0);
        const size_t want = (size_t)(at >= 0 ? n : n - 1);
        cr_assert_eq(write(fd, bytes, want), (ssize_t)want);
        close(fd);
}

static unsigned fixture_files_n;

static inline int
fixture_count_one(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
        (void)path;
        (void)stat;
        (void)ftw;
        fixture_files_n += flag == FTW_F;
        return 0;
}

static inline unsigned
fixture_files(const struct fixture *f)
{
        fixture_files_n = 0;
        cr_assert_eq(nftw(f->path, fixture_count_one, 16, FTW_PHYS), 0);
        return fixture_files_n;
}

/* Checks every tile and bundle of a tree of that size, byte for byte, against tlog-tiles as read
 * here; returns how many there are. Sizes below 256,000: one group of digits. */
static inline unsigned
fixture_check_tiles(const struct fixture *f, uint64_t size)
{
        uint8_t(*leaves)[HASH_BYTES] = naive_leaf_hashes(0, size);
        uint8_t want[256 * 40], got[256 * 40 + 1];
        unsigned files = 0;
        char name[64];

        for (int level = -1; level < 3; level++) {
                const uint64_t step = level <= 0 ? 1 : level == 1 ? 256 : 65536;
                const uint64_t hashes = size / step;
                for (uint64_t n = 0; n * 256 < hashes; n++) {
                        const unsigned width =
                            hashes - n * 256 < 256 ? (unsigned)(hashes % 256) : 256;
                        long bytes = 0;
                        for (unsigned i = 0; i < width; i++) {
                                const uint64_t first = (n * 256 + i) * step;
                                if (level < 0) {
                                        want[bytes] = 0;
                                        want[bytes + 1] = 38;
                                        naive_entry(want + bytes + 2, first);
                                        bytes += 40;
                                } else {
                                        naive_root(want + bytes, leaves + first, step);
                                        bytes += 32;
                                }
                        }
                        int chars =
                            level < 0
                                ? snprintf(name, sizeof(name), "tile/entries/%03u", (unsigned)n)
                                : snprintf(name, sizeof(name), "tile/%d/%03u", level, (unsigned)n);
                        if (width < 256)
                                snprintf(
                                    name + chars, sizeof(name) - (size_t)chars, ".p/%u", width);
                        cr_assert_eq(fixture_read(f, name, got, sizeof(got)), bytes, "%s", name);
                        cr_assert_eq(memcmp(got, want, (size_t)bytes), 0, "%s", name);
                        files++;
                }
        }
        free(leaves);
        return files;
}

/* The folder is that of a tree of this size, its checkpoint included. */
static inline void
fixture_check(const struct fixture *f, uint64_t size)
{
        struct checkpoint checkpoint;
        uint8_t root[HASH_BYTES];
        char why[LOG_WHY_BYTES] = "";
        uint8_t(*leaves)[HASH_BYTES] = naive_leaf_hashes(0, size);

        const int error = log_read_checkpoint(f->path, &f->verifier, &checkpoint, NULL, why);
        cr_assert_eq(error, 0, "%s", why);
        cr_assert_eq(checkpoint.size, size);
        naive_root(root, leaves, size);
        cr_assert_eq(memcmp(checkpoint.root, root, HASH_BYTES), 0, "root of %" PRIu64, size);
        free(leaves);
        fixture_check_tiles(f, size);
}

#endif
