// A layer and a network at rest: host memory, canonical order. Backends load layers into whatever layout their
// kernels want and store them back into this one; network files hold exactly this.
#pragma once

#include <optional>
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

/// Layers from the inputs to the outputs: the outputs of one are the inputs of the next.
struct Network {
    std::vector<Layer> layers;
};

}  // namespace espalier
