/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and byte access that frame.c and reply.c share; not for others. */
#ifndef AORTA_DATAPLANE_NET_WIRE_H
#define AORTA_DATAPLANE_NET_WIRE_H

#include <stdint.h>

#define ETHER_IPV4        0x0800u
#define ETHER_IPV6        0x86ddu
#define ETHER_ARP         0x0806u
#define ETHER_C_TAG       0x8100u
#define ETHER_S_TAG       0x88a8u
#define PROTOCOL_HOPOPTS  0u
#define PROTOCOL_ICMP     1u
#define PROTOCOL_UDP      17u
#define PROTOCOL_ROUTING  43u
#define PROTOCOL_FRAGMENT 44u
#define PROTOCOL_ICMPV6   58u
#define PROTOCOL_DSTOPTS  60u
#define ARP_REQUEST       1u
#define ARP_REPLY         2u
#define ICMP_ECHO         8u
#define ICMP_ECHO_REPLY   0u
#define ICMPV6_ECHO       128u
#define ICMPV6_ECHO_REPLY 129u
#define ICMPV6_NS         135u
#define ICMPV6_NA         136u
#define ND_HOP_LIMIT      255u /* RFC 4861 §7.1.1: proves that the sender is on the link */
#define ND_OPTION_SOURCE  1u
#define ND_OPTION_TARGET  2u
#define ND_TARGET_OFFSET  8u
#define ND_UNIT_BYTES     8u /* the unit of ND option and extension header lengths */
#define ARP_SHA_OFFSET    8u
#define ARP_SPA_OFFSET    14u
#define ARP_THA_OFFSET    18u
#define ARP_TPA_OFFSET    24u

static inline uint16_t
get16(const uint8_t *p)
{
        return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void
put16(uint8_t *p, unsigned value)
{
        p[0] = (uint8_t)(value >> 8);
        p[1] = (uint8_t)value;
}

#endif
