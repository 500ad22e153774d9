#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# deps.sh [build|tests|all|packages NAME...]: installs the Debian packages that
# building and the demo need (build), or also those of the tests (tests), or also
# those of the gates of .ci/run (all, the default), or those that are named. The
# names are the same in Debian 12 and 13. Does nothing, and quickly, when they
# are there.
set -eu

build=(gcc libc6-dev cmake ninja-build)
tests=(pkg-config libcmocka-dev python3 mandoc iproute2 procps g++ lintian
  libevent-dev libuv1-dev libsystemd-dev systemd python3-prometheus-client
  systemtap-sdt-dev)
gates=(clang clang-format clang-tidy libclang-rt-dev codespell valgrind
  abigail-tools musl-tools linux-libc-dev gcovr)

case "${1:-all}" in
build) wanted=("${build[@]}") ;;
tests) wanted=("${build[@]}" "${tests[@]}") ;;
all) wanted=("${build[@]}" "${tests[@]}" "${gates[@]}") ;;
packages) wanted=("${@:2}") ;;
*)
  echo "usage: deps.sh [build|tests|all|packages NAME...]" >&2
  exit 2
  ;;
esac

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "deps.sh: not a Debian system, nothing is installed; needed are:" \
    "${wanted[*]}" >&2
  exit 0
fi

missing=()
for package in "${wanted[@]}"; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || :)
  if [[ $state != installed* ]]; then
    missing+=("$package")
  fi
done
if [[ ${#missing[@]} -eq 0 ]]; then
  exit 0
fi

as_root=()
with='apt-get'
if [[ $(id -u) -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "deps.sh: neither root nor sudo: have an administrator run" \
      "apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
  with='sudo apt-get, since only root may install packages'
fi

echo "deps.sh: installing with $with: ${missing[*]}"
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get "$@" </dev/null
}
apt -qq update ||
  echo 'deps.sh: going on with the package lists that are there' >&2
apt -q install --no-install-recommends --yes "${missing[@]}" || {
  echo "deps.sh: failed; by hand: apt-get install ${missing[*]}" >&2
  exit 1
}
