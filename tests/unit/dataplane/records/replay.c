/* SPDX-License-Identifier: Apache-2.0 */
/* Guards promise 2: a partial IV is accepted at most once, and a fresh one within the window is not
 * refused. The window is compared with a set that forgets nothing. */
#include "dataplane/replay.h"

#include <criterion/criterion.h>
#include <string.h>

#define SPACE 9u /* partial IVs 0 … 8 in the exhaustive test */
#define STEPS 6u

#define MODEL_MAX 400u

/* What was accepted, in full, and what the floor shut out. */
struct model {
        bool accepted[MODEL_MAX];
        uint64_t top;
        bool any;
};

static bool
model_fresh(const struct model *model, uint64_t piv)
{
        if (!model->any || piv > model->top)
                return true;
        if (model->top - piv >= REPLAY_WINDOW_BITS)
                return false;
        return !model->accepted[piv];
}

static void
model_accept(struct model *model, uint64_t piv)
{
        model->accepted[piv] = true;
        if (!model->any || piv > model->top)
                model->top = piv;
        model->any = true;
}

static void
step(struct replay_window *window, struct model *model, uint64_t piv)
{
        bool fresh = replay_fresh(window, piv);

        cr_assert_eq(fresh, model_fresh(model, piv), "partial IV %lu, top %lu", (unsigned long)piv,
            (unsigned long)model->top);
        if (!fresh)
                return;
        replay_accept(window, piv);
        model_accept(model, piv);
        cr_assert(!replay_fresh(window, piv));
        cr_assert(replay_accepted(window, piv));
}

/* Every sequence of STEPS arrivals out of a small space, placed so that it straddles the window. */
static void
all_sequences(const uint64_t space[SPACE])
{
        uint64_t sequences = 1;

        for (unsigned i = 0; i < STEPS; i++)
                sequences *= SPACE;
        for (uint64_t s = 0; s < sequences; s++) {
                struct replay_window window = {0};
                struct model model;
                uint64_t digits = s;

                memset(&model, 0, sizeof(model));
                for (unsigned i = 0; i < STEPS; i++, digits /= SPACE)
                        step(&window, &model, space[digits % SPACE]);
        }
}

Test(replay, every_short_sequence_of_neighbours)
{
        all_sequences((const uint64_t[SPACE]){0, 1, 2, 3, 4, 5, 6, 7, 8});
}

Test(replay, every_short_sequence_around_the_windows_edges)
{
        all_sequences((const uint64_t[SPACE]){0, 1, 62, 63, 64, 65, 127, 128, 129});
}

Test(replay, long_random_walks)
{
        uint32_t state = 12345;

        for (unsigned round = 0; round < 2000; round++) {
                struct replay_window window = {0};
                struct model model;

                memset(&model, 0, sizeof(model));
                for (unsigned i = 0; i < 300; i++) {
                        uint64_t reach = model.any ? model.top + 3 : 100;
                        uint64_t back;

                        state = state * 1664525 + 1013904223;
                        back = state >> 24 & 127;
                        if (reach >= MODEL_MAX)
                                break;
                        step(&window, &model, back > reach ? 0 : reach - back);
                }
        }
}

/* libcoap 4.3.2 to 4.3.5 get this wrong both ways. */
Test(replay, after_1_and_3_comes_2_but_not_1)
{
        struct replay_window window = {0};

        replay_accept(&window, 1);
        replay_accept(&window, 3);
        cr_assert(!replay_fresh(&window, 1));
        cr_assert(!replay_fresh(&window, 3));
        cr_assert(replay_fresh(&window, 2));
        replay_accept(&window, 2);
        cr_assert(!replay_fresh(&window, 2));
        cr_assert(replay_fresh(&window, 0));
        cr_assert(replay_fresh(&window, 4));
}

Test(replay, jumps_of_any_width_keep_what_is_in_the_window)
{
        for (uint64_t jump = 1; jump < 3 * REPLAY_WINDOW_BITS; jump++) {
                struct replay_window window = {0};

                replay_accept(&window, 1000);
                replay_accept(&window, 1000 + jump);
                cr_assert(!replay_fresh(&window, 1000));
                cr_assert_eq(replay_accepted(&window, 1000), jump < REPLAY_WINDOW_BITS);
                cr_assert_eq(
                    replay_fresh(&window, 1001), jump > 1 && jump - 1 < REPLAY_WINDOW_BITS);
        }
}

Test(replay, the_last_partial_iv)
{
        const uint64_t last = (UINT64_C(1) << 40) - 1;
        struct replay_window window = {0};

        replay_accept(&window, 0);
        replay_accept(&window, last);
        cr_assert(!replay_fresh(&window, last));
        cr_assert(!replay_fresh(&window, 0));
        cr_assert(replay_fresh(&window, last - 63));
        cr_assert(!replay_fresh(&window, last - 64));
}

Test(replay, nothing_at_or_below_a_floor)
{
        struct replay_window window = {0};

        replay_accept(&window, 10);
        replay_floor(&window, 100);
        for (uint64_t piv = 0; piv <= 100; piv++)
                cr_assert(!replay_fresh(&window, piv));
        cr_assert(replay_fresh(&window, 101));
        replay_accept(&window, 102);
        cr_assert(replay_fresh(&window, 101));
        cr_assert(!replay_fresh(&window, 100));
}
