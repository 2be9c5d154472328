// How the edges that an evolution pruned are shared out between the layers, which then grow others than their own.
#pragma once

#include <vector>

#include "espalier/experiment.hpp"
#include "espalier/index.hpp"
#include "espalier/layer.hpp"

namespace espalier {

/// A layer that takes part, after pruning.
struct SharingLayer {
    double strength = 0;   // what it gets is in proportion to; no number counts as 0
    EdgeIndex kept = 0;    // edges
    EdgeIndex pruned = 0;  // edges
    EdgeIndex most = 0;    // that it may grow
};

/// How many of `total` edges each layer grows: the whole part of its share, never more than it may; what that leaves is
/// spread evenly over the layers that may grow more, the first layers taking one more. A layer that kept no edge gets one
/// first. Where no layer has strength each gets what it lost. Fewer than `total` only if all layers grow the most they may.
/// Source: Dettmers & Zettlemoyer, "Sparse networks from scratch", 2019 (their program spreads the rest alike).
std::vector<EdgeIndex> redistributed(const std::vector<SharingLayer>& layers, EdgeIndex total);

/// What a layer's share is in proportion to: the edges it `kept`, or over those whose weights are not 0 the mean magnitude of
/// the weights or of the optimizer's memory, with Adam that of m / (sqrt(v) + 1e-8). Sums in the order of the edges.
double sharing_strength(Redistribution by, const Layer& layer, EdgeIndex kept);

/// Edges beyond the `kept` ones that layer `layer` may grow: up to `room` times its edges at birth, within its cells, of which
/// the `pruned` ones are free only if the growing rule may take them again.
EdgeIndex most_grown(const Experiment& experiment, std::size_t layer, EdgeIndex kept, EdgeIndex pruned);

}  // namespace espalier
