/* SPDX-License-Identifier: Apache-2.0 */
#include "control/volumes.h"

#include "control/daemon.h"
#include "control/health.h"
#include "control/registry.h"
#include "ledger/vault.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define JOIN_AGAIN_S 5

/* What was told last; one daemon a process. */
static struct {
        bool begun, alarm, failed;
        enum volume_state states[VAULT_VOLUMES_MAX];
        time_t join_failed[VAULT_VOLUMES_MAX];
} told;

static void
tell(const struct vault_status *status)
{
        unsigned n = status->data + status->parity;

        for (unsigned i = 0; i < n; i++) {
                const struct volume_status *volume = &status->volumes[i];

                if (told.begun ? volume->state == told.states[i] : volume->state == VOLUME_MEMBER) {
                        told.states[i] = volume->state;
                        continue;
                }
                fprintf(stderr, "aortad: volume %u (%s) is %s%s%s\n", i, volume->path,
                    volume_state_name(volume->state), volume->why[0] != '\0' ? ": " : "",
                    volume->why);
                told.states[i] = volume->state;
        }
        if (status->alarm && !told.alarm)
                fprintf(stderr,
                    "aortad: ALARM: %u of %u volumes left, no more than the floor (%u): the loss "
                    "of "
                    "another stops the gateway. aortactl vault rebuild or replace heals it\n",
                    status->members, n, status->floor);
        if (status->failed && !told.failed)
                fprintf(stderr,
                    "aortad: ALARM: %u of %u volumes left, the floor is %u: nothing is stored any "
                    "more, "
                    "devices get 5.03. Bring volumes back and start again\n",
                    status->members, n, status->floor);
        told.alarm = status->alarm;
        told.failed = status->failed;
        told.begun = true;
}

/* The store has a copy on each member, and on no other volume. */
static void
keep_copies(struct daemon *daemon, const struct vault_status *status)
{
        uint32_t copies = registry_copies(daemon->registry);

        for (unsigned i = 0; i < status->data + status->parity; i++) {
                const struct volume_status *volume = &status->volumes[i];
                bool member = volume->state == VOLUME_MEMBER, copy = copies >> i & 1;
                char why[VAULT_WHY_BYTES] = "";
                int r = 0;

                if (member == copy || time(NULL) - told.join_failed[i] < JOIN_AGAIN_S)
                        continue;
                r = member ? registry_copy_join(daemon->registry, i, volume->path, why)
                           : registry_copy_leave(daemon->registry, i);
                if (r < 0) {
                        fprintf(stderr, "aortad: volume %u: the store's copy cannot be %s: %s\n", i,
                            member ? "made" : "left out", why[0] != '\0' ? why : strerror(-r));
                        told.join_failed[i] = time(NULL);
                }
        }
}

void
volumes_tend(struct daemon *daemon)
{
        struct vault_status status;

        if (daemon->vault == NULL || daemon->config.volumes < 2)
                return;
        vault_status(daemon->vault, &status);
        tell(&status);
        if (!status.failed)
                keep_copies(daemon, &status);
}
