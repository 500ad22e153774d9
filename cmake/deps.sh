#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# deps.sh [build|tests|all|packages NAME...]: installs the Debian packages that
# building and the demo need (build), or also those of the tests (tests), or also
# those of the gates of .ci/run (all, the default), or those that are named. The
# names are the same in Debian 12 and 13. Does nothing, and quickly, when they
# are there.
# deps.sh unpack ARCH DIR NAME...: downloads packages of any architecture and
# unpacks them into a new directory.
# deps.sh engines: does that with the nats-server and the rpcinfo that tests use,
# whose packages would start services; `tests` and `all` do it too, if they can.
set -eu

build=(gcc libc6-dev cmake ninja-build)
tests=(pkg-config libcmocka-dev python3 mandoc iproute2 procps g++ lintian
  libevent-dev libuv1-dev libsystemd-dev systemd python3-prometheus-client
  systemtap-sdt-dev abigail-tools libssl-dev libmnl-dev libnftnl-dev
  libnetfilter-queue-dev nftables iptables openssl
  libzookeeper-st-dev libzookeeper-java default-jre-headless libnats-dev
  libtirpc-dev rpcsvc-proto curl gnutls-bin)
gates=(clang clang-format clang-tidy libclang-rt-dev codespell valgrind
  musl-tools linux-libc-dev gcovr)
# Debian has these for few other architectures, and not all of them.
if [[ $(dpkg --print-architecture 2>/dev/null || :) == amd64 ]]; then
  gates+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-s390x-linux-gnu
    libc6-dev-s390x-cross qemu-user)
fi

engines() {
  "$0" engines ||
    echo 'deps.sh: no nats-server or rpcinfo: tests that need one are' \
      'skipped' >&2
}

# The architecture is not added to this machine (dpkg --add-architecture): that
# would be for good, and every later update would fetch its package lists too.
# apt gets a state of its own instead, with the sources and keys of this machine.
unpack() {
  local arch=$1 dir tmp options
  dir=$(realpath -m "$2")
  tmp=$dir.new
  shift 2
  [[ ! -d $dir ]] || return 0
  rm -rf "$tmp"
  mkdir -p "$tmp/root" "$tmp/lists/partial" "$tmp/cache/archives/partial"
  options=(-qq -o "APT::Architecture=$arch" -o "APT::Architectures::=$arch"
    -o "Dir::State::Lists=$tmp/lists" -o Dir::State::Status=/dev/null
    -o "Dir::Cache=$tmp/cache" -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update
  (cd "$tmp" && apt-get "${options[@]}" download "$@")
  for package in "$tmp"/*.deb; do
    dpkg-deb -x "$package" "$tmp/root"
  done
  mv "$tmp/root" "$dir"
  rm -rf "$tmp"
}

case "${1:-all}" in
build) wanted=("${build[@]}") ;;
tests) wanted=("${build[@]}" "${tests[@]}") ;;
all) wanted=("${build[@]}" "${tests[@]}" "${gates[@]}") ;;
packages) wanted=("${@:2}") ;;
unpack)
  unpack "${@:2}"
  exit
  ;;
engines)
  arch=$(dpkg --print-architecture)
  into=$(dirname "$0")/../build
  unpack "$arch" "$into/nats-server" nats-server
  unpack "$arch" "$into/rpcbind" rpcbind
  exit
  ;;
*)
  echo "usage: deps.sh [build|tests|all|packages NAME...]" >&2
  echo "       deps.sh unpack ARCH DIR NAME..." >&2
  echo "       deps.sh engines" >&2
  exit 2
  ;;
esac

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "deps.sh: not a Debian system, nothing is installed; needed are:" \
    "${wanted[*]}" >&2
  exit 0
fi

case "${1:-all}" in
tests | all) engines ;;
esac

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
