/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/replay.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_FIRST_ROOM 1024u
#define CELL_BYTES_MAX  32u

/* Earlier lines win where two columns of a sign have a value. */
static const struct column {
        const char *name;
        enum sign sign;
        double factor; /* to the sign's unit */
        bool second;   /* used only where the first is empty */
} columns[] = {
    {"hr_beat_per_min", SIGN_HEART_RATE, 1, false},
    {"pulse_beat_per_min", SIGN_HEART_RATE, 1, true},
    {"abp_sys_mmHg", SIGN_SYSTOLIC, 1, false},
    {"abp_dia_mmHg", SIGN_DIASTOLIC, 1, false},
    {"abp_mean_mmHg", SIGN_MEAN, 1, false},
    {"nbp_sys_mmHg", SIGN_SYSTOLIC, 1, true},
    {"nbp_dia_mmHg", SIGN_DIASTOLIC, 1, true},
    {"nbp_mean_mmHg", SIGN_MEAN, 1, true},
    {"resp_1_per_min", SIGN_RESPIRATION, 1, false},
    {"spo2_percent", SIGN_SPO2, 0.01, false},
    {"temp_cel", SIGN_TEMPERATURE, 1, false},
    {"glucose_kg_per_m3", SIGN_GLUCOSE, 1, false},
};
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

struct layout {
        const struct column *column[REPLAY_COLUMNS_MAX]; /* NULL: passed over */
        unsigned columns_n;
};

/* Cuts the next cell off *at. False when there is none. */
static bool
next_cell(const char **at, const char **cell, size_t *bytes)
{
        if (*at == NULL)
                return false;
        *cell = *at;
        *bytes = strcspn(*at, ",");
        *at = (*at)[*bytes] == ',' ? *at + *bytes + 1 : NULL;
        return true;
}

static int
read_header(struct layout *layout, const char *line, const char **what)
{
        const char *cell;
        size_t bytes;
        bool known = false;

        *what = "more than 64 columns";
        while (next_cell(&line, &cell, &bytes)) {
                const struct column **found = &layout->column[layout->columns_n];

                if (layout->columns_n++ == REPLAY_COLUMNS_MAX)
                        return -EINVAL;
                *found = NULL;
                for (size_t i = 0; i < COLUMNS; i++)
                        if (strlen(columns[i].name) == bytes &&
                            memcmp(columns[i].name, cell, bytes) == 0)
                                *found = &columns[i];
                known = known || *found != NULL;
        }
        *what = "no column of a known vital sign in the header";
        return known ? 0 : -EINVAL;
}

static int
read_number(double *value, const char *cell, size_t bytes)
{
        char text[CELL_BYTES_MAX + 1], *end;

        if (bytes > CELL_BYTES_MAX)
                return -EINVAL;
        memcpy(text, cell, bytes);
        text[bytes] = '\0';
        *value = strtod(text, &end);
        return *end == '\0' && isfinite(*value) ? 0 : -EINVAL;
}

static int
read_row(
    const struct layout *layout, const char *line, struct vitals_sample *sample, const char **what)
{
        const char *cell;
        size_t bytes;
        unsigned i = 0;
        uint32_t first = 0; /* signs whose first column had a value */

        memset(sample, 0, sizeof(*sample));
        for (; next_cell(&line, &cell, &bytes); i++) {
                const struct column *column;
                double value;

                *what = "more cells than the header has";
                if (i == layout->columns_n)
                        return -EINVAL;
                column = layout->column[i];
                if (column == NULL || bytes == 0)
                        continue;
                *what = "a cell that is no number";
                if (read_number(&value, cell, bytes) < 0)
                        return -EINVAL;
                if (column->second && (first & 1u << column->sign))
                        continue;
                if (!column->second)
                        first |= 1u << column->sign;
                sample->value[column->sign] = value * column->factor;
                sample->present |= 1u << column->sign;
        }
        return 0;
}

static int
add_row(struct replay *replay, size_t *room, const struct vitals_sample *sample)
{
        if (replay->rows_n == *room) {
                size_t more = *room > 0 ? *room * 2 : ROWS_FIRST_ROOM;
                struct vitals_sample *grown = realloc(replay->rows, more * sizeof(*grown));

                if (grown == NULL)
                        return -ENOMEM;
                replay->rows = grown;
                *room = more;
        }
        replay->rows[replay->rows_n++] = *sample;
        return 0;
}

static int
read_lines(struct replay *replay, FILE *file, size_t *number, const char **what)
{
        char line[REPLAY_LINE_MAX];
        struct layout layout = {0};
        struct vitals_sample sample;
        size_t room = 0;

        for (*number = 1; fgets(line, sizeof(line), file) != NULL; ++*number) {
                size_t bytes = strlen(line);
                int r;

                *what = "the line is too long";
                if (bytes > 0 && line[bytes - 1] != '\n' && !feof(file))
                        return -EINVAL;
                line[strcspn(line, "\r\n")] = '\0';
                if (*number == 1) {
                        r = read_header(&layout, line, what);
                        if (r < 0)
                                return r;
                        continue;
                }
                r = read_row(&layout, line, &sample, what);
                if (r < 0)
                        return r;
                *what = "more than 1048576 rows";
                if (replay->rows_n == REPLAY_ROWS_MAX)
                        return -EINVAL;
                if (sample.present == 0)
                        replay->empty_rows++;
                else if (add_row(replay, &room, &sample) < 0)
                        return -ENOMEM;
        }
        *what = "no row with a value";
        return ferror(file) ? -EIO : replay->rows_n > 0 ? 0 : -EINVAL;
}

int
replay_open(struct replay *replay, const char *path, char *why)
{
        FILE *file = fopen(path, "re");
        const char *what = "";
        size_t number = 0;
        int r;

        memset(replay, 0, sizeof(*replay));
        if (file == NULL) {
                r = -errno;
                snprintf(why, REPLAY_WHY, "%s: %s", path, strerror(-r));
                return r;
        }
        r = read_lines(replay, file, &number, &what);
        fclose(file);
        if (r < 0) {
                snprintf(why, REPLAY_WHY, "%s:%zu: %s", path, number,
                    r == -EINVAL ? what : strerror(-r));
                replay_close(replay);
        }
        return r;
}

void
replay_close(struct replay *replay)
{
        free(replay->rows);
        memset(replay, 0, sizeof(*replay));
}
