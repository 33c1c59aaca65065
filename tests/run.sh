#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs every test of built trees and ends with one line: N passed, N failed.
#
#   tests/run.sh DEBUG_BUILD RELEASE_BUILD FUZZ_BUILD [--long] [--only PATTERN]
#
# Unit tests and packet fixtures run under ASan and UBSan from DEBUG_BUILD, fuzz harnesses for a fixed number
# of inputs from FUZZ_BUILD, smoke tests against the programs of RELEASE_BUILD. Every log is kept in
# RELEASE_BUILD/test-logs.
set -u
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1

[ $# -ge 3 ] || { echo "usage: tests/run.sh DEBUG_BUILD RELEASE_BUILD FUZZ_BUILD [--long] [--only PATTERN]" >&2; exit 2; }
debug=$1 release=$2 fuzz=$3
shift 3
long=0 only=.
while [ $# -gt 0 ]; do
        case $1 in
        --long) long=1 ;;
        --only)
                [ $# -ge 2 ] || { echo "tests/run.sh: --only needs a pattern" >&2; exit 2; }
                only=$2
                shift
                ;;
        *) echo "tests/run.sh: unknown option $1" >&2; exit 2 ;;
        esac
        shift
done
export AORTA_LONG=$long AORTA_BUILD=$release
logs=$release/test-logs
rm -rf "$logs"
mkdir -p "$logs"
results=$logs/results # one line a test: pass|fail|skip TAB name TAB why
: > "$results"
fuzz_runs=$([ "$long" = 1 ] && echo 5000000 || echo 200000)

record() {
        printf '%s\t%s\t%s\n' "$1" "$2" "${3-}" >> "$results"
}

# A Criterion binary. Criterion prints one synthesis line; without it the program died.
run_unit() {
        local binary=$1 name=$2 log=$logs/${2//\//-}.log synthesis tested passing
        ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
                timeout -k 10 300 "$binary" --jobs 1 --color=never --always-succeed > "$log" 2>&1 < /dev/null
        local status=$?
        synthesis=$(grep -o 'Tested: [0-9]* | Passing: [0-9]* | Failing: [0-9]* | Crashing: [0-9]*' "$log" | tail -n 1)
        if [ -z "$synthesis" ]; then
                record fail "$name" "no result (exit status $status); see $log"
                echo "FAILED $name: ended without a result (exit status $status)"
                tail -n 25 "$log" | sed 's/^/    /'
                return
        fi
        tested=$(echo "$synthesis" | sed 's/Tested: \([0-9]*\).*/\1/')
        passing=$(echo "$synthesis" | sed 's/.*Passing: \([0-9]*\).*/\1/')
        grep -o '^SKIPPED .*' "$log" | while read -r _ what; do record skip "$name" "$what"; done
        for ((i = 0; i < passing; i++)); do record pass "$name"; done
        for ((i = passing; i < tested; i++)); do record fail "$name" "see $log"; done
        if [ "$tested" = 0 ]; then
                record fail "$name" "holds no test"
                echo "FAILED $name: holds no test"
        elif [ "$passing" != "$tested" ]; then
                { echo "FAILED $name"; grep -v '^\[====\] Running' "$log" | head -n 60 | sed 's/^/    /'; }
        fi
        echo "$name: $passing of $tested passed"
}

# A smoke test prints lines: "ok WHAT", "not ok WHAT: why", "skip WHAT: why"; the last is "done".
run_smoke() {
        local script=$1 name log begin passed=0 all=0 verdict rest status
        name=smoke/$(basename "$script" .sh)
        log=$logs/${name//\//-}.log
        begin=$SECONDS
        timeout -k 20 "$([ "$long" = 1 ] && echo 3600 || echo 300)" bash "$script" > "$log" 2>&1 < /dev/null
        status=$?
        while read -r verdict rest; do
                case $verdict in
                ok) record pass "$name" "$rest"; passed=$((passed + 1)); all=$((all + 1)) ;;
                not) record fail "$name" "${rest#ok }"; all=$((all + 1)); echo "FAILED $name: ${rest#ok }" ;;
                skip) record skip "$name" "$rest" ;;
                esac
        done < <(grep -E '^(ok|not ok|skip) ' "$log")
        if [ "$status" != 0 ] || ! tail -n 1 "$log" | grep -qx 'done'; then
                record fail "$name" "did not run to its end (exit status $status); see $log"
                echo "FAILED $name: did not run to its end (exit status $status)"
                tail -n 25 "$log" | sed 's/^/    /'
        fi
        echo "$name: $passed of $all ($((SECONDS - begin)) s)"
}

units=$(find "$debug/tests/unit" "$debug/tests/packets" -type f -perm -u+x 2> /dev/null | grep -v '\.p/' | sort)
[ -n "$units" ] || { record fail unit "no test binary in $debug"; echo "FAILED unit: no test binary in $debug"; }
name_of() { # tests/unit/ROOM/…/ROOM_NAME -> ROOM/NAME
        local path=${1#"$debug"/tests/} room base
        path=${path#unit/}
        room=${path%%/*} base=${path##*/}
        echo "$room/${base#"$room"_}"
}
running=0
for binary in $units; do
        name=$(name_of "$binary")
        [[ $name =~ $only ]] || continue
        run_unit "$binary" "$name" &
        running=$((running + 1))
        if [ "$running" -ge 2 ]; then
                wait -n
                running=$((running - 1))
        fi
done
wait

for source in tests/fuzz/fuzz_*.c; do
        [ -e "$source" ] || continue
        name=fuzz/$(basename "$source" .c)
        [[ $name =~ $only ]] || continue
        log=$logs/${name//\//-}.log
        begin=$SECONDS
        corpus=tests/fuzz/corpus/$(basename "$source" .c)
        [ -d "$corpus" ] || corpus=
        scratch=$(mktemp -d)
        # Findings are written beside the logs; the corpus in the tree is only read.
        if timeout -k 10 600 "$fuzz/tests/fuzz/$(basename "$source" .c)" -runs="$fuzz_runs" -seed=1 -max_len=2048 -rss_limit_mb=2048 \
                -artifact_prefix="$logs/" "$scratch" ${corpus:+"$corpus"} > "$log" 2>&1 < /dev/null && grep -q 'Done [0-9]* runs' "$log"; then
                record pass "$name"
                echo "$name: $fuzz_runs inputs ($((SECONDS - begin)) s)"
        else
                record fail "$name" "see $log"
                echo "FAILED $name"
                tail -n 30 "$log" | sed 's/^/    /'
        fi
        rm -rf "$scratch"
done

# Broken ledgers over simulated disks: many runs each, so only in the long set.
if [ "$long" = 1 ] && [[ mutants =~ $only ]]; then
        log=$logs/mutants.log
        begin=$SECONDS
        tests/mutants/run.sh "$debug" > "$log" 2>&1 < /dev/null
        while read -r verdict name _; do
                case $verdict in
                caught) record pass mutants "${name%:}" ;;
                MISSED | STALE) record fail mutants "${name%:}: $verdict"; echo "FAILED mutants: ${name%:} ($verdict)" ;;
                esac
        done < "$log"
        grep -q '^caught' "$log" || record fail mutants "none was caught; see $log"
        echo "mutants: $(grep -c '^caught' "$log") caught ($((SECONDS - begin)) s)"
fi

for script in tests/smoke/[a-z]*.sh; do
        [ -e "$script" ] || continue
        [[ smoke/$(basename "$script" .sh) =~ $only ]] || continue
        run_smoke "$script"
done

if grep -q '^skip' "$results"; then
        echo "skipped:"
        grep '^skip' "$results" | cut -f 2,3 | tr '\t' ' ' | sort -u | sed 's/^/  /'
fi
passed=$(grep -c '^pass' "$results")
failed=$(grep -c '^fail' "$results")
if [ "$failed" != 0 ]; then
        echo "failed:"
        grep '^fail' "$results" | cut -f 2,3 | tr '\t' ' ' | sort -u | sed 's/^/  /'
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
