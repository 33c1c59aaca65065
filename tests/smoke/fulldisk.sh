#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A full disk: new requests get 5.03 before it is full, nothing acknowledged is lost, and once there is space again
# the gateway goes on without a restart.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

disk=$work/disk
truncate -s 192M "$work/image"
mkdir "$disk"
if ! { mkfs.ext4 -q -m 0 "$work/image" && mount -o loop "$work/image" "$disk"; } > "$work/mount.err" 2>&1; then
        skip "a full disk: no loop mount here: $(one_line < "$work/mount.err")"
        finish
fi
free_mib() { echo $(($(stat -f -c '%a * %S' "$disk") / 1048576)); }
refusing() { [ "$(status .state)" = refusing ]; }
accepting() { [ "$(status .state)" = ok ]; }

lab_on=false volume=$disk/volume segment_mib=4 reserve_mib=48
lab
enrol 100
sim --records 50 --rate 100
same "with space: all acknowledged" 50 "$(field .acked)"
cat "$work/acks.log" > "$work/all.acks"
acks=$work/load.acks sim --for 12 --rate 500 --drain 40 &
load=$!
waits 40 test -s "$work/load.acks" || not_ok "no load: $(sim_log)"
# Somebody else's file takes the space below the reserve, then all of it.
fallocate -l $(($(free_mib) - 44))M "$disk/filler"
if waits 60 refusing; then ok "it refuses before the disk is full"; else not_ok "it does not refuse: $(status -c '[.state, .ledger]')"; fi
contains "and says why" 'free space' "$(status .why)"
fallocate -l $(($(free_mib) - 1))M "$disk/filler2"
# What was on its way is through after a moment.
sleep 2
leaves=$(status .leaves)
sleep 2
same "nothing is taken meanwhile" "$leaves" "$(status .leaves)"
rm "$disk/filler" "$disk/filler2"
if waits 60 accepting; then ok "with space again it accepts, without a restart"; else not_ok "it does not accept again: $(status .why)"; fi
wait "$load"
if [ "$(status .leaves)" -gt "$leaves" ]; then ok "and records are taken"; else not_ok "no record is taken: $(sim_log)"; fi
if [ "$(field .busy)" -gt 0 ]; then ok "devices were told 5.03"; else not_ok "no 5.03: $(sim_log)"; fi
same "no wrong answer" 0 "$(field .errors)"
if [ "$(field .acked)" -gt 0 ]; then ok "$(field .acked) acknowledged meanwhile"; else not_ok "nothing acknowledged: $(sim_log)"; fi
cat "$work/load.acks" >> "$work/all.acks"
acks=$work/after.acks sim --records 100 --rate 100
same "after it: all acknowledged" 100 "$(field .acked)"
cat "$work/after.acks" >> "$work/all.acks"
matched "every acknowledgement has its record" "$work/all.acks"
verified "the log verifies"
lab_stop
same "a clean stop" 0 "$daemon_status"
again
matched "after a restart too" "$work/all.acks"
finish
