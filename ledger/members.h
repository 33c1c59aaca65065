/* SPDX-License-Identifier: Apache-2.0 */
/* Who holds the ledger: the membership, a small file `members` on every volume.
 *
 * Two alternating blocks of 4,096 bytes, the older of which is overwritten (O_DIRECT|O_DSYNC), so
 * that one valid block always stands; the valid one with the higher epoch counts. Little-endian:
 *
 *   offset  bytes
 *        0      8  magic "AORTAMEM"
 *        8      4  version (1)
 *       12      1  k
 *       13      1  m
 *       14      2  zero
 *       16     16  vault id
 *       32      8  epoch, from 1
 *       40      8  first group: the first one that need not be on volumes outside the set
 *       48      4  the set: bit i for slot i
 *       52      4  zero
 *       56      8  zero
 *       64    256  volume ids by slot, 16 x 16; unused ones zero
 *     4092      4  CRC-32C of bytes 0 to 4091
 *
 * The promise that recovery rests on: each acknowledged group was at that moment, and is ever
 * after, on all volumes of the newest membership that reached any volume. For a set only shrinks
 * before the group in flight is acknowledged, and it only grows by a volume that already holds all
 * groups before `first group`, while none is in flight. */
#ifndef AORTA_LEDGER_MEMBERS_H
#define AORTA_LEDGER_MEMBERS_H

#include "ledger/group.h"
#include "ledger/io.h"

#define MEMBERS_FILE   "members"
#define MEMBERS_BLOCKS 2u

struct members {
        uint8_t vault[ID_BYTES];
        uint8_t data, parity;
        uint64_t epoch; /* 0: none yet */
        uint64_t first_group;
        uint32_t set;
        uint8_t volumes[GROUP_FRAGMENTS_MAX][ID_BYTES];
};

void members_block_write(uint8_t block[BLOCK_BYTES], const struct members *members);
/* 0 or -EBADMSG. */
int members_block_read(const uint8_t block[BLOCK_BYTES], struct members *members);

/* Reads `members` in folder path: the newest block, and the index of the other one. -ENOENT: there
 * is no file; -EBADMSG: no block is valid; -errno. */
int members_read(struct io *io, const char *path, struct members *members, unsigned *older);

static inline unsigned
members_count(uint32_t set)
{
        return (unsigned)__builtin_popcount(set);
}

#endif
