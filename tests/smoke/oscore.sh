#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# OSCORE with each algorithm, both content formats; enrolment and removal while the gateway runs.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

# all_acked WHAT N: the last simulator run
all_acked() {
        if [ "$(field .acked)" = "$2" ] && [ "$(field .errors)" = 0 ]; then ok "$1"; else not_ok "$1: $(sim_log)"; fi
}

lab_on=false
lab
leaves=0
for alg in 10 1 3 24 30; do
        for format in json cbor; do
                prefix=a$alg-$format- enrol 4 --alg "$alg"
                acks=$work/acks-$alg-$format.log sim --records 20 --rate 200 --format "$format"
                all_acked "algorithm $alg, $format: all acknowledged" 20
                matched "algorithm $alg, $format: each acknowledgement has its record" "$work/acks-$alg-$format.log"
                leaves=$((leaves + 20))
        done
done
same "as many leaves as acknowledgements" "$leaves" "$(status .leaves)"
record=$(ctl record get 0 --json)
same "a record's kind and format" '["oscore",110]' "$(jq -c '[.kind, .content_format]' <<< "$record")"
same "a CBOR record's" '["oscore",112]' "$(ctl record get 20 --json | jq -c '[.kind, .content_format]')"

# A device with a key identifier, a secret and an ID context of its own (RFC 8613 C.3's, with other IDs).
secret=0102030405060708090a0b0c0d0e0f10 salt=9e7ca92223786340 id_context=37cbf3210017a2d3
if printf '%s\n' "$secret" | ctl device add --name foreign --patient eve --kid f00d --secret-file - --salt "$salt" \
        --id-context "$id_context" --alg AES-CCM-16-64-128 --json > "$work/foreign.json" 2> "$work/foreign.err"; then
        ok "a foreign key identifier, its secret by standard input"
else
        not_ok "a foreign key identifier: $(one_line < "$work/foreign.err")"
fi
echo "foreign 10 f00d 41 $secret $salt $id_context" > "$work/foreign.devices"
sim_devices=$work/foreign.devices acks=$work/foreign.acks sim --records 5 --rate 20
all_acked "it is served without a restart" 5
matched "its records open" "$work/foreign.acks"
refuses "its secret, salt and ID context a second time" 'before|used' \
        bash -c "printf %s $secret | '$build/aortactl' --socket '$state/control.sock' device add --name twin --patient eve --kid f00e --secret-file - --salt $salt --id-context $id_context"
refuses "its key identifier a second time" 'kid|in use' \
        bash -c "printf %s ${secret/01/ff} | '$build/aortactl' --socket '$state/control.sock' device add --name twin --patient eve --kid f00d --secret-file - --id-context $id_context"

same "device show" '["foreign","eve","f00d","37cbf3210017a2d3",10]' \
        "$(ctl device show foreign --json | jq -c '(.device // .) | [.name, .patient, .kid, .id_context, .alg]')"
contains "device list has it" foreign "$(ctl device list --json)"
same "device list has all" 41 "$(ctl device list --json | jq -s '[.[] | (.devices // .)[]?] | length')"
lacks "neither tells the secret" "$secret" "$(ctl device list --json; ctl device show foreign --json)"

before=$(status .drops.oscore_unknown_context)
check "device remove" ctl device remove foreign
leaves=$(status .leaves)
sim_devices=$work/foreign.devices acks=$work/removed.acks sim --records 3 --rate 20
same "nothing more is acknowledged to it" 0 "$(field .acked)"
contains "it is told 4.01" '4\.01' "$(jq -r '.error_samples[]' "$work/sim.json")"
same "no record is made" "$leaves" "$(status .leaves)"
if [ "$(status .drops.oscore_unknown_context)" -gt "$before" ]; then ok "and it is counted"; else not_ok "drops.oscore_unknown_context did not grow"; fi
matched "its earlier records still open" "$work/foreign.acks"
refuses "device show of a removed one" 'foreign|no device' ctl device show foreign
refuses "removing it twice" 'no device|removed' ctl device remove foreign
acks=$work/others.acks sim --records 8 --rate 40
all_acked "other devices go on" 8

# A forged request: the tag does not verify, and nothing is recorded.
leaves=$(status .leaves)
sed '/^#/d; s/^\([^ ]* [^ ]* [^ ]* [^ ]*\) ../\1 00/' "$work/sim.devices" > "$work/forged.devices"
sim_devices=$work/forged.devices acks=$work/forged.acks sim --records 8 --rate 40
same "a wrong secret: nothing is acknowledged" 0 "$(field .acked)"
contains "it is told 4.00" '4\.00' "$(jq -r '.error_samples[]' "$work/sim.json")"
same "no record is made of it" "$leaves" "$(status .leaves)"
acks=$work/after.acks sim --records 8 --rate 40
all_acked "and the devices it imitated go on" 8
verified "the log verifies"
lab_stop
same "a clean stop" 0 "$daemon_status"
finish
