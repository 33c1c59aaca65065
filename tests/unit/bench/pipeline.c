/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: the benchmark measures the real thing: its requests are what a device sends, each record
 * is answered and stored, and its checks notice what is wrong. */
#include "bench/pipeline.h"
#include "bench/pipeline_fleet.h"
#include "dataplane/coap/coap.h"
#include "dataplane/net/frame.h"
#include "dataplane/senml/senml.h"
#include "dataplane/senml/vitals.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEVICES 37

static struct contexts *contexts;

static void
open_fleet(struct fleet *fleet, uint32_t payload_bytes, uint8_t alg)
{
        struct contexts_config config = {
            .devices = DEVICES, .patients = DEVICES, .workers = 1, .backend = ENGINE_PORTABLE};
        char why[PIPELINE_WHY] = "";
        bool locked;

        cr_assert_geq(sodium_init(), 0);
        cr_assert_eq(contexts_create(&contexts, &config, &locked, why, sizeof(why)), 0, "%s", why);
        cr_assert_eq(
            fleet_create(fleet, contexts, DEVICES, payload_bytes, alg, ENGINE_PORTABLE), 0);
        memcpy(fleet->gateway_mac, "\x02\0\0\0\0\x01", 6);
}

static void
close_fleet(struct fleet *fleet)
{
        fleet_destroy(fleet);
        contexts_destroy(contexts);
}

Test(pipeline, payloads_are_plausible_packs_of_the_wanted_length)
{
        static struct senml_pack pack;
        static const uint32_t lengths[] = {FLEET_PAYLOAD_MIN, 113, 128, 200, 256, 512, 1023, 1024};
        struct fleet fleet = {.devices = 1000, .stride = 7};
        uint8_t out[SEAL_PAYLOAD_MAX], other[SEAL_PAYLOAD_MAX];

        for (unsigned l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
                fleet.payload_bytes = lengths[l];
                for (uint64_t record = 0; record < 300; record++) {
                        enum senml_error error;

                        memset(out, 0, sizeof(out));
                        fleet_payload(&fleet, record, out);
                        error = senml_parse_json(&pack, out, lengths[l], 0);
                        cr_assert_eq(error, SENML_OK, "%s: %.*s", senml_error_text(error),
                            (int)lengths[l], (const char *)out);
                        cr_assert_eq(vitals_check(&pack), 0);
                        cr_assert_geq(pack.records, lengths[l] / 40 / 2);
                        fleet_payload(&fleet, record + 1, other);
                        cr_assert_neq(memcmp(out, other, lengths[l]), 0);
                }
        }
}

Test(pipeline, every_device_has_its_turn)
{
        struct fleet fleet;
        unsigned seen[DEVICES] = {0};

        open_fleet(&fleet, 128, 10);
        for (uint64_t record = 0; record < 3 * DEVICES; record++)
                seen[fleet_device(&fleet, record)]++;
        for (unsigned i = 0; i < DEVICES; i++)
                cr_assert_eq(seen[i], 3);
        close_fleet(&fleet);
}

Test(pipeline, a_frame_is_one_that_the_gateway_takes)
{
        static const uint8_t algs[] = {1, 3, 10, 24, 30};
        struct net_local local = {.mac = {2, 0, 0, 0, 0, 1},
            .ipv4_count = 1,
            .ipv4 = {{10, 77, 0, 2}},
            .udp_port_count = 1,
            .udp_ports = {5683}};
        uint8_t out[SEAL_PAYLOAD_MAX + FLEET_FRAME_OVERHEAD];

        for (unsigned a = 0; a < sizeof(algs); a++) {
                struct fleet fleet;

                open_fleet(&fleet, SEAL_PAYLOAD_MAX, algs[a]);
                for (uint64_t record = 0; record < 2 * DEVICES; record++) {
                        size_t n = fleet_frame(&fleet, record, (uint32_t)record, out);
                        struct coap_message message;
                        struct frame frame;

                        cr_assert_eq(frame_parse(&frame, out, n, &local, 0), FRAME_UDP);
                        cr_assert_eq(
                            coap_parse(&message, frame.payload, frame.payload_bytes), COAP_OK);
                        cr_assert_eq(message.token_bytes, FLEET_TOKEN_BYTES);
                        cr_assert_neq(message.present & COAP_HAS(OSCORE), 0);
                }
                close_fleet(&fleet);
        }
}

Test(pipeline, another_answer_or_record_is_noticed)
{
        struct fleet fleet;
        uint8_t frame[SEAL_PAYLOAD_MAX + FLEET_FRAME_OVERHEAD], sealed[SEAL_BYTES_MAX] = {0};
        uint64_t leaf;
        size_t n;

        open_fleet(&fleet, 128, 10);
        /* A request is no answer to itself. */
        n = fleet_frame(&fleet, 3, 3, frame);
        cr_expect_eq(fleet_open_reply(&fleet, 3, frame + 42, n - 42, &leaf), -EBADMSG);
        cr_expect_eq(fleet_check_record(&fleet, 3, sealed, SEAL_OVERHEAD + 128), -EBADMSG);
        close_fleet(&fleet);
}

static void
run_small(const char *flag, uint64_t records)
{
        static struct pipeline_result results[2];
        struct pipeline_environment environment = {0};
        struct pipeline_options options;
        char why[PIPELINE_WHY] = "", state[] = "/var/tmp/aorta-pipeline-XXXXXX";
        char count[24];
        char *argv[] = {"pipeline", "--devices", "100", "--runs", "2", "--records", count,
            "--state", state, "--no-huge", (char *)flag, NULL};

        cr_assert_geq(sodium_init(), 0);
        cr_assert_not_null(mkdtemp(state));
        snprintf(count, sizeof(count), "%llu", (unsigned long long)records);
        cr_assert_eq(
            pipeline_options_parse(&options, flag != NULL ? 11 : 10, argv, why), 0, "%s", why);
        cr_assert_eq(pipeline_run(&options, &environment, results, why), 0, "%s", why);
        for (unsigned i = 0; i < 2; i++) {
                cr_expect_eq(results[i].records, records);
                cr_expect_eq(results[i].verified, records);
                cr_expect_eq(results[i].replies_wrong + results[i].records_wrong, 0);
                cr_expect_gt(results[i].records_per_s, 0);
                cr_expect_gt(results[i].stages_n, 8);
                cr_expect_gt(results[i].core_share, 0);
                cr_expect_geq(results[i].cycles, results[i].feeder_cycles);
                cr_expect(flag != NULL || results[i].groups > 0);
        }
        /* It leaves nothing behind: rmdir() wants an empty folder. */
        cr_expect_eq(rmdir(state), 0, "%s", strerror(errno));
}

Test(pipeline, a_durable_run_is_verified_record_by_record)
{
        run_small(NULL, 3000);
}

Test(pipeline, a_run_without_a_disk_is_verified_by_its_answers)
{
        run_small("--no-flush", 3000);
}

Test(pipeline, wrong_options_are_refused)
{
        static const char *const wrong[][2] = {{"--devices", "0"}, {"--payload", "111"},
            {"--payload", "1025"}, {"--alg", "2"}, {"--records", "4000001"}, {"--runs", "0"},
            {"--seconds", "x"}, {"--crypto", "rot13"}, {"--group", "4097"}, {"--frob", NULL},
            {"more", NULL}, {"--state", NULL}};
        struct pipeline_options options;
        char why[PIPELINE_WHY];

        for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                char *argv[] = {"pipeline", (char *)wrong[i][0], (char *)wrong[i][1], NULL};

                why[0] = '\0';
                cr_expect_eq(
                    pipeline_options_parse(&options, wrong[i][1] != NULL ? 3 : 2, argv, why),
                    -EINVAL, "%s", wrong[i][0]);
                cr_expect_neq(why[0], '\0');
        }
}
