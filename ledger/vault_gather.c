/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a group from any k volumes. Nothing is trusted but digests: a fragment counts when its
 * bytes have the digest that its own header says, and fragments go together when their headers'
 * group digests are equal. No two groups can have k fragments at one place, since k > m. Would
 * they, the higher epoch would win. */
#include "ledger/vault_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int
gather_open(struct gather *gather, struct vault *vault)
{
        memset(gather, 0, sizeof(*gather));
        gather->vault = vault;
        size_t fragments_bytes = (size_t)(vault->n + 1) * vault->fragment_max;
        size_t payload_bytes = (size_t)vault->layout.data * vault->fragment_max;
        gather->memory = aligned_alloc(BLOCK_BYTES, fragments_bytes + payload_bytes);
        if (gather->memory == NULL)
                return -ENOMEM;
        for (unsigned i = 0; i < vault->n; i++)
                gather->fragments[i] = gather->memory + (size_t)i * vault->fragment_max;
        gather->spare = gather->memory + (size_t)vault->n * vault->fragment_max;
        gather->payload = gather->memory + fragments_bytes;
        int error = digester_open(&gather->digester);
        if (error)
                gather_close(gather);
        return error;
}

void
gather_close(struct gather *gather)
{
        digester_close(&gather->digester);
        free(gather->memory);
        gather->memory = NULL;
}

/* Reads and checks a volume's fragment. */
static enum fragment_verdict
fragment_read(struct gather *gather, unsigned slot, uint32_t segment, uint64_t offset_bytes,
    uint64_t number, gather_fits_fn *fits)
{
        struct vault *vault = gather->vault;
        struct volume *volume = &vault->volumes[slot];
        struct io *io = vault->io;
        uint8_t *fragment = gather->fragments[slot];
        struct group_header *header = &gather->headers[slot];
        const char **what = &gather->what[slot];
        uint32_t bytes = 0;
        *what = "it cannot be read";
        int fd = segment_open(volume, segment, IO_READ | IO_DIRECT);
        if (fd < 0)
                return FRAGMENT_ERROR;
        enum fragment_verdict verdict = FRAGMENT_ERROR;
        if (file_read_full(io, fd, fragment, BLOCK_BYTES, offset_bytes) != BLOCK_BYTES)
                goto out;
        enum header_verdict head = group_header_read(
            header, fragment, &volume->id, &volume->layout, &gather->digester, what);
        verdict = head == HEADER_FOREIGN ? FRAGMENT_OTHER : FRAGMENT_DAMAGED;
        if (head == HEADER_NONE && bytes_are_zero(fragment, BLOCK_BYTES)) {
                verdict = FRAGMENT_ZERO;
                *what = "nothing was written";
        }
        if (head != HEADER_OURS)
                goto out;
        verdict = FRAGMENT_OTHER;
        *what = header->number == number ? NULL : "a group with another number stands here";
        if (*what == NULL && fits != NULL)
                *what = fits(vault, header);
        bytes = group_disk_bytes(header->payload_bytes, vault->layout.data);
        if (*what == NULL && offset_bytes + bytes > segment_bytes(vault, segment))
                *what = "it is longer than its segment";
        if (*what != NULL)
                goto out;
        verdict = FRAGMENT_ERROR;
        *what = "it cannot be read";
        if (file_read_full(io, fd, fragment + BLOCK_BYTES, bytes - BLOCK_BYTES,
                offset_bytes + BLOCK_BYTES) != bytes - BLOCK_BYTES)
                goto out;
        verdict = FRAGMENT_DAMAGED;
        *what = "its payload does not match its digest";
        if (group_fragment_check(fragment, header, &gather->digester)) {
                verdict = FRAGMENT_GOOD;
                *what = NULL;
        }
out:
        io->ops->close(io, fd);
        return verdict;
}

/* How many fragments are of the group that slot's is of. */
static unsigned
same_count(const struct gather *gather, unsigned slot)
{
        unsigned n = 0;
        for (unsigned i = 0; i < gather->vault->n; i++)
                n += gather->verdicts[i] == FRAGMENT_GOOD &&
                     memcmp(gather->headers[i].digest, gather->headers[slot].digest, HASH_BYTES) ==
                         0;
        return n;
}

/* The slot of a fragment of the group to take, or -1: k fragments, the highest epoch. */
static int
gather_choose(const struct gather *gather)
{
        int best = -1;
        for (unsigned i = 0; i < gather->vault->n; i++) {
                if (gather->verdicts[i] != FRAGMENT_GOOD ||
                    same_count(gather, i) < gather->vault->layout.data)
                        continue;
                if (best < 0 || gather->headers[i].epoch > gather->headers[best].epoch)
                        best = (int)i;
        }
        return best;
}

static void
pieces_of(const struct gather *gather, uint8_t *pieces[VAULT_VOLUMES_MAX])
{
        for (unsigned i = 0; i < gather->vault->n; i++)
                pieces[i] = gather->fragments[i] + GROUP_HEADER_BYTES;
}

/* The chosen group's payload, from data fragments that may have to be made first. */
static int
payload_make(struct gather *gather)
{
        struct vault *vault = gather->vault;
        uint32_t piece_bytes = gather->disk_bytes - GROUP_HEADER_BYTES;
        uint8_t *pieces[VAULT_VOLUMES_MAX];
        bool wanted[VAULT_VOLUMES_MAX] = {false};
        const char *what;
        pieces_of(gather, pieces);
        for (unsigned i = 0; i < vault->layout.data; i++)
                wanted[i] = !gather->good[i];
        int error = parity_rebuild(&vault->parity, piece_bytes, pieces, gather->good, wanted);
        for (unsigned i = 0; i < vault->layout.data && !error; i++) {
                uint8_t digest[HASH_BYTES];
                memcpy(gather->payload + (size_t)i * piece_bytes, pieces[i], piece_bytes);
                if (gather->good[i])
                        continue;
                /* The writer digested what it had; so must be what comes out again. */
                digester_sha256(&gather->digester, digest, pieces[i], piece_bytes);
                if (memcmp(digest, gather->header.fragments[i], HASH_BYTES))
                        error = -EBADMSG;
        }
        return error ? error : group_payload_check(gather->payload, &gather->header, &what);
}

int
gather_read(struct gather *gather, uint32_t set, uint32_t segment, uint64_t offset_bytes,
    uint64_t number, gather_fits_fn *fits, bool all)
{
        struct vault *vault = gather->vault;
        int chosen = -1;
        for (unsigned i = 0; i < vault->n; i++) {
                gather->verdicts[i] = FRAGMENT_UNREAD;
                gather->what[i] = NULL;
        }
        for (unsigned i = 0; i < vault->n && (all || chosen < 0); i++) {
                if (!(set >> i & 1) || volume_state(&vault->volumes[i]) == VOLUME_MISSING)
                        continue;
                gather->verdicts[i] = fragment_read(gather, i, segment, offset_bytes, number, fits);
                if (!all && gather->verdicts[i] == FRAGMENT_GOOD)
                        chosen = gather_choose(gather);
        }
        if (all)
                chosen = gather_choose(gather);
        gather->good_n = 0;
        if (chosen < 0)
                return -EBADMSG;
        gather->header = gather->headers[chosen];
        gather->disk_bytes = group_disk_bytes(gather->header.payload_bytes, vault->layout.data);
        for (unsigned i = 0; i < vault->n; i++) {
                gather->good[i] =
                    gather->verdicts[i] == FRAGMENT_GOOD &&
                    memcmp(gather->headers[i].digest, gather->header.digest, HASH_BYTES) == 0;
                gather->good_n += gather->good[i];
                if (gather->verdicts[i] == FRAGMENT_GOOD && !gather->good[i]) {
                        gather->verdicts[i] = FRAGMENT_OTHER;
                        gather->what[i] = "it is of an earlier state";
                }
        }
        return payload_make(gather);
}

const uint8_t *
gather_fragment(struct gather *gather, unsigned slot)
{
        struct vault *vault = gather->vault;
        if (gather->good[slot])
                return gather->fragments[slot];
        uint32_t piece_bytes = gather->disk_bytes - GROUP_HEADER_BYTES;
        uint8_t *pieces[VAULT_VOLUMES_MAX];
        bool wanted[VAULT_VOLUMES_MAX] = {false};
        pieces_of(gather, pieces);
        pieces[slot] = gather->spare + GROUP_HEADER_BYTES;
        wanted[slot] = true;
        int error = parity_rebuild(&vault->parity, piece_bytes, pieces, gather->good, wanted);
        assert(!error);
        struct group_header header = gather->header;
        memcpy(header.id.volume, vault->volumes[slot].id.volume, ID_BYTES);
        header.layout.slot = (uint8_t)slot;
        group_header_write(gather->spare, &header, &gather->digester);
        assert(memcmp(header.digest, gather->header.digest, HASH_BYTES) == 0);
        return gather->spare;
}
