// Losses over one sample's outputs z (preactivations of the last layer) with its label or its real-valued targets. Each
// gives the sample's loss, its prediction and the gradient by z; the backends' loss kernels divide by the batch. score()
// takes several samples whose values lie side by side, so that a compiler can work on them in one vector; each is scored
// as if alone.
#pragma once

#include <cmath>

#include "espalier/activation.hpp"
#include "espalier/host_device.hpp"
#include "espalier/index.hpp"
#include "espalier/portable_math.hpp"
#include "espalier/rule.hpp"

namespace espalier {

/// What one sample contributes to the metrics.
struct SampleScore {
    float loss = 0;
    float confidence = 0;  // the network's probability for its own prediction
    bool correct = false;
};

/// log-softmax + negative log-likelihood.
struct SoftmaxNll {
    static constexpr std::string_view name = "nll";
    static constexpr auto fields() { return std::tuple{}; }

    /// z and gradient hold `classes` rows of `Lanes` values, `stride` floats apart; gradient may be null (evaluation).
    /// `targets` is for losses of real values: [rows][outputs], `label` being a sample's row.
    template <int Lanes>
    ESPALIER_HOST_DEVICE void score(const float* z, float* gradient, Index classes, std::size_t stride,
                                    const Index (&label)[Lanes], const float* /*targets*/, float scale,
                                    SampleScore (&scores)[Lanes]) const {
        Index best[Lanes] = {};
        float highest[Lanes];
        float sum[Lanes] = {};
        for (std::size_t i = 0; i < Lanes; ++i) highest[i] = z[i];
        for (Index c = 1; c < classes; ++c) {
            for (std::size_t i = 0; i < Lanes; ++i) {
                const bool higher = z[c * stride + i] > highest[i];
                best[i] = higher ? c : best[i];
                highest[i] = higher ? z[c * stride + i] : highest[i];
            }
        }
        for (Index c = 0; c < classes; ++c) {
            for (std::size_t i = 0; i < Lanes; ++i) sum[i] += portable_exp(z[c * stride + i] - highest[i]);
        }
        for (Index c = 0; c < classes && gradient != nullptr; ++c) {
            for (std::size_t i = 0; i < Lanes; ++i) {
                const float p = portable_exp(z[c * stride + i] - highest[i]) / sum[i];
                gradient[c * stride + i] = (p - (c == label[i] ? 1.0F : 0.0F)) * scale;
            }
        }
        for (std::size_t i = 0; i < Lanes; ++i) {
            const float missed = highest[i] - z[label[i] * stride + i];
            scores[i] = {portable_log(sum[i]) + missed, 1.0F / sum[i], best[i] == label[i]};
        }
    }
};

namespace detail {

/// Sigmoid outputs with squared error: the loss is the mean over the outputs of (y - t)^2, the gradient (y - t) s (1 - s)
/// with s = rule.derivative_at(y).
template <class Rule, int Lanes>
ESPALIER_HOST_DEVICE void score_sigmoids(const Rule& rule, const float* z, float* gradient, Index classes,
                                         std::size_t stride, const Index (&label)[Lanes], float scale,
                                         SampleScore (&scores)[Lanes]) {
    Index best[Lanes] = {};
    float highest[Lanes];
    float error[Lanes] = {};
    for (std::size_t i = 0; i < Lanes; ++i) highest[i] = z[i];
    for (Index c = 0; c < classes; ++c) {
        for (std::size_t i = 0; i < Lanes; ++i) {
            const float value = z[c * stride + i];
            const bool higher = value > highest[i];
            best[i] = higher ? c : best[i];
            highest[i] = higher ? value : highest[i];
            const float y = Sigmoid{}.value(value);
            const float difference = y - (c == label[i] ? 1.0F : 0.0F);
            error[i] += difference * difference;
            if (gradient == nullptr) continue;
            const float at = rule.derivative_at(y);
            gradient[c * stride + i] = difference * at * (1.0F - at) * scale;
        }
    }
    for (std::size_t i = 0; i < Lanes; ++i) {
        scores[i] = {error[i] / static_cast<float>(classes), Sigmoid{}.value(highest[i]), best[i] == label[i]};
    }
}

}  // namespace detail

/// Sigmoid outputs with squared error against one-hot targets: the loss is the mean over the outputs of (y - t)^2, the
/// gradient that of half the squared error, (y - t) y (1 - y).
struct SigmoidSquaredError {
    static constexpr std::string_view name = "mse";
    static constexpr bool sigmoid_outputs = true;
    static constexpr auto fields() { return std::tuple{}; }
    /// s of the derivative s (1 - s) by the preactivation.
    [[nodiscard]] ESPALIER_HOST_DEVICE float derivative_at(float y) const { return y; }

    template <int Lanes>
    ESPALIER_HOST_DEVICE void score(const float* z, float* gradient, Index classes, std::size_t stride,
                                    const Index (&label)[Lanes], const float* /*targets*/, float scale,
                                    SampleScore (&scores)[Lanes]) const {
        detail::score_sigmoids(*this, z, gradient, classes, stride, label, scale, scores);
    }
};

/// The same with the gradient of SET's programs, which take the sigmoid's derivative at y instead of at z: (y - t) s (1 -
/// s) with s = sigmoid(y), so that the factor is nearly constant, 0.197 to 0.25, and a saturated wrong output still learns.
struct SigmoidTwiceSquaredError {
    static constexpr std::string_view name = "mse-twice";
    static constexpr bool sigmoid_outputs = true;
    static constexpr auto fields() { return std::tuple{}; }
    [[nodiscard]] ESPALIER_HOST_DEVICE float derivative_at(float y) const { return Sigmoid{}.value(y); }

    template <int Lanes>
    ESPALIER_HOST_DEVICE void score(const float* z, float* gradient, Index classes, std::size_t stride,
                                    const Index (&label)[Lanes], const float* /*targets*/, float scale,
                                    SampleScore (&scores)[Lanes]) const {
        detail::score_sigmoids(*this, z, gradient, classes, stride, label, scale, scores);
    }
};

/// Regression: linear outputs with squared error against real-valued targets. The loss is the mean over the outputs of
/// (z - t)^2 as PyTorch's MSELoss, the gradient its own, 2 (z - t) / outputs. It knows no right answers.
struct SquaredError {
    static constexpr std::string_view name = "squared-error";
    static constexpr auto fields() { return std::tuple{}; }

    template <int Lanes>
    ESPALIER_HOST_DEVICE void score(const float* z, float* gradient, Index outputs, std::size_t stride,
                                    const Index (&row)[Lanes], const float* targets, float scale,
                                    SampleScore (&scores)[Lanes]) const {
        const auto count = static_cast<float>(outputs);
        const float slope = 2.0F * scale / count;
        float error[Lanes] = {};
        for (Index o = 0; o < outputs; ++o) {
            for (std::size_t i = 0; i < Lanes; ++i) {
                const float difference = z[o * stride + i] - targets[static_cast<std::size_t>(row[i]) * outputs + o];
                error[i] += difference * difference;
                if (gradient != nullptr) gradient[o * stride + i] = difference * slope;
            }
        }
        for (std::size_t i = 0; i < Lanes; ++i) scores[i] = {error[i] / count, 0.0F, false};
    }
};

using Loss = std::variant<SoftmaxNll, SigmoidSquaredError, SquaredError, SigmoidTwiceSquaredError>;

/// Whether a loss compares with real-valued targets instead of classes.
inline bool is_regression(const Loss& loss) { return std::holds_alternative<SquaredError>(loss); }

/// One sample, scored by any of them.
template <class Rule>
ESPALIER_HOST_DEVICE SampleScore score_one(const Rule& rule, const float* z, float* gradient, Index classes,
                                           std::size_t stride, Index label, float scale,
                                           const float* targets = nullptr) {
    const Index labels[1] = {label};
    SampleScore scores[1];
    rule.score(z, gradient, classes, stride, labels, targets, scale, scores);
    return scores[0];
}

}  // namespace espalier
