/* SPDX-License-Identifier: Apache-2.0 */
/* status, record get, graph, shutdown. */
#include "control/aortactl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void
print_numbers(const char *title, const json_t *object, bool all)
{
        bool titled = false;
        json_t *value;
        const char *name;

        json_object_foreach((json_t *)object, name, value)
        {
                if (json_integer_value(value) == 0 && !all)
                        continue;
                if (!titled)
                        printf("%s\n", title);
                titled = true;
                printf("  %-28s %lld\n", name, (long long)json_integer_value(value));
        }
}

static void
print_flushes(const json_t *flush)
{
        json_t *bucket;
        size_t i;

        printf("flush       p50 %lld us, p90 %lld us, p99 %lld us, max %lld us\n",
            ctl_integer(flush, "p50"), ctl_integer(flush, "p90"), ctl_integer(flush, "p99"),
            ctl_integer(flush, "max"));
        json_array_foreach(json_object_get(flush, "buckets"), i, bucket)
            printf("  up to %8lld us %12lld\n", ctl_integer(bucket, "up_to_us"),
                ctl_integer(bucket, "flushes"));
}

static void
print_status(const json_t *answer, bool all)
{
        const json_t *ledger = json_object_get(answer, "ledger");
        long long up = ctl_integer(answer, "uptime_s");

        printf("state       %s%s%s\n", ctl_text(answer, "state"),
            ctl_text(answer, "why")[0] != '\0' ? ": " : "", ctl_text(answer, "why"));
        printf("up          %lld d %02lld:%02lld:%02lld (start %lld)%s\n", up / 86400,
            up / 3600 % 24, up / 60 % 60, up % 60, ctl_integer(answer, "boot_epoch"),
            json_is_true(json_object_get(answer, "lab")) ? ", LAB: plain CoAP is served" : "");
        printf("workers     %lld, %s, packets in %s, keys %s\n", ctl_integer(answer, "workers"),
            ctl_text(answer, "crypto"), ctl_text(answer, "memory"),
            json_is_true(json_object_get(answer, "keys_locked")) ? "locked" : "NOT locked");
        printf("devices     %lld of %lld, patients %lld of %lld\n", ctl_integer(answer, "devices"),
            ctl_integer(answer, "devices_max"), ctl_integer(answer, "patients"),
            ctl_integer(answer, "patients_max"));
        printf("leaves      %lld, published %lld, in %lld groups since the start; %lld pending\n",
            ctl_integer(answer, "leaves"), ctl_integer(answer, "published"),
            ctl_integer(ledger, "groups"), ctl_integer(answer, "pending"));
        ctl_print_vault(json_object_get(answer, "vault"));
        printf("segments    %lld, %lld MiB free\n", ctl_integer(ledger, "segments"),
            ctl_integer(ledger, "free_bytes") >> 20);
        ctl_print_index(json_object_get(answer, "index"));
        print_flushes(json_object_get(ledger, "flush_us"));
        print_numbers("counters", json_object_get(answer, "counters"), all);
        print_numbers("drops", json_object_get(answer, "drops"), all);
}

int
ctl_status(struct ctl *ctl)
{
        char *line = NULL;
        json_t *answer;
        int status = ctl_request(ctl, ctl_new("status"), &line, &answer);

        if (status != CTL_OK)
                return status;
        if (ctl->json)
                puts(line);
        else
                print_status(answer, ctl_option(ctl, "all") != NULL);
        client_free_line(line);
        json_decref(answer);
        return CTL_OK;
}

static void
print_flags(const json_t *flags)
{
        const json_t *flag;
        size_t i;

        json_array_foreach((json_t *)flags, i, flag)
            printf("%s%s", i > 0 ? ", " : "", json_string_value(flag));
}

static void
print_record(const json_t *answer)
{
        const json_t *flags = json_object_get(answer, "flags"), *value;
        size_t i;

        printf("leaf        %lld (%s)\n", ctl_integer(answer, "leaf"),
            json_is_true(json_object_get(answer, "published")) ? "published" : "not yet published");
        printf("device      %s%s\npatient     %s\n", ctl_text(answer, "device"),
            json_is_true(json_object_get(answer, "device_removed")) ? " (removed)" : "",
            ctl_text(answer, "patient"));
        printf("kind        %s%s\nreceived    %s\n", ctl_text(answer, "kind"),
            strcmp(ctl_text(answer, "kind"), "lab") == 0 ? " (plain CoAP: proves no origin)" : "",
            ctl_text(answer, "received"));
        if (json_object_get(answer, "partial_iv") != NULL)
                printf("partial IV  %lld\n", ctl_integer(answer, "partial_iv"));
        printf("flags       ");
        print_flags(flags);
        printf("%s\ndigest      %s\n", json_array_size(flags) == 0 ? "none" : "",
            ctl_text(answer, "digest"));
        json_array_foreach(json_object_get(answer, "vitals"), i, value)
        {
                printf("  %s  %s %s %s", ctl_text(value, "time"),
                    ctl_text(value, "sign")[0] != '\0' ? ctl_text(value, "sign")
                                                       : ctl_text(value, "name"),
                    ctl_text(value, "value"), ctl_text(value, "unit"));
                if (json_array_size(json_object_get(value, "flags")) > 0) {
                        printf("  (");
                        print_flags(json_object_get(value, "flags"));
                        printf(")");
                }
                putchar('\n');
        }
}

/* The SenML as the daemon wrote it: a decimal number is not turned into a binary one and back. */
static void
print_senml(const char *line)
{
        const char *senml = strstr(line, ",\"senml\":[");
        size_t n = strlen(line);

        if (senml != NULL)
                printf("senml       %.*s\n", (int)(n - (size_t)(senml - line) - 10), senml + 9);
}

int
ctl_record_get(struct ctl *ctl)
{
        json_t *request, *answer;
        char *line = NULL;
        uint64_t leaf;
        int status;

        if (!ctl_number(ctl->argument, INT64_MAX, &leaf))
                return ctl_fail(CTL_USAGE, "a leaf is a number: 0, 1, 2, ...");
        request = ctl_new("record get");
        json_object_set_new(request, "leaf", json_integer((json_int_t)leaf));
        status = ctl_request(ctl, request, &line, &answer);
        if (status != CTL_OK)
                return status;
        if (ctl->json) {
                puts(line);
        } else {
                print_record(answer);
                print_senml(line);
        }
        client_free_line(line);
        json_decref(answer);
        return CTL_OK;
}

int
ctl_graph(struct ctl *ctl)
{
        const char *path = ctl_option(ctl, "dot"), *dot;
        char *line = NULL;
        FILE *file = stdout;
        json_t *answer;
        int status = ctl_request(ctl, ctl_new("graph"), &line, &answer);

        if (status != CTL_OK)
                return status;
        dot = ctl_text(answer, "dot");
        if (path != NULL)
                file = fopen(path, "we");
        if (file == NULL || (ctl->json && path == NULL ? puts(line) : fputs(dot, file)) < 0 ||
            (path != NULL && fclose(file) != 0))
                status = ctl_fail(CTL_FAILED, "%s cannot be written: %s",
                    path != NULL ? path : "the output", strerror(errno));
        client_free_line(line);
        json_decref(answer);
        return status;
}

int
ctl_shutdown(struct ctl *ctl)
{
        char *line = NULL;
        json_t *answer;
        int status = ctl_request(ctl, ctl_new("shutdown"), &line, &answer);

        if (status != CTL_OK)
                return status;
        if (ctl->json)
                puts(line);
        else
                printf("the daemon drains, for %lld ms at most, and ends\n",
                    ctl_integer(answer, "drain_ms"));
        client_free_line(line);
        json_decref(answer);
        return CTL_OK;
}
