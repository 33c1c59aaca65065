/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: credentials are read as they were written, and nothing malformed is taken. */
#include "bench/devices_file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECRET "000102030405060708090a0b0c0d0e0f"

static char path[64];

static void
make_file(const char *text)
{
        int fd;

        snprintf(path, sizeof(path), "/tmp/aorta-devices-XXXXXX");
        fd = mkstemp(path);
        cr_assert_geq(fd, 0);
        cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        close(fd);
}

static void
remove_file(void)
{
        unlink(path);
}

TestSuite(devices_file, .fini = remove_file);

Test(devices_file, a_line_is_read_field_by_field)
{
        struct device_credentials d;
        const char *what;

        cr_assert_eq(
            devices_file_line(
                &d, "ward3-bed1 10 000000001203 41 " SECRET " a1a2a3a4a5a6a7a8 0badcafe", &what),
            1);
        cr_expect_str_eq(d.name, "ward3-bed1");
        cr_expect_eq(d.oscore.alg, 10);
        cr_expect_eq(d.oscore.sender_id_bytes, 6);
        cr_expect_arr_eq(d.oscore.sender_id, "\0\0\0\0\x12\x03", 6);
        cr_expect_eq(d.oscore.recipient_id_bytes, 1);
        cr_expect_eq(d.oscore.recipient_id[0], 0x41);
        cr_expect_eq(d.oscore.secret_bytes, 16);
        cr_expect_eq(d.oscore.secret[15], 15);
        cr_expect_eq(d.oscore.salt_bytes, 8);
        cr_expect_eq(d.oscore.salt[7], 0xa8);
        cr_expect(d.oscore.has_id_context);
        cr_expect_eq(d.oscore.id_context_bytes, 4);
        cr_expect_arr_eq(d.oscore.id_context, "\x0b\xad\xca\xfe", 4);

        cr_assert_eq(devices_file_line(&d, "  x\t24 01 -  " SECRET SECRET " - \r", &what), 1);
        cr_expect_eq(d.oscore.recipient_id_bytes, 0);
        cr_expect_eq(d.oscore.secret_bytes, 32);
        cr_expect_eq(d.oscore.salt_bytes, 0);
        cr_expect_not(d.oscore.has_id_context);
        cr_assert_eq(devices_file_line(&d, "x 10 01 41 " SECRET " - -", &what), 1);
        cr_expect(d.oscore.has_id_context && d.oscore.id_context_bytes == 0);
}

Test(devices_file, malformed_lines_are_refused)
{
        static const char *const lines[] = {
            "x",
            "x 10 01 41",
            "x 10 01 41 " SECRET,
            "x 11 01 41 " SECRET " -",
            "x ten 01 41 " SECRET " -",
            "x 266 01 41 " SECRET " -",
            "x 10 0 41 " SECRET " -",
            "x 10 0g 41 " SECRET " -",
            "x 10 0102030405060708 41 " SECRET " -",
            "x 10 01 41 00010203 -",
            "x 10 01 41 " SECRET SECRET "00 -",
            "x 10 01 41 " SECRET " " SECRET "00",
            "x 10 01 41 " SECRET " - 0 ",
            "x 10 01 41 " SECRET " - 00 00",
            "0123456789012345678901234567890123456789012345678901234567890123 10 01 41 " SECRET
            " -",
        };
        struct device_credentials d;

        for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
                const char *what = NULL;

                cr_expect_eq(devices_file_line(&d, lines[i], &what), -EINVAL, "%s", lines[i]);
                cr_expect_not_null(what);
        }
}

Test(devices_file, a_file_is_read_up_to_the_count)
{
        struct device_credentials *devices;
        char why[DEVICES_FILE_WHY];
        size_t n;

        make_file("# name alg kid server-id secret salt [id-context]\n\n"
                  "a 10 01 41 " SECRET " -\n#\nb 1 02 41 " SECRET " 01\n"
                  "c 24 03 41 " SECRET " 02"); /* without a newline */
        cr_assert_eq(devices_file_read(path, 0, &devices, &n, why), 0);
        cr_assert_eq(n, 3);
        cr_expect_str_eq(devices[2].name, "c");
        devices_file_free(devices, n);
        cr_assert_eq(devices_file_read(path, 2, &devices, &n, why), 0);
        cr_assert_eq(n, 2);
        cr_expect_str_eq(devices[1].name, "b");
        devices_file_free(devices, n);
        cr_expect_eq(devices_file_read(path, 4, &devices, &n, why), -ENODATA);
        cr_expect_null(devices);
        cr_expect_not_null(strstr(why, "holds 3"));
}

Test(devices_file, an_error_names_file_and_line)
{
        struct device_credentials *devices;
        char why[DEVICES_FILE_WHY], want[96];
        size_t n;

        make_file("#\na 10 01 41 " SECRET " -\nb 10 zz 41 " SECRET " -\n");
        cr_assert_eq(devices_file_read(path, 0, &devices, &n, why), -EINVAL);
        snprintf(want, sizeof(want), "%s:3: the kid", path);
        cr_expect_eq(strncmp(why, want, strlen(want)), 0, "%s", why);
        remove_file();
        cr_expect_eq(devices_file_read(path, 0, &devices, &n, why), -ENOENT);
}

Test(devices_file, more_devices_than_the_first_room)
{
        enum { N = 5000 };
        char *text = malloc(N * 80), why[DEVICES_FILE_WHY];
        struct device_credentials *devices;
        size_t n, at = 0;

        for (unsigned i = 0; i < N; i++)
                at += (size_t)sprintf(text + at, "d%u 10 %06x 41 " SECRET " -\n", i, i);
        make_file(text);
        cr_assert_eq(devices_file_read(path, 0, &devices, &n, why), 0);
        cr_assert_eq(n, N);
        for (unsigned i = 0; i < N; i++) {
                char name[16];

                snprintf(name, sizeof(name), "d%u", i);
                cr_assert_str_eq(devices[i].name, name);
                cr_assert_eq(devices[i].oscore.sender_id[2], (uint8_t)i);
        }
        devices_file_free(devices, n);
        free(text);
}
