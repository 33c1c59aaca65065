/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing is signed before it is durable, and a crash or power cut at any system call loses
 * nothing.
 *
 * The calls that change the folder are watched (the linker's --wrap). A small model knows what is
 * durable: a file's content after its fsync, a name after its folder's, all after syncfs. */
#include "ledger/head.h"
#include "tests/unit/ledger/log_fixture.h"

#include <stdbool.h>
#include <sys/wait.h>

/* One name for each call that is watched. */
enum call { WRITE, FSYNC, SYNCFS, RENAME, MKDIR, HEAD, UNLINK, CALLS_N };

int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __real_mkdirat(int fd, const char *path, mode_t mode);
int __real_unlinkat(int fd, const char *path, int flags);
ssize_t __real_write(int fd, const void *bytes, size_t n);
int __real_head_write(const char *path, const struct head *head);
int __wrap_fsync(int fd);
int __wrap_syncfs(int fd);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_mkdirat(int fd, const char *path, mode_t mode);
int __wrap_unlinkat(int fd, const char *path, int flags);
ssize_t __wrap_write(int fd, const void *bytes, size_t n);
int __wrap_head_write(const char *path, const struct head *head);

#define INODES_MAX 4096u

static struct model {
        bool on;
        const char *path; /* the log's folder */
        unsigned calls[CALLS_N], calls_all;
        ino_t synced[INODES_MAX], clean[INODES_MAX]; /* files by content, folders by their names */
        unsigned synced_n, clean_n;
        unsigned crash_at; /* the call that is not made any more; 0: none */
        bool power_cut;    /* and what is not durable is lost */
        enum call fail_call;
        int fail_errno;
        unsigned fail_in;
        bool child;           /* a violation ends it, since its parent asserts */
        unsigned violations;  /* of the order */
        unsigned not_durable; /* found by the last walk */
        uint64_t head_size;   /* last written */
} model;

static bool
set_has(const ino_t *set, unsigned n, ino_t ino)
{
        for (unsigned i = 0; i < n; i++)
                if (set[i] == ino)
                        return true;
        return false;
}

static void
set_add(ino_t *set, unsigned *n, ino_t ino)
{
        if (set_has(set, *n, ino))
                return;
        if (*n == INODES_MAX)
                abort();
        set[(*n)++] = ino;
}

static void
set_remove(ino_t *set, unsigned *n, ino_t ino)
{
        for (unsigned i = 0; i < *n; i++)
                if (set[i] == ino)
                        set[i--] = set[--*n];
}

static void
violate(const char *what)
{
        fprintf(stderr, "out of order: %s\n", what);
        model.violations++;
        if (model.child)
                _exit(97);
}

static bool
is_tmp(const char *path)
{
        const size_t n = strlen(path);

        return n > 4 && strcmp(path + n - 4, ".tmp") == 0;
}

static int
walk_sync(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
        if (flag == FTW_F)
                set_add(model.synced, &model.synced_n, stat->st_ino);
        else if (flag == FTW_D)
                set_add(model.clean, &model.clean_n, stat->st_ino);
        return 0;
}

static int
walk_check(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
        bool durable = true;

        if (flag == FTW_F && !is_tmp(path))
                durable = set_has(model.synced, model.synced_n, stat->st_ino);
        else if (flag == FTW_D)
                durable = set_has(model.clean, model.clean_n, stat->st_ino);
        if (!durable)
                fprintf(stderr, "not durable: %s\n", path);
        model.not_durable += !durable;
        return 0;
}

/* What a disk may do with content that was not flushed. */
static int
walk_cut(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
        if (flag == FTW_F && !set_has(model.synced, model.synced_n, stat->st_ino) &&
            truncate(path, stat->st_size / 3) != 0)
                _exit(99);
        return 0;
}

static void
walk(int (*visit)(const char *, const struct stat *, int, struct FTW *))
{
        if (nftw(model.path, visit, 16, FTW_PHYS) != 0)
                abort();
}

/* True when the call is to fail, with errno set. Counts it; may be the last one. */
static bool
enter(enum call call)
{
        if (!model.on)
                return false;
        model.calls[call]++;
        if (++model.calls_all == model.crash_at) {
                if (model.power_cut)
                        walk(walk_cut);
                _exit(42);
        }
        if (model.fail_errno != 0 && call == model.fail_call && model.fail_in-- == 0) {
                errno = model.fail_errno;
                model.fail_errno = 0;
                return true;
        }
        return false;
}

/* A name in that folder has changed: not durable until the folder is synced. */
static void
name_changed(int fd, const char *path)
{
        struct stat stat;
        char parent[128];

        snprintf(parent, sizeof(parent), "%s", path);
        char *slash = strrchr(parent, '/');
        if (slash != NULL)
                *slash = '\0';
        if (fstatat(fd, slash == NULL ? "." : parent, &stat, 0) == 0)
                set_remove(model.clean, &model.clean_n, stat.st_ino);
}

int
__wrap_fsync(int fd)
{
        struct stat stat;

        if (enter(FSYNC))
                return -1;
        if (model.on && fstat(fd, &stat) == 0) {
                if (S_ISDIR(stat.st_mode))
                        set_add(model.clean, &model.clean_n, stat.st_ino);
                else
                        set_add(model.synced, &model.synced_n, stat.st_ino);
        }
        return 0; /* the model's word is enough, and quick */
}

int
__wrap_syncfs(int fd)
{
        if (enter(SYNCFS))
                return -1;
        if (model.on)
                walk(walk_sync);
        return 0;
}

int
__wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
        struct stat stat;

        if (enter(RENAME))
                return -1;
        if (model.on && strcmp(to, "checkpoint") == 0) {
                /* The checkpoint's own content first, and the head is written. */
                if (fstatat(from_fd, from, &stat, 0) != 0 ||
                    !set_has(model.synced, model.synced_n, stat.st_ino))
                        violate("the checkpoint is renamed in before it is flushed");
                if (model.calls[HEAD] == 0)
                        violate("the checkpoint comes before the head");
        }
        const int result = __real_renameat(from_fd, from, to_fd, to);
        if (model.on && result == 0)
                name_changed(to_fd, to);
        return result;
}

int
__wrap_mkdirat(int fd, const char *path, mode_t mode)
{
        struct stat stat;

        if (enter(MKDIR))
                return -1;
        const int result = __real_mkdirat(fd, path, mode);
        if (model.on && result == 0) {
                name_changed(fd, path);
                cr_assert_eq(fstatat(fd, path, &stat, 0), 0);
                set_remove(
                    model.clean, &model.clean_n, stat.st_ino); /* an inode's number comes back */
        }
        return result;
}

int
__wrap_unlinkat(int fd, const char *path, int flags)
{
        if (enter(UNLINK))
                return -1;
        return __real_unlinkat(fd, path, flags);
}

ssize_t
__wrap_write(int fd, const void *bytes, size_t n)
{
        struct stat stat;

        if (model.on && fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode)) {
                if (enter(WRITE))
                        return -1;
                set_remove(model.synced, &model.synced_n, stat.st_ino);
        }
        return __real_write(fd, bytes, n);
}

int
__wrap_head_write(const char *path, const struct head *head)
{
        if (enter(HEAD))
                return -errno;
        if (!model.on)
                return __real_head_write(path, head);
        /* All that the checkpoint will speak of is durable by now. */
        model.not_durable = 0;
        walk(walk_check);
        if (model.not_durable != 0)
                violate("the head comes before files or folders are flushed");
        const bool on = model.on;
        model.on = false; /* its own calls are its own matter */
        const int error = __real_head_write(path, head);
        model.on = on;
        if (error == 0)
                model.head_size = head->size;
        return error;
}

static void
model_start(const struct fixture *f)
{
        memset(&model, 0, sizeof(model));
        model.path = f->path;
        walk(walk_sync); /* what there is is durable */
        model.on = true;
}

static void
model_check_all_durable(void)
{
        model.not_durable = 0;
        walk(walk_check);
        cr_assert_eq(model.not_durable, 0);
        cr_assert_eq(model.violations, 0);
}

/* A log that has published once, so that few files are synced one by one. */
static void
start_published(struct fixture *f, uint64_t size)
{
        fixture_start(f);
        fixture_open(f);
        fixture_append(f, size, 4096);
        fixture_publish(f);
        model_start(f);
}

Test(log_order, few_files_are_flushed_one_by_one)
{
        struct fixture f;

        start_published(&f, 250);
        for (uint64_t size = 251; size < 1300; size += 1 + size / 4) {
                memset(model.calls, 0, sizeof(model.calls));
                fixture_append(&f, size, 4096);
                fixture_publish(&f);
                cr_assert_eq(model.calls[SYNCFS], 0);
                cr_assert_gt(model.calls[FSYNC], 3);
                cr_assert_eq(model.calls[HEAD], 1);
                cr_assert_eq(model.head_size, size);
                model_check_all_durable();
        }
        model.on = false;
        fixture_end(&f);
}

Test(log_order, many_files_are_flushed_at_once)
{
        struct fixture f;

        start_published(&f, 250);
        fixture_append(&f, 250 + 40 * 256, 4096);
        fixture_publish(&f);
        cr_assert_eq(model.calls[SYNCFS], 1);
        cr_assert_leq(model.calls[FSYNC], 4);
        model_check_all_durable();
        /* And the next ones again one by one. */
        fixture_append(&f, 251 + 40 * 256, 4096);
        fixture_publish(&f);
        cr_assert_eq(model.calls[SYNCFS], 1);
        model_check_all_durable();
        model.on = false;
        fixture_end(&f);
}

Test(log_order, the_first_publish_flushes_what_a_crash_left)
{
        struct fixture f;

        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, 300, 300);
        model_start(&f);
        model.synced_n = model.clean_n = 0; /* nothing is known of what there is */
        fixture_publish(&f);
        cr_assert_eq(model.calls[SYNCFS], 1);
        model_check_all_durable();
        model.on = false;
        fixture_end(&f);
}

Test(log_order, nothing_new_is_no_work)
{
        struct fixture f;

        start_published(&f, 300);
        cr_assert_eq(log_publish(f.log), 0);
        cr_assert_eq(model.calls_all, 0);
        model.on = false;
        fixture_close(&f);
        fixture_open(&f);
        fixture_append(&f, 300, 300);
        model_start(&f);
        cr_assert_eq(log_publish(f.log), 0);
        cr_assert_eq(model.calls_all, 0);
        model.on = false;
        fixture_end(&f);
}

Test(log_order, a_published_tile_made_again_is_flushed_before_its_name)
{
        struct fixture f;
        char path[128];

        fixture_start(&f);
        fixture_open(&f);
        fixture_append(&f, 300, 300);
        fixture_publish(&f);
        fixture_close(&f);
        snprintf(path, sizeof(path), "%s/tile/0/000", f.path);
        cr_assert_eq(unlink(path), 0);
        fixture_open(&f);
        model_start(&f);
        fixture_append(&f, 300, 300);
        cr_assert_eq(model.calls[FSYNC], 1);
        fixture_publish(&f);
        model_check_all_durable();
        model.on = false;
        fixture_check(&f, 300);
        fixture_end(&f);
}

/* In a child: goes from 250 to 520 leaves with the given crash. True when it died there. */
static bool
crash(struct fixture *f, unsigned at, bool power_cut)
{
        const pid_t pid = fork();
        int status;

        cr_assert_geq(pid, 0);
        if (pid == 0) {
                if (fixture_try_open(f) != 0)
                        _exit(1);
                model_start(f);
                model.child = true;
                model.crash_at = at;
                model.power_cut = power_cut;
                if (fixture_try_append(f, 520, 200) != 0 || log_publish(f->log) != 0)
                        _exit(1);
                _exit(0);
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFEXITED(status));
        cr_assert(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 42, "the child says %d",
            WEXITSTATUS(status));
        return WEXITSTATUS(status) == 42;
}

static void
check_after_crash(struct fixture *f, unsigned at)
{
        struct checkpoint checkpoint;
        struct head head;

        /* What strangers see is whole at all times. */
        int error = log_verify(f->path, &f->verifier, NULL, NULL, &checkpoint, f->why);
        cr_assert_eq(error, 0, "after a crash at call %u: %s", at, f->why);
        cr_assert(checkpoint.size == 250 || checkpoint.size == 520);
        cr_assert_eq(head_read(f->head, &head), 0);
        cr_assert_geq(head.size, checkpoint.size, "signed and not remembered, call %u", at);
        fixture_open(f);
        cr_assert_eq(log_published(f->log), checkpoint.size);
        fixture_append(f, 520, 4096);
        fixture_publish(f);
        error = log_verify(f->path, &f->verifier, NULL, NULL, &checkpoint, f->why);
        cr_assert_eq(error, 0, "after the restart, call %u: %s", at, f->why);
        cr_assert_eq(checkpoint.size, 520);
        fixture_close(f);
}

static void
crash_everywhere(bool power_cut, unsigned step)
{
        unsigned at = 1;

        for (bool died = true; died; at += step) {
                struct fixture f;
                fixture_start(&f);
                fixture_open(&f);
                fixture_append(&f, 250, 4096);
                fixture_publish(&f);
                fixture_close(&f);
                died = crash(&f, at, power_cut);
                check_after_crash(&f, at);
                fixture_end(&f);
        }
        cr_assert_gt(at, 30, "only %u calls were seen", at);
}

Test(log_order, killed_at_any_call_it_goes_on)
{
        crash_everywhere(false, 3);
}

Test(log_order, losing_power_at_any_call_it_goes_on)
{
        crash_everywhere(true, 1);
}

static void
fail_next(enum call call, int error, unsigned in)
{
        model.fail_call = call;
        model.fail_errno = error;
        model.fail_in = in;
}

Test(log_order, a_failed_flush_is_final_and_signs_nothing)
{
        const enum call flushes[] = {FSYNC, HEAD};

        for (unsigned i = 0; i < 2; i++) {
                struct fixture f;
                start_published(&f, 300);
                fixture_append(&f, 700, 700);
                fail_next(flushes[i], EIO, 0);
                cr_assert_eq(log_publish(f.log), -EIO);
                cr_assert_not_null(strstr(log_why(f.log), "start again"), "%s", log_why(f.log));
                /* The disk seems well again, but what it lost it does not tell. */
                cr_assert_eq(log_publish(f.log), -EIO);
                cr_assert_eq(fixture_try_append(&f, 701, 1), -EIO);
                cr_assert_eq(log_published(f.log), 300);
                model.on = false;
                struct checkpoint checkpoint;
                cr_assert_eq(log_read_checkpoint(f.path, &f.verifier, &checkpoint, NULL, f.why), 0);
                cr_assert_eq(checkpoint.size, 300);
                /* A new start trusts none of it. */
                fixture_close(&f);
                fixture_open(&f);
                model_start(&f);
                model.synced_n = 0;
                fixture_append(&f, 700, 700);
                fixture_publish(&f);
                model_check_all_durable();
                model.on = false;
                fixture_check(&f, 700);
                fixture_end(&f);
        }
}

Test(log_order, a_full_disk_refuses_and_goes_on_when_there_is_room)
{
        const enum call calls[] = {WRITE, RENAME, MKDIR};
        struct fixture f;

        for (unsigned c = 0; c < 3; c++) {
                for (unsigned in = 0; in < 16; in++) {
                        start_published(&f, 300);
                        fail_next(calls[c], ENOSPC, in);
                        int error = fixture_try_append(&f, 700, 250);
                        if (error == 0)
                                error = log_publish(f.log);
                        if (model.fail_errno != 0) { /* never came to it */
                                in = 16;
                                model.fail_errno = 0;
                        } else {
                                cr_assert_eq(error, -ENOSPC);
                                cr_assert_eq(log_published(f.log), 300);
                                cr_assert_not_null(
                                    strstr(log_why(f.log), f.path), "%s", log_why(f.log));
                        }
                        fixture_append(&f, 700, 250);
                        fixture_publish(&f);
                        model_check_all_durable();
                        model.on = false;
                        fixture_check(&f, 700);
                        fixture_end(&f);
                }
        }
}
