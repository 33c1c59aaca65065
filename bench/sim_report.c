/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/sim_report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FIFO_WAIT_MS  5000u
#define FIFO_PAUSE_MS 10u
#define NS_PER_S      1e9
#define REAL_DIGITS   10

static int
open_progress(const char *path)
{
        const struct timespec pause = {.tv_nsec = FIFO_PAUSE_MS * 1000000L};
        int fd = -1;

        /* A FIFO cannot be opened for writing before it has a reader (ENXIO). */
        for (unsigned ms = 0; ms < FIFO_WAIT_MS; ms += FIFO_PAUSE_MS) {
                fd = open(
                    path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0644);
                if (fd >= 0 || errno != ENXIO)
                        break;
                nanosleep(&pause, NULL);
        }
        if (fd < 0 && errno == ENXIO)
                fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int
sim_report_open(struct sim_report *report, const struct sim_options *options, char *why)
{
        const char *path = options->progress;
        int r = 0;

        memset(report, 0, sizeof(*report));
        report->progress = -1;
        if (path != NULL) {
                report->progress = open_progress(path);
                if (report->progress < 0)
                        r = report->progress;
        }
        if (r == 0 && options->ack_log != NULL) {
                path = options->ack_log;
                report->ack_log = fopen(path, "we");
                if (report->ack_log == NULL)
                        r = -errno;
        }
        if (r < 0) {
                snprintf(why, SIM_REPORT_WHY, "%s: %s", path, strerror(-r));
                (void)sim_report_close(report);
        }
        return r;
}

int
sim_report_close(struct sim_report *report)
{
        if (report->ack_log != NULL && fclose(report->ack_log) != 0)
                report->ack_log_failed = true;
        report->ack_log = NULL;
        if (report->progress >= 0)
                close(report->progress);
        report->progress = -1;
        return report->ack_log_failed ? -EIO : 0;
}

void
sim_report_ack(
    struct sim_report *report, const char *device, uint64_t piv, uint64_t leaf, uint64_t us)
{
        report->counters.acked++;
        report->second_acked++;
        histogram_add(&report->all_us, us);
        histogram_add(&report->second_us, us);
        if (report->ack_log != NULL &&
            fprintf(report->ack_log, "%s %" PRIu64 " %" PRIu64 "\n", device, piv, leaf) < 0)
                report->ack_log_failed = true;
}

void
sim_report_error(struct sim_report *report, const char *format, ...)
{
        char text[SIM_SAMPLE_BYTES];
        va_list ap;

        report->counters.errors++;
        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        for (unsigned i = 0; i < report->samples_n; i++)
                if (strcmp(report->samples[i], text) == 0)
                        return;
        if (report->samples_n == SIM_SAMPLES_MAX)
                return;
        memcpy(report->samples[report->samples_n++], text, sizeof(text));
        fprintf(stderr, "aorta-sim: error: %s\n", text);
}

static json_t *
common_keys(const struct sim_report *report, const struct histogram *us)
{
        const struct sim_counters *c = &report->counters;

        return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "sent",
            (json_int_t)c->sent, "acked", (json_int_t)c->acked, "ack_p50_us",
            (json_int_t)histogram_percentile(us, 50), "ack_p99_us",
            (json_int_t)histogram_percentile(us, 99), "retransmitted", (json_int_t)c->retransmitted,
            "echo", (json_int_t)c->echo, "busy", (json_int_t)c->busy, "errors",
            (json_int_t)c->errors, "unanswered", (json_int_t)c->unanswered);
}

static json_t *
rounded(double value)
{
        return json_real((double)(int64_t)(value * 10 + 0.5) / 10);
}

void
sim_report_second(
    struct sim_report *report, uint64_t now_ns, double elapsed_s, uint64_t waiting, uint64_t behind)
{
        double seconds = (double)(now_ns - report->second_ns) / NS_PER_S;
        json_t *line;
        char *text;

        if (report->ack_log != NULL && fflush(report->ack_log) != 0)
                report->ack_log_failed = true;
        line = report->progress >= 0 ? common_keys(report, &report->second_us) : NULL;
        if (line != NULL) {
                json_object_set_new(line, "s", rounded(elapsed_s));
                json_object_set_new(line, "records_per_s",
                    json_integer(seconds > 0
                                     ? (json_int_t)((double)report->second_acked / seconds + 0.5)
                                     : 0));
                json_object_set_new(line, "waiting", json_integer((json_int_t)waiting));
                json_object_set_new(line, "behind", json_integer((json_int_t)behind));
                text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS));
                /* A reader that is slow, or gone, misses lines; nothing else depends on them. */
                if (text != NULL && dprintf(report->progress, "%s\n", text) < 0 && errno == EPIPE) {
                        close(report->progress);
                        report->progress = -1;
                }
                free(text);
                json_decref(line);
        }
        report->second_ns = now_ns;
        report->second_acked = 0;
        memset(&report->second_us, 0, sizeof(report->second_us));
}

/* In one step, so that a reader sees all of it or nothing. */
static int
write_file(const char *path, const char *text)
{
        char temporary[PATH_MAX];
        FILE *file;
        int r = 0;

        if ((size_t)snprintf(temporary, sizeof(temporary), "%s.new", path) >= sizeof(temporary))
                return -ENAMETOOLONG;
        file = fopen(temporary, "we");
        if (file == NULL)
                return -errno;
        if (fprintf(file, "%s\n", text) < 0)
                r = -EIO;
        if (fclose(file) != 0 && r == 0)
                r = -errno;
        if (r == 0 && rename(temporary, path) < 0)
                r = -errno;
        return r;
}

static char *
summary_text(const struct sim_report *report, double seconds)
{
        const struct histogram *us = &report->all_us;
        json_t *summary = common_keys(report, us), *samples = json_array();
        char *text;

        if (summary == NULL || samples == NULL)
                return NULL;
        for (unsigned i = 0; i < report->samples_n; i++)
                json_array_append_new(samples, json_string(report->samples[i]));
        json_object_set_new(summary, "records_per_s",
            seconds > 0 ? rounded((double)report->counters.acked / seconds) : json_integer(0));
        json_object_set_new(
            summary, "ack_p999_us", json_integer((json_int_t)histogram_percentile(us, 99.9)));
        json_object_set_new(summary, "ack_max_us", json_integer((json_int_t)us->max));
        json_object_set_new(summary, "refused", json_integer((json_int_t)report->counters.refused));
        json_object_set_new(summary, "seconds", rounded(seconds));
        json_object_set_new(summary, "error_samples", samples);
        text = json_dumps(summary, JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS));
        json_decref(summary);
        return text;
}

int
sim_report_summary(struct sim_report *report, const struct sim_options *options, double seconds)
{
        const struct sim_counters *c = &report->counters;
        char *text = summary_text(report, seconds);
        int r = 0;

        if (text == NULL)
                return -ENOMEM;
        fprintf(stderr,
            "aorta-sim: sent %" PRIu64 ", acknowledged %" PRIu64 " (%.0f/s), p50 %" PRIu64
            " us, p99 %" PRIu64 " us; retransmitted %" PRIu64 ", echo %" PRIu64 ", busy %" PRIu64
            ", refused %" PRIu64 ", unanswered %" PRIu64 ", errors %" PRIu64 "\n",
            c->sent, c->acked, seconds > 0 ? (double)c->acked / seconds : 0,
            histogram_percentile(&report->all_us, 50), histogram_percentile(&report->all_us, 99),
            c->retransmitted, c->echo, c->busy, c->refused, c->unanswered, c->errors);
        if (options->summary != NULL) {
                r = write_file(options->summary, text);
                if (r < 0)
                        fprintf(stderr, "aorta-sim: %s: %s\n", options->summary, strerror(-r));
        }
        if (options->json)
                printf("%s\n", text);
        free(text);
        return r;
}
