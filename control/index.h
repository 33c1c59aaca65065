/* SPDX-License-Identifier: Apache-2.0 */
/* The index by patient and time: derived from the vault's records, rebuilt from them when it is
 * lost, never asked whether a record is there.
 *
 * LMDB, one file (data.mdb) in a folder of its own. Three kinds of keys, integers big-endian, so
 * that the order of bytes is the order of numbers:
 *
 *   0                                                   what it covers: struct index_cover, format,
 *                                                       owner
 *   1 ‖ block (4)                                       of a block: earliest and latest time (8, 8)
 *   2 ‖ block (4) ‖ patient (16) ‖ time (8) ‖ leaf (8)  an entry; no value
 *
 * patient is a keyed hash: who holds the file but not the realm key learns of no one. A block is
 * INDEX_BLOCK_LEAVES leaves. Without blocks each entry would fall into a page of its own, to be
 * read and written whole: with a million patients and 16 million entries LMDB writes 4.4 KB an
 * entry and takes 0.2 M a second, ever fewer as it grows. Inside a block there are few pages, and a
 * batch fills them: 50 bytes an entry in full batches, and 1.6 M a second on one core, however many
 * there are. The price is one look-up a block that the time range touches, instead of one.
 *
 * LMDB and not RocksDB: with blocks it writes as little as a log-structured tree would, and takes
 * more than the ledger can bring; a batch and what it covers are one transaction; it
 * has no threads, no log to replay and no background work of its own beside the ledger's flushes.
 *
 * Durability: MDB_NOMETASYNC. Each transaction's pages are flushed before the page that makes them
 * valid is written; that page is flushed by the next transaction. A crash, of the power too, can
 * take back the last transaction, whole, and no more. (MDB_NOSYNC could leave a torn tree that
 * nothing detects.) */
#ifndef AORTA_CONTROL_INDEX_H
#define AORTA_CONTROL_INDEX_H

#include "ledger/leaf.h"

#include <stddef.h>
#include <stdint.h>

#define INDEX_PATIENT_BYTES 16u
#define INDEX_BLOCK_BITS    18u
#define INDEX_BLOCK_LEAVES  (UINT64_C(1) << INDEX_BLOCK_BITS)
#define INDEX_LEAVES_MAX    (UINT64_C(1) << (32 + INDEX_BLOCK_BITS))
#define INDEX_MAP_BYTES     (UINT64_C(4) << 20) /* at first; doubled when full */
#define INDEX_MAP_BYTES_MAX (UINT64_C(1) << 40)
#define INDEX_WHY_BYTES     256u

struct record_index;

struct index_entry {
        uint8_t patient[INDEX_PATIENT_BYTES];
        uint64_t received_ns, leaf;
};

/* The records of leaves 0 to leaves - 1 are in it; group and digest are of the last of them, and
 * bind it to one ledger. All zero for none. */
struct index_cover {
        uint64_t leaves, group;
        uint8_t digest[HASH_BYTES];
};

/* A found record; also where the next page begins. */
struct index_hit {
        uint64_t received_ns, leaf;
};

struct index_query {
        uint8_t patient[INDEX_PATIENT_BYTES];
        uint64_t from_ns, to_ns; /* from_ns <= received < to_ns */
        struct index_hit before; /* only what comes after this one; {UINT64_MAX, UINT64_MAX}: all */
};

/* Opens the folder's index, made when absent. owner tells the realm: another one's is refused.
 * map_bytes_max bounds the file (INDEX_MAP_BYTES_MAX, or less for a test). -EBADMSG with why: not
 * an index of this format and owner, or damaged; drop it. Other errors are the system's. */
int record_index_open(struct record_index **index, const char *path,
    const uint8_t owner[INDEX_PATIENT_BYTES], uint64_t map_bytes_max, char *why);
void record_index_close(struct record_index *index);
/* Removes the files of a closed index. */
int record_index_drop(const char *path);

/* Adds n entries (sorted in place) and that it covers *cover now, in one transaction: both are
 * there after a crash, or neither. cover->leaves may not shrink, and holds all of the entries'
 * leaves (asserted). -ENOSPC: disk or map is full, nothing was added. -EBADMSG: damaged. One
 * thread. */
int record_index_add(struct record_index *index, struct index_entry *entries, size_t n,
    const struct index_cover *cover);
/* What it covers. As record_index_find() for threads. */
int record_index_cover(struct record_index *index, struct index_cover *cover);
/* Up to n hits, newest first (by time, then leaf): how many, or -errno. Any thread, beside
 * record_index_add(). */
long record_index_find(
    struct record_index *index, const struct index_query *query, struct index_hit *hits, size_t n);

#endif
