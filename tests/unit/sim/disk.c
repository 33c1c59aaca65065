/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated disk is as bad as it says: what was not flushed may be lost, and no more than that.
 */
#include "tests/sim/disk.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE  SIM_PAGE_BYTES
#define TRIES 200u

static uint8_t *
page_of(uint8_t fill, size_t pages)
{
        uint8_t *page = aligned_alloc(PAGE, pages * PAGE);
        memset(page, fill, pages * PAGE);
        return page;
}

static int
file_make(struct io *io, const char *path)
{
        return io->ops->open(io, path, IO_READ | IO_WRITE | IO_CREATE | IO_DIRECT);
}

static bool
is_there(struct io *io, const char *path)
{
        struct io_stat stat;
        return io->ops->stat(io, path, &stat) == 0;
}

static void
crash(struct sim_disk *disk)
{
        sim_disk_crash(disk);
        sim_disk_power_on(disk);
}

Test(disk, names_survive_by_their_folders_sync_only)
{
        unsigned kept = 0;
        for (unsigned seed = 1; seed <= TRIES; seed++) {
                struct sim_disk *disk = sim_disk_open(seed);
                struct io *io = sim_disk_io(disk);
                cr_assert_eq(io->ops->mkdir(io, "/d0"), 0);
                cr_assert_eq(io->ops->sync_folder(io, "/"), 0);
                cr_assert_geq(file_make(io, "/d0/a"), 0);
                cr_assert_eq(io->ops->sync_folder(io, "/d0"), 0);
                cr_assert_eq(io->ops->rename(io, "/d0/a", "/d0/b", false), 0);
                crash(disk);
                cr_assert(is_there(io, "/d0/a") != is_there(io, "/d0/b"));
                kept += is_there(io, "/d0/b");
                sim_disk_close(disk);
        }
        cr_assert_gt(kept, TRIES / 4);
        cr_assert_lt(kept, TRIES * 3 / 4);
}

Test(disk, writes_survive_when_they_returned)
{
        uint8_t *out = page_of(7, 2), *in = page_of(0, 2);
        struct sim_disk *disk = sim_disk_open(1);
        struct io *io = sim_disk_io(disk);
        int fd = file_make(io, "/f");
        cr_assert_eq(io->ops->write(io, fd, out, 2 * PAGE, PAGE), 2 * PAGE);
        cr_assert_eq(io->ops->sync_folder(io, "/"), 0);
        crash(disk);
        fd = io->ops->open(io, "/f", IO_READ | IO_DIRECT);
        cr_assert_geq(fd, 0);
        cr_assert_eq(io->ops->read(io, fd, in, 2 * PAGE, PAGE), 2 * PAGE);
        cr_assert_eq(memcmp(in, out, 2 * PAGE), 0);
        sim_disk_close(disk);
        free(out);
        free(in);
}

/* Of a write in flight each sector is old or new; over many seeds all, none, and some. */
Test(disk, writes_in_flight_are_torn_by_sectors)
{
        unsigned all = 0, none = 0, some = 0;
        uint8_t *out = page_of(9, 1), *in = page_of(0, 1);
        for (unsigned seed = 1; seed <= TRIES; seed++) {
                struct sim_disk *disk = sim_disk_open(seed);
                struct io *io = sim_disk_io(disk);
                struct io_queue *queue;
                int fd = file_make(io, "/f");
                memset(out, 1, PAGE);
                cr_assert_eq(io->ops->write(io, fd, out, PAGE, 0), PAGE);
                cr_assert_eq(io->ops->sync_folder(io, "/"), 0);
                memset(out, 9, PAGE);
                cr_assert_eq(io->ops->queue_open(io, &queue), 0);
                struct io_request request = {
                    .fd = fd, .write = true, .buffer = out, .bytes = PAGE, .registered = -1};
                cr_assert_eq(io->ops->queue_submit(queue, &request, 1), 1);
                sim_disk_crash(disk);
                io->ops->queue_close(queue);
                sim_disk_power_on(disk);
                fd = io->ops->open(io, "/f", IO_READ | IO_DIRECT);
                cr_assert_eq(io->ops->read(io, fd, in, PAGE, 0), PAGE);
                unsigned news = 0;
                for (unsigned at = 0; at < PAGE; at += SIM_SECTOR_BYTES) {
                        cr_assert(in[at] == 1 || in[at] == 9);
                        cr_assert_eq(memcmp(in + at, in + at + 1, SIM_SECTOR_BYTES - 1), 0);
                        news += in[at] == 9;
                }
                all += news == PAGE / SIM_SECTOR_BYTES;
                none += news == 0;
                some += news != 0 && news != PAGE / SIM_SECTOR_BYTES;
                sim_disk_close(disk);
        }
        cr_assert_gt(all, TRIES / 20);
        cr_assert_gt(none, TRIES / 20);
        cr_assert_gt(some, TRIES / 20);
        free(out);
        free(in);
}

Test(disk, lost_writes_are_known_as_damage_until_written_again)
{
        uint8_t *out = page_of(5, 1), *in = page_of(0, 1);
        struct sim_disk *disk = sim_disk_open(1);
        struct io *io = sim_disk_io(disk);
        cr_assert_eq(io->ops->mkdir(io, "/d3"), 0);
        int fd = file_make(io, "/d3/f");
        sim_disk_faults(disk, 3)->lost_ppm = 1000000;
        cr_assert_eq(io->ops->write(io, fd, out, PAGE, 0), PAGE);
        cr_assert_eq(io->ops->read(io, fd, in, PAGE, 0), PAGE);
        cr_assert_eq(in[0], 0);
        cr_assert_eq(sim_disk_damage(disk, 3), 1);
        sim_disk_mend(disk, 3);
        cr_assert_eq(io->ops->write(io, fd, out, PAGE, 0), PAGE);
        cr_assert_eq(sim_disk_damage(disk, 3), 0);
        cr_assert(sim_disk_rot(disk, 3));
        cr_assert_eq(sim_disk_damage(disk, 3), 1);
        sim_disk_close(disk);
        free(out);
        free(in);
}

Test(disk, an_ended_machine_changes_nothing)
{
        uint8_t *out = page_of(5, 1);
        struct sim_disk *disk = sim_disk_open(1);
        struct io *io = sim_disk_io(disk);
        int fd = file_make(io, "/f");
        cr_assert_eq(io->ops->sync_folder(io, "/"), 0);
        sim_disk_crash(disk);
        cr_assert_eq(io->ops->write(io, fd, out, PAGE, 0), -EIO);
        cr_assert_eq(io->ops->unlink(io, "/f"), -EIO);
        cr_assert_eq(io->ops->close(io, fd), 0);
        sim_disk_power_on(disk);
        struct io_stat stat;
        cr_assert_eq(io->ops->stat(io, "/f", &stat), 0);
        cr_assert_eq(stat.bytes, 0);
        sim_disk_close(disk);
        free(out);
}

Test(disk, copies_come_back_as_they_were)
{
        uint8_t *out = page_of(5, 1), *in = page_of(0, 1);
        struct sim_disk *disk = sim_disk_open(1);
        struct io *io = sim_disk_io(disk);
        cr_assert_eq(io->ops->mkdir(io, "/d0"), 0);
        cr_assert_eq(io->ops->sync_folder(io, "/"), 0);
        int fd = file_make(io, "/d0/f");
        cr_assert_eq(io->ops->write(io, fd, out, PAGE, 0), PAGE);
        cr_assert_eq(io->ops->sync_folder(io, "/d0"), 0);
        crash(disk);
        sim_disk_keep(disk, 0);
        fd = io->ops->open(io, "/d0/f", IO_WRITE | IO_DIRECT);
        memset(out, 6, PAGE);
        cr_assert_eq(io->ops->write(io, fd, out, PAGE, 0), PAGE);
        crash(disk);
        sim_disk_put_back(disk, 0);
        fd = io->ops->open(io, "/d0/f", IO_READ | IO_DIRECT);
        cr_assert_eq(io->ops->read(io, fd, in, PAGE, 0), PAGE);
        cr_assert_eq(in[0], 5);
        sim_disk_close(disk);
        free(out);
        free(in);
}

Test(disk, locks_keep_a_second_one_out)
{
        struct sim_disk *disk = sim_disk_open(1);
        struct io *io = sim_disk_io(disk);
        int holder, a = file_make(io, "/f"), b = io->ops->open(io, "/f", IO_READ | IO_DIRECT);
        cr_assert_eq(io->ops->lock(io, a, &holder), 0);
        cr_assert_eq(io->ops->lock(io, b, &holder), -EBUSY);
        cr_assert_eq(io->ops->close(io, a), 0);
        cr_assert_eq(io->ops->lock(io, b, &holder), 0);
        sim_disk_close(disk);
}
