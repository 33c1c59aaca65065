/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: recorded vital signs are replayed as they were recorded; empty cells stay missing. */
#include "bench/pack.h"
#include "bench/replay.h"
#include "dataplane/senml/senml.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADER                                                                                     \
        "minute,hr_beat_per_min,abp_sys_mmHg,abp_dia_mmHg,abp_mean_mmHg,pulse_beat_per_min,"       \
        "resp_1_per_min,spo2_percent,nbp_sys_mmHg,nbp_dia_mmHg,nbp_mean_mmHg\n"
#define NAME "data/icu-vitals-s00001.csv"

static char path[64];

static int
open_text(struct replay *replay, const char *text, char *why)
{
        int fd;

        snprintf(path, sizeof(path), "/tmp/aorta-replay-XXXXXX");
        fd = mkstemp(path);
        cr_assert_geq(fd, 0);
        cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        close(fd);
        int r = replay_open(replay, path, why);
        unlink(path);
        return r;
}

static bool
has(const struct vitals_sample *sample, int sign, double value)
{
        return (sample->present & 1u << sign) && fabs(sample->value[sign] - value) < 1e-9;
}

Test(replay, a_small_file_row_by_row)
{
        struct replay replay;
        char why[REPLAY_WHY] = "";
        int r = open_text(&replay,
            HEADER "0,,,,,,23,,,,\n"                       /* respiration only */
                   "1,62.8,,,,,12.7,,,,\n"                 /* heart, respiration */
                   "2,,,,,,,,,,\n"                         /* empty: passed over */
                   "3,55.6,,,,55,12.4,96,120,72,89\n"      /* cuff; the pulse does not win */
                   "4,,118.5,70,86,61,,97.4,120,72,89\r\n" /* the artery wins over the cuff */
                   "5,,,,,,,,,,",
            why);

        cr_assert_eq(r, 0, "%s", why);
        cr_assert_eq(replay.rows_n, 4);
        cr_assert_eq(replay.empty_rows, 2);
        cr_expect_eq(replay.rows[0].present, 1u << SIGN_RESPIRATION);
        cr_expect(has(&replay.rows[0], SIGN_RESPIRATION, 23));
        cr_expect_eq(replay.rows[1].present, 1u << SIGN_RESPIRATION | 1u << SIGN_HEART_RATE);
        cr_expect(has(&replay.rows[1], SIGN_HEART_RATE, 62.8));
        cr_expect(has(&replay.rows[2], SIGN_HEART_RATE, 55.6));
        cr_expect(has(&replay.rows[2], SIGN_SPO2, 0.96));
        cr_expect(has(&replay.rows[2], SIGN_SYSTOLIC, 120));
        cr_expect(has(&replay.rows[2], SIGN_DIASTOLIC, 72));
        cr_expect(has(&replay.rows[2], SIGN_MEAN, 89));
        cr_expect(has(&replay.rows[3], SIGN_HEART_RATE, 61));
        cr_expect(has(&replay.rows[3], SIGN_SYSTOLIC, 118.5));
        cr_expect(has(&replay.rows[3], SIGN_SPO2, 0.974));
        replay_close(&replay);
}

Test(replay, what_is_wrong_is_refused_with_its_line)
{
        static const struct {
                const char *text, *what;
        } wrong[] = {
            {"", ":1: "},
            {"a,b\n1,2\n", ":1: no column"},
            {HEADER, ": no row"},
            {HEADER "0,,,,,,,,,,\n", ": no row"},
            {HEADER "0,1,2,3,4,5,6,7,8,9,10\n1,x,,,,,,,,,\n", ":3: a cell"},
            {HEADER "0,1e999,,,,,,,,,\n", ":2: a cell"},
            {HEADER "0,nan,,,,,,,,,\n", ":2: a cell"},
            {HEADER "0,000000000000000000000000000000000001,,,,,,,,,\n", ":2: a cell"},
            {HEADER "0,1,2,3,4,5,6,7,8,9,10,11\n", ":2: more cells"},
        };
        struct replay replay;
        char why[REPLAY_WHY];

        for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                cr_expect_lt(open_text(&replay, wrong[i].text, why), 0, "%u", i);
                cr_expect_not_null(strstr(why, wrong[i].what), "%u: %s", i, why);
        }
        cr_expect_eq(replay_open(&replay, path, why), -ENOENT);
}

Test(replay, a_line_too_long_is_refused)
{
        static char text[sizeof(HEADER) + REPLAY_LINE_MAX + 16];
        struct replay replay;
        char why[REPLAY_WHY];
        size_t at = strlen(HEADER);

        memcpy(text, HEADER, at);
        memset(text + at, '1', REPLAY_LINE_MAX + 8);
        cr_expect_eq(open_text(&replay, text, why), -EINVAL);
        cr_expect_not_null(strstr(why, ":2: the line is too long"), "%s", why);
}

/* The shared folder beside the project, or where AORTA_SHARED says. */
static bool
find_real(char *out, size_t bytes)
{
        const char *shared = getenv("AORTA_SHARED");

        if (shared != NULL) {
                snprintf(out, bytes, "%s/" NAME, shared);
                return access(out, R_OK) == 0;
        }
        snprintf(out, bytes, AORTA_ROOT "/../shared/" NAME);
        return access(out, R_OK) == 0;
}

Test(replay, the_real_recording_packs_and_parses_row_by_row)
{
        static struct senml_pack pack;
        struct replay replay;
        char file[512], why[REPLAY_WHY] = "";
        uint8_t out[PACK_BYTES_MAX];

        if (!find_real(file, sizeof(file))) {
                printf("SKIPPED replay of a real recording: no ../shared/" NAME "\n");
                return;
        }
        cr_assert_eq(replay_open(&replay, file, why), 0, "%s", why);
        cr_expect_eq(replay.rows_n + replay.empty_rows, 1936);
        for (size_t i = 0; i < replay.rows_n; i++) {
                static const enum pack_format formats[] = {PACK_JSON, PACK_CBOR};
                const struct vitals_sample *row = &replay.rows[i];

                for (unsigned f = 0; f < 2; f++) {
                        ssize_t n = pack_write(
                            out, sizeof(out), formats[f], i, 1800000000 + i, row, UINT32_MAX);

                        cr_assert_gt(n, 0);
                        cr_assert_eq(formats[f] == PACK_JSON
                                         ? senml_parse_json(&pack, out, (size_t)n, 0)
                                         : senml_parse_cbor(&pack, out, (size_t)n, 0),
                            SENML_OK);
                        cr_assert_eq(pack.records, __builtin_popcount(row->present));
                }
        }
        replay_close(&replay);
}
