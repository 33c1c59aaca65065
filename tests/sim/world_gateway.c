/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway: what the daemon does with the ledger, in one thread (control/writer.c,
 * control/recovery.c). */
#include "tests/sim/world_internal.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define SUBMIT_PPM      600000u
#define NO_SEGMENT_MAX  20000u
#define GROUP_LIMIT_PPM 100000u

/* ---- boot ---- */

struct replay {
        struct world *world;
        struct tree tree;
        uint64_t acknowledged;
        unsigned head_at;
        uint32_t boot;
};

static void
heads_check(struct replay *replay)
{
        struct world *world = replay->world;
        uint8_t root[HASH_BYTES];
        while (replay->head_at < world->signed_n &&
               world->signed_heads[replay->head_at].size == replay->tree.size) {
                tree_root(&replay->tree, root);
                if (memcmp(root, world->signed_heads[replay->head_at].root, HASH_BYTES))
                        world_fail(world, "the tree of %lu leaves is not the one that was signed",
                            (unsigned long)replay->tree.size);
                replay->head_at++;
        }
}

static int
replay_record(void *user, const struct vault_record *record)
{
        struct replay *replay = user;
        struct world *world = replay->world;
        struct seal_header header;
        struct device *device;
        struct sent *sent;
        uint8_t entry[LEAF_ENTRY_BYTES], hash[HASH_BYTES];
        if (record->leaf != replay->tree.size) {
                world_fail(world, "leaf %lu comes after %lu leaves", (unsigned long)record->leaf,
                    (unsigned long)replay->tree.size);
                return -EBADMSG;
        }
        if (!record_check(world, record, &device, &sent, &header))
                return -EBADMSG;
        if (sent->seen == replay->boot) {
                world_fail(world, "context %lu, partial IV %lu is there twice, at leaf %lu too",
                    (unsigned long)header.context_id, (unsigned long)header.partial_iv,
                    (unsigned long)record->leaf);
                return -EBADMSG;
        }
        sent->seen = replay->boot;
        if (sent->acknowledged) {
                if (sent->leaf != record->leaf ||
                    memcmp(sent->digest, record->digest, HASH_BYTES)) {
                        world_fail(world, "leaf %lu was acknowledged and is another record now",
                            (unsigned long)sent->leaf);
                        return -EBADMSG;
                }
                replay->acknowledged++;
        }
        memcpy(sent->digest, record->digest, HASH_BYTES);
        sent->heard = HEARD_COMMITTED;
        sent->heard_leaf = record->leaf;
        leaf_entry_write(entry, header.kind, header.received_ns, record->digest);
        leaf_hash(hash, entry, LEAF_ENTRY_BYTES);
        tree_append(&replay->tree, world->engine, hash, 1);
        heads_check(replay);
        return world->broken ? -EBADMSG : 0;
}

/* What was recovered against what was promised. */
static void
replay_check(struct replay *replay, const struct vault_tip *tip)
{
        struct world *world = replay->world;
        uint8_t root[HASH_BYTES];
        tree_root(&replay->tree, root);
        if (replay->acknowledged != world->acknowledged)
                world_fail(world, "%lu records were acknowledged, %lu of them are there",
                    (unsigned long)world->acknowledged, (unsigned long)replay->acknowledged);
        else if (replay->head_at < world->signed_n)
                world_fail(world, "%lu leaves were signed, %lu are there",
                    (unsigned long)world->signed_heads[world->signed_n - 1].size,
                    (unsigned long)replay->tree.size);
        else if (tip->leaves != replay->tree.size || memcmp(tip->root, root, HASH_BYTES))
                world_fail(world, "the tip tells of %lu leaves, the walk of %lu, or of other roots",
                    (unsigned long)tip->leaves, (unsigned long)replay->tree.size);
}

static void
gateway_forget(struct world *world)
{
        for (unsigned i = 0; i < world->devices_n; i++) {
                struct device *device = &world->devices[i];
                device->known = false;
                for (uint32_t r = 0; r < device->n; r++)
                        device->sent[r].heard = HEARD_NOTHING;
        }
}

void
gateway_down(struct world *world)
{
        struct gateway *gateway = &world->gateway;
        store_close(gateway->store);
        vault_close(gateway->vault);
        free(gateway->inbox);
        memset(gateway, 0, sizeof(*gateway));
        gateway_forget(world);
}

static unsigned
members_paths(struct world *world, const char *paths[VAULT_VOLUMES_MAX])
{
        struct vault_status status;
        unsigned members = 0;
        vault_status(world->gateway.vault, &status);
        for (unsigned i = 0; i < world->n; i++) {
                bool is = status.volumes[i].state == VOLUME_MEMBER;
                paths[i] = is ? world->path_list[i] : NULL;
                members += is;
        }
        return members;
}

static int
boot_store(struct world *world, char *why)
{
        const char *paths[VAULT_VOLUMES_MAX];
        struct store_volumes volumes = {
            .paths = paths, .data = world->k, .parity = world->m, .io = world->io};
        if (members_paths(world, paths) < world->k) {
                strcpy(why, "too few members for the store");
                return -EIO;
        }
        int error = store_open_volumes(&world->gateway.store, &volumes, key_load, world, why);
        if (error || sim_disk_crashed(world->disk))
                return error;
        for (unsigned i = 0; i < world->devices_n; i++)
                if (world->devices[i].enrolment == ENROL_DONE && !world->devices[i].known)
                        world_fail(world, "device %u was enrolled, its key is not there", i);
        return 0;
}

static int
boot_epoch(struct world *world, char *why)
{
        const char *paths[VAULT_VOLUMES_MAX], *there[VAULT_VOLUMES_MAX];
        unsigned n = 0;
        if (members_paths(world, paths) < world->k) {
                strcpy(why, "too few members for a boot epoch");
                return -EIO;
        }
        for (unsigned i = 0; i < world->n; i++)
                if (paths[i] != NULL)
                        there[n++] = paths[i];
        uint32_t epoch = 0;
        int error = boot_epoch_next_all(world->io, there, n, world->m + 1, 0, &epoch);
        if (error) {
                strcpy(why, "no boot epoch");
                return error;
        }
        if (sim_disk_crashed(world->disk))
                return -EIO;
        if (epoch <= world->last_epoch)
                world_fail(
                    world, "boot epoch %u comes after %u was used", epoch, world->last_epoch);
        world->last_epoch = world->gateway.epoch = epoch;
        return 0;
}

static int
boot(struct world *world, char *why)
{
        struct gateway *gateway = &world->gateway;
        struct replay replay = {.world = world, .boot = (uint32_t)++world->result->boots};
        struct vault_tip tip;
        uint64_t floor_leaves = 0;
        tree_init(&replay.tree);
        if (world->signed_n > 0 && rng_chance(&world->rng, 500000))
                floor_leaves = world->signed_heads[world->signed_n - 1].size;
        int error = vault_open(&gateway->vault, &world->vault, why);
        if (!error)
                error = boot_store(world, why);
        if (!error && !world->broken) {
                heads_check(&replay);
                error = vault_recover(
                    gateway->vault, floor_leaves, replay_record, &replay, NULL, &tip, why);
        }
        if (!error && !world->broken && !sim_disk_crashed(world->disk))
                replay_check(&replay, &tip);
        if (!error && !world->broken)
                error = vault_begin(gateway->vault, why);
        if (!error && !world->broken)
                error = boot_epoch(world, why);
        if (error || world->broken || sim_disk_crashed(world->disk))
                return error ? error : -EIO;
        gateway->tree = *vault_tree(gateway->vault);
        tree_root(&gateway->tree, gateway->root);
        if (gateway->tree.size != replay.tree.size)
                world_fail(world, "the vault goes on with another tree than it recovered");
        gateway->up = !world->broken;
        return 0;
}

bool
gateway_boot(struct world *world, int *error, char *why)
{
        struct gateway *gateway = &world->gateway;
        assert(!gateway->up && gateway->vault == NULL);
        why[0] = '\0';
        *error = boot(world, why);
        world_say(world, "boot %lu: %s%s%s", (unsigned long)world->result->boots,
            gateway->up ? "up" : strerror(-*error), why[0] ? ": " : "", why);
        if (gateway->up)
                return true;
        gateway_down(world);
        return false;
}

/* ---- writing ---- */

static void
writer_failed(struct world *world, int error, const char *what)
{
        struct gateway *gateway = &world->gateway;
        if (sim_disk_crashed(world->disk))
                return;
        gateway->failed = true;
        gateway->flying = NULL;
        gateway->filling = NULL;
        unsigned left = world->n - (unsigned)__builtin_popcount(operator_impaired(world));
        world_say(world, "the writer stops: %s: %s", what, strerror(-error));
        if (left >= world->floor)
                world_fail(world, "the writer stopped (%s: %s) with %u volumes unharmed, floor %u",
                    what, strerror(-error), left, world->floor);
}

static void
acknowledge(struct world *world, struct group *group)
{
        struct gateway *gateway = &world->gateway;
        struct recipients *recipients = &gateway->recipients[gateway->filling_recipients ^ 1];
        uint64_t leaf = gateway->tree.size;
        uint32_t n = group_records(group);
        static uint8_t hashes[GROUP_RECORDS_MAX * HASH_BYTES];
        assert(recipients->n == n);
        tree_leaf_hashes(world->engine, hashes, group_entries(group), n);
        tree_append(&gateway->tree, world->engine, hashes, n);
        tree_root(&gateway->tree, gateway->root);
        for (uint32_t i = 0; i < n; i++, leaf++) {
                struct sent *sent =
                    &world->devices[recipients->of[i].device].sent[recipients->of[i].record];
                if (sent->acknowledged)
                        world_fail(world, "a record acknowledged as leaf %lu is stored again",
                            (unsigned long)sent->leaf);
                memcpy(sent->digest, recipients->of[i].digest, HASH_BYTES);
                sent->heard = HEARD_COMMITTED;
                sent->heard_leaf = leaf;
                receipt_send(world, sent, leaf);
        }
        recipients->n = 0;
        world->groups++;
        world->result->groups++;
        world_say(
            world, "acknowledged %u records, %lu leaves", n, (unsigned long)gateway->tree.size);
}

static void
writer_land(struct world *world)
{
        struct gateway *gateway = &world->gateway;
        struct group *done = NULL;
        uint32_t wait_us = (uint32_t)rng_below(&world->rng, 2) * 2000u;
        int r = vault_poll(gateway->vault, &done, wait_us);
        if (sim_disk_crashed(world->disk) || r == 0)
                return;
        if (r < 0) {
                writer_failed(world, r, "poll");
                return;
        }
        assert(done == gateway->flying);
        gateway->flying = NULL;
        acknowledge(world, done);
        vault_release(gateway->vault, done);
}

static bool
writer_fill(struct world *world)
{
        struct gateway *gateway = &world->gateway;
        if (gateway->filling == NULL)
                gateway->filling = vault_group(gateway->vault);
        if (gateway->filling == NULL)
                return false;
        struct recipients *recipients = &gateway->recipients[gateway->filling_recipients];
        uint32_t limit = rng_chance(&world->rng, GROUP_LIMIT_PPM)
                             ? (uint32_t)rng_between(&world->rng, 1, 8)
                             : GROUP_RECORDS_MAX;
        while (gateway->inbox_at < gateway->inbox_n && recipients->n < limit) {
                const struct arrival *arrival = &gateway->inbox[gateway->inbox_at];
                if (!group_add(
                        gateway->filling, arrival->sealed, arrival->sealed_bytes, arrival->digest))
                        return true;
                recipients->of[recipients->n].device = arrival->device;
                recipients->of[recipients->n].record = arrival->record;
                memcpy(recipients->of[recipients->n].digest, arrival->digest, HASH_BYTES);
                recipients->n++;
                gateway->inbox_at++;
        }
        if (gateway->inbox_at == gateway->inbox_n)
                gateway->inbox_at = gateway->inbox_n = 0;
        return recipients->n > 0;
}

static void
writer_submit(struct world *world)
{
        struct gateway *gateway = &world->gateway;
        int r = vault_submit(gateway->vault, gateway->filling, gateway->tree.size, gateway->root);
        if (sim_disk_crashed(world->disk))
                return;
        if (r == -ENOSPC) {
                if (++gateway->no_segment == NO_SEGMENT_MAX)
                        world_fail(world, "no segment comes");
                return;
        }
        if (r < 0) {
                writer_failed(world, r, "submit");
                return;
        }
        gateway->no_segment = 0;
        gateway->flying = gateway->filling;
        gateway->filling = NULL;
        gateway->filling_recipients ^= 1;
        assert(gateway->recipients[gateway->filling_recipients].n == 0);
}

void
gateway_write(struct world *world)
{
        struct gateway *gateway = &world->gateway;
        if (gateway->failed)
                return;
        if (gateway->flying != NULL)
                writer_land(world);
        if (sim_disk_crashed(world->disk) || world->broken || gateway->failed)
                return;
        bool some = writer_fill(world);
        if (some && gateway->flying == NULL && rng_chance(&world->rng, SUBMIT_PPM)) {
                writer_submit(world);
        } else if (gateway->flying == NULL) {
                int r = vault_tend(gateway->vault);
                if (r < 0)
                        writer_failed(world, r, "tend");
        }
}

bool
gateway_is_idle(const struct world *world)
{
        const struct gateway *gateway = &world->gateway;
        return gateway->flying == NULL && gateway->inbox_n == 0 &&
               gateway->recipients[gateway->filling_recipients].n == 0;
}

/* ---- signing and reading ---- */

void
gateway_sign(struct world *world)
{
        struct gateway *gateway = &world->gateway;
        struct head head = {.size = gateway->tree.size};
        memcpy(head.root, gateway->root, HASH_BYTES);
        if (gateway->failed || world->signed_n == SIGNED_MAX)
                return;
        int error = vault_remember(gateway->vault, &head);
        if (sim_disk_crashed(world->disk))
                return;
        world_say(world, "sign %lu: %d", (unsigned long)head.size, error);
        if (error == -EINVAL)
                world_fail(world, "a volume remembers a larger tree, or another one");
        if (error)
                return;
        world->signed_heads[world->signed_n++] = head;
        world->result->signed_n++;
}

void
gateway_read(struct world *world)
{
        struct gateway *gateway = &world->gateway;
        struct device *device = &world->devices[rng_below(&world->rng, world->devices_n)];
        uint8_t sealed[SEAL_BYTES_MAX], digest[HASH_BYTES];
        struct vault_record record = {.digest = digest, .sealed = sealed};
        struct seal_header header;
        if (device->n == 0 || !device->known)
                return;
        struct sent *sent = &device->sent[rng_below(&world->rng, device->n)], *found;
        if (!sent->acknowledged)
                return;
        record.leaf = sent->leaf;
        int error =
            vault_read_leaf(gateway->vault, sent->leaf, sealed, &record.sealed_bytes, digest);
        if (sim_disk_crashed(world->disk))
                return;
        world->result->reads++;
        if (error)
                world_fail(world, "leaf %lu cannot be read: %s", (unsigned long)sent->leaf,
                    strerror(-error));
        else if (record_check(world, &record, &device, &found, &header) && found != sent)
                world_fail(world, "leaf %lu reads as another record", (unsigned long)sent->leaf);
}

void
gateway_second(struct world *world)
{
        struct vault *second = NULL;
        char why[VAULT_WHY_BYTES];
        if (world->members == 0 || operator_impaired(world) != 0)
                return;
        int error = vault_open(&second, &world->vault, why);
        if (sim_disk_crashed(world->disk))
                return;
        if (error == 0)
                vault_close(second);
        if (error != -EBUSY)
                world_fail(world, "a second process is not refused: %d", error);
}
