/* SPDX-License-Identifier: Apache-2.0 */
/* The signer's memory and the boot epoch: small files of two alternating 4 KiB blocks, written
 * O_DIRECT|O_DSYNC, so that one valid block always stands. One thread at a time a file.
 *
 * A block of `head` or `epoch`, little-endian; the valid one with the higher sequence counts:
 *
 *   offset  bytes
 *        0      8  magic "AORTAHED" or "AORTAEPO"
 *        8      4  version (1)
 *       12      4  zero
 *       16      8  sequence, from 1
 *       24      8  head: tree size; epoch: the boot epoch
 *       32     32  head: root; epoch: zero
 *     4092      4  CRC-32C of bytes 0 to 4091 */
#ifndef AORTA_LEDGER_HEAD_H
#define AORTA_LEDGER_HEAD_H

#include "ledger/leaf.h"

#include <stdint.h>

struct head {
        uint64_t size; /* the largest tree that was or will be signed */
        uint8_t root[HASH_BYTES];
};

/* Reads `head` in folder path. 0; -ENOENT when there was never one; -EBADMSG when no block is valid. */
int head_read(const char *path, struct head *head);
/* The same through io (NULL: the real one). */
struct io;
int head_read_io(struct io *io, const char *path, struct head *head);
int head_write_io(struct io *io, const char *path, const struct head *head);
/* Flushed on return (folder too when the file is new). Refuses (-EINVAL) a size below the file's, or
 * the same size with another root. */
int head_write(const char *path, const struct head *head);

/* The boot epoch, `epoch` in folder path: counts starts. Reads the last one, adds one and flushes it;
 * *epoch is the new one, above floor. 20 bits: -EOVERFLOW at the end. */
#define BOOT_EPOCH_MAX ((1u << 20) - 1)
int boot_epoch_next(const char *path, uint32_t floor, uint32_t *epoch);
/* The same in n folders, of which at least need must answer (the others are skipped): above what any of
 * them holds, and flushed in need or more. On a vault's volumes need = k: any k of k+m, which is what a
 * later start must have, share a volume with those that know. */
int boot_epoch_next_all(struct io *io, const char *const *paths, unsigned n, unsigned need,
    uint32_t floor, uint32_t *epoch);

#endif
