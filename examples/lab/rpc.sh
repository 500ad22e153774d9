#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Experiment: a remote procedure call whose server is killed in its midst, when
# the procedure has changed everything and not returned yet. The other peer
# executes the call again, as if for the first time, and the client gets one
# reply. Ends with a count, and with 0 only if the course is there once. Leaves
# nothing behind.
#
#   examples/lab/rpc.sh [BUILD]       BUILD is build/release if not given
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bin=${HANDOFF_BIN:-${1:-$here/build/release}/examples}
patience_s=${HANDOFF_PATIENCE_S:-30}

for program in rpc_server rpc_client handoffctl; do
  [[ -x $bin/$program ]] || {
    echo "SKIP: $bin/$program is not here: it takes libtirpc and rpcgen" \
      '(cmake/deps.sh installs them)' >&2
    exit 77
  }
done

tmp=$(mktemp -d)
pids=()
finish() {
  kill -9 "${pids[@]}" 2>/dev/null || :
  wait 2>/dev/null || :
  rm -rf "$tmp"
}
trap finish EXIT

say() {
  printf '%s\n' "$@"
}

# await FILE PATTERN: the first line of it that matches.
await() {
  local line
  for ((i = 0; i < patience_s * 20; i++)); do
    if line=$(grep -s -m 1 -E "$2" "$tmp/$1"); then
      say "    $line"
      return
    fi
    sleep 0.05
  done
  say "'$2' has not come in $patience_s s; $1 has:" >&2
  cat "$tmp/$1" >&2
  exit 1
}

# serve LOG NAME OPTION...: starts a peer.
serve() {
  "$bin/rpc_server" --dir "$tmp/svc" --name "$2" "${@:3}" >"$tmp/$1" \
    2>"$tmp/errors.$1" &
  pids+=($!)
}

# call LINE: a line for the client, which makes a call of it.
call() {
  say "  > $1"
  say "$1" >&3
}

say 'S serves the timetable, AS is the standby. A client has logged in, by a' \
  'call of login_1; its procedure runs in S:'
serve S S --listen 127.0.0.1:0 --pause 3600
server=$!
address=$(await S 'listening on' | sed 's/.* on //')
await S ': owner:' >"$tmp/shown"
serve AS AS
await AS ': standby:' >"$tmp/shown"
mkfifo "$tmp/lines"
"$bin/rpc_client" --connect "$address" anna <"$tmp/lines" >"$tmp/client" &
pids+=($!)
exec 3>"$tmp/lines"
await client 'logged in'
# AS has a copy of the connection then.
for ((i = 0; i < patience_s * 20; i++)); do
  ! "$bin/handoffctl" --dir "$tmp/svc" status 2>/dev/null |
    grep -qE '^AS +[0-9]+ +standby +loop +0 +1 ' || break
  sleep 0.05
done

say '' 'It adds a course. The procedure writes it, and waits before it returns:'
call 'add monday 09:30 algebra r101'
await S 'row 1 is written'

say '' 'S is killed there. AS takes over, with a table without that row:'
say "  \$ kill -9 $server"
disown "$server"
kill -9 "$server"
await AS ': owner:'

say '' 'A call in whose midst a process died is tried again when there is a' \
  'standby, lest it kill the service. S is started again, and AS executes it:'
serve S2 S
await AS 'row 1 is written'
await client '^added'

say '' 'The client has its answer, once, and notices nothing else:'
call 'day monday'
await client '^monday'
await client ' on monday'
exec 3>&-

say ''
count=$(sed -n 's/ on monday//p' "$tmp/client")
answers=$(grep -c '^added, 1 now$' "$tmp/client" || :)
lines=$(wc -l <"$tmp/client")
say "courses: $count of 1   answers to the call: $answers" \
  "lines of the client: $lines of 4"
[[ $count == 1 && $answers == 1 && $lines == 4 ]]
