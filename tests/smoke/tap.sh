#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The gateway over net_tap, the link for kernels without AF_XDP.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

if [ ! -c /dev/net/tun ]; then
        skip "net_tap: /dev/net/tun is missing"
        finish
fi
device=net_tap0,iface=aorta1
lab
demo
check "ICMP echo" ping -n -c 1 -w 20 "$ip4"
[ "$has_ip6" = 0 ] || check "ICMPv6 echo" ping -6 -n -c 1 -w 20 "$ip6"
contains "a plain record" 'c:2\.01' "$(post "$vital" -v 7)"
enrol 50
sim --records 500 --rate 250 --drain 10
same "OSCORE: all acknowledged" 500 "$(field .acked)"
same "no wrong answer" 0 "$(field .errors)"
matched "each has its record"
verified "the log verifies"
lab_stop
same "a clean stop" 0 "$daemon_status"
again
sim --records 50 --rate 100 --drain 10
same "after a restart: all acknowledged" 50 "$(field .acked)"
same "and no challenge" 0 "$(field .echo)"
finish
