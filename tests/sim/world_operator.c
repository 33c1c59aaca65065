/* SPDX-License-Identifier: Apache-2.0 */
/* Faults within the budget, and the operator who repairs. A slot is impaired from the moment that
 * something is done to its disk until it is a member of the vault again, its disk holds what an
 * honest one would, and groups have been written since. No more than m slots are at a time. */
#include "tests/sim/world_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SOON_GROUPS   2u
#define REPAIR_ROUNDS 20000u

static unsigned
count(uint32_t set)
{
        return (unsigned)__builtin_popcount(set);
}

uint32_t
operator_impaired(struct world *world)
{
        uint32_t all = (1u << world->n) - 1, set = 0;
        for (unsigned i = 0; i < world->n; i++)
                if (sim_disk_has_faults(world->disk, world->disk_of[i]) ||
                    sim_disk_damage(world->disk, world->disk_of[i]) > 0)
                        set |= 1u << i;
        return (set | world->touched | world->restored | ~world->members | ~world->stores) & all;
}

/* A slot that may be harmed within the budget, or -1. */
static int
victim(struct world *world)
{
        uint32_t impaired = operator_impaired(world);
        unsigned slot = (unsigned)rng_below(&world->rng, world->n);
        return count(impaired | 1u << slot) <= world->m ? (int)slot : -1;
}

static void
touch(struct world *world, unsigned slot)
{
        world->touched |= 1u << slot;
        world->touched_until[slot] = UINT64_MAX;
}

static void
touch_end(struct world *world, unsigned slot)
{
        if (world->touched >> slot & 1)
                world->touched_until[slot] = world->groups + SOON_GROUPS;
}

static uint32_t
some_of(struct world *world, uint32_t from, unsigned n)
{
        uint32_t set = 0;
        assert(count(from) >= n);
        while (count(set) < n)
                set |= from & 1u << rng_below(&world->rng, world->n);
        return set;
}

/* ---- looking ---- */

static void
stores_follow(struct world *world)
{
        struct store *store = world->gateway.store;
        uint32_t copies = store_copies(store);
        char why[STORE_WHY_BYTES];
        for (unsigned i = 0; i < world->n; i++) {
                uint32_t bit = 1u << i;
                if (copies & ~world->members & bit)
                        (void)store_leave(store, i);
                else if (~copies & world->members & bit && rng_chance(&world->rng, 300000) &&
                         !sim_disk_has_faults(world->disk, world->disk_of[i]))
                        (void)store_join(store, i, world->path_list[i], why);
                if (sim_disk_crashed(world->disk))
                        return;
        }
        world->stores = store_copies(store);
}

/* What stands on a sound disk that cannot be rebuilt is no volume of this vault's: the operator
 * makes the disk anew. */
static void
rebuild_look(struct world *world, const struct vault_status *status)
{
        if (world->rebuilding < 0 || status->job == VAULT_REBUILD)
                return;
        unsigned slot = (unsigned)world->rebuilding;
        world->rebuilding = -1;
        if (status->rebuild_error == 0)
                return;
        world_say(world, "rebuild of slot %u: %s: %s", slot, strerror(-status->rebuild_error),
            status->volumes[slot].why);
        if (status->volumes[slot].state == VOLUME_MEMBER ||
            sim_disk_has_faults(world->disk, world->disk_of[slot]))
                return;
        touch(world, slot);
        touch_end(world, slot);
        sim_disk_wipe(world->disk, world->disk_of[slot]);
}

void
operator_look(struct world *world)
{
        struct vault_status status;
        uint32_t members = 0;
        vault_status(world->gateway.vault, &status);
        for (unsigned i = 0; i < world->n; i++)
                members |= (uint32_t)(status.volumes[i].state == VOLUME_MEMBER) << i;
        if (members != world->members)
                world_say(world, "members %x, epoch %lu", members, (unsigned long)status.epoch);
        for (unsigned i = 0; i < world->n; i++)
                if (world->members & ~members & 1u << i || world->booting)
                        world_say(world, "slot %u, state %d: %s", i, status.volumes[i].state,
                            status.volumes[i].why);
        world->result->fences += count(world->members & ~members);
        world->result->rebuilds += count(members & ~world->members);
        world->restored &= ~(members & ~world->members);
        world->members = members;
        if (status.scrubs != world->scrubs_seen)
                world->result->scrubs++;
        for (unsigned i = 0; i < world->n; i++) {
                uint32_t bit = 1u << i;
                if (status.scrubs > world->scrubs_wanted[i])
                        world->restored &= ~bit;
                if (world->touched & bit && members & bit &&
                    !sim_disk_has_faults(world->disk, world->disk_of[i]) &&
                    world->groups >= world->touched_until[i])
                        world->touched &= ~bit;
        }
        world->scrubs_seen = status.scrubs;
        rebuild_look(world, &status);
        stores_follow(world);
}

/* ---- faults ---- */

static const char *
fault_choose(struct world *world, struct sim_faults *faults)
{
        struct rng *rng = &world->rng;
        bool liar = rng_chance(rng, world->liar_ppm);
        switch (liar ? rng_between(rng, 9, 10) : rng_below(rng, 9)) {
        case 0:
                faults->gone = true;
                return "gone";
        case 1:
                faults->dead = true;
                return "dead";
        case 2:
                faults->hung = true;
                return "hung";
        case 3:
                faults->full = true;
                return "full";
        case 4:
                faults->read_only = true;
                return "read-only";
        case 5:
                faults->slow_us = (uint32_t)rng_between(rng, 1, 3) * 700000u;
                return "slow";
        case 6:
                faults->eio_read_ppm = (uint32_t)rng_between(rng, 1, 5) * 200000u;
                return "read errors";
        case 7:
                faults->eio_write_ppm = (uint32_t)rng_between(rng, 1, 5) * 200000u;
                return "write errors";
        case 8:
                faults->short_ppm = 500000u;
                return "short writes";
        case 9:
                faults->lost_ppm = (uint32_t)rng_between(rng, 1, 4) * 250000u;
                return "lost writes";
        default:
                faults->misdirected_ppm = (uint32_t)rng_between(rng, 1, 2) * 250000u;
                return "misdirected writes";
        }
}

void
fault_inject(struct world *world)
{
        int slot = victim(world);
        if (slot < 0)
                return;
        unsigned disk = world->disk_of[slot];
        touch(world, (unsigned)slot);
        if (rng_chance(&world->rng, 400000)) {
                bool rotten = sim_disk_rot(world->disk, disk);
                world_say(world, "slot %d: bit rot: %d", slot, rotten);
                touch_end(world, (unsigned)slot);
                return;
        }
        const char *what = fault_choose(world, sim_disk_faults(world->disk, disk));
        world_say(world, "slot %d: %s", slot, what);
}

void
fault_inject_off(struct world *world)
{
        int slot = victim(world);
        if (slot < 0)
                return;
        unsigned disk = world->disk_of[slot];
        touch(world, (unsigned)slot);
        switch (rng_below(&world->rng, 5)) {
        case 0:
                for (uint64_t n = rng_between(&world->rng, 1, 4); n > 0; n--)
                        sim_disk_rot(world->disk, disk);
                world_say(world, "slot %d: bit rot", slot);
                touch_end(world, (unsigned)slot);
                break;
        case 1:
                world_say(world, "slot %d: an empty disk", slot);
                sim_disk_wipe(world->disk, disk);
                touch_end(world, (unsigned)slot);
                break;
        case 2:
                if (!sim_disk_has_copy(world->disk, disk))
                        break;
                world_say(world, "slot %d: an older state", slot);
                sim_disk_put_back(world->disk, disk);
                world->restored |= 1u << slot;
                world->scrubs_wanted[slot] = 0;
                touch_end(world, (unsigned)slot);
                break;
        default:
                world_say(world, "slot %d: %s", slot,
                    fault_choose(world, sim_disk_faults(world->disk, disk)));
        }
}

static void
slot_mend(struct world *world, unsigned slot)
{
        if (!sim_disk_has_faults(world->disk, world->disk_of[slot]))
                return;
        sim_disk_mend(world->disk, world->disk_of[slot]);
        world_say(world, "slot %u: mended", slot);
        touch_end(world, slot);
}

void
fault_mend(struct world *world)
{
        unsigned first = (unsigned)rng_below(&world->rng, world->n);
        for (unsigned i = 0; i < world->n; i++) {
                unsigned slot = (first + i) % world->n;
                if (!sim_disk_has_faults(world->disk, world->disk_of[slot]))
                        continue;
                slot_mend(world, slot);
                return;
        }
}

void
faults_mend_all(struct world *world)
{
        for (unsigned i = 0; i < world->n; i++)
                slot_mend(world, i);
}

/* ---- repairs ---- */

static void
rebuild(struct world *world, unsigned slot)
{
        /* Files beside the segments are the vault's to read, not the rebuild's to mend. */
        if (world->rebuilding < 0 && sim_disk_damage(world->disk, world->disk_of[slot]) > 0 &&
            (world->calm || rng_chance(&world->rng, 500000))) {
                world_say(world, "slot %u: made anew", slot);
                sim_disk_wipe(world->disk, world->disk_of[slot]);
        }
        int error = vault_rebuild(world->gateway.vault, slot);
        if (sim_disk_crashed(world->disk) || error == -EBUSY || error == -EALREADY)
                return;
        world_say(world, "rebuild slot %u: %d", slot, error);
        if (error == 0)
                world->rebuilding = (int)slot;
}

static void
replace(struct world *world, unsigned slot)
{
        if (world->disks_n == SIM_DISKS_MAX ||
            count(operator_impaired(world) | 1u << slot) > world->m)
                return;
        char path[16];
        snprintf(path, sizeof(path), "/d%u", world->disks_n);
        touch(world, slot);
        int error = vault_replace(world->gateway.vault, slot, path);
        world_say(world, "replace slot %u by %s: %d", slot, path, error);
        touch_end(world, slot);
        if (sim_disk_crashed(world->disk) ? rng_chance(&world->rng, 500000) : error == 0) {
                world->disk_of[slot] = world->disks_n;
                strcpy(world->paths[slot], path);
                world->result->replaces++;
        }
        world->disks_n++;
}

void
operator_act(struct world *world)
{
        unsigned slot = (unsigned)rng_below(&world->rng, world->n);
        bool well = !sim_disk_has_faults(world->disk, world->disk_of[slot]);
        switch (rng_below(&world->rng, 8)) {
        case 0:
                replace(world, slot);
                break;
        case 1:
        case 2:
                if (vault_scrub(world->gateway.vault) == 0) {
                        world_say(world, "scrub");
                        for (unsigned i = 0; i < world->n; i++)
                                if (world->restored >> i & 1)
                                        world->scrubs_wanted[i] = world->scrubs_seen;
                }
                break;
        default:
                if (~world->members >> slot & 1 && well)
                        rebuild(world, slot);
        }
}

void
operator_repair(struct world *world)
{
        uint32_t all = (1u << world->n) - 1;
        for (unsigned i = 0; i < REPAIR_ROUNDS; i++) {
                operator_look(world);
                if (world->broken || world->members == all)
                        return;
                for (unsigned slot = 0; slot < world->n; slot++)
                        if (~world->members >> slot & 1)
                                rebuild(world, slot);
                (void)vault_step(world->gateway.vault);
                gateway_write(world);
                world->io->ops->sleep_us(world->io, 20000);
                if (world->gateway.failed)
                        return;
        }
        struct vault_status status;
        vault_status(world->gateway.vault, &status);
        world_fail(world, "the vault does not heal: members %x, rebuild error %d", world->members,
            status.rebuild_error);
}

void
operator_scrub(struct world *world)
{
        struct vault_status status;
        /* Damage on m volumes, which a scrub must find and repair. */
        uint32_t set = some_of(world, (1u << world->n) - 1, world->m);
        if (operator_impaired(world) != 0)
                return;
        for (unsigned i = 0; i < world->n; i++)
                for (unsigned n = 0; n < 8 && set >> i & 1; n++)
                        sim_disk_rot(world->disk, world->disk_of[i]);
        for (unsigned rounds = 0; vault_scrub(world->gateway.vault) == -EBUSY; rounds++) {
                if (rounds == REPAIR_ROUNDS)
                        break;
                (void)vault_step(world->gateway.vault);
        }
        for (unsigned rounds = 0; rounds < REPAIR_ROUNDS; rounds++) {
                vault_status(world->gateway.vault, &status);
                if (status.job == VAULT_IDLE)
                        break;
                (void)vault_step(world->gateway.vault);
        }
        for (unsigned i = 0; i < world->n; i++) {
                uint64_t left = sim_disk_damage_of(world->disk, world->disk_of[i], "segments");
                if (status.volumes[i].state == VOLUME_MEMBER && left > 0)
                        world_fail(world, "a scrub leaves %lu damaged blocks of groups on slot %u",
                            (unsigned long)left, i);
        }
        if (status.job != VAULT_IDLE)
                world_fail(world, "a scrub does not end");
}

/* ---- what if: starts of a copy, which leave no trace ---- */

static void
take_away(struct world *world, uint32_t set)
{
        for (unsigned i = 0; i < world->n; i++)
                if (set >> i & 1)
                        sim_disk_faults(world->disk, world->disk_of[i])->gone = true;
}

/* Starts and stops. Whether it came up; gateway_boot() has checked what it found. */
static bool
try_start(struct world *world, const char *what, uint32_t set, char *why)
{
        uint32_t epoch = world->last_epoch;
        int error;
        world_say(world, "what if: %s %x", what, set);
        sim_disk_crash_in(world->disk, 0);
        bool up = gateway_boot(world, &error, why);
        gateway_down(world);
        world->last_epoch = epoch;
        return up;
}

void
operator_exam(struct world *world)
{
        uint32_t impaired = operator_impaired(world), all = (1u << world->n) - 1;
        char why[VAULT_WHY_BYTES];
        if (count(impaired) > world->m)
                return;
        uint32_t set = some_of(world, all & ~impaired, world->m - count(impaired));
        sim_disk_fork(world->disk);
        for (unsigned i = 0; i < world->n; i++)
                if (set >> i & 1 && rng_chance(&world->rng, 200000))
                        for (unsigned n = 0; n < 20; n++)
                                sim_disk_rot(world->disk, world->disk_of[i]);
                else
                        take_away(world, set & 1u << i);
        bool up = try_start(world, "no more than m volumes are left out", set | impaired, why);
        if (!up && !world->broken)
                world_fail(world, "it does not start without the slots %x (%x impaired): %s", set,
                    impaired, why);
        sim_disk_join(world->disk);
}

/* ---- beyond the budget ---- */

static void
must_refuse(struct world *world, const char *what, uint32_t set)
{
        char why[VAULT_WHY_BYTES];
        world->result->beyond++;
        bool up = try_start(world, what, set, why);
        if (world->broken)
                return;
        if (up)
                world_fail(world, "it starts with %s: %x", what, set);
        else if (why[0] == '\0')
                world_fail(world, "it refuses to start with %s but does not say why", what);
        else
                world->result->refused_beyond++;
}

static void
beyond_missing(struct world *world)
{
        uint32_t set = some_of(world, (1u << world->n) - 1, world->m + 1);
        take_away(world, set);
        must_refuse(world, "more than m volumes missing", set);
}

/* The first group's fragments. */
static void
beyond_rotten(struct world *world)
{
        uint32_t set = some_of(world, (1u << world->n) - 1, world->m + 1);
        for (unsigned i = 0; i < world->n; i++) {
                char path[64];
                if (!(set >> i & 1))
                        continue;
                snprintf(path, sizeof(path), "/d%u/segments/00000000", world->disk_of[i]);
                (void)sim_disk_rot_at(
                    world->disk, path, SIM_PAGE_BYTES + rng_below(&world->rng, SIM_PAGE_BYTES));
        }
        must_refuse(world, "a group damaged on more than m volumes", set);
}

/* Volumes that were left behind are back, but fewer than k members: there are k volumes or more,
 * and what they hold goes together. All of it, or nothing. */
static void
beyond_left_behind(struct world *world)
{
        uint32_t all = (1u << world->n) - 1, behind = all & ~world->members;
        char why[VAULT_WHY_BYTES];
        if (behind == 0 || count(world->members) < world->k)
                return;
        uint32_t set = some_of(world, world->members, count(world->members) - (world->k - 1));
        for (unsigned i = 0; i < world->n; i++)
                sim_disk_mend(world->disk, world->disk_of[i]);
        take_away(world, set);
        world->result->beyond++;
        if (!try_start(world, "too few members, but the others", set, why) && !world->broken &&
            why[0] == '\0')
                world_fail(world, "it refuses to start but does not say why");
}

/* The last group, which is signed, looks like one that a crash tore, on more than m volumes: only
 * what was remembered at the signature tells that it was acknowledged. */
void
operator_beyond_tail(struct world *world)
{
        uint32_t set = some_of(world, (1u << world->n) - 1, world->m + 1);
        bool found = true;
        if (world->groups < 2 || operator_impaired(world) != 0)
                return;
        sim_disk_fork(world->disk);
        for (unsigned i = 0; i < world->n && found; i++) {
                char path[64];
                uint64_t offset_bytes = 0;
                int segment = 0;
                struct io_stat stat;
                if (!(set >> i & 1))
                        continue;
                do
                        snprintf(
                            path, sizeof(path), "/d%u/segments/%08d", world->disk_of[i], segment);
                while (world->io->ops->stat(world->io, path, &stat) == 0 && segment++ >= 0);
                do
                        snprintf(
                            path, sizeof(path), "/d%u/segments/%08d", world->disk_of[i], --segment);
                while (segment >= 0 &&
                       sim_disk_find_last(world->disk, path, "AORTAGRP", &offset_bytes));
                found = segment >= 0 && sim_disk_rot_at(world->disk, path, offset_bytes) == 0;
        }
        if (found)
                must_refuse(world, "the last signed group torn", set);
        sim_disk_join(world->disk);
}

void
operator_beyond(struct world *world)
{
        sim_disk_fork(world->disk);
        bool behind = world->members != (1u << world->n) - 1;
        switch (rng_below(&world->rng, behind ? 6 : 3)) {
        case 0:
                beyond_missing(world);
                break;
        case 1:
                if (world->groups > 3)
                        beyond_rotten(world);
                break;
        default:
                beyond_left_behind(world);
        }
        sim_disk_join(world->disk);
}

/* While it writes: more volumes fail than it can do without. What it acknowledges meanwhile is
 * acknowledged; then it stops. */
void
operator_catastrophe(struct world *world)
{
        if (operator_impaired(world) != 0)
                return; /* what is left afterwards would be beyond the budget for good */
        uint32_t set = some_of(world, (1u << world->n) - 1, world->m + 1);
        bool at_once = rng_chance(&world->rng, 500000);
        world_say(world, "catastrophe: slots %x fail %s", set, at_once ? "at once" : "in turn");
        for (unsigned i = 0; i < world->n; i++) {
                struct sim_faults *faults = sim_disk_faults(world->disk, world->disk_of[i]);
                if (!(set >> i & 1))
                        continue;
                touch(world, i);
                if (rng_chance(&world->rng, 500000))
                        faults->dead = true;
                else
                        faults->eio_write_ppm = 1000000;
                for (unsigned n = 0; n < 10 && !at_once && !sim_disk_crashed(world->disk); n++) {
                        devices_send(world, 4);
                        gateway_write(world);
                }
        }
        for (unsigned n = 0; n < 60 && !sim_disk_crashed(world->disk); n++) {
                devices_send(world, 4);
                gateway_write(world);
        }
        world->result->catastrophes++;
        world_say(
            world, "catastrophe: the writer %s", world->gateway.failed ? "stopped" : "goes on");
        if (!sim_disk_crashed(world->disk))
                sim_disk_crash(world->disk);
        for (unsigned i = 0; i < world->n; i++)
                if (set >> i & 1)
                        slot_mend(world, i);
}
