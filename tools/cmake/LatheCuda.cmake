# The CUDA twin (cuda/README.md). CMake 3.25 knows no CUDA_STANDARD 20: the dialect is passed to nvcc by hand.
include(CheckLanguage)
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80 90)
endif()
check_language(CUDA)
if(CMAKE_CUDA_COMPILER)
  enable_language(CUDA)
  # What exists so far: the headers that both compilers share, checked by compiling them for the device. The library has no
  # CUDA kernels yet, so a CUDA device is refused by name at run time.
  add_library(lathe_cuda_headers OBJECT ${PROJECT_SOURCE_DIR}/cuda/shared_headers.cu)
  target_compile_options(lathe_cuda_headers PRIVATE -std=c++20)
  target_include_directories(lathe_cuda_headers PRIVATE ${PROJECT_SOURCE_DIR})
  message(STATUS "CUDA: ${CMAKE_CUDA_COMPILER} checks the headers shared with the device; there are no CUDA kernels yet")
elseif(LATHE_CUDA STREQUAL "ON")
  message(FATAL_ERROR "LATHE_CUDA=ON, but no CUDA compiler was found; install the toolkit or use LATHE_CUDA=OFF")
else()
  message(STATUS "CUDA: no compiler found, the CUDA twin is not built")
endif()
