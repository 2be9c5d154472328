// Loss kernel against plain double loops: gradient, scores as fixed-point sums, labels and values that are none.
#include "cuda/kernels/loss.cuh"

#include <algorithm>
#include <limits>

#include "kernel_cases.hpp"

namespace espalier::cuda {
namespace {

using LossKernel = cuda_on_host::EveryOrder;
INSTANTIATE_TEST_SUITE_P(Orders, LossKernel, testing::ValuesIn(cuda_on_host::every_order));

struct LossResult {
    Matrix dz;
    std::vector<float> beyond;
    MetricSums sums;
};

/// Labels of all lanes, -1 past the batch.
std::vector<std::int32_t> labels_for(Index classes, Index batch) {
    std::vector<std::int32_t> labels((batch + tile_lanes - 1) / tile_lanes * tile_lanes, -1);
    for (Index s = 0; s < batch; ++s) labels[s] = static_cast<std::int32_t>(s * 7 % classes);
    return labels;
}

template <class Rule>
LossResult run_loss(const Rule& rule, const Matrix& z, const std::vector<std::int32_t>& labels, bool with_gradient,
                    const float* class_weights = nullptr, const std::vector<float>& targets = {}) {
    const TiledArray d_z(z, std::numeric_limits<float>::quiet_NaN());  // what lies past the batch counts for nothing
    const TiledArray dz(Matrix(z.rows, z.batch), 7);
    const DeviceArray<std::int32_t> d_labels(labels);
    const DeviceArray<MetricSums> sums(std::vector<MetricSums>(1));
    const DeviceArray<float> d_targets(targets.empty() ? std::vector<float>(1) : targets);
    launch(loss_kernel<Rule>, dim3(d_z.view().tiles()), dim3(loss_threads), 0, rule, d_z.view(), d_labels.data(),
           with_gradient ? dz.view() : Activations{}, class_weights, targets.empty() ? nullptr : d_targets.data(),
           sums.data(), RankShare{0, 1, z.batch});
    return {dz.read(), dz.beyond(), sums.read()[0]};
}

double logistic(double z) { return 1 / (1 + std::exp(-z)); }

/// One sample's loss and confidence; gradient by z of the sample's loss.
std::pair<double, double> score_of(SoftmaxNll /*rule*/, const std::vector<double>& z, std::size_t label,
                                   std::vector<double>& gradient) {
    double sum = 0;
    for (const double each : z) sum += std::exp(each);
    double best = 0;
    for (std::size_t c = 0; c < z.size(); ++c) {
        const double p = std::exp(z[c]) / sum;
        best = std::max(best, p);
        gradient[c] = p - (c == label ? 1 : 0);
    }
    return {std::log(sum) - z[label], best};
}
template <class Rule>
std::pair<double, double> score_of(Rule /*rule*/, const std::vector<double>& z, std::size_t label,
                                   std::vector<double>& gradient) {
    constexpr bool twice = std::is_same_v<Rule, SigmoidTwiceSquaredError>;
    double error = 0;
    double best = 0;
    for (std::size_t c = 0; c < z.size(); ++c) {
        const double y = logistic(z[c]);
        const double difference = y - (c == label ? 1 : 0);
        best = std::max(best, y);
        error += difference * difference / static_cast<double>(z.size());
        const double s = twice ? logistic(y) : y;
        gradient[c] = difference * s * (1 - s);
    }
    return {error, best};
}

template <class Rule>
void check_loss(Index classes, Index batch) {
    Matrix z(classes, batch, 20);
    for (float& each : z.values) each *= 6;
    const auto labels = labels_for(classes, batch);
    const LossResult found = run_loss(Rule{}, z, labels, true);
    const LossResult evaluated = run_loss(Rule{}, z, labels, false);
    double loss = 0;
    double confidence = 0;
    double wrong = 0;
    std::uint64_t correct = 0;
    for (Index s = 0; s < batch; ++s) {
        std::vector<double> column(classes);
        std::vector<double> gradient(classes);
        for (Index c = 0; c < classes; ++c) column[c] = static_cast<double>(z(c, s));
        const auto label = static_cast<std::size_t>(labels[s]);
        const auto [own_loss, own_confidence] = score_of(Rule{}, column, label, gradient);
        const bool right = *std::max_element(column.begin(), column.end()) == column[label];
        loss += own_loss;
        confidence += own_confidence;
        wrong += right ? 0 : own_confidence;
        correct += right ? 1 : 0;
        for (Index c = 0; c < classes; ++c)
            ASSERT_NEAR(found.dz(c, s), gradient[c] / batch, 1e-6) << classes << " classes";
    }
    for (const float each : found.beyond) ASSERT_EQ(each, 0.0F) << "gradients past the batch are 0";
    EXPECT_NEAR(from_fixed_point(found.sums.sample_loss), loss, 2e-6 * (batch + loss));
    EXPECT_NEAR(from_fixed_point(found.sums.batch_loss), loss / batch, 2e-6 * (1 + loss / batch));
    EXPECT_NEAR(from_fixed_point(found.sums.confidence), confidence, 2e-6 * batch);
    EXPECT_NEAR(from_fixed_point(found.sums.wrong_confidence), wrong, 2e-6 * batch);
    EXPECT_EQ(found.sums.correct, correct);
    EXPECT_EQ(found.sums.samples, batch);
    EXPECT_EQ(found.sums.batches, 1U);
    EXPECT_EQ(found.sums.nonfinite, 0U);
    EXPECT_EQ(found.sums.bad_labels, 0U);
    EXPECT_EQ(evaluated.sums.sample_loss[0], found.sums.sample_loss[0]);
    EXPECT_EQ(evaluated.sums.sample_loss[1], found.sums.sample_loss[1]);
}

TEST_P(LossKernel, EqualsPlainLoops) {
    for (const Index classes : {1U, 2U, 10U, 47U}) {
        for (const Index batch : {1U, 96U, 128U, 300U}) {
            check_loss<SoftmaxNll>(classes, batch);
            check_loss<SigmoidSquaredError>(classes, batch);
            check_loss<SigmoidTwiceSquaredError>(classes, batch);
        }
    }
}

TEST_P(LossKernel, MultipliesByTheWeightOfTheLabel) {
    const Matrix z(3, 130, 20);
    const auto labels = labels_for(3, 130);
    const std::vector<float> weights{2, 0.25F, 0};  // powers of two: products are exact
    const DeviceArray<float> d_weights(weights);
    const LossResult plain = run_loss(SoftmaxNll{}, z, labels, true);
    const LossResult found = run_loss(SoftmaxNll{}, z, labels, true, d_weights.data());
    double loss = 0;
    for (Index s = 0; s < 130; ++s) {
        const auto label = static_cast<std::size_t>(labels[s]);
        for (Index c = 0; c < 3; ++c) {
            EXPECT_FLOAT_EQ(found.dz(c, s), plain.dz(c, s) * weights[label]) << c << ' ' << s;
        }
        std::vector<double> column, gradient(3);
        for (Index c = 0; c < 3; ++c) column.push_back(static_cast<double>(z(c, s)));
        loss += static_cast<double>(weights[label]) * score_of(SoftmaxNll{}, column, label, gradient).first;
    }
    EXPECT_NEAR(from_fixed_point(found.sums.sample_loss), loss, 2e-6 * (130 + loss));
    EXPECT_EQ(found.sums.confidence, plain.sums.confidence);
    EXPECT_EQ(found.sums.correct, plain.sums.correct);
}

TEST_P(LossKernel, SquaredErrorEqualsPlainLoops) {
    for (const Index outputs : {1U, 3U}) {
        for (const Index batch : {1U, 128U, 300U}) {
            const Matrix z(outputs, batch, 20);
            const Index rows = 2 * batch + 1;
            const Matrix targets(rows, outputs, 21);  // [row][output], as they lie in memory
            const auto labels = labels_for(rows, batch);
            const LossResult found = run_loss(SquaredError{}, z, labels, true, nullptr, targets.values);
            double loss = 0;
            for (Index s = 0; s < batch; ++s) {
                for (Index o = 0; o < outputs; ++o) {
                    const auto place = static_cast<std::size_t>(labels[s]) * outputs + o;
                    const double error = static_cast<double>(z(o, s)) - static_cast<double>(targets.values[place]);
                    loss += error * error / outputs;
                    ASSERT_NEAR(found.dz(o, s), 2 * error / outputs / batch, 1e-6);
                }
            }
            for (const float each : found.beyond) ASSERT_EQ(each, 0.0F) << "gradients past the batch are 0";
            EXPECT_NEAR(from_fixed_point(found.sums.sample_loss), loss, 2e-6 * (batch + loss));
            EXPECT_EQ(found.sums.samples, batch);
            EXPECT_EQ(found.sums.correct, 0U);
            EXPECT_EQ(found.sums.bad_labels, 0U);
        }
    }
}

TEST_P(LossKernel, CountsWhatCannotBeScored) {
    Matrix z(3, 5, 20);
    z(1, 2) = std::numeric_limits<float>::quiet_NaN();
    auto labels = labels_for(3, 5);
    labels[0] = 3;
    labels[4] = -1;
    const LossResult found = run_loss(SoftmaxNll{}, z, labels, true);
    EXPECT_EQ(found.sums.bad_labels, 2U);
    EXPECT_EQ(found.sums.nonfinite, 1U);
    EXPECT_EQ(found.sums.samples, 3U);
    for (Index c = 0; c < 3; ++c) EXPECT_EQ(found.dz(c, 0), 0.0F);
}

TEST_P(LossKernel, AddsUpHugeLossesAndCallsHugerOnesInfinite) {
    Matrix z(2, 300);
    for (Index s = 0; s < 300; ++s) z(0, s) = 1e11F;  // 300 of them are beyond 63 bits of fixed point
    std::vector<std::int32_t> labels(384, -1);
    std::fill_n(labels.begin(), 300, 1);
    const LossResult found = run_loss(SoftmaxNll{}, z, labels, false);
    EXPECT_NEAR(from_fixed_point(found.sums.sample_loss), 300 * double{1e11F}, 1);
    EXPECT_NEAR(from_fixed_point(found.sums.batch_loss), double{1e11F}, 1e5);
    EXPECT_EQ(found.sums.nonfinite, 0U);
    for (Index s = 0; s < 300; ++s) z(0, s) = 2e12F;
    EXPECT_EQ(run_loss(SoftmaxNll{}, z, labels, false).sums.nonfinite, 300U);
}

}  // namespace
}  // namespace espalier::cuda
