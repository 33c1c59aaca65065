#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Another implementation (Go's golang.org/x/mod/sumdb note and tlog) reads what the gateway publishes, and Aorta's
# programs read what that one makes.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

url=http://127.0.0.1:8470
stranger() { "$build/aortactl" --socket /nonexistent "$@"; }
if ! command -v go > /dev/null || [ ! -d /usr/share/gocode/src/golang.org/x/mod/sumdb/tlog ]; then
        skip "interoperation with Go: golang-go or golang-golang-x-mod-dev is not installed"
        finish
fi
interop=$work/interop
# No network and no modules: only what Debian packaged.
if ! GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$build/go-cache GOFLAGS='' GOPROXY=off GOTOOLCHAIN=local \
        go build -o "$interop" tests/interop/interop.go > "$work/go.log" 2>&1; then
        not_ok "it builds: $(one_line < "$work/go.log")"
        finish
fi

lab
demo
enrol 8
sim --records 600 --rate 600
same "all acknowledged" 600 "$(field .acked)"
post "$vital" > /dev/null
vkey=$(ctl log vkey)
mkdir "$work/proofs"
for leaf in 0 1 254 255 256 257 511 512 599 600; do
        ctl log prove "$leaf" -o "$work/proofs/$leaf.tlog-proof" || not_ok "log prove $leaf"
done
for ends in "1 601" "2 3" "3 601" "255 256" "256 257" "256 601" "257 512" "511 601" "512 601" "600 601" "601 601"; do
        # shellcheck disable=SC2086
        ctl log consistency $ends --json
done > "$work/consistency"
same "11 consistency proofs were made" 11 "$(grep -c '"consistent":true' "$work/consistency")"
same "Go reads checkpoint, tiles, entries and proofs" "601 leaves, 10 proofs, 11 consistency proofs" \
        "$("$interop" check $url "$vkey" "$work/proofs" "$work/consistency" 2>&1)"
# That check can fail.
sed 's/"old":256/"old":255/' "$work/consistency" > "$work/wrong"
refuses "Go refuses a wrong consistency proof" 'interop: not the root' "$interop" check $url "$vkey" "$work/proofs" "$work/wrong"
mkdir "$work/wrong-proofs"
sed 's/^index 255/index 256/' "$work/proofs/255.tlog-proof" > "$work/wrong-proofs/255.tlog-proof"
refuses "Go refuses a wrong proof" 'interop: 255.tlog-proof' "$interop" check $url "$vkey" "$work/wrong-proofs" "$work/consistency"

# The other way: a log of 70,000 leaves by Go, one of which is a record sealed here.
ctl record export 600 -o "$work/sealed"
hash=$(ctl record key-hash 600)
if ! "$interop" make "$work/go" go.example/log 70000 12345 65537 "$work/sealed" "$hash" > "$work/make.log" 2>&1; then
        not_ok "Go makes a log: $(one_line < "$work/make.log")"
        finish
fi
key=$(cat "$work/go/vkey")
same "the record's entry is what docs/formats.md says" \
        "$(dd if="$state/log/tile/entries/002.p/89" bs=1 skip=$((88 * 40)) 2> /dev/null | xxd -p -c 80)" \
        "$(dd if="$work/go/log/tile/entries/256" bs=1 skip=$((1 * 40)) count=40 2> /dev/null | xxd -p -c 80)"
contains "aorta-verify takes Go's proof and note" '^proven +leaf 65537 of go.example/log, whose tree of 70000 leaves' \
        "$("$build/aorta-verify" --vkey "$key" --key-hash "$hash" "$work/go/leaf.tlog-proof" "$work/sealed" 2>&1)"
refuses "and not under the gateway's key" 'not signed by smoke' \
        "$build/aorta-verify" --vkey "$vkey" --key-hash "$hash" "$work/go/leaf.tlog-proof" "$work/sealed"
"$interop" serve "$work/go/log" 127.0.0.1:8471 > "$work/serve.log" 2>&1 &
waits 30 curl -sf --max-time 5 -o "$work/first" http://127.0.0.1:8471/checkpoint || not_ok "Go serves: $(one_line < "$work/serve.log")"
contains "log verify reads Go's log" '^verified 70000 leaves' "$(stranger log verify --url http://127.0.0.1:8471 --vkey "$key" 2>&1)"
check "log prove from Go's log" stranger log prove 65537 --url http://127.0.0.1:8471 --vkey "$key" -o "$work/leaf.tlog-proof"
same "the same proof as Go's" "$(sha256sum < "$work/go/leaf.tlog-proof")" "$(sha256sum < "$work/leaf.tlog-proof")"
contains "log consistency from a checkpoint that Go signed" '^consistent: the tree of 70000 leaves extends that of 12345' \
        "$(stranger log consistency "$work/go/old.checkpoint" 70000 --url http://127.0.0.1:8471 --vkey "$key" 2>&1)"
refuses "a log that forked is found out" 'NOT consistent: the checkpoint .*fork.checkpoint of 12345 leaves has another root' \
        stranger log consistency "$work/go/fork.checkpoint" 70000 --url http://127.0.0.1:8471 --vkey "$key"
refuses "another log's checkpoint is no beginning" 'holds no checkpoint signed by go.example' \
        stranger log consistency "$state/log/checkpoint" 70000 --url http://127.0.0.1:8471 --vkey "$key"
lab_stop
same "a clean stop" 0 "$daemon_status"
finish
