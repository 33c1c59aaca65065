#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Plain CoAP in the lab, by Debian's coap-client and by raw messages.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

client() { timeout -k 1 40 coap-client-notls -v 7 -B 30 "$@" 2>&1; }
# answered WHAT CODE OUTPUT: the last message received had that code
answered() { same "$1" "$2" "$(grep -oE 't:(ACK|CON|NON|RST) c:[2-5]\.[0-9]+' <<< "$3" | tail -n 1 | sed 's/.*c://')"; }
hex_of() { printf %s "$1" | xxd -p -c 4096; }
# A POST to /vitals?d=demo: TYPE AND TOKEN LENGTH, MESSAGE ID, TOKEN, PAYLOAD
post_hex() { printf %s "${1}02$2${3}b6766974616c73116e36643d64656d6fff" "$(hex_of "$4")"; }

lab
contains "lab: true is warned of" 'WARNING.*lab: true' "$(cat "$work/aortad.log")"
check "ICMP echo" ping -n -c 1 -w 20 "$ip4"
[ "$has_ip6" = 0 ] || check "ICMPv6 echo" ping -6 -n -c 1 -w 20 "$ip6"

same "a CoAP ping gets RST" 70001234 "$(raw 40001234)"
same "a CON with a token of 9 gets RST" 70001235 "$(raw 4901123500112233445566778899)"
same "a NON with a token of 9 gets silence" '' "$(raw 590112360011223344556677889 1)"

out=$(client -m post -t 110 -e "$vital" "coap://$ip4/vitals?d=demo")
answered "a device that is not enrolled" 4.01 "$out"
demo
ctl device add --name locked --patient locked > /dev/null
out=$(client -m post -t 110 -e "$vital" "coap://$ip4/vitals?d=locked")
answered "a device enrolled without --lab" 4.01 "$out"
out=$(client -m post -t 110 -e "$vital" "coap://$ip4/vitals")
answered "no device named" 4.01 "$out"

out=$(client -m post -t 110 -e "$vital" "coap://$ip4/vitals?d=demo")
answered "CON" 2.01 "$out"
contains "with its leaf" 'Location-Path:r, Location-Path:0' "$out"
out=$(client -N -m post -t 110 -e "$(vital_of 73)" "coap://$ip4/vitals?d=demo")
answered "NON" 2.01 "$out"
contains "answered by a NON" 't:NON c:2\.01' "$out"
contains "with its leaf" 'Location-Path:r, Location-Path:1' "$out"
record=$(ctl record get 0 --json)
same "record 0 is what was posted" '["urn:dev:ow:10e2073a01080063:8867-4","beat/min",72]' "$(jq -c '.senml[0] | [.n, .u, .v]' <<< "$record")"
same "its device, patient and kind" '["demo","demo","lab"]' "$(jq -c '[.device, .patient, .kind]' <<< "$record")"
same "record 1 is what was posted by NON" 73 "$(ctl record get 1 --json | jq -c '.senml[0].v')"
refuses "record 2 does not exist" 'no leaf 2' ctl record get 2

out=$(client -m get "coap://$ip4/r/0")
answered "GET /r/0" 2.05 "$out"
contains "says that it is durable" '"durable":true' "$out"
lacks "and nothing of the patient" 'demo|72|8867' "$(grep -o '"durable".*' <<< "$out")"
contains "GET of a leaf that is not there" '"durable":false' "$(client -m get "coap://$ip4/r/7")"
answered "GET of what is no leaf" 4.04 "$(client -m get "coap://$ip4/r/x")"
out=$(client -m get "coap://$ip4/.well-known/core")
answered "GET /.well-known/core" 2.05 "$out"
contains "lists the vitals" '</vitals>;ct="110 112"' "$out"
answered "an unknown path" 4.04 "$(client -m get "coap://$ip4/nothing")"
answered "GET /vitals" 4.05 "$(client -m get "coap://$ip4/vitals?d=demo")"
answered "another content format" 4.15 "$(client -m post -t 0 -e "$vital" "coap://$ip4/vitals?d=demo")"
out=$(client -m post -t 110 -e '[{"n":"a","v":1,"vs":"b"}]' "coap://$ip4/vitals?d=demo")
answered "SenML with two values" 4.00 "$out"
contains "says why" 'value' "$(grep -v '"vs"' <<< "$out")"
# An unknown critical option: 4.02.
answered "an unknown critical option" 4.02 "$(client -m post -t 110 -O 65001,x -e "$vital" "coap://$ip4/vitals?d=demo")"
head -c 3000 /dev/zero | tr '\0' ' ' > "$work/large"
out=$(client -m post -t 110 -f "$work/large" "coap://$ip4/vitals?d=demo")
contains "a large payload is sent in blocks" 'Block1:0/M' "$out"
answered "and refused" 4.13 "$out"
contains "with the limit" 'Size1:[1-9][0-9]+' "$out"
same "none of these made a record" 2 "$(status .leaves)"

# A CON that is sent again: the same answer, no second record. Then the same as NON: silence.
message=$(post_hex 41 7001 5a "$(vital_of 74)")
exec 3<> "/dev/udp/$ip4/5683"
for i in 1 2; do
        xxd -r -p <<< "$message" >&3
        answer[i]=$(timeout 20 dd bs=4096 count=1 <&3 2> /dev/null | xxd -p -c 4096)
done
contains "a raw CON is acknowledged with leaf 2" '^614170015a8172(01|0)32$' "${answer[1]}"
same "the same CON again gets the same bytes" "${answer[1]}" "${answer[2]}"
message=$(post_hex 51 7002 5b "$(vital_of 75)")
for i in 3 4; do
        xxd -r -p <<< "$message" >&3
        answer[i]=$(timeout "$((i == 3 ? 20 : 1))" dd bs=4096 count=1 <&3 2> /dev/null | xxd -p -c 4096)
done
exec 3>&-
contains "a raw NON is acknowledged" '^5141' "${answer[3]}"
same "the same NON again gets silence" '' "${answer[4]}"
same "two records more" 4 "$(status .leaves)"

if [ "$has_ip6" = 0 ]; then
        skip "IPv6: this kernel has none"
else
        out=$(client -m post -t 110 -e "$(vital_of 76)" "coap://[$ip6]/vitals?d=demo")
        answered "CON over IPv6" 2.01 "$out"
        same "its record" 76 "$(ctl record get 4 --json | jq -c '.senml[0].v')"
        same "a CoAP ping over IPv6" 70001237 "$(gateway=$ip6 raw 40001237)"
fi
verified "the log verifies"
lab_stop
same "a clean stop" 0 "$daemon_status"

# Without lab: true there is no plain listener, for a lab device neither.
lab_on=false
write_config
again
out=$(client -m post -t 110 -e "$vital" "coap://$ip4/vitals?d=demo")
answered "without lab: true a plain record is refused" 4.01 "$out"
lacks "and no warning given" 'lab: true' "$(cat "$work/aortad.log")"
finish
