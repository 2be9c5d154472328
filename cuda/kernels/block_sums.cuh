// Sums over the threads of a block and over the chunks before its own (cuda/chunks.hpp). Integers only.
#pragma once

#include "cuda/chunks.hpp"
#include "cuda/kernels/warp.cuh"

namespace espalier::cuda {

template <int block_threads, class T = unsigned>
struct BlockSums {
    T of_warp[block_threads / warp_lanes];
    unsigned counter;
};

/// Of the values of the block's threads: the sum of those before the caller's, and in `total` of all.
template <int block_threads, class T>
__device__ T sum_before(T value, T& total, BlockSums<block_threads, T>& shared) {
    const Index lane = lane_of_warp();
    const Index warp = threadIdx.x / warp_lanes;
    T sum = value;
    ESPALIER_UNROLL
    for (unsigned offset = 1; offset < warp_lanes; offset *= 2) {
        const T before = __shfl_up_sync(full_warp, sum, offset);
        if (lane >= offset) sum += before;
    }
    if (lane == warp_lanes - 1) shared.of_warp[warp] = sum;
    __syncthreads();
    T before = 0;
    total = 0;
    ESPALIER_UNROLL
    for (Index each = 0; each < block_threads / warp_lanes; ++each) {
        before += each < warp ? shared.of_warp[each] : 0;
        total += shared.of_warp[each];
    }
    __syncthreads();  // the next sum may begin
    return before + sum - value;
}

/// values[0] + .. + values[count - 1], in every thread of the block.
template <int block_threads, class T>
__device__ unsigned sum_of_list(const std::uint32_t* values, unsigned count, BlockSums<block_threads, T>& shared) {
    if (threadIdx.x == 0) shared.counter = 0;
    __syncthreads();
    unsigned own = 0;
    for (unsigned i = threadIdx.x; i < count; i += block_threads) own += values[i];
    if (own > 0) atomicAdd(&shared.counter, own);
    __syncthreads();
    const unsigned total = shared.counter;
    __syncthreads();  // the next sum may begin
    return total;
}

}  // namespace espalier::cuda
