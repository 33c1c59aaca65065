#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# VLAN-tagged requests are served, and answered under the same tag.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

lab
demo
if ! ip link add link aorta1 name aorta1.77 type vlan id 77 2> "$work/vlan.err"; then
        skip "VLAN: $(one_line < "$work/vlan.err")"
        finish
fi
# The tag in the frame, not beside it.
ethtool -K aorta1 txvlan off rxvlan off > /dev/null 2>&1
ip addr del 10.77.0.1/24 dev aorta1
ip -6 addr flush dev aorta1 scope global
ip addr add 10.77.0.1/24 dev aorta1.77
ip -6 addr add fd77::1/64 dev aorta1.77 nodad 2> /dev/null
ip link set aorta1.77 up
check "ICMP echo" ping -n -c 1 -w 20 "$ip4"
[ "$has_ip6" = 0 ] || check "ICMPv6 echo" ping -6 -n -c 1 -w 20 "$ip6"
contains "a record" 'c:2\.01' "$(post "$vital" -v 7)"
same "its leaf" 1 "$(status .leaves)"
enrol 4
sim --records 12 --rate 60
same "OSCORE: all acknowledged" 12 "$(field .acked)"
matched "each has its record"
finish
