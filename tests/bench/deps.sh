#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what the benchmarks need beside what building needs: what they
# compare with, and what measures and draws.
set -eu
cd "$(dirname "$0")/../.."
cmake/deps.sh build
cmake/deps.sh packages pkg-config libcmocka-dev python3 libuv1-dev \
  libevent-dev valgrind strace gnuplot-nox

# HAProxy and nginx are run by the benchmarks, with configurations of their
# own. Debian would start the services of packages that it installs: a
# policy-rc.d forbids it meanwhile (invoke-rc.d(8)), and services that were not
# here before are not started by the next boot either.
new=()
for service in haproxy nginx; do
  if [[ ! -x /usr/sbin/$service ]]; then
    new+=("$service")
  fi
done
as_root=()
if [[ $(id -u) -ne 0 ]]; then
  as_root=(sudo)
fi
policy=/usr/sbin/policy-rc.d
if [[ ${#new[@]} -gt 0 && -x /usr/sbin/invoke-rc.d && ! -e $policy ]]; then
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
fi
cmake/deps.sh packages haproxy nginx-light libnginx-mod-stream
for service in "${new[@]}"; do
  if [[ -e /etc/init.d/$service ]]; then
    "${as_root[@]}" update-rc.d "$service" disable
  fi
done
