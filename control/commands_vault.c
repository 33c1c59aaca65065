/* SPDX-License-Identifier: Apache-2.0 */
/* The volumes of the vault: their state, scrub, rebuild, replace. */
#include "control/commands.h"

#include "control/health.h"
#include "ledger/vault.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static void
set_number(json_t *object, const char *name, uint64_t number)
{
        json_object_set_new(
            object, name, json_integer(number <= INT64_MAX ? (json_int_t)number : INT64_MAX));
}

/* A path or a message may hold bytes that are no UTF-8, which JSON cannot carry. */
static void
set_text(json_t *object, const char *name, const char *text)
{
        json_t *value = json_string(text);
        char plain[PATH_MAX];
        size_t n = 0;

        if (value == NULL) {
                for (; text[n] != '\0' && n + 1 < sizeof(plain); n++)
                        plain[n] = (char)(text[n] >= ' ' && text[n] <= '~' ? text[n] : '?');
                plain[n] = '\0';
                value = json_string(plain);
        }
        json_object_set_new(object, name, value);
}

static const char *
job_name(enum vault_job job)
{
        switch (job) {
        case VAULT_SCRUB:
                return "scrub";
        case VAULT_REBUILD:
                return "rebuild";
        default:
                return "none";
        }
}

static json_t *
volume_json(const struct volume_status *volume, unsigned slot)
{
        json_t *object = json_object();

        set_number(object, "slot", slot);
        set_text(object, "path", volume->path);
        json_object_set_new(object, "state", json_string(volume_state_name(volume->state)));
        set_text(object, "why", volume->why);
        set_number(object, "free_bytes", volume->free_bytes);
        set_number(object, "segments", volume->segments);
        set_number(object, "bad_fragments", volume->bad_fragments);
        set_number(object, "repaired_fragments", volume->repaired_fragments);
        return object;
}

json_t *
command_vault_json(struct daemon *daemon)
{
        json_t *object = json_object(), *job = json_object(), *scrub = json_object();
        json_t *volumes = json_array();
        struct vault_status status;

        vault_status(daemon->vault, &status);
        set_number(object, "data", status.data);
        set_number(object, "parity", status.parity);
        set_number(object, "floor", status.floor);
        set_number(object, "members", status.members);
        set_number(object, "epoch", status.epoch);
        json_object_set_new(object, "alarm", json_boolean(status.alarm));
        json_object_set_new(object, "failed", json_boolean(status.failed));
        json_object_set_new(job, "kind", json_string(job_name(status.job)));
        set_number(job, "slot", status.job_slot);
        set_number(job, "done", status.job_done);
        set_number(job, "all", status.job_all);
        json_object_set_new(object, "job", job);
        set_number(scrub, "finished", status.scrubs);
        set_number(scrub, "bad", status.scrub_bad);
        set_number(scrub, "repaired", status.scrub_fixed);
        set_number(scrub, "lost_groups", status.scrub_lost);
        json_object_set_new(object, "scrub", scrub);
        json_object_set_new(object, "rebuild_error",
            json_string(status.rebuild_error != 0 ? strerror(-status.rebuild_error) : ""));
        for (unsigned i = 0; i < status.data + status.parity; i++)
                json_array_append_new(volumes, volume_json(&status.volumes[i], i));
        json_object_set_new(object, "volumes", volumes);
        return object;
}

int
command_vault_status(struct daemon *daemon, json_t *request, struct reply *reply)
{
        json_object_set_new(reply->json, "vault", command_vault_json(daemon));
        return 0;
}

/* ---- jobs ---- */

static int
say_busy(struct daemon *daemon, struct reply *reply, unsigned slot)
{
        struct vault_status now;

        vault_status(daemon->vault, &now);
        if (now.job == VAULT_SCRUB)
                return command_fail(reply, -EBUSY,
                    "a scrub runs (%" PRIu64 " of %" PRIu64 " groups): wait until `aortactl vault "
                    "status` shows its end",
                    now.job_done, now.job_all);
        if (now.job == VAULT_REBUILD)
                return command_fail(reply, -EBUSY,
                    "volume %u is being rebuilt (%" PRIu64 " of %" PRIu64 " groups): wait until "
                    "`aortactl vault status` shows its end",
                    now.job_slot, now.job_done, now.job_all);
        return command_fail(reply, -EBUSY,
            "a late write of volume %u is still with the kernel, or a job just ended: try again "
            "in a moment; if the disk never answers, restart aortad or replace the volume",
            slot);
}

static int
take_slot(struct daemon *daemon, json_t *request, struct reply *reply, struct vault_status *status,
    unsigned *slot)
{
        uint64_t number;
        int rc;

        vault_status(daemon->vault, status);
        if (json_object_get(request, "volume") == NULL)
                return command_fail(
                    reply, -EINVAL, "volume is missing: its slot, as vault status shows it");
        rc = command_number(
            request, reply, "volume", 0, status->data + status->parity - 1, 0, &number);
        *slot = (unsigned)number;
        if (rc == 0 && status->parity == 0)
                rc = command_fail(reply, -EINVAL,
                    "the vault has no parity (ledger.parity: 0): nothing can be rebuilt from "
                    "other volumes");
        if (rc == 0 && status->failed)
                rc = command_fail(reply, -EROFS,
                    "the vault takes no more writes, with %u of %u volumes: bring volumes back "
                    "until %u are there, restart aortad, then rebuild",
                    status->members, status->data + status->parity, status->floor);
        return rc;
}

int
command_vault_scrub(struct daemon *daemon, json_t *request, struct reply *reply)
{
        struct vault_status status;
        int rc;

        vault_status(daemon->vault, &status);
        set_number(reply->json, "scrubs", status.scrubs);
        rc = vault_scrub(daemon->vault);
        if (rc == -EBUSY)
                return say_busy(daemon, reply, 0);
        if (rc != 0)
                return command_fail(reply, rc, "no scrub can be started: %s", strerror(-rc));
        return command_vault_status(daemon, request, reply);
}

int
command_vault_rebuild(struct daemon *daemon, json_t *request, struct reply *reply)
{
        struct vault_status status;
        unsigned slot = 0;
        int rc = take_slot(daemon, request, reply, &status, &slot);

        if (rc != 0)
                return rc;
        rc = vault_rebuild(daemon->vault, slot);
        if (rc == -EBUSY)
                return say_busy(daemon, reply, slot);
        if (rc == -EALREADY)
                return command_fail(reply, rc,
                    "volume %u (%s) is a member and has every group: nothing to rebuild; `aortactl "
                    "vault scrub` checks it, `aortactl vault replace` moves it",
                    slot, status.volumes[slot].path);
        if (rc != 0)
                return command_fail(
                    reply, rc, "volume %u cannot be rebuilt: %s", slot, strerror(-rc));
        return command_vault_status(daemon, request, reply);
}

int
command_vault_replace(struct daemon *daemon, json_t *request, struct reply *reply)
{
        struct vault_status status;
        const char *path;
        unsigned slot = 0;
        int rc = take_slot(daemon, request, reply, &status, &slot);

        if (rc == 0)
                rc = command_required_text(request, reply, "path", &path);
        if (rc != 0)
                return rc;
        if (path[0] != '/')
                return command_fail(reply, -EINVAL, "path must be absolute");
        if (strlen(path) >= sizeof(status.volumes[0].path))
                return command_fail(reply, -EINVAL, "path is longer than %zu bytes",
                    sizeof(status.volumes[0].path) - 1);
        for (unsigned i = 0; i < status.data + status.parity; i++)
                if (strcmp(status.volumes[i].path, path) == 0 && i != slot)
                        return command_fail(reply, -EINVAL,
                            "%s is volume %u: give an empty folder or a new one", path, i);
        /* It would be fenced at once, and with it the gateway would stop. */
        if (status.volumes[slot].state == VOLUME_MEMBER && status.members <= status.floor)
                return command_fail(reply, -EPERM,
                    "volume %u is one of the last %u members that are needed (ledger.floor): "
                    "rebuild or replace a volume that is none first",
                    slot, status.members);
        rc = vault_replace(daemon->vault, slot, path);
        if (rc == -EBUSY)
                return say_busy(daemon, reply, slot);
        if (rc == -EINVAL)
                return command_fail(reply, rc, "%s: no such slot, or too long a path", path);
        if (rc != 0)
                return command_fail(
                    reply, rc, "volume %u cannot be replaced: %s", slot, strerror(-rc));
        return command_vault_status(daemon, request, reply);
}
