#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# check-build.sh [PRESET...]: fails if one of these builds (all that are there,
# if none is named) was made at another path or for another source tree, as in
# a tree that was copied or moved. CMake refuses such a build too, but does not
# say what to do about it.
set -eu
cd "$(dirname "$0")/.."

# cached VARIABLE: of the build in $dir.
cached() {
  sed -n "s/^$1:INTERNAL=//p" "$dir/CMakeCache.txt"
}

if [[ $# -eq 0 ]]; then
  set -- build/*/CMakeCache.txt
  set -- "${@%/CMakeCache.txt}"
  set -- "${@#build/}"
fi
foreign=()
for preset; do
  dir=build/$preset
  [[ -f $dir/CMakeCache.txt ]] || continue
  made=$(cached CMAKE_CACHEFILE_DIR)
  [[ -n $made ]] || continue # configuring was interrupted
  source=$(cached CMAKE_HOME_DIRECTORY)
  if [[ ! $made -ef $dir || ! $source -ef . ]]; then
    echo "$PWD/$dir cannot be used here: it was made as $made," \
      "for the sources in $source." >&2
    foreign+=("$PWD/$dir")
  fi
done
[[ ${#foreign[@]} -gt 0 ]] || exit 0
echo 'Remove what was copied along, then try again:' >&2
printf '  rm -rf' >&2
printf ' %q' "${foreign[@]}" >&2
echo >&2
exit 1
