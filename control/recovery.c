/* SPDX-License-Identifier: Apache-2.0 */
/* The order matters: nothing is served, and no nonce made, before the boot epoch of this start is
 * durable in the state folder and on the volume; saved windows are removed before they are used;
 * and the tree is held against every size that was ever signed before the log may sign again. */
#include "control/recovery.h"

#include "control/log_key.h"
#include "control/registry.h"
#include "control/windows.h"
#include "crypto/engine.h"
#include "crypto/keys.h"
#include "ledger/head.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#define PROGRESS_EVERY_S 1

struct fold {
        struct daemon *daemon;
        struct recovered *recovered;
        struct engine *engine;
        uint8_t entries[TREE_BATCH_MAX * LEAF_ENTRY_BYTES];
        uint8_t hashes[TREE_BATCH_MAX * HASH_BYTES];
        uint32_t n;
        bool has_known;
        struct head known; /* at known.size the root must be known.root */
        int log_error;
        time_t told;
};

static void
window_fold(struct context_window *window, const struct seal_header *header, uint64_t leaf)
{
        struct context_receipt receipt = {.partial_iv = header->partial_iv, .leaf = leaf};
        uint64_t piv = header->partial_iv;

        if (window->receipts_n == 0 && window->bits == 0) {
                window->top = piv;
                window->bits = 1;
        } else if (piv > window->top) {
                uint64_t shift = piv - window->top;

                window->bits = shift < 64 ? window->bits << shift | 1 : 1;
                window->top = piv;
        } else if (window->top - piv < 64) {
                window->bits |= UINT64_C(1) << (window->top - piv);
        }
        memcpy(receipt.tag, header->oscore_tag, sizeof(receipt.tag));
        if (window->receipts_n == CONTEXT_RECEIPTS) {
                memmove(&window->receipts[0], &window->receipts[1],
                    sizeof(receipt) * (CONTEXT_RECEIPTS - 1));
                window->receipts_n--;
        }
        window->receipts[window->receipts_n++] = receipt;
}

/* Appends the batch to tree and log, and holds the tree against what was signed before. */
static int
flush_batch(struct fold *fold)
{
        struct recovered *recovered = fold->recovered;
        uint32_t at = 0;

        while (at < fold->n) {
                uint32_t n = fold->n - at;

                uint64_t size = fold->has_known ? fold->known.size : 0;

                if (size > recovered->tree.size && size - recovered->tree.size < n)
                        n = (uint32_t)(size - recovered->tree.size);
                tree_leaf_hashes(
                    fold->engine, fold->hashes, fold->entries + (size_t)at * LEAF_ENTRY_BYTES, n);
                tree_append(&recovered->tree, fold->engine, fold->hashes, n);
                if (fold->has_known && size == recovered->tree.size) {
                        uint8_t root[HASH_BYTES];

                        tree_root(&recovered->tree, root);
                        if (memcmp(root, fold->known.root, HASH_BYTES) != 0)
                                return -EILSEQ;
                }
                at += n;
        }
        fold->log_error = log_append(recovered->log, fold->entries, fold->n);
        fold->n = 0;
        return fold->log_error;
}

static int
fold_record(void *user, const struct vault_record *record)
{
        struct seal_header header;
        struct device device;
        struct fold *fold = user;
        int r = seal_header_read(&header, record->sealed, record->sealed_bytes);

        if (r < 0)
                return r;
        leaf_entry_write(fold->entries + (size_t)fold->n * LEAF_ENTRY_BYTES, header.kind,
            header.received_ns, record->digest);
        fold->n++;
        if (header.kind == RECORD_OSCORE &&
            registry_find_context(fold->daemon->registry, header.context_id, &device) == 0 &&
            !device.removed) {
                assert(device.slot < fold->daemon->config.devices);
                window_fold(&fold->recovered->windows[device.slot], &header, record->leaf);
        }
        return fold->n == TREE_BATCH_MAX ? flush_batch(fold) : 0;
}

static void
tell_progress(void *user, uint64_t done, uint64_t all)
{
        struct fold *fold = user;
        time_t now = time(NULL);

        if (now - fold->told < PROGRESS_EVERY_S || all == 0)
                return;
        fold->told = now;
        fprintf(stderr, "aortad: recovering: %lu of %lu MiB\n", (unsigned long)(done >> 20),
            (unsigned long)(all >> 20));
}

static int
load_keys(struct daemon *daemon, struct note_signer **signer, char *why)
{
        const struct config *config = &daemon->config;
        char volume[PATH_MAX + 8];
        int r = realm_key_load(&daemon->realm_key, config->realm_key);

        if (r == -ENOENT) {
                /* Only for a new state: with a volume there, the key is lost, and a new one would
                 * hide it. */
                for (unsigned i = 0; i < config->volumes; i++) {
                        snprintf(volume, sizeof(volume), "%s/volume", config->volume_path[i]);
                        if (access(volume, F_OK) != 0)
                                continue;
                        snprintf(why, CONFIG_WHY_BYTES,
                            "%s is missing, but the volume %s holds records sealed under its keys: "
                            "put the "
                            "key file back (from its backup)",
                            config->realm_key, config->volume_path[i]);
                        return r;
                }
                r = realm_key_create_file(config->realm_key);
                if (r == 0) {
                        fprintf(stderr,
                            "aortad: made a new realm key: %s. Keep a copy of it somewhere safe "
                            "and apart: "
                            "without it no record can ever be opened.\n",
                            config->realm_key);
                        r = realm_key_load(&daemon->realm_key, config->realm_key);
                }
        }
        if (r < 0) {
                snprintf(why, CONFIG_WHY_BYTES, "realm key %s: %s", config->realm_key,
                    r == -EACCES ? "others may read it: chmod 600 it, owned by the gateway's user"
                    : r == -EBADMSG ? "not a realm key file, or damaged: restore it from its backup"
                                    : strerror(-r));
                return r;
        }
        r = log_key_load(signer, config->log_key, config->origin, daemon->realm_key);
        if (r == -ENOENT) {
                r = log_key_create_file(config->log_key, daemon->realm_key);
                if (r == 0)
                        r = log_key_load(
                            signer, config->log_key, config->origin, daemon->realm_key);
        }
        if (r < 0)
                snprintf(why, CONFIG_WHY_BYTES, "log key %s: %s", config->log_key,
                    r == -EBADMSG
                        ? "damaged, or made under another realm key: restore both from one "
                          "backup"
                        : strerror(-r));
        return r;
}

/* Epochs may only be counted from 1 where nothing was ever served: else partial IVs would come
 * again. */
static int
check_epoch_kept(const struct daemon *daemon, const struct recovered *recovered, char *why)
{
        const struct config *config = &daemon->config;
        char path[PATH_MAX + 8];

        snprintf(path, sizeof(path), "%s/epoch", config->state);
        if (access(path, F_OK) == 0 ||
            (recovered->tip.groups == 0 && registry_devices(daemon->registry) == 0))
                return 0;
        for (unsigned i = 0; i < config->volumes; i++) {
                snprintf(path, sizeof(path), "%s/epoch", config->volume_path[i]);
                if (access(path, F_OK) == 0)
                        return 0;
        }
        snprintf(why, CONFIG_WHY_BYTES,
            "%s/epoch is missing, and so is `epoch` on every volume, but they hold devices or "
            "records: "
            "how often this gateway started is not known, and nonces would repeat. Restore one of "
            "them",
            config->state);
        return -ENOENT;
}

/* A new epoch, above all memories and durable in the state folder and on k volumes at least. */
static int
take_epoch(struct daemon *daemon, char *why)
{
        const struct config *config = &daemon->config;
        struct vault_status status;
        const char *paths[CONFIG_VOLUMES_MAX];
        uint32_t volumes = 0, state = 0;
        unsigned n = 0;
        int r;

        vault_status(daemon->vault, &status);
        for (unsigned i = 0; i < status.data + status.parity; i++)
                if (status.volumes[i].state != VOLUME_MISSING)
                        paths[n++] = status.volumes[i].path;
        r = boot_epoch_next_all(NULL, paths, n, status.data, 0, &volumes);
        if (r == 0)
                r = boot_epoch_next(config->state, volumes - 1, &state);
        if (r == 0 && state > volumes)
                r = boot_epoch_next_all(NULL, paths, n, status.data, state - 1, &volumes);
        if (r < 0) {
                snprintf(why, CONFIG_WHY_BYTES,
                    "boot epoch (%s/epoch, and `epoch` on the volumes): %s", config->state,
                    r == -EOVERFLOW
                        ? "all 1,048,575 starts are used: enrol the devices in a new state"
                        : strerror(-r));
                return r;
        }
        assert(state == volumes);
        daemon->boot_epoch = state;
        return 0;
}

/* The state folder's memory of what was signed; vault_recover() holds the tree against the
 * volumes'. */
static int
read_head(struct daemon *daemon, struct fold *fold, char *why)
{
        int r = head_read(daemon->config.state, &fold->known);

        fold->has_known = r == 0;
        if (r == 0 || r == -ENOENT)
                return 0;
        snprintf(why, CONFIG_WHY_BYTES,
            "%s/head: %s: what was signed is not known, so nothing can be signed: restore this "
            "file",
            daemon->config.state, strerror(-r));
        return r;
}

static int
walk_groups(struct daemon *daemon, struct recovered *recovered, struct fold *fold, char *why)
{
        int r = read_head(daemon, fold, why);

        if (r < 0)
                return r;
        r = vault_recover(daemon->vault, fold->has_known ? fold->known.size : 0, fold_record, fold,
            tell_progress, &recovered->tip, why);
        if (r == 0)
                r = flush_batch(fold);
        if (r == -EILSEQ) {
                snprintf(why, CONFIG_WHY_BYTES,
                    "the records on the volumes (%s) make another tree than the one that was "
                    "signed (head): the "
                    "ledger "
                    "would fork; nothing was changed. Restore the volume that belongs to this "
                    "state",
                    daemon->config.volume);
        } else if (fold->log_error < 0) {
                snprintf(why, CONFIG_WHY_BYTES,
                    "the published log in %s does not hold what the vault holds (%s): a tile below "
                    "the "
                    "signed size was changed. Move the folder away; it is made again from the "
                    "vault",
                    daemon->config.log, strerror(-fold->log_error));
        }
        if (r < 0)
                return r;
        if (recovered->tree.size != recovered->tip.leaves) {
                snprintf(why, CONFIG_WHY_BYTES, "recovery counted %lu leaves, the vault %lu",
                    (unsigned long)recovered->tree.size, (unsigned long)recovered->tip.leaves);
                return -EPROTO;
        }
        return 0;
}

static int
take_window(void *user, uint64_t context_id, const struct context_window *window)
{
        struct fold *fold = user;
        struct device device;

        if (registry_find_context(fold->daemon->registry, context_id, &device) == 0 &&
            !device.removed)
                fold->recovered->windows[device.slot] = *window;
        return 0;
}

/* After an unclean stop nobody knows what else was accepted: every window is unknown. */
static int
settle_windows(struct daemon *daemon, struct recovered *recovered, struct fold *fold, char *why)
{
        int r = windows_take(daemon->config.state, &recovered->tip, take_window, fold);

        if (r == 0) {
                recovered->clean = true;
                return 0;
        }
        if (r != -ENOENT && r != -EBADMSG && r != -ESTALE) {
                snprintf(
                    why, CONFIG_WHY_BYTES, "%s/windows: %s", daemon->config.state, strerror(-r));
                return r;
        }
        recovered->clean = daemon->boot_epoch == 1;
        for (uint32_t i = 0; i < daemon->config.devices; i++)
                recovered->windows[i].state = recovered->clean ? WINDOW_FRESH : WINDOW_UNKNOWN;
        return 0;
}

static int
remember(void *user, const struct head *head)
{
        return vault_remember(user, head);
}

/* The store lies on the members alone: others' copies are old. */
static int
open_registry(struct daemon *daemon, char *why)
{
        const struct config *config = &daemon->config;
        const char *paths[CONFIG_VOLUMES_MAX] = {NULL};
        struct registry_config registry = {
            .realm_key = daemon->realm_key,
            .devices = config->devices,
            .patients = config->patients,
        };
        struct vault_status status;

        if (config->volumes == 1) {
                registry.path = config->volume;
                return registry_open(&daemon->registry, &registry, why);
        }
        vault_status(daemon->vault, &status);
        for (unsigned i = 0; i < config->volumes; i++)
                if (status.volumes[i].state == VOLUME_MEMBER)
                        paths[i] = status.volumes[i].path;
        registry.volumes = paths;
        registry.data = config->data;
        registry.parity = config->parity;
        return registry_open(&daemon->registry, &registry, why);
}

static int
open_vault(struct daemon *daemon, char *why)
{
        const struct config *config = &daemon->config;
        const char *paths[CONFIG_VOLUMES_MAX];
        struct vault_config vault = {
            .volumes = paths,
            .data = config->data,
            .parity = config->parity,
            .floor = config->floor,
            .fence_ms = config->fence_ms,
            .cut_tail = config->cut_tail,
            .segment_bytes = config->segment_mib << 20,
            .reserve_bytes = (uint64_t)config->reserve_mib << 20,
        };

        for (unsigned i = 0; i < config->volumes; i++)
                paths[i] = config->volume_path[i];
        if (config->volumes == 1) {
                vault.path = config->volume;
                vault.volumes = NULL;
        }
        return vault_open(&daemon->vault, &vault, why);
}

static int
open_all(struct daemon *daemon, struct recovered *recovered, char *why)
{
        const struct config *config = &daemon->config;
        const char *heads[1] = {config->state};
        struct log_config log = {
            .path = config->log, .remember = remember, .head_paths = heads, .head_paths_n = 1};
        struct note_signer *signer = NULL;
        int r = load_keys(daemon, &signer, why);

        if (r < 0)
                return r;
        note_signer_verifier(signer, &daemon->verifier);
        r = open_vault(daemon, why);
        if (r == 0)
                r = open_registry(daemon, why);
        if (r < 0)
                return r;
        log.remember_user = daemon->vault;
        log.signer = signer;
        return log_open(&recovered->log, &log, why);
}

int
recovery_run(struct daemon *daemon, struct recovered *recovered, char *why)
{
        struct fold *fold;
        int r;

        memset(recovered, 0, sizeof(*recovered));
        tree_init(&recovered->tree);
        recovered->windows = calloc(daemon->config.devices, sizeof(recovered->windows[0]));
        fold = calloc(1, sizeof(*fold));
        if (recovered->windows == NULL || fold == NULL) {
                free(fold);
                snprintf(why, CONFIG_WHY_BYTES, "out of memory for %u devices' windows",
                    daemon->config.devices);
                return -ENOMEM;
        }
        fold->daemon = daemon;
        fold->recovered = recovered;
        fold->told = time(NULL);
        r = engine_create(&fold->engine, ENGINE_AUTO);
        if (r == 0)
                r = open_all(daemon, recovered, why);
        if (r == 0)
                r = walk_groups(daemon, recovered, fold, why);
        if (r == 0)
                r = check_epoch_kept(daemon, recovered, why);
        if (r == 0)
                r = take_epoch(daemon, why);
        if (r == 0)
                r = settle_windows(daemon, recovered, fold, why);
        if (r == 0)
                r = vault_begin(daemon->vault, why);
        if (r == 0 && (recovered->tip.cut_bytes > 0 || recovered->tip.mended > 0))
                fprintf(stderr,
                    "aortad: recovery: %u fragments of the last group written again, %lu bytes of "
                    "a "
                    "torn tail cut%s\n",
                    recovered->tip.mended, (unsigned long)recovered->tip.cut_bytes,
                    daemon->config.cut_tail ? " (by the operator's --cut-tail)" : "");
        if (fold->engine != NULL)
                engine_destroy(fold->engine);
        free(fold);
        return r;
}

void
recovery_free(struct recovered *recovered)
{
        free(recovered->windows);
        recovered->windows = NULL;
}
