#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# packages.sh [--install]: makes the Debian packages and looks at them: lintian
# finds nothing, they depend on each other, what they contain can be built
# with, and they leave nothing behind. All of that happens in temporary
# directories; --install (root) does it once more with this very machine, and
# removes everything again, also when something fails. It leaves a machine alone
# that has any of it already.
. "$(dirname "$0")/common.sh"
need "$CXX" ninja pkg-config readelf dpkg dpkg-deb dpkg-shlibdeps lintian
[[ ${1-} == '' || ${1-} == --install ]] || fail 'usage: packages.sh [--install]'
[[ ${1-} == '' || $(id -u) -eq 0 ]] || fail '--install needs root'

names=(libhandoff0 libhandoff-dev handoff-tools)
HANDOFF_BUILD=$tmp/build
revision=$version-0upstream1
arch=$(dpkg --print-architecture)

quiet "$CMAKE" --preset package -S "$source_dir" -B "$tmp/build"
quiet "$CMAKE" --build "$tmp/build" -j "$jobs"
if has_systemd; then
  names+=(libhandoff-systemd0 libhandoff-systemd-dev)
fi
if has_zookeeper; then
  names+=(libhandoff-zookeeper0 libhandoff-zookeeper-dev)
fi
if has_nats; then
  names+=(libhandoff-nats0 libhandoff-nats-dev)
fi
if has_rpc; then
  names+=(libhandoff-rpc0 libhandoff-rpc-dev)
fi
if has_tls; then
  names+=(libhandoff-tls0 libhandoff-tls-dev)
fi
# Debian 13 calls it after the size of time_t.
ssl=libssl3
! dpkg-query -W libssl3t64 >/dev/null 2>&1 || ssl=libssl3t64
tirpc=libtirpc3
! dpkg-query -W libtirpc3t64 >/dev/null 2>&1 || tirpc=libtirpc3t64
if has_ferry; then
  names+=(handoff-ferry)
fi
# What is packed has its own permissions, whoever packs it.
(
  umask 077
  quiet cpack --config "$tmp/build/CPackConfig.cmake" -B "$tmp/debs"
)
rm -rf "$tmp/debs/_CPack_Packages"
cd "$tmp/debs"
debs=("${names[@]/%/_${revision}_$arch.deb}")
same packages "$(printf '%s\n' "${debs[@]}" | sort)" "$(ls)"

# Each by itself

quiet lintian --allow-root --fail-on error,warning "${debs[@]}"
# depends PACKAGE DEPENDENCIES
depends() {
  same "$1 depends on" "$2" \
    "$(dpkg-deb -f "$1_${revision}_$arch.deb" Depends |
      sed -E 's/((libc6|libsystemd[^ ]*|libzookeeper[^ ]*|libmnl0|libn[^ ]*|libtirpc[^ ]*|libssl[^ ]*) \(>= )[^)]+\)/\1N)/g')"
}
# library PACKAGE SHLIBS: how others depend on it, and that it is found.
library() {
  local deb=$1_${revision}_$arch.deb
  same "shlibs of $1" "$2 $1 (>= $revision)" \
    "$(dpkg-deb -I "$deb" shlibs)"
  same "triggers of $1" 'activate-noawait ldconfig' \
    "$(dpkg-deb -I "$deb" triggers)"
}
depends libhandoff0 'libc6 (>= N)'
depends libhandoff-dev "libhandoff0 (= $revision)"
tools=
! has_nats || tools+="libhandoff-nats0 (>= $revision), "
! has_zookeeper || tools+="libhandoff-zookeeper0 (>= $revision), "
depends handoff-tools "libc6 (>= N), ${tools}libhandoff0 (>= $revision)"
library libhandoff0 'libhandoff 0'
if has_systemd; then
  depends libhandoff-systemd0 \
    "libc6 (>= N), libhandoff0 (>= $revision), libsystemd0 (>= N)"
  depends libhandoff-systemd-dev "libhandoff-dev (= $revision), \
libhandoff-systemd0 (= $revision), libsystemd-dev (>= N)"
  library libhandoff-systemd0 'libhandoff-systemd 0'
fi
if has_zookeeper; then
  depends libhandoff-zookeeper0 \
    "libc6 (>= N), libhandoff0 (>= $revision), libzookeeper-st2"
  depends libhandoff-zookeeper-dev "libhandoff-dev (= $revision), \
libhandoff-zookeeper0 (= $revision), libzookeeper-st-dev"
  library libhandoff-zookeeper0 'libhandoff-zookeeper 0'
fi
if has_nats; then
  depends libhandoff-nats0 \
    "libc6 (>= N), libhandoff0 (>= $revision), libnats3.4 (>= N)"
  depends libhandoff-nats-dev "libhandoff-dev (= $revision), \
libhandoff-nats0 (= $revision), libnats-dev (>= N)"
  library libhandoff-nats0 'libhandoff-nats 0'
fi
if has_rpc; then
  depends libhandoff-rpc0 \
    "libc6 (>= N), libhandoff0 (>= $revision), $tirpc (>= N)"
  depends libhandoff-rpc-dev "libhandoff-dev (= $revision), \
libhandoff-rpc0 (= $revision), libtirpc-dev (>= N)"
  library libhandoff-rpc0 'libhandoff-rpc 0'
fi
if has_tls; then
  depends libhandoff-tls0 \
    "libc6 (>= N), libhandoff0 (>= $revision), $ssl (>= N)"
  depends libhandoff-tls-dev "libhandoff-dev (= $revision), \
libhandoff-tls0 (= $revision), libssl-dev (>= N)"
  library libhandoff-tls0 'libhandoff-tls 0'
fi
if has_ferry; then
  depends handoff-ferry "libc6 (>= N), libmnl0 (>= N), \
libnetfilter-queue1 (>= N), libnftnl11 (>= N), $ssl (>= N)"
fi

contents() {
  local deb
  for deb in "${debs[@]}"; do
    dpkg-deb --fsys-tarfile "$deb" | tar -t | sed 's|^\./|/|'
  done
}
same 'files in two packages' '' "$(contents | grep -v '/$' | sort | uniq -d)"

# What they contain

root=$tmp/root
for deb in "${debs[@]}"; do
  quiet dpkg-deb -x "$deb" "$root"
done
if grep -rF -e "$source_dir" -e "$tmp" "$root"; then
  fail 'a file names the place where it was built'
fi
! has_systemd || links "$root/usr/share/doc"
pc=$(cd "$root" && find usr/lib -name handoff.pc)
libdir=$root/${pc%/pkgconfig/*}
with_cmake -DCMAKE_PREFIX_PATH="$root/usr"
staged "$root"
PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_LIBDIR=$libdir/pkgconfig:$pc_path \
  with_pkg_config "$libdir"
same 'handoffctl --version' "handoffctl $version" \
  "$(LD_LIBRARY_PATH=$libdir "$root/usr/bin/handoffctl" --version 2>&1)"

# Installing and removing

# refused WHY COMMAND...
refused() {
  if "${@:2}" >"$tmp/log" 2>&1; then
    fail "was not refused: ${*:2}"
  fi
  grep -qF "$1" "$tmp/log" || fail "${*:2}: $(<"$tmp/log")"
}

# A root of its own, in which nothing is installed but what comes from Debian.
in_temporary_root() {
  local name admin=$tmp/dpkg/var/lib/dpkg debian=(libc6)
  local dpkg=(dpkg --root="$tmp/dpkg" --log="$tmp/dpkg.log")
  mkdir -p "$admin/info" "$admin/updates"
  ! has_systemd || debian+=(libsystemd0 libsystemd-dev)
  ! has_zookeeper || debian+=(libzookeeper-st2 libzookeeper-st-dev)
  ! has_nats || debian+=(libnats3.4 libnats-dev)
  ! has_rpc || debian+=("$tirpc" libtirpc-dev)
  ! has_tls || debian+=("$ssl" libssl-dev)
  ! has_ferry || debian+=(libmnl0 libnetfilter-queue1 libnftnl11 "$ssl")
  for name in "${debian[@]}"; do
    { dpkg-query -s "$name" && echo; } >>"$admin/status"
    : >"$admin/info/$name:$arch.list"
  done
  refused "libhandoff-dev depends on libhandoff0 (= $revision)" \
    "${dpkg[@]}" -i "${debs[1]}"
  refused "handoff-tools depends on libhandoff0 (>= $revision)" \
    "${dpkg[@]}" -i "${debs[2]}"
  if has_systemd; then
    refused 'libhandoff-systemd-dev depends on libhandoff-dev' \
      "${dpkg[@]}" -i "${debs[0]}" "${debs[3]}" "${debs[4]}"
  fi
  quiet "${dpkg[@]}" -i "${debs[@]}"
  same 'dpkg --verify' '' "$("${dpkg[@]}" --verify)"
  refused 'depends on libhandoff0' "${dpkg[@]}" -r libhandoff0
  quiet "${dpkg[@]}" -r "${names[@]}"
  rm -r "$tmp/dpkg/var"
  same 'what is left' '' "$(find "$tmp/dpkg" -mindepth 1)"
}

present() {
  contents | sort -u | while read -r path; do
    [[ ! -e $path && ! -L $path ]] || echo "$path"
  done
}

dpkg=(dpkg --log="$tmp/dpkg.log")

# Run at the end, whatever happened.
clean_machine() {
  "${dpkg[@]}" --force-remove-reinstreq --purge "${names[@]}" \
    >"$tmp/log" 2>&1 || {
    cat "$tmp/log" >&2
    echo "Could not be removed from this machine: ${names[*]}" >&2
  }
  rm -rf "$tmp"
}

cached_libraries() {
  ldconfig -p | grep libhandoff || :
}

on_this_machine() {
  local before cache name
  for name in "${names[@]}"; do
    ! dpkg-query -s "$name" >/dev/null 2>&1 || skip "$name is installed"
  done
  ! pkg-config --exists handoff || skip 'a handoff is installed already'
  before=$(present)
  for name in $before; do
    [[ -d $name && ! -L $name ]] || skip "$name is there already"
  done
  cache=$(cached_libraries)
  trap clean_machine EXIT
  quiet "${dpkg[@]}" -i "${debs[@]}"
  same 'pkg-config --cflags --libs' -lhandoff \
    "$(pkg-config --cflags --libs handoff | xargs)"
  with_pkg_config
  with_cmake
  same 'handoffctl --version' "handoffctl $version" \
    "$(handoffctl --version 2>&1)"
  quiet "${dpkg[@]}" -r "${names[@]}"
  quiet "${dpkg[@]}" --purge "${names[@]}"
  same 'what is left' "$before" "$(present)"
  same 'what dpkg knows of' '' "$(dpkg-query -W "${names[@]}" 2>/dev/null || :)"
  same 'what is left in the cache of the linker' "$cache" \
    "$(cached_libraries)"
  echo "${#names[@]} packages were installed, used, removed and purged"
}

if [[ $(id -u) -eq 0 ]]; then
  in_temporary_root
else
  echo 'not root: the packages were unpacked, not installed'
fi
if [[ ${1-} == --install ]]; then
  on_this_machine
fi
