/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/drops.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <string.h>

Test(drops, each_reason_has_a_metric_of_its_own_and_one_sentence)
{
        for (int i = DROP_NONE + 1; i < DROP_REASON_COUNT; i++) {
                const char *metric = drop_metric((enum drop_reason)i);
                const char *text = drop_text((enum drop_reason)i);

                cr_assert_not_null(metric);
                cr_assert_not_null(text);
                cr_expect_eq(text[strlen(text) - 1], '.', "%s: \"%s\"", metric, text);
                for (const char *c = metric; *c != '\0'; c++)
                        cr_expect(islower(*c) || isdigit(*c) || *c == '_', "%s", metric);
                for (int j = DROP_NONE; j < i; j++)
                        cr_expect_str_neq(metric, drop_metric((enum drop_reason)j));
        }
}

Test(drops, numbers_outside_the_list_are_unknown)
{
        cr_assert_str_eq(drop_metric(DROP_NONE), "none");
        cr_assert_str_eq(drop_metric(DROP_REASON_COUNT), "unknown");
        cr_assert_str_eq(drop_text((enum drop_reason) - 1), "unknown");
        cr_assert_str_eq(drop_metric(DROP_UDP_CHECKSUM), "udp_checksum");
}
