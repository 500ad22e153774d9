# SPDX-License-Identifier: MIT
# Targets: handoff::handoff (the shared library) and handoff::static.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/handoff-targets.cmake)
