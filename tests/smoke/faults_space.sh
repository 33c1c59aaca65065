#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Six volumes, four of them enough: a full and a read-only one, under load.
# Nothing acknowledged is lost, status says what is wrong, and aortactl heals it while traffic flows.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

disks=$work/disks
vault() { ctl vault status --json | jq -r ".vault | $1"; }
lost() { vault '[.volumes[] | select(.state != "member") | .slot] | join(",")'; }
whys() { vault '[.volumes[] | select(.state != "member") | "\(.slot) \(.state): \(.why)"] | join(", ")'; }
is_lost() { [ "$(lost)" = "$1" ]; }
acked() { [ ! -f "$work/$1" ] || wc -l < "$work/$1"; }
more_acks() { [ "$(acked "$1")" -gt "$2" ]; } # FILE THAN
# load NAME SECONDS [RATE]: devices of their own in the background, acknowledgements to NAME.acks
load() {
        prefix=$1- enrol 50
        mv "$work/sim.devices" "$work/$1.devices"
        sim_devices=$work/$1.devices acks=$work/$1.acks sim --for "$2" --rate "${3:-60}" --drain 20 &
        load=$!
        waits 40 more_acks "$1.acks" 60 || not_ok "no load: $(sim_log)"
}
# all_there NAME: the load ended well and every acknowledgement has its record
all_there() {
        matched "$1: every acknowledgement has its record, none is there twice" "$work/$1.acks"
}
vault_has_spares() { [ "$(vault '.volumes[5].segments')" -ge 3 ]; }
goes_on() { # WHAT FILE
        local before
        before=$(acked "$2")
        if waits 30 more_acks "$2" $((before + 60)); then ok "$1"; else not_ok "$1: $(acked "$2") acknowledgements after $before, $(status '[.state, .why] | tojson')"; fi
}

truncate -s 64M "$work/image"
mkdir "$work/small"
if ! { mkfs.ext4 -q -m 0 "$work/image" && mount -o loop "$work/image" "$work/small"; } > "$work/mount.err" 2>&1; then
        skip "a full and a read-only volume: no loop mount here: $(one_line < "$work/mount.err")"
        finish
fi
mkdir "$disks"
volumes=$(for i in 0 1 2 3 4; do echo "$disks/$i"; done | paste -sd ,),$work/small/5
lab_on=true segment_mib=4 reserve_mib=8 checkpoint_ms=200
lab
demo
waits 30 vault_has_spares || not_ok "no segments: $(vault '.volumes[5] | tojson')"
dd if=/dev/zero of="$work/small/filler" bs=64k > /dev/null 2>&1
load full 150 1000
if waits 120 is_lost 5; then ok "a full volume is left out"; else not_ok "a full volume is not left out: $(vault '.volumes[5] | tojson')"; fi
goes_on "traffic goes on without it" full.acks
rm "$work/small/filler"
pkill -INT -P "$load"
check "with room again it is rebuilt" ctl vault rebuild 5
wait "$load"
same "no wrong answer" 0 "$(field .errors)"
all_there full
lab_stop

if mount -o remount,ro "$work/small" 2> "$work/mount.err"; then
        again
        same "a read-only volume is no member" '5 5' "$(vault .members) $(lost)"
        contains "with why" 'volume 5' "$(status .why)"
        contains "traffic goes on" '2\.0' "$(post "$(vital_of 74)" -v 6)"
        lab_stop
        mount -o remount,rw "$work/small"
        again
        check "writable again it is rebuilt" ctl vault rebuild 5
else
        skip "a read-only volume: $(one_line < "$work/mount.err")"
        again
fi
same "six of six at the end" 6 "$(vault .members)"
verified "the log verifies at the end"
all_there full
lab_stop
same "a clean stop at the end" 0 "$daemon_status"
finish
