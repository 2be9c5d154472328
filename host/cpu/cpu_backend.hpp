// The CPU backend: default where there is no GPU, and the reference for CUDA.
#pragma once

#include <cstdint>
#include <memory>

#include "espalier/backend.hpp"

namespace espalier {

/// threads 0: one per core this process may use. The results do not depend on it, bit for bit.
/// Throws UserError (usage) when threads is negative or above 1024.
std::unique_ptr<Backend> make_cpu_backend(int threads);

/// Bytes that an array of so many takes here: large ones lie in whole huge pages.
std::uint64_t cpu_array_bytes(std::uint64_t bytes);

/// What a layer takes in this backend's memory, in bytes.
struct LayerBytes {
    std::uint64_t resident = 0;  // topology, weights, biases, optimizer memory
    std::uint64_t evolving = 0;  // on top of that, at most, while it evolves with this zeta
};

/// `edges` is every cell for a dense layer. Activation parameters are left out: four floats per neuron at most.
LayerBytes cpu_layer_bytes(Index num_inputs, Index num_outputs, std::uint64_t edges, bool sparse, const LayerUse& use,
                           double zeta);

}  // namespace espalier
