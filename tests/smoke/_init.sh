# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by each smoke test: a network and mount namespace, a folder and helpers of its own.
#
#   ok WHAT · not_ok WHAT: WHY · skip WHAT: WHY · check WHAT COMMAND… · same WHAT EXPECTED GOT
#   lab                  lays the link, writes the configuration, starts aortad
#   lab_stop · lab_kill  SIGTERM and wait · kill -9 and wait
#   ctl … · sim …        aortactl and aorta-sim against it
#
# The test sees only its own interfaces and mounts, so that a lab beside it goes on. finish ends every script.
# shellcheck disable=SC2034 # what a test reads
set -u
if [ -z "${AORTA_IN_NAMESPACE-}" ]; then
        AORTA_IN_NAMESPACE=1 exec unshare --net --mount -- bash "$0" "$@"
fi
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)
cd "$here" || exit 1
build=$(readlink -f "${AORTA_BUILD:-build}")
# shellcheck disable=SC2034
long=${AORTA_LONG:-0}
# shellcheck disable=SC2034
shared=${AORTA_SHARED:-$here/../shared}
# Not $TMPDIR, which may be memory: the ledger writes with O_DIRECT.
work=$(mktemp -d /var/tmp/aorta-smoke-XXXXXX)
state=$work/var
umask 077
mkdir "$state"
daemon_pid=
daemon_status=
ip4=10.77.0.2 ip6=fd77::2
start_wait_s=90
ip link set lo up
mapfile -t cpus < <(for range in $(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status | tr ',' ' '); do seq "${range%-*}" "${range#*-}"; done)

finish() {
        echo "done"
        exit 0
}

cleanup() {
        local pid
        [ -z "$daemon_pid" ] || kill -9 "$daemon_pid" 2> /dev/null
        for pid in $(jobs -p); do kill "$pid" 2> /dev/null; done
        wait 2> /dev/null
        # What a test mounted goes first.
        awk -v w="$work/" 'index($2, w) == 1 {print $2}' /proc/mounts | sort -r | while read -r mount; do umount -l "$mount"; done
        rm -rf "$work"
}
trap cleanup EXIT

ok() { echo "ok $*"; }
not_ok() { echo "not ok $*"; }
skip() { echo "skip $*"; }
one_line() { tail -n "${1:-3}" | tr '\n' ' ' | head -c 600; }
# check WHAT COMMAND…: ok when the command succeeds; its output is the reason when not.
check() {
        local what=$1 out
        shift
        if out=$("$@" 2>&1); then ok "$what"; else not_ok "$what: $(one_line <<< "$out")"; fi
}
# refuses WHAT PATTERN COMMAND…: the command must fail and say something that matches.
refuses() {
        local what=$1 pattern=$2 out
        shift 2
        if out=$("$@" 2>&1); then
                not_ok "$what: it did not fail: $(one_line <<< "$out")"
        else
                contains "$what" "$pattern" "$out"
        fi
}
# same WHAT EXPECTED GOT
same() {
        if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1: expected '$(head -c 300 <<< "$2")', got '$(head -c 300 <<< "$3")'"; fi
}
# contains WHAT PATTERN TEXT
contains() {
        if grep -qE -- "$2" <<< "$3"; then ok "$1"; else not_ok "$1: no '$2' in '$(one_line 5 <<< "$3")'"; fi
}
# lacks WHAT PATTERN TEXT
lacks() {
        if grep -qE -- "$2" <<< "$3"; then not_ok "$1: '$2' in '$(grep -m 1 -E -- "$2" <<< "$3" | head -c 300)'"; else ok "$1"; fi
}
# waits SECONDS COMMAND…: until it succeeds
waits() {
        local until=$((SECONDS + $1))
        shift
        while ! "$@" > /dev/null 2>&1; do
                [ "$SECONDS" -lt "$until" ] || return 1
                sleep 0.1
        done
}

ctl() { "$build/aortactl" --socket "$state/control.sock" "$@"; }
# status FILTER: what jq finds in the daemon's status
status() { ctl status --json | jq -r "$1"; }
aortad_log() { one_line "${1:-3}" < "$work/aortad.log"; }

has_link() { ip link show "$1" > /dev/null 2>&1; }
lay_link() {
        ip link add aorta0 type veth peer name aorta1 &&
                ethtool -K aorta1 tx off > /dev/null &&
                ip link set aorta0 up &&
                address_link
}
address_link() {
        ip addr replace 10.77.0.1/24 dev aorta1 &&
                { ip -6 addr replace fd77::1/64 dev aorta1 nodad 2> /dev/null || has_ip6=0; } &&
                ip link set aorta1 up
}
# shellcheck disable=SC2034
has_ip6=1

# Why net_af_xdp cannot work on this machine; nothing when it can. A kernel that can must: no failure is excused.
why_no_xdp() {
        local capabilities
        grep -q '^XDP ' /proc/net/protocols || { echo "this kernel has no AF_XDP"; return; }
        capabilities=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
        # CAP_IPC_LOCK is 14: without it packet memory counts against the limit.
        if [ $((0x$capabilities >> 14 & 1)) = 0 ] && [ "$(ulimit -l)" != unlimited ] && [ "$(ulimit -l)" -lt 131072 ]; then
                echo "no CAP_IPC_LOCK, and RLIMIT_MEMLOCK is $(ulimit -l) KiB"
        fi
}
# Sets $device for the machine unless a test did.
choose_link() {
        local why
        [ -z "${device-}" ] || return 0
        why=$(why_no_xdp)
        if [ -n "$why" ]; then
                skip "link over AF_XDP: $why: net_tap instead"
                device=net_tap0,iface=aorta1
        else
                device=net_af_xdp0,iface=aorta0
        fi
}

# The configuration; a test overrides by variables: device workers worker_cores devices lab_on segment_mib
# reserve_mib checkpoint_ms drain_ms crypto volume; or volumes: folders with commas between.
write_config() {
        cat > "$state/aortad.yaml" << TEXT
realm: 1
origin: ${origin:-smoke.aorta.example/log}
lab: ${lab_on:-true}
state: $state
dataplane:
  workers: ${workers:-1}
  worker_cores: [${worker_cores:-${cpus[0]}}]
  control_core: ${control_core:-${cpus[-1]}}
  memory_mib: ${memory_mib:-256}
  huge: ${huge:-no}
  devices: ${devices:-4096}
  patients: ${devices:-4096}
  crypto: ${crypto:-auto}
  idle_sleep: true
  ports:
    - device: "${device:-net_af_xdp0,iface=aorta0}"
network:
  ip4: $ip4
  ip6: "$ip6"
ledger:
  $(if [ -n "${volumes-}" ]; then echo "volumes: [$volumes]"; else echo "volume: ${volume:-volume}"; fi)
  segment_mib: ${segment_mib:-16}
  reserve_mib: ${reserve_mib:-64}
  checkpoint_ms: ${checkpoint_ms:-500}
  fence_ms: ${fence_ms:-10000}
drain_ms: ${drain_ms:-5000}
TEXT
}

answers_or_ended() { ! kill -0 "$daemon_pid" 2> /dev/null || ctl status; }
# Starts aortad and waits until it answers; on failure prints its last line and returns 1.
start() {
        : > "$work/aortad.log"
        "$build/aortad" -c "$state/aortad.yaml" >> "$work/aortad.log" 2>&1 < /dev/null &
        daemon_pid=$!
        waits "$start_wait_s" answers_or_ended
        if ! ctl status > /dev/null 2>&1; then
                echo "aortad did not start: $(aortad_log 1)"
                kill -9 "$daemon_pid" 2> /dev/null
                wait "$daemon_pid" 2> /dev/null
                daemon_pid=
                return 1
        fi
        # A tap's interface comes with the daemon.
        [[ $device != net_tap* ]] || address_link
}

lab() {
        choose_link
        [[ $device != net_af_xdp* ]] || has_link aorta1 || lay_link || { not_ok "link: cannot make a veth pair"; finish; }
        write_config
        start || { not_ok "start: $(aortad_log)"; finish; }
}

# Starts the daemon again on its state; the configuration is left as it is.
again() {
        start || { not_ok "start again: $(aortad_log)"; finish; }
}

# Waits for the daemon's end, at most SECONDS; its status in $daemon_status.
await_end() {
        local pid=$daemon_pid
        waits "$1" gone "$pid" || { not_ok "aortad does not end within $1 s"; kill -9 "$pid"; }
        wait "$pid" 2> /dev/null
        daemon_status=$?
        daemon_pid=
}
# True for a process that ended, also while nobody waited for it.
gone() { ! grep -q '^State:[[:space:]]*[^Z]' "/proc/$1/status" 2> /dev/null; }

lab_stop() {
        [ -n "$daemon_pid" ] || return 0
        kill -TERM "$daemon_pid"
        await_end 60
}

lab_kill() {
        kill -9 "$daemon_pid"
        wait "$daemon_pid" 2> /dev/null
        daemon_pid=
}

# enrol COUNT [OPTIONS…]: simulated devices ($prefix…) into $work/sim.devices
enrol() {
        local count=$1
        shift
        rm -f "$work/sim.devices"
        ctl device add-many --prefix "${prefix:-sim-}" --count "$count" --out "$work/sim.devices" "$@" > "$work/enrol.log" 2>&1 ||
                { not_ok "enrol $count devices: $(one_line < "$work/enrol.log")"; finish; }
}
# sim OPTIONS…: the summary goes to $work/sim.json; acknowledgements to $work/acks.log, kept apart by $acks.
sim() {
        rm -f "$work/sim.json"
        "$build/aorta-sim" --gateway "${gateway:-$ip4}" --devices "${sim_devices:-$work/sim.devices}" --ack-log "${acks:-$work/acks.log}" \
                --summary "$work/sim.json" "$@" > "$work/sim.log" 2>&1 < /dev/null
}
sim_log() { one_line "${1:-3}" < "$work/sim.log"; }
field() { jq -r "$1" "$work/sim.json" 2> /dev/null; }
demo() {
        ctl device add --name demo --patient demo --lab > "$work/demo.credentials" 2>&1 ||
                { not_ok "enrol demo: $(one_line < "$work/demo.credentials")"; finish; }
}
vital='[{"bn":"urn:dev:ow:10e2073a01080063:","n":"8867-4","u":"beat/min","v":72}]'
vital_of() { echo "[{\"bn\":\"urn:dev:ow:10e2073a01080063:\",\"n\":\"8867-4\",\"u\":\"beat/min\",\"v\":$1}]"; }
# post PAYLOAD [coap-client options]: as the device demo, without OSCORE
post() {
        local payload=$1
        shift
        timeout -k 1 40 coap-client-notls -m post -t 110 -B 30 -e "$payload" "$@" "coap://${gateway:-$ip4}/vitals?d=demo" 2>&1
}
# raw HEX [SECONDS]: sends one datagram to the CoAP port, prints the answer in hexadecimal (nothing when none comes)
raw() {
        exec 3<> "/dev/udp/${gateway:-$ip4}/5683" || return 1
        xxd -r -p <<< "$1" >&3
        timeout "${2:-10}" dd bs=4096 count=1 <&3 2> /dev/null | xxd -p -c 4096
        exec 3>&-
}
# verified WHAT: the whole log and every record behind it
verified() {
        local out
        if out=$(ctl log verify --json 2>&1) && [ "$(jq -r .verified <<< "$out")" = true ]; then ok "$1"; else not_ok "$1: $(one_line <<< "$out")"; fi
}
# matched WHAT [ACK LOG]: every acknowledgement has its record, which opens; no (device, partial IV) twice in the ledger
matched() {
        local out
        if out=$(ctl log match "${2:-$work/acks.log}" --json 2>&1) && [ "$(jq -r '.lost' <<< "$out")" = 0 ] && [ "$(jq -r '.duplicates' <<< "$out")" = 0 ]; then
                ok "$1"
        else
                not_ok "$1: $(one_line <<< "$out")"
        fi
}
# capture … capture_end: what passes aorta1, to $work/capture.pcap
capture() {
        local packets=0
        rm -f "$work/capture.pcap"
        tshark -q -i aorta1 -w "$work/capture.pcap" udp > "$work/capture.log" 2>&1 < /dev/null &
        capture_pid=$!
        # It captures once a packet of ours is in the file.
        for _ in $(seq 30); do
                raw 40000001 2 > /dev/null
                packets=$(tshark -r "$work/capture.pcap" 2> /dev/null | wc -l)
                [ "$packets" -lt 2 ] || return 0
                kill -0 "$capture_pid" 2> /dev/null || break
                sleep 0.5
        done
        not_ok "capture: $(one_line < "$work/capture.log")"
        finish
}
capture_end() {
        # What was seen last must be in the file: a ping sent after all the rest.
        raw 4000ffff 5 > /dev/null
        waits 20 capture_has 70:00:ff:ff
        kill -INT "$capture_pid"
        wait "$capture_pid" 2> /dev/null
}
capture_has() { tshark -r "$work/capture.pcap" -T fields -e udp.payload "udp.payload == $1" 2> /dev/null | grep -q .; }
