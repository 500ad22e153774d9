# SPDX-License-Identifier: MIT
# 64-bit Arm: a weaker order of memory than x86, as far as compilers go.
set(CMAKE_SYSTEM_PROCESSOR aarch64)
include(${CMAKE_CURRENT_LIST_DIR}/cross.cmake)
