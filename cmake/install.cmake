# SPDX-License-Identifier: MIT
# What is installed, and where: all of it is listed here. Three components,
# which become three packages: runtime (the shared library), development
# (what others build with) and tools (what an operator needs); two more for
# each of libhandoff-systemd, -zookeeper, -nats, -rpc and -tls, where it
# is built, and one for the ferry; documents beside them. The other programs of examples/ are there to be read.
include(CMakePackageConfigHelpers)

set(cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/handoff)
set(generated ${CMAKE_CURRENT_BINARY_DIR}/cmake)

# Libraries and headers: a header is where its library is.

set_target_properties(handoff_shared PROPERTIES EXPORT_NAME handoff)
set_target_properties(handoff_static PROPERTIES EXPORT_NAME static)
install(TARGETS handoff_shared handoff_static EXPORT handoff-targets
  LIBRARY COMPONENT runtime NAMELINK_COMPONENT development
  ARCHIVE COMPONENT development)
install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  COMPONENT development FILES_MATCHING PATTERN *.h
  PATTERN systemd.h EXCLUDE PATTERN zookeeper.h EXCLUDE
  PATTERN nats.h EXCLUDE PATTERN rpc.h EXCLUDE PATTERN tls.h EXCLUDE)
if(TARGET handoff_systemd)
  set_target_properties(handoff_systemd PROPERTIES EXPORT_NAME systemd)
  set_target_properties(handoff_systemd_static PROPERTIES
    EXPORT_NAME systemd_static)
  install(TARGETS handoff_systemd handoff_systemd_static
    EXPORT handoff-systemd-targets
    LIBRARY COMPONENT systemd_runtime NAMELINK_COMPONENT systemd_development
    ARCHIVE COMPONENT systemd_development)
  install(FILES include/handoff/systemd.h
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/handoff
    COMPONENT systemd_development)
endif()

if(TARGET handoff_zookeeper)
  set_target_properties(handoff_zookeeper PROPERTIES EXPORT_NAME zookeeper)
  set_target_properties(handoff_zookeeper_static PROPERTIES
    EXPORT_NAME zookeeper_static)
  install(TARGETS handoff_zookeeper handoff_zookeeper_static
    EXPORT handoff-zookeeper-targets
    LIBRARY COMPONENT zookeeper_runtime
    NAMELINK_COMPONENT zookeeper_development
    ARCHIVE COMPONENT zookeeper_development)
  install(FILES include/handoff/zookeeper.h
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/handoff
    COMPONENT zookeeper_development)
endif()

if(TARGET handoff_nats)
  set_target_properties(handoff_nats PROPERTIES EXPORT_NAME nats)
  set_target_properties(handoff_nats_static PROPERTIES EXPORT_NAME nats_static)
  install(TARGETS handoff_nats handoff_nats_static
    EXPORT handoff-nats-targets
    LIBRARY COMPONENT nats_runtime NAMELINK_COMPONENT nats_development
    ARCHIVE COMPONENT nats_development)
  install(FILES include/handoff/nats.h
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/handoff
    COMPONENT nats_development)
endif()

if(TARGET handoff_rpc)
  set_target_properties(handoff_rpc PROPERTIES EXPORT_NAME rpc)
  set_target_properties(handoff_rpc_static PROPERTIES EXPORT_NAME rpc_static)
  install(TARGETS handoff_rpc handoff_rpc_static
    EXPORT handoff-rpc-targets
    LIBRARY COMPONENT rpc_runtime NAMELINK_COMPONENT rpc_development
    ARCHIVE COMPONENT rpc_development)
  install(FILES include/handoff/rpc.h
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/handoff
    COMPONENT rpc_development)
endif()

if(TARGET handoff_tls)
  set_target_properties(handoff_tls PROPERTIES EXPORT_NAME tls)
  set_target_properties(handoff_tls_static PROPERTIES EXPORT_NAME tls_static)
  install(TARGETS handoff_tls handoff_tls_static
    EXPORT handoff-tls-targets
    LIBRARY COMPONENT tls_runtime NAMELINK_COMPONENT tls_development
    ARCHIVE COMPONENT tls_development)
  install(FILES include/handoff/tls.h
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/handoff
    COMPONENT tls_development)
endif()

# find_package(handoff): before 1.0 a minor version may change the interface.

install(EXPORT handoff-targets NAMESPACE handoff:: DESTINATION ${cmake_dir}
  COMPONENT development)
write_basic_package_version_file(${generated}/handoff-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES cmake/handoff-config.cmake
  ${generated}/handoff-config-version.cmake
  DESTINATION ${cmake_dir} COMPONENT development)
if(TARGET handoff_systemd)
  install(EXPORT handoff-systemd-targets NAMESPACE handoff::
    DESTINATION ${cmake_dir} COMPONENT systemd_development)
endif()
if(TARGET handoff_zookeeper)
  install(EXPORT handoff-zookeeper-targets NAMESPACE handoff::
    DESTINATION ${cmake_dir} COMPONENT zookeeper_development)
endif()
if(TARGET handoff_nats)
  install(EXPORT handoff-nats-targets NAMESPACE handoff::
    DESTINATION ${cmake_dir} COMPONENT nats_development)
endif()
if(TARGET handoff_rpc)
  install(EXPORT handoff-rpc-targets NAMESPACE handoff::
    DESTINATION ${cmake_dir} COMPONENT rpc_development)
endif()
if(TARGET handoff_tls)
  install(EXPORT handoff-tls-targets NAMESPACE handoff::
    DESTINATION ${cmake_dir} COMPONENT tls_development)
endif()

# pkg-config: the prefix is known only when it is installed, so that is when
# the file is finished.

set(pc_libdir \${prefix})
set(pc_includedir \${prefix})
cmake_path(APPEND pc_libdir ${CMAKE_INSTALL_LIBDIR})
cmake_path(APPEND pc_includedir ${CMAKE_INSTALL_INCLUDEDIR})
set(pc_prefix @prefix@)

# handoff_pkg_config(NAME COMPONENT DESCRIPTION PRIVATE): what it needs is in
# lines of its own.
function(handoff_pkg_config pc_name component pc_description pc_private)
  configure_file(cmake/handoff.pc.in ${generated}/${pc_name}.pc.in @ONLY)
  install(CODE "
    cmake_path(ABSOLUTE_PATH CMAKE_INSTALL_PREFIX NORMALIZE
      OUTPUT_VARIABLE prefix)
    configure_file(\"${generated}/${pc_name}.pc.in\"
      \"${generated}/${pc_name}.pc\" @ONLY)" COMPONENT ${component})
  install(FILES ${generated}/${pc_name}.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT ${component})
endfunction()

set(private)
if(CMAKE_THREAD_LIBS_INIT)
  set(private "Libs.private: ${CMAKE_THREAD_LIBS_INIT}\n")
endif()
handoff_pkg_config(handoff development "${PROJECT_DESCRIPTION}" "${private}")
if(TARGET handoff_systemd)
  handoff_pkg_config(handoff-systemd systemd_development
    "Servers of libhandoff under systemd" "\
Requires: handoff = ${PROJECT_VERSION}
Requires.private: libsystemd >= 227\n")
endif()
if(TARGET handoff_zookeeper)
  handoff_pkg_config(handoff-zookeeper zookeeper_development
    "Leases and notices of libhandoff by ZooKeeper" "\
Requires: handoff = ${PROJECT_VERSION}
Libs.private: -lzookeeper_st\n")
endif()
if(TARGET handoff_nats)
  handoff_pkg_config(handoff-nats nats_development
    "Notices of libhandoff by NATS" "\
Requires: handoff = ${PROJECT_VERSION}
Requires.private: libnats >= 3.4\n")
endif()
if(TARGET handoff_rpc)
  handoff_pkg_config(handoff-rpc rpc_development
    "Remote procedure calls of libhandoff by libtirpc" "\
Requires: handoff = ${PROJECT_VERSION}, libtirpc >= 1.2\n")
endif()
if(TARGET handoff_tls)
  handoff_pkg_config(handoff-tls tls_development
    "TLS connections of libhandoff that move, by OpenSSL" "\
Requires: handoff = ${PROJECT_VERSION}
Requires.private: openssl >= 3\n")
endif()

# Documents

foreach(section 3 7)
  file(GLOB pages CONFIGURE_DEPENDS docs/man/*.${section})
  list(FILTER pages EXCLUDE REGEX "/handoff_(systemd|zookeeper|nats|rpc|tls)\\.3$")
  install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section}
    COMPONENT development)
endforeach()
# What the README links to is where the link says, as in the sources.
install(FILES LICENSE README.md CHANGELOG.md CONTRIBUTING.md
  DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT documents)
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs
  COMPONENT documents FILES_MATCHING PATTERN *.md PATTERN *.svg
  PATTERN man EXCLUDE PATTERN systemd.md EXCLUDE)
set(component documents)
if(TARGET handoff_systemd)
  set(component systemd_development)
  install(FILES docs/man/handoff_systemd.3
    DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT ${component})
endif()
if(TARGET handoff_zookeeper)
  install(FILES docs/man/handoff_zookeeper.3
    DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT zookeeper_development)
endif()
if(TARGET handoff_nats)
  install(FILES docs/man/handoff_nats.3
    DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT nats_development)
endif()
if(TARGET handoff_rpc)
  install(FILES docs/man/handoff_rpc.3
    DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT rpc_development)
endif()
if(TARGET handoff_tls)
  install(FILES docs/man/handoff_tls.3
    DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT tls_development)
endif()
install(FILES docs/systemd.md DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs
  COMPONENT ${component})
set(units ${CMAKE_INSTALL_DOCDIR}/examples/systemd)
install(DIRECTORY examples/systemd/ DESTINATION ${units}
  COMPONENT ${component})

# The tool: it finds the library that was installed with it, also where the
# dynamic linker would not look.

if(TARGET handoffctl)
  set(rpath ${CMAKE_INSTALL_FULL_LIBDIR})
  if(rpath IN_LIST CMAKE_C_IMPLICIT_LINK_DIRECTORIES)
    set(rpath)
  elseif(NOT IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR} AND
      NOT IS_ABSOLUTE ${CMAKE_INSTALL_BINDIR})
    file(RELATIVE_PATH rpath ${CMAKE_INSTALL_FULL_BINDIR} ${rpath})
    set(rpath $ORIGIN/${rpath})
  endif()
  set_target_properties(handoffctl PROPERTIES INSTALL_RPATH "${rpath}")
  install(TARGETS handoffctl RUNTIME COMPONENT tools)
  install(FILES docs/man/handoffctl.1
    DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT tools)
  install(FILES examples/handoffctl/completion.bash RENAME handoffctl
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
    COMPONENT tools)
endif()

# The ferry and its helper, which it finds beside itself. They link the static
# library.

if(TARGET handoff-ferry AND TARGET handoff-unfreeze)
  install(TARGETS handoff-ferry handoff-unfreeze
    RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR} COMPONENT ferry)
  install(FILES docs/man/handoff-ferry.8 docs/man/handoff-unfreeze.8
    DESTINATION ${CMAKE_INSTALL_MANDIR}/man8 COMPONENT ferry)
  set(hosts ${CMAKE_INSTALL_DOCDIR}/examples/hosts)
  install(FILES examples/hosts/handoff-ferry.service
    DESTINATION ${hosts} COMPONENT ferry)
  install(PROGRAMS examples/hosts/hook-nft
    DESTINATION ${hosts} COMPONENT ferry)
endif()
