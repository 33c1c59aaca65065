/* SPDX-License-Identifier: Apache-2.0 */
/* What a benchmark needs of its host: cores, DPDK's EAL, a folder for vaults. Main thread. */
#ifndef AORTA_BENCH_PIPELINE_HOST_H
#define AORTA_BENCH_PIPELINE_HOST_H

#include "bench/pipeline.h"

#define HOST_WORKER_LCORE 1u /* lcore 0 is the main thread's */

/* Chooses cores, starts EAL with huge pages when enough are free, fills the environment. 0 or
 * -errno with why. */
int host_start(
    const struct pipeline_options *options, struct pipeline_environment *environment, char *why);
/* Makes a new folder below options->state (parents too). 0 or -errno with why. */
int host_make_folder(
    const struct pipeline_options *options, unsigned run, char path[4096], char *why);
/* Removes a folder that host_make_folder() has made, and all that is in it. */
int host_remove_folder(const char *path);

#endif
