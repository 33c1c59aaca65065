#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A second daemon on one state folder refuses to start, and the first goes on.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

lab
demo
contains "the first daemon takes a record" 'c:2\.01' "$(post "$vital" -v 7)"
check "its checkpoint" ctl log checkpoint
same "one leaf" 1 "$(status .leaves)"
before=$(cat "$state/head" "$state/volume/head" "$state/epoch" "$state/volume/epoch" | sha256sum)
refuses "a second daemon on the state refuses" 'another aortad runs on the state folder .*: stop it first' \
        timeout 60 "$build/aortad" -c "$state/aortad.yaml"
same "it changed nothing durable" "$before" "$(cat "$state/head" "$state/volume/head" "$state/epoch" "$state/volume/epoch" | sha256sum)"

# Another state folder, the same volume.
mkdir -m 700 "$work/other"
sed "s|^state: .*|state: $work/other|; s|^  volume: .*|  volume: $state/volume|" "$state/aortad.yaml" > "$work/other.yaml"
cp -p "$state"/*.key "$work/other/"
refuses "a second daemon on the volume refuses" 'volume.*(another|process|use|lock)|(another|use|lock).*volume' \
        timeout 60 "$build/aortad" -c "$work/other.yaml"

check "the first daemon still answers" ctl status
post "$(vital_of 73)" > /dev/null
same "and takes records" 2 "$(status .leaves)"
verified "and its log verifies"
lab_stop
same "and stops clean" 0 "$daemon_status"
finish
