#!/bin/sh
# SPDX-License-Identifier: MIT
# A shared library exports exactly what its public headers declare, and its map
# lists it name by name: systemd.h is the header of libhandoff-systemd,
# zookeeper.h of libhandoff-zookeeper, nats.h of libhandoff-nats, rpc.h of
# libhandoff-rpc, tls.h of libhandoff-tls, all others are those of libhandoff.
# usage: symbols.sh LIBRARY INCLUDE_DIR
set -eu
lib=$(dirname "$0")/../lib
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
nm -D --defined-only "$1" | sed -n 's/.* T \(.*\)$/\1/p' |
  sed 's/@.*//' | sort >"$dir/exported"
# A declaration may go on over several lines: join them first.
case "$1" in
*libhandoff-systemd*)
  headers=$2/handoff/systemd.h
  map=$lib/systemd/handoff-systemd.map
  ;;
*libhandoff-zookeeper*)
  headers=$2/handoff/zookeeper.h
  map=$lib/zookeeper/handoff-zookeeper.map
  ;;
*libhandoff-nats*)
  headers=$2/handoff/nats.h
  map=$lib/nats/handoff-nats.map
  ;;
*libhandoff-rpc*)
  headers=$2/handoff/rpc.h
  map=$lib/rpc/handoff-rpc.map
  ;;
*libhandoff-tls*)
  headers=$2/handoff/tls.h
  map=$lib/tls/handoff-tls.map
  ;;
*)
  headers=$(find "$2/handoff" -name '*.h' ! -name systemd.h ! -name zookeeper.h \
    ! -name nats.h ! -name rpc.h ! -name tls.h)
  map=$lib/handoff.map
  ;;
esac
# shellcheck disable=SC2086 # a list
cat $headers | tr '\n' ' ' | grep -o 'HANDOFF_API [^;]*(' |
  grep -o 'handoff_[a-z0-9_]* *(' | tr -d '( ' | sort -u >"$dir/declared"
test -s "$dir/declared"
diff "$dir/declared" "$dir/exported" ||
  { echo "declared (<) and exported (>) symbols differ"; exit 1; }
# A name that is not defined, or a wildcard, does no harm at link time.
sed -n '/global:/,/local:/s/^[[:space:]]*\([^:]*\);$/\1/p' "$map" | sort \
  >"$dir/listed"
diff "$dir/declared" "$dir/listed" ||
  { echo "declared (<) and listed (>) symbols differ"; exit 1; }
echo "$(wc -l <"$dir/declared") symbols"
