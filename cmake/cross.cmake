# SPDX-License-Identifier: MIT
# What the toolchain files have in common: Debian's cross compiler for
# CMAKE_SYSTEM_PROCESSOR, and qemu-user for running what it built.
set(CMAKE_SYSTEM_NAME Linux)
set(cross ${CMAKE_SYSTEM_PROCESSOR}-linux-gnu)
set(CMAKE_C_COMPILER ${cross}-gcc)
set(CMAKE_CROSSCOMPILING_EMULATOR
  qemu-${CMAKE_SYSTEM_PROCESSOR} -L /usr/${cross})
set(CMAKE_FIND_ROOT_PATH /usr/${cross} $ENV{PKG_CONFIG_SYSROOT_DIR})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
