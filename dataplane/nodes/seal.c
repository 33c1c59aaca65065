/* SPDX-License-Identifier: Apache-2.0 */
/* seal: encrypts a burst under the patients' data keys straight into the seal slots, and digests
 * it. The packets are free from here on. */
#include "dataplane/nodes/records_node.h"

enum { EDGE_COMMIT, EDGES };

#define COUNTER_HIGH_MAX UINT16_MAX

/* FNV-1a: tells a lab record's token from others, no more. */
static uint64_t
token_hash(const struct coap_message *message)
{
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        for (unsigned i = 0; i < message->token_bytes; i++)
                hash = (hash ^ message->token[i]) * UINT64_C(0x100000001b3);
        return hash;
}

static void
next_nonce(struct worker *worker, uint8_t nonce[SEAL_NONCE_BYTES])
{
        struct records *records = worker->records;
        uint64_t counter = records->seal_counter++;

        /* 2^48 of a boot: at a million a second that is nine years. */
        assert(counter >> 32 <= COUNTER_HIGH_MAX);
        seal_nonce(
            nonce, records->seal_epoch | counter >> 32, (uint8_t)worker->id, (uint32_t)counter);
}

static void
prepare(struct worker *worker, const struct request *request, unsigned i)
{
        struct records *records = worker->records;
        const struct context *context = request->context;
        const struct patient *patient = context_patient(worker->contexts, context);
        bool oscore = request->kind == RECORD_OSCORE;
        uint8_t *slot = seal_slot(records, request->pending);
        uint8_t *sealed = slot + SHA256_BYTES;
        struct seal_header header = {
            .kind = request->kind,
            .content_format = request->content_format,
            .realm = worker->config->realm,
            .context_id = context->context_id,
            .partial_iv = request->partial_iv,
            .key_epoch = patient->key_epoch,
            .payload_bytes = request->payload_bytes,
            .received_ns = worker->now_ns,
            .message_id =
                oscore ? 0 : token_hash(&request->message) << 16 | request->message.message_id,
            .flags = request->flags,
            .oscore_tag_bytes = request->tag_bytes,
        };

        assert(request->payload_bytes <= SEAL_PAYLOAD_MAX);
        memcpy(header.oscore_tag, request->tag, sizeof(header.oscore_tag));
        next_nonce(worker, header.nonce);
        memcpy(slot, patient->key_hash, SHA256_BYTES);
        seal_header_write(sealed, &header);
        memcpy(records->nonces[i], header.nonce, SEAL_NONCE_BYTES);
        records->jobs[i] = (struct aead_job){
            .key = patient->key,
            .nonce = records->nonces[i],
            .aad = sealed,
            .aad_bytes = SEAL_HEADER_BYTES,
            .in = request->payload,
            .in_bytes = request->payload_bytes,
            .out = sealed + SEAL_HEADER_BYTES,
            .alg = AEAD_CHACHA20_POLY1305,
        };
        records->digests[i] = (struct sha256_job){
            .in = slot,
            .in_bytes = SHA256_BYTES + SEAL_OVERHEAD + request->payload_bytes,
            .out = records->digest[request_index(worker, request)],
        };
}

void
seal_burst(struct worker *worker, struct request *const *in, unsigned n)
{
        struct records *records = worker->records;
        struct rte_mbuf *mbufs[WALK_PACKETS_MAX];

        assert(n <= WALK_PACKETS_MAX);
        for (unsigned i = 0; i < n; i++) {
                prepare(worker, in[i], i);
                mbufs[i] = in[i]->mbuf;
                in[i]->mbuf = NULL;
                in[i]->datagram = NULL;
        }
        engine_seal(worker->engine, records->jobs, n);
        engine_sha256(worker->engine, records->digests, n);
        rte_pktmbuf_free_bulk(mbufs, n);
}

static uint16_t
seal_process(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
        seal_burst(node_worker(node), (struct request **)objs, n);
        rte_node_next_stream_move(graph, node, EDGE_COMMIT);
        return n;
}

static struct rte_node_register seal_node = {
    .name = "seal",
    .process = seal_process,
    .nb_edges = EDGES,
    .next_nodes = {[EDGE_COMMIT] = "commit"},
};
RTE_NODE_REGISTER(seal_node);
