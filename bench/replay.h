/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded vital signs from a CSV: a header line, then a row a sample. Columns are found by name;
 * those that are not known are passed over:
 *
 *   hr_beat_per_min, pulse_beat_per_min      heart rate (the pulse where the first is empty)
 *   abp_sys_mmHg, abp_dia_mmHg, abp_mean_mmHg, and nbp_… for the cuff where they are empty
 *   resp_1_per_min, spo2_percent, temp_cel, glucose_kg_per_m3
 *
 * An empty cell is a missing value; a row without any value is passed over. */
#ifndef AORTA_BENCH_REPLAY_H
#define AORTA_BENCH_REPLAY_H

#include "bench/patient.h"

#include <stddef.h>

#define REPLAY_ROWS_MAX    (1u << 20)
#define REPLAY_COLUMNS_MAX 64u
#define REPLAY_LINE_MAX    4096u
#define REPLAY_WHY         512u

struct replay {
        struct vitals_sample *rows; /* each has at least one value */
        size_t rows_n;
        size_t empty_rows; /* passed over */
};

/* Reads a whole file. 0 or -errno with why (REPLAY_WHY bytes). For replay_close(). */
int replay_open(struct replay *replay, const char *path, char *why);
void replay_close(struct replay *replay);

#endif
