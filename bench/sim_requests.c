/* SPDX-License-Identifier: Apache-2.0 */
/* A record's way through the simulator: written, protected, sent, sent again, answered. */
#include "bench/sim_loop.h"

#include "dataplane/coap/coap.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define SAMPLES_TRIED 8u /* until an artefact leaves a device something to say */
#define NS_PER_US     UINT64_C(1000)
#define NS_PER_S      UINT64_C(1000000000)
#define DIAGNOSTIC    60 /* bytes of a diagnostic payload shown */

static_assert(REQUEST_MESSAGE_MAX >= REQUEST_PAYLOAD_MAX + 128 + CLIENT_ECHO_MAX,
    "a message has room for its payload, headers, Echo and tag");

static void
finish(struct sim *sim, struct request *request)
{
        sim->devices[request->device].waiting = false;
        requests_release(sim->requests, request);
}

/* ---- sending ---- */

static ssize_t
write_pack(struct sim *sim, struct sim_device *device, struct request *request)
{
        struct timespec now;
        struct vitals_sample sample;
        ssize_t n = -ENODATA;

        clock_gettime(CLOCK_REALTIME, &now);
        for (unsigned i = 0; n == -ENODATA && i < SAMPLES_TRIED; i++) {
                if (sim->replay.rows_n > 0) {
                        sample = sim->replay.rows[device->row];
                        device->row = (device->row + 1) % sim->replay.rows_n;
                } else {
                        patient_sample(&device->patient,
                            (double)now.tv_sec + (double)now.tv_nsec * 1e-9, &sample);
                }
                n = pack_write(request->payload, sizeof(request->payload), device->format,
                    device->address, (uint64_t)now.tv_sec, &sample, device->signs);
        }
        return n;
}

/* Picks an endpoint that has a message ID to give; a few records in a row go to the same one, so
 * that one call sends them. */
static bool
identify(struct sim *sim, struct request *request, uint64_t now_ns)
{
        unsigned endpoints = sim->options->endpoints;

        for (unsigned i = 0; i < endpoints; i++) {
                uint32_t endpoint = sim->next_endpoint / 8 % endpoints;

                if (requests_identify(sim->requests, request, endpoint, now_ns)) {
                        sim->next_endpoint++;
                        return true;
                }
                sim->next_endpoint += 8;
        }
        return false;
}

static void
fail(struct sim *sim, struct request *request, const char *what)
{
        sim_report_error(&sim->report, "%s: %s", sim->devices[request->device].name, what);
        finish(sim, request);
}

/* Protects the request's payload under the next partial IV and sends it. The request already has a
 * message ID. */
static void
transmit(struct sim *sim, struct request *request, const uint8_t *echo, size_t echo_bytes,
    uint64_t now_ns)
{
        struct sim_device *device = &sim->devices[request->device];
        uint8_t message[CLIENT_MESSAGE_MAX], token[REQUEST_TOKEN_BYTES];
        struct client_request protect = {
            .type = sim->options->non ? COAP_NON : COAP_CON,
            .message_id = request->message_id,
            .token = token,
            .token_bytes = sizeof(token),
            .content_format = request->content_format,
            .payload = request->payload,
            .payload_bytes = request->payload_bytes,
            .echo = echo,
            .echo_bytes = echo_bytes,
        };
        ssize_t n;

        requests_token(sim->requests, request, token);
        n = client_protect(&device->client, sim->engine, &protect, message, &request->piv);
        if (n < 0 || (size_t)n > sizeof(request->message)) {
                fail(sim, request,
                    n == -ERANGE ? "its partial IVs are used up" : "a request cannot be written");
                return;
        }
        memcpy(request->message, message, (size_t)n);
        request->message_bytes = (uint16_t)n;
        wire_send(sim->wire, request->endpoint, request->message, (size_t)n, now_ns);
        if (sim->options->non)
                requests_sent_non(sim->requests, request, now_ns);
        else
                requests_sent_con(sim->requests, request, now_ns);
}

/* The next device in turn that waits for nothing, or NULL. */
static struct sim_device *
pick_device(struct sim *sim)
{
        for (unsigned i = 0; i < SIM_DEVICE_SEARCH && i < sim->devices_n; i++) {
                struct sim_device *device = &sim->devices[sim->next_device];

                sim->next_device = (sim->next_device + 1) % sim->devices_n;
                if (!device->waiting)
                        return device;
        }
        return NULL;
}

bool
sim_send_record(struct sim *sim, uint64_t intended_ns, uint64_t now_ns)
{
        struct sim_device *device = pick_device(sim);
        struct request *request = device != NULL ? requests_take(sim->requests) : NULL;
        ssize_t n;

        if (request == NULL)
                return false;
        if (!identify(sim, request, now_ns)) {
                requests_release(sim->requests, request);
                return false;
        }
        request->device = (uint32_t)(device - sim->devices);
        request->intended_ns = intended_ns;
        request->content_format = (uint16_t)device->format;
        device->waiting = !sim->options->non;
        sim->report.counters.sent++;
        n = write_pack(sim, device, request);
        if (n <= 0) {
                fail(sim, request, "no vital signs can be written");
                return true;
        }
        request->payload_bytes = (uint16_t)n;
        transmit(sim, request, NULL, 0, now_ns);
        return true;
}

/* Sends a record anew: another message, under another partial IV. */
static void
send_anew(struct sim *sim, struct request *request, const uint8_t *echo, size_t echo_bytes,
    uint64_t now_ns)
{
        if (!identify(sim, request, now_ns)) {
                /* Message IDs rest: as after 5.03, a little later. An Echo is then asked for again.
                 */
                requests_delay(sim->requests, request, now_ns, 1000);
                return;
        }
        transmit(sim, request, echo, echo_bytes, now_ns);
}

void
sim_expire(struct sim *sim, uint64_t now_ns)
{
        struct request *request;

        while ((request = requests_expired(sim->requests, now_ns)) != NULL) {
                if (request->state == REQUEST_DELAYED) {
                        send_anew(sim, request, NULL, 0, now_ns);
                } else if (request->state == REQUEST_SENT &&
                           requests_retransmit(sim->requests, request, now_ns)) {
                        sim->report.counters.retransmitted++;
                        wire_send(sim->wire, request->endpoint, request->message,
                            request->message_bytes, now_ns);
                } else {
                        sim->report.counters.unanswered++;
                        finish(sim, request);
                }
        }
}

/* ---- answers ---- */

static void
acknowledge(
    struct sim *sim, struct request *request, const struct client_reply *reply, uint64_t now_ns)
{
        struct sim_device *device = &sim->devices[request->device];
        int r;

        if (!reply->has_leaf) {
                fail(sim, request, "2.01 without a leaf");
                return;
        }
        r = leaf_set_add(sim->leaves, reply->leaf);
        if (r == 0) {
                fail(sim, request, "the leaf of another acknowledgement");
                return;
        }
        if (r < 0)
                sim->failed = r;
        sim_report_ack(&sim->report, device->name, request->piv, reply->leaf,
            (now_ns - request->intended_ns) / NS_PER_US);
        finish(sim, request);
}

static void
answer_echo(
    struct sim *sim, struct request *request, const struct client_reply *reply, uint64_t now_ns)
{
        if (request->echoes == SIM_ECHOES_MAX) {
                fail(sim, request, "Echo is asked for again and again");
                return;
        }
        request->echoes++;
        sim->report.counters.echo++;
        send_anew(sim, request, reply->echo, reply->echo_bytes, now_ns);
}

static void
try_later(
    struct sim *sim, struct request *request, const struct client_reply *reply, uint64_t now_ns)
{
        uint32_t seconds = reply->max_age;

        sim->report.counters.busy++;
        /* While draining nothing new is sent. */
        if (request->busies == SIM_BUSIES_MAX || sim->draining) {
                sim->report.counters.refused++;
                finish(sim, request);
                return;
        }
        request->busies++;
        if (seconds == 0)
                seconds = 1;
        if (seconds > SIM_MAX_AGE_MAX_S)
                seconds = SIM_MAX_AGE_MAX_S;
        requests_delay(sim->requests, request, now_ns, seconds * 1000);
}

static void
report_code(struct sim *sim, struct request *request, const struct client_reply *reply)
{
        char text[DIAGNOSTIC + 1];
        size_t n = reply->payload_bytes < DIAGNOSTIC ? reply->payload_bytes : DIAGNOSTIC;

        for (size_t i = 0; i < n; i++)
                text[i] = reply->payload[i] >= ' ' && reply->payload[i] < 0x7f
                              ? (char)reply->payload[i]
                              : '?';
        text[n] = '\0';
        sim_report_error(&sim->report, "%s%u.%02u %s", reply->protected ? "" : "unprotected ",
            reply->code >> 5, reply->code & 31u, text);
        finish(sim, request);
}

static void
judge(struct sim *sim, struct request *request, const struct client_reply *reply, uint64_t now_ns)
{
        if (COAP_CODE_CLASS(reply->code) == 2 && !reply->protected) {
                /* Not from the gateway, or a grave fault of it: the request goes on. */
                sim_report_error(&sim->report, "a success without protection");
        } else if (reply->code == COAP_CREATED) {
                acknowledge(sim, request, reply, now_ns);
        } else if (reply->code == COAP_UNAUTHORIZED && reply->protected && reply->echo_bytes > 0) {
                answer_echo(sim, request, reply, now_ns);
        } else if (reply->code == COAP_UNAVAILABLE) {
                try_later(sim, request, reply, now_ns);
        } else {
                report_code(sim, request, reply);
        }
}

static void
send_empty(
    struct sim *sim, unsigned endpoint, enum coap_type type, uint16_t message_id, uint64_t now_ns)
{
        uint8_t message[COAP_HEADER_BYTES];

        coap_write_empty(message, type, message_id);
        wire_send(sim->wire, endpoint, message, sizeof(message), now_ns);
}

/* A response that carries a token: the request it answers, or NULL after having dealt with it. */
static struct request *
match(struct sim *sim, unsigned endpoint, const struct client_reply *reply, uint64_t now_ns)
{
        struct request *request;
        enum token_verdict verdict =
            requests_find_token(sim->requests, reply->token, reply->token_bytes, &request);
        bool fits = verdict == TOKEN_FOUND && request->endpoint == endpoint &&
                    (reply->type != COAP_ACK || reply->message_id == request->message_id);

        if (reply->type == COAP_CON)
                send_empty(sim, endpoint, verdict == TOKEN_UNKNOWN ? COAP_RST : COAP_ACK,
                    reply->message_id, now_ns);
        if (!fits) {
                sim->report.counters.stale++;
                return NULL;
        }
        return request;
}

static void
receive_empty(struct sim *sim, unsigned endpoint, const struct client_reply *reply, uint64_t now_ns)
{
        struct request *request = requests_find_mid(sim->requests, endpoint, reply->message_id);

        if (reply->type == COAP_CON) {
                send_empty(sim, endpoint, COAP_RST, reply->message_id, now_ns);
        } else if (reply->type == COAP_RST) {
                sim->pongs++;
                if (request != NULL)
                        fail(sim, request, "rejected by RST");
        } else if (reply->type == COAP_ACK && request != NULL) {
                requests_acknowledged(sim->requests, request, now_ns);
        }
}

void
sim_receive(void *user, unsigned endpoint, const uint8_t *data, size_t bytes)
{
        struct sim *sim = user;
        uint64_t now_ns = sim_now_ns();
        struct client_reply reply;
        struct request *request;
        int r;

        if (client_peek(&reply, data, bytes) < 0) {
                sim_report_error(&sim->report, "a malformed message of %zu bytes", bytes);
                return;
        }
        if (reply.code == COAP_EMPTY) {
                receive_empty(sim, endpoint, &reply, now_ns);
                return;
        }
        if (COAP_CODE_CLASS(reply.code) == 0 || reply.type == COAP_RST)
                return; /* requests: it serves none */
        request = match(sim, endpoint, &reply, now_ns);
        if (request == NULL)
                return;
        r = client_open(
            &sim->devices[request->device].client, sim->engine, request->piv, data, bytes, &reply);
        if (r < 0) {
                /* Anybody can send such a thing: the request goes on. */
                sim_report_error(&sim->report, "%s",
                    r == -EPROTO ? "an answer whose protection is wrong"
                                 : "an answer that is malformed inside");
                return;
        }
        judge(sim, request, &reply, now_ns);
}
