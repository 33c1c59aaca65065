/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the gateway takes new records, and why not. */
#ifndef AORTA_CONTROL_HEALTH_H
#define AORTA_CONTROL_HEALTH_H

#include "control/daemon.h"
#include "ledger/vault.h"

#include <stdbool.h>
#include <stddef.h>

#define HEALTH_WHY_BYTES 512u

/* False, with why (HEALTH_WHY_BYTES) as one sentence of what is wrong and what to do; else true,
 * and why is "" or, while volumes are no members, the alarm that names them. Any thread, while
 * writer, publisher and vault are there. */
bool health(struct daemon *daemon, char *why);

/* One word: missing, stale, filling, following or member. */
const char *volume_state_name(enum volume_state state);

#endif
