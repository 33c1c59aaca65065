/* SPDX-License-Identifier: Apache-2.0 */
/* Many UDP sockets towards one gateway, with loss, duplication and reordering of their own for
 * kernels without netem: each in both directions. One thread. */
#ifndef AORTA_BENCH_WIRE_H
#define AORTA_BENCH_WIRE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define WIRE_MESSAGE_MAX 1500u
#define WIRE_BATCH       32u
#define WIRE_HELD_MAX    1024u /* held back for reordering; more pass at once */
#define WIRE_HOLD_MS_MAX 40u
#define WIRE_WHY         512u

union address {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
};

struct wire_config {
        union address gateway, source; /* source of family AF_UNSPEC: the kernel's choice */
        unsigned endpoints;
        double loss, duplicate, reorder; /* probabilities, each direction */
        uint64_t seed;
};

/* Takes what came to an endpoint; data is valid during the call. */
typedef void wire_receive_fn(void *user, unsigned endpoint, const uint8_t *data, size_t bytes);

struct wire_counters {
        uint64_t sent, received, send_failures, receive_failures;
        uint64_t lost, duplicated, reordered; /* by this simulator itself */
};

struct wire;

/* Opens, binds and connects all sockets. 0 or -errno with why (WIRE_WHY bytes). */
int wire_open(struct wire **wire, const struct wire_config *config, wire_receive_fn *receive,
    void *user, char *why);
void wire_close(struct wire *wire);

/* Sends a message (copied) with the next wire_flush(), at the latest. What the kernel does not take
 * counts as a failure, and is lost as any datagram may be. */
void wire_send(
    struct wire *wire, unsigned endpoint, const uint8_t *data, size_t bytes, uint64_t now_ns);
void wire_flush(struct wire *wire);
/* Lets pass what was held back until now. */
void wire_release_held(struct wire *wire, uint64_t now_ns);
uint64_t wire_next_ns(const struct wire *wire); /* when to call it next; UINT64_MAX: never */
/* Sleeps until something comes, at most wait_ns; receives all that there is. 0 or -errno. */
int wire_wait(struct wire *wire, uint64_t wait_ns, uint64_t now_ns);
/* Loss, duplication and reordering off (for a moment) or on. */
void wire_spoil(struct wire *wire, bool on);
const struct wire_counters *wire_counters(const struct wire *wire);

#endif
