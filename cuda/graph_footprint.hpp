// What graphs take of a device's memory, which CUDA tells nobody.
#pragma once

#include <cstdint>

#include "cuda/memory.hpp"

namespace espalier::cuda {

/// Bytes of the device's memory for each launch that a graph holds, by making a graph of thousands and looking at what
/// is free before and after; 0 if it cannot be made. Waits; other programs on the device should not begin or end
/// meanwhile.
std::uint64_t bytes_of_graph_node(cudaStream_t stream, Memory& memory);

}  // namespace espalier::cuda
