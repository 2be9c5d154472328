// Gather: samples [count][features] of bytes or floats become tiles [tile][features][128] of normalised floats, with
// their labels [tile][128]. A block owns 32 features of 32 samples: it reads along the features, transposes in shared
// memory and writes along the samples. Nothing is atomic.
#pragma once

#include <new>

#include "cuda/kernels/many.cuh"
#include "cuda/rank_share.hpp"
#include "espalier/backend.hpp"

namespace espalier::cuda {

inline constexpr int gather_threads = 256;
inline constexpr Index gather_block = 32;  // features, and samples

struct GatherShared {
    std::uint32_t place[gather_block];            // each sample's number in the data set
    float value[gather_block][gather_block + 1];  // [feature][sample]; the odd width spreads the banks
    alignas(Permutation) unsigned char order[sizeof(Permutation)];
};

/// values[channel], without an index that only the run knows: that would copy the kernel's parameters to memory.
__device__ inline float of_channel(const float (&values)[4], Index channel) {
    return channel == 0 ? values[0] : channel == 1 ? values[1] : channel == 2 ? values[2] : values[3];
}

/// What gather_kernel does.
template <int threads, class Value>
struct GatherWork {
    static constexpr int block_threads = threads;
    using Arguments = Pack<Samples, const Value*, BatchChoice, Activations, std::int32_t*, const StepScalars*, RankShare>;

    __device__ void operator()(Samples samples, const Value* values, BatchChoice choice, Activations x,
                               std::int32_t* labels, const StepScalars* step, RankShare share) const {
        auto& shared = block_shared<GatherShared>();
        const Index lane = lane_of_warp();
        const Index warp = threadIdx.x / warp_lanes;
        constexpr Index warps = block_threads / warp_lanes;
        const Index first_sample = blockIdx.y * gather_block;
        const Index first_feature = blockIdx.x * gather_block;
        const Index first_of_batch = share.tile(first_sample / tile_lanes) * tile_lanes + first_sample % tile_lanes;
        if (choice.shuffled && threadIdx.x == 0) {
            new (shared.order) Permutation(samples.count, Stream{choice.seed, choice.purpose, 0, step->epoch});
        }
        __syncthreads();
        if (threadIdx.x < gather_block) {
            const Index sample = first_of_batch + threadIdx.x;
            const bool used = sample < choice.size;
            std::uint64_t place = choice.first + sample;
            if (used && choice.shuffled) place = (*reinterpret_cast<const Permutation*>(shared.order))(place);
            shared.place[threadIdx.x] = static_cast<std::uint32_t>(place);
            if (blockIdx.x == 0) labels[first_sample + threadIdx.x] = used ? samples.labels[place] : -1;
        }
        __syncthreads();
        const Index feature = first_feature + lane;
        if (feature < samples.features) {
            const Index channel = feature / (samples.features / samples.channels);
            const float factor = of_channel(samples.factor, channel);
            const float offset = of_channel(samples.offset, channel);
            for (Index s = warp; s < gather_block; s += warps) {
                const bool used = first_of_batch + s < choice.size;
                const std::size_t at = static_cast<std::size_t>(shared.place[s]) * samples.features + feature;
                shared.value[lane][s] = used ? fmaf(static_cast<float>(values[at]), factor, offset) : 0.0F;
            }
        }
        __syncthreads();
        const Index tile = first_sample / tile_lanes;
        for (Index f = warp; f < gather_block && first_feature + f < samples.features; f += warps) {
            const std::size_t row = static_cast<std::size_t>(tile) * x.rows + first_feature + f;
            x.data[row * tile_lanes + first_sample % tile_lanes + lane] = shared.value[f][lane];
        }
    }
};

/// Lanes past the batch become 0 and their labels -1. `step` gives the epoch of a shuffled order, else may be null.
/// `share`: of the batch, whose tiles x has. Grid: x covers the features, y the groups of 32 lanes of all tiles of x. Value: std::uint8_t or float.
template <int block_threads, class Value>
__global__ void __launch_bounds__(block_threads)
    gather_kernel(Samples samples, const Value* values, BatchChoice choice, Activations x, std::int32_t* labels,
                  const StepScalars* step, RankShare share) {
    GatherWork<block_threads, Value>{}(samples, values, choice, x, labels, step, share);
}

}  // namespace espalier::cuda
