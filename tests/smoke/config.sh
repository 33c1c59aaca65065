#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The configuration is read strictly, and the programs say how they are used.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

aortad() { timeout 20 "$build/aortad" "$@" < /dev/null; }
# refused WHAT PATTERN: the configuration in $work/bad.yaml
refused() {
        local out status
        out=$(aortad -c "$work/bad.yaml" --check 2>&1)
        status=$?
        same "$1: exit status" 1 "$status"
        contains "$1: the place and the reason" "bad\.yaml:$2" "$out"
}

write_config
out=$(aortad -c "$state/aortad.yaml" --check 2>&1)
same "a good configuration passes --check" 0 $?
contains "and --check says so" good "$out"
same "--check makes no state" aortad.yaml "$(ls "$state")"

sed 's/^lab: .*/&\ncolour: blue/' "$state/aortad.yaml" > "$work/bad.yaml"
refused "an unknown key" '4:1: .*colour'
sed 's/^  workers: .*/&\n  colour: blue/' "$state/aortad.yaml" > "$work/bad.yaml"
refused "an unknown key in a section" '7:3: .*colour'
sed 's/^realm: .*/&\nrealm: 2/' "$state/aortad.yaml" > "$work/bad.yaml"
refused "a key twice" '2:1: .*realm'
sed 's/^realm: .*/realm: many/' "$state/aortad.yaml" > "$work/bad.yaml"
refused "a word for a number" '1:8: '
sed 's/^  workers: .*/  workers: 99/' "$state/aortad.yaml" > "$work/bad.yaml"
refused "a number out of range" '6:12: '
sed 's/^  ip4: .*/  ip4: 10.77.0.256/' "$state/aortad.yaml" > "$work/bad.yaml"
refused "a bad address" '[0-9]+:8: '
sed 's/^lab: .*/lab: perhaps/' "$state/aortad.yaml" > "$work/bad.yaml"
refused "a bad flag" '3:6: '
printf 'realm: [1\n' > "$work/bad.yaml"
refused "broken YAML" '[0-9]+:[0-9]+: '
: > "$work/bad.yaml"
refused "an empty file" ''
refuses "a missing file" 'absent\.yaml.*No such file' aortad -c "$work/absent.yaml" --check
refuses "a folder for a file" "$work" aortad -c "$work" --check

out=$(aortad --help 2> /dev/null)
same "aortad --help succeeds" 0 $?
contains "and tells the usage" '^usage: aortad' "$out"
for usage in "" "-c" "--frob" "-c $state/aortad.yaml more"; do
        # shellcheck disable=SC2086
        aortad $usage > /dev/null 2>&1
        same "aortad $usage: usage" 2 $?
done
for program in aortactl aorta-sim aorta-bench; do
        out=$(timeout 20 "$build/$program" --help 2> /dev/null < /dev/null)
        same "$program --help succeeds" 0 $?
        contains "$program --help tells the usage" "^usage: $program" "$out"
        timeout 20 "$build/$program" --frob > /dev/null 2>&1 < /dev/null
        same "$program with an unknown option: usage" 2 $?
done
refuses "aortactl without a daemon says what is missing" 'no .*(aortad|daemon|socket)|aortad.*run' ctl status
finish
