#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The library configured otherwise: directories that were given as absolute
# paths, away from the prefix, as some distributions do; then without components.
. "$(dirname "$0")/common.sh"
need "$CXX" ninja pkg-config readelf

away=$tmp/away
HANDOFF_BUILD=$tmp/build
build_library "$tmp/build" -DCMAKE_BUILD_TYPE=Debug \
  -DCMAKE_INSTALL_PREFIX="$tmp/prefix" \
  -DCMAKE_INSTALL_LIBDIR="$away/lib" \
  -DCMAKE_INSTALL_INCLUDEDIR="$away/headers"

DESTDIR=$tmp/root quiet "$CMAKE" --install "$tmp/build"
[[ ! -e $away && ! -e $tmp/prefix ]] || fail 'DESTDIR was left'
staged=$(cat "$tmp/root$away/lib/pkgconfig/"*.pc)

quiet "$CMAKE" --install "$tmp/build"
same '*.pc' "$staged" "$(cat "$away/lib/pkgconfig/"*.pc)"
same 'directories of *.pc' \
  "includedir=$away/headers libdir=$away/lib prefix=$tmp/prefix" \
  "$(grep -o '^[a-z]*=.*' <<<"$staged" | sort -u | xargs)"
same 'handoffctl --version' "handoffctl $version" \
  "$("$tmp/prefix/bin/handoffctl" --version 2>&1)"

with_cmake -Dhandoff_DIR="$away/lib/cmake/handoff"
PKG_CONFIG_PATH=$away/lib/pkgconfig with_pkg_config "$away/lib"

quiet "$CMAKE" "$tmp/build" -DHANDOFF_SYSTEMD=OFF -DHANDOFF_ZOOKEEPER=OFF \
  -DHANDOFF_NATS=OFF -DHANDOFF_RPC=OFF -DHANDOFF_TLS=OFF
quiet "$CMAKE" --build "$tmp/build" -j "$jobs"
rm -rf "$away" "$tmp/prefix"
quiet "$CMAKE" --install "$tmp/build"
# The documents are installed as the README links to them.
same 'what is installed for systemd' '' \
  "$(find "$away" "$tmp/prefix" \( -name '*systemd*' -o -name '*zookeeper*' \
    -o -name '*nats*' -o -name '*rpc*' \
    -o -name '*tls*' \) ! -path '*/share/doc/*')"
with_cmake -Dhandoff_DIR="$away/lib/cmake/handoff"
PKG_CONFIG_PATH=$away/lib/pkgconfig with_pkg_config "$away/lib"
