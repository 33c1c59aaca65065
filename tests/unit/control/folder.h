/* SPDX-License-Identifier: Apache-2.0 */
/* A folder for one test, on a file system that takes O_DIRECT. */
#ifndef AORTA_TESTS_UNIT_CONTROL_FOLDER_H
#define AORTA_TESTS_UNIT_CONTROL_FOLDER_H

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static inline void
folder_make(char *path, size_t path_bytes)
{
        snprintf(path, path_bytes, "/var/tmp/aorta-control-XXXXXX");
        cr_assert(mkdtemp(path) != NULL);
}

static inline int
folder_remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
        return remove(path);
}

static inline void
folder_remove(const char *path)
{
        nftw(path, folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A file's bytes, to be freed. */
static inline uint8_t *
folder_read(const char *folder, const char *name, size_t *bytes)
{
        char path[256];
        uint8_t *raw;
        FILE *file;

        snprintf(path, sizeof(path), "%s/%s", folder, name);
        file = fopen(path, "rb");
        cr_assert(file != NULL, "%s", path);
        fseek(file, 0, SEEK_END);
        *bytes = (size_t)ftell(file);
        rewind(file);
        raw = malloc(*bytes + 1);
        cr_assert_eq(fread(raw, 1, *bytes, file), *bytes);
        fclose(file);
        return raw;
}

#endif
