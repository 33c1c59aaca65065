/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/packets/frames.h"

#include <string.h>

#include <criterion/criterion.h>

const uint8_t peer_mac[6] = {0x02, 0, 0, 0, 0, 0x99};
const uint8_t peer_ip4[4] = {10, 77, 0, 1};
const uint8_t gateway_ip4[4] = {10, 77, 0, 2};
const uint8_t peer_ip6[16] = {0xfd, 0, 0, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
const uint8_t gateway_ip6[16] = {0xfd, 0, 0, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2};

static void
put16(uint8_t *out, size_t value)
{
        out[0] = (uint8_t)(value >> 8);
        out[1] = (uint8_t)value;
}

static uint16_t
get16(const uint8_t *in)
{
        return (uint16_t)(in[0] << 8 | in[1]);
}

void
wire_append(struct wire *wire, const void *data, size_t bytes)
{
        cr_assert_leq(wire->n + bytes, sizeof(wire->bytes));
        if (bytes != 0)
                memcpy(wire->bytes + wire->n, data, bytes);
        wire->n += bytes;
}

void
wire_ether(struct wire *wire, const uint8_t to[6], const uint8_t from[6], const uint16_t *tags,
    unsigned n, uint16_t ethertype)
{
        uint8_t two[2];

        memset(wire, 0, sizeof(*wire));
        wire_append(wire, to, 6);
        wire_append(wire, from, 6);
        for (unsigned i = 0; i < n; i++) {
                wire_append(wire, "\x81\x00", 2);
                put16(two, tags[i]);
                wire_append(wire, two, 2);
        }
        put16(two, ethertype);
        wire_append(wire, two, 2);
}

void
wire_ip4(struct wire *wire, const uint8_t from[4], const uint8_t to[4], uint8_t protocol,
    const void *options, size_t options_bytes)
{
        uint8_t header[20] = {0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64};

        header[0] = (uint8_t)(0x45 + options_bytes / 4);
        header[9] = protocol;
        memcpy(header + 12, from, 4);
        memcpy(header + 16, to, 4);
        wire->family = 4;
        wire->protocol = protocol;
        wire->ip = wire->n;
        wire_append(wire, header, sizeof(header));
        wire_append(wire, options, options_bytes);
        wire->upper = wire->n;
}

void
wire_ip6(struct wire *wire, const uint8_t from[16], const uint8_t to[16], uint8_t protocol,
    uint8_t first, const void *extensions, size_t extensions_bytes)
{
        uint8_t header[40] = {0x60, 0, 0, 0, 0, 0, first, 255};

        memcpy(header + 8, from, 16);
        memcpy(header + 24, to, 16);
        wire->family = 6;
        wire->protocol = protocol;
        wire->ip = wire->n;
        wire_append(wire, header, sizeof(header));
        wire_append(wire, extensions, extensions_bytes);
        wire->upper = wire->n;
}

void
wire_udp(struct wire *wire, uint16_t from, uint16_t to, const void *payload, size_t bytes)
{
        uint8_t header[8] = {0};

        put16(header, from);
        put16(header + 2, to);
        put16(header + 4, 8 + bytes);
        wire_append(wire, header, sizeof(header));
        wire_append(wire, payload, bytes);
}

void
wire_echo(struct wire *wire, uint16_t id, uint16_t sequence, const void *data, size_t bytes)
{
        uint8_t header[8] = {wire->family == 4 ? 8 : 128};

        put16(header + 4, id);
        put16(header + 6, sequence);
        wire_append(wire, header, sizeof(header));
        wire_append(wire, data, bytes);
}

uint16_t
wire_sum(const uint8_t *data, size_t bytes, uint32_t start)
{
        uint32_t sum = start;

        for (size_t i = 0; i < bytes; i++)
                sum += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
        while (sum > 0xffff)
                sum = (sum & 0xffff) + (sum >> 16);
        return (uint16_t)sum;
}

/* The pseudo-header's sum. */
static uint16_t
pseudo_sum(const uint8_t *ip, unsigned family, uint8_t protocol, size_t bytes)
{
        uint32_t sum = (uint32_t)bytes + protocol;

        return family == 4 ? wire_sum(ip + 12, 8, sum) : wire_sum(ip + 8, 32, sum);
}

static size_t
checksum_offset(uint8_t protocol)
{
        return protocol == 17 ? 6 : 2;
}

void
wire_finish(struct wire *wire)
{
        uint8_t *ip = wire->bytes + wire->ip;
        uint8_t *upper = wire->bytes + wire->upper;
        size_t bytes = wire->n - wire->upper;
        size_t at = checksum_offset(wire->protocol);
        uint16_t start = 0;

        if (wire->family == 4) {
                put16(ip + 2, wire->n - wire->ip);
                put16(ip + 10, 0);
                put16(ip + 10, (uint16_t)~wire_sum(ip, wire->upper - wire->ip, 0));
        } else {
                put16(ip + 4, wire->n - wire->ip - 40);
        }
        if (wire->protocol != 1)
                start = pseudo_sum(ip, wire->family, wire->protocol, bytes);
        if (bytes >= 8) {
                uint16_t sum;

                put16(upper + at, 0);
                sum = (uint16_t)~wire_sum(upper, bytes, start);
                put16(upper + at, sum == 0 && wire->protocol == 17 ? 0xffff : sum);
        }
}

size_t
wire_check(const uint8_t *frame, size_t bytes)
{
        size_t at = 12, ip, length, header;
        const uint8_t *upper;
        uint8_t protocol;
        unsigned family;

        cr_assert_geq(bytes, 60, "shorter than Ethernet's minimum");
        while (get16(frame + at) == 0x8100 || get16(frame + at) == 0x88a8)
                at += 4;
        ip = at + 2;
        if (get16(frame + at) == 0x0806)
                return 0;
        family = get16(frame + at) == 0x0800 ? 4 : 6;
        cr_assert(family == 4 || get16(frame + at) == 0x86dd);
        cr_assert_eq(frame[ip] >> 4, family);
        header = family == 4 ? 20u : 40u;
        length = family == 4 ? get16(frame + ip + 2) : 40u + get16(frame + ip + 4);
        cr_assert_leq(ip + length, bytes);
        for (size_t i = ip + length; i < bytes; i++)
                cr_assert_eq(frame[i], 0, "padding shows old bytes");
        if (family == 4) {
                cr_assert_eq(frame[ip], 0x45);
                cr_assert_eq(wire_sum(frame + ip, 20, 0), 0xffff, "IPv4 checksum");
        }
        protocol = family == 4 ? frame[ip + 9] : frame[ip + 6];
        upper = frame + ip + header;
        cr_assert(protocol == 1 || protocol == 17 || protocol == 58);
        if (protocol == 17)
                cr_assert_neq(get16(upper + 6), 0, "UDP without checksum");
        cr_assert_eq(
            wire_sum(upper, length - header,
                protocol == 1 ? 0 : pseudo_sum(frame + ip, family, protocol, length - header)),
            0xffff, "checksum of protocol %u", protocol);
        return ip;
}

void
wire_datagram(struct wire *wire, unsigned family, const uint8_t gateway_mac[6], uint16_t from_port,
    const void *payload, size_t bytes)
{
        wire_ether(wire, gateway_mac, peer_mac, NULL, 0, family == 4 ? 0x0800 : 0x86dd);
        if (family == 4)
                wire_ip4(wire, peer_ip4, gateway_ip4, 17, NULL, 0);
        else
                wire_ip6(wire, peer_ip6, gateway_ip6, 17, 17, NULL, 0);
        wire_udp(wire, from_port, 5683, payload, bytes);
        wire_finish(wire);
}

const uint8_t *
wire_payload(const uint8_t *frame, size_t bytes, size_t *payload_bytes)
{
        size_t ip = wire_check(frame, bytes);
        size_t upper = ip + (frame[ip] >> 4 == 4 ? 20u : 40u);

        cr_assert_neq(ip, 0);
        cr_assert_eq(frame[ip] >> 4 == 4 ? frame[ip + 9] : frame[ip + 6], 17);
        *payload_bytes = (size_t)get16(frame + upper + 4) - 8;
        return frame + upper + 8;
}
