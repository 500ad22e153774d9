# SPDX-License-Identifier: MIT
# What the system tests use.
add_executable(tls_server tls_server.c)
target_link_libraries(tls_server PRIVATE handoff_tls_static Threads::Threads)
handoff_flags(tls_server)
add_executable(tls_client tls_client.c)
target_link_libraries(tls_client PRIVATE PkgConfig::TLS)
handoff_flags(tls_client)

if(NOT TARGET handoffctl)
  message(STATUS "System tests of TLS need handoffctl: left out")
  return()
endif()
find_package(Python3 3.11 REQUIRED COMPONENTS Interpreter)

# handoff_tls_system(NAME FILE TIMEOUT LABEL [VARIABLE=VALUE])
function(handoff_tls_system name file timeout label)
  math(EXPR seconds "${timeout} * ${scale}")
  add_test(NAME system.${name} COMMAND ${Python3_EXECUTABLE} -B
    ${CMAKE_CURRENT_SOURCE_DIR}/test_${file}.py)
  set_tests_properties(system.${name} PROPERTIES LABELS ${label}
    TIMEOUT ${seconds} ENVIRONMENT "HANDOFF_TLS=${CMAKE_CURRENT_BINARY_DIR};HANDOFF_BIN=$<TARGET_FILE_DIR:handoffctl>;HANDOFF_TOOLS=$<TARGET_FILE_DIR:loadgen>;HANDOFF_SCALE=${scale};HANDOFF_COVERAGE=${counts};${ARGN}")
endfunction()
handoff_tls_system(tls tls 240 system)
handoff_tls_system(tls_clients clients 240 system)
handoff_tls_system(tls_builds builds 240 system)
handoff_tls_system(tls_load tls_load 240 system)
handoff_tls_system(tls_load_long tls_load 1800 long HANDOFF_LONG=1)
handoff_tls_system(tls_client client 240 system)
# These need a folder of their own, and say so: see the file.
handoff_tls_system(tls_fuzzer tlsfuzzer 600 system)
handoff_tls_system(tls_fuzzer_long tlsfuzzer 3600 long HANDOFF_LONG=1)
