/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/seal.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

enum {
        AT_VERSION = 0,
        AT_KIND = 1,
        AT_CONTENT_FORMAT = 2,
        AT_REALM = 4,
        AT_CONTEXT_ID = 8,
        AT_PARTIAL_IV = 16,
        AT_OSCORE_TAG = 24,
        AT_KEY_EPOCH = 40,
        AT_PAYLOAD_BYTES = 44,
        AT_RECEIVED_NS = 48,
        AT_MESSAGE_ID = 56,
        AT_NONCE = 64,
        AT_FLAGS = 76,
        AT_OSCORE_TAG_BYTES = 78,
        AT_ZERO = 79,
};

#define RECORD_FLAGS_KNOWN                                                                         \
        (RECORD_FLAG_IMPLAUSIBLE | RECORD_FLAG_UNKNOWN_CODE | RECORD_FLAG_UNKNOWN_UNIT)
#define CONTENT_SENML_JSON 110
#define CONTENT_SENML_CBOR 112

static_assert(AT_ZERO == SEAL_HEADER_BYTES - 1, "the header is full");
static_assert(SEAL_NONCE_BYTES == crypto_aead_chacha20poly1305_ietf_NPUBBYTES, "RFC 8439's nonce");
static_assert(SEAL_TAG_BYTES == crypto_aead_chacha20poly1305_ietf_ABYTES, "RFC 8439's tag");

static void
put_le(uint8_t *out, uint64_t value, unsigned bytes)
{
        for (unsigned i = 0; i < bytes; i++)
                out[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t
get_le(const uint8_t *in, unsigned bytes)
{
        uint64_t value = 0;
        for (unsigned i = 0; i < bytes; i++)
                value |= (uint64_t)in[i] << (8 * i);
        return value;
}

/* What holds of every header, on the way in and on the way out. */
static bool
header_valid(const struct seal_header *header)
{
        if (header->content_format != CONTENT_SENML_JSON &&
            header->content_format != CONTENT_SENML_CBOR)
                return false;
        if (header->payload_bytes > SEAL_PAYLOAD_MAX || (header->flags & ~RECORD_FLAGS_KNOWN) != 0)
                return false;
        switch (header->kind) {
        case RECORD_OSCORE:
                if (header->oscore_tag_bytes != 8 && header->oscore_tag_bytes != 16)
                        return false;
                break;
        case RECORD_LAB:
                if (header->oscore_tag_bytes != 0)
                        return false;
                break;
        default:
                return false;
        }
        for (size_t i = header->oscore_tag_bytes; i < sizeof(header->oscore_tag); i++) {
                if (header->oscore_tag[i] != 0)
                        return false;
        }
        return true;
}

void
seal_header_write(uint8_t out[SEAL_HEADER_BYTES], const struct seal_header *header)
{
        assert(header_valid(header));
        out[AT_VERSION] = SEAL_VERSION;
        out[AT_KIND] = header->kind;
        put_le(out + AT_CONTENT_FORMAT, header->content_format, 2);
        put_le(out + AT_REALM, header->realm, 4);
        put_le(out + AT_CONTEXT_ID, header->context_id, 8);
        put_le(out + AT_PARTIAL_IV, header->partial_iv, 8);
        memcpy(out + AT_OSCORE_TAG, header->oscore_tag, sizeof(header->oscore_tag));
        put_le(out + AT_KEY_EPOCH, header->key_epoch, 4);
        put_le(out + AT_PAYLOAD_BYTES, header->payload_bytes, 4);
        put_le(out + AT_RECEIVED_NS, header->received_ns, 8);
        put_le(out + AT_MESSAGE_ID, header->message_id, 8);
        memcpy(out + AT_NONCE, header->nonce, sizeof(header->nonce));
        put_le(out + AT_FLAGS, header->flags, 2);
        out[AT_OSCORE_TAG_BYTES] = header->oscore_tag_bytes;
        out[AT_ZERO] = 0;
}

int
seal_header_read(struct seal_header *header, const uint8_t *sealed, size_t sealed_bytes)
{
        if (sealed_bytes < SEAL_OVERHEAD || sealed_bytes > SEAL_BYTES_MAX)
                return -EBADMSG;
        if (sealed[AT_VERSION] != SEAL_VERSION || sealed[AT_ZERO] != 0)
                return -EBADMSG;
        struct seal_header h = {
            .kind = sealed[AT_KIND],
            .content_format = (uint16_t)get_le(sealed + AT_CONTENT_FORMAT, 2),
            .realm = (uint32_t)get_le(sealed + AT_REALM, 4),
            .context_id = get_le(sealed + AT_CONTEXT_ID, 8),
            .partial_iv = get_le(sealed + AT_PARTIAL_IV, 8),
            .key_epoch = (uint32_t)get_le(sealed + AT_KEY_EPOCH, 4),
            .payload_bytes = (uint32_t)get_le(sealed + AT_PAYLOAD_BYTES, 4),
            .received_ns = get_le(sealed + AT_RECEIVED_NS, 8),
            .message_id = get_le(sealed + AT_MESSAGE_ID, 8),
            .flags = (uint16_t)get_le(sealed + AT_FLAGS, 2),
            .oscore_tag_bytes = sealed[AT_OSCORE_TAG_BYTES],
        };
        memcpy(h.oscore_tag, sealed + AT_OSCORE_TAG, sizeof(h.oscore_tag));
        memcpy(h.nonce, sealed + AT_NONCE, sizeof(h.nonce));
        if (!header_valid(&h) || h.payload_bytes != sealed_bytes - SEAL_OVERHEAD)
                return -EBADMSG;
        *header = h;
        return 0;
}

void
seal_nonce(uint8_t nonce[SEAL_NONCE_BYTES], uint64_t boot_epoch, uint8_t worker, uint32_t counter)
{
        for (unsigned i = 0; i < 7; i++)
                nonce[i] = (uint8_t)(boot_epoch >> (8 * (6 - i)));
        nonce[7] = worker;
        for (unsigned i = 0; i < 4; i++)
                nonce[8 + i] = (uint8_t)(counter >> (8 * (3 - i)));
}

int
seal_open_record(
    uint8_t *plain, const uint8_t *sealed, size_t sealed_bytes, const uint8_t key[SEAL_KEY_BYTES])
{
        struct seal_header header;
        unsigned long long plain_bytes = 0;

        if (seal_header_read(&header, sealed, sealed_bytes) != 0)
                return -EBADMSG;
        if (crypto_aead_chacha20poly1305_ietf_decrypt(plain, &plain_bytes, NULL,
                sealed + SEAL_HEADER_BYTES, sealed_bytes - SEAL_HEADER_BYTES, sealed,
                SEAL_HEADER_BYTES, header.nonce, key) != 0)
                return -EBADMSG;
        assert(plain_bytes == header.payload_bytes);
        return 0;
}

void
seal_key_hash(uint8_t hash[32], const uint8_t key[SEAL_KEY_BYTES])
{
        crypto_hash_sha256(hash, key, SEAL_KEY_BYTES);
}

void
seal_digest(
    uint8_t digest[32], const uint8_t key_hash[32], const uint8_t *sealed, size_t sealed_bytes)
{
        crypto_hash_sha256_state state;

        crypto_hash_sha256_init(&state);
        crypto_hash_sha256_update(&state, key_hash, 32);
        crypto_hash_sha256_update(&state, sealed, sealed_bytes);
        crypto_hash_sha256_final(&state, digest);
}
