// The update of edges and neurons. An edge's gradient is summed and used in one go and never reaches memory. Tiles are
// [tile][neuron][128]; every sum has one owner and a fixed order; nothing is atomic.
#pragma once

#include "cuda/kernels/warp.cuh"
#include "espalier/backend.hpp"
#include "espalier/optimizer.hpp"

namespace espalier::cuda {

inline constexpr int update_threads = 256;

/// Parameters and their optimizer memory, shaped alike; state[s] is read for s below the rule's num_states.
struct TrainedArrays {
    float* value;
    float* state[max_states];
};

template <class Rule>
__device__ void update_at(const Rule& rule, const TrainedArrays& arrays, std::size_t at, float gradient,
                          const UpdateStep& step) {
    OptimizerState<Rule::num_states> state{};
    if constexpr (Rule::num_states > 0) {
        ESPALIER_UNROLL
        for (int s = 0; s < Rule::num_states; ++s) state[s] = arrays.state[s][at];
    }
    float value = arrays.value[at];
    update_parameter(rule, value, gradient, state, step);
    arrays.value[at] = value;
    if constexpr (Rule::num_states > 0) {
        ESPALIER_UNROLL
        for (int s = 0; s < Rule::num_states; ++s) arrays.state[s][at] = state[s];
    }
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

/// Transposes and sums: lane l returns the sum over all lanes of their partial[l]. 31 shuffles, a fixed tree. A template
/// level per offset, for only constant indices keep the array in registers on every architecture.
template <int offset = static_cast<int>(warp_lanes / 2)>
__device__ float transpose_sum(float (&partial)[warp_lanes]) {
    const bool upper = (lane_of_warp() & static_cast<Index>(offset)) != 0;
    ESPALIER_UNROLL
    for (int k = 0; k < offset; ++k) {
        const float sent = upper ? partial[k] : partial[k + offset];
        const float kept = upper ? partial[k + offset] : partial[k];
        partial[k] = kept + __shfl_xor_sync(full_warp, sent, offset);
    }
    if constexpr (offset > 1) return transpose_sum<offset / 2>(partial);
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
    float partial[warp_lanes];
    ESPALIER_UNROLL
    for (int j = 0; j < static_cast<int>(warp_lanes); ++j) partial[j] = 0;
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
