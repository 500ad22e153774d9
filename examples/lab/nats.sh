#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Experiment: a client on another host hears of handoffs by NATS, also of one
# that took place while its cable was pulled, and of one while the NATS server
# was down. The other host is a network namespace of this machine. Ends with a
# count, and with 0 only if the client heard all and each line was answered.
# Needs no root where users may have namespaces; leaves nothing behind.
#
#   examples/lab/nats.sh [BUILD]      BUILD is build/release if not given
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bin=${HANDOFF_BIN:-${1:-$here/build/release}/examples}
nats=${HANDOFF_NATS_SERVER:-$here/build/nats-server/usr/sbin/nats-server}
[[ -x $nats ]] || nats=$(command -v nats-server || :)
near=10.79.0.1
notices=nats://$near:4222/echo
patience_s=30

skip() {
  echo "SKIP: $*" >&2
  exit 77
}

for program in server alt_server client handoffctl; do
  [[ -x $bin/$program ]] || skip "$bin/$program is not here: build it," \
    "or name the folder of a build"
done
[[ -n $nats ]] || skip 'there is no nats-server: cmake/deps.sh engines'
# It says which addresses it knows.
[[ $("$bin/handoffctl" notices none: 2>&1 || :) == *nats:* ]] ||
  skip 'built without libnats: cmake/deps.sh installs it'
if [[ -z ${HANDOFF_LAB_INSIDE-} ]]; then
  own=(--net --mount --pid --fork --kill-child --mount-proc)
  [[ $(id -u) -eq 0 ]] || own+=(--map-root-user)
  unshare "${own[@]}" true || skip 'no namespaces for this user: try as root'
  HANDOFF_LAB_INSIDE=1 exec unshare "${own[@]}" "$0" "$@"
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

# wait_for LOG TEXT [TIMES]
wait_for() {
  local end=$((SECONDS + patience_s))
  until [[ $(grep -cF "$2" "$lab/$1.log" || :) -ge ${3:-1} ]]; do
    [[ $SECONDS -lt $end ]] || fail "not within $patience_s s: $1: $2"
    sleep 0.05
  done
}

# start LOG COMMAND...
start() {
  local log=$1
  shift
  "$@" >>"$lab/$log.log" 2>&1 </dev/null &
}

start_nats() {
  start nats "$nats" -a $near -js -sd "$lab/nats"
  nats_pid=$!
}

tell() {
  say "  \$ handoffctl $*"
  "$bin/handoffctl" --dir "$lab/svc" "$@" 2>&1 | sed 's/^/    /'
}

# hears TEXT [TIMES]: what the client says about a notice.
hears() {
  wait_for client "$1" "${2:-1}"
  say "    far: $(grep -F "$1" "$lab/client.log" | tail -n 1)"
}

lines=0
talk() {
  lines=$((lines + 1))
  echo "line $lines" >&4
  wait_for client "line $lines"
}

say "A host called far, at the other end of a cable."
ip link set lo up
ip netns add far
ip link add near type veth peer name eth0 netns far
ip addr add $near/24 dev near
ip link set near up
ip -n far link set lo up
ip -n far addr add 10.79.0.2/24 dev eth0
ip -n far link set eth0 up

say "Here a NATS server, and the two servers; on far a client."
start_nats
wait_for nats 'Server is ready'
start server "$bin/server" --dir "$lab/svc" --listen $near:7000 \
  --notices "mq:$lab/svc" --notices "$notices"
wait_for server 'owner: serves echo'
start alt "$bin/alt_server" --dir "$lab/svc" --notices "mq:$lab/svc" \
  --notices "$notices"
wait_for alt 'standby: server'
mkfifo "$lab/typed"
exec 4<>"$lab/typed"
ip netns exec far "$bin/client" --connect $near:7000 --notices "$notices" \
  <"$lab/typed" >"$lab/client.log" 2>&1 &
wait_for client 'connected to'
talk

say
say "The service is handed over:"
tell maintenance
hears 'serves now (MAINTENANCE)'
talk

say
say "It comes home while the cable is pulled. The client hears of it later:"
ip link set near down
tell ready
ip link set near up
hears 'moved to'
talk

say
say "The NATS server is killed, and the service handed over. It serves on, and"
say "the notice waits until the NATS server is back:"
kill -9 "$nats_pid"
wait "$nats_pid" 2>/dev/null || :
tell maintenance
talk
start_nats
hears 'serves now (MAINTENANCE)' 2
talk

say
say "lines answered: $(grep -c '^line ' "$lab/client.log") of $lines" \
  "  handoffs heard of: 3 of 3"
[[ $(grep -c '^line ' "$lab/client.log") -eq $lines ]] ||
  fail 'a line was answered twice'
