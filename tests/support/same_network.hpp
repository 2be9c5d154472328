// A small network of every kind of layer, and whether two networks are equal bit for bit.
#pragma once

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "espalier/layer.hpp"

namespace espalier {

inline std::vector<float> numbers(std::size_t count, float start) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = start + static_cast<float>(i) / 7;
    return values;
}

/// 4 -> 3 sparse SReLU with two states, 3 -> 2 sparse with an empty row, 2 -> 2 dense.
inline Network example_network() {
    Network network;
    Layer first{4,
                3,
                Topology{4, 3, {0, 2, 3, 5}, {1, 3, 0, 0, 2}},
                SRelu{},
                numbers(5, -1),
                numbers(3, 2),
                numbers(12, 0),
                {},
                {},
                {}};
    first.weight_state = {numbers(5, 10), numbers(5, 20)};
    first.bias_state = {numbers(3, 30), numbers(3, 40)};
    first.activation_state = {numbers(12, 50), numbers(12, 60)};
    first.weights[1] = -0.0F;
    first.weights[2] = std::numeric_limits<float>::denorm_min();
    const Layer second{3,  2, Topology{3, 2, {0, 0, 2}, {0, 2}}, AllRelu{-0.6F}, numbers(2, 5), numbers(2, 6), {}, {},
                       {}, {}};
    const Layer third{2, 2, std::nullopt, Identity{}, numbers(4, 7), numbers(2, 8), {}, {}, {}, {}};
    network.layers = {first, second, third};
    return network;
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

inline bool same_bits(const std::vector<std::vector<float>>& a, const std::vector<std::vector<float>>& b) {
    return a.size() == b.size() &&
           std::equal(a.begin(), a.end(), b.begin(), [](const auto& x, const auto& y) { return same_bits(x, y); });
}

/// Everything a file's data section holds is equal, bit for bit.
inline bool same_arrays(const Network& a, const Network& b) {
    if (a.layers.size() != b.layers.size() || a.arrays.size() != b.arrays.size() || a.model != b.model) return false;
    for (std::size_t i = 0; i < a.arrays.size(); ++i) {
        const NamedArray& x = a.arrays[i];
        const NamedArray& y = b.arrays[i];
        if (x.name != y.name || x.shape != y.shape || !same_bits(x.values, y.values) || !same_bits(x.state, y.state)) {
            return false;
        }
    }
    for (std::size_t l = 0; l < a.layers.size(); ++l) {
        const Layer& x = a.layers[l];
        const Layer& y = b.layers[l];
        if (x.is_sparse() != y.is_sparse()) return false;
        if (x.is_sparse() &&
            (x.topology->row_start != y.topology->row_start || x.topology->column != y.topology->column)) {
            return false;
        }
        if (!same_bits(x.weights, y.weights) || !same_bits(x.bias, y.bias) ||
            !same_bits(x.activation_parameters, y.activation_parameters) ||
            !same_bits(x.weight_state, y.weight_state) || !same_bits(x.bias_state, y.bias_state) ||
            !same_bits(x.activation_state, y.activation_state)) {
            return false;
        }
    }
    return true;
}

}  // namespace espalier
