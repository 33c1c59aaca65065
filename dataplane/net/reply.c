/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "dataplane/net/checksum.h"
#include "dataplane/net/frame.h"
#include "dataplane/net/wire.h"

#define IPV4_DONT_FRAGMENT   0x4000u
#define IP_BYTES_MAX         65535u
#define ND_SOLICITED         0x60u /* solicited, override */
#define ND_UNSOLICITED       0x20u /* override */
#define ND_ADVERT_OPTION     24u   /* offset of the advertisement's option */
#define REPLY_MULTICAST_MAC0 0x33u /* RFC 2464 §7 */

void
frame_endpoint(struct endpoint *endpoint, const struct frame *frame, uint16_t port_id)
{
        size_t address_bytes = frame->ip_version == 6 ? IPV6_BYTES : IPV4_BYTES;

        memset(endpoint, 0, sizeof(*endpoint));
        memcpy(endpoint->own_mac, frame->data, MAC_BYTES);
        memcpy(endpoint->peer_mac, frame->data + MAC_BYTES, MAC_BYTES);
        memcpy(endpoint->peer_address, frame->source, address_bytes);
        memcpy(endpoint->own_address, frame->destination, address_bytes);
        endpoint->peer_port = frame->source_port;
        endpoint->own_port = frame->destination_port;
        memcpy(endpoint->vlan_tci, frame->vlan_tci, sizeof(endpoint->vlan_tci));
        endpoint->port_id = port_id;
        endpoint->vlan_count = frame->vlan_count;
        endpoint->vlan_service = frame->vlan_service;
        endpoint->ip_version = frame->ip_version;
}

bool
endpoint_same(const struct endpoint *a, const struct endpoint *b)
{
        size_t from = offsetof(struct endpoint, peer_address);

        return memcmp((const uint8_t *)a + from, (const uint8_t *)b + from, sizeof(*a) - from) == 0;
}

static inline size_t
ether_bytes(const struct endpoint *endpoint)
{
        return ETHER_HEADER_BYTES + endpoint->vlan_count * VLAN_TAG_BYTES;
}

size_t
udp_header_bytes(const struct endpoint *endpoint)
{
        return ether_bytes(endpoint) + UDP_HEADER_BYTES +
               (endpoint->ip_version == 6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES);
}

/* Writes the Ethernet header and its tags; returns their end. */
static inline uint8_t *
write_ether(uint8_t *out, const struct endpoint *endpoint, uint16_t ethertype)
{
        uint8_t *p = out + 2 * MAC_BYTES;

        memcpy(out, endpoint->peer_mac, MAC_BYTES);
        memcpy(out + MAC_BYTES, endpoint->own_mac, MAC_BYTES);
        for (unsigned i = 0; i < endpoint->vlan_count; i++) {
                put16(p, (endpoint->vlan_service >> i & 1) != 0 ? ETHER_S_TAG : ETHER_C_TAG);
                put16(p + 2, endpoint->vlan_tci[i]);
                p += VLAN_TAG_BYTES;
        }
        put16(p, ethertype);
        return p + 2;
}

/* An identification of 0 with DF set: an atomic datagram needs no other (RFC 6864 §4.1). */
static inline uint8_t *
write_ipv4(uint8_t *ip, const struct endpoint *endpoint, uint8_t protocol, size_t bytes)
{
        uint16_t checksum;

        ip[0] = 0x45;
        ip[1] = 0;
        put16(ip + 2, (unsigned)(IPV4_HEADER_BYTES + bytes));
        put16(ip + 4, 0);
        put16(ip + 6, IPV4_DONT_FRAGMENT);
        ip[8] = FRAME_HOP_LIMIT;
        ip[9] = protocol;
        put16(ip + 10, 0);
        memcpy(ip + 12, endpoint->own_address, IPV4_BYTES);
        memcpy(ip + 16, endpoint->peer_address, IPV4_BYTES);
        checksum = checksum_finish(checksum_add(0, ip, IPV4_HEADER_BYTES));
        memcpy(ip + 10, &checksum, sizeof(checksum));
        return ip + IPV4_HEADER_BYTES;
}

static inline uint8_t *
write_ipv6(
    uint8_t *ip, const struct endpoint *endpoint, uint8_t protocol, uint8_t hop_limit, size_t bytes)
{
        put16(ip, 0x6000);
        put16(ip + 2, 0);
        put16(ip + 4, (unsigned)bytes);
        ip[6] = protocol;
        ip[7] = hop_limit;
        memcpy(ip + 8, endpoint->own_address, IPV6_BYTES);
        memcpy(ip + 24, endpoint->peer_address, IPV6_BYTES);
        return ip + IPV6_HEADER_BYTES;
}

int
udp_write(uint8_t *out, size_t out_bytes, const struct endpoint *endpoint, size_t payload_bytes)
{
        bool is_ipv6 = endpoint->ip_version == 6;
        size_t udp_bytes, frame_bytes;
        uint16_t checksum;
        uint64_t sum;
        uint8_t *udp;

        if ((!is_ipv6 && endpoint->ip_version != 4) || endpoint->vlan_count > FRAME_VLAN_TAGS_MAX)
                return -EINVAL;
        if (payload_bytes > FRAME_BYTES_MAX)
                return -EMSGSIZE;
        frame_bytes = udp_header_bytes(endpoint) + payload_bytes;
        if (frame_bytes > FRAME_BYTES_MAX)
                return -EMSGSIZE;
        if (frame_bytes > out_bytes)
                return -ENOSPC;
        udp_bytes = UDP_HEADER_BYTES + payload_bytes;
        if (is_ipv6) {
                udp = write_ipv6(write_ether(out, endpoint, ETHER_IPV6), endpoint, PROTOCOL_UDP,
                    FRAME_HOP_LIMIT, udp_bytes);
                sum = checksum_pseudo6(endpoint->own_address, endpoint->peer_address, PROTOCOL_UDP,
                    (uint16_t)udp_bytes);
        } else {
                udp = write_ipv4(
                    write_ether(out, endpoint, ETHER_IPV4), endpoint, PROTOCOL_UDP, udp_bytes);
                sum = checksum_pseudo4(endpoint->own_address, endpoint->peer_address, PROTOCOL_UDP,
                    (uint16_t)udp_bytes);
        }
        put16(udp, endpoint->own_port);
        put16(udp + 2, endpoint->peer_port);
        put16(udp + 4, (unsigned)udp_bytes);
        put16(udp + 6, 0);
        checksum = checksum_finish_udp(checksum_add(sum, udp, udp_bytes));
        memcpy(udp + 6, &checksum, sizeof(checksum));
        return (int)frame_bytes;
}

/* The replies below may be written over the request: what of it they need they copy first. */

int
arp_reply(
    uint8_t *out, size_t out_bytes, const struct frame *request, const struct net_local *local)
{
        uint8_t sender[MAC_BYTES + IPV4_BYTES]; /* hardware and protocol address */
        uint8_t target[IPV4_BYTES];
        struct endpoint to;
        uint8_t *arp;

        frame_endpoint(&to, request, 0);
        memcpy(to.own_mac, local->mac, MAC_BYTES);
        if (out_bytes < ether_bytes(&to) + ARP_PACKET_BYTES)
                return -ENOSPC;
        memcpy(sender, request->payload + ARP_SHA_OFFSET, sizeof(sender));
        memcpy(target, request->destination, sizeof(target));
        arp = write_ether(out, &to, ETHER_ARP);
        put16(arp, 1);
        put16(arp + 2, ETHER_IPV4);
        arp[4] = MAC_BYTES;
        arp[5] = IPV4_BYTES;
        put16(arp + 6, ARP_REPLY);
        memcpy(arp + ARP_SHA_OFFSET, local->mac, MAC_BYTES);
        memcpy(arp + ARP_SPA_OFFSET, target, IPV4_BYTES);
        memcpy(arp + ARP_THA_OFFSET, sender, sizeof(sender));
        return (int)(ether_bytes(&to) + ARP_PACKET_BYTES);
}

int
icmp_echo_reply(
    uint8_t *out, size_t out_bytes, const struct frame *request, const struct net_local *local)
{
        size_t bytes = request->payload_bytes;
        struct endpoint to;
        uint16_t checksum;
        size_t headers;
        uint8_t *icmp;

        frame_endpoint(&to, request, 0);
        memcpy(to.own_mac, local->mac, MAC_BYTES);
        headers = ether_bytes(&to) + IPV4_HEADER_BYTES;
        if (out_bytes < headers + bytes)
                return -ENOSPC;
        memmove(out + headers, request->payload, bytes);
        icmp = write_ipv4(write_ether(out, &to, ETHER_IPV4), &to, PROTOCOL_ICMP, bytes);
        icmp[0] = ICMP_ECHO_REPLY;
        icmp[1] = 0;
        put16(icmp + 2, 0);
        checksum = checksum_finish(checksum_add(0, icmp, bytes));
        memcpy(icmp + 2, &checksum, sizeof(checksum));
        return (int)(headers + bytes);
}

static void
finish_icmpv6(uint8_t *icmp, const struct endpoint *to, size_t bytes)
{
        uint64_t sum =
            checksum_pseudo6(to->own_address, to->peer_address, PROTOCOL_ICMPV6, (uint16_t)bytes);
        uint16_t checksum;

        put16(icmp + 2, 0);
        checksum = checksum_finish(checksum_add(sum, icmp, bytes));
        memcpy(icmp + 2, &checksum, sizeof(checksum));
}

int
icmpv6_echo_reply(
    uint8_t *out, size_t out_bytes, const struct frame *request, const struct net_local *local)
{
        size_t bytes = request->payload_bytes;
        struct endpoint to;
        size_t headers;
        uint8_t *icmp;

        frame_endpoint(&to, request, 0);
        memcpy(to.own_mac, local->mac, MAC_BYTES);
        headers = ether_bytes(&to) + IPV6_HEADER_BYTES;
        if (out_bytes < headers + bytes)
                return -ENOSPC;
        memmove(out + headers, request->payload, bytes);
        icmp = write_ipv6(
            write_ether(out, &to, ETHER_IPV6), &to, PROTOCOL_ICMPV6, FRAME_HOP_LIMIT, bytes);
        icmp[0] = ICMPV6_ECHO_REPLY;
        icmp[1] = 0;
        finish_icmpv6(icmp, &to, bytes);
        return (int)(headers + bytes);
}

int
nd_advert(
    uint8_t *out, size_t out_bytes, const struct frame *request, const struct net_local *local)
{
        static const uint8_t all_nodes[IPV6_BYTES] = {0xff, 0x02, [15] = 1};
        static const uint8_t unspecified[IPV6_BYTES];
        uint8_t flags = ND_SOLICITED;
        struct endpoint to;
        uint8_t *icmp;

        frame_endpoint(&to, request, 0); /* own_address: the target */
        memcpy(to.own_mac, local->mac, MAC_BYTES);
        if (out_bytes < ether_bytes(&to) + IPV6_HEADER_BYTES + ND_ADVERT_BYTES)
                return -ENOSPC;
        if (memcmp(to.peer_address, unspecified, IPV6_BYTES) == 0) {
                memcpy(to.peer_address, all_nodes, IPV6_BYTES);
                memset(to.peer_mac, REPLY_MULTICAST_MAC0, 2);
                memcpy(to.peer_mac + 2, all_nodes + 12, 4);
                flags = ND_UNSOLICITED;
        }
        icmp = write_ipv6(
            write_ether(out, &to, ETHER_IPV6), &to, PROTOCOL_ICMPV6, ND_HOP_LIMIT, ND_ADVERT_BYTES);
        icmp[0] = ICMPV6_NA;
        icmp[1] = 0;
        icmp[4] = flags;
        memset(icmp + 5, 0, 3);
        memcpy(icmp + ND_TARGET_OFFSET, to.own_address, IPV6_BYTES);
        icmp[ND_ADVERT_OPTION] = ND_OPTION_TARGET;
        icmp[ND_ADVERT_OPTION + 1] = 1;
        memcpy(icmp + ND_ADVERT_OPTION + 2, local->mac, MAC_BYTES);
        finish_icmpv6(icmp, &to, ND_ADVERT_BYTES);
        return (int)(ether_bytes(&to) + IPV6_HEADER_BYTES + ND_ADVERT_BYTES);
}
