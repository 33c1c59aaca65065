#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Breaks the ledger on purpose, one patch of this folder at a time, and runs it on simulated disks
# until a promise breaks. A mutant that no run catches is a hole in the simulation.
#
#   tests/mutants/run.sh BUILD [--seeds N] [--only PATTERN] [--missed]
#
# BUILD is a configured build folder (a release or debugoptimized one: mutants need many runs). The work
# tree is left alone: only the changed file is compiled, from a copy, and linked before the library.
# Ends with 0 when every mutant was caught.
set -u
cd "$(dirname "$(readlink -f "$0")")/../.." || exit 2

usage() {
        echo "usage: tests/mutants/run.sh BUILD [--seeds N] [--only PATTERN] [--missed]" >&2
        exit 2
}

[ $# -ge 1 ] || usage
build=$(readlink -f "$1") seeds=400 only=. limit_s=600 folder=tests/mutants
shift
while [ $# -gt 0 ]; do
        case $1 in
        --seeds) seeds=$2; shift ;;
        --only) only=$2; shift ;;
        --missed) folder=tests/mutants/missed ;;
        *) usage ;;
        esac
        shift
done
program=tests/sim/aorta-simulate
ninja -C "$build" "$program" > /dev/null || { echo "$program does not build" >&2; exit 2; }
tmp=$(mktemp -d "${TMPDIR:-/tmp}/mutants.XXXXXX") || exit 2
trap 'rm -rf "$tmp"' EXIT
caught=0 missed=0 broken=0

# The command that makes a target, from the build itself, with another output.
command_of() { # target output
        ninja -C "$build" -t commands "$1" | tail -n 1 | sed "s|-o $1|-o $2|"
}

run_mutant() { # patch
        local name file object status
        name=$(basename "$1" .patch)
        rm -rf "$tmp/copy" "$tmp/mutant.o" "$tmp/simulate"
        mkdir -p "$tmp/copy"
        cp -r ledger "$tmp/copy/"
        if ! patch -d "$tmp/copy" -p1 --fuzz=2 -s < "$1" > "$tmp/log" 2>&1; then
                echo "STALE   $name: does not apply to today's ledger"
                return 2
        fi
        file=$(sed -n 's|^+++ b/||p' "$1" | head -n 1)
        object=ledger/libledger.a.p/$(basename "$file").o
        (cd "$build" && eval "$(command_of "$object" "$tmp/mutant.o" |
                sed -E "s|-c [^ ]*$file|-c $tmp/copy/$file|; s|-M[DQF] [^ ]*||g; s|-MD||g; s|-Werror|-w|")") \
                > "$tmp/log" 2>&1 || { echo "STALE   $name: does not compile"; head -n 5 "$tmp/log"; return 2; }
        (cd "$build" && eval "$(command_of "$program" "$tmp/simulate" |
                sed "s|-o $tmp/simulate|-o $tmp/simulate $tmp/mutant.o|")") \
                > "$tmp/log" 2>&1 || { echo "STALE   $name: does not link"; head -n 5 "$tmp/log"; return 2; }
        timeout -k 5 "$limit_s" "$tmp/simulate" --seeds "1-$seeds" > "$tmp/log" 2>&1
        status=$?
        if [ $status = 0 ]; then
                echo "MISSED  $name: $(head -n 1 "$1")"
                return 1
        fi
        if [ $status = 124 ]; then
                echo "caught  $name: hangs"
        else
                echo "caught  $name: $(grep -m 1 BROKEN "$tmp/log" | cut -c1-150)"
        fi
        return 0
}

for patch in "$folder"/*.patch; do
        echo "$patch" | grep -q -e "$only" || continue
        run_mutant "$patch"
        case $? in
        0) caught=$((caught + 1)) ;;
        1) missed=$((missed + 1)) ;;
        *) broken=$((broken + 1)) ;;
        esac
done
echo "$caught mutants caught, $missed missed, $broken stale"
[ $((missed + broken)) = 0 ] && [ "$caught" -gt 0 ]
