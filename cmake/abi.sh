#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The binary interface is what cmake/abi/*.xml describes: symbols and their
# versions, types of functions, layouts, enumerators, and numbers that are
# macros. Any difference fails, additions too, until the description that is
# committed with them has them.
#
# What is described is a library of stubs that is made of the public headers and
# the map: it has what programs see and nothing else, so that the description is
# small and holds nothing of a compiler, of a libc, or of the machine. That the
# real library has these functions and no others, the compiler and
# tests/symbols.sh see to.
#
# usage: abi.sh [--update]
set -euo pipefail
cd "$(dirname "$0")/.." || exit 1
cc=${CC:-cc}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

for tool in abidw abidiff; do
  if ! command -v "$tool" >/dev/null; then
    echo "left out: this takes $tool, of abigail-tools"
    exit 77
  fi
done

# One header includes those of libtirpc; without these its description stays as
# it is.
names=(libhandoff libhandoff-systemd libhandoff-nats libhandoff-zookeeper
  libhandoff-tls)
headers=(-Iinclude)
if foreign=$(pkg-config --cflags-only-I libtirpc 2>/dev/null); then
  names+=(libhandoff-rpc)
  headers+=(-isystem "$(xargs <<<"${foreign#-I}")")
fi

# What every public declaration begins with, after the preprocessor.
api='__attribute__((visibility("default")))'

# stubs HEADER: each function as a definition, each number as the size of an
# array. Versions are another with each release.
stubs() {
  printf '#include <%s>\n' "$1"
  "$cc" -E -P "${headers[@]}" include/"$1" | tr '\n\t' '  ' |
    sed "s/$api/\n@/g" | sed -n 's/^@ *\([^;{]*)\) *;.*/\1 { __builtin_trap(); }/p'
  "$cc" -E -dM "${headers[@]}" include/"$1" | grep -v VERSION | sort |
    sed -n 's/^#define \(HANDOFF_[A-Z_]*\) [0-9][0-9]*$/char number_\1[\1];/p'
}

# describe NAME MAP HEADER: writes $tmp/NAME.xml
describe() {
  stubs "$3" >"$tmp/stubs.c"
  sed "s/local:/${4-}\n&/" "$2" >"$tmp/map"
  "$cc" -std=c17 -g -w -fPIC -shared -nostdlib "${headers[@]}" \
    -fdebug-prefix-map="$PWD"=. -fdebug-prefix-map="$tmp"=. \
    -Wl,-soname,"$1.so" -Wl,--version-script="$tmp/map" \
    -o "$tmp/$1.so" "$tmp/stubs.c"
  abidw --no-corpus-path --no-comp-dir-path --no-show-locs --no-architecture \
    --no-elf-needed --no-parameter-names --type-id-style hash \
    --out-file "$tmp/$1.xml" "$tmp/$1.so"
}

describe libhandoff lib/handoff.map handoff.h 'number_*;'
describe libhandoff-systemd lib/systemd/handoff-systemd.map handoff/systemd.h
describe libhandoff-nats lib/nats/handoff-nats.map handoff/nats.h
describe libhandoff-zookeeper lib/zookeeper/handoff-zookeeper.map \
  handoff/zookeeper.h
describe libhandoff-tls lib/tls/handoff-tls.map handoff/tls.h
if [[ ${names[*]} == *-rpc ]]; then
  describe libhandoff-rpc lib/rpc/handoff-rpc.map handoff/rpc.h
fi

if [ "${1-}" = --update ]; then
  mkdir -p cmake/abi
  cp "$tmp"/libhandoff*.xml cmake/abi/
  exit
fi

differs=0
for name in "${names[@]}"; do
  # Its exit status is a set of bits, 0 if nothing differs.
  abidiff --harmless --no-default-suppression "cmake/abi/$name.xml" \
    "$tmp/$name.xml" || differs=1
done
if [ "$differs" -ne 0 ]; then
  echo 'The binary interface differs from its description. If that is meant,'
  echo 'commit the description of the new one: cmake/abi.sh --update'
fi
exit "$differs"
