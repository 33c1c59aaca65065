/* SPDX-License-Identifier: Apache-2.0 */
/* The replay window (RFC 8613 §7.4): which of the last REPLAY_WINDOW_BITS partial IVs were
 * accepted.
 *
 * Bit i of bits says that top - i was accepted, so bit 0 is set from the first acceptance on; bits
 * of 0 is a window in which nothing was accepted. Pure; the context's owner calls it. */
#ifndef AORTA_DATAPLANE_REPLAY_H
#define AORTA_DATAPLANE_REPLAY_H

#include "dataplane/limits.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

static_assert(REPLAY_WINDOW_BITS == 64, "the window is one word");

struct replay_window {
        uint64_t top;
        uint64_t bits;
};

/* True when partial_iv may still be accepted. */
bool replay_fresh(const struct replay_window *window, uint64_t partial_iv);
/* True when partial_iv is in the window and was accepted; false also for what is too old to say. */
bool replay_accepted(const struct replay_window *window, uint64_t partial_iv);
/* Accepts a fresh partial IV (asserted); call only after the request was authenticated. */
void replay_accept(struct replay_window *window, uint64_t partial_iv);
/* RFC 8613 §B.1.2: partial_iv, above all that was accepted (asserted), is accepted and becomes the
 * floor: nothing at or below it is fresh any more. */
void replay_floor(struct replay_window *window, uint64_t partial_iv);

#endif
