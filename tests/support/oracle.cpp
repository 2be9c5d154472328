#include "oracle.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace espalier::oracle {

namespace {

Parameters parameters(const std::vector<float>& values, const std::vector<std::vector<float>>& states, int num_states) {
    Parameters result;
    result.values.assign(values.begin(), values.end());
    for (const auto& state : states) result.states.emplace_back(state.begin(), state.end());
    result.states.resize(static_cast<std::size_t>(num_states), std::vector<double>(values.size(), 0.0));
    return result;
}

/// Moves numbers given per edge to their cells.
std::vector<double> scattered(const std::vector<double>& per_edge, const std::vector<std::size_t>& cell_of,
                              std::size_t num_cells) {
    std::vector<double> result(num_cells, 0.0);
    for (std::size_t e = 0; e < per_edge.size(); ++e) result.at(cell_of[e]) = per_edge[e];
    return result;
}

std::vector<double> of_neuron(const DenseLayer& layer, std::size_t neuron) {
    std::vector<double> result;
    const auto& all = layer.activation_parameters.values;
    for (std::size_t i = neuron; i < all.size(); i += layer.num_outputs) result.push_back(all[i]);
    return result;
}

double logistic(double z) { return 1.0 / (1.0 + std::exp(-z)); }

}  // namespace

DenseLayer dense(const Layer& layer, int num_states) {
    DenseLayer result;
    result.num_inputs = layer.num_inputs;
    result.num_outputs = layer.num_outputs;
    result.activation = layer.activation;
    result.weights = parameters(layer.weights, layer.weight_state, num_states);
    result.bias = parameters(layer.bias, layer.bias_state, num_states);
    result.activation_parameters = parameters(layer.activation_parameters, layer.activation_state, num_states);
    const std::size_t num_cells = result.num_inputs * result.num_outputs;
    result.edge.assign(num_cells, !layer.is_sparse());
    if (!layer.is_sparse()) return result;
    std::vector<std::size_t> cell_of;
    for (std::size_t row = 0; row < result.num_outputs; ++row) {
        for (std::size_t e = layer.topology->row_start.at(row); e < layer.topology->row_start.at(row + 1); ++e) {
            cell_of.push_back(row * result.num_inputs + layer.topology->column.at(e));
            result.edge.at(cell_of.back()) = true;
        }
    }
    result.weights.values = scattered(result.weights.values, cell_of, num_cells);
    for (auto& state : result.weights.states) state = scattered(state, cell_of, num_cells);
    return result;
}

double value(const Activation& activation, double z, const std::vector<double>& p) {
    if (std::holds_alternative<Identity>(activation)) return z;
    if (std::holds_alternative<Relu>(activation)) return std::max(z, 0.0);
    if (const auto* leaky = std::get_if<LeakyRelu>(&activation)) return z < 0 ? double{leaky->slope} * z : z;
    if (const auto* all = std::get_if<AllRelu>(&activation)) return z < 0 ? double{all->slope} * z : z;
    if (std::holds_alternative<SRelu>(activation)) {
        if (z >= p.at(2)) return p[2] + p[3] * (z - p[2]);
        if (z <= p[0]) return p[0] + p[1] * (z - p[0]);
        return z;
    }
    if (std::holds_alternative<Sigmoid>(activation)) return logistic(z);
    if (std::holds_alternative<Tanh>(activation)) return std::tanh(z);
    throw std::logic_error("the oracle does not know this activation");
}

double derivative(const Activation& activation, double z, const std::vector<double>& p) {
    if (std::holds_alternative<Identity>(activation)) return 1;
    if (std::holds_alternative<Relu>(activation)) return z > 0 ? 1 : 0;
    if (const auto* leaky = std::get_if<LeakyRelu>(&activation)) return z > 0 ? 1 : double{leaky->slope};
    if (const auto* all = std::get_if<AllRelu>(&activation)) return z > 0 ? 1 : double{all->slope};
    if (std::holds_alternative<SRelu>(activation)) return z >= p.at(2) ? p[3] : z <= p[0] ? p[1] : 1;
    if (std::holds_alternative<Sigmoid>(activation)) return logistic(z) * logistic(-z);
    if (std::holds_alternative<Tanh>(activation)) return 1 / (std::cosh(z) * std::cosh(z));
    throw std::logic_error("the oracle does not know this activation");
}

std::vector<double> parameter_derivatives(const Activation& activation, double z, const std::vector<double>& p) {
    if (!std::holds_alternative<SRelu>(activation)) return {};
    if (z >= p.at(2)) return {0, 0, 1 - p[3], z - p[2]};
    if (z <= p[0]) return {1 - p[1], z - p[0], 0, 0};
    return {0, 0, 0, 0};
}

std::vector<double> kinks(const Activation& activation, const std::vector<double>& p) {
    if (std::holds_alternative<SRelu>(activation)) return {p.at(0), p.at(2)};
    const bool one_kink = std::holds_alternative<Relu>(activation) || std::holds_alternative<LeakyRelu>(activation) ||
                          std::holds_alternative<AllRelu>(activation);
    return one_kink ? std::vector<double>{0} : std::vector<double>{};
}

Forward forward(const DenseLayer& layer, const Matrix& x) {
    Forward result{Matrix(layer.num_outputs, x.columns), Matrix(layer.num_outputs, x.columns)};
    for (std::size_t j = 0; j < layer.num_outputs; ++j) {
        const auto p = of_neuron(layer, j);
        for (std::size_t s = 0; s < x.columns; ++s) {
            double sum = layer.bias.values.at(j);
            for (std::size_t i = 0; i < layer.num_inputs; ++i) {
                sum += layer.weights.values[j * layer.num_inputs + i] * x(i, s);
            }
            result.z(j, s) = sum;
            result.y(j, s) = value(layer.activation, sum, p);
        }
    }
    return result;
}

double distance_from_kinks(const DenseLayer& layer, const Matrix& z) {
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t j = 0; j < z.rows; ++j) {
        for (const double kink : kinks(layer.activation, of_neuron(layer, j))) {
            for (std::size_t s = 0; s < z.columns; ++s) least = std::min(least, std::abs(z(j, s) - kink));
        }
    }
    return least;
}

Gradients backward(const DenseLayer& layer, const Matrix& x, const Matrix& z, const Matrix& dy) {
    Gradients result;
    result.weights.assign(layer.weights.values.size(), 0.0);
    result.bias.assign(layer.num_outputs, 0.0);
    result.activation_parameters.assign(layer.activation_parameters.values.size(), 0.0);
    result.z = Matrix(layer.num_outputs, x.columns);
    result.x = Matrix(layer.num_inputs, x.columns);
    for (std::size_t j = 0; j < layer.num_outputs; ++j) {
        const auto p = of_neuron(layer, j);
        for (std::size_t s = 0; s < x.columns; ++s) {
            const auto by_parameter = parameter_derivatives(layer.activation, z(j, s), p);
            for (std::size_t k = 0; k < by_parameter.size(); ++k) {
                result.activation_parameters[k * layer.num_outputs + j] += dy(j, s) * by_parameter[k];
            }
            result.z(j, s) = dy(j, s) * derivative(layer.activation, z(j, s), p);
            result.bias[j] += result.z(j, s);
            for (std::size_t i = 0; i < layer.num_inputs; ++i) {
                const std::size_t cell = j * layer.num_inputs + i;
                if (!layer.edge[cell]) continue;
                result.weights[cell] += result.z(j, s) * x(i, s);
                result.x(i, s) += layer.weights.values[cell] * result.z(j, s);
            }
        }
    }
    return result;
}

double Scores::mean_loss() const {
    double sum = 0;
    for (const double each : losses) sum += each;
    return sum / static_cast<double>(losses.size());
}

Scores score(const Loss& loss, const Matrix& z, const std::vector<std::int32_t>& labels, const Matrix& targets) {
    Scores result;
    result.gradient = Matrix(z.rows, z.columns);
    const auto batch = static_cast<double>(z.columns);
    for (std::size_t s = 0; s < z.columns; ++s) {
        const auto label = static_cast<std::size_t>(labels.at(s));
        std::size_t best = 0;
        for (std::size_t c = 0; c < z.rows; ++c) best = z(c, s) > z(best, s) ? c : best;
        double error = 0;
        std::vector<double> p(z.rows);
        if (std::holds_alternative<SoftmaxNll>(loss)) {
            double sum = 0;
            for (std::size_t c = 0; c < z.rows; ++c) sum += std::exp(z(c, s) - z(best, s));
            for (std::size_t c = 0; c < z.rows; ++c) {
                p[c] = std::exp(z(c, s) - z(best, s)) / sum;
                result.gradient(c, s) = (p[c] - (c == label ? 1 : 0)) / batch;
            }
            error = std::log(sum) + z(best, s) - z(label, s);  // -log p[label]
        } else if (std::holds_alternative<SigmoidSquaredError>(loss)) {
            for (std::size_t c = 0; c < z.rows; ++c) {
                p[c] = logistic(z(c, s));
                const double difference = p[c] - (c == label ? 1 : 0);
                error += difference * difference / static_cast<double>(z.rows);
                result.gradient(c, s) = difference * logistic(z(c, s)) * logistic(-z(c, s)) / batch;
            }
        } else if (is_regression(loss)) {
            for (std::size_t c = 0; c < z.rows; ++c) {
                const double target = targets.values.empty() ? (c == label ? 1 : 0) : targets(label, c);
                error += (z(c, s) - target) * (z(c, s) - target) / static_cast<double>(z.rows);
                result.gradient(c, s) = 2 * (z(c, s) - target) / static_cast<double>(z.rows) / batch;
            }
        } else if (std::holds_alternative<SigmoidTwiceSquaredError>(loss)) {
            for (std::size_t c = 0; c < z.rows; ++c) {
                p[c] = logistic(z(c, s));
                const double difference = p[c] - (c == label ? 1 : 0);
                error += difference * difference / static_cast<double>(z.rows);
                result.gradient(c, s) = difference * logistic(p[c]) * logistic(-p[c]) / batch;  // at the output
            }
        } else {
            throw std::logic_error("the oracle does not know this loss");
        }
        result.losses.push_back(error);
        result.confidences.push_back(p[best]);
        result.correct.push_back(best == label && !is_regression(loss));
    }
    return result;
}

StepResult train_step(const std::vector<DenseLayer>& network, const Matrix& x, const std::vector<std::int32_t>& labels,
                      const Training& training) {
    StepResult result;
    const std::size_t depth = network.size();
    std::vector<Matrix> inputs{x};  // what each layer sees
    for (std::size_t l = 0; l < depth; ++l) {
        result.forward.push_back(forward(network[l], inputs[l]));
        inputs.push_back(result.forward[l].y);
        if (l + 1 == depth || training.masks.empty()) continue;
        for (std::size_t i = 0; i < inputs.back().values.size(); ++i) {
            inputs.back().values[i] *= training.masks.at(l).values.at(i);
        }
    }
    result.scores = score(training.loss, inputs.back(), labels);
    result.gradients.resize(depth);
    result.network = network;
    Matrix dy = result.scores.gradient;
    for (std::size_t l = depth; l-- > 0;) {
        auto& gradients = result.gradients[l];
        gradients = backward(network[l], inputs[l], result.forward[l].z, dy);
        auto& after = result.network[l];
        after.weights = updated(network[l].weights, gradients.weights, training.update, network[l].edge);
        after.bias = updated(network[l].bias, gradients.bias, training.update);
        after.activation_parameters =
            updated(network[l].activation_parameters, gradients.activation_parameters, training.update);
        dy = gradients.x;
        if (l == 0 || training.masks.empty()) continue;
        for (std::size_t i = 0; i < dy.values.size(); ++i) dy.values[i] *= training.masks.at(l - 1).values.at(i);
    }
    return result;
}

}  // namespace espalier::oracle
