// Stochastic binary units and the scores of their reconstructions. Rows are [64] lanes of a tile.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/cpu/kernels/gibbs.cpp"
#include "host/cpu/kernels/simd_targets.hpp"
// clang-format off: in this order
#include "hwy/foreach_target.h"
// clang-format on
#include <algorithm>
#include <cmath>

#include "espalier/bernoulli_units.hpp"
#include "host/cpu/operations.hpp"
#include "host/cpu/kernels/philox-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

HWY_FLATTEN void put_means(const float* p, float scale, Index lanes, Index used, float* row) {
    for (Index i = 0; i < lanes; ++i) row[i] = p[i] * scale;
    std::fill(row + used, row + tile_lanes, 0.0F);
}

HWY_FLATTEN void put_states(const float* p, const std::uint32_t* words, Index lanes, Index used, float* row) {
    for (Index i = 0; i < lanes; ++i) row[i] = BernoulliUnits::of_bits(p[i], words[i]);
    std::fill(row + used, row + tile_lanes, 0.0F);
}

HWY_FLATTEN void put_probabilities(const float* values, Index lanes, float* p) {
    const Sigmoid sigmoid;
    for (Index i = 0; i < lanes; ++i) p[i] = sigmoid.value(values[i]);
}

void SampleRows(const BernoulliUnits& units, const UnitDraw& draw, ConstActivations values, Activations means,
                Activations states, Index tile, Range rows) {
    const Index used = values.used(tile);
    const Index lanes = worked_lanes(used);
    const RowDraws draws(units.stream(), tile * tile_lanes, lanes);
    const Index rows_at_once = draws.rows_at_once();
    alignas(64) float p[tile_lanes];
    alignas(64) std::uint32_t words[tile_lanes];
    for (Index first = rows.begin; first < rows.end; first += rows_at_once) {
        const Index count = std::min(rows_at_once, rows.end - first);
        if (states) {
            draws.draw(first, [&](Index at, Words lower, Words upper) HWY_ATTR {
                hn::Store(lower, WordTag(), words + at);
                hn::Store(upper, WordTag(), words + at + vector_lanes);
            });
        }
        for (Index i = 0; i < count; ++i) {
            const float* row = values.row(tile, first + i);
            if (draw.probabilities) {
                std::memcpy(p, row, lanes * sizeof(float));
            } else {
                put_probabilities(row, lanes, p);
            }
            if (states) put_states(p, words + std::size_t{i} * lanes, lanes, used, states.row(tile, first + i));
            if (means) put_means(p, draw.scale, lanes, used, means.row(tile, first + i));
        }
    }
}

constexpr Index score_lanes = 16;

struct UnitScores {
    double error[score_lanes] = {};
    double confidence[score_lanes] = {};
    double wrong_confidence[score_lanes] = {};
    std::int32_t correct[score_lanes] = {};
};

HWY_FLATTEN void add_scores(const float* p, const float* data, UnitScores& scores) {
    for (Index i = 0; i < score_lanes; ++i) {
        const float difference = p[i] - data[i];
        const float confidence = p[i] < 0.5F ? 1.0F - p[i] : p[i];
        const bool correct = (p[i] < 0.5F) == (data[i] < 0.5F);
        scores.error[i] += static_cast<double>(difference * difference);
        scores.confidence[i] += static_cast<double>(confidence);
        scores.wrong_confidence[i] += static_cast<double>(correct ? 0.0F : confidence);
        scores.correct[i] += correct ? 1 : 0;
    }
}

void ReconstructionLanes(ConstActivations probabilities, ConstActivations data, Index tile, Index first_lane,
                         Metrics& sums) {
    if (data.used(tile) <= first_lane) return;
    const Index used = std::min(data.used(tile) - first_lane, score_lanes);
    UnitScores scores;
    for (Index r = 0; r < data.rows; ++r) {
        add_scores(probabilities.row(tile, r) + first_lane, data.row(tile, r) + first_lane, scores);
    }
    double group_loss = 0;
    for (Index lane = 0; lane < used; ++lane) {
        group_loss += scores.error[lane] / static_cast<double>(data.rows);
        sums.confidence_sum += scores.confidence[lane];
        sums.wrong_confidence_sum += scores.wrong_confidence[lane];
        sums.correct += static_cast<std::uint64_t>(scores.correct[lane]);
    }
    if (!std::isfinite(group_loss)) sums.first_nonfinite = std::min(sums.first_nonfinite, sums.batches);
    ++sums.batches;
    sums.sample_loss_sum += group_loss;
    sums.batch_loss_sum += group_loss / static_cast<double>(data.batch);
    sums.samples += used;
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {

HWY_EXPORT(SampleRows);
HWY_EXPORT(ReconstructionLanes);

void sample_rows(const BernoulliUnits& units, const UnitDraw& draw, ConstActivations values, Activations means,
                 Activations states, Index tile, Range rows) {
    HWY_DYNAMIC_DISPATCH(SampleRows)(units, draw, values, means, states, tile, rows);
}

void reconstruction_lanes(ConstActivations probabilities, ConstActivations data, Index tile, Index first_lane,
                          Metrics& sums) {
    HWY_DYNAMIC_DISPATCH(ReconstructionLanes)(probabilities, data, tile, first_lane, sums);
}

}  // namespace espalier
#endif
