/* SPDX-License-Identifier: Apache-2.0 */
/* What the store's own files share. */
#ifndef AORTA_LEDGER_STORE_INTERNAL_H
#define AORTA_LEDGER_STORE_INTERNAL_H

#include "ledger/bytes.h"
#include "ledger/files.h"
#include "ledger/store.h"

#include <limits.h>

#define COPIES_MAX    16u
#define STORE_VERSION 1u
#define SLOT_MAGIC    0x544f4c53u /* "SLOT" */
#define BLOCK_SLOTS   (BLOCK_BYTES / STORE_SLOT_BYTES)
#define PIECE_BYTES                                                                                \
        (1u << 20) /* the most that is read or written at once, and what the files grow by */
#define PIECE_BLOCKS (PIECE_BYTES / BLOCK_BYTES)
#define ID_BYTES     16u

enum slot_state { SLOT_VALUE = 1, SLOT_ERASED = 2 };

/* Offsets; see store.h. */
enum {
        AT_VERSION = 8,
        AT_COPY = 12,
        AT_ID = 16,
        AT_BLOCK_CRC = BLOCK_BYTES - 4,

        AT_SLOT_INDEX = 4,
        AT_SLOT_SEQUENCE = 8,
        AT_SLOT_VALUE_BYTES = 16,
        AT_SLOT_STATE = 18,
        AT_SLOT_VALUE = 24,
        AT_SLOT_CRC = STORE_SLOT_BYTES - 4,
};
_Static_assert(AT_SLOT_VALUE + STORE_VALUE_BYTES <= AT_SLOT_CRC, "a value fits its slot");
_Static_assert(STORE_SLOTS_MAX % BLOCK_SLOTS == 0, "blocks are whole");

struct copy {
        char path[PATH_MAX]; /* the folder */
        const char *name;
        uint32_t number; /* in its first block */
        int fd;
        uint32_t blocks; /* of slots, that the file has */
        uint8_t *piece;  /* PIECE_BYTES */
        bool in;         /* holds every value */
};

struct store {
        struct io *io;
        uint8_t id[ID_BYTES];
        struct copy copies[COPIES_MAX];
        unsigned n;
        unsigned need_read, need_write; /* copies without which nothing is loaded, or put */
        uint32_t end;
};

static inline uint64_t
block_offset(uint32_t block)
{
        return ((uint64_t)block + 1) * BLOCK_BYTES;
}

/* How many copies hold every value. */
unsigned store_copies_in(const struct store *store);
/* A copy that failed is left out when enough others are there: 0, or the error. */
int store_copy_drop(struct store *store, struct copy *copy, int error);
/* Reads n <= PIECE_BLOCKS blocks of every copy into its piece and makes all copies right, in memory
 * and on disk. -EBADMSG and *bad_slot: a slot is damaged in all, and nothing was changed. */
int store_piece_read(struct store *store, uint32_t first, uint32_t n, uint32_t *bad_slot);
void store_pieces_wipe(struct store *store, uint32_t n);

#endif
