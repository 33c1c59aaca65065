/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/reply.h"

#include "dataplane/coap/oscore_option.h"
#include "dataplane/records.h"

#include <sodium.h>
#include <stdlib.h>

static struct reply *
reply_take(struct worker *worker)
{
        struct records *records = worker->records;
        struct reply *reply;

        assert(records->replies_n < REPLIES_MAX);
        reply = &records->replies[records->replies_n++];
        memset(reply, 0, sizeof(*reply));
        records->outbox[records->outbox_n++] = reply;
        return reply;
}

void
reply_cancel(struct worker *worker, struct reply *reply)
{
        struct records *records = worker->records;

        assert(records->replies_n > 0 && reply == &records->replies[records->replies_n - 1]);
        records->replies_n--;
        records->outbox_n--;
}

struct reply *
reply_to(struct worker *worker, const struct request *request)
{
        struct reply *reply = reply_take(worker);

        reply->endpoint = request->endpoint;
        reply->message_id = request->message.message_id;
        reply->type = request->message.type;
        reply->token_bytes = request->message.token_bytes;
        memcpy(reply->token, request->message.token, sizeof(reply->token));
        reply->limit = request->reply_limit;
        reply->context = request->context;
        reply->partial_iv = request->partial_iv;
        return reply;
}

struct reply *
reply_to_pending(struct worker *worker, const struct pending *pending)
{
        struct reply *reply = reply_take(worker);

        reply->endpoint = pending->endpoint;
        reply->message_id = pending->message_id;
        reply->type = pending->type;
        reply->token_bytes = pending->token_bytes;
        memcpy(reply->token, pending->token, sizeof(reply->token));
        reply->limit = pending->reply_limit;
        reply->context = pending->context;
        reply->partial_iv = pending->partial_iv;
        reply->shape = pending->kind == RECORD_OSCORE ? REPLY_PROTECTED : REPLY_PLAIN;
        return reply;
}

/* Nothing vouches for who asks: an answer is a favour, of which there are only so many. */
static bool
error_allowed(struct worker *worker)
{
        if (rate_limit_pass(&worker->records->errors, worker->now_ns))
                return true;
        worker->counters.drops[DROP_RATE_LIMITED_ERROR]++;
        return false;
}

void
reply_reset(struct worker *worker, const struct request *request)
{
        if (error_allowed(worker))
                reply_to(worker, request)->shape = REPLY_RESET;
}

static void
count_error(struct worker *worker, uint16_t why)
{
        if (COAP_CODE_CLASS(why_code(why)) == 5)
                worker->counters.busy += WHY_ERROR(why) == ERROR_BUSY;
        else
                worker->counters.client_errors++;
}

void
reply_plain_error(struct worker *worker, const struct request *request, uint16_t why, bool fresh)
{
        struct reply *reply;

        if (!error_allowed(worker))
                return;
        reply = reply_to(worker, request);
        reply->shape = REPLY_PLAIN;
        reply->content = CONTENT_ERROR;
        reply->why = why;
        reply->fresh = fresh;
        count_error(worker, why);
}

bool
reply_server_piv(struct worker *worker, struct reply *reply, bool paced)
{
        struct context *context = reply->context;
        uint16_t tick = (uint16_t)(worker->now_ns >> REPLY_TICK_SHIFT);

        if (context->reply_counter > REPLY_COUNTER_MAX) {
                worker->counters.drops[DROP_OSCORE_SENDER_EXHAUSTED]++;
                return false;
        }
        if (paced && context->reply_counter >= REPLY_PACED_FROM && context->replied_tick == tick) {
                worker->counters.drops[DROP_RATE_LIMITED_ERROR]++;
                return false;
        }
        context->replied_tick = tick;
        reply->has_server_piv = true;
        reply->server_piv =
            (uint64_t)worker->config->boot_epoch << REPLY_COUNTER_BITS | context->reply_counter;
        context->reply_counter++;
        return true;
}

void
reply_protected_error(struct worker *worker, const struct request *request, uint16_t why, bool keep)
{
        struct context *context = request->context;
        struct reply *reply = reply_to(worker, request);

        reply->shape = REPLY_PROTECTED;
        reply->content = CONTENT_ERROR;
        reply->why = why;
        /* A request that is not kept did not move its window: it can be sent again by anyone. */
        if (!reply_server_piv(worker, reply, !keep)) {
                reply_cancel(worker, reply);
                return;
        }
        count_error(worker, why);
        if (!keep)
                return;
        memcpy(context->error.tag, request->tag, KEPT_TAG_BYTES);
        context->error.partial_iv = request->partial_iv;
        context->error.counter = reply->server_piv & REPLY_COUNTER_MAX;
        context->error.why = why;
}

/* ---- packets ---- */

static uint8_t
content_code(const struct reply *reply)
{
        switch ((enum reply_content)reply->content) {
        case CONTENT_RECEIPT:
                return COAP_CREATED;
        case CONTENT_ERROR:
                return why_code(reply->why);
        case CONTENT_CHALLENGE:
                return COAP_UNAUTHORIZED;
        case CONTENT_LEAF:
        case CONTENT_CORE:
                return COAP_CONTENT;
        }
        abort();
}

static void
content_write(struct coap_writer *writer, const struct reply *reply)
{
        switch ((enum reply_content)reply->content) {
        case CONTENT_RECEIPT:
                location_write(writer, reply->target.leaf);
                break;
        case CONTENT_ERROR:
                why_write(writer, reply->why, reply->fresh);
                break;
        case CONTENT_CHALLENGE:
                coap_write_option(writer, COAP_OPTION_ECHO, reply->echo, ECHO_BYTES);
                break;
        case CONTENT_LEAF:
                leaf_write(writer, &reply->target, reply->durable, reply->published);
                break;
        case CONTENT_CORE:
                core_write(writer, &reply->target);
                break;
        }
}

static void
message_begin(struct worker *worker, const struct reply *reply, struct coap_writer *writer,
    uint8_t *out, uint8_t code)
{
        bool piggybacked = reply->type == COAP_CON;
        uint16_t message_id = reply->message_id;

        if (!piggybacked) {
                /* Worker w's share is w, w + workers, … below a whole number of rounds, counted
                 * from the boot's start: shares do not meet, and each comes again only when it is
                 * used up. */
                struct records *records = worker->records;
                unsigned workers = worker->config->workers;

                message_id =
                    (uint16_t)(records->message_id_first + records->message_id_n * workers);
                records->message_id_n++;
                if (records->message_id_n == (UINT16_MAX + 1u) / workers - 1)
                        records->message_id_n = 0;
        }
        coap_write_begin(writer, out, REPLY_BYTES_MAX, piggybacked ? COAP_ACK : COAP_NON, code,
            message_id, reply->token, reply->token_bytes);
}

/* RFC 8613 §8.3. The inner message is written to the batch's line i; its ciphertext will stand in
 * the packet. */
static void
protect_prepare(struct worker *worker, const struct reply *reply, struct coap_writer *writer,
    uint8_t *out, unsigned i)
{
        struct records *records = worker->records;
        struct context *context = reply->context;
        struct oscore_option option = {0};
        struct coap_writer inner;
        uint8_t value[1 + OSCORE_PIV_BYTES_MAX];
        uint8_t alg = context->alg;
        ssize_t value_bytes, inner_bytes;
        uint8_t *room;

        coap_write_begin_inner(
            &inner, records->inner[i], REPLY_INNER_BYTES_MAX, content_code(reply));
        content_write(&inner, reply);
        inner_bytes = coap_write_end(&inner);
        assert(inner_bytes > 0);

        option.has_piv = reply->has_server_piv;
        option.piv = reply->server_piv;
        value_bytes = oscore_option_write(value, sizeof(value), &option);
        assert(value_bytes >= 0);
        message_begin(worker, reply, writer, out, COAP_CHANGED);
        coap_write_option(writer, COAP_OPTION_OSCORE, value, (size_t)value_bytes);
        room = coap_write_payload_room(writer, (size_t)inner_bytes + aead_tag_bytes(alg));
        assert(room != NULL);

        if (reply->has_server_piv)
                oscore_nonce(records->nonces[i], alg, context->common_iv, context->sender_id,
                    context_sender_id_bytes(context), reply->server_piv);
        else
                oscore_nonce(records->nonces[i], alg, context->common_iv, context->kid,
                    context_kid_bytes(context), reply->partial_iv);
        records->jobs[i] = (struct aead_job){
            .key = context_sender_key(context),
            .nonce = records->nonces[i],
            .aad = records->aads[i],
            .aad_bytes = (uint16_t)oscore_aad(
                records->aads[i], alg, context->kid, context_kid_bytes(context), reply->partial_iv),
            .in = records->inner[i],
            .in_bytes = (uint32_t)inner_bytes,
            .out = room,
            .alg = alg,
        };
}

/* Writes the CoAP message; its length. Protected ones take the next job of the batch. */
static size_t
message_write(struct worker *worker, const struct reply *reply, uint8_t *out, unsigned *jobs_n)
{
        struct coap_writer writer;
        ssize_t bytes;

        switch ((enum reply_shape)reply->shape) {
        case REPLY_RESET:
                coap_write_empty(out, COAP_RST, reply->message_id);
                return COAP_HEADER_BYTES;
        case REPLY_PLAIN:
                message_begin(worker, reply, &writer, out, content_code(reply));
                content_write(&writer, reply);
                break;
        case REPLY_PROTECTED:
                /* A receipt alone may take the request's nonce. */
                assert((reply->content == CONTENT_RECEIPT) == !reply->has_server_piv);
                protect_prepare(worker, reply, &writer, out, (*jobs_n)++);
                break;
        }
        bytes = coap_write_end(&writer);
        assert(bytes > 0);
        return (size_t)bytes;
}

unsigned
reply_build(
    struct worker *worker, struct reply *const *replies, unsigned n, struct rte_mbuf **mbufs)
{
        struct records *records = worker->records;
        uint16_t bytes[ENGINE_BATCH_MAX];
        const struct reply *made[ENGINE_BATCH_MAX];
        unsigned jobs_n = 0, out_n = 0;

        assert(n <= ENGINE_BATCH_MAX);
        for (unsigned i = 0; i < n; i++) {
                const struct reply *reply = replies[i];
                size_t header_bytes = udp_header_bytes(&reply->endpoint);
                unsigned jobs_before = jobs_n;
                struct rte_mbuf *mbuf = rte_pktmbuf_alloc(worker->pool);

                if (mbuf == NULL || rte_pktmbuf_tailroom(mbuf) < header_bytes + REPLY_BYTES_MAX) {
                        worker->counters.drops[DROP_REPLY_NO_MBUF]++;
                        rte_pktmbuf_free(mbuf);
                        continue;
                }
                bytes[out_n] = (uint16_t)message_write(
                    worker, reply, rte_pktmbuf_mtod_offset(mbuf, uint8_t *, header_bytes), &jobs_n);
                if (bytes[out_n] > reply->limit) {
                        worker->counters.drops[DROP_AMPLIFICATION]++;
                        rte_pktmbuf_free(mbuf);
                        jobs_n = jobs_before;
                        continue;
                }
                made[out_n] = reply;
                mbufs[out_n++] = mbuf;
        }
        if (jobs_n != 0) {
                engine_seal(worker->engine, records->jobs, jobs_n);
                sodium_memzero(records->inner, jobs_n * REPLY_INNER_BYTES_MAX);
        }
        /* Checksums come last: they are over the ciphertext. */
        for (unsigned i = 0; i < out_n; i++) {
                size_t room = (size_t)mbufs[i]->buf_len - mbufs[i]->data_off;
                int frame_bytes = udp_write(
                    rte_pktmbuf_mtod(mbufs[i], uint8_t *), room, &made[i]->endpoint, bytes[i]);

                assert(frame_bytes > 0);
                mbufs[i]->data_len = (uint16_t)frame_bytes;
                mbufs[i]->pkt_len = (uint32_t)frame_bytes;
                mbufs[i]->port = made[i]->endpoint.port_id;
        }
        return out_n;
}
