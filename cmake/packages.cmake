# SPDX-License-Identifier: MIT
# cpack makes Debian packages of the components: libhandoff0 (runtime),
# libhandoff-dev (development), handoff-tools (tools), and of the library for
# systemd, where it is built, libhandoff-systemd0 and libhandoff-systemd-dev:
# a program that does without it need not have libsystemd-dev; the same for
# ZooKeeper, NATS, remote procedure calls and TLS. The ferry is handoff-ferry, where that is built: it needs
# libraries that nothing else does. Whoever distributes them says who answers for
# them: -DCPACK_PACKAGE_CONTACT="Name <address>".
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME libhandoff)
if(NOT CPACK_PACKAGE_CONTACT)
  set(CPACK_PACKAGE_CONTACT
    "The libhandoff authors <libhandoff@authors.invalid>")
endif()
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL runtime development)
if(TARGET handoffctl)
  list(APPEND CPACK_COMPONENTS_ALL tools)
endif()
if(TARGET handoff_systemd)
  list(APPEND CPACK_COMPONENTS_ALL systemd_runtime systemd_development)
endif()
if(TARGET handoff_zookeeper)
  list(APPEND CPACK_COMPONENTS_ALL zookeeper_runtime zookeeper_development)
endif()
if(TARGET handoff_nats)
  list(APPEND CPACK_COMPONENTS_ALL nats_runtime nats_development)
endif()
if(TARGET handoff_rpc)
  list(APPEND CPACK_COMPONENTS_ALL rpc_runtime rpc_development)
endif()
if(TARGET handoff_tls)
  list(APPEND CPACK_COMPONENTS_ALL tls_runtime tls_development)
endif()
if(TARGET handoff-ferry AND TARGET handoff-unfreeze)
  list(APPEND CPACK_COMPONENTS_ALL ferry)
endif()
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SOURCE libhandoff)
# Gives way to any revision that a distribution makes.
set(CPACK_DEBIAN_PACKAGE_RELEASE 0upstream1)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME libhandoff${PROJECT_VERSION_MAJOR})
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libhandoff-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME handoff-tools)
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION net)
set(CPACK_DEBIAN_SYSTEMD_RUNTIME_PACKAGE_NAME
  libhandoff-systemd${PROJECT_VERSION_MAJOR})
set(CPACK_DEBIAN_SYSTEMD_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_SYSTEMD_DEVELOPMENT_PACKAGE_NAME libhandoff-systemd-dev)
set(CPACK_DEBIAN_SYSTEMD_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_ZOOKEEPER_RUNTIME_PACKAGE_NAME
  libhandoff-zookeeper${PROJECT_VERSION_MAJOR})
set(CPACK_DEBIAN_ZOOKEEPER_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_ZOOKEEPER_DEVELOPMENT_PACKAGE_NAME libhandoff-zookeeper-dev)
set(CPACK_DEBIAN_ZOOKEEPER_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_NATS_RUNTIME_PACKAGE_NAME
  libhandoff-nats${PROJECT_VERSION_MAJOR})
set(CPACK_DEBIAN_NATS_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_NATS_DEVELOPMENT_PACKAGE_NAME libhandoff-nats-dev)
set(CPACK_DEBIAN_NATS_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_RPC_RUNTIME_PACKAGE_NAME
  libhandoff-rpc${PROJECT_VERSION_MAJOR})
set(CPACK_DEBIAN_RPC_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_RPC_DEVELOPMENT_PACKAGE_NAME libhandoff-rpc-dev)
set(CPACK_DEBIAN_RPC_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_TLS_RUNTIME_PACKAGE_NAME
  libhandoff-tls${PROJECT_VERSION_MAJOR})
set(CPACK_DEBIAN_TLS_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_TLS_DEVELOPMENT_PACKAGE_NAME libhandoff-tls-dev)
set(CPACK_DEBIAN_TLS_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_FERRY_PACKAGE_NAME handoff-ferry)
set(CPACK_DEBIAN_FERRY_PACKAGE_SECTION net)

# The first line of each text is the synopsis.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")
set(about "
A server process that must go down hands its established connections, its
listening sockets and the state of every connection to a second process on
the same host, byte for byte. No client is disconnected; no byte is lost or
sent twice, not even when the process dies by SIGKILL.
.
")
set(CPACK_DEBIAN_RUNTIME_DESCRIPTION
  "hands live connections from process to process${about}\
This package contains the shared library.")
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION
  "hands live connections from process to process - development${about}\
This package contains the headers, the static library, what CMake and
pkg-config need to find them, and a manual of all functions.")
set(CPACK_DEBIAN_TOOLS_DESCRIPTION
  "hands live connections from process to process - tools${about}\
This package contains handoffctl, with which an operator directs the two
processes, and its completion for bash.")
set(CPACK_DEBIAN_SYSTEMD_RUNTIME_DESCRIPTION
  "hands live connections from process to process - systemd${about}\
This package contains the shared library for servers that systemd starts and
watches.")
set(CPACK_DEBIAN_SYSTEMD_DEVELOPMENT_DESCRIPTION
  "hands live connections from process to process - systemd development${about}\
This package contains what is needed to build servers that systemd starts and
watches, and unit files to begin with.")
set(CPACK_DEBIAN_ZOOKEEPER_RUNTIME_DESCRIPTION
  "hands live connections from process to process - ZooKeeper${about}\
This package contains the shared library for leases and notices by ZooKeeper.")
set(CPACK_DEBIAN_ZOOKEEPER_DEVELOPMENT_DESCRIPTION
  "hands live connections from process to process - ZooKeeper development${about}\
This package contains what is needed to build programs with leases and notices
by ZooKeeper.")
set(CPACK_DEBIAN_NATS_RUNTIME_DESCRIPTION
  "hands live connections from process to process - NATS${about}\
This package contains the shared library for notices by NATS, which reach
clients on other hosts.")
set(CPACK_DEBIAN_NATS_DEVELOPMENT_DESCRIPTION
  "hands live connections from process to process - NATS development${about}\
This package contains what is needed to build programs with notices by NATS.")
set(CPACK_DEBIAN_RPC_RUNTIME_DESCRIPTION
  "hands live connections from process to process - RPC${about}\
This package contains the shared library for remote procedure calls (ONC RPC)
that are executed exactly once across handoffs and deaths of processes.")
set(CPACK_DEBIAN_RPC_DEVELOPMENT_DESCRIPTION
  "hands live connections from process to process - RPC development${about}\
This package contains what is needed to build servers and clients of remote
procedures.")
set(CPACK_DEBIAN_TLS_RUNTIME_DESCRIPTION
  "hands live connections from process to process - TLS${about}\
This package contains the shared library for connections with TLS 1.3, by
OpenSSL, whose keys are handed over too.")
set(CPACK_DEBIAN_TLS_DEVELOPMENT_DESCRIPTION
  "hands live connections from process to process - TLS development${about}\
This package contains what is needed to build servers and clients with TLS.")
set(CPACK_DEBIAN_FERRY_DESCRIPTION
  "hands live connections from process to process - other hosts${about}\
This package contains handoff-ferry and its helper, which move all connections
of a service to another host of the same link, with its addresses, and bring
them home.")

# debian.cmake runs between installing and packing.
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/debian.cmake)
set(CPACK_HANDOFF_SOURCE_DIR ${PROJECT_SOURCE_DIR})
set(CPACK_HANDOFF_STRIP ${CMAKE_STRIP})
set(CPACK_HANDOFF_SOVERSION ${PROJECT_VERSION_MAJOR})

set(CPACK_VERBATIM_VARIABLES ON)
include(CPack)
