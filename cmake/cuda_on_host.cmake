# CUDA kernels on the CPU (tests/cuda_on_host): the kernel tests; the CUDA backend's own sources over a runtime of ours,
# linked into the tests and as a module that the shipped program opens (ESPALIER_MODULE_PATH=build/cuda_on_host).
file(GLOB kernel_test_sources CONFIGURE_DEPENDS tests/cuda_on_host/*_test.cpp tests/kernels/*.cpp)
set(kernel_engine_sources
  tests/cuda_on_host/block.cpp tests/cuda_on_host/fiber.cpp tests/cuda_on_host/guarded_memory.cpp
  tests/cuda_on_host/launch_limits.cpp tests/cuda_on_host/shared_memory.cpp tests/cuda_on_host/arrival_barriers.cpp)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  list(APPEND kernel_engine_sources tests/cuda_on_host/switch_x86_64.cpp)
else()
  list(APPEND kernel_engine_sources tests/cuda_on_host/switch_ucontext.cpp)
endif()
set(on_host_output ${CMAKE_CURRENT_BINARY_DIR}/cuda_on_host)
set(on_host_folders ${CMAKE_CURRENT_SOURCE_DIR}/tests/cuda_on_host/runtime
  ${CMAKE_CURRENT_SOURCE_DIR}/tests/cuda_on_host/libraries ${CMAKE_CURRENT_SOURCE_DIR}/tests/cuda_on_host)

# Stand-ins of CUDA's libraries, opened by name as those are, of a major number that no real one has.
foreach(library cublas cusparse nccl)
  add_library(${library}_on_host SHARED tests/cuda_on_host/libraries/${library}.cpp)
  set_target_properties(${library}_on_host PROPERTIES OUTPUT_NAME ${library} SOVERSION 0
    LIBRARY_OUTPUT_DIRECTORY ${on_host_output})
  target_include_directories(${library}_on_host PRIVATE ${on_host_folders} .)
  target_link_libraries(${library}_on_host PRIVATE espalier_options)
endforeach()

# The backend's own sources compiled as C++.
set(wrapped_sources "")
foreach(source IN LISTS cuda_device_sources)
  get_filename_component(name ${source} NAME_WE)
  set(wrapped ${on_host_output}/${name}.cpp)
  file(CONFIGURE OUTPUT ${wrapped} CONTENT "#include \"${source}\"\n")
  list(APPEND wrapped_sources ${wrapped})
endforeach()
add_library(espalier_cuda_on_host STATIC ${cuda_sources} ${wrapped_sources} ${kernel_engine_sources}
  tests/cuda_on_host/no_watch.cpp tests/cuda_on_host/runtime/runtime.cpp tests/cuda_on_host/runtime/protected_memory.cpp
  tests/cuda_on_host/runtime/machine.cpp tests/cuda_on_host/runtime/devices.cpp)
set_target_properties(espalier_cuda_on_host PROPERTIES UNITY_BUILD ${ESPALIER_UNITY} UNITY_BUILD_BATCH_SIZE 8
  POSITION_INDEPENDENT_CODE ON)
target_include_directories(espalier_cuda_on_host BEFORE PRIVATE ${on_host_folders} include .)
target_compile_definitions(espalier_cuda_on_host PRIVATE ESPALIER_CUDA_ARCHITECTURES="90, run by the host")
target_compile_options(espalier_cuda_on_host PRIVATE -O1)
if(ESPALIER_SANITIZE MATCHES undefined)
  # Thrust 1.17 finds out which system a pointer is of through a null pointer to that system.
  set_source_files_properties(${on_host_output}/evolve.cpp PROPERTIES COMPILE_OPTIONS -fno-sanitize=object-size)
endif()
target_link_libraries(espalier_cuda_on_host PRIVATE espalier_options espalier_thrust ${CMAKE_DL_LIBS})
add_dependencies(espalier_cuda_on_host cublas_on_host cusparse_on_host nccl_on_host)

target_link_libraries(espalier_test_options INTERFACE espalier_cuda_on_host)
target_link_options(espalier_test_options INTERFACE -Wl,-rpath,${on_host_output})  # where the stand-ins are
set_source_files_properties(tests/backend/cuda_backend_test.cpp tests/backend/cuda_launches_test.cpp
  tests/backend/cuda_memory_test.cpp tests/backend/cuda_products_test.cpp
  tests/cuda/cuda_cohort_test.cpp tests/cuda/cuda_devices_test.cpp tests/cuda/cuda_strictness_test.cpp PROPERTIES INCLUDE_DIRECTORIES "${on_host_folders}")

add_library(espalier_cuda_on_host_module MODULE tests/cuda_on_host/no_source.cpp)
set_target_properties(espalier_cuda_on_host_module PROPERTIES OUTPUT_NAME espalier_cuda
  LIBRARY_OUTPUT_DIRECTORY ${on_host_output} BUILD_RPATH ${on_host_output})
target_link_libraries(espalier_cuda_on_host_module PRIVATE -Wl,--whole-archive espalier_cuda_on_host
  -Wl,--no-whole-archive espalier_options ${CMAKE_DL_LIBS})
target_link_options(espalier_cuda_on_host_module PRIVATE
  -Wl,--version-script=${CMAKE_CURRENT_SOURCE_DIR}/cuda/exports.map)
add_dependencies(espalier_tests espalier_cuda_on_host_module)
add_dependencies(test_cuda espalier_cuda_on_host_module)
set_source_files_properties(tests/cuda/cuda_program_test.cpp tests/cuda/cuda_study_test.cpp PROPERTIES
  COMPILE_DEFINITIONS "ESPALIER_ON_HOST_MODULE_FOLDER=\"${on_host_output}\"")

if(NOT ESPALIER_SANITIZE)
  add_test(NAME gpu_ranks COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/tests/ranks/gpu_ranks_program_test.py
    $<TARGET_FILE:espalier_program> ${on_host_output})
  set_tests_properties(gpu_ranks PROPERTIES LABELS ranks TIMEOUT 600 RUN_SERIAL ON)
endif()

# Its little kernels are those of self_test.cpp, compiled otherwise.
set_source_files_properties(tests/cuda_on_host/watch_test.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
# Alone, so that the others stay together as they were: kernel_cases.hpp before some kernels is a name twice.
set_source_files_properties(tests/cuda_on_host/mbarrier_test.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
# ${name}: the kernel tests with ${watch} as their watch runtime; further arguments are compiler options.
function(add_kernel_tests name watch)
  add_library(${name}_objects OBJECT ${kernel_test_sources})
  set_target_properties(${name}_objects PROPERTIES UNITY_BUILD ${ESPALIER_UNITY} UNITY_BUILD_BATCH_SIZE 6)
  target_include_directories(${name}_objects PRIVATE include . tests/cuda_on_host tests tests/support)
  target_compile_definitions(${name}_objects PRIVATE ESPALIER_SOURCE_DIR="${CMAKE_CURRENT_SOURCE_DIR}")
  target_compile_options(${name}_objects PRIVATE ${ARGN})
  target_link_libraries(${name}_objects PRIVATE espalier_options GTest::gmock)
  add_executable(${name} ${kernel_engine_sources} ${watch})
  target_link_libraries(${name} PRIVATE ${name}_objects espalier_options GTest::gmock GTest::gtest_main
    ${CMAKE_DL_LIBS})
  gtest_discover_tests(${name} TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60
    PROPERTIES TIMEOUT 600 LABELS host-executed)
endfunction()
if(ESPALIER_SANITIZE)
  add_kernel_tests(kernel_tests_host tests/cuda_on_host/no_watch.cpp)
else()
  # Compiled for libtsan but linked to our own runtime: the flag must not reach the linker.
  add_kernel_tests(kernel_tests_host
    "tests/cuda_on_host/watch.cpp;tests/cuda_on_host/watch_calls.cpp" -fsanitize=thread -O1 -g)
endif()
