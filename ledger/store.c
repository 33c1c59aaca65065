/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/store_internal.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

unsigned
store_copies_in(const struct store *store)
{
        unsigned n = 0;
        for (unsigned i = 0; i < store->n; i++)
                n += store->copies[i].in;
        return n;
}

int
store_copy_drop(struct store *store, struct copy *copy, int error)
{
        if (store_copies_in(store) <= store->need_write)
                return error;
        copy->in = false;
        return 0;
}

/* ---- slots ---- */

enum slot_verdict { SLOT_DAMAGED, SLOT_UNUSED, SLOT_VALID };

static enum slot_verdict
slot_check(const uint8_t *slot, uint32_t index)
{
        uint8_t state = slot[AT_SLOT_STATE];
        if (bytes_are_zero(slot, STORE_SLOT_BYTES))
                return SLOT_UNUSED;
        if (get_le32(slot) != SLOT_MAGIC || get_le32(slot + AT_SLOT_INDEX) != index ||
            get_le32(slot + AT_SLOT_CRC) != crc32c(slot, AT_SLOT_CRC) ||
            (state != SLOT_VALUE && state != SLOT_ERASED) ||
            get_le16(slot + AT_SLOT_VALUE_BYTES) > STORE_VALUE_BYTES)
                return SLOT_DAMAGED;
        return SLOT_VALID;
}

/* Overwrites the slot with the next sequence; a NULL value erases it. */
static void
slot_fill(uint8_t *slot, uint32_t index, const void *value, uint32_t value_bytes)
{
        uint64_t sequence = get_le64(slot + AT_SLOT_SEQUENCE) + 1;
        memset(slot, 0, STORE_SLOT_BYTES);
        put_le32(slot, SLOT_MAGIC);
        put_le32(slot + AT_SLOT_INDEX, index);
        put_le64(slot + AT_SLOT_SEQUENCE, sequence);
        slot[AT_SLOT_STATE] = value != NULL ? SLOT_VALUE : SLOT_ERASED;
        if (value != NULL) {
                put_le16(slot + AT_SLOT_VALUE_BYTES, (uint16_t)value_bytes);
                memcpy(slot + AT_SLOT_VALUE, value, value_bytes);
        }
        put_le32(slot + AT_SLOT_CRC, crc32c(slot, AT_SLOT_CRC));
        assert(slot_check(slot, index) == SLOT_VALID);
}

/* Makes all copies of a slot in memory, at bytes into their pieces, the one that counts: wrong[i]
 * for those that were not. -EBADMSG: damaged in all. */
static int
slot_merge(struct store *store, size_t at, uint32_t index, bool wrong[COPIES_MAX])
{
        const uint8_t *best = NULL;
        enum slot_verdict best_verdict = SLOT_DAMAGED;
        for (unsigned i = 0; i < store->n; i++) {
                const struct copy *copy = &store->copies[i];
                if (!copy->in)
                        continue;
                enum slot_verdict verdict = slot_check(copy->piece + at, index);
                /* A slot that was never used has sequence 0. */
                if (verdict > best_verdict || (best != NULL && verdict == best_verdict &&
                                                  get_le64(copy->piece + at + AT_SLOT_SEQUENCE) >
                                                      get_le64(best + AT_SLOT_SEQUENCE))) {
                        best = copy->piece + at;
                        best_verdict = verdict;
                }
        }
        if (best == NULL)
                return -EBADMSG;
        for (unsigned i = 0; i < store->n; i++) {
                struct copy *copy = &store->copies[i];
                wrong[i] = copy->in && memcmp(copy->piece + at, best, STORE_SLOT_BYTES) != 0;
                if (wrong[i])
                        memcpy(copy->piece + at, best, STORE_SLOT_BYTES);
        }
        return 0;
}

/* ---- pieces: all copies of n blocks from first on, in copy->piece ---- */

/* What cannot be read counts as damaged, what lies behind the file's end as zero. */
static int
piece_read_copy(struct store *store, struct copy *copy, uint32_t first, uint32_t n)
{
        size_t bytes = (size_t)n * BLOCK_BYTES;
        int64_t got = file_read_full(store->io, copy->fd, copy->piece, bytes, block_offset(first));
        if (got >= 0) {
                memset(copy->piece + got, 0, bytes - (size_t)got);
                return 0;
        }
        if (got != -EIO)
                return (int)got;
        for (uint32_t i = 0; i < n; i++) {
                uint8_t *block = copy->piece + (size_t)i * BLOCK_BYTES;
                got = file_read_full(
                    store->io, copy->fd, block, BLOCK_BYTES, block_offset(first + i));
                if (got < 0)
                        memset(block, 0xff, BLOCK_BYTES);
                else
                        memset(block + got, 0, BLOCK_BYTES - (size_t)got);
        }
        return 0;
}

/* Grows a copy to hold blocks, by zeros that are flushed; what it cannot finish it takes back. */
static int
copy_grow(struct store *store, struct copy *copy, uint32_t blocks)
{
        struct io *io = store->io;
        uint32_t have = copy->blocks;
        if (have >= blocks)
                return 0;
        int error = file_write_zeros(
            io, copy->fd, block_offset(have), (uint64_t)(blocks - have) * BLOCK_BYTES);
        if (error) {
                /* If this fails too, the file is longer than known, by zeros. */
                if (io->ops->truncate(io, copy->fd, block_offset(have)) == 0)
                        io->ops->fsync(io, copy->fd);
                return error;
        }
        copy->blocks = blocks;
        return 0;
}

/* Grows all; those that cannot are left out when enough can. */
static int
copies_grow(struct store *store, uint32_t blocks)
{
        bool failed[COPIES_MAX] = {false};
        unsigned failed_n = 0;
        int last = 0;
        for (unsigned i = 0; i < store->n; i++) {
                int error = store->copies[i].in ? copy_grow(store, &store->copies[i], blocks) : 0;
                if (!error)
                        continue;
                failed[i] = true;
                failed_n++;
                last = error;
        }
        if (store_copies_in(store) - failed_n < store->need_write)
                return last;
        for (unsigned i = 0; i < store->n; i++)
                if (failed[i])
                        store->copies[i].in = false;
        return 0;
}

static int
piece_write_copy(struct store *store, struct copy *copy, uint32_t first, uint32_t at, uint32_t n)
{
        int error = copy_grow(store, copy, first + at + n);
        if (error)
                return error;
        return file_write_full(store->io, copy->fd, copy->piece + (size_t)at * BLOCK_BYTES,
            (size_t)n * BLOCK_BYTES, block_offset(first + at));
}

/* Writes the blocks of the piece that were wrong in a copy. */
static int
piece_repair(struct store *store, struct copy *copy, uint32_t first, const bool wrong[PIECE_BLOCKS],
    uint32_t n)
{
        for (uint32_t begin = 0, end; begin < n; begin = end) {
                for (end = begin; end < n && wrong[end]; end++)
                        ;
                if (end == begin) {
                        end++;
                        continue;
                }
                int error = piece_write_copy(store, copy, first, begin, end - begin);
                if (error)
                        return error;
        }
        return 0;
}

int
store_piece_read(struct store *store, uint32_t first, uint32_t n, uint32_t *bad_slot)
{
        assert(n > 0 && n <= PIECE_BLOCKS);
        bool wrong[COPIES_MAX][PIECE_BLOCKS] = {{false}};
        int error = 0;
        for (unsigned i = 0; i < store->n && !error; i++) {
                struct copy *copy = &store->copies[i];
                error = copy->in ? piece_read_copy(store, copy, first, n) : 0;
                if (error)
                        error = store_copy_drop(store, copy, error);
        }
        for (uint32_t s = 0; s < n * BLOCK_SLOTS && !error; s++) {
                bool slot_wrong[COPIES_MAX];
                error = slot_merge(
                    store, (size_t)s * STORE_SLOT_BYTES, first * BLOCK_SLOTS + s, slot_wrong);
                if (error)
                        *bad_slot = first * BLOCK_SLOTS + s;
                for (unsigned i = 0; i < store->n && !error; i++)
                        if (slot_wrong[i])
                                wrong[i][s / BLOCK_SLOTS] = true;
        }
        for (unsigned i = 0; i < store->n && !error; i++) {
                struct copy *copy = &store->copies[i];
                error = copy->in ? piece_repair(store, copy, first, wrong[i], n) : 0;
                if (error)
                        error = store_copy_drop(store, copy, error);
        }
        return error;
}

void
store_pieces_wipe(struct store *store, uint32_t n)
{
        for (unsigned i = 0; i < store->n; i++)
                sodium_memzero(store->copies[i].piece, (size_t)n * BLOCK_BYTES);
}

/* ---- put ---- */

static int
item_compare(const void *a, const void *b)
{
        const struct store_item *x = *(const struct store_item *const *)a;
        const struct store_item *y = *(const struct store_item *const *)b;
        return (x->slot > y->slot) - (x->slot < y->slot);
}

/* Writes items of neighbouring blocks: read all copies, change, write one after the other. When the
 * first one's write is torn the others have the old value; when a later one's is, the first has the
 * new one. */
static int
run_write(struct store *store, const struct store_item *const *items, uint32_t n)
{
        uint32_t first = items[0]->slot / BLOCK_SLOTS;
        uint32_t blocks = items[n - 1]->slot / BLOCK_SLOTS - first + 1;
        uint32_t bad_slot;
        uint32_t whole = (first + blocks + PIECE_BLOCKS - 1) / PIECE_BLOCKS * PIECE_BLOCKS;
        int error = copies_grow(store, whole);
        if (!error)
                error = store_piece_read(store, first, blocks, &bad_slot);
        for (uint32_t i = 0; i < n && !error; i++) {
                uint32_t slot = items[i]->slot;
                size_t at = (size_t)(slot - first * BLOCK_SLOTS) * STORE_SLOT_BYTES;
                for (unsigned c = 0; c < store->n; c++)
                        if (store->copies[c].in)
                                slot_fill(store->copies[c].piece + at, slot, items[i]->value,
                                    items[i]->value_bytes);
                if (slot >= store->end)
                        store->end = slot + 1;
        }
        for (unsigned c = 0; c < store->n && !error; c++) {
                struct copy *copy = &store->copies[c];
                error = copy->in ? piece_write_copy(store, copy, first, 0, blocks) : 0;
                if (error)
                        error = store_copy_drop(store, copy, error);
        }
        store_pieces_wipe(store, blocks);
        return error;
}

/* Items sorted by slot, in runs of blocks that touch. */
static int
sorted_write(struct store *store, const struct store_item *const *items, uint32_t n)
{
        for (uint32_t begin = 0, end; begin < n; begin = end) {
                uint32_t first = items[begin]->slot / BLOCK_SLOTS, last = first;
                for (end = begin + 1; end < n; end++) {
                        uint32_t block = items[end]->slot / BLOCK_SLOTS;
                        if (block - last > 1 || block - first >= PIECE_BLOCKS)
                                break;
                        last = block;
                }
                int error = run_write(store, items + begin, end - begin);
                if (error)
                        return error;
        }
        return 0;
}

int
store_put_many(struct store *store, const struct store_item *items, uint32_t n)
{
        if (n == 0)
                return 0;
        for (uint32_t i = 0; i < n; i++)
                if (items[i].slot >= STORE_SLOTS_MAX || items[i].value_bytes > STORE_VALUE_BYTES ||
                    items[i].value == NULL)
                        return -EINVAL;
        const struct store_item **sorted = malloc((size_t)n * sizeof(struct store_item *));
        if (sorted == NULL)
                return -ENOMEM;
        for (uint32_t i = 0; i < n; i++)
                sorted[i] = &items[i];
        qsort(sorted, n, sizeof(struct store_item *), item_compare);
        int error = 0;
        for (uint32_t i = 1; i < n; i++)
                if (sorted[i]->slot == sorted[i - 1]->slot)
                        error = -EINVAL;
        if (!error)
                error = sorted_write(store, sorted, n);
        free(sorted);
        return error;
}

int
store_put(struct store *store, uint32_t slot, const void *value, uint32_t value_bytes)
{
        struct store_item item = {slot, value_bytes, value};
        return store_put_many(store, &item, 1);
}

int
store_erase(struct store *store, uint32_t slot)
{
        if (slot >= STORE_SLOTS_MAX)
                return -EINVAL;
        if (slot >= store->end)
                return 0;
        struct store_item item = {.slot = slot};
        const struct store_item *items[1] = {&item};
        return run_write(store, items, 1);
}

uint32_t
store_end(const struct store *store)
{
        return store->end;
}

void
store_close(struct store *store)
{
        if (store == NULL)
                return;
        for (unsigned i = 0; i < store->n; i++) {
                struct copy *copy = &store->copies[i];
                if (copy->fd >= 0)
                        store->io->ops->close(store->io, copy->fd);
                if (copy->piece != NULL)
                        sodium_memzero(copy->piece, PIECE_BYTES);
                free(copy->piece);
        }
        free(store);
}
