// Losses over one sample's outputs z (preactivations of the last layer) with its label. Each gives the sample's loss,
// its prediction and the gradient by z; the backends' loss kernels divide by the batch.
#pragma once

#include <cmath>

#include "espalier/activation.hpp"
#include "espalier/host_device.hpp"
#include "espalier/index.hpp"
#include "espalier/random.hpp"
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

    /// z and gradient hold `classes` values `stride` floats apart; gradient may be null (evaluation).
    ESPALIER_HOST_DEVICE SampleScore operator()(const float* z, float* gradient, Index classes, std::size_t stride,
                                                Index label, float scale) const {
        Index best = 0;
        for (Index c = 1; c < classes; ++c) {
            if (z[c * stride] > z[best * stride]) best = c;
        }
        const float highest = z[best * stride];
        float sum = 0;
        for (Index c = 0; c < classes; ++c) sum += portable_exp(z[c * stride] - highest);
        if (gradient != nullptr) {
            for (Index c = 0; c < classes; ++c) {
                const float p = portable_exp(z[c * stride] - highest) / sum;
                gradient[c * stride] = (p - (c == label ? 1.0F : 0.0F)) * scale;
            }
        }
        return {portable_log(sum) + (highest - z[label * stride]), 1.0F / sum, best == label};
    }
};

/// Sigmoid outputs with squared error against one-hot targets, as the original SET programs: the loss is the mean
/// over the outputs of (y - t)^2, the gradient that of half the squared error, (y - t) y (1 - y).
struct SigmoidSquaredError {
    static constexpr std::string_view name = "mse";
    static constexpr auto fields() { return std::tuple{}; }

    ESPALIER_HOST_DEVICE SampleScore operator()(const float* z, float* gradient, Index classes, std::size_t stride,
                                                Index label, float scale) const {
        Index best = 0;
        float error = 0;
        for (Index c = 0; c < classes; ++c) {
            if (z[c * stride] > z[best * stride]) best = c;
            const float y = Sigmoid{}.value(z[c * stride]);
            const float difference = y - (c == label ? 1.0F : 0.0F);
            error += difference * difference;
            if (gradient != nullptr) gradient[c * stride] = difference * y * (1.0F - y) * scale;
        }
        return {error / static_cast<float>(classes), Sigmoid{}.value(z[best * stride]), best == label};
    }
};

using Loss = std::variant<SoftmaxNll, SigmoidSquaredError>;

}  // namespace espalier
