#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what is missing, builds and runs all tests. Arguments go to ctest:
#   tests/run.sh -R unit.fdpass
set -eu
cd "$(dirname "$0")/.."
cmake/deps.sh tests
cmake/check-build.sh dev
cmake --preset dev
cmake --build --preset dev -j "$(nproc)"
exec ctest --preset dev "$@"
