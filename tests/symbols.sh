#!/bin/sh
# SPDX-License-Identifier: MIT
# The shared library exports exactly what the public headers declare.
# usage: symbols.sh LIBRARY INCLUDE_DIR
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
nm -D --defined-only "$1" | sed -n 's/.* T \(.*\)$/\1/p' |
  sed 's/@.*//' | sort >"$dir/exported"
# A declaration may go on over several lines: join them first.
cat "$2"/handoff/*.h | tr '\n' ' ' | grep -o 'HANDOFF_API [^;]*(' |
  grep -o 'handoff_[a-z0-9_]* *(' | tr -d '( ' | sort -u >"$dir/declared"
test -s "$dir/declared"
diff "$dir/declared" "$dir/exported" ||
  { echo "declared (<) and exported (>) symbols differ"; exit 1; }
echo "$(wc -l <"$dir/declared") symbols"
