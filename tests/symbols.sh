#!/bin/sh
# SPDX-License-Identifier: MIT
# A shared library exports exactly what its public headers declare: systemd.h
# is that of libhandoff-systemd, all others are those of libhandoff.
# usage: symbols.sh LIBRARY INCLUDE_DIR
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
nm -D --defined-only "$1" | sed -n 's/.* T \(.*\)$/\1/p' |
  sed 's/@.*//' | sort >"$dir/exported"
# A declaration may go on over several lines: join them first.
case "$1" in
*libhandoff-systemd*) headers=$2/handoff/systemd.h ;;
*) headers=$(find "$2/handoff" -name '*.h' ! -name systemd.h) ;;
esac
# shellcheck disable=SC2086 # a list
cat $headers | tr '\n' ' ' | grep -o 'HANDOFF_API [^;]*(' |
  grep -o 'handoff_[a-z0-9_]* *(' | tr -d '( ' | sort -u >"$dir/declared"
test -s "$dir/declared"
diff "$dir/declared" "$dir/exported" ||
  { echo "declared (<) and exported (>) symbols differ"; exit 1; }
echo "$(wc -l <"$dir/declared") symbols"
