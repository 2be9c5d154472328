// Topology evolution of the CPU backend's sparse layers; the semantics are those of the Backend verbs of the same
// names. No queued step may be under way while one of these runs.
#pragma once

#include <cstdint>

#include "espalier/backend.hpp"
#include "host/cpu/layer.hpp"

namespace espalier {

Pruned prune(SparseCpuLayer& layer, const Pruning& pruning, int threads);

/// Backend's prune_ends().
Pruned prune_ends(SparseCpuLayer& layer, const DeadEnds& dead, Degrees& left);

/// Backend's regrow(), or with null its remove().
std::uint32_t replace(SparseCpuLayer& layer, const Regrowth* regrowth, int threads);

}  // namespace espalier
