#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# find_package(handoff) finds what is installed, wherever it was moved to
# since, and only in a version that fits.
. "$(dirname "$0")/common.sh"
need "$CXX" ninja readelf

install_to "$tmp/prefix"
mv "$tmp/prefix" "$tmp/moved"
with_cmake -DCMAKE_PREFIX_PATH="$tmp/moved" \
  -DWANTED="$(macro MAJOR).$(macro MINOR)"

# wanted VERSION: can it be found?
wanted() {
  rm -rf "$tmp/wanted"
  "$CMAKE" -S "$here/project" -B "$tmp/wanted" -G Ninja -DWANTED="$1" \
    -DCMAKE_PREFIX_PATH="$tmp/moved" >"$tmp/log" 2>&1
}
refused() {
  if wanted "$1"; then
    fail "version $version passes for $1"
  fi
  grep -q "compatible with requested version \"$1\"" "$tmp/log" ||
    fail "version $1: $(<"$tmp/log")"
}
wanted "$version" || fail "version $version does not pass for itself"
refused "$(macro MAJOR).$(($(macro MINOR) + 1))"
refused "$(macro MAJOR).$(macro MINOR).$(($(macro PATCH) + 1))"
refused "$(($(macro MAJOR) + 1)).0"
[[ $(macro MINOR) -eq 0 ]] || refused "$(macro MAJOR).$(($(macro MINOR) - 1))"
