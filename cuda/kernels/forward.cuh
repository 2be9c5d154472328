// Forward: y[r] = activation(b[r] + sum over the row's edges of w * x[column]), times the mask of dropped units if any are.
// x [tile][num_inputs][128], y [tile][num_outputs][128]. A warp owns one row in one tile, its lanes four samples each;
// nothing is atomic. Grid: x covers the rows, y the tiles, so that warps that run together gather from one tile.
#pragma once

#include "cuda/dropped.hpp"
#include "cuda/kernels/edges.cuh"
#include "cuda/kernels/many.cuh"

namespace espalier::cuda {

inline constexpr int forward_threads = 256;

struct ForwardArguments {
    const EdgeIndex* row_start;          // num_outputs + 1
    const Index* column;                 // num_edges, padded to a multiple of 4
    const float* weight;                 // likewise
    const Index* order;                  // num_outputs: rows, longest first
    const float* bias;                   // num_outputs
    const float* activation_parameters;  // [num_parameters][num_outputs]
    Dropped dropped = {};                // of y
};

/// What becomes of a row's sum over its edges: it begins with the bias and ends in the activation.
template <class Rule>
struct OutputRows {
    ForwardArguments layer;
    Rule rule;
    Activations saved;
    Activations y;

    __device__ float first(Index row) const { return layer.bias[row]; }
    /// The lane's samples of the preactivation, from sample `offset` of the tile.
    template <int values>
    __device__ void finish(Index tile, Index row, Index offset, const float (&z)[values]) const {
        const Rule own = for_neuron(rule, layer.activation_parameters, row, y.rows);
        float out[values];
        ESPALIER_UNROLL
        for (int v = 0; v < values; ++v) out[v] = own.value(z[v]);
        if (saved.data != nullptr && saved.data != y.data) {
            if constexpr (Rule::saves_input) {
                store_samples(saved.row(tile, row) + offset, z);
            } else {
                store_samples(saved.row(tile, row) + offset, out);
            }
        }
        layer.dropped.apply(out, tile, row, offset, y.used(tile));
        store_samples(y.row(tile, row) + offset, out);
    }
};

/// What forward_kernel does.
template <int threads, class Rule>
struct ForwardWork {
    static constexpr int block_threads = threads;
    using Arguments = Pack<ForwardArguments, Rule, ConstActivations, Activations, Activations>;

    __device__ void operator()(ForwardArguments layer, Rule rule, ConstActivations x,
                               Activations saved, Activations y) const {
        const Index warp = warp_of_grid();
        if (warp >= y.rows) return;  // no barrier follows
        const Index row = layer.order[warp];
        const Index tile = blockIdx.y;
        const OutputRows<Rule> rows{layer, rule, saved, y};
        const float bias = rows.first(row);
        const float4 z =
            weighted_sum(make_float4(bias, bias, bias, bias), layer.row_start[row], layer.row_start[row + 1],
                         layer.column, OwnWeights{layer.weight}, lane_samples(x, tile, 0));
        rows.finish(tile, row, lane_of_warp() * 4, {z.x, z.y, z.z, z.w});
    }
};

template <int threads, class Rule>
inline constexpr int many_blocks<ForwardWork<threads, Rule>> = 768 / threads;

/// `saved` receives y or the preactivation, whichever the rule's derivative is made of; it may be y or empty.
template <int block_threads, class Rule>
__global__ void __launch_bounds__(block_threads)
    forward_kernel(ForwardArguments layer, Rule rule, ConstActivations x, Activations saved, Activations y) {
    ForwardWork<block_threads, Rule>{}(layer, rule, x, saved, y);
}

}  // namespace espalier::cuda
