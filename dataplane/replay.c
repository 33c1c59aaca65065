/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/replay.h"

bool
replay_fresh(const struct replay_window *window, uint64_t partial_iv)
{
        uint64_t age;

        if (window->bits == 0 || partial_iv > window->top)
                return true;
        age = window->top - partial_iv;
        return age < REPLAY_WINDOW_BITS && (window->bits >> age & 1) == 0;
}

bool
replay_accepted(const struct replay_window *window, uint64_t partial_iv)
{
        uint64_t age;

        if (window->bits == 0 || partial_iv > window->top)
                return false;
        age = window->top - partial_iv;
        return age < REPLAY_WINDOW_BITS && (window->bits >> age & 1) != 0;
}

void
replay_accept(struct replay_window *window, uint64_t partial_iv)
{
        uint64_t ahead;

        assert(replay_fresh(window, partial_iv));
        if (window->bits == 0) {
                window->top = partial_iv;
                window->bits = 1;
        } else if (partial_iv > window->top) {
                ahead = partial_iv - window->top;
                /* A shift by the word's width is undefined in C. */
                window->bits = ahead < REPLAY_WINDOW_BITS ? window->bits << ahead : 0;
                window->bits |= 1;
                window->top = partial_iv;
        } else {
                window->bits |= UINT64_C(1) << (window->top - partial_iv);
        }
        assert(replay_accepted(window, partial_iv));
}

void
replay_floor(struct replay_window *window, uint64_t partial_iv)
{
        assert(window->bits == 0 || partial_iv > window->top);
        window->top = partial_iv;
        window->bits = UINT64_MAX;
}
