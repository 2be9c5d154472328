// Small restricted Boltzmann machines for the tests: awkward topologies, weights of order 1, data to train on.
#pragma once

#include <algorithm>

#include "espalier/experiment.hpp"
#include "espalier/dataset.hpp"
#include "host/models/rbm.hpp"
#include "test_layers.hpp"

namespace espalier {

/// density negative: dense. Biases of both sides are not 0.
inline Network small_rbm(Index visible, Index hidden, double density, double weight_range, std::uint64_t seed) {
    TestRandom random(seed);
    Network network;
    network.layers.push_back(test_layer({visible, hidden, density, 1}, Identity{}, 0, random));
    for (float& weight : network.layers[0].weights) weight *= static_cast<float>(weight_range);
    network.model = rbm_model;
    network.arrays = {
        {visible_bias_array, {visible}, test_layer({visible, 1, -1, 1}, Identity{}, 0, random).weights, {}}};
    return network;
}

inline std::vector<float>& visible_biases_of(Network& network) { return network.array(visible_bias_array)->values; }
inline const std::vector<float>& visible_biases_of(const Network& network) {
    return network.array(visible_bias_array)->values;
}

inline Experiment small_rbm_experiment(Index visible, Index hidden) {
    Experiment experiment;
    experiment.model = ModelKind::rbm;
    experiment.layers = {visible, hidden};
    experiment.dense_output = false;
    experiment.optimizer = Sgd{};
    experiment.zero_before_test = false;
    return experiment;
}

/// Binary samples in two clusters of units that are on together, with noise.
inline DataSet binary_data(Index features, std::uint32_t count, std::uint64_t seed) {
    TestRandom random(seed);
    DataSet data;
    data.name = "binary";
    data.source = "a test";
    data.height = 1;
    data.width = features;
    data.classes = 2;
    data.mean = {0};
    data.deviation = {1};
    for (Split* split : {&data.train, &data.test}) {
        for (std::uint32_t s = 0; s < count; ++s) {
            const auto label = static_cast<std::int32_t>(random() % 2);
            split->labels.push_back(label);
            for (Index i = 0; i < features; ++i) {
                const bool likely = (2 * i < features) == (label == 0);
                split->floats.push_back(random() % 10 < (likely ? 9U : 1U) ? 1.0F : 0.0F);
            }
        }
    }
    return data;
}

}  // namespace espalier
