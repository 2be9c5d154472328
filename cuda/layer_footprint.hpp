// What a layer will take of a device's memory, before it is loaded.
#pragma once

#include "cuda/products/spmm_choice.hpp"
#include "espalier/backend.hpp"

namespace espalier::cuda {

/// Counts what layer_io.cpp and product.cu allocate and, at most, what evolve.cu borrows at a time.
LayerBytes layer_bytes(const LayerShape& shape, const LayerUse& use, double zeta, bool has_blas,
                       const SpmmDevice& device);

/// What a layer takes of the memory in which ranks add their gradients, and have them.
constexpr std::uint64_t bytes_of_exchange(const LayerShape& shape) {
    return 2 * sizeof(float) * (shape.num_edges + shape.num_outputs);
}

}  // namespace espalier::cuda
