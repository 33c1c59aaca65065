/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/pipeline_host.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>

#define MEMORY_MIB     512u
#define HUGE_PAGE_KIB  2048u
#define FOLDERS_OPEN   16
#define NAME_BYTES_MAX 64u

/* The first and the last core that this process may use. */
static int
choose_cores(
    const struct pipeline_options *options, struct pipeline_environment *environment, char *why)
{
        cpu_set_t set;
        int first = -1, last = -1;

        if (sched_getaffinity(0, sizeof(set), &set) < 0)
                return -errno;
        for (int i = 0; i < CPU_SETSIZE; i++) {
                if (!CPU_ISSET(i, &set))
                        continue;
                first = first < 0 ? i : first;
                last = i;
        }
        environment->control_core = options->control_core >= 0 ? options->control_core : first;
        environment->worker_core = options->worker_core >= 0 ? options->worker_core : last;
        if (!CPU_ISSET(environment->control_core, &set) ||
            !CPU_ISSET(environment->worker_core, &set)) {
                snprintf(why, PIPELINE_WHY, "core %d or %d is not one that this process may use",
                    environment->control_core, environment->worker_core);
                return -EINVAL;
        }
        return 0;
}

static uint64_t
huge_free_mib(void)
{
        char line[128];
        unsigned long pages = 0, kib = 0;
        FILE *file = fopen("/proc/meminfo", "re");

        if (file == NULL)
                return 0;
        while (fgets(line, sizeof(line), file) != NULL) {
                (void)sscanf(line, "HugePages_Free: %lu", &pages);
                (void)sscanf(line, "Hugepagesize: %lu", &kib);
        }
        fclose(file);
        return kib == HUGE_PAGE_KIB ? pages * kib / 1024 : 0;
}

static void
describe(struct pipeline_environment *environment)
{
        char line[256];
        struct utsname name;
        FILE *file = fopen("/proc/cpuinfo", "re");

        snprintf(environment->cpu, sizeof(environment->cpu), "unknown");
        while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
                if (strncmp(line, "model name", 10) != 0 || strchr(line, ':') == NULL)
                        continue;
                line[strcspn(line, "\n")] = '\0';
                snprintf(
                    environment->cpu, sizeof(environment->cpu), "%.100s", strchr(line, ':') + 2);
                break;
        }
        if (file != NULL)
                fclose(file);
        if (uname(&name) == 0)
                snprintf(environment->kernel, sizeof(environment->kernel), "%.60s %.60s",
                    name.sysname, name.release);
}

static int
start_eal(const struct pipeline_environment *environment, bool huge)
{
        char lcores[64], prefix[64], memory[32];
        char *argv[24] = {"aorta-bench", "--no-pci", "--no-telemetry", "--no-shconf",
            "--main-lcore=0", "--log-level=*:4", lcores, prefix};
        int argc = 8;

        snprintf(lcores, sizeof(lcores), "--lcores=0@%d,%u@%d", environment->control_core,
            HOST_WORKER_LCORE, environment->worker_core);
        snprintf(prefix, sizeof(prefix), "--file-prefix=aorta-bench-%d", (int)getpid());
        if (huge) {
                argv[argc++] = "--in-memory";
                argv[argc++] = "--huge-unlink";
                snprintf(memory, sizeof(memory), "--socket-mem=%u", MEMORY_MIB);
                argv[argc++] = memory;
        } else {
                argv[argc++] = "--no-huge";
                argv[argc++] = "-m";
                snprintf(memory, sizeof(memory), "%u", MEMORY_MIB);
                argv[argc++] = memory;
        }
        return rte_eal_init(argc, argv) < 0 ? -rte_errno : 0;
}

int
host_start(
    const struct pipeline_options *options, struct pipeline_environment *environment, char *why)
{
        struct engine *engine;
        bool huge = !options->huge_forbidden && huge_free_mib() >= MEMORY_MIB;
        int r = choose_cores(options, environment, why);

        if (r < 0)
                return r;
        describe(environment);
        r = start_eal(environment, huge);
        if (r < 0) {
                snprintf(why, PIPELINE_WHY, "DPDK does not start: %s", strerror(-r));
                return r;
        }
        r = engine_create(&engine, options->backend);
        if (r < 0) {
                snprintf(why, PIPELINE_WHY, "no such crypto engine here: %s", strerror(-r));
                return r;
        }
        environment->backend = engine_backend_name(engine);
        engine_destroy(engine);
        environment->memory = huge ? "2 MiB pages" : "ordinary pages";
        environment->tsc_hz = rte_get_tsc_hz();
        return 0;
}

static int
make_parents(char *path)
{
        for (char *at = path + 1; *at != '\0'; at++) {
                int r;

                if (*at != '/')
                        continue;
                *at = '\0';
                r = mkdir(path, 0777) < 0 && errno != EEXIST ? -errno : 0;
                *at = '/';
                if (r < 0)
                        return r;
        }
        return 0;
}

int
host_make_folder(
    const struct pipeline_options *options, unsigned run, char path[PATH_MAX], char *why)
{
        int r = 0;

        if ((size_t)snprintf(path, PATH_MAX, "%s/run-%d-%u", options->state, (int)getpid(), run) >=
            PATH_MAX - NAME_BYTES_MAX)
                r = -ENAMETOOLONG;
        if (r == 0)
                r = make_parents(path);
        if (r == 0 && mkdir(path, 0700) < 0)
                r = -errno;
        if (r < 0)
                snprintf(why, PIPELINE_WHY, "%.200s: %s: give another folder with --state", path,
                    strerror(-r));
        return r;
}

static int
remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *at)
{
        (void)stat;
        (void)kind;
        (void)at;
        return remove(path);
}

int
host_remove_folder(const char *path)
{
        return nftw(path, remove_entry, FOLDERS_OPEN, FTW_DEPTH | FTW_PHYS) != 0 ? -errno : 0;
}
