/* SPDX-License-Identifier: Apache-2.0 */
/* Ethernet, VLAN, IPv4, IPv6, ARP, ICMP, neighbour discovery and UDP: one checked parse of a frame,
 * and the headers of replies. Pure functions on byte buffers; any thread; nothing is allocated.
 *
 * A packet buffer may be shared with a hostile peer that rewrites it while it is parsed: each
 * length is read once and kept, so that a change can spoil only the peer's own packet. */
#ifndef AORTA_DATAPLANE_NET_FRAME_H
#define AORTA_DATAPLANE_NET_FRAME_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/drops.h"

#define MAC_BYTES                  6u
#define IPV4_BYTES                 4u
#define IPV6_BYTES                 16u
#define ETHER_HEADER_BYTES         14u
#define VLAN_TAG_BYTES             4u
#define IPV4_HEADER_BYTES          20u /* without options */
#define IPV6_HEADER_BYTES          40u /* without extension headers */
#define UDP_HEADER_BYTES           8u
#define ICMP_HEADER_BYTES          8u
#define ARP_PACKET_BYTES           28u
#define ND_SOLICIT_BYTES           24u /* without options */
#define ND_ADVERT_BYTES            32u /* with the target link-layer address option */
#define FRAME_BYTES_MAX            16384u
#define FRAME_VLAN_TAGS_MAX        2u
#define FRAME_IPV6_EXTENSIONS_MAX  4u   /* extension headers a packet */
#define FRAME_IPV6_EXTENSION_BYTES 256u /* of all extension headers of a packet */
#define FRAME_HOP_LIMIT            64u  /* TTL of what the gateway sends */
#define NET_ADDRESSES_MAX          8u   /* of each IP version, a port */
#define NET_UDP_PORTS_MAX          8u
/* The longest headers that udp_write() writes before a payload. */
#define UDP_WRITE_HEADER_BYTES_MAX                                                                 \
        (ETHER_HEADER_BYTES + FRAME_VLAN_TAGS_MAX * VLAN_TAG_BYTES + IPV6_HEADER_BYTES +           \
            UDP_HEADER_BYTES)

/* Who the gateway is on one port. Addresses in network order, UDP ports in host order. */
struct net_local {
        uint8_t mac[MAC_BYTES];
        uint8_t ipv4_count;
        uint8_t ipv6_count;
        uint8_t udp_port_count;
        uint16_t udp_ports[NET_UDP_PORTS_MAX];
        uint8_t ipv4[NET_ADDRESSES_MAX][IPV4_BYTES];
        uint8_t ipv6[NET_ADDRESSES_MAX][IPV6_BYTES];
};

enum frame_verdict {
        FRAME_DROP, /* frame->drop says why */
        FRAME_UDP,
        FRAME_ARP,         /* a request for one of our addresses: arp_reply() */
        FRAME_ICMP_ECHO,   /* icmp_echo_reply() */
        FRAME_ND_NS,       /* a solicitation of one of our addresses: nd_advert() */
        FRAME_ICMPV6_ECHO, /* icmpv6_echo_reply() */
};

/* Pointers are into the frame's buffer, which the caller keeps. Only verdicts other than FRAME_DROP
 * fill all of it. */
struct frame {
        const uint8_t *data;        /* destination MAC at 0, source MAC at 6 */
        const uint8_t *source;      /* IP address, 4 or 16 bytes; ARP: the sender's */
        const uint8_t *destination; /* ARP and ND_NS: the target address, one of ours */
        const uint8_t
            *payload; /* UDP: its payload; ICMP: the message from its type; ARP: the packet */
        uint16_t payload_bytes;  /* without Ethernet padding */
        uint16_t payload_offset; /* from data */
        uint16_t ip_offset;      /* from data; ARP: of the packet */
        uint16_t source_port;    /* host order; 0 if not UDP */
        uint16_t destination_port;
        uint16_t vlan_tci[FRAME_VLAN_TAGS_MAX]; /* outermost first, host order */
        uint8_t vlan_count;
        uint8_t vlan_service; /* bit i: tag i has EtherType 0x88a8, else 0x8100 */
        uint8_t ip_version;   /* 4 or 6; 0 for ARP */
        uint8_t protocol;     /* IP protocol after all extension headers */
        enum drop_reason drop;
};

/* Checksums that the port has verified already. */
#define FRAME_IP_CHECKSUM_GOOD  1u
#define FRAME_UDP_CHECKSUM_GOOD 2u

/* Parses the frame of bytes at data, as it came from the wire (VLAN tags in place, no FCS), for the
 * port that local describes. checksums_good: an OR of FRAME_*_CHECKSUM_GOOD, 0 to verify here. */
enum frame_verdict frame_parse(struct frame *frame, const uint8_t *data, size_t bytes,
    const struct net_local *local, unsigned checksums_good);

/* All that a later reply needs. Compact: one is kept in every pending slot until the flush. Unused
 * bytes are zero, so that two endpoints are equal when their bytes are. */
struct endpoint {
        uint8_t peer_mac[MAC_BYTES];
        uint8_t own_mac[MAC_BYTES];
        uint8_t peer_address[IPV6_BYTES]; /* network order; IPv4 in the first four bytes */
        uint8_t own_address[IPV6_BYTES];
        uint16_t peer_port; /* host order */
        uint16_t own_port;
        uint16_t vlan_tci[FRAME_VLAN_TAGS_MAX]; /* host order, outermost first */
        uint16_t port_id;                       /* the caller's: which port it came from */
        uint8_t vlan_count;
        uint8_t vlan_service;
        uint8_t ip_version; /* 4 or 6 */
        uint8_t zero;
};
static_assert(sizeof(struct endpoint) == 58, "an endpoint is kept in every pending slot");

/* The endpoint that sent a frame whose verdict was not FRAME_DROP. */
void frame_endpoint(struct endpoint *endpoint, const struct frame *frame, uint16_t port_id);

/* True if both are the same CoAP endpoint pair: same addresses, ports, VLANs and port. The MAC
 * addresses do not count (RFC 7252 §1.2: an endpoint is an address and a port). */
bool endpoint_same(const struct endpoint *a, const struct endpoint *b);

/* Bytes of the headers udp_write() writes: 42 to UDP_WRITE_HEADER_BYTES_MAX. */
size_t udp_header_bytes(const struct endpoint *endpoint);

/* Writes Ethernet, VLAN, IP and UDP headers at out, from own to peer, around a payload that already
 * stands at out + udp_header_bytes(endpoint); computes the checksums. Returns the frame's length;
 * -ENOSPC if it exceeds out_bytes, -EMSGSIZE if it exceeds FRAME_BYTES_MAX, -EINVAL for an endpoint
 * that is none. Nothing is written on error. */
int udp_write(
    uint8_t *out, size_t out_bytes, const struct endpoint *endpoint, size_t payload_bytes);

/* Replies. Each writes a whole frame at out, which may be the request's own buffer (request->data)
 * or another that does not overlap it, and returns its length (no padding to the Ethernet minimum),
 * or -ENOSPC, then nothing is written. The request must have the verdict of that name. */
int arp_reply(
    uint8_t *out, size_t out_bytes, const struct frame *request, const struct net_local *local);
int icmp_echo_reply(
    uint8_t *out, size_t out_bytes, const struct frame *request, const struct net_local *local);
int icmpv6_echo_reply(
    uint8_t *out, size_t out_bytes, const struct frame *request, const struct net_local *local);
/* RFC 4861 §7.2.4: solicited, with the target link-layer address; unsolicited to all nodes if the
 * source is unspecified (duplicate address detection). */
int nd_advert(
    uint8_t *out, size_t out_bytes, const struct frame *request, const struct net_local *local);

#endif
