// Backward, in this order: dy becomes the gradient by the preactivation and is summed per neuron; the input gradient
// from the weights as they are; then edges and neurons are updated. Tiles are [tile][neuron][128]. Every sum has one
// owner and a fixed order; nothing is atomic. Lanes past the batch hold gradients of 0.
#pragma once

#include "cuda/kernels/edges.cuh"
#include "espalier/backend.hpp"
#include "espalier/optimizer.hpp"

namespace espalier::cuda {

inline constexpr int backward_threads = 256;

template <class Rule>
inline constexpr int num_neuron_sums = 1;
template <>
inline constexpr int num_neuron_sums<SRelu> = 1 + SRelu::num_parameters;

/// dy by the preactivation in place; sums[0][neuron] its sum over the batch (the bias gradient), for SReLU
/// sums[1 .. 4][neuron] the gradients by its parameters. A warp owns a neuron in all tiles. Grid: x covers the neurons.
template <int block_threads, class Rule>
__global__ void __launch_bounds__(block_threads)
    differentiate_kernel(Rule rule, const float* activation_parameters, ConstActivations saved, Activations dy,
                         float* sums) {
    const Index neuron = warp_of_grid<block_threads>();
    if (neuron >= dy.rows) return;  // all lanes of the warp alike
    const Rule own = of_neuron(rule, activation_parameters, neuron, dy.rows);
    float own_sums[num_neuron_sums<Rule>] = {};
    for (Index tile = 0; tile < dy.tiles(); ++tile) {
        const float4 s = load4(lane_samples(saved, tile, neuron));
        float4 g = load4(lane_samples(dy, tile, neuron));
        if constexpr (num_neuron_sums < Rule >> 1) {
            const auto add = [&](float z, float by_output) {
                float d[SRelu::num_parameters];
                own.parameter_derivatives(z, d);
                for (int p = 0; p < SRelu::num_parameters; ++p)
                    own_sums[p + 1] = fmaf(by_output, d[p], own_sums[p + 1]);
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

/// Parameters and their optimizer memory, shaped alike; state[s] is read for s below the rule's num_states.
struct TrainedArrays {
    float* value;
    float* state[2];
};

template <class Rule>
__device__ void update_at(const Rule& rule, const TrainedArrays& arrays, std::size_t at, float gradient,
                          const UpdateStep& step) {
    OptimizerState<Rule::num_states> state{};
    if constexpr (Rule::num_states > 0) state[0] = arrays.state[0][at];
    if constexpr (Rule::num_states > 1) state[1] = arrays.state[1][at];
    float value = arrays.value[at];
    update_parameter(rule, value, gradient, state, step);
    arrays.value[at] = value;
    if constexpr (Rule::num_states > 0) arrays.state[0][at] = state[0];
    if constexpr (Rule::num_states > 1) arrays.state[1][at] = state[1];
}

/// Updates `count` parameters from gradients in memory: biases, activation parameters. A thread owns a parameter.
template <int block_threads, class Rule>
__global__ void __launch_bounds__(block_threads)
    update_parameters_kernel(Rule rule, TrainedArrays arrays, const float* gradient, Index count,
                             const StepScalars* step) {
    const Index at = blockIdx.x * block_threads + threadIdx.x;
    if (at < count) update_at(rule, arrays, at, gradient[at], step->update);
}

/// The row that holds canonical edge `edge`: row_start[row] <= edge < row_start[row + 1].
__device__ inline Index row_of_edge(const EdgeIndex* row_start, Index num_rows, EdgeIndex edge) {
    Index low = 0;
    Index high = num_rows;
    while (high - low > 1) {
        const Index middle = low + (high - low) / 2;
        (row_start[middle] <= edge ? low : high) = middle;
    }
    return low;
}

/// Transposes and sums: lane l returns the sum over all lanes of their partial[l]. 31 shuffles, a fixed tree.
__device__ inline float transpose_sum(float (&partial)[warp_lanes]) {
    const Index lane = lane_of_warp();
    ESPALIER_UNROLL
    for (int offset = warp_lanes / 2; offset > 0; offset /= 2) {
        const bool upper = (lane & static_cast<Index>(offset)) != 0;
        ESPALIER_UNROLL
        for (int k = 0; k < offset; ++k) {
            const float sent = upper ? partial[k] : partial[k + offset];
            const float kept = upper ? partial[k + offset] : partial[k];
            partial[k] = kept + __shfl_xor_sync(full_warp, sent, offset);
        }
    }
    return partial[0];
}

/// w, state of each edge updated with its gradient, the sum over the batch of dy[row] * x[column], which never reaches
/// memory. A warp owns 32 consecutive canonical edges, of however many rows. Grid: x covers the edges.
template <int block_threads, class Rule>
__global__ void __launch_bounds__(block_threads)
    update_edges_kernel(Rule rule, const EdgeIndex* row_start, const Index* column, EdgeIndex num_edges,
                        TrainedArrays arrays, ConstActivations x, ConstActivations dy, const StepScalars* step) {
    const EdgeIndex first = warp_of_grid<block_threads>() * warp_lanes;
    if (first >= num_edges) return;  // all lanes of the warp alike
    const Index lane = lane_of_warp();
    const Index count = num_edges - first < warp_lanes ? num_edges - first : warp_lanes;
    const EdgeIndex edge = first + (lane < count ? lane : 0);
    const Index own_row = row_of_edge(row_start, dy.rows, edge);
    const Index own_column = column[edge];
    float partial[warp_lanes] = {};
    for (Index tile = 0; tile < x.tiles(); ++tile) {
        Index held = ~Index{0};  // the row whose gradient is in g
        float4 g = make_float4(0, 0, 0, 0);
        ESPALIER_UNROLL
        for (int j = 0; j < static_cast<int>(warp_lanes); ++j) {
            const Index row = __shfl_sync(full_warp, own_row, j);
            const Index from = __shfl_sync(full_warp, own_column, j);
            if (static_cast<Index>(j) >= count) continue;
            if (row != held) g = load4(lane_samples(dy, tile, row));
            held = row;
            const float4 in = load4(lane_samples(x, tile, from));
            partial[j] = fmaf(g.x, in.x, fmaf(g.y, in.y, fmaf(g.z, in.z, fmaf(g.w, in.w, partial[j]))));
        }
    }
    const float gradient = transpose_sum(partial);
    if (lane < count) update_at(rule, arrays, first + lane, gradient, step->update);
}

}  // namespace espalier::cuda
