// Topology evolution of the CPU backend's sparse layers; the semantics are those of the Backend verbs of the same
// names. No queued step may be under way while one of these runs.
#pragma once

#include <cstdint>

#include "espalier/backend.hpp"
#include "host/cpu/layer.hpp"

namespace espalier {

Pruned prune(SparseCpuLayer& layer, const PruneRule& rule, double zeta, int threads);

std::uint32_t regrow(SparseCpuLayer& layer, const GrowRule& rule, const WeightLaw& law, bool reset_state,
                     std::uint64_t seed, std::uint32_t layer_number, std::uint32_t event, int threads);

void remove(SparseCpuLayer& layer, int threads);

Degrees degrees(const SparseCpuLayer& layer);

}  // namespace espalier
