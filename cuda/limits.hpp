// What the CUDA backend counts to, whatever the device's memory: refused before anything is allocated.
#pragma once

#include <cstdint>

#include "cuda/tile.hpp"
#include "espalier/backend.hpp"

namespace espalier::cuda {

inline constexpr unsigned max_grid_rows = 65535;  // of a grid's y and z
/// Samples of a step. Some grids have four rows for each 128: gathering, and panels of 32 samples.
inline constexpr Index max_batch = max_grid_rows / 4 * tile_lanes;
/// Edges of a layer: padded to a multiple of four their count still is an EdgeIndex.
inline constexpr std::uint64_t max_edges = 0xfffffffcU;

/// Throw UserError (device) that says which number is too large and up to what it may be.
void expect_batch(Index batch);
void expect_within_limits(const LayerShape& shape, const LayerUse& use);

}  // namespace espalier::cuda
