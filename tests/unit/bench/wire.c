/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: the simulator's own loss, duplication and reordering do what they say, in both
 * directions, and nothing when they are off. */
#include "bench/wire.h"

#include <criterion/criterion.h>
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define N 500

struct seen {
        unsigned n, of[N], order_breaks, last;
};

static void
take(void *user, unsigned endpoint, const uint8_t *data, size_t bytes)
{
        struct seen *seen = user;
        unsigned i;

        (void)endpoint;
        cr_assert_eq(bytes, sizeof(i));
        memcpy(&i, data, sizeof(i));
        cr_assert_lt(i, N);
        seen->of[i]++;
        seen->n++;
        seen->order_breaks += i < seen->last;
        seen->last = i;
}

static int
open_peer(union address *address)
{
        int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 1 << 20;
        socklen_t bytes = sizeof(*address);

        cr_assert_geq(fd, 0);
        memset(address, 0, sizeof(*address));
        address->v4.sin_family = AF_INET;
        address->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        cr_assert_eq(bind(fd, &address->any, sizeof(address->v4)), 0);
        cr_assert_eq(getsockname(fd, &address->any, &bytes), 0);
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
        return fd;
}

/* Sends 0 … N-1 there and takes them at the peer, then the same back. Time is the test's own. */
static void
both_ways(double loss, double duplicate, double reorder, struct seen *there, struct seen *back,
    const struct wire_counters **counters, struct wire **out)
{
        struct wire_config config = {
            .endpoints = 2, .loss = loss, .duplicate = duplicate, .reorder = reorder, .seed = 5};
        int peer = open_peer(&config.gateway);
        struct wire *wire;
        char why[WIRE_WHY];
        union address from;
        socklen_t from_bytes = sizeof(from);
        uint64_t now = 1000000000;
        unsigned i;

        memset(there, 0, sizeof(*there));
        memset(back, 0, sizeof(*back));
        cr_assert_eq(wire_open(&wire, &config, take, back, why), 0, "%s", why);
        for (i = 0; i < N; i++) {
                wire_send(wire, i / 8 % 2, (uint8_t *)&i, sizeof(i), now);
                now += 1000000;
                wire_release_held(wire, now);
                wire_flush(wire);
                struct pollfd ready = {.fd = peer, .events = POLLIN};
                while (poll(&ready, 1, 0) == 1) {
                        uint8_t data[16];
                        ssize_t n = recvfrom(peer, data, sizeof(data), 0, &from.any, &from_bytes);

                        cr_assert_eq(n, sizeof(i));
                        take(there, 0, data, (size_t)n);
                }
        }
        wire_release_held(wire, now + 1000000000);
        wire_flush(wire);
        for (;;) {
                struct pollfd ready = {.fd = peer, .events = POLLIN};
                uint8_t data[16];

                if (poll(&ready, 1, 50) != 1)
                        break;
                take(there, 0, data,
                    (size_t)recvfrom(peer, data, sizeof(data), 0, &from.any, &from_bytes));
        }
        for (i = 0; i < N; i++) {
                cr_assert_eq(sendto(peer, &i, sizeof(i), 0, &from.any, from_bytes), sizeof(i));
                cr_assert_eq(wire_wait(wire, 100000000, now), 0);
                now += 1000000;
                wire_release_held(wire, now);
        }
        wire_wait(wire, 50000000, now);
        wire_release_held(wire, now + 1000000000);
        cr_expect_eq(wire_next_ns(wire), UINT64_MAX);
        *counters = wire_counters(wire);
        *out = wire;
        close(peer);
}

static unsigned
missing(const struct seen *seen)
{
        unsigned n = 0;

        for (unsigned i = 0; i < N; i++)
                n += seen->of[i] == 0;
        return n;
}

Test(wire, without_faults_everything_arrives_once_in_order)
{
        struct seen there, back;
        const struct wire_counters *counters;
        struct wire *wire;

        both_ways(0, 0, 0, &there, &back, &counters, &wire);
        cr_expect_eq(there.n, N);
        cr_expect_eq(back.n, N);
        cr_expect_eq(missing(&there) + missing(&back), 0);
        cr_expect_eq(there.order_breaks + back.order_breaks, 0);
        cr_expect_eq(counters->sent, N);
        cr_expect_eq(counters->received, N);
        cr_expect_eq(counters->lost + counters->duplicated + counters->reordered, 0);
        wire_close(wire);
}

Test(wire, loss_is_that_of_the_option_each_way)
{
        struct seen there, back;
        const struct wire_counters *counters;
        struct wire *wire;

        both_ways(0.3, 0, 0, &there, &back, &counters, &wire);
        cr_expect(there.n > N * 6 / 10 && there.n < N * 8 / 10, "%u", there.n);
        cr_expect(back.n > N * 6 / 10 && back.n < N * 8 / 10, "%u", back.n);
        cr_expect_eq(counters->lost, 2 * N - there.n - back.n);
        wire_close(wire);
}

Test(wire, duplicates_are_whole_copies)
{
        struct seen there, back;
        const struct wire_counters *counters;
        struct wire *wire;

        both_ways(0, 0.3, 0, &there, &back, &counters, &wire);
        cr_expect_eq(missing(&there) + missing(&back), 0);
        cr_expect(there.n > N * 12 / 10 && there.n < N * 14 / 10, "%u", there.n);
        cr_expect(back.n > N * 12 / 10 && back.n < N * 14 / 10, "%u", back.n);
        wire_close(wire);
}

Test(wire, what_is_held_back_comes_later_and_once)
{
        struct seen there, back;
        const struct wire_counters *counters;
        struct wire *wire;

        both_ways(0, 0, 0.3, &there, &back, &counters, &wire);
        cr_expect_eq(missing(&there) + missing(&back), 0);
        cr_expect_eq(there.n + back.n, 2 * N);
        cr_expect_gt(there.order_breaks, N / 20);
        cr_expect_gt(back.order_breaks, N / 20);
        wire_close(wire);
}

Test(wire, a_peer_that_is_gone_is_no_error)
{
        struct seen seen = {0};
        struct wire_config config = {.endpoints = 1, .seed = 1};
        struct wire *wire;
        char why[WIRE_WHY];
        unsigned zero = 0;

        close(open_peer(&config.gateway));
        cr_assert_eq(wire_open(&wire, &config, take, &seen, why), 0);
        for (unsigned i = 0; i < 20; i++) {
                wire_send(wire, 0, (uint8_t *)&zero, sizeof(zero), 0);
                wire_flush(wire);
                cr_expect_eq(wire_wait(wire, 1000000, 0), 0);
        }
        cr_expect_eq(seen.n, 0);
        wire_close(wire);
}

Test(wire, an_address_of_no_interface_is_refused_with_a_reason)
{
        struct seen seen = {0};
        struct wire_config config = {.endpoints = 1, .seed = 1};
        struct wire *wire;
        char why[WIRE_WHY] = "";

        close(open_peer(&config.gateway));
        config.source.v4.sin_family = AF_INET;
        config.source.v4.sin_addr.s_addr = htonl(0xc0000201); /* 192.0.2.1: TEST-NET-1 */
        cr_expect_eq(wire_open(&wire, &config, take, &seen, why), -EADDRNOTAVAIL);
        cr_expect_not_null(strstr(why, "--source"), "%s", why);
}
