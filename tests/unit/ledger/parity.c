/* SPDX-License-Identifier: Apache-2.0 */
/* Promise 1 against damage: any k of k+m fragments give a group back, through recovery and through
 * reading, whatever befell up to m volumes; beyond m, recovery stops and says so. */
#include "ledger/parity.h"

#include "vault_helpers.h"

#define DATA          4u
#define PARITY        2u
#define N             (DATA + PARITY)
#define GROUPS        6u
#define SEGMENT_BYTES (2u << 20)

Test(parity, every_choice_of_lost_fragments_comes_back)
{
        enum { BYTES = 3072 + 5 };
        static uint8_t fragments[N][BYTES], lost[N][BYTES];
        uint8_t *made[N], *given[N];
        struct parity parity;
        parity_init(&parity, DATA, PARITY);
        for (unsigned i = 0; i < N; i++) {
                made[i] = fragments[i];
                randombytes_buf(fragments[i], BYTES);
        }
        parity_encode(&parity, BYTES, made);
        for (unsigned set = 0; set < 1u << N; set++) {
                bool good[N], wanted[N];
                unsigned lost_n = 0;
                for (unsigned i = 0; i < N; i++) {
                        good[i] = !(set >> i & 1);
                        wanted[i] = true;
                        lost_n += !good[i];
                        memcpy(lost[i], fragments[i], BYTES);
                        if (!good[i])
                                memset(lost[i], 0xee, BYTES);
                        given[i] = lost[i];
                }
                int error = parity_rebuild(&parity, BYTES, given, good, wanted);
                cr_assert_eq(error, lost_n <= PARITY ? 0 : -EBADMSG);
                if (!error)
                        cr_assert_eq(memcmp(lost, fragments, sizeof(lost)), 0, "set %u", set);
        }
}

/* ---- damage to volumes ---- */

static struct writing w;
static uint64_t leaves;

static void
vault_make(void)
{
        static const uint32_t sizes[GROUPS] = {1, 300, 7, 4096, 2, 900};
        writing_init_volumes(&w, DATA, PARITY);
        w.config.segment_bytes = SEGMENT_BYTES;
        w.config.stepped = true;
        writing_begin(&w);
        leaves = 0;
        for (unsigned i = 0; i < GROUPS; i++) {
                cr_assert_eq(writing_group(&w, sizes[i]), 0);
                leaves += sizes[i];
        }
        writing_close(&w);
}

static void
shell(const char *format, const char *a, const char *b)
{
        char command[3 * PATH_MAX];
        snprintf(command, sizeof(command), format, a, b);
        cr_assert_eq(system(command), 0, "%s", command);
}

static void
folder_gone(unsigned volume)
{
        shell("rm -rf %s%s", w.volume_paths[volume], "");
}

static void
folder_emptied(unsigned volume)
{
        shell("rm -rf %s/*%s", w.volume_paths[volume], "");
}

static void
segment_truncated(unsigned volume)
{
        char path[PATH_MAX];
        volume_segment_path(&w, volume, 0, path);
        cr_assert_eq(truncate(path, SEGMENT_BYTES / 2 / BLOCK_BYTES * BLOCK_BYTES), 0);
}

static void
segments_gone(unsigned volume)
{
        shell("rm -rf %s/segments%s", w.volume_paths[volume], "");
}

/* A bit in each block of the first 256 KiB. */
static void
bits_flipped(unsigned volume)
{
        char path[PATH_MAX];
        volume_segment_path(&w, volume, 0, path);
        for (uint64_t at = BLOCK_BYTES; at < 64 * BLOCK_BYTES; at += BLOCK_BYTES)
                raw_flip(path, at + 37 * (volume + 1), 0x20);
}

static void
zeroed(unsigned volume)
{
        static uint8_t zeros[SEGMENT_BYTES - BLOCK_BYTES];
        char path[PATH_MAX];
        volume_segment_path(&w, volume, 0, path);
        raw_write(path, BLOCK_BYTES, zeros, sizeof(zeros));
}

static void
members_damaged(unsigned volume)
{
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%.4000s/members", w.volume_paths[volume]);
        raw_flip(path, 40, 1);
        raw_flip(path, BLOCK_BYTES + 40, 1);
}

static void
identity_damaged(unsigned volume)
{
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%.4000s/volume", w.volume_paths[volume]);
        raw_flip(path, 20, 1);
}

/* Another volume's segment in this one's place. */
static void
segment_swapped(unsigned volume)
{
        char from[PATH_MAX], to[PATH_MAX];
        volume_segment_path(&w, (volume + 1) % N, 0, from);
        volume_segment_path(&w, volume, 0, to);
        shell("cp %s %s", from, to);
}

static void (*const damages[])(unsigned volume) = {folder_gone, folder_emptied, segment_truncated,
    segments_gone, bits_flipped, zeroed, members_damaged, identity_damaged, segment_swapped};
#define DAMAGES (sizeof(damages) / sizeof(damages[0]))

/* Copies of the whole vault are cheaper than making it again. */
static void
vault_save(void)
{
        shell("cp -r --sparse=always %s %s.saved", w.path, w.path);
}

static void
restore(unsigned volume)
{
        char command[3 * PATH_MAX];
        snprintf(command, sizeof(command), "rm -rf %s/v%u && cp -r %s.saved/v%u %s/", w.path,
            volume, w.path, volume, w.path);
        cr_assert_eq(system(command), 0);
}

static void
expect_all(const char *of)
{
        int error = writing_recover(&w, leaves);
        cr_assert_eq(error, 0, "%s: %s", of, w.why);
        cr_assert_eq(w.tip.groups, GROUPS);
        cr_assert_eq(w.tip.leaves, leaves);
        for (uint64_t leaf = 0; leaf < leaves; leaf += 611) {
                uint8_t sealed[SEAL_BYTES_MAX], digest[HASH_BYTES];
                uint32_t bytes;
                cr_assert_eq(vault_read_leaf(w.vault, leaf, sealed, &bytes, digest), 0);
                sealed_check(leaf, sealed, bytes, digest);
        }
        writing_close(&w);
}

static void
end(void)
{
        char saved[PATH_MAX + 8];
        snprintf(saved, sizeof(saved), "%s.saved", w.path);
        folder_remove(saved);
        writing_end(&w);
}

Test(parity, any_m_damaged_volumes_cost_nothing)
{
        vault_make();
        vault_save();
        expect_all("whole");
        for (unsigned i = 0; i < DAMAGES; i++) {
                unsigned first = i % N, second = (i * 2 + 1) % N;
                damages[i](first);
                if (second != first)
                        damages[(i + 4) % DAMAGES](second);
                char of[64];
                snprintf(of, sizeof(of), "damage %u of volume %u, %u of volume %u", i, first,
                    (unsigned)((i + 4) % DAMAGES), second);
                expect_all(of);
                restore(first);
                restore(second);
        }
        end();
}

/* What is written after such a start is as safe. */
Test(parity, writing_goes_on_without_m_volumes)
{
        vault_make();
        folder_gone(1);
        zeroed(4);
        writing_begin(&w);
        struct vault_status status;
        vault_status(w.vault, &status);
        cr_assert_eq(status.volumes[1].state, VOLUME_MISSING);
        cr_assert_eq(status.volumes[4].state, VOLUME_STALE, "it lost acknowledged groups");
        cr_assert(status.alarm);
        cr_assert_eq(writing_group(&w, 100), 0);
        writing_close(&w);
        leaves += 100;
        cr_assert_eq(writing_recover(&w, leaves), 0, "%s", w.why);
        cr_assert_eq(w.tip.groups, GROUPS + 1);
        writing_end(&w);
}

Test(parity, beyond_m_recovery_stops)
{
        vault_make();
        vault_save();
        static const struct {
                unsigned damage, volumes[3];
                const char *words;
        } cases[] = {
            {0, {0, 2, 5}, "3 can be used"},
            {1, {0, 2, 5}, "3 can be used"},
            {4, {0, 2, 5}, "a later group stands here"},
            {5, {1, 2, 3}, "later group"},
            {2, {1, 2, 3}, "length"},
            {6, {1, 2, 3}, "'members' is damaged"},
            {7, {3, 4, 5}, "damaged"},
        };
        for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                for (unsigned v = 0; v < 3; v++)
                        damages[cases[i].damage](cases[i].volumes[v]);
                cr_assert_eq(writing_recover(&w, 0), -EBADMSG, "case %u", i);
                cr_assert_not_null(strstr(w.why, cases[i].words), "case %u: %s", i, w.why);
                for (unsigned v = 0; v < 3; v++)
                        restore(cases[i].volumes[v]);
        }
        expect_all("restored");
        end();
}

/* A volume put back as it was some groups ago. */
Test(parity, a_volume_of_an_earlier_state_is_no_member)
{
        vault_make();
        vault_save();
        writing_begin(&w);
        cr_assert_eq(writing_group(&w, 50), 0);
        cr_assert_eq(writing_group(&w, 50), 0);
        writing_close(&w);
        leaves += 100;
        restore(2);
        restore(3);
        cr_assert_eq(writing_recover(&w, leaves), 0, "%s", w.why);
        cr_assert_eq(w.tip.leaves, leaves);
        cr_assert_eq(vault_begin(w.vault, w.why), 0, "%s", w.why);
        struct vault_status status;
        vault_status(w.vault, &status);
        cr_assert_eq(status.members, N - 2);
        cr_assert_eq(status.volumes[2].state, VOLUME_STALE);
        cr_assert_eq(writing_group(&w, 10), 0);
        writing_close(&w);
        end();
}

Test(parity, paths_may_come_in_any_order)
{
        vault_make();
        const char *kept = w.volumes[0];
        w.volumes[0] = w.volumes[5];
        w.volumes[5] = kept;
        expect_all("swapped");
        writing_end(&w);
}

Test(parity, another_layout_is_refused)
{
        vault_make();
        w.config.data = 5;
        w.config.parity = 1;
        cr_assert_eq(writing_recover(&w, 0), -EINVAL);
        cr_assert_not_null(strstr(w.why, "4 + 2"), "%s", w.why);
        w.config.data = 3;
        w.config.parity = 3;
        cr_assert_eq(writing_recover(&w, 0), -EINVAL, "k must be more than m");
        writing_end(&w);
}
