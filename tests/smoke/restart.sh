#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A clean stop loses nothing and costs no device an Echo; an unclean one costs one Echo a device. A datagram that was
# answered is answered by the same bytes after each.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

# run WHAT N ECHOES: N records of the devices, which are challenged that often
run() {
        acks=$work/$1.acks sim --records "$2" --rate 100 --endpoints 4
        same "$1: all acknowledged" "$2" "$(field .acked)"
        same "$1: no errors" 0 "$(field .errors)"
        same "$1: challenges" "$3" "$(field .echo)"
        cat "$work/$1.acks" >> "$work/all.acks"
}
# The last request of the capture, and the answer to its message ID and token, in $request and $reply.
exchange() {
        request=$(tshark -r "$work/capture.pcap" -Y 'coap.code == 2' -T fields -e udp.payload 2> /dev/null | tail -n 1 | tr -d :)
        reply=$(tshark -r "$work/capture.pcap" -Y 'coap.code == 68' -T fields -e udp.payload 2> /dev/null | tr -d : | grep "^....${request:4:4}${request:8:16}" | head -n 1)
        if [ -n "$request" ] && [ -n "$reply" ]; then ok "captured an exchange"; else not_ok "no exchange in the capture"; finish; fi
}
# resend WHAT: the captured request again; the same answer
resend() {
        local leaves got
        leaves=$(status .leaves)
        got=$(raw "$request")
        same "$1: a request that was recorded gets the same bytes" "$reply" "$got"
        same "$1: and makes no other record" "$leaves" "$(status .leaves)"
}

lab_on=false
lab
enrol 8
capture
run "first start" 16 0
capture_end
exchange
resend "while it runs"
# The request under another message ID and token: the receipt again, by the arriving copy's.
token=${request:8:16}
other=${request:0:4}abcd${token//?/e}${request:24}
same "another message ID and token: the same receipt under them" "${reply:0:4}abcdeeeeeeeeeeeeeeee${reply:24}" "$(raw "$other")"

lab_stop
same "SIGTERM: exit status" 0 "$daemon_status"
contains "SIGTERM: the last line" 'stopped, clean' "$(aortad_log 1)"
checkpoint=$(sed -n 2p "$state/log/checkpoint")
same "SIGTERM: all is published" 16 "$checkpoint"
again
contains "the stop was clean" 'last stop clean' "$(cat "$work/aortad.log")"
resend "after a clean stop"
run "second start" 16 0
matched "all acknowledgements have their record" "$work/all.acks"

lab_kill
again
contains "the stop was unclean" 'last stop unclean' "$(cat "$work/aortad.log")"
same "kill -9: the records are there" 32 "$(status .leaves)"
# Not among a context's last receipts any more, since the window's last four are later ones: never a second record.
before=$(status .leaves)
raw "$request" > /dev/null
same "kill -9: the old request makes no other record" "$before" "$(status .leaves)"
run "third start" 16 8
run "third start, once more" 16 0
matched "all acknowledgements have their record" "$work/all.acks"

# The same datagram across an unclean stop.
capture
run "before the second kill" 8 0
capture_end
exchange
lab_kill
again
resend "after kill -9"
run "fourth start" 16 8
matched "all acknowledgements have their record" "$work/all.acks"
verified "the log verifies"

# Under load: what is acknowledged while it drains is there.
acks=$work/load.acks sim --for 6 --rate 500 &
load=$!
waits 30 test -s "$work/load.acks"
lab_stop
same "SIGTERM under load: exit status" 0 "$daemon_status"
again
wait "$load"
matched "SIGTERM under load: every acknowledgement has its record" "$work/load.acks"
verified "and the log verifies"
finish
