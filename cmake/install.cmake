# SPDX-License-Identifier: MIT
# What is installed, and where: all of it is listed here. Three components,
# which become three packages: runtime (the shared library), development
# (what others build with) and tools (what an operator needs); documents beside
# them. The other programs of examples/ are there to be read.
include(CMakePackageConfigHelpers)

set(cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/handoff)
set(generated ${CMAKE_CURRENT_BINARY_DIR}/cmake)

# The libraries and the headers

set_target_properties(handoff_shared PROPERTIES EXPORT_NAME handoff)
set_target_properties(handoff_static PROPERTIES EXPORT_NAME static)
install(TARGETS handoff_shared handoff_static EXPORT handoff-targets
  LIBRARY COMPONENT runtime NAMELINK_COMPONENT development
  ARCHIVE COMPONENT development)
install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  COMPONENT development FILES_MATCHING PATTERN *.h)

# find_package(handoff): before 1.0 a minor version may change the interface.

install(EXPORT handoff-targets NAMESPACE handoff:: DESTINATION ${cmake_dir}
  COMPONENT development)
write_basic_package_version_file(${generated}/handoff-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES cmake/handoff-config.cmake
  ${generated}/handoff-config-version.cmake
  DESTINATION ${cmake_dir} COMPONENT development)

# pkg-config: the prefix is known only when it is installed, so that is when
# the file is finished.

set(pc_libdir \${prefix})
set(pc_includedir \${prefix})
cmake_path(APPEND pc_libdir ${CMAKE_INSTALL_LIBDIR})
cmake_path(APPEND pc_includedir ${CMAKE_INSTALL_INCLUDEDIR})
set(pc_private)
if(CMAKE_THREAD_LIBS_INIT)
  set(pc_private "Libs.private: ${CMAKE_THREAD_LIBS_INIT}\n")
endif()
set(pc_prefix @prefix@)
configure_file(cmake/handoff.pc.in ${generated}/handoff.pc.in @ONLY)
install(CODE "
  cmake_path(ABSOLUTE_PATH CMAKE_INSTALL_PREFIX NORMALIZE
    OUTPUT_VARIABLE prefix)
  configure_file(\"${generated}/handoff.pc.in\" \"${generated}/handoff.pc\"
    @ONLY)" COMPONENT development)
install(FILES ${generated}/handoff.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)

# Documents

foreach(section 3 7)
  file(GLOB pages CONFIGURE_DEPENDS docs/man/*.${section})
  install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section}
    COMPONENT development)
endforeach()
install(FILES LICENSE README.md CHANGELOG.md
  DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT documents)

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
endif()
