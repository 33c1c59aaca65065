/* SPDX-License-Identifier: Apache-2.0 */
/* aortad's configuration: YAML, parsed once into this checked structure. Unknown keys, duplicate
 * keys, wrong types and bad values are errors with file, line and column.
 *
 *   realm: 1                      # u32
 *   origin: aorta.example/log     # the log's name
 *   lab: false
 *   state: /var/lib/aorta         # one folder: control socket, keys, registry, log
 *   keys: { realm: realm.key, log: log.key }     # files, relative to state; made by --init
 *   dataplane:
 *     workers: 1
 *     worker_cores: [0]           # CPUs, one a worker; one may come twice, and be control_core
 *     control_core: 1
 *     memory_mib: 256             # EAL memory without huge pages
 *     huge: auto                  # auto | yes | no
 *     devices: 100000             # capacity
 *     patients: 100000
 *     crypto: auto                # auto | ipsec-mb | portable
 *     idle_sleep: true
 *     mbufs: 16384
 *     ports:
 *       - device: net_af_xdp0,iface=aorta0       # any EAL device: vdev arguments or a PCI address
 *         queues: 1
 *   network: { ip4: 10.77.0.2, ip6: "fd77::2", coap_port: 5683 }
 *   ledger:
 *     volumes: [volumes/0, …, volumes/5]  # folders, best a disk each, relative to state
 *     data: 4                     # data + parity is the number of volumes; data > parity
 *     parity: 2
 *     floor: 4                    # members without which nothing is written; 0: data
 *     fence_ms: 1000              # a write that takes longer fences its volume
 *     volume: volume              # instead of volumes: one folder, data 1, parity 0
 *     segment_mib: 64
 *     reserve_mib: 256
 *     group_records: 4096
 *     group_us: 1000
 *     checkpoint_ms: 1000
 *     index: true                 # of records by patient and time, in state/index
 *   control: { socket: control.sock }
 *   http: { listen: "127.0.0.1:8470" }           # log, metrics and health; or off
 *   drain_ms: 5000
 */
#ifndef AORTA_CONTROL_CONFIG_H
#define AORTA_CONTROL_CONFIG_H

#include "crypto/engine.h"
#include "dataplane/limits.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define CONFIG_DEVICE_MAX  255
#define CONFIG_VOLUMES_MAX 16
#define CONFIG_WHY_BYTES   512
#define CONFIG_CORE_MAX    1023

struct config {
        uint32_t realm;
        char origin[256];
        bool lab;
        char state[PATH_MAX]; /* absolute */
        char realm_key[PATH_MAX], log_key[PATH_MAX], volume[PATH_MAX],
            socket[PATH_MAX]; /* absolute */
        /* The vault's folders, absolute; `volume` is the first. */
        char volume_path[CONFIG_VOLUMES_MAX][PATH_MAX];
        unsigned volumes;
        uint32_t data, parity, floor, fence_ms;
        bool cut_tail;      /* aortad --cut-tail, never in the file */
        char log[PATH_MAX]; /* state/log */
        unsigned workers;
        unsigned worker_cores[WORKERS_MAX]; /* CPUs; several workers may share one (slow) */
        unsigned worker_cores_n; /* how many were listed; 0: cores 0, 1, … were taken */
        unsigned control_core;
        uint32_t memory_mib;
        enum { HUGE_AUTO, HUGE_YES, HUGE_NO } huge;
        uint32_t devices, patients;
        enum engine_backend crypto;
        bool idle_sleep;
        uint32_t mbufs;
        unsigned ports;
        struct {
                char device[CONFIG_DEVICE_MAX + 1];
                uint16_t queues;
        } port[PORTS_MAX];
        uint8_t ip4[4];
        uint8_t ip6[16];
        uint16_t coap_port;
        uint32_t segment_mib, reserve_mib, group_records, group_us, checkpoint_ms, drain_ms;
        bool index;
        struct sockaddr_storage http; /* AF_INET or AF_INET6; AF_UNSPEC: off */
};

/* 0, or -errno with why = "FILE:LINE:COLUMN: what is wrong, what would be right". */
int config_load(struct config *config, const char *path, char why[CONFIG_WHY_BYTES]);

/* The same from text; name stands for the file in messages, base_folder (absolute) for its folder.
 */
int config_load_text(struct config *config, const char *text, size_t text_bytes, const char *name,
    const char *base_folder, char why[CONFIG_WHY_BYTES]);

#endif
