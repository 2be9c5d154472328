// What a layer of an experiment is born with, for whoever draws it.
#pragma once

#include <cstddef>

#include "espalier/experiment.hpp"

namespace espalier {

Activation activation_of(const Experiment& experiment, std::size_t layer);

/// Laws of a layer's first weights and biases, for its widths and edges. Where births look at a network with every cell
/// (`snip`) they are those of that network's layer.
struct BirthWeights {
    WeightLaw weights, bias;
};
BirthWeights birth_weights(const Experiment& experiment, std::size_t layer);

}  // namespace espalier
