#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Three workers on two cores behind one queue: packets that land on the wrong worker reach their context's owner, and
# each record is made once.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

lab_on=false workers=3 worker_cores="${cpus[0]}, ${cpus[-1]}, ${cpus[0]}"
lab
same "three workers run" 3 "$(status .workers)"
enrol 300
sim --for 5 --rate 1000 --drain 15 --duplicate 0.2
same "no wrong answer" 0 "$(field .errors)"
same "all acknowledged" "$(field .sent)" "$(field .acked)"
if [ "$(status .counters.strays)" -gt 0 ]; then ok "requests were handed over"; else not_ok "no request was handed over"; fi
matched "each has its record, once"
same "no record beside them" "$(field .acked)" "$(status .leaves)"
verified "the log verifies"
cp "$work/acks.log" "$work/first.log"
lab_stop
same "a clean stop" 0 "$daemon_status"

# Another number of workers: other owners, the same windows.
workers=2 worker_cores="${cpus[0]}, ${cpus[-1]}"
write_config
again
sim --records 300 --rate 300 --drain 15
same "two workers: all acknowledged" 300 "$(field .acked)"
same "two workers: no challenge" 0 "$(field .echo)"
cat "$work/acks.log" >> "$work/first.log"
matched "two workers: each has its record, once" "$work/first.log"
finish
