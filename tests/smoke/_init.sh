# SPDX-License-Identifier: Apache-2.0
# Sourced by each smoke test: a network namespace, a folder and helpers of its own.
#
#   ok WHAT · not_ok WHAT: WHY · skip WHAT: WHY · check WHAT COMMAND…
#   lab [KEY=VALUE…]     lays the link, writes the configuration, starts aortad
#   lab_stop · lab_kill  SIGTERM and wait · kill -9 and wait
#   ctl … · sim …        aortactl and aorta-sim against it
#
# The test sees only its own interfaces, so that a lab beside it goes on. finish ends every script.
set -u
if [ -z "${AORTA_IN_NAMESPACE-}" ]; then
        AORTA_IN_NAMESPACE=1 exec unshare -n -- bash "$0" "$@"
fi
here=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
cd "$here" || exit 1
build=$(readlink -f "${AORTA_BUILD:-build}")
long=${AORTA_LONG:-0}
shared=${AORTA_SHARED:-$here/../shared}
work=$(mktemp -d /var/tmp/aorta-smoke-XXXXXX)
state=$work/var
mkdir -p -m 700 "$state"
daemon_pid=
ip4=10.77.0.2 ip6=fd77::2
ip link set lo up

finish() {
        echo done
        exit 0
}

cleanup() {
        local pid
        [ -z "$daemon_pid" ] || kill -9 "$daemon_pid" 2> /dev/null
        for pid in $(jobs -p); do kill "$pid" 2> /dev/null; done
        # A folder that a test mounted goes first.
        for mount in $(awk -v w="$work" 'index($2, w) == 1 {print $2}' /proc/mounts | sort -r); do umount -l "$mount" 2> /dev/null; done
        rm -rf "$work"
}
trap cleanup EXIT

ok() { echo "ok $*"; }
not_ok() { echo "not ok $*"; }
skip() { echo "skip $*"; }
# check WHAT COMMAND…: ok when the command succeeds; its output is the reason when not.
check() {
        local what=$1 out
        shift
        if out=$("$@" 2>&1); then ok "$what"; else not_ok "$what: $(echo "$out" | tail -n 3 | tr '\n' ' ')"; fi
}
# same WHAT EXPECTED GOT
same() {
        if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1: expected '$2', got '$3'"; fi
}
# contains WHAT PATTERN TEXT
contains() {
        if grep -qE -- "$2" <<< "$3"; then ok "$1"; else not_ok "$1: no '$2' in '$(head -c 400 <<< "$3")'"; fi
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

lay_link() {
        ip link add aorta0 type veth peer name aorta1 &&
                ethtool -K aorta1 tx off > /dev/null &&
                ip link set aorta0 up &&
                ip addr add 10.77.0.1/24 dev aorta1 &&
                ip -6 addr add fd77::1/64 dev aorta1 nodad &&
                ip link set aorta1 up
}

# The configuration; a test overrides by variables: device workers worker_cores devices lab_on segment_mib
# reserve_mib checkpoint_ms drain_ms crypto extra_ledger volume.
write_config() {
        local last=$(($(nproc) - 1))
        cat > "$state/aortad.yaml" << TEXT
realm: 1
origin: smoke.aorta.example/log
lab: ${lab_on:-true}
state: $state
dataplane:
  workers: ${workers:-1}
  worker_cores: [${worker_cores:-0}]
  control_core: ${control_core:-$last}
  memory_mib: 256
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
  volume: ${volume:-volume}
  segment_mib: ${segment_mib:-16}
  reserve_mib: ${reserve_mib:-64}
  checkpoint_ms: ${checkpoint_ms:-500}
drain_ms: ${drain_ms:-5000}
TEXT
}

# Starts aortad and waits until it answers; on failure prints its last line and returns 1.
start() {
        "$build/aortad" -c "$state/aortad.yaml" >> "$work/aortad.log" 2>&1 < /dev/null &
        daemon_pid=$!
        if ! waits 60 ctl status || ! kill -0 "$daemon_pid" 2> /dev/null; then
                echo "aortad did not start: $(tail -n 1 "$work/aortad.log")"
                return 1
        fi
}

lab() {
        [ -e /sys/class/net/aorta1 ] || [ -n "${device-}" ] || lay_link || { not_ok "link: cannot make a veth pair"; finish; }
        write_config
        start || { not_ok "start: $(tail -n 3 "$work/aortad.log" | tr '\n' ' ')"; finish; }
}

lab_stop() {
        [ -n "$daemon_pid" ] || return 0
        kill -TERM "$daemon_pid"
        wait "$daemon_pid"
        daemon_status=$?
        daemon_pid=
}

lab_kill() {
        kill -9 "$daemon_pid"
        wait "$daemon_pid" 2> /dev/null
        daemon_pid=
}

# enrol COUNT: simulated devices into $work/sim.devices
enrol() { ctl device add-many --prefix "sim-" --count "$1" --out "$work/sim.devices"; }
# sim OPTIONS…: the summary goes to $work/sim.json
sim() {
        "$build/aorta-sim" --gateway "$ip4" --source 10.77.0.1 --devices "$work/sim.devices" --ack-log "$work/acks.log" \
                --summary "$work/sim.json" "$@" > "$work/sim.log" 2>&1
}
field() { jq -r "$1" "$work/sim.json"; }
demo() { ctl device add --name demo --patient demo --lab > "$work/demo.credentials"; }
post() { # PAYLOAD [coap-client options]
        local payload=$1
        shift
        coap-client-notls -m post -t 110 -B 10 -e "$payload" "$@" "coap://$ip4/vitals?d=demo" 2>&1
}
vital='[{"bn":"urn:dev:ow:10e2073a01080063:","n":"8867-4","u":"beat/min","v":72}]'
