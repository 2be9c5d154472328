// Dropout as a verb of its own: values [tile][neuron][128] times an inverted-dropout mask, a pure function of (seed, layer,
// step, neuron, sample). Steps have it within other kernels (cuda/dropped.hpp), but for the gradients that growth looks at
// and where a library's products stand alone. A warp owns a neuron in one tile.
#pragma once

#include "cuda/kernels/many.cuh"
#include "cuda/rank_share.hpp"
#include "espalier/backend.hpp"
#include "espalier/common/dropout_mask.hpp"

namespace espalier::cuda {

inline constexpr int dropout_threads = 256;

/// What dropout_kernel does.
template <int threads>
struct DropoutWork {
    static constexpr int block_threads = threads;
    using Arguments = Pack<DropoutMask, Activations, const StepScalars*, RankShare>;

    __device__ void operator()(DropoutMask mask, Activations values, const StepScalars* step,
                               RankShare share) const {
        const Index neuron = warp_of_grid();
        if (neuron >= values.rows) return;  // no barrier follows
        const Index tile = blockIdx.y;
        const Index lane = lane_of_warp() * 4;
        const Index used = values.used(tile);
        float factor[4];
        mask.of_event(step->step).factors(neuron, share.tile(tile) * tile_lanes + lane, factor);
        float* own = lane_samples(values, tile, neuron);
        const float4 v = load4(own);
        store4(own, make_float4(lane < used ? v.x * factor[0] : v.x, lane + 1 < used ? v.y * factor[1] : v.y,
                                lane + 2 < used ? v.z * factor[2] : v.z, lane + 3 < used ? v.w * factor[3] : v.w));
    }
};

/// `mask`: the layer's, its event replaced by step->step. Lanes past the batch keep what they hold. `share`: of the batch,
/// whose tiles `values` has.
/// Grid: x covers the neurons, y the tiles.
template <int block_threads>
__global__ void __launch_bounds__(block_threads)
    dropout_kernel(DropoutMask mask, Activations values, const StepScalars* step, RankShare share) {
    DropoutWork<block_threads>{}(mask, values, step, share);
}

}  // namespace espalier::cuda
