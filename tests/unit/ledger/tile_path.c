/* SPDX-License-Identifier: Apache-2.0 */
/* A tile has one path, and nothing else is one. */
#include "ledger/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>

Test(tile_path, reads_what_is_written)
{
        const uint64_t indexes[] = {0, 1, 7, 67, 999, 1000, 1001, 234067, 999999, 1000000, 1234067,
            1000000000, UINT32_MAX, INT64_MAX, UINT64_MAX / 256, UINT64_MAX};
        const int levels[] = {-1, 0, 1, 7, 8, 9, 10, 63};
        const unsigned widths[] = {0, 1, 9, 10, 99, 100, 255};
        char path[64];

        for (size_t i = 0; i < sizeof(indexes) / sizeof(*indexes); i++)
                for (size_t l = 0; l < sizeof(levels) / sizeof(*levels); l++)
                        for (size_t w = 0; w < sizeof(widths) / sizeof(*widths); w++) {
                                uint64_t n = 5;
                                unsigned width = 5;
                                int level = 5;

                                cr_assert_eq(log_tile_path(path, sizeof(path), levels[l],
                                                 indexes[i], widths[w]),
                                    0);
                                cr_assert_eq(
                                    log_tile_path_parse(path, &level, &n, &width), 0, "%s", path);
                                cr_assert_eq(level, levels[l], "%s", path);
                                cr_assert_eq(n, indexes[i], "%s: %" PRIu64, path, n);
                                cr_assert_eq(width, widths[w], "%s", path);
                        }
}

Test(tile_path, the_specification_s_example)
{
        uint64_t n;
        unsigned width;
        int level;

        cr_assert_eq(log_tile_path_parse("tile/0/x001/x234/067", &level, &n, &width), 0);
        cr_assert_eq(level, 0);
        cr_assert_eq(n, 1234067);
        cr_assert_eq(width, 0);
        cr_assert_eq(log_tile_path_parse("tile/entries/x001/x234/067.p/8", &level, &n, &width), 0);
        cr_assert_eq(level, -1);
        cr_assert_eq(n, 1234067);
        cr_assert_eq(width, 8);
}

Test(tile_path, refuses_all_else)
{
        static const char *const wrong[] = {"", "/", "checkpoint", "/tile/0/000", "tile", "tile/",
            "tile/0", "tile/0/", "tile//000", "tile/0//000", "tile/0/0", "tile/0/00", "tile/0/0000",
            "tile/00/000", "tile/01/000", "tile/64/000", "tile/-1/000", "tile/+1/000",
            "tile/999/000", "tile/data/000", "tile/entries", "tile/entries/", "tile/entries/0/000",
            "tile/Entries/000", "tile/0/x000", "tile/0/x000/000", "tile/0/x000/x001/000",
            "tile/0/001/000", "tile/0/x1/000", "tile/0/x0001/000", "tile/0/X001/000",
            "tile/0/x001000", "tile/0/000/", "tile/0/000 ", " tile/0/000", "tile/0/000\n",
            "tile/0/000.p", "tile/0/000.p/", "tile/0/000.p/0", "tile/0/000.p/00", "tile/0/000.p/01",
            "tile/0/000.p/256", "tile/0/000.p/999", "tile/0/000.p/-1", "tile/0/000.p/1/",
            "tile/0/000.p/1/2", "tile/0/000.p/1x", "tile/0/000.P/1", "tile/0/000p/1",
            "tile/0/../../checkpoint", "tile/../checkpoint", "tile/./0/000", "tile/0/./000",
            "tile/0/000/../001", "tile/0/%30%30%30", "tile/0/0x0", "tile/0/ 00", "tile/0/00a",
            /* More than 64 bits. */
            "tile/0/x018/x446/x744/x073/x709/x551/616", "tile/0/x999/x999/x999/x999/x999/x999/999",
            "tile/0/x001/x000/x000/x000/x000/x000/x000/000",
            "tile/0/x001/x001/x001/x001/x001/x001/x001/x001/x001/x001/x001/x001/x001/x001/x001/"
            "001"};
        uint64_t n;
        unsigned width;
        int level;

        for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
                cr_expect_eq(
                    log_tile_path_parse(wrong[i], &level, &n, &width), -EBADMSG, "'%s'", wrong[i]);
}
