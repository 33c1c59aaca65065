/* SPDX-License-Identifier: Apache-2.0 */
#include "control/health.h"

#include "control/publisher.h"
#include "control/writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *
volume_state_name(enum volume_state state)
{
        switch (state) {
        case VOLUME_MISSING:
                return "missing";
        case VOLUME_STALE:
                return "stale";
        case VOLUME_FILLING:
                return "filling";
        case VOLUME_FOLLOWING:
                return "following";
        case VOLUME_MEMBER:
                return "member";
        }
        return "unknown";
}

static void add(char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Behind what why holds; cut at its room. */
static void
add(char *why, const char *format, ...)
{
        const size_t used = strlen(why);
        va_list list;

        va_start(list, format);
        vsnprintf(why + used, HEALTH_WHY_BYTES - used, format, list);
        va_end(list);
}

/* "volume 1 (/a) missing, volume 4 (/b) stale": those that are no members. Their paths are left out
 * where they would not all fit. */
static void
name_lost(const struct vault_status *status, char *why)
{
        const unsigned n = status->data + status->parity;
        size_t bytes = 0;
        bool first = true;

        for (unsigned i = 0; i < n; i++)
                if (status->volumes[i].state != VOLUME_MEMBER)
                        bytes +=
                            strlen(status->volumes[i].path) + sizeof("volume 99 () following, ");
        for (unsigned i = 0; i < n; i++) {
                const struct volume_status *volume = &status->volumes[i];

                if (volume->state == VOLUME_MEMBER)
                        continue;
                if (bytes < HEALTH_WHY_BYTES / 2)
                        add(why, "%svolume %u (%s) %s", first ? "" : ", ", i, volume->path,
                            volume_state_name(volume->state));
                else
                        add(why, "%svolume %u %s", first ? "" : ", ", i,
                            volume_state_name(volume->state));
                first = false;
        }
}

/* "/a, /b": members without the reserve, or all of them when it is not for want of that. */
static void
name_full(const struct vault_status *status, uint64_t reserve, char *why)
{
        const unsigned n = status->data + status->parity;
        bool any = false, first = true;

        for (unsigned i = 0; i < n; i++)
                any |= status->volumes[i].state == VOLUME_MEMBER &&
                       status->volumes[i].free_bytes < reserve;
        for (unsigned i = 0; i < n && strlen(why) < HEALTH_WHY_BYTES / 2; i++) {
                if (status->volumes[i].state != VOLUME_MEMBER ||
                    (any && status->volumes[i].free_bytes >= reserve))
                        continue;
                add(why, "%s%s", first ? "" : ", ", status->volumes[i].path);
                first = false;
        }
}

/* Why nothing is written any more. */
static void
tell_failed(const struct vault_status *status, int error, char *why)
{
        if (status->members < status->floor) {
                add(why,
                    "only %u of %u volumes are left, fewer than ledger.floor (%u), and nothing "
                    "is accepted any more: ",
                    status->members, status->data + status->parity, status->floor);
                name_lost(status, why);
                add(why, ": bring them back, then restart aortad");
                return;
        }
        add(why,
            "a flush failed (%s) and nothing is accepted any more: check the disk under %s, "
            "then restart aortad",
            strerror(error < 0 ? -error : error), status->volumes[0].path);
}

/* Fewer members than volumes: every record is durable and readable, but with less to spare. */
static void
tell_degraded(const struct vault_status *status, char *why)
{
        const unsigned n = status->data + status->parity;

        if (status->members >= n)
                return;
        add(why, "%u of %u volumes are members%s: ", status->members, n,
            status->alarm ? ", as few as there may be (one more lost, and nothing is accepted)"
                          : "");
        name_lost(status, why);
        if (status->job == VAULT_REBUILD && status->job_all != 0)
                add(why, "; volume %u is being rebuilt, %" PRIu64 " of %" PRIu64 " groups",
                    status->job_slot, status->job_done, status->job_all);
        else
                add(why,
                    ": bring the folder back and rebuild it (aortactl vault rebuild), or put a "
                    "new one in its place (vault replace)");
}

bool
health(struct daemon *daemon, char *why)
{
        int error = publisher_error(daemon->publisher);
        struct vault_status status;
        struct writer_stats writer;

        writer_stats(daemon->writer, &writer);
        vault_status(daemon->vault, &status);
        why[0] = '\0';
        if (writer.failed != 0 || status.failed) {
                tell_failed(&status, writer.failed != 0 ? (int)writer.failed : EIO, why);
        } else if (error != 0) {
                add(why,
                    "the log cannot be published (%s): check the disk under %s, then restart "
                    "aortad",
                    strerror(error < 0 ? -error : error), daemon->config.log);
        } else if (!vault_space(daemon->vault)) {
                add(why, "free space under ");
                name_full(&status, (uint64_t)daemon->config.reserve_mib << 20, why);
                add(why,
                    " is below ledger.reserve_mib (%u MiB): free some, or lower it and restart",
                    daemon->config.reserve_mib);
        } else if (atomic_load(&daemon->stop)) {
                add(why, "the daemon is draining");
        } else if (atomic_load(&daemon->view.refuse)) {
                add(why, "new requests are refused for the moment: look again");
        } else {
                tell_degraded(&status, why);
                return true;
        }
        return false;
}
