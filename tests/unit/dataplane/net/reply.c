/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/net/frame.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "packet.h"

typedef int reply_builder(uint8_t *, size_t, const struct frame *, const struct net_local *);

/* Builds the reply to request twice, over the request and elsewhere in a buffer of exactly its
 * size; both must be the same. A buffer one byte smaller must be refused and stay as it was. */
static void
build(struct packet *reply, reply_builder *builder, struct packet *request,
    enum frame_verdict verdict)
{
        struct net_local local = gateway();
        struct frame frame;
        uint8_t *room;
        int bytes;

        cr_assert_eq(frame_parse(&frame, request->bytes, request->length, &local, 0), verdict);
        bytes = builder(reply->bytes, sizeof(reply->bytes), &frame, &local);
        cr_assert_gt(bytes, 0);
        reply->length = (size_t)bytes;
        room = malloc(reply->length);
        memset(room, 0xa5, reply->length);
        cr_assert_eq(builder(room, reply->length - 1, &frame, &local), -ENOSPC);
        for (size_t i = 0; i < reply->length; i++)
                cr_assert_eq(room[i], 0xa5);
        cr_assert_eq(builder(room, reply->length, &frame, &local), bytes);
        cr_assert_arr_eq(room, reply->bytes, reply->length);
        free(room);
        cr_assert_eq(
            builder(request->bytes, sizeof(request->bytes), &frame, &local), bytes, "in place");
        cr_assert_arr_eq(request->bytes, reply->bytes, reply->length, "in place");
}

static void
expect_macs(const struct packet *reply)
{
        cr_expect_arr_eq(reply->bytes, device_mac, 6);
        cr_expect_arr_eq(reply->bytes + 6, gateway_mac, 6);
}

Test(reply, arp_says_where_the_gateway_is)
{
        static const uint8_t head[8] = {0, 1, 8, 0, 6, 4, 0, 2};
        struct packet request, reply;

        arp_packet(&request);
        append(&request, "padding to sixty b", 18);
        build(&reply, arp_reply, &request, FRAME_ARP);
        expect_macs(&reply);
        cr_assert_eq(reply.length, 42);
        cr_assert_arr_eq(reply.bytes + 12, "\x08\x06", 2);
        cr_assert_arr_eq(reply.bytes + 14, head, 8);
        cr_assert_arr_eq(reply.bytes + 22, gateway_mac, 6);
        cr_assert_arr_eq(reply.bytes + 28, gateway4, 4);
        cr_assert_arr_eq(reply.bytes + 32, device_mac, 6);
        cr_assert_arr_eq(reply.bytes + 38, device4, 4);
}

Test(reply, icmp_echo_comes_back_without_ip_options)
{
        uint8_t icmp[] = {8, 0, 0, 0, 0x77, 0x01, 0, 5, 'p', 'i', 'n', 'g', '!'};
        static const uint16_t tpid = 0x8100;
        struct packet request, reply;

        ether(&request, 1, &tpid, 0x0800);
        ipv4(&request, 1, 8, icmp, sizeof(icmp));
        build(&reply, icmp_echo_reply, &request, FRAME_ICMP_ECHO);
        expect_macs(&reply);
        reply.ip = 18;
        reply.upper = 18 + 20;
        cr_assert_eq(reply.length, 18 + 20 + sizeof(icmp));
        cr_assert_arr_eq(reply.bytes + 12, "\x81\x00\x20\x64\x08\x00\x45", 7);
        cr_assert_eq(plain_sum(0, reply.bytes + 18, 20), 0xffff);
        cr_assert_arr_eq(reply.bytes + 18 + 12, gateway4, 4);
        cr_assert_arr_eq(reply.bytes + 18 + 16, device4, 4);
        cr_assert_eq(reply.bytes[38], 0);
        cr_assert_arr_eq(reply.bytes + 42, icmp + 4, sizeof(icmp) - 4);
        cr_assert_eq(upper_sum(&reply, 1), 0xffff);
}

Test(reply, icmpv6_echo_comes_back_without_extension_headers)
{
        uint8_t icmp[] = {128, 0, 0, 0, 0x77, 0x01, 0, 5, 'p', 'i', 'n', 'g', '!'};
        struct packet request, reply;

        ether(&request, 0, NULL, 0x86dd);
        ipv6(&request, 60, "\x3a\0\1\4\0\0\0\0", 8, 58, icmp, sizeof(icmp));
        build(&reply, icmpv6_echo_reply, &request, FRAME_ICMPV6_ECHO);
        expect_macs(&reply);
        reply.ip = 14;
        reply.upper = 54;
        cr_assert_eq(reply.length, 54 + sizeof(icmp));
        cr_assert_arr_eq(reply.bytes + 14 + 8, gateway6, 16);
        cr_assert_arr_eq(reply.bytes + 14 + 24, device6, 16);
        cr_assert_eq(reply.bytes[14 + 6], 58);
        cr_assert_eq(reply.bytes[54], 129);
        cr_assert_arr_eq(reply.bytes + 58, icmp + 4, sizeof(icmp) - 4);
        cr_assert_eq(upper_sum(&reply, 58), 0xffff);
}

static void
expect_advert(struct packet *reply, uint8_t flags)
{
        reply->ip = 14;
        reply->upper = 54;
        cr_assert_eq(reply->length, 54 + 32);
        cr_assert_arr_eq(reply->bytes + 6, gateway_mac, 6);
        cr_assert_eq(reply->bytes[14 + 7], 255, "the hop limit proves the link");
        cr_assert_arr_eq(reply->bytes + 14 + 8, gateway6, 16);
        cr_assert_eq(reply->bytes[54], 136);
        cr_assert_eq(reply->bytes[54 + 4], flags);
        cr_assert_arr_eq(reply->bytes + 54 + 8, gateway6, 16);
        cr_assert_arr_eq(reply->bytes + 54 + 24, "\2\1", 2);
        cr_assert_arr_eq(reply->bytes + 54 + 26, gateway_mac, 6);
        cr_assert_eq(upper_sum(reply, 58), 0xffff);
}

Test(reply, advertisement_answers_a_solicitation)
{
        struct packet request, reply;

        ns_packet(&request);
        build(&reply, nd_advert, &request, FRAME_ND_NS);
        expect_advert(&reply, 0x60);
        cr_assert_arr_eq(reply.bytes, device_mac, 6);
        cr_assert_arr_eq(reply.bytes + 14 + 24, device6, 16);
}

/* RFC 4861 §7.2.4: an unspecified source is answered to all nodes, not solicited. */
Test(reply, advertisement_defends_an_address_before_all_nodes)
{
        static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};
        struct packet request, reply;

        ns_packet(&request);
        memset(request.bytes + request.ip + 8, 0, 16);
        set16(request.bytes + request.ip + 4, 24);
        finish_upper(&request, 58);
        build(&reply, nd_advert, &request, FRAME_ND_NS);
        expect_advert(&reply, 0x20);
        cr_assert_arr_eq(reply.bytes, "\x33\x33\0\0\0\1", 6);
        cr_assert_arr_eq(reply.bytes + 14 + 24, all_nodes, 16);
}

/* What the peer of an endpoint is, seen from the peer. */
static struct net_local
peer_of(const struct endpoint *endpoint)
{
        struct net_local local = {.ipv4_count = 1,
            .ipv6_count = 1,
            .udp_port_count = 1,
            .udp_ports = {endpoint->peer_port}};

        memcpy(local.mac, endpoint->peer_mac, 6);
        memcpy(local.ipv4[0], endpoint->peer_address, 4);
        memcpy(local.ipv6[0], endpoint->peer_address, 16);
        return local;
}

static void
expect_round_trip(const struct packet *request, size_t payload_bytes)
{
        struct net_local local = gateway();
        struct endpoint endpoint;
        struct net_local peer;
        struct packet reply;
        struct frame frame;
        size_t headers;
        int bytes;

        cr_assert_eq(frame_parse(&frame, request->bytes, request->length, &local, 0), FRAME_UDP);
        frame_endpoint(&endpoint, &frame, 3);
        headers = udp_header_bytes(&endpoint);
        memset(reply.bytes, 0xa5, sizeof(reply.bytes));
        cr_assert_eq(
            udp_write(reply.bytes, headers + payload_bytes - 1, &endpoint, payload_bytes), -ENOSPC);
        cr_assert_eq(reply.bytes[0], 0xa5);
        for (size_t i = 0; i < payload_bytes; i++)
                reply.bytes[headers + i] = (uint8_t)(i * 7);
        bytes = udp_write(reply.bytes, headers + payload_bytes, &endpoint, payload_bytes);
        cr_assert_eq(bytes, (int)(headers + payload_bytes));
        cr_assert_eq(reply.bytes[bytes], 0xa5);
        peer = peer_of(&endpoint);
        cr_assert_eq(frame_parse(&frame, reply.bytes, (size_t)bytes, &peer, 0), FRAME_UDP, "%s",
            drop_metric(frame.drop));
        reply.ip = frame.ip_offset;
        reply.upper = (size_t)frame.payload_offset - 8;
        cr_assert_eq(upper_sum(&reply, 17), 0xffff);
        cr_assert_eq(frame.source_port, GATEWAY_PORT);
        cr_assert_eq(frame.destination_port, DEVICE_PORT);
        cr_assert_eq(frame.payload_bytes, payload_bytes);
        cr_assert_eq(frame.vlan_count, endpoint.vlan_count);
        cr_assert_eq(frame.vlan_service, endpoint.vlan_service);
        cr_assert_arr_eq(frame.vlan_tci, endpoint.vlan_tci, sizeof(frame.vlan_tci));
        if (frame.ip_version == 4)
                cr_assert_eq(plain_sum(0, reply.bytes + reply.ip, 20), 0xffff);
}

Test(reply, udp_goes_back_the_way_it_came)
{
        static const uint16_t tpids[2] = {0x88a8, 0x8100};
        static const size_t sizes[] = {1, 2, 15, 16, 17, 128, 1400, 9000};
        uint8_t datagram[64];
        size_t bytes = udp(datagram, "vital sign", 10);
        struct packet request;

        for (unsigned tags = 0; tags <= 2; tags++) {
                for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                        ether(&request, tags, tpids, 0x0800);
                        ipv4(&request, 17, 4, datagram, bytes);
                        expect_round_trip(&request, sizes[i]);
                        ether(&request, tags, tpids, 0x86dd);
                        ipv6(&request, 17, NULL, 0, 17, datagram, bytes);
                        expect_round_trip(&request, sizes[i]);
                }
        }
}

static void
request_endpoint(struct endpoint *endpoint, void (*builder)(struct packet *))
{
        struct net_local local = gateway();
        struct packet request;
        struct frame frame;

        builder(&request);
        cr_assert_eq(frame_parse(&frame, request.bytes, request.length, &local, 0), FRAME_UDP);
        frame_endpoint(endpoint, &frame, 0);
}

/* RFC 768: a computed zero is sent as all ones, for zero means that there is none. */
Test(reply, udp_checksum_of_zero_is_sent_as_ones)
{
        struct endpoint endpoint;
        uint8_t out[128] = {0};
        size_t headers;

        request_endpoint(&endpoint, udp6_packet);
        headers = udp_header_bytes(&endpoint);
        cr_assert_gt(udp_write(out, sizeof(out), &endpoint, 2), 0);
        /* The payload takes over what the checksum was, and leaves none. */
        memcpy(out + headers, out + headers - 2, 2);
        cr_assert_gt(udp_write(out, sizeof(out), &endpoint, 2), 0);
        cr_assert_arr_eq(out + headers - 2, "\xff\xff", 2);
}

Test(reply, udp_refuses_what_fits_no_frame)
{
        struct endpoint endpoint;
        static uint8_t out[FRAME_BYTES_MAX + 64];

        request_endpoint(&endpoint, udp4_packet);
        cr_assert_eq(udp_write(out, sizeof(out), &endpoint, FRAME_BYTES_MAX - 41), -EMSGSIZE);
        cr_assert_eq(udp_write(out, sizeof(out), &endpoint, SIZE_MAX), -EMSGSIZE);
        cr_assert_eq(
            udp_write(out, sizeof(out), &endpoint, FRAME_BYTES_MAX - 42), (int)FRAME_BYTES_MAX);
        endpoint.ip_version = 5;
        cr_assert_eq(udp_write(out, sizeof(out), &endpoint, 1), -EINVAL);
        endpoint.ip_version = 4;
        endpoint.vlan_count = 3;
        cr_assert_eq(udp_write(out, sizeof(out), &endpoint, 1), -EINVAL);
}

/* The deduplication key of RFC 7252 §4.5 is address and port; a device may change its next hop. */
Test(reply, endpoints_are_the_same_by_address_and_port)
{
        struct endpoint a, b;

        request_endpoint(&a, udp4_packet);
        request_endpoint(&b, udp4_packet);
        cr_assert(endpoint_same(&a, &b));
        b.peer_mac[0] ^= 2;
        cr_assert(endpoint_same(&a, &b));
        b.peer_port++;
        cr_assert_not(endpoint_same(&a, &b));
        b = a;
        b.peer_address[3]++;
        cr_assert_not(endpoint_same(&a, &b));
        b = a;
        b.port_id++;
        cr_assert_not(endpoint_same(&a, &b));
        request_endpoint(&b, udp6_packet);
        cr_assert_not(endpoint_same(&a, &b));
}
