#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a stranger can prove with the log's verifier key alone: over HTTP, from a static file server, and offline.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

url=http://127.0.0.1:8470
# As a stranger: no control socket, no configuration, no state.
stranger() { "$build/aortactl" --socket /nonexistent "$@"; }
verify() { "$build/aorta-verify" "$@"; }
# flip FILE OFFSET: one bit
flip() {
        local byte
        byte=$(dd if="$1" bs=1 skip="$2" count=1 2> /dev/null | xxd -p)
        printf '%02x' $((0x$byte ^ 1)) | xxd -r -p | dd of="$1" bs=1 seek="$2" conv=notrunc 2> /dev/null
}

lab
demo
enrol 8
sim --records 300 --rate 300
same "all acknowledged" 300 "$(field .acked)"
contains "a record in plain words" '' "$(post "$vital")"
vkey=$(ctl log vkey)
ctl log checkpoint > "$work/old.checkpoint"
same "the checkpoint has them" 301 "$(sed -n 2p "$work/old.checkpoint")"

# Over HTTP.
contains "log verify --url: verified" '^verified 301 leaves, .* checkpoint signature ok' "$(stranger log verify --url "$url" --vkey "$vkey" 2>&1)"
same "log verify --url --json" true "$(stranger log verify --url "$url/" --vkey "$vkey" --json 2>&1 | jq -r .verified)"
check "log prove --url" stranger log prove 300 --url "$url" --vkey "$vkey" -o "$work/url.tlog-proof"
check "log prove by the daemon" ctl log prove 300 -o "$work/demo.tlog-proof"
same "the same proof" "$(sha256sum < "$work/demo.tlog-proof")" "$(sha256sum < "$work/url.tlog-proof")"
refuses "no such leaf" 'there is no leaf 301' stranger log prove 301 --url "$url" --vkey "$vkey"
other="${vkey%+*}+$(head -c 33 /dev/zero | base64)"
refuses "another key" 'signed by another key|no Ed25519 verifier key' stranger log verify --url "$url" --vkey "$other"
refuses "a URL without a key" 'needs --vkey' stranger log verify --url "$url"
refuses "a URL of another kind" 'must be http' stranger log verify --url "file://$state/log" --vkey "$vkey"
refuses "nothing listens there" '127.0.0.1:1/checkpoint: .*connect' stranger log verify --url http://127.0.0.1:1 --vkey "$vkey"
refuses "no log there" 'no checkpoint' stranger log verify --url "$url/else" --vkey "$vkey"

# Offline.
check "record export" ctl record export 300 -o "$work/demo.sealed"
hash=$(ctl record key-hash 300)
check "ldd: libsodium and libc only" test "$(ldd "$build/aorta-verify" | grep -c '=> /')" = 2
contains "ldd: libsodium" libsodium "$(ldd "$build/aorta-verify")"
out=$(verify --vkey "$vkey" --key-hash "$hash" "$work/demo.tlog-proof" "$work/demo.sealed" 2>&1)
same "aorta-verify: exit status" 0 $?
contains "aorta-verify: proven" "^proven +leaf 300 of smoke.aorta.example/log, whose tree of 301 leaves" "$out"
contains "aorta-verify: a lab record proves no origin" 'proves no origin' "$out"
lacks "aorta-verify: nothing is opened without a key" 8867-4 "$out"
out=$(ctl record key 300 -o "$work/demo.key" 2>&1)
same "record key" 0 $?
contains "record key: a warning" 'opens EVERY record' "$out"
same "record key: mode" 600 "$(stat -c %a "$work/demo.key")"
contains "the daemon tells that a key was handed out" 'handed out' "$(cat "$work/aortad.log")"
lacks "and not which" "$(cat "$work/demo.key")" "$(cat "$work/aortad.log")"
refuses "record key: never over a file" 'File exists' ctl record key 300 -o "$work/demo.key"
same "record key: no file for no key" 1 "$(ctl record key 999 -o "$work/none.key" > /dev/null 2>&1; echo $?)"
check "record key: and none is left behind" test ! -e "$work/none.key"
out=$(verify --vkey "$vkey" --key "$work/demo.key" "$work/demo.tlog-proof" "$work/demo.sealed" 2>&1)
same "aorta-verify --key: exit status" 0 $?
contains "aorta-verify --key: what the device wrote" '"n":"8867-4","u":"beat/min","v":72' "$out"
proof="$work/demo.tlog-proof" sealed="$work/demo.sealed"
refuses "another key hash" 'NOT proven.*another record, another key' verify --vkey "$vkey" --key-hash "$(ctl record key-hash 0)" "$proof" "$sealed"
refuses "another log's key" 'NOT proven' verify --vkey "$other" --key-hash "$hash" "$proof" "$sealed"
for offset in 1 8 48 79 80 100; do
        cp "$sealed" "$work/flipped"
        flip "$work/flipped" "$offset"
        refuses "a bit of the record changed at $offset" 'NOT proven' verify --vkey "$vkey" --key-hash "$hash" "$proof" "$work/flipped"
done
ctl log prove 299 -o "$work/other.tlog-proof"
refuses "another leaf's proof" 'NOT proven' verify --vkey "$vkey" --key-hash "$hash" "$work/other.tlog-proof" "$sealed"
sed 's/^index 300$/index 299/' "$proof" > "$work/forged"
refuses "another index" 'NOT proven' verify --vkey "$vkey" --key-hash "$hash" "$work/forged" "$sealed"
sed 's/^301$/302/' "$proof" > "$work/forged"
refuses "another size" 'signature is bad' verify --vkey "$vkey" --key-hash "$hash" "$work/forged" "$sealed"
head -c 200 "$proof" > "$work/forged"
refuses "half a proof" 'is no proof' verify --vkey "$vkey" --key-hash "$hash" "$work/forged" "$sealed"
refuses "no record" 'is no sealed record' verify --vkey "$vkey" --key-hash "$hash" "$proof" "$proof"
for usage in "" "--vkey $vkey" "--vkey $vkey --key-hash $hash $proof" "--vkey $vkey $proof $sealed" "--vkey $vkey --key-hash $hash --key $work/demo.key $proof $sealed"; do
        # shellcheck disable=SC2086
        verify $usage > /dev/null 2>&1
        same "aorta-verify ${usage:0:20}…: usage" 2 $?
done

# The log only grows.
sim --records 300 --rate 300
ctl log checkpoint > "$work/new.checkpoint"
contains "log consistency by numbers" '^consistent: the tree of 601 leaves extends that of 301' "$(ctl log consistency 301 601 2>&1)"
contains "by checkpoints, over HTTP" '^consistent: the tree of 601' "$(stranger log consistency "$work/old.checkpoint" "$work/new.checkpoint" --url "$url" --vkey "$vkey" 2>&1)"
same "the root is the checkpoint's" "$(sed -n 3p "$work/old.checkpoint")" "$(ctl log consistency 301 601 --json | jq -r .old_root)"
check "from nothing" ctl log consistency 0 601
check "to itself" ctl log consistency 601 601
refuses "backwards" 'larger than the new' ctl log consistency 601 301
refuses "beyond the end" 'not published yet' ctl log consistency 301 602
refuses "one argument" 'needs OLD NEW' ctl log consistency 301
refuses "three arguments" 'unexpected argument' ctl log consistency 301 302 303
refuses "a file that is none" 'neither a number' ctl log consistency "$work/none" 601

# What a dishonest or a broken server gives.
cp -a "$state/log" "$work/copy"
serve() {
        (cd "$work/copy" && exec python3 -m http.server --bind 127.0.0.1 8472 > "$work/server.log" 2>&1) &
        server=$!
        waits 30 curl -sf --max-time 5 -o /dev/null http://127.0.0.1:8472/checkpoint
}
copy=http://127.0.0.1:8472
if command -v python3 > /dev/null && serve; then
        contains "from a static file server" '^verified 601 leaves' "$(stranger log verify --url $copy --vkey "$vkey" 2>&1)"
        flip "$work/copy/tile/0/000" 77
        refuses "a tile changed" 'tile/0/000 does not hold the hashes' stranger log verify --url $copy --vkey "$vkey"
        refuses "a tile changed: no proof" 'do not lead to the checkpoint' stranger log prove 0 --url $copy --vkey "$vkey"
        refuses "a tile changed: no consistency" 'do not lead to the checkpoint' stranger log consistency 100 601 --url $copy --vkey "$vkey"
        cp "$state/log/tile/0/000" "$work/copy/tile/0/000"
        flip "$work/copy/tile/entries/000" 3010
        refuses "an entry changed" 'tile/0/000 does not hold' stranger log verify --url $copy --vkey "$vkey"
        cp "$state/log/tile/entries/000" "$work/copy/tile/entries/000"
        truncate -s 100M "$work/copy/tile/entries/000"
        refuses "a file without end" 'tile/entries/000: longer than it can be' stranger log verify --url $copy --vkey "$vkey"
        truncate -s 10239 "$work/copy/tile/entries/000"
        refuses "a file cut short" 'tile/entries/000: has a wrong length' stranger log verify --url $copy --vkey "$vkey"
        rm "$work/copy/tile/entries/000"
        refuses "a file missing" 'tile/entries/000 is missing' stranger log verify --url $copy --vkey "$vkey"
        cp "$state/log/tile/entries/000" "$work/copy/tile/entries/000"
        cp "$work/old.checkpoint" "$work/copy/checkpoint"
        check "its last tile has filled since, and its part is gone" test ! -e "$work/copy/tile/0/001.p/45" -a -e "$work/copy/tile/0/001"
        contains "an older checkpoint is one too" '^verified 301 leaves' "$(stranger log verify --url $copy --vkey "$vkey" 2>&1)"
        refuses "but does not reach to what is remembered" 'not published yet' stranger log consistency "$work/old.checkpoint" "$work/new.checkpoint" --url $copy --vkey "$vkey"
        sed '2s/.*/302/' "$work/old.checkpoint" > "$work/copy/checkpoint"
        refuses "a forged checkpoint" 'signature is bad' stranger log verify --url $copy --vkey "$vkey"
        kill "$server"
else
        skip "a static file server: no python3 here"
fi
verified "the log verifies"
lab_stop
same "a clean stop" 0 "$daemon_status"
finish
