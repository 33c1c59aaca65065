/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: retransmission by RFC 7252 §4.2 in virtual time; message IDs that rest; tokens that are
 * never taken for others'. */
#include "bench/requests.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MS    UINT64_C(1000000)
#define S     UINT64_C(1000000000)
#define BEGIN (UINT64_C(123456789) * S + 987654321)

static struct requests *
create(uint32_t capacity, uint32_t endpoints, uint64_t seed)
{
        struct requests_config config = {
            .capacity = capacity, .endpoints = endpoints, .seed = seed, .now_ns = BEGIN};
        struct requests *requests;

        cr_assert_eq(requests_create(&requests, &config), 0);
        return requests;
}

/* The next time that a timer runs out, not looking in between. */
static struct request *
expire_next(struct requests *requests, uint64_t *now)
{
        uint64_t next = requests_next_ns(requests);

        if (next == UINT64_MAX)
                return NULL;
        cr_assert_geq(next, *now - WHEEL_TICK_NS);
        if (next > *now) {
                /* Not a moment before. */
                cr_assert_null(requests_expired(requests, next - 1));
                *now = next;
        }
        return requests_expired(requests, *now);
}

Test(requests, a_con_is_sent_five_times_with_doubling_pauses)
{
        double least = 1e9, most = 0;

        for (uint64_t seed = 1; seed <= 200; seed++) {
                struct requests *requests = create(4, 1, seed);
                struct request *request = requests_take(requests);
                uint64_t now = BEGIN + seed * 12345678, sent = now, first = 0;

                cr_assert(requests_identify(requests, request, 0, now));
                requests_sent_con(requests, request, now);
                for (unsigned i = 0; i <= MAX_RETRANSMIT; i++) {
                        uint64_t pause;

                        cr_assert_eq(expire_next(requests, &now), request);
                        pause = now - sent;
                        sent = now;
                        if (i == 0)
                                first = pause;
                        cr_assert_geq(pause, (2000 * MS) << i, "%u", i);
                        cr_assert_leq(pause, ((3000 * MS) << i) + WHEEL_TICK_NS);
                        /* Each twice the one before, but for the wheel's ticks. */
                        cr_assert_leq(llabs((long long)(pause - (first << i))),
                            (long long)(WHEEL_TICK_NS << i));
                        cr_assert_eq(
                            requests_retransmit(requests, request, now), i < MAX_RETRANSMIT);
                }
                if ((double)first < least)
                        least = (double)first;
                if ((double)first > most)
                        most = (double)first;
                requests_release(requests, request);
                requests_destroy(requests);
        }
        /* The first pause is spread over its whole range. */
        cr_expect_lt(least, 2.1e9);
        cr_expect_gt(most, 2.9e9);
}

Test(requests, an_empty_ack_ends_retransmission)
{
        struct requests *requests = create(4, 1, 1);
        struct request *request = requests_take(requests);
        uint64_t now = BEGIN;

        cr_assert(requests_identify(requests, request, 0, now));
        requests_sent_con(requests, request, now);
        requests_acknowledged(requests, request, now + 100 * MS);
        cr_expect_eq(request->state, REQUEST_SEPARATE);
        cr_assert_null(requests_expired(requests, now + 90 * S));
        now += 90 * S;
        cr_assert_eq(expire_next(requests, &now), request);
        cr_expect_geq(now - BEGIN, SEPARATE_WAIT_MS * MS);
        /* A second ACK of a request that waits for nothing changes nothing. */
        requests_sent_non(requests, request, now);
        requests_acknowledged(requests, request, now);
        cr_expect_eq(request->state, REQUEST_NON_SENT);
        requests_release(requests, request);
        cr_expect_eq(requests_next_ns(requests), UINT64_MAX);
        requests_destroy(requests);
}

/* Random timers, released at random: each one that is left runs out once, in its tick, in order. */
Test(requests, the_wheel_forgets_and_invents_nothing)
{
        enum { N = 3000 };
        struct requests *requests = create(N, 1, 7);
        uint64_t now = BEGIN, last = 0, due[N], left = 0;
        struct request *request;

        srand(1);
        for (unsigned i = 0; i < N; i++) {
                uint32_t delay = (uint32_t)rand() % 150000;

                request = requests_take(requests);
                cr_assert_eq(request->index, i);
                due[i] = now + delay * MS;
                requests_delay(requests, request, now, delay);
                if (rand() % 4 == 0)
                        requests_delay(requests, request, now, delay); /* armed again */
        }
        cr_assert_null(requests_take(requests));
        for (uint32_t position = 0; (request = requests_walk(requests, &position)) != NULL;) {
                if (rand() % 3 == 0) {
                        due[request->index] = 0;
                        requests_release(requests, request);
                } else {
                        left++;
                }
        }
        while ((request = expire_next(requests, &now)) != NULL) {
                cr_assert_neq(due[request->index], 0, "twice, or released before");
                cr_assert_geq(now, due[request->index], "early");
                cr_assert_leq(now, due[request->index] + WHEEL_TICK_NS, "late");
                cr_assert_geq(now, last);
                last = now;
                due[request->index] = 0;
                requests_release(requests, request);
                left--;
        }
        cr_assert_eq(left, 0);
        cr_assert_eq(requests_taken(requests), 0);
        requests_destroy(requests);
}

Test(requests, a_long_sleep_loses_no_timer)
{
        struct requests *requests = create(8, 1, 7);
        struct request *a = requests_take(requests), *b = requests_take(requests);

        requests_delay(requests, a, BEGIN, 5000);
        requests_delay(requests, b, BEGIN, 60000);
        cr_expect_eq(requests_expired(requests, BEGIN + 1000 * S), a);
        cr_expect_eq(requests_expired(requests, BEGIN + 1000 * S), b);
        cr_expect_null(requests_expired(requests, BEGIN + 1000 * S));
        requests_delay(requests, a, BEGIN + 1000 * S, 1000);
        cr_expect_null(requests_expired(requests, BEGIN + 1000 * S + 990 * MS));
        cr_expect_eq(requests_expired(requests, BEGIN + 1001 * S + WHEEL_TICK_NS), a);
        requests_destroy(requests);
}

Test(requests, a_message_id_rests_for_its_exchange_lifetime)
{
        struct requests *requests = create(2, 2, 3);
        struct request *request = requests_take(requests);
        static uint64_t used_ns[65536]; /* + 1 */
        uint64_t now = BEGIN, refused = 0, given = 0;

        /* 400 a second, more than 65,536 / 247, for ten minutes. */
        for (unsigned i = 0; i < 400 * 600; i++) {
                now = BEGIN + i * (S / 400);
                if (!requests_identify(requests, request, 1, now)) {
                        refused++;
                        continue;
                }
                given++;
                if (used_ns[request->message_id] != 0)
                        cr_assert_gt(now - used_ns[request->message_id], EXCHANGE_LIFETIME_S * S);
                used_ns[request->message_id] = now;
        }
        cr_expect_gt(refused, 0);
        cr_expect_gt(given, 2 * 65536);
        /* The other endpoint counts for itself. */
        cr_expect(requests_identify(requests, request, 0, now));
        requests_destroy(requests);
}

Test(requests, an_answer_finds_its_request_and_no_other)
{
        enum { N = 300 };
        struct requests *requests = create(N, 3, 9);
        struct request *request[N], *found;
        uint8_t token[N][REQUEST_TOKEN_BYTES], old[REQUEST_TOKEN_BYTES];

        for (unsigned i = 0; i < N; i++) {
                request[i] = requests_take(requests);
                cr_assert(requests_identify(requests, request[i], i % 3, BEGIN));
                requests_token(requests, request[i], token[i]);
                requests_sent_con(requests, request[i], BEGIN);
        }
        for (unsigned i = 0; i < N; i++) {
                cr_assert_eq(requests_find_token(requests, token[i], REQUEST_TOKEN_BYTES, &found),
                    TOKEN_FOUND);
                cr_assert_eq(found, request[i]);
                cr_assert_eq(
                    requests_find_mid(requests, i % 3, request[i]->message_id), request[i]);
                cr_assert_neq(
                    requests_find_mid(requests, (i + 1) % 3, request[i]->message_id), request[i]);
        }
        /* Sent anew: the old token and message ID are the earlier message's. */
        memcpy(old, token[5], sizeof(old));
        uint16_t old_mid = request[5]->message_id;
        cr_assert(requests_identify(requests, request[5], 5 % 3, BEGIN));
        cr_expect_eq(requests_find_token(requests, old, sizeof(old), &found), TOKEN_STALE);
        cr_expect_null(found);
        cr_expect_null(requests_find_mid(requests, 5 % 3, old_mid));
        /* Released, and its place taken by another. */
        requests_release(requests, request[7]);
        cr_expect_eq(
            requests_find_token(requests, token[7], REQUEST_TOKEN_BYTES, &found), TOKEN_STALE);
        cr_assert_eq(requests_take(requests), request[7]);
        cr_assert(requests_identify(requests, request[7], 0, BEGIN));
        cr_expect_eq(
            requests_find_token(requests, token[7], REQUEST_TOKEN_BYTES, &found), TOKEN_STALE);
        /* Never given out. */
        memset(old, 0xee, sizeof(old));
        cr_expect_eq(requests_find_token(requests, old, sizeof(old), &found), TOKEN_UNKNOWN);
        cr_expect_eq(requests_find_token(requests, token[8], 7, &found), TOKEN_UNKNOWN);
        requests_destroy(requests);
}

Test(requests, what_is_too_large_is_refused)
{
        struct requests *requests;
        struct requests_config config = {.capacity = 0, .endpoints = 1};

        cr_expect_eq(requests_create(&requests, &config), -EINVAL);
        config.capacity = REQUESTS_MAX + 1;
        cr_expect_eq(requests_create(&requests, &config), -EINVAL);
        config.capacity = 1;
        config.endpoints = ENDPOINTS_MAX + 1;
        cr_expect_eq(requests_create(&requests, &config), -EINVAL);
}
