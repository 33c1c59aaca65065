/* SPDX-License-Identifier: Apache-2.0 */
#include "control/aortactl.h"

#include "control/hex.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECRET_FILE_BYTES_MAX 512
#define ENROL_PAGE            1024u /* devices a request: COMMAND_ENROL_MAX */
#define COUNT_MAX             (1u << 24)

/* The file's text without white space at its end. */
static int
read_secret(const char *path, char text[SECRET_FILE_BYTES_MAX])
{
        int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
        size_t n = 0;
        ssize_t k = 1;

        if (fd < 0)
                return ctl_fail(
                    CTL_FAILED, "the secret's file %s cannot be read: %s", path, strerror(errno));
        while (k > 0 && n < SECRET_FILE_BYTES_MAX - 1) {
                k = read(fd, text + n, SECRET_FILE_BYTES_MAX - 1 - n);
                if (k > 0)
                        n += (size_t)k;
        }
        if (fd != STDIN_FILENO)
                close(fd);
        while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' '))
                n--;
        text[n] = '\0';
        if (k < 0 || n == 0 || strspn(text, "0123456789abcdefABCDEF") != n) {
                explicit_bzero(text, SECRET_FILE_BYTES_MAX);
                return ctl_fail(CTL_FAILED,
                    "the secret's file %s must hold one line: the master secret in hexadecimal",
                    path);
        }
        return CTL_OK;
}

static void
print_id(const char *what, const char *hex)
{
        printf("  %-22s %s\n", what, hex[0] != '\0' ? hex : "(empty)");
}

static void
print_credentials(const json_t *answer)
{
        const json_t *device = json_object_get(answer, "device");
        const json_t *credentials = json_object_get(answer, "credentials");

        printf("%s of patient %s is enrolled, in effect now. Its credentials, shown only this "
               "once:\n",
            ctl_text(device, "name"), ctl_text(device, "patient"));
        print_id("sender ID (kid)", ctl_text(credentials, "sender_id"));
        print_id("recipient ID (server)", ctl_text(credentials, "recipient_id"));
        print_id("master secret", ctl_text(credentials, "secret"));
        print_id("master salt", ctl_text(credentials, "salt"));
        if (json_object_get(credentials, "id_context") != NULL)
                print_id("ID context", ctl_text(credentials, "id_context"));
        printf("  %-22s %s (COSE %lld), HKDF-SHA-256\n", "algorithm",
            ctl_text(credentials, "alg_name"), ctl_integer(credentials, "alg"));
        if (json_object_get(answer, "note") != NULL)
                printf("note: %s\n", ctl_text(answer, "note"));
}

int
ctl_device_add(struct ctl *ctl)
{
        static const struct {
                const char *option, *member;
        } texts[] = {{"name", "name"}, {"patient", "patient"}, {"alg", "alg"}, {"kid", "kid"},
            {"salt", "salt"}, {"id-context", "id_context"}, {"server-id", "server_id"}};
        const char *file = ctl_option(ctl, "secret-file");
        char secret[SECRET_FILE_BYTES_MAX], *line = NULL;
        json_t *request, *answer;
        int status;

        if (ctl_option(ctl, "name") == NULL || ctl_option(ctl, "patient") == NULL)
                return ctl_fail(CTL_USAGE, "device add needs --name and --patient: see --help");
        request = ctl_new("device add");
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                if (ctl_option(ctl, texts[i].option) != NULL)
                        json_object_set_new(request, texts[i].member,
                            json_string(ctl_option(ctl, texts[i].option)));
        json_object_set_new(request, "lab", json_boolean(ctl_option(ctl, "lab") != NULL));
        if (file != NULL) {
                status = read_secret(file, secret);
                if (status != CTL_OK) {
                        json_decref(request);
                        return status;
                }
                json_object_set_new(request, "secret", json_string(secret));
                explicit_bzero(secret, sizeof(secret));
        }
        status = ctl_request(ctl, request, &line, &answer);
        if (status != CTL_OK)
                return status;
        if (ctl->json)
                puts(line);
        else
                print_credentials(answer);
        client_free_line(line);
        json_decref(answer);
        return CTL_OK;
}

static const char *
or_dash(const char *hex)
{
        return hex[0] != '\0' ? hex : "-";
}

/* One line a device: name alg kid server-id secret salt [id-context]; blanks between, alg the COSE
 * number, the rest hexadecimal with "-" for no bytes. */
static void
write_credentials(FILE *file, const json_t *credentials)
{
        fprintf(file, "%s %lld %s %s %s %s", ctl_text(credentials, "name"),
            ctl_integer(credentials, "alg"), or_dash(ctl_text(credentials, "sender_id")),
            or_dash(ctl_text(credentials, "recipient_id")),
            or_dash(ctl_text(credentials, "secret")), or_dash(ctl_text(credentials, "salt")));
        if (json_object_get(credentials, "id_context") != NULL)
                fprintf(file, " %s", or_dash(ctl_text(credentials, "id_context")));
        fputc('\n', file);
}

static int
enrol_pages(struct ctl *ctl, FILE *file, uint64_t first, uint64_t count, uint64_t *done)
{
        json_t *request, *answer, *list, *one;
        int status = CTL_OK;
        size_t i;

        while (status == CTL_OK && *done < count) {
                request = ctl_new("device add-many");
                json_object_set_new(request, "prefix", json_string(ctl_option(ctl, "prefix")));
                json_object_set_new(request, "first", json_integer((json_int_t)(first + *done)));
                json_object_set_new(request, "count",
                    json_integer(
                        (json_int_t)(count - *done < ENROL_PAGE ? count - *done : ENROL_PAGE)));
                if (ctl_option(ctl, "alg") != NULL)
                        json_object_set_new(request, "alg", json_string(ctl_option(ctl, "alg")));
                status = ctl_request(ctl, request, NULL, &answer);
                if (status != CTL_OK)
                        break;
                list = json_object_get(answer, "credentials");
                json_array_foreach(list, i, one) write_credentials(file, one);
                *done += json_array_size(list);
                if (json_object_get(answer, "stopped") != NULL)
                        status = ctl_fail(CTL_FAILED, "%s", ctl_text(answer, "stopped"));
                json_decref(answer);
                /* What is not on disk is lost: credentials come only once. */
                if (fflush(file) != 0)
                        status = ctl_fail(
                            CTL_FAILED, "the credentials cannot be written: %s", strerror(errno));
                if (isatty(STDERR_FILENO))
                        fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " enrolled", *done, count);
        }
        if (isatty(STDERR_FILENO))
                fputc('\n', stderr);
        return status;
}

int
ctl_device_add_many(struct ctl *ctl)
{
        const char *path = ctl_option(ctl, "out");
        uint64_t count, first = 0, done = 0;
        FILE *file;
        int fd, status;

        if (path == NULL || ctl_option(ctl, "prefix") == NULL ||
            !ctl_number(ctl_option(ctl, "count"), COUNT_MAX, &count) || count == 0 ||
            (ctl_option(ctl, "first") != NULL &&
                !ctl_number(ctl_option(ctl, "first"), COUNT_MAX, &first)))
                return ctl_fail(CTL_USAGE,
                    "device add-many needs --prefix TEXT --count 1..%u --out FILE: see --help",
                    COUNT_MAX);
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return ctl_fail(CTL_FAILED, "%s cannot be made: %s%s", path, strerror(errno),
                    errno == EEXIST ? "; choose another file, its credentials are not replaced"
                                    : "");
        file = fdopen(fd, "w");
        if (file == NULL) {
                close(fd);
                return ctl_fail(CTL_FAILED, "no memory");
        }
        fputs("# name alg kid server-id secret salt [id-context]\n", file);
        status = enrol_pages(ctl, file, first, count, &done);
        if (fflush(file) != 0 || fsync(fd) != 0 || fclose(file) != 0)
                status = ctl_fail(CTL_FAILED, "%s cannot be written: %s", path, strerror(errno));
        if (done == 0)
                unlink(path);
        if (ctl->json)
                printf("{\"ok\":%s,\"enrolled\":%" PRIu64 "}\n",
                    status == CTL_OK ? "true" : "false", done);
        else if (done > 0)
                printf(
                    "%" PRIu64 " devices are enrolled; their credentials are in %s\n", done, path);
        return status;
}

static void
print_row(const json_t *device)
{
        printf("%-24s %-20s %-18s %-14s %s%s%s\n", ctl_text(device, "name"),
            ctl_text(device, "patient"), ctl_text(device, "alg_name"), ctl_text(device, "kid"),
            json_is_true(json_object_get(device, "native")) ? "native" : "foreign",
            json_is_true(json_object_get(device, "lab")) ? " lab" : "",
            json_is_true(json_object_get(device, "removed")) ? " removed" : "");
}

int
ctl_device_list(struct ctl *ctl)
{
        json_t *request, *answer, *one;
        json_int_t position = 0;
        bool more = true, any = false;
        int status = CTL_OK;
        size_t i;

        while (more) {
                request = ctl_new("device list");
                json_object_set_new(request, "position", json_integer(position));
                json_object_set_new(request, "all", json_boolean(ctl_option(ctl, "all") != NULL));
                status = ctl_request(ctl, request, NULL, &answer);
                if (status != CTL_OK)
                        return status;
                if (!any)
                        fputs(ctl->json ? "{\"ok\":true,\"devices\":["
                                        : "NAME                     PATIENT              ALGORITHM "
                                          "         KID            KIND\n",
                            stdout);
                json_array_foreach(json_object_get(answer, "devices"), i, one)
                {
                        if (ctl->json) {
                                if (position > 0 || i > 0)
                                        fputs(",", stdout);
                                json_dumpf(one, stdout, JSON_COMPACT);
                        } else {
                                print_row(one);
                        }
                }
                any = true;
                position = ctl_integer(answer, "position");
                more = json_is_true(json_object_get(answer, "more"));
                json_decref(answer);
        }
        if (ctl->json)
                puts("]}");
        return status;
}

static int
one_device(struct ctl *ctl, const char *command, const char *said)
{
        json_t *request = ctl_new(command), *answer, *device;
        char *line = NULL;
        int status;

        json_object_set_new(request, "name", json_string(ctl->argument));
        status = ctl_request(ctl, request, &line, &answer);
        if (status != CTL_OK)
                return status;
        device = json_object_get(answer, "device");
        if (ctl->json)
                puts(line);
        else if (said != NULL)
                printf("%s %s\n", ctl_text(device, "name"), said);
        else {
                printf("name        %s\npatient     %s\nalgorithm   %s\nkid         %s\n",
                    ctl_text(device, "name"), ctl_text(device, "patient"),
                    ctl_text(device, "alg_name"), ctl_text(device, "kid"));
                if (json_object_get(device, "id_context") != NULL)
                        printf("ID context  %s\n", ctl_text(device, "id_context"));
                printf("kind        %s%s\ncontext id  %lld\nenrolled    %s\n",
                    json_is_true(json_object_get(device, "native")) ? "native" : "foreign",
                    json_is_true(json_object_get(device, "lab")) ? ", lab" : "",
                    ctl_integer(device, "context_id"), ctl_text(device, "enrolled"));
        }
        client_free_line(line);
        json_decref(answer);
        return CTL_OK;
}

int
ctl_device_show(struct ctl *ctl)
{
        return one_device(ctl, "device show", NULL);
}

int
ctl_device_remove(struct ctl *ctl)
{
        return one_device(ctl, "device remove",
            "is removed: its records stay readable, its secret is overwritten");
}
