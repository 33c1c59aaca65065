/* SPDX-License-Identifier: Apache-2.0 */
/* The auditor's pass sees any change of any file, and says which. */
#include "tests/unit/ledger/log_fixture.h"

struct seen {
        uint64_t next, wrong, stop_at;
};

static int
see_entry(void *user, uint64_t leaf, const uint8_t *entry, uint32_t entry_bytes)
{
        struct seen *seen = user;
        uint8_t want[LEAF_ENTRY_BYTES];

        if (seen->stop_at != 0 && leaf == seen->stop_at)
                return -ECANCELED;
        naive_entry(want, leaf);
        seen->wrong += leaf != seen->next++ || entry_bytes != LEAF_ENTRY_BYTES ||
                       memcmp(entry, want, sizeof(want)) != 0;
        return 0;
}

static int
verify(struct fixture *f)
{
        strcpy(f->why, "");
        return log_verify(f->path, &f->verifier, NULL, NULL, NULL, f->why);
}

Test(verify, good_logs_of_many_sizes)
{
        const uint64_t sizes[] = {1, 255, 256, 257, 4096, 4097, 9000};
        struct checkpoint checkpoint;
        struct fixture f;

        fixture_start(&f);
        fixture_open(&f);
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                struct seen seen = {0};
                fixture_append(&f, sizes[i], 4096);
                cr_assert(i == 0 || verify(&f) == 0, "unpublished leaves: %s", f.why);
                fixture_publish(&f);
                cr_assert_eq(log_verify(f.path, &f.verifier, see_entry, &seen, &checkpoint, f.why),
                    0, "%s", f.why);
                cr_assert_eq(checkpoint.size, sizes[i]);
                cr_assert_eq(seen.next, sizes[i]);
                cr_assert_eq(seen.wrong, 0);
        }
        fixture_end(&f);
}

Test(verify, the_caller_may_stop_it)
{
        struct seen seen = {.stop_at = 100};
        struct fixture f;

        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, 300, 300);
        fixture_publish(&f);
        cr_assert_eq(log_verify(f.path, &f.verifier, see_entry, &seen, NULL, f.why), -ECANCELED);
        cr_assert_eq(seen.next, 100);
        fixture_end(&f);
}

struct damage {
        const char *name;
        long at;
        const char *said;
};

static void
check_damage(uint64_t size, const struct damage *damage, unsigned n)
{
        uint8_t before[16384];
        struct fixture f;
        char path[160];

        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, size, 4096);
        fixture_publish(&f);
        for (unsigned i = 0; i < n; i++) {
                snprintf(path, sizeof(path), "%s/%s", f.path, damage[i].name);
                const long bytes = fixture_read(&f, damage[i].name, before, sizeof(before));
                fixture_damage(&f, damage[i].name, damage[i].at);
                cr_expect_eq(verify(&f), -EBADMSG, "%s", damage[i].name);
                cr_expect_not_null(strstr(f.why, damage[i].said), "%s at %ld: %s", damage[i].name,
                    damage[i].at, f.why);
                cr_assert_eq(unlink(path), 0);
                const bool checkpoint = strcmp(damage[i].name, "checkpoint") == 0;
                cr_expect_eq(
                    verify(&f), checkpoint ? -ENOENT : -EBADMSG, "%s missing", damage[i].name);
                cr_expect_not_null(strstr(f.why, damage[i].name), "%s", f.why);
                const int fd = open(path, O_CREAT | O_WRONLY, 0644);
                cr_assert_eq(write(fd, before, (size_t)bytes), bytes);
                close(fd);
        }
        cr_assert_eq(verify(&f), 0, "%s", f.why);
        fixture_end(&f);
}

Test(verify, every_kind_of_damage_is_named)
{
        static const struct damage damage[] = {
            {"tile/entries/000", 0, "tile/entries/000"}, /* a length */
            {"tile/entries/000", 2, "tile/0/000"},       /* an entry: against its hashes */
            {"tile/entries/003", 10239, "tile/0/003"},
            {"tile/entries/003", -1, "tile/entries/003"},
            {"tile/entries/004.p/76", 405, "tile/0/004.p/76"},
            {"tile/entries/004.p/76", -1, "tile/entries/004.p/76"},
            {"tile/0/000", 0, "tile/0/000"},
            {"tile/0/003", 8191, "tile/0/003"},
            {"tile/0/003", -1, "tile/0/003"},
            {"tile/0/004.p/76", 33, "tile/0/004.p/76"},
            {"tile/1/000.p/4", 127, "tile/1/000.p/4"},
            {"checkpoint", 22, "checkpoint"},
            {"checkpoint", -1, "checkpoint"},
        };
        check_damage(1100, damage, sizeof(damage) / sizeof(damage[0]));
}

Test(verify, damage_on_the_upper_levels_is_named)
{
        static const struct damage damage[] = {
            {"tile/1/000", 4000, "tile/1/000"},
            {"tile/1/001.p/1", 31, "tile/1/001.p/1"},
            {"tile/2/000.p/1", 0, "tile/2/000.p/1"},
            {"tile/2/000.p/1", -1, "tile/2/000.p/1"},
        };
        check_damage(66000, damage, sizeof(damage) / sizeof(damage[0]));
}

Test(verify, a_consistent_rewrite_meets_the_signed_root)
{
        uint8_t checkpoint[NOTE_BYTES_MAX];
        struct fixture f, forged;
        char path[128];

        /* Another log of the same size and key, wholly consistent, under the first one's
         * checkpoint. */
        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, 600, 600);
        fixture_publish(&f);
        const long n = fixture_read(&f, "checkpoint", checkpoint, sizeof(checkpoint));

        fixture_start(&forged);
        fixture_open(&forged);
        uint8_t *entries = naive_entries(0, 600);
        entries[77] ^= 1;
        cr_assert_eq(log_append(forged.log, entries, 600), 0);
        fixture_publish(&forged);
        cr_assert_eq(verify(&forged), 0, "%s", forged.why);
        snprintf(path, sizeof(path), "%s/checkpoint", forged.path);
        const int fd = open(path, O_WRONLY | O_TRUNC);
        cr_assert_eq(write(fd, checkpoint, (size_t)n), n);
        close(fd);
        cr_assert_eq(verify(&forged), -EBADMSG);
        cr_assert_not_null(strstr(forged.why, "another root"), "%s", forged.why);
        free(entries);
        fixture_end(&f);
        fixture_end(&forged);
}

Test(verify, another_key_is_refused)
{
        const uint8_t seed[32] = {5};
        struct note_signer *other;
        struct note_verifier verifier;
        struct fixture f;

        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, 10, 10);
        fixture_publish(&f);
        cr_assert_eq(note_signer_create(&other, FIXTURE_ORIGIN, seed), 0);
        note_signer_verifier(other, &verifier);
        cr_assert_eq(log_verify(f.path, &verifier, NULL, NULL, NULL, f.why), -EBADMSG);
        note_signer_free(other);
        fixture_end(&f);
}
