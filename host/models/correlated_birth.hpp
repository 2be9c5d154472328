// A first layer whose edges join inputs that vary together: the law of birth `correlated`.
#pragma once

#include "espalier/dataset.hpp"
#include "espalier/topology.hpp"

namespace espalier {

/// Output o stands for input o modulo `num_inputs`; the `num_edges` cells (o, i) of largest abs(correlation) of the two
/// over the training samples hold an edge, of equal ones the first. A constant input correlates with nothing.
/// Correlations are made of exact sums of bytes, or of doubles in the order of the samples: the data decide alone.
/// Throws UserError (usage) for more than 8192 inputs, whose correlations would not fit, or more edges than cells.
/// Source: Zhang et al., "Brain network science modelling of sparse neural networks", NeurIPS 2025 (CHTs: CSTI).
Topology correlated_topology(const Split& train, Index num_inputs, Index num_outputs, Cell num_edges);

/// Bytes that it holds at its peak, beside the samples: the sums and the correlations of all pairs, or the correlations and
/// the best of them. Throws as correlated_topology() for too many inputs.
std::uint64_t correlated_birth_bytes(Index num_inputs, Index num_outputs, Cell num_edges);

}  // namespace espalier
