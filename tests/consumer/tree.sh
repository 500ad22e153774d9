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
  same "component $1" "$(sort)" "$(files "$tmp/$1")"
}

component runtime <<END
$lib/libhandoff.so.$(macro MAJOR)
$lib/libhandoff.so.$version
END
component development <<END
$(files "$source_dir/include" '*.h' | sed 's|^|include/|')
$lib/libhandoff.a
$lib/libhandoff.so
$lib/pkgconfig/handoff.pc
$lib/cmake/handoff/handoff-config.cmake
$lib/cmake/handoff/handoff-config-version.cmake
$lib/cmake/handoff/handoff-targets.cmake
$lib/cmake/handoff/handoff-targets-${config,,}.cmake
$(files "$source_dir/docs/man" '*.[37]' | sed 's|.*\(.\)$|share/man/man\1/&|')
END
component tools <<END
bin/handoffctl
share/man/man1/handoffctl.1
END
component documents <<END
share/doc/handoff/CHANGELOG.md
share/doc/handoff/LICENSE
share/doc/handoff/README.md
END

install_to "$prefix"
same 'all components' \
  "$(for name in runtime development tools documents; do
    files "$tmp/$name"
  done | sort)" "$(files "$prefix")"
same 'what others may write, or not all may read' '' \
  "$(find "$prefix" ! -type l \( -perm /022 -o ! -perm -444 \))"

# Places and flags of the build

if grep -rIF -e "$source_dir" -e "$HANDOFF_BUILD" "$prefix"; then
  fail 'a file names the place where it was built'
fi
if grep -rE 'INTERFACE_(COMPILE|LINK_OPTIONS|LINK_DIRECT|SOURCES)|-W|_GNU' \
  "$prefix/$lib/cmake" "$prefix/$lib/pkgconfig"; then
  fail 'a flag of the build is passed on'
fi
# shellcheck disable=SC2016 # it is CMake that expands this
same 'libraries that CMake is told of' \
  'INTERFACE_LINK_LIBRARIES "\$<LINK_ONLY:Threads::Threads>"' \
  "$(grep -rhE 'LINK(_INTERFACE)?_LIBRARIES|LINK_DEPEND' "$prefix/$lib/cmake" |
    sed 's/^ *//')"
export PKG_CONFIG_PATH=$prefix/$lib/pkgconfig
same 'pkg-config --modversion' "$version" "$(pkg-config --modversion handoff)"
same 'pkg-config --cflags' "-I$prefix/include" \
  "$(pkg-config --cflags handoff | xargs)"
same 'pkg-config --libs' "-L$prefix/$lib -lhandoff" \
  "$(pkg-config --libs handoff | xargs)"
extra=$(pkg-config --static --libs handoff | xargs -n 1 |
  grep -vxE -e "-L$prefix/$lib|-lhandoff|-pthread|-lpthread" || :)
same 'pkg-config --static --libs, beside threads' '' "$extra"

# Names by which they find each other

dynamic() {
  readelf -d "$prefix/$1" | sed -n "/($2)/s/.*\[\(.*\)\]/\1/p"
}
same soname "libhandoff.so.$(macro MAJOR)" \
  "$(dynamic "$lib/libhandoff.so" SONAME)"
same 'path in the library' '' "$(dynamic "$lib/libhandoff.so" 'RU*N*PATH')"
same 'what libhandoff.so links to' "libhandoff.so.$(macro MAJOR)" \
  "$(readlink "$prefix/$lib/libhandoff.so")"
quiet "$source_dir/tests/symbols.sh" "$prefix/$lib/libhandoff.so" \
  "$prefix/include"
mv "$prefix" "$tmp/moved"
same 'handoffctl --version' "handoffctl $version" \
  "$("$tmp/moved/bin/handoffctl" --version 2>&1)"
