/* SPDX-License-Identifier: Apache-2.0 */
/* Guards promise 2 for plain records: an (endpoint, message ID) makes one record for as long as the
 * message ID lives (RFC 7252 §4.8.2), and a full table refuses, it does not forget. */
#include "dataplane/lab.h"

#include <criterion/criterion.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)

static struct lab_table *table;

static void
setup(void)
{
        cr_assert_eq(lab_create(&table), 0);
}

static void
teardown(void)
{
        lab_destroy(table);
}

TestSuite(lab, .init = setup, .fini = teardown);

static struct endpoint
endpoint(uint16_t port)
{
        return (struct endpoint){
            .peer_address = {10, 0, 0, 1}, .peer_port = port, .own_port = 5683, .ip_version = 4};
}

static uint32_t
take(uint16_t port, uint16_t message_id, bool confirmable, uint64_t now_s, bool *found)
{
        struct endpoint it = endpoint(port);

        return lab_take(table, &it, message_id, confirmable, now_s * SECOND, found);
}

Test(lab, a_duplicate_is_found_until_its_message_id_dies)
{
        uint64_t leaf;
        bool found;
        uint32_t entry = take(1, 2, true, 100, &found);

        cr_assert(!found);
        cr_assert_eq(take(1, 2, true, 100, &found), entry);
        cr_assert(found);
        cr_assert_eq(lab_state(table, entry, &leaf), LAB_PENDING);
        lab_done(table, entry, 42);
        cr_assert_eq(take(1, 2, true, 100 + EXCHANGE_LIFETIME_S - 1, &found), entry);
        cr_assert(found);
        cr_assert_eq(lab_state(table, entry, &leaf), LAB_DONE);
        cr_assert_eq(leaf, 42);
        take(1, 2, true, 100 + EXCHANGE_LIFETIME_S, &found);
        cr_assert(!found);
}

Test(lab, a_nons_life_is_shorter)
{
        bool found;

        lab_done(table, take(1, 2, false, 100, &found), 1);
        take(1, 2, false, 100 + NON_LIFETIME_S - 1, &found);
        cr_assert(found);
        take(1, 2, false, 100 + NON_LIFETIME_S, &found);
        cr_assert(!found);
}

Test(lab, other_endpoints_and_message_ids_are_others)
{
        bool found;

        take(1, 2, true, 100, &found);
        take(2, 2, true, 100, &found);
        cr_assert(!found);
        take(1, 3, true, 100, &found);
        cr_assert(!found);
}

Test(lab, a_refused_one_may_come_again)
{
        bool found;

        lab_release(table, take(1, 2, true, 100, &found));
        take(1, 2, true, 100, &found);
        cr_assert(!found);
}

Test(lab, what_may_be_durable_stays_known)
{
        uint64_t leaf;
        bool found;
        uint32_t entry = take(1, 2, true, 100, &found);

        take(1, 2, true, 100000, &found);
        cr_assert(found, "a pending one outlives its time");
        lab_silence(table, entry);
        cr_assert_eq(take(1, 2, true, 101, &found), entry);
        cr_assert(found);
        cr_assert_eq(lab_state(table, entry, &leaf), LAB_SILENT);
}

Test(lab, a_full_table_refuses_and_forgets_nothing)
{
        static bool taken[3][UINT16_MAX + 1];
        unsigned refused = 0;
        bool found;

        for (unsigned port = 0; port < 3; port++) {
                for (unsigned id = 0; id <= UINT16_MAX; id++) {
                        taken[port][id] = take((uint16_t)(port + 1), (uint16_t)id, true, 100,
                                              &found) != LAB_ENTRY_NONE;
                        cr_assert(!found);
                        refused += !taken[port][id];
                }
        }
        cr_assert_geq(refused, 3 * (UINT16_MAX + 1) - LAB_SETS * LAB_WAYS);
        for (unsigned port = 0; port < 3; port++) {
                for (unsigned id = 0; id <= UINT16_MAX; id++) {
                        if (!taken[port][id])
                                continue;
                        take((uint16_t)(port + 1), (uint16_t)id, true, 300, &found);
                        cr_assert(found);
                }
        }
}
