// What SET's programs do otherwise: dropout that is made up for at the test, dropped outputs that pass a gradient on,
// training figures of a pass after the epoch. Against the oracle, on every backend.
#include <gtest/gtest.h>

#include <cmath>

#include "cuda_training.hpp"
#include "espalier/common/dropout_mask.hpp"
#include "espalier/model.hpp"
#include "espalier/predictions.hpp"
#include "host/options/option_table.hpp"

namespace espalier::program_choices_test {
namespace {

class ProgramChoices : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Backends, ProgramChoices, ::testing::ValuesIn(available_backends()), backend_test_name);

constexpr float rate = 0.3F;

Experiment program_experiment(const DataSet& data) {
    Experiment experiment = small_experiment(data);
    experiment.layers = {data.features(), 12, 9, data.classes};
    experiment.epsilon = 4;
    experiment.dense_output = false;
    experiment.dropout = 0.3;
    experiment.dropout_scale = DropoutScale::test;
    experiment.dropout_gradient = DropoutGradient::unmasked;
    experiment.loss = SigmoidTwiceSquaredError{};
    experiment.optimizer = Sgd{};
    experiment.batch = data.train.count();
    return experiment;
}

/// Samples as the network sees them, in their order as stored.
oracle::Matrix inputs(const DataSet& data, const Split& split) {
    oracle::Matrix x(data.features(), split.count());
    for (std::size_t s = 0; s < split.count(); ++s) {
        for (std::size_t f = 0; f < data.features(); ++f) {
            const double value = split.bytes[s * data.features() + f] * data.scale;
            x(f, s) = (value - data.mean[0]) / data.deviation[0];
        }
    }
    return x;
}

/// As the program tests: preactivations of all layers but the first times the share that dropout keeps.
oracle::Matrix tested_outputs(const Network& network, oracle::Matrix values) {
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
        oracle::DenseLayer layer = oracle::dense(network.layers[l], 0);
        if (l > 0) {
            for (double& weight : layer.weights.values) weight *= 1.0 - 0.3;
            for (double& bias : layer.bias.values) bias *= 1.0 - 0.3;
        }
        const oracle::Forward forward = oracle::forward(layer, values);
        values = l + 1 == network.layers.size() ? forward.z : forward.y;
    }
    return values;
}

TEST_P(ProgramChoices, DropoutIsMadeUpForAtTheTest) {
    const DataSet data = small_data();
    const Experiment experiment = program_experiment(data);
    const Network network = initialize_network(experiment);
    const oracle::Matrix z = tested_outputs(network, inputs(data, data.test));
    const oracle::Scores want = oracle::score(experiment.loss, z, data.test.labels);
    const Evaluation found = evaluate(backend(), experiment, network, data, data.test);
    EXPECT_NEAR(found.loss, want.mean_loss(), 1e-6);
    const Predictions predictions = predict(backend(), experiment, network, data, data.test);
    for (Index s = 0; s < data.test.count(); ++s) {
        for (Index c = 0; c < predictions.outputs; ++c) {
            EXPECT_NEAR(predictions.probabilities[s * predictions.outputs + c], 1 / (1 + std::exp(-z(c, s))), 1e-5);
        }
    }
}

TEST_P(ProgramChoices, DroppedOutputsPassAGradientOn) {
    const DataSet data = small_data();
    const Experiment experiment = program_experiment(data);
    const Network network = initialize_network(experiment);
    const UploadedSplit train(backend(), data, data.train);
    const auto model = make_model(backend(), experiment, network);
    StepScalars scalars;
    scalars.update = update_step(Sgd{}, Coupled{}, 1.0, 0.0, 1);
    scalars.step = 5;
    Buffer<StepScalars> step(backend(), 1);
    step.upload(&scalars);
    model->train_step(train.samples(), 0, data.train.count(), step.data());
    const Network trained = model->store();
    static_cast<void>(backend().metrics());

    // by the program's formulas: masks of 0 and 1, the derivative of the output before the mask
    const Permutation order(data.train.count(), Stream{experiment.seed, Purpose::shuffle, 0, 0});
    const oracle::Matrix stored = inputs(data, data.train);
    oracle::Matrix x(stored.rows, stored.columns);
    std::vector<std::int32_t> labels;
    for (std::size_t s = 0; s < x.columns; ++s) {
        labels.push_back(data.train.labels[order(s)]);
        for (std::size_t f = 0; f < x.rows; ++f) x(f, s) = stored(f, order(s));
    }
    std::vector<oracle::DenseLayer> layers;
    std::vector<oracle::Matrix> values{x};
    std::vector<oracle::Forward> forward;
    for (std::size_t l = 0; l < 3; ++l) {
        layers.push_back(oracle::dense(network.layers[l], 0));
        forward.push_back(oracle::forward(layers[l], values[l]));
        oracle::Matrix y = forward[l].y;
        const DropoutMask mask(rate, Stream{experiment.seed, Purpose::dropout, static_cast<std::uint32_t>(l), 5});
        for (std::size_t n = 0; l < 2 && n < y.rows; ++n) {
            for (std::size_t s = 0; s < y.columns; ++s) {
                if (mask.factor(static_cast<Index>(n), static_cast<Index>(s)) == 0) y(n, s) = 0;
            }
        }
        values.push_back(y);
    }
    oracle::Matrix dy = oracle::score(experiment.loss, forward[2].z, labels).gradient;
    for (std::size_t l = 3; l-- > 0;) {
        const oracle::Gradients gradients = oracle::backward(layers[l], values[l], forward[l].z, dy);
        const oracle::DenseLayer after = oracle::dense(trained.layers[l], 0);
        for (std::size_t i = 0; i < after.weights.values.size(); ++i) {
            if (!after.edge[i]) continue;
            EXPECT_NEAR(layers[l].weights.values[i] - after.weights.values[i], gradients.weights[i], 3e-6)
                << "layer " << l << ", cell " << i;
        }
        dy = gradients.x;
    }
}

TEST_P(ProgramChoices, TrainingFiguresOfAPassAfterTheEpochAreThoseOfTheNetworkThatIsTested) {
    const DataSet data = small_data();
    Experiment experiment = program_experiment(data);
    experiment.batch = 40;
    experiment.epochs = 2;
    experiment.learning_rate = Constant{0.05, 0};
    experiment.last_epoch = LastEpoch::keep;
    experiment.zero_before_test = false;
    experiment.train_figures = TrainFigures::after;
    const Trained run = train(backend(), experiment, data);
    const Evaluation found = evaluate(backend(), experiment, run.network, data, data.train);
    EXPECT_DOUBLE_EQ(run.history.back().train_loss, found.loss);
    EXPECT_DOUBLE_EQ(run.history.back().train_accuracy, found.accuracy);
    experiment.train_figures = TrainFigures::running;
    const Trained running = train(backend(), experiment, data);
    EXPECT_TRUE(same_arrays(running.network, run.network));
    EXPECT_NE(running.history.back().train_loss, run.history.back().train_loss);
}

TEST(ProgramChoicesRefused, WhereTheActivationDoesNotGrowWithItsInput) {
    Experiment experiment;
    apply({{"dropout-scale", "test"}, {"dropout", "0.2"}, {"activation", "srelu"}}, "test", experiment);
    EXPECT_THROW(validate(experiment), UserError);
    apply({{"activation", "relu"}}, "test", experiment);
    validate(experiment);
}

}  // namespace
}  // namespace espalier::program_choices_test
