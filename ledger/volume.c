/* SPDX-License-Identifier: Apache-2.0 */
/* The volume's folder: its identity, made once, and the lock that keeps a second process out. */
#include "ledger/vault_internal.h"

#include <dirent.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define VOLUME_FILE "volume"

/* Files that other parts of the ledger keep in the folder and may have made before the vault. */
static bool
name_is_harmless(const char *name)
{
        static const char *const names[] = {".", "..", "lost+found", "epoch", "epoch.tmp",
            "store.a", "store.b", "store.a.tmp", "store.b.tmp", VOLUME_FILE ".tmp"};
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                if (strcmp(name, names[i]) == 0)
                        return true;
        return false;
}

/* A folder without `volume`: refuses one that holds anything else, e.g. a vault that lost its
 * identity. */
static int
folder_check_empty(const char *path, char *why)
{
        DIR *folder = opendir(path);
        if (folder == NULL) {
                int error = -errno;
                vault_why(why, "%s: %s", path, strerror(-error));
                return error;
        }
        int error = 0;
        struct dirent *entry;
        while (!error && (entry = readdir(folder)) != NULL) {
                if (name_is_harmless(entry->d_name))
                        continue;
                vault_why(why,
                    "%s: holds '%s' but no file '" VOLUME_FILE
                    "': not a volume, or a damaged one. Give an empty folder, or restore the "
                    "volume",
                    path, entry->d_name);
                error = -EBADMSG;
        }
        closedir(folder);
        return error;
}

static int
volume_make(const char *path)
{
        struct volume_id id;
        randombytes_buf(&id, sizeof(id));
        uint8_t *block = blocks_alloc(BLOCK_BYTES);
        if (block == NULL)
                return -ENOMEM;
        volume_block_write(block, &id);
        int error = file_make(path, VOLUME_FILE, block, BLOCK_BYTES);
        free(block);
        return error == -EEXIST ? 0 : error;
}

/* The process that holds a lock on the file, from /proc/locks; 0 when that does not say. */
static int
lock_holder(int fd)
{
        struct stat st;
        FILE *locks = fopen("/proc/locks", "re");
        if (locks == NULL)
                return 0;
        char line[256], inode[64];
        int pid = 0, found = 0;
        if (fstat(fd, &st) == 0) {
                snprintf(inode, sizeof(inode), "%02x:%02x:%llu", major(st.st_dev), minor(st.st_dev),
                    (unsigned long long)st.st_ino);
                while (!found && fgets(line, sizeof(line), locks) != NULL)
                        if (strstr(line, inode) != NULL &&
                            sscanf(line, "%*s FLOCK %*s %*s %d", &pid) == 1)
                                found = pid;
        }
        fclose(locks);
        return found;
}

/* Opens `volume`, which is only read, so that the lock's descriptor never writes. */
int
volume_lock(struct vault *vault, char *why)
{
        char path[PATH_BYTES];
        if (path_join(path, sizeof(path), vault->path, VOLUME_FILE))
                return -ENAMETOOLONG;
        vault->lock_fd = open(path, O_RDONLY | O_CLOEXEC);
        if (vault->lock_fd < 0) {
                int error = -errno;
                vault_why(why, "%s: %s", path, strerror(-error));
                return error;
        }
        if (flock(vault->lock_fd, LOCK_EX | LOCK_NB)) {
                int error = errno == EWOULDBLOCK ? -EBUSY : -errno;
                int pid = lock_holder(vault->lock_fd);
                if (error != -EBUSY)
                        vault_why(why, "%s: %s", path, strerror(-error));
                else if (pid > 0)
                        vault_why(
                            why, "%s: in use by process %d; stop that one first", vault->path, pid);
                else
                        vault_why(
                            why, "%s: in use by another process; stop that one first", vault->path);
                return error;
        }
        uint8_t block[BLOCK_BYTES];
        int64_t got = file_read_full(vault->lock_fd, block, sizeof(block), 0);
        if (got == (int64_t)sizeof(block) && volume_block_read(block, &vault->id) == 0)
                return 0;
        vault_why(why, "%s: damaged or of another version; restore it from a copy", path);
        return got < 0 ? (int)got : -EBADMSG;
}

int
volume_prepare(struct vault *vault, char *why)
{
        char volume[PATH_BYTES];
        int error = folder_make(vault->path);
        if (!error)
                error = path_join(volume, sizeof(volume), vault->path, VOLUME_FILE);
        if (error) {
                vault_why(why, "%s: %s", vault->path, strerror(-error));
                return error;
        }
        if (access(volume, F_OK) == 0)
                return 0;
        error = folder_check_empty(vault->path, why);
        if (error)
                return error;
        error = volume_make(vault->path);
        if (error)
                vault_why(why, "%s: a volume cannot be made: %s", vault->path, strerror(-error));
        return error;
}
