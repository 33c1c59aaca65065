/* SPDX-License-Identifier: Apache-2.0 */
/* A set of leaf indices: a bit each, in chunks, since a log's leaves lie close together. One
 * thread. */
#ifndef AORTA_BENCH_LEAF_SET_H
#define AORTA_BENCH_LEAF_SET_H

#include <stdint.h>

#define LEAF_CHUNK_BITS  65536u
#define LEAF_CHUNKS_MAX  65536u /* 2^32 leaves, 512 MiB */
#define LEAF_TABLE_SLOTS (2u * LEAF_CHUNKS_MAX)

struct leaf_set;

/* 0 or -ENOMEM. */
int leaf_set_create(struct leaf_set **set);
void leaf_set_destroy(struct leaf_set *set);
/* 1: added; 0: was there; -ENOMEM, -ENOSPC when there are too many chunks. */
int leaf_set_add(struct leaf_set *set, uint64_t leaf);

#endif
