#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The library as a part of a project of someone else: it builds nothing but
# itself, and installs nothing unless it is asked to.
. "$(dirname "$0")/common.sh"
need "$CXX" ninja readelf

with_cmake -DHANDOFF_SOURCE="$source_dir" -DCMAKE_INSTALL_PREFIX="$tmp/prefix"
for dir in "$tmp"/cmake.*; do
  same 'what of the library was built beside it' '' \
    "$(find "$dir/handoff" -name handoffctl -o -name 'test_*')"
  quiet "$CMAKE" --install "$dir"
done
programs=(shared static)
if has_systemd; then
  programs+=(managed_shared managed_static)
fi
if has_zookeeper; then
  programs+=(leased_shared leased_static)
fi
if has_nats; then
  programs+=(notified_shared notified_static)
fi
if has_rpc; then
  programs+=(called_shared called_static)
fi
if has_tls; then
  programs+=(secured_shared secured_static)
fi
same 'what was installed' "$(printf '%s\n' "${programs[@]}" | sort)" \
  "$(find "$tmp/prefix" ! -type d -printf '%f\n' | sort)"
