/* SPDX-License-Identifier: Apache-2.0 */
/* File: "aortalog" ‖ version u8 (1) ‖ wrapped seed. */
#include "control/log_key.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#define SEED_BYTES 32u
#define FILE_BYTES (8 + 1 + SEED_BYTES + WRAP_OVERHEAD)

static const uint8_t file_head[9] = {'a', 'o', 'r', 't', 'a', 'l', 'o', 'g', 1};
static const char wrap_context[] = "log signing key";

static int
sync_folder_of(const char *path)
{
        char folder[PATH_MAX];
        int fd, r;

        if (snprintf(folder, sizeof(folder), "%s", path) >= (int)sizeof(folder))
                return -ENAMETOOLONG;
        fd = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = fsync(fd) < 0 ? -errno : 0;
        close(fd);
        return r;
}

/* Whole or not at all: a crash leaves at most the temporary file, which the next try replaces. */
static int
write_new(const char *path, const uint8_t *data, size_t bytes)
{
        char temporary[PATH_MAX];
        int fd, r = 0;

        if (snprintf(temporary, sizeof(temporary), "%s.tmp", path) >= (int)sizeof(temporary))
                return -ENAMETOOLONG;
        if (unlink(temporary) < 0 && errno != ENOENT)
                return -errno;
        fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        if (write(fd, data, bytes) != (ssize_t)bytes)
                r = -EIO;
        if (r == 0 && fsync(fd) < 0)
                r = -errno;
        close(fd);
        /* link() and not rename(): never over an existing key. */
        if (r == 0 && link(temporary, path) < 0)
                r = -errno;
        if (unlink(temporary) < 0 && r == 0)
                r = -errno;
        return r < 0 ? r : sync_folder_of(path);
}

int
log_key_create_file(const char *path, const struct realm_key *realm_key)
{
        uint8_t seed[SEED_BYTES], file[FILE_BYTES];
        int r;

        randombytes_buf(seed, sizeof(seed));
        memcpy(file, file_head, sizeof(file_head));
        r = realm_wrap(realm_key, file + sizeof(file_head), seed, sizeof(seed), wrap_context,
            sizeof(wrap_context) - 1);
        sodium_memzero(seed, sizeof(seed));
        return r < 0 ? r : write_new(path, file, sizeof(file));
}

int
log_key_load(struct note_signer **signer, const char *path, const char *origin,
    const struct realm_key *realm_key)
{
        uint8_t file[FILE_BYTES + 1], seed[SEED_BYTES];
        ssize_t n;
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), r;

        if (fd < 0)
                return -errno;
        n = read(fd, file, sizeof(file));
        r = n < 0 ? -errno : 0;
        close(fd);
        if (r < 0)
                return r;
        if (n != FILE_BYTES || memcmp(file, file_head, sizeof(file_head)) != 0)
                return -EBADMSG;
        r = realm_unwrap(realm_key, seed, file + sizeof(file_head), SEED_BYTES + WRAP_OVERHEAD,
            wrap_context, sizeof(wrap_context) - 1);
        if (r == 0)
                r = note_signer_create(signer, origin, seed);
        sodium_memzero(seed, sizeof(seed));
        return r;
}
