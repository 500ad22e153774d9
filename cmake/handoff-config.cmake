# SPDX-License-Identifier: MIT
# Targets: handoff::handoff (the shared library) and handoff::static; with
# COMPONENTS systemd also handoff::systemd and handoff::systemd_static, and in
# the same way with zookeeper, nats, rpc and tls.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/handoff-targets.cmake)
foreach(_handoff_part IN LISTS handoff_FIND_COMPONENTS)
  set(_handoff_file
    ${CMAKE_CURRENT_LIST_DIR}/handoff-${_handoff_part}-targets.cmake)
  if(EXISTS ${_handoff_file})
    include(${_handoff_file})
    set(handoff_${_handoff_part}_FOUND TRUE)
  else()
    set(handoff_${_handoff_part}_FOUND FALSE)
    if(handoff_FIND_REQUIRED_${_handoff_part})
      set(handoff_FOUND FALSE)
      set(handoff_NOT_FOUND_MESSAGE "it was installed without a component \
'${_handoff_part}'. There can be 'systemd', 'zookeeper', 'nats', 'rpc' and 'tls': they \
are built where libsystemd, libzookeeper_st, libnats, libtirpc and OpenSSL are, \
and Debian packages have them in libhandoff-systemd-dev, \
libhandoff-zookeeper-dev, libhandoff-nats-dev, libhandoff-rpc-dev and \
libhandoff-tls-dev.")
    endif()
  endif()
endforeach()
unset(_handoff_part)
unset(_handoff_file)
