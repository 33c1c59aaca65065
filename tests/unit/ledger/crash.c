/* SPDX-License-Identifier: Apache-2.0 */
/* Promise 1 across a crash at every step: the power goes after the n-th change that the vault makes
 * to its disks (a write, perhaps torn, a flush, a name), be it in making a vault, in recovery
 * itself, in writing, in fencing or in a rebuild. What was acknowledged is there afterwards, also
 * with any one volume more lost; and the vault goes on. */
#include "ledger/head.h"
#include "ledger/members.h"

#include "faulty_io.h"
#include "vault_helpers.h"

#define DATA   2u
#define PARITY 1u
#define N      (DATA + PARITY)
#define STEPS  400u

static struct writing w;
static uint64_t acknowledged, attempted;
static uint32_t large; /* records of the larger groups */

/* One group; the error of whatever failed. */
static int
group_write(uint32_t records)
{
        struct group *group = vault_group(w.vault);
        uint8_t root[HASH_BYTES];
        if (group == NULL)
                return -EIO;
        writing_fill(&w, group, records);
        if (w.next_leaf > attempted)
                attempted = w.next_leaf;
        tree_root(&w.tree, root);
        int error = -ENOSPC;
        for (unsigned i = 0; error == -ENOSPC && i < 4; i++) {
                error = vault_submit(w.vault, group, w.tree.size, root);
                if (error == -ENOSPC)
                        vault_step(w.vault);
        }
        if (error)
                return error;
        error = writing_flush(&w);
        if (!error)
                acknowledged = w.tree.size;
        return error;
}

/* Fills whatever volume is no member, with groups in between. */
static int
rebuild_stale(void)
{
        struct vault_status status;
        vault_status(w.vault, &status);
        for (uint32_t i = 0; i < N; i++) {
                if (status.volumes[i].state == VOLUME_MEMBER)
                        continue;
                int error = vault_rebuild(w.vault, i);
                for (unsigned s = 0; !error && s < STEPS; s++) {
                        vault_step(w.vault);
                        error = s % 5 == 4 ? group_write(20) : vault_tend(w.vault);
                        vault_status(w.vault, &status);
                        if (status.job == VAULT_IDLE)
                                break;
                }
                cr_assert(error || faulty.off || status.volumes[i].state == VOLUME_MEMBER, "%s",
                    status.volumes[i].why);
                if (error)
                        return error;
        }
        return 0;
}

/* A start and some work, until it ends or the power does. */
static int
scenario(unsigned round)
{
        int error = writing_recover(&w, acknowledged);
        if (error)
                return error;
        error = vault_begin(w.vault, w.why);
        if (!error)
                error = group_write(3);
        if (!error)
                error = rebuild_stale();
        if (!error)
                error = group_write(large);
        if (!error) {
                struct head head = {.size = w.tree.size};
                tree_root(&w.tree, head.root);
                error = vault_remember(w.vault, &head);
        }
        if (!error && round % 3 != 2) {
                faulty.only_segments = true;
                faulty_set(round % N, FAULT_WRITE_ERROR, EIO);
                error = group_write(40);
                faulty_set(round % N, FAULT_NONE, 0);
        }
        if (!error)
                error = group_write(large / 2);
        return error;
}

/* Recovers without writing: what was acknowledged is there. */
static int
expect_acknowledged(const char *of)
{
        faulty_io(w.volumes, N);
        int error = writing_recover(&w, 0);
        if (error)
                return error;
        cr_assert(w.tip.leaves >= acknowledged, "%s: %llu acknowledged, %llu there", of,
            (unsigned long long)acknowledged, (unsigned long long)w.tip.leaves);
        cr_assert(w.tip.leaves <= attempted, "%s", of);
        writing_close(&w);
        return 0;
}

/* Volumes outside the newest membership. */
static unsigned
left_behind(void)
{
        struct members newest = {0}, one;
        for (unsigned i = 0; i < N; i++) {
                unsigned older;
                if (members_read(io_posix(), w.volume_paths[i], &one, &older) == 0 &&
                    one.epoch > newest.epoch)
                        newest = one;
        }
        return newest.epoch == 0 ? 0 : N - members_count(newest.set);
}

static void
expect_survival(unsigned n)
{
        char of[64], away[PATH_MAX];
        snprintf(of, sizeof(of), "after change %u", n);
        int error = expect_acknowledged(of);
        cr_assert_eq(error, 0, "%s: %s", of, w.why);
        for (unsigned i = 0; i < N && acknowledged > 0; i++) {
                snprintf(of, sizeof(of), "after change %u, without volume %u", n, i);
                snprintf(away, sizeof(away), "%.4000s.away", w.volume_paths[i]);
                unsigned before = left_behind();
                cr_assert_eq(rename(w.volume_paths[i], away), 0);
                error = expect_acknowledged(of);
                cr_assert(error == 0 || before > 0, "%s: %s", of, w.why);
                cr_assert_eq(rename(away, w.volume_paths[i]), 0);
        }
}

static void
crash_at(unsigned round, unsigned n)
{
        w.config.io = faulty_io(w.volumes, N);
        faulty.stop_after = n;
        faulty.tear = n % 2 == 0;
        int error = scenario(round);
        cr_assert(error == 0 || faulty.off, "round %u, change %u: %s: %s", round, n,
            strerror(-error), w.why);
        if (w.vault != NULL)
                writing_close(&w);
}

static void
begin(void)
{
        writing_init_volumes(&w, DATA, PARITY);
        w.config.stepped = true;
        w.config.fence_ms = 60000;
        acknowledged = attempted = 0;
        large = 100;
}

/* Every step with AORTA_LONG set; otherwise some, to be quick. */
static unsigned
stride(unsigned quick)
{
        return getenv("AORTA_LONG") != NULL ? 1 : quick;
}

/* The same vault through crash after crash: every start begins with what the last one left. */
Test(crash, every_step_of_a_life)
{
        begin();
        large = 2100;
        for (unsigned n = 1, round = 0; n < 160; n += stride(17), round++) {
                crash_at(round, n);
                expect_survival(n);
        }
        cr_assert(acknowledged > 0);
        writing_end(&w);
}

/* A vault whose making was cut short is made by the next start. */
Test(crash, every_step_of_making_a_vault)
{
        for (unsigned n = 2; n < 45; n += stride(4)) {
                begin();
                crash_at(2, n);
                expect_survival(n);
                crash_at(2, 0);
                cr_assert(acknowledged > 0);
                writing_end(&w);
        }
}

/* Recovery that has something to mend and to cut, cut short itself, again and again. */
Test(crash, every_step_of_a_recovery)
{
        begin();
        crash_at(2, 0);
        for (unsigned n = 1; n < 24; n += stride(5)) {
                /* One fragment of the last group is whole, or two are. */
                w.config.io = faulty_io(w.volumes, N);
                cr_assert_eq(writing_recover(&w, acknowledged), 0, "%s", w.why);
                cr_assert_eq(vault_begin(w.vault, w.why), 0, "%s", w.why);
                cr_assert_eq(rebuild_stale(), 0);
                faulty.stop_after = faulty.changes + 2 + n % 2;
                faulty.tear = true;
                group_write(300);
                cr_assert(faulty.off);
                writing_close(&w);
                expect_survival(n);
                crash_at(2, n);
                expect_survival(n);
        }
        writing_end(&w);
}
