#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What is installed is exactly what should be, where it should be, and none of
# it knows where or how it was built.
. "$(dirname "$0")/common.sh"
need pkg-config readelf

prefix=$tmp/prefix
lib=$(cached CMAKE_INSTALL_LIBDIR)
config=$(cached CMAKE_BUILD_TYPE)

# files DIR [GLOB]: below it, sorted.
files() {
  (cd "$1" && find . ! -type d -name "${2:-*}" -printf '%P\n' | sort)
}

# component NAME: standard input lists what should be in it.
component() {
  install_to "$tmp/$1" --component "$1"
  same "component $1" "$(sed '/^$/d' | sort)" "$(files "$tmp/$1")"
}

component runtime <<END
$lib/libhandoff.so.$(macro MAJOR)
$lib/libhandoff.so.$version
END
component development <<END
$(files "$source_dir/include" '*.h' | sed '/systemd\|zookeeper\|nats\|rpc\|tls/d; s|^|include/|')
$lib/libhandoff.a
$lib/libhandoff.so
$lib/pkgconfig/handoff.pc
$lib/cmake/handoff/handoff-config.cmake
$lib/cmake/handoff/handoff-config-version.cmake
$lib/cmake/handoff/handoff-targets.cmake
$lib/cmake/handoff/handoff-targets-${config,,}.cmake
$(files "$source_dir/docs/man" '*.[37]' |
  sed '/systemd\|zookeeper\|nats\|rpc\|tls/d; s|.*\(.\)$|share/man/man\1/&|')
END
component tools <<END
bin/handoffctl
share/bash-completion/completions/handoffctl
share/man/man1/handoffctl.1
END
units() {
  echo share/doc/handoff/docs/systemd.md
  files "$source_dir/examples/systemd" |
    sed 's|^|share/doc/handoff/examples/systemd/|'
}
component documents <<END
share/doc/handoff/CHANGELOG.md
share/doc/handoff/CONTRIBUTING.md
share/doc/handoff/LICENSE
share/doc/handoff/README.md
$({
  files "$source_dir/docs" '*.md'
  files "$source_dir/docs" '*.svg'
} | sed '/^systemd/d; s|^|share/doc/handoff/docs/|')
$(has_systemd || units)
END
components=(runtime development tools documents)
if has_systemd; then
  component systemd_runtime <<END
$lib/libhandoff-systemd.so.$(macro MAJOR)
$lib/libhandoff-systemd.so.$version
END
  component systemd_development <<END
include/handoff/systemd.h
$lib/libhandoff-systemd.a
$lib/libhandoff-systemd.so
$lib/pkgconfig/handoff-systemd.pc
$lib/cmake/handoff/handoff-systemd-targets.cmake
$lib/cmake/handoff/handoff-systemd-targets-${config,,}.cmake
share/man/man3/handoff_systemd.3
$(units)
END
  components+=(systemd_runtime systemd_development)
fi

if has_zookeeper; then
  component zookeeper_runtime <<END
$lib/libhandoff-zookeeper.so.$(macro MAJOR)
$lib/libhandoff-zookeeper.so.$version
END
  component zookeeper_development <<END
include/handoff/zookeeper.h
$lib/libhandoff-zookeeper.a
$lib/libhandoff-zookeeper.so
$lib/pkgconfig/handoff-zookeeper.pc
$lib/cmake/handoff/handoff-zookeeper-targets.cmake
$lib/cmake/handoff/handoff-zookeeper-targets-${config,,}.cmake
share/man/man3/handoff_zookeeper.3
END
  components+=(zookeeper_runtime zookeeper_development)
fi

if has_nats; then
  component nats_runtime <<END
$lib/libhandoff-nats.so.$(macro MAJOR)
$lib/libhandoff-nats.so.$version
END
  component nats_development <<END
include/handoff/nats.h
$lib/libhandoff-nats.a
$lib/libhandoff-nats.so
$lib/pkgconfig/handoff-nats.pc
$lib/cmake/handoff/handoff-nats-targets.cmake
$lib/cmake/handoff/handoff-nats-targets-${config,,}.cmake
share/man/man3/handoff_nats.3
END
  components+=(nats_runtime nats_development)
fi

if has_rpc; then
  component rpc_runtime <<END
$lib/libhandoff-rpc.so.$(macro MAJOR)
$lib/libhandoff-rpc.so.$version
END
  component rpc_development <<END
include/handoff/rpc.h
$lib/libhandoff-rpc.a
$lib/libhandoff-rpc.so
$lib/pkgconfig/handoff-rpc.pc
$lib/cmake/handoff/handoff-rpc-targets.cmake
$lib/cmake/handoff/handoff-rpc-targets-${config,,}.cmake
share/man/man3/handoff_rpc.3
END
  components+=(rpc_runtime rpc_development)
fi
if has_tls; then
  component tls_runtime <<END
$lib/libhandoff-tls.so.$(macro MAJOR)
$lib/libhandoff-tls.so.$version
END
  component tls_development <<END
include/handoff/tls.h
$lib/libhandoff-tls.a
$lib/libhandoff-tls.so
$lib/pkgconfig/handoff-tls.pc
$lib/cmake/handoff/handoff-tls-targets.cmake
$lib/cmake/handoff/handoff-tls-targets-${config,,}.cmake
share/man/man3/handoff_tls.3
END
  components+=(tls_runtime tls_development)
fi

if has_ferry; then
  component ferry <<END
sbin/handoff-ferry
sbin/handoff-unfreeze
share/man/man8/handoff-ferry.8
share/man/man8/handoff-unfreeze.8
$(files "$source_dir/examples/hosts" |
    sed 's|^|share/doc/handoff/examples/hosts/|')
END
  components+=(ferry)
fi

install_to "$prefix"
same 'all components' \
  "$(for name in "${components[@]}"; do
    files "$tmp/$name"
  done | sort)" "$(files "$prefix")"
same 'what others may write, or not all may read' '' \
  "$(find "$prefix" ! -type l \( -perm /022 -o ! -perm -444 \))"
links "$prefix/share/doc"

# Places and flags of the build

if grep -rIF -e "$source_dir" -e "$HANDOFF_BUILD" "$prefix"; then
  fail 'a file names the place where it was built'
fi
if grep -rE 'INTERFACE_(COMPILE|LINK_OPTIONS|LINK_DIRECT|SOURCES)|-W|_GNU' \
  "$prefix/$lib/cmake" "$prefix/$lib/pkgconfig"; then
  fail 'a flag of the build is passed on'
fi
# libraries NAME: what CMake is told that its targets need.
libraries() {
  grep -hE 'LINK(_INTERFACE)?_LIBRARIES|LINK_DEPEND' \
    "$prefix/$lib/cmake/handoff/$1-targets"* |
    sed 's/^ *INTERFACE_LINK_LIBRARIES //; s/\\//g'
}
# shellcheck disable=SC2016 # it is CMake that expands this
same 'libraries of the targets' '"$<LINK_ONLY:Threads::Threads>"' \
  "$(libraries handoff)"

# told NAME LIBRARIES [EXTRA]: what pkg-config says; EXTRA if static.
told() {
  local extra
  same "pkg-config --modversion $1" "$version" "$(pkg-config --modversion "$1")"
  same "pkg-config --cflags $1" "-I$prefix/include" \
    "$(pkg-config --cflags "$1" | xargs)"
  same "pkg-config --libs $1" "-L$prefix/$lib $2" \
    "$(pkg-config --libs "$1" | xargs)"
  extra=$(pkg-config --static --libs "$1" | xargs -n 1 |
    grep -vxE -e "-L$prefix/$lib|-lhandoff(-systemd|-zookeeper|-nats|-rpc|-tls)?|-pthread|-lpthread" | uniq || :)
  same "pkg-config --static --libs $1, beside threads" "${3-}" "$extra"
}
export PKG_CONFIG_PATH=$prefix/$lib/pkgconfig
told handoff -lhandoff

# Names by which they find each other

dynamic() {
  readelf -d "$prefix/$1" | sed -n "/($2)/s/.*\[\(.*\)\]/\1/p"
}
# shared NAME: the library, and the name by which others know it.
shared() {
  same "soname of $1" "$1.so.$(macro MAJOR)" "$(dynamic "$lib/$1.so" SONAME)"
  same "path in $1" '' "$(dynamic "$lib/$1.so" 'RU*N*PATH')"
  same "what $1.so links to" "$1.so.$(macro MAJOR)" \
    "$(readlink "$prefix/$lib/$1.so")"
  quiet "$source_dir/tests/symbols.sh" "$prefix/$lib/$1.so" "$prefix/include"
}
shared libhandoff

if has_systemd; then
  # shellcheck disable=SC2016 # it is CMake that expands this
  same 'libraries of the targets for systemd' \
    $'"handoff::handoff"\n"handoff::static;$<LINK_ONLY:-lsystemd>"' \
    "$(libraries handoff-systemd)"
  told handoff-systemd '-lhandoff-systemd -lhandoff' -lsystemd
  shared libhandoff-systemd
fi
if has_zookeeper; then
  # shellcheck disable=SC2016 # it is CMake that expands this
  same 'libraries of the targets for ZooKeeper' \
    $'"handoff::handoff"\n"handoff::static;$<LINK_ONLY:-lzookeeper_st>"' \
    "$(libraries handoff-zookeeper)"
  told handoff-zookeeper '-lhandoff-zookeeper -lhandoff' -lzookeeper_st
  shared libhandoff-zookeeper
fi
if has_nats; then
  # shellcheck disable=SC2016 # it is CMake that expands this
  same 'libraries of the targets for NATS' \
    $'"handoff::handoff"\n"handoff::static;$<LINK_ONLY:-lnats>"' \
    "$(libraries handoff-nats)"
  told handoff-nats '-lhandoff-nats -lhandoff' -lnats
  shared libhandoff-nats
fi
if has_tls; then
  # shellcheck disable=SC2016 # it is CMake that expands this
  same 'libraries of the targets for TLS' \
    $'"handoff::handoff"\n"handoff::static;$<LINK_ONLY:-lssl>;$<LINK_ONLY:-lcrypto>"' \
    "$(libraries handoff-tls)"
  told handoff-tls '-lhandoff-tls -lhandoff' \
    "$(pkg-config --static --libs openssl | xargs -n 1 |
      grep -vxE -e '-pthread' | uniq)"
  shared libhandoff-tls
fi
# Its header includes those of libtirpc, so programs are told of that.
if has_rpc; then
  same 'libraries of the targets for RPC' \
    $'"handoff::handoff;-ltirpc"\n"handoff::static;-ltirpc"' \
    "$(libraries handoff-rpc)"
  same 'pkg-config --cflags handoff-rpc' \
    "-I$prefix/include $(pkg-config --cflags libtirpc | xargs)" \
    "$(pkg-config --cflags handoff-rpc | xargs)"
  same 'pkg-config --libs handoff-rpc' \
    "-L$prefix/$lib -lhandoff-rpc -lhandoff -ltirpc" \
    "$(pkg-config --libs handoff-rpc | xargs)"
  shared libhandoff-rpc
fi

mv "$prefix" "$tmp/moved"
same 'handoffctl --version' "handoffctl $version" \
  "$("$tmp/moved/bin/handoffctl" --version 2>&1)"
