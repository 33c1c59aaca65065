#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Where secrets must not be: command lines, logs, cores, files that others may read, removed devices' entries.
# shellcheck source=tests/smoke/_init.sh
. "$(dirname "$0")/_init.sh"

# holds FILE HEX: the bytes stand in the file
holds() { xxd -p "$1" | tr -d '\n' | grep -q "$2"; }

ulimit -c unlimited 2> /dev/null
lab
ctl device add --name keepme --patient carol --json > "$work/keepme.json"
ctl device add --name overwritten-device --patient dave --json > "$work/gone.json"
secret=$(jq -r .credentials.secret "$work/keepme.json")
gone=$(jq -r .credentials.secret "$work/gone.json")
demo
enrol 2
sim --records 4 --rate 20
same "records are taken" 4 "$(field .acked)"
post "$vital" > /dev/null

if [ ${#secret} -ge 32 ]; then ok "credentials are printed once"; else not_ok "no secret: $(cat "$work/keepme.json")"; fi
lacks "and not again" "$secret" "$(ctl device show keepme --json; ctl device list --json; ctl status --json)"
realm=$(xxd -p "$state/realm.key" | tr -d '\n')
for where in cmdline environ; do
        shown=$(tr '\0' ' ' < "/proc/$daemon_pid/$where")
        lacks "no secret in the daemon's $where" "$secret|$gone|$realm" "$shown"
done
lacks "no secret in the daemon's log" "$secret|$gone|$realm" "$(cat "$work/aortad.log")"
for word in "$secret" "$gone"; do
        files=$(grep -rl -- "$word" "$state" 2> /dev/null)
        while read -r file; do
                ! holds "$file" "$word" || files+=" $file"
        done < <(find "$state" -type f)
        same "no secret in clear in the state folder" '' "$files"
done

same "the state folder's mode" 700 "$(stat -c %a "$state")"
same "the control socket's mode" 600 "$(stat -c %a "$state/control.sock")"
same "no file that others may read" '' "$(find "$state" -type f -perm /077)"
same "no folder that others may enter" '' "$(find "$state" -type d -perm /077)"
same "the credentials file's mode" 600 "$(stat -c %a "$work/sim.devices")"
contains "no core files: the limit" 'Max core file size +0 +0 ' "$(cat "/proc/$daemon_pid/limits")"

# A removed device's wrapped secret is overwritten in both copies. It stands 79 bytes behind the name's first letter.
store=$state/volume/store.a
at=$(grep -abo overwritten-device "$store" | head -n 1 | cut -d : -f 1)
wrapped=$(dd if="$store" bs=1 skip=$((at + 79 + 30)) count=32 2> /dev/null | xxd -p | tr -d '\n')
if [ ${#wrapped} = 64 ] && ! [[ $wrapped =~ ^0+$ ]] && holds "$state/volume/store.b" "$wrapped"; then
        ok "a wrapped secret stands in both copies"
else
        not_ok "no wrapped secret at $at"
fi
check "device remove" ctl device remove overwritten-device
for copy in a b; do
        if holds "$state/volume/store.$copy" "$wrapped"; then not_ok "the removed secret stands in store.$copy"; else ok "the removed secret is gone from store.$copy"; fi
done

# A crash leaves no core, whatever the shell allows.
before=$(find "$here" /var/tmp "$work" -maxdepth 1 -name '*core*' 2> /dev/null | sort)
kill -SEGV "$daemon_pid"
await_end 30
same "killed by a crash" 139 "$daemon_status"
same "no core" "$before" "$(find "$here" /var/tmp "$work" -maxdepth 1 -name '*core*' 2> /dev/null | sort)"
finish
