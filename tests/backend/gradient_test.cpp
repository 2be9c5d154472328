// Proves the oracle: its gradients against central differences of its own loss, in double precision, for every
// activation and loss, sparse and dense.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "alternatives.hpp"
#include "oracle.hpp"
#include "test_layers.hpp"

namespace espalier {
namespace {

using oracle::DenseLayer;
using oracle::Matrix;

/// The function whose gradient a loss promises: the mean loss, or for squared error half the error summed over the
/// outputs (the reported loss is the error's mean over them).
double objective(const std::vector<DenseLayer>& network, const Matrix& x, const std::vector<std::int32_t>& labels,
                 const Loss& loss) {
    Matrix values = x;
    for (const auto& layer : network) values = oracle::forward(layer, values).y;
    const double reported = oracle::score(loss, values, labels).mean_loss();
    return std::holds_alternative<SigmoidSquaredError>(loss) ? reported * static_cast<double>(values.rows) / 2
                                                             : reported;
}

struct Case {
    std::vector<DenseLayer> network;
    Matrix x;
    std::vector<std::int32_t> labels;
    Loss loss;

    /// Compares `gradient` with the central differences by the numbers `at` points into.
    void check(std::vector<double>& at, const std::vector<double>& gradient, const std::vector<bool>& present,
               const char* what) {
        ASSERT_EQ(at.size(), gradient.size()) << what;
        constexpr double h = 1e-5;  // error about h^2 / 6 + 1e-16 / h
        for (std::size_t i = 0; i < at.size(); ++i) {
            if (!present.empty() && !present[i]) {
                EXPECT_EQ(gradient[i], 0) << what << ' ' << i << " holds no edge";
                continue;
            }
            const double kept = at[i];
            at[i] = kept + h;
            const double above = objective(network, x, labels, loss);
            at[i] = kept - h;
            const double below = objective(network, x, labels, loss);
            at[i] = kept;
            const double difference = (above - below) / (2 * h);
            EXPECT_NEAR(gradient[i], difference, 1e-6 * std::max(std::abs(difference), 1e-3)) << what << ' ' << i;
        }
    }
};

void check_network(const Activation& activation, const Loss& loss, double density, unsigned seed) {
    TestRandom random(seed);
    Case test;
    test.network = {oracle::dense(test_layer({5, 6, density}, in_layer(activation, 0), 0, random), 0),
                    oracle::dense(test_layer({6, 4, density}, in_layer(activation, 1), 0, random), 0),
                    oracle::dense(test_layer({4, 3, -1}, Identity{}, 0, random), 0)};
    test.x = grid_matrix(5, 4, 2, 1.0 / 16, random);
    test.labels = random_labels(4, 3, random);
    test.loss = loss;
    const auto step = oracle::train_step(test.network, test.x, test.labels, {loss, {Sgd{}, Coupled{}, 0, 0, 1}, {}});
    for (std::size_t l = 0; l < test.network.size(); ++l) {
        // a kink within the difference's reach would spoil it
        ASSERT_GT(oracle::distance_from_kinks(test.network[l], step.forward[l].z), 1e-3) << "choose another seed";
    }
    for (std::size_t l = 0; l < test.network.size(); ++l) {
        SCOPED_TRACE("layer " + std::to_string(l));
        auto& layer = test.network[l];
        test.check(layer.weights.values, step.gradients[l].weights, layer.edge, "weight");
        test.check(layer.bias.values, step.gradients[l].bias, {}, "bias");
        test.check(layer.activation_parameters.values, step.gradients[l].activation_parameters, {}, "parameter");
    }
    test.check(test.x.values, step.gradients[0].x.values, {}, "input");
}

TEST(Gradient, OracleAgreesWithCentralDifferences) {
    for (const auto& activation : alternatives<Activation>()) {
        for (const auto& loss : alternatives<Loss>()) {
            // what SET's programs follow is the gradient of no function; HandComputedLosses has it
            if (std::holds_alternative<SigmoidTwiceSquaredError>(loss)) continue;
            for (const double density : {-1.0, 0.5, 0.9}) {
                SCOPED_TRACE(rule_text(activation) + ", " + rule_text(loss) + ", density " + std::to_string(density));
                check_network(activation, loss, density, 7);
            }
        }
    }
}

TEST(Gradient, HandComputedNeuron) {
    // z = 0.5 * 2 - 0.25 = 0.75; relu; loss gradient 3 by y: dw = 3 * 2, db = 3, dx = 3 * 0.5
    DenseLayer neuron;
    neuron.num_inputs = neuron.num_outputs = 1;
    neuron.activation = Relu{};
    neuron.edge = {true};
    neuron.weights.values = {0.5};
    neuron.bias.values = {-0.25};
    const Matrix x(1, 1, 2.0);
    const auto forward = oracle::forward(neuron, x);
    EXPECT_EQ(forward.z(0, 0), 0.75);
    EXPECT_EQ(forward.y(0, 0), 0.75);
    const auto gradients = oracle::backward(neuron, x, forward.z, Matrix(1, 1, 3.0));
    EXPECT_EQ(gradients.weights[0], 6);
    EXPECT_EQ(gradients.bias[0], 3);
    EXPECT_EQ(gradients.x(0, 0), 1.5);
    EXPECT_EQ(gradients.z(0, 0), 3);
}

TEST(Gradient, HandComputedLosses) {
    // two classes at z = (ln 3, 0): p = (3/4, 1/4)
    Matrix z(2, 1);
    z(0, 0) = std::log(3.0);
    const auto nll = oracle::score(SoftmaxNll{}, z, {1});
    EXPECT_NEAR(nll.losses[0], std::log(4.0), 1e-15);
    EXPECT_NEAR(nll.gradient(0, 0), 0.75, 1e-15);
    EXPECT_NEAR(nll.gradient(1, 0), -0.75, 1e-15);
    EXPECT_NEAR(nll.confidences[0], 0.75, 1e-15);
    EXPECT_FALSE(nll.correct[0]);
    // sigmoids (3/4, 1/2), target (1, 0): errors 1/16 and 1/4
    const auto mse = oracle::score(SigmoidSquaredError{}, z, {0});
    EXPECT_NEAR(mse.losses[0], (1.0 / 16 + 1.0 / 4) / 2, 1e-15);
    EXPECT_NEAR(mse.gradient(0, 0), -0.25 * 0.75 * 0.25, 1e-15);
    EXPECT_NEAR(mse.gradient(1, 0), 0.5 * 0.5 * 0.5, 1e-15);
    const auto twice = oracle::score(SigmoidTwiceSquaredError{}, z, {0});
    EXPECT_NEAR(twice.losses[0], mse.losses[0], 1e-15);
    // the derivative at the outputs 3/4 and 1/2, s (1 - s) with s = 1 / (1 + exp(-y))
    EXPECT_NEAR(twice.gradient(0, 0), -0.25 * 0.6791786991753930 * 0.3208213008246071, 1e-15);
    EXPECT_NEAR(twice.gradient(1, 0), 0.5 * 0.6224593312018546 * 0.3775406687981454, 1e-15);
    EXPECT_NEAR(mse.confidences[0], 0.75, 1e-15);
    EXPECT_TRUE(mse.correct[0]);
    // linear outputs (ln 3, 0), targets (ln 3 - 2, 1): errors 4 and 1
    Matrix targets(1, 2);
    targets(0, 0) = std::log(3.0) - 2;
    targets(0, 1) = 1;
    const auto squared = oracle::score(SquaredError{}, z, {0}, targets);
    EXPECT_NEAR(squared.losses[0], 2.5, 1e-15);
    EXPECT_NEAR(squared.gradient(0, 0), 2, 1e-15);
    EXPECT_NEAR(squared.gradient(1, 0), -1, 1e-15);
}

}  // namespace
}  // namespace espalier
