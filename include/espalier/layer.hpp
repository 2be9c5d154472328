// A layer and a network at rest: host memory, canonical order. Backends load layers into whatever layout their
// kernels want and store them back into this one; network files hold exactly this.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "espalier/activation.hpp"
#include "espalier/index.hpp"
#include "espalier/topology.hpp"

namespace espalier {

/// Up to so many weights the backends compute a dense layer by their sparse kernels, which beat a matrix product's
/// fixed cost; above, matrix products win.
inline constexpr std::size_t small_dense_weights = 16384;

/// One layer's shape, parameters and optimizer memory.
struct Layer {
    Index num_inputs = 0;
    Index num_outputs = 0;
    std::optional<Topology> topology;  // absent: dense
    Activation activation;
    std::vector<float> weights;                // sparse: num_edges in canonical order; dense: [num_outputs][num_inputs]
    std::vector<float> bias;                   // num_outputs
    std::vector<float> activation_parameters;  // [num_parameters][num_outputs], empty for most activations
    // Optimizer memory, one array per state, shaped as the parameters.
    std::vector<std::vector<float>> weight_state;
    std::vector<std::vector<float>> bias_state;
    std::vector<std::vector<float>> activation_state;

    [[nodiscard]] bool is_sparse() const { return topology.has_value(); }
    [[nodiscard]] std::size_t num_weights() const { return weights.size(); }
};

/// What a model has besides its layers.
struct NamedArray {
    std::string name;
    std::vector<std::uint64_t> shape;
    std::vector<float> values;              // row by row
    std::vector<std::vector<float>> state;  // optimizer memory, one array per state, shaped as the values
};

/// A model's parameters and its optimizer memory. Layers follow each other, each taking the outputs of the one before.
struct Network {
    std::vector<Layer> layers;
    std::vector<NamedArray> arrays = {};
    std::string model = {};  // what it is if layers do not say it all ("rbm"); empty: a perceptron

    /// The array of that name, or null.
    [[nodiscard]] const NamedArray* array(std::string_view name) const {
        for (const NamedArray& each : arrays) {
            if (each.name == name) return &each;
        }
        return nullptr;
    }
    [[nodiscard]] NamedArray* array(std::string_view name) {
        return const_cast<NamedArray*>(std::as_const(*this).array(name));
    }
};

}  // namespace espalier
