/* SPDX-License-Identifier: Apache-2.0 */
/* Promise 5, the writer's part: a failed, short or late write fences its volume and is never tried
 * again; before the group is acknowledged the new membership stands on every other volume; at the
 * floor writing goes on under an alarm, below it it stops; a pulled folder is noticed. */
#include "ledger/members.h"

#include "faulty_io.h"
#include "vault_helpers.h"

#define DATA   4u
#define PARITY 2u
#define N      (DATA + PARITY)

static struct writing w;
static struct vault_status status;

static void
begin(void)
{
        writing_init_volumes(&w, DATA, PARITY);
        w.config.io = faulty_io(w.volumes, N);
        w.config.stepped = true;
        w.config.fence_ms = 60000; /* only what a test makes late is */
        writing_begin(&w);
        cr_assert_eq(writing_group(&w, 30), 0);
}

/* The membership that a volume holds, from its file. */
static uint32_t
members_on(unsigned volume, uint64_t *epoch)
{
        struct members members;
        unsigned older;
        if (members_read(io_posix(), w.volume_paths[volume], &members, &older))
                return 0;
        /* The one before still stands, should the next write be torn on all of them. */
        uint8_t block[BLOCK_BYTES];
        struct members before;
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%.4000s/members", w.volume_paths[volume]);
        raw_read(path, (uint64_t)older * BLOCK_BYTES, block, sizeof(block));
        cr_assert_eq(members_block_read(block, &before), 0);
        cr_assert(before.epoch + 1 >= members.epoch);
        *epoch = members.epoch;
        return members.set;
}

static void
expect_members(uint32_t set)
{
        uint64_t epoch, first_epoch = 0;
        vault_status(w.vault, &status);
        cr_assert_eq(status.members, members_count(set));
        for (unsigned i = 0; i < N; i++) {
                cr_assert_eq(
                    status.volumes[i].state == VOLUME_MEMBER, set >> i & 1, "volume %u", i);
                cr_assert_eq(status.volumes[i].why[0] == '\0', set >> i & 1, "volume %u", i);
                if (!(set >> i & 1))
                        continue;
                cr_assert_eq(members_on(i, &epoch), set, "volume %u", i);
                cr_assert_eq(epoch, status.epoch);
                if (first_epoch == 0)
                        first_epoch = epoch;
                cr_assert_eq(epoch, first_epoch);
        }
}

static void
read_all(void)
{
        for (uint64_t leaf = 0; leaf < w.tree.size; leaf += 7) {
                uint8_t sealed[SEAL_BYTES_MAX], digest[HASH_BYTES];
                uint32_t bytes = 0;
                cr_assert_eq(vault_read_leaf(w.vault, leaf, sealed, &bytes, digest), 0);
                sealed_check(leaf, sealed, bytes, digest);
        }
}

static void
reopen(void)
{
        uint64_t leaves = w.tree.size;
        writing_close(&w);
        faulty_io(w.volumes, N);
        cr_assert_eq(writing_recover(&w, leaves), 0, "%s", w.why);
        cr_assert_eq(w.tip.leaves, leaves);
}

static void
fence_two(enum fault fault, int error)
{
        begin();
        expect_members(0x3f);
        cr_assert(!status.alarm);
        faulty.only_segments = true;
        faulty_set(2, fault, error);
        cr_assert_eq(writing_group(&w, 500), 0, "acknowledged without the volume");
        expect_members(0x3b);
        cr_assert(!status.alarm);
        faulty_set(5, fault, error);
        cr_assert_eq(writing_group(&w, 500), 0);
        expect_members(0x1b);
        cr_assert(status.alarm, "at the floor");
        faulty_set(2, FAULT_NONE, 0);
        faulty_set(5, FAULT_NONE, 0);
        cr_assert_eq(writing_group(&w, 500), 0);
        expect_members(0x1b);
        read_all();
        reopen();
        vault_status(w.vault, &status);
        cr_assert_eq(status.volumes[2].state, VOLUME_STALE, "until it is rebuilt");
        cr_assert_eq(vault_begin(w.vault, w.why), 0, "%s", w.why);
        cr_assert_eq(writing_group(&w, 5), 0);
        expect_members(0x1b);
        writing_end(&w);
}

Test(fencing, a_failed_write_fences_its_volume)
{
        fence_two(FAULT_WRITE_ERROR, EIO);
}

Test(fencing, a_read_only_volume_is_fenced)
{
        fence_two(FAULT_WRITE_ERROR, EROFS);
}

Test(fencing, a_full_volume_is_fenced)
{
        fence_two(FAULT_WRITE_ERROR, ENOSPC);
}

Test(fencing, a_short_write_fences_its_volume)
{
        fence_two(FAULT_SHORT, 0);
}

/* Nothing is written to a volume after its failed write, not even that again. */
Test(fencing, a_fenced_volume_is_not_written)
{
        begin();
        char path[PATH_MAX];
        static uint8_t before[100 * BLOCK_BYTES], after[100 * BLOCK_BYTES];
        faulty.only_segments = true;
        faulty_set(1, FAULT_WRITE_ERROR, EIO);
        cr_assert_eq(writing_group(&w, 100), 0);
        faulty_set(1, FAULT_NONE, 0);
        volume_segment_path(&w, 1, 0, path);
        raw_read(path, 0, before, sizeof(before));
        for (unsigned i = 0; i < 3; i++)
                cr_assert_eq(writing_group(&w, 100), 0);
        raw_read(path, 0, after, sizeof(after));
        cr_assert_eq(memcmp(before, after, sizeof(before)), 0);
        writing_end(&w);
}

/* A late write: its volume is fenced, its buffer not used again until it is answered. */
Test(fencing, a_late_write_fences_its_volume)
{
        begin();
        w.config.fence_ms = 60000;
        faulty.only_segments = true;
        faulty_set(0, FAULT_LATE, 0);
        struct group *group = vault_group(w.vault), *done = NULL;
        writing_fill(&w, group, 200);
        cr_assert_eq(writing_submit(&w, group), 0);
        for (unsigned i = 0; i < 50; i++)
                cr_assert_eq(vault_poll(w.vault, &done, 1000), 0, "not before the limit");
        expect_members(0x3f);
        faulty.clock_us += 61000000;
        cr_assert_eq(writing_flush(&w), 0);
        expect_members(0x3e);
        for (unsigned i = 0; i < 4; i++)
                cr_assert_eq(writing_group(&w, 200), 0);
        faulty_set(0, FAULT_NONE, 0);
        cr_assert_eq(vault_tend(w.vault), 0, "takes the late answer");
        expect_members(0x3e);
        read_all();
        reopen();
        writing_end(&w);
}

Test(fencing, below_the_floor_writing_ends)
{
        begin();
        faulty.only_segments = true;
        for (unsigned i = 1; i < 4; i++)
                faulty_set(i, FAULT_WRITE_ERROR, EIO);
        cr_assert(vault_space(w.vault));
        cr_assert_eq(writing_group(&w, 40), -EIO);
        cr_assert(!vault_space(w.vault));
        struct group *group = vault_group(w.vault), *done;
        writing_fill(&w, group, 1);
        uint8_t root[HASH_BYTES];
        tree_root(&w.tree, root);
        cr_assert_eq(vault_submit(w.vault, group, w.tree.size, root), -EIO);
        cr_assert_eq(vault_poll(w.vault, &done, 0), -EIO);
        vault_status(w.vault, &status);
        cr_assert(status.failed && status.alarm);
        writing_close(&w);
        /* Nobody was told of the group, and three of the four that it needs have it. */
        faulty_io(w.volumes, N);
        cr_assert_eq(writing_recover(&w, 30), 0, "%s", w.why);
        cr_assert_eq(w.tip.leaves, 30);
        cr_assert(w.tip.cut_bytes > 0);
        writing_end(&w);
}

Test(fencing, a_higher_floor_ends_writing_earlier)
{
        writing_init_volumes(&w, DATA, PARITY);
        w.config.io = faulty_io(w.volumes, N);
        w.config.stepped = true;
        w.config.floor = 5;
        writing_begin(&w);
        faulty_set(1, FAULT_WRITE_ERROR, EIO);
        cr_assert_eq(writing_group(&w, 40), 0);
        vault_status(w.vault, &status);
        cr_assert(status.alarm);
        faulty_set(2, FAULT_WRITE_ERROR, EIO);
        cr_assert_eq(writing_group(&w, 40), -EIO);
        writing_end(&w);
}

/* The membership itself cannot be written on another volume: that one goes, too, before the group
 * is acknowledged. */
Test(fencing, a_volume_that_cannot_take_the_membership_is_fenced)
{
        begin();
        faulty_set(3, FAULT_WRITE_ERROR, EIO);
        faulty.only_members = true;
        faulty_set(4, FAULT_WRITE_ERROR, EIO);
        faulty_set(3, FAULT_NONE, 0);
        faulty.only_members = false;
        faulty.only_segments = false;
        cr_assert_eq(writing_group(&w, 40), 0); /* volume 4 fails its segment */
        expect_members(0x2f);
        faulty.only_members = true;
        faulty_set(0, FAULT_WRITE_ERROR, EIO);
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%.4000s.away", w.volume_paths[1]);
        cr_assert_eq(rename(w.volume_paths[1], path), 0);
        cr_assert_eq(vault_look(w.vault), 1);
        struct group *group = vault_group(w.vault);
        writing_fill(&w, group, 10);
        uint8_t root[HASH_BYTES];
        tree_root(&w.tree, root);
        cr_assert_eq(vault_submit(w.vault, group, w.tree.size, root), -EIO, "three are left");
        writing_end(&w);
}

/* A folder pulled from under its open files, which go on taking writes. */
Test(fencing, a_pulled_folder_is_noticed)
{
        begin();
        char away[PATH_MAX], path[PATH_MAX];
        cr_assert_eq(vault_look(w.vault), 0);
        snprintf(away, sizeof(away), "%.4000s.away", w.volume_paths[2]);
        cr_assert_eq(rename(w.volume_paths[2], away), 0);
        cr_assert_eq(vault_look(w.vault), 1);
        vault_status(w.vault, &status);
        cr_assert_eq(status.members, N - 1, "told before the writer is there");
        cr_assert_eq(writing_group(&w, 10), 0);
        expect_members(0x3b);
        /* A segment replaced by a copy of the same name. */
        volume_segment_path(&w, 4, 0, path);
        char command[3 * PATH_MAX];
        snprintf(command, sizeof(command), "cp %s %s.new && mv %s.new %s", path, path, path, path);
        cr_assert_eq(system(command), 0);
        vault_step(w.vault);
        cr_assert_eq(vault_tend(w.vault), 0);
        expect_members(0x2b);
        read_all();
        writing_end(&w);
}

/* One volume has no room for its next segment, the others have. */
Test(fencing, a_volume_without_room_is_fenced_when_it_holds_up_the_others)
{
        begin();
        faulty_set(1, FAULT_CREATE, ENOSPC);
        for (unsigned i = 0; i < 20; i++) {
                cr_assert_eq(writing_group(&w, 4000), 0);
                while (vault_step(w.vault))
                        ;
        }
        expect_members(0x3d);
        /* All: nobody is fenced, nothing is written. */
        for (unsigned i = 0; i < N; i++)
                faulty_set(i, FAULT_CREATE, ENOSPC);
        uint8_t root[HASH_BYTES];
        int error = 0;
        struct group *group = NULL;
        for (unsigned i = 0; i < 40 && error == 0; i++) {
                vault_step(w.vault);
                group = vault_group(w.vault);
                writing_fill(&w, group, 4000);
                tree_root(&w.tree, root);
                error = vault_submit(w.vault, group, w.tree.size, root);
                if (error == 0)
                        cr_assert_eq(writing_flush(&w), 0);
        }
        cr_assert_eq(error, -ENOSPC);
        cr_assert(!vault_space(w.vault));
        expect_members(0x3d);
        for (unsigned i = 0; i < N; i++)
                faulty_set(i, FAULT_NONE, 0);
        while (vault_step(w.vault))
                ;
        tree_root(&w.tree, root);
        cr_assert_eq(vault_submit(w.vault, group, w.tree.size, root), 0);
        cr_assert_eq(writing_flush(&w), 0);
        expect_members(0x3d);
        writing_end(&w);
}

Test(fencing, a_second_vault_is_refused_by_each_volume)
{
        begin();
        struct vault *second;
        char why[VAULT_WHY_BYTES];
        struct vault_config config = w.config;
        config.io = NULL;
        cr_assert_eq(vault_open(&second, &config, why), -EBUSY);
        writing_end(&w);
}

/* With helper threads, nobody calls vault_look(). */
Test(fencing, threads_notice_a_pulled_folder)
{
        writing_init_volumes(&w, 2, 1);
        writing_begin(&w);
        char away[PATH_MAX];
        snprintf(away, sizeof(away), "%.4000s.away", w.volume_paths[1]);
        cr_assert_eq(rename(w.volume_paths[1], away), 0);
        for (unsigned i = 0; i < 1000; i++) {
                vault_status(w.vault, &status);
                if (status.members == 2)
                        break;
                usleep(10000);
        }
        cr_assert_eq(status.members, 2);
        cr_assert_eq(writing_group(&w, 3), 0);
        cr_assert_eq(vault_tend(w.vault), 0);
        writing_end(&w);
}
