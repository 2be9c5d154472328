# The CUDA backend: a module, target espalier_cuda, that the program opens at run time. Where it cannot be built,
# everything else is, and espalier_cuda_fault says why, one sentence, which the program repeats (espalier doctor).
file(GLOB_RECURSE cuda_sources CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} cuda/*.cpp)
file(GLOB_RECURSE cuda_device_sources CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} cuda/*.cu)

# Folders that Python's packages bring headers of CUDA's libraries in: nvidia/cublas/include, nvidia/cu13/include.
function(find_python_cuda_folders result)
  find_program(python_for_cuda NAMES python3 python)
  set(folders "")
  if(python_for_cuda)
    execute_process(COMMAND ${python_for_cuda} -c "import sys; print(';'.join(p for p in sys.path if p))"
      OUTPUT_VARIABLE places OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    foreach(place IN LISTS places)
      file(GLOB found LIST_DIRECTORIES TRUE ${place}/nvidia/*/include)
      list(APPEND folders ${found})
    endforeach()
  endif()
  set(${result} "${folders}" PARENT_SCOPE)
endfunction()

# Sets `result` if the Thrust that nvcc takes is its toolkit's (cuda/calls/toolkit_thrust.hpp).
function(find_toolkit_thrust result)
  try_compile(found SOURCE_FROM_CONTENT toolkit_thrust.cu
    "#include \"${CMAKE_CURRENT_SOURCE_DIR}/cuda/calls/toolkit_thrust.hpp\"\nint main() {}\n" NO_CACHE)
  set(${result} ${found} PARENT_SCOPE)
endfunction()

# Sets espalier_cuda_fault, empty where nvcc is usable. A macro: enable_language belongs to the whole project.
macro(find_cuda_compiler)
  set(espalier_cuda_fault "")
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_program(ESPALIER_NVCC nvcc HINTS ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
    if(ESPALIER_NVCC)
      # not CMAKE_CUDA_COMPILER: that would be taken on trust, and end the configuration if nvcc fails
      set(ENV{CUDACXX} ${ESPALIER_NVCC})
    endif()
  endif()
  if(CMAKE_CUDA_HOST_COMPILER AND NOT DEFINED ENV{CUDAHOSTCXX})
    set(ENV{CUDAHOSTCXX} ${CMAKE_CUDA_HOST_COMPILER})
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    find_package(CUDAToolkit)
    find_python_cuda_folders(python_cuda_folders)
    find_path(cublas_folder cublas_v2.h HINTS ${CUDAToolkit_INCLUDE_DIRS} ${python_cuda_folders})
    find_path(cusparse_folder cusparse.h HINTS ${CUDAToolkit_INCLUDE_DIRS} ${python_cuda_folders})
    execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-arch OUTPUT_VARIABLE cuda_known OUTPUT_STRIP_TRAILING_WHITESPACE)
    string(REGEX REPLACE "[^0-9]+" ";" cuda_known "${cuda_known}")
    string(REGEX REPLACE "[^0-9;]" "" cuda_asked "${ESPALIER_CUDA_ARCHITECTURES}")
    if(cuda_known)
      list(REMOVE_ITEM cuda_asked "" ${cuda_known})
    else()
      set(cuda_asked "")
    endif()
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12)
      set(espalier_cuda_fault "nvcc ${CMAKE_CUDA_COMPILER_VERSION} knows no C++20, 12.0 does")
    elseif(NOT cublas_folder OR NOT cusparse_folder)
      set(espalier_cuda_fault "the toolkit lacks cublas_v2.h of cuBLAS or cusparse.h of cuSPARSE")
    elseif(cuda_asked)
      set(espalier_cuda_fault
        "nvcc ${CMAKE_CUDA_COMPILER_VERSION} does not compile for ${cuda_asked} of ESPALIER_CUDA_ARCHITECTURES")
    else()
      find_toolkit_thrust(thrust_is_toolkits)
      if(NOT thrust_is_toolkits)
        string(CONCAT espalier_cuda_fault "nvcc finds no Thrust of its toolkit (CCCL 2.0 or later), only an older one such "
          "as the distribution's or none; install the toolkit's CCCL, or take the other from the include path")
      endif()
    endif()
  elseif(DEFINED ENV{CUDACXX})
    string(CONCAT espalier_cuda_fault "$ENV{CUDACXX} was found and fails with the C++ compiler "
      "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}, newer perhaps than it knows; name one that suits it by "
      "-DCMAKE_CUDA_HOST_COMPILER")
  else()
    set(espalier_cuda_fault "no nvcc was found")
  endif()
endmacro()

if(NOT ESPALIER_CUDA)
  set(espalier_cuda_fault "it was configured without (ESPALIER_CUDA)")
elseif(ESPALIER_SANITIZE)
  set(espalier_cuda_fault "sanitizers see its sources as they run on the CPU")
else()
  find_cuda_compiler()
endif()
if(espalier_cuda_fault)
  message(STATUS "The CUDA module is not built: ${espalier_cuda_fault}")
else()
  set(builds_cuda_module ON)
endif()
string(REPLACE ";" "," espalier_cuda_fault "${espalier_cuda_fault}")  # a list would be several definitions
set_property(SOURCE host/backends.cpp APPEND PROPERTY COMPILE_DEFINITIONS
  "ESPALIER_CUDA_FAULT=\"${espalier_cuda_fault}\"")

if(builds_cuda_module)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc does
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  # No contraction, as on the CPU; kernels write their fused multiply-adds. Lines for profilers and sanitizers.
  set(cuda_options -O3 -fmad=false --expt-relaxed-constexpr -lineinfo)
  # In hand-written kernels a spill, local memory or arithmetic in double is told of. Another release of ptxas may spill
  # where this one does not, so only CI fails by it.
  set(kernel_options -Xptxas=-warn-spills,-warn-lmem-usage,-warn-double-usage)
  if(ESPALIER_WERROR)
    list(APPEND cuda_options --Werror=all-warnings)
    string(APPEND kernel_options ,-Werror)
  endif()
  # where cuBLAS and cuSPARSE are looked for besides the system's folders: the toolkit's, Python's
  set(cuda_library_folders ${CUDAToolkit_LIBRARY_DIR})
  foreach(folder ${cublas_folder} ${cusparse_folder})
    get_filename_component(beside ${folder}/../lib ABSOLUTE)
    if(folder IN_LIST python_cuda_folders)
      list(APPEND cuda_library_folders ${beside})
    endif()
  endforeach()
  list(REMOVE_DUPLICATES cuda_library_folders)

  add_library(espalier_cuda MODULE ${cuda_sources} ${cuda_device_sources})
  target_include_directories(espalier_cuda PRIVATE include . cuda/calls)
  target_include_directories(espalier_cuda SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS} ${cublas_folder} ${cusparse_folder})
  target_link_libraries(espalier_cuda PRIVATE ${CMAKE_DL_LIBS})
  set_target_properties(espalier_cuda PROPERTIES BUILD_RPATH "${cuda_library_folders}"
    INSTALL_RPATH "${cuda_library_folders}")
  target_compile_options(espalier_cuda PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:${cuda_options}>"
    "$<$<COMPILE_LANGUAGE:CXX>:$<TARGET_PROPERTY:espalier_options,INTERFACE_COMPILE_OPTIONS>>")
  set(kernel_sources ${cuda_device_sources})
  list(FILTER kernel_sources EXCLUDE REGEX "/evolve\\.cu$")  # Thrust's kernels are not ours
  set_source_files_properties(${kernel_sources} PROPERTIES COMPILE_OPTIONS "${kernel_options}")
  string(REPLACE ";" " " cuda_architecture_text "${ESPALIER_CUDA_ARCHITECTURES}")
  target_compile_definitions(espalier_cuda PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:ESPALIER_CUDA_ARCHITECTURES="${cuda_architecture_text}">)
  set_target_properties(espalier_cuda PROPERTIES CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON
    CUDA_ARCHITECTURES "${ESPALIER_CUDA_ARCHITECTURES}" CUDA_RUNTIME_LIBRARY Static
    CXX_VISIBILITY_PRESET hidden CUDA_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  # The runtime is linked in, and nothing but the entries is seen from outside.
  target_link_options(espalier_cuda PRIVATE -Wl,--version-script=${CMAKE_CURRENT_SOURCE_DIR}/cuda/exports.map
    -Wl,--no-undefined)
  set_target_properties(espalier_cuda PROPERTIES LINK_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/cuda/exports.map)
endif()
