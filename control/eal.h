/* SPDX-License-Identifier: Apache-2.0 */
/* Starts DPDK's EAL by the configuration: cores, memory, devices. Main thread, once. */
#ifndef AORTA_CONTROL_EAL_H
#define AORTA_CONTROL_EAL_H

#include "control/config.h"
#include "dataplane/dataplane.h"

/* lcore 0 is the control core; worker i is lcore i + 1, so that a worker may share a core. Chooses
 * huge pages or not, as configured and as there are. *huge tells which. 0 or -errno with why. */
int eal_start(const struct config *config, bool *huge, char why[CONFIG_WHY_BYTES]);
/* Fills lcores and ports of the data plane's configuration. */
int eal_ports(
    const struct config *config, struct dataplane_config *dataplane, char why[CONFIG_WHY_BYTES]);
void eal_stop(void);

#endif
