/* SPDX-License-Identifier: Apache-2.0 */
/* Every wire reason of DROP_REASONS, each by frames that differ from a good one in that alone. */
#include "dataplane/net/frame.h"

#include <criterion/criterion.h>

#include "packet.h"

static bool seen[DROP_REASON_COUNT];

static void
expect_bytes(const struct packet *p, size_t bytes, enum drop_reason want, const char *what)
{
        struct net_local local = gateway();
        enum drop_reason got;

        cr_expect_eq(parse_exact(p, bytes, &local, &got), FRAME_DROP, "%s", what);
        cr_expect_eq(got, want, "%s: %s, not %s", what, drop_metric(got), drop_metric(want));
        seen[got] = true;
}

static void
expect(const struct packet *p, enum drop_reason want, const char *what)
{
        expect_bytes(p, p->length, want, what);
}

static void
check_ethernet(void)
{
        static const uint16_t tpids[3] = {0x88a8, 0x8100, 0x8100};
        struct packet p;

        udp4_packet(&p);
        expect_bytes(&p, 13, DROP_FRAME_SHORT, "inside Ethernet");
        expect_bytes(&p, 14 + 19, DROP_FRAME_SHORT, "inside IPv4");
        expect_bytes(&p, FRAME_BYTES_MAX + 1, DROP_FRAME_LONG, "too long");
        p.bytes[5] ^= 1;
        expect(&p, DROP_NOT_OUR_MAC, "another's MAC");
        udp4_packet(&p);
        p.bytes[6] |= 1;
        expect(&p, DROP_SOURCE_MAC, "group source MAC");
        udp4_packet(&p);
        memset(p.bytes + 6, 0, 6);
        expect(&p, DROP_SOURCE_MAC, "zero source MAC");
        udp4_packet(&p);
        set16(p.bytes + 12, 0x88cc);
        expect(&p, DROP_ETHERTYPE, "LLDP");
        ether(&p, 3, tpids, 0x0800);
        expect(&p, DROP_VLAN_TAGS, "three tags");
        ether(&p, 2, tpids, 0x0800);
        expect_bytes(&p, 14 + 3, DROP_FRAME_SHORT, "inside a tag");
        arp_packet(&p);
        p.bytes[5] = 0;
        expect(&p, DROP_NOT_OUR_MAC, "ARP to a group");
}

static void
check_ipv4_source(const uint8_t source[4], const char *what)
{
        struct packet p;

        udp4_packet(&p);
        memcpy(p.bytes + p.ip + 12, source, 4);
        finish_ip(&p);
        finish_upper(&p, 17);
        expect(&p, DROP_SOURCE_INVALID, what);
}

static void
check_ipv4_byte(size_t offset, uint8_t value, enum drop_reason want, const char *what)
{
        struct packet p;

        udp4_packet(&p);
        p.bytes[p.ip + offset] = value;
        finish_ip(&p);
        expect(&p, want, what);
}

static void
check_ipv4(void)
{
        struct packet p;

        check_ipv4_byte(0, 0x65, DROP_IP_VERSION, "version 6");
        check_ipv4_byte(0, 0x44, DROP_IP_HEADER_LENGTH, "a header of 16 bytes");
        check_ipv4_byte(3, 19, DROP_IP_LENGTH, "total below the header");
        check_ipv4_byte(3, 39, DROP_IP_LENGTH, "total beyond the frame");
        check_ipv4_byte(6, 0x20, DROP_FRAGMENT, "a first fragment");
        check_ipv4_byte(7, 0x01, DROP_FRAGMENT, "a last fragment");
        check_ipv4_byte(9, 6, DROP_PROTOCOL, "TCP");
        check_ipv4_byte(19, 3, DROP_NOT_OUR_ADDRESS, "another's address");
        check_ipv4_byte(16, 224, DROP_MULTICAST, "multicast");
        udp4_packet(&p);
        memset(p.bytes + p.ip + 16, 0xff, 4);
        finish_ip(&p);
        expect(&p, DROP_MULTICAST, "broadcast");
        udp4_packet(&p);
        memset(p.bytes, 0xff, 6);
        expect(&p, DROP_MULTICAST, "broadcast MAC");
        udp4_packet(&p);
        p.bytes[p.ip + 8] ^= 1;
        expect(&p, DROP_IP_CHECKSUM, "TTL changed");
        check_ipv4_source((const uint8_t[]){0, 0, 0, 0}, "zero");
        check_ipv4_source((const uint8_t[]){127, 0, 0, 1}, "loopback");
        check_ipv4_source((const uint8_t[]){224, 0, 1, 187}, "multicast source");
        check_ipv4_source((const uint8_t[]){255, 255, 255, 255}, "broadcast source");
        check_ipv4_source(gateway4, "our own address");
}

static void
check_ipv6_address(
    size_t offset, const uint8_t address[16], enum drop_reason want, const char *what)
{
        struct packet p;

        udp6_packet(&p);
        memcpy(p.bytes + p.ip + offset, address, 16);
        finish_upper(&p, 17);
        expect(&p, want, what);
}

static void
check_ipv6(void)
{
        struct packet p;

        udp6_packet(&p);
        expect_bytes(&p, 14 + 39, DROP_FRAME_SHORT, "inside IPv6");
        p.bytes[p.ip] = 0x45;
        expect(&p, DROP_IP_VERSION, "version 4");
        udp6_packet(&p);
        set16(p.bytes + p.ip + 4, 19);
        expect(&p, DROP_IP_LENGTH, "beyond the frame");
        udp6_packet(&p);
        p.bytes[p.ip + 6] = 59;
        expect(&p, DROP_PROTOCOL, "no next header");
        udp6_packet(&p);
        p.bytes[p.ip + 6] = 44;
        expect(&p, DROP_FRAGMENT, "a fragment");
        udp6_packet(&p);
        memcpy(p.bytes, "\x33\x33\0\0\0\1", 6);
        expect(&p, DROP_MULTICAST, "multicast MAC");
        check_ipv6_address(
            24, (const uint8_t[16]){0xff, 0x02, [15] = 0xfd}, DROP_MULTICAST, "all CoAP nodes");
        check_ipv6_address(24, (const uint8_t[16]){0xfd, 0x77, [15] = 3}, DROP_NOT_OUR_ADDRESS,
            "another's address");
        check_ipv6_address(8, (const uint8_t[16]){0}, DROP_SOURCE_INVALID, "unspecified source");
        check_ipv6_address(8, (const uint8_t[16]){[15] = 1}, DROP_SOURCE_INVALID, "loopback");
        check_ipv6_address(
            8, (const uint8_t[16]){0xff, 2, [15] = 1}, DROP_SOURCE_INVALID, "multicast source");
        check_ipv6_address(8, (const uint8_t[16]){[10] = 0xff, 0xff, 10, 0, 0, 1},
            DROP_SOURCE_INVALID, "mapped source");
        check_ipv6_address(8, gateway6, DROP_SOURCE_INVALID, "our own address");
}

static void
check_extensions(
    uint8_t next, const uint8_t *chain, size_t bytes, enum drop_reason want, const char *what)
{
        uint8_t datagram[64];
        size_t udp_bytes = udp(datagram, "vital sign", 10);
        struct packet p;

        ether(&p, 0, NULL, 0x86dd);
        ipv6(&p, next, chain, bytes, 17, datagram, udp_bytes);
        expect(&p, want, what);
}

static void
check_ipv6_extensions(void)
{
        uint8_t chain[512] = {0};
        struct packet p;

        for (size_t i = 0; i < 5; i++)
                chain[i * 8] = i == 4 ? 17 : 60;
        check_extensions(60, chain, 40, DROP_IPV6_EXTENSION_LIMIT, "five headers");
        memset(chain, 0, sizeof(chain));
        chain[0] = 17;
        chain[1] = 32;
        check_extensions(60, chain, 264, DROP_IPV6_EXTENSION_LIMIT, "264 bytes");
        check_extensions(0, (const uint8_t[]){0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0}, 16,
            DROP_IPV6_EXTENSION_BAD, "hop-by-hop after the first place");
        check_extensions(0, (const uint8_t[]){17, 0, 0xc2, 4, 0, 0, 0, 0}, 8,
            DROP_IPV6_EXTENSION_BAD, "a jumbo payload");
        check_extensions(60, (const uint8_t[]){17, 0, 0x5e, 4, 0, 0, 0, 0}, 8,
            DROP_IPV6_EXTENSION_BAD, "an option that demands discarding");
        check_extensions(60, (const uint8_t[]){17, 0, 1, 5, 0, 0, 0, 0}, 8, DROP_IPV6_EXTENSION_BAD,
            "an option beyond its header");
        check_extensions(60, (const uint8_t[]){17, 0, 1, 3, 0, 0, 0, 1}, 8, DROP_IPV6_EXTENSION_BAD,
            "an option without a length");
        check_extensions(43, (const uint8_t[]){17, 0, 0, 1, 0, 0, 0, 0}, 8, DROP_IPV6_EXTENSION_BAD,
            "segments left");
        check_extensions(60, (const uint8_t[]){44, 0, 1, 4, 0, 0, 0, 0}, 8, DROP_FRAGMENT,
            "a fragment behind options");
        ether(&p, 0, NULL, 0x86dd);
        ipv6(&p, 60, "\x11\0\1\4\0\0\0\0", 8, 17, "", 0);
        set16(p.bytes + p.ip + 4, 7);
        expect(&p, DROP_IPV6_EXTENSION_BAD, "an extension header cut off");
        for (unsigned left = 0; left < 8; left++) {
                set16(p.bytes + p.ip + 4, left);
                expect_bytes(&p, p.ip + 40 + left, DROP_IPV6_EXTENSION_BAD, "the frame ends there");
        }
        set16(p.bytes + p.ip + 4, 8);
        p.bytes[p.ip + 41] = 1;
        expect(&p, DROP_IPV6_EXTENSION_BAD, "an extension header beyond the packet");
}

static void
check_udp(void)
{
        struct packet p;

        udp4_packet(&p);
        set16(p.bytes + p.ip + 2, 27);
        finish_ip(&p);
        expect(&p, DROP_UDP_LENGTH, "inside the UDP header");
        udp4_packet(&p);
        set16(p.bytes + p.upper + 4, 7);
        expect(&p, DROP_UDP_LENGTH, "a length of 7");
        set16(p.bytes + p.upper + 4, 19);
        expect(&p, DROP_UDP_LENGTH, "beyond IP");
        udp4_packet(&p);
        set16(p.bytes + p.upper, 0);
        finish_upper(&p, 17);
        expect(&p, DROP_SOURCE_INVALID, "source port 0");
        udp4_packet(&p);
        set16(p.bytes + p.upper + 2, GATEWAY_PORT + 1);
        finish_upper(&p, 17);
        expect(&p, DROP_UDP_PORT, "another port");
        udp4_packet(&p);
        p.bytes[p.length - 1] ^= 1;
        expect(&p, DROP_UDP_CHECKSUM, "payload changed on IPv4");
        udp6_packet(&p);
        p.bytes[p.length - 1] ^= 1;
        expect(&p, DROP_UDP_CHECKSUM, "payload changed on IPv6");
        set16(p.bytes + p.upper + 6, 0);
        expect(&p, DROP_UDP_NO_CHECKSUM, "no checksum on IPv6");
}

static void
check_arp(void)
{
        struct packet p;

        arp_packet(&p);
        expect_bytes(&p, p.length - 1, DROP_ARP_BAD, "cut off");
        for (size_t i = 0; i < 6; i++) {
                arp_packet(&p);
                p.bytes[p.ip + i] ^= 2;
                expect(&p, DROP_ARP_BAD, "not Ethernet and IPv4");
        }
        arp_packet(&p);
        p.bytes[p.ip + 8] |= 1;
        expect(&p, DROP_ARP_BAD, "a group as sender");
        arp_packet(&p);
        p.bytes[p.ip + 7] = 2;
        expect(&p, DROP_ARP_NOT_REQUEST, "a reply");
        arp_packet(&p);
        p.bytes[p.ip + 27]++;
        expect(&p, DROP_ARP_OTHER_TARGET, "another's address");
        arp_packet(&p);
        memcpy(p.bytes + p.ip + 14, gateway4, 4);
        expect(&p, DROP_SOURCE_INVALID, "from our own address");
}

static void
check_icmp(void)
{
        struct packet p;

        icmp_packet(&p);
        set16(p.bytes + p.ip + 2, 27);
        finish_ip(&p);
        expect(&p, DROP_ICMP_SHORT, "inside the ICMP header");
        icmp_packet(&p);
        p.bytes[p.upper] = 13;
        finish_upper(&p, 1);
        expect(&p, DROP_ICMP_TYPE, "a timestamp request");
        icmp_packet(&p);
        p.bytes[p.length - 1] ^= 1;
        expect(&p, DROP_ICMP_CHECKSUM, "payload changed");
        icmpv6_packet(&p);
        set16(p.bytes + p.ip + 4, 7);
        expect(&p, DROP_ICMP_SHORT, "inside the ICMPv6 header");
        icmpv6_packet(&p);
        p.bytes[p.upper] = 136;
        finish_upper(&p, 58);
        expect(&p, DROP_ICMP_TYPE, "an advertisement");
        icmpv6_packet(&p);
        p.bytes[p.length - 1] ^= 1;
        expect(&p, DROP_ICMP_CHECKSUM, "ICMPv6 payload changed");
        icmpv6_packet(&p);
        memcpy(p.bytes + p.ip + 24, (const uint8_t[16]){0xff, 2, [15] = 1}, 16);
        finish_upper(&p, 58);
        expect(&p, DROP_MULTICAST, "a ping to all nodes");
}

static void
check_ns_byte(size_t offset, uint8_t value, enum drop_reason want, const char *what)
{
        struct packet p;

        ns_packet(&p);
        p.bytes[offset] = value;
        finish_upper(&p, 58);
        expect(&p, want, what);
}

static void
check_nd(void)
{
        static const size_t ip = 14, icmp = 14 + 40;
        struct packet p;

        check_ns_byte(ip + 7, 254, DROP_ND_BAD, "a hop limit of 254");
        check_ns_byte(icmp + 1, 1, DROP_ND_BAD, "code 1");
        check_ns_byte(icmp + 8, 0xff, DROP_ND_BAD, "a multicast target");
        check_ns_byte(icmp + 25, 0, DROP_ND_BAD, "an option of length 0");
        check_ns_byte(icmp + 25, 2, DROP_ND_BAD, "an option beyond the message");
        check_ns_byte(icmp + 23, 3, DROP_ND_OTHER_TARGET, "another's address");
        check_ns_byte(ip + 39, 3, DROP_NOT_OUR_ADDRESS, "another's solicited-node group");
        ns_packet(&p);
        p.bytes[p.upper + 2] ^= 1;
        expect(&p, DROP_ICMP_CHECKSUM, "a wrong checksum");
        ns_packet(&p);
        set16(p.bytes + p.ip + 4, 23);
        finish_upper(&p, 58);
        expect(&p, DROP_ND_BAD, "no whole target");
        ns_packet(&p);
        set16(p.bytes + p.ip + 4, 25);
        finish_upper(&p, 58);
        expect(&p, DROP_ND_BAD, "half an option header");
        ns_packet(&p);
        memset(p.bytes + p.ip + 8, 0, 16);
        finish_upper(&p, 58);
        expect(&p, DROP_ND_BAD, "nobody with a link-layer address");
        set16(p.bytes + p.ip + 4, 24);
        memcpy(p.bytes + p.ip + 24, gateway6, 16);
        finish_upper(&p, 58);
        expect(&p, DROP_ND_BAD, "nobody to a unicast address");
        ns_packet(&p);
        memcpy(p.bytes + p.ip + 24, (const uint8_t[16]){0xff, 2, [15] = 1}, 16);
        finish_upper(&p, 58);
        expect(&p, DROP_NOT_OUR_ADDRESS, "to all nodes");
}

Test(frame_drops, each_reason_has_frames_that_yield_it)
{
        check_ethernet();
        check_ipv4();
        check_ipv6();
        check_ipv6_extensions();
        check_udp();
        check_arp();
        check_icmp();
        check_nd();
        for (int r = DROP_FRAME_SHORT; r <= DROP_ND_OTHER_TARGET; r++) {
                if (r != DROP_FRAME_SEGMENTED) /* of packet buffers, not of bytes */
                        cr_expect(seen[r], "nothing yields %s", drop_metric((enum drop_reason)r));
        }
}
