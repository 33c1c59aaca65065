/* SPDX-License-Identifier: Apache-2.0 */
/* Any frame is served inside its bounds or dropped for a reason; each reply to it is a right frame.
 */
#include "dataplane/net/frame.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte says what the port has verified, so that checksums do not bar the way. */
#define GOOD_MASK (FRAME_IP_CHECKSUM_GOOD | FRAME_UDP_CHECKSUM_GOOD)

static const struct net_local local = {
    .mac = {2, 0, 0, 0, 0, 1},
    .ipv4_count = 1,
    .ipv6_count = 1,
    .udp_port_count = 1,
    .udp_ports = {5683},
    .ipv4 = {{10, 77, 0, 2}},
    .ipv6 = {{0xfd, 0x77, [15] = 2}},
};

static void
check_reply(const struct frame *frame, enum frame_verdict verdict)
{
        uint8_t out[FRAME_BYTES_MAX + UDP_WRITE_HEADER_BYTES_MAX];
        struct endpoint endpoint;
        struct net_local peer = {.ipv4_count = 1, .ipv6_count = 1, .udp_port_count = 1};
        struct frame reply;
        size_t headers;
        int bytes = 0;

        switch (verdict) {
        case FRAME_ARP:
                bytes = arp_reply(out, sizeof(out), frame, &local);
                break;
        case FRAME_ICMP_ECHO:
                bytes = icmp_echo_reply(out, sizeof(out), frame, &local);
                break;
        case FRAME_ICMPV6_ECHO:
                bytes = icmpv6_echo_reply(out, sizeof(out), frame, &local);
                break;
        case FRAME_ND_NS:
                bytes = nd_advert(out, sizeof(out), frame, &local);
                break;
        case FRAME_DROP:
        case FRAME_UDP:
                frame_endpoint(&endpoint, frame, 0);
                headers = udp_header_bytes(&endpoint);
                memcpy(out + headers, frame->payload, frame->payload_bytes);
                bytes = udp_write(out, sizeof(out), &endpoint, frame->payload_bytes);
                assert(bytes > 0);
                memcpy(peer.mac, endpoint.peer_mac, MAC_BYTES);
                memcpy(peer.ipv4[0], endpoint.peer_address, IPV4_BYTES);
                memcpy(peer.ipv6[0], endpoint.peer_address, IPV6_BYTES);
                peer.udp_ports[0] = endpoint.peer_port;
                assert(frame_parse(&reply, out, (size_t)bytes, &peer, 0) == FRAME_UDP);
                assert(reply.payload_bytes == frame->payload_bytes);
                assert(reply.source_port == frame->destination_port);
                break;
        }
        assert(bytes > 0 && (size_t)bytes <= sizeof(out));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct frame frame;
        enum frame_verdict verdict;
        uint8_t *copy;
        size_t bytes;

        if (size < 1)
                return 0;
        bytes = size - 1;
        copy = malloc(size); /* from copy + 1: the frame ends where the block does */
        assert(copy != NULL);
        memcpy(copy, data, size);
        /* Without this nearly all inputs end at the destination address. */
        if ((data[0] & 0x80u) == 0 && bytes >= MAC_BYTES)
                memcpy(copy + 1, local.mac, MAC_BYTES);
        verdict = frame_parse(&frame, copy + 1, bytes, &local, data[0] & GOOD_MASK);
        if (verdict == FRAME_DROP) {
                assert(frame.drop > DROP_NONE && frame.drop <= DROP_ND_OTHER_TARGET);
        } else {
                assert(frame.drop == DROP_NONE);
                assert(frame.payload == copy + 1 + frame.payload_offset);
                assert((size_t)frame.payload_offset + frame.payload_bytes <= bytes);
                check_reply(&frame, verdict);
        }
        free(copy);
        return 0;
}
