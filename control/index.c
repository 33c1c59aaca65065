/* SPDX-License-Identifier: Apache-2.0 */
#include "control/index.h"

#include "ledger/files.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <lmdb.h>

#define FULL_BYTES        (1u << 20) /* less than this free */
#define FORMAT            1u
#define KIND_COVER        0u
#define KIND_BLOCK        1u
#define KIND_ENTRY        2u
#define COVER_KEY_BYTES   1u
#define BLOCK_KEY_BYTES   5u
#define ENTRY_KEY_BYTES   (BLOCK_KEY_BYTES + INDEX_PATIENT_BYTES + 16u)
#define BLOCK_VALUE_BYTES 16u /* a block's value */
#define COVER_BYTES       (4u + INDEX_PATIENT_BYTES + 16u + HASH_BYTES)

struct record_index {
        MDB_env *env;
        MDB_dbi dbi;
        uint8_t owner[INDEX_PATIENT_BYTES];
        uint64_t map_bytes, map_bytes_max;
        /* LMDB's map may grow only while the process has no transaction: readers share it, growth
         * has it alone. */
        pthread_rwlock_t growing;
};

static void
put_be32(uint8_t *out, uint32_t v)
{
        v = __builtin_bswap32(v);
        memcpy(out, &v, sizeof(v));
}

static void
put_be64(uint8_t *out, uint64_t v)
{
        v = __builtin_bswap64(v);
        memcpy(out, &v, sizeof(v));
}

static uint32_t
get_be32(const uint8_t *in)
{
        uint32_t v;

        memcpy(&v, in, sizeof(v));
        return __builtin_bswap32(v);
}

static uint64_t
get_be64(const uint8_t *in)
{
        uint64_t v;

        memcpy(&v, in, sizeof(v));
        return __builtin_bswap64(v);
}

static uint32_t
block_of(uint64_t leaf)
{
        assert(leaf < INDEX_LEAVES_MAX);
        return (uint32_t)(leaf >> INDEX_BLOCK_BITS);
}

static void
block_key(uint8_t key[BLOCK_KEY_BYTES], uint8_t kind, uint32_t block)
{
        key[0] = kind;
        put_be32(key + 1, block);
}

static void
entry_key(uint8_t key[ENTRY_KEY_BYTES], uint32_t block, const uint8_t *patient, uint64_t time,
    uint64_t leaf)
{
        block_key(key, KIND_ENTRY, block);
        memcpy(key + BLOCK_KEY_BYTES, patient, INDEX_PATIENT_BYTES);
        put_be64(key + BLOCK_KEY_BYTES + INDEX_PATIENT_BYTES, time);
        put_be64(key + BLOCK_KEY_BYTES + INDEX_PATIENT_BYTES + 8, leaf);
}

/* LMDB's errors are errno's, or negative ones of its own. */
static int
error_of(int rc)
{
        if (rc >= 0)
                return -rc;
        switch (rc) {
        case MDB_MAP_FULL:
                return -ENOSPC;
        case MDB_NOTFOUND:
                return -ENOENT;
        case MDB_READERS_FULL:
                return -EAGAIN;
        default:
                return -EBADMSG;
        }
}

/* ---- opening ---- */

static int
say(char *why, int error, const char *what)
{
        snprintf(why, INDEX_WHY_BYTES, "%s%s%s", what, error == -EBADMSG ? "" : ": ",
            error == -EBADMSG ? "" : strerror(-error));
        return error;
}

static int
cover_read(struct record_index *index, MDB_txn *txn, struct index_cover *cover)
{
        uint8_t kind = KIND_COVER;
        MDB_val key = {COVER_KEY_BYTES, &kind}, value;
        const uint8_t *at;
        int rc = mdb_get(txn, index->dbi, &key, &value);

        memset(cover, 0, sizeof(*cover));
        if (rc == MDB_NOTFOUND)
                return 0;
        if (rc != 0)
                return error_of(rc);
        at = value.mv_data;
        if (value.mv_size != COVER_BYTES || get_be32(at) != FORMAT ||
            memcmp(at + 4, index->owner, INDEX_PATIENT_BYTES) != 0)
                return -EBADMSG;
        at += 4 + INDEX_PATIENT_BYTES;
        cover->leaves = get_be64(at);
        cover->group = get_be64(at + 8);
        memcpy(cover->digest, at + 16, HASH_BYTES);
        return cover->leaves <= INDEX_LEAVES_MAX ? 0 : -EBADMSG;
}

/* A page beyond the file's end would be a SIGBUS in the map. */
static bool
is_whole(MDB_env *env)
{
        struct stat status;
        MDB_envinfo info;
        MDB_stat stat;
        mdb_filehandle_t fd;

        return mdb_env_info(env, &info) == 0 && mdb_env_stat(env, &stat) == 0 &&
               mdb_env_get_fd(env, &fd) == 0 && fstat(fd, &status) == 0 &&
               (uint64_t)status.st_size >= ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
}

/* The map must hold the file that is there. */
static int
first_map_bytes(struct record_index *index, const char *path)
{
        char file[PATH_MAX];
        struct stat status;
        int rc = path_join(file, sizeof(file), path, "data.mdb");

        if (rc < 0)
                return rc;
        index->map_bytes = INDEX_MAP_BYTES;
        if (stat(file, &status) == 0)
                while (index->map_bytes < (uint64_t)status.st_size &&
                       index->map_bytes < INDEX_MAP_BYTES_MAX)
                        index->map_bytes *= 2;
        if (index->map_bytes > index->map_bytes_max)
                index->map_bytes = index->map_bytes_max;
        return 0;
}

static int
open_dbi(struct record_index *index)
{
        MDB_txn *txn;
        int rc = mdb_txn_begin(index->env, NULL, 0, &txn);

        if (rc != 0)
                return rc;
        rc = mdb_dbi_open(txn, NULL, 0, &index->dbi);
        if (rc != 0) {
                mdb_txn_abort(txn);
                return rc;
        }
        return mdb_txn_commit(txn);
}

int
record_index_open(struct record_index **out, const char *path,
    const uint8_t owner[INDEX_PATIENT_BYTES], uint64_t map_bytes_max, char *why)
{
        struct record_index *index = calloc(1, sizeof(*index));
        struct index_cover cover;
        int r, rc;

        *out = NULL;
        if (index == NULL)
                return say(why, -ENOMEM, "index");
        memcpy(index->owner, owner, sizeof(index->owner));
        index->map_bytes_max = map_bytes_max;
        pthread_rwlock_init(&index->growing, NULL);
        r = folder_make(path);
        if (r == 0)
                r = first_map_bytes(index, path);
        if (r < 0) {
                record_index_close(index);
                return say(why, r, "its folder cannot be made");
        }
        rc = mdb_env_create(&index->env);
        if (rc == 0)
                rc = mdb_env_set_mapsize(index->env, index->map_bytes);
        /* NOTLS: a reader's slot is of its transaction, not of its thread. */
        if (rc == 0)
                rc = mdb_env_open(index->env, path, MDB_NOMETASYNC | MDB_NOTLS, FILE_MODE);
        if (rc == 0 && !is_whole(index->env))
                rc = MDB_CORRUPTED;
        if (rc == 0)
                rc = open_dbi(index);
        r = error_of(rc);
        if (r == -EINVAL)
                r = -EBADMSG; /* of a file that is no LMDB environment at all */
        if (r == 0)
                r = record_index_cover(index, &cover);
        if (r < 0) {
                record_index_close(index);
                return say(why, r,
                    r == -EBADMSG ? "it is damaged, or of another format or realm key"
                                  : "it cannot be opened");
        }
        *out = index;
        return 0;
}

void
record_index_close(struct record_index *index)
{
        if (index == NULL)
                return;
        if (index->env != NULL)
                mdb_env_close(index->env);
        pthread_rwlock_destroy(&index->growing);
        free(index);
}

int
record_index_drop(const char *path)
{
        static const char *const names[] = {"data.mdb", "lock.mdb"};
        char file[PATH_MAX];

        for (unsigned i = 0; i < 2; i++) {
                int rc = path_join(file, sizeof(file), path, names[i]);

                if (rc < 0)
                        return rc;
                if (unlink(file) < 0 && errno != ENOENT)
                        return -errno;
        }
        return 0;
}

/* ---- adding ---- */

/* In the order of keys. */
static int
compare(const void *a, const void *b)
{
        const struct index_entry *x = a, *y = b;
        uint64_t xb = x->leaf >> INDEX_BLOCK_BITS, yb = y->leaf >> INDEX_BLOCK_BITS;
        int c;

        if (xb != yb)
                return xb < yb ? -1 : 1;
        c = memcmp(x->patient, y->patient, INDEX_PATIENT_BYTES);
        if (c != 0)
                return c;
        if (x->received_ns != y->received_ns)
                return x->received_ns < y->received_ns ? -1 : 1;
        return (x->leaf > y->leaf) - (x->leaf < y->leaf);
}

static int
put_cover(struct record_index *index, MDB_txn *txn, const struct index_cover *cover)
{
        uint8_t kind = KIND_COVER, bytes[COVER_BYTES];
        MDB_val key = {COVER_KEY_BYTES, &kind}, value = {sizeof(bytes), bytes};

        put_be32(bytes, FORMAT);
        memcpy(bytes + 4, index->owner, INDEX_PATIENT_BYTES);
        put_be64(bytes + 4 + INDEX_PATIENT_BYTES, cover->leaves);
        put_be64(bytes + 4 + INDEX_PATIENT_BYTES + 8, cover->group);
        memcpy(bytes + 4 + INDEX_PATIENT_BYTES + 16, cover->digest, HASH_BYTES);
        return mdb_put(txn, index->dbi, &key, &value, 0);
}

/* Widens a block's times by those of entries, all of that block. */
static int
put_block(struct record_index *index, MDB_txn *txn, uint32_t block,
    const struct index_entry *entries, size_t n)
{
        uint8_t key_bytes[BLOCK_KEY_BYTES], bytes[BLOCK_VALUE_BYTES];
        MDB_val key = {sizeof(key_bytes), key_bytes}, value;
        uint64_t low = UINT64_MAX, high = 0;
        int rc;

        block_key(key_bytes, KIND_BLOCK, block);
        rc = mdb_get(txn, index->dbi, &key, &value);
        if (rc == 0 && value.mv_size != sizeof(bytes))
                return MDB_CORRUPTED;
        if (rc == 0) {
                low = get_be64(value.mv_data);
                high = get_be64((const uint8_t *)value.mv_data + 8);
        } else if (rc != MDB_NOTFOUND) {
                return rc;
        }
        for (size_t i = 0; i < n; i++) {
                low = entries[i].received_ns < low ? entries[i].received_ns : low;
                high = entries[i].received_ns > high ? entries[i].received_ns : high;
        }
        put_be64(bytes, low);
        put_be64(bytes + 8, high);
        value = (MDB_val){sizeof(bytes), bytes};
        return mdb_put(txn, index->dbi, &key, &value, 0);
}

static int
put_entries(struct record_index *index, MDB_txn *txn, const struct index_entry *entries, size_t n)
{
        uint8_t key_bytes[ENTRY_KEY_BYTES];
        MDB_val key = {sizeof(key_bytes), key_bytes};
        MDB_cursor *cursor;
        size_t begin = 0;
        int rc = mdb_cursor_open(txn, index->dbi, &cursor);

        if (rc != 0)
                return rc;
        for (size_t i = 0; rc == 0 && i < n; i++) {
                uint32_t block = block_of(entries[i].leaf);
                MDB_val none = {0, key_bytes};

                entry_key(
                    key_bytes, block, entries[i].patient, entries[i].received_ns, entries[i].leaf);
                rc = mdb_cursor_put(cursor, &key, &none, 0);
                if (rc == 0 && (i + 1 == n || block_of(entries[i + 1].leaf) != block)) {
                        rc = put_block(index, txn, block, entries + begin, i + 1 - begin);
                        begin = i + 1;
                }
        }
        mdb_cursor_close(cursor);
        return rc;
}

/* One transaction, all or nothing; LMDB's error. */
static int
add_once(struct record_index *index, const struct index_entry *entries, size_t n,
    const struct index_cover *cover)
{
        struct index_cover before;
        MDB_txn *txn;
        int rc = mdb_txn_begin(index->env, NULL, 0, &txn);

        if (rc != 0)
                return rc;
        if (cover_read(index, txn, &before) < 0)
                rc = MDB_CORRUPTED;
        assert(rc != 0 || before.leaves <= cover->leaves);
        if (rc == 0)
                rc = put_entries(index, txn, entries, n);
        if (rc == 0)
                rc = put_cover(index, txn, cover);
        if (rc == 0)
                return mdb_txn_commit(txn); /* aborts when it fails */
        mdb_txn_abort(txn);
        return rc;
}

static int
grow(struct record_index *index)
{
        uint64_t bytes = index->map_bytes * 2;
        int rc;

        if (index->map_bytes >= index->map_bytes_max)
                return MDB_MAP_FULL;
        if (bytes > index->map_bytes_max)
                bytes = index->map_bytes_max;
        pthread_rwlock_wrlock(&index->growing);
        rc = mdb_env_set_mapsize(index->env, bytes);
        pthread_rwlock_unlock(&index->growing);
        if (rc == 0)
                index->map_bytes = bytes;
        return rc;
}

/* LMDB calls a short write EIO, which is how a file system tells that it is full. */
static bool
is_full(const struct record_index *index)
{
        struct statvfs status;
        mdb_filehandle_t fd;

        return mdb_env_get_fd(index->env, &fd) == 0 && fstatvfs(fd, &status) == 0 &&
               (uint64_t)status.f_bavail * status.f_frsize < FULL_BYTES;
}

int
record_index_add(struct record_index *index, struct index_entry *entries, size_t n,
    const struct index_cover *cover)
{
        int rc;

        for (size_t i = 0; i < n; i++)
                assert(entries[i].leaf < cover->leaves);
        if (n > 1)
                qsort(entries, n, sizeof(*entries), compare);
        do {
                rc = add_once(index, entries, n, cover);
        } while (rc == MDB_MAP_FULL && (rc = grow(index)) == 0);
        if (rc == EIO && is_full(index))
                rc = ENOSPC;
        return error_of(rc);
}

/* ---- finding ---- */

static int
begin_read(struct record_index *index, MDB_txn **txn)
{
        int rc;

        pthread_rwlock_rdlock(&index->growing);
        rc = mdb_txn_begin(index->env, NULL, MDB_RDONLY, txn);
        if (rc != 0)
                pthread_rwlock_unlock(&index->growing);
        return error_of(rc);
}

static void
end_read(struct record_index *index, MDB_txn *txn)
{
        mdb_txn_abort(txn);
        pthread_rwlock_unlock(&index->growing);
}

int
record_index_cover(struct record_index *index, struct index_cover *cover)
{
        MDB_txn *txn;
        int r = begin_read(index, &txn);

        if (r < 0)
                return r;
        r = cover_read(index, txn, cover);
        end_read(index, txn);
        return r;
}

static bool
comes_before(const struct index_hit *a, const struct index_hit *b)
{
        return a->received_ns != b->received_ns ? a->received_ns > b->received_ns
                                                : a->leaf > b->leaf;
}

struct finding {
        const struct index_query *query;
        struct index_hit *hits;
        size_t n, room;
};

/* Keeps the first `room` of all seen, in order; false when this one, and so all that come after it,
 * is not among them. */
static bool
keep(struct finding *finding, const struct index_hit *hit)
{
        size_t at = finding->n;

        while (at > 0 && comes_before(hit, &finding->hits[at - 1]))
                at--;
        if (at == finding->room)
                return false;
        if (finding->n < finding->room)
                finding->n++;
        memmove(finding->hits + at + 1, finding->hits + at,
            (finding->n - at - 1) * sizeof(*finding->hits));
        finding->hits[at] = *hit;
        return true;
}

/* Moves to the last key below *key; MDB_NOTFOUND: there is none. */
static int
last_below(MDB_cursor *cursor, MDB_val *key, MDB_val *value)
{
        int rc = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);

        if (rc != 0 && rc != MDB_NOTFOUND)
                return rc;
        return mdb_cursor_get(cursor, key, value, rc == MDB_NOTFOUND ? MDB_LAST : MDB_PREV);
}

/* The patient's entries of a block, from the newest that comes after `before` to from_ns. */
static int
find_in_block(MDB_cursor *cursor, uint32_t block, struct finding *finding)
{
        const struct index_query *query = finding->query;
        struct index_hit end = {.received_ns = query->to_ns, .leaf = 0};
        uint8_t key_bytes[ENTRY_KEY_BYTES];
        MDB_val key = {sizeof(key_bytes), key_bytes}, value;
        int rc;

        /* The first key that is out of range at the top: nothing at or above it is a hit. */
        if (comes_before(&end, &query->before))
                end = query->before;
        entry_key(key_bytes, block, query->patient, end.received_ns, end.leaf);
        for (rc = last_below(cursor, &key, &value); rc == 0;
             rc = mdb_cursor_get(cursor, &key, &value, MDB_PREV)) {
                const uint8_t *at = key.mv_data;
                struct index_hit hit;

                /* Another patient's, or another block's, or a block's own. */
                if (key.mv_size != ENTRY_KEY_BYTES ||
                    memcmp(at, key_bytes, BLOCK_KEY_BYTES + INDEX_PATIENT_BYTES) != 0)
                        return 0;
                at += BLOCK_KEY_BYTES + INDEX_PATIENT_BYTES;
                hit = (struct index_hit){get_be64(at), get_be64(at + 8)};
                if (hit.received_ns < query->from_ns || !keep(finding, &hit))
                        return 0;
        }
        return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Can the block hold one that is wanted? */
static bool
block_matters(const struct finding *finding, uint64_t low, uint64_t high)
{
        const struct index_query *query = finding->query;

        if (high < query->from_ns || low >= query->to_ns || low > query->before.received_ns)
                return false;
        /* An older block's leaves are smaller, so that of equal times it comes last. */
        return finding->n < finding->room || high > finding->hits[finding->room - 1].received_ns;
}

static int
find(struct record_index *index, MDB_txn *txn, struct finding *finding)
{
        uint8_t key_bytes[BLOCK_KEY_BYTES];
        MDB_val key = {sizeof(key_bytes), key_bytes}, value;
        MDB_cursor *blocks, *entries;
        int rc = mdb_cursor_open(txn, index->dbi, &blocks);

        if (rc != 0)
                return rc;
        rc = mdb_cursor_open(txn, index->dbi, &entries);
        if (rc != 0) {
                mdb_cursor_close(blocks);
                return rc;
        }
        /* From the newest block down. Clocks are set back now and then: times of blocks overlap. */
        block_key(key_bytes, KIND_ENTRY, 0);
        for (rc = last_below(blocks, &key, &value); rc == 0;
             rc = mdb_cursor_get(blocks, &key, &value, MDB_PREV)) {
                const uint8_t *at = key.mv_data, *times = value.mv_data;

                if (key.mv_size != BLOCK_KEY_BYTES || at[0] != KIND_BLOCK)
                        break;
                if (value.mv_size != BLOCK_VALUE_BYTES)
                        rc = MDB_CORRUPTED;
                else if (block_matters(finding, get_be64(times), get_be64(times + 8)))
                        rc = find_in_block(entries, get_be32(at + 1), finding);
                if (rc != 0)
                        break;
        }
        mdb_cursor_close(entries);
        mdb_cursor_close(blocks);
        return rc == MDB_NOTFOUND ? 0 : rc;
}

long
record_index_find(
    struct record_index *index, const struct index_query *query, struct index_hit *hits, size_t n)
{
        struct finding finding = {.query = query, .hits = hits, .room = n};
        MDB_txn *txn;
        int r;

        if (n == 0 || query->from_ns >= query->to_ns)
                return 0;
        r = begin_read(index, &txn);
        if (r < 0)
                return r;
        r = error_of(find(index, txn, &finding));
        end_read(index, txn);
        return r < 0 ? r : (long)finding.n;
}
