/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/requests.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define WHEEL_WORDS     (WHEEL_SLOTS / 64)
#define MIDS            65536u
#define NS_PER_MS       UINT64_C(1000000)
#define NS_PER_S        UINT64_C(1000000000)
#define LIFETIME_SLOTS  (EXCHANGE_LIFETIME_S + 2) /* seconds, begun ones included */
#define HASH_MULTIPLIER UINT64_C(0x9e3779b97f4a7c15)

static_assert(WHEEL_SLOTS * WHEEL_TICK_NS >
                  ACK_TIMEOUT_MS * NS_PER_MS * (1u << MAX_RETRANSMIT) * ACK_RANDOM_PERCENT / 100,
    "the longest backoff fits the wheel");
static_assert(WHEEL_SLOTS * WHEEL_TICK_NS > SEPARATE_WAIT_MS * NS_PER_MS, "so does this");

/* Message IDs go round one after the other; one may be used again when fewer than 65,536 were given
 * out within EXCHANGE_LIFETIME (RFC 7252 §4.4). */
struct endpoint {
        uint16_t next_mid;
        uint32_t given_all; /* within the lifetime */
        uint64_t second;    /* of the newest slot */
        uint16_t given[LIFETIME_SLOTS];
};

struct requests {
        uint32_t capacity, taken;
        uint32_t touched; /* requests from here on were never used */
        uint32_t free_n;
        uint32_t *free; /* last given back, first taken: its memory is warm */
        struct request *pool;
        size_t pool_bytes;
        uint32_t *hash;
        uint32_t hash_mask;
        struct endpoint *endpoints;
        uint32_t endpoints_n;
        uint64_t random;
        uint64_t token_key;
        uint64_t tick, begin_ns; /* the tick whose slot is looked at next */
        uint32_t armed;
        uint32_t wheel[WHEEL_SLOTS];
        uint64_t occupied[WHEEL_WORDS];
};

static uint64_t
next_random(struct requests *requests)
{
        uint64_t z = requests->random += HASH_MULTIPLIER;

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

static int
allocate(struct requests *requests, const struct requests_config *config)
{
        uint32_t buckets = 64;

        while (buckets < config->capacity)
                buckets *= 2;
        requests->hash_mask = buckets - 1;
        requests->hash = malloc(buckets * sizeof(requests->hash[0]));
        requests->free = malloc(config->capacity * sizeof(requests->free[0]));
        requests->endpoints = calloc(config->endpoints, sizeof(requests->endpoints[0]));
        requests->pool_bytes = (size_t)config->capacity * sizeof(struct request);
        /* Pages are there when they are first used: most of a large pool never is. */
        requests->pool = mmap(NULL, requests->pool_bytes, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (requests->pool == MAP_FAILED)
                requests->pool = NULL;
        if (requests->hash == NULL || requests->free == NULL || requests->endpoints == NULL ||
            requests->pool == NULL)
                return -ENOMEM;
        memset(requests->hash, 0xff, buckets * sizeof(requests->hash[0]));
        memset(requests->wheel, 0xff, sizeof(requests->wheel));
        return 0;
}

int
requests_create(struct requests **out, const struct requests_config *config)
{
        struct requests *requests;

        if (config->capacity == 0 || config->capacity > REQUESTS_MAX || config->endpoints == 0 ||
            config->endpoints > ENDPOINTS_MAX)
                return -EINVAL;
        requests = calloc(1, sizeof(*requests));
        if (requests == NULL)
                return -ENOMEM;
        if (allocate(requests, config) < 0) {
                requests_destroy(requests);
                return -ENOMEM;
        }
        requests->capacity = requests->free_n = config->capacity;
        requests->endpoints_n = config->endpoints;
        requests->random = config->seed;
        requests->begin_ns = config->now_ns;
        requests->token_key = next_random(requests);
        for (uint32_t i = 0; i < config->capacity; i++)
                requests->free[i] = config->capacity - 1 - i;
        for (uint32_t i = 0; i < config->endpoints; i++)
                requests->endpoints[i].next_mid = (uint16_t)next_random(requests);
        *out = requests;
        return 0;
}

void
requests_destroy(struct requests *requests)
{
        if (requests == NULL)
                return;
        if (requests->pool != NULL)
                munmap(requests->pool, requests->pool_bytes);
        free(requests->hash);
        free(requests->free);
        free(requests->endpoints);
        free(requests);
}

/* ---- message IDs ---- */

static uint32_t *
bucket(struct requests *requests, uint32_t endpoint, uint16_t message_id)
{
        uint64_t key = (uint64_t)endpoint << 16 | message_id;

        return &requests->hash[(key * HASH_MULTIPLIER >> 32) & requests->hash_mask];
}

static void
forget_mid(struct requests *requests, struct request *request)
{
        uint32_t *at;

        if (!request->in_flight)
                return;
        at = bucket(requests, request->endpoint, request->message_id);
        while (*at != request->index) {
                assert(*at != REQUEST_NONE);
                at = &requests->pool[*at].hash_next;
        }
        *at = request->hash_next;
        request->in_flight = false;
}

static bool
give_mid(struct endpoint *endpoint, uint64_t second, uint16_t *message_id)
{
        if (second >= endpoint->second + LIFETIME_SLOTS) {
                memset(endpoint->given, 0, sizeof(endpoint->given));
                endpoint->given_all = 0;
                endpoint->second = second;
        }
        while (endpoint->second < second) {
                uint16_t *oldest = &endpoint->given[++endpoint->second % LIFETIME_SLOTS];

                endpoint->given_all -= *oldest;
                *oldest = 0;
        }
        if (endpoint->given_all == MIDS - 1)
                return false;
        endpoint->given[endpoint->second % LIFETIME_SLOTS]++;
        endpoint->given_all++;
        *message_id = endpoint->next_mid++;
        return true;
}

bool
requests_identify(
    struct requests *requests, struct request *request, uint32_t endpoint, uint64_t now_ns)
{
        uint16_t message_id;
        uint32_t *at;

        assert(endpoint < requests->endpoints_n);
        if (!give_mid(&requests->endpoints[endpoint], (now_ns - requests->begin_ns) / NS_PER_S,
                &message_id))
                return false;
        forget_mid(requests, request);
        request->endpoint = endpoint;
        request->message_id = message_id;
        request->generation++;
        at = bucket(requests, endpoint, message_id);
        request->hash_next = *at;
        *at = request->index;
        request->in_flight = true;
        return true;
}

struct request *
requests_find_mid(struct requests *requests, uint32_t endpoint, uint16_t message_id)
{
        uint32_t i = *bucket(requests, endpoint, message_id);

        while (i != REQUEST_NONE) {
                struct request *request = &requests->pool[i];

                if (request->endpoint == endpoint && request->message_id == message_id)
                        return request;
                i = request->hash_next;
        }
        return NULL;
}

/* ---- tokens ---- */

/* Under a key of this process, so that a token of an earlier one is not taken for one of this. */
void
requests_token(const struct requests *requests, const struct request *request,
    uint8_t token[REQUEST_TOKEN_BYTES])
{
        uint64_t value =
            ((uint64_t)request->generation << 32 | request->index) ^ requests->token_key;

        memcpy(token, &value, REQUEST_TOKEN_BYTES);
}

enum token_verdict
requests_find_token(
    struct requests *requests, const uint8_t *token, size_t token_bytes, struct request **found)
{
        struct request *request;
        uint32_t index, generation;
        uint64_t value;

        *found = NULL;
        if (token_bytes != REQUEST_TOKEN_BYTES)
                return TOKEN_UNKNOWN;
        memcpy(&value, token, sizeof(value));
        value ^= requests->token_key;
        index = (uint32_t)value;
        generation = (uint32_t)(value >> 32);
        if (index >= requests->capacity)
                return TOKEN_UNKNOWN;
        request = &requests->pool[index];
        if (request->generation != generation || !request->in_flight)
                return generation != 0 && generation <= request->generation ? TOKEN_STALE
                                                                            : TOKEN_UNKNOWN;
        *found = request;
        return TOKEN_FOUND;
}

/* ---- timers ---- */

static void
disarm(struct requests *requests, struct request *request)
{
        uint32_t slot = request->wheel_slot;

        if (slot == REQUEST_NONE)
                return;
        if (request->wheel_next != REQUEST_NONE)
                requests->pool[request->wheel_next].wheel_previous = request->wheel_previous;
        if (request->wheel_previous != REQUEST_NONE)
                requests->pool[request->wheel_previous].wheel_next = request->wheel_next;
        else
                requests->wheel[slot] = request->wheel_next;
        if (requests->wheel[slot] == REQUEST_NONE)
                requests->occupied[slot / 64] &= ~(UINT64_C(1) << slot % 64);
        request->wheel_slot = REQUEST_NONE;
        requests->armed--;
}

static void
arm(struct requests *requests, struct request *request, uint64_t now_ns, uint32_t wait_ms)
{
        uint64_t due_ns = now_ns - requests->begin_ns + wait_ms * NS_PER_MS;
        /* Rounded up: a timer is never early. */
        uint64_t tick = (due_ns + WHEEL_TICK_NS - 1) / WHEEL_TICK_NS;
        uint32_t slot, first;

        disarm(requests, request);
        if (tick < requests->tick)
                tick = requests->tick;
        if (tick >= requests->tick + WHEEL_SLOTS)
                tick = requests->tick + WHEEL_SLOTS - 1;
        slot = (uint32_t)(tick % WHEEL_SLOTS);
        first = requests->wheel[slot];
        request->due_tick = tick;
        request->wheel_slot = slot;
        request->wheel_previous = REQUEST_NONE;
        request->wheel_next = first;
        if (first != REQUEST_NONE)
                requests->pool[first].wheel_previous = request->index;
        requests->wheel[slot] = request->index;
        requests->occupied[slot / 64] |= UINT64_C(1) << slot % 64;
        requests->armed++;
}

/* The first tick from `from` on whose slot has a timer, at most a turn ahead; UINT64_MAX: none. */
static uint64_t
next_occupied(const struct requests *requests, uint64_t from)
{
        uint32_t slot = (uint32_t)(from % WHEEL_SLOTS), word = slot / 64;
        uint64_t bits = requests->occupied[word] & UINT64_MAX << slot % 64;

        if (requests->armed == 0)
                return UINT64_MAX;
        for (unsigned i = 0; i <= WHEEL_WORDS; i++) {
                if (bits != 0) {
                        uint32_t found = word * 64 + (uint32_t)__builtin_ctzll(bits);

                        return from + (found - slot + WHEEL_SLOTS) % WHEEL_SLOTS;
                }
                word = (word + 1) % WHEEL_WORDS;
                bits = requests->occupied[word];
        }
        return UINT64_MAX;
}

struct request *
requests_expired(struct requests *requests, uint64_t now_ns)
{
        uint64_t now_tick = (now_ns - requests->begin_ns) / WHEEL_TICK_NS;
        uint64_t due = next_occupied(requests, requests->tick);
        struct request *request;

        if (due > now_tick) {
                if (requests->tick < now_tick)
                        requests->tick = now_tick;
                return NULL;
        }
        requests->tick = due;
        request = &requests->pool[requests->wheel[due % WHEEL_SLOTS]];
        assert(request->due_tick == due);
        disarm(requests, request);
        return request;
}

uint64_t
requests_next_ns(const struct requests *requests)
{
        uint64_t due = next_occupied(requests, requests->tick);

        return due == UINT64_MAX ? UINT64_MAX : requests->begin_ns + due * WHEEL_TICK_NS;
}

void
requests_sent_con(struct requests *requests, struct request *request, uint64_t now_ns)
{
        uint32_t spread = ACK_TIMEOUT_MS * (ACK_RANDOM_PERCENT - 100) / 100;

        request->state = REQUEST_SENT;
        request->retransmissions = 0;
        request->timeout_ms = ACK_TIMEOUT_MS + (uint32_t)(next_random(requests) % (spread + 1));
        arm(requests, request, now_ns, request->timeout_ms);
}

bool
requests_retransmit(struct requests *requests, struct request *request, uint64_t now_ns)
{
        assert(request->state == REQUEST_SENT);
        if (request->retransmissions == MAX_RETRANSMIT)
                return false;
        request->retransmissions++;
        request->timeout_ms *= 2;
        arm(requests, request, now_ns, request->timeout_ms);
        return true;
}

void
requests_sent_non(struct requests *requests, struct request *request, uint64_t now_ns)
{
        request->state = REQUEST_NON_SENT;
        arm(requests, request, now_ns, NON_WAIT_MS);
}

void
requests_acknowledged(struct requests *requests, struct request *request, uint64_t now_ns)
{
        if (request->state != REQUEST_SENT)
                return;
        request->state = REQUEST_SEPARATE;
        arm(requests, request, now_ns, SEPARATE_WAIT_MS);
}

void
requests_delay(
    struct requests *requests, struct request *request, uint64_t now_ns, uint32_t delay_ms)
{
        /* Its answer has come: another copy of it must not be taken for one to the next try. */
        forget_mid(requests, request);
        request->state = REQUEST_DELAYED;
        arm(requests, request, now_ns, delay_ms);
}

/* ---- the pool ---- */

struct request *
requests_take(struct requests *requests)
{
        struct request *request;
        uint32_t index, generation;

        if (requests->free_n == 0)
                return NULL;
        index = requests->free[--requests->free_n];
        request = &requests->pool[index];
        assert(request->state == REQUEST_FREE && !request->in_flight);
        generation = request->generation;
        memset(request, 0, offsetof(struct request, payload));
        request->index = index;
        request->generation = generation;
        if (requests->touched <= index)
                requests->touched = index + 1;
        request->wheel_slot = REQUEST_NONE;
        request->hash_next = REQUEST_NONE;
        request->state = REQUEST_DELAYED; /* until it is sent */
        requests->taken++;
        return request;
}

void
requests_release(struct requests *requests, struct request *request)
{
        assert(request->state != REQUEST_FREE);
        disarm(requests, request);
        forget_mid(requests, request);
        request->state = REQUEST_FREE;
        requests->free[requests->free_n++] = request->index;
        requests->taken--;
}

uint32_t
requests_taken(const struct requests *requests)
{
        return requests->taken;
}

struct request *
requests_walk(struct requests *requests, uint32_t *position)
{
        while (*position < requests->touched) {
                struct request *request = &requests->pool[(*position)++];

                if (request->state != REQUEST_FREE)
                        return request;
        }
        return NULL;
}
