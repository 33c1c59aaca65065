/* SPDX-License-Identifier: Apache-2.0 */
/* Devices come and go, and patients' keys are replaced, while three workers on their own threads
 * serve them: every record is its sender's own, every receipt is of a record that is there, once
 * (promises 1 and 2), and nothing is left of what went (promise 7). */
#include "tests/packets/client.h"

#include "dataplane/contexts_private.h"
#include "dataplane/drops.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SLOTS       12u
#define ROUNDS      30u
#define LIVES       (SLOTS + ROUNDS) /* a device removed and enrolled anew is another life */
#define POSTS       (2 * ROUNDS)
#define PORT_FIRST  20000u
#define DEADLINE_S  120
#define SETTLE_WAIT 2000u /* microseconds */

static struct harness harness;
static struct life {
        struct client client;
        struct client_request requests[POSTS];
        unsigned posts;
        uint64_t leaves[POSTS]; /* + 1, of the receipt */
} lives[LIVES];
static unsigned lives_n;
static struct life *now[SLOTS]; /* who has the slot */
static time_t deadline;

static const int algs[] = {AEAD_AES_CCM_16_64_128, AEAD_AES_128_GCM, AEAD_AES_256_GCM,
    AEAD_CHACHA20_POLY1305, AEAD_AES_CCM_16_128_128};

/* A kid that is not native stays the same from life to life; the keys do not. */
static struct context_spec
next_spec(uint32_t slot)
{
        struct context_spec spec =
            client_spec(slot, algs[lives_n % (sizeof(algs) / sizeof(*algs))]);

        spec.context_id = 9000 + lives_n;
        spec.generation = (uint8_t)lives_n;
        spec.oscore.secret[8] = (uint8_t)(lives_n + 1);
        spec.native = slot % 2 == 0;
        if (spec.native)
                native_kid(spec.oscore.recipient_id, slot, spec.generation);
        else
                spec.oscore.recipient_id_bytes = 5;
        return spec;
}

static void take_replies(void);

static void
settle(void)
{
        cr_assert_lt(time(NULL), deadline, "the workers do not come to an end");
        harness_writer_turn(&harness);
        take_replies();
}

static void
enrol(uint32_t slot)
{
        struct life *life = &lives[lives_n];
        struct client *client = &life->client;
        struct context_spec spec = next_spec(slot);
        int rc;

        cr_assert_lt(lives_n, LIVES);
        client->spec = spec;
        client->input = spec.oscore;
        memcpy(client->input.sender_id, spec.oscore.recipient_id, OSCORE_ID_BYTES_MAX);
        memcpy(client->input.recipient_id, spec.oscore.sender_id, OSCORE_ID_BYTES_MAX);
        client->input.sender_id_bytes = spec.oscore.recipient_id_bytes;
        client->input.recipient_id_bytes = spec.oscore.sender_id_bytes;
        cr_assert_eq(oscore_derive_keys(&client->input, &client->keys), 0);
        client->port = (uint16_t)(PORT_FIRST + lives_n);
        client->family = 4 + 2 * (lives_n & 1);
        client->next_message_id = 1;
        /* What is pending of the one before holds the slot. */
        while ((rc = contexts_add(harness.contexts, &spec)) == -EAGAIN)
                settle();
        cr_assert_eq(rc, 0, "slot %u: %s", slot, strerror(-rc));
        now[slot] = life;
        lives_n++;
}

static void
send_post(struct life *life, unsigned i, unsigned queue)
{
        struct datagram datagram;
        struct wire wire;

        client_write(&life->client, &life->requests[i], &datagram);
        wire_datagram(&wire, life->client.family, harness.mac[0], life->client.port, datagram.bytes,
            datagram.n);
        harness_inject_at(&harness, 0, queue, wire.bytes, wire.n);
}

static void
post(struct life *life, unsigned queue)
{
        unsigned i = life->posts++;

        cr_assert_lt(i, POSTS);
        life->requests[i] = client_post(&life->client);
        send_post(life, i, queue);
}

/* A receipt says the same leaf each time; any other reply is one of those that a device may get
 * that has gone, or whose patient's key changes. */
static void
take_reply(const uint8_t *frame, size_t bytes)
{
        size_t n;
        const uint8_t *message = wire_payload(frame, bytes, &n);
        unsigned who = (unsigned)(message[-6] << 8 | message[-5]) - PORT_FIRST;
        struct client_reply reply = {0};
        struct life *life;
        uint64_t leaf;
        unsigned i;

        cr_assert_lt(who, lives_n);
        life = &lives[who];
        i = message[7]; /* the token's last byte is the partial IV's */
        cr_assert_lt(i, life->posts);
        client_read(&life->client, &life->requests[i], message, n, &reply);
        if (!reply.is_protected) {
                cr_assert(reply.outer.code == COAP_UNAUTHORIZED ||
                              (!life->client.spec.native && reply.outer.code == COAP_BAD_REQUEST),
                    "%u.%02u", reply.outer.code >> 5, reply.outer.code & 31);
                return;
        }
        cr_assert(reply.opened, "another's reply");
        cr_assert_eq(reply.has_piv, reply.inner.code != COAP_CREATED);
        if (reply.inner.code != COAP_CREATED) {
                cr_assert(reply.inner.code == COAP_UNAVAILABLE);
                return;
        }
        leaf = client_leaf(&reply);
        cr_assert(life->leaves[i] == 0 || life->leaves[i] == leaf + 1);
        life->leaves[i] = leaf + 1;
}

static void
take_replies(void)
{
        uint8_t frame[HARNESS_FRAME_MAX];
        size_t bytes;

        while ((bytes = harness_take(&harness, frame)) != 0)
                take_reply(frame, bytes);
}

/* Every record is one post's, its own bytes, once; every receipt is that record's. */
static void
check_ledger(void)
{
        static bool seen[LIVES][POSTS];
        size_t receipts = 0, told = 0;

        for (size_t k = 0; k < harness.kept_n; k++) {
                const struct kept_record *record = &harness.kept[k];
                unsigned who = (unsigned)(record->desc.context_id - 9000);
                struct seal_header header;
                struct life *life;

                cr_assert_lt(who, lives_n);
                life = &lives[who];
                cr_assert_eq(
                    seal_header_read(&header, record->sealed, record->desc.sealed_bytes), 0);
                cr_assert_lt(header.partial_iv, life->posts);
                cr_assert_not(seen[who][header.partial_iv], "two records of one request");
                seen[who][header.partial_iv] = true;
                client_check_record(&life->client, &life->requests[header.partial_iv], record);
                if (life->leaves[header.partial_iv] != 0) {
                        cr_assert_eq(life->leaves[header.partial_iv], record->leaf + 1);
                        told++;
                }
        }
        for (unsigned who = 0; who < lives_n; who++)
                for (unsigned i = 0; i < lives[who].posts; i++)
                        receipts += lives[who].leaves[i] != 0;
        cr_assert_eq(receipts, told, "a receipt without its record");
        cr_assert_gt(receipts, ROUNDS);
}

Test(churn, devices_come_and_go_under_load)
{
        struct harness_options options = {
            .config = {.workers = 3, .idle_sleep = true, .boot_epoch = 5}, .queues = 2};
        int rc;

        deadline = time(NULL) + DEADLINE_S;
        harness_open(&harness, &options);
        for (uint32_t slot = 0; slot < SLOTS; slot++)
                cr_assert_eq(
                    contexts_patient_set(harness.contexts, slot, client_patient_key, 9), 0);
        cr_assert_eq(dataplane_start(harness.dataplane), 0);
        for (uint32_t slot = 0; slot < SLOTS; slot++)
                enrol(slot);
        for (unsigned round = 0; round < ROUNDS; round++) {
                uint32_t leaving = round * 5 % SLOTS;
                struct life *gone = now[leaving];

                for (uint32_t slot = 0; slot < SLOTS; slot++) {
                        post(now[slot], (slot + round) % 2);
                        send_post(now[slot], now[slot]->posts - 1, (slot + round + 1) % 2);
                }
                if (round % 3 == 0) /* else some are pending when their context goes */
                        settle();
                rc = contexts_remove(harness.contexts, leaving);
                cr_assert_eq(rc, 0, "contexts_remove: %d", rc);
                post(gone, round % 2);
                rc = contexts_patient_set(
                    harness.contexts, (leaving + 1) % SLOTS, client_patient_key, 9);
                cr_assert_eq(rc, 0);
                enrol(leaving);
                post(gone, round % 2);
                settle();
        }
        /* Until all that is enrolled has the receipt of its last post. */
        for (uint32_t slot = 0; slot < SLOTS; slot++)
                post(now[slot], slot % 2);
        for (unsigned waits = 0, missing = 1; missing != 0; waits++) {
                usleep(SETTLE_WAIT);
                settle();
                missing = 0;
                for (uint32_t slot = 0; slot < SLOTS; slot++) {
                        unsigned last = now[slot]->posts - 1;

                        missing += now[slot]->leaves[last] == 0;
                        /* Strays may be dropped. */
                        if (now[slot]->leaves[last] == 0 && waits % 500 == 499)
                                send_post(now[slot], last, slot % 2);
                }
        }
        dataplane_stop(harness.dataplane);
        harness_drive(&harness);
        take_replies();
        check_ledger();
        cr_assert_eq(dataplane_pending(harness.dataplane), 0);
        for (uint32_t slot = 0; slot < SLOTS; slot++)
                cr_assert_eq(contexts_remove(harness.contexts, slot), 0);
        cr_assert_eq(contexts_count(harness.contexts), 0);
        for (uint32_t slot = 0; slot < SLOTS; slot++) {
                struct context *context = &contexts_table(harness.contexts)->slots[slot];

                cr_assert_eq(context->state, CONTEXT_FREE, "wiped, since nothing is pending");
        }
        harness_close(&harness);
}
