/* SPDX-License-Identifier: Apache-2.0 */
/* Promise 1, the vault's part: what vault_poll() calls durable can be read back, from this process
 * and the next; a failed write is final; a full disk refuses and recovers; nobody else writes the
 * volume. */
#include "vault_helpers.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

static void
read_check(struct vault *vault, uint64_t leaf)
{
        uint8_t sealed[SEAL_BYTES_MAX], digest[HASH_BYTES];
        uint32_t bytes = 0;
        cr_assert_eq(vault_read_leaf(vault, leaf, sealed, &bytes, digest), 0);
        sealed_check(leaf, sealed, bytes, digest);
}

Test(vault, a_new_volume_is_empty)
{
        struct writing w;
        writing_init(&w);
        cr_assert_eq(writing_recover(&w, 0), 0, "%s", w.why);
        cr_assert_eq(w.tip.groups, 0);
        cr_assert_eq(w.tip.leaves, 0);
        cr_assert_eq(w.tip.cut_bytes, 0);
        writing_end(&w);
}

Test(vault, what_was_durable_is_there_after_a_restart)
{
        struct writing w;
        writing_init(&w);
        writing_begin(&w);
        static const uint32_t sizes[] = {1, 7, 300, 2, 1000, 4096, 5, 4000};
        uint64_t leaves = 0;
        for (unsigned i = 0; i < 8; i++) {
                cr_assert_eq(writing_group(&w, sizes[i]), 0);
                leaves += sizes[i];
                read_check(w.vault, leaves - 1);
        }
        read_check(w.vault, 0);
        uint8_t root[HASH_BYTES];
        tree_root(&w.tree, root);
        struct vault_stats stats;
        vault_stats(w.vault, &stats);
        cr_assert_eq(stats.groups, 8);
        cr_assert_eq(stats.leaves, leaves);
        cr_assert(stats.bytes_written > leaves * SEAL_OVERHEAD);
        writing_close(&w);

        cr_assert_eq(writing_recover(&w, leaves), 0, "%s", w.why);
        cr_assert_eq(w.tip.groups, 8);
        cr_assert_eq(w.tip.leaves, leaves);
        cr_assert_eq(w.tip.cut_bytes, 0);
        cr_assert_eq(memcmp(w.tip.root, root, HASH_BYTES), 0);
        for (uint64_t leaf = 0; leaf < leaves; leaf += 97)
                read_check(w.vault, leaf);
        writing_end(&w);
}

Test(vault, goes_on_where_it_stopped)
{
        struct writing w;
        writing_init(&w);
        uint64_t leaves = 0;
        for (unsigned i = 0; i < 6; i++) {
                writing_begin(&w);
                cr_assert_eq(w.tip.leaves, leaves);
                cr_assert_eq(writing_group(&w, 1700), 0);
                cr_assert_eq(writing_group(&w, 3), 0);
                leaves += 1703;
                writing_close(&w);
        }
        cr_assert_eq(writing_recover(&w, leaves), 0, "%s", w.why);
        cr_assert_eq(w.tip.groups, 12);
        read_check(w.vault, leaves - 1);
        writing_end(&w);
}

Test(vault, a_group_takes_4096_records_or_2_mib)
{
        struct writing w;
        writing_init(&w);
        writing_begin(&w);
        struct group *group = vault_group(w.vault);
        cr_assert_eq(writing_fill(&w, group, GROUP_RECORDS_MAX + 1), GROUP_RECORDS_MAX);
        cr_assert_eq(group_records(group), GROUP_RECORDS_MAX);
        cr_assert_eq(writing_submit(&w, group), 0);
        cr_assert_eq(writing_flush(&w), 0);
        writing_close(&w);
        cr_assert_eq(writing_recover(&w, GROUP_RECORDS_MAX), 0, "%s", w.why);
        cr_assert_eq(vault_begin(w.vault, w.why), 0);

        /* The longest records fill the bytes first. */
        static uint8_t sealed[SEAL_BYTES_MAX];
        uint8_t digest[HASH_BYTES] = {0};
        group = vault_group(w.vault);
        uint32_t n = 0;
        sealed[1] = RECORD_OSCORE;
        while (group_add(group, sealed, sizeof(sealed), digest))
                n++;
        cr_assert(n > 1700 && n < 2000, "%u", n);
        cr_assert_eq(writing_submit(&w, group), 0);
        cr_assert_eq(writing_flush(&w), 0);
        writing_end(&w);
}

/* An idle gateway writes one record a group: it must not cost more than a block. */
Test(vault, a_small_group_takes_one_block)
{
        struct writing w;
        struct vault_stats stats;
        writing_init(&w);
        writing_begin(&w);
        cr_assert_eq(writing_group(&w, 2), 0);
        vault_stats(w.vault, &stats);
        cr_assert_eq(stats.bytes_written, BLOCK_BYTES);
        writing_end(&w);
}

Test(vault, one_group_in_flight_while_the_next_fills)
{
        struct writing w;
        writing_init(&w);
        writing_begin(&w);
        struct group *first = vault_group(w.vault), *done = NULL;
        writing_fill(&w, first, 10);
        cr_assert_eq(vault_poll(w.vault, &done, 0), 0);
        cr_assert_eq(writing_submit(&w, first), 0);
        struct group *second = vault_group(w.vault);
        cr_assert_not_null(second);
        cr_assert_neq(second, first);
        cr_assert_eq(vault_group(w.vault), second, "the same until it is submitted");
        writing_fill(&w, second, 10);
        uint8_t root[HASH_BYTES] = {0};
        cr_assert_eq(vault_submit(w.vault, second, 10, root), -EBUSY);
        int ready = 0;
        while (ready == 0)
                ready = vault_poll(w.vault, &done, 50000);
        cr_assert_eq(ready, 1);
        cr_assert_eq(done, first);
        uint8_t sealed[SEAL_BYTES_MAX], digest[HASH_BYTES];
        uint32_t bytes;
        cr_assert_eq(
            vault_read_leaf(w.vault, 0, sealed, &bytes, digest), -ENOENT, "not released yet");
        vault_release(w.vault, first);
        cr_assert_eq(vault_read_leaf(w.vault, 0, sealed, &bytes, digest), 0);
        cr_assert_eq(vault_read_leaf(w.vault, 10, sealed, &bytes, digest), -ENOENT);
        cr_assert_eq(vault_read_leaf(w.vault, UINT64_MAX, sealed, &bytes, digest), -ENOENT);
        writing_end(&w);
}

/* ---- readers beside the writer ---- */

struct reading {
        struct vault *vault;
        _Atomic uint64_t leaves; /* released */
        _Atomic bool stop;
        _Atomic unsigned wrong, reads;
};

static void *
reader_main(void *user)
{
        struct reading *r = user;
        uint8_t sealed[SEAL_BYTES_MAX], digest[HASH_BYTES];
        uint8_t want[SEAL_BYTES_MAX], want_digest[HASH_BYTES];
        uint32_t bytes = 0;
        for (uint64_t i = 0; !atomic_load(&r->stop); i++) {
                uint64_t leaves = atomic_load(&r->leaves);
                if (leaves == 0)
                        continue;
                uint64_t leaf = i % 2 ? leaves - 1 : i * 31 % leaves;
                int error = vault_read_leaf(r->vault, leaf, sealed, &bytes, digest);
                uint32_t want_bytes = sealed_make(want, leaf, want_digest);
                if (error || bytes != want_bytes || memcmp(sealed, want, bytes) ||
                    memcmp(digest, want_digest, HASH_BYTES))
                        atomic_fetch_add(&r->wrong, 1);
                atomic_fetch_add(&r->reads, 1);
        }
        return NULL;
}

Test(vault, any_thread_reads_while_one_writes)
{
        struct writing w;
        writing_init(&w);
        writing_begin(&w);
        struct reading r = {.vault = w.vault};
        pthread_t threads[2];
        for (unsigned i = 0; i < 2; i++)
                cr_assert_eq(pthread_create(&threads[i], NULL, reader_main, &r), 0);
        for (unsigned i = 0; i < 40 || (atomic_load(&r.reads) == 0 && i < 4000); i++) {
                cr_assert_eq(writing_group(&w, 30), 0);
                atomic_store(&r.leaves, w.tree.size);
        }
        atomic_store(&r.stop, true);
        for (unsigned i = 0; i < 2; i++)
                pthread_join(threads[i], NULL);
        cr_assert_eq(r.wrong, 0);
        cr_assert(r.reads > 0);
        writing_end(&w);
}

Test(vault, a_damaged_group_is_not_read)
{
        struct writing w;
        writing_init(&w);
        writing_begin(&w);
        cr_assert_eq(writing_group(&w, 20), 0);
        cr_assert_eq(writing_group(&w, 20), 0);
        char path[PATH_MAX];
        segment_path(&w, 0, path);
        raw_flip(path, BLOCK_BYTES + GROUP_HEADER_BYTES + 20 * GROUP_ENTRY_BYTES + 7, 1);
        uint8_t sealed[SEAL_BYTES_MAX], digest[HASH_BYTES];
        uint32_t bytes;
        cr_assert_eq(vault_read_leaf(w.vault, 19, sealed, &bytes, digest), -EBADMSG);
        read_check(w.vault, 20);
        writing_end(&w);
}

/* ---- faults ---- */

static void
failed_write(int inject, int want)
{
        struct writing w;
        writing_init(&w);
        writing_begin(&w);
        cr_assert_eq(writing_group(&w, 50), 0);
        vault_inject(w.vault, inject);
        cr_assert_eq(writing_group(&w, 50), want);
        vault_inject(w.vault, 0);
        struct group *group = vault_group(w.vault), *done;
        cr_assert_not_null(group);
        writing_fill(&w, group, 1);
        uint8_t root[HASH_BYTES] = {0};
        cr_assert_eq(vault_submit(w.vault, group, 50, root), want, "never again");
        cr_assert_eq(vault_poll(w.vault, &done, 0), want);
        cr_assert(!vault_space(w.vault));
        read_check(w.vault, 49);
        writing_close(&w);
        /* What was acknowledged is still there, and the volume can be written again. */
        cr_assert_eq(writing_recover(&w, 50), 0, "%s", w.why);
        cr_assert_eq(vault_begin(w.vault, w.why), 0, "%s", w.why);
        cr_assert_eq(writing_group(&w, 50), 0);
        writing_end(&w);
}

Test(vault, a_failed_write_is_final)
{
        failed_write(EIO, -EIO);
}

Test(vault, a_short_write_is_final)
{
        failed_write(-(int)BLOCK_BYTES, -EIO);
}

/* Submits and flushes groups until there is no segment for the next; that group stays filling. */
static struct group *
fill_until_full(struct writing *w)
{
        uint8_t root[HASH_BYTES];
        for (unsigned i = 0; i < 100; i++) {
                struct group *group = vault_group(w->vault);
                writing_fill(w, group, 3000);
                tree_root(&w->tree, root);
                int error = vault_submit(w->vault, group, w->tree.size, root);
                if (error == -ENOSPC)
                        return group;
                cr_assert_eq(error, 0);
                cr_assert_eq(writing_flush(w), 0);
        }
        cr_assert_fail("never full");
        return NULL;
}

Test(vault, a_full_disk_refuses_and_goes_on_when_there_is_room)
{
        struct writing w;
        writing_init(&w);
        writing_begin(&w);
        cr_assert(vault_space(w.vault));
        vault_inject(w.vault, ENOSPC);
        struct group *group = fill_until_full(&w);
        cr_assert(!vault_space(w.vault));
        cr_assert_eq(vault_group(w.vault), group, "it still fills");
        cr_assert_eq(writing_fill(&w, group, 5), 5, "and takes more");
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%.3900s/segments/.making", w.path);
        struct stat st;
        usleep(300000); /* some tries */
        vault_inject(w.vault, 0);
        cr_assert_eq(writing_submit(&w, group), 0);
        cr_assert_eq(writing_flush(&w), 0);
        for (unsigned i = 0; !vault_space(w.vault) && i < 1000; i++)
                usleep(10000);
        cr_assert(vault_space(w.vault));
        uint64_t leaves = w.tree.size;
        writing_close(&w);
        cr_assert_neq(stat(path, &st), 0, "no half-made segment stays");
        cr_assert_eq(writing_recover(&w, leaves), 0, "%s", w.why);
        writing_end(&w);
}

Test(vault, starts_on_a_full_disk)
{
        struct writing w;
        writing_init(&w);
        w.config.reserve_bytes = UINT64_MAX / 2;
        writing_begin(&w);
        cr_assert(!vault_space(w.vault), "free space is below the reserve");
        struct group *group = vault_group(w.vault);
        writing_fill(&w, group, 1);
        uint8_t root[HASH_BYTES];
        tree_root(&w.tree, root);
        cr_assert_eq(vault_submit(w.vault, group, 0, root), -ENOSPC);
        writing_end(&w);
}

/* ---- who may write, and how ---- */

Test(vault, a_second_process_is_told_who_has_the_volume)
{
        struct writing w;
        writing_init(&w);
        writing_begin(&w);
        char pid[32];
        snprintf(pid, sizeof(pid), "process %d", (int)getpid());
        fflush(NULL);
        pid_t child = fork();
        cr_assert(child >= 0);
        if (child == 0) {
                struct vault *vault;
                char why[VAULT_WHY_BYTES];
                int error = vault_open(&vault, &w.config, why);
                _exit(error != -EBUSY ? 1
                                      : strstr(why, pid) == NULL && strstr(why, "another") == NULL);
        }
        int status;
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        writing_close(&w);
        cr_assert_eq(writing_recover(&w, 0), 0, "free again");
        writing_end(&w);
}

Test(vault, every_writing_descriptor_is_direct_and_synchronous)
{
        struct writing w;
        writing_init(&w);
        writing_begin(&w);
        cr_assert_eq(writing_group(&w, 5), 0);
        unsigned writers = 0;
        DIR *folder = opendir("/proc/self/fd");
        cr_assert_not_null(folder);
        struct dirent *entry;
        while ((entry = readdir(folder)) != NULL) {
                char link[300], target[PATH_MAX] = "", line[256];
                snprintf(link, sizeof(link), "/proc/self/fd/%s", entry->d_name);
                if (readlink(link, target, sizeof(target) - 1) < 0 ||
                    strncmp(target, w.path, strlen(w.path)) != 0)
                        continue;
                snprintf(link, sizeof(link), "/proc/self/fdinfo/%s", entry->d_name);
                FILE *info = fopen(link, "r");
                unsigned flags = 0;
                while (info != NULL && fgets(line, sizeof(line), info) != NULL)
                        if (sscanf(line, "flags: %o", &flags) == 1)
                                break;
                if (info == NULL)
                        continue;
                fclose(info);
                if ((flags & O_ACCMODE) == O_RDONLY)
                        continue;
                writers++;
                cr_assert_eq(flags & O_DIRECT, O_DIRECT, "%s", target);
                cr_assert_eq(flags & O_DSYNC, O_DSYNC, "%s", target);
        }
        closedir(folder);
        cr_assert(writers > 0);
        writing_end(&w);
}

Test(vault, a_foreign_folder_is_not_touched)
{
        struct writing w;
        writing_init(&w);
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%.4000s/letters", w.path);
        close(open(path, O_CREAT | O_WRONLY, 0600));
        cr_assert_eq(writing_recover(&w, 0), -EBADMSG);
        cr_assert_not_null(strstr(w.why, "letters"), "%s", w.why);
        writing_end(&w);
}

Test(vault, a_damaged_identity_is_refused)
{
        struct writing w;
        writing_init(&w);
        writing_begin(&w);
        writing_close(&w);
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%.4000s/volume", w.path);
        raw_flip(path, 20, 4);
        cr_assert_eq(writing_recover(&w, 0), -EBADMSG);
        cr_assert_eq(unlink(path), 0);
        cr_assert_eq(writing_recover(&w, 0), -EBADMSG, "segments without identity");
        writing_end(&w);
}

Test(vault, senseless_configurations_are_refused)
{
        struct writing w;
        writing_init(&w);
        w.config.segment_bytes = 4096;
        cr_assert_eq(writing_recover(&w, 0), -EINVAL);
        w.config.segment_bytes = SEGMENT_BYTES_MIN + 1;
        cr_assert_eq(writing_recover(&w, 0), -EINVAL);
        writing_end(&w);
}
