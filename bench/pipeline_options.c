/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/pipeline.h"

#include "bench/pipeline_fleet.h"
#include "ledger/vault.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CORE_MAX     1023u
#define SECONDS_MAX  600.0
#define GROUP_US_MAX 1000000u

const char *
pipeline_usage(void)
{
        return "usage: aorta-bench pipeline [OPTIONS]\n"
               "\n"
               "The way of a record, memory to memory, in one process: prebuilt OSCORE requests "
               "are "
               "opened,\n"
               "checked, sealed, digested, made durable and answered by one worker core and the "
               "ledger\n"
               "writer on another. Every answer is opened afterwards and matched with its record "
               "on "
               "the disk.\n"
               "\n"
               "  --devices N       devices, each with keys of its own (100,000)\n"
               "  --payload BYTES   SenML bytes a record, 112 to 1,024 (128)\n"
               "  --alg N           COSE algorithm: 1, 3, 10, 24, 30 (10)\n"
               "  --records N       records a run, at most 4,000,000 (1,000,000)\n"
               "  --seconds S       end a run after S seconds of the worker's time instead\n"
               "  --runs N          runs; the median is told (3)\n"
               "  --state DIR       where the records are stored, and removed afterwards "
               "(" PIPELINE_STATE ")\n"
               "  --no-flush        take the disk away: answers come as if flushed\n"
               "  --group N         records a group at most (4,096)\n"
               "  --group-us N      us until a group is closed (1,000)\n"
               "  --spin            the ledger writer never sleeps\n"
               "  --worker-core N, --control-core N   the last and the first this process may use\n"
               "  --crypto NAME     auto, ipsec-mb or portable (auto)\n"
               "  --no-huge         ordinary pages even where huge ones are free\n"
               "  --json            one JSON object instead of text\n"
               "  -h, --help        this text\n"
               "\n"
               "Exit status: 0 all verified; 1 failed; 2 usage.\n";
}

enum option_code {
        OPTION_DEVICES = 256,
        OPTION_PAYLOAD,
        OPTION_ALG,
        OPTION_RECORDS,
        OPTION_SECONDS,
        OPTION_RUNS,
        OPTION_STATE,
        OPTION_NO_FLUSH,
        OPTION_GROUP,
        OPTION_GROUP_US,
        OPTION_SPIN,
        OPTION_WORKER_CORE,
        OPTION_CONTROL_CORE,
        OPTION_CRYPTO,
        OPTION_NO_HUGE,
        OPTION_JSON,
};

static const struct option long_options[] = {
    {"devices", required_argument, NULL, OPTION_DEVICES},
    {"payload", required_argument, NULL, OPTION_PAYLOAD},
    {"alg", required_argument, NULL, OPTION_ALG},
    {"records", required_argument, NULL, OPTION_RECORDS},
    {"seconds", required_argument, NULL, OPTION_SECONDS},
    {"runs", required_argument, NULL, OPTION_RUNS},
    {"state", required_argument, NULL, OPTION_STATE},
    {"no-flush", no_argument, NULL, OPTION_NO_FLUSH},
    {"group", required_argument, NULL, OPTION_GROUP},
    {"group-us", required_argument, NULL, OPTION_GROUP_US},
    {"spin", no_argument, NULL, OPTION_SPIN},
    {"worker-core", required_argument, NULL, OPTION_WORKER_CORE},
    {"control-core", required_argument, NULL, OPTION_CONTROL_CORE},
    {"crypto", required_argument, NULL, OPTION_CRYPTO},
    {"no-huge", no_argument, NULL, OPTION_NO_HUGE},
    {"json", no_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int
parse_whole(const char *text, uint64_t low, uint64_t high, uint64_t *value)
{
        char *end;

        if (*text < '0' || *text > '9')
                return -EINVAL;
        errno = 0;
        *value = strtoull(text, &end, 10);
        return *end != '\0' || errno != 0 || *value < low || *value > high ? -EINVAL : 0;
}

static int
parse_crypto(const char *text, enum engine_backend *backend)
{
        static const char *const names[] = {
            [ENGINE_AUTO] = "auto", [ENGINE_IPSEC_MB] = "ipsec-mb", [ENGINE_PORTABLE] = "portable"};

        for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                if (strcmp(names[i], text) == 0) {
                        *backend = (enum engine_backend)i;
                        return 0;
                }
        }
        return -EINVAL;
}

static int
take_seconds(struct pipeline_options *options, const char *text)
{
        char *end;

        options->seconds = strtod(text, &end);
        options->records = PIPELINE_RECORDS_MAX;
        return *end == '\0' && options->seconds > 0 && options->seconds <= SECONDS_MAX ? 0
                                                                                       : -EINVAL;
}

static int
take_flag(struct pipeline_options *options, int option)
{
        switch (option) {
        case OPTION_NO_FLUSH:
                options->no_flush = true;
                return 0;
        case OPTION_SPIN:
                options->spin = true;
                return 0;
        case OPTION_NO_HUGE:
                options->huge_forbidden = true;
                return 0;
        case OPTION_JSON:
                options->json = true;
                return 0;
        default:
                options->help = true;
                return 0;
        }
}

static int
take_number(struct pipeline_options *options, int option, const char *value)
{
        static const struct {
                int option;
                uint64_t low, high;
        } limits[] = {
            {OPTION_DEVICES, 1, 1u << 22},
            {OPTION_PAYLOAD, FLEET_PAYLOAD_MIN, SEAL_PAYLOAD_MAX},
            {OPTION_ALG, 1, 255},
            {OPTION_RECORDS, 1, PIPELINE_RECORDS_MAX},
            {OPTION_RUNS, 1, PIPELINE_RUNS_MAX},
            {OPTION_GROUP, 1, GROUP_RECORDS_MAX},
            {OPTION_GROUP_US, 1, GROUP_US_MAX},
            {OPTION_WORKER_CORE, 0, CORE_MAX},
            {OPTION_CONTROL_CORE, 0, CORE_MAX},
        };
        uint64_t n = 0;

        for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
                if (limits[i].option == option &&
                    parse_whole(value, limits[i].low, limits[i].high, &n) < 0)
                        return -EINVAL;
        switch (option) {
        case OPTION_DEVICES:
                options->devices = (uint32_t)n;
                return 0;
        case OPTION_PAYLOAD:
                options->payload_bytes = (uint32_t)n;
                return 0;
        case OPTION_ALG:
                options->alg = (uint8_t)n;
                return aead_key_bytes((int)n) != 0 ? 0 : -EINVAL;
        case OPTION_RECORDS:
                options->records = n;
                return 0;
        case OPTION_RUNS:
                options->runs = (uint32_t)n;
                return 0;
        case OPTION_GROUP:
                options->group_records = (uint32_t)n;
                return 0;
        case OPTION_GROUP_US:
                options->group_us = (uint32_t)n;
                return 0;
        case OPTION_WORKER_CORE:
                options->worker_core = (int)n;
                return 0;
        default:
                options->control_core = (int)n;
                return 0;
        }
}

static int
take_option(struct pipeline_options *options, int option, const char *value)
{
        switch (option) {
        case OPTION_STATE:
                options->state = value;
                return *value != '\0' ? 0 : -EINVAL;
        case OPTION_SECONDS:
                return take_seconds(options, value);
        case OPTION_CRYPTO:
                return parse_crypto(value, &options->backend);
        default:
                return value == NULL ? take_flag(options, option)
                                     : take_number(options, option, value);
        }
}

int
pipeline_options_parse(struct pipeline_options *options, int argc, char **argv, char *why)
{
        int option, which = 0;

        *options = (struct pipeline_options){
            .devices = PIPELINE_DEVICES,
            .payload_bytes = PIPELINE_PAYLOAD,
            .runs = 3,
            .records = PIPELINE_RECORDS,
            .alg = AEAD_AES_CCM_16_64_128,
            .state = PIPELINE_STATE,
            .worker_core = -1,
            .control_core = -1,
            .group_records = GROUP_RECORDS_MAX,
            .group_us = 1000,
            .backend = ENGINE_AUTO,
        };
        optind = 0;
        opterr = 0;
        while ((option = getopt_long(argc, argv, ":h", long_options, &which)) != -1) {
                if (option == '?' || option == ':') {
                        snprintf(why, PIPELINE_WHY, "%s %s", argv[optind - 1],
                            option == ':' ? "needs a value" : "is no option");
                        return -EINVAL;
                }
                if (take_option(options, option, optarg) < 0) {
                        snprintf(why, PIPELINE_WHY, "--%s %s: not a value it takes",
                            long_options[which].name, optarg);
                        return -EINVAL;
                }
        }
        if (optind != argc) {
                snprintf(why, PIPELINE_WHY, "%s: unexpected", argv[optind]);
                return -EINVAL;
        }
        return 0;
}
