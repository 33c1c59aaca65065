#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the README promises: up, up again, --keep with a plain client, down.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

export AORTA_BUILD=$build
lab_state=$work/lab
state=$lab_state
aorta() { timeout -k 30 200 ./aorta "$@"; }
# A gateway of this state still runs.
daemon_left() {
        local process
        for process in /proc/[0-9]*; do
                grep -qsx aortad "$process/comm" && tr '\0' ' ' 2> /dev/null < "$process/cmdline" | grep -q "$lab_state" && return 0
        done
        return 1
}

for options in "up --frob" "up --devices" "up --devices 0" "up --rate many" "up --for -1" "up --link rope" "up --huge maybe" "down --frob" "frob" "test --frob"; do
        # shellcheck disable=SC2086
        aorta $options > /dev/null 2>&1
        same "./aorta $options: usage" 2 $?
done
contains "./aorta help" '^usage: ./aorta' "$(aorta help)"

for round in first second; do
        aorta up --state "$lab_state" --devices 200 --rate 400 --for 3 --json > "$work/up.out" 2> "$work/up.err"
        status=$?
        same "$round up: exit status ($(one_line 2 < "$work/up.err"))" 0 $status
        summary=$(tail -n 1 "$work/up.out")
        same "$round up: the summary's keys" ack_p50_us,ack_p99_us,acked,leaves,log_verified,lost,records_per_s,sent "$(jq -r 'keys | join(",")' <<< "$summary")"
        same "$round up: nothing lost, all verified" true "$(jq '.lost == 0 and .log_verified and .acked == .sent and .acked > 300 and .leaves >= .acked and .ack_p99_us >= .ack_p50_us and .ack_p50_us > 0' <<< "$summary")"
        contains "$round up: says which link it took" 'link: ' "$(cat "$work/up.err")"
        contains "$round up: the live line" 'records/s +acknowledged [0-9]+ +p50 [0-9]+ us +p99 [0-9]+ us +leaves [0-9]+ +drops [0-9]+' "$(cat "$work/up.err")"
        if has_link aorta1 || daemon_left; then not_ok "$round up: leaves something behind"; else ok "$round up: leaves nothing behind"; fi
done

rm -rf "$lab_state"
aorta up --state "$lab_state" --keep > "$work/up.out" 2> "$work/up.err"
status=$?
same "up --keep: exit status ($(one_line 2 < "$work/up.err"))" 0 $status
out=$(timeout -k 1 60 coap-client-notls -m post -t 110 -e '[{"bn":"urn:dev:ow:10e2073a01080063:","n":"8867-4","u":"beat/min","v":72}]' 'coap://10.77.0.2/vitals?d=demo' 2>&1)
status=$?
same "the README's coap-client line succeeds ($out)" 0 $status
same "record get 0" 72 "$(AORTA_STATE=$lab_state "$build/aortactl" record get 0 --json | jq '.senml[0].v')"
contains "log verify" 'verified 1 lea' "$(AORTA_STATE=$lab_state "$build/aortactl" log verify 2>&1)"
aorta up --state "$lab_state" --keep > "$work/up.out" 2> "$work/up.err"
same "up --keep again: exit status" 0 $?
same "the record is still there" 72 "$(AORTA_STATE=$lab_state "$build/aortactl" record get 0 --json | jq '.senml[0].v')"
mkdir "$work/another"
refuses "up on another state beside it" 'another lab runs' aorta up --state "$work/another" --keep
aorta down --state "$lab_state" > "$work/down.out" 2> "$work/down.err"
same "down: exit status" 0 $?
contains "down: a clean stop" 'stopped, clean' "$(cat "$work/down.err")"
if has_link aorta1 || daemon_left; then not_ok "down: leaves something behind"; else ok "down: leaves nothing behind"; fi
aorta down --state "$lab_state" > /dev/null 2>&1
same "down again: exit status" 0 $?

# Ctrl-C: a terminal sends SIGINT to the whole group. (A script's background process would ignore it.)
setsid env --default-signal=INT ./aorta up --state "$lab_state" --devices 50 --rate 100 --json > "$work/up.out" 2> "$work/up.err" &
up=$!
waits 90 grep -q 'acknowledged [1-9]' "$work/up.err" || not_ok "up without --for shows nothing: $(one_line < "$work/up.err")"
kill -INT -- "-$up"
wait "$up"
status=$?
same "Ctrl-C: exit status ($(one_line 2 < "$work/up.err"))" 0 $status
same "Ctrl-C: the summary" true "$(tail -n 1 "$work/up.out" | jq '.lost == 0 and .log_verified and .acked == .sent and .acked > 0')"
finish
