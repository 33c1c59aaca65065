/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/net/frame.h"

#include <string.h>

#include "dataplane/net/checksum.h"
#include "dataplane/net/wire.h"

#define IPV4_FRAGMENT_MASK 0x3fffu /* more fragments, and the offset */

static const uint8_t zeros[IPV6_BYTES];
static const uint8_t broadcast_mac[MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
/* RFC 4291 §2.7.1: the solicited-node prefix, ahead of an address's last three bytes. */
static const uint8_t solicited_prefix[13] = {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0xff};
static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* What the IP layer found, for the layer above. */
struct upper {
        const uint8_t *data;
        size_t bytes;
        const struct net_local *local;
        unsigned checksums_good;
        uint8_t hop_limit;
        bool group; /* the destination MAC address is a group's */
};

static inline enum frame_verdict
drop(struct frame *frame, enum drop_reason reason)
{
        frame->drop = reason;
        return FRAME_DROP;
}

static bool
is_our_ipv4(const struct net_local *local, const uint8_t *address)
{
        for (unsigned i = 0; i < local->ipv4_count; i++) {
                if (memcmp(local->ipv4[i], address, IPV4_BYTES) == 0)
                        return true;
        }
        return false;
}

static bool
is_our_ipv6(const struct net_local *local, const uint8_t *address)
{
        for (unsigned i = 0; i < local->ipv6_count; i++) {
                if (memcmp(local->ipv6[i], address, IPV6_BYTES) == 0)
                        return true;
        }
        return false;
}

/* Zero net, loopback, multicast, reserved and broadcast addresses send nothing (RFC 1122 §3.2.1.3).
 */
static bool
ipv4_source_is_valid(const uint8_t *source, const uint8_t *destination)
{
        return source[0] != 0 && source[0] != 127 && source[0] < 224 &&
               memcmp(source, destination, IPV4_BYTES) != 0;
}

/* RFC 4291 §2.5.2, §2.5.3, §2.7; mapped addresses must not appear on the wire (RFC 4942 §2.2). */
static bool
ipv6_source_is_valid(const uint8_t *source, const uint8_t *destination)
{
        bool is_loopback = memcmp(source, zeros, IPV6_BYTES - 1) == 0 && source[15] == 1;

        return source[0] != 0xff && !is_loopback &&
               memcmp(source, mapped_prefix, sizeof(mapped_prefix)) != 0 &&
               memcmp(source, destination, IPV6_BYTES) != 0;
}

static inline void
set_payload(struct frame *frame, const uint8_t *payload, size_t bytes)
{
        frame->payload = payload;
        frame->payload_bytes = (uint16_t)bytes;
        frame->payload_offset = (uint16_t)(payload - frame->data);
}

static inline enum frame_verdict
parse_udp(struct frame *frame, const struct upper *upper)
{
        const struct net_local *local = upper->local;
        const uint8_t *udp = upper->data;
        bool served = false;
        uint16_t bytes;
        uint64_t sum;

        if (upper->bytes < UDP_HEADER_BYTES)
                return drop(frame, DROP_UDP_LENGTH);
        bytes = get16(udp + 4);
        if (bytes < UDP_HEADER_BYTES || bytes > upper->bytes)
                return drop(frame, DROP_UDP_LENGTH);
        frame->source_port = get16(udp);
        frame->destination_port = get16(udp + 2);
        if (frame->source_port == 0)
                return drop(frame, DROP_SOURCE_INVALID);
        for (unsigned i = 0; i < local->udp_port_count; i++)
                served |= local->udp_ports[i] == frame->destination_port;
        if (!served)
                return drop(frame, DROP_UDP_PORT);
        if (get16(udp + 6) == 0) {
                if (frame->ip_version == 6)
                        return drop(frame, DROP_UDP_NO_CHECKSUM); /* RFC 8200 §8.1 */
        } else if ((upper->checksums_good & FRAME_UDP_CHECKSUM_GOOD) == 0) {
                sum =
                    frame->ip_version == 4
                        ? checksum_pseudo4(frame->source, frame->destination, PROTOCOL_UDP, bytes)
                        : checksum_pseudo6(frame->source, frame->destination, PROTOCOL_UDP, bytes);
                if (checksum_fold(checksum_add(sum, udp, bytes)) != UINT16_MAX)
                        return drop(frame, DROP_UDP_CHECKSUM);
        }
        set_payload(frame, udp + UDP_HEADER_BYTES, bytes - UDP_HEADER_BYTES);
        return FRAME_UDP;
}

static enum frame_verdict
parse_icmp(struct frame *frame, const struct upper *upper)
{
        const uint8_t *icmp = upper->data;

        if (upper->bytes < ICMP_HEADER_BYTES)
                return drop(frame, DROP_ICMP_SHORT);
        if (icmp[0] != ICMP_ECHO || icmp[1] != 0)
                return drop(frame, DROP_ICMP_TYPE);
        if (checksum_fold(checksum_add(0, icmp, upper->bytes)) != UINT16_MAX)
                return drop(frame, DROP_ICMP_CHECKSUM);
        set_payload(frame, icmp, upper->bytes);
        return FRAME_ICMP_ECHO;
}

/* RFC 4861 §7.1.1; the checksum is verified already. */
static enum frame_verdict
parse_solicitation(struct frame *frame, const struct upper *upper)
{
        const uint8_t *target = upper->data + ND_TARGET_OFFSET;
        const uint8_t *to = frame->destination;
        bool to_solicited = memcmp(to, solicited_prefix, sizeof(solicited_prefix)) == 0;
        bool from_nobody = memcmp(frame->source, zeros, IPV6_BYTES) == 0;
        size_t offset = ND_SOLICIT_BYTES;

        if (upper->hop_limit != ND_HOP_LIMIT || upper->data[1] != 0 ||
            upper->bytes < ND_SOLICIT_BYTES || target[0] == 0xff || (from_nobody && !to_solicited))
                return drop(frame, DROP_ND_BAD);
        while (offset < upper->bytes) {
                size_t left = upper->bytes - offset;
                size_t bytes = left < 2 ? 0 : upper->data[offset + 1] * ND_UNIT_BYTES;

                if (bytes == 0 || bytes > left)
                        return drop(frame, DROP_ND_BAD);
                if (from_nobody && upper->data[offset] == ND_OPTION_SOURCE)
                        return drop(frame, DROP_ND_BAD);
                offset += bytes;
        }
        if (!is_our_ipv6(upper->local, target))
                return drop(frame, DROP_ND_OTHER_TARGET);
        if (to_solicited ? memcmp(to + 13, target + 13, 3) != 0 : !is_our_ipv6(upper->local, to))
                return drop(frame, DROP_NOT_OUR_ADDRESS);
        frame->destination = target;
        set_payload(frame, upper->data, upper->bytes);
        return FRAME_ND_NS;
}

static enum frame_verdict
parse_icmpv6(struct frame *frame, const struct upper *upper)
{
        uint64_t sum;

        if (upper->bytes < ICMP_HEADER_BYTES)
                return drop(frame, DROP_ICMP_SHORT);
        if (upper->data[0] != ICMPV6_NS && (upper->data[0] != ICMPV6_ECHO || upper->data[1] != 0))
                return drop(frame, DROP_ICMP_TYPE);
        sum = checksum_pseudo6(
            frame->source, frame->destination, PROTOCOL_ICMPV6, (uint16_t)upper->bytes);
        if (checksum_fold(checksum_add(sum, upper->data, upper->bytes)) != UINT16_MAX)
                return drop(frame, DROP_ICMP_CHECKSUM);
        if (upper->data[0] == ICMPV6_NS)
                return parse_solicitation(frame, upper);
        set_payload(frame, upper->data, upper->bytes);
        return FRAME_ICMPV6_ECHO;
}

static inline enum frame_verdict
parse_ipv4(struct frame *frame, struct upper *upper)
{
        const uint8_t *ip = upper->data;
        size_t header_bytes, total_bytes;

        if (upper->bytes < IPV4_HEADER_BYTES)
                return drop(frame, DROP_FRAME_SHORT);
        if (ip[0] >> 4 != 4)
                return drop(frame, DROP_IP_VERSION);
        header_bytes = (ip[0] & 15u) * 4u;
        if (header_bytes < IPV4_HEADER_BYTES)
                return drop(frame, DROP_IP_HEADER_LENGTH);
        total_bytes = get16(ip + 2);
        if (total_bytes < header_bytes || total_bytes > upper->bytes)
                return drop(frame, DROP_IP_LENGTH);
        if ((upper->checksums_good & FRAME_IP_CHECKSUM_GOOD) == 0 &&
            checksum_fold(checksum_add(0, ip, header_bytes)) != UINT16_MAX)
                return drop(frame, DROP_IP_CHECKSUM);
        frame->ip_version = 4;
        frame->protocol = ip[9];
        frame->source = ip + 12;
        frame->destination = ip + 16;
        if (!ipv4_source_is_valid(frame->source, frame->destination))
                return drop(frame, DROP_SOURCE_INVALID);
        if (upper->group || ip[16] >= 224)
                return drop(frame, DROP_MULTICAST);
        if (!is_our_ipv4(upper->local, frame->destination))
                return drop(frame, DROP_NOT_OUR_ADDRESS);
        if ((get16(ip + 6) & IPV4_FRAGMENT_MASK) != 0)
                return drop(frame, DROP_FRAGMENT);
        upper->data = ip + header_bytes;
        upper->bytes = total_bytes - header_bytes;
        if (frame->protocol == PROTOCOL_UDP)
                return parse_udp(frame, upper);
        if (frame->protocol == PROTOCOL_ICMP)
                return parse_icmp(frame, upper);
        return drop(frame, DROP_PROTOCOL);
}

/* RFC 8200 §4.2: an unknown option whose two highest bits are set in any way demands that the
 * packet be discarded. None of those that do is known here; Pad1 has no length. */
static bool
options_may_be_skipped(const uint8_t *options, size_t bytes)
{
        size_t offset = 0;
        size_t value_bytes;

        while (offset < bytes) {
                if (options[offset] == 0) {
                        offset++;
                        continue;
                }
                if ((options[offset] & 0xc0u) != 0 || bytes - offset < 2)
                        return false;
                value_bytes = options[offset + 1];
                if (value_bytes > bytes - offset - 2)
                        return false;
                offset += 2 + value_bytes;
        }
        return true;
}

static bool
is_extension(uint8_t protocol)
{
        return protocol == PROTOCOL_HOPOPTS || protocol == PROTOCOL_ROUTING ||
               protocol == PROTOCOL_FRAGMENT || protocol == PROTOCOL_DSTOPTS;
}

/* Walks over the extension headers (RFC 8200 §4) to the upper layer. Returns DROP_NONE or why not.
 */
static enum drop_reason
skip_extensions(struct frame *frame, struct upper *upper)
{
        const uint8_t *first = upper->data;

        for (unsigned count = 0; is_extension(frame->protocol); count++) {
                const uint8_t *header = upper->data;
                size_t bytes;

                if (frame->protocol == PROTOCOL_FRAGMENT)
                        return DROP_FRAGMENT;
                if (count == FRAME_IPV6_EXTENSIONS_MAX)
                        return DROP_IPV6_EXTENSION_LIMIT;
                if (upper->bytes < ND_UNIT_BYTES)
                        return DROP_IPV6_EXTENSION_BAD;
                bytes = (header[1] + 1u) * ND_UNIT_BYTES;
                if (bytes > upper->bytes)
                        return DROP_IPV6_EXTENSION_BAD;
                if ((size_t)(header - first) + bytes > FRAME_IPV6_EXTENSION_BYTES)
                        return DROP_IPV6_EXTENSION_LIMIT;
                if (frame->protocol == PROTOCOL_HOPOPTS && count != 0)
                        return DROP_IPV6_EXTENSION_BAD;
                if (frame->protocol == PROTOCOL_ROUTING) {
                        if (header[3] != 0) /* §4.4: segments left; the gateway forwards nothing */
                                return DROP_IPV6_EXTENSION_BAD;
                } else if (!options_may_be_skipped(header + 2, bytes - 2)) {
                        return DROP_IPV6_EXTENSION_BAD;
                }
                frame->protocol = header[0];
                upper->data += bytes;
                upper->bytes -= bytes;
        }
        return DROP_NONE;
}

static inline enum frame_verdict
parse_ipv6(struct frame *frame, struct upper *upper)
{
        const uint8_t *ip = upper->data;
        enum drop_reason reason;
        size_t payload_bytes;
        bool from_nobody;

        if (upper->bytes < IPV6_HEADER_BYTES)
                return drop(frame, DROP_FRAME_SHORT);
        if (ip[0] >> 4 != 6)
                return drop(frame, DROP_IP_VERSION);
        payload_bytes = get16(ip + 4);
        if (payload_bytes > upper->bytes - IPV6_HEADER_BYTES)
                return drop(frame, DROP_IP_LENGTH);
        frame->ip_version = 6;
        frame->protocol = ip[6];
        frame->source = ip + 8;
        frame->destination = ip + 24;
        upper->hop_limit = ip[7];
        upper->data = ip + IPV6_HEADER_BYTES;
        upper->bytes = payload_bytes;
        if (!ipv6_source_is_valid(frame->source, frame->destination))
                return drop(frame, DROP_SOURCE_INVALID);
        if (is_extension(frame->protocol)) {
                reason = skip_extensions(frame, upper);
                if (reason != DROP_NONE)
                        return drop(frame, reason);
        }
        from_nobody = frame->source[0] == 0 && memcmp(frame->source, zeros, IPV6_BYTES) == 0;
        /* Solicitations alone may come from nobody and go to a group. */
        if (frame->protocol == PROTOCOL_ICMPV6 && upper->bytes >= 1 && upper->data[0] == ICMPV6_NS)
                return parse_icmpv6(frame, upper);
        if (from_nobody)
                return drop(frame, DROP_SOURCE_INVALID);
        if (upper->group || frame->destination[0] == 0xff)
                return drop(frame, DROP_MULTICAST);
        if (!is_our_ipv6(upper->local, frame->destination))
                return drop(frame, DROP_NOT_OUR_ADDRESS);
        if (frame->protocol == PROTOCOL_UDP)
                return parse_udp(frame, upper);
        if (frame->protocol == PROTOCOL_ICMPV6)
                return parse_icmpv6(frame, upper);
        return drop(frame, DROP_PROTOCOL);
}

static enum frame_verdict
parse_arp(struct frame *frame, const struct upper *upper)
{
        static const uint8_t ethernet_ipv4[6] = {0, 1, 8, 0, MAC_BYTES, IPV4_BYTES};
        const uint8_t *arp = upper->data;
        const uint8_t *sender_mac = arp + ARP_SHA_OFFSET;

        if (upper->group && memcmp(frame->data, broadcast_mac, MAC_BYTES) != 0)
                return drop(frame, DROP_NOT_OUR_MAC);
        if (upper->bytes < ARP_PACKET_BYTES || memcmp(arp, ethernet_ipv4, 6) != 0 ||
            (sender_mac[0] & 1) != 0)
                return drop(frame, DROP_ARP_BAD);
        if (get16(arp + 6) != ARP_REQUEST)
                return drop(frame, DROP_ARP_NOT_REQUEST);
        frame->source = arp + ARP_SPA_OFFSET;
        frame->destination = arp + ARP_TPA_OFFSET;
        if (!is_our_ipv4(upper->local, frame->destination))
                return drop(frame, DROP_ARP_OTHER_TARGET);
        /* A probe comes from 0.0.0.0 (RFC 5227 §2.1.1); nobody else may use an address of ours. */
        if (memcmp(frame->source, zeros, IPV4_BYTES) != 0 &&
            !ipv4_source_is_valid(frame->source, frame->destination))
                return drop(frame, DROP_SOURCE_INVALID);
        set_payload(frame, arp, ARP_PACKET_BYTES);
        return FRAME_ARP;
}

/* Reads the VLAN tags; sets the EtherType behind them and its end. */
static inline enum drop_reason
parse_ether(struct frame *frame, size_t bytes, uint16_t *ethertype, size_t *offset)
{
        size_t at = ETHER_HEADER_BYTES;
        uint16_t type = get16(frame->data + at - 2);

        while (type == ETHER_C_TAG || type == ETHER_S_TAG) {
                if (frame->vlan_count == FRAME_VLAN_TAGS_MAX)
                        return DROP_VLAN_TAGS;
                if (bytes - at < VLAN_TAG_BYTES)
                        return DROP_FRAME_SHORT;
                if (type == ETHER_S_TAG)
                        frame->vlan_service |= (uint8_t)(1u << frame->vlan_count);
                frame->vlan_tci[frame->vlan_count++] = get16(frame->data + at);
                type = get16(frame->data + at + 2);
                at += VLAN_TAG_BYTES;
        }
        *ethertype = type;
        *offset = at;
        return DROP_NONE;
}

enum frame_verdict
frame_parse(struct frame *frame, const uint8_t *data, size_t bytes, const struct net_local *local,
    unsigned checksums_good)
{
        struct upper upper = {.local = local, .checksums_good = checksums_good};
        enum drop_reason reason;
        uint16_t ethertype;
        size_t offset;

        memset(frame, 0, sizeof(*frame));
        frame->data = data;
        if (bytes < ETHER_HEADER_BYTES)
                return drop(frame, DROP_FRAME_SHORT);
        if (bytes > FRAME_BYTES_MAX)
                return drop(frame, DROP_FRAME_LONG);
        upper.group = (data[0] & 1) != 0;
        if (!upper.group && memcmp(data, local->mac, MAC_BYTES) != 0)
                return drop(frame, DROP_NOT_OUR_MAC);
        if ((data[6] & 1) != 0 || memcmp(data + MAC_BYTES, zeros, MAC_BYTES) == 0)
                return drop(frame, DROP_SOURCE_MAC);
        reason = parse_ether(frame, bytes, &ethertype, &offset);
        if (reason != DROP_NONE)
                return drop(frame, reason);
        frame->ip_offset = (uint16_t)offset;
        upper.data = data + offset;
        upper.bytes = bytes - offset;
        switch (ethertype) {
        case ETHER_IPV4:
                return parse_ipv4(frame, &upper);
        case ETHER_IPV6:
                return parse_ipv6(frame, &upper);
        case ETHER_ARP:
                return parse_arp(frame, &upper);
        default:
                return drop(frame, DROP_ETHERTYPE);
        }
}
