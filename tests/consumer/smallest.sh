#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The program that README.md shows, built as it says against what is installed,
# does what it says: started twice, the first is killed, and the connection
# that it served goes on in the second. What goes wrong is said.
. "$(dirname "$0")/common.sh"
need pkg-config

lib=$(cached CMAKE_INSTALL_LIBDIR)
install_to "$tmp/prefix"
program=$tmp/smallest
read -ra flags < <(PKG_CONFIG_PATH=$tmp/prefix/$lib/pkgconfig \
  pkg-config --cflags --libs handoff)
quiet "$CC" -std=c17 "${warnings[@]}" "$source_dir/examples/smallest.c" \
  -o "$program" "${flags[@]}"
export LD_LIBRARY_PATH=$tmp/prefix/$lib

cleanup() {
  # It waits for them: nothing may be left in the directory when that goes.
  kill -KILL $(jobs -pr) 2>/dev/null || :
  wait 2>/dev/null || :
  rm -rf "$tmp"
}
trap cleanup EXIT

# wait_for FILE REGEX: until a line of the file matches; prints what the group
# in it stands for.
wait_for() {
  local end=$((SECONDS + 20)) found
  until found=$(sed -nE "s/^$2.*/\1/p" "$1") && [[ $found ]]; do
    ((SECONDS < end)) || fail "no line '$2': $(cat "$1")"
    sleep 0.02
  done
  echo "$found"
}

# echoed LINE: over the connection 3.
echoed() {
  local line
  echo "$1" >&3
  read -r -t 20 line <&3 || fail "no answer to '$1': $(cat "$tmp"/*.err)"
  same "answer" "$1" "$line"
}

# The directory as an option, and of the environment.
"$program" --dir "$tmp/service" --listen 127.0.0.1:0 2>"$tmp/1.err" &
first=$!
address=$(wait_for "$tmp/1.err" 'listening on ([0-9.:]+)')
wait_for "$tmp/1.err" '(owner): ' >/dev/null
HANDOFF_DIR=$tmp/service "$program" --listen "$address" 2>"$tmp/2.err" &
second=$!
wait_for "$tmp/2.err" '(standby): ' >/dev/null

exec 3<>"/dev/tcp/${address%:*}/${address#*:}"
echoed 'before'
# A connection is copied at the end of the turn in which it was accepted, and
# before anything is read from it: one that was answered is covered.
kill -KILL "$first"
wait "$first" 2>/dev/null || :
echoed 'and after its death'
wait_for "$tmp/2.err" '(owner): ' >/dev/null

kill -TERM "$second"
wait "$second" || fail "ends with status $?: $(cat "$tmp/2.err")"
wait_for "$tmp/2.err" '(stopped)' >/dev/null

# refused WORDS OPTION...: does not start, and says why.
refused() {
  local status=0
  timeout 20 "$program" "${@:2}" 2>"$tmp/3.err" || status=$?
  same 'exit status' 1 "$status"
  grep -qF -e "$1" "$tmp/3.err" || fail "${*:2}: $(cat "$tmp/3.err")"
}

refused '/proc/echo: cannot create it: ' --dir /proc/echo --listen 127.0.0.1:0
refused "--model: 'fast' is none of loop," --dir "$tmp/service" --model fast
refused 'there is no service directory' --listen 127.0.0.1:0
refused '  --listen ADDR ' --help
