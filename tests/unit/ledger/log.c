/* SPDX-License-Identifier: Apache-2.0 */
/* The folder is the format's, byte for byte; what is derived can be made again; nothing published
 * is contradicted. */
#include "ledger/head.h"
#include "tests/unit/ledger/log_fixture.h"

#include <stdbool.h>

Test(log, tile_paths_of_the_specification)
{
        static const struct {
                int level;
                uint64_t n;
                unsigned width;
                const char *path;
        } known[] = {
            {0, 0, 0, "tile/0/000"},
            {0, 999, 0, "tile/0/999"},
            {0, 1000, 0, "tile/0/x001/000"},
            {0, 1234067, 0, "tile/0/x001/x234/067"},
            {0, 1234067, 5, "tile/0/x001/x234/067.p/5"},
            {-1, 1234067, 255, "tile/entries/x001/x234/067.p/255"},
            {-1, 0, 0, "tile/entries/000"},
            {2, 0, 1, "tile/2/000.p/1"},
            {63, UINT64_MAX, 255, "tile/63/x018/x446/x744/x073/x709/x551/615.p/255"},
        };
        char path[64];

        for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
                const size_t n = strlen(known[i].path);
                cr_assert_eq(
                    log_tile_path(path, sizeof(path), known[i].level, known[i].n, known[i].width),
                    0);
                cr_assert_str_eq(path, known[i].path);
                cr_assert_eq(
                    log_tile_path(path, n + 1, known[i].level, known[i].n, known[i].width), 0);
                cr_assert_eq(
                    log_tile_path(path, n, known[i].level, known[i].n, known[i].width), -ENOSPC);
        }
        cr_assert_eq(log_tile_path(path, sizeof(path), 0, 0, 256), -EINVAL);
        cr_assert_eq(log_tile_path(path, sizeof(path), -2, 0, 1), -EINVAL);
        cr_assert_eq(log_tile_path(path, sizeof(path), 64, 0, 1), -EINVAL);
}

Test(log, an_empty_log_publishes_nothing)
{
        struct fixture f;
        uint8_t root[HASH_BYTES], empty[HASH_BYTES];
        char note[NOTE_BYTES_MAX];

        fixture_start(&f);
        fixture_open(&f);
        cr_assert_eq(log_publish(f.log), 0);
        cr_assert_eq(log_size(f.log), 0);
        cr_assert_eq(log_published(f.log), 0);
        cr_assert_eq(log_checkpoint(f.log, note, sizeof(note)), -ENOENT);
        log_root(f.log, root);
        naive_root(empty, NULL, 0);
        cr_assert_arr_eq(root, empty, HASH_BYTES);
        cr_assert_eq(fixture_files(&f), 0);
        fixture_end(&f);
}

Test(log, every_file_of_70000_leaves)
{
        struct fixture f;
        struct head head;

        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, 70000, 4096 + 123);
        cr_assert_not(fixture_has(&f, "checkpoint"));
        fixture_publish(&f);
        fixture_check(&f, 70000);
        cr_assert(fixture_has(&f, "tile/0/272"));
        cr_assert(fixture_has(&f, "tile/0/273.p/112"));
        cr_assert(fixture_has(&f, "tile/entries/273.p/112"));
        cr_assert(fixture_has(&f, "tile/1/000"));
        cr_assert(fixture_has(&f, "tile/1/001.p/17"));
        cr_assert(fixture_has(&f, "tile/2/000.p/1"));
        /* Those, and the checkpoint, are all: no empty tile, no leftover. */
        cr_assert_eq(fixture_files(&f), 2 * 274 + 2 + 1 + 1);
        cr_assert_eq(head_read(f.head, &head), 0);
        cr_assert_eq(head.size, 70000);
        fixture_end(&f);
}

Test(log, every_size_near_a_tile_s_end)
{
        const uint64_t sizes[] = {1, 2, 255, 256, 257, 511, 512, 513, 768, 1023, 65536};
        struct fixture f;

        fixture_start(&f);
        fixture_open(&f);
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                fixture_append(&f, sizes[i], 1000);
                fixture_publish(&f);
                fixture_check(&f, sizes[i]);
        }
        fixture_end(&f);
}

Test(log, checkpoint_in_memory_is_the_file_s)
{
        struct fixture f;
        char note[NOTE_BYTES_MAX];
        uint8_t file[NOTE_BYTES_MAX], root[HASH_BYTES];
        struct checkpoint checkpoint;

        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, 300, 300);
        fixture_publish(&f);
        const long n = log_checkpoint(f.log, note, sizeof(note));
        cr_assert_eq(n, (long)strlen(note));
        cr_assert_eq(log_checkpoint(f.log, note, (size_t)n), -ENOSPC);
        cr_assert_eq(fixture_read(&f, "checkpoint", file, sizeof(file)), n);
        cr_assert_eq(memcmp(file, note, (size_t)n), 0);
        cr_assert_eq(log_read_checkpoint(f.path, &f.verifier, &checkpoint, NULL, f.why), 0);
        log_root(f.log, root);
        cr_assert_arr_eq(root, checkpoint.root, HASH_BYTES);
        /* After a start too. */
        fixture_close(&f);
        fixture_open(&f);
        cr_assert_eq(log_published(f.log), 300);
        cr_assert_eq(log_checkpoint(f.log, note, sizeof(note)), n);
        cr_assert_eq(memcmp(file, note, (size_t)n), 0);
        fixture_end(&f);
}

Test(log, partial_tiles_stay_until_the_full_one_is_published)
{
        struct fixture f;

        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, 5, 5);
        fixture_publish(&f);
        fixture_append(&f, 9, 5);
        fixture_publish(&f);
        cr_assert(fixture_has(&f, "tile/0/000.p/5"));
        cr_assert(fixture_has(&f, "tile/entries/000.p/5"));
        cr_assert(fixture_has(&f, "tile/0/000.p/9"));
        fixture_append(&f, 300, 300); /* full, but not published */
        cr_assert(fixture_has(&f, "tile/0/000"));
        cr_assert(fixture_has(&f, "tile/0/000.p/5"));
        fixture_publish(&f);
        cr_assert_not(fixture_has(&f, "tile/0/000.p"));
        cr_assert_not(fixture_has(&f, "tile/entries/000.p"));
        cr_assert(fixture_has(&f, "tile/1/000.p/1"));
        fixture_check(&f, 300);
        fixture_end(&f);
}

Test(log, partial_tiles_left_by_a_crash_go_at_the_next_start)
{
        struct fixture f;
        char path[128];

        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, 300, 300);
        fixture_publish(&f);
        fixture_close(&f);
        snprintf(path, sizeof(path), "%s/tile/0/000.p", f.path);
        cr_assert_eq(mkdir(path, 0755), 0);
        snprintf(path, sizeof(path), "%s/tile/0/000.p/7", f.path);
        close(open(path, O_CREAT | O_WRONLY, 0644));
        fixture_open(&f);
        fixture_append(&f, 300, 300);
        cr_assert_not(fixture_has(&f, "tile/0/000.p"));
        cr_assert(fixture_has(&f, "tile/0/001.p/44"));
        fixture_end(&f);
}

Test(log, goes_on_after_a_restart_anywhere)
{
        const uint64_t stops[] = {1, 100, 256, 257, 700, 1024, 5000, 9000};
        struct fixture f;

        fixture_start(&f);
        for (unsigned i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
                fixture_open(&f);
                cr_assert_eq(log_published(f.log), i == 0 ? 0 : stops[i - 1]);
                cr_assert_eq(log_size(f.log), 0);
                /* Batches straddle the published size. */
                fixture_append(&f, stops[i], 4096);
                fixture_publish(&f);
                fixture_close(&f);
                fixture_check(&f, stops[i]);
        }
        fixture_end(&f);
}

Test(log, an_unpublished_tail_is_written_again_whatever_it_holds)
{
        struct fixture f;

        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, 300, 300);
        fixture_publish(&f);
        fixture_append(&f, 1100, 300); /* full tiles are out, not published */
        fixture_close(&f);
        cr_assert(fixture_has(&f, "tile/0/002"));
        fixture_damage(&f, "tile/0/001", 17);
        fixture_damage(&f, "tile/0/002", -1);
        fixture_damage(&f, "tile/entries/003", 100);
        fixture_open(&f);
        cr_assert_eq(log_published(f.log), 300);
        fixture_append(&f, 1100, 4096);
        fixture_publish(&f);
        fixture_check(&f, 1100);
        fixture_end(&f);
}

static void
delete_derived(struct fixture *f, bool checkpoint)
{
        char path[128];

        snprintf(path, sizeof(path), "%s/tile", f->path);
        fixture_remove(path);
        snprintf(path, sizeof(path), "%s/checkpoint", f->path);
        if (checkpoint)
                cr_assert_eq(unlink(path), 0);
}

Test(log, all_that_is_derived_comes_back_byte_for_byte)
{
        struct fixture f;
        uint8_t before[NOTE_BYTES_MAX], after[NOTE_BYTES_MAX];

        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, 3000, 4096);
        fixture_publish(&f);
        const unsigned files = fixture_files(&f);
        const long n = fixture_read(&f, "checkpoint", before, sizeof(before));
        for (unsigned round = 0; round < 2; round++) {
                fixture_close(&f);
                delete_derived(&f, round == 1);
                fixture_open(&f);
                cr_assert_eq(log_published(f.log), round == 1 ? 0 : 3000);
                fixture_append(&f, 3000, 777);
                fixture_publish(&f);
                fixture_check(&f, 3000);
                cr_assert_eq(fixture_files(&f), files);
                cr_assert_eq(fixture_read(&f, "checkpoint", after, sizeof(after)), n);
                cr_assert_eq(memcmp(before, after, (size_t)n), 0);
        }
        fixture_end(&f);
}

Test(log, one_missing_file_comes_back)
{
        static const char *const names[] = {"tile/0/000", "tile/entries/001", "tile/0/002.p/88",
            "tile/entries/002.p/88", "tile/1/000.p/2"};
        struct fixture f;
        char path[128];

        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, 600, 600);
        fixture_publish(&f);
        for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                fixture_close(&f);
                snprintf(path, sizeof(path), "%s/%s", f.path, names[i]);
                cr_assert_eq(unlink(path), 0);
                fixture_open(&f);
                fixture_append(&f, 600, 600);
                fixture_publish(&f);
                fixture_check(&f, 600);
        }
        fixture_end(&f);
}

Test(log, what_is_published_and_right_is_not_written_again)
{
        struct fixture f;
        struct stat before, after;
        char path[128];

        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, 600, 600);
        fixture_publish(&f);
        fixture_close(&f);
        snprintf(path, sizeof(path), "%s/tile/0/001", f.path);
        cr_assert_eq(stat(path, &before), 0);
        fixture_open(&f);
        fixture_append(&f, 600, 600);
        fixture_publish(&f);
        cr_assert_eq(stat(path, &after), 0);
        cr_assert_eq(before.st_ino, after.st_ino, "renamed over");
        fixture_end(&f);
}

Test(log, a_published_file_that_differs_is_named)
{
        static const struct {
                const char *name;
                long at;
        } damage[] = {
            {"tile/0/000", 0},
            {"tile/0/001", 8191},
            {"tile/0/001", -1},
            {"tile/entries/000", 1},
            {"tile/entries/001", 10239},
            {"tile/0/002.p/88", 5},
            {"tile/0/002.p/88", -1},
            {"tile/entries/002.p/88", 70},
            {"tile/1/000.p/2", 63},
        };
        for (unsigned i = 0; i < sizeof(damage) / sizeof(damage[0]); i++) {
                struct fixture f;
                fixture_start(&f);
                fixture_open(&f);
                fixture_append(&f, 600, 600);
                fixture_publish(&f);
                fixture_close(&f);
                fixture_damage(&f, damage[i].name, damage[i].at);
                fixture_open(&f);
                cr_assert_eq(fixture_try_append(&f, 600, 600), -EBADMSG, "%s", damage[i].name);
                cr_assert_not_null(strstr(log_why(f.log), damage[i].name), "%s", log_why(f.log));
                cr_assert_lt(log_size(f.log), 600);
                cr_assert_eq(log_publish(f.log), -EINVAL);
                fixture_end(&f);
        }
}

Test(log, other_records_than_were_signed_are_refused)
{
        struct fixture f;
        uint8_t *entries = naive_entries(0, 600);

        /* Level 0's tiles would differ; without any file the root alone tells. */
        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, 100, 100);
        fixture_publish(&f);
        fixture_close(&f);
        delete_derived(&f, false);
        fixture_open(&f);
        entries[50 * LEAF_ENTRY_BYTES] ^= 1;
        cr_assert_eq(log_append(f.log, entries, 600), -EBADMSG);
        cr_assert_not_null(strstr(log_why(f.log), "another root"), "%s", log_why(f.log));
        cr_assert_eq(log_size(f.log), 0);
        cr_assert_not(fixture_has(&f, "tile/0/000.p/100"));
        entries[50 * LEAF_ENTRY_BYTES] ^= 1;
        cr_assert_eq(log_append(f.log, entries, 600), 0, "%s", log_why(f.log));
        fixture_publish(&f);
        fixture_check(&f, 600);
        free(entries);
        fixture_end(&f);
}

Test(log, never_shrinks)
{
        struct fixture f;

        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, 300, 300);
        fixture_publish(&f);
        fixture_close(&f);
        for (uint64_t size = 0; size < 300; size += 299) {
                fixture_open(&f);
                fixture_append(&f, size, 300);
                cr_assert_eq(log_publish(f.log), -EINVAL);
                cr_assert_not_null(strstr(log_why(f.log), "300"), "%s", log_why(f.log));
                fixture_close(&f);
                fixture_check(&f, 300);
        }
        fixture_end(&f);
}

Test(log, signs_nothing_against_its_head)
{
        struct fixture f;
        struct head head = {.size = 400};

        fixture_start(&f);
        cr_assert_eq(head_write(f.head, &head), 0);
        fixture_open(&f);
        fixture_append(&f, 300, 300); /* fewer than were promised */
        cr_assert_eq(log_publish(f.log), -EINVAL);
        cr_assert_not_null(strstr(log_why(f.log), f.head), "%s", log_why(f.log));
        cr_assert_not(fixture_has(&f, "checkpoint"));
        fixture_append(&f, 400, 300); /* as many, with another root */
        cr_assert_eq(log_publish(f.log), -EINVAL);
        cr_assert_not(fixture_has(&f, "checkpoint"));
        cr_assert_eq(log_published(f.log), 0);
        fixture_append(&f, 401, 300);
        fixture_publish(&f);
        fixture_check(&f, 401);
        fixture_end(&f);
}

Test(log, goes_on_when_the_head_is_ahead_of_the_checkpoint)
{
        struct fixture f;
        struct head head = {.size = 500};
        uint8_t(*leaves)[HASH_BYTES] = naive_leaf_hashes(0, 500);

        /* Killed between the head and the checkpoint. */
        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, 300, 300);
        fixture_publish(&f);
        fixture_close(&f);
        naive_root(head.root, leaves, 500);
        cr_assert_eq(head_write(f.head, &head), 0);
        fixture_open(&f);
        fixture_append(&f, 500, 300);
        fixture_publish(&f);
        fixture_check(&f, 500);
        free(leaves);
        fixture_end(&f);
}

Test(log, has_one_writer)
{
        struct fixture f;
        struct log *log;

        fixture_start(&f);
        fixture_open(&f);
        log = f.log;
        cr_assert_eq(fixture_try_open(&f), -EBUSY);
        cr_assert_not_null(strstr(f.why, f.path), "%s", f.why);
        f.log = log;
        fixture_close(&f);
        fixture_open(&f);
        fixture_end(&f);
}

Test(log, says_what_is_wrong_with_its_folder)
{
        struct fixture f;
        char path[sizeof(f.path)];

        fixture_start(&f);
        strcpy(path, f.path);
        snprintf(f.path, sizeof(f.path), "%s/no/such", f.root);
        cr_assert_eq(fixture_try_open(&f), -ENOENT);
        cr_assert_not_null(strstr(f.why, f.path), "%s", f.why);
        strcpy(f.path, path);
        close(open(f.path, O_CREAT | O_WRONLY, 0600));
        cr_assert_eq(fixture_try_open(&f), -ENOTDIR);
        fixture_end(&f);
}
