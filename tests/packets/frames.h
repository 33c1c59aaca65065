/* SPDX-License-Identifier: Apache-2.0 */
/* Frames as a peer makes them, written without the gateway's own code, so that both cannot err
 * alike. Sums are taken byte by byte. */
#ifndef AORTA_TESTS_PACKETS_FRAMES_H
#define AORTA_TESTS_PACKETS_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_ROOM 2048u

extern const uint8_t peer_mac[6];     /* 02:00:00:00:00:99 */
extern const uint8_t peer_ip4[4];     /* 10.77.0.1 */
extern const uint8_t gateway_ip4[4];  /* 10.77.0.2 */
extern const uint8_t peer_ip6[16];    /* fd00:77::1 */
extern const uint8_t gateway_ip6[16]; /* fd00:77::2 */

/* A frame in the making: each call appends, the last ones fill in lengths and sums. */
struct wire {
        uint8_t bytes[FRAME_ROOM];
        size_t n;
        size_t ip;       /* offset of the IP header */
        size_t upper;    /* offset of what IP carries, extension headers passed */
        unsigned family; /* 4 or 6 */
        uint8_t protocol;
};

void wire_append(struct wire *wire, const void *data, size_t bytes);
/* tags: n TCIs, outermost first, all with EtherType 0x8100. */
void wire_ether(struct wire *wire, const uint8_t to[6], const uint8_t from[6], const uint16_t *tags,
    unsigned n, uint16_t ethertype);
/* options: a multiple of 4 bytes, at most 40. */
void wire_ip4(struct wire *wire, const uint8_t from[4], const uint8_t to[4], uint8_t protocol,
    const void *options, size_t options_bytes);
/* extensions: whole headers, the last one's next header being protocol, the first of type first. */
void wire_ip6(struct wire *wire, const uint8_t from[16], const uint8_t to[16], uint8_t protocol,
    uint8_t first, const void *extensions, size_t extensions_bytes);
void wire_udp(struct wire *wire, uint16_t from, uint16_t to, const void *payload, size_t bytes);
/* Echo request (v4: type 8, v6: type 128) with that data. */
void wire_echo(struct wire *wire, uint16_t id, uint16_t sequence, const void *data, size_t bytes);
/* Fills in the IP length, and the IPv4, UDP and ICMP checksums. */
void wire_finish(struct wire *wire);

/* The ones' complement sum of bytes, folded; 0xffff over data that holds its own checksum. */
uint16_t wire_sum(const uint8_t *data, size_t bytes, uint32_t start);
/* Checks lengths and sums of a frame the gateway has sent (tags in place); asserts. Returns the
 * offset of the IP header, or 0 for an ARP frame. */
size_t wire_check(const uint8_t *frame, size_t bytes);

/* A whole frame from the peer with a UDP payload to port 5683: family 4 or 6. */
void wire_datagram(struct wire *wire, unsigned family, const uint8_t gateway_mac[6],
    uint16_t from_port, const void *payload, size_t bytes);
/* The UDP payload of a frame the gateway has sent (checked by wire_check() too). */
const uint8_t *wire_payload(const uint8_t *frame, size_t bytes, size_t *payload_bytes);

#endif
