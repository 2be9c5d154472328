// Backward, in this order: dy becomes the gradient by the preactivation; the input gradient from the weights as they
// are; then the update (update.cuh). Tiles are [tile][neuron][128]. Every sum has one owner
// and a fixed order; nothing is atomic. Lanes past the batch hold gradients of 0.
#pragma once

#include <type_traits>

#include "cuda/dropped.hpp"
#include "cuda/kernels/edges.cuh"
#include "cuda/kernels/halves.cuh"
#include "cuda/kernels/many.cuh"
#include "espalier/backend.hpp"

namespace espalier::cuda {

inline constexpr int backward_threads = 256;

/// dy of a lane's samples times the mask `dropped`, by the preactivation, in place; adds to sums[p] the gradients by the
/// activation's parameters.
template <class Rule>
__device__ void differentiate_samples(const Rule& rule, const float* saved, Activations all, const Dropped& dropped,
                                      Index tile, Index neuron, float (&sums)[Rule::num_parameters + 1]) {
    float* const dy = lane_samples(all, tile, neuron);
    const float4 s = load4(saved);
    const float4 given = load4(dy);
    float by[] = {given.x, given.y, given.z, given.w};
    dropped.apply(by, tile, neuron, lane_of_warp() * 4, all.used(tile));
    float4 g = make_float4(by[0], by[1], by[2], by[3]);
    if constexpr (Rule::num_parameters > 0) {
        const auto add = [&](float z, float by_output) {
            float d[Rule::num_parameters];
            rule.parameter_derivatives(z, d);
            for (int p = 0; p < Rule::num_parameters; ++p) sums[p] = fmaf(by_output, d[p], sums[p]);
        };
        add(s.x, g.x);
        add(s.y, g.y);
        add(s.z, g.z);
        add(s.w, g.w);
    }
    g = make_float4(g.x * rule.derivative(s.x), g.y * rule.derivative(s.y), g.z * rule.derivative(s.z),
                    g.w * rule.derivative(s.w));
    store4(dy, g);
}

/// What differentiate_kernel does.
template <int threads, class Rule>
struct DifferentiateWork {
    static constexpr int block_threads = threads;
    using Arguments = Pack<Rule, const float*, ConstActivations, Activations, Dropped, float*>;

    __device__ void operator()(Rule rule, const float* activation_parameters, ConstActivations saved,
                               Activations dy, Dropped dropped, float* sums) const {
        const Index neuron = warp_of_grid();
        if (neuron >= dy.rows) return;  // all lanes of the warp alike
        const Rule own = for_neuron(rule, activation_parameters, neuron, dy.rows);
        float all[Rule::num_parameters + 1] = {};  // an array has one element at least
        if constexpr (Rule::num_parameters == 0) {
            for (Index tile = 0; tile < dy.tiles(); ++tile) {
                differentiate_samples(own, lane_samples(saved, tile, neuron), dy, dropped, tile, neuron, all);
            }
        } else {
            sum_by_halves(dy.tiles(), all, [&](Index tile, float (&of_tile)[Rule::num_parameters + 1]) {
                for (int p = 0; p <= Rule::num_parameters; ++p) of_tile[p] = 0;
                differentiate_samples(own, lane_samples(saved, tile, neuron), dy, dropped, tile, neuron, of_tile);
                for (int p = 0; p < Rule::num_parameters; ++p) of_tile[p] = sum_of_warp(of_tile[p]);
            });
        }
        for (int p = 0; p < Rule::num_parameters; ++p) {
            if (lane_of_warp() == 0) sums[static_cast<std::size_t>(p) * dy.rows + neuron] = all[p];
        }
    }
};

/// dy by the preactivation in place; sums[p][neuron] the gradients by its activation's parameters, summed over the
/// batch. A warp owns a neuron in all tiles. Grid: x covers the neurons. Dynamic shared memory: halves_shared_bytes of the
/// tiles, one more value than parameters; none where there are no parameters.
template <int block_threads, class Rule>
__global__ void __launch_bounds__(block_threads)
    differentiate_kernel(Rule rule, const float* activation_parameters, ConstActivations saved, Activations dy,
                         Dropped dropped, float* sums) {
    DifferentiateWork<block_threads, Rule>{}(rule, activation_parameters, saved, dy, dropped, sums);
}

/// The edges by input neuron (the CSC view); arrays of edges padded to a multiple of 4.
struct InputGradientArguments {
    const EdgeIndex* column_start;  // num_inputs + 1
    const Index* row;               // num_edges
    const EdgeIndex* slot;          // num_edges: where the edge's weight lies
    const float* weight;            // num_edges, canonical order
    const Index* order;             // num_inputs: inputs, most edges first
    Dropped dropped = {};           // of the inputs, where dx is by what they were made of
};

/// What becomes of an input's sum over its edges: dx, times the derivative of the activation that made the input.
/// Identity: dx as it is, and `saved` is not looked at.
template <class Rule = Identity>
struct InputRows {
    Activations dx;
    Rule rule = {};
    ConstActivations saved = {};
    Dropped dropped = {};

    __device__ float first(Index /*row*/) const { return 0; }
    template <int values>
    __device__ void finish(Index tile, Index row, Index offset, const float (&sum)[values]) const {
        float by[values];
        ESPALIER_UNROLL
        for (int v = 0; v < values; ++v) by[v] = sum[v];
        dropped.apply(by, tile, row, offset, dx.used(tile));
        if constexpr (!std::is_same_v<Rule, Identity>) {
            const float* const from = saved.row(tile, row) + offset;
            ESPALIER_UNROLL
            for (int v = 0; v < values; ++v) by[v] *= rule.derivative(from[v]);
        }
        store_samples(dx.row(tile, row) + offset, by);
    }
};

/// What input_gradient_kernel does.
template <int threads, class Below>
struct InputGradientWork {
    static constexpr int block_threads = threads;
    using Arguments = Pack<InputGradientArguments, Below, ConstActivations, ConstActivations, Activations>;

    __device__ void operator()(InputGradientArguments layer, Below below, ConstActivations dy,
                               ConstActivations saved, Activations dx) const {
        const Index warp = warp_of_grid();
        if (warp >= dx.rows) return;  // no barrier follows
        const Index input = layer.order[warp];
        const Index tile = blockIdx.y;
        const float4 sum =
            weighted_sum(make_float4(0, 0, 0, 0), layer.column_start[input], layer.column_start[input + 1], layer.row,
                         PermutedWeights{layer.weight, layer.slot}, lane_samples(dy, tile, 0));
        InputRows<Below>{dx, below, saved, layer.dropped}.finish(tile, input, lane_of_warp() * 4, {sum.x, sum.y, sum.z, sum.w});
    }
};

template <int threads, class Below>
inline constexpr int many_blocks<InputGradientWork<threads, Below>> = 768 / threads;

/// dx[i] = sum over the input's edges of w * dy[row], times the derivative of `below`, the activation of the layer whose
/// output the input is, which has no parameters; Identity for the gradient by that output itself. A warp owns one input
/// in one tile. Grid as in forward.
template <int block_threads, class Below>
__global__ void __launch_bounds__(block_threads)
    input_gradient_kernel(InputGradientArguments layer, Below below, ConstActivations dy, ConstActivations saved,
                          Activations dx) {
    InputGradientWork<block_threads, Below>{}(layer, below, dy, saved, dx);
}

/// permuted[e] = weight[slot[e]]. A thread owns an edge.
template <int block_threads>
__global__ void __launch_bounds__(block_threads)
    permute_weights_kernel(const float* weight, const EdgeIndex* slot, EdgeIndex num_edges, float* permuted) {
    const EdgeIndex edge = blockIdx.x * block_threads + threadIdx.x;
    if (edge < num_edges) permuted[edge] = weight[slot[edge]];
}

}  // namespace espalier::cuda
