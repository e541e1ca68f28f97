# Flags common to every target of the project.
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

include(GNUInstallDirs)

function(lathe_target_options target)
  # Per target: a global CMAKE_CXX_STANDARD would ask CMake 3.25 for a CUDA dialect it does not know.
  set_target_properties(${target} PROPERTIES CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF)
  target_compile_features(${target} PUBLIC cxx_std_20)
  # __FILE__ in messages starts at the repository's root; never -ffast-math: NaN checks and bit laws need IEEE rules.
  target_compile_options(${target} PRIVATE "-fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=")
  if(LATHE_DEVELOPER)
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
      $<$<BOOL:${LATHE_WERROR}>:-Werror>)
  endif()
  if(LATHE_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=address,undefined -fno-sanitize-recover=undefined
                                             -fno-omit-frame-pointer -O1 -g1)  # lines are all that reports show
    target_link_options(${target} PUBLIC -fsanitize=address,undefined)
  endif()
  target_compile_definitions(${target} PUBLIC
    LATHE_ASSERTS=$<BOOL:${LATHE_ASSERTS}> LATHE_HAS_CUDA=$<BOOL:${LATHE_HAS_CUDA}>)
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/lathe>)
endfunction()
