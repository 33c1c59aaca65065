/* SPDX-License-Identifier: Apache-2.0 */
/* A clean stop. */
#ifndef AORTA_CONTROL_DRAIN_H
#define AORTA_CONTROL_DRAIN_H

#include "control/daemon.h"

/* New requests get 5.03; what is pending is flushed and answered until drain_ms; then the workers stop, the
 * writer finishes, the last checkpoint is published, and, when nothing was left without an answer, the
 * exact windows are saved. Takes everything in daemon down. */
int drain(struct daemon *daemon, char *why);

#endif
