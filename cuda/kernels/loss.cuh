// Loss: each sample's score and the gradient by z of the batch's mean loss. z, dz [tile][classes][128], labels
// [tile][128], targets [rows][outputs] of a regression, whose labels are rows. A thread owns a sample, a block a tile. The sums are 64-bit fixed-point integers, so their atomics give
// the same bits in any order.
#pragma once

#include <type_traits>

#include "cuda/kernels/many.cuh"
#include "cuda/rank_share.hpp"
#include "espalier/loss.hpp"

namespace espalier::cuda {

inline constexpr int loss_threads = static_cast<int>(tile_lanes);

/// A step of the fixed-point sums is 2^-32.
inline constexpr float fixed_point_one = 4294967296.0F;
/// Losses from here on count as infinite: so many that 2^23 of them sum without overflow.
inline constexpr float max_loss = 1099511627776.0F;

using Counter = unsigned long long;

/// Sums since they were last set to 0; two's complement where they may be negative.
struct MetricSums {
    Counter batch_loss[2];  // whole parts and fixed-point fractions, so that a diverging run's losses still add up
    Counter sample_loss[2];
    Counter confidence;  // fixed-point, as the next
    Counter wrong_confidence;
    Counter batches;
    Counter samples;
    Counter correct;
    Counter nonfinite;   // samples whose loss is NaN, infinite or huge, left out of the sums
    Counter bad_labels;  // samples whose label is no class, left out of everything
};

__device__ inline Counter to_fixed_point(float value) {
    return static_cast<Counter>(static_cast<long long>(value * fixed_point_one));
}

/// Adds the warp's sum of `value` to *counter.
__device__ inline void add_of_warp(Counter* counter, Counter value) {
    const Counter sum = sum_of_warp(value);
    if (lane_of_warp() == 0 && sum != 0) atomicAdd(counter, sum);
}
/// Adds the warp's sum of `value`, whole parts and fractions apart.
__device__ inline void add_of_warp(Counter (&sum)[2], float value) {
    const float whole = floorf(value);
    add_of_warp(&sum[0], static_cast<Counter>(static_cast<long long>(whole)));
    add_of_warp(&sum[1], to_fixed_point(value - whole));
}

/// Where a lane's sample lies and what it is worth.
struct SampleOfLane {
    Index label;   // -1: none
    bool used;     // within the batch
    Index batch;   // samples of it
    bool counts_batch;  // one lane of a launch does
};

/// Scores the calling lane's sample, of whose z and gradient neighbours lie `stride` apart; gradient may be null. The
/// warp's lanes add to the sums together.
template <class Rule>
__device__ void score_sample(const Rule& rule, const float* z, float* gradient, Index classes, std::size_t stride,
                             const SampleOfLane& sample, const float* class_weights, const float* targets,
                             MetricSums* sums) {
    constexpr bool regression = std::is_same_v<Rule, SquaredError>;
    const Index label = sample.label;  // -1 is no class either
    const bool labelled = sample.used && (regression ? static_cast<std::int32_t>(label) >= 0 : label < classes);
    const float scale = 1.0F / static_cast<float>(sample.batch);
    SampleScore score;
    if (labelled) {
        const float weight = class_weights == nullptr ? 1.0F : class_weights[label];
        score = score_one(rule, z, gradient, classes, stride, label, scale * weight, targets);
        score.loss *= weight;
    } else if (gradient != nullptr) {
        for (Index c = 0; c < classes; ++c) gradient[c * stride] = 0;
    }
    // no comparison holds for NaN, and infinity less itself is NaN
    const bool finite = score.loss < max_loss && score.confidence - score.confidence == 0;
    const float loss = finite ? score.loss : 0.0F;
    const float confidence = finite ? score.confidence : 0.0F;
    add_of_warp(sums->batch_loss, loss * scale);
    add_of_warp(sums->sample_loss, loss);
    add_of_warp(&sums->confidence, to_fixed_point(confidence));
    add_of_warp(&sums->wrong_confidence, to_fixed_point(labelled && !score.correct ? confidence : 0.0F));
    add_of_warp(&sums->samples, labelled ? 1 : 0);
    add_of_warp(&sums->correct, score.correct ? 1 : 0);
    add_of_warp(&sums->nonfinite, finite ? 0 : 1);
    add_of_warp(&sums->bad_labels, sample.used && !labelled ? 1 : 0);
    if (sample.counts_batch) atomicAdd(&sums->batches, Counter{1});
}

/// What loss_kernel does.
template <class Rule>
struct LossWork {
    static constexpr int block_threads = loss_threads;
    using Arguments = Pack<Rule, ConstActivations, const std::int32_t*, Activations, const float*, const float*, MetricSums*,
                           RankShare>;

    __device__ void operator()(Rule rule, ConstActivations z, const std::int32_t* labels, Activations dz,
                               const float* class_weights, const float* targets, MetricSums* sums,
                               RankShare share) const {
        const Index tile = blockIdx.x;
        const Index lane = threadIdx.x;
        const std::size_t at = static_cast<std::size_t>(tile) * z.rows * tile_lanes + lane;
        const SampleOfLane sample{static_cast<Index>(labels[tile * tile_lanes + lane]), lane < z.used(tile), share.batch,
                                  share.tile(tile) == 0 && lane == 0};
        score_sample(rule, z.data + at, dz.data == nullptr ? nullptr : dz.data + at, z.rows, tile_lanes, sample,
                     class_weights, targets, sums);
    }
};

template <class Rule>
inline constexpr int many_blocks<LossWork<Rule>> = 768 / loss_threads;

/// dz may be empty (evaluation); lanes past the batch get 0. class_weights [classes] may be null: 1. `share`: of the batch,
/// whose tiles z has. Grid: x covers the tiles of z. Block: 128 threads.
template <class Rule>
__global__ void __launch_bounds__(loss_threads)
    loss_kernel(Rule rule, ConstActivations z, const std::int32_t* labels, Activations dz, const float* class_weights,
                const float* targets, MetricSums* sums, RankShare share) {
    LossWork<Rule>{}(rule, z, labels, dz, class_weights, targets, sums, share);
}

}  // namespace espalier::cuda
