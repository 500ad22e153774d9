# SPDX-License-Identifier: MIT
# Run by cpack between installing the components and packing them. Brings them
# into the shape that Debian's policy asks for, and says what each depends on.
# CPack can do the latter too, but then calls ldconfig in scripts, which
# packages no longer do.
cmake_policy(VERSION 3.25)
set(version ${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})
set(control ${CPACK_TOPLEVEL_DIRECTORY}/control)
file(REMOVE_RECURSE ${control})
set(package ${CPACK_DEBIAN_RUNTIME_PACKAGE_NAME})

function(handoff_run)
  execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# Without what only a debugger wants, and without a path to the library that
# only a tree outside of the system needs.
function(handoff_strip dir)
  set(strip ${CPACK_HANDOFF_STRIP} --remove-section=.comment
    --remove-section=.note)
  file(GLOB_RECURSE archives ${dir}/*.a)
  foreach(file IN LISTS archives)
    handoff_run(${strip} --strip-debug --enable-deterministic-archives ${file})
  endforeach()
  file(GLOB_RECURSE binaries ${dir}/*.so.*.* ${dir}/handoffctl
    ${dir}/handoff-ferry ${dir}/handoff-unfreeze)
  list(FILTER binaries EXCLUDE REGEX "/share/") # the completion of handoffctl
  foreach(file IN LISTS binaries)
    file(RPATH_REMOVE FILE ${file})
    handoff_run(${strip} --strip-unneeded ${file})
  endforeach()
endfunction()

# A copyright file as in copyright-format/1.0, from LICENSE.
function(handoff_copyright to)
  file(READ ${CPACK_HANDOFF_SOURCE_DIR}/LICENSE text)
  if(NOT text MATCHES "Copyright \\(c\\) ([^\n]+)\n\n(.*)\n$")
    message(FATAL_ERROR "LICENSE: no copyright line with a text below")
  endif()
  set(holder ${CMAKE_MATCH_1})
  string(REPLACE "\n" "\n " text "${CMAKE_MATCH_2}")
  string(REPLACE "\n \n" "\n .\n" text "${text}")
  file(WRITE ${to} "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: libhandoff

Files: *
Copyright: ${holder}
License: Expat
 ${text}
")
endfunction()

function(handoff_documents dir)
  string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
  handoff_copyright(${dir}/copyright)
  configure_file(${CPACK_HANDOFF_SOURCE_DIR}/CHANGELOG.md ${dir}/changelog
    COPYONLY)
  file(WRITE ${dir}/changelog.Debian "\
libhandoff (${version}) unstable; urgency=medium

  * Packed by its authors; what is new is in the changelog beside this one.

 -- ${CPACK_PACKAGE_CONTACT}  ${date}
")
  handoff_run(gzip -9n ${dir}/changelog ${dir}/changelog.Debian)
endfunction()

# With what it links to: the changelog has the name that policy gives it, and
# what is about systemd is in a package of its own.
function(handoff_readme dir)
  set(from ${CPACK_HANDOFF_SOURCE_DIR})
  file(READ ${from}/README.md text)
  string(REPLACE "](CHANGELOG.md)" "](changelog.gz)" text "${text}")
  string(REPLACE "](docs/systemd.md)"
    "](../libhandoff-systemd-dev/docs/systemd.md)" text "${text}")
  file(WRITE ${dir}/README.md "${text}")
  file(COPY ${from}/docs ${from}/CONTRIBUTING.md DESTINATION ${dir}
    FILE_PERMISSIONS
    OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ
    WORLD_EXECUTE FILES_MATCHING PATTERN *.md PATTERN *.svg
    PATTERN man EXCLUDE PATTERN systemd.md EXCLUDE)
endfunction()

# handoff_depends(OUT COMPONENT FALLBACK): the packages that the library or the
# program of the component needs, by their sonames.
function(handoff_depends out component fallback)
  set(${out} ${fallback} PARENT_SCOPE)
  find_program(shlibdeps dpkg-shlibdeps)
  set(dir ${CPACK_TEMPORARY_DIRECTORY}/${component})
  file(GLOB_RECURSE binaries ${dir}/*.so.*.* ${dir}/handoffctl
    ${dir}/handoff-ferry ${dir}/handoff-unfreeze)
  list(FILTER binaries EXCLUDE REGEX "/share/") # the completion of handoffctl
  if(NOT shlibdeps OR NOT binaries)
    return()
  endif()
  # The libraries of this project that it may need, and how to depend on them.
  file(GLOB_RECURSE libraries ${CPACK_TEMPORARY_DIRECTORY}/*runtime/*.so.*.*)
  list(TRANSFORM libraries REPLACE "/[^/]*$" "")
  list(REMOVE_DUPLICATES libraries)
  list(TRANSFORM libraries PREPEND -l)
  file(WRITE ${control}/debian/control
    "Source: libhandoff\n\nPackage: any\nArchitecture: any\n")
  file(GLOB all ${control}/*runtime/shlibs)
  file(WRITE ${control}/debian/shlibs.local "")
  foreach(one IN LISTS all)
    file(READ ${one} text)
    file(APPEND ${control}/debian/shlibs.local "${text}")
  endforeach()
  file(MAKE_DIRECTORY ${dir}/DEBIAN)
  execute_process(COMMAND ${shlibdeps} -O ${libraries} ${binaries}
    WORKING_DIRECTORY ${control} OUTPUT_VARIABLE depends
    COMMAND_ERROR_IS_FATAL ANY)
  file(REMOVE_RECURSE ${dir}/DEBIAN)
  string(REGEX REPLACE "^.*Depends=|\n" "" depends "${depends}")
  set(${out} "${depends}" PARENT_SCOPE)
endfunction()

foreach(component IN LISTS CPACK_COMPONENTS_ALL)
  string(TOUPPER ${component} name)
  set(name ${CPACK_DEBIAN_${name}_PACKAGE_NAME})
  set(dir ${CPACK_TEMPORARY_DIRECTORY}/${component})
  handoff_strip(${dir})
  set(docs ${dir}${CPACK_PACKAGING_INSTALL_PREFIX}/share/doc/${name})
  handoff_documents(${docs})
  if(component STREQUAL development)
    handoff_readme(${docs})
  elseif(component STREQUAL systemd_development)
    set(installed ${docs}/../handoff)
    file(RENAME ${installed}/docs ${docs}/docs)
    file(RENAME ${installed}/examples ${docs}/examples)
    file(REMOVE_RECURSE ${installed})
  elseif(component STREQUAL ferry)
    set(installed ${docs}/../handoff)
    file(RENAME ${installed}/examples/hosts ${docs}/examples)
    file(REMOVE_RECURSE ${installed})
  endif()
  file(GLOB_RECURSE pages ${dir}/*.[1-9])
  list(FILTER pages INCLUDE REGEX /man[1-9]/)
  if(pages)
    handoff_run(gzip -9n ${pages})
  endif()
  # Whatever the umask is here.
  handoff_run(chmod -R u=rwX,go=rX ${dir})
endforeach()

# handoff_library(COMPONENT LIBRARY): the package of a shared library says how
# others depend on it, and has it found.
function(handoff_library component library)
  string(TOUPPER ${component} name)
  file(WRITE ${control}/${component}/shlibs "${library} \
${CPACK_HANDOFF_SOVERSION} ${CPACK_DEBIAN_${name}_PACKAGE_NAME} \
(>= ${version})\n")
  file(WRITE ${control}/${component}/triggers "activate-noawait ldconfig\n")
  set(CPACK_DEBIAN_${name}_PACKAGE_CONTROL_EXTRA
    ${control}/${component}/shlibs ${control}/${component}/triggers
    PARENT_SCOPE)
endfunction()

handoff_library(runtime libhandoff)
foreach(part systemd zookeeper nats rpc tls)
  if(${part}_runtime IN_LIST CPACK_COMPONENTS_ALL)
    handoff_library(${part}_runtime libhandoff-${part})
  endif()
endforeach()
handoff_depends(CPACK_DEBIAN_RUNTIME_PACKAGE_DEPENDS runtime libc6)
if(ferry IN_LIST CPACK_COMPONENTS_ALL)
  handoff_depends(CPACK_DEBIAN_FERRY_PACKAGE_DEPENDS ferry
    "libc6, libssl3, libmnl0, libnftnl11, libnetfilter-queue1")
  set(CPACK_DEBIAN_FERRY_PACKAGE_RECOMMENDS "handoff-tools")
endif()
handoff_depends(CPACK_DEBIAN_TOOLS_PACKAGE_DEPENDS tools
  "libc6, ${package} (>= ${version})")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "${package} (= ${version})")
if(systemd_runtime IN_LIST CPACK_COMPONENTS_ALL)
  handoff_depends(CPACK_DEBIAN_SYSTEMD_RUNTIME_PACKAGE_DEPENDS systemd_runtime
    "libc6, ${package} (>= ${version}), libsystemd0 (>= 227)")
  set(CPACK_DEBIAN_SYSTEMD_DEVELOPMENT_PACKAGE_DEPENDS
    "${CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME} (= ${version}), \
${CPACK_DEBIAN_SYSTEMD_RUNTIME_PACKAGE_NAME} (= ${version}), \
libsystemd-dev (>= 227)")
endif()
if(zookeeper_runtime IN_LIST CPACK_COMPONENTS_ALL)
  handoff_depends(CPACK_DEBIAN_ZOOKEEPER_RUNTIME_PACKAGE_DEPENDS
    zookeeper_runtime
    "libc6, ${package} (>= ${version}), libzookeeper-st2")
  set(CPACK_DEBIAN_ZOOKEEPER_DEVELOPMENT_PACKAGE_DEPENDS
    "${CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME} (= ${version}), \
${CPACK_DEBIAN_ZOOKEEPER_RUNTIME_PACKAGE_NAME} (= ${version}), \
libzookeeper-st-dev")
endif()
if(nats_runtime IN_LIST CPACK_COMPONENTS_ALL)
  handoff_depends(CPACK_DEBIAN_NATS_RUNTIME_PACKAGE_DEPENDS nats_runtime
    "libc6, ${package} (>= ${version}), libnats3.4")
  set(CPACK_DEBIAN_NATS_DEVELOPMENT_PACKAGE_DEPENDS
    "${CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME} (= ${version}), \
${CPACK_DEBIAN_NATS_RUNTIME_PACKAGE_NAME} (= ${version}), \
libnats-dev (>= 3.4)")
endif()
if(rpc_runtime IN_LIST CPACK_COMPONENTS_ALL)
  handoff_depends(CPACK_DEBIAN_RPC_RUNTIME_PACKAGE_DEPENDS rpc_runtime
    "libc6, ${package} (>= ${version}), libtirpc3")
  set(CPACK_DEBIAN_RPC_DEVELOPMENT_PACKAGE_DEPENDS
    "${CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME} (= ${version}), \
${CPACK_DEBIAN_RPC_RUNTIME_PACKAGE_NAME} (= ${version}), \
libtirpc-dev (>= 1.2)")
endif()
if(tls_runtime IN_LIST CPACK_COMPONENTS_ALL)
  handoff_depends(CPACK_DEBIAN_TLS_RUNTIME_PACKAGE_DEPENDS tls_runtime
    "libc6, ${package} (>= ${version}), libssl3")
  set(CPACK_DEBIAN_TLS_DEVELOPMENT_PACKAGE_DEPENDS
    "${CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME} (= ${version}), \
${CPACK_DEBIAN_TLS_RUNTIME_PACKAGE_NAME} (= ${version}), \
libssl-dev (>= 3)")
endif()
