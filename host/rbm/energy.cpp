#include "host/rbm/energy.hpp"

#include <algorithm>
#include <cmath>

#include "espalier/error.hpp"
#include "espalier/dataset.hpp"
#include "host/models/rbm.hpp"

namespace espalier {
namespace {

/// Running log of a sum of exponentials.
class LogSum {
public:
    void add(double x) {
        if (x > largest_) {
            sum_ = sum_ * std::exp(largest_ - x) + 1;
            largest_ = x;
        } else {
            sum_ += std::exp(x - largest_);
        }
    }
    [[nodiscard]] double value() const { return largest_ + std::log(sum_); }

private:
    double largest_ = -1e308;
    double sum_ = 0;
};

RbmParameters::Edges edges_of(const std::vector<EdgeIndex>& start, const std::vector<Index>& other,
                              std::vector<double> weights) {
    return {start, other, std::move(weights)};
}

}  // namespace

RbmParameters rbm_parameters(const Network& network) {
    const NamedArray* biases = network.array(visible_bias_array);
    expects(network.layers.size() == 1 && biases != nullptr, "a machine's network");
    const Layer& layer = network.layers[0];
    expects(biases->values.size() == layer.num_inputs, "a bias of every visible unit");
    const Topology topology = layer.topology ? *layer.topology : full_topology(layer.num_inputs, layer.num_outputs);
    const TransposedView view = transposed(topology);
    std::vector<double> by_visible(view.slot.size());
    for (std::size_t e = 0; e < by_visible.size(); ++e) by_visible[e] = layer.weights[view.slot[e]];
    RbmParameters machine;
    machine.num_visible = layer.num_inputs;
    machine.num_hidden = layer.num_outputs;
    machine.by_hidden = edges_of(topology.row_start, topology.column, {layer.weights.begin(), layer.weights.end()});
    machine.by_visible = edges_of(view.column_start, view.row, std::move(by_visible));
    machine.visible_bias.assign(biases->values.begin(), biases->values.end());
    machine.hidden_bias.assign(layer.bias.begin(), layer.bias.end());
    return machine;
}

double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

void rbm_fields(const RbmParameters::Edges& edges, const std::vector<double>& bias, const double* from, double* to) {
    for (std::size_t unit = 0; unit < bias.size(); ++unit) {
        double sum[rbm_lanes];
        for (double& each : sum) each = bias[unit];
        for (EdgeIndex e = edges.start[unit]; e < edges.start[unit + 1]; ++e) {
            const double weight = edges.weight[e];
            const double* other = from + std::size_t{edges.other[e]} * rbm_lanes;
            for (std::size_t lane = 0; lane < rbm_lanes; ++lane) sum[lane] += weight * other[lane];
        }
        std::copy(sum, sum + rbm_lanes, to + unit * rbm_lanes);
    }
}

std::vector<double> free_energies(const RbmParameters& machine, const Split& split, double scale, std::size_t count) {
    if (count == 0) count = split.count();
    expects(count <= split.count(), "as many samples as there are");
    std::vector<double> energies(count);
    std::vector<double> visible(std::size_t{machine.num_visible} * rbm_lanes);
    std::vector<double> hidden(std::size_t{machine.num_hidden} * rbm_lanes);
    for (std::size_t first = 0; first < count; first += rbm_lanes) {
        const std::size_t lanes = std::min(rbm_lanes, count - first);
        for (std::size_t lane = 0; lane < lanes; ++lane) {
            const std::size_t sample = (first + lane) * machine.num_visible;
            for (std::size_t i = 0; i < machine.num_visible; ++i) {
                const double value = split.bytes.empty() ? split.floats[sample + i] : split.bytes[sample + i];
                visible[i * rbm_lanes + lane] = value * scale;
            }
        }
        rbm_fields(machine.by_hidden, machine.hidden_bias, visible.data(), hidden.data());
        for (std::size_t lane = 0; lane < lanes; ++lane) {
            double energy = 0;
            for (std::size_t i = 0; i < machine.num_visible; ++i) {
                energy -= machine.visible_bias[i] * visible[i * rbm_lanes + lane];
            }
            for (std::size_t j = 0; j < machine.num_hidden; ++j) energy -= softplus(hidden[j * rbm_lanes + lane]);
            energies[first + lane] = energy;
        }
    }
    return energies;
}

double exact_log_partition(const RbmParameters& machine) {
    const bool over_visible = machine.num_visible <= machine.num_hidden;
    const std::size_t summed = over_visible ? machine.num_visible : machine.num_hidden;
    expects(summed <= 24, "at most 24 units on the smaller side");
    const auto& bias = over_visible ? machine.visible_bias : machine.hidden_bias;
    const auto& other_bias = over_visible ? machine.hidden_bias : machine.visible_bias;
    const auto& edges = over_visible ? machine.by_hidden : machine.by_visible;
    LogSum total;
    for (std::size_t state = 0; state < std::size_t{1} << summed; ++state) {
        double log_weight = 0;
        for (std::size_t i = 0; i < summed; ++i) log_weight += (state >> i & 1) != 0 ? bias[i] : 0;
        for (std::size_t j = 0; j < other_bias.size(); ++j) {
            double field = other_bias[j];
            for (EdgeIndex e = edges.start[j]; e < edges.start[j + 1]; ++e) {
                field += (state >> edges.other[e] & 1) != 0 ? edges.weight[e] : 0;
            }
            log_weight += softplus(field);
        }
        total.add(log_weight);
    }
    return total.value();
}

}  // namespace espalier
