# install, find_package(lathe CONFIG), pkg-config. Headers keep their paths under include/lathe/.
include(CMakePackageConfigHelpers)
install(TARGETS lathe EXPORT latheTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(folder core autograd layers quant models data train)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/lathe
    FILES_MATCHING PATTERN "*.h" PATTERN "experiments" EXCLUDE)
endforeach()
if(EXISTS ${PROJECT_SOURCE_DIR}/train/lathe.h)
  install(FILES ${PROJECT_SOURCE_DIR}/train/lathe.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/lathe)
endif()
install(EXPORT latheTargets NAMESPACE lathe:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/lathe)
configure_package_config_file(${PROJECT_SOURCE_DIR}/tools/cmake/latheConfig.cmake.in
  ${PROJECT_BINARY_DIR}/latheConfig.cmake INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/lathe)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/latheConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/latheConfig.cmake ${PROJECT_BINARY_DIR}/latheConfigVersion.cmake
  ${PROJECT_SOURCE_DIR}/tools/cmake/FindSndFile.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/lathe)
# Found relative to the .pc file, so that the tree may be installed or moved anywhere.
if(LATHE_ASSERTS)
  set(lathe_pc_asserts 1)
else()
  set(lathe_pc_asserts 0)
endif()
set(lathe_pc_sndfile "")
if(lathe_sndfile)
  set(lathe_pc_sndfile " sndfile")
endif()
if(LATHE_HAS_CUDA)
  set(lathe_pc_cuda 1)
else()
  set(lathe_pc_cuda 0)
endif()
file(RELATIVE_PATH lathe_pc_to_prefix /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
configure_file(${PROJECT_SOURCE_DIR}/tools/cmake/lathe.pc.in ${PROJECT_BINARY_DIR}/lathe.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/lathe.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
