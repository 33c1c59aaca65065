/* SPDX-License-Identifier: Apache-2.0 */
/* Devices and their records. What a record holds is a function of seed, context and partial IV, so
 * that any found in the vault can be held against what was sent. */
#include "tests/sim/world_internal.h"

#include "ledger/bytes.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXT_FIRST 1000u
#define SMALL_BYTES   160u
#define KIND_LAB_PPM  0u

void
devices_make(struct world *world)
{
        world->devices = calloc(world->devices_n, sizeof(world->devices[0]));
        assert(world->devices != NULL);
        for (unsigned i = 0; i < world->devices_n; i++) {
                world->devices[i].context_id = CONTEXT_FIRST + i;
                rng_fill(&world->rng, world->devices[i].key, SEAL_KEY_BYTES);
        }
}

/* ---- what a record holds ---- */

static uint32_t
payload_make(
    const struct world *world, uint64_t context, uint64_t piv, uint8_t *payload, uint8_t tag[8])
{
        struct rng rng = {world->config.seed * 0x100000001b3u + (context << 32) + piv};
        uint32_t bytes = (uint32_t)rng_between(&rng, 1, SMALL_BYTES);
        if (rng_chance(&rng, world->big_ppm))
                bytes = (uint32_t)rng_between(&rng, SEAL_PAYLOAD_MAX / 2, SEAL_PAYLOAD_MAX);
        rng_fill(&rng, tag, 8);
        uint64_t word = rng_next(&rng);
        for (uint32_t i = 0; i < bytes; i++)
                payload[i] = (uint8_t)(word >> (8 * (i % 8))) ^ (uint8_t)i;
        return bytes;
}

static void
record_seal(struct world *world, struct device *device, uint32_t record, struct arrival *arrival)
{
        struct gateway *gateway = &world->gateway;
        uint8_t payload[SEAL_PAYLOAD_MAX];
        struct seal_header header = {
            .kind = RECORD_OSCORE,
            .content_format = 112,
            .realm = 1,
            .context_id = device->context_id,
            .partial_iv = record,
            .key_epoch = 1,
            .received_ns = world->io->ops->now_us(world->io) * 1000,
            .oscore_tag_bytes = 8,
        };
        unsigned long long sealed_bytes;
        header.payload_bytes =
            payload_make(world, device->context_id, record, payload, header.oscore_tag);
        seal_nonce(header.nonce, gateway->epoch, 0, gateway->counter++);
        seal_header_write(arrival->sealed, &header);
        crypto_aead_chacha20poly1305_ietf_encrypt(arrival->sealed + SEAL_HEADER_BYTES,
            &sealed_bytes, payload, header.payload_bytes, arrival->sealed, SEAL_HEADER_BYTES, NULL,
            header.nonce, device->loaded_key);
        arrival->sealed_bytes = SEAL_HEADER_BYTES + (uint32_t)sealed_bytes;
        seal_digest(arrival->digest, device->key_hash, arrival->sealed, arrival->sealed_bytes);
}

bool
record_check(struct world *world, const struct vault_record *record, struct device **device,
    struct sent **sent, struct seal_header *header)
{
        uint8_t plain[SEAL_PAYLOAD_MAX], payload[SEAL_PAYLOAD_MAX], tag[8], digest[HASH_BYTES];
        unsigned long leaf = (unsigned long)record->leaf;
        if (seal_header_read(header, record->sealed, record->sealed_bytes)) {
                world_fail(world, "leaf %lu is no sealed record", leaf);
                return false;
        }
        uint64_t i = header->context_id - CONTEXT_FIRST;
        if (i >= world->devices_n || header->partial_iv >= world->devices[i].n) {
                world_fail(world, "leaf %lu was never sent", leaf);
                return false;
        }
        *device = &world->devices[i];
        *sent = &(*device)->sent[header->partial_iv];
        if (!(*device)->known) {
                world_fail(world, "leaf %lu: no key for context %lu", leaf,
                    (unsigned long)header->context_id);
                return false;
        }
        seal_digest(digest, (*device)->key_hash, record->sealed, record->sealed_bytes);
        if (memcmp(digest, record->digest, HASH_BYTES) ||
            seal_open_record(plain, record->sealed, record->sealed_bytes, (*device)->loaded_key)) {
                world_fail(world, "leaf %lu does not open", leaf);
                return false;
        }
        uint32_t bytes = payload_make(world, header->context_id, header->partial_iv, payload, tag);
        if (bytes != header->payload_bytes || memcmp(plain, payload, bytes)) {
                world_fail(world, "leaf %lu holds what was never sent", leaf);
                return false;
        }
        return true;
}

/* ---- keys in the store ---- */

static const uint8_t realm_key[crypto_secretbox_KEYBYTES] = "the simulated realm's own key";

static void
key_value(struct world *world, const struct device *device, uint8_t value[KEY_VALUE_BYTES])
{
        put_le64(value, device->context_id);
        rng_fill(&world->rng, value + 8, crypto_secretbox_NONCEBYTES);
        crypto_secretbox_easy(value + 8 + crypto_secretbox_NONCEBYTES, device->key, SEAL_KEY_BYTES,
            value + 8, realm_key);
}

static void
key_know(struct device *device, const uint8_t key[SEAL_KEY_BYTES])
{
        device->known = true;
        memcpy(device->loaded_key, key, SEAL_KEY_BYTES);
        seal_key_hash(device->key_hash, key);
}

int
key_load(void *user, uint32_t slot, const uint8_t *value, uint32_t value_bytes)
{
        struct world *world = user;
        uint8_t key[SEAL_KEY_BYTES];
        if (slot >= world->devices_n || value_bytes != KEY_VALUE_BYTES ||
            get_le64(value) != world->devices[slot].context_id ||
            crypto_secretbox_open_easy(key, value + 8 + crypto_secretbox_NONCEBYTES,
                crypto_secretbox_MACBYTES + SEAL_KEY_BYTES, value + 8, realm_key) ||
            memcmp(key, world->devices[slot].key, SEAL_KEY_BYTES)) {
                world_fail(world, "slot %u of the store holds what was never put there", slot);
                return -EBADMSG;
        }
        key_know(&world->devices[slot], key);
        return 0;
}

void
device_enrol(struct world *world)
{
        uint8_t value[KEY_VALUE_BYTES];
        uint32_t slot = (uint32_t)rng_below(&world->rng, world->devices_n);
        struct device *device = &world->devices[slot];
        /* A second time is a new wrapping of the same key. */
        if (device->known && rng_chance(&world->rng, 800000))
                return;
        key_value(world, device, value);
        if (device->enrolment == ENROL_NOT)
                device->enrolment = ENROL_TRIED;
        int error = store_put(world->gateway.store, slot, value, sizeof(value));
        if (sim_disk_crashed(world->disk))
                return;
        world_say(world, "enrol device %u: %d", slot, error);
        if (error == 0) {
                device->enrolment = ENROL_DONE;
                key_know(device, device->key);
        }
}

/* ---- sending ---- */

void
receipt_send(struct world *world, struct sent *sent, uint64_t leaf)
{
        if (sent->acknowledged && sent->leaf != leaf) {
                world_fail(world, "a record acknowledged as leaf %lu is now leaf %lu",
                    (unsigned long)sent->leaf, (unsigned long)leaf);
                return;
        }
        world->acknowledged += !sent->acknowledged;
        sent->acknowledged = true;
        sent->leaf = leaf;
        if (!world->calm && rng_chance(&world->rng, world->lost_receipt_ppm))
                return;
        sent->told = true;
}

static struct arrival *
inbox_add(struct gateway *gateway)
{
        if (gateway->inbox_n == gateway->inbox_room) {
                gateway->inbox_room = gateway->inbox_room ? 2 * gateway->inbox_room : 64;
                gateway->inbox =
                    realloc(gateway->inbox, gateway->inbox_room * sizeof(gateway->inbox[0]));
                assert(gateway->inbox != NULL);
        }
        return &gateway->inbox[gateway->inbox_n++];
}

/* A record reaches the gateway, for the first time or again. */
static void
record_arrive(struct world *world, uint32_t d, uint32_t r)
{
        struct device *device = &world->devices[d];
        struct sent *sent = &device->sent[r];
        if (sent->heard == HEARD_COMMITTED) {
                receipt_send(world, sent, sent->heard_leaf);
                return;
        }
        if (sent->heard == HEARD_PENDING || !device->known || world->gateway.failed)
                return;
        struct arrival *arrival = inbox_add(&world->gateway);
        arrival->device = d;
        arrival->record = r;
        record_seal(world, device, r, arrival);
        sent->heard = HEARD_PENDING;
}

void
devices_send(struct world *world, unsigned records)
{
        for (unsigned i = 0; i < records; i++) {
                uint32_t d = (uint32_t)rng_below(&world->rng, world->devices_n);
                struct device *device = &world->devices[d];
                while (device->first < device->n && device->sent[device->first].told)
                        device->first++;
                if (device->enrolment != ENROL_DONE)
                        continue;
                bool room = device->n - device->first < OUTSTANDING_MAX && device->n < RECORDS_MAX;
                if (room && !world->calm && rng_chance(&world->rng, 700000))
                        record_arrive(world, d, device->n++);
                else if (device->first < device->n)
                        record_arrive(world, d,
                            (uint32_t)rng_between(&world->rng, device->first, device->n - 1));
                /* Now and then one that was told long ago. */
                if (device->n > 0 && rng_chance(&world->rng, 20000))
                        record_arrive(world, d, (uint32_t)rng_below(&world->rng, device->n));
        }
}

bool
devices_are_told(const struct world *world)
{
        for (unsigned i = 0; i < world->devices_n; i++)
                for (uint32_t r = 0; r < world->devices[i].n; r++)
                        if (!world->devices[i].sent[r].told)
                                return false;
        return true;
}
