/* SPDX-License-Identifier: Apache-2.0 */
/* record export, key-hash, key: what a stranger needs to check a record, and a patient to open it.
 */
#include "control/aortactl_source.h"

#include "control/hex.h"
#include "crypto/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Asks a command about the argument's leaf. */
static int
ask(struct ctl *ctl, const char *command, char **line, json_t **answer)
{
        json_t *request;
        uint64_t leaf;

        if (!ctl_number(ctl->argument, INT64_MAX, &leaf))
                return ctl_fail(CTL_USAGE, "a leaf is a number: 0, 1, 2, ...");
        request = ctl_new(command);
        json_object_set_new(request, "leaf", json_integer((json_int_t)leaf));
        return ctl_request(ctl, request, line, answer);
}

int
ctl_record_export(struct ctl *ctl)
{
        const char *out = ctl_option(ctl, "o");
        uint8_t sealed[SEAL_BYTES_MAX];
        char *line = NULL;
        json_t *answer;
        long n;
        int status;

        if (out == NULL && !ctl->json)
                return ctl_fail(CTL_USAGE, "record export needs -o FILE: see --help");
        status = ask(ctl, "record export", &line, &answer);
        if (status != CTL_OK)
                return status;
        n = hex_decode(sealed, sizeof(sealed), ctl_text(answer, "sealed"));
        if (n <= 0)
                status = ctl_fail(CTL_FAILED, "the daemon's answer is malformed");
        if (status == CTL_OK && out != NULL)
                status = ctl_write_out(out, sealed, (size_t)n);
        if (status == CTL_OK && ctl->json)
                puts(line);
        client_free_line(line);
        json_decref(answer);
        return status;
}

int
ctl_record_key_hash(struct ctl *ctl)
{
        char *line = NULL;
        json_t *answer;
        int status = ask(ctl, "record key-hash", &line, &answer);

        if (status != CTL_OK)
                return status;
        puts(ctl->json ? line : ctl_text(answer, "key_hash"));
        client_free_line(line);
        json_decref(answer);
        return CTL_OK;
}

/* Into a new file that nobody else may read; durable, since it may be the only copy one day. */
static int
write_key(int fd, const char *path, const char *key)
{
        const size_t n = strlen(key);

        if (n != 2 * SEAL_KEY_BYTES)
                return ctl_fail(CTL_FAILED, "the daemon's answer is malformed");
        if (write(fd, key, n) != (ssize_t)n || write(fd, "\n", 1) != 1 || fsync(fd) != 0)
                return ctl_fail(CTL_FAILED, "%s cannot be written: %s", path, strerror(errno));
        return CTL_OK;
}

int
ctl_record_key(struct ctl *ctl)
{
        const char *out = ctl_option(ctl, "o");
        json_t *answer = NULL;
        int fd, status;

        if (out == NULL)
                return ctl_fail(CTL_USAGE, "record key needs -o FILE: see --help");
        /* The file comes first: the key is not asked for when it could not be kept. */
        fd = open(out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return ctl_fail(CTL_FAILED, "%s cannot be made: %s%s", out, strerror(errno),
                    errno == EEXIST ? "; choose another file" : "");
        status = ask(ctl, "record key", NULL, &answer);
        if (status == CTL_OK)
                status = write_key(fd, out, ctl_text(answer, "key"));
        close(fd);
        if (status != CTL_OK)
                unlink(out);
        else if (ctl->json)
                printf("{\"ok\":true,\"key_hash\":\"%s\"}\n", ctl_text(answer, "key_hash"));
        else
                printf("the key is in %s\n", out);
        if (status == CTL_OK)
                fprintf(stderr,
                    "aortactl: WARNING: this key opens EVERY record of the patient, past and to "
                    "come, and cannot be taken back: give it to the patient alone\n");
        json_decref(answer);
        return status;
}
