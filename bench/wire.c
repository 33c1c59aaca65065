/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX       256
#define SPARE_FILES      64u
#define SEND_TRIES       3u
#define RECEIVE_ROUNDS   8u /* batches taken of a socket before others get their turn */
#define SOCKET_BUFFER    (1 << 20)
#define NS_PER_S         UINT64_C(1000000000)
#define NS_PER_MS        UINT64_C(1000000)
#define PROBABILITY_UNIT 0x1p-53

struct held {
        uint64_t due_ns;
        unsigned endpoint;
        bool incoming;
        uint16_t bytes;
        uint8_t data[WIRE_MESSAGE_MAX];
};

struct wire {
        int *sockets;
        unsigned endpoints;
        int epoll;
        wire_receive_fn *receive;
        void *user;
        double loss, duplicate, reorder;
        bool spoil;
        uint64_t random;
        struct wire_counters counters;
        struct held *held; /* unordered */
        unsigned held_n;
        unsigned batch_n, batch_endpoint;
        struct mmsghdr out[WIRE_BATCH], in[WIRE_BATCH];
        struct iovec out_vector[WIRE_BATCH], in_vector[WIRE_BATCH];
        uint8_t out_data[WIRE_BATCH][WIRE_MESSAGE_MAX], in_data[WIRE_BATCH][WIRE_MESSAGE_MAX + 1];
};

static uint64_t
next_random(struct wire *wire)
{
        uint64_t z = wire->random += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

static bool
dice(struct wire *wire, double probability)
{
        return wire->spoil && probability > 0 &&
               (double)(next_random(wire) >> 11) * PROBABILITY_UNIT < probability;
}

/* ---- opening ---- */

static void
raise_file_limit(unsigned wanted)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
                return;
        limit.rlim_cur = wanted;
        if (limit.rlim_max < wanted)
                limit.rlim_max = wanted;
        /* What is not allowed shows when a socket is made. */
        (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static socklen_t
address_bytes(const union address *address)
{
        return address->any.sa_family == AF_INET ? sizeof(address->v4) : sizeof(address->v6);
}

static int
open_socket(struct wire *wire, const struct wire_config *config, unsigned i)
{
        int buffer = SOCKET_BUFFER;
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        int fd = socket(
            config->gateway.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);

        if (fd < 0)
                return -errno;
        wire->sockets[wire->endpoints++] = fd;
        /* The kernel cuts it to what it allows. */
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
        if (config->source.any.sa_family != AF_UNSPEC &&
            bind(fd, &config->source.any, address_bytes(&config->source)) < 0)
                return -errno;
        if (connect(fd, &config->gateway.any, address_bytes(&config->gateway)) < 0)
                return -errno;
        return epoll_ctl(wire->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void
lay_vectors(struct wire *wire)
{
        for (unsigned i = 0; i < WIRE_BATCH; i++) {
                wire->out_vector[i].iov_base = wire->out_data[i];
                wire->out[i].msg_hdr.msg_iov = &wire->out_vector[i];
                wire->out[i].msg_hdr.msg_iovlen = 1;
                wire->in_vector[i].iov_base = wire->in_data[i];
                wire->in_vector[i].iov_len = sizeof(wire->in_data[i]);
                wire->in[i].msg_hdr.msg_iov = &wire->in_vector[i];
                wire->in[i].msg_hdr.msg_iovlen = 1;
        }
}

int
wire_open(struct wire **out, const struct wire_config *config, wire_receive_fn *receive, void *user,
    char *why)
{
        struct wire *wire = calloc(1, sizeof(*wire));
        int r = 0;

        if (wire == NULL)
                return -ENOMEM;
        wire->receive = receive;
        wire->user = user;
        wire->loss = config->loss;
        wire->duplicate = config->duplicate;
        wire->reorder = config->reorder;
        wire->spoil = true;
        wire->random = config->seed;
        lay_vectors(wire);
        raise_file_limit(config->endpoints + SPARE_FILES);
        wire->epoll = epoll_create1(EPOLL_CLOEXEC);
        wire->sockets = calloc(config->endpoints, sizeof(wire->sockets[0]));
        wire->held = calloc(WIRE_HELD_MAX, sizeof(wire->held[0]));
        if (wire->epoll < 0)
                r = -errno;
        else if (wire->sockets == NULL || wire->held == NULL)
                r = -ENOMEM;
        for (unsigned i = 0; r == 0 && i < config->endpoints; i++)
                r = open_socket(wire, config, i);
        if (r < 0) {
                snprintf(why, WIRE_WHY, "endpoint %u of %u: %s%s", wire->endpoints,
                    config->endpoints, strerror(-r),
                    r == -EMFILE          ? ": raise the limit of open files, or give --endpoints"
                    : r == -EADDRNOTAVAIL ? ": --source is no address of this machine"
                                          : "");
                wire_close(wire);
                return r;
        }
        *out = wire;
        return 0;
}

void
wire_close(struct wire *wire)
{
        if (wire == NULL)
                return;
        for (unsigned i = 0; i < wire->endpoints; i++)
                close(wire->sockets[i]);
        if (wire->epoll >= 0)
                close(wire->epoll);
        free(wire->sockets);
        free(wire->held);
        free(wire);
}

/* ---- sending ---- */

void
wire_flush(struct wire *wire)
{
        unsigned sent = 0, tries = 0;

        while (sent < wire->batch_n) {
                int n = sendmmsg(wire->sockets[wire->batch_endpoint], wire->out + sent,
                    wire->batch_n - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n > 0) {
                        sent += (unsigned)n;
                        wire->counters.sent += (unsigned)n;
                        tries = 0;
                        continue;
                }
                /* An error may be an ICMP message's, that an earlier datagram caused: try again. */
                if (errno == EAGAIN || ++tries == SEND_TRIES) {
                        wire->counters.send_failures++;
                        sent++;
                        tries = 0;
                }
        }
        wire->batch_n = 0;
}

static void
enqueue(struct wire *wire, unsigned endpoint, const uint8_t *data, size_t bytes)
{
        if (wire->batch_n == WIRE_BATCH || (wire->batch_n > 0 && wire->batch_endpoint != endpoint))
                wire_flush(wire);
        wire->batch_endpoint = endpoint;
        memcpy(wire->out_data[wire->batch_n], data, bytes);
        wire->out_vector[wire->batch_n++].iov_len = bytes;
}

/* True when the message is held back. */
static bool
hold(struct wire *wire, unsigned endpoint, bool incoming, const uint8_t *data, size_t bytes,
    uint64_t now_ns)
{
        struct held *held;

        if (!dice(wire, wire->reorder) || wire->held_n == WIRE_HELD_MAX)
                return false;
        held = &wire->held[wire->held_n++];
        held->due_ns = now_ns + (1 + next_random(wire) % WIRE_HOLD_MS_MAX) * NS_PER_MS;
        held->endpoint = endpoint;
        held->incoming = incoming;
        held->bytes = (uint16_t)bytes;
        memcpy(held->data, data, bytes);
        wire->counters.reordered++;
        return true;
}

static void
pass(struct wire *wire, unsigned endpoint, bool incoming, const uint8_t *data, size_t bytes,
    uint64_t now_ns)
{
        unsigned copies = 1;

        if (dice(wire, wire->loss)) {
                wire->counters.lost++;
                return;
        }
        if (dice(wire, wire->duplicate)) {
                wire->counters.duplicated++;
                copies = 2;
        }
        for (unsigned i = 0; i < copies; i++) {
                if (hold(wire, endpoint, incoming, data, bytes, now_ns))
                        continue;
                if (incoming)
                        wire->receive(wire->user, endpoint, data, bytes);
                else
                        enqueue(wire, endpoint, data, bytes);
        }
}

void
wire_send(struct wire *wire, unsigned endpoint, const uint8_t *data, size_t bytes, uint64_t now_ns)
{
        assert(endpoint < wire->endpoints && bytes <= WIRE_MESSAGE_MAX);
        pass(wire, endpoint, false, data, bytes, now_ns);
}

void
wire_release_held(struct wire *wire, uint64_t now_ns)
{
        unsigned i = 0;

        while (i < wire->held_n) {
                struct held held;

                if (wire->held[i].due_ns > now_ns) {
                        i++;
                        continue;
                }
                /* A copy: the receiver may cause others to be held. */
                held = wire->held[i];
                wire->held[i] = wire->held[--wire->held_n];
                if (held.incoming)
                        wire->receive(wire->user, held.endpoint, held.data, held.bytes);
                else
                        enqueue(wire, held.endpoint, held.data, held.bytes);
        }
}

uint64_t
wire_next_ns(const struct wire *wire)
{
        uint64_t next = UINT64_MAX;

        for (unsigned i = 0; i < wire->held_n; i++)
                if (wire->held[i].due_ns < next)
                        next = wire->held[i].due_ns;
        return next;
}

/* ---- receiving ---- */

static void
receive_from(struct wire *wire, unsigned endpoint, uint64_t now_ns)
{
        for (unsigned round = 0; round < RECEIVE_ROUNDS; round++) {
                int n = recvmmsg(wire->sockets[endpoint], wire->in, WIRE_BATCH, MSG_DONTWAIT, NULL);

                if (n < 0) {
                        /* ECONNREFUSED and its like: the gateway is away; requests are sent again.
                         */
                        if (errno != EAGAIN && errno != EINTR)
                                wire->counters.receive_failures++;
                        return;
                }
                for (int i = 0; i < n; i++) {
                        if (wire->in[i].msg_len > WIRE_MESSAGE_MAX)
                                continue;
                        wire->counters.received++;
                        pass(wire, endpoint, true, wire->in_data[i], wire->in[i].msg_len, now_ns);
                }
                if (n < (int)WIRE_BATCH)
                        return;
        }
}

static int
wait_for_events(struct wire *wire, struct epoll_event *events, uint64_t wait_ns)
{
        static bool without_pwait2;
        struct timespec wait = {
            .tv_sec = (time_t)(wait_ns / NS_PER_S), .tv_nsec = (long)(wait_ns % NS_PER_S)};
        int n = -1;

        if (!without_pwait2) {
                n = epoll_pwait2(wire->epoll, events, EVENTS_MAX, &wait, NULL);
                without_pwait2 = n < 0 && errno == ENOSYS;
        }
        if (without_pwait2)
                n = epoll_wait(
                    wire->epoll, events, EVENTS_MAX, (int)((wait_ns + NS_PER_MS - 1) / NS_PER_MS));
        if (n < 0)
                return errno == EINTR ? 0 : -errno;
        return n;
}

int
wire_wait(struct wire *wire, uint64_t wait_ns, uint64_t now_ns)
{
        struct epoll_event events[EVENTS_MAX];
        int n = wait_for_events(wire, events, wait_ns);

        for (int i = 0; i < n; i++)
                receive_from(wire, events[i].data.u32, now_ns);
        return n < 0 ? n : 0;
}

void
wire_spoil(struct wire *wire, bool on)
{
        wire->spoil = on;
}

const struct wire_counters *
wire_counters(const struct wire *wire)
{
        return &wire->counters;
}
