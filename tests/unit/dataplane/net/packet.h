/* SPDX-License-Identifier: Apache-2.0 */
/* Frames for tests, built by the plainest code there is and checksummed byte pair by byte pair, so
 * that they owe nothing to the code they test. */
#ifndef AORTA_TESTS_PACKET_H
#define AORTA_TESTS_PACKET_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/net/frame.h"

#define GATEWAY_PORT 5683
#define DEVICE_PORT  40001

static const uint8_t gateway_mac[6] = {0x02, 0xa0, 0, 0, 0, 0x01};
static const uint8_t device_mac[6] = {0x02, 0xd0, 0, 0, 0, 0x02};
static const uint8_t gateway4[4] = {10, 77, 0, 2};
static const uint8_t device4[4] = {10, 77, 0, 1};
static const uint8_t gateway6[16] = {0xfd, 0x77, [14] = 0xab, [15] = 2};
static const uint8_t device6[16] = {0xfd, 0x77, [15] = 1};
static const uint8_t solicited6[16] = {0xff, 0x02, [11] = 1, [12] = 0xff, [14] = 0xab, [15] = 2};

struct packet {
        uint8_t bytes[20000];
        size_t length;
        size_t ip;    /* where the IP header (or the ARP packet) starts */
        size_t upper; /* where UDP or ICMP starts */
};

static inline struct net_local
gateway(void)
{
        struct net_local local = {
            .ipv4_count = 2, .ipv6_count = 2, .udp_port_count = 2, .udp_ports = {1, GATEWAY_PORT}};

        memcpy(local.mac, gateway_mac, 6);
        memset(local.ipv4[0], 9, 4);
        memcpy(local.ipv4[1], gateway4, 4);
        local.ipv6[0][0] = 0xfe;
        local.ipv6[0][1] = 0x80;
        local.ipv6[0][15] = 9;
        memcpy(local.ipv6[1], gateway6, 16);
        return local;
}

static inline void
set16(uint8_t *p, unsigned value)
{
        p[0] = (uint8_t)(value >> 8);
        p[1] = (uint8_t)value;
}

static inline void
append(struct packet *p, const void *data, size_t bytes)
{
        if (bytes != 0)
                memcpy(p->bytes + p->length, data, bytes);
        p->length += bytes;
}

/* RFC 1071, as its text says it. */
static inline unsigned
plain_sum(unsigned sum, const uint8_t *data, size_t bytes)
{
        for (size_t i = 0; i < bytes; i++) {
                sum += i % 2 == 0 ? (unsigned)data[i] << 8 : data[i];
                if (sum > 0xffff)
                        sum -= 0xffff;
        }
        return sum;
}

/* The sum over the upper layer and its pseudo-header; 0xffff if its checksum is right. */
static inline unsigned
upper_sum(const struct packet *p, uint8_t protocol)
{
        bool is_ipv6 = p->bytes[p->ip] >> 4 == 6;
        size_t address_bytes = is_ipv6 ? 16 : 4;
        size_t end = is_ipv6 ? p->ip + 40 + (p->bytes[p->ip + 4] << 8 | p->bytes[p->ip + 5])
                             : p->ip + (p->bytes[p->ip + 2] << 8 | p->bytes[p->ip + 3]);
        size_t bytes = end - p->upper;
        uint8_t pseudo[4] = {0, protocol, (uint8_t)(bytes >> 8), (uint8_t)bytes};
        unsigned sum = 0;

        if (protocol != 1) { /* ICMP for IPv4 has no pseudo-header */
                sum = plain_sum(0, p->bytes + p->ip + (is_ipv6 ? 8 : 12), 2 * address_bytes);
                sum = plain_sum(sum, pseudo, 4);
        }
        return plain_sum(sum, p->bytes + p->upper, bytes);
}

/* Makes the IPv4 header's checksum right. */
static inline void
finish_ip(struct packet *p)
{
        uint8_t *ip = p->bytes + p->ip;

        if (ip[0] >> 4 == 4) {
                set16(ip + 10, 0);
                set16(ip + 10, 0xffff - plain_sum(0, ip, (size_t)(ip[0] & 15) * 4));
        }
}

/* Makes the checksum of the upper layer right: at offset 6 for UDP, else 2. */
static inline void
finish_upper(struct packet *p, uint8_t protocol)
{
        uint8_t *at = p->bytes + p->upper + (protocol == 17 ? 6 : 2);
        unsigned checksum;

        set16(at, 0);
        checksum = 0xffff - upper_sum(p, protocol);
        set16(at, protocol == 17 && checksum == 0 ? 0xffff : checksum);
}

/* The Ethernet header with tags (outermost EtherType first) before ethertype. */
static inline void
ether(struct packet *p, unsigned tags, const uint16_t *tpids, uint16_t ethertype)
{
        uint8_t pair[2];

        p->length = 0;
        append(p, gateway_mac, 6);
        append(p, device_mac, 6);
        for (unsigned i = 0; i < tags; i++) {
                set16(pair, tpids[i]);
                append(p, pair, 2);
                set16(pair, 0x2000 + 100 + i);
                append(p, pair, 2);
        }
        set16(pair, ethertype);
        append(p, pair, 2);
        p->ip = p->length;
}

/* An IPv4 packet behind the Ethernet header; options_bytes must be a multiple of 4. */
static inline void
ipv4(struct packet *p, uint8_t protocol, size_t options_bytes, const void *upper, size_t bytes)
{
        uint8_t header[20] = {
            (uint8_t)(0x45 + options_bytes / 4), 0, 0, 0, 0x12, 0x34, 0x40, 0, 64};
        uint8_t nops[40];

        memset(nops, 1, sizeof(nops));
        set16(header + 2, (unsigned)(20 + options_bytes + bytes));
        header[9] = protocol;
        memcpy(header + 12, device4, 4);
        memcpy(header + 16, gateway4, 4);
        append(p, header, 20);
        append(p, nops, options_bytes);
        p->upper = p->length;
        append(p, upper, bytes);
        finish_ip(p);
        finish_upper(p, protocol);
}

/* An IPv6 packet: next is the first header's number, extensions hold the rest of the chain. */
static inline void
ipv6(struct packet *p, uint8_t next, const void *extensions, size_t extension_bytes,
    uint8_t protocol, const void *upper, size_t bytes)
{
        uint8_t header[40] = {0x60, 0, 0, 0};

        set16(header + 4, (unsigned)(extension_bytes + bytes));
        header[6] = next;
        header[7] = 255;
        memcpy(header + 8, device6, 16);
        memcpy(header + 24, gateway6, 16);
        append(p, header, 40);
        append(p, extensions, extension_bytes);
        p->upper = p->length;
        append(p, upper, bytes);
        finish_upper(p, protocol);
}

static inline size_t
udp(uint8_t *out, const void *payload, size_t bytes)
{
        set16(out, DEVICE_PORT);
        set16(out + 2, GATEWAY_PORT);
        set16(out + 4, (unsigned)(8 + bytes));
        set16(out + 6, 0);
        memcpy(out + 8, payload, bytes);
        return 8 + bytes;
}

static inline void
udp4_packet(struct packet *p)
{
        uint8_t datagram[64];
        size_t bytes = udp(datagram, "vital sign", 10);

        ether(p, 0, NULL, 0x0800);
        ipv4(p, 17, 0, datagram, bytes);
}

static inline void
udp6_packet(struct packet *p)
{
        uint8_t datagram[64];
        size_t bytes = udp(datagram, "vital sign", 10);

        ether(p, 0, NULL, 0x86dd);
        ipv6(p, 17, NULL, 0, 17, datagram, bytes);
}

static inline void
arp_packet(struct packet *p)
{
        uint8_t arp[28] = {0, 1, 8, 0, 6, 4, 0, 1};

        memcpy(arp + 8, device_mac, 6);
        memcpy(arp + 14, device4, 4);
        memcpy(arp + 24, gateway4, 4);
        ether(p, 0, NULL, 0x0806);
        append(p, arp, 28);
        memset(p->bytes, 0xff, 6);
}

static inline void
icmp_packet(struct packet *p)
{
        uint8_t icmp[] = {8, 0, 0, 0, 0x77, 0x01, 0, 5, 'p', 'i', 'n', 'g', '!'};

        ether(p, 0, NULL, 0x0800);
        ipv4(p, 1, 0, icmp, sizeof(icmp));
}

static inline void
icmpv6_packet(struct packet *p)
{
        uint8_t icmp[] = {128, 0, 0, 0, 0x77, 0x01, 0, 5, 'p', 'i', 'n', 'g', '!'};

        ether(p, 0, NULL, 0x86dd);
        ipv6(p, 58, NULL, 0, 58, icmp, sizeof(icmp));
}

/* A multicast neighbour solicitation with its source link-layer address option. */
static inline void
ns_packet(struct packet *p)
{
        uint8_t ns[32] = {135};

        memcpy(ns + 8, gateway6, 16);
        ns[24] = 1;
        ns[25] = 1;
        memcpy(ns + 26, device_mac, 6);
        ether(p, 0, NULL, 0x86dd);
        ipv6(p, 58, NULL, 0, 58, ns, sizeof(ns));
        memcpy(p->bytes + p->ip + 24, solicited6, 16);
        memcpy(p->bytes, "\x33\x33\xff\x00\xab\x02", 6);
        finish_upper(p, 58);
}

/* Parses bytes of p in a heap buffer that ends exactly there, so that ASan sees a read too many. */
static inline enum frame_verdict
parse_exact(
    const struct packet *p, size_t bytes, const struct net_local *local, enum drop_reason *reason)
{
        uint8_t *room = malloc(bytes + 1);
        struct frame frame;
        enum frame_verdict verdict;

        memcpy(room + 1, p->bytes, bytes);
        verdict = frame_parse(&frame, room + 1, bytes, local, 0);
        *reason = frame.drop;
        free(room);
        return verdict;
}

#endif
