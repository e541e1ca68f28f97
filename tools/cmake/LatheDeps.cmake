# LATHE_DEPS_DIR: a folder that `tools/gpu-check --collect` filled, for machines without development packages. Its include/ holds the
# header-only dependencies and zlib's headers, its lib/ libz.a. find_package() finds them through files that say that they are there;
# without the folder it looks where it always does.
set(LATHE_DEPS_DIR "" CACHE PATH "Folder with the dependencies' headers and libz.a; empty: find them on this machine")
if(NOT LATHE_DEPS_DIR)
  return()
endif()

foreach(file include/nlohmann/json.hpp include/doctest/doctest.h include/CLI/CLI.hpp include/fmt/format.h include/xxhash.h
        include/stb/stb_image.h include/zlib.h lib/libz.a)
  if(NOT EXISTS ${LATHE_DEPS_DIR}/${file})
    message(FATAL_ERROR "LATHE_DEPS_DIR: there is no ${LATHE_DEPS_DIR}/${file}")
  endif()
endforeach()

function(lathe_found package target)
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  target_include_directories(${target} SYSTEM INTERFACE ${LATHE_DEPS_DIR}/include)
  file(WRITE ${CMAKE_FIND_PACKAGE_REDIRECTS_DIR}/${package}Config.cmake "")
  file(WRITE ${CMAKE_FIND_PACKAGE_REDIRECTS_DIR}/${package}ConfigVersion.cmake "set(PACKAGE_VERSION_COMPATIBLE TRUE)\n")
endfunction()
lathe_found(nlohmann_json nlohmann_json::nlohmann_json)
lathe_found(doctest doctest::doctest)
lathe_found(CLI11 CLI11::CLI11)
lathe_found(fmt fmt::fmt)
target_compile_definitions(fmt::fmt INTERFACE FMT_HEADER_ONLY=1)
lathe_found(ZLIB ZLIB::ZLIB)
target_link_libraries(ZLIB::ZLIB INTERFACE ${LATHE_DEPS_DIR}/lib/libz.a)
