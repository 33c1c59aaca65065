/* SPDX-License-Identifier: Apache-2.0 */
/* The vault's on-disk formats: the volume's identity, a segment's first block, and a group's
 * fragment. All integers are little-endian; all that is not named is zero and checked to be so
 * where no checksum covers it.
 *
 * `volume`, one block of 4,096 bytes
 *
 *   offset  bytes
 *        0      8  magic "AORTAVOL"
 *        8      4  version (2)
 *       12      4  zero
 *       16     16  vault id: random, the same on all volumes of a vault
 *       32     16  volume id: random
 *       48      4  slot, 0 to k+m-1
 *       52      1  k, data fragments
 *       53      1  m, parity fragments
 *     4092      4  CRC-32C of bytes 0 to 4091
 *
 * `segments/NNNNNNNN` (decimal index): its first block of 4,096 bytes, then fragments, each at a
 * multiple of 4,096, one after the other; none straddles two segments. What is unwritten is zero.
 * The fragments of a group lie in the same segment at the same offset on every volume.
 *
 *        0      8  magic "AORTASEG"
 *        8      4  version (2)
 *       12      4  index
 *       16     16  vault id
 *       32     16  volume id
 *       48      8  bytes of the file
 *     4092      4  CRC-32C of bytes 0 to 4091
 *
 * A group's payload is padded with zeros to k times F bytes and cut into k data fragments of F; m
 * parity fragments of F are made of them (parity.h). F is the smallest that holds the payload and
 * makes header and fragment together a multiple of 4,096.
 *
 * A fragment on disk: header of 1,024 bytes, then its F bytes.
 *
 *        0      8  magic "AORTAGRP"
 *        8      4  version (2)
 *       12      1  k
 *       13      1  m
 *       14      2  zero
 *       16     16  vault id
 *       32      8  group number, from 0
 *       40      8  membership epoch
 *       48      8  tree size before this group: the leaf index of its first record
 *       56      4  record count, 1 to 4,096
 *       60      4  payload bytes
 *       64     32  tree root before this group
 *       96     32  digest of the group before it; zero for group 0
 *      128    512  fragment digests, 16 x 32: SHA-256 of each fragment's F bytes by slot; unused
 *                  ones zero
 *      640     32  group digest: SHA-256 of bytes 0 to 639, the same in each fragment
 *      672     16  volume id
 *      688      4  slot
 *      692    328  zero
 *     1020      4  CRC-32C of bytes 0 to 1019
 *
 * The payload: a table of one entry a record, then the sealed records one after the other.
 *
 *        0     32  the record's digest (crypto/seal.h)
 *       32      2  sealed bytes
 *       34      1  kind, the same as in the sealed record
 *       35      1  zero
 *       36      4  offset of the sealed record from the payload's start
 *
 * Fragments combine only when their group digests are equal. k > m, so that of two groups that were
 * written at one place at most one has k fragments.
 */
#ifndef AORTA_LEDGER_GROUP_H
#define AORTA_LEDGER_GROUP_H

#include "ledger/files.h"
#include "ledger/vault.h"

#include <openssl/evp.h>

#define FORMAT_VERSION      2u
#define ID_BYTES            16u
#define GROUP_HEADER_BYTES  1024u
#define GROUP_ENTRY_BYTES   40u
#define GROUP_FRAGMENTS_MAX 16u
#define GROUP_TABLE_MAX     (GROUP_RECORDS_MAX * GROUP_ENTRY_BYTES)
#define GROUP_PAYLOAD_MAX   (GROUP_BYTES_MAX - GROUP_HEADER_BYTES)

#define SEGMENT_BYTES_DEFAULT (64u << 20)
#define SEGMENT_BYTES_MIN     (BLOCK_BYTES + GROUP_BYTES_MAX) /* with k = 1 */
#define SEGMENT_BYTES_MAX     (1u << 30)
#define SEGMENTS_MAX          100000000u /* eight decimal digits */
#define SEGMENT_NAME_BYTES    9u         /* with the NUL */

struct volume_id {
        uint8_t vault[ID_BYTES];
        uint8_t volume[ID_BYTES];
};

/* How a vault's groups are cut, and where a volume stands in it. */
struct fragment_layout {
        uint8_t data, parity; /* k, m */
        uint8_t slot;
};

void volume_block_write(
    uint8_t block[BLOCK_BYTES], const struct volume_id *id, const struct fragment_layout *layout);
/* 0 or -EBADMSG. */
int volume_block_read(
    const uint8_t block[BLOCK_BYTES], struct volume_id *id, struct fragment_layout *layout);

void segment_block_write(
    uint8_t block[BLOCK_BYTES], const struct volume_id *id, uint32_t index, uint64_t bytes);
/* Checks a segment's first block: 0, or -EBADMSG with *what saying which part. */
int segment_block_check(const uint8_t block[BLOCK_BYTES], const struct volume_id *id,
    uint32_t index, uint64_t bytes, const char **what);

struct group_header {
        struct volume_id id;
        struct fragment_layout layout;
        uint64_t number;
        uint64_t epoch;
        uint64_t tree_size;
        uint32_t records;
        uint32_t payload_bytes;
        uint8_t root[HASH_BYTES];
        uint8_t previous[HASH_BYTES];
        uint8_t fragments[GROUP_FRAGMENTS_MAX][HASH_BYTES];
        uint8_t digest[HASH_BYTES]; /* the group's; made by group_header_write() */
};

/* SHA-256 of much data: OpenSSL's, which uses the CPU's SHA instructions (libsodium's does not).
 * One a thread; digesting allocates nothing. */
struct digester {
        EVP_MD *md;
        EVP_MD_CTX *context;
};
int digester_open(struct digester *digester);
void digester_close(struct digester *digester);
void digester_sha256(
    struct digester *digester, uint8_t out[HASH_BYTES], const void *in, size_t bytes);

/* Writes all fields and both checksums; sets header->digest. */
void group_header_write(
    uint8_t out[GROUP_HEADER_BYTES], struct group_header *header, struct digester *digester);

enum header_verdict {
        HEADER_NONE,    /* no header: wrong magic or CRC */
        HEADER_FOREIGN, /* a header, but not one of this volume and version, or one that makes no
                           sense */
        HEADER_OURS,    /* whole; says nothing of the payload */
};
/* Parses a header of a volume; header is filled for HEADER_OURS only. *what says what is wrong. */
enum header_verdict group_header_read(struct group_header *header,
    const uint8_t in[GROUP_HEADER_BYTES], const struct volume_id *id,
    const struct fragment_layout *layout, struct digester *digester, const char **what);

/* Bytes of a fragment on disk, header included, of a group cut into data pieces. */
uint32_t group_disk_bytes(uint32_t payload_bytes, uint32_t data);

/* The least that a segment may be: room for the largest fragment. */
uint32_t segment_bytes_min(uint32_t data);

/* Whether the fragment's bytes behind its header are those of its header's digest. */
bool group_fragment_check(
    const uint8_t *fragment, const struct group_header *header, struct digester *digester);

/* Checks an assembled payload (k x F bytes, of fragments that were checked): table and padding. 0
 * or -EBADMSG with *what. After 0 the table's entries may be read without further checks. */
int group_payload_check(
    const uint8_t *payload, const struct group_header *header, const char **what);

void group_entry_write(uint8_t out[GROUP_ENTRY_BYTES], const uint8_t digest[HASH_BYTES],
    uint16_t sealed_bytes, uint8_t kind, uint32_t offset);
/* Adds bytes to the offset of each of the table's records. */
void group_table_shift(uint8_t *table, uint32_t records, uint32_t bytes);
/* Record i of a checked payload: pointers into it. leaf and group are set too. */
void group_record(const uint8_t *payload, const struct group_header *header, uint32_t i,
    struct vault_record *record);

/* The leaf entry of a sealed record and its digest. */
void group_leaf_entry(
    uint8_t entry[LEAF_ENTRY_BYTES], const uint8_t *sealed, const uint8_t digest[HASH_BYTES]);

#endif
