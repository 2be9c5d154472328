#include "host/cpu/layer_transfer.hpp"

#include <algorithm>

namespace espalier {

namespace {

/// Calls put(row, canonical slot, place by input) for every edge.
template <class Put>
void for_places(const SparseCpuLayer& layer, const Put& put) {
    std::vector<EdgeIndex> next(layer.column_start.begin(), layer.column_start.end() - 1);
    for (Index r = 0; r < layer.num_outputs; ++r) {
        for (EdgeIndex e = layer.row_start[r]; e < layer.row_start[r + 1]; ++e) put(r, e, next[layer.column[e]]++);
    }
}

template <class From, class To>
void assign(const From& from, To& to) {
    to.assign(from.begin(), from.end());
}

/// Optimizer memory of `count` parameters, or zeros where the layer brings none.
template <class Array>
void assign_states(const std::vector<std::vector<float>>& from, std::size_t num_states, std::size_t count,
                   std::vector<Array>& to) {
    to.resize(num_states);
    for (std::size_t s = 0; s < num_states; ++s) {
        if (from.empty()) {
            to[s].assign(count, 0.0F);
        } else {
            assign(from[s], to[s]);
        }
    }
}

void assign_neurons(const Layer& layer, const LayerUse& use, CpuLayer& result) {
    const auto states = static_cast<std::size_t>(num_states(use.optimizer));
    const std::size_t parameters =
        static_cast<std::size_t>(num_parameters(layer.activation)) * std::size_t{layer.num_outputs};
    result.num_inputs = layer.num_inputs;
    result.num_outputs = layer.num_outputs;
    result.activation = layer.activation;
    result.optimizer = use.optimizer;
    result.neurons.bias = layer.bias;
    result.neurons.activation_parameters = layer.activation_parameters;
    assign_states(layer.bias_state, states, layer.num_outputs, result.neurons.bias_state);
    assign_states(layer.activation_state, states, parameters, result.neurons.activation_state);
}

std::unique_ptr<CpuLayer> dense_layer(const Layer& layer, const LayerUse& use) {
    auto result = std::make_unique<DenseCpuLayer>();
    assign(layer.weights, result->weights);
    assign_states(layer.weight_state, static_cast<std::size_t>(num_states(use.optimizer)), layer.weights.size(),
                  result->state);
    return result;
}

std::unique_ptr<CpuLayer> sparse_layer(const Layer& layer, const Topology& topology, const LayerUse& use) {
    auto result = std::make_unique<SparseCpuLayer>();
    result->num_inputs = layer.num_inputs;
    result->num_outputs = layer.num_outputs;
    assign(topology.row_start, result->row_start);
    assign(topology.column, result->column);
    assign(layer.weights, result->weights);
    assign_states(layer.weight_state, static_cast<std::size_t>(num_states(use.optimizer)), layer.weights.size(),
                  result->state);
    if (!use.needs_input_gradient) return result;
    build_input_view(*result);
    for_places(*result, [&](Index /*row*/, EdgeIndex slot, EdgeIndex place) {
        for (std::size_t s = 0; s < layer.weight_state.size(); ++s) {
            result->state[s][place] = layer.weight_state[s][slot];
        }
    });
    return result;
}

Layer sparse_at_rest(const SparseCpuLayer& layer) {
    Layer result;
    if (layer.is_sparse) {
        result.topology.emplace();
        result.topology->num_inputs = layer.num_inputs;
        result.topology->num_outputs = layer.num_outputs;
        assign(layer.row_start, result.topology->row_start);
        assign(layer.column, result.topology->column);
    }
    assign(layer.weights, result.weights);
    for (const auto& state : layer.state) result.weight_state.emplace_back(state.begin(), state.end());
    if (!layer.by_input()) return result;
    for_places(layer, [&](Index /*row*/, EdgeIndex slot, EdgeIndex place) {
        for (std::size_t s = 0; s < layer.state.size(); ++s) result.weight_state[s][slot] = layer.state[s][place];
    });
    return result;
}

Layer dense_at_rest(const DenseCpuLayer& layer) {
    Layer result;
    assign(layer.weights, result.weights);
    for (const auto& state : layer.state) result.weight_state.emplace_back(state.begin(), state.end());
    return result;
}

}  // namespace

void build_input_view(SparseCpuLayer& layer) {
    const EdgeIndex num_edges = layer.num_edges();
    layer.column_start.assign(std::size_t{layer.num_inputs} + 1, 0);
    layer.row.resize(num_edges);
    layer.input_weights.resize(num_edges);
    for (const Index c : layer.column) ++layer.column_start[c + 1];
    for (Index c = 0; c < layer.num_inputs; ++c) layer.column_start[c + 1] += layer.column_start[c];
    for_places(layer, [&](Index row, EdgeIndex slot, EdgeIndex place) {
        layer.row[place] = row;
        layer.input_weights[place] = layer.weights[slot];
    });
}

std::unique_ptr<CpuLayer> layer_in_use(const Layer& layer, const LayerUse& use) {
    std::unique_ptr<CpuLayer> result;
    if (layer.topology) {
        result = sparse_layer(layer, *layer.topology, use);
    } else {
        result = layer.weights.size() <= small_dense_weights
                     ? sparse_layer(layer, full_topology(layer.num_inputs, layer.num_outputs), use)
                     : dense_layer(layer, use);
    }
    result->is_sparse = layer.topology.has_value();
    assign_neurons(layer, use, *result);
    return result;
}

Layer layer_at_rest(const CpuLayer& layer) {
    const auto* sparse = dynamic_cast<const SparseCpuLayer*>(&layer);
    Layer result =
        sparse != nullptr ? sparse_at_rest(*sparse) : dense_at_rest(dynamic_cast<const DenseCpuLayer&>(layer));
    result.num_inputs = layer.num_inputs;
    result.num_outputs = layer.num_outputs;
    result.activation = layer.activation;
    result.bias = layer.neurons.bias;
    result.activation_parameters = layer.neurons.activation_parameters;
    result.bias_state = layer.neurons.bias_state;
    result.activation_state = layer.neurons.activation_state;
    return result;
}

void clear_state(CpuLayer& layer) {
    const auto clear = [](auto& states) {
        for (auto& state : states) std::fill(state.begin(), state.end(), 0.0F);
    };
    clear(layer.neurons.bias_state);
    clear(layer.neurons.activation_state);
    if (auto* sparse = dynamic_cast<SparseCpuLayer*>(&layer)) clear(sparse->state);
    if (auto* dense = dynamic_cast<DenseCpuLayer*>(&layer)) clear(dense->state);
}

}  // namespace espalier
