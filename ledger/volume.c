/* SPDX-License-Identifier: Apache-2.0 */
/* The volumes' folders: their identities, made once, the locks that keep a second process out, and
 * which membership counts. */
#include "ledger/vault_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a folder turned out to be. */
enum probe_kind { PROBE_EMPTY, PROBE_FOREIGN, PROBE_VOLUME };

struct probe {
        enum probe_kind kind;
        bool absent; /* PROBE_EMPTY: there is not even a folder */
        char *path;
        int lock_fd;
        struct volume_id id;
        struct fragment_layout layout;
        struct io_stat folder;
        char why[VOLUME_WHY_BYTES];
};

/* ---- one folder ---- */

/* Files that other parts of the ledger keep in the folder and may have made before the vault. */
static bool
name_is_harmless(const char *name)
{
        static const char *const names[] = {"lost+found", "epoch", "epoch.tmp", "store.a",
            "store.b", "store.a.tmp", "store.b.tmp", VOLUME_FILE ".tmp"};
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                if (strcmp(name, names[i]) == 0)
                        return true;
        return false;
}

static int
name_check(void *user, const char *name)
{
        char *found = user;
        if (name_is_harmless(name))
                return 0;
        snprintf(found, VOLUME_WHY_BYTES / 2, "%s", name);
        return -ENOTEMPTY;
}

/* Whether the folder, which has no identity, holds nothing else either. */
static int
folder_check_empty(struct io *io, const char *path, char *why)
{
        char found[VOLUME_WHY_BYTES / 2] = "";
        int error = io->ops->list(io, path, name_check, found);
        if (error == -ENOTEMPTY)
                snprintf(why, VOLUME_WHY_BYTES,
                    "holds '%s' but no file '" VOLUME_FILE "': not a volume, or a damaged one",
                    found);
        else if (error)
                snprintf(why, VOLUME_WHY_BYTES, "%s", strerror(-error));
        return error;
}

static int
identity_make(struct io *io, const char *path, const struct volume_id *id,
    const struct fragment_layout *layout)
{
        uint8_t *block = blocks_alloc(BLOCK_BYTES);
        if (block == NULL)
                return -ENOMEM;
        volume_block_write(block, id, layout);
        int error = file_make(io, path, VOLUME_FILE, block, BLOCK_BYTES);
        free(block);
        return error;
}

/* Opens `volume`, which is only read, so that the lock's descriptor never writes; locks and reads
 * it. -EBUSY: another process has it. */
static int
identity_lock(struct io *io, const char *path, struct probe *probe, char *why)
{
        char file[PATH_BYTES];
        if (path_join(file, sizeof(file), path, VOLUME_FILE))
                return -ENAMETOOLONG;
        int fd = io->ops->open(io, file, IO_READ | IO_DIRECT), holder = 0;
        if (fd < 0) {
                snprintf(why, VOLUME_WHY_BYTES, "%s", strerror(-fd));
                return fd;
        }
        probe->lock_fd = fd;
        int error = io->ops->lock(io, fd, &holder);
        if (error == -EBUSY && holder > 0)
                snprintf(
                    why, VOLUME_WHY_BYTES, "in use by process %d; stop that one first", holder);
        else if (error == -EBUSY)
                snprintf(why, VOLUME_WHY_BYTES, "in use by another process; stop that one first");
        else if (error)
                snprintf(why, VOLUME_WHY_BYTES, "%s", strerror(-error));
        if (error)
                return error;
        uint8_t *block = blocks_alloc(BLOCK_BYTES);
        if (block == NULL)
                return -ENOMEM;
        int64_t got = file_read_full(io, fd, block, BLOCK_BYTES, 0);
        error = got < 0 ? (int)got : -EBADMSG;
        if (got == BLOCK_BYTES)
                error = volume_block_read(block, &probe->id, &probe->layout);
        free(block);
        if (error)
                snprintf(why, VOLUME_WHY_BYTES,
                    "its file '" VOLUME_FILE "' is damaged or of another version");
        return error;
}

/* Looks at a folder, changing nothing. Only -EBUSY and a lack of memory are errors. */
static int
folder_probe(struct io *io, struct probe *probe)
{
        char file[PATH_BYTES];
        struct io_stat st;
        probe->kind = PROBE_FOREIGN;
        int error = io->ops->stat(io, probe->path, &probe->folder);
        if (error == -ENOENT) {
                probe->kind = PROBE_EMPTY;
                probe->absent = true;
                snprintf(probe->why, sizeof(probe->why), "there is no such folder");
                return 0;
        }
        if (!error)
                error = path_join(file, sizeof(file), probe->path, VOLUME_FILE);
        if (!error)
                error = io->ops->stat(io, file, &st);
        if (error && error != -ENOENT) {
                snprintf(probe->why, sizeof(probe->why), "%s", strerror(-error));
                return 0;
        }
        if (error == -ENOENT) {
                if (folder_check_empty(io, probe->path, probe->why) == 0) {
                        probe->kind = PROBE_EMPTY;
                        snprintf(probe->why, sizeof(probe->why), "its folder is empty");
                }
                return 0;
        }
        error = identity_lock(io, probe->path, probe, probe->why);
        if (!error)
                probe->kind = PROBE_VOLUME;
        return error == -EBUSY || error == -ENOMEM ? error : 0;
}

/* ---- which folders are this vault's ---- */

/* The vault id that most folders carry. */
static const uint8_t *
vault_id_choose(const struct probe *probes, unsigned n)
{
        const uint8_t *best = NULL;
        unsigned best_n = 0;
        for (unsigned i = 0; i < n; i++) {
                unsigned same = 0;
                if (probes[i].kind != PROBE_VOLUME)
                        continue;
                for (unsigned j = 0; j < n; j++)
                        if (probes[j].kind == PROBE_VOLUME &&
                            memcmp(probes[j].id.vault, probes[i].id.vault, ID_BYTES) == 0)
                                same++;
                if (same > best_n) {
                        best = probes[i].id.vault;
                        best_n = same;
                }
        }
        return best;
}

/* A volume knows its slot, so that paths may come in any order; the others take what is left. */
static void
probes_sort(struct probe *probes, unsigned n, const uint8_t *vault_id)
{
        struct probe sorted[VAULT_VOLUMES_MAX];
        bool taken[VAULT_VOLUMES_MAX] = {false}, placed[VAULT_VOLUMES_MAX] = {false};
        for (unsigned i = 0; i < n; i++) {
                struct probe *probe = &probes[i];
                if (probe->kind != PROBE_VOLUME)
                        continue;
                unsigned slot = probe->layout.slot;
                if (memcmp(probe->id.vault, vault_id, ID_BYTES) || slot >= n || taken[slot]) {
                        probe->kind = PROBE_FOREIGN;
                        snprintf(probe->why, sizeof(probe->why),
                            slot < n && taken[slot] ? "another folder is the same volume"
                                                    : "it belongs to another vault");
                        continue;
                }
                sorted[slot] = *probe;
                taken[slot] = placed[i] = true;
        }
        for (unsigned i = 0; i < n; i++) {
                if (placed[i])
                        continue;
                unsigned slot = i;
                while (taken[slot])
                        slot = (slot + 1) % n;
                sorted[slot] = probes[i];
                taken[slot] = true;
        }
        memcpy(probes, sorted, n * sizeof(*probes));
}

static void
volume_take(struct volume *volume, const struct probe *probe)
{
        atomic_store(&volume->path, probe->path);
        memcpy(volume->why, probe->why, sizeof(volume->why));
        if (probe->kind != PROBE_VOLUME) {
                if (probe->lock_fd >= 0)
                        volume->vault->io->ops->close(volume->vault->io, probe->lock_fd);
                return;
        }
        volume->lock_fd = probe->lock_fd;
        volume->id = probe->id;
        atomic_store(&volume->device, probe->folder.device);
        atomic_store(&volume->inode, probe->folder.inode);
        atomic_store(&volume->state, VOLUME_STALE);
}

/* ---- membership ---- */

static bool
members_equal(const struct members *a, const struct members *b)
{
        return a->epoch == b->epoch && a->set == b->set && a->first_group == b->first_group &&
               memcmp(a->volumes, b->volumes, sizeof(a->volumes)) == 0;
}

/* The newest membership that any volume holds. A flush that a crash cut short may have left one on
 * a few volumes, and the next start, without those, another of the same epoch: the latter is on all
 * its members, so on more volumes than the former unless more than m volumes lie. */
static void
members_choose(struct vault *vault)
{
        struct members *best = &vault->members;
        unsigned best_n = 0;
        for (unsigned i = 0; i < vault->n; i++) {
                const struct members *one = &vault->volumes[i].members;
                unsigned same = 0;
                if (one->epoch == 0 || one->epoch < best->epoch)
                        continue;
                for (unsigned j = 0; j < vault->n; j++)
                        same += members_equal(one, &vault->volumes[j].members);
                if (one->epoch > best->epoch || same > best_n) {
                        *best = *one;
                        best_n = same;
                }
        }
}

static void
members_load(struct vault *vault)
{
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                struct members *own = &volume->members;
                if (volume_state(volume) == VOLUME_MISSING)
                        continue;
                volume->members_error =
                    members_read(vault->io, volume_path(volume), own, &volume->members_older);
                if (volume->members_error == 0 &&
                    (memcmp(own->vault, volume->id.vault, ID_BYTES) ||
                        own->data != vault->layout.data || own->parity != vault->layout.parity))
                        volume->members_error = -EBADMSG;
                if (volume->members_error) {
                        own->epoch = 0;
                        volume_why(volume, volume->members_error == -ENOENT
                                               ? "its file '" MEMBERS_FILE "' is missing"
                                               : "its file '" MEMBERS_FILE "' is damaged");
                }
        }
        members_choose(vault);
}

/* A volume that tells what it knows of the membership, be it nothing since there was none yet. */
static bool
volume_knows(const struct volume *volume)
{
        uint32_t segments = 0;
        if (volume_state(volume) == VOLUME_MISSING)
                return false;
        if (volume->members_error == 0)
                return true;
        return volume->members_error == -ENOENT && segments_count(volume, &segments) == 0 &&
               segments == 0;
}

/* Who is a member, by the newest membership. At least k volumes must tell what they know: every
 * membership in use is on k or more, so that one of them has the newest. */
static int
members_settle(struct vault *vault, char *why)
{
        unsigned known = 0;
        uint32_t unknown = 0;
        members_load(vault);
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                if (volume_knows(volume))
                        known++;
                else
                        unknown |= 1u << i;
        }
        if (known < vault->layout.data) {
                char list[VAULT_WHY_BYTES - 128];
                vault_list(vault, unknown, list, sizeof(list));
                vault_why(why, "%u of %u volumes are needed and %u can be used: bring back %s",
                    vault->layout.data, vault->n, known, list);
                return -EBADMSG;
        }
        if (vault->members.epoch == 0)
                vault->members.set = (1u << vault->n) - 1;
        atomic_store(&vault->epoch, vault->members.epoch);
        atomic_store(&vault->first_group, vault->members.first_group);
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                bool in = vault->members.set >> i & 1;
                if (volume_state(volume) == VOLUME_MISSING)
                        continue;
                if (vault->members.epoch > 0 &&
                    memcmp(vault->members.volumes[i], volume->id.volume, ID_BYTES))
                        in = false;
                if (!in)
                        volume_why(volume, "it was left behind: rebuild it");
                else if (!volume_knows(volume))
                        continue; /* its why says so */
                else {
                        volume->why[0] = '\0';
                        atomic_store(&volume->state, VOLUME_MEMBER);
                }
        }
        return 0;
}

/* ---- making a new vault ---- */

static int
volume_make(struct vault *vault, unsigned slot, struct probe *probe, const uint8_t *vault_id)
{
        struct io *io = vault->io;
        if (probe->kind == PROBE_VOLUME)
                return 0;
        probe->layout = vault->layout;
        probe->layout.slot = (uint8_t)slot;
        memcpy(probe->id.vault, vault_id, ID_BYTES);
        io->ops->random(io, probe->id.volume, ID_BYTES);
        int error = folder_make_io(io, probe->path);
        if (!error)
                error = identity_make(io, probe->path, &probe->id, &probe->layout);
        if (!error)
                error = io->ops->stat(io, probe->path, &probe->folder);
        if (!error)
                error = identity_lock(io, probe->path, probe, probe->why);
        if (!error)
                probe->kind = PROBE_VOLUME;
        return error;
}

/* No volume knows of a membership and none has a segment: the vault is new, or a crash cut its
 * making short. */
static bool
vault_is_unborn(const struct probe *probes, struct io *io, unsigned n)
{
        for (unsigned i = 0; i < n; i++) {
                char file[PATH_BYTES];
                struct io_stat st;
                if (probes[i].kind == PROBE_FOREIGN)
                        return false;
                if (path_join(file, sizeof(file), probes[i].path, MEMBERS_FILE) ||
                    io->ops->stat(io, file, &st) != -ENOENT ||
                    path_join(file, sizeof(file), probes[i].path, SEGMENTS_FOLDER "/00000000") ||
                    io->ops->stat(io, file, &st) != -ENOENT)
                        return false;
        }
        return true;
}

static int
vault_make(struct vault *vault, struct probe *probes, const uint8_t *vault_id, char *why)
{
        uint8_t id[ID_BYTES];
        if (vault_id != NULL)
                memcpy(id, vault_id, ID_BYTES);
        else
                vault->io->ops->random(vault->io, id, ID_BYTES);
        for (unsigned i = 0; i < vault->n; i++) {
                int error = volume_make(vault, i, &probes[i], id);
                if (error) {
                        vault_why(why, "%s: a volume cannot be made: %s", probes[i].path,
                            strerror(-error));
                        return error;
                }
        }
        vault->fresh = true;
        return 0;
}

static int
layout_check(const struct vault *vault, const struct probe *probes, char *why)
{
        for (unsigned i = 0; i < vault->n; i++) {
                const struct fragment_layout *own = &probes[i].layout;
                if (probes[i].kind != PROBE_VOLUME ||
                    (own->data == vault->layout.data && own->parity == vault->layout.parity))
                        continue;
                vault_why(why,
                    "%s is a volume of a vault of %u + %u, but %u + %u are configured: put "
                    "back the configuration that it was made with",
                    probes[i].path, own->data, own->parity, vault->layout.data,
                    vault->layout.parity);
                return -EINVAL;
        }
        return 0;
}

static int
probes_run(struct vault *vault, struct probe *probes, char *why)
{
        for (unsigned i = 0; i < vault->n; i++) {
                probes[i].path = vault->paths[i];
                probes[i].lock_fd = -1;
        }
        for (unsigned i = 0; i < vault->n; i++) {
                int error = folder_probe(vault->io, &probes[i]);
                if (error) {
                        vault_why(why, "%s: %s", probes[i].path, probes[i].why);
                        return error;
                }
        }
        return 0;
}

int
volumes_open(struct vault *vault, char *why)
{
        struct probe probes[VAULT_VOLUMES_MAX] = {0};
        int error = probes_run(vault, probes, why);
        const uint8_t *vault_id = error ? NULL : vault_id_choose(probes, vault->n);
        uint8_t kept[ID_BYTES];
        if (vault_id != NULL) {
                memcpy(kept, vault_id, ID_BYTES);
                vault_id = kept;
                probes_sort(probes, vault->n, vault_id);
                error = layout_check(vault, probes, why);
        }
        if (!error && vault_is_unborn(probes, vault->io, vault->n)) {
                error = vault_make(vault, probes, vault_id, why);
        } else if (!error && vault_id == NULL) {
                unsigned i = 0;
                while (probes[i].kind != PROBE_FOREIGN && i + 1 < vault->n)
                        i++;
                vault_why(why, "%s: %s. Give empty folders, or restore the volume", probes[i].path,
                    probes[i].why);
                error = -EBADMSG;
        }
        for (unsigned i = 0; i < vault->n; i++)
                volume_take(&vault->volumes[i], &probes[i]);
        return error ? error : members_settle(vault, why);
}

void
volumes_close(struct vault *vault)
{
        struct io *io = vault->io;
        for (unsigned i = 0; i < vault->n; i++) {
                struct volume *volume = &vault->volumes[i];
                if (volume->segment_fd >= 0)
                        io->ops->close(io, volume->segment_fd);
                if (volume->members_fd >= 0)
                        io->ops->close(io, volume->members_fd);
                if (volume->lock_fd >= 0)
                        io->ops->close(io, volume->lock_fd);
                if (!volume->members_flying)
                        free(volume->members_block);
        }
}

/* ---- afterwards ---- */

int
volume_adopt(struct volume *volume, const char *path)
{
        struct vault *vault = volume->vault;
        struct io *io = vault->io;
        struct probe probe = {.lock_fd = -1};
        char *kept = strdup(path);
        if (kept == NULL || vault->paths_n == sizeof(vault->paths) / sizeof(vault->paths[0])) {
                free(kept);
                return -ENOMEM;
        }
        if (volume->lock_fd >= 0)
                io->ops->close(io, volume->lock_fd);
        volume->lock_fd = -1;
        vault->paths[vault->paths_n++] = kept;
        atomic_store(&volume->path, kept);
        probe.path = kept;
        int error = folder_probe(io, &probe);
        if (!error && probe.kind == PROBE_EMPTY)
                error = volume_make(vault, volume->layout.slot, &probe, vault->members.vault);
        if (!error &&
            (probe.kind != PROBE_VOLUME || memcmp(probe.id.vault, vault->members.vault, ID_BYTES) ||
                probe.layout.slot != volume->layout.slot ||
                probe.layout.data != vault->layout.data ||
                probe.layout.parity != vault->layout.parity)) {
                if (probe.kind == PROBE_VOLUME)
                        snprintf(
                            probe.why, sizeof(probe.why), "it belongs to another vault or slot");
                error = -EBADMSG;
        }
        pthread_mutex_lock(&vault->lock);
        if (error) {
                volume_why(volume, "%s", probe.why[0] != '\0' ? probe.why : strerror(-error));
                if (probe.lock_fd >= 0)
                        io->ops->close(io, probe.lock_fd);
                atomic_store(&volume->state, VOLUME_MISSING);
        } else {
                volume_take(volume, &probe);
                volume->members_error =
                    members_read(io, kept, &volume->members, &volume->members_older);
        }
        pthread_mutex_unlock(&vault->lock);
        return error;
}

int
volume_look(struct volume *volume)
{
        struct io *io = volume->vault->io;
        char file[PATH_BYTES];
        struct io_stat st, own;
        int error = io->ops->stat(io, volume_path(volume), &st);
        if (error)
                return error;
        if (st.device != atomic_load(&volume->device) || st.inode != atomic_load(&volume->inode))
                return -ESTALE;
        if (path_join(file, sizeof(file), volume_path(volume), VOLUME_FILE))
                return -ENAMETOOLONG;
        error = io->ops->stat(io, file, &st);
        if (!error)
                error = io->ops->fstat(io, volume->lock_fd, &own);
        if (error)
                return error;
        if (st.inode != own.inode || st.device != own.device || own.links == 0)
                return -ESTALE;
        /* The segment being written; not while the writer goes to the next one. */
        uint64_t seen = atomic_load(&volume->segment_seen);
        uint32_t current = atomic_load(&volume->vault->current);
        if (seen == 0 || segment_path(volume, current, file))
                return 0;
        error = io->ops->stat(io, file, &st);
        if (seen != atomic_load(&volume->segment_seen) ||
            current != atomic_load(&volume->vault->current))
                return 0;
        return error ? error : st.inode != seen ? -ESTALE : 0;
}
