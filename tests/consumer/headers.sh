#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Each installed header is enough by itself, in strict C17 and C++17, with each
# compiler that is there, with no macro defined, and may be included twice.
. "$(dirname "$0")/common.sh"
need "$CC" "$CXX"

for component in development systemd_development zookeeper_development \
  nats_development rpc_development tls_development; do
  install_to "$tmp/prefix" --component "$component"
done
# One includes the headers of libtirpc.
read -ra foreign < <(pkg-config --cflags-only-I libtirpc 2>/dev/null |
  sed 's/-I/-isystem /g' || :) || :
mapfile -t headers < <(find "$tmp/prefix/include" -name '*.h' -printf '%P\n')
[[ ${#headers[@]} -gt 1 ]] || fail 'no headers were installed'

# alone COMPILER STANDARD SUFFIX
alone() {
  local header
  command -v "$1" >/dev/null || return 0
  for header in "${headers[@]}"; do
    printf '#include <%s>\n' "$header" "$header" >"$tmp/alone.$3"
    quiet "$1" "-std=$2" "${warnings[@]}" -Wshadow -Wundef -fsyntax-only \
      -I "$tmp/prefix/include" "${foreign[@]}" "$tmp/alone.$3"
  done
  compilers+=("$1")
}

compilers=()
for compiler in $(printf '%s\n' "$CC" gcc clang | sort -u); do
  alone "$compiler" c17 c
done
for compiler in $(printf '%s\n' "$CXX" g++ clang++ | sort -u); do
  alone "$compiler" c++17 cpp
done
echo "${#headers[@]} headers with ${compilers[*]}"
