/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: notes and keys are those of Go's sumdb/note and of libsodium; no note that was altered in
 * any way opens. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/base64.h"
#include "crypto/note.h"

/* The example of golang.org/x/mod/sumdb/note. */
#define GO_SEED "810a1402d5146c8d84f2443330f54080ebf98ee17d9c74f6252fc5d5c7283173"
static const char GO_VKEY[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
static const char GO_TEXT[] = "If you think cryptography is the answer to your problem,\n"
                              "then you don't know what your problem is.\n";
static const char GO_NOTE[] =
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\xe2\x80\x94 PeterNeumann "
    "x08go/ZJkuBS9UG/"
    "SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

static struct note_signer *
make_signer(const char *name, uint8_t seed_byte)
{
        uint8_t seed[32];
        struct note_signer *signer = NULL;
        memset(seed, seed_byte, sizeof(seed));
        cr_assert_eq(note_signer_create(&signer, name, seed), 0, "%s", name);
        return signer;
}

Test(note, example_of_go)
{
        uint8_t seed[32];
        char vkey[NOTE_VKEY_BYTES_MAX], note[NOTE_BYTES_MAX];
        struct note_signer *signer = NULL;
        struct note_verifier v, w;
        size_t text_bytes = 0;

        sodium_hex2bin(seed, 32, GO_SEED, 64, NULL, NULL, NULL);
        cr_assert_eq(note_signer_create(&signer, "PeterNeumann", seed), 0);
        note_signer_verifier(signer, &v);
        cr_assert_eq(note_vkey_write(vkey, &v), 0);
        cr_assert_str_eq(vkey, GO_VKEY);
        cr_assert_eq(note_vkey_read(&w, GO_VKEY), 0);
        cr_assert_str_eq(w.name, "PeterNeumann");
        cr_assert_eq(w.key_id, 0xc74f20a3);
        cr_assert_arr_eq(w.public_key, v.public_key, 32);

        int n = note_sign(note, sizeof(note), GO_TEXT, strlen(GO_TEXT), signer);
        cr_assert_eq(n, (int)strlen(GO_NOTE));
        cr_assert_str_eq(note, GO_NOTE);
        cr_assert_eq(note_open(GO_NOTE, strlen(GO_NOTE), &w, &text_bytes), 0);
        cr_assert_eq(text_bytes, strlen(GO_TEXT));
        note_signer_free(signer);
}

/* The pieces of a note, taken apart by hand and verified by libsodium. */
Test(note, libsodium_verifies_a_note)
{
        static const char text[] =
            "aorta.example/log\n7\nqkRcE4m9PUrQvmGCNmo1Yy7xs5Cc2Z0QhYiyw0GAHfY=\n";
        struct note_signer *signer = make_signer("aorta.example/log", 7);
        struct note_verifier v;
        char note[NOTE_BYTES_MAX];
        uint8_t signature[68];
        size_t n = 0;

        note_signer_verifier(signer, &v);
        int bytes = note_sign(note, sizeof(note), text, strlen(text), signer);
        cr_assert_gt(bytes, 0);
        cr_assert_eq((size_t)bytes, strlen(note));
        const char *line = note + strlen(text) + 1;
        cr_assert_eq(memcmp(line, "\xe2\x80\x94 aorta.example/log ", 22), 0);
        cr_assert_eq(sodium_base642bin(signature, 68, line + 22, strlen(line + 22) - 1, NULL, &n,
                         NULL, sodium_base64_VARIANT_ORIGINAL),
            0);
        cr_assert_eq(n, 68);
        cr_assert_eq(crypto_sign_verify_detached(
                         signature + 4, (const uint8_t *)text, strlen(text), v.public_key),
            0);
        note_signer_free(signer);
}

Test(note, every_flip_and_truncation_is_refused)
{
        struct note_verifier v;
        size_t bytes = strlen(GO_NOTE), text_bytes = 12345;
        cr_assert_eq(note_vkey_read(&v, GO_VKEY), 0);
        for (size_t bit = 0; bit < bytes * 8; bit++) {
                char *note = malloc(bytes); /* without its NUL: ASan sees a read past it */
                memcpy(note, GO_NOTE, bytes);
                note[bit / 8] ^= (char)(1 << (bit % 8));
                int rc = note_open(note, bytes, &v, &text_bytes);
                cr_assert(rc == -EBADMSG || rc == -ENOKEY, "bit %zu: %d", bit, rc);
                free(note);
        }
        for (size_t cut = 0; cut < bytes; cut++) {
                char *note = malloc(cut > 0 ? cut : 1);
                memcpy(note, GO_NOTE, cut);
                cr_assert_eq(note_open(note, cut, &v, &text_bytes), -EBADMSG, "cut to %zu", cut);
                free(note);
        }
        cr_assert_eq(text_bytes, 12345, "a refused note says nothing of its text");
}

#define DASH "\xe2\x80\x94 "
#define SIGNATURE                                                                                  \
        "x08go/ZJkuBS9UG/"                                                                         \
        "SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
#define LINE DASH "PeterNeumann " SIGNATURE "\n"
#define TEXT                                                                                       \
        "If you think cryptography is the answer to your problem,\n"                               \
        "then you don't know what your problem is.\n"

Test(note, table_of_notes)
{
        static const struct {
                const char *what, *note;
                int rc;
        } cases[] = {
            {"as it is", TEXT "\n" LINE, 0},
            {"twice signed", TEXT "\n" LINE LINE, 0},
            {"a stranger before", TEXT "\n" DASH "stranger AAAAAAA=\n" LINE, 0},
            {"a stranger after", TEXT "\n" LINE DASH "stranger AAAAAAA=\n", 0},
            {"same name, other key", TEXT "\n" DASH "PeterNeumann AAAAAAA=\n" LINE, 0},
            {"only a stranger", TEXT "\n" DASH "stranger AAAAAAA=\n", -ENOKEY},
            {"only another key", TEXT "\n" DASH "PeterNeumann AAAAAAA=\n", -ENOKEY},
            {"a shorter name", TEXT "\n" DASH "PeterNeuman " SIGNATURE "\n", -ENOKEY},
            {"a longer name", TEXT "\n" DASH "PeterNeumannn " SIGNATURE "\n", -ENOKEY},
            {"a good and a bad one", TEXT "\n" LINE DASH "PeterNeumann x08gowAAAAAA\n", -EBADMSG},
            {"a bad and a good one", TEXT "\n" DASH "PeterNeumann x08gowAAAAAA\n" LINE, -EBADMSG},
            {"only the key's ID", TEXT "\n" DASH "PeterNeumann x08gow==\n", -EBADMSG},
            {"a stranger's ID only", TEXT "\n" DASH "stranger AAAAAA==\n" LINE, -EBADMSG},
            {"a stranger without bytes", TEXT "\n" DASH "stranger \n" LINE, -EBADMSG},
            {"a stranger's bad base64", TEXT "\n" DASH "stranger AAAAAAB=\n" LINE, -EBADMSG},
            {"no name", TEXT "\n" DASH " AAAAAAA=\n" LINE, -EBADMSG},
            {"a name with +", TEXT "\n" DASH "stran+ger AAAAAAA=\n" LINE, -EBADMSG},
            {"a name with a wide space", TEXT "\n" DASH "a\xe3\x80\x80z AAAAAAA=\n" LINE, -EBADMSG},
            {"two spaces", TEXT "\n" DASH "stranger  AAAAAAA=\n" LINE, -EBADMSG},
            {"a third word", TEXT "\n" DASH "stranger AAAAAAA= x\n" LINE, -EBADMSG},
            {"a hyphen for the dash", TEXT "\n- stranger AAAAAAA=\n" LINE, -EBADMSG},
            {"text after the signatures", TEXT "\n" LINE "more\n", -EBADMSG},
            {"no blank line", TEXT LINE, -EBADMSG},
            {"no signatures", TEXT "\n", -EBADMSG},
            {"signature after a second blank line", TEXT "\n\n" LINE, -EBADMSG},
            {"blank line at the end", TEXT "\n" LINE "\n", -EBADMSG},
            {"text before", "x" TEXT "\n" LINE, -EBADMSG},
            {"no text", "\n" LINE, -EBADMSG},
            {"a tab", "\t" TEXT "\n" LINE, -EBADMSG},
            {"a carriage return", TEXT "\r\n" LINE, -EBADMSG},
            {"bad UTF-8", "\xff" TEXT "\n" LINE, -EBADMSG},
            {"overlong UTF-8", "\xc0\x8a" TEXT "\n" LINE, -EBADMSG},
            {"a surrogate", "\xed\xa0\x80" TEXT "\n" LINE, -EBADMSG},
            {"nothing", "", -EBADMSG},
            {"one line end", "\n", -EBADMSG},
            {"two line ends", "\n\n", -EBADMSG},
        };
        struct note_verifier v;
        cr_assert_eq(note_vkey_read(&v, GO_VKEY), 0);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                size_t n = strlen(cases[i].note), text_bytes = 0;
                char *note = malloc(n > 0 ? n : 1);
                memcpy(note, cases[i].note, n);
                int rc = note_open(note, n, &v, &text_bytes);
                cr_assert_eq(rc, cases[i].rc, "%s: %d", cases[i].what, rc);
                if (rc == 0)
                        cr_assert_eq(text_bytes, strlen(TEXT), "%s", cases[i].what);
                free(note);
        }
        size_t text_bytes;
        cr_assert_eq(
            note_open(TEXT "\n" LINE "\0\n", sizeof(TEXT "\n" LINE "\0\n") - 1, &v, &text_bytes),
            -EBADMSG, "a NUL");
}

Test(note, blank_lines_in_the_text)
{
        static const char *const texts[] = {
            "\n", "a\n\nb\n", "a\n\n", "\n\n\n", "\xe2\x80\x94 x AAAAAAA=\n"};
        struct note_signer *signer = make_signer("log", 1);
        struct note_verifier v;
        note_signer_verifier(signer, &v);
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                char note[NOTE_BYTES_MAX];
                size_t text_bytes = 0;
                int n = note_sign(note, sizeof(note), texts[i], strlen(texts[i]), signer);
                cr_assert_gt(n, 0);
                cr_assert_eq(note_open(note, (size_t)n, &v, &text_bytes), 0, "text %zu", i);
                cr_assert_eq(text_bytes, strlen(texts[i]), "text %zu", i);
        }
        note_signer_free(signer);
}

Test(note, refused_texts_and_room)
{
        static const char *const bad[] = {"", "no line end", "a\rb\n", "tab\there\n", "\xc3\x28\n",
            "\xf4\x90\x80\x80\n", "\xe2\x82\n", "\xc0\xaf\n", "\xe0\x80\xaf\n",
            "\xf0\x80\x80\xaf\n", "\xed\xa0\x80\n"};
        struct note_signer *signer = make_signer("log", 1);
        char note[NOTE_BYTES_MAX];
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                cr_assert_eq(note_sign(note, sizeof(note), bad[i], strlen(bad[i]), signer), -EINVAL,
                    "text %zu", i);
        int n = note_sign(note, sizeof(note), "a\n", 2, signer);
        cr_assert_gt(n, 0);
        for (size_t room = 0; room <= (size_t)n; room++) {
                char *exact = malloc(room > 0 ? room : 1);
                cr_assert_eq(note_sign(exact, room, "a\n", 2, signer), -ENOSPC, "room %zu", room);
                free(exact);
        }
        char *exact = malloc((size_t)n + 1);
        cr_assert_eq(note_sign(exact, (size_t)n + 1, "a\n", 2, signer), n);
        free(exact);

        char *big = malloc(NOTE_BYTES_MAX + 2), *out = malloc(2 * NOTE_BYTES_MAX);
        memset(big, 'x', NOTE_BYTES_MAX + 2);
        big[NOTE_BYTES_MAX - 1] = '\n';
        cr_assert_eq(note_sign(out, 2 * NOTE_BYTES_MAX, big, NOTE_BYTES_MAX, signer), -ENOSPC);
        big[NOTE_BYTES_MAX - 1] = 'x';
        big[NOTE_BYTES_MAX] = '\n';
        cr_assert_eq(note_sign(out, 2 * NOTE_BYTES_MAX, big, NOTE_BYTES_MAX + 1, signer), -EINVAL);
        free(big);
        free(out);
        note_signer_free(signer);
}

Test(note, names)
{
        static const char *const bad[] = {
            "", "a b", "a+b", "a\tb", "a\nb", "\xc2\xa0", "\xe2\x80\x83x", "\xff", "a\x01"};
        uint8_t seed[32] = {1};
        struct note_signer *signer = NULL;
        char name[NOTE_NAME_BYTES_MAX + 2], vkey[NOTE_VKEY_BYTES_MAX];
        struct note_verifier v, w;

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                cr_assert_eq(note_signer_create(&signer, bad[i], seed), -EINVAL, "name %zu", i);
        memset(name, 'n', sizeof(name));
        name[NOTE_NAME_BYTES_MAX + 1] = '\0';
        cr_assert_eq(note_signer_create(&signer, name, seed), -EINVAL, "a name of 256 bytes");
        name[NOTE_NAME_BYTES_MAX] = '\0';
        cr_assert_eq(note_signer_create(&signer, name, seed), 0);
        note_signer_verifier(signer, &v);
        cr_assert_eq(note_vkey_write(vkey, &v), 0);
        cr_assert_eq(note_vkey_read(&w, vkey), 0);
        cr_assert_str_eq(w.name, name);
        note_signer_free(signer);
}

Test(note, altered_vkeys_are_refused)
{
        struct note_verifier v;
        size_t bytes = strlen(GO_VKEY);
        for (size_t bit = 0; bit < bytes * 8; bit++) {
                char vkey[sizeof(GO_VKEY)];
                memcpy(vkey, GO_VKEY, sizeof(vkey));
                vkey[bit / 8] ^= (char)(1 << (bit % 8));
                cr_assert_eq(note_vkey_read(&v, vkey), -EBADMSG, "bit %zu", bit);
        }
        for (size_t cut = 0; cut < bytes; cut++) {
                char *vkey = strndup(GO_VKEY, cut);
                cr_assert_eq(note_vkey_read(&v, vkey), -EBADMSG, "cut to %zu", cut);
                free(vkey);
        }
        char longer[NOTE_VKEY_BYTES_MAX + 100];
        memset(longer, 'a', sizeof(longer));
        memcpy(longer, GO_VKEY, bytes);
        longer[sizeof(longer) - 1] = '\0';
        cr_assert_eq(note_vkey_read(&v, longer), -EBADMSG);
        cr_assert_eq(note_vkey_read(&v, "PeterNeumann+C74F20A3+"
                                        "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"),
            -EBADMSG, "capitals");
}

/* A signer of the same name cannot speak for another. */
Test(note, other_key_of_the_same_name)
{
        struct note_signer *one = make_signer("log", 1), *two = make_signer("log", 2);
        struct note_verifier v;
        char note[NOTE_BYTES_MAX];
        size_t text_bytes;
        int n = note_sign(note, sizeof(note), "a\n", 2, one);
        note_signer_verifier(two, &v);
        cr_assert_eq(note_open(note, (size_t)n, &v, &text_bytes), -ENOKEY);
        struct note_verifier mixed;
        note_signer_verifier(one, &mixed);
        memcpy(mixed.public_key, v.public_key, 32); /* its ID, another's key */
        cr_assert_eq(note_open(note, (size_t)n, &mixed, &text_bytes), -EBADMSG);
        note_signer_free(one);
        note_signer_free(two);
}
