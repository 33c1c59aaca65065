#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Six volumes, four of them enough: pulled, brought back, replaced, and damaged ones, under load.
# Nothing acknowledged is lost, status says what is wrong, and aortactl heals it while traffic flows.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

disks=$work/disks
mkdir "$disks"
volumes=$(for i in 0 1 2 3 4 5; do echo "$disks/$i"; done | paste -sd ,)
url=http://127.0.0.1:8470

vault() { ctl vault status --json | jq -r ".vault | $1"; }
members() { [ "$(vault .members)" = "$1" ]; }
lost() { vault '[.volumes[] | select(.state != "member") | .slot] | join(",")'; }
whys() { vault '[.volumes[] | select(.state != "member") | "\(.slot) \(.state): \(.why)"] | join(", ")'; }
is_lost() { [ "$(lost)" = "$1" ]; }
is_state() { [ "$(status .state)" = "$1" ]; }
acked() { [ ! -f "$work/$1" ] || wc -l < "$work/$1"; }
more_acks() { [ "$(acked "$1")" -gt "$2" ]; } # FILE THAN
healthz() { curl -sS --max-time 10 -o "$work/body" -w '%{http_code}' "$url/healthz" 2>&1; }
metric() { curl -sS --max-time 10 "$url/metrics" | sed -n "s/^$1 //p"; }
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
goes_on() { # WHAT FILE
        local before
        before=$(acked "$2")
        if waits 30 more_acks "$2" $((before + 60)); then ok "$1"; else not_ok "$1: $(acked "$2") acknowledgements after $before, $(status '[.state, .why] | tojson')"; fi
}

lab_on=true segment_mib=4 reserve_mib=8 checkpoint_ms=200
lab
demo
same "six volumes are members" '6 6 4' "$(vault '"\(.members) \(.volumes | length) \(.floor)"')"
same "all is well" ok "$(status .state)"
same "healthz before" '200 ok' "$(healthz) $(cat "$work/body")"

# ---- two of six pulled under load ----
load pulled 35
mv "$disks/1" "$work/away1"
mv "$disks/4" "$work/away4"
if waits 10 is_lost 1,4; then ok "two pulled folders are noticed within seconds"; else not_ok "pulled folders: $(vault '[.members, .volumes[].state] | tojson')"; fi
same "state says so" degraded "$(status .state)"
contains "and names them" "4 of 6 volumes are members.*volume 1 .$disks/1. stale, volume 4 .$disks/4. stale" "$(status .why)"
contains "vault status for people" 'members +4 of 6 .*ALARM' "$(ctl vault status)"
contains "with why" 'its folder was pulled' "$(ctl vault status)"
same "healthz stays 200" 200 "$(healthz)"
contains "with the alarm in its body" '^ok: 4 of 6 volumes' "$(cat "$work/body")"
same "metrics: members" 4 "$(metric aorta_vault_members)"
same "metrics: a state a volume" '1 0' "$(metric 'aorta_volume_state{slot="4",state="stale"}') $(metric 'aorta_volume_state{slot="4",state="member"}')"
goes_on "traffic goes on with four" pulled.acks

# ---- replaced and rebuilt while traffic flows ----
refuses "a member is not rebuilt" 'is a member.*nothing to rebuild' ctl vault rebuild 0
refuses "none of the last four is taken out" 'ledger.floor' ctl vault replace 0 "$disks/new0"
refuses "no such slot" 'volume must be a number from 0 to 5' ctl vault rebuild 6
refuses "no such folder" 'is no volume' ctl vault rebuild "$work/nowhere"
check "vault replace fills a new folder under load" ctl vault replace 1 "$disks/new1"
same "it is a member" "5 member $disks/new1" "$(vault '"\(.members) \(.volumes[1].state) \(.volumes[1].path)"')"
mv "$work/away4" "$disks/4"
sleep 1
same "a folder brought back is not trusted" stale "$(vault '.volumes[4].state')"
check "vault rebuild fills it under load, named by its folder" ctl vault rebuild "$disks/4" --json
same "six of six again" '6 ok' "$(vault .members) $(status .state)$(whys)"

# ---- flipped bytes ----
goes_on "traffic goes on with six" pulled.acks
cp "$disks/2/segments/00000000" "$work/good"
printf '\377\377\377\377\377\377\377\377' | dd of="$disks/2/segments/00000000" bs=1 seek=6000 conv=notrunc 2> /dev/null
printf '\377\377\377\377\377\377\377\377' | dd of="$disks/2/segments/00000000" bs=1 seek=20000 conv=notrunc 2> /dev/null
out=$(ctl vault scrub --json 2> "$work/scrub.err")
same "vault scrub: exit status ($(one_line 2 < "$work/scrub.err"))" 0 $?
same "it found and repaired them" 'true true 0' "$(jq -r '.vault | "\(.scrub.bad >= 1) \(.scrub.bad == .scrub.repaired) \(.scrub.lost_groups)"' <<< "$out")"
same "in that volume" true "$(vault '.volumes[2].bad_fragments >= 1 and .volumes[2].repaired_fragments >= 1')"
if cmp -s -n 65536 "$work/good" "$disks/2/segments/00000000"; then ok "the bytes are back"; else not_ok "the bytes differ after the scrub"; fi
check "a scrub that finds nothing" ctl vault scrub
same "finds nothing" 0 "$(vault .scrub.bad)"
wait "$load"
same "all are members through all of it" '' "$(whys)"
same "no wrong answer through all of it" 0 "$(field .errors)"
all_there pulled
verified "the log verifies"
lab_stop
same "a clean stop" 0 "$daemon_status"

# ---- a third one pulled ----
sed -i "s|$disks/1,|$disks/new1,|" "$state/aortad.yaml"
again
same "the replaced volume is found where the configuration has it" '6 ' "$(vault .members) $(whys)"
load third 10
mv "$disks/0" "$work/away0"
mv "$disks/new1" "$work/awaynew1"
waits 10 members 4 || not_ok "two pulled: $(vault .members) members"
mv "$disks/2" "$work/away2"
if waits 10 is_state refusing; then ok "below the floor it refuses"; else not_ok "below the floor: $(status .state)"; fi
contains "and names what is missing" "only 3 of 6 volumes.*ledger.floor .4.*volume 0 .*volume 1 .*volume 2 .*bring them back" "$(status .why)"
same "healthz: 503" 503 "$(healthz)"
contains "a request gets 5.03" '5\.03' "$(post "$vital")"
refuses "nothing is rebuilt then" 'bring volumes back' ctl vault rebuild 0
lab_kill
refuses "a start with three missing names them" "4 of 6 volumes are needed and 3 can be used.*$disks/0.*$disks/new1.*$disks/2" \
        timeout 60 "$build/aortad" -c "$state/aortad.yaml"
mv "$work/away2" "$disks/2"
again
same "a start with two missing works" '4 missing missing' "$(vault '"\(.members) \(.volumes[0].state) \(.volumes[1].state)"')"
wait "$load"
all_there third
contains "a record is acknowledged" '2\.0' "$(post "$vital" -v 6)"
mv "$work/away0" "$disks/0"
mv "$work/awaynew1" "$disks/new1"
check "a stale volume brought back is rebuilt" ctl vault rebuild 0
check "so is the other" ctl vault rebuild 1
same "six of six again" '6 ok' "$(vault .members) $(status .state)"
lab_stop
# Stale at the start: left out until it was rebuilt.
mv "$disks/3" "$work/away3"
again
contains "a record without volume 3" '2\.0' "$(post "$(vital_of 73)" -v 6)"
lab_stop
mv "$work/away3" "$disks/3"
again
same "a volume that missed records is stale at the next start" '5 stale' "$(vault '"\(.members) \(.volumes[3].state)"')"
check "and is rebuilt" ctl vault rebuild 3 --no-wait
if waits 90 members 6; then ok "in the background"; else not_ok "rebuild --no-wait: $(vault '.volumes[3] | tojson')"; fi

verified "the log verifies"
for name in pulled third; do all_there "$name"; done
lab_stop
same "a clean stop" 0 "$daemon_status"
finish
