/* SPDX-License-Identifier: Apache-2.0 */
/* The publisher: a thread that owns the log (ledger/log.h). It takes leaf entries of durable groups
 * from the writer through a bounded SPSC queue of chunks and publishes a checkpoint each interval.
 */
#ifndef AORTA_CONTROL_PUBLISHER_H
#define AORTA_CONTROL_PUBLISHER_H

#include "dataplane/dataplane.h"
#include "ledger/log.h"

#include <stdbool.h>
#include <stdint.h>

struct publisher;

struct publisher_config {
        struct log *log; /* recovered entries already appended; owned by the publisher's thread from
                            now on */
        struct ledger_view *view;
        uint32_t interval_ms;
        int core;
};

int publisher_start(struct publisher **publisher, const struct publisher_config *config);
/* Writer thread: copies n entries in; false when there is no room (try again: the writer must keep
 * them and may not acknowledge later groups unboundedly ahead). */
bool publisher_push(struct publisher *publisher, const uint8_t *entries, uint32_t n);
/* Publishes now and waits (checkpoint command, drain). 0 or -errno of the log. */
int publisher_sync(struct publisher *publisher);
/* The current checkpoint note, NUL-terminated; any thread. */
long publisher_checkpoint(struct publisher *publisher, char *out, size_t out_bytes);
int publisher_error(const struct publisher *publisher);
void publisher_stop(
    struct publisher *publisher); /* publishes what is left, joins, closes nothing */
void publisher_destroy(struct publisher *publisher);

#endif
