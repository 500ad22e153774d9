#!/bin/sh
# SPDX-License-Identifier: MIT
# The library has each static probe once or more, with the arguments that
# handoff_observe(7) names.
# usage: probes.sh LIBRARY MANUAL
set -eu
command -v readelf >/dev/null || { echo "SKIP: there is no readelf"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# "NAME COUNT" of each note, and of each .It Fn of the section.
readelf -n "$1" | awk '
  /Provider:/ { ours = $2 == "handoff" }
  /Name:/ { name = $2 }
  /Arguments:/ && ours { print name, NF - 1 }' | sort -u >"$dir/built"
awk '/^\.Sh / { inside = $2 == "PROBES" }
  inside && /^\.It Fn / { print $3, NF - 3 }' "$2" | sort >"$dir/documented"
test -s "$dir/built"
diff "$dir/documented" "$dir/built" ||
  { echo "documented (<) and built (>) probes differ"; exit 1; }
echo "$(wc -l <"$dir/built") probes"
