/* SPDX-License-Identifier: Apache-2.0 */
/* Times as people write them: RFC 3339 §5.6 and Unix seconds, and nothing else. */
#include "control/moment.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(moment, takes)
{
        static const struct {
                const char *text;
                uint64_t ns;
        } good[] = {
            {"0", 0},
            {"1700000000", UINT64_C(1700000000000000000)},
            {"1700000000.5", UINT64_C(1700000000500000000)},
            {"1700000000.123456789", UINT64_C(1700000000123456789)},
            {"1970-01-01T00:00:00Z", 0},
            {"2023-11-14T22:13:20Z", UINT64_C(1700000000000000000)},
            {"2023-11-14 22:13:20z", UINT64_C(1700000000000000000)},
            {"2023-11-14t22:13:20.123456789Z", UINT64_C(1700000000123456789)},
            {"2023-11-14T22:13:20.12Z", UINT64_C(1700000000120000000)},
            {"2023-11-15T00:13:20+02:00", UINT64_C(1700000000000000000)},
            {"2023-11-14T16:43:20-05:30", UINT64_C(1700000000000000000)},
            {"2024-02-29", UINT64_C(1709164800000000000)},
            {"2000-02-29", UINT64_C(951782400000000000)},
            {"1990-12-31T23:59:60Z", UINT64_C(662688000000000000)},
            {"2262-01-01", UINT64_C(9214646400000000000)},
        };

        for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
                uint64_t ns = 1;

                cr_expect_eq(moment_parse(good[i].text, &ns), 0, "%s", good[i].text);
                cr_expect_eq(ns, good[i].ns, "%s: %lu", good[i].text, ns);
        }
}

Test(moment, refuses)
{
        static const char *const bad[] = {"", " 1", "1 ", "-1", "+1", "1.", ".5", "1.1234567890",
            "0x10", "1e9", "now", "2023-11-14T22:13:20", "2023-11-14T22:13Z", "2023-11-14T",
            "2023-11-14T22:13:20Zx", "2023-11-14T24:00:00Z", "2023-11-14T22:60:00Z",
            "2023-11-14T22:13:61Z", "2023-11-14T22:13:20.Z", "2023-11-14T22:13:20+0200",
            "2023-11-14T22:13:20+24:00", "2023-11-14T22:13:20+02:60", "2023-02-29", "2100-02-29",
            "2023-13-01", "2023-00-01", "2023-01-00", "2023-04-31", "23-11-14", "2023-1-14",
            "2023-11-14T22:13:20,5Z"};
        static const char *const far[] = {"9223372037", "99999999999999999999", "1969-12-31",
            "2263-01-01", "1970-01-01T00:00:00+00:01"};
        uint64_t ns;

        for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                cr_expect_eq(moment_parse(bad[i], &ns), -EINVAL, "%s", bad[i]);
        for (unsigned i = 0; i < sizeof(far) / sizeof(far[0]); i++)
                cr_expect_eq(moment_parse(far[i], &ns), -ERANGE, "%s", far[i]);
}
