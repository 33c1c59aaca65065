/* SPDX-License-Identifier: Apache-2.0 */
/* Ethernet ports: from an unconfigured ethdev to started queues. Control thread; at start and end.
 */
#ifndef AORTA_DATAPLANE_PORTS_H
#define AORTA_DATAPLANE_PORTS_H

#include "dataplane/dataplane.h"
#include "dataplane/net/frame.h"

#include <stdbool.h>
#include <stdint.h>

#define MBUFS_DEFAULT        16384u
#define MBUFS_MIN            1024u
#define WHY_BYTES            512u  /* of dataplane_create()'s why */
#define PORT_DESCRIPTORS     1024u /* a queue, where the driver has no wish of its own */
#define PORT_LINK_WAIT_MS    2000u
#define PORT_TX_OVERFLOW     1024u /* packets of workers that have no transmit queue of their own */
#define PORT_FRAME_BYTES_MIN 60u   /* Ethernet's 64 without the FCS */

struct rte_ring;
struct rte_mempool;

struct port {
        uint16_t port_id;
        uint16_t queues; /* receive and transmit, each */
        bool checksums;  /* the port verifies IPv4's and UDP's */
        bool configured;
        struct net_local local;
        /* Where queues are fewer than workers: worker w sends through queue w % queues, whose owner
         * takes its packets from here (many producers, one consumer). */
        struct rte_ring *overflow[QUEUES_MAX];
};

/* The packet buffers of all ports and of replies; contiguous, which AF_XDP needs. The name is
 * unique in the process. 0 or -errno with why. */
int ports_pool_create(struct rte_mempool **pool, const char *name, uint32_t mbufs, char *why);

/* Configures and starts a port; waits at most PORT_LINK_WAIT_MS for its link, and goes on without.
 * 0 or -errno with why; then port_close() is still to be called. */
int port_open(struct port *port, const struct port_config *port_config,
    const struct dataplane_config *config, struct rte_mempool *pool, const char *prefix, char *why);

/* Stops and closes the ethdev: its port id is free afterwards. */
void port_close(struct port *port);

/* fe80::/64 with the MAC's modified EUI-64 (RFC 4291 appendix A). */
void port_link_local(uint8_t ip6[16], const uint8_t mac[MAC_BYTES]);

#endif
