/* SPDX-License-Identifier: Apache-2.0 */
/* C2SP signed-note: text, an empty line, signature lines. Ed25519 (type 1). */
#ifndef AORTA_CRYPTO_NOTE_H
#define AORTA_CRYPTO_NOTE_H

#include <stddef.h>
#include <stdint.h>

#define NOTE_NAME_BYTES_MAX 255u
#define NOTE_VKEY_BYTES_MAX 400u
#define NOTE_BYTES_MAX      8192u

struct note_signer; /* a name and an Ed25519 secret key, in guarded memory */
struct note_verifier {
        char name[NOTE_NAME_BYTES_MAX + 1];
        uint32_t key_id;
        uint8_t public_key[32];
};

/* From a 32-byte seed. -EINVAL for a name that is empty or holds a space or '+'. */
int note_signer_create(struct note_signer **signer, const char *name, const uint8_t seed[32]);
void note_signer_free(struct note_signer *signer);
void note_signer_verifier(const struct note_signer *signer, struct note_verifier *verifier);

/* NAME+hex8(key id)+base64(type ‖ public key), NUL-terminated. */
int note_vkey_write(char out[NOTE_VKEY_BYTES_MAX], const struct note_verifier *verifier);
int note_vkey_read(struct note_verifier *verifier, const char *vkey);

/* Signs text (ends in '\n', no byte below 0x20 but '\n'): writes the whole note, NUL-terminated, and
 * returns its length or -errno (-ENOSPC, -EINVAL). */
int note_sign(char *out, size_t out_bytes, const char *text, size_t text_bytes,
    const struct note_signer *signer);

/* Checks a note: at least one signature of the verifier, none of it bad. On success *text_bytes is the
 * length of the text at the note's start. 0, -EBADMSG (malformed or bad signature), -ENOKEY (none of
 * this verifier's). */
int note_open(const char *note, size_t note_bytes, const struct note_verifier *verifier, size_t *text_bytes);

#endif
