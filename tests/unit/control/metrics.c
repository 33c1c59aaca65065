/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics are Prometheus' text format, and every counter and drop reason is in it. */
#include "control/histogram.h"
#include "control/http.h"
#include "control/metrics.h"
#include "dataplane/drops.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char text[HTTP_METRICS_BYTES_MAX];
static struct metrics m;

static void
fill(void)
{
        uint64_t *counter = (uint64_t *)&m.counters;

        memset(&m, 0, sizeof(m));
        m.version = "1.2.3";
        m.crypto = "portable";
        m.started_ns = UINT64_C(1700000000123456789);
        m.now_ns = m.started_ns + UINT64_C(61000002000);
        m.healthy = true;
        for (size_t i = 0; i < sizeof(m.counters) / sizeof(*counter); i++)
                counter[i] = 1000 + i;
        m.workers = 2;
        m.commit_depth[1] = 17;
        m.receipt_depth[0] = 18;
        m.pending = 19;
        m.leaves = 500;
        m.published = 420;
        for (unsigned i = 0; i < 64; i++)
                m.writer.flush_us[i] = i % 3;
        m.writer.flush_us_sum = 12345678;
        m.indexed = true;
        m.index = (struct indexer_stats){.leaves = 500, .covered = 440, .state = INDEXER_STOPPED};
        m.nodes = 2;
        strcpy(m.node[0].name, "coap");
        m.node[0].cycles = UINT64_MAX;
        strcpy(m.node[1].name, "seal");
}

/* The value of a sample; its line must be there once. */
static const char *
sample(const char *name)
{
        static char value[64];
        char line[128];
        const char *at;

        snprintf(line, sizeof(line), "\n%s ", name);
        at = strstr(text, line);
        cr_assert_not_null(at, "no %s", name);
        cr_assert_null(strstr(at + 1, line), "%s twice", name);
        snprintf(
            value, sizeof(value), "%.*s", (int)strcspn(at + strlen(line), "\n"), at + strlen(line));
        return value;
}

Test(metrics, every_counter_and_drop_reason, .init = fill)
{
        char name[128], want[32];

        cr_assert_gt(metrics_write(text, sizeof(text), &m), 0);
#define X(counter, help)                                                                           \
        snprintf(want, sizeof(want), "%" PRIu64, m.counters.counter);                              \
        cr_expect_str_eq(sample("aorta_" #counter "_total"), want);
        COUNTERS(X)
#undef X
        for (int i = DROP_NONE + 1; i < DROP_REASON_COUNT; i++) {
                snprintf(name, sizeof(name), "aorta_drops_total{reason=\"%s\"}",
                    drop_metric((enum drop_reason)i));
                snprintf(want, sizeof(want), "%" PRIu64, m.counters.drops[i]);
                cr_expect_str_eq(sample(name), want);
        }
        cr_expect_str_eq(sample("aorta_ring_depth{ring=\"commit\",worker=\"1\"}"), "17");
        cr_expect_str_eq(sample("aorta_ring_depth{ring=\"receipt\",worker=\"0\"}"), "18");
        cr_expect_str_eq(sample("aorta_pending"), "19");
        cr_expect_str_eq(sample("aorta_leaves"), "500");
        cr_expect_str_eq(sample("aorta_published_leaves"), "420");
        cr_expect_str_eq(sample("aorta_publisher_lag_leaves"), "80");
        cr_expect_str_eq(sample("aorta_index_covered_leaves"), "440");
        cr_expect_str_eq(sample("aorta_index_lag_leaves"), "60");
        cr_expect_str_eq(sample("aorta_index_stopped"), "1");
        cr_expect_str_eq(sample("aorta_index_rebuilding"), "0");
        cr_expect_str_eq(sample("aorta_healthy"), "1");
        cr_expect_str_eq(sample("aorta_uptime_seconds"), "61.000002");
        cr_expect_str_eq(sample("aorta_start_time_seconds"), "1700000000.123456");
        cr_expect_str_eq(sample("aorta_build_info{version=\"1.2.3\",crypto=\"portable\"}"), "1");
        cr_expect_str_eq(sample("aorta_node_cycles_total{node=\"coap\"}"), "18446744073709551615");
}

Test(metrics, flushes_are_a_cumulative_histogram, .init = fill)
{
        const char *at = text;
        uint64_t before = 0, all = 0;
        double le_before = -1;
        unsigned buckets = 0;

        cr_assert_gt(metrics_write(text, sizeof(text), &m), 0);
        for (unsigned i = 0; i < 64; i++)
                all += m.writer.flush_us[i];
        while ((at = strstr(at, "\naorta_flush_seconds_bucket{le=\"")) != NULL) {
                char le[32];
                uint64_t n;

                cr_assert_eq(
                    sscanf(++at, "aorta_flush_seconds_bucket{le=\"%31[^\"]\"} %" SCNu64, le, &n),
                    2);
                cr_assert_geq(n, before);
                cr_assert_gt(strtod(le, NULL), le_before, "%s", le);
                le_before = strtod(le, NULL);
                before = n;
                buckets++;
        }
        cr_assert_eq(buckets, 64);
        cr_assert_eq(before, all);
        cr_expect_eq(strtoull(sample("aorta_flush_seconds_bucket{le=\"+Inf\"}"), NULL, 10), all);
        cr_expect_eq(strtoull(sample("aorta_flush_seconds_count"), NULL, 10), all);
        cr_expect_str_eq(sample("aorta_flush_seconds_sum"), "12.345678");
        /* A flush of 1,000 us is in the bucket that its bound says. */
        memset(m.writer.flush_us, 0, sizeof(m.writer.flush_us));
        m.writer.flush_us[writer_flush_bucket(1000)] = 1;
        cr_assert_gt(metrics_write(text, sizeof(text), &m), 0);
        for (at = text; (at = strstr(at, "\naorta_flush_seconds_bucket{le=\"")) != NULL; at++) {
                const double le = strtod(at + 32, NULL);
                const char *end = strchr(at + 1, '\n');

                if (strncmp(at + 32, "+Inf", 4) != 0)
                        cr_expect_eq(end[-1] == '1', le >= 0.001, "%f", le);
        }
}

static bool
is_name(const char *text_at, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (strchr("abcdefghijklmnopqrstuvwxyz0123456789_", text_at[i]) == NULL)
                        return false;
        return n > 6 && strncmp(text_at, "aorta_", 6) == 0;
}

/* Strictly: HELP, TYPE, then the family's samples; each line ended; numbers only. */
Test(metrics, are_the_text_format, .init = fill)
{
        char family[128] = "", kind[32] = "", *save = NULL, *line;
        bool typed = false;

        const long n = metrics_write(text, sizeof(text), &m);
        cr_assert_gt(n, 0);
        cr_assert_eq((size_t)n, strlen(text));
        cr_assert_eq(text[n - 1], '\n');
        cr_assert_null(strstr(text, "\n\n"));
        for (line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
                char name[128];
                size_t bytes = strcspn(line, "{ ");

                if (strncmp(line, "# HELP ", 7) == 0) {
                        cr_assert_eq(sscanf(line, "# HELP %127s %*c", family), 1);
                        cr_assert(is_name(family, strlen(family)), "%s", line);
                        cr_assert_null(strchr(line, '\\'));
                        typed = false;
                        continue;
                }
                if (line[0] == '#') {
                        cr_assert_eq(sscanf(line, "# TYPE %127s %31s", name, kind), 2, "%s", line);
                        cr_assert_str_eq(name, family);
                        cr_assert(strcmp(kind, "counter") == 0 || strcmp(kind, "gauge") == 0 ||
                                  strcmp(kind, "histogram") == 0);
                        cr_assert_eq(strcmp(kind, "counter") == 0,
                            strlen(name) > 6 && strcmp(name + strlen(name) - 6, "_total") == 0,
                            "%s", line);
                        typed = true;
                        continue;
                }
                cr_assert(typed, "%s", line);
                cr_assert(is_name(line, bytes), "%s", line);
                cr_assert_eq(strncmp(line, family, strlen(family)), 0, "%s", line);
                if (strcmp(kind, "histogram") != 0)
                        cr_assert_eq(bytes, strlen(family), "%s", line);
                if (line[bytes] == '{') {
                        const char *close_brace = strchr(line, '}');
                        cr_assert_not_null(close_brace);
                        bytes = (size_t)(close_brace + 1 - line);
                }
                cr_assert_eq(line[bytes], ' ', "%s", line);
                cr_assert_eq(
                    line[bytes + 1 + strspn(line + bytes + 1, "0123456789.")], '\0', "%s", line);
        }
}

Test(metrics, fit_with_room_to_spare, .init = fill)
{
        m.workers = WORKERS_MAX;
        memset(&m.counters, 0xff, sizeof(m.counters));
        memset(m.writer.flush_us, 0x1f, sizeof(m.writer.flush_us));
        m.nodes = METRICS_NODES_MAX;
        for (unsigned i = 0; i < METRICS_NODES_MAX; i++) {
                memset(m.node[i].name, 'n', sizeof(m.node[i].name) - 1);
                m.node[i].calls = m.node[i].objs = m.node[i].cycles = UINT64_MAX;
        }
        const long n = metrics_write(text, sizeof(text), &m);
        cr_assert_gt(n, 0);
        cr_assert_lt(n, (long)sizeof(text) / 2);
        /* Less room is said, and never overrun. */
        char *small = malloc((size_t)n);
        cr_assert_eq(metrics_write(small, (size_t)n, &m), -ENOSPC);
        cr_assert_eq(metrics_write(small, 1, &m), -ENOSPC);
        cr_assert_eq(metrics_write(small, 0, &m), -ENOSPC);
        free(small);
}
