/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/sim_loop.h"

#include "dataplane/coap/coap.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include <sodium.h>

#define NS_PER_S       UINT64_C(1000000000)
#define NS_PER_MS      UINT64_C(1000000)
#define PAUSE_NS_MIN   UINT64_C(100000) /* between two looks at the clock when much is due */
#define POOL_MIN       4096u
#define POOL_MAX       262144u
#define POOL_SECONDS   8.0 /* of the rate that may be under way */
#define ALL_SIGNS      ((1u << SIGNS) - 1)
#define FNV_OFFSET     UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME      UINT64_C(0x100000001b3)
#define TIMER_SLACK_NS 1000ul

uint64_t
sim_first_piv(uint64_t unix_ns)
{
        uint64_t since = unix_ns - SIM_PIV_EPOCH_S * NS_PER_S;
        uint64_t second = since / NS_PER_S, rest = since % NS_PER_S;

        return ((second << SIM_PIV_SECOND_BITS) + (rest << SIM_PIV_SECOND_BITS) / NS_PER_S) &
               OSCORE_PIV_MAX;
}

/* ---- opening ---- */

/* What kinds of device there are: which signs each measures. */
static const uint32_t kinds[] = {
    ALL_SIGNS & ~(1u << SIGN_GLUCOSE),                                       /* bedside monitor */
    1u << SIGN_HEART_RATE | 1u << SIGN_SPO2,                                 /* pulse oximeter */
    1u << SIGN_SYSTOLIC | 1u << SIGN_DIASTOLIC | 1u << SIGN_HEART_RATE,      /* cuff */
    1u << SIGN_GLUCOSE,                                                      /* glucose sensor */
    1u << SIGN_HEART_RATE | 1u << SIGN_RESPIRATION | 1u << SIGN_TEMPERATURE, /* patch */
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static enum pack_format
format_of(const struct sim_options *options, size_t i)
{
        if (options->format == SIM_MIXED)
                return i % 2 == 0 ? PACK_JSON : PACK_CBOR;
        return options->format == SIM_JSON ? PACK_JSON : PACK_CBOR;
}

static int
open_device(struct sim *sim, size_t i, const struct device_credentials *from, uint64_t seed)
{
        struct sim_device *device = &sim->devices[i];
        uint64_t hash = FNV_OFFSET;
        struct timespec now;
        int r = client_init(&device->client, sim->engine, &from->oscore);

        if (r < 0)
                return r;
        clock_gettime(CLOCK_REALTIME, &now);
        memcpy(device->name, from->name, sizeof(device->name));
        for (const char *c = device->name; *c != '\0'; c++)
                hash = (hash ^ (uint8_t)*c) * FNV_PRIME;
        device->client.next_piv =
            sim_first_piv((uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec);
        device->address = hash;
        device->signs = sim->replay.rows_n > 0 ? ALL_SIGNS : kinds[i % KINDS];
        device->format = format_of(sim->options, i);
        patient_init(&device->patient, seed + i);
        return 0;
}

static int
open_devices(struct sim *sim, uint64_t seed, char *why)
{
        struct device_credentials *from;
        size_t n;
        int r = devices_file_read(sim->options->devices, sim->options->count, &from, &n, why);

        if (r < 0)
                return r;
        if (sim->options->rate / (double)n > SIM_RATE_A_DEVICE_MAX) {
                snprintf(why, SIM_WHY,
                    "%.0f records/s of %zu devices: a device sends at most %.0f a second; give it "
                    "more devices",
                    sim->options->rate, n, SIM_RATE_A_DEVICE_MAX);
                r = -EINVAL;
        }
        if (r == 0) {
                sim->devices = calloc(n, sizeof(sim->devices[0]));
                r = sim->devices != NULL ? 0 : -ENOMEM;
        }
        for (size_t i = 0; r == 0 && i < n; i++) {
                r = open_device(sim, i, &from[i], seed);
                if (r < 0)
                        snprintf(why, SIM_WHY, "%s: device %s: %s", sim->options->devices,
                            from[i].name, strerror(-r));
                else
                        sim->devices_n++;
        }
        devices_file_free(from, n);
        return r;
}

static int
open_requests(struct sim *sim, uint64_t seed)
{
        struct requests_config config = {
            .capacity = POOL_MIN,
            .endpoints = sim->options->endpoints,
            .seed = seed,
            .now_ns = sim_now_ns(),
        };
        double wanted = sim->options->rate * POOL_SECONDS;

        if (wanted > config.capacity)
                config.capacity = (uint32_t)fmin(wanted, POOL_MAX);
        return requests_create(&sim->requests, &config);
}

static int
open_wire(struct sim *sim, uint64_t seed, char *why)
{
        const struct sim_options *options = sim->options;
        struct wire_config config = {
            .gateway = options->gateway,
            .source = options->source,
            .endpoints = options->endpoints,
            .loss = options->loss,
            .duplicate = options->duplicate,
            .reorder = options->reorder,
            .seed = seed,
        };

        return wire_open(&sim->wire, &config, sim_receive, sim, why);
}

int
sim_open(struct sim *sim, const struct sim_options *options, const volatile sig_atomic_t *stop,
    char *why)
{
        uint64_t seed = options->seed, random;
        int r;

        memset(sim, 0, sizeof(*sim));
        sim->report.progress = -1;
        sim->options = options;
        sim->stop = stop;
        sim->ns_a_record = 1e9 / options->rate;
        why[0] = '\0';
        (void)signal(SIGPIPE, SIG_IGN);
        /* Sleeps end when they should, not up to 50 us later. */
        (void)prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
        randombytes_buf(&random, sizeof(random));
        if (seed == 0)
                seed = random;
        r = sim_report_open(&sim->report, options, why);
        r = r < 0 ? r : engine_create(&sim->engine, ENGINE_AUTO);
        if (r == 0 && options->replay != NULL)
                r = replay_open(&sim->replay, options->replay, why);
        r = r < 0 ? r : open_devices(sim, seed, why);
        /* Tokens and message IDs never repeat those of an earlier run. */
        r = r < 0 ? r : open_requests(sim, random);
        r = r < 0 ? r : leaf_set_create(&sim->leaves);
        r = r < 0 ? r : open_wire(sim, seed, why);
        if (r < 0 && why[0] == '\0')
                snprintf(why, SIM_WHY, "cannot start: %s", strerror(-r));
        return r;
}

void
sim_close(struct sim *sim)
{
        (void)sim_report_close(&sim->report);
        for (size_t i = 0; i < sim->devices_n; i++)
                client_fini(&sim->devices[i].client);
        free(sim->devices);
        requests_destroy(sim->requests);
        leaf_set_destroy(sim->leaves);
        wire_close(sim->wire);
        replay_close(&sim->replay);
        if (sim->engine != NULL)
                engine_destroy(sim->engine);
        memset(sim, 0, sizeof(*sim));
        sim->report.progress = -1;
}

/* ---- running ---- */

/* An empty CON is answered by RST (RFC 7252 §4.3): the gateway is there, and its link address
 * known, before anything counts. */
static int
find_gateway(struct sim *sim, char *why)
{
        uint64_t begin = sim_now_ns(), now = begin, next = begin;
        uint8_t ping[COAP_HEADER_BYTES];
        uint16_t message_id = (uint16_t)begin;
        int r = 0;

        wire_spoil(sim->wire, false);
        while (r == 0 && sim->pongs == 0 && *sim->stop == 0 &&
               now < begin + SIM_PING_WAIT_S * NS_PER_S) {
                if (now >= next) {
                        coap_write_empty(ping, COAP_CON, message_id++);
                        wire_send(sim->wire, 0, ping, sizeof(ping), now);
                        wire_flush(sim->wire);
                        next = now + SIM_PING_PAUSE_MS * NS_PER_MS;
                }
                r = wire_wait(sim->wire, next - now, now);
                now = sim_now_ns();
        }
        wire_spoil(sim->wire, true);
        if (r == 0 && sim->pongs == 0 && *sim->stop == 0) {
                snprintf(why, SIM_WHY,
                    "%s does not answer a CoAP ping in %u s: is the gateway running, and the link "
                    "up?",
                    sim->options->gateway_text, SIM_PING_WAIT_S);
                r = -ETIMEDOUT;
        }
        return r;
}

static uint64_t
due_ns(const struct sim *sim, uint64_t record)
{
        return sim->begin_ns + (uint64_t)((double)record * sim->ns_a_record);
}

static bool
is_over(const struct sim *sim, uint64_t record, uint64_t now_ns)
{
        const struct sim_options *options = sim->options;

        return *sim->stop != 0 || sim->failed < 0 ||
               (options->records != 0 && record >= options->records) ||
               (options->seconds > 0 && (double)(now_ns - sim->begin_ns) >= options->seconds * 1e9);
}

/* Sends what is due, a burst at most. Returns how many records left. */
static unsigned
send_due(struct sim *sim, uint64_t record, uint64_t now_ns, bool *stuck)
{
        unsigned n = 0;

        *stuck = false;
        while (n < SIM_SEND_BURST && due_ns(sim, record + n) <= now_ns &&
               (sim->options->records == 0 || record + n < sim->options->records)) {
                *stuck = !sim_send_record(sim, due_ns(sim, record + n), now_ns);
                if (*stuck)
                        break;
                n++;
        }
        return n;
}

static uint64_t
earliest(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
}

/* Sleeps until something comes, or is to be done; next_ns is what the caller itself waits for. */
static int
rest(struct sim *sim, uint64_t next_ns)
{
        uint64_t now, wait;

        wire_flush(sim->wire);
        now = sim_now_ns();
        next_ns =
            earliest(next_ns, earliest(requests_next_ns(sim->requests), wire_next_ns(sim->wire)));
        wait = next_ns > now ? next_ns - now : 0;
        return wire_wait(sim->wire, wait, now);
}

static void
tell(struct sim *sim, uint64_t record, uint64_t now_ns, uint64_t *next_ns)
{
        double due = (double)(now_ns - sim->begin_ns) / sim->ns_a_record;
        uint64_t behind = due > (double)record ? (uint64_t)(due - (double)record) : 0;

        if (now_ns < *next_ns)
                return;
        sim_report_second(&sim->report, now_ns, (double)(now_ns - sim->begin_ns) / 1e9,
            requests_taken(sim->requests), behind);
        *next_ns += NS_PER_S;
        if (*next_ns <= now_ns)
                *next_ns = now_ns + NS_PER_S;
}

static int
run_load(struct sim *sim)
{
        uint64_t record = 0, now = sim_now_ns(), next_second;
        int r = 0;

        sim->begin_ns = sim->report.second_ns = now;
        next_second = now + NS_PER_S;
        while (r == 0 && !is_over(sim, record, now)) {
                bool stuck;
                uint64_t next;

                wire_release_held(sim->wire, now);
                sim_expire(sim, now);
                record += send_due(sim, record, now, &stuck);
                tell(sim, record, now, &next_second);
                next = due_ns(sim, record);
                /* Stuck: an answer or a timer will free something; look again soon anyway. */
                if (next < now + PAUSE_NS_MIN)
                        next = now + (stuck ? NS_PER_MS : PAUSE_NS_MIN);
                if (sim->options->seconds > 0)
                        next =
                            earliest(next, sim->begin_ns + (uint64_t)(sim->options->seconds * 1e9));
                r = rest(sim, earliest(next, next_second));
                now = sim_now_ns();
        }
        sim->end_ns = now;
        return r;
}

/* What waits after a 5.03 was not stored, and is not sent again. */
static void
refuse_delayed(struct sim *sim)
{
        struct request *request;
        uint32_t position = 0;

        sim->draining = true;
        while ((request = requests_walk(sim->requests, &position)) != NULL) {
                if (request->state == REQUEST_DELAYED) {
                        sim->report.counters.refused++;
                        requests_release(sim->requests, request);
                }
        }
}

/* Waits for what is on its way, sending nothing but retransmissions. */
static int
drain(struct sim *sim)
{
        uint64_t now = sim_now_ns(), next_second = now + NS_PER_S;
        uint64_t end = now + (uint64_t)(sim->options->drain_s * 1e9);
        int r = 0;

        refuse_delayed(sim);
        while (r == 0 && requests_taken(sim->requests) > 0 && now < end && *sim->stop < 2) {
                wire_release_held(sim->wire, now);
                sim_expire(sim, now);
                tell(sim, UINT64_MAX, now, &next_second);
                r = rest(sim, earliest(end, next_second));
                now = sim_now_ns();
        }
        wire_flush(sim->wire); /* the last acknowledgement of a separate response */
        sim->report.counters.unanswered += requests_taken(sim->requests);
        return r;
}

int
sim_run(struct sim *sim, char *why)
{
        uint64_t now;
        int r = find_gateway(sim, why);

        if (r == 0) {
                r = run_load(sim);
                if (r == 0)
                        r = drain(sim);
                if (r == 0)
                        r = sim->failed;
                now = sim_now_ns();
                sim_report_second(&sim->report, now, (double)(now - sim->begin_ns) / 1e9, 0, 0);
                if (r < 0)
                        snprintf(why, SIM_WHY, "%s", strerror(-r));
        }
        if (sim_report_close(&sim->report) < 0 && r == 0) {
                snprintf(why, SIM_WHY, "%s cannot be written", sim->options->ack_log);
                r = -EIO;
        }
        return r;
}

double
sim_seconds(const struct sim *sim)
{
        double sending = (double)(sim->end_ns - sim->begin_ns);

        return fmax(sending, (double)sim->report.counters.sent * sim->ns_a_record) / 1e9;
}
