#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The whole scenario with real programs: a server hands its clients over to
# the alternate, is stopped, comes back and takes them home, is killed while it
# serves, comes back again, and every byte is counted. Leaves nothing behind but
# build/release, and the packages that building needs if they were missing.
set -euo pipefail

source_dir=$(cd "$(dirname "$0")/.." && pwd)
bin=$source_dir/build/release/examples
clients=3
deadline_s=20
command=(server --name server --listen 127.0.0.1:0)

# progress LOG: keeps in the log what cmake and ninja print, and prints how far
# ninja has come ("[N/ALL] ...", as NINJA_STATUS says).
progress() {
  local line percent next=10
  while IFS= read -r line; do
    printf '%s\n' "$line" >>"$1"
    [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]] || continue
    percent=$((100 * BASH_REMATCH[1] / BASH_REMATCH[2]))
    for (( ; next <= percent; next += 10)); do
      printf ' %d%%' "$next"
    done
  done
}

configure_and_build() {
  cd "$source_dir"
  cmake --preset release -DHANDOFF_TESTS=OFF &&
    NINJA_STATUS='[%f/%t] ' \
      cmake --build --preset release -j "$(nproc)"
}

# The output of the compiler is of interest only if it fails.
build() {
  local log
  log=$(mktemp)
  printf 'Building the examples in build/release:'
  if (configure_and_build) 2>&1 </dev/null | progress "$log"; then
    echo ' done'
  else
    echo ' FAILED'
    cat "$log" >&2
    rm -f "$log"
    exit 1
  fi
  rm -f "$log"
}

"$source_dir/cmake/deps.sh" build
"$source_dir/cmake/check-build.sh" release
build

tmp=$(mktemp -d)
dir=$tmp/echo
start_us=${EPOCHREALTIME/[^0-9]/}

cleanup() {
  local status=$?
  trap - EXIT
  touch "$tmp/end"
  for pid in $(jobs -pr); do
    kill "$pid" 2>/dev/null || :
  done
  wait 2>/dev/null || :
  rm -rf "$tmp"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# The timeline: what the demo does, and what the programs say about it.

say() {
  local ms=$(((${EPOCHREALTIME/[^0-9]/} - start_us) / 1000))
  printf '%3d.%03d  %s\n' $((ms / 1000)) $((ms % 1000)) "$*"
}

declare -A told=()

# Prints what is new in the programs' logs.
news() {
  local log line lines
  for log in "$tmp"/*.log; do
    mapfile -t -s "${told[$log]:-0}" lines <"$log"
    for line in ${lines[@]+"${lines[@]}"}; do
      printf '         | %s\n' "$line"
    done
    told[$log]=$((${told[$log]:-0} + ${#lines[@]}))
  done
}

fail() {
  news
  say "FAILED: $*" >&2
  exit 1
}

# wait_for WHAT COMMAND...: until the command succeeds.
wait_for() {
  local what=$1 end=$((SECONDS + deadline_s))
  shift
  until "$@"; do
    [[ $SECONDS -lt $end ]] || fail "not within $deadline_s s: $what"
    sleep 0.03
  done
}

ctl() {
  "$bin/handoffctl" --dir "$dir" "$@"
}

# Tells the peers something and shows what they answer.
tell() {
  local answer
  say "\$ handoffctl $*"
  answer=$(ctl "$@" 2>&1) || fail "$answer"
  while read -r line; do
    printf '         > %s\n' "$line"
  done <<<"$answer"
}

# peer NAME KEY VALUE...: does the status of this peer say so?
peer() {
  local name=$1 object
  shift
  object=$(ctl status --json 2>/dev/null |
    grep -o "{\"name\":\"$name\"[^{}]*[{}]") || return 1
  while [[ $# -gt 0 ]]; do
    [[ $object =~ \"$1\":\"?$2[\",}] ]] || return 1
    shift 2
  done
}

gone() {
  ! kill -0 "$1" 2>/dev/null
}

# The programs

# Starts a peer; its pid is in $started then.
start() {
  local program=$1
  shift
  say "\$ $program --dir DIR $*"
  "$bin/$program" --dir "$dir" "$@" >>"$tmp/$program.log" 2>&1 </dev/null &
  started=$!
}

# A line every 20 ms until the demo ends, and never more than two minutes'.
generate() {
  local i
  for ((i = 1; i <= 6000; i++)); do
    [[ -d $tmp && ! -e $tmp/end ]] || return 0
    printf 'client %d says line %06d\n' "$1" "$i"
    sleep 0.02
  done
}

start_client() {
  "$bin/client" --dir "$dir" --connect "$address" --name "client$1" \
    < <(generate "$1" | tee "$tmp/sent.$1") \
    >"$tmp/echoed.$1" 2>"$tmp/client$1.log" &
  client_pids[$1]=$!
}

listening() {
  address=$(sed -n 's/^[^ ]* server: listening on //p' "$tmp/server.log")
  [[ -n $address ]]
}

# How many events of that kind all clients have told.
events() {
  cat "$tmp"/client[0-9]*.log | grep -cE "^[0-9T:.+-]+ [^ :]+: $1" || :
}

happened() {
  [[ $(events "$1") -ge $2 ]]
}

longer() {
  [[ $(stat -c %s "$1") -gt $2 ]]
}

# Every client gets answers now, whoever gives them.
all_served() {
  local n size
  for ((n = 1; n <= clients; n++)); do
    size=$(stat -c %s "$tmp/echoed.$n")
    wait_for "client$n to be served" longer "$tmp/echoed.$n" $((size + 200))
  done
  news
  say "all $clients clients are being served"
}

serves_all() {
  wait_for "$1 to serve all" peer "$1" role owner connections "$clients"
}

stands_by() {
  wait_for "$1 to hold a copy of all" \
    peer "$1" role standby connections 0 held "$clients"
}

# The acts

act_start() {
  start "${command[@]}"
  server_pid=$started
  wait_for 'the server to listen' listening
  start alt_server --name alt
  wait_for 'alt to stand by' peer alt role standby
  news
  say "starting $clients clients that write a line every 20 ms"
  for ((n = 1; n <= clients; n++)); do
    start_client "$n"
  done
  wait_for 'the clients to connect' happened 'connected to' "$clients"
  stands_by alt
  all_served
}

act_maintenance() {
  local before
  before=$(events handoff:)
  tell maintenance
  serves_all alt
  wait_for 'the clients to be told' happened handoff: $((before + clients))
  all_served
}

act_restart() {
  tell stop server
  wait_for 'the server to end' gone "$server_pid"
  wait "$server_pid" || fail "the server ended with status $?"
  news
  say "the server's process is gone, alt serves alone"
  all_served
  start "${command[@]}"
  server_pid=$started
  stands_by server
  all_served
}

act_ready() {
  local before
  before=$(events 'moved to')
  tell ready
  wait_for 'the clients to come home' \
    happened 'moved to' $((before + clients))
  serves_all server
  stands_by alt
  all_served
}

act_ready_silent() {
  local before
  before=$(events '')
  tell ready --silent
  serves_all server
  all_served
  [[ $(events '') -eq $before ]] || fail 'a client has noticed'
}

# No warning, no handoff: the process is killed while it serves.
act_kill() {
  local before
  before=$(events handoff:)
  say "\$ kill -9 $server_pid    # the server, which serves all"
  kill -9 "$server_pid"
  wait "$server_pid" 2>/dev/null || :
  serves_all alt
  wait_for 'the clients to be told' happened handoff: $((before + clients))
  all_served
  start "${command[@]}"
  server_pid=$started
  stands_by server
}

act_end() {
  say 'the clients end their input'
  touch "$tmp/end"
  for ((n = 1; n <= clients; n++)); do
    wait_for "client$n to end" gone "${client_pids[$n]}"
    wait "${client_pids[$n]}" || fail "client$n ended with status $?"
  done
  news
  tell stop alt
  tell stop server
  wait_for 'the server to end' gone "$server_pid"
  news
}

count() {
  local n sent=0 echoed=0 broken differ=0
  for ((n = 1; n <= clients; n++)); do
    sent=$((sent + $(stat -c %s "$tmp/sent.$n")))
    echoed=$((echoed + $(stat -c %s "$tmp/echoed.$n")))
    cmp "$tmp/sent.$n" "$tmp/echoed.$n" || differ=$((differ + 1))
  done
  broken=$(events lost:)
  echo
  echo "bytes sent          $sent"
  echo "bytes echoed        $echoed"
  echo "bytes lost          $((sent - echoed))"
  echo "connections broken  $broken"
  [[ $sent -gt 0 && $differ -eq 0 && $broken -eq 0 ]]
}

client_pids=()
act_start
act_maintenance
act_restart
act_ready
act_maintenance
act_ready_silent
act_kill
act_ready
act_end
count || fail 'that is not what was promised'
