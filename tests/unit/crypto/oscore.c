/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: keys, nonces, AAD and ciphertexts are those of RFC 8613 Appendix C, in both back ends. */
#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/engine.h"
#include "crypto/oscore.h"

#define BYTES_MAX 128

struct bytes {
        uint8_t at[BYTES_MAX];
        size_t n;
};

static struct bytes
hex(const char *text)
{
        struct bytes b = {.n = 0};
        cr_assert_eq(sodium_hex2bin(b.at, BYTES_MAX, text, strlen(text), NULL, &b.n, NULL), 0);
        cr_assert_eq(b.n * 2, strlen(text));
        return b;
}

#define assert_hex(got, length, text)                                                              \
        do {                                                                                       \
                struct bytes want_ = hex(text);                                                    \
                cr_assert_eq((size_t)(length), want_.n, "%s: %zu bytes", text, (size_t)(length));  \
                if (want_.n > 0)                                                                   \
                        cr_assert_arr_eq(got, want_.at, want_.n, "%s", text);                      \
        } while (0)

/* C.1 to C.3. */
struct schedule {
        const char *salt, *id_context, *sender_id, *recipient_id;
        const char *sender_key, *recipient_key, *common_iv, *sender_nonce, *recipient_nonce;
};

static const char SECRET[] = "0102030405060708090a0b0c0d0e0f10";
static const struct schedule SCHEDULES[] = {
    {"9e7ca92223786340", NULL, "", "01", "f0910ed7295e6ad4b54fc793154302ff",
        "ffb14e093c94c9cac9471648b4f98710", "4622d4dd6d944168eefb54987c",
        "4622d4dd6d944168eefb54987c", "4722d4dd6d944169eefb54987c"},
    {"", NULL, "00", "01", "321b26943253c7ffb6003b0b64d74041", "e57b5635815177cd679ab4bcec9d7dda",
        "be35ae297d2dace910c52e99f9", "bf35ae297d2dace910c52e99f9", "bf35ae297d2dace810c52e99f9"},
    {"9e7ca92223786340", "37cbf3210017a2d3", "", "01", "af2a1300a5e95788b356336eeecd2b92",
        "e39a0c7c77b43f03b4b39ab9a268699f", "2ca58fb85ff1b81c0b7181b85e",
        "2ca58fb85ff1b81c0b7181b85e", "2da58fb85ff1b81d0b7181b85e"},
};

static struct oscore_input
make_input(const char *secret, const char *salt, const char *id_context, const char *sender_id,
    const char *recipient_id, int alg)
{
        struct oscore_input input = {.alg = (uint8_t)alg};
        struct bytes b = hex(secret);
        memcpy(input.secret, b.at, b.n);
        input.secret_bytes = (uint8_t)b.n;
        b = hex(salt);
        memcpy(input.salt, b.at, b.n);
        input.salt_bytes = (uint8_t)b.n;
        b = hex(sender_id);
        memcpy(input.sender_id, b.at, b.n);
        input.sender_id_bytes = (uint8_t)b.n;
        b = hex(recipient_id);
        memcpy(input.recipient_id, b.at, b.n);
        input.recipient_id_bytes = (uint8_t)b.n;
        if (id_context != NULL) {
                b = hex(id_context);
                memcpy(input.id_context, b.at, b.n);
                input.id_context_bytes = (uint8_t)b.n;
                input.has_id_context = true;
        }
        return input;
}

static void
check_schedule(const struct schedule *s)
{
        struct oscore_input client =
            make_input(SECRET, s->salt, s->id_context, s->sender_id, s->recipient_id, 10);
        struct oscore_input server =
            make_input(SECRET, s->salt, s->id_context, s->recipient_id, s->sender_id, 10);
        struct oscore_keys c, d;
        uint8_t nonce[OSCORE_NONCE_BYTES_MAX];

        cr_assert_eq(oscore_derive_keys(&client, &c), 0);
        cr_assert_eq(oscore_derive_keys(&server, &d), 0);
        assert_hex(c.sender_key, 16, s->sender_key);
        assert_hex(c.recipient_key, 16, s->recipient_key);
        assert_hex(c.common_iv, 13, s->common_iv);
        assert_hex(d.sender_key, 16, s->recipient_key);
        assert_hex(d.recipient_key, 16, s->sender_key);
        assert_hex(d.common_iv, 13, s->common_iv);
        oscore_nonce(nonce, 10, c.common_iv, client.sender_id, client.sender_id_bytes, 0);
        assert_hex(nonce, 13, s->sender_nonce);
        oscore_nonce(nonce, 10, c.common_iv, client.recipient_id, client.recipient_id_bytes, 0);
        assert_hex(nonce, 13, s->recipient_nonce);
}

Test(oscore, key_schedules_c1_to_c3)
{
        for (size_t i = 0; i < sizeof(SCHEDULES) / sizeof(SCHEDULES[0]); i++)
                check_schedule(&SCHEDULES[i]);
}

/* C.4 to C.8. nonce_id and nonce_piv are those of the endpoint that chose the nonce. */
struct message {
        const char *section, *key, *common_iv, *request_kid, *nonce_id;
        uint64_t request_piv, nonce_piv;
        const char *aad, *nonce, *plaintext, *ciphertext;
};

static const struct message MESSAGES[] = {
    {"C.4", "f0910ed7295e6ad4b54fc793154302ff", "4622d4dd6d944168eefb54987c", "", "", 20, 20,
        "8368456e63727970743040488501810a40411440", "4622d4dd6d944168eefb549868", "01b3747631",
        "612f1092f1776f1c1668b3825e"},
    {"C.5", "321b26943253c7ffb6003b0b64d74041", "be35ae297d2dace910c52e99f9", "00", "00", 20, 20,
        "8368456e63727970743040498501810a4100411440", "bf35ae297d2dace910c52e99ed", "01b3747631",
        "4ed339a5a379b0b8bc731fffb0"},
    {"C.6", "af2a1300a5e95788b356336eeecd2b92", "2ca58fb85ff1b81c0b7181b85e", "", "", 20, 20,
        "8368456e63727970743040488501810a40411440", "2ca58fb85ff1b81c0b7181b84a", "01b3747631",
        "72cd7273fd331ac45cffbe55c3"},
    {"C.7", "ffb14e093c94c9cac9471648b4f98710", "4622d4dd6d944168eefb54987c", "", "", 20, 20,
        "8368456e63727970743040488501810a40411440", "4622d4dd6d944168eefb549868",
        "45ff48656c6c6f20576f726c6421", "dbaad1e9a7e7b2a813d3c31524378303cdafae119106"},
    {"C.8", "ffb14e093c94c9cac9471648b4f98710", "4622d4dd6d944168eefb54987c", "", "01", 20, 0,
        "8368456e63727970743040488501810a40411440", "4722d4dd6d944169eefb54987c",
        "45ff48656c6c6f20576f726c6421", "4d4c13669384b67354b2b6175ff4b8658c666a6cf88e"},
};

static void
check_message(struct engine *engine, const struct message *m)
{
        _Alignas(16) uint8_t expanded[AEAD_EXPANDED_CCM_BYTES];
        uint8_t aad[OSCORE_AAD_BYTES_MAX], nonce[OSCORE_NONCE_BYTES_MAX], out[BYTES_MAX];
        uint64_t ok[ENGINE_BITMAP_WORDS];
        struct bytes kid = hex(m->request_kid), id = hex(m->nonce_id), key = hex(m->key);
        struct bytes iv = hex(m->common_iv);
        struct bytes plain = hex(m->plaintext), sealed = hex(m->ciphertext);

        size_t aad_bytes = oscore_aad(aad, 10, kid.at, kid.n, m->request_piv);
        assert_hex(aad, aad_bytes, m->aad);
        oscore_nonce(nonce, 10, iv.at, id.at, id.n, m->nonce_piv);
        assert_hex(nonce, 13, m->nonce);

        cr_assert_eq(aead_expand_key(engine, 10, key.at, expanded), 0);
        struct aead_job job = {
            expanded, nonce, aad, plain.at, out, (uint32_t)plain.n, (uint16_t)aad_bytes, 10};
        engine_seal(engine, &job, 1);
        assert_hex(out, plain.n + 8, m->ciphertext);
        job.in = sealed.at;
        job.in_bytes = (uint32_t)sealed.n;
        engine_open(engine, &job, 1, ok);
        cr_assert_eq(ok[0], 1, "%s", m->section);
        assert_hex(out, sealed.n - 8, m->plaintext);
        nonce[12] ^= 1;
        engine_open(engine, &job, 1, ok);
        cr_assert_eq(ok[0], 0, "%s", m->section);
}

Test(oscore, messages_c4_to_c8)
{
        static const enum engine_backend backends[] = {ENGINE_PORTABLE, ENGINE_AUTO};
        for (unsigned b = 0; b < 2; b++) {
                struct engine *engine;
                cr_assert_eq(engine_create(&engine, backends[b]), 0);
                for (size_t i = 0; i < sizeof(MESSAGES) / sizeof(MESSAGES[0]); i++)
                        check_message(engine, &MESSAGES[i]);
                engine_destroy(engine);
        }
}

/* RFC 5869 §2 by way of its definition: libsodium's HMAC on info written out by hand, for the
 * algorithms whose number and key length need two bytes of CBOR. */
Test(oscore, other_algorithms)
{
        static const struct {
                int alg;
                size_t key_bytes, nonce_bytes;
                const char *sender, *iv;
        } cases[] = {
            {1, 16, 12, "854107f601634b657910", "8540f6016249560c"},
            {3, 32, 12, "854107f603634b65791820", "8540f6036249560c"},
            {24, 32, 12, "854107f61818634b65791820", "8540f618186249560c"},
            {30, 16, 13, "854107f6181e634b657910", "8540f6181e6249560d"},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct oscore_input in =
                    make_input(SECRET, "9e7ca92223786340", NULL, "07", "", cases[i].alg);
                struct oscore_keys keys;
                uint8_t prk[32], okm[32];
                crypto_auth_hmacsha256_state st;
                cr_assert_eq(oscore_derive_keys(&in, &keys), 0);
                crypto_auth_hmacsha256_init(&st, in.salt, in.salt_bytes);
                crypto_auth_hmacsha256_update(&st, in.secret, in.secret_bytes);
                crypto_auth_hmacsha256_final(&st, prk);
                struct bytes info = hex(cases[i].sender);
                info.at[info.n++] = 1;
                crypto_auth_hmacsha256(okm, info.at, info.n, prk);
                cr_assert_arr_eq(keys.sender_key, okm, cases[i].key_bytes, "alg %d", cases[i].alg);
                info = hex(cases[i].iv);
                info.at[info.n++] = 1;
                crypto_auth_hmacsha256(okm, info.at, info.n, prk);
                cr_assert_arr_eq(keys.common_iv, okm, cases[i].nonce_bytes, "alg %d", cases[i].alg);
        }
}

Test(oscore, refused_inputs)
{
        struct oscore_keys keys;
        struct oscore_input in = make_input(SECRET, "", NULL, "01", "02", 10);
        cr_assert_eq(oscore_derive_keys(&in, &keys), 0);

        static const int bad_algs[] = {0, 2, 11, 12, 31, 255};
        for (size_t i = 0; i < sizeof(bad_algs) / sizeof(bad_algs[0]); i++) {
                in = make_input(SECRET, "", NULL, "01", "02", bad_algs[i]);
                cr_assert_eq(oscore_derive_keys(&in, &keys), -EINVAL, "alg %d", bad_algs[i]);
        }
        in = make_input("0102030405060708090a0b0c0d0e0f", "", NULL, "01", "02", 10);
        cr_assert_eq(oscore_derive_keys(&in, &keys), -EINVAL, "a secret of 15 bytes");
        in = make_input(SECRET, "", NULL, "01", "01", 10);
        cr_assert_eq(oscore_derive_keys(&in, &keys), -EINVAL, "equal IDs");
        in = make_input(SECRET, "", NULL, "", "", 10);
        cr_assert_eq(oscore_derive_keys(&in, &keys), -EINVAL, "equal empty IDs");
        in = make_input(SECRET, "", NULL, "01", "0100", 10);
        cr_assert_eq(oscore_derive_keys(&in, &keys), 0, "a prefix is another ID");
        in = make_input(SECRET, "", NULL, "01020304050607", "02", 10);
        cr_assert_eq(oscore_derive_keys(&in, &keys), 0, "7 bytes with CCM");
        in.alg = 1;
        cr_assert_eq(oscore_derive_keys(&in, &keys), -EINVAL, "7 bytes with GCM");
        in.sender_id_bytes = 6;
        cr_assert_eq(oscore_derive_keys(&in, &keys), 0, "6 bytes with GCM");
        in = make_input(SECRET, "", NULL, "01", "02", 10);
        in.recipient_id_bytes = 8;
        cr_assert_eq(oscore_derive_keys(&in, &keys), -EINVAL);
        in.recipient_id_bytes = 1;
        in.secret_bytes = OSCORE_SECRET_BYTES_MAX + 1;
        cr_assert_eq(oscore_derive_keys(&in, &keys), -EINVAL);
        in.secret_bytes = 16;
        in.salt_bytes = OSCORE_SALT_BYTES_MAX + 1;
        cr_assert_eq(oscore_derive_keys(&in, &keys), -EINVAL);
        in.salt_bytes = 0;
        in.id_context_bytes = OSCORE_ID_CONTEXT_BYTES_MAX + 1;
        cr_assert_eq(oscore_derive_keys(&in, &keys), -EINVAL);
}

/* An empty ID context is not the same as none. */
Test(oscore, empty_id_context_differs_from_none)
{
        struct oscore_input in = make_input(SECRET, "", NULL, "01", "02", 10);
        struct oscore_keys none, empty;
        cr_assert_eq(oscore_derive_keys(&in, &none), 0);
        in.has_id_context = true;
        cr_assert_eq(oscore_derive_keys(&in, &empty), 0);
        cr_assert_arr_neq(none.sender_key, empty.sender_key, 16);
}

Test(oscore, partial_iv_encoding)
{
        static const struct {
                uint64_t piv;
                const char *hex;
        } cases[] = {{0, "00"}, {1, "01"}, {255, "ff"}, {256, "0100"}, {65535, "ffff"},
            {65536, "010000"}, {0xffffff, "ffffff"}, {0x1000000, "01000000"},
            {UINT64_C(0x100000000), "0100000000"}, {OSCORE_PIV_MAX, "ffffffffff"}};
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                uint8_t out[OSCORE_PIV_BYTES_MAX];
                size_t n = oscore_encode_piv(out, cases[i].piv);
                assert_hex(out, n, cases[i].hex);
        }
}

/* The longest AAD fits, and within what ipsec-mb takes for CCM. */
Test(oscore, longest_nonce_and_aad)
{
        uint8_t aad[OSCORE_AAD_BYTES_MAX], nonce[OSCORE_NONCE_BYTES_MAX];
        static const uint8_t zero_iv[OSCORE_NONCE_BYTES_MAX];
        struct bytes id = hex("a1a2a3a4a5a6a7");
        size_t n = oscore_aad(aad, 30, id.at, id.n, OSCORE_PIV_MAX);
        assert_hex(aad, n,
            "8368456e637279707430405485018118"
            "1e47a1a2a3a4a5a6a745ffffffffff40");
        oscore_nonce(nonce, 10, zero_iv, id.at, 7, OSCORE_PIV_MAX);
        assert_hex(nonce, 13, "07a1a2a3a4a5a6a7ffffffffff");
        oscore_nonce(nonce, 24, zero_iv, id.at, 6, 0x0102);
        assert_hex(nonce, 12, "06a1a2a3a4a5a60000000102");
}

/* The shared file of vectors says the same, where it is present. */
Test(oscore, shared_vectors)
{
        const char *shared = getenv("AORTA_SHARED");
        char path[512];
        snprintf(path, sizeof(path), "%s/vectors/oscore-rfc8613.json",
            shared != NULL ? shared : SOURCE_ROOT "/../shared");
        if (access(path, R_OK) != 0)
                cr_skip_test("%s is absent", path);
        json_t *file = json_load_file(path, 0, NULL), *v;
        cr_assert_not_null(file);
        size_t i, seen = 0;
        json_array_foreach(json_object_get(file, "vectors"), i, v)
        {
                const char *sender_key = json_string_value(json_object_get(v, "sender_key"));
                if (json_object_get(v, "master_secret") == NULL)
                        continue;
                const char *salt = json_string_value(json_object_get(v, "master_salt"));
                struct oscore_input in = make_input(
                    json_string_value(json_object_get(v, "master_secret")),
                    salt != NULL ? salt : "", json_string_value(json_object_get(v, "id_context")),
                    json_string_value(json_object_get(v, "sender_id")),
                    json_string_value(json_object_get(v, "recipient_id")), 10);
                struct oscore_keys keys;
                cr_assert_eq(oscore_derive_keys(&in, &keys), 0);
                assert_hex(keys.sender_key, 16, sender_key);
                assert_hex(keys.common_iv, 13, json_string_value(json_object_get(v, "common_iv")));
                seen++;
        }
        cr_assert_eq(seen, 6);
        json_decref(file);
}
