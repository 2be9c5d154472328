// Forward: y[r] = activation(b[r] + sum over the row's edges of w * x[column]). x [tile][num_inputs][128],
// y [tile][num_outputs][128]. A warp owns one row in one tile, its lanes four samples each; nothing is atomic.
// Grid: x covers the rows, y the tiles, so that warps that run together gather from one tile.
#pragma once

#include "cuda/kernels/edges.cuh"

namespace espalier::cuda {

inline constexpr int forward_threads = 256;

struct ForwardArguments {
    const EdgeIndex* row_start;          // num_outputs + 1
    const Index* column;                 // num_edges, padded to a multiple of 4
    const float* weight;                 // likewise
    const Index* order;                  // num_outputs: rows, longest first
    const float* bias;                   // num_outputs
    const float* activation_parameters;  // [num_parameters][num_outputs]
};

/// `saved` receives y or the preactivation, whichever the rule's derivative is made of; it may be y or empty.
template <int block_threads, class Rule>
__global__ void __launch_bounds__(block_threads)
    forward_kernel(ForwardArguments layer, Rule rule, ConstActivations x, Activations saved, Activations y) {
    const Index warp = warp_of_grid<block_threads>();
    if (warp >= y.rows) return;  // no barrier follows
    const Index row = layer.order[warp];
    const Index tile = blockIdx.y;
    const float bias = layer.bias[row];
    const float4 z = weighted_sum(make_float4(bias, bias, bias, bias), layer.row_start[row], layer.row_start[row + 1],
                                  layer.column, OwnWeights{layer.weight}, lane_samples(x, tile, 0));
    const Rule own = of_neuron(rule, layer.activation_parameters, row, y.rows);
    const float4 out = make_float4(own.value(z.x), own.value(z.y), own.value(z.z), own.value(z.w));
    store4(lane_samples(y, tile, row), out);
    if (saved.data != nullptr && saved.data != y.data) {
        store4(lane_samples(saved, tile, row), Rule::saves_input ? z : out);
    }
}

}  // namespace espalier::cuda
