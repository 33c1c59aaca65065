/* SPDX-License-Identifier: Apache-2.0 */
/* aorta-sim's command line. */
#ifndef AORTA_BENCH_SIM_OPTIONS_H
#define AORTA_BENCH_SIM_OPTIONS_H

#include "bench/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_RATE_MAX          10000000.0
#define SIM_RATE_A_DEVICE_MAX 1000.0 /* a partial IV begins at 1,024 a second of the clock */
#define SIM_RATE_AN_ENDPOINT  200.0  /* below 65,536 message IDs / 247 s */
#define SIM_ENDPOINTS_MIN     64u
#define SIM_COAP_PORT         5683u
#define SIM_DRAIN_S           10.0 /* covers two retransmissions: 3 s and 6 s at most */
#define SIM_DRAIN_WITH_LOSS_S 30.0
#define SIM_OPTIONS_WHY       512u

enum sim_format { SIM_JSON, SIM_CBOR, SIM_MIXED };

struct sim_options {
        union address gateway, source;
        char gateway_text[64];
        const char *devices, *ack_log, *summary, *progress, *replay;
        size_t count;     /* devices; 0: all of the file */
        double rate;      /* records a second, all devices together */
        double seconds;   /* 0: until a signal */
        uint64_t records; /* 0: no limit */
        unsigned endpoints;
        enum sim_format format;
        bool non, json, help;
        double loss, duplicate, reorder;
        double drain_s;
        uint64_t seed; /* 0: random */
};

/* Fills *options (strings stay argv's). 0, or -EINVAL with why (SIM_OPTIONS_WHY bytes). */
int sim_options_parse(struct sim_options *options, int argc, char **argv, char *why);
const char *sim_usage(void);

#endif
