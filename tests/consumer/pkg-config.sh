#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What pkg-config says is enough to build with, against a prefix and against
# a tree that was staged with DESTDIR.
. "$(dirname "$0")/common.sh"
need "$CXX" pkg-config readelf

lib=$(cached CMAKE_INSTALL_LIBDIR)
install_to "$tmp/prefix"
PKG_CONFIG_PATH=$tmp/prefix/$lib/pkgconfig \
  with_pkg_config "$tmp/prefix/$lib"

DESTDIR=$tmp/root install_to /opt/handoff
same 'prefix when staged' prefix=/opt/handoff \
  "$(grep ^prefix= "$tmp/root/opt/handoff/$lib/pkgconfig/handoff.pc")"
staged "$tmp/root"
PKG_CONFIG_SYSROOT_DIR=$tmp/root \
  PKG_CONFIG_LIBDIR=$tmp/root/opt/handoff/$lib/pkgconfig:$pc_path \
  with_pkg_config "$tmp/root/opt/handoff/$lib"
