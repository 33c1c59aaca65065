/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/devices_file.h"

#include "crypto/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#define DEVICES_MAX_IN_FILE (UINT32_C(1) << 24)
#define DEVICES_FIRST_ROOM  1024u
#define BLANKS              " \t\r"
#define SECRET_BYTES_MIN    16u

/* The next blank-separated field, or false at the end. */
static bool
next_field(const char **at, const char **field, size_t *bytes)
{
        *field = *at + strspn(*at, BLANKS);
        *bytes = strcspn(*field, BLANKS);
        *at = *field + *bytes;
        return *bytes > 0;
}

static int
read_hex(const char **at, uint8_t *out, size_t out_bytes, uint8_t *got)
{
        const char *field;
        size_t bytes, n = 0;

        if (!next_field(at, &field, &bytes))
                return -EINVAL;
        *got = 0;
        if (bytes == 1 && field[0] == '-')
                return 0;
        if (bytes % 2 != 0 || bytes / 2 > out_bytes ||
            sodium_hex2bin(out, out_bytes, field, bytes, NULL, &n, NULL) != 0 || n != bytes / 2)
                return -EINVAL;
        *got = (uint8_t)n;
        return 0;
}

static int
read_name(const char **at, char name[DEVICES_FILE_NAME_MAX + 1])
{
        const char *field;
        size_t bytes;

        if (!next_field(at, &field, &bytes) || bytes > DEVICES_FILE_NAME_MAX)
                return -EINVAL;
        memcpy(name, field, bytes);
        name[bytes] = '\0';
        return 0;
}

static int
read_alg(const char **at, uint8_t *alg)
{
        const char *field;
        size_t bytes;
        unsigned value = 0;

        if (!next_field(at, &field, &bytes) || bytes > 3)
                return -EINVAL;
        for (size_t i = 0; i < bytes; i++) {
                if (field[i] < '0' || field[i] > '9')
                        return -EINVAL;
                value = value * 10 + (unsigned)(field[i] - '0');
        }
        *alg = (uint8_t)value;
        return value <= UINT8_MAX && aead_key_bytes((int)value) != 0 ? 0 : -EINVAL;
}

int
devices_file_line(struct device_credentials *device, const char *line, const char **what)
{
        struct oscore_input *oscore = &device->oscore;
        const char *at = line + strspn(line, BLANKS), *rest;
        size_t bytes;

        if (*at == '\0' || *at == '#')
                return 0;
        memset(device, 0, sizeof(*device));
        *what = NULL;
        if (read_name(&at, device->name) < 0)
                *what = "a name has 1 to 63 characters";
        else if (read_alg(&at, &oscore->alg) < 0)
                *what = "the algorithm is none of 1, 3, 10, 24, 30";
        else if (read_hex(&at, oscore->sender_id, sizeof(oscore->sender_id),
                     &oscore->sender_id_bytes) < 0)
                *what = "the kid is not 0 to 7 bytes in hexadecimal";
        else if (read_hex(&at, oscore->recipient_id, sizeof(oscore->recipient_id),
                     &oscore->recipient_id_bytes) < 0)
                *what = "the server's ID is not 0 to 7 bytes in hexadecimal";
        else if (read_hex(&at, oscore->secret, sizeof(oscore->secret), &oscore->secret_bytes) < 0 ||
                 oscore->secret_bytes < SECRET_BYTES_MIN)
                *what = "the secret is not 16 to 32 bytes in hexadecimal";
        else if (read_hex(&at, oscore->salt, sizeof(oscore->salt), &oscore->salt_bytes) < 0)
                *what = "the salt is not 0 to 16 bytes in hexadecimal";
        else if (at[strspn(at, BLANKS)] != '\0') {
                oscore->has_id_context = true;
                if (read_hex(&at, oscore->id_context, sizeof(oscore->id_context),
                        &oscore->id_context_bytes) < 0)
                        *what = "the ID context is not 0 to 16 bytes in hexadecimal";
                else if (next_field(&at, &rest, &bytes))
                        *what = "there is more than an ID context at the end";
        }
        return *what == NULL ? 1 : -EINVAL;
}

static int
add(struct device_credentials **devices, size_t *n, size_t *room,
    const struct device_credentials *device)
{
        if (*n == *room) {
                size_t more = *room > 0 ? *room * 2 : DEVICES_FIRST_ROOM;
                struct device_credentials *grown = malloc(more * sizeof(*grown));

                /* Not realloc(): it would leave secrets behind. */
                if (grown == NULL)
                        return -ENOMEM;
                if (*n > 0)
                        memcpy(grown, *devices, *n * sizeof(*grown));
                devices_file_free(*devices, *n);
                *devices = grown;
                *room = more;
        }
        (*devices)[(*n)++] = *device;
        return 0;
}

static int
read_lines(FILE *file, const char *path, size_t count, struct device_credentials **devices,
    size_t *n, char *why)
{
        char line[DEVICES_FILE_LINE_MAX];
        struct device_credentials device;
        size_t number = 0, room = 0;
        int r = 0;

        while (r == 0 && *n < count && fgets(line, sizeof(line), file) != NULL) {
                size_t bytes = strlen(line);
                const char *what = "the line is too long";

                number++;
                if (bytes > 0 && line[bytes - 1] == '\n')
                        line[bytes - 1] = '\0';
                else if (!feof(file))
                        r = -EINVAL;
                if (r == 0)
                        r = devices_file_line(&device, line, &what);
                if (r == -EINVAL)
                        snprintf(why, DEVICES_FILE_WHY, "%s:%zu: %s", path, number, what);
                if (r == 1)
                        r = add(devices, n, &room, &device);
        }
        if (r == 0 && ferror(file))
                r = -EIO;
        if (r < 0 && r != -EINVAL)
                snprintf(why, DEVICES_FILE_WHY, "%s: %s", path, strerror(-r));
        sodium_memzero(line, sizeof(line));
        sodium_memzero(&device, sizeof(device));
        return r;
}

int
devices_file_read(const char *path, size_t count, struct device_credentials **devices,
    size_t *devices_n, char *why)
{
        FILE *file = fopen(path, "re");
        int r;

        *devices = NULL;
        *devices_n = 0;
        if (file == NULL) {
                r = -errno;
                snprintf(why, DEVICES_FILE_WHY, "%s: %s", path, strerror(-r));
                return r;
        }
        r = read_lines(
            file, path, count != 0 ? count : DEVICES_MAX_IN_FILE, devices, devices_n, why);
        fclose(file);
        if (r == 0 && (*devices_n == 0 || *devices_n < count)) {
                snprintf(why, DEVICES_FILE_WHY,
                    "%s holds %zu devices, and %zu are wanted: enrol more with aortactl device "
                    "add-many",
                    path, *devices_n, count != 0 ? count : 1);
                r = -ENODATA;
        }
        if (r < 0) {
                devices_file_free(*devices, *devices_n);
                *devices = NULL;
                *devices_n = 0;
        }
        return r;
}

void
devices_file_free(struct device_credentials *devices, size_t devices_n)
{
        if (devices == NULL)
                return;
        sodium_memzero(devices, devices_n * sizeof(*devices));
        free(devices);
}
