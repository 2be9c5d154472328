// Sums over the edges of a neuron: what the forward pass (edges by output) and the input gradient (by input) share.
// Edges are read four at a time from multiples of four, so edge arrays are padded to a multiple of four, and a layer
// holds at most 2^32 - 4 edges.
#pragma once

#include "cuda/kernels/warp.cuh"

namespace espalier::cuda {

/// Four edges' numbers at a multiple of four.
__device__ inline uint4 load_numbers(const std::uint32_t* address) { return *reinterpret_cast<const uint4*>(address); }

/// Weights in the order of the edges.
struct OwnWeights {
    const float* weight;
    __device__ float4 operator()(EdgeIndex group, EdgeIndex /*begin*/, EdgeIndex /*end*/) const {
        return load4(weight + group);
    }
    __device__ float at(EdgeIndex edge) const { return weight[edge]; }
};

/// Weights in another order: edge e has weight[slot[e]].
struct PermutedWeights {
    const float* weight;
    const EdgeIndex* slot;
    __device__ float4 operator()(EdgeIndex group, EdgeIndex begin, EdgeIndex end) const {
        const uint4 at = load_numbers(slot + group);
        const auto fetch = [&](EdgeIndex e, EdgeIndex s) { return e >= begin && e < end ? weight[s] : 0.0F; };
        return make_float4(fetch(group, at.x), fetch(group + 1, at.y), fetch(group + 2, at.z), fetch(group + 3, at.w));
    }
    __device__ float at(EdgeIndex edge) const { return weight[slot[edge]]; }
};

/// sum + the edges' weights times the calling lane's samples of their other ends, in the order of the edges.
/// `samples`: the lane's samples of neuron 0 in the tile. The same in all lanes: begin, end.
template <class Weights>
__device__ float4 weighted_sum(float4 sum, EdgeIndex begin, EdgeIndex end, const Index* other, const Weights& weights,
                               const float* samples) {
    for (EdgeIndex group = begin / 4 * 4; group < end; group += 4) {
        const uint4 neuron = load_numbers(other + group);
        const float4 weight = weights(group, begin, end);
        // a neighbour's edge is left out, not multiplied by 0: its sample may be infinite
        const auto add = [&](EdgeIndex e, Index n, float w) {
            if (e >= begin && e < end) add_scaled(sum, w, load4(samples + static_cast<std::size_t>(n) * tile_lanes));
        };
        add(group, neuron.x, weight.x);
        add(group + 1, neuron.y, weight.y);
        add(group + 2, neuron.z, weight.z);
        add(group + 3, neuron.w, weight.w);
    }
    return sum;
}

}  // namespace espalier::cuda
