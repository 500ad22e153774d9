# SPDX-License-Identifier: MIT
include(CheckCCompilerFlag)

# clang 19 warns of what sys/sdt.h makes of a probe; gcc still warns of C23.
check_c_compiler_flag(-Wc23-extensions HANDOFF_WARNS_OF_C23)

# handoff_flags(TARGET): what every target of the project is compiled with.
function(handoff_flags target)
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes
    -Wmissing-prototypes -Wvla)
  if(HANDOFF_WARNS_OF_C23)
    target_compile_options(${target} PRIVATE -Wno-c23-extensions)
  endif()
  if(HANDOFF_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(HANDOFF_SANITIZE STREQUAL "thread")
    # gcc warns that it does not follow atomic_thread_fence: the two readers
    # that rest on it are named in tests/support/tsan.supp.
    target_compile_options(${target} PRIVATE
      -fsanitize=thread -fno-omit-frame-pointer -Wno-tsan)
    target_link_options(${target} PRIVATE -fsanitize=thread)
  elseif(HANDOFF_SANITIZE)
    target_compile_options(${target} PRIVATE
      -fsanitize=address,undefined -fno-sanitize-recover=all
      -fno-omit-frame-pointer)
    target_link_options(${target} PRIVATE -fsanitize=address,undefined)
  endif()
  if(HANDOFF_COVERAGE)
    target_compile_options(${target} PRIVATE --coverage -fprofile-update=atomic)
    target_link_options(${target} PRIVATE --coverage)
  endif()
endfunction()
