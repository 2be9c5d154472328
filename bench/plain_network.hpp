// A network's loss by plain loops in double, which a benchmark of training compares with before it times.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "bench/training_setup.hpp"

namespace espalier {

inline Split first_of(const Split& split, std::uint32_t count) {
    Split few;
    few.bytes.assign(split.bytes.begin(), split.bytes.begin() + static_cast<std::ptrdiff_t>(count) * 784);
    few.labels.assign(split.labels.begin(), split.labels.begin() + count);
    return few;
}

/// A layer's sums before its activation, in double.
inline std::vector<double> sums_of(const Layer& layer, const std::vector<double>& x) {
    std::vector<double> z(layer.bias.begin(), layer.bias.end());
    for (Index row = 0; row < layer.num_outputs; ++row) {
        if (layer.topology) {
            for (EdgeIndex slot = layer.topology->row_start[row]; slot < layer.topology->row_start[row + 1]; ++slot) {
                z[row] += static_cast<double>(layer.weights[slot]) * x[layer.topology->column[slot]];
            }
        } else {
            for (Index input = 0; input < layer.num_inputs; ++input) {
                z[row] += static_cast<double>(layer.weights[std::size_t{row} * layer.num_inputs + input]) * x[input];
            }
        }
    }
    return z;
}

/// Mean loss of a network of ReLU layers and softmax.
inline double plain_loss(const Network& network, const DataSet& data, const Split& samples) {
    double loss = 0;
    for (std::size_t s = 0; s < samples.labels.size(); ++s) {
        std::vector<double> x(784);
        for (std::size_t i = 0; i < 784; ++i) {
            x[i] = (samples.bytes[s * 784 + i] * data.scale - data.mean[0]) / data.deviation[0];
        }
        for (std::size_t l = 0; l < network.layers.size(); ++l) {
            x = sums_of(network.layers[l], x);
            if (l + 1 == network.layers.size()) break;
            for (double& value : x) value = std::max(value, 0.0);
        }
        const double top = *std::max_element(x.begin(), x.end());
        double sum = 0;
        for (const double value : x) sum += std::exp(value - top);
        loss += std::log(sum) + top - x[static_cast<std::size_t>(samples.labels[s])];
    }
    return loss / static_cast<double>(samples.labels.size());
}

inline double loss_of(TrainingSetup& setup, const UploadedSplit& samples) {
    setup.perceptron.evaluate(samples.samples());
    return setup.backend->metrics().sample_loss_sum / samples.samples().count;
}

/// Whether a loss on `samples` is what plain loops make of `network`.
inline bool is_loss_of(double loss, const Network& network, const Split& samples) {
    return std::abs(loss - plain_loss(network, images(), samples)) <= 1e-4 * std::abs(loss);
}

}  // namespace espalier
