/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/note.h"
#include "crypto/base64.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TYPE_ED25519     1u
#define KEY_BYTES        (1 + crypto_sign_PUBLICKEYBYTES) /* type ‖ public key */
#define KEY_ID_BYTES     4u
#define KEY_ID_CHARS     8u
#define SIGNATURE_BYTES  (KEY_ID_BYTES + crypto_sign_BYTES)
#define SIGNATURE_MAX    (NOTE_BYTES_MAX / 4 * 3) /* a stranger's may be of another type */
#define SIGNATURE_PREFIX "\xe2\x80\x94 "          /* em dash, space */
#define PREFIX_BYTES     (sizeof(SIGNATURE_PREFIX) - 1)

struct note_signer {
        struct note_verifier verifier;
        uint8_t secret_key[crypto_sign_SECRETKEYBYTES];
};

/* ---- characters ---- */

/* Reads one UTF-8 character of at most left bytes; returns its bytes, 0 when it is malformed
 * (overlong, surrogate, above U+10FFFF, cut). RFC 3629 §3. */
static size_t
read_character(uint32_t *character, const uint8_t *in, size_t left)
{
        static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
        size_t bytes = in[0] < 0x80             ? 1
                       : (in[0] & 0xe0) == 0xc0 ? 2
                       : (in[0] & 0xf0) == 0xe0 ? 3
                       : (in[0] & 0xf8) == 0xf0 ? 4
                                                : 0;
        if (bytes == 0 || bytes > left)
                return 0;
        uint32_t c = bytes == 1 ? in[0] : in[0] & (0x7fu >> bytes);
        for (size_t i = 1; i < bytes; i++) {
                if ((in[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (in[i] & 0x3f);
        }
        if (c < least[bytes] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;
        *character = c;
        return bytes;
}

/* Unicode's White_Space. */
static bool
is_space(uint32_t c)
{
        return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
               (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
               c == 0x205f || c == 0x3000;
}

static bool
name_valid(const char *name, size_t bytes)
{
        if (bytes == 0 || bytes > NOTE_NAME_BYTES_MAX)
                return false;
        for (size_t at = 0; at < bytes;) {
                uint32_t c;
                size_t n = read_character(&c, (const uint8_t *)name + at, bytes - at);
                if (n == 0 || c < 0x20 || c == '+' || is_space(c))
                        return false;
                at += n;
        }
        return true;
}

/* What a note's text, and a whole note, may hold: UTF-8 without control characters but '\n'. */
static bool
text_valid(const char *text, size_t bytes)
{
        for (size_t at = 0; at < bytes;) {
                uint32_t c;
                size_t n = read_character(&c, (const uint8_t *)text + at, bytes - at);
                if (n == 0 || (c < 0x20 && c != '\n'))
                        return false;
                at += n;
        }
        return true;
}

/* ---- keys ---- */

/* First four bytes of SHA-256(name ‖ '\n' ‖ type ‖ public key), big-endian. */
static uint32_t
key_id(const char *name, const uint8_t key[KEY_BYTES])
{
        crypto_hash_sha256_state state;
        uint8_t hash[crypto_hash_sha256_BYTES];

        crypto_hash_sha256_init(&state);
        crypto_hash_sha256_update(&state, (const uint8_t *)name, strlen(name));
        crypto_hash_sha256_update(&state, (const uint8_t *)"\n", 1);
        crypto_hash_sha256_update(&state, key, KEY_BYTES);
        crypto_hash_sha256_final(&state, hash);
        return (uint32_t)hash[0] << 24 | (uint32_t)hash[1] << 16 | (uint32_t)hash[2] << 8 | hash[3];
}

static void
typed_key(uint8_t key[KEY_BYTES], const uint8_t public_key[crypto_sign_PUBLICKEYBYTES])
{
        key[0] = TYPE_ED25519;
        memcpy(key + 1, public_key, crypto_sign_PUBLICKEYBYTES);
}

int
note_signer_create(struct note_signer **out, const char *name, const uint8_t seed[32])
{
        uint8_t key[KEY_BYTES];
        size_t name_bytes = strnlen(name, NOTE_NAME_BYTES_MAX + 1);

        if (!name_valid(name, name_bytes))
                return -EINVAL;
        if (sodium_init() < 0)
                return -EIO;
        struct note_signer *signer = sodium_malloc(sizeof(*signer));
        if (signer == NULL)
                return -ENOMEM;
        memset(signer, 0, sizeof(*signer));
        memcpy(signer->verifier.name, name, name_bytes);
        crypto_sign_seed_keypair(signer->verifier.public_key, signer->secret_key, seed);
        typed_key(key, signer->verifier.public_key);
        signer->verifier.key_id = key_id(signer->verifier.name, key);
        if (sodium_mprotect_readonly(signer) < 0) {
                sodium_free(signer);
                return -ENOMEM;
        }
        *out = signer;
        return 0;
}

void
note_signer_free(struct note_signer *signer)
{
        sodium_free(signer);
}

void
note_signer_verifier(const struct note_signer *signer, struct note_verifier *verifier)
{
        *verifier = signer->verifier;
}

int
note_vkey_write(char out[NOTE_VKEY_BYTES_MAX], const struct note_verifier *verifier)
{
        uint8_t key[KEY_BYTES];
        char encoded[BASE64_BYTES(KEY_BYTES) + 1];

        if (!name_valid(verifier->name, strnlen(verifier->name, sizeof(verifier->name))))
                return -EINVAL;
        typed_key(key, verifier->public_key);
        base64_encode(encoded, key, sizeof(key));
        int n = snprintf(
            out, NOTE_VKEY_BYTES_MAX, "%s+%08x+%s", verifier->name, verifier->key_id, encoded);
        assert(n > 0 && (unsigned)n < NOTE_VKEY_BYTES_MAX);
        return 0;
}

/* Exactly eight lower-case digits. */
static bool
read_key_id(uint32_t *id, const char *in)
{
        *id = 0;
        for (unsigned i = 0; i < KEY_ID_CHARS; i++) {
                char c = in[i];
                if (c >= '0' && c <= '9')
                        *id = *id << 4 | (uint32_t)(c - '0');
                else if (c >= 'a' && c <= 'f')
                        *id = *id << 4 | (uint32_t)(c - 'a' + 10);
                else
                        return false;
        }
        return true;
}

int
note_vkey_read(struct note_verifier *verifier, const char *vkey)
{
        struct note_verifier v = {0};
        uint8_t key[KEY_BYTES];
        size_t bytes = strnlen(vkey, NOTE_VKEY_BYTES_MAX);
        const char *plus = memchr(vkey, '+', bytes);

        if (bytes == NOTE_VKEY_BYTES_MAX || plus == NULL)
                return -EBADMSG;
        size_t name_bytes = (size_t)(plus - vkey);
        if (!name_valid(vkey, name_bytes))
                return -EBADMSG;
        size_t rest = bytes - name_bytes - 1;
        if (rest != KEY_ID_CHARS + 1 + BASE64_BYTES(KEY_BYTES) || plus[1 + KEY_ID_CHARS] != '+' ||
            !read_key_id(&v.key_id, plus + 1))
                return -EBADMSG;
        if (base64_decode(key, sizeof(key), plus + 1 + KEY_ID_CHARS + 1, BASE64_BYTES(KEY_BYTES)) !=
            (long)KEY_BYTES)
                return -EBADMSG;
        memcpy(v.name, vkey, name_bytes);
        if (key[0] != TYPE_ED25519 || key_id(v.name, key) != v.key_id)
                return -EBADMSG;
        memcpy(v.public_key, key + 1, sizeof(v.public_key));
        *verifier = v;
        return 0;
}

/* ---- notes ---- */

int
note_sign(char *out, size_t out_bytes, const char *text, size_t text_bytes,
    const struct note_signer *signer)
{
        uint8_t signature[SIGNATURE_BYTES];
        char encoded[BASE64_BYTES(SIGNATURE_BYTES) + 1];
        uint32_t id = signer->verifier.key_id;

        if (text_bytes == 0 || text_bytes > NOTE_BYTES_MAX || text[text_bytes - 1] != '\n' ||
            !text_valid(text, text_bytes))
                return -EINVAL;
        for (unsigned i = 0; i < KEY_ID_BYTES; i++)
                signature[i] = (uint8_t)(id >> (8 * (KEY_ID_BYTES - 1 - i)));
        crypto_sign_detached(
            signature + KEY_ID_BYTES, NULL, (const uint8_t *)text, text_bytes, signer->secret_key);
        base64_encode(encoded, signature, sizeof(signature));

        size_t name_bytes = strlen(signer->verifier.name);
        size_t note_bytes =
            text_bytes + 1 + PREFIX_BYTES + name_bytes + 1 + sizeof(encoded) - 1 + 1;
        if (note_bytes > NOTE_BYTES_MAX || note_bytes >= out_bytes)
                return -ENOSPC;
        memcpy(out, text, text_bytes);
        int n = snprintf(out + text_bytes, out_bytes - text_bytes, "\n" SIGNATURE_PREFIX "%s %s\n",
            signer->verifier.name, encoded);
        assert(n > 0 && text_bytes + (size_t)n == note_bytes);
        return (int)note_bytes;
}

/* The offset of the last blank line's first '\n' (the text's end), or 0 when there is none. */
static size_t
last_blank_line(const char *note, size_t bytes)
{
        for (size_t at = bytes; at >= 2; at--) {
                if (note[at - 2] == '\n' && note[at - 1] == '\n')
                        return at - 1; /* bytes of the text, its '\n' included */
        }
        return 0;
}

/* One signature line without its '\n'. 1: the verifier's and good; 0: somebody else's; -EBADMSG. */
static int
check_line(const char *line, size_t bytes, const struct note_verifier *verifier, const char *text,
    size_t text_bytes)
{
        uint8_t signature[SIGNATURE_MAX];

        if (bytes < PREFIX_BYTES || memcmp(line, SIGNATURE_PREFIX, PREFIX_BYTES) != 0)
                return -EBADMSG;
        line += PREFIX_BYTES;
        bytes -= PREFIX_BYTES;
        const char *space = memchr(line, ' ', bytes);
        if (space == NULL || !name_valid(line, (size_t)(space - line)))
                return -EBADMSG;
        size_t name_bytes = (size_t)(space - line);
        long n = base64_decode(signature, sizeof(signature), space + 1, bytes - name_bytes - 1);
        if (n <= (long)KEY_ID_BYTES)
                return -EBADMSG;
        uint32_t id = (uint32_t)signature[0] << 24 | (uint32_t)signature[1] << 16 |
                      (uint32_t)signature[2] << 8 | signature[3];
        if (id != verifier->key_id || name_bytes != strlen(verifier->name) ||
            memcmp(line, verifier->name, name_bytes) != 0)
                return 0;
        if (n != (long)SIGNATURE_BYTES)
                return -EBADMSG;
        return crypto_sign_verify_detached(signature + KEY_ID_BYTES, (const uint8_t *)text,
                   text_bytes, verifier->public_key) == 0
                   ? 1
                   : -EBADMSG;
}

int
note_open(
    const char *note, size_t note_bytes, const struct note_verifier *verifier, size_t *text_bytes)
{
        bool found = false;

        if (note_bytes == 0 || note_bytes > NOTE_BYTES_MAX || note[note_bytes - 1] != '\n' ||
            !text_valid(note, note_bytes))
                return -EBADMSG;
        size_t text = last_blank_line(note, note_bytes);
        if (text == 0 || text + 1 == note_bytes)
                return -EBADMSG; /* no blank line, or no signature after it */
        for (size_t at = text + 1; at < note_bytes;) {
                const char *end = memchr(note + at, '\n', note_bytes - at);
                assert(end != NULL); /* the note ends in one */
                size_t bytes = (size_t)(end - (note + at));
                int rc = check_line(note + at, bytes, verifier, note, text);
                if (rc < 0)
                        return rc;
                found |= rc == 1;
                at += bytes + 1;
        }
        if (!found)
                return -ENOKEY;
        *text_bytes = text;
        return 0;
}
