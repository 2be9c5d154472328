// What the writer and the reader of network files share (network_file.hpp says the format): the names of what stands in
// one, and the shapes of its tensors.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "espalier/layer.hpp"
#include "host/formats/safetensors.hpp"

namespace espalier::network_layout {

constexpr const char* format_key = "format";
constexpr const char* layers_format = "espalier-network-1";
constexpr const char* arrays_format = "espalier-network-2";  // layers and arrays, of a model it names
constexpr const char* export_format = "espalier-export-1";   // what `espalier export` writes for other libraries
constexpr const char* layers_key = "layers";
constexpr const char* model_key = "model";
constexpr const char* arrays_key = "arrays";  // their names, in order, a space between two

/// What an export calls a tensor of a sparse layer: as PyTorch does.
inline std::string exported_name(const std::string& name) {
    return name == "row_start" ? "crow_indices" : name == "column" ? "col_indices" : name == "weight" ? "values" : name;
}

inline std::string layer_key(std::size_t layer, const std::string& rest) {
    return "layers." + std::to_string(layer + 1) + "." + rest;
}

/// Keys that belong to the format itself, not to the caller.
inline bool is_reserved(const std::string& key) {
    return key == format_key || key == layers_key || key == model_key || key == arrays_key || key == checksum_tensor ||
           key.starts_with("layers.") || key.starts_with("arrays.");
}

inline std::string array_key(const std::string& name, std::optional<std::size_t> state = {}) {
    return "arrays." + name + (state.has_value() ? "_state." + std::to_string(*state) : "");
}

/// The float arrays of a layer with their names, in file order.
template <class AnyLayer, class Visitor>
void for_each_array(AnyLayer& layer, Visitor&& visit) {
    visit("weight", layer.weights);
    visit("bias", layer.bias);
    const bool parametric = num_parameters(layer.activation) > 0;
    if (parametric) visit("activation_parameters", layer.activation_parameters);
    for (std::size_t k = 0; k < layer.weight_state.size(); ++k) {
        visit("weight_state." + std::to_string(k), layer.weight_state[k]);
        visit("bias_state." + std::to_string(k), layer.bias_state[k]);
        if (parametric) visit("activation_state." + std::to_string(k), layer.activation_state[k]);
    }
}

/// The shape of an array of for_each_array; `edges` only for a sparse layer.
inline std::vector<std::uint64_t> shape_of(const std::string& name, const Layer& layer,
                                           std::optional<std::uint64_t> edges) {
    if (name.starts_with("bias")) return {layer.num_outputs};
    if (name.starts_with("activation")) {
        return {static_cast<std::uint64_t>(num_parameters(layer.activation)), layer.num_outputs};
    }
    if (edges.has_value()) return {*edges};
    return {layer.num_outputs, layer.num_inputs};
}

inline std::optional<std::uint64_t> edges_of(const Layer& layer) {
    if (!layer.is_sparse()) return std::nullopt;
    return layer.topology->num_edges();
}

/// Place of the first NaN or infinity, if there is one.
inline std::optional<std::size_t> find_nonfinite(const std::vector<float>& values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (!std::isfinite(values[i])) return i;
    }
    return std::nullopt;
}

}  // namespace espalier::network_layout
