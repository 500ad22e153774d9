#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The unit tests under valgrind: an error of memory or a block that is lost is
# a failure. Those that failed are named at the end.
# usage: valgrind.sh BUILD_DIRECTORY
set -eu

# A child that leaves by _exit(2) has what is still in use taken for lost: in
# the programs that have such children only errors of memory count. They are
# looked at for leaks by AddressSanitizer.
export children=' control daemon datafile mq_limits nats_nats '
children+='tls_handshake tls_random '
export HANDOFF_VALGRIND=1 pidfd="$1/tests/tools/libpidfd.so"

# These take longest, so they begin first.
longest=(lease_simulation ferry_address ferry_message ferry_channel_fault
  ferry_channel guard ferry_tls ferry_gate still ferry_channel_strangers
  ferry_cut record_model dump keeper call_answers ferry_gate_hostile)

programs=()
for program in "${longest[@]/#/test_}"; do
  for program in "$1"/tests/"$program" "$1"/tests/*/"$program"; do
    if [ -x "$program" ]; then
      programs+=("$program")
    fi
  done
done
for program in "$1"/tests/test_* "$1"/tests/*/test_*; do
  if [ -x "$program" ] && [ -f "$program" ] &&
    [[ " ${programs[*]} " != *" $program "* ]]; then
    programs+=("$program")
  fi
done
[ ${#programs[@]} -gt 0 ]

failed=$(mktemp)
trap 'rm -f "$failed"' EXIT
export failed

# Most of them wait more than they compute.
printf '%s\0' "${programs[@]}" | xargs -0 -P "$((3 * $(nproc)))" -I {} sh -c '
  lost=definite
  case $children in *" ${1##*/test_} "*) lost=none ;; esac
  if log=$(LD_PRELOAD=$pidfd timeout 600 valgrind -q --error-exitcode=9 \
      --leak-check=full --errors-for-leak-kinds=$lost \
      --child-silent-after-fork=yes "$1" 2>&1); then
    echo "ok ${1##*/}"
  else
    echo "FAILED ${1##*/} (status $?)"
    printf "%s\n" "$log"
    echo "${1##*/}" >>"$failed"
  fi' - {}
echo "${#programs[@]} programs"
sed 's/^/FAILED: /' "$failed"
[ ! -s "$failed" ]
