/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: the simulator counts as acknowledged only what is: protected, 2.01, a leaf of its own; it
 * answers Echo, and never repeats a partial IV. */
#include "tests/unit/bench/sim_run.h"

#include <errno.h>
#include <jansson.h>

Test(sim, every_record_is_acknowledged_logged_and_summed_up)
{
        struct run run;
        char path[96], name[64];
        unsigned long long piv, leaf, last[GATEWAY_DEVICES] = {0}, n = 0;

        run_sim(&run, ANSWER, "100", "5", NULL);
        cr_expect_eq(run.counters.sent, 100);
        cr_expect_eq(run.counters.acked, 100);
        cr_expect_eq(run.counters.errors + run.counters.unanswered, 0);
        cr_expect_eq(run.gateway->leaf, 1100);
        path_of(&run, "acks", path);
        FILE *file = fopen(path, "r");
        cr_assert_not_null(file);
        while (fscanf(file, "%63s %llu %llu\n", name, &piv, &leaf) == 3) {
                unsigned device = (unsigned)(name[3] - '0');

                cr_assert_lt(device, GATEWAY_DEVICES);
                cr_assert_eq(leaf, 1000 + n++);
                cr_assert_gt(piv, last[device]);
                last[device] = piv;
        }
        fclose(file);
        cr_expect_eq(n, 100);
        cr_expect_geq(lines_of(&run, "progress"), 1);
        path_of(&run, "summary", path);
        json_error_t error;
        json_t *summary = json_load_file(path, 0, &error);
        cr_assert_not_null(summary);
        static const char *const keys[] = {"sent", "acked", "records_per_s", "ack_p50_us",
            "ack_p99_us", "ack_p999_us", "ack_max_us", "retransmitted", "echo", "busy", "errors",
            "unanswered", "seconds"};
        for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
                cr_expect(json_is_number(json_object_get(summary, keys[i])), "%s", keys[i]);
        cr_expect_eq(json_integer_value(json_object_get(summary, "acked")), 100);
        cr_expect_gt(json_integer_value(json_object_get(summary, "ack_p50_us")), 0);
        json_decref(summary);
        end(&run);
}

Test(sim, non_requests_are_answered_by_non)
{
        struct run run;

        run_sim(&run, ANSWER, "40", "5", "--non");
        cr_expect_eq(run.counters.acked, 40);
        end(&run);
}

Test(sim, a_second_copy_of_an_answer_counts_once)
{
        struct run run;

        run_sim(&run, ANSWER_TWICE, "40", "5", NULL);
        cr_expect_eq(run.counters.acked, 40);
        cr_expect_eq(run.counters.errors, 0);
        cr_expect_eq(lines_of(&run, "acks"), 40);
        end(&run);
}

Test(sim, a_separate_response_is_acknowledged)
{
        struct run run;

        run_sim(&run, SEPARATE, "40", "5", NULL);
        cr_expect_eq(run.counters.acked, 40);
        cr_expect_eq(run.counters.errors, 0);
        usleep(100000);
        cr_expect_eq(run.gateway->acks, 40);
        cr_expect_eq(run.gateway->resets, 0);
        end(&run);
}

Test(sim, echo_is_answered_under_a_new_partial_iv)
{
        struct run run;

        run_sim(&run, ECHO_FIRST, "40", "5", NULL);
        cr_expect_eq(run.counters.sent, 40);
        cr_expect_eq(run.counters.acked, 40);
        cr_expect_eq(run.counters.echo, GATEWAY_DEVICES);
        cr_expect_eq(run.gateway->echoes_right, GATEWAY_DEVICES);
        cr_expect_eq(run.counters.errors, 0);
        end(&run);
}

Test(sim, echo_without_end_is_an_error)
{
        struct run run;

        run_sim(&run, ECHO_ALWAYS, "8", "5", NULL);
        cr_expect_eq(run.counters.acked, 0);
        cr_expect_eq(run.counters.errors, 8);
        cr_expect_eq(run.counters.echo, 8 * SIM_ECHOES_MAX);
        end(&run);
}

Test(sim, what_is_refused_at_the_end_is_neither_lost_nor_acknowledged)
{
        struct run run;

        run_sim(&run, BUSY_ALWAYS, "4", "5", NULL);
        cr_expect_eq(run.counters.refused, 4);
        cr_expect_eq(run.counters.acked + run.counters.errors + run.counters.unanswered, 0);
        end(&run);
}

Test(sim, no_answer_is_counted_as_such)
{
        struct run run;

        run_sim(&run, SILENT, "4", "0.2", NULL);
        cr_expect_eq(run.counters.unanswered, 4);
        cr_expect_eq(run.counters.acked, 0);
        end(&run);
}

static void
expect_only_errors(enum behaviour behaviour, unsigned acked)
{
        struct run run;

        run_sim(&run, behaviour, "4", "0.2", NULL);
        cr_expect_eq(run.counters.acked, acked, "behaviour %d", behaviour);
        cr_expect_eq(run.counters.errors, 4 - acked, "behaviour %d", behaviour);
        cr_expect_eq(lines_of(&run, "acks"), acked);
        end(&run);
}

Test(sim, the_leaf_of_another_acknowledgement_is_an_error)
{
        expect_only_errors(SAME_LEAF, 1);
}

Test(sim, an_ack_of_another_message_id_is_no_answer)
{
        struct run run;

        run_sim(&run, WRONG_ID, "4", "0.2", NULL);
        cr_expect_eq(run.counters.acked, 0);
        cr_expect_eq(run.counters.unanswered, 4);
        cr_expect_eq(run.counters.stale, 4);
        end(&run);
}

Test(sim, a_success_without_a_leaf_is_an_error)
{
        expect_only_errors(NO_LEAF, 0);
}

Test(sim, a_success_without_protection_is_an_error)
{
        expect_only_errors(UNPROTECTED, 0);
}

Test(sim, a_forged_success_is_an_error)
{
        expect_only_errors(FORGED, 0);
}

Test(sim, the_answer_to_another_request_is_an_error)
{
        expect_only_errors(OTHER_REQUEST, 0);
}

Test(sim, an_error_code_and_a_reset_are_errors)
{
        expect_only_errors(BAD_REQUEST, 0);
        expect_only_errors(REJECT, 0);
}

Test(sim, a_later_run_begins_above_an_earlier_one)
{
        uint64_t at = (SIM_PIV_EPOCH_S + 1000) * UINT64_C(1000000000);

        cr_expect_eq(sim_first_piv(at), 1000u << 10);
        cr_expect_eq(sim_first_piv(at + 999999999), (1001u << 10) - 1);
        cr_expect_gt(sim_first_piv(at + 10000000), sim_first_piv(at) + 9);
        cr_expect_lt(sim_first_piv(at + (UINT64_C(1) << 62)), UINT64_C(1) << 40);
}

Test(sim, options_are_read_and_wrong_ones_refused)
{
        static const char *const wrong[][4] = {{"--gateway", "10.0.0.1:0"},
            {"--gateway", "10.0.0.1:65536"}, {"--gateway", "name"}, {"--gateway", "[fd00::1"},
            {"--gateway", "fd00::1:x"}, {"--rate", "0"}, {"--rate", "nan"}, {"--rate", "1x"},
            {"--count", "-1"}, {"--for", "-1"}, {"--endpoints", "0"}, {"--endpoints", "8193"},
            {"--format", "xml"}, {"--loss", "1"}, {"--duplicate", "1.1"}, {"--records", "0"},
            {"--nonsense", NULL}, {"rest", NULL}, {"--source", "fd00::1"}, {"--rate", NULL}};
        char why[SIM_OPTIONS_WHY];
        struct sim_options options;

        for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                char *argv[] = {"aorta-sim", "--gateway", "10.0.0.1", "--devices", "x",
                    (char *)wrong[i][0], (char *)wrong[i][1], NULL};

                why[0] = '\0';
                cr_expect_eq(sim_options_parse(&options, wrong[i][1] != NULL ? 7 : 6, argv, why),
                    -EINVAL, "%s %s", wrong[i][0], wrong[i][1]);
                cr_expect_neq(why[0], '\0');
        }
        char *v6[] = {"aorta-sim", "--gateway", "[fd00:77::2]:61616", "--devices", "x", "--source",
            "fd00:77::1", "--rate", "50000", NULL};
        cr_assert_eq(sim_options_parse(&options, 9, v6, why), 0, "%s", why);
        cr_expect_eq(options.gateway.v6.sin6_port, htons(61616));
        cr_expect_eq(options.endpoints, 250);
        char *bare[] = {"aorta-sim", "--gateway", "fd00:77::2", "--devices", "x", NULL};
        cr_assert_eq(sim_options_parse(&options, 5, bare, why), 0, "%s", why);
        cr_expect_eq(options.gateway.v6.sin6_port, htons(SIM_COAP_PORT));
        cr_expect_eq(options.endpoints, SIM_ENDPOINTS_MIN);
        char *missing[] = {"aorta-sim", "--devices", "x", NULL};
        cr_expect_eq(sim_options_parse(&options, 3, missing, why), -EINVAL);
}
