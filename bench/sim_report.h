/* SPDX-License-Identifier: Apache-2.0 */
/* What aorta-sim tells: the log of acknowledgements, progress, the summary. One thread. */
#ifndef AORTA_BENCH_SIM_REPORT_H
#define AORTA_BENCH_SIM_REPORT_H

#include "bench/sim_options.h"
#include "control/histogram.h"

#include <stdint.h>
#include <stdio.h>

#define SIM_SAMPLES_MAX  8u /* error messages kept; all are counted */
#define SIM_SAMPLE_BYTES 160u
#define SIM_REPORT_WHY   512u

struct sim_counters {
        uint64_t sent;  /* records: each counts once, however often it was transmitted */
        uint64_t acked; /* 2.01 under OSCORE with a leaf of its own */
        uint64_t retransmitted;
        uint64_t echo;    /* answered challenges */
        uint64_t busy;    /* 5.03 received */
        uint64_t refused; /* records given up after 5.03, not stored */
        uint64_t errors;
        uint64_t unanswered; /* records without any answer */
        uint64_t stale;      /* further copies of answers */
};

struct sim_report {
        FILE *ack_log;
        int progress;
        bool ack_log_failed;
        struct sim_counters counters;
        struct histogram all_us, second_us; /* of acknowledgements */
        uint64_t second_acked, second_ns;   /* since the last progress line */
        unsigned samples_n;
        char samples[SIM_SAMPLES_MAX][SIM_SAMPLE_BYTES];
};

/* Opens the files. A FIFO without a reader is waited for a few seconds, then written blindly. 0 or
 * -errno with why (SIM_REPORT_WHY bytes). Opened first of all, so that who reads a FIFO sees it end
 * when a later step fails. */
int sim_report_open(struct sim_report *report, const struct sim_options *options, char *why);
/* Flushes and closes. 0, or -EIO when acknowledgements could not be written. */
int sim_report_close(struct sim_report *report);

void sim_report_ack(
    struct sim_report *report, const char *device, uint64_t piv, uint64_t leaf, uint64_t us);
/* Counts an error; the first few different messages are kept and printed. */
void sim_report_error(struct sim_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Once a second: flushes the log and writes a progress line. waiting: requests under way; behind:
 * records that are due and could not be sent yet. */
void sim_report_second(struct sim_report *report, uint64_t now_ns, double elapsed_s,
    uint64_t waiting, uint64_t behind);
/* Writes the summary where the options say, and for a person to stderr. seconds: of sending. 0 or
 * -errno. */
int sim_report_summary(
    struct sim_report *report, const struct sim_options *options, double seconds);

#endif
