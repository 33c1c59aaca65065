/* SPDX-License-Identifier: Apache-2.0 */
/* aorta-simulate: the ledger on simulated disks, run after run.
 *
 *   aorta-simulate --seeds A-B [--steps N]      runs A to B; the first broken one ends it
 *   aorta-simulate --seed N [--trace]           one run, every call of it printed
 *
 * 0: all held; 1: a promise was broken, and the seed that breaks it is printed; 2: usage. */
#include "tests/sim/world.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEEDS_DEFAULT 100u

struct options {
        uint64_t first, last;
        uint32_t steps;
        bool trace, verbose;
};

static int
usage(void)
{
        fprintf(stderr, "usage: aorta-simulate [--seeds A-B | --seed N] [--steps N] [--trace] "
                        "[--verbose]\n");
        return 2;
}

static int
options_read(struct options *options, int argc, char **argv)
{
        static const struct option all[] = {
            {"seeds", required_argument, NULL, 's'},
            {"seed", required_argument, NULL, 'o'},
            {"steps", required_argument, NULL, 'n'},
            {"trace", no_argument, NULL, 't'},
            {"verbose", no_argument, NULL, 'v'},
            {0},
        };
        int option;
        *options = (struct options){.first = 1, .last = SEEDS_DEFAULT};
        while ((option = getopt_long(argc, argv, "", all, NULL)) != -1) {
                switch (option) {
                case 's':
                        if (sscanf(optarg, "%" SCNu64 "-%" SCNu64, &options->first,
                                &options->last) != 2) {
                                options->first = 1;
                                if (sscanf(optarg, "%" SCNu64, &options->last) != 1)
                                        return -1;
                        }
                        break;
                case 'o':
                        if (sscanf(optarg, "%" SCNu64, &options->first) != 1)
                                return -1;
                        options->last = options->first;
                        break;
                case 'n':
                        if (sscanf(optarg, "%" SCNu32, &options->steps) != 1)
                                return -1;
                        break;
                case 't':
                        options->trace = true;
                        break;
                case 'v':
                        options->verbose = true;
                        break;
                default:
                        return -1;
                }
        }
        return optind == argc && options->first <= options->last ? 0 : -1;
}

/* An assertion of the ledger's failed, or worse: which run was it? */
static void
died(int number)
{
        char line[128];
        uint64_t seed;
        uint32_t step;
        world_where(&seed, &step);
        int n = snprintf(line, sizeof(line), "seed %" PRIu64 " BROKEN at step %u: signal %d\n",
            seed, step, number);
        (void)!write(STDOUT_FILENO, line, (size_t)n);
        _exit(1);
}

static void
tell(uint64_t seed, const struct world_result *r)
{
        printf("seed %" PRIu64 " %u+%u: %" PRIu64 " records, %" PRIu64 " acknowledged, %" PRIu64
               " groups; %" PRIu64 " boots, %" PRIu64 "+%" PRIu64 " crashes; %" PRIu64
               " fences, %" PRIu64 " rebuilds, %" PRIu64 " replaces, %" PRIu64
               " scrubs; exams %" PRIu64 ", beyond %" PRIu64 "; calls %" PRIu64 ", eio %" PRIu64
               ", lost %" PRIu64 ", astray %" PRIu64 ", rot %" PRIu64 ", short %" PRIu64
               ", torn %" PRIu64 ", names %" PRIu64 "\n",
            seed, r->data, r->parity, r->records, r->acknowledged, r->groups, r->boots, r->crashes,
            r->crashes_in_boot, r->fences, r->rebuilds, r->replaces, r->scrubs, r->exams, r->beyond,
            r->disk.calls, r->disk.eio, r->disk.lost, r->disk.misdirected, r->disk.rotten,
            r->disk.shorts, r->disk.torn_writes, r->disk.undone_names);
}

int
main(int argc, char **argv)
{
        struct options options;
        uint64_t crashes = 0, records = 0;
        if (options_read(&options, argc, argv) < 0)
                return usage();
        if (sodium_init() < 0)
                return 2;
        setvbuf(stdout, NULL, _IOFBF, 1 << 16);
        if (!options.trace)
                setvbuf(stdout, NULL, _IOLBF, 0);
        signal(SIGABRT, died);
        signal(SIGSEGV, died);
        signal(SIGBUS, died);
        for (uint64_t seed = options.first; seed <= options.last; seed++) {
                struct world_config config = {
                    .seed = seed, .steps = options.steps, .trace = options.trace ? stdout : NULL};
                struct world_result result;
                world_run(&config, &result);
                crashes += result.crashes + result.crashes_in_boot;
                records += result.acknowledged;
                if (options.verbose || options.trace)
                        tell(seed, &result);
                if (result.ok)
                        continue;
                printf("seed %" PRIu64 " BROKEN at step %u: %s\n", seed, result.step, result.why);
                printf("again: aorta-simulate --seed %" PRIu64 " --trace\n", seed);
                return 1;
        }
        printf("seeds %" PRIu64 " to %" PRIu64 " held: %" PRIu64 " records acknowledged, %" PRIu64
               " crashes\n",
            options.first, options.last, records, crashes);
        return 0;
}
