#include "cuda/kernels/loss.cuh"

#include <cmath>
#include <cstring>
#include <limits>
#include <variant>

#include "cuda/launch.cuh"
#include "cuda/operations.hpp"

namespace espalier::cuda {

void loss(const Launcher& to, const Loss& loss, ConstActivations z, const std::int32_t* labels, Activations dz,
          const float* class_weights, const float* targets, MetricSums* sums, const RankShare& share) {
    std::visit(
        [&](const auto& rule) {
            using Rule = std::decay_t<decltype(rule)>;
            launch(to, ForMany<LossWork<Rule>>{}, loss_kernel<Rule>, dim3(z.tiles()), loss_threads, rule, z, labels, dz,
                   class_weights, targets, sums, share);
        },
        loss);
}

std::size_t metric_bytes() { return sizeof(MetricSums); }

void add_metrics(void* sums, const void* more) {
    constexpr std::size_t count = sizeof(MetricSums) / sizeof(Counter);
    Counter all[count];
    Counter other[count];
    std::memcpy(all, sums, sizeof all);
    std::memcpy(other, more, sizeof other);
    for (std::size_t i = 0; i < count; ++i) all[i] += other[i];
    std::memcpy(sums, all, sizeof all);
}

Metrics metrics_of(const void* sums) {
    MetricSums found;
    std::memcpy(&found, sums, sizeof found);
    expects(found.bad_labels == 0, "labels below the number of outputs");
    // The fixed-point sums leave out what is not finite.
    const double nonfinite = found.nonfinite == 0 ? 0 : std::numeric_limits<double>::quiet_NaN();
    const auto signed_number = [](Counter sum) { return static_cast<double>(static_cast<long long>(sum)); };
    const auto number = [&](Counter whole, Counter fraction) {
        return signed_number(whole) + signed_number(fraction) / static_cast<double>(fixed_point_one) + nonfinite;
    };
    Metrics metrics;
    metrics.batch_loss_sum = number(found.batch_loss[0], found.batch_loss[1]);
    metrics.sample_loss_sum = number(found.sample_loss[0], found.sample_loss[1]);
    metrics.confidence_sum = number(0, found.confidence);
    metrics.wrong_confidence_sum = number(0, found.wrong_confidence);
    metrics.batches = found.batches;
    metrics.samples = found.samples;
    metrics.correct = found.correct;
    return metrics;
}

}  // namespace espalier::cuda
