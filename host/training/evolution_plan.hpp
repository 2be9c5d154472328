// How much of a layer evolves: the share of its edges that goes and how many come, so that no edge is lost but where a
// rule or a schedule says so.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "espalier/evolution_rules.hpp"
#include "espalier/experiment.hpp"
#include "espalier/index.hpp"

namespace espalier {

/// The share of a layer's `edges` to prune at `epoch_time` (epochs, from 0): zeta, or less where fewer cells are free
/// than edges would go, so that as many can come as the growing rule says. A full layer rests, as the layers that Evci
/// et al. ("Rigging the lottery", ICML 2020) make dense, unless cells just left may be taken again. `surplus`: of a cut
/// over the network, beside which zeta of the other edges goes.
double prune_share(const Experiment& experiment, std::size_t layer, EdgeIndex edges, double epoch_time,
                   std::optional<EdgeIndex> surplus = std::nullopt);

/// The experiment's growing rule after `pruned` of a layer's `edges` went, or the share of it that brings the layer to
/// the edges which its schedule asks for at `epoch_time`, or replaces all but the `surplus` of a cut over the network.
GrowRule grow_rule(const Experiment& experiment, std::size_t layer, EdgeIndex edges, EdgeIndex pruned,
                   double epoch_time, std::optional<EdgeIndex> surplus = std::nullopt);

/// How many edges of each layer are among the smallest of all layers by magnitude, as many as exceed what the schedule
/// of edges kept asks of all sparse layers together at `epoch_time`; of equal ones those of the first layers. No layer
/// loses its last edge. `weights`: of each layer, empty for dense ones.
/// Sources: Zhu & Gupta, "To prune, or not to prune", ICLR workshop 2018; Liu et al., "Sparse training via boosting
/// pruning plasticity with neuroregeneration", NeurIPS 2021 (GraNet).
std::vector<EdgeIndex> network_surplus(const Experiment& experiment, const std::vector<std::vector<float>>& weights,
                                       double epoch_time);

/// Throws UserError (usage) where a backend of that name has not the growing rule.
void expect_growth_on(const Experiment& experiment, const std::string& backend);

/// Samples of the probe that the growing rule wants of `train_samples`; 0: it wants no probe. Throws UserError (usage)
/// where there are not so many.
Index probe_size(const Experiment& experiment, std::uint32_t train_samples);

}  // namespace espalier
