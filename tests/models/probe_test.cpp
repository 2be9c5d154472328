// The probe: its gradients are those that training follows, and those of the loss where there is no edge; it changes
// nothing. And growth by gradient through whole runs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "cuda_training.hpp"
#include "espalier/model.hpp"

namespace espalier::probe_test {
namespace {

class Probe : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Backends, Probe, ::testing::ValuesIn(available_backends()), backend_test_name);

/// All samples in one batch, so that their order does not matter.
Experiment probed_experiment(const DataSet& data) {
    Experiment experiment = small_experiment(data);
    experiment.activation = SRelu{};
    experiment.dropout = 0;
    experiment.batch = data.train.count();
    experiment.optimizer = Sgd{};
    experiment.dense_output = false;
    experiment.grow = GrowGradient{};
    return experiment;
}

/// values [row][sample] of the backend's memory.
std::vector<std::vector<double>> read_back(Backend& backend, ConstActivations view) {
    std::vector<float> raw(view.size());
    backend.download(raw.data(), view.data, raw.size() * sizeof(float));
    const ConstActivations local{raw.data(), view.rows, view.batch, view.lanes};
    std::vector<std::vector<double>> values(view.rows, std::vector<double>(view.batch));
    for (Index r = 0; r < view.rows; ++r) {
        for (Index s = 0; s < view.batch; ++s) values[r][s] = local.at(r, s);
    }
    return values;
}

/// dL/dw of every cell of a layer, [output][input], by the last probe.
std::vector<std::vector<double>> gradients(Backend& backend, const Model& model, std::size_t layer) {
    const Evidence evidence = model.evidence(layer);
    const auto x = read_back(backend, evidence.x);
    const auto dz = read_back(backend, evidence.dz);
    std::vector<std::vector<double>> result(dz.size(), std::vector<double>(x.size(), 0));
    for (std::size_t o = 0; o < dz.size(); ++o) {
        for (std::size_t i = 0; i < x.size(); ++i) {
            for (std::size_t s = 0; s < dz[o].size(); ++s) result[o][i] += dz[o][s] * x[i][s];
        }
    }
    return result;
}

TEST_P(Probe, SeesTheGradientsThatTrainingFollows) {
    const DataSet data = small_data();
    const Experiment experiment = probed_experiment(data);
    const Network born = initialize_network(experiment);
    const auto model = make_model(backend(), experiment, born);
    const UploadedSplit train(backend(), data, data.train);
    model->probe(train.samples(), data.train.count(), 3);
    std::vector<std::vector<std::vector<double>>> seen;
    for (std::size_t l = 0; l < 3; ++l) seen.push_back(gradients(backend(), *model, l));
    StepScalars scalars;
    scalars.update = update_step(experiment.optimizer, Coupled{}, 1.0, 0.0, 1, 0.0);
    Buffer<StepScalars> step(backend(), 1);
    step.upload(&scalars);
    model->train_step(train.samples(), 0, data.train.count(), step.data());
    const Network trained = model->store();
    static_cast<void>(backend().metrics());
    for (std::size_t l = 0; l < 3; ++l) {
        const Topology& topology = *born.layers[l].topology;
        double largest = 0;
        for (Index row = 0; row < topology.num_outputs; ++row) {
            for (EdgeIndex e = topology.row_start[row]; e < topology.row_start[row + 1]; ++e) {
                const double moved = static_cast<double>(born.layers[l].weights[e]) - trained.layers[l].weights[e];
                EXPECT_NEAR(moved, seen[l][row][topology.column[e]], 2e-6) << "layer " << l << ", edge " << e;
                largest = std::max(largest, std::abs(moved));
            }
        }
        EXPECT_GT(largest, 1e-3) << "of layer " << l;
    }
}

/// The mean loss in double precision, with `more` added to the weight of a cell of layer `changed`.
double loss_with(const Network& network, const oracle::Matrix& x, const std::vector<std::int32_t>& labels,
                 const Loss& loss, std::size_t changed, std::size_t cell, double more) {
    oracle::Matrix values = x;
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
        oracle::DenseLayer layer = oracle::dense(network.layers[l], 0);
        if (l == changed) layer.weights.values[cell] += more;
        const oracle::Forward forward = oracle::forward(layer, values);
        values = l + 1 == network.layers.size() ? forward.z : forward.y;
    }
    return oracle::score(loss, values, labels).mean_loss();
}

TEST_P(Probe, SeesTheLossesSlopeWhereThereIsNoEdge) {
    const DataSet data = small_data();
    Experiment experiment = probed_experiment(data);
    experiment.activation = Sigmoid{};  // without kinks, which differences would step over
    const Network born = initialize_network(experiment);
    const auto model = make_model(backend(), experiment, born);
    const UploadedSplit train(backend(), data, data.train);
    constexpr Index size = 70;
    constexpr std::uint32_t event = 11;
    model->probe(train.samples(), size, event);
    // which samples: a function of the seed and the event alone
    const Permutation order(data.train.count(), Stream{experiment.seed, Purpose::probe, 0, event});
    oracle::Matrix x(data.features(), size);
    std::vector<std::int32_t> labels;
    const auto seen_x = read_back(backend(), model->evidence(0).x);
    for (Index s = 0; s < size; ++s) {
        labels.push_back(data.train.labels[order(s)]);
        for (Index f = 0; f < data.features(); ++f) x(f, s) = seen_x[f][s];
    }
    for (std::size_t l = 0; l < 3; ++l) {
        const auto seen = gradients(backend(), *model, l);
        const oracle::DenseLayer dense = oracle::dense(born.layers[l], 0);
        TestRandom random(l);
        for (int trial = 0; trial < 12;) {
            const std::size_t cell = random() % dense.edge.size();
            if (dense.edge[cell]) continue;
            ++trial;
            constexpr double h = 1e-4;
            const double slope = (loss_with(born, x, labels, experiment.loss, l, cell, h) -
                                  loss_with(born, x, labels, experiment.loss, l, cell, -h)) /
                                 (2 * h);
            EXPECT_NEAR(seen[cell / dense.num_inputs][cell % dense.num_inputs], slope, 1e-6 + 1e-4 * std::abs(slope))
                << "layer " << l << ", cell " << cell;
        }
    }
}

TEST_P(Probe, ChangesNothing) {
    const DataSet data = small_data();
    Experiment experiment = small_experiment(data);
    experiment.optimizer = Momentum{0.9F};
    const Network born = initialize_network(experiment);
    const UploadedSplit train(backend(), data, data.train);
    StepScalars scalars;
    scalars.update = update_step(experiment.optimizer, Coupled{}, 0.1, 1e-3, 1, 0.0);
    Buffer<StepScalars> step(backend(), 1);
    step.upload(&scalars);
    std::vector<Network> trained;
    for (const bool probed : {false, true}) {
        const auto model = make_model(backend(), experiment, born);
        for (std::uint32_t s = 0; s < 3; ++s) {
            if (probed) model->probe(train.samples(), s == 1 ? 150 : 20, s);
            model->train_step(train.samples(), 0, 70, step.data());
        }
        trained.push_back(model->store());
        static_cast<void>(backend().metrics());
    }
    EXPECT_TRUE(same_arrays(trained[0], trained[1]));
}

Experiment growing_experiment(const DataSet& data, const char* grow) {
    Experiment experiment = small_experiment(data);
    experiment.batch = 20;  // ten steps an epoch
    experiment.cadence = EverySteps{7};
    experiment.prune = PruneByMagnitude{};
    experiment.grow = parse_rule<GrowRule>(grow);
    experiment.new_weights = "zero";
    return experiment;
}

TEST(GrowByGradient, GivesTheSameBitsForAnyNumberOfThreadsAndAfterARest) {
    const DataSet data = small_data();
    for (const char* grow : {"gradient", "gradient(samples=150,allow_removed=0)", "gradient(candidates=2)",
                             "gradient(per_output=1)"}) {
        for (const bool by_steps : {true, false}) {
            SCOPED_TRACE(std::string(grow) + (by_steps ? " by steps" : " by epochs"));
            Experiment experiment = growing_experiment(data, grow);
            if (!by_steps) experiment.cadence = EveryEpoch{};
            const Trained one = train(*backend_for_test("cpu", 1), experiment, data);
            ASSERT_GT(one.history[1].grown, 0U);
            for (const int threads : {2, 5}) expect_same(train(*backend_for_test("cpu", threads), experiment, data), one);
            const auto backend = backend_for_test("cpu", 1);
            const Network born = initialize_network(experiment);
            Trainer first(experiment, *backend, data, born);
            for (int piece = 0; piece < 5; ++piece) first.advance();
            Trainer second(experiment, *backend, data, first.network());
            second.continue_from(first.progress(), first.history());
            second.run();
            expect_same({second.network(), second.history()}, one);
        }
    }
}

TEST(GrowByGradient, IsNotRandomGrowth) {
    const DataSet data = small_data();
    const auto network = [&](const char* grow) {
        return train(*backend_for_test("cpu", 1), growing_experiment(data, grow), data).network;
    };
    const Network gradient = network("gradient");
    EXPECT_FALSE(same_arrays(gradient, network("random(allow_removed=1)")));
    EXPECT_FALSE(same_arrays(gradient, network("gradient(candidates=1)")));
}

TEST(GrowByGradient, OutputByOutputKeepsEveryOutputsNumberOfInputs) {
    const DataSet data = small_data();
    const auto spread = [&](const char* grow) {
        Experiment experiment = growing_experiment(data, grow);
        experiment.birth_law = ConstantFanIn{};
        experiment.last_epoch = LastEpoch::evolve;
        const Trained run = train(*backend_for_test("cpu", 1), experiment, data);
        EXPECT_GT(run.history.back().grown, 0U);
        EdgeIndex widest = 0;
        for (const Layer& layer : run.network.layers) {
            if (!layer.is_sparse()) continue;
            const Degrees degree = degrees(*layer.topology);
            const auto [least, most] = std::minmax_element(degree.outputs.begin(), degree.outputs.end());
            widest = std::max(widest, *most - *least);
        }
        return widest;
    };
    EXPECT_LE(spread("gradient(per_output=1)"), 1U);
    EXPECT_GT(spread("gradient"), 2U) << "or the test sees nothing";
}

TEST(GrowByGradient, WantsNoMoreSamplesThanThereAre) {
    const DataSet data = small_data();
    const Experiment experiment = growing_experiment(data, "gradient(samples=201)");
    const auto backend = backend_for_test("cpu", 1);
    try {
        const Trainer trainer(experiment, *backend, data, initialize_network(experiment));
        ADD_FAILURE() << "is accepted";
    } catch (const UserError& error) {
        EXPECT_EQ(error.code(), ExitCode::usage);
        EXPECT_NE(std::string(error.what()).find("201 samples, the training set has 200"), std::string::npos)
            << error.what();
    }
}

}  // namespace
}  // namespace espalier::probe_test
