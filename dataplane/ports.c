/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/ports.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#define POOL_CACHE      256u /* mbufs a core keeps to itself */
#define LINK_POLL_MS    20u
#define OFFLOADS_WANTED (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM)

static const uint16_t COAP_PORT_DEFAULT = 5683;

int
ports_pool_create(struct rte_mempool **pool, const char *name, uint32_t mbufs, char *why)
{
        if (mbufs == 0)
                mbufs = MBUFS_DEFAULT;
        if (mbufs < MBUFS_MIN) {
                snprintf(
                    why, WHY_BYTES, "mbufs: %u are too few; give at least %u", mbufs, MBUFS_MIN);
                return -EINVAL;
        }
        *pool = rte_pktmbuf_pool_create(
            name, mbufs, POOL_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, (int)rte_socket_id());
        if (*pool == NULL) {
                snprintf(why, WHY_BYTES,
                    "cannot make %u packet buffers: %s; give EAL more memory (-m) or set fewer "
                    "mbufs",
                    mbufs, rte_strerror(rte_errno));
                return rte_errno != 0 ? -rte_errno : -ENOMEM;
        }
        return 0;
}

void
port_link_local(uint8_t ip6[16], const uint8_t mac[MAC_BYTES])
{
        memset(ip6, 0, 16);
        ip6[0] = 0xfe;
        ip6[1] = 0x80;
        memcpy(ip6 + 8, mac, 3);
        ip6[8] ^= 0x02;
        ip6[11] = 0xff;
        ip6[12] = 0xfe;
        memcpy(ip6 + 13, mac + 3, 3);
}

/* The port's MAC address; a local one where the driver has none (net_ring). */
static int
find_mac(struct port *port)
{
        struct rte_ether_addr mac;
        int rc = rte_eth_macaddr_get(port->port_id, &mac);

        if (rc != 0)
                return rc;
        if (!rte_is_valid_assigned_ether_addr(&mac)) {
                mac = (struct rte_ether_addr){
                    {0x02, 'A', 'o', 'r', (uint8_t)(port->port_id >> 8), (uint8_t)port->port_id}};
                rc = rte_eth_dev_default_mac_addr_set(port->port_id, &mac);
                if (rc != 0 && rc != -ENOTSUP)
                        return rc;
        }
        memcpy(port->local.mac, mac.addr_bytes, MAC_BYTES);
        return 0;
}

static void
fill_local(struct port *port, const struct dataplane_config *config)
{
        static const uint8_t none[IPV6_BYTES];
        struct net_local *local = &port->local;

        if (memcmp(config->ip4, none, IPV4_BYTES) != 0)
                memcpy(local->ipv4[local->ipv4_count++], config->ip4, IPV4_BYTES);
        port_link_local(local->ipv6[local->ipv6_count++], local->mac);
        if (memcmp(config->ip6, none, IPV6_BYTES) != 0)
                memcpy(local->ipv6[local->ipv6_count++], config->ip6, IPV6_BYTES);
        local->udp_ports[local->udp_port_count++] =
            config->coap_port != 0 ? config->coap_port : COAP_PORT_DEFAULT;
}

static int
configure(struct port *port, const struct rte_eth_dev_info *info, char *why)
{
        struct rte_eth_conf conf = {0};
        int rc;

        conf.rxmode.offloads = info->rx_offload_capa & OFFLOADS_WANTED;
        port->checksums = conf.rxmode.offloads == OFFLOADS_WANTED;
        if (port->queues > 1 && info->flow_type_rss_offloads != 0) {
                conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
                conf.rx_adv_conf.rss_conf.rss_hf =
                    info->flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP);
        }
        rc = rte_eth_dev_configure(port->port_id, port->queues, port->queues, &conf);
        if (rc != 0)
                snprintf(why, WHY_BYTES, "port %u (%s): cannot configure %u queues: %s",
                    port->port_id, info->driver_name, port->queues, rte_strerror(-rc));
        return rc;
}

static int
setup_queues(
    struct port *port, const struct rte_eth_dev_info *info, struct rte_mempool *pool, char *why)
{
        uint16_t rx = info->default_rxportconf.ring_size;
        uint16_t tx = info->default_txportconf.ring_size;
        int socket = rte_eth_dev_socket_id(port->port_id);
        int rc;

        rx = rx != 0 ? rx : PORT_DESCRIPTORS;
        tx = tx != 0 ? tx : PORT_DESCRIPTORS;
        rc = rte_eth_dev_adjust_nb_rx_tx_desc(port->port_id, &rx, &tx);
        if (rc != 0) {
                snprintf(why, WHY_BYTES, "port %u (%s): no usable queue length: %s", port->port_id,
                    info->driver_name, rte_strerror(-rc));
                return rc;
        }
        for (uint16_t q = 0; q < port->queues; q++) {
                rc = rte_eth_rx_queue_setup(port->port_id, q, rx, (unsigned)socket, NULL, pool);
                if (rc == 0)
                        rc = rte_eth_tx_queue_setup(port->port_id, q, tx, (unsigned)socket, NULL);
                if (rc != 0) {
                        snprintf(why, WHY_BYTES, "port %u (%s): cannot set up queue %u of %u: %s%s",
                            port->port_id, info->driver_name, q, port->queues, rte_strerror(-rc),
                            strcmp(info->driver_name, "net_af_xdp") == 0
                                ? "; AF_XDP wants at most 16384 mbufs, a free interface queue and "
                                  "the right to lock memory"
                                : "");
                        return rc;
                }
        }
        return 0;
}

/* A driver that filters by MAC address must let solicited-node multicast in; AF_XDP and TAP sit on
 * kernel interfaces whose filters they know nothing of. What a driver cannot do it need not. */
static int
open_filters(const struct port *port, const struct rte_eth_dev_info *info, char *why)
{
        bool kernel = strcmp(info->driver_name, "net_af_xdp") == 0 ||
                      strcmp(info->driver_name, "net_tap") == 0;
        int rc = rte_eth_allmulticast_enable(port->port_id);

        if (kernel || rc == -ENOTSUP)
                rc = rte_eth_promiscuous_enable(port->port_id);
        if (rc == -ENOTSUP)
                rc = 0;
        if (rc != 0)
                snprintf(why, WHY_BYTES, "port %u (%s): cannot receive multicast: %s",
                    port->port_id, info->driver_name, rte_strerror(-rc));
        return rc;
}

static void
wait_for_link(const struct port *port)
{
        struct rte_eth_link link = {0};

        for (unsigned ms = 0; ms < PORT_LINK_WAIT_MS; ms += LINK_POLL_MS) {
                if (rte_eth_link_get_nowait(port->port_id, &link) != 0 ||
                    link.link_status == RTE_ETH_LINK_UP)
                        return;
                rte_delay_us_sleep(LINK_POLL_MS * 1000);
        }
}

static int
make_overflow(struct port *port, unsigned workers, const char *prefix, char *why)
{
        char name[RTE_RING_NAMESIZE];

        for (uint16_t q = 0; workers > port->queues && q < port->queues; q++) {
                snprintf(name, sizeof(name), "%s_tx%u_%u", prefix, port->port_id, q);
                port->overflow[q] =
                    rte_ring_create(name, PORT_TX_OVERFLOW, (int)rte_socket_id(), RING_F_SC_DEQ);
                if (port->overflow[q] == NULL) {
                        snprintf(why, WHY_BYTES, "port %u: no memory for a transmit ring: %s",
                            port->port_id, rte_strerror(rte_errno));
                        return -ENOMEM;
                }
        }
        return 0;
}

int
port_open(struct port *port, const struct port_config *port_config,
    const struct dataplane_config *config, struct rte_mempool *pool, const char *prefix, char *why)
{
        struct rte_eth_dev_info info;
        uint16_t most;
        int rc;

        memset(port, 0, sizeof(*port));
        port->port_id = port_config->port_id;
        if (!rte_eth_dev_is_valid_port(port->port_id)) {
                snprintf(why, WHY_BYTES, "port %u: EAL knows no such port", port->port_id);
                return -ENODEV;
        }
        rc = rte_eth_dev_info_get(port->port_id, &info);
        if (rc != 0) {
                snprintf(why, WHY_BYTES, "port %u: no information: %s", port->port_id,
                    rte_strerror(-rc));
                return rc;
        }
        most = RTE_MIN(info.max_rx_queues, info.max_tx_queues);
        most = RTE_MIN(most, (uint16_t)QUEUES_MAX);
        port->queues = RTE_MIN(port_config->queues, most);
        if (port->queues == 0) {
                snprintf(why, WHY_BYTES,
                    "port %u (%s): %u queues wanted, %u possible; give at "
                    "least one",
                    port->port_id, info.driver_name, port_config->queues, most);
                return -EINVAL;
        }
        rc = configure(port, &info, why);
        if (rc != 0)
                return rc;
        port->configured = true;
        rc = setup_queues(port, &info, pool, why);
        if (rc != 0)
                return rc;
        rc = make_overflow(port, config->workers, prefix, why);
        if (rc != 0)
                return rc;
        rc = find_mac(port);
        if (rc == 0)
                rc = rte_eth_dev_start(port->port_id);
        if (rc != 0) {
                snprintf(why, WHY_BYTES, "port %u (%s): cannot start: %s", port->port_id,
                    info.driver_name, rte_strerror(-rc));
                return rc;
        }
        fill_local(port, config);
        rc = open_filters(port, &info, why);
        if (rc != 0)
                return rc;
        wait_for_link(port);
        return 0;
}

void
port_close(struct port *port)
{
        struct rte_mbuf *mbuf;

        if (port->configured) {
                (void)rte_eth_dev_stop(port->port_id); /* closing is all that is left to do */
                (void)rte_eth_dev_close(port->port_id);
        }
        for (unsigned q = 0; q < QUEUES_MAX; q++) {
                while (port->overflow[q] != NULL &&
                       rte_ring_dequeue(port->overflow[q], (void **)&mbuf) == 0)
                        rte_pktmbuf_free(mbuf);
                rte_ring_free(port->overflow[q]);
        }
        memset(port, 0, sizeof(*port));
}
