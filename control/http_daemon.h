/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server of a running daemon. */
#ifndef AORTA_CONTROL_HTTP_DAEMON_H
#define AORTA_CONTROL_HTTP_DAEMON_H

#include "control/daemon.h"

/* Starts daemon->http where the configuration says, or not at all. Once the writer and the
 * publisher are there; http_stop() before they go. 0, or -errno with why (CONFIG_WHY_BYTES).
 * version outlives it. */
int http_daemon_start(struct daemon *daemon, const char *version, char *why);

#endif
