// A tile of activations on CUDA: 128 samples, so that each lane of a warp owns four of them.
#pragma once

#include "espalier/index.hpp"

namespace espalier::cuda {

inline constexpr Index tile_lanes = 128;

/// Tiles of a batch of so many samples.
constexpr Index tiles_of(Index batch) { return (batch + tile_lanes - 1) / tile_lanes; }

}  // namespace espalier::cuda
