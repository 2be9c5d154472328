// Dense layers of the CPU backend: matrix products by OpenBLAS, one call per tile and block of rows. The blocks do not
// depend on the number of threads, so neither do the results.
#pragma once

#include "espalier/backend.hpp"
#include "host/cpu/layer.hpp"
#include "host/cpu/team.hpp"

namespace espalier {

/// Rows (neurons) that one matrix product makes.
constexpr Index dense_block = 64;

inline Index dense_blocks(Index rows) { return (rows + dense_block - 1) / dense_block; }

/// The rows of block `block` of `rows`.
inline Range dense_block_rows(Index block, Index rows) {
    const Index end = (block + 1) * dense_block;
    return {block * dense_block, end < rows ? end : rows};
}

/// y = W x of one block of outputs in one tile, without bias and activation.
void dense_product(const DenseCpuLayer& layer, ConstActivations x, Activations y, Index tile, Range outputs);

/// dx = W^T dy of one block of inputs in one tile.
void dense_input_gradient(const DenseCpuLayer& layer, ConstActivations dy, Activations dx, Index tile, Range inputs);

/// The gradient of the weights of one block of outputs in one tile: [outputs][num_inputs].
void dense_gradient(const DenseCpuLayer& layer, ConstActivations x, ConstActivations dy, Index tile, Range outputs,
                    float* gradient);

/// Floats of scratch that dense_update needs for a batch of so many tiles.
std::size_t dense_scratch(const DenseCpuLayer& layer, Index tiles);

/// The gradient of the weights of one block of outputs, summed over the tiles by halves, and their update.
void dense_update(DenseCpuLayer& layer, ConstActivations x, ConstActivations dy, Range outputs, const UpdateStep& step,
                  float* scratch);

/// The update of `count` weights from `first` on.
void update_dense_weights(DenseCpuLayer& layer, std::size_t first, std::size_t count, const float* gradient,
                          const UpdateStep& step);

}  // namespace espalier
