#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Damaged files: the start refuses, names what is damaged, and changes nothing; a torn tail is cut off.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

# flip FILE OFFSET: one bit
flip() {
        local byte
        byte=$(dd if="$1" bs=1 skip="$2" count=1 2> /dev/null | xxd -p)
        printf '%02x' $((0x$byte ^ 1)) | xxd -r -p | dd of="$1" bs=1 seek="$2" conv=notrunc 2> /dev/null
}
# All of the state but what counts starts and says who runs.
print_state() { (cd "$state" && find . -type f ! -name epoch ! -name lock ! -name '*.sock' -print0 | sort -z | xargs -0 sha256sum; find . -type f -printf '%p %m\n' | sort); }
# refused WHAT PATTERN: the start
refused() {
        local before out status
        before=$(print_state)
        out=$(timeout 60 "$build/aortad" -c "$state/aortad.yaml" 2>&1 < /dev/null)
        status=$?
        same "$1: the start is refused" 1 "$status"
        contains "$1: it says what" "$2" "$(tail -n 1 <<< "$out")"
        same "$1: nothing is changed" "$before" "$(print_state)"
}
save() { cp -a --sparse=always "$state" "$work/saved"; }
restore() { rm -rf "$state"; cp -a --sparse=always "$work/saved" "$state"; }

segment_mib=4
lab
demo
for i in 1 2 3 4 5; do post "$(vital_of $((70 + i)))" > /dev/null; done
same "five records" 5 "$(status .leaves)"
ctl log checkpoint > /dev/null

# A tile that changes while the gateway runs is seen by verify.
tile=$(find "$state/log/tile/0" -type f | head -n 1)
flip "$tile" 40
refuses "a corrupt tile: log verify" 'tile|root|does not' ctl log verify
flip "$tile" 40
verified "the tile as it was: log verify"
bundle=$(find "$state/log/tile/entries" -type f | head -n 1)
flip "$bundle" 12
refuses "a corrupt entry bundle: log verify" 'entry|entries|bundle' ctl log verify
flip "$bundle" 12
lab_stop
same "a clean stop" 0 "$daemon_status"
save

segment=$state/volume/segments/00000000
# The groups lie one behind the other, from 4,096 on; each begins with its magic.
mapfile -t groups < <(grep -abo "$(dd if="$segment" bs=1 skip=4096 count=8 2> /dev/null)" "$segment" | cut -d : -f 1 | sort -n | uniq)
if [ "${#groups[@]}" -ge 5 ]; then ok "a group a record"; else not_ok "found ${#groups[@]} groups"; finish; fi
last=${groups[-1]}

flip "$segment" $((groups[1] + 1100))
refused "a flipped bit in a middle group" 'group 1|00000000'
restore
flip "$segment" $((groups[2] + 20))
refused "a flipped bit in a middle group's header" 'group 2|00000000'
restore
flip "$segment" $((last + 1100))
refused "a flipped bit in the last group, which was signed" 'signed|head|4 leaves|acknowledged|group 4'
restore

# Beyond what was signed: a write that tore.
head -c 5000 /dev/urandom | dd of="$segment" bs=1 seek=$((last + (last - groups[-2]))) conv=notrunc 2> /dev/null
if start > "$work/start.err"; then
        ok "a torn tail: the start goes on"
        same "a torn tail: no record is lost" 5 "$(status .leaves)"
        post "$(vital_of 90)" > /dev/null
        same "a torn tail: the next record takes its place" 6 "$(status .leaves)"
        verified "a torn tail: the log verifies"
        lab_stop
else
        not_ok "a torn tail: $(cat "$work/start.err")"
fi
restore

flip "$tile" 40
refused "a corrupt tile" 'tile|log'
rm -rf "$state/log"
if start > "$work/start.err"; then
        ok "without the log's folder: it is made again from the vault"
        verified "without the log's folder: the log verifies"
        same "without the log's folder: the same leaves" 5 "$(status .published)"
        lab_stop
else
        not_ok "without the log's folder: $(cat "$work/start.err")"
fi
restore
flip "$state/log/checkpoint" 30
refused "a corrupt checkpoint" 'checkpoint'
restore
flip "$state/head" 24; flip "$state/head" $((4096 + 24))
refused "a corrupt head" 'head'
restore
flip "$state/volume/store.a" $((4096 + 30)); flip "$state/volume/store.b" $((4096 + 30))
refused "a registry's slot corrupt in both copies" 'store|registry|slot'
restore
flip "$state/volume/store.a" $((4096 + 512 + 30))
if start > "$work/start.err"; then
        ok "a registry's slot corrupt in one copy: the other is taken"
        lab_stop
else
        not_ok "a slot corrupt in one copy: $(cat "$work/start.err")"
fi
restore

flip "$state/realm.key" 40
refused "a corrupt realm key" 'realm\.key.*(damaged|not a realm key)'
restore
rm "$state/realm.key"
refused "a missing realm key" 'realm\.key is missing.*back'
restore
chmod 644 "$state/realm.key"
refused "a realm key that others may read" 'realm\.key.*others may read.*chmod 600'
restore
flip "$state/log.key" 40
refused "a corrupt log key" 'log\.key.*(damaged|another realm)'
restore
sed -i 's|^origin: .*|origin: other.aorta.example/log|' "$state/aortad.yaml"
refused "another origin" 'origin|another'
restore
if start > "$work/start.err"; then
        ok "all put back: it starts"
        verified "and verifies"
        lab_stop
else
        not_ok "all put back: $(cat "$work/start.err")"
fi
finish
