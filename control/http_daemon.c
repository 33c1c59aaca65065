/* SPDX-License-Identifier: Apache-2.0 */
#include "control/http_daemon.h"

#include "control/health.h"
#include "control/http.h"
#include "control/metrics.h"

#include <assert.h>

static_assert(HEALTH_WHY_BYTES <= HTTP_HEALTH_BYTES_MAX && HTTP_WHY_BYTES <= CONFIG_WHY_BYTES,
    "the one's message fits the other's room");

static struct served {
        struct daemon *daemon;
        const char *version;
} served; /* one daemon a process */

static long
write_metrics(void *user, char *out, size_t out_bytes)
{
        const struct served *of = user;
        struct metrics metrics;

        metrics_read(&metrics, of->daemon, of->version);
        return metrics_write(out, out_bytes, &metrics);
}

static bool
is_healthy(void *user, char *why)
{
        return health(((const struct served *)user)->daemon, why);
}

int
http_daemon_start(struct daemon *daemon, const char *version, char *why)
{
        const struct http_config config = {
            .listen = daemon->config.http,
            .log = daemon->config.log,
            .user = &served,
            .metrics = write_metrics,
            .healthy = is_healthy,
        };

        served = (struct served){daemon, version};
        if (config.listen.ss_family == AF_UNSPEC)
                return 0;
        return http_start(&daemon->http, &config, why);
}
