/* SPDX-License-Identifier: Apache-2.0 */
/* Recovery's rule for the last group (vault_tail.c): rolled forward with k fragments, cut with
 * fewer, unless missing volumes could make it an acknowledged one. And which membership counts. */
#include "ledger/members.h"

#include "ledger/bytes.h"
#include "ledger/head.h"

#include "faulty_io.h"
#include "vault_helpers.h"

#define DATA   4u
#define PARITY 2u
#define N      (DATA + PARITY)

static struct writing w;
static uint64_t last_offset, last_bytes, leaves_before, leaves;
static uint8_t *last[N]; /* the last group's fragments */

static void
shell(const char *format, const char *a, const char *b)
{
        char command[3 * PATH_MAX];
        snprintf(command, sizeof(command), format, a, b);
        cr_assert_eq(system(command), 0, "%s", command);
}

static void
away(unsigned volume)
{
        shell("mv %s %s.away", w.volume_paths[volume], w.volume_paths[volume]);
}

static void
back(unsigned volume)
{
        shell("mv %s.away %s", w.volume_paths[volume], w.volume_paths[volume]);
}

static void
begin(void)
{
        writing_init_volumes(&w, DATA, PARITY);
        w.config.io = faulty_io(w.volumes, N);
        w.config.stepped = true;
        w.config.fence_ms = 60000;
        writing_begin(&w);
}

/* A vault of three groups, closed; where the last one lies. */
static void
vault_make(void)
{
        begin();
        cr_assert_eq(writing_group(&w, 30), 0);
        cr_assert_eq(writing_group(&w, 30), 0);
        leaves_before = w.tree.size;
        struct vault_stats before, after;
        vault_stats(w.vault, &before);
        cr_assert_eq(writing_group(&w, 90), 0);
        vault_stats(w.vault, &after);
        leaves = w.tree.size;
        last_offset = BLOCK_BYTES + before.bytes_written / N;
        last_bytes = (after.bytes_written - before.bytes_written) / N;
        cr_assert(last_bytes >= 2 * BLOCK_BYTES);
        writing_close(&w);
        for (unsigned i = 0; i < N; i++) {
                char path[PATH_MAX];
                volume_segment_path(&w, i, 0, path);
                last[i] = malloc(last_bytes);
                raw_read(path, last_offset, last[i], last_bytes);
                cr_assert_eq(memcmp(last[i], "AORTAGRP", 8), 0);
        }
}

static void
end(void)
{
        for (unsigned i = 0; i < N; i++)
                free(last[i]);
        writing_end(&w);
}

/* The fragments in set as a crash may leave them: zeros, the first block only, or garbage. */
static void
tear(uint32_t set)
{
        for (unsigned i = 0; i < N; i++) {
                char path[PATH_MAX];
                uint8_t *bytes = malloc(last_bytes);
                memcpy(bytes, last[i], last_bytes);
                if (set >> i & 1) {
                        if (i % 3 == 0)
                                memset(bytes, 0, last_bytes);
                        else if (i % 3 == 1)
                                memset(bytes + BLOCK_BYTES, 0, last_bytes - BLOCK_BYTES);
                        else
                                memset(bytes, 0xee, BLOCK_BYTES);
                }
                volume_segment_path(&w, i, 0, path);
                raw_write(path, last_offset, bytes, last_bytes);
                free(bytes);
        }
}

Test(members, each_subset_of_torn_fragments)
{
        vault_make();
        for (uint32_t set = 0; set < 1u << N; set++) {
                tear(set);
                unsigned good = N - members_count(set);
                cr_assert_eq(writing_recover(&w, leaves_before), 0, "%x: %s", set, w.why);
                cr_assert_eq(w.tip.leaves, good >= DATA ? leaves : leaves_before, "%x", set);
                cr_assert_eq(w.tip.mended, good >= DATA ? members_count(set) : 0);
                writing_close(&w);
                /* Signed: then it must be there. */
                if (good < DATA && set % 5 == 0)
                        cr_assert_eq(writing_recover(&w, leaves), -EBADMSG, "%x", set);
        }
        end();
}

/* The fragments that were missing are written before anything else, those that are cut are zeroed.
 */
Test(members, what_recovery_decides_is_on_every_volume)
{
        vault_make();
        static uint8_t zeros[64 * BLOCK_BYTES];
        cr_assert(last_bytes <= sizeof(zeros));
        for (unsigned round = 0; round < 2; round++) {
                tear(round == 0 ? 0x12 : 0x1a);
                writing_begin(&w);
                writing_close(&w);
                for (unsigned i = 0; i < N; i++) {
                        char path[PATH_MAX];
                        uint8_t *bytes = malloc(last_bytes);
                        volume_segment_path(&w, i, 0, path);
                        raw_read(path, last_offset, bytes, last_bytes);
                        cr_assert_eq(
                            memcmp(bytes, round == 0 ? last[i] : zeros, last_bytes), 0, "%u", i);
                        free(bytes);
                }
        }
        end();
}

/* Up to m volumes are missing, too: those that are there decide. */
Test(members, torn_fragments_and_missing_volumes)
{
        vault_make();
        for (uint32_t set = 0; set < 1u << N; set += 7) {
                tear(set);
                away(1);
                away(4);
                unsigned good = DATA - members_count(set & ~0x12u);
                cr_assert_eq(writing_recover(&w, leaves_before), 0, "%x: %s", set, w.why);
                cr_assert_eq(w.tip.leaves, good >= DATA ? leaves : leaves_before, "%x", set);
                writing_close(&w);
                back(1);
                back(4);
        }
        end();
}

/* Two volumes were left behind; of the four that went on, two are lost: what they alone hold cannot
 * be known, so recovery stops and names them. The operator may go back to what is left. */
Test(members, missing_volumes_that_may_hold_a_group_stop_recovery)
{
        begin();
        cr_assert_eq(writing_group(&w, 30), 0);
        faulty.only_segments = true;
        faulty_set(4, FAULT_WRITE_ERROR, EIO);
        faulty_set(5, FAULT_WRITE_ERROR, EIO);
        cr_assert_eq(writing_group(&w, 30), 0);
        writing_close(&w);
        faulty_io(w.volumes, N);
        away(2);
        away(3);
        cr_assert_eq(writing_recover(&w, 0), -EBADMSG);
        cr_assert_not_null(strstr(w.why, "volume 2"), "%s", w.why);
        cr_assert_not_null(strstr(w.why, "volume 3"), "%s", w.why);
        cr_assert_not_null(strstr(w.why, "may have been acknowledged"), "%s", w.why);
        w.config.cut_tail = true;
        cr_assert_eq(writing_recover(&w, 60), -EBADMSG, "not what was signed");
        cr_assert_eq(writing_recover(&w, 30), 0, "%s", w.why);
        cr_assert_eq(w.tip.leaves, 30);
        cr_assert_eq(vault_begin(w.vault, w.why), 0, "%s", w.why);
        w.config.cut_tail = false;
        cr_assert_eq(writing_group(&w, 7), 0);
        writing_close(&w);
        /* They come back: their group was cut. */
        back(2);
        back(3);
        cr_assert_eq(writing_recover(&w, 37), 0, "%s", w.why);
        cr_assert_eq(w.tip.leaves, 37);
        cr_assert_eq(vault_begin(w.vault, w.why), 0, "%s", w.why);
        struct vault_status status;
        vault_status(w.vault, &status);
        cr_assert_eq(status.volumes[2].state, VOLUME_STALE);
        cr_assert_eq(status.volumes[3].state, VOLUME_STALE);
        writing_end(&w);
}

/* A group was cut while two volumes were away that held it whole; others stand in its place. */
Test(members, fragments_of_a_cut_group_do_not_come_back)
{
        vault_make();
        tear(0x3c);
        away(0);
        away(1);
        writing_begin(&w);
        cr_assert_eq(w.tip.leaves, leaves_before);
        cr_assert_eq(writing_group(&w, 91), 0);
        uint8_t root[HASH_BYTES];
        tree_root(&w.tree, root);
        writing_close(&w);
        back(0);
        back(1);
        cr_assert_eq(writing_recover(&w, leaves_before + 91), 0, "%s", w.why);
        cr_assert_eq(w.tip.leaves, leaves_before + 91);
        cr_assert_eq(memcmp(w.tip.root, root, HASH_BYTES), 0);
        cr_assert_eq(vault_begin(w.vault, w.why), 0);
        struct vault_status status;
        vault_status(w.vault, &status);
        cr_assert_eq(status.members, 4);
        for (uint64_t leaf = leaves_before; leaf < leaves_before + 91; leaf += 9) {
                uint8_t sealed[SEAL_BYTES_MAX], digest[HASH_BYTES];
                uint32_t bytes = 0;
                cr_assert_eq(vault_read_leaf(w.vault, leaf, sealed, &bytes, digest), 0);
                sealed_check(leaf, sealed, bytes, digest);
        }
        end();
}

/* The same, and nothing was written since: the two that are stale do not make it whole with two. */
Test(members, stale_fragments_do_not_count_behind_the_first_group)
{
        vault_make();
        tear(0x03);
        away(4);
        away(5);
        writing_begin(&w);
        cr_assert_eq(w.tip.leaves, leaves_before, "two of the four that are there have it");
        writing_close(&w);
        /* The zeros were not written any more, say. */
        for (unsigned i = 2; i < 4; i++) {
                char path[PATH_MAX];
                volume_segment_path(&w, i, 0, path);
                raw_write(path, last_offset, last[i], last_bytes);
        }
        back(4);
        back(5);
        cr_assert_eq(writing_recover(&w, 0), 0, "%s", w.why);
        cr_assert_eq(w.tip.leaves, leaves_before);
        cr_assert(w.tip.cut_bytes > 0);
        end();
}

/* ---- the file ---- */

static void
members_put(unsigned volume, const struct members *members, unsigned block)
{
        uint8_t bytes[BLOCK_BYTES];
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%.4000s/members", w.volume_paths[volume]);
        members_block_write(bytes, members);
        raw_write(path, (uint64_t)block * BLOCK_BYTES, bytes, sizeof(bytes));
}

Test(members, a_torn_block_leaves_the_one_before)
{
        vault_make();
        struct members members, again;
        unsigned older;
        cr_assert_eq(members_read(io_posix(), w.volume_paths[0], &members, &older), 0);
        cr_assert_eq(members.set, 0x3f);
        cr_assert_eq(members.first_group, 0);
        struct members next = members;
        next.epoch++;
        next.set = 0x1f;
        members_put(0, &next, older);
        unsigned kept = older;
        cr_assert_eq(members_read(io_posix(), w.volume_paths[0], &again, &older), 0);
        cr_assert_eq(again.epoch, next.epoch);
        cr_assert_eq(again.set, 0x1f);
        cr_assert_neq(older, kept);
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%.4000s/members", w.volume_paths[0]);
        for (unsigned at = 0; at < 320; at += 3) {
                raw_flip(path, (uint64_t)kept * BLOCK_BYTES + at, 1);
                cr_assert_eq(members_read(io_posix(), w.volume_paths[0], &again, &older), 0);
                cr_assert_eq(again.epoch, members.epoch);
                raw_flip(path, (uint64_t)kept * BLOCK_BYTES + at, 1);
        }
        end();
}

/* Each start has an epoch of its own, on every volume, before it writes anything. */
Test(members, a_start_begins_an_epoch)
{
        vault_make();
        struct members members;
        uint64_t last_epoch = 0;
        unsigned older;
        for (unsigned round = 0; round < 3; round++) {
                for (unsigned i = 0; i < N; i++) {
                        cr_assert_eq(
                            members_read(io_posix(), w.volume_paths[i], &members, &older), 0);
                        cr_assert(i > 0 ? members.epoch == last_epoch : members.epoch > last_epoch);
                        last_epoch = members.epoch;
                }
                writing_begin(&w);
                writing_close(&w);
                /* The one before still stands, should the next write be torn on all of them. */
                uint8_t blocks[MEMBERS_BLOCKS][BLOCK_BYTES];
                struct members pair[MEMBERS_BLOCKS];
                char path[PATH_MAX];
                snprintf(path, sizeof(path), "%.4000s/members", w.volume_paths[round]);
                raw_read(path, 0, blocks, sizeof(blocks));
                for (unsigned i = 0; i < MEMBERS_BLOCKS; i++)
                        cr_assert_eq(members_block_read(blocks[i], &pair[i]), 0);
                cr_assert(pair[0].epoch == pair[1].epoch + 1 || pair[1].epoch == pair[0].epoch + 1);
        }
        end();
}

/* A membership whose flush reached one volume only counts when nothing newer is there: it has fewer
 * members, all of which hold what was acknowledged. */
Test(members, a_flush_that_was_cut_short)
{
        vault_make();
        struct members members;
        unsigned older;
        cr_assert_eq(members_read(io_posix(), w.volume_paths[2], &members, &older), 0);
        members.epoch++;
        members.set = 0x37;
        members.first_group = 3;
        members_put(2, &members, older);
        writing_begin(&w);
        cr_assert_eq(w.tip.leaves, leaves);
        struct vault_status status;
        vault_status(w.vault, &status);
        cr_assert_eq(status.members, 5);
        cr_assert(status.epoch > members.epoch);
        end();
}

/* The same epoch twice: of a flush that reached a volume which was away ever since, and of the
 * start that went on without it. */
Test(members, of_one_epoch_the_one_on_more_volumes_counts)
{
        vault_make();
        struct members members, other;
        unsigned older;
        for (unsigned i = 0; i < N; i++) {
                cr_assert_eq(members_read(io_posix(), w.volume_paths[i], &members, &older), 0);
                members.epoch++;
                other = members;
                members.set = 0x3e;
                other.set = 0x1f;
                members_put(i, i == 0 ? &other : &members, older);
        }
        writing_begin(&w);
        struct vault_status status;
        vault_status(w.vault, &status);
        cr_assert_eq(status.volumes[0].state, VOLUME_STALE);
        cr_assert_eq(status.volumes[5].state, VOLUME_MEMBER);
        end();
}
