/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/oscore.h"
#include "crypto/engine.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#define OSCORE_SECRET_BYTES_MIN 16u
#define HASH_BYTES              crypto_auth_hmacsha256_BYTES
/* array, two ids, algorithm, type, length */
#define INFO_BYTES_MAX                                                                             \
        (1 + 1 + OSCORE_ID_BYTES_MAX + 1 + OSCORE_ID_CONTEXT_BYTES_MAX + 2 + 1 + 3 + 2)

static_assert(OSCORE_ID_BYTES_MAX < 24 && OSCORE_ID_CONTEXT_BYTES_MAX < 24 &&
                  OSCORE_PIV_BYTES_MAX < 24 && OSCORE_AAD_BYTES_MAX < 256,
    "CBOR heads below are of one byte, of two for the AAD");
static_assert(OSCORE_AAD_BYTES_MAX <= AEAD_AAD_BYTES_MAX, "the engine takes OSCORE's AAD");

enum { CBOR_UINT = 0x00, CBOR_BYTES = 0x40, CBOR_TEXT = 0x60, CBOR_ARRAY = 0x80, CBOR_NIL = 0xf6 };

/* A CBOR head of a value below 256 (RFC 8949 §3). */
static size_t
put_head(uint8_t *out, uint8_t major, size_t value)
{
        assert(value < 256);
        if (value < 24) {
                out[0] = (uint8_t)(major | value);
                return 1;
        }
        out[0] = major | 24;
        out[1] = (uint8_t)value;
        return 2;
}

static size_t
put_string(uint8_t *out, uint8_t major, const void *in, size_t bytes)
{
        size_t n = put_head(out, major, bytes);
        if (bytes > 0)
                memcpy(out + n, in, bytes);
        return n + bytes;
}

static size_t
put_info(uint8_t info[INFO_BYTES_MAX], const struct oscore_input *input, const uint8_t *id,
    size_t id_bytes, const char *type, size_t out_bytes)
{
        size_t n = put_head(info, CBOR_ARRAY, 5);
        n += put_string(info + n, CBOR_BYTES, id, id_bytes);
        if (input->has_id_context)
                n += put_string(info + n, CBOR_BYTES, input->id_context, input->id_context_bytes);
        else
                info[n++] = CBOR_NIL;
        n += put_head(info + n, CBOR_UINT, input->alg);
        n += put_string(info + n, CBOR_TEXT, type, strlen(type));
        n += put_head(info + n, CBOR_UINT, out_bytes);
        assert(n <= INFO_BYTES_MAX);
        return n;
}

/* RFC 5869 §2.3 for at most one block of output. */
static void
hkdf_expand(uint8_t *out, size_t out_bytes, const uint8_t prk[HASH_BYTES], const uint8_t *info,
    size_t info_bytes)
{
        static const uint8_t counter = 1;
        crypto_auth_hmacsha256_state state;
        uint8_t block[HASH_BYTES];

        assert(out_bytes <= HASH_BYTES);
        crypto_auth_hmacsha256_init(&state, prk, HASH_BYTES);
        crypto_auth_hmacsha256_update(&state, info, info_bytes);
        crypto_auth_hmacsha256_update(&state, &counter, 1);
        crypto_auth_hmacsha256_final(&state, block);
        memcpy(out, block, out_bytes);
        sodium_memzero(&state, sizeof(state));
        sodium_memzero(block, sizeof(block));
}

/* RFC 5869 §2.2; no salt is the same as an empty one. */
static void
hkdf_extract(uint8_t prk[HASH_BYTES], const struct oscore_input *input)
{
        crypto_auth_hmacsha256_state state;

        crypto_auth_hmacsha256_init(&state, input->salt, input->salt_bytes);
        crypto_auth_hmacsha256_update(&state, input->secret, input->secret_bytes);
        crypto_auth_hmacsha256_final(&state, prk);
        sodium_memzero(&state, sizeof(state));
}

static bool
input_valid(const struct oscore_input *input)
{
        size_t nonce_bytes = aead_nonce_bytes(input->alg);
        if (nonce_bytes == 0)
                return false;
        size_t id_max = nonce_bytes - 6; /* RFC 8613 §3.3 */
        if (input->secret_bytes < OSCORE_SECRET_BYTES_MIN ||
            input->secret_bytes > OSCORE_SECRET_BYTES_MAX ||
            input->salt_bytes > OSCORE_SALT_BYTES_MAX ||
            input->id_context_bytes > OSCORE_ID_CONTEXT_BYTES_MAX)
                return false;
        if (input->sender_id_bytes > id_max || input->recipient_id_bytes > id_max)
                return false;
        return input->sender_id_bytes != input->recipient_id_bytes ||
               memcmp(input->sender_id, input->recipient_id, input->sender_id_bytes) != 0;
}

int
oscore_derive_keys(const struct oscore_input *input, struct oscore_keys *keys)
{
        uint8_t prk[HASH_BYTES], info[INFO_BYTES_MAX];
        size_t n;

        memset(keys, 0, sizeof(*keys));
        if (!input_valid(input))
                return -EINVAL;
        size_t key_bytes = aead_key_bytes(input->alg);
        size_t nonce_bytes = aead_nonce_bytes(input->alg);

        hkdf_extract(prk, input);
        n = put_info(info, input, input->sender_id, input->sender_id_bytes, "Key", key_bytes);
        hkdf_expand(keys->sender_key, key_bytes, prk, info, n);
        n = put_info(info, input, input->recipient_id, input->recipient_id_bytes, "Key", key_bytes);
        hkdf_expand(keys->recipient_key, key_bytes, prk, info, n);
        n = put_info(info, input, NULL, 0, "IV", nonce_bytes);
        hkdf_expand(keys->common_iv, nonce_bytes, prk, info, n);
        sodium_memzero(prk, sizeof(prk));
        return 0;
}

static void
put_piv_padded(uint8_t out[OSCORE_PIV_BYTES_MAX], uint64_t piv)
{
        for (unsigned i = 0; i < OSCORE_PIV_BYTES_MAX; i++)
                out[i] = (uint8_t)(piv >> (8 * (OSCORE_PIV_BYTES_MAX - 1 - i)));
}

void
oscore_nonce(uint8_t *nonce, int alg, const uint8_t *common_iv, const uint8_t *id, size_t id_bytes,
    uint64_t piv)
{
        size_t nonce_bytes = aead_nonce_bytes(alg);
        assert(nonce_bytes != 0 && id_bytes <= nonce_bytes - 6 && piv <= OSCORE_PIV_MAX);
        size_t id_end = nonce_bytes - OSCORE_PIV_BYTES_MAX;
        uint8_t plain[OSCORE_NONCE_BYTES_MAX] = {0};

        plain[0] = (uint8_t)id_bytes;
        if (id_bytes > 0)
                memcpy(plain + id_end - id_bytes, id, id_bytes);
        put_piv_padded(plain + id_end, piv);
        for (size_t i = 0; i < nonce_bytes; i++)
                nonce[i] = plain[i] ^ common_iv[i];
}

size_t
oscore_encode_piv(uint8_t out[OSCORE_PIV_BYTES_MAX], uint64_t piv)
{
        uint8_t padded[OSCORE_PIV_BYTES_MAX];
        unsigned skip = 0;

        assert(piv <= OSCORE_PIV_MAX);
        put_piv_padded(padded, piv);
        while (skip < OSCORE_PIV_BYTES_MAX - 1 && padded[skip] == 0)
                skip++;
        memcpy(out, padded + skip, OSCORE_PIV_BYTES_MAX - skip);
        return OSCORE_PIV_BYTES_MAX - skip;
}

size_t
oscore_aad(uint8_t aad[OSCORE_AAD_BYTES_MAX], int alg, const uint8_t *request_kid, size_t kid_bytes,
    uint64_t request_piv)
{
        static const char context[] = "Encrypt0";
        uint8_t array[OSCORE_AAD_BYTES_MAX], piv[OSCORE_PIV_BYTES_MAX];
        size_t n, piv_bytes = oscore_encode_piv(piv, request_piv);

        assert(kid_bytes <= OSCORE_ID_BYTES_MAX && piv_bytes <= OSCORE_PIV_BYTES_MAX);
        assert(alg >= 0 && alg < 256);
        /* external_aad: [oscore_version, [alg], request_kid, request_piv, options] */
        n = put_head(array, CBOR_ARRAY, 5);
        n += put_head(array + n, CBOR_UINT, 1);
        n += put_head(array + n, CBOR_ARRAY, 1);
        n += put_head(array + n, CBOR_UINT, (size_t)alg);
        n += put_string(array + n, CBOR_BYTES, request_kid, kid_bytes);
        n += put_string(array + n, CBOR_BYTES, piv, piv_bytes);
        n += put_head(array + n, CBOR_BYTES, 0); /* no class I options are defined */

        /* Enc_structure: ["Encrypt0", h'', external_aad] (RFC 9052 §5.3) */
        size_t out = put_head(aad, CBOR_ARRAY, 3);
        out += put_string(aad + out, CBOR_TEXT, context, sizeof(context) - 1);
        out += put_head(aad + out, CBOR_BYTES, 0);
        out += put_string(aad + out, CBOR_BYTES, array, n);
        assert(out <= OSCORE_AAD_BYTES_MAX);
        return out;
}
