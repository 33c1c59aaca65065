/* SPDX-License-Identifier: Apache-2.0 */
/* record find, and the index. */
#include "control/aortactl.h"

#include "control/moment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_DEFAULT 100u
#define LIMIT_MAX     1000000u
#define PAGE          32u /* as many as a request may open */
#define POLL_NS       200000000

/* ---- the index ---- */

void
ctl_print_index(const json_t *index)
{
        const char *why = ctl_text(index, "why");

        if (strcmp(ctl_text(index, "state"), "off") == 0) {
                puts("index       off");
                return;
        }
        printf("index       %s, covers %lld of %lld leaves%s%s\n", ctl_text(index, "state"),
            ctl_integer(index, "covered"), ctl_integer(index, "leaves"), why[0] != '\0' ? ": " : "",
            why);
}

static int
show_index(struct ctl *ctl, json_t *request)
{
        char *line = NULL;
        json_t *answer;
        int status = ctl_request(ctl, request, &line, &answer);

        if (status != CTL_OK)
                return status;
        if (ctl->json)
                puts(line);
        else
                ctl_print_index(json_object_get(answer, "index"));
        client_free_line(line);
        json_decref(answer);
        return CTL_OK;
}

int
ctl_index_status(struct ctl *ctl)
{
        return show_index(ctl, ctl_new("index status"));
}

/* Until it is no longer being rebuilt. */
static int
wait_rebuilt(struct ctl *ctl)
{
        static const struct timespec nap = {.tv_nsec = POLL_NS};
        bool shown = isatty(STDERR_FILENO), done = false;
        int status = CTL_OK;

        while (!done && status == CTL_OK) {
                json_t *answer, *index;

                status = ctl_request(ctl, ctl_new("index status"), NULL, &answer);
                if (status != CTL_OK)
                        break;
                index = json_object_get(answer, "index");
                done = strcmp(ctl_text(index, "state"), "rebuilding") != 0;
                if (strcmp(ctl_text(index, "state"), "stopped") == 0)
                        status = ctl_fail(
                            CTL_FAILED, "the index stands still: %s", ctl_text(index, "why"));
                if (shown)
                        fprintf(stderr, "\r%lld of %lld leaves", ctl_integer(index, "covered"),
                            ctl_integer(index, "leaves"));
                json_decref(answer);
                if (!done)
                        nanosleep(&nap, NULL);
        }
        if (shown)
                fputc('\n', stderr);
        return status;
}

int
ctl_index_rebuild(struct ctl *ctl)
{
        json_t *answer;
        int status;

        if (ctl_option(ctl, "wait") == NULL)
                return show_index(ctl, ctl_new("index rebuild"));
        status = ctl_request(ctl, ctl_new("index rebuild"), NULL, &answer);
        if (status == CTL_OK) {
                json_decref(answer);
                status = wait_rebuilt(ctl);
        }
        return status == CTL_OK ? ctl_index_status(ctl) : status;
}

/* ---- find ---- */

struct finding {
        struct ctl *ctl;
        uint64_t limit, shown, damaged;
        FILE *out; /* JSON: the records so far */
        char *text;
        size_t text_bytes;
};

static void
print_value(const json_t *value, bool first)
{
        const char *sign = ctl_text(value, "sign"), *name = ctl_text(value, "name");
        const char *unit = ctl_text(value, "unit");
        const json_t *flag;
        size_t i;

        printf("%s%s %s%s%s", first ? "" : "; ", sign[0] != '\0' ? sign : name,
            ctl_text(value, "value"), unit[0] != '\0' ? " " : "", unit);
        json_array_foreach(json_object_get(value, "flags"), i, flag)
            printf("%s%s%s", i == 0 ? " (" : ", ", json_string_value(flag),
                i + 1 == json_array_size(json_object_get(value, "flags")) ? ")" : "");
}

static int
print_line(struct finding *finding, const char *text)
{
        json_t *record = json_loads(text, 0, NULL), *value;
        size_t i;

        if (record == NULL)
                return ctl_fail(CTL_FAILED, "the daemon's answer is malformed");
        if (json_object_get(record, "error") != NULL) {
                finding->damaged++;
                ctl_fail(CTL_FAILED, "%s", ctl_text(record, "error"));
        }
        if (finding->ctl->json) {
                fprintf(finding->out, "%s%s", finding->shown > 0 ? "," : "", text);
        } else if (json_object_get(record, "error") == NULL) {
                printf("%s  leaf %lld  %s  ", ctl_text(record, "received"),
                    ctl_integer(record, "leaf"), ctl_text(record, "device"));
                json_array_foreach(json_object_get(record, "vitals"), i, value)
                    print_value(value, i == 0);
                putchar('\n');
        }
        finding->shown++;
        json_decref(record);
        return CTL_OK;
}

static int
take_page(struct finding *finding, const json_t *answer)
{
        const json_t *record;
        int status = CTL_OK;
        size_t i;

        json_array_foreach(json_object_get(answer, "records"), i, record)
        {
                const char *text = json_string_value(record);

                if (status == CTL_OK && finding->shown < finding->limit)
                        status = text != NULL
                                     ? print_line(finding, text)
                                     : ctl_fail(CTL_FAILED, "the daemon's answer is malformed");
        }
        return status;
}

/* The end: what is missing, and the JSON. covered and leaves are as of the first page: what is
 * newer than that was not looked for. */
static int
tell_end(struct finding *finding, long long covered, long long leaves)
{
        if (covered < leaves)
                fprintf(stderr,
                    "aortactl: the index covers %lld of %lld leaves: later records are not among "
                    "these\n",
                    covered, leaves);
        if (finding->ctl->json) {
                fflush(finding->out);
                printf("{\"ok\":%s,\"records\":[%s],\"covered\":%lld,\"leaves\":%lld}\n",
                    finding->damaged == 0 ? "true" : "false", finding->text, covered, leaves);
        }
        return finding->damaged == 0 ? CTL_OK : CTL_FAILED;
}

static int
find(struct finding *finding, json_t *request)
{
        long long covered = 0, leaves = 0;
        bool more = true, first = true;
        int status = CTL_OK;

        while (status == CTL_OK && more && finding->shown < finding->limit) {
                const json_t *index;
                uint64_t wanted = finding->limit - finding->shown;
                json_t *answer;

                /* With a code most may be opened in vain: whole pages then. */
                if (wanted > PAGE || ctl_option(finding->ctl, "code") != NULL)
                        wanted = PAGE;
                json_object_set_new(request, "limit", json_integer((json_int_t)wanted));
                status = ctl_request(finding->ctl, json_incref(request), NULL, &answer);
                if (status != CTL_OK)
                        break;
                index = json_object_get(answer, "index");
                if (first) {
                        covered = ctl_integer(index, "covered");
                        leaves = ctl_integer(index, "leaves");
                        first = false;
                }
                status = take_page(finding, answer);
                more = json_is_true(json_object_get(answer, "more"));
                json_object_set(request, "before_ns", json_object_get(answer, "before_ns"));
                json_object_set(request, "before_leaf", json_object_get(answer, "before_leaf"));
                json_decref(answer);
        }
        return status == CTL_OK ? tell_end(finding, covered, leaves) : status;
}

static int
set_time(struct ctl *ctl, json_t *request, const char *option, const char *member)
{
        const char *text = ctl_option(ctl, option);
        uint64_t ns;

        if (text == NULL)
                return CTL_OK;
        if (moment_parse(text, &ns) != 0)
                return ctl_fail(CTL_USAGE,
                    "--%s must be a time like 2026-03-01T08:00:00Z, 2026-03-01 or Unix seconds",
                    option);
        json_object_set_new(request, member, json_integer((json_int_t)ns));
        return CTL_OK;
}

int
ctl_record_find(struct ctl *ctl)
{
        struct finding finding = {.ctl = ctl, .limit = LIMIT_DEFAULT};
        const char *patient = ctl_option(ctl, "patient"), *code = ctl_option(ctl, "code");
        json_t *request;
        int status;

        if (patient == NULL)
                return ctl_fail(CTL_USAGE, "record find needs --patient: see --help");
        if (ctl_option(ctl, "limit") != NULL &&
            (!ctl_number(ctl_option(ctl, "limit"), LIMIT_MAX, &finding.limit) ||
                finding.limit == 0))
                return ctl_fail(CTL_USAGE, "--limit must be a number from 1 to %u", LIMIT_MAX);
        request = ctl_new("record find");
        json_object_set_new(request, "patient", json_string(patient));
        if (code != NULL)
                json_object_set_new(request, "code", json_string(code));
        status = set_time(ctl, request, "from", "from_ns");
        if (status == CTL_OK)
                status = set_time(ctl, request, "to", "to_ns");
        if (status == CTL_OK) {
                finding.out = open_memstream(&finding.text, &finding.text_bytes);
                status = finding.out != NULL ? find(&finding, request)
                                             : ctl_fail(CTL_FAILED, "no memory");
        }
        if (finding.out != NULL)
                fclose(finding.out);
        if (finding.text != NULL)
                explicit_bzero(finding.text, finding.text_bytes);
        free(finding.text);
        json_decref(request);
        return status;
}
