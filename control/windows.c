/* SPDX-License-Identifier: Apache-2.0 */
/* windows: header ‖ entries ‖ SHA-256 of all before. Little-endian, fixed sizes; docs/formats.md.
 */
#include "control/windows.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#define WINDOWS_MAGIC "aortawin"

struct windows_header {
        uint8_t magic[8];
        uint32_t version;
        uint32_t entry_bytes;
        uint64_t leaves;
        uint8_t last_group[HASH_BYTES];
        uint64_t entries;
};
static_assert(sizeof(struct windows_header) == 64, "on disk");

struct windows_entry {
        uint64_t context_id;
        uint64_t top;
        uint64_t bits;
        uint32_t state;
        uint32_t receipts_n;
        struct {
                uint64_t partial_iv;
                uint64_t leaf;
                uint8_t tag[8];
        } receipts[CONTEXT_RECEIPTS];
};
static_assert(sizeof(struct windows_entry) == 128, "on disk");

struct saving {
        FILE *file;
        crypto_hash_sha256_state hash;
        uint64_t entries;
};

static int
put(struct saving *saving, const void *data, size_t bytes)
{
        crypto_hash_sha256_update(&saving->hash, data, bytes);
        return fwrite(data, 1, bytes, saving->file) == bytes ? 0 : -EIO;
}

static int
save_one(void *user, uint64_t context_id, uint32_t slot, const struct context_window *window)
{
        struct windows_entry entry = {
            .context_id = htole64(context_id),
            .top = htole64(window->top),
            .bits = htole64(window->bits),
            .state = htole32((uint32_t)window->state),
            .receipts_n = htole32(window->receipts_n),
        };
        struct saving *saving = user;

        assert(window->receipts_n <= CONTEXT_RECEIPTS);
        for (uint32_t i = 0; i < window->receipts_n; i++) {
                entry.receipts[i].partial_iv = htole64(window->receipts[i].partial_iv);
                entry.receipts[i].leaf = htole64(window->receipts[i].leaf);
                memcpy(
                    entry.receipts[i].tag, window->receipts[i].tag, sizeof(entry.receipts[i].tag));
        }
        saving->entries++;
        return put(saving, &entry, sizeof(entry));
}

static int
sync_folder(const char *path)
{
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

        if (fd < 0)
                return -errno;
        r = fsync(fd) < 0 ? -errno : 0;
        close(fd);
        return r;
}

static int
save_all(struct saving *saving, const struct contexts *contexts, const struct vault_tip *tip)
{
        struct windows_header header = {
            .magic = WINDOWS_MAGIC,
            .version = htole32(1),
            .entry_bytes = htole32(sizeof(struct windows_entry)),
            .leaves = htole64(tip->leaves),
            .entries = htole64(contexts_count(contexts)),
        };
        uint8_t digest[crypto_hash_sha256_BYTES];
        int r;

        memcpy(header.last_group, tip->last_group, HASH_BYTES);
        crypto_hash_sha256_init(&saving->hash);
        r = put(saving, &header, sizeof(header));
        if (r == 0)
                r = contexts_export(contexts, save_one, saving);
        if (r < 0)
                return r;
        if (saving->entries != contexts_count(contexts))
                return -EPROTO;
        crypto_hash_sha256_final(&saving->hash, digest);
        if (fwrite(digest, 1, sizeof(digest), saving->file) != sizeof(digest) ||
            fflush(saving->file) != 0)
                return -EIO;
        return fsync(fileno(saving->file)) < 0 ? -errno : 0;
}

int
windows_save(const char *path, const struct contexts *contexts, const struct vault_tip *tip)
{
        char name[PATH_MAX], temporary[PATH_MAX];
        struct saving saving = {0};
        int fd, r;

        if (snprintf(name, sizeof(name), "%s/windows", path) >= (int)sizeof(name) ||
            snprintf(temporary, sizeof(temporary), "%s/windows.tmp", path) >=
                (int)sizeof(temporary))
                return -ENAMETOOLONG;
        fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        saving.file = fdopen(fd, "w");
        if (saving.file == NULL) {
                close(fd);
                return -ENOMEM;
        }
        r = save_all(&saving, contexts, tip);
        if (fclose(saving.file) != 0 && r == 0)
                r = -EIO;
        if (r == 0 && rename(temporary, name) < 0)
                r = -errno;
        if (r < 0) {
                (void)unlink(temporary);
                return r;
        }
        return sync_folder(path);
}

static int
check(const uint8_t *data, size_t bytes, const struct vault_tip *tip)
{
        struct windows_header header;
        uint8_t digest[crypto_hash_sha256_BYTES];
        uint64_t entries;

        if (bytes < sizeof(header) + sizeof(digest))
                return -EBADMSG;
        memcpy(&header, data, sizeof(header));
        entries = le64toh(header.entries);
        if (memcmp(header.magic, WINDOWS_MAGIC, sizeof(header.magic)) != 0 ||
            le32toh(header.version) != 1 ||
            le32toh(header.entry_bytes) != sizeof(struct windows_entry) || entries > DEVICES_MAX ||
            bytes != sizeof(header) + entries * sizeof(struct windows_entry) + sizeof(digest))
                return -EBADMSG;
        crypto_hash_sha256(digest, data, bytes - sizeof(digest));
        if (memcmp(digest, data + bytes - sizeof(digest), sizeof(digest)) != 0)
                return -EBADMSG;
        if (le64toh(header.leaves) != tip->leaves ||
            memcmp(header.last_group, tip->last_group, HASH_BYTES) != 0)
                return -ESTALE;
        return 0;
}

static int
give(const uint8_t *data, size_t bytes, windows_fn *fn, void *user)
{
        size_t n = (bytes - sizeof(struct windows_header) - crypto_hash_sha256_BYTES) /
                   sizeof(struct windows_entry);

        for (size_t i = 0; i < n; i++) {
                struct windows_entry entry;
                struct context_window window = {0};
                int r;

                memcpy(&entry, data + sizeof(struct windows_header) + i * sizeof(entry),
                    sizeof(entry));
                window.state = (enum window_state)le32toh(entry.state);
                window.top = le64toh(entry.top);
                window.bits = le64toh(entry.bits);
                window.receipts_n = le32toh(entry.receipts_n);
                if (window.receipts_n > CONTEXT_RECEIPTS || window.state > WINDOW_UNKNOWN)
                        return -EBADMSG;
                for (uint32_t k = 0; k < window.receipts_n; k++) {
                        window.receipts[k].partial_iv = le64toh(entry.receipts[k].partial_iv);
                        window.receipts[k].leaf = le64toh(entry.receipts[k].leaf);
                        memcpy(window.receipts[k].tag, entry.receipts[k].tag,
                            sizeof(window.receipts[k].tag));
                }
                r = fn(user, le64toh(entry.context_id), &window);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int
read_all(int fd, uint8_t **data, size_t *bytes)
{
        struct stat st;
        size_t at = 0;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size < 0 ||
            (uint64_t)st.st_size > (uint64_t)DEVICES_MAX * sizeof(struct windows_entry) + 4096)
                return -EBADMSG;
        *bytes = (size_t)st.st_size;
        *data = malloc(*bytes + 1);
        if (*data == NULL)
                return -ENOMEM;
        while (at < *bytes) {
                ssize_t n = read(fd, *data + at, *bytes - at);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0) {
                        free(*data);
                        return n < 0 ? -errno : -EBADMSG;
                }
                at += (size_t)n;
        }
        return 0;
}

int
windows_take(const char *path, const struct vault_tip *tip, windows_fn *fn, void *user)
{
        char name[PATH_MAX];
        uint8_t *data = NULL;
        size_t bytes = 0;
        int fd, r, gone;

        if (snprintf(name, sizeof(name), "%s/windows", path) >= (int)sizeof(name))
                return -ENAMETOOLONG;
        fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); /* a FIFO must not hang */
        if (fd < 0)
                return -errno;
        r = read_all(fd, &data, &bytes);
        close(fd);
        gone = unlink(name) < 0 ? -errno : sync_folder(path);
        if (gone < 0) {
                /* A file that stays could be taken twice: that is worse than not using it. */
                if (r == 0)
                        free(data);
                return gone;
        }
        if (r < 0)
                return r;
        r = check(data, bytes, tip);
        if (r == 0)
                r = give(data, bytes, fn, user);
        free(data);
        return r;
}
