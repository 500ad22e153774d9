#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what the benchmarks need beside what building needs: what they
# compare with, and what measures and draws.
set -eu
cd "$(dirname "$0")/../.."
cmake/deps.sh build
exec cmake/deps.sh packages pkg-config libcmocka-dev python3 libuv1-dev \
  libevent-dev valgrind strace gnuplot-nox
