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
refusing() { [ "$(status .state)" = refusing ]; }
accepting() { [ "$(status .state)" = ok ]; }

lab_on=false volume=$disk/volume segment_mib=4 reserve_mib=48
lab
enrol 100
sim --records 50 --rate 100
same "with space: all acknowledged" 50 "$(field .acked)"
cat "$work/acks.log" > "$work/all.acks"
free=$(($(stat -f -c '%a * %S' "$disk") / 1048576))
fallocate -l $((free - 48 - 12))M "$disk/filler"

acks=$work/load.acks sim --for 14 --rate 1500 --drain 30 &
load=$!
if waits 60 refusing; then
        ok "it refuses before the disk is full"
        contains "and says why" 'free space' "$(status .why)"
        free=$(($(stat -f -c '%a * %S' "$disk") / 1048576))
        if [ "$free" -ge 24 ]; then ok "most of the reserve is left"; else not_ok "only $free MiB are left of 48"; fi
else
        not_ok "it does not refuse: $(status -c .ledger)"
fi
check "it still answers" ctl status
rm "$disk/filler"
if waits 60 accepting; then ok "with space again it accepts, without a restart"; else not_ok "it does not accept again: $(status .why)"; fi
wait "$load"
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
