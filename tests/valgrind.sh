#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The unit tests under valgrind: an error of memory or a block that is lost is
# a failure.
# usage: valgrind.sh BUILD_DIRECTORY
set -eu

# Those that cannot run there. valgrind 3.19 does not know pidfd_open(2), so
# that no two peers meet; it has a descriptor table of its own, so that one is
# never full; in a child that leaves by _exit(2) it takes what is still in use
# for lost; and it is twenty times too slow for the bounds of some.
without=(
  join mirror give survive server moves open dump call daemon daemon_log pidfile
  adopted ask convert embed orders takeover last metrics tally
  fdpass link
  control mq_limits datafile
  model snapshot arena client_fault bulletin loop
)

programs=()
for program in "$1"/tests/test_* "$1"/tests/examples/test_*; do
  name=${program##*/test_}
  if [ -x "$program" ] && [ -f "$program" ] &&
    [[ " ${without[*]} " != *" $name "* ]]; then
    programs+=("$program")
  fi
done
[ ${#programs[@]} -gt 0 ]

printf '%s\0' "${programs[@]}" | xargs -0 -P "$(nproc)" -I {} sh -c '
  if log=$(timeout 120 valgrind -q --error-exitcode=9 --leak-check=full \
      --child-silent-after-fork=yes "$1" 2>&1); then
    echo "ok ${1##*/}"
  else
    echo "FAILED ${1##*/}"
    printf "%s\n" "$log"
    exit 1
  fi' - {}
echo "${#programs[@]} programs, without: ${without[*]}"
