# Chooses the one Thrust that everything compiled for the CPU sees, as target espalier_thrust.
#
# The distribution's comes first. The CUDA toolkit's (CCCL 2.8 and newer) looks for <cuda_runtime_api.h> wherever the compiler
# looks and declares NVIDIA's types where it finds it, which clash with those of tests/cuda_on_host: so that copy is told that
# there is no CUDA. -DThrust_DIR=FOLDER overrules the choice.
find_package(Thrust QUIET CONFIG NO_DEFAULT_PATH PATHS ${CMAKE_PREFIX_PATH} /usr)
if(NOT Thrust_FOUND)
  find_package(Thrust REQUIRED CONFIG HINTS ENV CUDA_PATH PATHS /usr/local/cuda)
endif()
thrust_create_target(espalier_thrust HOST CPP DEVICE OMP)
set(ESPALIER_HOST_THRUST_IS_TOOLKITS OFF)
if(Thrust_VERSION VERSION_GREATER_EQUAL 2)
  set(ESPALIER_HOST_THRUST_IS_TOOLKITS ON)
  add_library(espalier_thrust_without_cuda INTERFACE)
  target_compile_options(espalier_thrust_without_cuda INTERFACE
    "SHELL:-include ${CMAKE_CURRENT_LIST_DIR}/thrust_without_cuda.hpp")
  target_link_libraries(espalier_thrust INTERFACE espalier_thrust_without_cuda)
endif()
message(STATUS "Thrust for the CPU: ${Thrust_VERSION} of ${Thrust_DIR}")
