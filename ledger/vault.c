/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/vault_internal.h"

#include "crypto/seal.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HUGE_PAGE_BYTES (2u << 20)
#define SEGMENTS_FOLDER "segments"
/* Below this, the sealed bytes are moved up to the table rather than a block of zeros written. */
#define GROUP_MOVE_BYTES (64u << 10)

void
vault_why(char *why, const char *format, ...)
{
        va_list args;
        va_start(args, format);
        vsnprintf(why, VAULT_WHY_BYTES, format, args);
        va_end(args);
}

static uint64_t
now_us(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

/* ---- open ---- */

static int
config_check(const struct vault_config *config, char *why)
{
        uint32_t bytes = config->segment_bytes;
        if (bytes != 0 &&
            (bytes < SEGMENT_BYTES_MIN || bytes > SEGMENT_BYTES_MAX || bytes % BLOCK_BYTES != 0)) {
                vault_why(why, "segments of %u bytes: take a multiple of %u between %u and %u",
                    bytes, BLOCK_BYTES, SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
                return -EINVAL;
        }
        if (strlen(config->path) >= PATH_BYTES - sizeof("/" SEGMENTS_FOLDER "/00000000")) {
                vault_why(why, "the volume's path is too long");
                return -ENAMETOOLONG;
        }
        return 0;
}

static int
vault_prepare(struct vault *vault, const struct vault_config *config, char *why)
{
        struct segments *segments = &vault->segments;
        strcpy(vault->path, config->path); /* its length was checked */
        segments->segment_bytes =
            config->segment_bytes ? config->segment_bytes : SEGMENT_BYTES_DEFAULT;
        segments->spares = config->spare_segments ? config->spare_segments : SPARE_SEGMENTS_DEFAULT;
        segments->reserve_bytes = config->reserve_bytes;
        int error = path_join(segments->path, sizeof(segments->path), vault->path, SEGMENTS_FOLDER);
        if (!error)
                error = volume_prepare(vault, why);
        if (!error)
                error = volume_lock(vault, why);
        if (error)
                return error;
        segments->id = vault->id;
        error = folder_make(segments->path);
        if (!error)
                error = digester_open(&vault->digester);
        if (!error)
                error = group_index_open(&vault->index);
        if (error) {
                vault_why(why, "%s: %s", vault->path, strerror(-error));
                return error;
        }
        error = io_uring_queue_init(RING_ENTRIES, &vault->ring, 0);
        if (error) {
                vault->ring.ring_fd = -1;
                vault_why(why, "io_uring is not to be had: %s. See sysctl kernel.io_uring_disabled",
                    strerror(-error));
        }
        return error;
}

int
vault_open(struct vault **out, const struct vault_config *config, char *why)
{
        *out = NULL;
        why[0] = '\0';
        if (sodium_init() < 0)
                return -ENOSYS;
        int error = config_check(config, why);
        if (error)
                return error;
        struct vault *vault = calloc(1, sizeof(*vault));
        if (vault == NULL)
                return -ENOMEM;
        vault->lock_fd = -1;
        vault->segment_fd = -1;
        vault->ring.ring_fd = -1;
        error = vault_prepare(vault, config, why);
        if (error) {
                vault_close(vault);
                return error;
        }
        *out = vault;
        return 0;
}

/* ---- begin ---- */

/* Zeros over what a torn write left, so that the next start finds nothing behind the new groups. */
static int
tail_cut(struct vault *vault, char *why)
{
        if (vault->cut_bytes == 0)
                return 0;
        int fd = segment_open(&vault->segments, vault->cut_segment, O_WRONLY | DURABLE_FLAGS);
        int error = fd < 0 ? fd : file_write_zeros(fd, vault->cut_offset_bytes, vault->cut_bytes);
        if (fd >= 0 && close(fd) && !error)
                error = -errno;
        if (error)
                vault_why(why, "%s: the torn end of segment %08u cannot be zeroed: %s", vault->path,
                    vault->cut_segment, strerror(-error));
        else
                vault->cut_bytes = 0;
        return error;
}

/* Huge pages where there are some: fewer to pin, and outside of RLIMIT_MEMLOCK. */
static int
buffers_map(struct vault *vault)
{
        size_t bytes = (size_t)GROUPS_BUFFERED * GROUP_BUFFER_BYTES;
        bytes = (bytes + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
        int protection = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
        void *at = mmap(NULL, bytes, protection, flags | MAP_HUGETLB, -1, 0);
        if (at == MAP_FAILED)
                at = mmap(NULL, bytes, protection, flags, -1, 0);
        if (at == MAP_FAILED)
                return -errno;
        vault->buffers = at;
        vault->buffers_bytes = bytes;
        return 0;
}

static int
groups_make(struct vault *vault)
{
        int error = buffers_map(vault);
        if (error)
                return error;
        struct iovec registered[GROUPS_BUFFERED];
        for (unsigned i = 0; i < GROUPS_BUFFERED; i++) {
                struct group *group = &vault->groups[i];
                group->index = i;
                group->buffer = (uint8_t *)vault->buffers + (size_t)i * GROUP_BUFFER_BYTES;
                group->table = malloc(GROUP_TABLE_MAX);
                group->entries = malloc(GROUP_RECORDS_MAX * LEAF_ENTRY_BYTES);
                if (group->table == NULL || group->entries == NULL)
                        return -ENOMEM;
                registered[i] = (struct iovec){group->buffer, GROUP_BUFFER_BYTES};
        }
        /* Without it (RLIMIT_MEMLOCK) the kernel pins the pages once a write: slower, not wrong. */
        vault->registered =
            io_uring_register_buffers(&vault->ring, registered, GROUPS_BUFFERED) == 0;
        return 0;
}

int
vault_begin(struct vault *vault, char *why)
{
        assert(vault->state == VAULT_RECOVERED);
        why[0] = '\0';
        int error = tail_cut(vault, why);
        if (error)
                return error;
        error = segments_clean(&vault->segments);
        if (!error)
                error = groups_make(vault);
        if (!error)
                error = segments_start(&vault->segments);
        if (error) {
                vault_why(why, "%s: writing cannot begin: %s", vault->path, strerror(-error));
                return error;
        }
        vault->state = VAULT_WRITING;
        return 0;
}

/* ---- fill ---- */

struct group *
vault_group(struct vault *vault)
{
        assert(vault->state == VAULT_WRITING);
        if (vault->filling != NULL)
                return vault->filling;
        for (unsigned i = 0; i < GROUPS_BUFFERED; i++) {
                struct group *group = &vault->groups[i];
                if (group->state != GROUP_FREE)
                        continue;
                group->state = GROUP_FILLING;
                group->records = 0;
                group->sealed_bytes = 0;
                vault->filling = group;
                return group;
        }
        return NULL;
}

bool
group_add(struct group *group, const uint8_t *sealed, uint32_t sealed_bytes,
    const uint8_t digest[HASH_BYTES])
{
        assert(group->state == GROUP_FILLING);
        assert(sealed_bytes >= SEAL_OVERHEAD && sealed_bytes <= SEAL_BYTES_MAX);
        uint32_t i = group->records;
        /* The most it may take on disk: a block of zeros may stand between table and sealed bytes.
         */
        uint32_t full_bytes = GROUP_HEADER_BYTES + (i + 1) * GROUP_ENTRY_BYTES + BLOCK_BYTES +
                              group->sealed_bytes + sealed_bytes;
        if (i == GROUP_RECORDS_MAX || full_bytes > GROUP_BYTES_MAX)
                return false;
        uint8_t *at = group->buffer + GROUP_SEALED_AT + group->sealed_bytes;
        memcpy(at, sealed, sealed_bytes);
        /* The offset counts from the first sealed byte until the group is closed. */
        group_entry_write(group->table + i * GROUP_ENTRY_BYTES, digest, (uint16_t)sealed_bytes,
            sealed[1] /* kind; crypto/seal.h */, group->sealed_bytes);
        group_leaf_entry(group->entries + i * LEAF_ENTRY_BYTES, at, digest);
        group->sealed_bytes += sealed_bytes;
        group->records++;
        return true;
}

uint32_t
group_records(const struct group *group)
{
        return group->records;
}

const uint8_t *
group_entries(const struct group *group)
{
        assert(group->state != GROUP_FREE);
        return group->entries;
}

/* ---- write ---- */

/* How the fragment will lie: sets the header's payload bytes and disk_bytes, and returns the zeros
 * between table and sealed bytes. Changes nothing that a later group_add() would miss. */
static uint32_t
group_measure(struct group *group)
{
        uint32_t table_bytes = group->records * GROUP_ENTRY_BYTES;
        uint32_t over_bytes = (GROUP_HEADER_BYTES + table_bytes) % BLOCK_BYTES;
        uint32_t gap_bytes = over_bytes > 0 ? BLOCK_BYTES - over_bytes : 0;
        if (group->sealed_bytes <= GROUP_MOVE_BYTES)
                gap_bytes = 0;
        group->header.payload_bytes = table_bytes + gap_bytes + group->sealed_bytes;
        group->disk_bytes = group_disk_bytes(group->header.payload_bytes);
        assert(group->disk_bytes <= GROUP_BYTES_MAX);
        return gap_bytes;
}

/* Lays the fragment out in memory: header's room, table, sealed bytes, zeros. Only once a group: it
 * may move the sealed bytes over themselves. */
static void
group_lay_out(struct group *group, uint32_t gap_bytes)
{
        uint32_t table_bytes = group->records * GROUP_ENTRY_BYTES;
        uint32_t front_bytes = GROUP_HEADER_BYTES + table_bytes + gap_bytes;
        uint32_t end_bytes = front_bytes + group->sealed_bytes;
        uint32_t front_blocks_bytes = (front_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
        group->start = group->buffer + GROUP_SEALED_AT - front_blocks_bytes;
        assert(group->start >= group->buffer);
        assert(end_bytes <= group->disk_bytes);
        assert(end_bytes == GROUP_HEADER_BYTES + group->header.payload_bytes);
        if (front_bytes != front_blocks_bytes)
                memmove(group->start + front_bytes, group->buffer + GROUP_SEALED_AT,
                    group->sealed_bytes);
        uint8_t *table = group->start + GROUP_HEADER_BYTES;
        memcpy(table, group->table, table_bytes);
        group_table_shift(table, group->records, table_bytes + gap_bytes);
        memset(table + table_bytes, 0, gap_bytes);
        memset(group->start + end_bytes, 0, group->disk_bytes - end_bytes);
}

/* Opens the segment to write; its length is what it was made with, perhaps by another
 * configuration. */
static int
segment_begin(struct vault *vault)
{
        uint32_t current = atomic_load_explicit(&vault->segments.current, memory_order_relaxed);
        if (current >= atomic_load_explicit(&vault->segments.made, memory_order_acquire))
                return -ENOSPC;
        int fd = segment_open(&vault->segments, current, O_WRONLY | DURABLE_FLAGS);
        if (fd < 0)
                return fd;
        struct stat st;
        if (fstat(fd, &st)) {
                int error = -errno;
                close(fd);
                return error;
        }
        vault->segment_fd = fd;
        vault->segment_fd_bytes = (uint64_t)st.st_size;
        return 0;
}

/* Makes vault->offset_bytes in the open segment a place for bytes. -ENOSPC when it must wait. */
static int
place_find(struct vault *vault, uint32_t bytes)
{
        int error = vault->segment_fd >= 0 ? 0 : segment_begin(vault);
        if (error || vault->offset_bytes + bytes <= vault->segment_fd_bytes)
                return error;
        error = segments_advance(&vault->segments);
        if (error)
                return error;
        assert(vault->flying == NULL);
        close(vault->segment_fd);
        vault->segment_fd = -1;
        vault->offset_bytes = BLOCK_BYTES;
        error = segment_begin(vault);
        if (!error && vault->offset_bytes + bytes > vault->segment_fd_bytes)
                error = -EBADMSG;
        return error;
}

static int
fence(struct vault *vault, int error)
{
        assert(error < 0);
        if (vault->failed == 0)
                vault->failed = error;
        atomic_store_explicit(&vault->fenced, true, memory_order_relaxed);
        return vault->failed;
}

/* Hands the write to the kernel: one request, header and payload together. */
static int
group_write(struct vault *vault, struct group *group)
{
        struct io_uring_sqe *sqe = io_uring_get_sqe(&vault->ring);
        assert(sqe != NULL);
        int inject = atomic_load_explicit(&vault->inject, memory_order_relaxed);
        uint32_t bytes = group->disk_bytes;
        if (inject < 0 && (uint32_t)-inject < bytes)
                bytes = (uint32_t)-inject;
        if (vault->registered)
                io_uring_prep_write_fixed(sqe, vault->segment_fd, group->start, bytes,
                    vault->offset_bytes, (int)group->index);
        else
                io_uring_prep_write(
                    sqe, vault->segment_fd, group->start, bytes, vault->offset_bytes);
        io_uring_sqe_set_data(sqe, group);
        group->state = GROUP_FLYING;
        vault->filling = NULL;
        vault->flying = group;
        vault->flying_since_us = now_us();
        int submitted;
        do
                submitted = io_uring_submit(&vault->ring);
        while (submitted == -EINTR);
        if (submitted == 1)
                return 0;
        /* The request has not left, as far as one can know: nobody waits for it, its buffer is not
         * used again, and the vault writes no more. */
        vault->flying = NULL;
        return fence(vault, submitted < 0 ? submitted : -EIO);
}

int
vault_submit(
    struct vault *vault, struct group *group, uint64_t tree_size, const uint8_t root[HASH_BYTES])
{
        assert(vault->state == VAULT_WRITING);
        assert(group == vault->filling && group->records > 0);
        if (vault->failed)
                return vault->failed;
        if (vault->flying != NULL)
                return -EBUSY;
        assert(tree_size == vault->next_leaf);
        int error = group_index_reserve(&vault->index);
        if (error)
                return fence(vault, error);
        uint32_t gap_bytes = group_measure(group);
        error = place_find(vault, group->disk_bytes);
        if (error)
                return error == -ENOSPC ? error : fence(vault, error);
        group_lay_out(group, gap_bytes);
        struct group_header *header = &group->header;
        header->id = vault->id;
        header->number = vault->next_group;
        header->tree_size = tree_size;
        header->records = group->records;
        memcpy(header->root, root, HASH_BYTES);
        memcpy(header->previous, vault->last_group, HASH_BYTES);
        digester_sha256(&vault->digester, header->payload_digest, group->start + GROUP_HEADER_BYTES,
            header->payload_bytes);
        group_header_write(group->start, header, &vault->digester);
        group->place = (struct group_place){
            .first_leaf = tree_size,
            .segment = atomic_load_explicit(&vault->segments.current, memory_order_relaxed),
            .offset_bytes = (uint32_t)vault->offset_bytes,
        };
        return group_write(vault, group);
}

/* Waits for a completion: 1 and *result, 0 for none yet, or -errno. */
static int
ring_wait(struct vault *vault, uint32_t wait_us, int *result)
{
        struct io_uring_cqe *cqe = NULL;
        struct __kernel_timespec ts = {wait_us / 1000000u, (long long)(wait_us % 1000000u) * 1000};
        int error = wait_us > 0 ? io_uring_wait_cqe_timeout(&vault->ring, &cqe, &ts)
                                : io_uring_peek_cqe(&vault->ring, &cqe);
        if (error == -ETIME || error == -EAGAIN || error == -EINTR)
                return 0;
        if (error)
                return error;
        assert(io_uring_cqe_get_data(cqe) == vault->flying);
        *result = cqe->res;
        io_uring_cqe_seen(&vault->ring, cqe);
        return 1;
}

static void
flush_count(struct vault *vault, uint32_t bytes)
{
        uint64_t us = now_us() - vault->flying_since_us;
        atomic_fetch_add_explicit(&vault->bytes_written, bytes, memory_order_relaxed);
        atomic_store_explicit(&vault->flush_us_last, us, memory_order_relaxed);
        if (us > atomic_load_explicit(&vault->flush_us_max, memory_order_relaxed))
                atomic_store_explicit(&vault->flush_us_max, us, memory_order_relaxed);
}

int
vault_poll(struct vault *vault, struct group **done, uint32_t wait_us)
{
        *done = NULL;
        if (vault->failed)
                return vault->failed;
        struct group *group = vault->flying;
        if (group == NULL)
                return 0;
        int result = 0;
        int ready = ring_wait(vault, wait_us, &result);
        if (ready < 0)
                return fence(vault, ready);
        if (ready == 0)
                return 0;
        int inject = atomic_load_explicit(&vault->inject, memory_order_relaxed);
        if (inject > 0)
                result = -inject;
        vault->flying = NULL;
        /* Never tried again: the kernel or the disk may have thrown away what it could not write.
         */
        if (result < 0)
                return fence(vault, result);
        if ((uint32_t)result != group->disk_bytes)
                return fence(vault, -EIO);
        flush_count(vault, group->disk_bytes);
        group->state = GROUP_DURABLE;
        vault->offset_bytes += group->disk_bytes;
        vault->next_group++;
        vault->next_leaf += group->records;
        memcpy(vault->last_group, group->header.digest, HASH_BYTES);
        *done = group;
        return 1;
}

void
vault_release(struct vault *vault, struct group *group)
{
        assert(group->state == GROUP_DURABLE);
        group_index_add(&vault->index, &group->place, group->records);
        group->state = GROUP_FREE;
}

/* ---- the rest ---- */

bool
vault_space(struct vault *vault)
{
        struct segments *segments = &vault->segments;
        uint32_t current = atomic_load_explicit(&segments->current, memory_order_relaxed);
        return !atomic_load_explicit(&vault->fenced, memory_order_relaxed) &&
               atomic_load_explicit(&segments->made, memory_order_relaxed) > current + 1 &&
               atomic_load_explicit(&segments->free_bytes, memory_order_relaxed) >=
                   segments->reserve_bytes;
}

void
vault_stats(struct vault *vault, struct vault_stats *stats)
{
        struct segments *segments = &vault->segments;
        stats->groups = atomic_load_explicit(&vault->index.count, memory_order_acquire);
        stats->leaves = atomic_load_explicit(&vault->index.leaves, memory_order_relaxed);
        stats->bytes_written = atomic_load_explicit(&vault->bytes_written, memory_order_relaxed);
        stats->flush_us_last = atomic_load_explicit(&vault->flush_us_last, memory_order_relaxed);
        stats->flush_us_max = atomic_load_explicit(&vault->flush_us_max, memory_order_relaxed);
        stats->segments = atomic_load_explicit(&segments->made, memory_order_relaxed);
        stats->free_bytes = atomic_load_explicit(&segments->free_bytes, memory_order_relaxed);
}

void
vault_position(const struct vault *vault, struct vault_tip *tip)
{
        assert(vault->state == VAULT_WRITING && vault->flying == NULL);
        *tip = (struct vault_tip){.groups = vault->next_group, .leaves = vault->next_leaf};
        memcpy(tip->last_group, vault->last_group, HASH_BYTES);
}

const struct tree *
vault_tree(const struct vault *vault)
{
        assert(vault->state != VAULT_OPENED);
        return &vault->tree;
}

void
vault_inject(struct vault *vault, int error)
{
        if (error == ENOSPC || error == 0)
                atomic_store_explicit(&vault->segments.inject, -error, memory_order_relaxed);
        if (error != ENOSPC)
                atomic_store_explicit(&vault->inject, error, memory_order_relaxed);
}

void
vault_close(struct vault *vault)
{
        if (vault == NULL)
                return;
        segments_stop(&vault->segments);
        if (vault->ring.ring_fd >= 0) {
                struct io_uring_cqe *cqe;
                /* The kernel reads the buffer until the request is done. */
                while (vault->flying != NULL && io_uring_wait_cqe(&vault->ring, &cqe) == -EINTR)
                        ;
                io_uring_queue_exit(&vault->ring);
        }
        if (vault->buffers != NULL)
                munmap(vault->buffers, vault->buffers_bytes);
        for (unsigned i = 0; i < GROUPS_BUFFERED; i++) {
                free(vault->groups[i].table);
                free(vault->groups[i].entries);
        }
        if (vault->segment_fd >= 0)
                close(vault->segment_fd);
        digester_close(&vault->digester);
        group_index_close(&vault->index);
        if (vault->lock_fd >= 0)
                close(vault->lock_fd);
        free(vault);
}
