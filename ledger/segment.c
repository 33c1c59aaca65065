/* SPDX-License-Identifier: Apache-2.0 */
/* Segments are made ahead of need by a helper thread, zeroed and flushed: a write into zeroed space
 * costs the file system no allocation, and what was never written reads as zero. */
#include "ledger/vault_internal.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

/* The helper looks again for space, and at what is free, this often. */
#define HELPER_PERIOD_MS 100u
#define TEMP_NAME        ".making" /* one segment is made at a time */

void
segment_name(char name[SEGMENT_NAME_BYTES], uint32_t index)
{
        assert(index < SEGMENTS_MAX);
        snprintf(name, SEGMENT_NAME_BYTES, "%08u", index % SEGMENTS_MAX);
}

int
segment_open(const struct segments *segments, uint32_t index, int flags)
{
        char name[SEGMENT_NAME_BYTES], path[PATH_BYTES];
        segment_name(name, index);
        int error = path_join(path, sizeof(path), segments->path, name);
        if (error)
                return error;
        int fd = open(path, flags);
        return fd < 0 ? -errno : fd;
}

/* The index that a name stands for, or -1. */
static int64_t
name_index(const char *name)
{
        if (strlen(name) != SEGMENT_NAME_BYTES - 1 || strspn(name, "0123456789") != strlen(name))
                return -1;
        return strtoll(name, NULL, 10);
}

int
segments_count(struct segments *segments, uint32_t *count, uint32_t *missing)
{
        DIR *folder = opendir(segments->path);
        if (folder == NULL)
                return -errno;
        uint64_t end = 0, names = 0;
        struct dirent *entry;
        errno = 0;
        while ((entry = readdir(folder)) != NULL) {
                int64_t index = name_index(entry->d_name);
                if (index < 0)
                        continue;
                names++;
                if ((uint64_t)index + 1 > end)
                        end = (uint64_t)index + 1;
        }
        int error = -errno;
        closedir(folder);
        if (error)
                return error;
        *count = (uint32_t)end;
        if (names == end)
                return 0;
        for (uint32_t i = 0; i < end; i++) {
                int fd = segment_open(segments, i, O_RDONLY | O_CLOEXEC);
                if (fd < 0) {
                        *missing = i;
                        return -EBADMSG;
                }
                close(fd);
        }
        return -EBADMSG;
}

int
segments_clean(struct segments *segments)
{
        char temp[PATH_BYTES];
        int error = path_join(temp, sizeof(temp), segments->path, TEMP_NAME);
        if (error)
                return error;
        return unlink(temp) && errno != ENOENT ? -errno : 0;
}

/* First block and zeros, flushed. */
static int
segment_fill(struct segments *segments, int fd, uint32_t index)
{
        uint8_t *block = blocks_alloc(BLOCK_BYTES);
        if (block == NULL)
                return -ENOMEM;
        segment_block_write(block, &segments->id, index, segments->segment_bytes);
        int error = atomic_load_explicit(&segments->inject, memory_order_relaxed);
        if (!error)
                error = file_write_full(fd, block, BLOCK_BYTES, 0);
        if (!error)
                error = file_write_zeros(fd, BLOCK_BYTES, segments->segment_bytes - BLOCK_BYTES);
        if (!error && fsync(fd))
                error = -errno;
        free(block);
        return error;
}

/* open(temp, O_CREAT|O_EXCL|O_DIRECT|O_DSYNC), pwrite ..., fsync, renameat2(RENAME_NOREPLACE),
 * fsync(folder). A crash before the rename leaves a temporary file, which the next start removes.
 */
int
segment_make(struct segments *segments, uint32_t index)
{
        char name[SEGMENT_NAME_BYTES], temp[PATH_BYTES], final[PATH_BYTES];
        segment_name(name, index);
        if (path_join(temp, sizeof(temp), segments->path, TEMP_NAME) ||
            path_join(final, sizeof(final), segments->path, name))
                return -ENAMETOOLONG;
        int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | DURABLE_FLAGS, FILE_MODE);
        if (fd < 0)
                return -errno;
        int error = segment_fill(segments, fd, index);
        if (close(fd) && !error)
                error = -errno;
        if (!error && renameat2(AT_FDCWD, temp, AT_FDCWD, final, RENAME_NOREPLACE))
                error = -errno;
        if (error) {
                unlink(temp);
                return error;
        }
        error = folder_sync(segments->path);
        if (error)
                unlink(final);
        return error;
}

void
segments_update_free(struct segments *segments)
{
        struct statvfs fs;
        uint64_t free_bytes = 0; /* what cannot be known counts as none */
        if (statvfs(segments->path, &fs) == 0)
                free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
        atomic_store_explicit(&segments->free_bytes, free_bytes, memory_order_relaxed);
}

/* Makes at most one segment; true when there may be more to do at once. */
static bool
helper_round(struct segments *segments)
{
        segments_update_free(segments);
        uint32_t made = atomic_load_explicit(&segments->made, memory_order_relaxed);
        uint32_t current = atomic_load_explicit(&segments->current, memory_order_relaxed);
        uint64_t free_bytes = atomic_load_explicit(&segments->free_bytes, memory_order_relaxed);
        if (made >= current + 1 + segments->spares || made >= SEGMENTS_MAX)
                return false;
        if (free_bytes < segments->reserve_bytes ||
            free_bytes - segments->reserve_bytes < segments->segment_bytes)
                return false;
        int error = segment_make(segments, made);
        segments_update_free(segments);
        if (error)
                return false;
        atomic_store_explicit(&segments->made, made + 1, memory_order_release);
        return true;
}

static void
helper_sleep(struct segments *segments)
{
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += HELPER_PERIOD_MS * 1000000l;
        if (until.tv_nsec >= 1000000000l) {
                until.tv_nsec -= 1000000000l;
                until.tv_sec++;
        }
        pthread_cond_timedwait(&segments->wake, &segments->lock, &until);
}

static void *
helper_main(void *user)
{
        struct segments *segments = user;
        pthread_mutex_lock(&segments->lock);
        while (!segments->stop) {
                pthread_mutex_unlock(&segments->lock);
                bool more = helper_round(segments);
                pthread_mutex_lock(&segments->lock);
                if (more || segments->stop)
                        continue;
                segments->rounds++;
                pthread_cond_broadcast(&segments->round);
                helper_sleep(segments);
        }
        pthread_mutex_unlock(&segments->lock);
        return NULL;
}

int
segments_start(struct segments *segments)
{
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_mutex_init(&segments->lock, NULL);
        pthread_cond_init(&segments->wake, &attr);
        pthread_cond_init(&segments->round, NULL);
        pthread_condattr_destroy(&attr);
        segments->stop = false;
        segments->rounds = 0;
        int error = -pthread_create(&segments->thread, NULL, helper_main, segments);
        if (error) {
                pthread_cond_destroy(&segments->round);
                pthread_cond_destroy(&segments->wake);
                pthread_mutex_destroy(&segments->lock);
                return error;
        }
        segments->running = true;
        pthread_setname_np(segments->thread, "segments");
        pthread_mutex_lock(&segments->lock);
        while (segments->rounds == 0)
                pthread_cond_wait(&segments->round, &segments->lock);
        pthread_mutex_unlock(&segments->lock);
        return 0;
}

void
segments_stop(struct segments *segments)
{
        if (!segments->running)
                return;
        pthread_mutex_lock(&segments->lock);
        segments->stop = true;
        pthread_cond_signal(&segments->wake);
        pthread_mutex_unlock(&segments->lock);
        pthread_join(segments->thread, NULL);
        pthread_cond_destroy(&segments->round);
        pthread_cond_destroy(&segments->wake);
        pthread_mutex_destroy(&segments->lock);
        segments->running = false;
}

int
segments_advance(struct segments *segments)
{
        uint32_t next = atomic_load_explicit(&segments->current, memory_order_relaxed) + 1;
        if (next >= atomic_load_explicit(&segments->made, memory_order_acquire))
                return -ENOSPC;
        atomic_store_explicit(&segments->current, next, memory_order_relaxed);
        pthread_mutex_lock(&segments->lock);
        pthread_cond_signal(&segments->wake);
        pthread_mutex_unlock(&segments->lock);
        return 0;
}
