// Topology and weights of a layer folded into 64 bits, by which ranks see that they still hold the same network.
#pragma once

#include <cstdint>

#include "host/cpu/layer.hpp"

namespace espalier {

std::uint64_t fingerprint(const CpuLayer& layer);

}  // namespace espalier
