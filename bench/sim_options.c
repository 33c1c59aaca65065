/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/sim_options.h"

#include "bench/requests.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICES_COUNT_MAX (1u << 24)
#define SECONDS_MAX       1e9
#define DRAIN_MAX_S       120.0

const char *
sim_usage(void)
{
        return "usage: aorta-sim --gateway IP[:PORT] --devices FILE [OPTIONS]\n"
               "\n"
               "Virtual patients, each with an OSCORE device of its own, send vital signs to an "
               "Aorta\n"
               "gateway at a constant rate; latency counts from when a record should have left.\n"
               "\n"
               "  --gateway IP[:PORT]  an IPv4 or IPv6 address (with a port: [IP]:PORT); port "
               "5683\n"
               "  --devices FILE       credentials, as `aortactl device add-many --out FILE` "
               "writes "
               "them\n"
               "  --source IP          send from this address\n"
               "  --count N            use the first N devices (all)\n"
               "  --rate R             records a second, all devices together (100)\n"
               "  --for S              end after S seconds; 0: at SIGINT or SIGTERM (0)\n"
               "  --records N          end after N records\n"
               "  --endpoints N        UDP sockets to send from (rate / 200, at least 64)\n"
               "  --format KIND        json, cbor or mixed (mixed)\n"
               "  --non                send NON instead of CON: no retransmission\n"
               "  --replay CSV         recorded vital signs instead of made ones, every device "
               "from "
               "the first row\n"
               "  --loss P             drop each datagram with probability P (0 to 0.9), both "
               "directions\n"
               "  --duplicate P        likewise, pass it twice\n"
               "  --reorder P          likewise, hold it back for up to 40 ms\n"
               "  --drain S            wait at the end for what is on its way (10; 30 with "
               "--loss)\n"
               "  --seed N             make the load repeatable\n"
               "  --ack-log FILE       a line an acknowledgement: device, partial IV, leaf\n"
               "  --progress FILE      a JSON object a second (a FIFO may be given)\n"
               "  --summary FILE       the summary as a JSON object\n"
               "  --json               the summary on standard output too, as JSON\n"
               "  -h, --help           this text\n"
               "\n"
               "Exit status: 0 all acknowledged; 1 errors, or requests without an answer (unless "
               "--loss); 2 usage.\n";
}

static int
parse_number(const char *text, double low, double high, double *value)
{
        char *end;

        errno = 0;
        *value = strtod(text, &end);
        if (end == text || *end != '\0' || errno != 0 || !isfinite(*value) || *value < low ||
            *value > high)
                return -EINVAL;
        return 0;
}

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

/* IP, IPv4:PORT or [IPv6]:PORT. */
static int
parse_address(const char *text, uint16_t port, union address *address)
{
        char host[INET6_ADDRSTRLEN + 2];
        const char *colon = strrchr(text, ':'), *end = text + strlen(text);
        uint64_t value;

        memset(address, 0, sizeof(*address));
        if (text[0] == '[') {
                const char *bracket = strchr(text, ']');

                if (bracket == NULL || (bracket[1] != '\0' && bracket[1] != ':'))
                        return -EINVAL;
                colon = bracket[1] == ':' ? bracket + 1 : NULL;
                text++;
                end = bracket;
        } else if (colon != NULL && strchr(text, ':') == colon) {
                end = colon;
        } else {
                colon = NULL;
        }
        if (colon != NULL) {
                if (parse_whole(colon + 1, 1, UINT16_MAX, &value) < 0)
                        return -EINVAL;
                port = (uint16_t)value;
        }
        if ((size_t)(end - text) >= sizeof(host))
                return -EINVAL;
        memcpy(host, text, (size_t)(end - text));
        host[end - text] = '\0';
        if (inet_pton(AF_INET, host, &address->v4.sin_addr) == 1) {
                address->v4.sin_family = AF_INET;
                address->v4.sin_port = htons(port);
                return 0;
        }
        if (inet_pton(AF_INET6, host, &address->v6.sin6_addr) == 1) {
                address->v6.sin6_family = AF_INET6;
                address->v6.sin6_port = htons(port);
                return 0;
        }
        return -EINVAL;
}

enum option_code {
        OPTION_GATEWAY = 256,
        OPTION_DEVICES,
        OPTION_SOURCE,
        OPTION_COUNT,
        OPTION_RATE,
        OPTION_FOR,
        OPTION_RECORDS,
        OPTION_ENDPOINTS,
        OPTION_FORMAT,
        OPTION_NON,
        OPTION_REPLAY,
        OPTION_LOSS,
        OPTION_DUPLICATE,
        OPTION_REORDER,
        OPTION_DRAIN,
        OPTION_SEED,
        OPTION_ACK_LOG,
        OPTION_PROGRESS,
        OPTION_SUMMARY,
        OPTION_JSON,
};

static const struct option long_options[] = {
    {"gateway", required_argument, NULL, OPTION_GATEWAY},
    {"devices", required_argument, NULL, OPTION_DEVICES},
    {"source", required_argument, NULL, OPTION_SOURCE},
    {"count", required_argument, NULL, OPTION_COUNT},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"for", required_argument, NULL, OPTION_FOR},
    {"records", required_argument, NULL, OPTION_RECORDS},
    {"endpoints", required_argument, NULL, OPTION_ENDPOINTS},
    {"format", required_argument, NULL, OPTION_FORMAT},
    {"non", no_argument, NULL, OPTION_NON},
    {"replay", required_argument, NULL, OPTION_REPLAY},
    {"loss", required_argument, NULL, OPTION_LOSS},
    {"duplicate", required_argument, NULL, OPTION_DUPLICATE},
    {"reorder", required_argument, NULL, OPTION_REORDER},
    {"drain", required_argument, NULL, OPTION_DRAIN},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"ack-log", required_argument, NULL, OPTION_ACK_LOG},
    {"progress", required_argument, NULL, OPTION_PROGRESS},
    {"summary", required_argument, NULL, OPTION_SUMMARY},
    {"json", no_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int
parse_format(const char *text, enum sim_format *format)
{
        static const char *const names[] = {
            [SIM_JSON] = "json", [SIM_CBOR] = "cbor", [SIM_MIXED] = "mixed"};

        for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                if (strcmp(text, names[i]) == 0) {
                        *format = (enum sim_format)i;
                        return 0;
                }
        }
        return -EINVAL;
}

static int
take_option(struct sim_options *options, int option, const char *value)
{
        uint64_t whole = 0;
        int r = 0;

        switch (option) {
        case OPTION_GATEWAY:
                snprintf(options->gateway_text, sizeof(options->gateway_text), "%s", value);
                return parse_address(value, SIM_COAP_PORT, &options->gateway);
        case OPTION_SOURCE:
                return parse_address(value, 0, &options->source);
        case OPTION_DEVICES:
                options->devices = value;
                return 0;
        case OPTION_COUNT:
                r = parse_whole(value, 0, DEVICES_COUNT_MAX, &whole);
                options->count = (size_t)whole;
                return r;
        case OPTION_RATE:
                return parse_number(value, 1e-3, SIM_RATE_MAX, &options->rate);
        case OPTION_FOR:
                return parse_number(value, 0, SECONDS_MAX, &options->seconds);
        case OPTION_RECORDS:
                return parse_whole(value, 1, UINT64_C(1) << 40, &options->records);
        case OPTION_ENDPOINTS:
                r = parse_whole(value, 1, ENDPOINTS_MAX, &whole);
                options->endpoints = (unsigned)whole;
                return r;
        case OPTION_FORMAT:
                return parse_format(value, &options->format);
        case OPTION_NON:
                options->non = true;
                return 0;
        case OPTION_REPLAY:
                options->replay = value;
                return 0;
        case OPTION_LOSS:
                return parse_number(value, 0, 0.9, &options->loss);
        case OPTION_DUPLICATE:
                return parse_number(value, 0, 1, &options->duplicate);
        case OPTION_REORDER:
                return parse_number(value, 0, 1, &options->reorder);
        case OPTION_DRAIN:
                return parse_number(value, 0, DRAIN_MAX_S, &options->drain_s);
        case OPTION_SEED:
                return parse_whole(value, 1, UINT64_MAX, &options->seed);
        case OPTION_ACK_LOG:
                options->ack_log = value;
                return 0;
        case OPTION_PROGRESS:
                options->progress = value;
                return 0;
        case OPTION_SUMMARY:
                options->summary = value;
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
complete(struct sim_options *options, char *why)
{
        double endpoints = options->rate / SIM_RATE_AN_ENDPOINT;

        if (options->help)
                return 0;
        if (options->gateway_text[0] == '\0' || options->devices == NULL) {
                snprintf(why, SIM_OPTIONS_WHY, "--gateway and --devices must be given");
                return -EINVAL;
        }
        if (options->source.any.sa_family != AF_UNSPEC &&
            options->source.any.sa_family != options->gateway.any.sa_family) {
                snprintf(why, SIM_OPTIONS_WHY, "--source and --gateway are of different families");
                return -EINVAL;
        }
        if (options->endpoints == 0) {
                options->endpoints = SIM_ENDPOINTS_MIN;
                if (endpoints > options->endpoints)
                        options->endpoints = (unsigned)fmin(ceil(endpoints), ENDPOINTS_MAX);
        }
        if (options->drain_s < 0)
                options->drain_s = options->loss > 0 ? SIM_DRAIN_WITH_LOSS_S : SIM_DRAIN_S;
        return 0;
}

int
sim_options_parse(struct sim_options *options, int argc, char **argv, char *why)
{
        int option, which = 0;

        *options = (struct sim_options){.rate = 100, .format = SIM_MIXED, .drain_s = -1};
        optind = 0; /* may be called again (getopt(3)) */
        opterr = 0;
        while ((option = getopt_long(argc, argv, ":h", long_options, &which)) != -1) {
                if (option == '?' || option == ':') {
                        snprintf(why, SIM_OPTIONS_WHY, "%s %s", argv[optind - 1],
                            option == ':' ? "needs a value" : "is no option");
                        return -EINVAL;
                }
                if (take_option(options, option, optarg) < 0) {
                        snprintf(why, SIM_OPTIONS_WHY, "--%s %s: not a value it takes",
                            long_options[which].name, optarg);
                        return -EINVAL;
                }
        }
        if (optind != argc) {
                snprintf(why, SIM_OPTIONS_WHY, "%s: unexpected", argv[optind]);
                return -EINVAL;
        }
        return complete(options, why);
}
