/* SPDX-License-Identifier: Apache-2.0 */
/* Crashes and faults of the simulated machine. */
#include "tests/sim/disk_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define CALL_US_MAX 20u
#define HALF_PPM    500000u

/* ---- calls ---- */

int
call_enter(struct sim_disk *disk)
{
        if (disk->crashed)
                return -EIO;
        disk->counts.calls++;
        disk->now_us += rng_between(&disk->rng, 1, CALL_US_MAX);
        return 0;
}

int
effect_enter(struct sim_disk *disk)
{
        int error = call_enter(disk);
        if (error)
                return error;
        disk->counts.effects++;
        if (disk->crash_at == 0 || disk->counts.effects < disk->crash_at)
                return 0;
        switch (rng_below(&disk->rng, 3)) {
        case 0:
                sim_disk_crash(disk);
                return -EIO;
        case 1:
                disk->torn = true;
                break;
        default:
                break;
        }
        disk->dying = true;
        return 0;
}

int64_t
call_leave(struct sim_disk *disk, int64_t result, const char *format, ...)
{
        if (disk->trace != NULL) {
                va_list args;
                fprintf(disk->trace, "%10lu us %6lu  ", (unsigned long)disk->now_us,
                    (unsigned long)disk->counts.calls);
                va_start(args, format);
                vfprintf(disk->trace, format, args);
                va_end(args);
                if (disk->dying)
                        fprintf(disk->trace, "  the machine ends%s\n", disk->torn ? " within" : "");
                else if (result < 0)
                        fprintf(disk->trace, " = %s\n", strerrorname_np((int)-result));
                else
                        fprintf(disk->trace, " = %ld\n", (long)result);
        }
        if (!disk->dying)
                return result;
        sim_disk_crash(disk);
        return -EIO;
}

void
sim_disk_crash_in(struct sim_disk *disk, uint64_t calls)
{
        disk->crash_at = calls > 0 ? disk->counts.effects + calls : 0;
}

void
sim_disk_crash_kind(struct sim_disk *disk, bool process_only)
{
        disk->process_only = process_only;
}

bool
sim_disk_crashed(const struct sim_disk *disk)
{
        return disk->crashed;
}

/* ---- what a crash leaves ---- */

void
write_torn(
    struct sim_disk *disk, struct node *node, uint64_t offset_bytes, const void *in, size_t bytes)
{
        const uint8_t *from = in;
        /* All alike hides little; most runs of sectors land together, some singly. */
        uint32_t ppm = (uint32_t)rng_between(&disk->rng, 0, 4) * 250000u;
        bool keep = rng_chance(&disk->rng, ppm);
        disk->counts.torn_writes++;
        for (size_t at = 0; at < bytes; at += SIM_SECTOR_BYTES) {
                size_t n = bytes - at < SIM_SECTOR_BYTES ? bytes - at : SIM_SECTOR_BYTES;
                if (rng_chance(&disk->rng, 200000))
                        keep = rng_chance(&disk->rng, ppm);
                if (keep)
                        node_put(node, offset_bytes + at, from + at, n, true, true);
        }
        /* A file system gives a file whole blocks. */
        node_grow(node, (node->bytes + SIM_PAGE_BYTES - 1) / SIM_PAGE_BYTES * SIM_PAGE_BYTES);
}

static void
request_crash(struct sim_disk *disk, struct request *request)
{
        const struct io_request *asked = &request->asked;
        if (asked->write && disk->process_only) {
                if (rng_chance(&disk->rng, 900000))
                        node_put(request->node, asked->offset_bytes, asked->buffer, asked->bytes,
                            true, true);
        } else if (asked->write) {
                write_torn(disk, request->node, asked->offset_bytes, asked->buffer, asked->bytes);
        }
        request->ready_us = 0;
        request->result = -EIO;
}

static bool
change_holds(const struct node *folder, const struct change *change)
{
        return change->from[0] == '\0' || entries_find(&folder->durable, change->from) != NULL;
}

static void
change_keep(struct node *folder, const struct change *change)
{
        if (change->from[0] != '\0')
                entries_set(&folder->durable, change->from, NULL);
        if (change->to[0] != '\0')
                entries_set(&folder->durable, change->to, change->node);
}

/* All changes up to one, as a journal does, or each by itself. */
static void
folder_crash(struct sim_disk *disk, struct node *folder)
{
        bool journal = rng_chance(&disk->rng, HALF_PPM);
        unsigned kept = (unsigned)rng_below(&disk->rng, folder->changes_n + 1);
        for (unsigned i = 0; i < folder->changes_n; i++) {
                const struct change *change = &folder->changes[i];
                bool keep = journal ? i < kept : rng_chance(&disk->rng, HALF_PPM);
                if (keep && change_holds(folder, change))
                        change_keep(folder, change);
                else
                        disk->counts.undone_names++;
        }
        folder->changes_n = 0;
        entries_copy(&folder->now, &folder->durable);
}

/* What names lead to, also those that a crash would bring back. */
static void
node_hold(struct node *node)
{
        if (node == NULL || node->held)
                return;
        node->held = true;
        for (unsigned i = 0; i < node->now.n; i++) {
                node->now.all[i].node->links++;
                node_hold(node->now.all[i].node);
        }
        for (unsigned i = 0; i < node->durable.n; i++)
                node_hold(node->durable.all[i].node);
        for (unsigned i = 0; i < node->changes_n; i++)
                node_hold(node->changes[i].node);
}

/* Counts links anew and frees what no name leads to. */
static void
nodes_collect(struct sim_disk *disk)
{
        struct node **at = &disk->nodes;
        for (struct node *node = disk->nodes; node != NULL; node = node->next) {
                node->links = 0;
                node->held = false;
        }
        node_hold(disk->root);
        for (unsigned i = 0; i < SIM_DISKS_MAX; i++)
                node_hold(disk->copies[i]);
        node_hold(disk->original);
        while (*at != NULL) {
                struct node *node = *at;
                if (node->held) {
                        at = &node->next;
                        continue;
                }
                *at = node->next;
                node_free(node);
        }
}

void
sim_disk_crash(struct sim_disk *disk)
{
        assert(!disk->crashed);
        for (unsigned i = 0; i < REQUESTS_MAX; i++)
                if (disk->requests[i].queue != NULL)
                        request_crash(disk, &disk->requests[i]);
        for (struct node *node = disk->nodes; node != NULL; node = node->next) {
                /* The kernel lives on, and so does what it has not flushed yet. */
                if (disk->process_only)
                        break;
                if (node->is_folder) {
                        folder_crash(disk, node);
                        continue;
                }
                if (rng_chance(&disk->rng, HALF_PPM))
                        node->bytes = node->durable_bytes;
                node->durable_bytes = node->bytes;
        }
        if (disk->trace != NULL)
                fprintf(disk->trace, "%10lu us %6lu  ==== crash%s ====\n",
                    (unsigned long)disk->now_us, (unsigned long)disk->counts.calls,
                    disk->process_only ? " of the process" : "");
        disk->crashed = true;
        disk->dying = disk->torn = false;
        disk->crash_at = 0;
        disk->counts.crashes++;
}

void
sim_disk_power_on(struct sim_disk *disk)
{
        for (unsigned i = 0; i < QUEUES_MAX; i++)
                assert(disk->queues[i] == NULL);
        memset(disk->descriptors, 0, sizeof(disk->descriptors));
        memset(disk->requests, 0, sizeof(disk->requests));
        for (struct node *node = disk->nodes; node != NULL; node = node->next)
                node->locked_by = -1;
        disk->crashed = false;
        disk->crash_at = 0;
        nodes_collect(disk);
}

/* ---- faults ---- */

int
fault_read(struct sim_disk *disk, const struct node *node)
{
        const struct sim_faults *faults = faults_of(disk, node);
        if (faults == NULL)
                return 0;
        if (faults->dead || rng_chance(&disk->rng, faults->eio_read_ppm)) {
                disk->counts.eio++;
                return -EIO;
        }
        return 0;
}

int
fault_write(struct sim_disk *disk, const struct node *node, bool grows)
{
        const struct sim_faults *faults = faults_of(disk, node);
        if (faults == NULL)
                return 0;
        if (faults->dead || rng_chance(&disk->rng, faults->eio_write_ppm)) {
                disk->counts.eio++;
                return -EIO;
        }
        if (faults->read_only)
                return -EROFS;
        if (faults->full && grows) {
                disk->counts.enospc++;
                return -ENOSPC;
        }
        return 0;
}

struct sim_faults *
sim_disk_faults(struct sim_disk *disk, unsigned index)
{
        assert(index < SIM_DISKS_MAX);
        return &disk->faults[index];
}

bool
sim_disk_has_faults(struct sim_disk *disk, unsigned index)
{
        static const struct sim_faults none;
        assert(index < SIM_DISKS_MAX);
        const struct sim_faults *f = &disk->faults[index];
        return f->gone || f->dead || f->hung || f->full || f->read_only || f->slow_us ||
               f->eio_read_ppm || f->eio_write_ppm || f->short_ppm || f->lost_ppm ||
               f->misdirected_ppm != none.misdirected_ppm;
}

void
sim_disk_mend(struct sim_disk *disk, unsigned index)
{
        *sim_disk_faults(disk, index) = (struct sim_faults){0};
        for (unsigned i = 0; i < REQUESTS_MAX; i++) {
                struct request *request = &disk->requests[i];
                if (request->queue != NULL && request->node->disk == index && request->hung) {
                        request->hung = false;
                        request->ready_us = disk->now_us;
                }
        }
}

/* ---- damage ---- */

typedef void node_fn(void *user, struct node *node);

static void
files_walk(
    const struct sim_disk *disk, const struct node *folder, uint32_t on, node_fn *fn, void *user)
{
        for (unsigned i = 0; i < folder->now.n; i++) {
                struct node *node = folder->now.all[i].node;
                if (node->is_folder)
                        files_walk(disk, node, on, fn, user);
                else if (node->disk == on)
                        fn(user, node);
        }
}

struct pick {
        struct sim_disk *disk;
        uint64_t seen;
        struct node *node;
        size_t page;
};

/* Small files as often as large ones. */
static void
pick_file(void *user, struct node *node)
{
        struct pick *pick = user;
        size_t pages = 0;
        for (size_t i = 0; i < node->pages_n; i++)
                pages += node->pages[i] != NULL;
        if (pages == 0 || rng_below(&pick->disk->rng, ++pick->seen) != 0)
                return;
        size_t skip = rng_below(&pick->disk->rng, pages);
        pick->node = node;
        for (size_t i = 0; i < node->pages_n; i++)
                if (node->pages[i] != NULL && skip-- == 0)
                        pick->page = i;
}

static void
pick_page(void *user, struct node *node)
{
        struct pick *pick = user;
        for (size_t i = 0; i < node->pages_n; i++)
                if (node->pages[i] != NULL && rng_below(&pick->disk->rng, ++pick->seen) == 0) {
                        pick->node = node;
                        pick->page = i;
                }
}

bool
sim_disk_rot(struct sim_disk *disk, unsigned index)
{
        struct pick pick = {.disk = disk};
        bool by_file = rng_chance(&disk->rng, HALF_PPM);
        files_walk(disk, disk->root, index, by_file ? pick_file : pick_page, &pick);
        if (pick.node == NULL)
                return false;
        struct page *page = pick.node->pages[pick.page];
        uint8_t sector[SIM_SECTOR_BYTES];
        unsigned at =
            (unsigned)rng_below(&disk->rng, SIM_PAGE_BYTES / SIM_SECTOR_BYTES) * SIM_SECTOR_BYTES;
        memcpy(sector, page->data + at, sizeof(sector));
        unsigned flips = (unsigned)rng_between(&disk->rng, 1, 4);
        for (unsigned i = 0; i < flips; i++)
                sector[rng_below(&disk->rng, sizeof(sector))] ^=
                    (uint8_t)(1u << rng_below(&disk->rng, 8));
        node_put(pick.node, (uint64_t)pick.page * SIM_PAGE_BYTES + at, sector, sizeof(sector), true,
            false);
        disk->counts.rotten++;
        return true;
}

static void
damage_count(void *user, struct node *node)
{
        uint64_t *n = user;
        for (size_t i = 0; i < node->pages_n; i++)
                *n += node->pages[i] != NULL && node->pages[i]->honest != NULL;
}

uint64_t
sim_disk_damage(struct sim_disk *disk, unsigned index)
{
        uint64_t n = 0;
        files_walk(disk, disk->root, index, damage_count, &n);
        return n;
}

uint64_t
sim_disk_damage_of(struct sim_disk *disk, unsigned index, const char *folder)
{
        static const uint8_t zeros[SIM_PAGE_BYTES];
        char name[NAME_BYTES];
        uint64_t n = 0;
        snprintf(name, sizeof(name), "d%u", index);
        struct node *root = entries_find(&disk->root->now, name);
        struct node *below = root != NULL ? entries_find(&root->now, folder) : NULL;
        for (unsigned i = 0; below != NULL && i < below->now.n; i++) {
                const struct node *node = below->now.all[i].node;
                for (size_t p = 1; p < node->pages_n; p++) {
                        const uint8_t *honest =
                            node->pages[p] != NULL ? node->pages[p]->honest : NULL;
                        n += honest != NULL && memcmp(honest, zeros, SIM_PAGE_BYTES) != 0;
                }
        }
        return n;
}

static void
pick_place(void *user, struct node *node)
{
        struct pick *pick = user;
        if (node->bytes >= SIM_PAGE_BYTES && rng_below(&pick->disk->rng, ++pick->seen) == 0)
                pick->node = node;
}

struct node *
place_elsewhere(
    struct sim_disk *disk, const struct node *node, size_t bytes, uint64_t *offset_bytes)
{
        struct pick pick = {.disk = disk};
        files_walk(disk, disk->root, node->disk, pick_place, &pick);
        if (pick.node == NULL || pick.node->bytes < bytes)
                return NULL;
        *offset_bytes =
            rng_below(&disk->rng, (pick.node->bytes - bytes) / SIM_PAGE_BYTES + 1) * SIM_PAGE_BYTES;
        return pick.node;
}

/* ---- copies of disks ---- */

static void
disk_name(char name[NAME_BYTES], unsigned index)
{
        snprintf(name, NAME_BYTES, "d%u", index);
}

void
sim_disk_keep(struct sim_disk *disk, unsigned index)
{
        char name[NAME_BYTES];
        disk_name(name, index);
        struct node *node = entries_find(&disk->root->now, name);
        disk->copies[index] = node != NULL ? node_copy(disk, node) : NULL;
        nodes_collect(disk);
}

bool
sim_disk_has_copy(const struct sim_disk *disk, unsigned index)
{
        return disk->copies[index] != NULL;
}

void
sim_disk_put_back(struct sim_disk *disk, unsigned index)
{
        char name[NAME_BYTES];
        assert(disk->copies[index] != NULL);
        disk_name(name, index);
        entries_set(&disk->root->now, name, disk->copies[index]);
        node_sync(disk->root);
        disk->copies[index] = NULL;
        nodes_collect(disk);
}

void
sim_disk_wipe(struct sim_disk *disk, unsigned index)
{
        char name[NAME_BYTES];
        disk_name(name, index);
        entries_set(&disk->root->now, name, NULL);
        node_sync(disk->root);
}

/* ---- what if ---- */

void
sim_disk_fork(struct sim_disk *disk)
{
        assert(disk->original == NULL);
        disk->original = disk->root;
        memcpy(disk->original_faults, disk->faults, sizeof(disk->faults));
        disk->root = node_copy(disk, disk->original);
}

void
sim_disk_join(struct sim_disk *disk)
{
        assert(disk->original != NULL);
        disk->root = disk->original;
        disk->original = NULL;
        memcpy(disk->faults, disk->original_faults, sizeof(disk->faults));
        sim_disk_power_on(disk);
}
