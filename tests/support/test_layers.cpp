#include "test_layers.hpp"

#include <algorithm>
#include <cmath>

namespace espalier {

namespace {

double uniform(double low, double high, TestRandom& random) {
    return std::uniform_real_distribution<double>(low, high)(random);
}

int whole(int low, int high, TestRandom& random) { return std::uniform_int_distribution<int>(low, high)(random); }

/// [parameter][neuron], thresholds and slopes multiples of 1/32 with the left threshold below the right one.
std::vector<float> srelu_parameters(Index outputs, TestRandom& random) {
    const int low[] = {-24, 2, 8, 16};
    const int high[] = {4, 16, 32, 64};
    std::vector<float> result;
    for (int k = 0; k < SRelu::num_parameters; ++k) {
        for (Index j = 0; j < outputs; ++j) result.push_back(static_cast<float>(whole(low[k], high[k], random)) / 32);
    }
    return result;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
    out << shape.inputs << " -> " << shape.outputs;
    if (shape.density < 0) {
        out << " dense";
    } else {
        out << " density " << shape.density;
    }
    return out << " batch " << shape.batch;
}

std::vector<Shape> awkward_shapes() {
    return {{1, 1, -1, 1},      {1, 1, 1, 2},       {1, 1, 0, 65},        {3, 2, 0.5, 1},     {13, 7, 0.3, 2},
            {37, 23, 0.2, 40},  {50, 1, 0.5, 63},   {1, 50, 0.5, 64},     {33, 129, 0.1, 65}, {129, 33, 0.1, 96},
            {67, 45, 1, 128},   {67, 45, 0, 65},    {101, 77, 0.05, 200}, {37, 10, -1, 65},   {1, 10, -1, 63},
            {29, 1, -1, 128},   {131, 35, -1, 200}, {131, 71, 0.6, 97},   {173, 101, -1, 97}, {170, 99, -1, 1},
            {2200, 3, 0.1, 65}, {3, 2200, 0.1, 65}};  // beyond the caches: fetched ahead
}

oracle::Matrix grid_matrix(std::size_t rows, std::size_t columns, double range, double grid, TestRandom& random) {
    oracle::Matrix result(rows, columns);
    const int steps = static_cast<int>(range / grid);
    for (double& each : result.values) each = grid * whole(-steps, steps, random);
    return result;
}

oracle::Matrix random_matrix(std::size_t rows, std::size_t columns, double range, TestRandom& random) {
    oracle::Matrix result(rows, columns);
    for (double& each : result.values) each = static_cast<float>(uniform(-range, range, random));
    return result;
}

std::vector<std::int32_t> random_labels(std::size_t count, Index classes, TestRandom& random) {
    std::vector<std::int32_t> labels(count);
    for (auto& label : labels) label = whole(0, static_cast<int>(classes) - 1, random);
    return labels;
}

Topology test_topology(Index inputs, Index outputs, double density, TestRandom& random) {
    const bool awkward = density > 0 && density < 1 && inputs > 2 && outputs > 2;
    Topology topology;
    topology.num_inputs = inputs;
    topology.num_outputs = outputs;
    topology.row_start.push_back(0);
    for (Index j = 0; j < outputs; ++j) {
        for (Index i = 0; i < inputs; ++i) {
            bool present = uniform(0, 1, random) < density;
            if (awkward && j == 0) present = false;
            if (awkward && j == 1) present = true;
            if (awkward && i + 1 == inputs) present = false;
            if (present) topology.column.push_back(i);
        }
        topology.row_start.push_back(topology.num_edges());
    }
    return topology;
}

Layer test_layer(const Shape& shape, const Activation& activation, int num_states, TestRandom& random) {
    Layer layer;
    layer.num_inputs = shape.inputs;
    layer.num_outputs = shape.outputs;
    layer.activation = activation;
    std::size_t num_weights = std::size_t{shape.inputs} * shape.outputs;
    if (shape.density >= 0) {
        layer.topology = test_topology(shape.inputs, shape.outputs, shape.density, random);
        num_weights = layer.topology->num_edges();
    }
    for (std::size_t e = 0; e < num_weights; ++e) {
        const int magnitude = whole(1, 64, random);
        layer.weights.push_back(static_cast<float>(whole(0, 1, random) == 0 ? magnitude : -magnitude) / 64);
    }
    for (Index j = 0; j < shape.outputs; ++j) {
        layer.bias.push_back(static_cast<float>(2 * whole(-512, 511, random) + 1) / 2048);
    }
    if (std::holds_alternative<SRelu>(activation))
        layer.activation_parameters = srelu_parameters(shape.outputs, random);
    const auto states = static_cast<std::size_t>(num_states);
    layer.weight_state.assign(states, std::vector<float>(num_weights, 0.0F));
    layer.bias_state.assign(states, std::vector<float>(shape.outputs, 0.0F));
    layer.activation_state.assign(states, std::vector<float>(layer.activation_parameters.size(), 0.0F));
    return layer;
}

std::vector<Cell> cells_of(const Topology& topology) {
    const CooEdges edges = coo(topology);
    std::vector<Cell> cells;
    for (std::size_t i = 0; i < edges.row.size(); ++i) {
        cells.push_back(Cell{edges.row[i]} * topology.num_inputs + edges.column[i]);
    }
    return cells;
}

double agreement(const oracle::Matrix& a, const oracle::Matrix& b) {
    std::size_t same = 0;
    for (std::size_t i = 0; i < a.values.size(); ++i) same += a.values[i] == b.values[i] ? 1 : 0;
    return static_cast<double>(same) / static_cast<double>(a.values.size());
}

}  // namespace espalier
