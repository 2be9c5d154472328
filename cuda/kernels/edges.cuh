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
/// `samples`: the lane's samples of neuron 0 in the tile. The same in all lanes: begin, end. Each lane fetches one
/// edge's number and weight, so that the warp has 32 of them at once.
template <class Weights>
__device__ float4 weighted_sum(float4 sum, EdgeIndex begin, EdgeIndex end, const Index* other, const Weights& weights,
                               const float* samples) {
    for (EdgeIndex first = begin; first < end; first += warp_lanes) {
        const Index count = end - first < warp_lanes ? end - first : warp_lanes;
        const EdgeIndex own = first + (lane_of_warp() < count ? lane_of_warp() : count - 1);  // the last one again
        const Index own_other = other[own];
        const float own_weight = weights.at(own);
        ESPALIER_NO_UNROLL
        for (int done = 0; done < static_cast<int>(count); done += loads_in_flight) {
            float4 x[loads_in_flight];
            load_of_lanes(x, own_other, done, samples);
            ESPALIER_UNROLL
            for (int u = 0; u < loads_in_flight; ++u) {
                const float weight = __shfl_sync(full_warp, own_weight, done + u);
                // an edge that is not there is left out, not multiplied by 0: its sample may be infinite
                if (done + u < static_cast<int>(count)) add_scaled(sum, weight, x[u]);
            }
        }
    }
    return sum;
}

}  // namespace espalier::cuda
