/* SPDX-License-Identifier: Apache-2.0 */
/* A client's requests on their way (RFC 7252 §4.2, §4.4): a bounded pool with a timer wheel, found
 * by token and by (endpoint, message ID). Time is the caller's, in ns of a monotonic clock. One
 * thread. Nothing is allocated after requests_create(). */
#ifndef AORTA_BENCH_REQUESTS_H
#define AORTA_BENCH_REQUESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REQUESTS_MAX        (1u << 22)
#define REQUEST_PAYLOAD_MAX 512u
#define REQUEST_MESSAGE_MAX 768u
#define REQUEST_TOKEN_BYTES 8u
#define ENDPOINTS_MAX       8192u
#define ACK_TIMEOUT_MS      2000u /* RFC 7252 §4.8 */
#define ACK_RANDOM_PERCENT  150u  /* ACK_RANDOM_FACTOR */
#define MAX_RETRANSMIT      4u
#define EXCHANGE_LIFETIME_S 247u   /* §4.8.2: a message ID rests that long */
#define SEPARATE_WAIT_MS    93000u /* MAX_TRANSMIT_WAIT: for a response after an empty ACK */
#define NON_WAIT_MS         15000u /* for a response to a NON */
#define WHEEL_TICK_NS       UINT64_C(10000000)
#define WHEEL_SLOTS         16384u /* 163 s: longer than any timer here */
#define REQUEST_NONE        UINT32_MAX

enum request_state {
        REQUEST_FREE,
        REQUEST_SENT,     /* a CON that is not acknowledged: retransmitted */
        REQUEST_SEPARATE, /* acknowledged by an empty ACK: its response comes by itself */
        REQUEST_NON_SENT, /* a NON */
        REQUEST_DELAYED,  /* answered 5.03: waits to be sent again */
};

struct request {
        /* the caller's */
        uint64_t intended_ns; /* when it should have left: latency counts from here */
        uint64_t piv;
        uint32_t device;
        uint16_t content_format;
        uint16_t payload_bytes;
        uint16_t message_bytes;
        uint8_t echoes, busies; /* how often it was sent anew because of them */
        /* the pool's */
        uint8_t state;
        uint8_t retransmissions;
        bool in_flight; /* has a message ID and is found by it */
        uint16_t message_id;
        uint32_t endpoint;
        uint32_t index, generation;
        uint32_t timeout_ms;
        uint32_t wheel_next, wheel_previous, wheel_slot; /* slot: REQUEST_NONE when not armed */
        uint64_t due_tick;
        uint32_t hash_next;
        uint8_t payload[REQUEST_PAYLOAD_MAX];
        uint8_t message[REQUEST_MESSAGE_MAX];
};

struct requests;

struct requests_config {
        uint32_t capacity;  /* requests at once */
        uint32_t endpoints; /* each counts message IDs of its own */
        uint64_t seed;
        uint64_t now_ns;
};

/* 0, -EINVAL or -ENOMEM. */
int requests_create(struct requests **requests, const struct requests_config *config);
void requests_destroy(struct requests *requests);

/* A new request, or NULL when as many as the capacity are under way. */
struct request *requests_take(struct requests *requests);
void requests_release(struct requests *requests, struct request *request);
uint32_t requests_taken(const struct requests *requests);
/* Walks those that are taken: the first whose index is at least *position, which moves behind it;
 * NULL at the end. Releasing what it returned is allowed. */
struct request *requests_walk(struct requests *requests, uint32_t *position);

/* A message ID of the endpoint and a new token, for a message about to be written. False when the
 * endpoint has none that rested for EXCHANGE_LIFETIME: try another. A request sent anew forgets its
 * earlier ones: what is still answered to them is not found. */
bool requests_identify(
    struct requests *requests, struct request *request, uint32_t endpoint, uint64_t now_ns);
void requests_token(const struct requests *requests, const struct request *request,
    uint8_t token[REQUEST_TOKEN_BYTES]);

enum token_verdict {
        TOKEN_FOUND,
        TOKEN_STALE,  /* was given out, and is not waited for any more */
        TOKEN_UNKNOWN /* never given out */
};
enum token_verdict requests_find_token(
    struct requests *requests, const uint8_t *token, size_t token_bytes, struct request **request);
/* The request in flight of that endpoint and message ID, or NULL. */
struct request *requests_find_mid(
    struct requests *requests, uint32_t endpoint, uint16_t message_id);

/* The timers. A CON's begins at ACK_TIMEOUT × 1 to 1.5 (random) and doubles. */
void requests_sent_con(struct requests *requests, struct request *request, uint64_t now_ns);
void requests_sent_non(struct requests *requests, struct request *request, uint64_t now_ns);
void requests_acknowledged(struct requests *requests, struct request *request, uint64_t now_ns);
void requests_delay(
    struct requests *requests, struct request *request, uint64_t now_ns, uint32_t delay_ms);
/* The next request whose timer has run out by now, disarmed; NULL when there is none (left). */
struct request *requests_expired(struct requests *requests, uint64_t now_ns);
/* After a REQUEST_SENT expired: true when it is to be sent once more (the timer is set again),
 * false when MAX_RETRANSMIT is reached. */
bool requests_retransmit(struct requests *requests, struct request *request, uint64_t now_ns);
/* When to call requests_expired() next; UINT64_MAX when no timer runs. May be early, never late. */
uint64_t requests_next_ns(const struct requests *requests);

#endif
