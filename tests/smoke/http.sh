#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The HTTP server of a running gateway: the log as tiles, metrics, health; and nothing else.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

url=http://127.0.0.1:8470
# fetch PATH [curl options]: body to $work/body, headers to $work/head; prints the status
fetch() {
        local path=$1
        shift
        curl -sS --path-as-is --max-time 30 -D "$work/head" -o "$work/body" -w '%{http_code}' "$@" "$url$path" 2> "$work/curl.err" || cat "$work/curl.err"
}
# header NAME
header() { tr -d '\r' < "$work/head" | sed -n "s/^$1: //Ip"; }
metric() { curl -sS --max-time 30 "$url/metrics" | awk -v name="$1" '$1 == name {print $2}'; }
unhealthy() { [ "$(fetch /healthz)" = 503 ]; }
published() { [ "$(status .published)" = "$(status .leaves)" ]; }

lab_on=false
lab
same "/healthz: 200" 200 "$(fetch /healthz)"
same "/healthz: ok" ok "$(cat "$work/body")"
enrol 8
sim --records 400 --rate 400
same "all acknowledged" 400 "$(field .acked)"
waits 30 published || not_ok "all is published"

same "/checkpoint: 200" 200 "$(fetch /checkpoint)"
same "its type" 'text/plain; charset=utf-8' "$(header Content-Type)"
same "its caching is of seconds" 'public, max-age=1' "$(header Cache-Control)"
same "it is the file" "$(sha256sum < "$state/log/checkpoint")" "$(sha256sum < "$work/body")"
same "it tells the size" 400 "$(sed -n 2p "$work/body")"
for tile in tile/0/000 tile/0/001.p/144 tile/1/000.p/1 tile/entries/000 tile/entries/001.p/144; do
        same "/$tile: 200" 200 "$(fetch "/$tile")"
        same "/$tile: its type" application/octet-stream "$(header Content-Type)"
        same "/$tile: its caching" 'public, max-age=31536000, immutable' "$(header Cache-Control)"
        same "/$tile: its bytes" "$(sha256sum < "$state/log/$tile")" "$(sha256sum < "$work/body")"
done
same "HEAD: 200" 200 "$(fetch /tile/0/000 --head)"
same "HEAD: the length" 8192 "$(header Content-Length)"
same "a range: 206" 206 "$(fetch /tile/0/000 -r 32-63)"
same "a range: which" 'bytes 32-63/8192' "$(header Content-Range)"
same "a range: its bytes" "$(dd if="$state/log/tile/0/000" bs=32 skip=1 count=1 2> /dev/null | sha256sum)" "$(sha256sum < "$work/body")"
same "a range beyond the end: 416" 416 "$(fetch /tile/0/000 -r 8192-)"
fetch /checkpoint > /dev/null
same "the same again: 304" 304 "$(fetch /checkpoint -H "If-None-Match: $(header ETag)")"

for path in /tile/0/002 /tile/0/001 /tile/0/001.p/145 /tile/2/000.p/1 /tile/63/000 /tile/entries/001 /tile/0/1 /tile/00/000 \
        /tile/../checkpoint /tile/../../control.sock /../lock /../../../../etc/passwd /tile/0/../../../realm.key /lock /realm.key \
        /control.sock /tile/ /tile /index.html / //checkpoint /checkpoint/; do
        same "$path: 404" 404 "$(fetch "$path")"
done
for path in /%2e%2e/realm.key /tile/..%2f..%2frealm.key /checkpoint%00 "/tile/0/000;x"; do
        same "$path: 400" 400 "$(fetch "$path")"
done
same "POST: 405" 405 "$(fetch /checkpoint -d x)"
same "POST: what is allowed" 'GET, HEAD' "$(header Allow)"
same "DELETE: 405" 405 "$(fetch /checkpoint -X DELETE)"
same "GET with a body: 400" 400 "$(fetch /checkpoint -X GET -d x)"

same "/metrics: 200" 200 "$(fetch /metrics)"
same "its type" 'text/plain; version=0.0.4; charset=utf-8' "$(header Content-Type)"
same "every line is a comment or a sample" '' "$(grep -vE '^(# (HELP|TYPE) aorta_[a-z0-9_]+ .+|aorta_[a-z0-9_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.]+)$' "$work/body")"
same "aorta_acknowledged_total" 400 "$(metric aorta_acknowledged_total)"
same "aorta_leaves" 400 "$(metric aorta_leaves)"
same "aorta_published_leaves" 400 "$(metric aorta_published_leaves)"
same "aorta_healthy" 1 "$(metric aorta_healthy)"
same "flushes are groups" "$(status .ledger.groups)" "$(metric aorta_flush_seconds_count)"
same "every drop reason of status is there" "$(status '.drops | keys[]' | sort)" "$(sed -n 's/^aorta_drops_total{reason="\([^"]*\)"}.*/\1/p' "$work/body" | sort)"
same "every counter of status is there" '' "$(status '.counters | keys[]' | while read -r counter; do grep -q "^aorta_${counter}_total " "$work/body" || echo "$counter"; done)"

same "healthy before" 200 "$(fetch /healthz)"
lab_stop
same "a clean stop" 0 "$daemon_status"
refuses "and nothing listens any more" 'connect' curl -sS --max-time 10 "$url/healthz"

# /healthz tells what is wrong: a reserve that this disk has not.
sed -i "s/^  reserve_mib: .*/  reserve_mib: 1048576/" "$state/aortad.yaml"
again
waits 30 unhealthy
same "no space: 503" 503 "$(fetch /healthz)"
contains "no space: why" 'free space under .*/volume is below' "$(cat "$work/body")"
same "no space: a metric says so" 0 "$(metric aorta_healthy)"
same "the log is served all the same" 200 "$(fetch /checkpoint)"
lab_stop

sed -i "s/^  reserve_mib: .*/  reserve_mib: 64/" "$state/aortad.yaml"
echo 'http: { listen: "off" }' >> "$state/aortad.yaml"
again
refuses "off: nothing listens" 'connect' curl -sS --max-time 10 "$url/healthz"
lab_stop
sed -i 's/^http: .*/http: { listen: "[::1]:8471" }/' "$state/aortad.yaml"
if [ -e /proc/net/if_inet6 ] && grep -q '^0*1 ' /proc/net/if_inet6; then
        again
        url='http://[::1]:8471'
        same "IPv6: 200" 200 "$(fetch /checkpoint)"
        lab_stop
fi
sed -i 's/^http: .*/http: { listen: "192.0.2.1:8470" }/' "$state/aortad.yaml"
refuses "an address that is not ours: the start says so" 'cannot serve HTTP on 192.0.2.1 port 8470: .*http.listen' \
        timeout 60 "$build/aortad" -c "$state/aortad.yaml"
finish
