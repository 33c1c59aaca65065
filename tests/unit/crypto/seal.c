/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: a sealed record is opened by libsodium alone; every truncation and every flipped bit of
 * one is refused; seal nonces never coincide for different epoch, worker or counter. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/engine.h"
#include "crypto/seal.h"

static const uint8_t KEY[SEAL_KEY_BYTES] = "the data key of some patient :-)";
static const char PAYLOAD[] = "[{\"n\":\"8867-4\",\"u\":\"beat/min\",\"v\":72}]";
#define PAYLOAD_BYTES (sizeof(PAYLOAD) - 1)

static struct seal_header
make_header(uint32_t payload_bytes)
{
        struct seal_header h = {
            .kind = RECORD_OSCORE,
            .content_format = 110,
            .realm = 0x04030201,
            .context_id = UINT64_C(0x1817161514131211),
            .partial_iv = UINT64_C(0x2524232221),
            .oscore_tag = {0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38},
            .key_epoch = 0x44434241,
            .payload_bytes = payload_bytes,
            .received_ns = UINT64_C(0x5857565554535251),
            .flags = RECORD_FLAG_IMPLAUSIBLE | RECORD_FLAG_UNKNOWN_UNIT,
            .oscore_tag_bytes = 8,
        };
        seal_nonce(h.nonce, 0x77, 3, 9);
        return h;
}

/* Seals as the data plane does: through the engine, header as AAD. */
static size_t
seal_record(uint8_t sealed[SEAL_BYTES_MAX], const struct seal_header *h, const uint8_t *payload)
{
        _Alignas(16) uint8_t expanded[32];
        struct engine *engine;
        cr_assert_eq(engine_create(&engine, ENGINE_AUTO), 0);
        cr_assert_eq(aead_expand_key(engine, AEAD_CHACHA20_POLY1305, KEY, expanded), 0);
        seal_header_write(sealed, h);
        struct aead_job job = {.key = expanded,
            .nonce = h->nonce,
            .aad = sealed,
            .in = payload,
            .out = sealed + SEAL_HEADER_BYTES,
            .in_bytes = h->payload_bytes,
            .aad_bytes = SEAL_HEADER_BYTES,
            .alg = AEAD_CHACHA20_POLY1305};
        engine_seal(engine, &job, 1);
        engine_destroy(engine);
        return SEAL_OVERHEAD + h->payload_bytes;
}

Test(seal, header_layout)
{
        static const char layout[] = "01016e00"
                                     "01020304"
                                     "1112131415161718"
                                     "2122232425000000"
                                     "31323334353637380000000000000000"
                                     "41424344"
                                     "26000000"
                                     "5152535455565758"
                                     "0000000000000000"
                                     "000000000000770300000009"
                                     "05000800";
        uint8_t out[SEAL_HEADER_BYTES];
        char text[2 * SEAL_HEADER_BYTES + 1];
        struct seal_header h = make_header(0x26);
        seal_header_write(out, &h);
        cr_assert_str_eq(sodium_bin2hex(text, sizeof(text), out, sizeof(out)), layout);
}

Test(seal, header_read_is_write_undone)
{
        for (unsigned kind = RECORD_OSCORE; kind <= RECORD_LAB; kind++) {
                uint8_t sealed[SEAL_BYTES_MAX] = {0};
                struct seal_header h = make_header(100), back;
                memset(&back, 0xff, sizeof(back));
                h.kind = (uint8_t)kind;
                if (kind == RECORD_LAB) {
                        h.oscore_tag_bytes = 0;
                        memset(h.oscore_tag, 0, sizeof(h.oscore_tag));
                        h.message_id = UINT64_C(0x6867666564636261);
                        h.content_format = 112;
                }
                seal_header_write(sealed, &h);
                cr_assert_eq(seal_header_read(&back, sealed, SEAL_OVERHEAD + 100), 0);
                cr_assert_eq(back.kind, h.kind);
                cr_assert_eq(back.content_format, h.content_format);
                cr_assert_eq(back.realm, h.realm);
                cr_assert_eq(back.context_id, h.context_id);
                cr_assert_eq(back.partial_iv, h.partial_iv);
                cr_assert_arr_eq(back.oscore_tag, h.oscore_tag, 16);
                cr_assert_eq(back.key_epoch, h.key_epoch);
                cr_assert_eq(back.payload_bytes, 100);
                cr_assert_eq(back.received_ns, h.received_ns);
                cr_assert_eq(back.message_id, h.message_id);
                cr_assert_arr_eq(back.nonce, h.nonce, 12);
                cr_assert_eq(back.flags, h.flags);
                cr_assert_eq(back.oscore_tag_bytes, h.oscore_tag_bytes);
        }
}

Test(seal, malformed_headers)
{
        static const struct {
                size_t at;
                uint8_t value;
        } cases[] = {{0, 0}, {0, 2}, {1, 0}, {1, 2}, {1, 3}, {2, 111}, {2, 0}, {3, 1}, {32, 1},
            {39, 1}, {44, 99}, {44, 101}, {45, 1}, {46, 1}, {47, 0x80}, {76, 8}, {77, 1}, {78, 0},
            {78, 7}, {78, 9}, {78, 17}, {78, 255}, {79, 1}};
        struct seal_header h = make_header(100), back;
        uint8_t good[SEAL_OVERHEAD + 100] = {0};
        seal_header_write(good, &h);
        cr_assert_eq(seal_header_read(&back, good, sizeof(good)), 0);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                uint8_t bad[sizeof(good)];
                memcpy(bad, good, sizeof(good));
                bad[cases[i].at] = cases[i].value;
                cr_assert_eq(seal_header_read(&back, bad, sizeof(bad)), -EBADMSG, "offset %zu = %u",
                    cases[i].at, cases[i].value);
        }
        /* A payload over the limit, in a buffer that is long enough. */
        uint8_t *big = calloc(1, SEAL_BYTES_MAX + 1);
        h = make_header(SEAL_PAYLOAD_MAX);
        seal_header_write(big, &h);
        cr_assert_eq(seal_header_read(&back, big, SEAL_BYTES_MAX), 0);
        big[44] = (SEAL_PAYLOAD_MAX + 1) & 255;
        big[45] = (SEAL_PAYLOAD_MAX + 1) >> 8;
        cr_assert_eq(seal_header_read(&back, big, SEAL_BYTES_MAX + 1), -EBADMSG);
        free(big);
}

Test(seal, libsodium_alone_opens_a_record)
{
        uint8_t sealed[SEAL_BYTES_MAX], plain[SEAL_PAYLOAD_MAX], again[SEAL_PAYLOAD_MAX];
        struct seal_header h = make_header(PAYLOAD_BYTES);
        size_t bytes = seal_record(sealed, &h, (const uint8_t *)PAYLOAD);
        unsigned long long n = 0;
        cr_assert_eq(
            crypto_aead_chacha20poly1305_ietf_decrypt(plain, &n, NULL, sealed + SEAL_HEADER_BYTES,
                bytes - SEAL_HEADER_BYTES, sealed, SEAL_HEADER_BYTES, sealed + 64, KEY),
            0);
        cr_assert_eq(n, PAYLOAD_BYTES);
        cr_assert_arr_eq(plain, PAYLOAD, PAYLOAD_BYTES);
        cr_assert_eq(seal_open_record(again, sealed, bytes, KEY), 0);
        cr_assert_arr_eq(again, PAYLOAD, PAYLOAD_BYTES);
}

Test(seal, shortest_and_longest_payload)
{
        uint8_t sealed[SEAL_BYTES_MAX], payload[SEAL_PAYLOAD_MAX], plain[SEAL_PAYLOAD_MAX];
        memset(payload, 'x', sizeof(payload));
        struct seal_header h = make_header(0);
        cr_assert_eq(seal_open_record(plain, sealed, seal_record(sealed, &h, payload), KEY), 0);
        h = make_header(SEAL_PAYLOAD_MAX);
        cr_assert_eq(seal_open_record(plain, sealed, seal_record(sealed, &h, payload), KEY), 0);
        cr_assert_arr_eq(plain, payload, SEAL_PAYLOAD_MAX);
}

Test(seal, every_flip_and_truncation_is_refused)
{
        uint8_t sealed[SEAL_BYTES_MAX], plain[SEAL_PAYLOAD_MAX];
        struct seal_header h = make_header(PAYLOAD_BYTES);
        size_t bytes = seal_record(sealed, &h, (const uint8_t *)PAYLOAD);
        for (size_t bit = 0; bit < bytes * 8; bit++) {
                sealed[bit / 8] ^= (uint8_t)(1 << (bit % 8));
                cr_assert_eq(seal_open_record(plain, sealed, bytes, KEY), -EBADMSG, "bit %zu", bit);
                sealed[bit / 8] ^= (uint8_t)(1 << (bit % 8));
        }
        for (size_t cut = 0; cut < bytes; cut++) {
                uint8_t *part = malloc(cut > 0 ? cut : 1); /* so that ASan sees a read past it */
                memcpy(part, sealed, cut);
                cr_assert_eq(seal_open_record(plain, part, cut, KEY), -EBADMSG, "cut to %zu", cut);
                free(part);
        }
        uint8_t other[SEAL_KEY_BYTES];
        memcpy(other, KEY, sizeof(other));
        other[31] ^= 1;
        cr_assert_eq(seal_open_record(plain, sealed, bytes, other), -EBADMSG);
        cr_assert_eq(seal_open_record(plain, sealed, bytes, KEY), 0);
}

Test(seal, nonce_layout)
{
        uint8_t nonce[SEAL_NONCE_BYTES];
        char text[2 * SEAL_NONCE_BYTES + 1];
        seal_nonce(nonce, UINT64_C(0x01020304050607), 0x08, 0x090a0b0c);
        cr_assert_str_eq(
            sodium_bin2hex(text, sizeof(text), nonce, sizeof(nonce)), "0102030405060708090a0b0c");
}

Test(seal, digest_binds_key_and_bytes)
{
        uint8_t sealed[SEAL_BYTES_MAX], key_hash[32], digest[32], expected[32], other[32];
        uint8_t message[32 + SEAL_BYTES_MAX];
        struct seal_header h = make_header(PAYLOAD_BYTES);
        size_t bytes = seal_record(sealed, &h, (const uint8_t *)PAYLOAD);
        seal_key_hash(key_hash, KEY);
        crypto_hash_sha256(expected, KEY, sizeof(KEY));
        cr_assert_arr_eq(key_hash, expected, 32);
        seal_digest(digest, key_hash, sealed, bytes);
        memcpy(message, key_hash, 32);
        memcpy(message + 32, sealed, bytes);
        crypto_hash_sha256(expected, message, 32 + bytes);
        cr_assert_arr_eq(digest, expected, 32);
        key_hash[0] ^= 1;
        seal_digest(other, key_hash, sealed, bytes);
        cr_assert_arr_neq(digest, other, 32);
}
