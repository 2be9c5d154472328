#include "espalier/initialize_network.hpp"

#include <cmath>
#include <numeric>
#include <optional>

#include "espalier/error.hpp"
#include "host/models/birth_laws.hpp"
#include "host/models/correlated_birth.hpp"
#include "host/models/rbm.hpp"
#include "host/models/sensitive_birth.hpp"

namespace espalier {
namespace {

std::vector<float> drawn(const WeightLaw& law, Index num_inputs, const Stream& stream, std::size_t count,
                         const std::vector<Cell>* cells = nullptr) {
    std::vector<float> values(count);
    std::visit(
        [&](const auto& rule) {
            for (std::size_t i = 0; i < count; ++i) {
                values[i] = rule(stream.bits(cells == nullptr ? i : (*cells)[i]), num_inputs);
            }
        },
        law);
    return values;
}

std::vector<Cell> cells_of(const Topology& topology) {
    std::vector<Cell> cells;
    cells.reserve(topology.num_edges());
    for (Index row = 0; row < topology.num_outputs; ++row) {
        for (EdgeIndex e = topology.row_start[row]; e < topology.row_start[row + 1]; ++e) {
            cells.push_back(Cell{row} * topology.num_inputs + topology.column[e]);
        }
    }
    return cells;
}

std::string layer_name(const Experiment& experiment, std::size_t layer) {
    return "layer " + std::to_string(layer + 1) + " (" + std::to_string(experiment.layers[layer]) + " x " +
           std::to_string(experiment.layers[layer + 1]) + ")";
}

/// What would leave a layer one edge to which the experiment gives none: the option with the nearest such value.
std::string cure_of(const Experiment& experiment, std::size_t layer) {
    Experiment tried = experiment;
    const bool by_epsilon = experiment.density == Density::epsilon;
    double none = by_epsilon ? experiment.epsilon : experiment.sparsity;
    double some = by_epsilon ? 1 : 0;
    for (int halving = 0; halving < 60; ++halving) {
        const double middle = 0.5 * (none + some);
        (by_epsilon ? tried.epsilon : tried.sparsity) = middle;
        (initial_edge_count(tried, layer) > 0 ? some : none) = middle;
    }
    // four digits of what matters, on the side that leaves an edge
    double scale = 1;
    while (scale < 1e12 && scale * (by_epsilon ? some : 1 - some) < 1000) scale *= 10;
    const double nearest = std::round(some * scale);
    (by_epsilon ? tried.epsilon : tried.sparsity) = nearest / scale;
    const bool enough = initial_edge_count(tried, layer) > 0;
    const double shown = (enough ? nearest : nearest + (by_epsilon ? 1 : -1)) / scale;
    return by_epsilon ? "the smallest epsilon that leaves it one is about " + number_text(shown)
                      : "the largest sparsity that leaves it one is about " + number_text(shown);
}

}  // namespace

Activation activation_of(const Experiment& experiment, std::size_t layer) {
    const bool last = layer + 2 == experiment.layers.size();
    return last ? Activation{Identity{}} : in_layer(experiment.activation, static_cast<Index>(layer));
}

BirthWeights birth_weights(const Experiment& experiment, std::size_t layer) {
    const Index inputs = experiment.layers[layer], outputs = experiment.layers[layer + 1];
    const bool full = std::holds_alternative<ConnectionSensitivity>(experiment.birth_law);
    const Cell edges = full ? Cell{inputs} * outputs : initial_edge_count(experiment, layer);
    const bool sparse = is_sparse_layer(experiment, layer);
    return {in_layer(sparse ? experiment.initial_weights : experiment.dense_weights, inputs, outputs, edges),
            in_layer(sparse ? experiment.initial_bias : experiment.dense_weights, inputs, outputs, edges)};
}

Cell initial_edge_count(const Experiment& experiment, std::size_t layer) {
    const Index inputs = experiment.layers[layer];
    const Index outputs = experiment.layers[layer + 1];
    const Cell cells = Cell{inputs} * outputs;
    if (!is_sparse_layer(experiment, layer)) return cells;
    switch (experiment.density) {
        case Density::epsilon:
            if (std::holds_alternative<WithReplacement>(experiment.birth_law)) {  // draws, of which repeats fall away
                return static_cast<Cell>(experiment.epsilon * (static_cast<double>(inputs) + outputs));
            }
            return edges_by_epsilon(inputs, outputs, experiment.epsilon);
        case Density::sparsity:
            return static_cast<Cell>(std::llround((1.0 - experiment.sparsity) * static_cast<double>(cells)));
        case Density::erk: {
            std::vector<Index> widths = experiment.layers;
            if (experiment.dense_output) widths.pop_back();
            return edges_by_erk(widths, experiment.sparsity)[layer];
        }
        case Density::by_layer:
            return static_cast<Cell>(std::llround(experiment.layer_density[layer] * static_cast<double>(cells)));
    }
    return cells;
}

namespace {

std::string without_edges(const Experiment& experiment, std::size_t layer, const std::string& so = "") {
    const std::string text = layer_name(experiment, layer) + " gets no edge by ";
    if (experiment.density == Density::by_layer) {
        return text + "layer-density " + number_text(experiment.layer_density[layer]) + so;
    }
    return text +
           (experiment.density == Density::epsilon ? "epsilon " + number_text(experiment.epsilon)
                                                   : "sparsity " + number_text(experiment.sparsity)) +
           so + "; " + cure_of(experiment, layer);
}

/// The layers that get no edge. Where no layer gets one the experiment asks for a perceptron of biases, a control, not
/// for a network that something stops up.
std::vector<std::size_t> empty_layers(const Experiment& experiment, bool& all) {
    std::vector<std::size_t> empty;
    all = experiment.model == ModelKind::mlp;
    for (std::size_t l = 0; l + 1 < experiment.layers.size(); ++l) {
        if (!is_sparse_layer(experiment, l)) continue;
        if (initial_edge_count(experiment, l) == 0) {
            empty.push_back(l);
        } else {
            all = false;
        }
    }
    return empty;
}

}  // namespace

void expect_edges(const Experiment& experiment) {
    bool all = false;
    const std::vector<std::size_t> empty = empty_layers(experiment, all);
    if (empty.empty() || all) return;
    throw UserError(ExitCode::usage, without_edges(experiment, empty.front()));
}

void expect_edges(const Experiment& experiment, const Network& network) {
    bool all = false;
    if (!empty_layers(experiment, all).empty() && all) return;
    for (std::size_t l = 0; l + 1 < experiment.layers.size() && l < network.layers.size(); ++l) {
        if (!network.layers[l].is_sparse() || !network.layers[l].weights.empty()) continue;
        throw UserError(ExitCode::usage, layer_name(experiment, l) +
                                             " of the network to train has no edge, so its outputs would be constants; "
                                             "make it denser, or draw an exact number of edges (--birth exact)");
    }
}

std::vector<std::string> edge_notes(const Experiment& experiment) {
    std::vector<std::string> lines;
    bool all = false;
    for (const std::size_t l : empty_layers(experiment, all)) {
        lines.push_back(without_edges(experiment, l, ", so its outputs are constants"));
    }
    if (experiment.density != Density::epsilon || std::holds_alternative<WithReplacement>(experiment.birth_law)) {
        return lines;
    }
    for (std::size_t l = 0; l + 1 < experiment.layers.size(); ++l) {
        const double inputs = experiment.layers[l], outputs = experiment.layers[l + 1];
        const double wanted = std::floor(experiment.epsilon * (inputs + outputs));
        if (!is_sparse_layer(experiment, l) || wanted <= inputs * outputs) continue;
        lines.push_back(layer_name(experiment, l) + " is full: epsilon " + number_text(experiment.epsilon) +
                        " asks for " + number_text(wanted) + " edges, it has " + number_text(inputs * outputs) +
                        " cells");
    }
    return lines;
}

namespace {

/// The first topologies of layers whose birth looks at data; nothing of the others.
std::vector<std::optional<Topology>> topologies_by_data(const Experiment& experiment, const DataSet* data) {
    std::vector<std::optional<Topology>> topologies(experiment.layers.size() - 1);
    if (std::holds_alternative<ConnectionSensitivity>(experiment.birth_law)) {
        expects(data != nullptr, "training samples for a birth by sensitivity");
        return sensitive_topologies(experiment, *data);
    }
    if (!std::holds_alternative<CorrelatedInputs>(experiment.birth_law) || !is_sparse_layer(experiment, 0)) {
        return topologies;
    }
    expects(data != nullptr, "training samples for a birth by correlations");
    topologies[0] = correlated_topology(data->train, experiment.layers[0], experiment.layers[1],
                                        initial_edge_count(experiment, 0));
    return topologies;
}

}  // namespace

Network initialize_network(const Experiment& experiment, const DataSet* data) {
    expect_edges(experiment);
    Network network;
    std::vector<std::optional<Topology>> chosen = topologies_by_data(experiment, data);
    for (std::size_t l = 0; l + 1 < experiment.layers.size(); ++l) {
        const auto number = static_cast<std::uint32_t>(l);
        Layer layer;
        layer.num_inputs = experiment.layers[l];
        layer.num_outputs = experiment.layers[l + 1];
        layer.activation = activation_of(experiment, l);
        layer.activation_parameters = initial_parameters(layer.activation, layer.num_outputs);
        const Stream weights{experiment.seed, Purpose::initial_weight, number, 0};
        const Stream biases{experiment.seed, Purpose::initial_bias, number, 0};
        const BirthWeights laws = birth_weights(experiment, l);
        if (is_sparse_layer(experiment, l)) {
            layer.topology = chosen[l].has_value()
                                 ? std::move(*chosen[l])
                                 : random_topology(layer.num_inputs, layer.num_outputs,
                                                   initial_edge_count(experiment, l), experiment.birth_law,
                                                   {experiment.seed, Purpose::topology, number, 0});
            const std::vector<Cell> cells = cells_of(*layer.topology);
            layer.weights = drawn(laws.weights, layer.num_inputs, weights, cells.size(), &cells);
        } else {
            layer.weights = drawn(laws.weights, layer.num_inputs, weights,
                                  static_cast<std::size_t>(layer.num_inputs) * layer.num_outputs);
        }
        layer.bias = drawn(laws.bias, layer.num_inputs, biases, layer.num_outputs);
        network.layers.push_back(std::move(layer));
    }
    if (experiment.model == ModelKind::rbm) add_rbm_arrays(experiment, network);
    return network;
}

void fit_network(const Experiment& experiment, bool reset_optimizer, Network& network) {
    const auto refuse = [](const std::string& message) { throw UserError(ExitCode::checkpoint, message); };
    const auto expect_states = [&](std::size_t held) {
        const auto states = static_cast<std::size_t>(num_states(experiment.optimizer));
        if (held == states) return;
        refuse("the network to start from holds " + std::to_string(held) + " optimizer arrays per weight, " +
               rule_text(experiment.optimizer) + " needs " + std::to_string(states) + "; pass --reset-optimizer true");
    };
    const bool is_rbm = experiment.model == ModelKind::rbm;
    if (is_rbm) {
        fit_rbm_chains(experiment, network);
        const std::string fault = rbm_fault(experiment, network);
        if (!fault.empty()) refuse("the network to start from is not the experiment's machine: " + fault);
    }
    if (!is_rbm && network.model == rbm_model) {
        refuse("the network to start from is a restricted Boltzmann machine (--model rbm)");
    }
    std::vector<Index> widths{network.layers.front().num_inputs};
    for (const Layer& layer : network.layers) widths.push_back(layer.num_outputs);
    const auto text = [](const std::vector<Index>& all) {
        return std::accumulate(all.begin(), all.end(), std::string{}, [](const std::string& sum, Index width) {
            return sum + (sum.empty() ? "" : "-") + std::to_string(width);
        });
    };
    if (widths != experiment.layers) {
        refuse("the network to start from is " + text(widths) + ", the experiment wants " + text(experiment.layers));
    }
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
        Layer& layer = network.layers[l];
        if (layer.is_sparse() != is_sparse_layer(experiment, l)) {
            refuse("layer " + std::to_string(l + 1) + " of the network to start from is " +
                   (layer.is_sparse() ? "sparse, the experiment wants it dense"
                                      : "dense, the experiment wants it sparse"));
        }
        if (reset_optimizer) {
            layer.weight_state.clear();
            layer.bias_state.clear();
            layer.activation_state.clear();
        } else {
            expect_states(layer.weight_state.size());
        }
    }
    if (!is_rbm) return;
    NamedArray& biases = *network.array(visible_bias_array);
    if (reset_optimizer) {
        biases.state.clear();
    } else {
        expect_states(biases.state.size());
    }
}

}  // namespace espalier
