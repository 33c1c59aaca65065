/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint is read strictly, and only from its own log's key and origin. */
#include "crypto/base64.h"
#include "tests/unit/ledger/log_fixture.h"

#define ROOT "Q0hFQ0tQT0lOVC1ST09ULU9GLTMyLUJZVEVTLUhFUkU=" /* 32 bytes */

static int
parse(struct checkpoint *checkpoint, const char *text)
{
        return checkpoint_parse(checkpoint, text, strlen(text));
}

Test(checkpoint, reads_what_it_writes)
{
        const uint64_t sizes[] = {0, 1, 9, 10, 255, 70000, UINT64_MAX};
        struct checkpoint in = {.origin = FIXTURE_ORIGIN}, out;
        char text[512];

        for (unsigned i = 0; i < HASH_BYTES; i++)
                in.root[i] = (uint8_t)(i * 9);
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                in.size = sizes[i];
                const long n = checkpoint_write(text, sizeof(text), &in);
                cr_assert_eq(n, (long)strlen(text));
                cr_assert_eq(checkpoint_parse(&out, text, (size_t)n), 0);
                cr_assert_eq(out.size, in.size);
                cr_assert_str_eq(out.origin, in.origin);
                cr_assert_arr_eq(out.root, in.root, HASH_BYTES);
                cr_assert_eq(checkpoint_write(text, (size_t)n, &in), -ENOSPC);
                for (long cut = 0; cut < n; cut++)
                        cr_assert_eq(checkpoint_parse(&out, text, (size_t)cut), -EBADMSG);
        }
        in.origin[0] = '\0';
        cr_assert_eq(checkpoint_write(text, sizeof(text), &in), -EINVAL);
}

Test(checkpoint, writes_origin_size_root)
{
        struct checkpoint in = {.origin = "example.com/log", .size = 70000};
        char text[512];

        cr_assert_eq(base64_decode(in.root, HASH_BYTES, ROOT, strlen(ROOT)), HASH_BYTES);
        cr_assert_gt(checkpoint_write(text, sizeof(text), &in), 0);
        cr_assert_str_eq(text, "example.com/log\n70000\n" ROOT "\n");
}

Test(checkpoint, extension_lines_are_allowed)
{
        struct checkpoint out;

        cr_assert_eq(parse(&out, "a\n5\n" ROOT "\nmore\neven more\n"), 0);
        cr_assert_eq(out.size, 5);
}

Test(checkpoint, malformed_text_is_refused)
{
        static const char *const bad[] = {
            "",
            "\n",
            "\n5\n" ROOT "\n",
            "a\n",
            "a\n\n" ROOT "\n",
            "a\n05\n" ROOT "\n",
            "a\n00\n" ROOT "\n",
            "a\n+5\n" ROOT "\n",
            "a\n-5\n" ROOT "\n",
            "a\n 5\n" ROOT "\n",
            "a\n5 \n" ROOT "\n",
            "a\n0x5\n" ROOT "\n",
            "a\n18446744073709551616\n" ROOT "\n",
            "a\n99999999999999999999\n" ROOT "\n",
            "a\n5\n" ROOT,
            "a\n5\n" ROOT " \n",
            "a\n5\n\n",
            "a\n5\nQ0hFQ0tQT0lOVC1ST09ULU9GLTMyLUJZVEVTLUhFUg==\n", /* 31 bytes */
            "a\n5\nQ0hFQ0tQT0lOVC1ST09ULU9GLTMyLUJZVEVTLUhFUkVF\n", /* 33 bytes */
            "a\n5\nQ0hFQ0tQT0lOVC1ST09ULU9GLTMyLUJZVEVTLUhFUkV=\n", /* not canonical */
            "a\n5\nQ0hFQ0tQT0lOVC1ST09ULU9GLTMyLUJZVEVTLUhFUk*=\n",
            "a\n5\n" ROOT "\n\n",
            "a\n5\n" ROOT "\nmore\n\n",
            "a\n5\n" ROOT "\nmore",
            "a\tb\n5\n" ROOT "\n",
            "a\r\n5\r\n" ROOT "\r\n",
        };
        struct checkpoint out;
        char longest[600];

        for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                cr_expect_eq(parse(&out, bad[i]), -EBADMSG, "number %u: %s", i, bad[i]);
        cr_expect_eq(checkpoint_parse(&out, "a\0b\n5\n" ROOT "\n", 6 + strlen(ROOT) + 1), -EBADMSG);
        memset(longest, 'a', NOTE_NAME_BYTES_MAX + 1);
        strcpy(longest + NOTE_NAME_BYTES_MAX + 1, "\n5\n" ROOT "\n");
        cr_expect_eq(parse(&out, longest), -EBADMSG, "an origin over the limit");
        cr_expect_eq(parse(&out, longest + 1), 0, "the longest origin");
}

static void
put_checkpoint(const struct fixture *f, const char *bytes, size_t n)
{
        char path[128];

        snprintf(path, sizeof(path), "%s/checkpoint", f->path);
        const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        cr_assert_geq(fd, 0);
        cr_assert_eq(write(fd, bytes, n), (ssize_t)n);
        close(fd);
}

static void
sign(struct fixture *f, const char *body, const struct note_signer *signer)
{
        char note[NOTE_BYTES_MAX];
        const int n = note_sign(note, sizeof(note), body, strlen(body), signer);

        cr_assert_gt(n, 0);
        put_checkpoint(f, note, (size_t)n);
}

static int
read_back(struct fixture *f, struct checkpoint *out, char *note)
{
        f->why[0] = '\0';
        return log_read_checkpoint(f->path, &f->verifier, out, note, f->why);
}

Test(checkpoint, only_its_own_key_and_origin_are_read)
{
        const uint8_t seed[32] = {9};
        struct note_signer *other;
        struct checkpoint out;
        struct fixture f;
        char note[NOTE_BYTES_MAX];

        fixture_start(&f);
        cr_assert_eq(read_back(&f, &out, NULL), -ENOENT, "no folder");
        cr_assert_eq(mkdir(f.path, 0700), 0);
        cr_assert_eq(read_back(&f, &out, NULL), -ENOENT, "no checkpoint");

        sign(&f, FIXTURE_ORIGIN "\n5\n" ROOT "\n", f.signer);
        cr_assert_eq(read_back(&f, &out, note), 0, "%s", f.why);
        cr_assert_eq(out.size, 5);
        cr_assert_eq(strncmp(note, FIXTURE_ORIGIN "\n5\n", strlen(FIXTURE_ORIGIN "\n5\n")), 0);

        sign(&f, "elsewhere\n5\n" ROOT "\n", f.signer);
        cr_assert_eq(read_back(&f, &out, NULL), -EBADMSG);
        cr_assert_not_null(strstr(f.why, "elsewhere"), "%s", f.why);
        cr_assert_eq(fixture_try_open(&f), -EBADMSG);

        cr_assert_eq(note_signer_create(&other, FIXTURE_ORIGIN, seed), 0);
        sign(&f, FIXTURE_ORIGIN "\n5\n" ROOT "\n", other);
        cr_assert_eq(read_back(&f, &out, NULL), -EBADMSG);
        cr_assert_not_null(strstr(f.why, "another key"), "%s", f.why);
        cr_assert_eq(fixture_try_open(&f), -EBADMSG);
        cr_assert_not_null(strstr(f.why, "another key"), "%s", f.why);
        cr_assert_not_null(strstr(f.why, f.path), "%s", f.why);
        note_signer_free(other);

        sign(&f, FIXTURE_ORIGIN "\n05\n" ROOT "\n", f.signer);
        cr_assert_eq(read_back(&f, &out, NULL), -EBADMSG);
        fixture_end(&f);
}

Test(checkpoint, any_damage_is_seen)
{
        struct checkpoint out;
        struct fixture f;
        char note[NOTE_BYTES_MAX], bytes[NOTE_BYTES_MAX + 1];

        fixture_start(&f);
        cr_assert_eq(mkdir(f.path, 0700), 0);
        sign(&f, FIXTURE_ORIGIN "\n5\n" ROOT "\n", f.signer);
        cr_assert_eq(read_back(&f, &out, note), 0);
        const size_t n = strlen(note);
        for (size_t i = 0; i < n; i++) {
                memcpy(bytes, note, n);
                bytes[i] ^= 0x01;
                put_checkpoint(&f, bytes, n);
                cr_assert_eq(read_back(&f, &out, NULL), -EBADMSG, "bit of byte %zu", i);
                put_checkpoint(&f, note, i);
                cr_assert_eq(read_back(&f, &out, NULL), -EBADMSG, "cut to %zu", i);
        }
        memset(bytes, 'a', sizeof(bytes));
        put_checkpoint(&f, bytes, sizeof(bytes));
        cr_assert_eq(read_back(&f, &out, NULL), -EBADMSG, "too long");
        fixture_end(&f);
}
