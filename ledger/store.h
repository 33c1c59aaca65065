/* SPDX-License-Identifier: Apache-2.0 */
/* The in-place store: what records need to be read (device contexts, wrapped patient keys). Two copies of
 * fixed slots, `store.a` and `store.b` in the volume's folder; a put writes a, then b, each
 * O_DIRECT|O_DSYNC, so that a torn write damages one copy only and the old value is overwritten, not left
 * behind. Each slot carries its index, a sequence number and a CRC; load takes the valid copy with the
 * higher sequence and repairs the other. One thread at a time. */
#ifndef AORTA_LEDGER_STORE_H
#define AORTA_LEDGER_STORE_H

#include <stddef.h>
#include <stdint.h>

#define STORE_SLOT_BYTES  512u
#define STORE_VALUE_BYTES 480u
#define STORE_SLOTS_MAX   (1u << 25)

struct store;

/* Called for each slot that holds a value, in order. */
typedef int store_load_fn(void *user, uint32_t slot, const uint8_t *value, uint32_t value_bytes);

/* Opens (makes) the store in folder path and loads it. -EBADMSG with why when a slot is damaged in both
 * copies or a file is not a store. */
int store_open(struct store **store, const char *path, store_load_fn *load, void *user, char *why);
/* Durable in both copies on return. Grows the files as needed. -ENOSPC leaves the old value valid. */
int store_put(struct store *store, uint32_t slot, const void *value, uint32_t value_bytes);
/* Many at once for bulk enrolment: the same guarantee with few flushes. */
struct store_item {
        uint32_t slot;
        uint32_t value_bytes;
        const void *value;
};
int store_put_many(struct store *store, const struct store_item *items, uint32_t n);
/* Overwrites both copies with an empty slot. */
int store_erase(struct store *store, uint32_t slot);
/* The lowest slot never used. */
uint32_t store_end(const struct store *store);
void store_close(struct store *store);

#endif
