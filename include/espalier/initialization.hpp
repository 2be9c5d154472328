// How a layer is initialised: the weights of its edges, drawn one by one, and how many of its cells hold an edge.
#pragma once

#include <cmath>
#include <cstdint>

#include "espalier/host_device.hpp"
#include "espalier/index.hpp"
#include "espalier/random.hpp"
#include "espalier/rule.hpp"

namespace espalier {

/// Normal, mean 0, standard deviation sqrt(2 / fan-in), where the fan-in is the width of the layer's input.
struct HeNormal {
    static constexpr std::string_view name = "he";
    static constexpr auto fields() { return std::tuple{}; }
    [[nodiscard]] ESPALIER_HOST_DEVICE float operator()(std::uint32_t bits, Index num_inputs) const {
        return sqrtf(2.0F / static_cast<float>(num_inputs)) * espalier::normal(bits);
    }
};

/// Normal, mean 0, of a given standard deviation.
struct NormalWeights {
    float std = 0.1F;
    static constexpr std::string_view name = "normal";
    static constexpr auto fields() { return std::tuple{field("std", &NormalWeights::std, 0, 1e6)}; }
    [[nodiscard]] ESPALIER_HOST_DEVICE float operator()(std::uint32_t bits, Index /*num_inputs*/) const {
        return std * espalier::normal(bits);
    }
};

/// Uniform in +-1 / sqrt(num_inputs), PyTorch's nn.Linear default.
struct UniformWeights {
    static constexpr std::string_view name = "uniform";
    static constexpr auto fields() { return std::tuple{}; }
    [[nodiscard]] ESPALIER_HOST_DEVICE float operator()(std::uint32_t bits, Index num_inputs) const {
        return symmetric_uniform(bits) / sqrtf(static_cast<float>(num_inputs));
    }
};

struct ZeroWeights {
    static constexpr std::string_view name = "zero";
    static constexpr auto fields() { return std::tuple{}; }
    [[nodiscard]] ESPALIER_HOST_DEVICE float operator()(std::uint32_t /*bits*/, Index /*num_inputs*/) const {
        return 0;
    }
};

/// Uniform in +-sqrt(6 / (inputs + outputs)), the range that keeps the variance of signals.
/// Source: Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.
struct XavierUniform {
    Index num_outputs = 1;  // set by in_layer
    static constexpr std::string_view name = "xavier";
    static constexpr auto fields() { return std::tuple{}; }
    [[nodiscard]] XavierUniform in_layer(Index /*inputs*/, Index outputs, Cell /*edges*/) const { return {outputs}; }
    [[nodiscard]] ESPALIER_HOST_DEVICE float operator()(std::uint32_t bits, Index num_inputs) const {
        return symmetric_uniform(bits) * sqrtf(6.0F / (static_cast<float>(num_inputs) + static_cast<float>(num_outputs)));
    }
};

/// Normal, mean 0, standard deviation sqrt(2 / edges of an output) on average over the layer's outputs: `he` for what
/// an output sums over in a sparse layer.
/// Source: Evci et al., "Gradient flow in sparse neural networks and how lottery tickets win", AAAI 2022.
struct HeOfEdges {
    float edges_per_output = 1;  // set by in_layer
    static constexpr std::string_view name = "he-edges";
    static constexpr auto fields() { return std::tuple{}; }
    [[nodiscard]] HeOfEdges in_layer(Index /*inputs*/, Index outputs, Cell edges) const {
        return {static_cast<float>(static_cast<double>(edges) / outputs)};
    }
    [[nodiscard]] ESPALIER_HOST_DEVICE float operator()(std::uint32_t bits, Index /*num_inputs*/) const {
        return sqrtf(2.0F / edges_per_output) * espalier::normal(bits);
    }
};

using WeightLaw = std::variant<HeNormal, NormalWeights, UniformWeights, ZeroWeights, XavierUniform, HeOfEdges>;

/// The law in a layer of such a shape, which some ask for more than the number of inputs.
inline WeightLaw in_layer(const WeightLaw& law, Index inputs, Index outputs, Cell edges) {
    return std::visit(
        [&](const auto& rule) -> WeightLaw {
            if constexpr (requires { rule.in_layer(inputs, outputs, edges); }) {
                return rule.in_layer(inputs, outputs, edges);
            } else {
                return rule;
            }
        },
        law);
}

/// How many cells of a layer hold an edge at birth: the count exactly, each cell by a coin of that density, or that
/// many draws with replacement of which repeats fall away (as the original programs).
struct ExactCount {
    static constexpr std::string_view name = "exact";
    static constexpr auto fields() { return std::tuple{}; }
};
struct BernoulliCells {
    static constexpr std::string_view name = "bernoulli";
    static constexpr auto fields() { return std::tuple{}; }
};
struct WithReplacement {
    static constexpr std::string_view name = "replacement";
    static constexpr auto fields() { return std::tuple{}; }
};

/// The count exactly, in a perceptron's first layer between inputs that vary together (host/models/correlated_birth.hpp),
/// elsewhere at random.
struct CorrelatedInputs {
    static constexpr std::string_view name = "correlated";
    static constexpr auto fields() { return std::tuple{}; }
};

/// The count exactly, every output with as many inputs, or one more where they do not share out evenly: which outputs
/// and which inputs, at random.
/// Source: Lasby et al., "Dynamic sparse training with structured sparsity", ICLR 2024 (constant fan-in).
struct ConstantFanIn {
    static constexpr std::string_view name = "fan-in";
    static constexpr auto fields() { return std::tuple{}; }
};

/// The count exactly, in a perceptron the cells that its loss is most sensitive to (host/models/sensitive_birth.hpp).
struct ConnectionSensitivity {
    int samples = 0;  // whose loss it is; 0: as many as a batch has
    static constexpr std::string_view name = "snip";
    static constexpr auto fields() { return std::tuple{field("samples", &ConnectionSensitivity::samples, 0, 1e9)}; }
};

/// The count exactly, every input with as many outputs, or one more where they do not share out evenly, drawn without
/// replacement near where the input lies among them: with inputs and outputs on one ring, in proportion to
/// (1 + distance)^-(1 - r)/r, distances in outputs. r = 0: the nearest, 1: any.
/// Source: Zhang et al., "Brain network science modelling of sparse neural networks enables transformers and LLMs to
/// perform as fully connected", NeurIPS 2025 (bipartite receptive fields).
struct ReceptiveFields {
    double r = 0.25;
    static constexpr std::string_view name = "receptive";
    static constexpr auto fields() { return std::tuple{field("r", &ReceptiveFields::r, 0, 1)}; }
};

using BirthLaw = std::variant<ExactCount, BernoulliCells, WithReplacement, CorrelatedInputs, ConstantFanIn,
                              ConnectionSensitivity, ReceptiveFields>;

}  // namespace espalier
