#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The unit tests under valgrind: an error of memory or a block that is lost is
# a failure.
# usage: valgrind.sh BUILD_DIRECTORY
set -eu

# A child that leaves by _exit(2) has what is still in use taken for lost: in
# the programs that have such children only errors of memory count. They are
# looked at for leaks by AddressSanitizer.
export children=' control daemon datafile mq_limits '
export HANDOFF_VALGRIND=1 pidfd="$1/tests/tools/libpidfd.so"

programs=()
for program in "$1"/tests/test_* "$1"/tests/*/test_*; do
  if [ -x "$program" ] && [ -f "$program" ]; then
    programs+=("$program")
  fi
done
[ ${#programs[@]} -gt 0 ]

printf '%s\0' "${programs[@]}" | xargs -0 -P "$(nproc)" -I {} sh -c '
  lost=definite
  case $children in *" ${1##*/test_} "*) lost=none ;; esac
  if log=$(LD_PRELOAD=$pidfd timeout 300 valgrind -q --error-exitcode=9 \
      --leak-check=full --errors-for-leak-kinds=$lost \
      --child-silent-after-fork=yes "$1" 2>&1); then
    echo "ok ${1##*/}"
  else
    echo "FAILED ${1##*/}"
    printf "%s\n" "$log"
    exit 1
  fi' - {}
echo "${#programs[@]} programs"
