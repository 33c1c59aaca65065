/* SPDX-License-Identifier: Apache-2.0 */
/* aorta-bench: the suite of benchmarks. */
#include "bench/pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#define EXIT_USAGE 2

static const char usage[] =
    "usage: aorta-bench BENCHMARK [OPTIONS]\n"
    "\n"
    "  pipeline   records through one worker core and the ledger writer, memory to memory\n"
    "\n"
    "aorta-bench BENCHMARK --help tells its options. Exit status: 0 good, 1 failed, 2 usage.\n";

static int
run_pipeline(int argc, char **argv)
{
        static struct pipeline_result results[PIPELINE_RUNS_MAX];
        struct pipeline_options options;
        struct pipeline_environment environment = {0};
        char why[PIPELINE_WHY] = "";

        if (pipeline_options_parse(&options, argc, argv, why) < 0) {
                fprintf(stderr, "aorta-bench: %s; see aorta-bench pipeline --help\n", why);
                return EXIT_USAGE;
        }
        if (options.help) {
                fputs(pipeline_usage(), stdout);
                return 0;
        }
        if (pipeline_run(&options, &environment, results, why) < 0) {
                fprintf(stderr, "aorta-bench: %s\n", why);
                return EXIT_FAILURE;
        }
        pipeline_report(&options, &environment, results);
        for (unsigned i = 0; i < options.runs; i++) {
                if (results[i].verified != results[i].records || results[i].replies_wrong > 0 ||
                    results[i].records_wrong > 0) {
                        fprintf(stderr,
                            "aorta-bench: run %u: %lu answers and %lu records are wrong\n", i + 1,
                            (unsigned long)results[i].replies_wrong,
                            (unsigned long)results[i].records_wrong);
                        return EXIT_FAILURE;
                }
        }
        return 0;
}

int
main(int argc, char **argv)
{
        if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
                fputs(usage, stdout);
                return 0;
        }
        if (argc < 2 || strcmp(argv[1], "pipeline") != 0) {
                fputs(usage, stderr);
                return EXIT_USAGE;
        }
        if (sodium_init() < 0) {
                fprintf(stderr, "aorta-bench: libsodium does not start\n");
                return EXIT_FAILURE;
        }
        return run_pipeline(argc - 1, argv + 1);
}
