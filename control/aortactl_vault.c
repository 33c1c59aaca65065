/* SPDX-License-Identifier: Apache-2.0 */
/* vault status, scrub, rebuild, replace. */
#include "control/aortactl.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SLOT_MAX       15u /* the daemon knows how many there are */
#define POLL_NS        200000000
#define POLLS_PER_LINE 25u /* where progress is no terminal's */

static bool
job_runs(const json_t *vault)
{
        return strcmp(ctl_text(json_object_get(vault, "job"), "kind"), "none") != 0;
}

static void
print_job(FILE *to, const json_t *vault)
{
        const json_t *job = json_object_get(vault, "job"), *scrub = json_object_get(vault, "scrub");

        if (strcmp(ctl_text(job, "kind"), "scrub") == 0)
                fprintf(to, "scrub: %lld of %lld groups, %lld bad fragments, %lld repaired",
                    ctl_integer(job, "done"), ctl_integer(job, "all"), ctl_integer(scrub, "bad"),
                    ctl_integer(scrub, "repaired"));
        else
                fprintf(to, "rebuild of volume %lld: %lld of %lld groups", ctl_integer(job, "slot"),
                    ctl_integer(job, "done"), ctl_integer(job, "all"));
}

/* ---- status ---- */

static void
print_members(const json_t *vault)
{
        printf("members     %lld of %zu (%lld data + %lld parity, floor %lld, epoch %lld)%s%s\n",
            ctl_integer(vault, "members"), json_array_size(json_object_get(vault, "volumes")),
            ctl_integer(vault, "data"), ctl_integer(vault, "parity"), ctl_integer(vault, "floor"),
            ctl_integer(vault, "epoch"),
            json_is_true(json_object_get(vault, "alarm")) ? ", ALARM: no more may be lost" : "",
            json_is_true(json_object_get(vault, "failed")) ? ", FAILED: nothing is written" : "");
}

void
ctl_print_vault(const json_t *vault)
{
        json_t *volume;
        size_t i;

        print_members(vault);
        json_array_foreach(json_object_get(vault, "volumes"), i, volume)
        {
                if (strcmp(ctl_text(volume, "state"), "member") == 0)
                        continue;
                printf("  volume %zu  %s: %s%s%s\n", i, ctl_text(volume, "state"),
                    ctl_text(volume, "path"), ctl_text(volume, "why")[0] != '\0' ? ": " : "",
                    ctl_text(volume, "why"));
        }
        if (job_runs(vault)) {
                printf("  ");
                print_job(stdout, vault);
                putchar('\n');
        }
}

static void
print_table(const json_t *vault)
{
        const json_t *scrub = json_object_get(vault, "scrub");
        json_t *volume;
        size_t i;

        print_members(vault);
        puts("slot  state      free MiB  segments       bad  repaired  folder");
        json_array_foreach(json_object_get(vault, "volumes"), i, volume)
        {
                printf("%4lld  %-9s  %8lld  %8lld  %8lld  %8lld  %s\n", ctl_integer(volume, "slot"),
                    ctl_text(volume, "state"), ctl_integer(volume, "free_bytes") >> 20,
                    ctl_integer(volume, "segments"), ctl_integer(volume, "bad_fragments"),
                    ctl_integer(volume, "repaired_fragments"), ctl_text(volume, "path"));
                if (ctl_text(volume, "why")[0] != '\0')
                        printf("      %s\n", ctl_text(volume, "why"));
        }
        if (job_runs(vault)) {
                print_job(stdout, vault);
                putchar('\n');
        }
        if (ctl_integer(scrub, "finished") > 0)
                printf("scrubs      %lld since the start; the last found %lld bad fragments, "
                       "repaired %lld; %lld groups are unreadable\n",
                    ctl_integer(scrub, "finished"), ctl_integer(scrub, "bad"),
                    ctl_integer(scrub, "repaired"), ctl_integer(scrub, "lost_groups"));
        if (ctl_text(vault, "rebuild_error")[0] != '\0')
                printf("rebuild     the last ended without success: %s\n",
                    ctl_text(vault, "rebuild_error"));
}

static int
show(struct ctl *ctl)
{
        char *line = NULL;
        json_t *answer;
        int status = ctl_request(ctl, ctl_new("vault status"), &line, &answer);

        if (status != CTL_OK)
                return status;
        if (ctl->json)
                puts(line);
        else
                print_table(json_object_get(answer, "vault"));
        client_free_line(line);
        json_decref(answer);
        return CTL_OK;
}

int
ctl_vault_status(struct ctl *ctl)
{
        return show(ctl);
}

/* ---- jobs ---- */

/* Until no job runs; *answer_out is the status then. A rebuild's last step, by which the volume
 * becomes a member, comes with the end of the job. */
static int
follow(struct ctl *ctl, json_t **answer_out)
{
        static const struct timespec nap = {.tv_nsec = POLL_NS};
        const bool terminal = isatty(STDERR_FILENO);
        unsigned polls = 0;

        for (;;) {
                const json_t *vault;
                json_t *answer;
                int status = ctl_request(ctl, ctl_new("vault status"), NULL, &answer);

                if (status != CTL_OK)
                        return status;
                vault = json_object_get(answer, "vault");
                if (!job_runs(vault)) {
                        if (terminal && polls > 0)
                                fputs("\r\033[K", stderr);
                        *answer_out = answer;
                        return CTL_OK;
                }
                if (terminal || polls % POLLS_PER_LINE == 0) {
                        if (terminal)
                                fputs("\r\033[K", stderr);
                        print_job(stderr, vault);
                        if (!terminal)
                                fputc('\n', stderr);
                }
                polls++;
                json_decref(answer);
                nanosleep(&nap, NULL);
        }
}

static int
end_scrub(const json_t *vault, long long before)
{
        const json_t *scrub = json_object_get(vault, "scrub");

        if (ctl_integer(scrub, "finished") <= before)
                return ctl_fail(CTL_FAILED,
                    "the scrub ended before it was through: look at `aortactl "
                    "vault status`, and start it again");
        if (ctl_integer(scrub, "lost_groups") > 0)
                return ctl_fail(CTL_FAILED,
                    "%lld groups have too few good fragments and cannot be read: bring missing "
                    "volumes back, then scrub again",
                    ctl_integer(scrub, "lost_groups"));
        if (ctl_integer(scrub, "repaired") < ctl_integer(scrub, "bad"))
                return ctl_fail(CTL_FAILED,
                    "%lld of %lld bad fragments could not be repaired: check the disks, scrub "
                    "again, or replace the volume",
                    ctl_integer(scrub, "bad") - ctl_integer(scrub, "repaired"),
                    ctl_integer(scrub, "bad"));
        return CTL_OK;
}

static int
end_rebuild(const json_t *vault, uint64_t slot)
{
        const json_t *volume = json_array_get(json_object_get(vault, "volumes"), slot);
        const char *error = ctl_text(vault, "rebuild_error"), *why = ctl_text(volume, "why");

        if (error[0] == '\0' && strcmp(ctl_text(volume, "state"), "member") == 0)
                return CTL_OK;
        return ctl_fail(CTL_FAILED, "volume %" PRIu64 " (%s) is no member: %s", slot,
            ctl_text(volume, "path"),
            why[0] != '\0'     ? why
            : error[0] != '\0' ? error
                               : "it was lost again");
}

/* Starts a job and, unless --no-wait, follows it to its end. slot: of a rebuild. */
static int
run_job(struct ctl *ctl, json_t *request, bool scrub, uint64_t slot)
{
        json_t *answer = NULL;
        long long before;
        int status = ctl_request(ctl, request, NULL, &answer);

        if (status != CTL_OK)
                return status;
        before = ctl_integer(answer, "scrubs");
        json_decref(answer);
        if (ctl_option(ctl, "no-wait") != NULL)
                return show(ctl);
        status = follow(ctl, &answer);
        if (status != CTL_OK)
                return status;
        status = scrub ? end_scrub(json_object_get(answer, "vault"), before)
                       : end_rebuild(json_object_get(answer, "vault"), slot);
        json_decref(answer);
        if (show(ctl) != CTL_OK)
                status = CTL_NO_DAEMON;
        return status;
}

int
ctl_vault_scrub(struct ctl *ctl)
{
        return run_job(ctl, ctl_new("vault scrub"), true, 0);
}

/* A slot, or the folder that the daemon has there. */
static int
find_slot(struct ctl *ctl, uint64_t *slot)
{
        json_t *answer, *volume;
        bool found = false;
        size_t i;
        int status;

        if (ctl_number(ctl->argument, SLOT_MAX, slot))
                return CTL_OK;
        status = ctl_request(ctl, ctl_new("vault status"), NULL, &answer);
        if (status != CTL_OK)
                return status;
        json_array_foreach(json_object_get(json_object_get(answer, "vault"), "volumes"), i, volume)
        {
                if (found || strcmp(ctl_text(volume, "path"), ctl->argument) != 0)
                        continue;
                *slot = i;
                found = true;
        }
        json_decref(answer);
        if (!found)
                status = ctl_fail(CTL_USAGE,
                    "%s is no volume: name it by its slot or its folder, as vault status shows "
                    "them",
                    ctl->argument);
        return status;
}

int
ctl_vault_rebuild(struct ctl *ctl)
{
        uint64_t slot = 0;
        int status = find_slot(ctl, &slot);
        json_t *request;

        if (status != CTL_OK)
                return status;
        request = ctl_new("vault rebuild");
        json_object_set_new(request, "volume", json_integer((json_int_t)slot));
        return run_job(ctl, request, false, slot);
}

int
ctl_vault_replace(struct ctl *ctl)
{
        char path[PATH_MAX], folder[PATH_MAX] = "";
        uint64_t slot = 0;
        int n, status = find_slot(ctl, &slot);
        json_t *request;

        if (status != CTL_OK)
                return status;
        /* The daemon stands elsewhere. */
        if (ctl->second[0] != '/' && getcwd(folder, sizeof(folder)) == NULL)
                return ctl_fail(
                    CTL_FAILED, "where does this run? %s: give an absolute path", strerror(errno));
        n = snprintf(
            path, sizeof(path), "%s%s%s", folder, folder[0] != '\0' ? "/" : "", ctl->second);
        if (n < 0 || (size_t)n >= sizeof(path) || ctl->second[0] == '\0')
                return ctl_fail(CTL_USAGE, "PATH is empty or too long");
        request = ctl_new("vault replace");
        json_object_set_new(request, "volume", json_integer((json_int_t)slot));
        json_object_set_new(request, "path", json_string(path));
        status = run_job(ctl, request, false, slot);
        if (status == CTL_OK)
                fprintf(stderr,
                    "aortactl: now set entry %" PRIu64 " of ledger.volumes in the configuration to "
                    "%s: the next start goes by it\n",
                    slot, path);
        return status;
}
