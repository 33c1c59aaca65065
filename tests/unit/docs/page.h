/* SPDX-License-Identifier: Apache-2.0 */
/* A page of docs/ as a test sees it: blocks between two lines, which the code makes. A test
 * compares the block with what the code makes now; with AORTA_DOCS_WRITE=1 in the environment it
 * puts that into the page instead, for a person to look over and commit. */
#ifndef AORTA_TESTS_UNIT_DOCS_PAGE_H
#define AORTA_TESTS_UNIT_DOCS_PAGE_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES_MAX (1u << 20)
#define UNUSED_OK      __attribute__((unused)) static

/* The page's text, to be freed. name is below the source's root: "docs/formats.md". */
UNUSED_OK char *
page_read(const char *name)
{
        char path[4096], *text = calloc(1, PAGE_BYTES_MAX);
        size_t n;
        FILE *file;

        snprintf(path, sizeof(path), "%s/%s", SOURCE_ROOT, name);
        file = fopen(path, "rb");
        cr_assert_not_null(file, "%s is not there", path);
        n = fread(text, 1, PAGE_BYTES_MAX - 1, file);
        cr_assert(n > 0 && n < PAGE_BYTES_MAX - 1, "%s is empty or too long", path);
        fclose(file);
        return text;
}

/* The text between the line `begin` and the next line `end`, without both; *bytes its length. */
UNUSED_OK const char *
page_block(const char *text, const char *begin, const char *end, size_t *bytes)
{
        char first[256], last[64];
        const char *from, *to;

        snprintf(first, sizeof(first), "\n%s\n", begin);
        snprintf(last, sizeof(last), "\n%s\n", end);
        from = strstr(text, first);
        cr_assert_not_null(from, "the page has no line \"%s\"", begin);
        cr_assert_null(strstr(from + 1, first), "the line \"%s\" comes twice", begin);
        from += strlen(first);
        to = strstr(from - 1, last);
        cr_assert_not_null(to, "no \"%s\" after \"%s\"", end, begin);
        *bytes = to + 1 > from ? (size_t)(to + 1 - from) : 0;
        return from;
}

UNUSED_OK void
page_write(const char *name, const char *text, const char *from, size_t bytes, const char *want)
{
        char path[4096];
        FILE *file;

        snprintf(path, sizeof(path), "%s/%s", SOURCE_ROOT, name);
        file = fopen(path, "wb");
        cr_assert_not_null(file, "%s cannot be written", path);
        fwrite(text, 1, (size_t)(from - text), file);
        fputs(want, file);
        fputs(from + bytes, file);
        cr_assert_eq(fclose(file), 0);
}

/* The block must be `want`, which ends in a newline. */
UNUSED_OK void
page_expect(const char *name, const char *begin, const char *end, const char *want)
{
        char *text = page_read(name);
        size_t bytes, at = 0, line = 1;
        const char *from = page_block(text, begin, end, &bytes);

        if (getenv("AORTA_DOCS_WRITE") != NULL) {
                if (bytes != strlen(want) || memcmp(from, want, bytes) != 0)
                        page_write(name, text, from, bytes, want);
                free(text);
                return;
        }
        while (at < bytes && want[at] == from[at]) {
                line += from[at] == '\n';
                at++;
        }
        cr_expect(at == bytes && want[at] == '\0',
            "%s: line %zu after \"%s\" is not what the code makes. Look at what changed; "
            "AORTA_DOCS_WRITE=1 "
            "with this test writes the page anew",
            name, line, begin);
        free(text);
}

/* ---- dumps: offset, sixteen bytes, their characters; lines of zeros are left out; the last line
 * is the length ---- */

UNUSED_OK char *
dump_make(const uint8_t *bytes, size_t n)
{
        static const uint8_t zeros[16];
        char *text = calloc(1, n * 6 + 4096), *out = text;

        for (size_t at = 0; at < n; at += 16) {
                size_t width = n - at < 16 ? n - at : 16;

                if (memcmp(bytes + at, zeros, width) == 0)
                        continue;
                out += sprintf(out, "%05zx ", at);
                for (size_t i = 0; i < 16; i++)
                        out +=
                            i < width ? sprintf(out, " %02x", bytes[at + i]) : sprintf(out, "   ");
                out += sprintf(out, "  |");
                for (size_t i = 0; i < width; i++) {
                        uint8_t c = bytes[at + i];

                        *out++ = c >= 0x20 && c < 0x7f ? (char)c : '.';
                }
                out += sprintf(out, "|\n");
        }
        sprintf(out, "%05zx\n", n);
        return text;
}

/* The bytes of a dump, to be freed. */
UNUSED_OK uint8_t *
dump_read(const char *text, size_t text_bytes, size_t *n)
{
        uint8_t *bytes = calloc(1, PAGE_BYTES_MAX);
        const char *at = text, *end = text + text_bytes;

        *n = 0;
        while (at < end) {
                char *next;
                size_t offset = strtoul(at, &next, 16), i = 0;

                cr_assert(next == at + 5 && offset <= PAGE_BYTES_MAX - 16 && offset >= *n);
                *n = offset;
                while (*next == ' ' && next[1] == ' ' && i == 0)
                        next++;
                while (i < 16 && *next == ' ' && next[1] != ' ') {
                        bytes[offset + i] = (uint8_t)strtoul(next + 1, &next, 16);
                        i++;
                }
                *n += i;
                at = strchr(next, '\n') + 1;
        }
        return bytes;
}

/* The example `name` of docs/formats.md must be these bytes; gives those that stand there, read
 * back from the page, to be freed. */
UNUSED_OK uint8_t *
example(const char *name, const void *want, size_t want_bytes)
{
        char begin[128], *dump = dump_make(want, want_bytes), *text;
        size_t bytes, n;
        const char *block;
        uint8_t *there;

        snprintf(begin, sizeof(begin), "```hex %s", name);
        page_expect("docs/formats.md", begin, "```", dump);
        text = page_read("docs/formats.md");
        block = page_block(text, begin, "```", &bytes);
        there = dump_read(block, bytes, &n);
        cr_assert_eq(n, want_bytes, "example %s has %zu bytes, not %zu", name, n, want_bytes);
        free(text);
        free(dump);
        return there;
}

/* The same for a text. */
UNUSED_OK char *
example_text(const char *name, const char *want)
{
        char begin[128], *text, *there;
        size_t bytes;
        const char *block;

        snprintf(begin, sizeof(begin), "```text %s", name);
        page_expect("docs/formats.md", begin, "```", want);
        text = page_read("docs/formats.md");
        block = page_block(text, begin, "```", &bytes);
        there = strndup(block, bytes);
        free(text);
        return there;
}

#endif
