/* SPDX-License-Identifier: Apache-2.0 */
/* Recovery: one torn write at the end is cut off and written over; anything else that does not fit
 * is damage, is named, and changes nothing. */
#include "ledger/bytes.h"
#include "vault_helpers.h"

/* Where each group of a vault lies. */
#define GROUPS_SEEN 32u
struct layout {
        unsigned n;
        uint32_t segment[GROUPS_SEEN], records[GROUPS_SEEN];
        uint64_t offset[GROUPS_SEEN], bytes[GROUPS_SEEN], first_leaf[GROUPS_SEEN];
};

static const struct fragment_layout single = {.data = 1};

static void
identity(const struct writing *w, struct volume_id *id)
{
        struct fragment_layout layout;
        uint8_t block[BLOCK_BYTES];
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%.4000s/volume", w->path);
        raw_read(path, 0, block, sizeof(block));
        cr_assert_eq(volume_block_read(block, id, &layout), 0);
}

static void
layout_read(const struct writing *w, struct layout *layout)
{
        struct volume_id id;
        struct digester digester;
        identity(w, &id);
        cr_assert_eq(digester_open(&digester), 0);
        layout->n = 0;
        for (uint32_t segment = 0;; segment++) {
                char path[PATH_MAX];
                struct stat st;
                segment_path(w, segment, path);
                if (stat(path, &st))
                        break;
                uint64_t offset = BLOCK_BYTES;
                while (offset + BLOCK_BYTES <= (uint64_t)st.st_size) {
                        uint8_t bytes[GROUP_HEADER_BYTES];
                        struct group_header header;
                        const char *what;
                        raw_read(path, offset, bytes, sizeof(bytes));
                        if (group_header_read(&header, bytes, &id, &single, &digester, &what) !=
                            HEADER_OURS)
                                break;
                        unsigned i = layout->n++;
                        cr_assert(i < GROUPS_SEEN);
                        layout->segment[i] = segment;
                        layout->offset[i] = offset;
                        layout->bytes[i] = group_disk_bytes(header.payload_bytes, 1);
                        layout->records[i] = header.records;
                        layout->first_leaf[i] = header.tree_size;
                        offset += layout->bytes[i];
                }
        }
        digester_close(&digester);
}

/* A vault of n groups of the given size, closed. */
static void
vault_make(struct writing *w, struct layout *layout, unsigned n, uint32_t records)
{
        writing_init(w);
        writing_begin(w);
        for (unsigned i = 0; i < n; i++)
                cr_assert_eq(writing_group(w, records), 0);
        writing_close(w);
        layout_read(w, layout);
        cr_assert_eq(layout->n, n);
}

/* All bytes of a segment. */
static uint8_t *
segment_copy(const struct writing *w, uint32_t segment, size_t *bytes)
{
        char path[PATH_MAX];
        struct stat st;
        segment_path(w, segment, path);
        cr_assert_eq(stat(path, &st), 0);
        *bytes = (size_t)st.st_size;
        uint8_t *copy = malloc(*bytes);
        raw_read(path, 0, copy, *bytes);
        return copy;
}

static void
segment_put_back(const struct writing *w, uint32_t segment, const uint8_t *copy, size_t bytes)
{
        char path[PATH_MAX];
        segment_path(w, segment, path);
        raw_write(path, 0, copy, bytes);
}

/* Recovery stops, says something with the given words, and leaves every byte as it is. */
static void
expect_damage(struct writing *w, uint64_t floor_leaves, const char *words)
{
        size_t bytes, again_bytes;
        uint8_t *before = segment_copy(w, 0, &bytes);
        cr_assert_eq(writing_recover(w, floor_leaves), -EBADMSG, "%s", words);
        cr_assert_not_null(strstr(w->why, "othing was changed"), "%s", w->why);
        cr_assert_not_null(strstr(w->why, words), "'%s' not in: %s", words, w->why);
        uint8_t *after = segment_copy(w, 0, &again_bytes);
        cr_assert(bytes == again_bytes && memcmp(before, after, bytes) == 0);
        free(before);
        free(after);
}

/* Everything behind the chain's end is zero. */
static void
expect_clean_end(const struct writing *w, uint32_t segment, uint64_t offset)
{
        size_t bytes;
        uint8_t *copy = segment_copy(w, segment, &bytes);
        cr_assert(bytes_are_zero(copy + offset, bytes - offset));
        free(copy);
}

/* ---- torn tails ---- */

/* The last group has the bytes from `from` to `to` of what was to be written, else zeros or
 * garbage. */
static void
torn_tail(const struct layout *layout, struct writing *w, const uint8_t *group, uint64_t from,
    uint64_t to, uint8_t fill)
{
        unsigned last = layout->n - 1;
        uint64_t bytes = layout->bytes[last];
        uint8_t *torn = malloc(bytes);
        memset(torn, fill, bytes);
        memcpy(torn + from, group + from, to - from);
        char path[PATH_MAX];
        segment_path(w, layout->segment[last], path);
        raw_write(path, layout->offset[last], torn, bytes);
        bool whole = memcmp(torn, group, bytes) == 0, empty = bytes_are_zero(torn, bytes);
        free(torn);
        cr_assert_eq(writing_recover(w, layout->first_leaf[last]), 0, "%s", w->why);
        cr_assert_eq(w->tip.groups, whole ? last + 1 : last);
        cr_assert_eq(w->tip.cut_bytes > 0, !whole && !empty, "%llu to %llu of %llu",
            (unsigned long long)from, (unsigned long long)to, (unsigned long long)bytes);
        cr_assert(w->tip.cut_bytes <= bytes);
        writing_close(w);
}

Test(recover, a_torn_tail_is_cut_at_every_sector)
{
        static struct writing w;
        static struct layout layout;
        vault_make(&w, &layout, 3, 20);
        unsigned last = 2;
        uint64_t bytes = layout.bytes[last];
        uint8_t *group = malloc(bytes);
        char path[PATH_MAX];
        segment_path(&w, layout.segment[last], path);
        raw_read(path, layout.offset[last], group, bytes);
        for (uint64_t at = 0; at <= bytes; at += 512) {
                torn_tail(&layout, &w, group, 0, at, at % 1024 ? 0 : 0xee);
                torn_tail(&layout, &w, group, at, bytes, at % 1024 ? 0xee : 0);
        }
        /* And it goes on from there. */
        torn_tail(&layout, &w, group, 0, bytes / 2, 0xee);
        free(group);
        writing_begin(&w);
        cr_assert_eq(w.tip.leaves, 40);
        expect_clean_end(&w, 0, layout.offset[last]);
        cr_assert_eq(writing_group(&w, 1), 0);
        cr_assert_eq(writing_group(&w, 100), 0);
        writing_close(&w);
        cr_assert_eq(writing_recover(&w, 141), 0, "%s", w.why);
        cr_assert_eq(w.tip.groups, 4);
        cr_assert_eq(w.tip.cut_bytes, 0);
        writing_end(&w);
}

Test(recover, a_write_torn_by_a_fault_is_cut)
{
        static struct writing w;
        writing_init(&w);
        for (unsigned i = 0; i < 4; i++) {
                writing_begin(&w);
                cr_assert_eq(w.tip.leaves, i * 40);
                cr_assert_eq(w.tip.cut_bytes > 0, i > 0);
                cr_assert_eq(writing_group(&w, 40), 0);
                vault_inject(w.vault, -(int)BLOCK_BYTES);
                cr_assert_eq(writing_group(&w, 4000), -EIO);
                writing_close(&w);
        }
        writing_end(&w);
}

/* The last group was the first of a segment, since it did not fit into the one before. */
Test(recover, a_tail_torn_at_a_segments_start_is_cut)
{
        static struct writing w;
        static struct layout layout;
        vault_make(&w, &layout, 2, 4000);
        cr_assert_eq(layout.segment[1], 1);
        char path[PATH_MAX];
        segment_path(&w, 1, path);
        raw_flip(path, BLOCK_BYTES + 5000, 1);
        expect_damage(&w, 4001, "group 1");
        writing_begin(&w);
        cr_assert_eq(w.tip.leaves, 4000);
        cr_assert_eq(w.tip.cut_bytes, layout.bytes[1]);
        expect_clean_end(&w, 1, BLOCK_BYTES);
        /* A small one fits before it, and the next goes where the torn one was. */
        cr_assert_eq(writing_group(&w, 10), 0);
        cr_assert_eq(writing_group(&w, 4000), 0);
        writing_close(&w);
        cr_assert_eq(writing_recover(&w, 8010), 0, "%s", w.why);
        layout_read(&w, &layout);
        cr_assert_eq(layout.segment[1], 0);
        cr_assert_eq(layout.segment[2], 1);
        writing_end(&w);
}

Test(recover, a_tail_below_the_floor_is_damage)
{
        static struct writing w;
        static struct layout layout;
        vault_make(&w, &layout, 3, 20);
        cr_assert_eq(writing_recover(&w, 60), 0);
        writing_close(&w);
        expect_damage(&w, 61, "61 were signed or acknowledged");
        char path[PATH_MAX];
        segment_path(&w, 0, path);
        raw_flip(path, layout.offset[2] + 2000, 1);
        expect_damage(&w, 41, "group 2");
        cr_assert_eq(writing_recover(&w, 40), 0);
        writing_end(&w);
}

Test(recover, an_emptied_volume_is_below_the_floor)
{
        static struct writing w;
        writing_init(&w);
        cr_assert_eq(writing_recover(&w, 1), -EBADMSG);
        cr_assert_not_null(strstr(w.why, "lost"), "%s", w.why);
        writing_end(&w);
}

/* ---- damage ---- */

Test(recover, a_flipped_bit_in_a_middle_group_stops)
{
        static struct writing w;
        static struct layout layout;
        vault_make(&w, &layout, 3, 12);
        char path[PATH_MAX], place[64];
        segment_path(&w, 0, path);
        snprintf(place, sizeof(place), "group 1 in segment 00000000 at offset %llu",
            (unsigned long long)layout.offset[1]);
        for (uint64_t at = 0; at < layout.bytes[1]; at += 307) {
                raw_flip(path, layout.offset[1] + at, (uint8_t)(1u << (at % 8)));
                expect_damage(&w, 0, place);
                raw_flip(path, layout.offset[1] + at, (uint8_t)(1u << (at % 8)));
        }
        cr_assert_eq(writing_recover(&w, 36), 0);
        writing_end(&w);
}

Test(recover, a_flipped_bit_before_a_segments_end_stops)
{
        static struct writing w;
        static struct layout layout;
        vault_make(&w, &layout, 3, 4000);
        cr_assert_eq(layout.segment[2], 2);
        char path[PATH_MAX];
        for (uint32_t segment = 0; segment < 2; segment++) {
                static const uint64_t places[] = {3, 700, 5000, 900000};
                segment_path(&w, segment, path);
                for (unsigned i = 0; i < 4; i++) {
                        raw_flip(path, BLOCK_BYTES + places[i], 0x80);
                        expect_damage(&w, 0, segment ? "group 1" : "group 0");
                        raw_flip(path, BLOCK_BYTES + places[i], 0x80);
                }
        }
        cr_assert_eq(writing_recover(&w, 12000), 0);
        writing_end(&w);
}

Test(recover, a_group_of_zeros_in_the_middle_stops)
{
        static struct writing w;
        static struct layout layout;
        vault_make(&w, &layout, 4, 50);
        char path[PATH_MAX];
        segment_path(&w, 0, path);
        uint8_t *zeros = calloc(1, layout.bytes[1]);
        raw_write(path, layout.offset[1], zeros, layout.bytes[1]);
        free(zeros);
        expect_damage(&w, 0, "a later group stands here");
        writing_end(&w);
}

Test(recover, data_that_no_torn_write_leaves_are_damage)
{
        static struct writing w;
        static struct layout layout;
        char path[PATH_MAX];
        uint8_t byte = 1;
        writing_init(&w);
        w.config.segment_bytes = SEGMENT_BYTES_MIN + (1u << 20);
        writing_begin(&w);
        cr_assert_eq(writing_group(&w, 10), 0);
        cr_assert_eq(writing_group(&w, 10), 0);
        writing_close(&w);
        layout_read(&w, &layout);
        /* In a segment that was not begun, while the first has room. */
        segment_path(&w, 1, path);
        raw_write(path, BLOCK_BYTES + 17, &byte, 1);
        expect_damage(&w, 0, "data stand here");
        byte = 0;
        raw_write(path, BLOCK_BYTES + 17, &byte, 1);
        /* Farther behind the last group than a group is long: that one's header is whole. */
        byte = 1;
        segment_path(&w, 0, path);
        raw_flip(path, layout.offset[1] + 1500, 1);
        raw_write(path, layout.offset[1] + layout.bytes[1] + 17, &byte, 1);
        expect_damage(&w, 0, "data stand here");
        writing_end(&w);
}

/* Rewrites a group's header with a change under good checksums. */
static void
header_change(const struct writing *w, const struct layout *layout, unsigned i,
    void (*change)(struct group_header *header))
{
        struct volume_id id;
        struct digester digester;
        struct group_header header;
        const char *what;
        uint8_t bytes[GROUP_HEADER_BYTES];
        char path[PATH_MAX];
        identity(w, &id);
        cr_assert_eq(digester_open(&digester), 0);
        segment_path(w, layout->segment[i], path);
        raw_read(path, layout->offset[i], bytes, sizeof(bytes));
        cr_assert_eq(
            group_header_read(&header, bytes, &id, &single, &digester, &what), HEADER_OURS);
        change(&header);
        group_header_write(bytes, &header, &digester);
        raw_write(path, layout->offset[i], bytes, sizeof(bytes));
        digester_close(&digester);
}

static void
change_previous(struct group_header *header)
{
        header->previous[0] ^= 1;
}

static void
change_number(struct group_header *header)
{
        header->number++;
}

static void
change_tree_size(struct group_header *header)
{
        header->tree_size++;
}

static void
change_root(struct group_header *header)
{
        header->root[31] ^= 1;
}

static void
change_vault(struct group_header *header)
{
        header->id.vault[0] ^= 1;
}

static void
change_volume(struct group_header *header)
{
        header->id.volume[0] ^= 1;
}

/* Whole groups that do not belong here, also as the last: a torn write makes no good checksum. */
static void
expect_chain_damage(void (*change)(struct group_header *header), const char *words)
{
        static struct writing w;
        static struct layout layout;
        vault_make(&w, &layout, 3, 10);
        size_t bytes;
        uint8_t *copy = segment_copy(&w, 0, &bytes);
        for (unsigned i = 0; i < 3; i++) {
                header_change(&w, &layout, i, change);
                expect_damage(&w, 0, words);
                segment_put_back(&w, 0, copy, bytes);
        }
        free(copy);
        cr_assert_eq(writing_recover(&w, 30), 0, "%s", w.why);
        writing_end(&w);
}

Test(recover, a_chain_that_does_not_fit_is_damage)
{
        expect_chain_damage(change_previous, "does not follow the group before");
}

Test(recover, a_wrong_number_is_damage)
{
        expect_chain_damage(change_number, "another number");
}

Test(recover, a_wrong_tree_size_is_damage)
{
        expect_chain_damage(change_tree_size, "tree size");
}

Test(recover, a_wrong_root_is_damage)
{
        expect_chain_damage(change_root, "tree root");
}

Test(recover, a_group_of_another_vault_is_damage)
{
        expect_chain_damage(change_vault, "another volume");
}

Test(recover, a_group_of_another_volume_is_damage)
{
        expect_chain_damage(change_volume, "another volume");
}

Test(recover, a_stale_segment_behind_is_damage)
{
        static struct writing w;
        static struct layout layout;
        vault_make(&w, &layout, 2, 4000);
        cr_assert_eq(layout.segment[1], 1);
        size_t bytes;
        uint8_t *copy = segment_copy(&w, 1, &bytes);
        char path[PATH_MAX];
        segment_path(&w, 2, path);
        /* An old group where the next would stand. */
        raw_write(path, BLOCK_BYTES, copy + BLOCK_BYTES, layout.bytes[1]);
        expect_damage(&w, 0, "another number");
        uint8_t *zeros = calloc(1, bytes);
        raw_write(path, BLOCK_BYTES, zeros, layout.bytes[1]);
        free(zeros);
        cr_assert_eq(writing_recover(&w, 8000), 0);
        writing_close(&w);
        /* A whole segment under another name. */
        raw_write(path, 0, copy, bytes);
        free(copy);
        expect_damage(&w, 0, "index");
        writing_end(&w);
}

Test(recover, damaged_segments_are_told)
{
        static struct writing w;
        static struct layout layout;
        vault_make(&w, &layout, 2, 4000);
        char path[PATH_MAX], away[PATH_MAX];
        for (uint32_t segment = 0; segment < 3; segment++) {
                segment_path(&w, segment, path);
                raw_flip(path, 200, 1);
                expect_damage(&w, 0, "first block is damaged");
                raw_flip(path, 200, 1);
        }
        segment_path(&w, 1, path);
        snprintf(away, sizeof(away), "%.4000s/segments/away", w.path);
        cr_assert_eq(rename(path, away), 0);
        expect_damage(&w, 0, "segment 00000001 is missing");
        cr_assert_eq(rename(away, path), 0);
        cr_assert_eq(truncate(path, SEGMENT_BYTES_MIN - BLOCK_BYTES), 0);
        expect_damage(&w, 0, "length");
        cr_assert_eq(truncate(path, SEGMENT_BYTES_MIN + BLOCK_BYTES), 0);
        expect_damage(&w, 0, "length");
        writing_end(&w);
}

/* What a crash left of making a segment is no segment. */
Test(recover, a_half_made_segment_is_removed)
{
        static struct writing w;
        static struct layout layout;
        vault_make(&w, &layout, 1, 10);
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%.4000s/segments/.making", w.path);
        int fd = open(path, O_CREAT | O_WRONLY, 0600);
        cr_assert_eq(write(fd, "half", 4), 4);
        close(fd);
        writing_begin(&w);
        for (unsigned i = 0; i < 3; i++)
                cr_assert_eq(writing_group(&w, 4000), 0);
        writing_end(&w);
}

static int
refuse(void *user, const struct vault_record *record)
{
        return record->leaf == 5 ? -ECANCELED : 0;
}

static uint64_t progress_done, progress_all;

static void
progress(void *user, uint64_t done, uint64_t all)
{
        cr_assert(done > progress_done && done <= all);
        progress_done = done;
        progress_all = all;
}

Test(recover, the_caller_can_stop_and_sees_progress)
{
        static struct writing w;
        static struct layout layout;
        vault_make(&w, &layout, 3, 4000);
        cr_assert_eq(vault_open(&w.vault, &w.config, w.why), 0);
        cr_assert_eq(vault_recover(w.vault, 0, refuse, NULL, NULL, &w.tip, w.why), -ECANCELED);
        writing_close(&w);
        cr_assert_eq(vault_open(&w.vault, &w.config, w.why), 0);
        cr_assert_eq(vault_recover(w.vault, 0, NULL, NULL, progress, &w.tip, w.why), 0);
        cr_assert_eq(w.tip.leaves, 12000);
        cr_assert_eq(progress_done, progress_all);
        cr_assert(w.tip.bytes_read > 0);
        writing_end(&w);
}

/* Segments longer than what is read at once: groups lie over the reads' borders. */
Test(recover, groups_across_reads)
{
        static struct writing w;
        writing_init(&w);
        w.config.segment_bytes = 12u << 20;
        writing_begin(&w);
        uint64_t leaves = 0;
        for (unsigned i = 0; i < 9; i++) {
                uint32_t records = 3000 + i * 117;
                cr_assert_eq(writing_group(&w, records), 0);
                leaves += records;
        }
        writing_close(&w);
        w.config.segment_bytes = SEGMENT_BYTES_MIN; /* of new ones only */
        cr_assert_eq(writing_recover(&w, leaves), 0, "%s", w.why);
        cr_assert_eq(w.tip.groups, 9);
        cr_assert_eq(vault_begin(w.vault, w.why), 0);
        for (unsigned i = 0; i < 3; i++)
                cr_assert_eq(writing_group(&w, 4096), 0);
        writing_close(&w);
        cr_assert_eq(writing_recover(&w, leaves + 3 * 4096), 0, "%s", w.why);
        writing_end(&w);
}
