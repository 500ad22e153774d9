# SPDX-License-Identifier: MIT
# 64-bit IBM Z: big-endian.
set(CMAKE_SYSTEM_PROCESSOR s390x)
include(${CMAKE_CURRENT_LIST_DIR}/cross.cmake)
