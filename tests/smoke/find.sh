#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Records are found by patient, time and code: at once, after kill -9, after the index was lost, spoilt, or made
# again, and those of a device enrolled while it runs. An index without room stops, and nothing else does.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

# covered: the index has all leaves
covered() { [ "$(status '.index | .state == "following" and .error == null and .covered == .leaves')" = true ] && [ "$(status '.leaves == .index.covered')" = true ]; }
index_stopped() { [ "$(status .index.state)" = stopped ]; }
await_index() { waits 60 covered || not_ok "$1: the index does not catch up: $(status .index)"; }
# found OPTIONS…: the leaves, one line
found() { ctl record find --json "$@" | jq -r '[.records[].leaf | tostring] | join(" ")'; }
# put DEVICE PAYLOAD: its leaf
put() {
        timeout -k 1 40 coap-client-notls -m post -t 110 -B 30 -e "$2" "coap://${gateway:-$ip4}/vitals?d=$1" 2>&1 | grep -o '"leaf":[0-9]*\|/r/[0-9]*' | grep -o '[0-9]*$' | head -n 1
}
pulse() { vital_of "$1"; }
temperature() { echo "[{\"n\":\"urn:dev:ow:10e2073a01080063:8310-5\",\"u\":\"Cel\",\"v\":$1}]"; }

lab
for name in anna ben; do
        check "enrol $name" ctl device add --name "$name" --patient "patient-$name" --lab
done
for n in 1 2 3; do
        put anna "$(pulse $((70 + n)))" > /dev/null
        put ben "$(pulse $((80 + n)))" > /dev/null
done
sleep 1.1
put anna "$(temperature 36.60)" > /dev/null
same "records" 7 "$(status .leaves)"
await_index "seven records"
same "anna's, newest first" "6 4 2 0" "$(found --patient patient-anna)"
same "ben's" "5 3 1" "$(found --patient patient-ben)"
same "at most two" "6 4" "$(found --patient patient-anna --limit 2)"
same "by code" "4 2 0" "$(found --patient patient-anna --code 8867-4)"
same "by another code" "6" "$(found --patient patient-anna --code 8310-5)"
same "by a code nobody sent" "" "$(found --patient patient-anna --code 1234-5)"
received=$(ctl record get 6 --json | jq -r .received)
same "from the last one's very time" "6" "$(found --patient patient-anna --from "$received")"
same "to it" "4 2 0" "$(found --patient patient-anna --to "$received")"
same "in Unix seconds" "6" "$(found --patient patient-anna --from "$(date -d "$received" +%s)")"
same "nothing of tomorrow" "" "$(found --patient patient-anna --from 2100-01-01)"
same "a record as record get tells it" "$(ctl record get 6 --json | jq -S 'del(.ok, .published)')" \
        "$(ctl record find --json --patient patient-anna --limit 1 | jq -S '.records[0] | del(.published)')"
contains "the SenML's decimals stay as they were" '"v":36\.60?[,}]' "$(ctl record find --json --patient patient-anna --limit 1)"
contains "one line a record" "^2.*Z  leaf 6  anna  .*36\.6" "$(ctl record find --patient patient-anna --limit 1)"
refuses "a patient nobody knows" "no patient of that name" ctl record find --patient nobody
refuses "a time that is none" "must be a time" ctl record find --patient patient-anna --from yesterday
# Names and ids stand nowhere in it.
lacks "the index names nobody" 'anna|ben|patient' "$(strings -n 3 "$state/index/data.mdb")"

lab_kill
again
await_index "after kill -9"
same "kill -9: still found" "6 4 2 0" "$(found --patient patient-anna)"
same "kill -9: it went on from what it had" 0 "$(status .index.rebuilds)"
check "enrol another device of anna's" ctl device add --name anna2 --patient patient-anna --lab
put anna2 "$(pulse 75)" > /dev/null
await_index "another device"
same "a device enrolled while it runs" "7 6 4 2 0" "$(found --patient patient-anna)"
check "it goes" ctl device remove anna2
same "its records stay" "7 6 4 2 0" "$(found --patient patient-anna)"

lab_stop
rm -r "$state/index"
again
await_index "a lost index"
same "a lost index is made again" "7 6 4 2 0" "$(found --patient patient-anna)"
lab_kill
head -c 20000 /dev/urandom > "$state/index/data.mdb"
again
await_index "a spoilt index"
same "a spoilt index is made again" "7 6 4 2 0" "$(found --patient patient-anna)"
contains "and said so" 'the index in .* is made again: it is damaged' "$(cat "$work/aortad.log")"
contains "index rebuild" "following, covers 8 of 8" "$(ctl index rebuild --wait)"
same "after a rebuild" "7 6 4 2 0" "$(found --patient patient-anna)"
contains "status tells of it" "index       following, covers 8 of 8 leaves" "$(ctl status)"

# An index of an older state of the ledger goes on; one of a later state is dropped.
lab_stop
cp -r "$state/index" "$work/index.old"
again
put ben "$(pulse 90)" > /dev/null
await_index "nine records"
lab_stop
rm -r "$state/index"
cp -r "$work/index.old" "$state/index"
again
await_index "an older index"
same "an older index goes on" "8 5 3 1" "$(found --patient patient-ben)"
same "without a rebuild" 0 "$(status .index.rebuilds)"

# No room: records go on, and it catches up when there is some.
lab_stop
rm -r "$state/index"
mkdir "$state/index"
if mount -t tmpfs -o size=160k none "$state/index"; then
        sed -i 's/reserve_mib: .*/reserve_mib: 0/' "$state/aortad.yaml"
        again
        enrol 64
        sim --records 30000 --rate 3000 --endpoints 4
        same "no room for the index: all is acknowledged" 30000 "$(field .acked)"
        waits 30 index_stopped || not_ok "the index does not stop: $(status .index)"
        contains "its alarm" "no space" "$(status .index.why)"
        same "the gateway is well" ok "$(status .state)"
        contains "find says what is missing" "the index covers [0-9]* of 30009 leaves" "$(ctl record find --patient patient-anna 2>&1)"
        mount -o remount,size=64m "$state/index"
        await_index "room again"
        same "room again: it has caught up" "7 6 4 2 0" "$(found --patient patient-anna)"
        same "and the last record is found" 30008 "$(ctl record find --json --patient "$(ctl record get 30008 --json | jq -r .patient)" --limit 1 | jq '.records[0].leaf')"
        lab_stop
        umount "$state/index"
else
        skip "no room for the index: no tmpfs can be mounted"
fi

sed -i '/^ledger:/a\  index: false' "$state/aortad.yaml"
again
same "switched off" off "$(status .index.state)"
refuses "find without an index" "ledger.index: true" ctl record find --patient patient-anna
finish
