// The way back through a layer's weights: x = W^T y + offsets.
#pragma once

#include "host/cpu/layer.hpp"
#include "host/cpu/team.hpp"

namespace espalier {

/// The tiles that members may take whole; 0 where inputs are dealt out instead.
Index transposed_tiles(const CpuLayer& layer, ConstActivations y);

/// A member's part of x. `offsets`: [num_inputs].
void transposed_part(const TeamMember& member, const CpuLayer& layer, const float* offsets, ConstActivations y,
                     Activations x);

}  // namespace espalier
