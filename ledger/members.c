/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/members.h"

#include "ledger/bytes.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MEMBERS_VERSION 1u

static const uint8_t members_magic[8] = "AORTAMEM";

/* Offsets; see members.h. */
enum {
        AT_VERSION = 8,
        AT_K = 12,
        AT_M = 13,
        AT_VAULT = 16,
        AT_EPOCH = 32,
        AT_FIRST_GROUP = 40,
        AT_SET = 48,
        AT_VOLUMES = 64,
        AT_CRC = BLOCK_BYTES - 4,
};

void
members_block_write(uint8_t block[BLOCK_BYTES], const struct members *members)
{
        assert(members->epoch > 0 && members->set != 0);
        memset(block, 0, BLOCK_BYTES);
        memcpy(block, members_magic, sizeof(members_magic));
        put_le32(block + AT_VERSION, MEMBERS_VERSION);
        block[AT_K] = members->data;
        block[AT_M] = members->parity;
        memcpy(block + AT_VAULT, members->vault, ID_BYTES);
        put_le64(block + AT_EPOCH, members->epoch);
        put_le64(block + AT_FIRST_GROUP, members->first_group);
        put_le32(block + AT_SET, members->set);
        memcpy(block + AT_VOLUMES, members->volumes, sizeof(members->volumes));
        put_le32(block + AT_CRC, crc32c(block, AT_CRC));
}

int
members_block_read(const uint8_t block[BLOCK_BYTES], struct members *members)
{
        if (memcmp(block, members_magic, sizeof(members_magic)) ||
            get_le32(block + AT_CRC) != crc32c(block, AT_CRC) ||
            get_le32(block + AT_VERSION) != MEMBERS_VERSION)
                return -EBADMSG;
        members->data = block[AT_K];
        members->parity = block[AT_M];
        memcpy(members->vault, block + AT_VAULT, ID_BYTES);
        members->epoch = get_le64(block + AT_EPOCH);
        members->first_group = get_le64(block + AT_FIRST_GROUP);
        members->set = get_le32(block + AT_SET);
        memcpy(members->volumes, block + AT_VOLUMES, sizeof(members->volumes));
        unsigned n = (unsigned)members->data + members->parity;
        if (members->epoch == 0 || members->set == 0 || members->data == 0 ||
            n > GROUP_FRAGMENTS_MAX || members->set >> n != 0)
                return -EBADMSG;
        return 0;
}

int
members_read(struct io *io, const char *path, struct members *members, unsigned *older)
{
        char file[PATH_MAX];
        int error = path_join(file, sizeof(file), path, MEMBERS_FILE);
        if (error)
                return error;
        uint8_t *blocks = blocks_alloc(MEMBERS_BLOCKS * BLOCK_BYTES);
        if (blocks == NULL)
                return -ENOMEM;
        int64_t got = file_read(io, file, blocks, MEMBERS_BLOCKS * BLOCK_BYTES, 0);
        struct members one;
        members->epoch = 0;
        *older = 0;
        for (unsigned i = 0; got >= 0 && i < MEMBERS_BLOCKS; i++) {
                if (members_block_read(blocks + i * BLOCK_BYTES, &one) ||
                    one.epoch <= members->epoch)
                        continue;
                *members = one;
                *older = 1 - i;
        }
        free(blocks);
        if (got < 0)
                return (int)got;
        return members->epoch > 0 ? 0 : -EBADMSG;
}
