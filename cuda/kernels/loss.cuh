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

    static constexpr Index counters = 11;
    static constexpr Index first_count = 6;  // from here on they count samples or batches
    /// Number `i` of them, in this order.
    ESPALIER_HOST_DEVICE Counter& counter(Index i) { return reinterpret_cast<Counter*>(this)[i]; }
};
static_assert(sizeof(MetricSums) == MetricSums::counters * sizeof(Counter));

__device__ inline Counter to_fixed_point(float value) {
    return static_cast<Counter>(static_cast<long long>(value * fixed_point_one));
}

/// Adds the warp's sum of `value` to *counter.
__device__ inline void add_of_warp(Counter* counter, Counter value) {
    const Counter sum = sum_of_warp(value);
    if (lane_of_warp() == 0 && sum != 0) atomicAdd(counter, sum);
}
/// A loss's whole part, 0, or what is left of it, 1.
__device__ inline Counter part_of_loss(float value, Index part) {
    const float whole = floorf(value);
    return part == 0 ? static_cast<Counter>(static_cast<long long>(whole)) : to_fixed_point(value - whole);
}
/// Adds the warp's sum of `value`, whole parts and fractions apart.
__device__ inline void add_of_warp(Counter (&sum)[2], float value) {
    for (Index part = 0; part < 2; ++part) add_of_warp(&sum[part], part_of_loss(value, part));
}

/// Adds how many lanes' `is_one` hold.
__device__ inline void count_of_warp(Counter* counter, bool is_one) {
    const unsigned lanes = __ballot_sync(full_warp, is_one ? 1 : 0);
    if (lane_of_warp() == 0 && lanes != 0) atomicAdd(counter, static_cast<Counter>(__popc(lanes)));
}

/// Where a lane's sample lies and what it is worth.
struct SampleOfLane {
    Index label;   // -1: none
    bool used;     // within the batch
    Index batch;   // samples of it
    bool counts_batch;  // one lane of a launch does
};

/// What a lane's sample adds to the metrics.
struct ScoredSample {
    SampleScore score;  // its loss times the sample's weight
    bool labelled;

    /// To counter number `counter` of MetricSums; 0 to those that there are not.
    __device__ Counter counted(Index counter, const SampleOfLane& sample) const {
        // no comparison holds for NaN, and infinity less itself is NaN
        const bool finite = score.loss < max_loss && score.confidence - score.confidence == 0;
        const float loss = finite ? score.loss : 0.0F;
        const float confidence = finite ? score.confidence : 0.0F;
        switch (counter) {
            case 0:
            case 1: return part_of_loss(loss * (1.0F / static_cast<float>(sample.batch)), counter);
            case 2:
            case 3: return part_of_loss(loss, counter - 2);
            case 4: return to_fixed_point(confidence);
            case 5: return to_fixed_point(labelled && !score.correct ? confidence : 0.0F);
            default: return is_counted(counter, sample, finite) ? 1 : 0;
        }
    }

private:
    __device__ bool is_counted(Index counter, const SampleOfLane& sample, bool finite) const {
        switch (counter) {
            case 6: return sample.counts_batch;
            case 7: return labelled;
            case 8: return score.correct;
            case 9: return !finite;
            case 10: return sample.used && !labelled;
            default: return false;
        }
    }
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
    const ScoredSample scored{score, labelled};
    ESPALIER_UNROLL
    for (Index counter = 0; counter < MetricSums::counters; ++counter) {
        const Counter value = scored.counted(counter, sample);
        if (counter < MetricSums::first_count) {
            add_of_warp(&sums->counter(counter), value);
        } else {
            count_of_warp(&sums->counter(counter), value != 0);
        }
    }
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
