/* SPDX-License-Identifier: Apache-2.0 */
/* Small helpers for files whose writes must be durable. All return 0 or -errno unless they say
 * otherwise; all may be called by any thread. */
#ifndef AORTA_LEDGER_FILES_H
#define AORTA_LEDGER_FILES_H

#include "ledger/io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The unit of every direct write: the largest logical block of the disks one meets. */
#define BLOCK_BYTES 4096u

/* What io_posix() gives new files. */
#define FILE_MODE 0600

/* Every descriptor that writes below a volume's folder is opened with these: a write has reached
 * the medium when it returns, and nothing of it stands in the page cache to be read back after a
 * failure. */
#define IO_DURABLE (IO_WRITE | IO_DIRECT)

/* Reads until bytes are there or the file ends: the number of bytes read, or -errno. */
int64_t file_read_full(struct io *io, int fd, void *buffer, size_t bytes, uint64_t offset_bytes);
/* Opens (IO_READ | IO_DIRECT), reads as file_read_full(), closes. */
int64_t file_read(
    struct io *io, const char *path, void *buffer, size_t bytes, uint64_t offset_bytes);
/* Writes all; a write that makes no progress is -EIO. */
int file_write_full(struct io *io, int fd, const void *buffer, size_t bytes, uint64_t offset_bytes);
/* Zeros over [offset, offset + bytes), both multiples of BLOCK_BYTES, by an IO_DURABLE descriptor.
 */
int file_write_zeros(struct io *io, int fd, uint64_t offset_bytes, uint64_t bytes);
/* mkdir -p; each new folder's parent is synced. */
int folder_make_io(struct io *io, const char *path);
/* By the real io. */
int folder_make(const char *path);
/* Makes `path/name` hold exactly bytes (a multiple of BLOCK_BYTES; buffer aligned to it): written
 * to `name.tmp`, flushed, renamed, folder synced. -EEXIST when the name stands already. */
int file_make(struct io *io, const char *path, const char *name, const void *buffer, size_t bytes);
/* path ‖ '/' ‖ name into out. -ENAMETOOLONG when it does not fit. */
int path_join(char *out, size_t out_bytes, const char *path, const char *name);

/* Zeroed memory for direct writes, aligned to BLOCK_BYTES; free() it. NULL when there is none. */
void *blocks_alloc(size_t bytes);
bool bytes_are_zero(const void *buffer, size_t bytes);
/* CRC-32C (Castagnoli), as iSCSI's. */
uint32_t crc32c(const void *buffer, size_t bytes);

#endif
