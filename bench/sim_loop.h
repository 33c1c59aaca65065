/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator: open loop, virtual patients, a client's end of CoAP over OSCORE. It knows nothing
 * of the gateway but what comes over the wire. One thread, one simulator. */
#ifndef AORTA_BENCH_SIM_LOOP_H
#define AORTA_BENCH_SIM_LOOP_H

#include "bench/client.h"
#include "bench/devices_file.h"
#include "bench/leaf_set.h"
#include "bench/pack.h"
#include "bench/patient.h"
#include "bench/replay.h"
#include "bench/requests.h"
#include "bench/sim_report.h"
#include "bench/wire.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define SIM_WHY           512u
#define SIM_ECHOES_MAX    3u  /* challenges answered a record */
#define SIM_BUSIES_MAX    8u  /* tries a record after 5.03 */
#define SIM_MAX_AGE_MAX_S 60u /* a longer Max-Age is cut to this */
#define SIM_SEND_BURST    64u /* records sent before answers get their turn */
#define SIM_DEVICE_SEARCH 1024u
#define SIM_PING_WAIT_S   10u
#define SIM_PING_PAUSE_MS 500u
/* Partial IVs begin at the time since 2026-01-01, 1,024 a second, so that a later run with the same
 * credentials never repeats one. */
#define SIM_PIV_EPOCH_S     UINT64_C(1767225600)
#define SIM_PIV_SECOND_BITS 10u

struct sim_device {
        struct client client;
        struct patient patient;
        char name[DEVICES_FILE_NAME_MAX + 1];
        uint64_t address; /* in the SenML base name */
        uint32_t signs;   /* bit per sign it measures */
        enum pack_format format;
        size_t row;   /* of the replay */
        bool waiting; /* a CON is under way: one at a time (NSTART, RFC 7252 §4.7) */
};

struct sim {
        const struct sim_options *options;
        const volatile sig_atomic_t *stop; /* 1: stop sending; 2 or more: end at once */
        struct sim_report report;
        struct engine *engine;
        struct replay replay;
        struct sim_device *devices;
        size_t devices_n, next_device;
        struct requests *requests;
        struct wire *wire;
        struct leaf_set *leaves;
        uint64_t begin_ns, end_ns; /* of sending */
        double ns_a_record;
        uint32_t next_endpoint;
        uint64_t pongs;
        bool draining;
        int failed; /* -errno of what cannot go on, or 0 */
};

/* Opens report, devices, sockets. 0 or -errno with why (SIM_WHY bytes); sim_close() in any case. */
int sim_open(struct sim *sim, const struct sim_options *options, const volatile sig_atomic_t *stop,
    char *why);
/* Finds the gateway by a CoAP ping, runs to the end, drains. 0 or -errno with why; then counters
 * and times are in sim->report, for sim_report_summary(). */
int sim_run(struct sim *sim, char *why);
/* Seconds that records were due in. */
double sim_seconds(const struct sim *sim);
void sim_close(struct sim *sim);

/* The first partial IV at a Unix time in ns. */
uint64_t sim_first_piv(uint64_t unix_ns);

/* sim_requests.c: a record's way. */

/* Sends record's first message; false when none can leave now (no device, request or message ID is
 * free). */
bool sim_send_record(struct sim *sim, uint64_t intended_ns, uint64_t now_ns);
void sim_expire(struct sim *sim, uint64_t now_ns);
wire_receive_fn sim_receive;

static inline uint64_t
sim_now_ns(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

#endif
