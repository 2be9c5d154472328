// What a run's training costs in operations, from its settings and the edges it had: a figure that no machine changes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "espalier/experiment.hpp"
#include "host/run/run_reader.hpp"

namespace espalier {

/// Floating-point operations, a multiplication and its addition being two.
struct TrainingOperations {
    double birth = 0;      // that looks at the data
    double steps = 0;      // the products of training and the updates
    double evolution = 0;  // probes, and looking for new edges
    [[nodiscard]] double total() const { return birth + steps + evolution; }
};

/// Of a perceptron, with E edges in a layer (its cells, if it is dense), `samples` an epoch, probes of P samples:
///   a sample  2 E forward, 2 E for the weights' gradients, 2 E for the inputs' but in the first layer
///   a step    2 E for each array that the optimizer writes, the weights and its memory
///   a probe   2 P E forward and 2 P E back but in the first layer
///   growth    by gradient 2 P inputs outputs, of candidates 2 P for each; by paths of length three an addition for each
///             of them from both sides, 2 E (E / inputs) (E / outputs) with the edges kept, as if all degrees were equal;
///             other rules compare and draw, which counts nothing
///   birth     correlations of n inputs: n (n + 1) for each sample; by sensitivity 2 forward for each cell and sample of
///             it, 2 for the gradients of sparse layers' cells, 2 for the inputs' but in the first layer
/// Biases, activations, losses, pruning and tests are left out, as in Evci et al., "Rigging the lottery", ICML 2020,
/// appendix (there E of all layers three times a sample, and (3 E dT + 2 E + cells) / (dT + 1) with growth by gradient).
/// `edges`: [epoch][layer], those at the start of each epoch trained, first epoch first.
TrainingOperations training_operations(const Experiment& experiment, std::uint32_t samples,
                                       const std::vector<std::vector<double>>& edges);

/// The same of a recorded run, as far as it has come; nothing where the edges are not on record, or of a Boltzmann
/// machine.
std::optional<TrainingOperations> training_operations(const RunFolder& run);

}  // namespace espalier
