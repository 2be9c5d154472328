# The tests: one program of all rooms, one of each for work on it, and those that are scripts. The Python package's stand
# beside it (python/CMakeLists.txt), those of the kernels in cuda_on_host.cmake.
enable_testing()
find_package(GTest REQUIRED)
find_package(rapidcheck REQUIRED)
include(GoogleTest)
file(GLOB_RECURSE test_sources CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} tests/*.cpp)
list(FILTER test_sources EXCLUDE REGEX "^tests/(consumer|cuda_on_host|faults|fuzz|kernels)/|/recorded_runs\\.cpp$")
if(NOT ESPALIER_CUDA)
  list(FILTER test_sources EXCLUDE REGEX "/cuda_[a-z]+_test\\.cpp$")
endif()
if(NOT ESPALIER_LIVE)
  list(FILTER test_sources EXCLUDE REGEX "/live_test\\.cpp$")
endif()
if(ESPALIER_SANITIZE)
  set_source_files_properties(tests/support/oracle.cpp tests/support/oracle_update.cpp PROPERTIES COMPILE_OPTIONS -O1)
endif()
# Makes system calls of a program go wrong: loaded before it, so without sanitizers of its own.
add_library(espalier_faults MODULE tests/faults/faults.cpp)
target_link_libraries(espalier_faults PRIVATE ${CMAKE_DL_LIBS})
add_library(espalier_test_options INTERFACE)
# Tests are compiled once and run for seconds: what counts is the compiler's time.
target_compile_options(espalier_test_options INTERFACE $<$<CONFIG:Release>:-O1>)
target_include_directories(espalier_test_options INTERFACE . tests tests/support)
target_include_directories(espalier_test_options SYSTEM INTERFACE ${OpenBLAS_INCLUDE_DIRS})
target_compile_definitions(espalier_test_options INTERFACE ESPALIER_SOURCE_DIR="${CMAKE_CURRENT_SOURCE_DIR}"
  ESPALIER_PROGRAM="$<TARGET_FILE:espalier_program>" ESPALIER_FAULTS="$<TARGET_FILE:espalier_faults>"
  ESPALIER_CUDA_ON_HOST=$<BOOL:${ESPALIER_CUDA}>)
target_link_libraries(espalier_test_options INTERFACE espalier espalier_options espalier_thrust ZLIB::ZLIB
  nlohmann_json::nlohmann_json GTest::gmock GTest::gtest_main rapidcheck)
function(add_test_program target)
  add_executable(${target} ${ARGN})
  compile_by_rooms(${target} ${ARGN})
  target_link_libraries(${target} PRIVATE espalier_test_options)
  compile_with(${target} espalier::httplib)
  add_dependencies(${target} espalier_faults espalier_program)
endfunction()
add_test_program(espalier_tests ${test_sources})
# For work on one room: test_ROOM holds its tests alone and is built only when asked for.
set(test_rooms ${test_sources})
list(TRANSFORM test_rooms REPLACE "^tests/([a-z]+)/.*" "\\1")
list(REMOVE_DUPLICATES test_rooms)
list(REMOVE_ITEM test_rooms support)
foreach(room IN LISTS test_rooms)
  set(room_sources ${test_sources})
  list(FILTER room_sources INCLUDE REGEX "^tests/(support|${room})/")
  add_test_program(test_${room} ${room_sources})
  set_target_properties(test_${room} PROPERTIES EXCLUDE_FROM_ALL ON)
endforeach()
set_source_files_properties(tests/report/live_test.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON
  COMPILE_OPTIONS "${cpp_httplib_CFLAGS}" INCLUDE_DIRECTORIES "${cpp_httplib_INCLUDE_DIRS}")
set(longest_test 900)
if(ESPALIER_SANITIZE)
  set(longest_test 3600)
endif()
gtest_discover_tests(espalier_tests DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT ${longest_test})
add_executable(espalier_recorded_runs tests/report/recorded_runs.cpp tests/support/recorded_run.cpp)
target_include_directories(espalier_recorded_runs PRIVATE . tests/support)
target_link_libraries(espalier_recorded_runs PRIVATE espalier espalier_options espalier_thrust)
foreach(page run rows5 rows25 rows100 bench live)
  add_test(NAME report_browser_${page}
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/tests/report/report_browser_test.sh ${page} $<TARGET_FILE:espalier_program>
      $<TARGET_FILE:espalier_recorded_runs>)
  set_tests_properties(report_browser_${page} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300)
endforeach()
if(NOT ESPALIER_SANITIZE)
  add_test(NAME consumer COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/tests/consumer/run.sh ${CMAKE_CURRENT_BINARY_DIR})
  set_tests_properties(consumer PROPERTIES TIMEOUT 600)
endif()
foreach(module espalier_openmpi espalier_mpich)
  if(TARGET ${module})
    add_dependencies(espalier_tests ${module})
  endif()
endforeach()
add_test(NAME ranks COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/tests/ranks/ranks_program_test.py
  $<TARGET_FILE:espalier_program>)
set_tests_properties(ranks PROPERTIES LABELS ranks SKIP_RETURN_CODE 77 TIMEOUT 600 RUN_SERIAL ON)
add_test(NAME gpu_nightly
  COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/tests/program/gpu_nightly_test.sh ${CMAKE_CURRENT_BINARY_DIR})
set_tests_properties(gpu_nightly PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 1500)
add_test(NAME host_thrust
  COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/tests/program/host_thrust_test.sh ${CMAKE_CXX_COMPILER})
set_tests_properties(host_thrust PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 600)
add_test(NAME cuda_configure COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/tests/program/cuda_configure_test.sh
  ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_CXX_COMPILER} ${CMAKE_CUDA_COMPILER})
set_tests_properties(cuda_configure PROPERTIES TIMEOUT 300)
if(TARGET espalier_cuda)
  add_dependencies(espalier_tests espalier_cuda)  # what the program says with the module is tested too
  add_test(NAME module_exports
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/tests/program/module_exports_test.sh $<TARGET_FILE:espalier_cuda>)
  list(GET CUDAToolkit_INCLUDE_DIRS 0 nccl_include)
  add_test(NAME nccl_header COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/tests/program/nccl_header_test.sh
    ${CMAKE_CXX_COMPILER} ${nccl_include})
  set_tests_properties(nccl_header PROPERTIES SKIP_RETURN_CODE 77)
  add_test(NAME kernel_registers
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/tests/kernels/registers_test.sh ${CMAKE_CUDA_COMPILER})
  # begun first: nearly two minutes
  set_tests_properties(kernel_registers PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 1200 COST 1000)
  add_test(NAME kernel_costs
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/tests/kernels/kernel_costs_test.py ${CMAKE_CUDA_COMPILER})
  set_tests_properties(kernel_costs PROPERTIES TIMEOUT 300)
endif()
# The model of GPU kernels: what it rests on, and that it agrees with the committed simulation.
add_test(NAME gpu_model COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/bench/gpu_model.py --check)
add_test(NAME gpu_model_simulated COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/bench/gpu_model_simulated.py
  ${CMAKE_CURRENT_SOURCE_DIR}/docs/results/gpu-simulated.json)
# The system's own python is the one the packages are for.
find_program(interop_python python3 PATHS /usr/bin NO_DEFAULT_PATH)
find_program(interop_python python3)
foreach(library numpy scipy torch)
  add_test(NAME interop_${library}
    COMMAND ${interop_python} ${CMAKE_CURRENT_SOURCE_DIR}/tests/program/interop_test.py $<TARGET_FILE:espalier_program> ${library})
  set_tests_properties(interop_${library} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300)
endforeach()
