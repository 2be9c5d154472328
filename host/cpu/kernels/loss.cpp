// Loss. z, dz: [tile][classes][64], labels [tile][64], targets [rows][outputs]. Scores are summed per group of 16 lanes in double,
// in lane order, so that the sums do not depend on who computes which group.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/cpu/kernels/loss.cpp"
#include "host/cpu/kernels/simd_targets.hpp"
// clang-format off: in this order
#include "hwy/foreach_target.h"
// clang-format on
#include <algorithm>
#include <cmath>

#include "espalier/error.hpp"
#include "host/cpu/kernels/simd-inl.hpp"
#include "host/cpu/operations.hpp"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

constexpr int score_lanes = 16;

template <class Rule>
HWY_NOINLINE HWY_FLATTEN void score_lanes_of(const Rule& rule, const float* z, const std::int32_t* labels, float* dz,
                                             const float* targets, Index classes, Index used, float scale,
                                             SampleScore (&scores)[score_lanes]) {
    if (used > 0) {
        Index label[score_lanes] = {};  // padding lanes are scored as well; their results are ignored
        for (Index lane = 0; lane < used; ++lane) label[lane] = static_cast<Index>(labels[lane]);
        rule.score(z, dz, classes, tile_lanes, label, targets, scale, scores);
    }
    if (dz == nullptr || used == Index{score_lanes}) return;
    for (Index c = 0; c < classes; ++c) {
        for (Index lane = used; lane < Index{score_lanes}; ++lane) dz[std::size_t{c} * tile_lanes + lane] = 0;
    }
}

/// Multiplies each lane's loss and gradient by the weight of its label.
void weigh_lanes(const float* class_weights, const std::int32_t* labels, float* dz, Index classes, Index used,
                 SampleScore (&scores)[score_lanes]) {
    for (Index lane = 0; lane < used; ++lane) {
        const float weight = class_weights[labels[lane]];
        scores[lane].loss *= weight;
        for (Index c = 0; c < classes && dz != nullptr; ++c) dz[std::size_t{c} * tile_lanes + lane] *= weight;
    }
}

void LossLanes(const Loss& loss, ConstActivations z, const std::int32_t* labels, Activations dz,
               const float* class_weights, const float* targets, Index tile, Index first_lane, Metrics& sums) {
    const Index used = z.used(tile) > first_lane ? std::min(z.used(tile) - first_lane, Index{score_lanes}) : 0;
    const std::int32_t* label = labels + std::size_t{tile} * tile_lanes + first_lane;
    for (Index lane = 0; lane < used; ++lane) {
        expects(label[lane] >= 0 && (targets != nullptr || static_cast<Index>(label[lane]) < z.rows),
                "labels below the number of outputs");
    }
    const float scale = 1.0F / static_cast<float>(z.batch);
    float* const gradient = dz ? dz.row(tile, 0) + first_lane : nullptr;
    SampleScore scores[score_lanes];
    std::visit(
        [&](const auto& rule) {
            score_lanes_of(rule, z.row(tile, 0) + first_lane, label, gradient, targets, z.rows, used, scale,
                           scores);
        },
        loss);
    if (class_weights != nullptr) weigh_lanes(class_weights, label, gradient, z.rows, used, scores);
    double group_loss = 0;
    for (Index lane = 0; lane < used; ++lane) {
        group_loss += static_cast<double>(scores[lane].loss);
        sums.confidence_sum += static_cast<double>(scores[lane].confidence);
        if (!scores[lane].correct) sums.wrong_confidence_sum += static_cast<double>(scores[lane].confidence);
        sums.correct += scores[lane].correct ? 1 : 0;
    }
    if (!std::isfinite(group_loss)) sums.first_nonfinite = std::min(sums.first_nonfinite, sums.batches);
    ++sums.batches;  // that had lanes here: all but the last, smaller one of an epoch
    sums.sample_loss_sum += group_loss;
    sums.batch_loss_sum += group_loss / static_cast<double>(z.batch);
    sums.samples += used;
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {

HWY_EXPORT(LossLanes);

void loss_lanes(const Loss& loss, ConstActivations z, const std::int32_t* labels, Activations dz,
                const float* class_weights, const float* targets, Index tile, Index first_lane, Metrics& sums) {
    HWY_DYNAMIC_DISPATCH(LossLanes)(loss, z, labels, dz, class_weights, targets, tile, first_lane, sums);
}

}  // namespace espalier
#endif
