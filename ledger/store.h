/* SPDX-License-Identifier: Apache-2.0 */
/* The in-place store: what records need to be read (device contexts, wrapped patient keys). Copies of
 * fixed slots: `store.a` and `store.b` in the folder of a vault's only volume, or `store.a` on each of
 * its k+m volumes. A put writes them one after the other, each O_DIRECT|O_DSYNC, so that a torn write
 * damages one copy only and the old value is overwritten, not left behind. Each slot carries its index, a
 * sequence number and a CRC; load takes the valid copy with the highest sequence and repairs the others.
 * One thread at a time.
 *
 * On k+m volumes a put has succeeded when m+1 copies have it, and load wants k of them: any k have one of
 * those. A copy that fails is left out from then on (and holds old values until store_join()).
 *
 * A copy, little-endian: a first block of 4,096 bytes, then slot i at 4,096 + 512 i. The
 * files grow by 1 MiB of zeros; a slot of zeros was never used.
 *
 *   first block                                     slot
 *   offset  bytes                                   offset  bytes
 *        0      8  magic "AORTASTO"                      0      4  magic "SLOT"
 *        8      4  version (1)                           4      4  its index
 *       12      4  copy: 0 in a, 1 in b                  8      8  sequence, from 1
 *       16     16  store id: random, in both            16      2  value bytes
 *     4092      4  CRC-32C of bytes 0 to 4091           18      1  state: 1 a value, 2 erased
 *                                                       19      5  zero
 *                                                       24    480  value, zeros behind it
 *                                                      504      4  zero
 *                                                      508      4  CRC-32C of bytes 0 to 507 */
#ifndef AORTA_LEDGER_STORE_H
#define AORTA_LEDGER_STORE_H

#include <stddef.h>
#include <stdint.h>

#define STORE_SLOT_BYTES  512u
#define STORE_VALUE_BYTES 480u
#define STORE_SLOTS_MAX   (1u << 25)
#define STORE_WHY_BYTES   512u

struct store;

/* Called for each slot that holds a value, in order. */
typedef int store_load_fn(void *user, uint32_t slot, const uint8_t *value, uint32_t value_bytes);

/* Opens (makes) the store in folder path and loads it. -EBADMSG with why (STORE_WHY_BYTES) when a slot is damaged in both
 * copies or a file is not a store. */
int store_open(struct store **store, const char *path, store_load_fn *load, void *user, char *why);
/* The same with a copy on each of n = data + parity volumes. A path that is NULL is left out: a volume that
 * is no member. io NULL: the real one. */
struct io;
struct store_volumes {
        const char *const *paths;
        unsigned data, parity;
        struct io *io;
};
int store_open_volumes(struct store **store, const struct store_volumes *volumes, store_load_fn *load,
    void *user, char *why);
/* Leaves volume i out from now on. 0, or -EIO when too few would be left (it stays). */
int store_leave(struct store *store, unsigned i);
/* Takes volume i, in folder path, in (again): it gets every value. */
int store_join(struct store *store, unsigned i, const char *path, char *why);
/* Volumes that hold every value: bit i for volume i. */
uint32_t store_copies(const struct store *store);

/* Durable in all copies (on volumes: in m+1 at least) on return. Grows the files as needed. -ENOSPC leaves the old value valid. After any
 * other error the value is the old or the new one until a put succeeds. */
int store_put(struct store *store, uint32_t slot, const void *value, uint32_t value_bytes);
/* Many at once for bulk enrolment: the same guarantee with few flushes. A slot twice is -EINVAL. */
struct store_item {
        uint32_t slot;
        uint32_t value_bytes;
        const void *value;
};
int store_put_many(struct store *store, const struct store_item *items, uint32_t n);
/* Overwrites all copies with an empty slot; a slot never used stays so. */
int store_erase(struct store *store, uint32_t slot);
/* The lowest slot never used. */
uint32_t store_end(const struct store *store);
void store_close(struct store *store);

#endif
