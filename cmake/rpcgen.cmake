# SPDX-License-Identifier: MIT
# The stubs and XDR routines that rpcgen makes of an interface file. They are
# what it makes: compiled without the warnings of this project.
find_program(RPCGEN rpcgen)
mark_as_advanced(RPCGEN)

# handoff_rpcgen(TARGET FILE.x FOLDER FLAG...): a static library of the client's
# and the server's stubs and the routines, with its header. Run in the folder of
# the file, since what is generated includes the header as the file is called.
function(handoff_rpcgen target file folder)
  cmake_path(GET file STEM stem)
  set(from ${CMAKE_CURRENT_SOURCE_DIR}/${folder})
  set(dir ${CMAKE_CURRENT_BINARY_DIR}/${target})
  file(MAKE_DIRECTORY ${dir})
  set(outputs)
  foreach(part h:.h c:_xdr.c l:_clnt.c m:_svc.c)
    string(REGEX REPLACE "^(.):(.*)$" "\\1;\\2" part ${part})
    list(GET part 0 flag)
    list(GET part 1 suffix)
    set(output ${dir}/${stem}${suffix})
    add_custom_command(OUTPUT ${output}
      COMMAND ${CMAKE_COMMAND} -E rm -f ${output}
      COMMAND ${RPCGEN} ${ARGN} -${flag} -o ${output} ${file}
      DEPENDS ${from}/${file} WORKING_DIRECTORY ${from} VERBATIM)
    list(APPEND outputs ${output})
  endforeach()
  add_library(${target} STATIC ${outputs})
  target_include_directories(${target} SYSTEM PUBLIC ${dir})
  target_link_libraries(${target} PUBLIC PkgConfig::TIRPC)
  target_compile_options(${target} PRIVATE -w)
  set_target_properties(${target} PROPERTIES C_CLANG_TIDY "")
  if(HANDOFF_SANITIZE AND NOT HANDOFF_SANITIZE STREQUAL "thread")
    target_compile_options(${target} PRIVATE -fsanitize=address,undefined
      -fno-sanitize-recover=all -fno-omit-frame-pointer)
  elseif(HANDOFF_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=thread)
  endif()
endfunction()
