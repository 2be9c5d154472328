// Fused updates and whole training steps against the oracle, on every backend. Every step starts from what the backend
// itself has stored, so that errors do not pile up and the tolerance stays that of one step.
#include <cmath>

#include "alternatives.hpp"
#include "backend_fixture.hpp"

namespace espalier {
namespace {

class TrainingStep : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Backends, TrainingStep, ::testing::ValuesIn(available_backends()), backend_test_name);

// Parameters and memory are of size 1; a gradient may be off by its rounding, which the update then carries on.
constexpr Tolerance step_tolerance{1e-6, 2e-6};
constexpr Tolerance gradient_tolerance{3e-6, 3e-6};
// A preactivation nearer to a kink may fall on its other side by rounding.
constexpr double safe_distance = 1e-5;

/// A network in a backend's memory, trained verb by verb.
class TestNetwork {
public:
    TestNetwork(Backend& backend, const std::vector<Layer>& layers, const Optimizer& optimizer)
        : backend_(backend), num_states_(num_states(optimizer)) {
        for (std::size_t l = 0; l < layers.size(); ++l) {
            widths_.push_back(layers[l].num_outputs);
            layers_.push_back(backend.load(layers[l], {l > 0, optimizer}));
        }
    }

    void train_step(const oracle::Matrix& x, const std::vector<std::int32_t>& labels, const oracle::Training& training,
                    float dropout = 0) {
        const auto now = device_scalars(backend_, scalars_of(training.update));
        const auto device_label = device_labels(backend_, labels);
        const std::size_t depth = layers_.size();
        std::vector<DeviceMatrix> values;
        std::vector<DeviceMatrix> saved;
        values.emplace_back(backend_, x);
        for (std::size_t l = 0; l < depth; ++l) {
            values.emplace_back(backend_, widths_[l], x.columns);
            saved.emplace_back(backend_, widths_[l], x.columns);
            backend_.forward(*layers_[l], values[l], saved[l], values[l + 1]);
            if (dropout > 0 && l + 1 < depth) backend_.dropout(values[l + 1], dropout, 7, Index(l), now.data());
        }
        std::vector<DeviceMatrix> gradients;
        for (std::size_t l = 0; l < depth; ++l) gradients.emplace_back(backend_, widths_[l], x.columns);
        const auto targets = device_targets(backend_, training.loss, one_hot(widths_[depth - 1]));
        backend_.loss(training.loss, values[depth], device_label.data(), gradients[depth - 1], nullptr, targets.data());
        for (std::size_t l = depth; l-- > 0;) {
            if (dropout > 0 && l + 1 < depth) backend_.dropout(gradients[l], dropout, 7, Index(l), now.data());
            backend_.backward(*layers_[l], values[l], saved[l], gradients[l],
                              l > 0 ? gradients[l - 1].view() : Activations{}, now.data());
        }
    }

    [[nodiscard]] std::vector<oracle::DenseLayer> stored() const {
        std::vector<oracle::DenseLayer> result;
        for (const auto& layer : layers_) result.push_back(oracle::dense(backend_.store(*layer), num_states_));
        return result;
    }

    /// The factors that `dropout` will multiply the hidden outputs by at this step.
    [[nodiscard]] std::vector<oracle::Matrix> masks(std::size_t batch, float dropout,
                                                    const oracle::Update& update) const {
        std::vector<oracle::Matrix> result;
        const auto now = device_scalars(backend_, scalars_of(update));
        for (std::size_t l = 0; l + 1 < layers_.size(); ++l) {
            const DeviceMatrix ones(backend_, oracle::Matrix(widths_[l], batch, 1));
            backend_.dropout(ones, dropout, 7, Index(l), now.data());
            result.push_back(ones.values());
        }
        return result;
    }

private:
    Backend& backend_;
    int num_states_;
    std::vector<Index> widths_;
    std::vector<std::unique_ptr<DeviceLayer>> layers_;
};

/// Inputs for which no preactivation lies so near a kink that rounding could decide.
oracle::Matrix safe_inputs(const std::vector<oracle::DenseLayer>& network, std::size_t batch,
                           const std::vector<std::int32_t>& labels, const oracle::Training& training,
                           TestRandom& random) {
    for (int attempt = 0; attempt < 100; ++attempt) {
        auto x = random_matrix(network.front().num_inputs, batch, 2, random);
        const auto step = oracle::train_step(network, x, labels, training);
        double distance = 1;
        for (std::size_t l = 0; l < network.size(); ++l) {
            distance = std::min(distance, oracle::distance_from_kinks(network[l], step.forward[l].z));
        }
        if (distance > safe_distance) return x;
    }
    throw std::logic_error("no inputs away from the kinks were found");
}

/// Trains for a few steps with changing batches, comparing after each.
void check_training(Backend& backend, const std::vector<Layer>& layers, const std::vector<std::size_t>& batches,
                    oracle::Training training, double learning_rate, double weight_decay, float dropout = 0) {
    TestRandom random(layers.size());
    TestNetwork network(backend, layers, training.update.optimizer);
    training.update.learning_rate = learning_rate;
    training.update.weight_decay = weight_decay;
    static_cast<void>(backend.metrics());
    for (std::size_t t = 1; t <= batches.size(); ++t) {
        SCOPED_TRACE("step " + std::to_string(t) + ", batch " + std::to_string(batches[t - 1]));
        training.update.t = t;
        if (dropout > 0) training.masks = network.masks(batches[t - 1], dropout, training.update);
        const auto before = network.stored();
        const auto labels = random_labels(batches[t - 1], layers.back().num_outputs, random);
        const auto x = safe_inputs(before, batches[t - 1], labels, training, random);
        network.train_step(x, labels, training, dropout);
        const auto want = oracle::train_step(before, x, labels, training);
        expect_close({backend.metrics().batch_loss_sum}, {want.scores.mean_loss()}, {2e-6, 2e-6}, "loss");
        const auto after = network.stored();
        for (std::size_t l = 0; l < layers.size(); ++l) {
            SCOPED_TRACE("layer " + std::to_string(l));
            const auto slack = update_slack(before[l], want.gradients[l], training.update, gradient_tolerance);
            expect_close(after[l], want.network[l], &slack, step_tolerance);
        }
        if (::testing::Test::HasFailure()) return;  // the first wrong step says it all
    }
}

TEST_P(TrainingStep, EveryOptimizerAndDecayFormUpdatesEveryKindOfLayer) {
    for (const auto& optimizer : alternatives<Optimizer>()) {
        for (const auto& form : alternatives<DecayForm>()) {
            for (const double density : {0.3, -1.0}) {
                SCOPED_TRACE(rule_text(optimizer) + ", " + rule_text(form) + (density < 0 ? ", dense" : ", sparse"));
                TestRandom random(4);
                const int states = num_states(optimizer);
                // SReLU: weights, biases and activation parameters are all updated, in a first and in a later layer
                const std::vector<Layer> layers{test_layer({19, 23, density}, SRelu{}, states, random),
                                                test_layer({23, 5, density}, SRelu{}, states, random)};
                check_training(backend(), layers, {20, 65, 3, 64, 20},
                               {SigmoidSquaredError{}, {optimizer, form, 0, 0, 1}, {}}, 0.01, 0.05);
            }
        }
    }
}

TEST_P(TrainingStep, EveryOptimizerActivationAndLossTrainsANetwork) {
    for (const auto& optimizer : alternatives<Optimizer>()) {
        for (const auto& activation : alternatives<Activation>()) {
            for (const auto& loss : alternatives<Loss>()) {
                SCOPED_TRACE(rule_text(optimizer) + ", " + rule_text(activation) + ", " + rule_text(loss));
                TestRandom random(6);
                const int states = num_states(optimizer);
                const std::vector<Layer> layers{test_layer({7, 9, 0.5}, in_layer(activation, 0), states, random),
                                                test_layer({9, 6, 0.5}, in_layer(activation, 1), states, random),
                                                test_layer({6, 4, -1}, Identity{}, states, random)};
                check_training(backend(), layers, {5, 70, 1},
                               {loss, {optimizer, default_decay_form(optimizer), 0, 0, 1}, {}}, 0.01, 0.001);
            }
        }
    }
}

TEST_P(TrainingStep, LargeDenseLayers) {
    for (const auto& optimizer : alternatives<Optimizer>()) {
        SCOPED_TRACE(rule_text(optimizer));
        TestRandom random(8);
        const int states = num_states(optimizer);
        std::vector<Layer> layers{test_layer({203, 190, -1}, Tanh{}, states, random),
                                  test_layer({190, 181, -1}, Relu{}, states, random),
                                  test_layer({181, 10, 0.4}, Identity{}, states, random)};
        for (auto& layer : layers) {
            for (float& w : layer.weights) w /= 8;  // outputs of size 1
        }
        check_training(backend(), layers, {33, 65}, {SoftmaxNll{}, {optimizer, Coupled{}, 0, 0, 1}, {}}, 0.01, 0.01);
    }
}

TEST_P(TrainingStep, DropoutMasksForwardAndBackward) {
    for (const auto& activation : alternatives<Activation>()) {
        SCOPED_TRACE(rule_text(activation));
        TestRandom random(10);
        const std::vector<Layer> layers{test_layer({12, 20, 0.4}, activation, 1, random),
                                        test_layer({20, 15, 0.4}, activation, 1, random),
                                        test_layer({15, 4, -1}, Identity{}, 1, random)};
        check_training(backend(), layers, {40, 65, 7}, {SoftmaxNll{}, {Momentum{0.9F}, Coupled{}, 0, 0, 1}, {}}, 0.05,
                       0.01, 0.3F);
    }
}

TEST_P(TrainingStep, GoldenFirstStepComputedByHand) {
    // Three inputs, two outputs, edges W = [2 -1 .; . 0.5 1], b = (ln 3, 0), one sample x = (1, 2, -1) of class 1.
    // z = (2 - 2 + ln 3, 1 - 1 + 0) = (ln 3, 0): p = (3/4, 1/4), loss = ln 4, wrong with confidence 3/4.
    // dz = (3/4, 1/4 - 1) = (0.75, -0.75)
    // dx = (2 * 0.75, -0.75 - 0.375, -0.75) = (1.5, -1.125, -0.75)
    // dW = [0.75 1.5 .; . -1.5 0.75], db = (0.75, -0.75)
    // Momentum 0.5, learning rate 0.1, coupled decay 0.2: m = g + 0.2 w, first step
    //   mW = [1.15 1.3 .; . -1.4 0.95], mb = (0.75 + 0.2 ln 3, -0.75)
    //   W = [1.885 -1.13 .; . 0.64 0.905], b = (ln 3 - 0.075 - 0.02 ln 3, 0.075)
    const double ln3 = std::log(3.0);
    Layer layer;
    layer.num_inputs = 3;
    layer.num_outputs = 2;
    layer.topology = Topology{3, 2, {0, 2, 4}, {0, 1, 1, 2}};
    layer.weights = {2, -1, 0.5F, 1};
    layer.bias = {static_cast<float>(ln3), 0};
    layer.weight_state = {{0, 0, 0, 0}};
    layer.bias_state = {{0, 0}};
    layer.activation_state = {{}};
    const auto device = backend().load(layer, {true, Momentum{0.5F}});
    oracle::Matrix x(3, 1);
    x.values = {1, 2, -1};
    const DeviceMatrix input(backend(), x);
    const DeviceMatrix output(backend(), 2, 1);
    const DeviceMatrix gradient(backend(), 2, 1);
    const DeviceMatrix input_gradient(backend(), 3, 1);
    const auto labels = device_labels(backend(), {1});
    const auto now = device_scalars(backend(), scalars_of({Momentum{0.5F}, Coupled{}, 0.1, 0.2, 1}));
    static_cast<void>(backend().metrics());
    backend().forward(*device, input, output, output);
    backend().loss(SoftmaxNll{}, output, labels.data(), gradient);
    expect_close(gradient.values().values, {0.75, -0.75}, {1e-6, 0}, "dz");
    backend().backward(*device, input, output, gradient, input_gradient, now.data());
    expect_close(output.values().values, {ln3, 0}, {1e-6, 0}, "z");
    expect_close(input_gradient.values().values, {1.5, -1.125, -0.75}, {1e-6, 0}, "dx");
    const auto after = stored(*device, 1);
    expect_close(after.weights.values, {1.885, -1.13, 0, 0, 0.64, 0.905}, {1e-6, 0}, "W");
    expect_close(after.weights.states[0], {1.15, 1.3, 0, 0, -1.4, 0.95}, {1e-6, 0}, "mW");
    expect_close(after.bias.values, {0.98 * ln3 - 0.075, 0.075}, {1e-6, 0}, "b");
    expect_close(after.bias.states[0], {0.75 + 0.2 * ln3, -0.75}, {1e-6, 0}, "mb");
    const auto metrics = backend().metrics();
    EXPECT_NEAR(metrics.batch_loss_sum, std::log(4.0), 1e-6);
    EXPECT_NEAR(metrics.wrong_confidence_sum, 0.75, 1e-6);
    EXPECT_EQ(metrics.correct, 0U);
}

TEST_P(TrainingStep, ANaNAnywhereReachesTheLoss) {
    for (const auto& activation : alternatives<Activation>()) {
        for (const double density : {1.0, -1.0}) {
            for (std::size_t where = 0; where < 6; ++where) {
                TestRandom random(13);
                std::vector<Layer> layers{test_layer({5, 6, density}, activation, 0, random),
                                          test_layer({6, 7, density}, activation, 0, random),
                                          test_layer({7, 3, density}, Identity{}, 0, random)};
                Layer& layer = layers[where / 2];
                (where % 2 == 0 ? layer.weights : layer.bias)[2] = NAN;
                TestNetwork network(backend(), layers, Sgd{});
                static_cast<void>(backend().metrics());
                network.train_step(random_matrix(5, 3, 1, random), {0, 1, 2},
                                   {SoftmaxNll{}, {Sgd{}, Coupled{}, 0.1, 0, 1}, {}});
                EXPECT_TRUE(std::isnan(backend().metrics().batch_loss_sum))
                    << rule_text(activation) << ", NaN in layer " << where / 2
                    << (where % 2 == 0 ? " weight" : " bias");
            }
        }
    }
}

TEST_P(TrainingStep, TheSameStepTwiceGivesTheSameBits) {
    TestRandom random(12);
    const std::vector<Layer> layers{test_layer({50, 40, 0.2}, SRelu{}, 2, random),
                                    test_layer({40, 9, -1}, Identity{}, 2, random)};
    const auto x = random_matrix(50, 130, 1, random);
    const auto labels = random_labels(130, 9, random);
    const auto train = [&] {
        TestNetwork network(backend(), layers, Adam{});
        for (std::uint64_t t = 1; t <= 3; ++t) {
            network.train_step(x, labels, {SoftmaxNll{}, {Adam{}, Coupled{}, 0.01, 0.01, t}, {}}, 0.2F);
        }
        return network.stored();
    };
    const auto one = train();
    const auto other = train();
    for (std::size_t l = 0; l < layers.size(); ++l) {
        EXPECT_EQ(one[l].weights.values, other[l].weights.values);
        EXPECT_EQ(one[l].bias.values, other[l].bias.values);
        EXPECT_EQ(one[l].activation_parameters.values, other[l].activation_parameters.values);
        EXPECT_EQ(one[l].weights.states, other[l].weights.states);
    }
}

}  // namespace
}  // namespace espalier
