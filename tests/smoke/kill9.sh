#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 under load: what was acknowledged is in the ledger, once; the log goes on from its checkpoint.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

enough() { [ "$(wc -l < "$work/acks.log")" -ge "$1" ]; }

# entries LOG SIZE: the entry bundles of a tree of that size, one behind the other
entries() {
        local n
        for ((n = 0; n < $2 / 256; n++)); do cat "$(printf '%s/tile/entries/%03d' "$1" "$n")"; done
        [ $(($2 % 256)) = 0 ] || cat "$(printf '%s/tile/entries/%03d.p/%d' "$1" "$n" $(($2 % 256)))"
}

lab_on=false checkpoint_ms=100
lab
enrol 300
sim --for 10 --rate 1000 --drain 10 --duplicate 0.1 &
load=$!
: >> "$work/acks.log"
waits 40 enough 1000 || not_ok "no load: $(sim_log)"
lab_kill
acked=$(wc -l < "$work/acks.log")
cp -a "$state/log" "$work/log"
size=$(sed -n 2p "$work/log/checkpoint")
if [ "$size" -gt 0 ]; then ok "killed after $acked acknowledgements, at a checkpoint of $size"; else not_ok "no checkpoint"; fi
again
if [ "$(status .leaves)" -ge "$acked" ]; then ok "no leaf is lost"; else not_ok "$(status .leaves) leaves after $acked acknowledgements"; fi
wait "$load"
same "no wrong answer, before or after" 0 "$(field .errors)"
if [ "$(field .acked)" -gt "$acked" ]; then ok "devices go on after it"; else not_ok "nothing after the restart: $(sim_log)"; fi
if [ "$(field .echo)" -gt 0 ]; then ok "and proved their freshness first"; else not_ok "no device was challenged after kill -9"; fi
matched "every acknowledgement has its record, no record is there twice"
verified "the log verifies"
contains "the log grew" '^ok' "$([ "$(status .published)" -ge "$size" ] && echo ok)"
# The log that was signed before is a part of the present one; verify has held the entries against the tree.
entries "$work/log" "$size" > "$work/before"
entries "$state/log" "$(sed -n 2p "$state/log/checkpoint")" > "$work/after"
if [ -s "$work/before" ] && cmp -s -n "$(stat -c %s "$work/before")" "$work/before" "$work/after"; then
        ok "the log before the crash is the beginning of the log after it"
else
        not_ok "the log before the crash is not the beginning of the log after it"
fi

# This test can fail: an acknowledgement that never was is seen.
cp "$work/acks.log" "$work/forged.log"
read -r device piv _ < "$work/acks.log"
echo "$device $((piv + 1000000)) 0" >> "$work/forged.log"
lost=$(ctl log match "$work/forged.log" --json 2> /dev/null | jq .lost)
same "a forged acknowledgement counts as lost" 1 "$lost"
lab_stop
same "a clean stop" 0 "$daemon_status"
finish
