// The birth of a network: topology and weights drawn from the experiment's seed. Weight n of a dense layer, and the
// weight of cell n of a sparse one, is draw n of its layer's stream, so neither depends on anything else.
#pragma once

#include <string>
#include <vector>

#include "espalier/experiment.hpp"
#include "espalier/layer.hpp"

namespace espalier {

struct DataSet;

/// A fresh network; its optimizer memory is absent, which backends read as 0. `data`: what a birth by
/// correlations or by sensitivity looks at. Throws UserError (usage) when an edge count exceeds the cells.
Network initialize_network(const Experiment& experiment, const DataSet* data = nullptr);

/// Edges of layer `layer` at birth (draws, where the birth law draws with replacement): all cells of a dense one.
Cell initial_edge_count(const Experiment& experiment, std::size_t layer);

/// Refuses a network to train one of whose sparse layers has no edge: its outputs would be constants. (Of a perceptron none
/// of whose sparse layers has one, a control of biases alone, edge_notes() tells instead.) Throws UserError (usage)
/// naming the layer and, where `experiment` asked for too little, what would leave it one edge.
void expect_edges(const Experiment& experiment, const Network& network);
/// The same of what the experiment asks for, before anything is drawn.
void expect_edges(const Experiment& experiment);

/// A line for each layer that gets no edge, and for each for which epsilon asks for more edges than it has cells.
std::vector<std::string> edge_notes(const Experiment& experiment);

/// Checks that a loaded network fits the experiment's widths and kinds of layers and the optimizer's memory;
/// `reset_optimizer` drops that memory. Throws UserError (checkpoint) saying what differs.
void fit_network(const Experiment& experiment, bool reset_optimizer, Network& network);

}  // namespace espalier
