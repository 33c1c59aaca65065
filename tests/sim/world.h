/* SPDX-License-Identifier: Apache-2.0 */
/* A small world above the ledger, deterministic by seed: devices that send records until they are
 * acknowledged, the gateway's writer loop in one thread, an operator, faults, and crashes at any
 * call; and a witness outside of it all who remembers what was promised and holds each recovery
 * against it.
 *
 * Promised: what was acknowledged is there at the same leaf with the same bytes; no (context,
 * partial IV) is there twice; every size and root that was signed is of a prefix; each record opens
 * with a key of the recovered store; no boot epoch comes twice. All of that while no more than m
 * volumes have anything wrong with them, and writing goes on meanwhile. With more: an error that
 * says why, or all of it. */
#ifndef AORTA_TESTS_SIM_WORLD_H
#define AORTA_TESTS_SIM_WORLD_H

#include "tests/sim/disk.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define WORLD_WHY_BYTES 1024u

struct world_config {
        uint64_t seed;
        uint32_t steps; /* 0: WORLD_STEPS */
        FILE *trace;    /* every call and event; NULL: none */
};
#define WORLD_STEPS 400u

struct world_result {
        bool ok;
        char why[WORLD_WHY_BYTES]; /* what was broken */
        uint32_t step;             /* where */
        unsigned data, parity;
        uint64_t records, acknowledged, groups, signed_n;
        uint64_t boots, crashes, crashes_in_boot, stops, exams, beyond, refused_beyond,
            catastrophes;
        uint64_t fences, rebuilds, replaces, scrubs, reads;
        struct sim_counts disk;
};

/* One run. Allocates and frees all that it uses; one at a time a process. */
void world_run(const struct world_config *config, struct world_result *result);

/* Where a run stands, for who reports a failed assertion: seed and step. */
void world_where(uint64_t *seed, uint32_t *step);

#endif
