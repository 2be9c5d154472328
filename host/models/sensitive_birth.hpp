// Layers whose edges are the cells that the loss is most sensitive to: the law of birth `snip`.
#pragma once

#include <optional>
#include <vector>

#include "espalier/dataset.hpp"
#include "espalier/topology.hpp"

namespace espalier {

/// The topology of every sparse layer of a perceptron; nothing of dense ones. Of the network with every cell, weights as
/// the experiment draws them, the gradient of the mean loss over some training samples is taken, without dropout, and a
/// layer's edges are its cells of largest abs(w dL/dw), of equal ones the first; where fewer have one that is neither 0
/// nor NaN the others are drawn among the rest. Weights are drawn by their cells and forgotten, gradients ranked and
/// forgotten: memory of the edges and the samples' activations, time of three dense products.
/// The samples: Permutation(samples, Stream{seed, Purpose::probe, 0, ~0}), the first sensitivity_samples() of it.
/// Throws UserError (usage) as that does.
/// Source: Lee, Ajanthan & Torr, "SNIP: single-shot network pruning based on connection sensitivity", ICLR 2019 (there
/// one cut over all layers; here each layer keeps the edges that the experiment gives it).
std::vector<std::optional<Topology>> sensitive_topologies(const Experiment& experiment, const DataSet& data);

/// Samples that the law wants of `train_samples`: a batch's worth, if it names no number. Throws UserError (usage) where
/// there are not so many.
Index sensitivity_samples(const Experiment& experiment, std::uint32_t train_samples);

/// Bytes that sensitive_topologies() holds at its peak, beside the data.
std::uint64_t sensitive_birth_bytes(const Experiment& experiment, std::uint32_t train_samples);

}  // namespace espalier
