# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the consumer tests share: their temporary directory, steps that are
# quiet unless they fail, and building the programs of project/ with CMake or
# with pkg-config. HANDOFF_BUILD is the build that is installed.
set -euo pipefail

: "${CMAKE:=cmake}" "${CC:=cc}" "${CXX:=c++}"
export CC CXX LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_dir=$(cd "$here/../.." && pwd)
jobs=$(nproc)
warnings=(-Wall -Wextra -Wpedantic -Werror)
unset DESTDIR LD_LIBRARY_PATH CMAKE_PREFIX_PATH "${!PKG_CONFIG_@}"
pc_path=$(pkg-config --variable pc_path pkg-config 2>/dev/null || :)
umask 022

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

skip() {
  echo "SKIP: $*"
  exit 77
}

# need TOOL...
need() {
  local tool
  for tool; do
    command -v "$tool" >/dev/null || skip "$tool is missing"
  done
}

# quiet COMMAND...: what it prints is of interest only if it fails.
quiet() {
  "$@" >"$tmp/log" 2>&1 || {
    cat "$tmp/log" >&2
    fail "$*"
  }
}

# links DIR: what the documents below it link to is there.
links() {
  local file to count=0
  while IFS=: read -r file to; do
    [[ $to == http* || -e ${file%/*}/$to ]] || fail "$file links to $to"
    count=$((count + 1))
  done < <(cd "$1" && grep -roP --include='*.md' '\]\(\K[^)#]+(?=[^)]*\))' \
    "$PWD")
  ((count > 10)) || fail "the documents in $1 have $count links"
}

# same WHAT EXPECTED FOUND
same() {
  [[ $2 == "$3" ]] || {
    diff <(echo "$2") <(echo "$3") >&2 || :
    fail "$1: expected (<) and found (>) differ"
  }
}

# A macro of the version in the sources.
macro() {
  sed -n "s/^#define HANDOFF_VERSION_$1 //p" \
    "$source_dir/include/handoff/common.h"
}
version=$(macro MAJOR).$(macro MINOR).$(macro PATCH)

cached() {
  sed -n "s/^$1:[A-Z]*=//p" "$HANDOFF_BUILD/CMakeCache.txt"
}

# Is libhandoff-systemd to be there? There is more to look at then.
libsystemd=no
if pkg-config --exists 'libsystemd >= 227' 2>/dev/null; then
  libsystemd=yes
fi
has_systemd() {
  [[ $libsystemd == yes && $(cached HANDOFF_SYSTEMD) != OFF ]]
}

# Is libhandoff-zookeeper to be there?
libzookeeper=no
if [[ -e /usr/include/zookeeper/zookeeper.h ]]; then
  libzookeeper=yes
fi
has_zookeeper() {
  [[ $libzookeeper == yes && $(cached HANDOFF_ZOOKEEPER) != OFF ]]
}

# Is libhandoff-nats to be there?
libnats=no
if pkg-config --exists 'libnats >= 3.4' 2>/dev/null; then
  libnats=yes
fi
has_nats() {
  [[ $libnats == yes && $(cached HANDOFF_NATS) != OFF ]]
}

# Is libhandoff-rpc to be there?
libtirpc=no
if pkg-config --exists 'libtirpc >= 1.2' 2>/dev/null; then
  libtirpc=yes
fi
has_rpc() {
  [[ $libtirpc == yes && $(cached HANDOFF_RPC) != OFF ]]
}

# Is libhandoff-tls to be there?
libssl=no
if pkg-config --exists 'openssl >= 3' 2>/dev/null; then
  libssl=yes
fi
has_tls() {
  [[ $libssl == yes && $(cached HANDOFF_TLS) != OFF ]]
}

# Is the ferry to be there? The same libraries as in lib/ferry.
ferry_libraries=no
if pkg-config --exists 'openssl >= 3' libmnl libnftnl libnetfilter_queue \
  2>/dev/null; then
  ferry_libraries=yes
fi
has_ferry() {
  [[ $ferry_libraries == yes && $(cached HANDOFF_FERRY) != OFF ]]
}

# install_to PREFIX [OPTION...]: what was built, below that prefix.
install_to() {
  [[ $(cached CMAKE_INSTALL_LIBDIR) != /* ]] ||
    skip 'this build is not meant for a prefix'
  quiet "$CMAKE" --install "$HANDOFF_BUILD" --prefix "$@"
}

# build_library DIR OPTION...: a build of its own, for what the usual build is
# not configured for.
build_library() {
  quiet "$CMAKE" -S "$source_dir" -B "$1" -G Ninja -DHANDOFF_TESTS=OFF "${@:2}"
  quiet "$CMAKE" --build "$1" -j "$jobs"
}

# check KIND PROGRAM [LIBDIR]: has it that kind of library, and does it run?
check() {
  local dir needed says=hello libraries=libhandoff.so.$(macro MAJOR)
  if [[ ${2##*/} == managed* ]]; then
    says=READY=1
    libraries="libhandoff-systemd.so.$(macro MAJOR) $libraries"
  fi
  if [[ ${2##*/} == leased* ]]; then
    libraries="libhandoff-zookeeper.so.$(macro MAJOR) $libraries"
  fi
  if [[ ${2##*/} == notified* ]]; then
    libraries="libhandoff-nats.so.$(macro MAJOR) $libraries"
  fi
  if [[ ${2##*/} == called* ]]; then
    libraries="libhandoff-rpc.so.$(macro MAJOR) $libraries"
  fi
  if [[ ${2##*/} == secured* ]]; then
    libraries="libhandoff-tls.so.$(macro MAJOR) $libraries"
  fi
  [[ $1 == shared ]] || libraries=
  dir=$(mktemp -d "$tmp/run.XXXXXX")
  needed=$(readelf -d "$2" | sed -n 's/.*NEEDED.*\[\(libhandoff.*\)\]/\1/p')
  same "$2 needs" "$libraries" "$(xargs <<<"$needed")"
  same "$2 says" "handoff $version: $says" \
    "$(LD_LIBRARY_PATH=${3-} timeout 30 "$2" "$dir" 2>&1)"
}

# with_cmake OPTION...: find_package or add_subdirectory, as the options say.
with_cmake() {
  local language dir program programs=(shared static)
  if has_systemd; then
    set -- "$@" -DSYSTEMD=ON
    programs+=(managed_shared managed_static)
  fi
  if has_zookeeper; then
    set -- "$@" -DZOOKEEPER=ON
    programs+=(leased_shared leased_static)
  fi
  if has_nats; then
    set -- "$@" -DNATS=ON
    programs+=(notified_shared notified_static)
  fi
  if has_rpc; then
    set -- "$@" -DRPC=ON
    programs+=(called_shared called_static)
  fi
  if has_tls; then
    set -- "$@" -DTLS=ON
    programs+=(secured_shared secured_static)
  fi
  for language in C CXX; do
    dir=$(mktemp -d "$tmp/cmake.XXXXXX")
    quiet "$CMAKE" -S "$here/project" -B "$dir" -G Ninja \
      -DLANGUAGE=$language "$@"
    quiet "$CMAKE" --build "$dir" -j "$jobs"
    for program in "${programs[@]}"; do
      check "${program#*_}" "$dir/$program"
    done
  done
}

# both KIND PROGRAM LIBDIR FLAG...: the program in C and in C++.
both() {
  local dir cxx=$here/project/$2.cpp
  [[ -e $cxx ]] || cxx=$here/project/$2.c
  dir=$(mktemp -d "$tmp/pkg-config.XXXXXX")
  quiet "$CC" -std=c17 "${warnings[@]}" "$here/project/$2.c" \
    -o "$dir/$2_c" "${@:4}"
  quiet "$CXX" -std=c++17 "${warnings[@]}" -x c++ "$cxx" -x none \
    -o "$dir/$2_cxx" "${@:4}"
  check "$1" "$dir/$2_c" "$3"
  check "$1" "$dir/$2_cxx" "$3"
}

# with_pkg_config [LIBDIR]: where the dynamic linker would not look by itself.
with_pkg_config() {
  local flags
  read -ra flags < <(pkg-config --cflags --libs handoff)
  both shared consumer "${1-}" "${flags[@]}"
  read -ra flags < <(pkg-config --static --cflags --libs handoff)
  both static consumer '' -static "${flags[@]}"
  ! has_systemd || managed_with_pkg_config "${1-}"
  ! has_zookeeper || leased_with_pkg_config "${1-}"
  ! has_nats || notified_with_pkg_config "${1-}"
  ! has_rpc || called_with_pkg_config "${1-}"
  ! has_tls || secured_with_pkg_config "${1-}"
}

secured_with_pkg_config() {
  local flags
  read -ra flags < <(pkg-config --cflags --libs handoff-tls)
  both shared secured "$1" "${flags[@]}"
  read -ra flags < <(pkg-config --static --cflags --libs handoff-tls |
    sed 's/-l\(handoff[a-z-]*\)/-l:lib\1.a/g')
  both static secured '' "${flags[@]}"
}

managed_with_pkg_config() {
  local flags
  read -ra flags < <(pkg-config --cflags --libs handoff-systemd)
  both shared managed "$1" "${flags[@]}"
  # systemd's own library is a shared one only.
  read -ra flags < <(pkg-config --static --cflags --libs handoff-systemd |
    sed 's/-l\(handoff[a-z-]*\)/-l:lib\1.a/g')
  both static managed '' "${flags[@]}"
}

leased_with_pkg_config() {
  local flags
  read -ra flags < <(pkg-config --cflags --libs handoff-zookeeper)
  both shared leased "$1" "${flags[@]}"
  read -ra flags < <(pkg-config --static --cflags --libs handoff-zookeeper |
    sed 's/-l\(handoff[a-z-]*\)/-l:lib\1.a/g')
  both static leased '' "${flags[@]}"
}

notified_with_pkg_config() {
  local flags
  read -ra flags < <(pkg-config --cflags --libs handoff-nats)
  both shared notified "$1" "${flags[@]}"
  read -ra flags < <(pkg-config --static --cflags --libs handoff-nats |
    sed 's/-l\(handoff[a-z-]*\)/-l:lib\1.a/g')
  both static notified '' "${flags[@]}"
}

# staged ROOT: with a sysroot the headers of libtirpc are looked for in it too.
staged() {
  local dir
  has_rpc || return 0
  dir=$(pkg-config --variable includedir libtirpc)/tirpc
  mkdir -p "$1${dir%/*}"
  ln -s "$dir" "$1$dir"
}

called_with_pkg_config() {
  local flags
  read -ra flags < <(pkg-config --cflags --libs handoff-rpc)
  both shared called "$1" "${flags[@]}"
  read -ra flags < <(pkg-config --static --cflags --libs handoff-rpc |
    sed 's/-l\(handoff[a-z-]*\)/-l:lib\1.a/g')
  both static called '' "${flags[@]}"
}
