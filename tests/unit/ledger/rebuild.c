/* SPDX-License-Identifier: Apache-2.0 */
/* A volume that was left behind, lost or replaced becomes a member again while traffic flows, and
 * is worth as much as any other then; a scrub finds bad fragments and writes them again; neither
 * loses anything when it fails half way. */
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
        w.config.fence_ms = 60000;
        writing_begin(&w);
        for (unsigned i = 0; i < 5; i++) {
                cr_assert_eq(writing_group(&w, 2500), 0);
                while (vault_step(w.vault))
                        ;
        }
        cr_assert_eq(writing_group(&w, 20), 0);
}

static void
folder_away(unsigned volume)
{
        char away[PATH_MAX];
        snprintf(away, sizeof(away), "%.4000s.away", w.volume_paths[volume]);
        cr_assert_eq(rename(w.volume_paths[volume], away), 0);
}

static void
fence(unsigned volume)
{
        faulty.only_segments = true;
        faulty_set(volume, FAULT_WRITE_ERROR, EIO);
        cr_assert_eq(writing_group(&w, 50), 0);
        faulty_set(volume, FAULT_NONE, 0);
        vault_status(w.vault, &status);
        cr_assert_eq(status.volumes[volume].state, VOLUME_STALE);
}

/* Steps the job to its end, with groups in between when records > 0. */
static void
job_run(uint32_t records)
{
        for (unsigned i = 0; i < 2000; i++) {
                vault_step(w.vault);
                if (records > 0 && i % 3 == 0)
                        cr_assert_eq(writing_group(&w, records), 0);
                cr_assert_eq(vault_tend(w.vault), 0);
                vault_status(w.vault, &status);
                if (status.job == VAULT_IDLE)
                        return;
                cr_assert(status.job_done <= status.job_all);
        }
        cr_assert_fail("the job does not end");
}

static void
reopen(void)
{
        uint64_t leaves = w.tree.size;
        writing_close(&w);
        faulty_io(w.volumes, N);
        int error = writing_recover(&w, leaves);
        cr_assert_eq(error, 0, "%s", w.why);
        cr_assert_eq(w.tip.leaves, leaves);
}

/* The volume counts: two others may be lost, and are. */
static void
expect_worth(unsigned volume)
{
        vault_status(w.vault, &status);
        cr_assert_eq(status.volumes[volume].state, VOLUME_MEMBER, "%s", status.volumes[volume].why);
        cr_assert_eq(status.members, N);
        uint64_t leaves = w.tree.size;
        writing_close(&w);
        folder_away((volume + 1) % N);
        folder_away((volume + 3) % N);
        faulty_io(w.volumes, N);
        int error = writing_recover(&w, leaves);
        cr_assert_eq(error, 0, "%s", w.why);
        cr_assert_eq(w.tip.leaves, leaves);
}

Test(rebuild, a_stale_volume_is_filled)
{
        begin();
        fence(2);
        cr_assert_eq(writing_group(&w, 2500), 0);
        cr_assert_eq(vault_rebuild(w.vault, 1), -EALREADY);
        cr_assert_eq(vault_rebuild(w.vault, N), -EINVAL);
        cr_assert_eq(vault_rebuild(w.vault, 2), 0);
        cr_assert_eq(vault_rebuild(w.vault, 2), -EBUSY);
        cr_assert_eq(vault_scrub(w.vault), -EBUSY);
        job_run(0);
        cr_assert_eq(status.rebuild_error, 0);
        cr_assert_eq(writing_group(&w, 30), 0);
        expect_worth(2);
        writing_end(&w);
}

Test(rebuild, a_lost_volume_is_filled_while_traffic_flows)
{
        begin();
        folder_away(0);
        cr_assert_eq(vault_look(w.vault), 1);
        cr_assert_eq(writing_group(&w, 10), 0);
        cr_assert_eq(vault_rebuild(w.vault, 0), 0);
        job_run(300);
        cr_assert_eq(status.rebuild_error, 0);
        expect_worth(0);
        writing_end(&w);
}

/* Traffic so large that the writer goes on to new segments meanwhile. */
Test(rebuild, it_keeps_up_with_the_writer)
{
        begin();
        fence(5);
        cr_assert_eq(vault_rebuild(w.vault, 5), 0);
        job_run(2000);
        cr_assert_eq(status.rebuild_error, 0);
        expect_worth(5);
        writing_end(&w);
}

Test(rebuild, a_member_is_replaced)
{
        begin();
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%.4000s/new", w.path);
        cr_assert_eq(vault_replace(w.vault, 3, path), 0);
        job_run(100);
        cr_assert_eq(status.rebuild_error, 0);
        cr_assert_str_eq(status.volumes[3].path, path);
        /* The old volume, brought back in the new one's place, is no member. */
        reopen();
        vault_status(w.vault, &status);
        cr_assert_eq(status.volumes[3].state, VOLUME_STALE);
        writing_close(&w);
        w.volumes[3] = path;
        cr_assert_eq(writing_recover(&w, w.tree.size), 0, "%s", w.why);
        expect_worth(3);
        writing_end(&w);
}

/* The volume that was replaced holds all groups still; the membership names the new one. */
Test(rebuild, a_replaced_volume_is_no_member)
{
        begin();
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%.4000s/new", w.path);
        cr_assert_eq(vault_replace(w.vault, 3, path), 0);
        job_run(0);
        cr_assert_eq(status.rebuild_error, 0);
        reopen();
        vault_status(w.vault, &status);
        cr_assert_eq(status.volumes[3].state, VOLUME_STALE);
        writing_end(&w);
}

Test(rebuild, a_failing_rebuild_leaves_a_stale_volume)
{
        begin();
        fence(1);
        cr_assert_eq(vault_rebuild(w.vault, 1), 0);
        for (unsigned i = 0; i < 5; i++)
                vault_step(w.vault);
        faulty.only_segments = false;
        faulty_set(1, FAULT_WRITE_ERROR, EIO);
        job_run(0);
        cr_assert_eq(status.rebuild_error, -EIO);
        cr_assert_eq(status.volumes[1].state, VOLUME_STALE);
        cr_assert_eq(writing_group(&w, 5), 0);
        faulty_set(1, FAULT_NONE, 0);
        cr_assert_eq(vault_rebuild(w.vault, 1), 0);
        job_run(10);
        expect_worth(1);
        writing_end(&w);
}

/* Its writes fail after the writer has begun to write to it. */
Test(rebuild, a_follower_that_fails_costs_no_membership)
{
        begin();
        fence(1);
        uint64_t epoch = status.epoch;
        cr_assert_eq(vault_rebuild(w.vault, 1), 0);
        for (unsigned i = 0; i < 500; i++) {
                vault_step(w.vault);
                vault_tend(w.vault);
                vault_status(w.vault, &status);
                if (status.volumes[1].state == VOLUME_FOLLOWING)
                        break;
        }
        cr_assert_eq(status.volumes[1].state, VOLUME_FOLLOWING);
        faulty_set(1, FAULT_WRITE_ERROR, EIO);
        cr_assert_eq(writing_group(&w, 5), 0);
        job_run(0);
        cr_assert_eq(status.volumes[1].state, VOLUME_STALE);
        cr_assert_eq(status.epoch, epoch);
        reopen();
        writing_end(&w);
}

/* A late write still with the kernel: the volume must not come back before it is answered. */
Test(rebuild, a_volume_with_a_late_write_waits)
{
        begin();
        faulty.only_segments = true;
        faulty_set(4, FAULT_LATE, 0);
        struct group *group = vault_group(w.vault);
        writing_fill(&w, group, 10);
        cr_assert_eq(writing_submit(&w, group), 0);
        usleep(1000);
        struct group *done;
        cr_assert_eq(vault_poll(w.vault, &done, 20000), 0);
        faulty.clock_us += 61000000;
        cr_assert_eq(writing_flush(&w), 0);
        cr_assert_eq(vault_rebuild(w.vault, 4), 0);
        for (unsigned i = 0; i < 200; i++) {
                vault_step(w.vault);
                vault_tend(w.vault);
        }
        vault_status(w.vault, &status);
        cr_assert_eq(status.volumes[4].state, VOLUME_FILLING, "not yet");
        faulty_set(4, FAULT_NONE, 0);
        job_run(5);
        expect_worth(4);
        writing_end(&w);
}

/* ---- scrub ---- */

static uint64_t
scrub(void)
{
        cr_assert_eq(vault_scrub(w.vault), 0);
        job_run(0);
        return status.scrub_bad;
}

Test(scrub, finds_and_repairs_bad_fragments)
{
        begin();
        char path[PATH_MAX];
        cr_assert_eq(scrub(), 0);
        cr_assert_eq(status.scrubs, 1);
        /* In full segments of two volumes, and in the one being written of a third. */
        volume_segment_path(&w, 0, 0, path);
        raw_flip(path, BLOCK_BYTES + 5000, 1);
        volume_segment_path(&w, 5, 1, path);
        raw_flip(path, BLOCK_BYTES + 100, 1);
        vault_status(w.vault, &status);
        uint32_t current = 0;
        for (uint32_t s = 0; s < 8; s++) {
                uint8_t byte = 0;
                volume_segment_path(&w, 3, s, path);
                if (access(path, F_OK) == 0)
                        raw_read(path, BLOCK_BYTES, &byte, 1);
                if (byte != 0)
                        current = s;
        }
        cr_assert(current > 1);
        volume_segment_path(&w, 3, current, path);
        raw_flip(path, BLOCK_BYTES + GROUP_HEADER_BYTES + 9, 1);
        volume_segment_path(&w, 2, 1, path);
        cr_assert_eq(unlink(path), 0);
        uint64_t bad = scrub();
        cr_assert(bad >= 4, "%llu", (unsigned long long)bad);
        cr_assert_eq(status.scrub_fixed, bad);
        cr_assert_eq(status.scrub_lost, 0);
        cr_assert(status.volumes[0].repaired_fragments > 0);
        cr_assert_eq(scrub(), 0, "nothing is left to repair");
        cr_assert_eq(writing_group(&w, 5), 0);
        reopen();
        vault_status(w.vault, &status);
        cr_assert_eq(status.members, N);
        writing_end(&w);
}

/* A group of which too few fragments are good: told; the good ones stay. */
Test(scrub, tells_of_a_lost_group_and_keeps_what_is_left)
{
        begin();
        char path[PATH_MAX];
        for (unsigned i = 0; i < 3; i++) {
                volume_segment_path(&w, i, 0, path);
                raw_flip(path, BLOCK_BYTES + 5000, 1);
        }
        scrub();
        cr_assert_eq(status.scrub_lost, 1);
        for (unsigned i = 0; i < 3; i++) {
                volume_segment_path(&w, i, 0, path);
                raw_flip(path, BLOCK_BYTES + 5000, 1);
        }
        cr_assert_eq(scrub(), 0);
        reopen();
        writing_end(&w);
}

/* With helper threads and a share of the time. */
Test(rebuild, threads_do_it)
{
        writing_init_volumes(&w, 2, 1);
        w.config.share_percent = 50;
        writing_begin(&w);
        cr_assert_eq(writing_group(&w, 1000), 0);
        folder_away(1);
        for (unsigned i = 0; i < 1000; i++) {
                usleep(10000);
                cr_assert_eq(vault_tend(w.vault), 0);
                vault_status(w.vault, &status);
                if (status.members == 2)
                        break;
        }
        cr_assert_eq(status.members, 2);
        cr_assert_eq(vault_rebuild(w.vault, 1), 0);
        for (unsigned i = 0; i < 2000; i++) {
                cr_assert_eq(writing_group(&w, 10), 0);
                vault_status(w.vault, &status);
                if (status.job == VAULT_IDLE)
                        break;
                usleep(5000);
        }
        cr_assert_eq(status.volumes[1].state, VOLUME_MEMBER, "%s", status.volumes[1].why);
        cr_assert_eq(vault_scrub(w.vault), 0);
        for (unsigned i = 0; i < 2000 && status.scrubs == 0; i++) {
                usleep(5000);
                vault_status(w.vault, &status);
        }
        cr_assert_eq(status.scrubs, 1);
        cr_assert_eq(status.scrub_bad, 0);
        writing_end(&w);
}
