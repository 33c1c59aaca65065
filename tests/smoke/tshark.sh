#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Wireshark's OSCORE, written by others, opens a captured exchange with the device's credentials.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

lab_on=false
lab
enrol 1 --alg 10
capture
sim --records 3 --rate 20 --endpoints 1 --format json
same "three records acknowledged" 3 "$(field .acked)"
capture_end

read -r _ _ kid server_id secret salt id_context < <(grep -v '^#' "$work/sim.devices")
[ "$salt" != - ] || salt=
# Sender ID, recipient ID, secret, salt, ID context, algorithm.
context="\"$kid\",\"$server_id\",\"$secret\",\"$salt\",\"${id_context-}\",\"AES-CCM-16-64-128 (CCM*)\""
decode() { tshark -r "$work/capture.pcap" -o "uat:oscore_contexts:$context" "$@" 2> "$work/tshark.err"; }

requests=$(decode -Y 'coap.code == 2 && oscore' -V)
replies=$(decode -Y 'coap.code == 68 && oscore' -V)
same "requests outside: POST" 3 "$(grep -c '^Constrained Application Protocol' <<< "$requests")"
same "replies outside: 2.04" 3 "$(grep -c '^Constrained Application Protocol' <<< "$replies")"
codes() { decode -Y "coap.code == $1" -T fields -e oscore.code | tr '\n' ' '; }
same "requests open, inner code POST" "2 2 2 " "$(codes 2)"
same "replies open, inner code 2.01" "65 65 65 " "$(codes 68)"
same "a reply's inner options name the leaf" "r 0" "$(decode -Y 'coap.code == 68 && oscore' -T fields -e oscore.opt.location_path | head -n 1 | tr ',' ' ')"
contains "the inner path" 'Uri-Path: vitals' "$requests"
contains "the inner content format is SenML+JSON" 'Content-type: .*(senml\+json|110)' "$requests"
contains "the SenML pack is there in clear" '8867-4|8480-6|2708-6|9279-1|8310-5|8462-4' "$requests"
lacks "no tag fails" 'tag check failed|Decryption Failed|decrypt.*fail' "$requests$replies"

# Without the credentials, nothing of it.
lacks "not without the credentials" '8867-4|8480-6|2708-6|9279-1|8310-5|8462-4|Created' "$(tshark -r "$work/capture.pcap" -V 2> /dev/null)"
lab_stop
finish
