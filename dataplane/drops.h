/* SPDX-License-Identifier: Apache-2.0 */
/* Every reason for which the data plane lets a packet go without serving it, in one list: the
 * counter, the metric and its documentation all come from here. Some reasons are answered (an error
 * reply goes out); they count all the same. */
#ifndef AORTA_DATAPLANE_DROPS_H
#define AORTA_DATAPLANE_DROPS_H

/* X(NAME, metric, documentation): enum drop_reason gets DROP_NAME. */
#define DROP_REASONS(X)                                                                            \
        /* Wire: dataplane/net. */                                                                 \
        X(FRAME_SHORT, "frame_short", "The frame ends before its Ethernet, VLAN or IP header.")    \
        X(FRAME_LONG, "frame_long", "The frame is longer than any the gateway serves.")            \
        X(FRAME_SEGMENTED, "frame_segmented", "The frame is not in one contiguous buffer.")        \
        X(SOURCE_MAC, "source_mac", "The source MAC address is a group address or zero.")          \
        X(NOT_OUR_MAC, "not_our_mac", "The destination MAC address is another station's.")         \
        X(VLAN_TAGS, "vlan_tags", "More VLAN tags than the gateway accepts.")                      \
        X(ETHERTYPE, "ethertype", "An EtherType other than IPv4, IPv6 and ARP.")                   \
        X(IP_VERSION, "ip_version", "The IP version does not match the EtherType.")                \
        X(IP_HEADER_LENGTH, "ip_header_length", "The IPv4 header length is impossible.")           \
        X(IP_LENGTH, "ip_length", "The IP length is impossible, or more than the frame holds.")    \
        X(IP_CHECKSUM, "ip_checksum", "The IPv4 header checksum is wrong.")                        \
        X(FRAGMENT, "fragment", "A fragment, or a packet with an IPv6 fragment header.")           \
        X(IPV6_EXTENSION_LIMIT, "ipv6_extension_limit", "Too many or too long extension headers.") \
        X(IPV6_EXTENSION_BAD, "ipv6_extension_bad",                                                \
            "An extension header is cut off, out of place, or demands to be discarded.")           \
        X(SOURCE_INVALID, "source_invalid",                                                        \
            "The source address or port is zero, group, loopback or the destination's own.")       \
        X(MULTICAST, "multicast", "A multicast or broadcast destination: those are not served.")   \
        X(NOT_OUR_ADDRESS, "not_our_address", "The destination IP address is not the gateway's.")  \
        X(PROTOCOL, "protocol", "An IP protocol other than UDP and ICMP.")                         \
        X(UDP_LENGTH, "udp_length", "The UDP length is impossible, or more than IP carries.")      \
        X(UDP_PORT, "udp_port", "No service listens on the UDP destination port.")                 \
        X(UDP_NO_CHECKSUM, "udp_no_checksum", "UDP without a checksum on IPv6.")                   \
        X(UDP_CHECKSUM, "udp_checksum", "The UDP checksum is wrong.")                              \
        X(ARP_BAD, "arp_bad", "An ARP packet that is cut off or not Ethernet and IPv4.")           \
        X(ARP_NOT_REQUEST, "arp_not_request", "An ARP packet other than a request.")               \
        X(ARP_OTHER_TARGET, "arp_other_target", "An ARP request for another's address.")           \
        X(ICMP_SHORT, "icmp_short", "An ICMP or ICMPv6 message that is cut off.")                  \
        X(ICMP_TYPE, "icmp_type", "An ICMP or ICMPv6 type the gateway does not answer.")           \
        X(ICMP_CHECKSUM, "icmp_checksum", "The ICMP or ICMPv6 checksum is wrong.")                 \
        X(ND_BAD, "nd_bad", "A neighbour solicitation that RFC 4861 section 7.1.1 rejects.")       \
        X(ND_OTHER_TARGET, "nd_other_target", "A neighbour solicitation for another's address.")   \
        /* CoAP's message layer. */                                                                \
        X(COAP_FORMAT, "coap_format", "A CoAP message format error.")                              \
        X(COAP_VERSION, "coap_version", "A CoAP version other than 1; ignored, RFC 7252 s. 3.")    \
        X(COAP_NOT_REQUEST, "coap_not_request", "An ACK, a RST or a response sent to the server.") \
        X(COAP_PING, "coap_ping", "An Empty CON, answered with a RST.")                            \
        X(COAP_DUPLICATE_NON, "coap_duplicate_non", "A duplicate of a NON request.")               \
        X(COAP_RETRANSMISSION_PENDING, "coap_retransmission_pending",                              \
            "A retransmission of a request whose flush is still pending; silence.")                \
        X(COAP_REFUSED, "coap_refused", "A plain CoAP request answered with an error code.")       \
        /* OSCORE. */                                                                              \
        X(OSCORE_OPTION, "oscore_option", "A malformed OSCORE option, answered 4.02.")             \
        X(OSCORE_UNKNOWN_CONTEXT, "oscore_unknown_context", "No such context, answered 4.01.")     \
        X(OSCORE_REPLAY, "oscore_replay", "A partial IV seen before or too old, answered 4.01.")   \
        X(OSCORE_DECRYPT, "oscore_decrypt", "The AEAD tag does not verify, answered 4.00.")        \
        X(OSCORE_INNER, "oscore_inner", "The decrypted request is malformed or refused.")          \
        X(OSCORE_ECHO, "oscore_echo", "The replay window is unknown: answered 4.01 with Echo.")    \
        X(OSCORE_SENDER_EXHAUSTED, "oscore_sender_exhausted",                                      \
            "A reply withheld: the context has used up its server partial IVs of this start.")     \
        X(LAB_NOT_ENROLLED, "lab_not_enrolled", "A plain record names no enrolled lab device.")    \
        X(SENML_BAD, "senml_bad", "A malformed SenML pack, answered 4.00.")                        \
        X(RATE_LIMITED_ERROR, "rate_limited_error", "An error reply withheld by its rate limit.")  \
        X(AMPLIFICATION, "amplification", "A reply withheld: too large for an unverified peer.")   \
        /* Limits of queues and tables. */                                                         \
        X(RING_FULL, "ring_full", "No room in the ring to the ledger writer, answered 5.03.")      \
        X(SEAL_FULL, "seal_full", "No room in the seal buffer, answered 5.03.")                    \
        X(PENDING_FULL, "pending_full", "No pending slot for a receipt, answered 5.03.")           \
        X(STRAY_RING_FULL, "stray_ring_full", "The ring to the context's owner is full.")          \
        X(REPLY_NO_MBUF, "reply_no_mbuf", "No packet buffer for a reply.")                         \
        X(TX_FULL, "tx_full", "The port's transmit queue is full.")                                \
        /* The last lines: what never left. */                                                     \
        X(FLUSH_FAILED, "flush_failed", "A record whose flush failed: silence, promise 7.")        \
        X(DRAINING, "draining", "A new request while the gateway drains, answered 5.03.")

enum drop_reason {
        DROP_NONE,
#define DROP_ENUM(name, metric, text) DROP_##name,
        DROP_REASONS(DROP_ENUM)
#undef DROP_ENUM
            DROP_REASON_COUNT,
};

/* A reason's metric name and its one sentence; "none" for DROP_NONE, "unknown" outside the list.
 * Static strings; any thread. */
const char *drop_metric(enum drop_reason reason);
const char *drop_text(enum drop_reason reason);

#endif
