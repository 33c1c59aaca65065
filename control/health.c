/* SPDX-License-Identifier: Apache-2.0 */
#include "control/health.h"

#include "control/publisher.h"
#include "control/writer.h"
#include "ledger/vault.h"

#include <stdio.h>
#include <string.h>

bool
health(struct daemon *daemon, char *why)
{
        struct writer_stats writer;
        int error = publisher_error(daemon->publisher);

        writer_stats(daemon->writer, &writer);
        why[0] = '\0';
        if (writer.failed != 0)
                snprintf(why, HEALTH_WHY_BYTES,
                    "a flush failed (%s) and nothing is accepted any more: check the disk under "
                    "%s, then restart aortad",
                    strerror((int)writer.failed), daemon->config.volume);
        else if (error != 0)
                snprintf(why, HEALTH_WHY_BYTES,
                    "the log cannot be published (%s): check the disk under %s, then restart "
                    "aortad",
                    strerror(error < 0 ? -error : error), daemon->config.log);
        else if (!vault_space(daemon->vault))
                snprintf(why, HEALTH_WHY_BYTES,
                    "free space under %s is below ledger.reserve_mib (%u MiB): free some, or lower "
                    "it and restart",
                    daemon->config.volume, daemon->config.reserve_mib);
        else if (atomic_load(&daemon->stop))
                snprintf(why, HEALTH_WHY_BYTES, "the daemon is draining");
        else if (atomic_load(&daemon->view.refuse))
                snprintf(
                    why, HEALTH_WHY_BYTES, "new requests are refused for the moment: look again");
        return why[0] == '\0';
}
