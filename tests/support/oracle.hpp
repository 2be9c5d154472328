// The first rung of truth: dense matrices, double precision, one loop per formula and nothing clever. Formulas come
// from the papers and from PyTorch's documentation, not from the headers under test; only their parameter structs and
// the network's types are shared. Activations are plain [neuron][sample] matrices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "espalier/activation.hpp"
#include "espalier/layer.hpp"
#include "espalier/loss.hpp"
#include "espalier/optimizer.hpp"

namespace espalier::oracle {

struct Matrix {
    std::size_t rows = 0;
    std::size_t columns = 0;
    std::vector<double> values;

    Matrix() = default;
    Matrix(std::size_t num_rows, std::size_t num_columns, double fill = 0)
        : rows(num_rows), columns(num_columns), values(num_rows * num_columns, fill) {}
    double& operator()(std::size_t row, std::size_t column) { return values[row * columns + column]; }
    double operator()(std::size_t row, std::size_t column) const { return values[row * columns + column]; }
};

/// Trained numbers with their optimizer memory: states[k][i] belongs to values[i].
struct Parameters {
    std::vector<double> values;
    std::vector<std::vector<double>> states;
};

/// A layer as a full matrix; cells without an edge hold 0 and are never updated.
struct DenseLayer {
    std::size_t num_inputs = 0;
    std::size_t num_outputs = 0;
    Activation activation;
    std::vector<bool> edge;            // [output][input]
    Parameters weights;                // [output][input]
    Parameters bias;                   // [output]
    Parameters activation_parameters;  // [parameter][output]
};

/// The same layer as a matrix. Missing optimizer memory counts as `num_states` arrays of zeros.
DenseLayer dense(const Layer& layer, int num_states);

/// y = f(z); `parameters` are the neuron's own (SReLU: left threshold and slope, right threshold and slope).
double value(const Activation& activation, double z, const std::vector<double>& parameters);
/// dy/dz
double derivative(const Activation& activation, double z, const std::vector<double>& parameters);
/// dy/d(parameter), one per parameter
std::vector<double> parameter_derivatives(const Activation& activation, double z,
                                          const std::vector<double>& parameters);
/// Where the derivative jumps.
std::vector<double> kinks(const Activation& activation, const std::vector<double>& parameters);

struct Forward {
    Matrix z;  // preactivations
    Matrix y;
};
Forward forward(const DenseLayer& layer, const Matrix& x);
/// The least distance of a preactivation from a kink of its activation: below it, rounding may change a derivative.
double distance_from_kinks(const DenseLayer& layer, const Matrix& z);

struct Gradients {
    std::vector<double> weights;  // shaped as the layer's parameters
    std::vector<double> bias;
    std::vector<double> activation_parameters;
    Matrix z;
    Matrix x;
};
/// Gradients of whatever dy is the gradient of; sums over the samples, no division.
Gradients backward(const DenseLayer& layer, const Matrix& x, const Matrix& z, const Matrix& dy);

struct Scores {
    std::vector<double> losses;  // per sample
    std::vector<double> confidences;
    std::vector<bool> correct;
    Matrix gradient;  // by z, already divided by the number of samples
    [[nodiscard]] double mean_loss() const;
};
/// `targets` [rows][outputs] are a regression's, the labels being rows; none: a 1 at the label and zeros beside it.
Scores score(const Loss& loss, const Matrix& z, const std::vector<std::int32_t>& labels, const Matrix& targets = {});

/// Hyper-parameters of one update; t counts steps from 1.
struct Update {
    Optimizer optimizer;
    DecayForm decay_form;
    double learning_rate = 0;
    double weight_decay = 0;
    std::uint64_t t = 1;
    double l1 = 0;
};
/// The parameters after one step; those with `present` false stay (empty: all are present).
Parameters updated(const Parameters& parameters, const std::vector<double>& gradient, const Update& update,
                   const std::vector<bool>& present = {});
/// How far `updated` moves when each gradient g is off by `absolute + relative * |g|`: what rounding may cost.
Parameters allowance(const Parameters& parameters, const std::vector<double>& gradient, const Update& update,
                     double absolute, double relative, const std::vector<bool>& present = {});

struct Training {
    Loss loss;
    Update update;
    std::vector<Matrix> masks;  // factors on each hidden layer's output, from dropout; empty: none
};
struct StepResult {
    std::vector<Forward> forward;
    std::vector<Gradients> gradients;
    Scores scores;
    std::vector<DenseLayer> network;  // after the step
};
/// One whole training step: forward, loss, backward, update.
StepResult train_step(const std::vector<DenseLayer>& network, const Matrix& x, const std::vector<std::int32_t>& labels,
                      const Training& training);

}  // namespace espalier::oracle
