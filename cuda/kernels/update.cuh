// The update of edges and neurons. An edge's gradient is summed and used in one go and never reaches memory. Tiles are
// [tile][neuron][128]; every sum has one owner and a fixed order, over tiles by halves (halves.cuh); nothing is atomic.
#pragma once

#include <type_traits>

#include "cuda/kernels/edge_gradient.cuh"
#include "cuda/kernels/halves.cuh"
#include "cuda/kernels/many.cuh"
#include "espalier/backend.hpp"
#include "espalier/optimizer.hpp"

namespace espalier::cuda {

inline constexpr int update_threads = 256;
/// Of a block that updates layers, at most: where there are many, the last of them end sooner than larger ones would.
inline constexpr int layers_threads = 128;

/// Parameters and their optimizer memory, shaped alike; state[s] is read for s below the rule's num_states.
struct TrainedArrays {
    float* value;
    float* state[max_states];
};

/// In the place of an optimizer: the gradient is what is wanted, for the ranks to add.
struct KeepGradient {
    static constexpr int num_states = 0;
};

template <class Rule>
__device__ void update_at(const Rule& rule, const TrainedArrays& arrays, std::size_t at, float gradient,
                          const UpdateStep& step) {
    if constexpr (std::is_same_v<Rule, KeepGradient>) {
        arrays.value[at] = gradient;
    } else {
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
}

/// Updates `count` parameters from gradients in memory: biases, activation parameters. A thread owns a parameter.
template <int block_threads, class Rule>
__global__ void __launch_bounds__(block_threads)
    update_parameters_kernel(Rule rule, TrainedArrays arrays, const float* gradient, Index count,
                             const StepScalars* step) {
    const Index at = blockIdx.x * block_threads + threadIdx.x;
    if (at < count) update_at(rule, arrays, at, gradient[at], step->update);
}

/// sum [count] = the sum by halves of arrays [parts][stride]; may be the first of them. A thread owns an item. Dynamic shared
/// memory: halves_shared_bytes of the parts.
template <int block_threads>
__global__ void __launch_bounds__(block_threads)
    sum_arrays_kernel(const float* arrays, std::size_t stride, Index parts, std::size_t count, float* sum) {
    const std::size_t at = std::size_t{blockIdx.x} * block_threads + threadIdx.x;
    if (at >= count) return;
    float all[1];
    sum_by_halves(parts, all, [&](Index part, float (&own)[1]) { own[0] = arrays[part * stride + at]; });
    sum[at] = all[0];
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

/// The same for 32 edges at once, a lane's each: `first` and, from there on, ascending `edge`. The warp searches 32 row
/// starts at a time: two loads that depend on each other for up to 1,024 rows, where a lane alone needs ten.
__device__ inline Index row_of_lane(const EdgeIndex* row_start, Index num_rows, EdgeIndex first, EdgeIndex edge) {
    const Index lane = lane_of_warp();
    Index low = 0;  // row_start[low] <= first, and the row lies in [low, low + span)
    for (Index span = num_rows; span > 1;) {
        const Index stride = (span - 1) / warp_lanes + 1;
        const std::uint64_t offset = std::uint64_t{lane} * stride;
        const bool passed = offset < span && row_start[low + offset] <= first;
        const auto ahead = static_cast<Index>(__popc(__ballot_sync(full_warp, passed ? 1 : 0)) - 1) * stride;
        low += ahead;
        span = span - ahead < stride ? span - ahead : stride;
    }
    const Index next = num_rows - low > lane + 1 ? low + lane + 1 : num_rows;
    const EdgeIndex start = row_start[next];
    Index passed = 0;  // starts of later rows at or before the own edge
    ESPALIER_UNROLL
    for (Index step = warp_lanes / 2; step > 0; step /= 2) {
        passed += __shfl_sync(full_warp, start, static_cast<int>(passed + step - 1)) <= edge ? step : 0;
    }
    passed += __shfl_sync(full_warp, start, static_cast<int>(passed)) <= edge ? 1 : 0;
    // more than 32 rows, most of them empty, begin within the warp's edges
    if (__any_sync(full_warp, passed == warp_lanes ? 1 : 0) != 0) return row_of_edge(row_start, num_rows, edge);
    return low + passed;
}

/// A layer whose edges and biases are updated.
template <class Rule>
struct UpdatedLayer {
    Rule rule;
    const EdgeIndex* row_start;  // num_outputs + 1
    const Index* column;         // num_edges
    EdgeIndex num_edges;         // 0 where weights are updated otherwise
    Index num_biases;            // num_outputs, or 0
    TrainedArrays weights;       // num_edges, canonical order
    TrainedArrays bias;          // num_biases
    ConstActivations x;
    ConstActivations dy;  // by the preactivation
    const StepScalars* step;

    /// Blocks of so many warps for the edges, 32 a warp, and after them for the biases, one a warp.
    [[nodiscard]] ESPALIER_HOST_DEVICE Index edge_blocks(Index warps) const {
        return (num_edges / warp_lanes + (num_edges % warp_lanes == 0 ? 0 : 1) + warps - 1) / warps;
    }
    [[nodiscard]] ESPALIER_HOST_DEVICE Index blocks(Index warps) const {
        return edge_blocks(warps) + (num_biases + warps - 1) / warps;
    }
};

inline constexpr int most_updated_layers = 8;

/// What one launch updates.
template <class Rule>
struct UpdatedLayers {
    UpdatedLayer<Rule> layer[most_updated_layers];
    Index edge_blocks[most_updated_layers];  // of each layer
    Index end_block[most_updated_layers];    // the first block that is no more of the layer
};

/// 32 edges from `first` on, or as many as there are: a lane updates one.
template <class Rule>
__device__ void update_edges(const UpdatedLayer<Rule>& layer, EdgeIndex first) {
    if (first >= layer.num_edges) return;  // all lanes of the warp alike
    const Index lane = lane_of_warp();
    const Index count = layer.num_edges - first < warp_lanes ? layer.num_edges - first : warp_lanes;
    const EdgeIndex edge = first + (lane < count ? lane : count - 1);  // lanes past the end repeat the last edge
    const Index row = row_of_lane(layer.row_start, layer.dy.rows, first, edge);
    const float gradient = edge_gradient(row, layer.column[edge], layer.x, layer.dy);
    if (lane < count) update_at(layer.rule, layer.weights, first + lane, gradient, layer.step->update);
}

/// A neuron's bias, whose gradient is the sum of dy over the batch.
template <class Rule>
__device__ void update_bias(const UpdatedLayer<Rule>& layer, Index neuron) {
    if (neuron >= layer.num_biases) return;  // likewise
    float gradient[1];
    sum_by_halves(tiles_of(layer.dy.batch), gradient, [&](Index tile, float (&sum)[1]) {
        const float4 g = load4(lane_samples(layer.dy, tile, neuron));
        sum[0] = sum_of_warp(0 + ((g.x + g.y) + (g.z + g.w)));
    });
    if (lane_of_warp() == 0) update_at(layer.rule, layer.bias, neuron, gradient[0], layer.step->update);
}

/// What update_layers_kernel does.
template <int threads, class Rule>
struct UpdateLayersWork {
    static constexpr int block_threads = threads;
    using Arguments = Pack<UpdatedLayers<Rule>, int>;

    __device__ void operator()(const UpdatedLayers<Rule>& layers, int count) const {
        int number = 0;
        Index begin = 0;
        while (number + 1 < count && blockIdx.x >= layers.end_block[number]) begin = layers.end_block[number++];
        const UpdatedLayer<Rule>& layer = layers.layer[number];
        const Index block = blockIdx.x - begin;
        const Index warps = blockDim.x / warp_lanes;
        const Index warp = threadIdx.x / warp_lanes;
        if (block < layers.edge_blocks[number]) {
            update_edges(layer, (block * warps + warp) * warp_lanes);
        } else {
            update_bias(layer, (block - layers.edge_blocks[number]) * warps + warp);
        }
    }
};

/// Weights, biases and their optimizer memory of up to eight layers, by gradients that never reach memory. A warp owns 32
/// consecutive canonical edges of a layer, of however many rows, or a bias; a block's warps are of one layer, and all of
/// edges or all of biases, so that nvcc sees what they have in common. Grid: x covers the blocks of all layers. Dynamic
/// shared memory: halves_shared_bytes of the most tiles.
template <int block_threads, class Rule>
__global__ void __launch_bounds__(block_threads)
    update_layers_kernel(UpdatedLayers<Rule> layers, int count) {
    UpdateLayersWork<block_threads, Rule>{}(layers, count);
}

}  // namespace espalier::cuda
