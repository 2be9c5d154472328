# Debian packages of what `cmake --install` installs: `cpack --config BUILD/CPackConfig.cmake -B FOLDER`. Three: the program,
# what C++ projects build with, and the CUDA module, which the program finds where this package puts it.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "The Espalier developers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_COMPONENTS_ALL program development)
set(same_version "(= ${PROJECT_VERSION})")

set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME espalier)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SHLIBDEPS ON)
# Opened at run time, so they are in nothing that dpkg-shlibdeps reads.
set(opened_at_run_time "libopenblas0-openmp | libopenblas0, libarchive13 | libarchive13t64")
set(CPACK_DEBIAN_PROGRAM_PACKAGE_DEPENDS "${opened_at_run_time}")

set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "Headers and library of Espalier, for programs that train sparse networks themselves.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libespalier-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "zlib1g-dev, libssl-dev, libhwy-dev, libcpp-httplib-dev, pkgconf, ${opened_at_run_time}")
if(ESPALIER_SHARED)  # the program's own too
  list(APPEND CPACK_COMPONENTS_ALL library)
  set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME libespalier${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  set(CPACK_DEBIAN_LIBRARY_PACKAGE_SHLIBDEPS ON)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS "${CMAKE_CURRENT_BINARY_DIR}")
  string(APPEND CPACK_DEBIAN_PROGRAM_PACKAGE_DEPENDS ", ${CPACK_DEBIAN_LIBRARY_PACKAGE_NAME} ${same_version}")
  string(APPEND CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS ", ${CPACK_DEBIAN_LIBRARY_PACKAGE_NAME} ${same_version}")
endif()

if(TARGET espalier_cuda)
  list(APPEND CPACK_COMPONENTS_ALL cuda)
  set(CPACK_COMPONENT_CUDA_DESCRIPTION "The CUDA backend of Espalier: used where there is a GPU with its driver and CUDA's \
libraries cuBLAS and cuSPARSE.")
  set(CPACK_DEBIAN_CUDA_PACKAGE_NAME espalier-cuda)
  set(CPACK_DEBIAN_CUDA_PACKAGE_SHLIBDEPS ON)
  set(CPACK_DEBIAN_CUDA_PACKAGE_DEPENDS "espalier ${same_version}")
endif()
include(CPack)
