/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/group.h"

#include "crypto/seal.h"
#include "ledger/bytes.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static const uint8_t volume_magic[8] = "AORTAVOL";
static const uint8_t segment_magic[8] = "AORTASEG";
static const uint8_t group_magic[8] = "AORTAGRP";

/* Offsets; see group.h. */
enum {
        AT_VERSION = 8,
        AT_SEGMENT_INDEX = 12,
        AT_VAULT = 16,
        AT_BLOCK_VOLUME = 32,
        AT_BLOCK_SLOT = 48,
        AT_BLOCK_K = 52,
        AT_BLOCK_M = 53,
        AT_SEGMENT_BYTES = 48,
        AT_BLOCK_CRC = BLOCK_BYTES - 4,

        AT_K = 12,
        AT_M = 13,
        AT_NUMBER = 32,
        AT_MEMBERSHIP = 40,
        AT_TREE_SIZE = 48,
        AT_RECORDS = 56,
        AT_PAYLOAD_BYTES = 60,
        AT_ROOT = 64,
        AT_PREVIOUS = 96,
        AT_FRAGMENT_DIGESTS = 128,
        AT_GROUP_DIGEST = AT_FRAGMENT_DIGESTS + GROUP_FRAGMENTS_MAX * HASH_BYTES,
        AT_VOLUME = AT_GROUP_DIGEST + HASH_BYTES,
        AT_SLOT = AT_VOLUME + ID_BYTES,
        AT_HEADER_END = AT_SLOT + 4,
        AT_HEADER_CRC = GROUP_HEADER_BYTES - 4,

        AT_ENTRY_SEALED_BYTES = 32,
        AT_ENTRY_KIND = 34,
        AT_ENTRY_ZERO = 35,
        AT_ENTRY_OFFSET = 36,

        /* Of the sealed record; crypto/seal.h. */
        AT_SEALED_KIND = 1,
        AT_SEALED_RECEIVED_NS = 48,
};
_Static_assert(AT_GROUP_DIGEST == 640 && AT_HEADER_END == 692, "as group.h says");
_Static_assert(
    GROUP_HEADER_BYTES + GROUP_TABLE_MAX + BLOCK_BYTES < GROUP_BYTES_MAX, "room to fill");
_Static_assert(SEAL_BYTES_MAX <= UINT16_MAX, "sealed bytes are a u16");

static bool
layout_makes_sense(const struct fragment_layout *layout)
{
        unsigned n = (unsigned)layout->data + layout->parity;
        return layout->data > layout->parity && n <= GROUP_FRAGMENTS_MAX && layout->slot < n;
}

void
volume_block_write(
    uint8_t block[BLOCK_BYTES], const struct volume_id *id, const struct fragment_layout *layout)
{
        assert(layout_makes_sense(layout));
        memset(block, 0, BLOCK_BYTES);
        memcpy(block, volume_magic, sizeof(volume_magic));
        put_le32(block + AT_VERSION, FORMAT_VERSION);
        memcpy(block + AT_VAULT, id->vault, ID_BYTES);
        memcpy(block + AT_BLOCK_VOLUME, id->volume, ID_BYTES);
        put_le32(block + AT_BLOCK_SLOT, layout->slot);
        block[AT_BLOCK_K] = layout->data;
        block[AT_BLOCK_M] = layout->parity;
        put_le32(block + AT_BLOCK_CRC, crc32c(block, AT_BLOCK_CRC));
}

int
volume_block_read(
    const uint8_t block[BLOCK_BYTES], struct volume_id *id, struct fragment_layout *layout)
{
        if (memcmp(block, volume_magic, sizeof(volume_magic)) ||
            get_le32(block + AT_BLOCK_CRC) != crc32c(block, AT_BLOCK_CRC) ||
            get_le32(block + AT_VERSION) != FORMAT_VERSION ||
            get_le32(block + AT_BLOCK_SLOT) >= GROUP_FRAGMENTS_MAX)
                return -EBADMSG;
        memcpy(id->vault, block + AT_VAULT, ID_BYTES);
        memcpy(id->volume, block + AT_BLOCK_VOLUME, ID_BYTES);
        layout->slot = (uint8_t)get_le32(block + AT_BLOCK_SLOT);
        layout->data = block[AT_BLOCK_K];
        layout->parity = block[AT_BLOCK_M];
        return layout_makes_sense(layout) ? 0 : -EBADMSG;
}

void
segment_block_write(
    uint8_t block[BLOCK_BYTES], const struct volume_id *id, uint32_t index, uint64_t bytes)
{
        memset(block, 0, BLOCK_BYTES);
        memcpy(block, segment_magic, sizeof(segment_magic));
        put_le32(block + AT_VERSION, FORMAT_VERSION);
        put_le32(block + AT_SEGMENT_INDEX, index);
        memcpy(block + AT_VAULT, id->vault, ID_BYTES);
        memcpy(block + AT_BLOCK_VOLUME, id->volume, ID_BYTES);
        put_le64(block + AT_SEGMENT_BYTES, bytes);
        put_le32(block + AT_BLOCK_CRC, crc32c(block, AT_BLOCK_CRC));
}

int
segment_block_check(const uint8_t block[BLOCK_BYTES], const struct volume_id *id, uint32_t index,
    uint64_t bytes, const char **what)
{
        if (memcmp(block, segment_magic, sizeof(segment_magic)) ||
            get_le32(block + AT_BLOCK_CRC) != crc32c(block, AT_BLOCK_CRC))
                *what = "its first block is damaged";
        else if (get_le32(block + AT_VERSION) != FORMAT_VERSION)
                *what = "its version is not known";
        else if (memcmp(block + AT_VAULT, id->vault, ID_BYTES) ||
                 memcmp(block + AT_BLOCK_VOLUME, id->volume, ID_BYTES))
                *what = "it belongs to another volume";
        else if (get_le32(block + AT_SEGMENT_INDEX) != index)
                *what = "its index is not that of its name";
        else if (get_le64(block + AT_SEGMENT_BYTES) != bytes)
                *what = "its length has changed";
        else
                return 0;
        return -EBADMSG;
}

int
digester_open(struct digester *digester)
{
        digester->md = EVP_MD_fetch(NULL, "SHA256", NULL);
        digester->context = EVP_MD_CTX_new();
        if (digester->md == NULL || digester->context == NULL) {
                digester_close(digester);
                return -ENOMEM;
        }
        return 0;
}

void
digester_close(struct digester *digester)
{
        EVP_MD_CTX_free(digester->context);
        EVP_MD_free(digester->md);
        *digester = (struct digester){0};
}

void
digester_sha256(struct digester *digester, uint8_t out[HASH_BYTES], const void *in, size_t bytes)
{
        unsigned out_bytes = 0;
        int ok = EVP_DigestInit_ex2(digester->context, digester->md, NULL);
        ok = ok && EVP_DigestUpdate(digester->context, in, bytes);
        ok = ok && EVP_DigestFinal_ex(digester->context, out, &out_bytes);
        assert(ok && out_bytes == HASH_BYTES);
}

void
group_header_write(
    uint8_t out[GROUP_HEADER_BYTES], struct group_header *header, struct digester *digester)
{
        assert(header->records > 0 && header->records <= GROUP_RECORDS_MAX);
        assert(header->payload_bytes <= GROUP_PAYLOAD_MAX);
        assert(layout_makes_sense(&header->layout));
        unsigned n = (unsigned)header->layout.data + header->layout.parity;
        memset(out, 0, GROUP_HEADER_BYTES);
        memcpy(out, group_magic, sizeof(group_magic));
        put_le32(out + AT_VERSION, FORMAT_VERSION);
        out[AT_K] = header->layout.data;
        out[AT_M] = header->layout.parity;
        memcpy(out + AT_VAULT, header->id.vault, ID_BYTES);
        put_le64(out + AT_NUMBER, header->number);
        put_le64(out + AT_MEMBERSHIP, header->epoch);
        put_le64(out + AT_TREE_SIZE, header->tree_size);
        put_le32(out + AT_RECORDS, header->records);
        put_le32(out + AT_PAYLOAD_BYTES, header->payload_bytes);
        memcpy(out + AT_ROOT, header->root, HASH_BYTES);
        memcpy(out + AT_PREVIOUS, header->previous, HASH_BYTES);
        memcpy(out + AT_FRAGMENT_DIGESTS, header->fragments, n * HASH_BYTES);
        digester_sha256(digester, header->digest, out, AT_GROUP_DIGEST);
        memcpy(out + AT_GROUP_DIGEST, header->digest, HASH_BYTES);
        memcpy(out + AT_VOLUME, header->id.volume, ID_BYTES);
        put_le32(out + AT_SLOT, header->layout.slot);
        put_le32(out + AT_HEADER_CRC, crc32c(out, AT_HEADER_CRC));
}

/* What a whole header says that does not belong here, or NULL. */
static const char *
header_objection(const uint8_t *in, const struct volume_id *id,
    const struct fragment_layout *layout, const uint8_t digest[HASH_BYTES])
{
        uint32_t records = get_le32(in + AT_RECORDS);
        uint32_t payload_bytes = get_le32(in + AT_PAYLOAD_BYTES);
        if (get_le32(in + AT_VERSION) != FORMAT_VERSION)
                return "its version is not known";
        if (memcmp(in + AT_GROUP_DIGEST, digest, HASH_BYTES))
                return "its group digest is not that of its header";
        if (memcmp(in + AT_VAULT, id->vault, ID_BYTES) ||
            memcmp(in + AT_VOLUME, id->volume, ID_BYTES))
                return "it belongs to another volume";
        if (in[AT_K] != layout->data || in[AT_M] != layout->parity ||
            get_le32(in + AT_SLOT) != layout->slot)
                return "it is a fragment of another layout";
        if (records == 0 || records > GROUP_RECORDS_MAX || payload_bytes > GROUP_PAYLOAD_MAX ||
            payload_bytes < records * (GROUP_ENTRY_BYTES + SEAL_OVERHEAD))
                return "its header makes no sense";
        return NULL;
}

enum header_verdict
group_header_read(struct group_header *header, const uint8_t in[GROUP_HEADER_BYTES],
    const struct volume_id *id, const struct fragment_layout *layout, struct digester *digester,
    const char **what)
{
        *what = "its header is damaged";
        if (memcmp(in, group_magic, sizeof(group_magic)) ||
            get_le32(in + AT_HEADER_CRC) != crc32c(in, AT_HEADER_CRC))
                return HEADER_NONE;
        uint8_t digest[HASH_BYTES];
        digester_sha256(digester, digest, in, AT_GROUP_DIGEST);
        *what = header_objection(in, id, layout, digest);
        if (*what != NULL)
                return HEADER_FOREIGN;
        header->id = *id;
        header->layout = *layout;
        header->number = get_le64(in + AT_NUMBER);
        header->epoch = get_le64(in + AT_MEMBERSHIP);
        header->tree_size = get_le64(in + AT_TREE_SIZE);
        header->records = get_le32(in + AT_RECORDS);
        header->payload_bytes = get_le32(in + AT_PAYLOAD_BYTES);
        memcpy(header->root, in + AT_ROOT, HASH_BYTES);
        memcpy(header->previous, in + AT_PREVIOUS, HASH_BYTES);
        memcpy(header->fragments, in + AT_FRAGMENT_DIGESTS, sizeof(header->fragments));
        memcpy(header->digest, digest, HASH_BYTES);
        return HEADER_OURS;
}

uint32_t
group_disk_bytes(uint32_t payload_bytes, uint32_t data)
{
        assert(payload_bytes <= GROUP_PAYLOAD_MAX && data > 0);
        uint32_t piece_bytes = (payload_bytes + data - 1) / data;
        return (GROUP_HEADER_BYTES + piece_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
}

uint32_t
segment_bytes_min(uint32_t data)
{
        return BLOCK_BYTES + group_disk_bytes(GROUP_PAYLOAD_MAX, data);
}

bool
group_fragment_check(
    const uint8_t *fragment, const struct group_header *header, struct digester *digester)
{
        uint32_t bytes = group_disk_bytes(header->payload_bytes, header->layout.data);
        uint8_t digest[HASH_BYTES];
        digester_sha256(
            digester, digest, fragment + GROUP_HEADER_BYTES, bytes - GROUP_HEADER_BYTES);
        return memcmp(digest, header->fragments[header->layout.slot], HASH_BYTES) == 0;
}

/* The table describes exactly the bytes that follow it. */
static bool
table_fits(const uint8_t *payload, const struct group_header *header)
{
        uint32_t next = header->records * GROUP_ENTRY_BYTES;
        if (next > header->payload_bytes)
                return false;
        for (uint32_t i = 0; i < header->records; i++) {
                const uint8_t *entry = payload + i * GROUP_ENTRY_BYTES;
                uint32_t sealed_bytes = get_le16(entry + AT_ENTRY_SEALED_BYTES);
                if (sealed_bytes < SEAL_OVERHEAD || sealed_bytes > SEAL_BYTES_MAX ||
                    get_le32(entry + AT_ENTRY_OFFSET) != next ||
                    header->payload_bytes - next < sealed_bytes || entry[AT_ENTRY_ZERO] != 0 ||
                    payload[next + AT_SEALED_KIND] != entry[AT_ENTRY_KIND])
                        return false;
                next += sealed_bytes;
        }
        return next == header->payload_bytes;
}

int
group_payload_check(const uint8_t *payload, const struct group_header *header, const char **what)
{
        uint32_t data = header->layout.data;
        uint32_t piece_bytes = group_disk_bytes(header->payload_bytes, data) - GROUP_HEADER_BYTES;
        uint32_t padding_bytes = data * piece_bytes - header->payload_bytes;
        if (!bytes_are_zero(payload + header->payload_bytes, padding_bytes))
                *what = "its padding is not zero";
        else if (!table_fits(payload, header))
                *what = "its table makes no sense";
        else
                return 0;
        return -EBADMSG;
}

void
group_entry_write(uint8_t out[GROUP_ENTRY_BYTES], const uint8_t digest[HASH_BYTES],
    uint16_t sealed_bytes, uint8_t kind, uint32_t offset)
{
        memcpy(out, digest, HASH_BYTES);
        put_le16(out + AT_ENTRY_SEALED_BYTES, sealed_bytes);
        out[AT_ENTRY_KIND] = kind;
        out[AT_ENTRY_ZERO] = 0;
        put_le32(out + AT_ENTRY_OFFSET, offset);
}

void
group_table_shift(uint8_t *table, uint32_t records, uint32_t bytes)
{
        for (uint32_t i = 0; i < records; i++) {
                uint8_t *at = table + i * GROUP_ENTRY_BYTES + AT_ENTRY_OFFSET;
                put_le32(at, get_le32(at) + bytes);
        }
}

void
group_record(const uint8_t *payload, const struct group_header *header, uint32_t i,
    struct vault_record *record)
{
        assert(i < header->records);
        const uint8_t *entry = payload + i * GROUP_ENTRY_BYTES;
        uint32_t offset = get_le32(entry + AT_ENTRY_OFFSET);
        record->leaf = header->tree_size + i;
        record->group = header->number;
        record->digest = entry;
        record->sealed = payload + offset;
        record->sealed_bytes = get_le16(entry + AT_ENTRY_SEALED_BYTES);
        assert(offset + record->sealed_bytes <= header->payload_bytes);
}

void
group_leaf_entry(
    uint8_t entry[LEAF_ENTRY_BYTES], const uint8_t *sealed, const uint8_t digest[HASH_BYTES])
{
        leaf_entry_write(
            entry, sealed[AT_SEALED_KIND], get_le64(sealed + AT_SEALED_RECEIVED_NS), digest);
}
