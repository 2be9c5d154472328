// Edges per neuron of a layer in use.
#pragma once

#include "espalier/topology.hpp"
#include "host/cpu/layer.hpp"

namespace espalier {

Degrees degrees(const SparseCpuLayer& layer);

}  // namespace espalier
