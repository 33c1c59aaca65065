/* SPDX-License-Identifier: Apache-2.0 */
/* The credentials of many devices in a text file, one a line:
 *
 *   name alg kid server-id secret salt [id-context]
 *
 * separated by blanks; alg is the COSE number; the rest is hexadecimal, `-` for zero bytes. Empty
 * lines and lines that begin with `#` are passed over. */
#ifndef AORTA_BENCH_DEVICES_FILE_H
#define AORTA_BENCH_DEVICES_FILE_H

#include "crypto/oscore.h"

#include <stddef.h>
#include <stdint.h>

#define DEVICES_FILE_NAME_MAX 63u
#define DEVICES_FILE_LINE_MAX 512u
#define DEVICES_FILE_WHY      512u

struct device_credentials {
        char name[DEVICES_FILE_NAME_MAX + 1];
        struct oscore_input oscore; /* as the device sees it: sender_id is its kid */
};

/* One line without its newline. 1: a device; 0: nothing in it; -EINVAL with *what. */
int devices_file_line(struct device_credentials *device, const char *line, const char **what);

/* Reads the first `count` devices of a file (0: all of them, at most 2^24) into new memory, for
 * devices_file_free(). 0 or -errno with why (DEVICES_FILE_WHY bytes): unreadable, a malformed line,
 * fewer than count. */
int devices_file_read(const char *path, size_t count, struct device_credentials **devices,
    size_t *devices_n, char *why);
void devices_file_free(struct device_credentials *devices, size_t devices_n);

#endif
