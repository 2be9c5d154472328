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

using WeightLaw = std::variant<HeNormal, NormalWeights, UniformWeights, ZeroWeights>;

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

using BirthLaw = std::variant<ExactCount, BernoulliCells, WithReplacement>;

}  // namespace espalier
