#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Directories that were given as absolute paths, away from the prefix, as some
# distributions do.
. "$(dirname "$0")/common.sh"
need "$CXX" ninja pkg-config readelf

away=$tmp/away
build_library "$tmp/build" -DCMAKE_BUILD_TYPE=Debug \
  -DCMAKE_INSTALL_PREFIX="$tmp/prefix" \
  -DCMAKE_INSTALL_LIBDIR="$away/lib" \
  -DCMAKE_INSTALL_INCLUDEDIR="$away/headers"

DESTDIR=$tmp/root quiet "$CMAKE" --install "$tmp/build"
[[ ! -e $away && ! -e $tmp/prefix ]] || fail 'DESTDIR was left'
staged=$(<"$tmp/root$away/lib/pkgconfig/handoff.pc")

quiet "$CMAKE" --install "$tmp/build"
same 'handoff.pc' "$staged" "$(<"$away/lib/pkgconfig/handoff.pc")"
same 'directories of handoff.pc' \
  "prefix=$tmp/prefix libdir=$away/lib includedir=$away/headers" \
  "$(grep -o '^[a-z]*=.*' <<<"$staged" | xargs)"
same 'handoffctl --version' "handoffctl $version" \
  "$("$tmp/prefix/bin/handoffctl" --version 2>&1)"

with_cmake -Dhandoff_DIR="$away/lib/cmake/handoff"
PKG_CONFIG_PATH=$away/lib/pkgconfig with_pkg_config "$away/lib"
