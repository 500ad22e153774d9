#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what is missing, builds and runs the benchmarks:
#   tests/bench/run.sh [--quick] [--rounds N] [--results DIR] [NAME...]
# See docs/benchmarks.md. HANDOFF_BENCH_BUILD is the build folder.
set -eu
cd "$(dirname "$0")/../.."
build=${HANDOFF_BENCH_BUILD:-$PWD/build/bench}
tests/bench/deps.sh
# The same flags for the library and for what it is compared with.
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_C_FLAGS_RELEASE="-O2 -g -DNDEBUG" >/dev/null
cmake --build "$build" -j "$(nproc)" | tail -n 1
exec python3 -B tests/bench/suite --build "$build" "$@"
