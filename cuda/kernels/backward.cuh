// Backward, in this order: dy becomes the gradient by the preactivation and is summed per neuron; the input gradient
// from the weights as they are; then the update (update.cuh). Tiles are [tile][neuron][128]. Every sum has one owner
// and a fixed order; nothing is atomic. Lanes past the batch hold gradients of 0.
#pragma once

#include "cuda/kernels/edges.cuh"
#include "espalier/backend.hpp"

namespace espalier::cuda {

inline constexpr int backward_threads = 256;

/// Sums over the batch per neuron: of the gradients by its bias and by its activation's parameters.
template <class Rule>
inline constexpr int num_neuron_sums = 1 + Rule::num_parameters;

/// dy by the preactivation in place; sums[0][neuron] its sum over the batch (the bias gradient), then
/// sums[1 + p][neuron] the gradients by its activation's parameters. A warp owns a neuron in all tiles. Grid: x covers
/// the neurons.
template <int block_threads, class Rule>
__global__ void __launch_bounds__(block_threads)
    differentiate_kernel(Rule rule, const float* activation_parameters, ConstActivations saved, Activations dy,
                         float* sums) {
    const Index neuron = warp_of_grid<block_threads>();
    if (neuron >= dy.rows) return;  // all lanes of the warp alike
    const Rule own = for_neuron(rule, activation_parameters, neuron, dy.rows);
    float own_sums[num_neuron_sums<Rule>] = {};
    for (Index tile = 0; tile < dy.tiles(); ++tile) {
        const float4 s = load4(lane_samples(saved, tile, neuron));
        float4 g = load4(lane_samples(dy, tile, neuron));
        if constexpr (Rule::num_parameters > 0) {
            const auto add = [&](float z, float by_output) {
                float d[Rule::num_parameters];
                own.parameter_derivatives(z, d);
                for (int p = 0; p < Rule::num_parameters; ++p) own_sums[p + 1] = fmaf(by_output, d[p], own_sums[p + 1]);
            };
            add(s.x, g.x);
            add(s.y, g.y);
            add(s.z, g.z);
            add(s.w, g.w);
        }
        g = make_float4(g.x * own.derivative(s.x), g.y * own.derivative(s.y), g.z * own.derivative(s.z),
                        g.w * own.derivative(s.w));
        store4(lane_samples(dy, tile, neuron), g);
        own_sums[0] += (g.x + g.y) + (g.z + g.w);
    }
    for (int p = 0; p < num_neuron_sums<Rule>; ++p) {
        const float sum = sum_of_warp(own_sums[p]);
        if (lane_of_warp() == 0) sums[static_cast<std::size_t>(p) * dy.rows + neuron] = sum;
    }
}

/// The edges by input neuron (the CSC view); arrays of edges padded to a multiple of 4.
struct InputGradientArguments {
    const EdgeIndex* column_start;  // num_inputs + 1
    const Index* row;               // num_edges
    const EdgeIndex* slot;          // num_edges: where the edge's weight lies
    const float* weight;            // num_edges, canonical order
    const Index* order;             // num_inputs: inputs, most edges first
};

/// What becomes of an input's sum over its edges: dx as it is.
struct InputRows {
    Activations dx;

    __device__ float first(Index /*row*/) const { return 0; }
    template <int values>
    __device__ void finish(Index tile, Index row, Index offset, const float (&sum)[values]) const {
        store_samples(dx.row(tile, row) + offset, sum);
    }
};

/// dx[i] = sum over the input's edges of w * dy[row]. A warp owns one input in one tile. Grid as in forward.
template <int block_threads>
__global__ void __launch_bounds__(block_threads)
    input_gradient_kernel(InputGradientArguments layer, ConstActivations dy, Activations dx) {
    const Index warp = warp_of_grid<block_threads>();
    if (warp >= dx.rows) return;  // no barrier follows
    const Index input = layer.order[warp];
    const Index tile = blockIdx.y;
    const float4 sum = weighted_sum(make_float4(0, 0, 0, 0), layer.column_start[input], layer.column_start[input + 1],
                                    layer.row, PermutedWeights{layer.weight, layer.slot}, lane_samples(dy, tile, 0));
    store4(lane_samples(dx, tile, input), sum);
}

/// permuted[e] = weight[slot[e]]. A thread owns an edge.
template <int block_threads>
__global__ void __launch_bounds__(block_threads)
    permute_weights_kernel(const float* weight, const EdgeIndex* slot, EdgeIndex num_edges, float* permuted) {
    const EdgeIndex edge = blockIdx.x * block_threads + threadIdx.x;
    if (edge < num_edges) permuted[edge] = weight[slot[edge]];
}

}  // namespace espalier::cuda
