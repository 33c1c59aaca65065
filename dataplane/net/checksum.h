/* SPDX-License-Identifier: Apache-2.0 */
/* The Internet checksum (RFC 1071), accumulated in 64 bits in the machine's own byte order: a ones'
 * complement sum of swapped words is the swapped sum, so nothing is ever swapped. */
#ifndef AORTA_DATAPLANE_NET_CHECKSUM_H
#define AORTA_DATAPLANE_NET_CHECKSUM_H

#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Adds bytes of data to a sum (start with 0). Only the last piece of a sum may have an odd length.
 * Sound for any sum of fewer than 2^31 bytes in all. */
static inline uint64_t
checksum_add(uint64_t sum, const void *data, size_t bytes)
{
        const uint8_t *p = data;
        uint64_t other = 0;
        uint64_t a, b;
        uint32_t word;
        uint16_t half;

        for (; bytes >= 16; p += 16, bytes -= 16) {
                memcpy(&a, p, 8);
                memcpy(&b, p + 8, 8);
                sum += (a & UINT32_MAX) + (a >> 32);
                other += (b & UINT32_MAX) + (b >> 32);
        }
        sum += other;
        for (; bytes >= 4; p += 4, bytes -= 4) {
                memcpy(&word, p, 4);
                sum += word;
        }
        if (bytes >= 2) {
                memcpy(&half, p, 2);
                sum += half;
                p += 2;
                bytes -= 2;
        }
        if (bytes != 0) {
                half = 0;
                memcpy(&half, p, 1); /* the odd byte is the first of a padded pair */
                sum += half;
        }
        return sum;
}

/* The sum folded to 16 bits, in the machine's order; 0xffff over data that holds a right checksum.
 */
static inline uint16_t
checksum_fold(uint64_t sum)
{
        sum = (sum & UINT32_MAX) + (sum >> 32);
        sum = (sum & UINT32_MAX) + (sum >> 32);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* The checksum to store (with memcpy, unswapped) where zero was summed. */
static inline uint16_t
checksum_finish(uint64_t sum)
{
        return (uint16_t)~checksum_fold(sum);
}

/* The same for UDP, where zero means "no checksum" and is sent as 0xffff (RFC 768). */
static inline uint16_t
checksum_finish_udp(uint64_t sum)
{
        uint16_t value = checksum_finish(sum);

        return value == 0 ? UINT16_MAX : value;
}

/* RFC 768's pseudo-header over 4-byte addresses. */
static inline uint64_t
checksum_pseudo4(
    const uint8_t source[4], const uint8_t destination[4], uint8_t protocol, uint16_t bytes)
{
        uint64_t sum = checksum_add(0, source, 4);

        sum = checksum_add(sum, destination, 4);
        return sum + htons(protocol) + htons(bytes);
}

/* RFC 8200 §8.1's pseudo-header; bytes is the upper layer's length, extension headers excluded. */
static inline uint64_t
checksum_pseudo6(
    const uint8_t source[16], const uint8_t destination[16], uint8_t protocol, uint16_t bytes)
{
        uint64_t sum = checksum_add(0, source, 16);

        sum = checksum_add(sum, destination, 16);
        return sum + htons(protocol) + htons(bytes);
}

#endif
