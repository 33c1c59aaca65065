/* SPDX-License-Identifier: Apache-2.0 */
/* Windows are saved only when every accepted request has its receipt: only then are they exact.
 * Otherwise the next start treats the stop as unclean, which costs each device one Echo and loses
 * nothing. */
#include "control/drain.h"

#include "control/eal.h"
#include "control/indexer.h"
#include "control/http.h"
#include "control/publisher.h"
#include "control/registry.h"
#include "control/windows.h"
#include "control/writer.h"
#include "crypto/keys.h"
#include "ledger/vault.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define STEP_NS 1000000

static bool
wait_answered(struct daemon *daemon)
{
        struct timespec step = {.tv_nsec = STEP_NS};

        for (uint32_t ms = 0; ms < daemon->config.drain_ms; ms++) {
                if (dataplane_pending(daemon->dataplane) == 0)
                        return true;
                nanosleep(&step, NULL);
        }
        return dataplane_pending(daemon->dataplane) == 0;
}

int
drain(struct daemon *daemon, char *why)
{
        struct writer_stats stats;
        struct vault_tip tip;
        bool answered;
        int r = 0, published;

        writer_close(daemon->writer);
        answered = wait_answered(daemon);
        dataplane_stop(daemon->dataplane);
        answered = answered && dataplane_pending(daemon->dataplane) == 0;
        writer_stop(daemon->writer);
        writer_stats(daemon->writer, &stats);
        published = publisher_sync(daemon->publisher);
        publisher_stop(daemon->publisher);
        indexer_stop(daemon->indexer);
        if (!answered) {
                fprintf(stderr,
                    "aortad: %u requests had no receipt by the drain's limit (drain_ms %u): their "
                    "devices "
                    "will ask again\n",
                    dataplane_pending(daemon->dataplane), daemon->config.drain_ms);
        } else if (stats.failed == 0) {
                vault_position(daemon->vault, &tip);
                r = windows_save(daemon->config.state, daemon->contexts, &tip);
                if (r < 0)
                        snprintf(
                            why, CONFIG_WHY_BYTES, "replay windows not saved: %s", strerror(-r));
        }
        http_stop(daemon->http); /* it told of the drain until here */
        writer_destroy(daemon->writer);
        publisher_destroy(daemon->publisher);
        indexer_destroy(daemon->indexer);
        dataplane_destroy(daemon->dataplane);
        contexts_destroy(daemon->contexts);
        registry_close(daemon->registry);
        vault_close(daemon->vault);
        realm_key_free(daemon->realm_key);
        eal_stop();
        if (stats.failed != 0) {
                snprintf(why, CONFIG_WHY_BYTES,
                    "a flush to the volume failed while running: %s. Check the disk; nothing "
                    "acknowledged "
                    "is lost",
                    strerror((int)stats.failed));
                return -(int)stats.failed;
        }
        if (published < 0) {
                snprintf(why, CONFIG_WHY_BYTES, "the last checkpoint was not published: %s",
                    strerror(-published));
                return published;
        }
        return r;
}
