/* SPDX-License-Identifier: Apache-2.0 */
/* The group's format as ledger/group.h says it, byte by byte, and what its checks refuse. */
#include "ledger/bytes.h"
#include "vault_helpers.h"

#define RECORDS 3u

static uint8_t fragment[GROUP_BYTES_MAX];
static struct volume_id id;
static const struct fragment_layout layout = {.data = 1};
static struct digester digester;
static struct group_header header;

/* The fragment's bytes on disk. */
static uint32_t
fragment_bytes(void)
{
        return group_disk_bytes(header.payload_bytes, 1);
}

static void
fragment_seal(void)
{
        digester_sha256(&digester, header.fragments[0], fragment + GROUP_HEADER_BYTES,
            fragment_bytes() - GROUP_HEADER_BYTES);
        group_header_write(fragment, &header, &digester);
}

static void
fragment_make(void)
{
        cr_assert_eq(digester_open(&digester), 0);
        memset(fragment, 0, sizeof(fragment));
        memset(&id, 0x11, sizeof(id.vault));
        memset(id.volume, 0x22, sizeof(id.volume));
        uint8_t *payload = fragment + GROUP_HEADER_BYTES, digest[HASH_BYTES];
        uint32_t offset = RECORDS * GROUP_ENTRY_BYTES;
        header = (struct group_header){.id = id,
            .layout = layout,
            .number = 0x0102030405060708,
            .epoch = 7,
            .tree_size = 99,
            .records = RECORDS};
        memset(header.root, 0x33, HASH_BYTES);
        memset(header.previous, 0x44, HASH_BYTES);
        for (uint32_t i = 0; i < RECORDS; i++) {
                uint32_t bytes = sealed_make(payload + offset, 99 + i, digest);
                group_entry_write(payload + i * GROUP_ENTRY_BYTES, digest, (uint16_t)bytes,
                    payload[offset + 1], offset);
                offset += bytes;
        }
        header.payload_bytes = offset;
        fragment_seal();
}

static int
fragment_check(void)
{
        struct group_header read;
        const char *what;
        if (group_header_read(&read, fragment, &id, &layout, &digester, &what) != HEADER_OURS ||
            !group_fragment_check(fragment, &read, &digester))
                return -EBADMSG;
        return group_payload_check(fragment + GROUP_HEADER_BYTES, &read, &what);
}

Test(group, crc32c_is_castagnoli)
{
        cr_assert_eq(crc32c("123456789", 9), 0xe3069283u);
}

Test(group, fields_lie_where_the_format_says)
{
        fragment_make();
        cr_assert_eq(memcmp(fragment, "AORTAGRP", 8), 0);
        cr_assert_eq(get_le32(fragment + 8), 2);
        cr_assert_eq(fragment[12], 1);
        cr_assert_eq(fragment[13], 0);
        cr_assert_eq(memcmp(fragment + 16, id.vault, 16), 0);
        cr_assert_eq(get_le64(fragment + 32), 0x0102030405060708);
        cr_assert_eq(get_le64(fragment + 40), 7);
        cr_assert_eq(get_le64(fragment + 48), 99);
        cr_assert_eq(get_le32(fragment + 56), RECORDS);
        cr_assert_eq(get_le32(fragment + 60), header.payload_bytes);
        cr_assert_eq(memcmp(fragment + 64, header.root, 32), 0);
        cr_assert_eq(memcmp(fragment + 96, header.previous, 32), 0);
        uint8_t digest[HASH_BYTES];
        crypto_hash_sha256(digest, fragment + 1024, fragment_bytes() - 1024);
        cr_assert_eq(memcmp(fragment + 128, digest, 32), 0);
        cr_assert(bytes_are_zero(fragment + 160, 480));
        crypto_hash_sha256(digest, fragment, 640);
        cr_assert_eq(memcmp(fragment + 640, digest, 32), 0);
        cr_assert_eq(memcmp(fragment + 672, id.volume, 16), 0);
        cr_assert_eq(get_le32(fragment + 688), 0);
        cr_assert(bytes_are_zero(fragment + 692, 328));
        cr_assert_eq(get_le32(fragment + 1020), crc32c(fragment, 1020));
        cr_assert_eq(
            get_le16(fragment + 1024 + 32), header.payload_bytes > 0 ? 96 + 99 * 7919 % 400 : 0);
        cr_assert_eq(get_le32(fragment + 1024 + 36), RECORDS * 40);
        digester_close(&digester);
}

Test(group, reads_what_it_wrote)
{
        fragment_make();
        struct group_header read;
        const char *what;
        cr_assert_eq(
            group_header_read(&read, fragment, &id, &layout, &digester, &what), HEADER_OURS);
        cr_assert_eq(memcmp(&read.id, &header.id, sizeof(read.id)), 0);
        cr_assert_eq(memcmp(&read.layout, &header.layout, sizeof(read.layout)), 0);
        cr_assert_eq(read.number, header.number);
        cr_assert_eq(read.epoch, header.epoch);
        cr_assert_eq(read.tree_size, header.tree_size);
        cr_assert_eq(read.records, header.records);
        cr_assert_eq(read.payload_bytes, header.payload_bytes);
        cr_assert_eq(memcmp(read.root, header.root, HASH_BYTES), 0);
        cr_assert_eq(memcmp(read.previous, header.previous, HASH_BYTES), 0);
        cr_assert_eq(memcmp(read.fragments, header.fragments, sizeof(read.fragments)), 0);
        cr_assert_eq(memcmp(read.digest, header.digest, HASH_BYTES), 0);
        cr_assert(group_fragment_check(fragment, &read, &digester));
        cr_assert_eq(group_payload_check(fragment + GROUP_HEADER_BYTES, &read, &what), 0);
        for (uint32_t i = 0; i < RECORDS; i++) {
                struct vault_record record;
                group_record(fragment + GROUP_HEADER_BYTES, &read, i, &record);
                cr_assert_eq(record.leaf, 99 + i);
                cr_assert_eq(record.group, 0x0102030405060708);
                sealed_check(99 + i, record.sealed, record.sealed_bytes, record.digest);
        }
        digester_close(&digester);
}

Test(group, every_bit_counts)
{
        fragment_make();
        uint32_t bytes = fragment_bytes();
        cr_assert_eq(fragment_check(), 0);
        for (uint32_t at = 0; at < bytes; at++) {
                fragment[at] ^= (uint8_t)(1u << (at % 8));
                cr_expect_eq(fragment_check(), -EBADMSG, "byte %u", at);
                fragment[at] ^= (uint8_t)(1u << (at % 8));
        }
        cr_assert_eq(fragment_check(), 0);
        digester_close(&digester);
}

/* A header of another volume, version or layout is whole and still not taken. */
Test(group, foreign_headers_are_told_from_damaged_ones)
{
        fragment_make();
        struct group_header read;
        const char *what;
        struct volume_id other = id;
        other.volume[3] ^= 1;
        cr_assert_eq(
            group_header_read(&read, fragment, &other, &layout, &digester, &what), HEADER_FOREIGN);
        other = id;
        other.vault[3] ^= 1;
        cr_assert_eq(
            group_header_read(&read, fragment, &other, &layout, &digester, &what), HEADER_FOREIGN);
        static const struct {
                uint32_t at;
                uint8_t value;
        } changes[] = {{8, 1}, {12, 2}, {13, 1}, {688, 1}, {56, 0}, {57, 0x20}, {63, 1}};
        digester_close(&digester);
        for (unsigned i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
                fragment_make();
                fragment[changes[i].at] = changes[i].value;
                uint8_t digest[HASH_BYTES];
                crypto_hash_sha256(digest, fragment, 640);
                memcpy(fragment + 640, digest, HASH_BYTES);
                put_le32(fragment + 1020, crc32c(fragment, 1020));
                cr_expect_eq(group_header_read(&read, fragment, &id, &layout, &digester, &what),
                    HEADER_FOREIGN, "%u", i);
                digester_close(&digester);
        }
        fragment_make();
        fragment[0] ^= 1;
        cr_assert_eq(
            group_header_read(&read, fragment, &id, &layout, &digester, &what), HEADER_NONE);
        digester_close(&digester);
}

/* Tables that describe other bytes than those that follow, under good checksums. */
Test(group, hostile_tables_are_refused)
{
        static const struct {
                uint32_t at; /* in the payload */
                uint8_t mask;
        } changes[] = {
            {32, 1}, {33, 0x80}, {34, 1}, {35, 1}, {36, 1}, {39, 0x80}, {36 + 40, 8}, {32 + 80, 1}};
        for (unsigned i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
                fragment_make();
                fragment[GROUP_HEADER_BYTES + changes[i].at] ^= changes[i].mask;
                fragment_seal();
                cr_expect_eq(fragment_check(), -EBADMSG, "%u", i);
                digester_close(&digester);
        }
        /* Longer or shorter than its records, or a record too few or many. */
        for (int delta = -1; delta <= 1; delta += 2) {
                fragment_make();
                header.payload_bytes += (uint32_t)delta;
                fragment_seal();
                cr_expect_eq(fragment_check(), -EBADMSG);
                header.payload_bytes -= (uint32_t)delta;
                header.records += (uint32_t)delta;
                fragment_seal();
                cr_expect_eq(fragment_check(), -EBADMSG);
                digester_close(&digester);
        }
}

Test(group, identity_blocks_are_checked)
{
        static uint8_t block[BLOCK_BYTES];
        struct volume_id read;
        const char *what;
        memset(&id, 0x5a, sizeof(id));
        const struct fragment_layout third = {.data = 4, .parity = 2, .slot = 2};
        struct fragment_layout read_layout;
        volume_block_write(block, &id, &third);
        cr_assert_eq(volume_block_read(block, &read, &read_layout), 0);
        cr_assert_eq(memcmp(&read_layout, &third, sizeof(third)), 0);
        cr_assert_eq(memcmp(&read, &id, sizeof(id)), 0);
        for (uint32_t at = 0; at < BLOCK_BYTES; at += 3) {
                block[at] ^= 0x40;
                cr_expect_eq(volume_block_read(block, &read, &read_layout), -EBADMSG);
                block[at] ^= 0x40;
        }
        segment_block_write(block, &id, 5, 1 << 22);
        cr_assert_eq(segment_block_check(block, &id, 5, 1 << 22, &what), 0);
        cr_assert_eq(segment_block_check(block, &id, 6, 1 << 22, &what), -EBADMSG);
        cr_assert_eq(segment_block_check(block, &id, 5, 1 << 23, &what), -EBADMSG);
        read.volume[0] ^= 1;
        cr_assert_eq(segment_block_check(block, &read, 5, 1 << 22, &what), -EBADMSG);
        for (uint32_t at = 0; at < BLOCK_BYTES; at += 3) {
                block[at] ^= 0x40;
                cr_expect_eq(segment_block_check(block, &id, 5, 1 << 22, &what), -EBADMSG);
                block[at] ^= 0x40;
        }
}
