// Between a layer at rest (canonical order, std::vector) and the same layer in the CPU backend's layout.
#pragma once

#include <cstddef>
#include <memory>

#include "espalier/backend.hpp"
#include "host/cpu/layer.hpp"

namespace espalier {

/// The layout for `use`. Optimizer memory that the layer does not bring starts at 0.
/// Throws UserError (device) when memory runs out.
std::unique_ptr<CpuLayer> layer_in_use(const Layer& layer, const LayerUse& use);

Layer layer_at_rest(const CpuLayer& layer);

/// Sets the optimizer's memory to 0.
void clear_state(CpuLayer& layer);

/// Fills the CSC view, weights included, from the CSR arrays.
void build_input_view(SparseCpuLayer& layer);

}  // namespace espalier
