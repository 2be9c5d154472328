// CUDA's runtime. Found by the include path: tests that run the backend on the CPU put their own header of this name
// there instead (tests/cuda_on_host/runtime).
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

/// The library of NCCL's; the tests' header names their stand-in.
inline constexpr const char* nccl_file_name = "libnccl.so.2";

/// Scratch memory is given back and may have another borrower. The tests' header fills it, so that nobody counts on
/// what it held.
inline void note_scratch_returned(void* /*memory*/, std::size_t /*bytes*/, cudaStream_t /*stream*/) {}
