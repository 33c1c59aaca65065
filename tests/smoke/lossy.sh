#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Loss, duplication and reordering, by the simulator and, where the kernel has it, by netem: every record exactly once.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

# lossy WHAT OPTIONS…
lossy() {
        local what=$1 before
        shift
        before=$(status .leaves)
        acks=$work/$what.acks sim --records 600 --rate 300 --drain 8 "$@"
        # What is still without an answer at the end was lost often; the rest must be there.
        if [ "$(field .acked)" -ge 480 ]; then ok "$what: most are acknowledged ($(field .acked) of 600)"; else not_ok "$what: $(sim_log 3)"; fi
        same "$what: no wrong answer" 0 "$(field .errors)"
        if [ "$(field .retransmitted)" -gt 0 ]; then ok "$what: some were sent again"; else not_ok "$what: nothing was lost"; fi
        matched "$what: every acknowledgement has one record" "$work/$what.acks"
        if [ $(($(status .leaves) - before)) -le "$(field .sent)" ]; then
                ok "$what: no more records than were sent"
        else
                not_ok "$what: $(($(status .leaves) - before)) records of $(field .sent)"
        fi
}

lab_on=false
lab
enrol 200
lossy simulator --loss 0.1 --duplicate 0.2 --reorder 0.2
if [ "$(status .counters.retransmissions)" -gt 0 ]; then
        ok "the gateway answered retransmissions from memory"
else
        not_ok "no retransmission was recognised"
fi
if tc qdisc add dev aorta1 root netem loss 10% duplicate 20% delay 2ms 2ms 2> "$work/tc.err"; then
        lossy netem --loss 0.0001
        tc qdisc del dev aorta1 root
else
        skip "netem: $(one_line < "$work/tc.err")"
fi
verified "the log verifies"
lab_stop
same "a clean stop" 0 "$daemon_status"
finish
