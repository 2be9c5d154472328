// The CPU backend: default where there is no GPU, and the reference for CUDA.
#pragma once

#include <cstdint>
#include <memory>

#include "espalier/backend.hpp"
#include "espalier/ranks.hpp"

namespace espalier {

/// threads 0: one per core this process may use, of those it shares with others of the `ranks` its part. The results do
/// not depend on it, bit for bit, nor on a number of ranks that is a power of two. `ranks`, null for a process that
/// trains alone, must outlive the backend. Throws UserError (usage) when threads is negative or above 1024.
std::unique_ptr<Backend> make_cpu_backend(int threads, Ranks* ranks = nullptr);

/// Bytes that an array of so many takes here: large ones lie in whole huge pages.
std::uint64_t cpu_array_bytes(std::uint64_t bytes);

LayerBytes cpu_layer_bytes(const LayerShape& shape, const LayerUse& use, double zeta);

}  // namespace espalier
