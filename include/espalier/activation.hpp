// Activations: y = value(z) elementwise. The derivative is taken from what the forward pass saved: the output y
// where that determines it (`saves_input` false), else the preactivation z.
//
// `scales_with_input` marks those with value(c z) = c value(z) for every c >= 0.
//
// An activation may have `num_parameters` parameters trained per neuron, laid out [parameter][neuron]. Its first fields
// are then their initial values; of_neuron() gives the activation with one neuron's, parameter_derivatives() the
// derivatives of y by them.
#pragma once

#include <cmath>

#include "espalier/host_device.hpp"
#include "espalier/index.hpp"
#include "espalier/portable_math.hpp"
#include "espalier/rule.hpp"

namespace espalier {

struct Identity {
    static constexpr std::string_view name = "identity";
    static constexpr bool saves_input = false;
    static constexpr int num_parameters = 0;
    static constexpr bool scales_with_input = true;
    static constexpr auto fields() { return std::tuple{}; }
    [[nodiscard]] ESPALIER_HOST_DEVICE float value(float z) const { return z; }
    [[nodiscard]] ESPALIER_HOST_DEVICE float derivative(float /*y*/) const { return 1.0F; }
};

struct Relu {
    static constexpr std::string_view name = "relu";
    static constexpr bool saves_input = false;
    static constexpr int num_parameters = 0;
    static constexpr bool scales_with_input = true;
    static constexpr auto fields() { return std::tuple{}; }
    [[nodiscard]] ESPALIER_HOST_DEVICE float value(float z) const { return z < 0 ? 0.0F : z; }  // a NaN passes
    [[nodiscard]] ESPALIER_HOST_DEVICE float derivative(float y) const { return y > 0 ? 1.0F : 0.0F; }
};

struct LeakyRelu {
    float slope = 0.01F;
    static constexpr std::string_view name = "leaky-relu";
    static constexpr bool saves_input = false;
    static constexpr int num_parameters = 0;
    static constexpr bool scales_with_input = true;
    static constexpr auto fields() { return std::tuple{field("slope", &LeakyRelu::slope, 0, 1)}; }
    [[nodiscard]] ESPALIER_HOST_DEVICE float value(float z) const { return z > 0 ? z : slope * z; }
    [[nodiscard]] ESPALIER_HOST_DEVICE float derivative(float y) const { return y > 0 ? 1.0F : slope; }
};

/// All-ReLU: the slope for z <= 0 is -slope in even layers and +slope in odd ones (layers counted from 1).
/// Source: Curci, Mocanu & Pechenizkiy, "Truly sparse neural networks at scale", 2021, eq. 3.
struct AllRelu {
    float slope = 0.6F;
    static constexpr std::string_view name = "all-relu";
    static constexpr bool saves_input = true;
    static constexpr int num_parameters = 0;
    static constexpr bool scales_with_input = true;
    static constexpr auto fields() { return std::tuple{field("slope", &AllRelu::slope, -1, 1)}; }
    [[nodiscard]] ESPALIER_HOST_DEVICE float value(float z) const { return z > 0 ? z : slope * z; }
    [[nodiscard]] ESPALIER_HOST_DEVICE float derivative(float z) const { return z > 0 ? 1.0F : slope; }
    [[nodiscard]] AllRelu in_layer(Index layer) const { return {layer % 2 == 1 ? -slope : slope}; }
};

/// SReLU with four trained parameters per neuron: t_left, a_left, t_right, a_right.
/// y = t_right + a_right (z - t_right) above t_right, t_left + a_left (z - t_left) below t_left, z between.
/// Source: Jin et al., "Deep learning with S-shaped rectified linear activation units", AAAI 2016, eq. 3.
struct SRelu {
    float left_threshold = 0.0F;
    float left_slope = 0.2F;
    float right_threshold = 0.4F;
    float right_slope = 1.0F;
    static constexpr std::string_view name = "srelu";
    static constexpr bool saves_input = true;
    static constexpr int num_parameters = 4;
    static constexpr auto fields() {
        return std::tuple{field("left_threshold", &SRelu::left_threshold, -100, 100),
                          field("left_slope", &SRelu::left_slope, -10, 10),
                          field("right_threshold", &SRelu::right_threshold, -100, 100),
                          field("right_slope", &SRelu::right_slope, -10, 10)};
    }
    [[nodiscard]] ESPALIER_HOST_DEVICE float value(float z) const {
        return z >= right_threshold  ? right_threshold + right_slope * (z - right_threshold)
               : z <= left_threshold ? left_threshold + left_slope * (z - left_threshold)
                                     : z;
    }
    [[nodiscard]] ESPALIER_HOST_DEVICE float derivative(float z) const {
        return z >= right_threshold ? right_slope : z <= left_threshold ? left_slope : 1.0F;
    }
    /// Derivatives of y by the four parameters, in their order.
    ESPALIER_HOST_DEVICE void parameter_derivatives(float z, float (&d)[4]) const {
        d[0] = z <= left_threshold && z < right_threshold ? 1.0F - left_slope : 0.0F;
        d[1] = z <= left_threshold && z < right_threshold ? z - left_threshold : 0.0F;
        d[2] = z >= right_threshold ? 1.0F - right_slope : 0.0F;
        d[3] = z >= right_threshold ? z - right_threshold : 0.0F;
    }
    [[nodiscard]] ESPALIER_HOST_DEVICE SRelu of_neuron(const float* parameters, Index neuron, Index num_neurons) const {
        SRelu result;
        result.left_threshold = parameters[neuron];
        result.left_slope = parameters[num_neurons + neuron];
        result.right_threshold = parameters[2 * static_cast<std::size_t>(num_neurons) + neuron];
        result.right_slope = parameters[3 * static_cast<std::size_t>(num_neurons) + neuron];
        return result;
    }
};

struct Sigmoid {
    static constexpr std::string_view name = "sigmoid";
    static constexpr bool saves_input = false;
    static constexpr int num_parameters = 0;
    static constexpr auto fields() { return std::tuple{}; }
    [[nodiscard]] ESPALIER_HOST_DEVICE float value(float z) const { return 1.0F / (1.0F + portable_exp(-z)); }
    [[nodiscard]] ESPALIER_HOST_DEVICE float derivative(float y) const { return y * (1.0F - y); }
};

struct Tanh {
    static constexpr std::string_view name = "tanh";
    static constexpr bool saves_input = false;
    static constexpr int num_parameters = 0;
    static constexpr auto fields() { return std::tuple{}; }
    [[nodiscard]] ESPALIER_HOST_DEVICE float value(float z) const {
        // 1 - 2 / (1 + e^{2z}) loses digits near 0; there the odd series is exact enough
        const float square = z * z;
        const float series = z * fmaf(square, fmaf(square, 0.133333333F, -0.333333333F), 1.0F);
        const float far = 1.0F - 2.0F / (1.0F + portable_exp(2.0F * z));
        return square < 0.01F ? series : far;
    }
    [[nodiscard]] ESPALIER_HOST_DEVICE float derivative(float y) const { return 1.0F - y * y; }
};

using Activation = std::variant<Identity, Relu, LeakyRelu, AllRelu, SRelu, Sigmoid, Tanh>;

/// True where the backward pass needs the preactivation, not the output.
inline bool saves_input(const Activation& activation) {
    return std::visit([](const auto& rule) { return rule.saves_input; }, activation);
}

/// Trained parameters per neuron, 0 for most activations.
inline int num_parameters(const Activation& activation) {
    return std::visit([](const auto& rule) { return rule.num_parameters; }, activation);
}

/// Their initial values for a layer, [num_parameters][num_neurons]: the activation's first fields.
inline std::vector<float> initial_parameters(const Activation& activation, Index num_neurons) {
    std::vector<float> parameters;
    const auto add = [&](const auto& rule) {
        const auto wanted = static_cast<std::size_t>(rule.num_parameters) * num_neurons;
        const auto add_field = [&](const auto& field) {
            if (parameters.size() < wanted) parameters.insert(parameters.end(), num_neurons, rule.*field.member);
        };
        std::apply([&](const auto&... fields) { (add_field(fields), ...); }, rule.fields());
    };
    std::visit(add, activation);
    return parameters;
}

/// The activation as neuron `neuron` of `num_neurons` has it.
template <class Rule>
ESPALIER_HOST_DEVICE Rule for_neuron(const Rule& rule, const float* parameters, Index neuron, Index num_neurons) {
    if constexpr (Rule::num_parameters > 0) {
        return rule.of_neuron(parameters, neuron, num_neurons);
    } else {
        return rule;
    }
}

/// The activation as layer `layer` (counted from 0) uses it: its own in_layer(), if it has one.
inline Activation in_layer(const Activation& activation, Index layer) {
    return std::visit(
        [&](const auto& rule) -> Activation {
            if constexpr (requires { rule.in_layer(layer); }) {
                return rule.in_layer(layer);
            } else {
                return rule;
            }
        },
        activation);
}

}  // namespace espalier
