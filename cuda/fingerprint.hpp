// A number that tells a layer's topology and parameters from others: ranks compare theirs.
#pragma once

#include <cstdint>

#include "cuda/layer.hpp"
#include "cuda_calls.hpp"

namespace espalier::cuda {

/// Waits.
std::uint64_t fingerprint(cudaStream_t stream, const CudaLayer& layer);

}  // namespace espalier::cuda
