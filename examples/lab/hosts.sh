#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Experiment: a server changes its machine while clients talk to it, the first
# machine is rebooted, and the server comes home. Three hosts, which are network
# namespaces of this machine; the clients are plain TCP connections of the shell
# and know nothing of all this. Ends with a count, and with 0 only if nothing was
# lost. Needs no root where users may have namespaces; leaves nothing behind.
#
#   examples/lab/hosts.sh [BUILD]     BUILD is build/release if not given
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
service=10.77.0.100
port=7000
clients=(anna bert carl)
patience_s=20

# Namespaces of its own for everything: network, mounts and processes, so that
# all ends with it; and as a user of its own, if it is not root's already.
alone() {
  local own=(--net --mount --pid --fork --kill-child --mount-proc)
  [[ $(id -u) -eq 0 ]] || own+=(--map-root-user)
  HANDOFF_LAB_INSIDE=1 exec unshare "${own[@]}" "$0" "$@"
}

# What a client does: one connection, over which it says a line, and waits for
# the answer, again and again. It never connects a second time. Writes how many
# answers it has.
talk() {
  local name=$1 count=0 answer end=well
  exec 3<>"/dev/tcp/$service/$port"
  while [[ ! -e $lab/end ]]; do
    count=$((count + 1))
    printf '%s says %d\n' "$name" "$count" >&3
    read -r -t "$patience_s" answer <&3 || { end=lost; break; }
    if [[ $answer != "$name says $count" ]]; then
      end="wrong: '$answer' instead of '$name says $count'"
      break
    fi
    echo "$count" >"$lab/$name.new" && mv "$lab/$name.new" "$lab/$name.count"
    sleep 0.02
  done
  echo "$end" >"$lab/$name.new" && mv "$lab/$name.new" "$lab/$name.end"
}

if [[ ${1-} == --talk ]]; then
  lab=$2
  talk "$3"
  exit
fi

build=${1:-$here/build/release}
bin=${HANDOFF_BIN:-$build/examples}
ferry=${HANDOFF_FERRY:-$build/lib/ferry}
for program in "$bin/server" "$bin/alt_server" "$bin/handoffctl" \
  "$ferry/handoff-ferry" "$ferry/handoff-unfreeze"; do
  [[ -x $program ]] || {
    echo "SKIP: $program is not here: build with the libraries of the ferry" \
      "(cmake/deps.sh build), or name the folder of a build" >&2
    exit 77
  }
done
for tool in hostname ip openssl unshare; do
  command -v "$tool" >/dev/null || {
    echo "SKIP: this takes $tool" >&2
    exit 77
  }
done
if [[ -z ${HANDOFF_LAB_INSIDE-} ]]; then
  unshare --net $([[ $(id -u) -eq 0 ]] || echo --map-root-user) true || {
    echo "SKIP: no network namespaces for this user: try as root" >&2
    exit 77
  }
  alone "$@"
fi

lab=$(mktemp -d)
mount -t tmpfs none /run
# What still runs here may make a file meanwhile.
trap 'rm -rf "$lab" 2>/dev/null || { sleep 1; rm -rf "$lab"; }' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say() {
  printf '%s\n' "$*"
}

fail() {
  say
  say "FAILED: $*"
  for log in "$lab"/*.log; do
    say "--- $(basename "$log")"
    tail -n 15 "$log"
  done
  exit 1
}

# wait_for WHAT COMMAND...
wait_for() {
  local what=$1 end=$((SECONDS + patience_s))
  shift
  until "$@"; do
    [[ $SECONDS -lt $end ]] || fail "not within $patience_s s: $what"
    sleep 0.02
  done
}

# on HOST COMMAND...: there, where the machine is called so, too.
on() {
  ip netns exec "$1" unshare --uts sh -c 'hostname "$1"; shift; exec "$@"' \
    - "$@"
}

# start HOST PROGRAM OPTION...: in the background, with a log of its own.
start() {
  local host=$1 program=$2
  shift 2
  say "  $host\$ $(basename "$program") --dir /srv/$host ..."
  on "$host" "$program" --dir "$lab/$host" "$@" \
    >>"$lab/$host-$(basename "$program").log" 2>&1 </dev/null &
}

ctl() {
  local host=$1
  shift
  on "$host" "$bin/handoffctl" --dir "$lab/$host" "$@"
}

# tell HOST WORD...: a command of the operator, and what is said about it.
tell() {
  local host=$1 answer
  shift
  say "  $host\$ handoffctl $*"
  answer=$(ctl "$host" "$@" 2>&1) || fail "$answer"
  say "    $answer"
}

build_hosts() {
  local number=0 host
  ip netns add switch
  ip -n switch link add br0 type bridge
  ip -n switch link set br0 up
  for host in A B C; do
    number=$((number + 1))
    ip netns add "$host"
    ip -n switch link add "port$host" type veth peer name eth0 netns "$host"
    ip -n switch link set "port$host" master br0 up
    ip -n "$host" link set lo up
    ip -n "$host" link set eth0 up
    ip -n "$host" addr add "10.77.0.$number/24" dev eth0
  done
  ip -n A addr add "$service/24" dev eth0
}

# A key for each ferry, and the certificate by which the other one knows it.
make_keys() {
  local host
  for host in A B; do
    mkdir -m 700 "$lab/$host"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
      -days 2 -subj "/CN=$host" -keyout "$lab/$host.key" \
      -out "$lab/$host.pem" 2>/dev/null
  done
}

# The ferry of A dials that of B; what is moved may go either way.
start_ferry() {
  local host=$1 other=B link=(--to 10.77.0.2:7001)
  [[ $host == A ]] || { other=A && link=(--listen 10.77.0.2:7001); }
  start "$host" "$ferry/handoff-ferry" "${link[@]}" --cert "$lab/$host.pem" \
    --key "$lab/$host.key" --peer-cert "$lab/$other.pem" \
    --address "$service/24" --dev eth0 --name "ferry-$host"
}

start_server() {
  start A "$bin/server" --listen "$service:$port"
}

# linked HOST: its ferry sees the other host, and a server there.
linked() {
  local status
  status=$(ctl "$1" status --json 2>/dev/null) || return 1
  [[ $status == *'"linked":true'* && $status == *'"other_has_server":true'* ]]
}

# answers HOST: something has a place in its service directory.
answers() {
  ctl "$1" status >/dev/null 2>&1
}

serves() {
  ctl "$1" status --json 2>/dev/null | grep -q '"role":"owner"'
}

count_of() {
  cat "$lab/$1.count" 2>/dev/null || echo 0
}

more_than() {
  [[ -e $lab/$1.end ]] || [[ $(count_of "$1") -gt $2 ]]
}

# Everybody is answered now, by whoever serves.
everybody_talks() {
  local name seen line=
  for name in "${clients[@]}"; do
    seen=$(count_of "$name")
    wait_for "$name to be answered" more_than "$name" $((seen + 10))
    [[ ! -e $lab/$name.end ]] || fail "$name: $(<"$lab/$name.end")"
    line+=" $name $(count_of "$name")"
  done
  say "    answers so far:$line"
}

empty() {
  [[ -z $(ip netns pids "$1") ]]
}

# Nothing that runs there survives, and nothing is told before.
lose() {
  local pids
  mapfile -t pids < <(ip netns pids "$1")
  [[ ${#pids[@]} -eq 0 ]] || kill -9 "${pids[@]}" 2>/dev/null || :
  empty "$1"
}

clients_ended() {
  local name
  for name in "${clients[@]}"; do
    [[ -e $lab/$name.end ]] || return 1
  done
}

resets() {
  on "$1" awk '$1 == "Tcp:" && $2 != "RtoAlgorithm" { print $15 }' \
    /proc/net/snmp
}

resets_of_all() {
  echo $(($(resets A) + $(resets B) + $(resets C)))
}

say "Three hosts, A, B and C, at one switch. The address of the service,"
say "$service, is on A."
build_hosts
make_keys

say
say "On A the server runs, and a ferry beside it. On B a ferry, too, and the"
say "alternate server, which has nothing to serve yet."
start_server
wait_for 'the server to serve' serves A
start_ferry B
wait_for 'the ferry of B to listen' answers B
start_ferry A
start B "$bin/alt_server"
wait_for 'the ferries to see each other, and the alternate server' linked A

say
say "On C three clients connect to $service, and talk with the server."
for name in "${clients[@]}"; do
  on C "$0" --talk "$lab" "$name" 2>>"$lab/C-$name.log" &
done
everybody_talks

say
say "The server leaves its machine, with all that the clients have open:"
tell A maintenance --to B
say "Nobody had to connect again. It is B that answers now:"
everybody_talks

say
say "So A can be rebooted: everything that runs there ends at once."
sent=$(resets_of_all)
wait_for 'the processes of A to end' lose A
# Not of a client's connection: the kernel ends the link of A's ferry.
own=$(($(resets_of_all) - sent))
say "The clients do not notice:"
everybody_talks

say
say "A is back. It starts what it always starts, the ferry first; the server"
say "waits, since B serves."
start_ferry A
wait_for 'the ferry of A to stand in' serves A
start_server
wait_for 'A to be ready' linked B

say
say "And the service comes home:"
tell A ready --silent
everybody_talks

say
say "The clients end."
touch "$lab/end"
wait_for 'the clients to end' clients_ended
lost=0
for name in "${clients[@]}"; do
  end=$(<"$lab/$name.end")
  say "  $name: $(count_of "$name") lines, each answered once; one connection;" \
    "ended $end"
  [[ $end == well ]] || lost=$((lost + 1))
done
sent=$(($(resets_of_all) - own))
say "connections lost: $lost   resets sent by any host: $sent"
[[ $lost -eq 0 && $sent -eq 0 ]] || fail "that is not what was promised"
