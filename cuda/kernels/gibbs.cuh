// Stochastic binary units and the scores of reconstructions. Tiles are [tile][neuron][128].
#pragma once

#include "cuda/kernels/loss.cuh"
#include "espalier/backend.hpp"
#include "espalier/bernoulli_units.hpp"

namespace espalier::cuda {

inline constexpr int units_threads = 256;

/// Means and states, either of which may be empty, of values that may lie where the means go; lanes past the batch get
/// 0. A warp owns a neuron in one tile. Grid: x covers the neurons, y the tiles.
template <int block_threads>
__global__ void __launch_bounds__(block_threads)
    sample_kernel(UnitDraw draw, ConstActivations values, Activations means, Activations states,
                  const StepScalars* step) {
    const Index neuron = warp_of_grid();
    if (neuron >= values.rows) return;  // no barrier follows
    const Index tile = blockIdx.y;
    const Index lane = lane_of_warp() * 4;
    const Index used = values.used(tile);
    const float4 v = load4(lane_samples(values, tile, neuron));
    float p[4] = {v.x, v.y, v.z, v.w};
    float mean[4];
    ESPALIER_UNROLL
    for (int i = 0; i < 4; ++i) {
        if (!draw.probabilities) p[i] = Sigmoid{}.value(p[i]);
        mean[i] = lane + static_cast<Index>(i) < used ? p[i] * draw.scale : 0.0F;
    }
    if (states.data != nullptr) {
        const BernoulliUnits units(draw, step->step);
        const RandomBlock block = units.block(neuron, tile * tile_lanes + lane);
        float state[4];
        ESPALIER_UNROLL
        for (int i = 0; i < 4; ++i) {
            state[i] = lane + static_cast<Index>(i) < used ? BernoulliUnits::of_bits(p[i], block.word[i]) : 0.0F;
        }
        store_samples(lane_samples(states, tile, neuron), state);
    }
    if (means.data != nullptr) store_samples(lane_samples(means, tile, neuron), mean);
}

/// Adds a batch of reconstructions to the metrics. A thread owns a sample. Grid: x covers the tiles. Block: 128
/// threads.
template <int block_threads>
__global__ void __launch_bounds__(block_threads)
    reconstruction_kernel(ConstActivations probabilities, ConstActivations data, MetricSums* sums) {
    const Index tile = blockIdx.x;
    const Index lane = threadIdx.x;
    const bool used = lane < data.used(tile);
    const float* p = probabilities.row(tile, 0) + lane;
    const float* x = data.row(tile, 0) + lane;
    float loss = 0;
    float confidence = 0;
    float wrong_confidence = 0;
    Counter correct = 0;
    for (Index r = 0; used && r < data.rows; ++r) {
        const std::size_t at = static_cast<std::size_t>(r) * tile_lanes;
        const float difference = p[at] - x[at];
        const float own = p[at] < 0.5F ? 1.0F - p[at] : p[at];
        const bool right = (p[at] < 0.5F) == (x[at] < 0.5F);
        loss = fmaf(difference, difference, loss);
        confidence += own;
        wrong_confidence += right ? 0.0F : own;
        correct += right ? 1 : 0;
    }
    loss = loss / static_cast<float>(data.rows);
    const bool finite = loss < max_loss;
    if (!finite) loss = confidence = wrong_confidence = 0;
    add_of_warp(sums->batch_loss, loss / static_cast<float>(data.batch));
    add_of_warp(sums->sample_loss, loss);
    add_of_warp(&sums->confidence, to_fixed_point(confidence));
    add_of_warp(&sums->wrong_confidence, to_fixed_point(wrong_confidence));
    add_of_warp(&sums->samples, used ? 1 : 0);
    add_of_warp(&sums->correct, correct);
    add_of_warp(&sums->nonfinite, finite ? 0 : 1);
    if (tile == 0 && lane == 0) atomicAdd(&sums->batches, Counter{1});
}

}  // namespace espalier::cuda
