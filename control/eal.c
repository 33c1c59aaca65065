/* SPDX-License-Identifier: Apache-2.0 */
#include "control/eal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_log.h>

#define EAL_ARGS_MAX  48
#define HUGE_PAGE_KIB 2048u

struct args {
        int n;
        char *v[EAL_ARGS_MAX];
};

__attribute__((format(printf, 2, 3))) static int
add(struct args *args, const char *format, ...)
{
        va_list ap;
        int r;

        if (args->n == EAL_ARGS_MAX - 1)
                return -E2BIG;
        va_start(ap, format);
        r = vasprintf(&args->v[args->n], format, ap);
        va_end(ap);
        if (r < 0) {
                args->v[args->n] = NULL;
                return -ENOMEM;
        }
        args->n++;
        return 0;
}

/* Free 2 MiB pages in MiB; 0 when the kernel has none. */
static uint64_t
huge_free_mib(void)
{
        char line[128];
        unsigned long pages = 0, kib = 0;
        FILE *file = fopen("/proc/meminfo", "r");

        if (file == NULL)
                return 0;
        while (fgets(line, sizeof(line), file) != NULL) {
                (void)sscanf(line, "HugePages_Free: %lu", &pages);
                (void)sscanf(line, "Hugepagesize: %lu", &kib);
        }
        fclose(file);
        return kib == HUGE_PAGE_KIB ? pages * (kib / 1024) : 0;
}

static bool
is_pci_address(const char *device)
{
        unsigned domain, bus, slot, function;
        char rest;

        return sscanf(device, "%4x:%2x:%2x.%1x%c", &domain, &bus, &slot, &function, &rest) == 4 ||
               sscanf(device, "%4x:%2x:%2x.%1x,%c", &domain, &bus, &slot, &function, &rest) == 5 ||
               sscanf(device, "%2x:%2x.%1x%c", &bus, &slot, &function, &rest) == 3;
}

static int
choose_huge(const struct config *config, bool *huge, char *why)
{
        uint64_t mib = huge_free_mib();

        *huge = config->huge != HUGE_NO && mib >= config->memory_mib;
        if (config->huge == HUGE_YES && !*huge) {
                snprintf(why, CONFIG_WHY_BYTES,
                    "dataplane.huge is yes, but of %u MiB (dataplane.memory_mib) only %lu MiB of 2 "
                    "MiB "
                    "pages are free: reserve more (sysctl vm.nr_hugepages=N) or set huge: auto",
                    config->memory_mib, (unsigned long)mib);
                return -ENOMEM;
        }
        return 0;
}

static int
build(const struct config *config, bool huge, struct args *args)
{
        char lcores[512];
        int at, r = 0;
        bool pci = false;

        at = snprintf(lcores, sizeof(lcores), "0@%u", config->control_core);
        for (unsigned w = 0; w < config->workers; w++)
                at += snprintf(lcores + at, sizeof(lcores) - (size_t)at, ",%u@%u", w + 1,
                    config->worker_cores[w]);
        for (unsigned i = 0; i < config->ports; i++)
                pci = pci || is_pci_address(config->port[i].device);
        r = r ? r : add(args, "aortad");
        r = r ? r : add(args, "--lcores=%s", lcores);
        r = r ? r : add(args, "--main-lcore=0");
        r = r ? r : add(args, "--file-prefix=aorta-%d", (int)getpid());
        r = r ? r : add(args, "--no-telemetry");
        r = r ? r : add(args, "--no-shconf");
        r = r ? r : add(args, "--log-level=*:4");
        if (huge) {
                r = r ? r : add(args, "--in-memory");
                r = r ? r : add(args, "--huge-unlink");
                r = r ? r : add(args, "--socket-mem=%u", config->memory_mib);
        } else {
                r = r ? r : add(args, "--no-huge");
                r = r ? r : add(args, "-m");
                r = r ? r : add(args, "%u", config->memory_mib);
        }
        if (!pci)
                r = r ? r : add(args, "--no-pci");
        for (unsigned i = 0; i < config->ports; i++)
                r = r ? r
                      : add(args,
                            is_pci_address(config->port[i].device) ? "--allow=%s" : "--vdev=%s",
                            config->port[i].device);
        return r;
}

int
eal_start(const struct config *config, bool *huge, char why[CONFIG_WHY_BYTES])
{
        struct args args = {0};
        char *copy[EAL_ARGS_MAX];
        int r = choose_huge(config, huge, why);

        if (r < 0)
                return r;
        r = build(config, *huge, &args);
        if (r == 0) {
                /* EAL permutes the vector: the strings are freed by the copy. */
                memcpy(copy, args.v, sizeof(copy));
                r = rte_eal_init(args.n, args.v) < 0 ? -rte_errno : 0;
                if (r < 0) {
                        int at = snprintf(why, CONFIG_WHY_BYTES,
                            "DPDK did not start (%s); see its lines above. Arguments:",
                            strerror(-r));

                        for (int i = 1; i < args.n && at > 0 && at < CONFIG_WHY_BYTES; i++)
                                at += snprintf(
                                    why + at, CONFIG_WHY_BYTES - (size_t)at, " %s", copy[i]);
                }
                for (int i = 0; i < args.n; i++)
                        free(copy[i]);
        } else {
                snprintf(why, CONFIG_WHY_BYTES, "too many devices for DPDK's arguments");
        }
        return r;
}

int
eal_ports(
    const struct config *config, struct dataplane_config *dataplane, char why[CONFIG_WHY_BYTES])
{
        dataplane->workers = config->workers;
        for (unsigned w = 0; w < config->workers; w++)
                dataplane->lcores[w] = w + 1;
        dataplane->ports = config->ports;
        for (unsigned i = 0; i < config->ports; i++) {
                char name[CONFIG_DEVICE_MAX + 1];
                uint16_t id;

                snprintf(name, sizeof(name), "%s", config->port[i].device);
                name[strcspn(name, ",")] = '\0';
                if (rte_eth_dev_get_port_by_name(name, &id) != 0) {
                        snprintf(why, CONFIG_WHY_BYTES,
                            "port %u: DPDK made no device of \"%s\": does the interface exist, is "
                            "the "
                            "driver installed (librte-net-*), is the address right?",
                            i, config->port[i].device);
                        return -ENODEV;
                }
                dataplane->port[i].port_id = id;
                dataplane->port[i].queues = config->port[i].queues;
        }
        return 0;
}

void
eal_stop(void)
{
        rte_eal_cleanup();
}
