/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated machine below the ledger: an implementation of struct io (ledger/io.h) in memory,
 * deterministic by seed, with a clock of its own. One thread.
 *
 * Disks are the folders "/d0", "/d1", ...; what lies elsewhere is on a medium without faults.
 *
 * What is durable. A write by a descriptor (all have O_DSYNC) is durable when it has returned or
 * its completion was polled; until then each of its 512-byte sectors, by itself, may be on the
 * medium or not. A length set by truncate is durable after fsync. A name that was made, renamed or
 * removed is durable after its folder's sync; until then a crash may undo it: either all from some
 * step on, or each by itself.
 *
 * A crash ends the machine at one call: before it, in the middle of it (some sectors), or behind it
 * but before it returns. All calls of the ended machine then fail with -EIO and change nothing any
 * more, so that the program unwinds by its own error paths and frees what it has; what it reports
 * from then on never happened. sim_disk_power_on() starts the machine again on what the medium
 * holds.
 *
 * Beside each page stands, where it differs, what an honest disk would hold: so it is known whether
 * a disk still carries damage. */
#ifndef AORTA_TESTS_SIM_DISK_H
#define AORTA_TESTS_SIM_DISK_H

#include "ledger/io.h"
#include "tests/sim/rng.h"

#include <stdio.h>

#define SIM_DISKS_MAX    32u
#define SIM_SECTOR_BYTES 512u
#define SIM_PAGE_BYTES   4096u

struct sim_disk;

/* What is wrong with a disk now; ppm a call. Plain fields, set by the test between calls. */
struct sim_faults {
        bool gone;        /* its folder is not there; open descriptors still work */
        bool dead;        /* every call is -EIO */
        bool hung;        /* queued requests complete when it is taken back, or after 30 s: -EIO */
        bool full;        /* nothing can grow: -ENOSPC */
        bool read_only;   /* -EROFS */
        uint32_t slow_us; /* added to each queued request */
        uint32_t eio_read_ppm, eio_write_ppm, short_ppm;
        uint32_t lost_ppm;        /* acknowledged, never kept */
        uint32_t misdirected_ppm; /* acknowledged, kept elsewhere on the disk */
};

/* How often each thing happened: a run that injects nothing proves nothing. */
struct sim_counts {
        uint64_t calls, effects, crashes, torn_writes, undone_names, eio, shorts, lost, misdirected,
            rotten, late, enospc;
};

struct sim_disk *sim_disk_open(uint64_t seed);
void sim_disk_close(struct sim_disk *disk);
struct io *sim_disk_io(struct sim_disk *disk);
/* Each call as a line; NULL: none. */
void sim_disk_trace(struct sim_disk *disk, FILE *trace);
const struct sim_counts *sim_disk_counts(const struct sim_disk *disk);

struct sim_faults *sim_disk_faults(struct sim_disk *disk, unsigned index);
bool sim_disk_has_faults(struct sim_disk *disk, unsigned index);
/* Takes all faults back; hung requests complete from now on. Damage stays. */
void sim_disk_mend(struct sim_disk *disk, unsigned index);

/* The machine ends at the n-th call from now that changes something (1: the next one; a crash at
 * any other call is one behind the last that did); 0: it does not. A poll with requests in flight
 * counts. */
void sim_disk_crash_in(struct sim_disk *disk, uint64_t calls);
/* At a crash of the process alone (kill -9) requests are whole or not at all, and names stay, but
 * not more durable than they were. */
void sim_disk_crash_kind(struct sim_disk *disk, bool process_only);
void sim_disk_crash(struct sim_disk *disk);
bool sim_disk_crashed(const struct sim_disk *disk);
/* After a crash, or with nothing open. */
void sim_disk_power_on(struct sim_disk *disk);

/* Flips bits of a page that was written, anywhere on the disk. False: there is none. */
bool sim_disk_rot(struct sim_disk *disk, unsigned index);
/* Flips a bit of the byte. 0 or -ENOENT. */
int sim_disk_rot_at(struct sim_disk *disk, const char *path, uint64_t offset_bytes);
/* Of these, pages of files in the disk's folder that should not be zeros, but for each file's
 * first. */
uint64_t sim_disk_damage_of(struct sim_disk *disk, unsigned index, const char *folder);
/* The last page of the file, but for its first, that begins so. 0 or -ENOENT. */
int sim_disk_find_last(
    struct sim_disk *disk, const char *path, const char *begins, uint64_t *offset_bytes);
/* Pages of files that have a name which an honest disk would hold otherwise. */
uint64_t sim_disk_damage(struct sim_disk *disk, unsigned index);
/* Bytes of pages that are not zeros, on all disks: what a run costs in memory. */
uint64_t sim_disk_pages(const struct sim_disk *disk);

/* With the machine off: keeps a copy of the disk, puts it in its place again, makes it empty. */
void sim_disk_keep(struct sim_disk *disk, unsigned index);
bool sim_disk_has_copy(const struct sim_disk *disk, unsigned index);
void sim_disk_put_back(struct sim_disk *disk, unsigned index);
void sim_disk_wipe(struct sim_disk *disk, unsigned index);

/* With the machine off: goes on with a copy of all disks; back to where that was, faults too. */
void sim_disk_fork(struct sim_disk *disk);
void sim_disk_join(struct sim_disk *disk);

#endif
