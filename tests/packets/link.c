/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway on its link: ARP, neighbour discovery, pings, VLANs, and each reason of the wire for
 * which a frame is dropped and counted, once. Promise 7: overload and faults refuse, never lie. */
#include "dataplane/drops.h"
#include "dataplane/graph.h"
#include "tests/packets/frames.h"
#include "tests/packets/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#define IPV4 0x0800
#define IPV6 0x86dd
#define ARP  0x0806

static struct harness harness;
static uint8_t got[HARNESS_FRAME_MAX];

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
/* CoAP version 2: whatever arrives at the CoAP node with it is dropped there by a name of its own.
 */
static const uint8_t version2[4] = {0x80, 0, 0, 0};

static void
open_one(void)
{
        struct harness_options options = {0};

        harness_open(&harness, &options);
}

static void
close_one(void)
{
        harness_close(&harness);
}

TestSuite(link, .init = open_one, .fini = close_one);

static void
send_wire(const struct wire *wire)
{
        harness_inject(&harness, wire->bytes, wire->n);
        cr_assert_eq(harness_drive(&harness), 1);
}

/* The frame is dropped for this reason, once, and nothing is answered. */
static void
expect_drop(const struct wire *wire, enum drop_reason reason)
{
        send_wire(wire);
        cr_expect_eq(harness_drops(&harness, reason), 1, "not dropped for %s", drop_metric(reason));
        cr_expect_eq(harness_take(&harness, got), 0, "%s was answered", drop_metric(reason));
}

/* The frame's datagram comes to the CoAP node. */
static void
expect_coap(const struct wire *wire)
{
        expect_drop(wire, DROP_COAP_VERSION);
}

static void
make_udp(struct wire *wire, unsigned family)
{
        wire_datagram(wire, family, harness.mac[0], 40000, version2, sizeof(version2));
}

static void
make_arp(struct wire *wire, const uint8_t to[6], const uint16_t *tags, unsigned n)
{
        wire_ether(wire, to, peer_mac, tags, n, ARP);
        wire_append(wire, "\x00\x01\x08\x00\x06\x04\x00\x01", 8);
        wire_append(wire, peer_mac, 6);
        wire_append(wire, peer_ip4, 4);
        wire_append(wire, "\0\0\0\0\0\0", 6);
        wire_append(wire, gateway_ip4, 4);
}

static void
make_echo(struct wire *wire, unsigned family, const uint16_t *tags, unsigned n)
{
        wire_ether(wire, harness.mac[0], peer_mac, tags, n, family == 4 ? IPV4 : IPV6);
        if (family == 4)
                wire_ip4(wire, peer_ip4, gateway_ip4, 1, NULL, 0);
        else
                wire_ip6(wire, peer_ip6, gateway_ip6, 58, 58, NULL, 0);
        wire_echo(wire, 77, 3, "is the heart still beating?", 27);
        wire_finish(wire);
}

/* A solicitation of target, to its solicited-node group. */
static void
make_solicitation(struct wire *wire, const uint8_t target[16])
{
        uint8_t group[16] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};
        uint8_t mac[6] = {0x33, 0x33, 0xff};
        uint8_t body[32] = {135};

        memcpy(group + 13, target + 13, 3);
        memcpy(mac + 3, target + 13, 3);
        memcpy(body + 8, target, 16);
        body[24] = 1;
        body[25] = 1;
        memcpy(body + 26, peer_mac, 6);
        wire_ether(wire, mac, peer_mac, NULL, 0, IPV6);
        wire_ip6(wire, peer_ip6, group, 58, 58, NULL, 0);
        wire_append(wire, body, sizeof(body));
        wire_finish(wire);
}

/* Takes the one answer; asserts that it goes back to the peer. */
static size_t
take_answer(void)
{
        size_t bytes = harness_take(&harness, got);

        cr_assert_neq(bytes, 0, "no answer");
        cr_assert_arr_eq(got, peer_mac, 6);
        cr_assert_arr_eq(got + 6, harness.mac[0], 6);
        wire_check(got, bytes);
        cr_assert_eq(harness_drops_all(&harness), 0);
        return bytes;
}

Test(link, arp_request_is_answered)
{
        struct dataplane_counters counters;
        struct wire wire;

        make_arp(&wire, broadcast, NULL, 0);
        send_wire(&wire);
        take_answer();
        cr_assert_arr_eq(got + 12, "\x08\x06\x00\x01\x08\x00\x06\x04\x00\x02", 10);
        cr_assert_arr_eq(got + 22, harness.mac[0], 6);
        cr_assert_arr_eq(got + 28, gateway_ip4, 4);
        cr_assert_arr_eq(got + 32, peer_mac, 6);
        cr_assert_arr_eq(got + 38, peer_ip4, 4);
        for (unsigned i = 42; i < 60; i++)
                cr_assert_eq(got[i], 0, "padding shows old bytes");
        dataplane_counters(harness.dataplane, &counters);
        cr_assert_eq(counters.arp, 1);
        cr_assert_eq(counters.rx_packets, 1);
        cr_assert_eq(counters.tx_packets, 1);
}

static void
check_advertisement(const uint8_t target[16])
{
        struct wire wire;
        size_t ip;

        make_solicitation(&wire, target);
        send_wire(&wire);
        ip = wire_check(got, take_answer());
        cr_assert_eq(got[ip + 7], 255, "RFC 4861 7.1.2: hop limit");
        cr_assert_arr_eq(got + ip + 8, target, 16);
        cr_assert_arr_eq(got + ip + 24, peer_ip6, 16);
        cr_assert_eq(got[ip + 40], 136);
        cr_assert_eq(got[ip + 44] & 0x40, 0x40, "solicited");
        cr_assert_arr_eq(got + ip + 48, target, 16);
        cr_assert_arr_eq(got + ip + 64, "\x02\x01", 2);
        cr_assert_arr_eq(got + ip + 66, harness.mac[0], 6);
}

Test(link, neighbour_solicitation_is_answered)
{
        uint8_t local[16];

        check_advertisement(gateway_ip6);
        port_link_local(local, harness.mac[0]);
        check_advertisement(local);
}

Test(link, link_local_address_is_eui_64)
{
        const uint8_t mac[6] = {0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde};
        const uint8_t want[16] = {
            0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x36, 0x56, 0x78, 0xff, 0xfe, 0x9a, 0xbc, 0xde};
        uint8_t is[16];

        port_link_local(is, mac);
        cr_assert_arr_eq(is, want, 16);
}

static void
check_echo(unsigned family, const uint16_t *tags, unsigned n)
{
        struct wire wire;
        size_t bytes, ip;

        make_echo(&wire, family, tags, n);
        send_wire(&wire);
        bytes = take_answer();
        ip = wire_check(got, bytes);
        cr_assert_eq(ip, 14 + 4 * n, "the tags come back");
        cr_assert_arr_eq(got + 12, wire.bytes + 12, 4 * n);
        cr_assert_eq(bytes, wire.n > 60 ? wire.n : 60);
        if (family == 4) {
                cr_assert_arr_eq(got + ip + 12, gateway_ip4, 4);
                cr_assert_arr_eq(got + ip + 16, peer_ip4, 4);
                cr_assert_eq(got[ip + 20], 0);
        } else {
                cr_assert_arr_eq(got + ip + 8, gateway_ip6, 16);
                cr_assert_arr_eq(got + ip + 24, peer_ip6, 16);
                cr_assert_eq(got[ip + 40], 129);
        }
        cr_assert_arr_eq(got + bytes - 27, "is the heart still beating?", 27);
}

Test(link, pings_are_answered_with_their_vlan_tags)
{
        static const uint16_t tags[2] = {0x6123, 0x0456};

        for (unsigned n = 0; n <= 2; n++) {
                check_echo(4, tags, n);
                check_echo(6, tags, n);
        }
}

Test(link, tag_the_port_took_out_comes_back)
{
        static const uint16_t tags[2] = {0x6123, 0x0456};
        struct rte_mbuf *mbuf;
        struct wire wire;
        size_t bytes;

        for (unsigned stripped = 1; stripped <= 2; stripped++) {
                make_echo(&wire, 4, NULL, 0);
                mbuf = harness_mbuf(&harness, wire.bytes, wire.n);
                mbuf->ol_flags = RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
                mbuf->vlan_tci = tags[stripped - 1];
                if (stripped == 2) {
                        mbuf->ol_flags |= RTE_MBUF_F_RX_QINQ | RTE_MBUF_F_RX_QINQ_STRIPPED;
                        mbuf->vlan_tci_outer = tags[0];
                }
                harness_inject_mbuf(&harness, 0, 0, mbuf);
                cr_assert_eq(harness_drive(&harness), 1);
                bytes = take_answer();
                make_echo(&wire, 4, tags, stripped);
                cr_assert_eq(bytes, wire.n);
                cr_assert_arr_eq(got + 12, wire.bytes + 12, 4 * stripped + 2);
        }
}

Test(link, both_families_reach_coap)
{
        static const uint8_t router_alert[8] = {17, 0, 5, 2, 0, 0, 1, 0};
        static const uint8_t options[8] = {1, 1, 1, 1, 1, 1, 1, 0};
        struct wire wire;
        uint8_t local[16];

        make_udp(&wire, 4);
        expect_coap(&wire);
        make_udp(&wire, 6);
        expect_coap(&wire);

        /* TTL 1 arrives; IPv4 options and IPv6 extension headers are passed over. */
        make_udp(&wire, 4);
        wire.bytes[wire.ip + 8] = 1;
        wire_finish(&wire);
        expect_coap(&wire);
        wire_ether(&wire, harness.mac[0], peer_mac, NULL, 0, IPV4);
        wire_ip4(&wire, peer_ip4, gateway_ip4, 17, options, sizeof(options));
        wire_udp(&wire, 40000, 5683, version2, sizeof(version2));
        wire_finish(&wire);
        expect_coap(&wire);
        wire_ether(&wire, harness.mac[0], peer_mac, NULL, 0, IPV6);
        wire_ip6(&wire, peer_ip6, gateway_ip6, 17, 0, router_alert, sizeof(router_alert));
        wire_udp(&wire, 40000, 5683, version2, sizeof(version2));
        wire_finish(&wire);
        expect_coap(&wire);

        port_link_local(local, harness.mac[0]);
        wire_ether(&wire, harness.mac[0], peer_mac, NULL, 0, IPV6);
        wire_ip6(&wire, peer_ip6, local, 17, 17, NULL, 0);
        wire_udp(&wire, 40000, 5683, version2, sizeof(version2));
        wire_finish(&wire);
        expect_coap(&wire);

        /* Ethernet's padding is no part of the datagram. */
        make_udp(&wire, 4);
        wire_append(&wire, "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa", 14);
        expect_coap(&wire);
}

Test(link, ethernet_drops)
{
        static const uint16_t tags[3] = {1, 2, 3};
        struct wire wire;

        make_udp(&wire, 4);
        wire.bytes[5] ^= 1;
        expect_drop(&wire, DROP_NOT_OUR_MAC);
        make_udp(&wire, 4);
        wire.bytes[6] |= 1;
        expect_drop(&wire, DROP_SOURCE_MAC);
        make_udp(&wire, 4);
        memset(wire.bytes + 6, 0, 6);
        expect_drop(&wire, DROP_SOURCE_MAC);
        make_echo(&wire, 4, tags, 3);
        expect_drop(&wire, DROP_VLAN_TAGS);
        wire_ether(&wire, harness.mac[0], peer_mac, NULL, 0, 0x88cc);
        wire_append(&wire, "LLDP", 4);
        expect_drop(&wire, DROP_ETHERTYPE);
}

Test(link, oversized_and_segmented_frames_drop)
{
        static uint8_t payload[1501];
        struct rte_mbuf *head, *tail;
        struct wire wire;

        payload[0] = 0x80; /* CoAP version 2 */
        wire_datagram(&wire, 4, harness.mac[0], 40000, payload, sizeof(payload));
        expect_drop(&wire, DROP_FRAME_LONG);
        wire_datagram(&wire, 4, harness.mac[0], 40000, payload, sizeof(payload) - 1);
        expect_coap(&wire);

        make_udp(&wire, 4);
        head = harness_mbuf(&harness, wire.bytes, wire.n - 2);
        tail = harness_mbuf(&harness, wire.bytes + wire.n - 2, 2);
        cr_assert_eq(rte_pktmbuf_chain(head, tail), 0);
        harness_inject_mbuf(&harness, 0, 0, head);
        cr_assert_eq(harness_drive(&harness), 1);
        cr_assert_eq(harness_drops(&harness, DROP_FRAME_SEGMENTED), 1);
}

Test(link, ipv4_drops)
{
        struct wire wire;

        make_udp(&wire, 4);
        wire.bytes[wire.ip] = 0x65;
        expect_drop(&wire, DROP_IP_VERSION);
        make_udp(&wire, 4);
        wire.bytes[wire.ip] = 0x44;
        expect_drop(&wire, DROP_IP_HEADER_LENGTH);
        make_udp(&wire, 4);
        wire.bytes[wire.ip + 3]++;
        expect_drop(&wire, DROP_IP_LENGTH);
        make_udp(&wire, 4);
        wire.bytes[wire.ip + 11] ^= 1;
        expect_drop(&wire, DROP_IP_CHECKSUM);
        make_udp(&wire, 4);
        wire.bytes[wire.ip + 6] = 0x20; /* more fragments */
        wire_finish(&wire);
        expect_drop(&wire, DROP_FRAGMENT);
        make_udp(&wire, 4);
        wire.bytes[wire.ip + 7] = 1; /* the last fragment */
        wire_finish(&wire);
        expect_drop(&wire, DROP_FRAGMENT);
        make_udp(&wire, 4);
        wire.bytes[wire.ip + 12] = 127;
        wire_finish(&wire);
        expect_drop(&wire, DROP_SOURCE_INVALID);
        make_udp(&wire, 4);
        wire.bytes[wire.ip + 19] = 3;
        wire_finish(&wire);
        expect_drop(&wire, DROP_NOT_OUR_ADDRESS);
        make_udp(&wire, 4);
        wire.bytes[wire.ip + 16] = 224;
        memcpy(wire.bytes, "\x01\x00\x5e\x4d\x00\x02", 6);
        wire_finish(&wire);
        expect_drop(&wire, DROP_MULTICAST);
        make_udp(&wire, 4);
        wire.bytes[wire.ip + 9] = 6;
        wire_finish(&wire);
        expect_drop(&wire, DROP_PROTOCOL);
}

static void
make_extended(struct wire *wire, uint8_t first, const void *extensions, size_t bytes)
{
        wire_ether(wire, harness.mac[0], peer_mac, NULL, 0, IPV6);
        wire_ip6(wire, peer_ip6, gateway_ip6, 17, first, extensions, bytes);
        wire_udp(wire, 40000, 5683, version2, sizeof(version2));
        wire_finish(wire);
}

Test(link, ipv6_drops)
{
        static const uint8_t fragment[8] = {17, 0, 0, 0, 0, 0, 0, 1};
        static const uint8_t discard[8] = {17, 0, 0x7e, 4, 0, 0, 0, 0};
        static const uint8_t many[5][8] = {
            {60, 0, 1, 4}, {60, 0, 1, 4}, {60, 0, 1, 4}, {60, 0, 1, 4}, {17, 0, 1, 4}};
        struct wire wire;

        make_udp(&wire, 6);
        wire.bytes[wire.ip] = 0x40;
        expect_drop(&wire, DROP_IP_VERSION);
        make_udp(&wire, 6);
        wire.bytes[wire.ip + 5]++;
        expect_drop(&wire, DROP_IP_LENGTH);
        make_extended(&wire, 44, fragment, sizeof(fragment));
        expect_drop(&wire, DROP_FRAGMENT);
        make_extended(&wire, 60, discard, sizeof(discard));
        expect_drop(&wire, DROP_IPV6_EXTENSION_BAD);
        make_extended(&wire, 60, many, sizeof(many));
        expect_drop(&wire, DROP_IPV6_EXTENSION_LIMIT);
        make_extended(&wire, 60, many[1], sizeof(many) - sizeof(many[0]));
        expect_coap(&wire);
        make_udp(&wire, 6);
        wire.bytes[wire.ip + 8] = 0xff;
        wire_finish(&wire);
        expect_drop(&wire, DROP_SOURCE_INVALID);
        make_udp(&wire, 6);
        wire.bytes[wire.ip + 39] = 3;
        wire_finish(&wire);
        expect_drop(&wire, DROP_NOT_OUR_ADDRESS);
        make_udp(&wire, 6);
        wire.bytes[wire.ip + 6] = 6;
        expect_drop(&wire, DROP_PROTOCOL);
}

Test(link, udp_drops)
{
        struct wire wire;

        for (unsigned family = 4; family <= 6; family += 2) {
                make_udp(&wire, family);
                wire.bytes[wire.upper + 5]++;
                expect_drop(&wire, DROP_UDP_LENGTH);
                make_udp(&wire, family);
                wire.bytes[wire.upper + 3]++;
                wire_finish(&wire);
                expect_drop(&wire, DROP_UDP_PORT);
                make_udp(&wire, family);
                wire.bytes[wire.upper + 7] ^= 1;
                expect_drop(&wire, DROP_UDP_CHECKSUM);
                make_udp(&wire, family);
                memset(wire.bytes + wire.upper, 0, 2);
                wire_finish(&wire);
                expect_drop(&wire, DROP_SOURCE_INVALID);
                make_udp(&wire, family);
                memset(wire.bytes + wire.upper + 6, 0, 2);
                if (family == 4)
                        expect_coap(&wire); /* RFC 768: no checksum */
                else
                        expect_drop(&wire, DROP_UDP_NO_CHECKSUM);
        }
}

/* A port that never said it verifies checksums is not believed when a packet says so. */
Test(link, checksum_flags_of_a_port_without_offload_count_for_nothing)
{
        struct rte_mbuf *mbuf;
        struct wire wire;

        make_udp(&wire, 4);
        wire.bytes[wire.upper + 7] ^= 1;
        mbuf = harness_mbuf(&harness, wire.bytes, wire.n);
        mbuf->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
        harness_inject_mbuf(&harness, 0, 0, mbuf);
        harness_drive(&harness);
        cr_assert_eq(harness_drops(&harness, DROP_UDP_CHECKSUM), 1);
}

Test(link, arp_and_icmp_drops)
{
        struct wire wire;

        make_arp(&wire, broadcast, NULL, 0);
        wire.bytes[14 + 5] = 16;
        expect_drop(&wire, DROP_ARP_BAD);
        make_arp(&wire, broadcast, NULL, 0);
        wire.bytes[14 + 7] = 2;
        expect_drop(&wire, DROP_ARP_NOT_REQUEST);
        make_arp(&wire, broadcast, NULL, 0);
        wire.bytes[14 + 27] = 3;
        expect_drop(&wire, DROP_ARP_OTHER_TARGET);

        for (unsigned family = 4; family <= 6; family += 2) {
                make_echo(&wire, family, NULL, 0);
                wire.n = wire.upper + 7;
                wire_finish(&wire);
                expect_drop(&wire, DROP_ICMP_SHORT);
                make_echo(&wire, family, NULL, 0);
                wire.bytes[wire.upper] = family == 4 ? 13 : 133;
                wire_finish(&wire);
                expect_drop(&wire, DROP_ICMP_TYPE);
                make_echo(&wire, family, NULL, 0);
                wire.bytes[wire.upper + 3] ^= 1;
                expect_drop(&wire, DROP_ICMP_CHECKSUM);
        }
}

Test(link, solicitation_drops)
{
        uint8_t other[16];
        struct wire wire;

        make_solicitation(&wire, gateway_ip6);
        wire.bytes[wire.ip + 7] = 254; /* came through a router */
        expect_drop(&wire, DROP_ND_BAD);
        make_solicitation(&wire, gateway_ip6);
        wire.bytes[wire.upper + 25] = 0; /* an option of no length */
        wire_finish(&wire);
        expect_drop(&wire, DROP_ND_BAD);
        memcpy(other, gateway_ip6, 16);
        other[12] = 1; /* of the same solicited-node group */
        make_solicitation(&wire, other);
        expect_drop(&wire, DROP_ND_OTHER_TARGET);
}

/* Every frame cut off anywhere is dropped, counted, and never answered. */
Test(link, truncations)
{
        static const uint16_t tags[1] = {5};
        struct wire whole[6];
        uint64_t frames = 0;

        make_udp(&whole[0], 4);
        make_udp(&whole[1], 6);
        make_arp(&whole[2], broadcast, tags, 1);
        make_echo(&whole[3], 4, tags, 1);
        make_echo(&whole[4], 6, NULL, 0);
        make_solicitation(&whole[5], gateway_ip6);
        for (unsigned i = 0; i < 6; i++) {
                for (size_t bytes = 0; bytes < whole[i].n; bytes++, frames++) {
                        harness_inject(&harness, whole[i].bytes, bytes);
                        harness_drive(&harness);
                        cr_assert_eq(
                            harness_take(&harness, got), 0, "frame %u cut at %zu", i, bytes);
                        cr_assert_eq(harness_drops_all(&harness), frames + 1);
                }
        }
}

/* The peer's ring is full: answers are freed and counted, none is kept for later. */
Test(link_small, full_transmit_queue_drops)
{
        struct harness_options options = {.out_slots = 15};
        struct wire wire;

        harness_open(&harness, &options);
        make_echo(&wire, 4, NULL, 0);
        for (unsigned i = 0; i < 40; i++)
                harness_inject(&harness, wire.bytes, wire.n);
        cr_assert_eq(harness_drive(&harness), 40);
        cr_assert_eq(harness_drops(&harness, DROP_TX_FULL), 25);
        for (unsigned i = 0; i < 15; i++)
                cr_assert_neq(harness_take(&harness, got), 0);
        cr_assert_eq(harness_take(&harness, got), 0);
        harness_close(&harness);
}

/* One walk takes at most WALK_PACKETS_MAX, and the rest waits its turn. */
Test(link, a_walk_takes_in_a_bounded_share)
{
        unsigned total = 0, taken;
        struct wire wire;

        make_echo(&wire, 4, NULL, 0);
        for (unsigned i = 0; i < 1000; i++)
                harness_inject(&harness, wire.bytes, wire.n);
        while ((taken = dataplane_walk(harness.dataplane, 0)) != 0) {
                cr_assert_leq(taken, WALK_PACKETS_MAX);
                total += taken;
        }
        cr_assert_eq(total, 1000);
        for (unsigned i = 0; i < 1000; i++)
                cr_assert_neq(harness_take(&harness, got), 0);
}

/* Three ports of two queues: an answer leaves by the port its request came from. */
Test(link_many, answers_leave_by_their_port)
{
        struct harness_options options = {.ports = 3, .queues = 2};
        struct wire wire;

        harness_open(&harness, &options);
        for (unsigned port = 0; port < 3; port++) {
                for (unsigned queue = 0; queue < 2; queue++) {
                        make_echo(&wire, 4, NULL, 0);
                        memcpy(wire.bytes, harness.mac[port], 6);
                        harness_inject_at(&harness, port, queue, wire.bytes, wire.n);
                }
        }
        cr_assert_eq(harness_drive(&harness), 6);
        for (unsigned port = 0; port < 3; port++) {
                for (unsigned i = 0; i < 2; i++) {
                        cr_assert_neq(harness_take_at(&harness, port, got), 0);
                        cr_assert_arr_eq(got + 6, harness.mac[port], 6);
                }
                cr_assert_eq(harness_take_at(&harness, port, got), 0);
        }
        harness_close(&harness);
}

/* Workers without a transmit queue of their own send through its owner. */
Test(link_many, strays_of_queueless_workers_are_answered)
{
        struct harness_options options = {.config.workers = 3};
        struct wire wire;

        harness_open(&harness, &options);
        make_echo(&wire, 6, NULL, 0);
        for (unsigned i = 0; i < 100; i++) {
                struct rte_mbuf *mbuf = harness_mbuf(&harness, wire.bytes, wire.n);

                mbuf->port = harness.port_id[0];
                harness_stray(&harness, 0, 1 + i % 2, mbuf);
        }
        cr_assert_eq(harness_drive(&harness), 100);
        for (unsigned i = 0; i < 100; i++)
                cr_assert_neq(harness_take(&harness, got), 0);
        harness_close(&harness);
}

/* The workers' own threads, twice started and stopped: each ping is answered. */
static void
run_threads(bool idle_sleep)
{
        struct harness_options options = {
            .config = {.workers = 2, .idle_sleep = idle_sleep}, .queues = 2};
        struct wire wire;

        harness_open(&harness, &options);
        for (unsigned turn = 0; turn < 2; turn++) {
                unsigned answers = 0;

                cr_assert_eq(dataplane_start(harness.dataplane), 0);
                make_echo(&wire, 4, NULL, 0);
                for (unsigned i = 0; i < 200; i++)
                        harness_inject_at(&harness, 0, i % 2, wire.bytes, wire.n);
                for (unsigned ms = 0; ms < 20000 && answers < 200; ms++) {
                        while (harness_take(&harness, got) != 0)
                                answers++;
                        usleep(1000);
                }
                dataplane_stop(harness.dataplane);
                cr_assert_eq(answers, 200);
        }
        harness_close(&harness);
}

Test(link_many, threads_poll)
{
        run_threads(false);
}

Test(link_many, threads_sleep_when_idle)
{
        run_threads(true);
}

Test(link_many, start_refuses_lcores_that_cannot_be)
{
        struct harness_options options = {.config = {.workers = 2, .lcores = {1, 1}}};

        harness_open(&harness, &options);
        cr_assert_eq(dataplane_start(harness.dataplane), -EINVAL);
        harness_close(&harness);
        options.config.lcores[1] = HARNESS_LCORES;
        harness_open(&harness, &options);
        cr_assert_eq(dataplane_start(harness.dataplane), -EINVAL);
        harness_close(&harness);
}

Test(link_many, creation_says_why_not)
{
        static struct ledger_view view;
        struct dataplane_config config = {
            .workers = 1, .view = &view, .ports = 1, .port = {{.port_id = 31, .queues = 1}}};
        struct dataplane *dataplane;
        char why[WHY_BYTES] = "";

        harness_eal();
        cr_assert_eq(dataplane_create(&dataplane, &config, why), -ENODEV);
        cr_assert_null(dataplane);
        cr_assert_not_null(strstr(why, "port 31"), "%s", why);
        config.workers = WORKERS_MAX + 1;
        cr_assert_eq(dataplane_create(&dataplane, &config, why), -EINVAL);
        cr_assert_not_null(strstr(why, "workers"), "%s", why);
        config.workers = 1;
        config.mbufs = 1;
        cr_assert_eq(dataplane_create(&dataplane, &config, why), -EINVAL);
        cr_assert_not_null(strstr(why, "mbufs"), "%s", why);
}

/* The live graph names every node of the design; so do the statistics, which count. */
Test(link, graph_is_exported_whole)
{
        static const char *const names[] = {"port_rx", "stray", "receipts", "classify", "arp", "nd",
            "icmp", "coap", "open", "admit", "seal", "commit", "reply", "port_tx", "drop"};
        struct node_stat stats[32];
        unsigned n, seen = 0;
        char folder[] = "/tmp/aorta-dot-XXXXXX", path[64];
        static char text[16384];
        struct wire wire;
        FILE *file;

        cr_assert_not_null(mkdtemp(folder));
        snprintf(path, sizeof(path), "%s/graph.dot", folder);
        cr_assert_eq(dataplane_export_dot(harness.dataplane, path), 0);
        cr_assert_eq(dataplane_export_dot(harness.dataplane, path), -EEXIST, "only a new file");
        file = fopen(path, "r");
        cr_assert_not_null(file);
        cr_assert_gt(fread(text, 1, sizeof(text) - 1, file), 0);
        fclose(file);
        unlink(path);
        rmdir(folder);
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                cr_expect_not_null(strstr(text, names[i]), "%s is not in the graph", names[i]);

        make_arp(&wire, broadcast, NULL, 0);
        send_wire(&wire);
        cr_assert_neq(harness_take(&harness, got), 0);
        n = dataplane_node_stats(harness.dataplane, stats, 32);
        cr_assert_eq(n, sizeof(names) / sizeof(names[0]));
        for (unsigned i = 0; i < n; i++) {
                if (strcmp(stats[i].name, "arp") == 0 || strcmp(stats[i].name, "classify") == 0 ||
                    strcmp(stats[i].name, "port_tx") == 0) {
                        cr_expect_eq(stats[i].objs, 1, "%s", stats[i].name);
                        cr_expect_eq(stats[i].calls, 1, "%s", stats[i].name);
                        seen++;
                }
        }
        cr_assert_eq(seen, 3);
}
