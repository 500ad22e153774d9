#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# find_package(handoff) finds what is installed, wherever it was moved to
# since, only in a version that fits, and no component that is not there.
. "$(dirname "$0")/common.sh"
need "$CXX" ninja readelf

install_to "$tmp/prefix"
mv "$tmp/prefix" "$tmp/moved"
with_cmake -DCMAKE_PREFIX_PATH="$tmp/moved" \
  -DWANTED="$(macro MAJOR).$(macro MINOR)"

# refused TEXT OPTION...: is not found, and that says why.
refused() {
  rm -rf "$tmp/wanted"
  if "$CMAKE" -S "$here/project" -B "$tmp/wanted" -G Ninja "${@:2}" \
    >"$tmp/log" 2>&1; then
    fail "was found: $version with ${*:2}"
  fi
  tr -s ' \n' ' ' <"$tmp/log" | grep -qF "$1" || fail "$*: $(<"$tmp/log")"
}
other() {
  refused "compatible with requested version \"$1\"" -DWANTED="$1" \
    -DCMAKE_PREFIX_PATH="$tmp/moved"
}
quiet "$CMAKE" -S "$here/project" -B "$tmp/exact" -G Ninja \
  -DWANTED="$version" -DCMAKE_PREFIX_PATH="$tmp/moved"
other "$(macro MAJOR).$(($(macro MINOR) + 1))"
other "$(macro MAJOR).$(macro MINOR).$(($(macro PATCH) + 1))"
other "$(($(macro MAJOR) + 1)).0"
[[ $(macro MINOR) -eq 0 ]] || other "$(macro MAJOR).$(($(macro MINOR) - 1))"

# What is installed without the component for systemd: whoever does not ask
# for that is not told of it.
for component in runtime development; do
  install_to "$tmp/core" --component "$component"
done
refused "without a component 'systemd'" -DSYSTEMD=ON \
  -DCMAKE_PREFIX_PATH="$tmp/core"
libsystemd=no libzookeeper=no libnats=no libtirpc=no libssl=no
with_cmake -DCMAKE_PREFIX_PATH="$tmp/core"
