// Where the program and the CUDA module meet: one C function in a shared object, found with dlopen. Neither room
// includes the other's headers; both include this.
#pragma once

#include <cstddef>

#include "espalier/backend.hpp"
#include "espalier/version.hpp"

namespace espalier {

/// File name of the module and name of its one exported function.
inline constexpr const char* cuda_module_name = "libespalier_cuda.so";
inline constexpr const char* cuda_module_entry = "make_cuda_backend";

/// How the CUDA backend does its work; results differ by rounding at most.
struct CudaOptions {
    int graph = 1;  // programs of verbs are captured and replayed as graphs; 0: every kernel is launched by itself
};

/// The entry: `extern "C" espalier::Backend* make_cuda_backend(int interface, const espalier::CudaOptions* options,
/// char* reason, std::size_t capacity)`. Returns a backend that the caller deletes, or null with why not in `reason`,
/// one sentence of at most `capacity` bytes, the closing zero included. Throws nothing.
using MakeCudaBackend = Backend* (*)(int interface, const CudaOptions* options, char* reason, std::size_t capacity);

}  // namespace espalier
