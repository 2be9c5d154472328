// Restricted Boltzmann machines as the trainer runs them: the same bits for any number of threads, with and without
// graphs, in one go and in two; they learn.
#include <gtest/gtest.h>

#include "cuda_training.hpp"
#include "host/models/rbm.hpp"
#include "small_rbm.hpp"

namespace espalier {
namespace {

Trained train(const Experiment& experiment, const DataSet& data, int threads) {
    return train(*backend_for_test("cpu", threads), experiment, data);
}

Experiment trained_experiment() {
    Experiment experiment = small_rbm_experiment(60, 41);
    experiment.epsilon = 6;
    experiment.optimizer = Momentum{0.9F};
    experiment.initial_weights = NormalWeights{0.05F};
    experiment.initial_bias = ZeroWeights{};
    experiment.learning_rate = Constant{0.05, 0};
    experiment.weight_decay = Constant{2e-4, 0};
    experiment.last_epoch = LastEpoch::evolve;
    experiment.epochs = 4;
    experiment.batch = 96;
    return experiment;
}

TEST(RbmTraining, GivesTheSameBitsForAnyNumberOfThreads) {
    const DataSet data = binary_data(60, 500, 2);
    for (const bool persistent : {false, true}) {
        for (const Index batch : {10U, 96U, 256U}) {
            Experiment experiment = trained_experiment();
            experiment.persistent = persistent;
            experiment.batch = batch;
            experiment.cd_steps = 2;
            const Trained one = train(experiment, data, 1);
            ASSERT_GT(one.history[0].replaced_positive, 0U);
            ASSERT_EQ(one.network.arrays.size(), persistent ? 2U : 1U);
            for (const int threads : {2, 3, 8}) {
                SCOPED_TRACE(std::to_string(threads) + " threads, batch " + std::to_string(batch));
                expect_same(train(experiment, data, threads), one);
            }
        }
    }
}

TEST(RbmTraining, VisibleBiasesHaveADecayOfTheirOwn) {
    const DataSet data = binary_data(60, 100, 2);
    const Network born = small_rbm(60, 41, 0.2, 1, 3);
    for (const double factor : {0.0, 1.0}) {
        Experiment experiment = trained_experiment();
        experiment.topology = TopologyKind::fixed;
        experiment.optimizer = Sgd{};
        experiment.decay_form = "shrink";  // by the decay itself, whatever the learning rate
        experiment.learning_rate = Constant{0, 0};
        experiment.weight_decay = Constant{0.5, 0};
        experiment.layer_decay = {1, factor};
        experiment.batch = 100;
        experiment.epochs = 1;
        const auto backend = backend_for_test("cpu", 1);
        Trainer trainer(experiment, *backend, data, born);
        ASSERT_TRUE(trainer.run());
        const Network network = trainer.network();
        for (std::size_t i = 0; i < 60; ++i) {
            EXPECT_EQ(visible_biases_of(network)[i],
                      visible_biases_of(born)[i] * (1 - 0.5F * static_cast<float>(factor)));
        }
        for (std::size_t e = 0; e < born.layers[0].weights.size(); ++e) {
            ASSERT_EQ(network.layers[0].weights[e], born.layers[0].weights[e] * 0.5F);
        }
    }
}

class RbmOnCuda : public BackendTest {
protected:
    static Trained train_with(const Experiment& experiment, const DataSet& data, bool graph) {
        CudaOptions options;
        options.graph = graph ? 1 : 0;
        return train(*backend_for_test(GetParam(), 1, options), experiment, data);
    }
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RbmOnCuda);  // without CUDA
INSTANTIATE_TEST_SUITE_P(Backends, RbmOnCuda, ::testing::ValuesIn(cuda_backends()), backend_test_name);

TEST_P(RbmOnCuda, GraphsChangeNoBit) {
    const DataSet data = binary_data(60, 300, 2);
    for (const bool persistent : {false, true}) {
        Experiment experiment = trained_experiment();
        experiment.persistent = persistent;
        const Trained with = train_with(experiment, data, true);
        expect_same(with, train_with(experiment, data, false));
        expect_same(with, train_with(experiment, data, true));
    }
}

TEST_P(RbmOnCuda, LearnsAsOnTheCpu) {
    const DataSet data = binary_data(60, 300, 2);
    Experiment experiment = trained_experiment();
    experiment.batch = 50;
    const Trained cuda = train_with(experiment, data, true);
    const Trained cpu = train(experiment, data, 1);
    // rounding may let another unit be drawn, so no epoch's figures are of the same states
    EXPECT_NEAR(cuda.history.back().train_loss, cpu.history.back().train_loss, 0.01);
    EXPECT_NEAR(cuda.history.back().test_loss, cpu.history.back().test_loss, 0.01);
    EXPECT_EQ(cuda.history.back().edges, cpu.history.back().edges);
}

TEST(RbmTraining, GoesOnToTheSameBits) {
    class StopInside final : public TrainObserver {
    public:
        void on_progress(std::uint32_t epoch, double part) override { reached = epoch == 3 && part > 0; }
        bool reached = false;
    };
    const DataSet data = binary_data(60, 500, 2);
    for (const bool persistent : {false, true}) {
        Experiment experiment = trained_experiment();
        experiment.persistent = persistent;
        experiment.batch = 5;  // more than one slice to an epoch
        const Trained unbroken = train(experiment, data, 1);
        const auto backend = backend_for_test("cpu", 1);
        StopInside first_part;
        Trainer first(experiment, *backend, data, initialize_network(experiment));
        first.add_observer(first_part);
        ASSERT_FALSE(first.run([&] { return first_part.reached; }));
        ASSERT_EQ(first.progress().epoch, 2U);
        ASSERT_GT(first.progress().step, 0U);
        Trainer second(experiment, *backend, data, first.network());
        second.continue_from(first.progress(), first.history());
        ASSERT_TRUE(second.run());
        expect_same({second.network(), second.history()}, unbroken);
    }
}

TEST(RbmTraining, LearnsToReconstructAndKeepsItsEdges) {
    const DataSet data = binary_data(60, 500, 2);
    for (const bool persistent : {false, true}) {
        Experiment experiment = trained_experiment();
        experiment.epochs = 15;
        experiment.batch = 50;
        experiment.persistent = persistent;
        const Trained trained = train(experiment, data, 1);
        // units are on with probability 0.9 or 0.1 by cluster: knowing the cluster leaves 0.09, not knowing it 0.25;
        // persistent chains learn more slowly, and while training hidden units are drawn
        EXPECT_GT(trained.history.front().test_loss, 0.15);
        EXPECT_LT(trained.history.back().test_loss, persistent ? 0.13 : 0.11);
        EXPECT_LT(trained.history.back().train_loss, persistent ? 0.18 : 0.12);
        EXPECT_GT(trained.history.back().test_accuracy, 0.87);
        EXPECT_GT(trained.history.back().test_confidence, 0.7);
        EXPECT_LE(trained.history.back().test_confidence, 1);
        EXPECT_EQ(trained.network.layers[0].weights.size(), 606U);
        EXPECT_EQ(trained.history.back().edges, 606U);
    }
}

}  // namespace
}  // namespace espalier
