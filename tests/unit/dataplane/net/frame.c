/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/net/frame.h"

#include <criterion/criterion.h>

#include "packet.h"

static enum frame_verdict
parse(struct frame *frame, const struct packet *p)
{
        struct net_local local = gateway();

        return frame_parse(frame, p->bytes, p->length, &local, 0);
}

static void
expect_datagram(const struct frame *frame, const struct packet *p, const char *what)
{
        cr_expect_eq(frame->source_port, DEVICE_PORT, "%s", what);
        cr_expect_eq(frame->destination_port, GATEWAY_PORT, "%s", what);
        cr_expect_eq(frame->payload_bytes, 10, "%s: %u", what, frame->payload_bytes);
        cr_expect_eq(frame->payload_offset, p->upper + 8, "%s", what);
        cr_expect_eq(frame->payload, p->bytes + p->upper + 8, "%s", what);
        cr_expect_arr_eq(frame->payload, "vital sign", 10, "%s", what);
        cr_expect_eq(frame->protocol, 17, "%s", what);
        cr_expect_eq(frame->drop, DROP_NONE, "%s", what);
        cr_expect_eq(frame->ip_offset, p->ip, "%s", what);
}

Test(frame, reads_udp_on_ipv4)
{
        struct packet p;
        struct frame frame;

        udp4_packet(&p);
        cr_assert_eq(parse(&frame, &p), FRAME_UDP);
        expect_datagram(&frame, &p, "IPv4");
        cr_assert_eq(frame.ip_version, 4);
        cr_assert_arr_eq(frame.source, device4, 4);
        cr_assert_arr_eq(frame.destination, gateway4, 4);
        cr_assert_eq(frame.vlan_count, 0);
}

Test(frame, reads_udp_on_ipv6)
{
        struct packet p;
        struct frame frame;

        udp6_packet(&p);
        cr_assert_eq(parse(&frame, &p), FRAME_UDP);
        expect_datagram(&frame, &p, "IPv6");
        cr_assert_eq(frame.ip_version, 6);
        cr_assert_arr_eq(frame.source, device6, 16);
        cr_assert_arr_eq(frame.destination, gateway6, 16);
}

Test(frame, accepts_one_and_two_vlan_tags)
{
        static const uint16_t tpids[2] = {0x88a8, 0x8100};
        uint8_t datagram[64];
        size_t bytes = udp(datagram, "vital sign", 10);
        struct packet p;
        struct frame frame;

        ether(&p, 2, tpids, 0x0800);
        ipv4(&p, 17, 0, datagram, bytes);
        cr_assert_eq(parse(&frame, &p), FRAME_UDP);
        expect_datagram(&frame, &p, "two tags");
        cr_assert_eq(frame.vlan_count, 2);
        cr_assert_eq(frame.vlan_service, 1);
        cr_assert_eq(frame.vlan_tci[0], 0x2064);
        cr_assert_eq(frame.vlan_tci[1], 0x2065);
        ether(&p, 1, tpids + 1, 0x86dd);
        ipv6(&p, 17, NULL, 0, 17, datagram, bytes);
        cr_assert_eq(parse(&frame, &p), FRAME_UDP);
        expect_datagram(&frame, &p, "one tag");
        cr_assert_eq(frame.vlan_count, 1);
        cr_assert_eq(frame.vlan_service, 0);
        cr_assert_eq(frame.vlan_tci[0], 0x2064);
}

Test(frame, skips_ipv4_options)
{
        uint8_t datagram[64];
        size_t bytes = udp(datagram, "vital sign", 10);
        struct packet p;
        struct frame frame;

        for (size_t options = 0; options <= 40; options += 4) {
                ether(&p, 0, NULL, 0x0800);
                ipv4(&p, 17, options, datagram, bytes);
                cr_assert_eq(parse(&frame, &p), FRAME_UDP, "%zu", options);
                expect_datagram(&frame, &p, "options");
        }
}

/* RFC 8200 §4.1's order, with options that may be skipped; the checksum's pseudo-header knows
 * nothing of extension headers. */
Test(frame, skips_ipv6_extension_headers)
{
        static const uint8_t chain[] = {
            60, 0, 5, 2, 0, 0, 1, 0,                            /* hop-by-hop: router alert, PadN */
            43, 1, 0x1e, 4, 1, 1, 1, 1, 0, 0, 0, 0, 1, 2, 0, 0, /* destination: unknown, Pads */
            60, 2, 4, 0, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9,    /* routing, none left */
            9, 9, 9, 9, 9, 9, 9, 9, 17, 0, 1, 4, 0, 0, 0, 0,    /* destination: PadN */
        };
        uint8_t datagram[64];
        size_t bytes = udp(datagram, "vital sign", 10);
        struct packet p;
        struct frame frame;

        ether(&p, 0, NULL, 0x86dd);
        ipv6(&p, 0, chain, sizeof(chain), 17, datagram, bytes);
        cr_assert_eq(parse(&frame, &p), FRAME_UDP, "%s", drop_metric(frame.drop));
        expect_datagram(&frame, &p, "extensions");
}

Test(frame, tolerates_ethernet_padding)
{
        struct packet p;
        struct frame frame;

        udp4_packet(&p);
        append(&p, "\xde\xad\xbe\xef\xde\xad\xbe\xef", 8);
        cr_assert_eq(parse(&frame, &p), FRAME_UDP);
        expect_datagram(&frame, &p, "padding");
        arp_packet(&p);
        append(&p, "padding to sixty b", 18);
        cr_assert_eq(parse(&frame, &p), FRAME_ARP);
        cr_assert_eq(frame.payload_bytes, 28);
}

/* RFC 768: no checksum on IPv4 is a zero; an empty datagram is a datagram. */
Test(frame, accepts_ipv4_without_a_udp_checksum_and_empty_datagrams)
{
        uint8_t datagram[8];
        struct packet p;
        struct frame frame;

        udp4_packet(&p);
        set16(p.bytes + p.upper + 6, 0);
        cr_assert_eq(parse(&frame, &p), FRAME_UDP);
        ether(&p, 0, NULL, 0x0800);
        ipv4(&p, 17, 0, datagram, udp(datagram, "", 0));
        cr_assert_eq(parse(&frame, &p), FRAME_UDP);
        cr_assert_eq(frame.payload_bytes, 0);
}

Test(frame, believes_a_port_that_has_verified_the_checksums)
{
        struct net_local local = gateway();
        struct packet p;
        struct frame frame;

        udp4_packet(&p);
        p.bytes[p.upper + 6] ^= 0x55;
        p.bytes[p.ip + 10] ^= 0x55;
        cr_assert_eq(frame_parse(&frame, p.bytes, p.length, &local,
                         FRAME_IP_CHECKSUM_GOOD | FRAME_UDP_CHECKSUM_GOOD),
            FRAME_UDP);
        frame_parse(&frame, p.bytes, p.length, &local, FRAME_UDP_CHECKSUM_GOOD);
        cr_assert_eq(frame.drop, DROP_IP_CHECKSUM);
        frame_parse(&frame, p.bytes, p.length, &local, FRAME_IP_CHECKSUM_GOOD);
        cr_assert_eq(frame.drop, DROP_UDP_CHECKSUM);
}

Test(frame, recognises_what_the_gateway_answers_itself)
{
        struct packet p;
        struct frame frame;

        arp_packet(&p);
        cr_assert_eq(parse(&frame, &p), FRAME_ARP);
        cr_assert_arr_eq(frame.destination, gateway4, 4);
        memset(p.bytes + p.ip + 14, 0, 4); /* RFC 5227's probe */
        cr_assert_eq(parse(&frame, &p), FRAME_ARP);
        icmp_packet(&p);
        cr_assert_eq(parse(&frame, &p), FRAME_ICMP_ECHO);
        cr_assert_eq(frame.payload_bytes, 13);
        icmpv6_packet(&p);
        cr_assert_eq(parse(&frame, &p), FRAME_ICMPV6_ECHO);
        cr_assert_eq(frame.payload_bytes, 13);
        ns_packet(&p);
        cr_assert_eq(parse(&frame, &p), FRAME_ND_NS, "%s", drop_metric(frame.drop));
        cr_assert_arr_eq(frame.destination, gateway6, 16);
        /* Unicast, as by neighbour unreachability detection. */
        memcpy(p.bytes, gateway_mac, 6);
        memcpy(p.bytes + p.ip + 24, gateway6, 16);
        finish_upper(&p, 58);
        cr_assert_eq(parse(&frame, &p), FRAME_ND_NS);
}

static void (*const builders[])(struct packet *) = {
    udp4_packet, udp6_packet, arp_packet, icmp_packet, icmpv6_packet, ns_packet};
#define BUILDERS (sizeof(builders) / sizeof(builders[0]))

Test(frame, drops_every_truncation)
{
        struct net_local local = gateway();
        enum drop_reason reason;
        struct packet p;

        for (size_t b = 0; b < BUILDERS; b++) {
                builders[b](&p);
                cr_assert_neq(parse_exact(&p, p.length, &local, &reason), FRAME_DROP);
                for (size_t n = 0; n < p.length; n++) {
                        cr_assert_eq(parse_exact(&p, n, &local, &reason), FRAME_DROP,
                            "frame %zu cut to %zu", b, n);
                        cr_assert_neq(reason, DROP_NONE);
                }
        }
}

/* Checksums find every single flipped bit of what they cover. */
Test(frame, drops_every_bit_flip_that_a_checksum_covers)
{
        struct net_local local = gateway();
        enum drop_reason reason;
        struct packet p;

        for (size_t b = 0; b < 2; b++) {
                builders[b](&p);
                for (size_t bit = p.ip * 8; bit < p.length * 8; bit++) {
                        size_t at = bit / 8 - p.ip;

                        /* IPv6 leaves traffic class, flow label and hop limit open. */
                        if (b == 1 && ((at < 4 && bit % 8 < 4 + (at > 0) * 4u) || at == 7))
                                continue;
                        p.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
                        cr_expect_eq(parse_exact(&p, p.length, &local, &reason), FRAME_DROP,
                            "frame %zu, byte %zu, bit %zu", b, at, bit % 8);
                        p.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
                }
        }
}

/* ASan watches; whatever is not dropped must lie inside the frame. */
Test(frame, stays_inside_mutated_frames)
{
        struct net_local local = gateway();
        uint32_t state = 2463534242u;
        struct packet p;

        for (unsigned round = 0; round < 60000; round++) {
                struct frame frame;
                size_t bytes;
                uint8_t *room;

                builders[round % BUILDERS](&p);
                for (unsigned i = 0; i < 1 + round % 4; i++) {
                        state ^= state << 13;
                        state ^= state >> 17;
                        state ^= state << 5;
                        p.bytes[12 + state % (p.length - 12)] = (uint8_t)(state >> 16);
                }
                bytes = p.length - (state >> 24 < 64 ? state % p.length : 0);
                room = malloc(bytes + 1);
                memcpy(room + 1, p.bytes, bytes);
                if (frame_parse(&frame, room + 1, bytes, &local,
                        FRAME_IP_CHECKSUM_GOOD | FRAME_UDP_CHECKSUM_GOOD) != FRAME_DROP) {
                        cr_assert_eq(frame.payload, room + 1 + frame.payload_offset);
                        cr_assert_leq((size_t)frame.payload_offset + frame.payload_bytes, bytes);
                }
                free(room);
        }
}
