// What the kernels share of a warp and of a tile.
#pragma once

#include "cuda/portable.cuh"
#include "cuda/tile.hpp"
#include "espalier/activation.hpp"
#include "espalier/index.hpp"
#include "espalier/tiled_view.hpp"

namespace espalier::cuda {

inline constexpr Index warp_lanes = 32;
inline constexpr unsigned full_warp = 0xffffffffU;

__device__ inline Index lane_of_warp() { return threadIdx.x % warp_lanes; }
/// Number of this warp in the grid's x direction. Blocks may be smaller than a kernel was compiled for.
__device__ inline Index warp_of_grid() {
    return blockIdx.x * (blockDim.x / warp_lanes) + threadIdx.x / warp_lanes;
}

/// The calling lane's four samples of a neuron.
template <class T>
__device__ T* lane_samples(TiledView<T> view, Index tile, Index neuron) {
    return view.data + (static_cast<std::size_t>(tile) * view.rows + neuron) * tile_lanes + lane_of_warp() * 4;
}

__device__ inline void add_scaled(float4& sum, float factor, float4 values) {
    sum.x = fmaf(factor, values.x, sum.x);
    sum.y = fmaf(factor, values.y, sum.y);
    sum.z = fmaf(factor, values.z, sum.z);
    sum.w = fmaf(factor, values.w, sum.w);
}

// A lane's samples as an array: four of a whole tile, two of a half or one of a quarter of it.
__device__ inline void store_samples(float* to, const float (&values)[4]) {
    store4(to, make_float4(values[0], values[1], values[2], values[3]));
}
__device__ inline void store_samples(float* to, const float (&values)[2]) {
    store2(to, make_float2(values[0], values[1]));
}
__device__ inline void store_samples(float* to, const float (&values)[1]) { *to = values[0]; }
__device__ inline void add_samples(float (&sum)[4], float factor, const float* from) {
    const float4 values = load4(from);
    sum[0] = fmaf(factor, values.x, sum[0]);
    sum[1] = fmaf(factor, values.y, sum[1]);
    sum[2] = fmaf(factor, values.z, sum[2]);
    sum[3] = fmaf(factor, values.w, sum[3]);
}
__device__ inline void add_samples(float (&sum)[2], float factor, const float* from) {
    const float2 values = load2(from);
    sum[0] = fmaf(factor, values.x, sum[0]);
    sum[1] = fmaf(factor, values.y, sum[1]);
}
__device__ inline void add_samples(float (&sum)[1], float factor, const float* from) {
    sum[0] = fmaf(factor, *from, sum[0]);
}

/// Neurons all of whose samples are on their way before the first is waited for.
inline constexpr int loads_in_flight = 8;

/// The calling lane's samples of the neurons that lanes `first` and after it hold in `own`, all on their way at once.
/// `samples`: the lane's samples of neuron 0 in the tile.
__device__ inline void load_of_lanes(float4 (&in)[loads_in_flight], Index own, int first, const float* samples) {
    ESPALIER_UNROLL
    for (int u = 0; u < loads_in_flight; ++u) {
        const Index from = __shfl_sync(full_warp, own, first + u);
        in[u] = load4(samples + static_cast<std::size_t>(from) * tile_lanes);
    }
    __syncwarp();  // keeps the loads together, which a compiler would sink to their uses
}

/// Sum over the warp by a fixed tree, in every lane.
template <class T>
__device__ T sum_of_warp(T value) {
    for (int offset = warp_lanes / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(full_warp, value, offset);
    return value;
}

}  // namespace espalier::cuda
