// A run that was stopped anywhere, saved, loaded and continued equals the unbroken one, bit for bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "host/cpu/cpu_backend.hpp"
#include "espalier/initialize_network.hpp"
#include "same_network.hpp"
#include "small_run.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

struct ResumeCase {
    std::string name;
    std::function<void(Experiment&)> change;
};

class ResumeTest : public testing::TestWithParam<ResumeCase> {};

INSTANTIATE_TEST_SUITE_P(Rules, ResumeTest,
                         testing::Values(ResumeCase{"EveryEpoch", [](Experiment&) {}},
                                         ResumeCase{"EverySteps", [](Experiment& e) { e.cadence = EverySteps{41}; }},
                                         ResumeCase{"ByChance", [](Experiment& e) { e.cadence = ByChance{0.02}; }},
                                         ResumeCase{"AdamSReluDropout",
                                                    [](Experiment& e) {
                                                        e.optimizer = Adam{};
                                                        e.activation = SRelu{};
                                                        e.dropout = 0.3;
                                                        e.learning_rate = Constant{0.001, 0};
                                                    }},
                                         ResumeCase{"EverythingSparse",
                                                    [](Experiment& e) {
                                                        e.dense_output = false;
                                                        e.zero_before_test = false;
                                                        e.last_epoch = LastEpoch::remove;
                                                        e.learning_rate = parse_schedule("cosine(value=0.02)");
                                                    }},
                                         ResumeCase{"LargeDenseLayer",
                                                    [](Experiment& e) {
                                                        e.layers = {784, 300, 300, 10};
                                                        e.topology = TopologyKind::dense;
                                                        e.batch = 50;
                                                        e.optimizer = Nesterov{};
                                                    }},
                                         ResumeCase{"ThreeThreads",
                                                    [](Experiment& e) {
                                                        e.threads = 3;
                                                        e.batch = 4;
                                                    }}),
                         [](const auto& chosen) { return chosen.param.name; });

TEST_P(ResumeTest, EqualsTheUnbrokenRunWhereverItWasStopped) {
    Experiment experiment = small_experiment();
    GetParam().change(experiment);
    const auto backend = make_cpu_backend(experiment.threads);
    const DataSet data = load_dataset(experiment.dataset, "", experiment.train_samples, experiment.test_samples);
    const Network born = initialize_network(experiment);

    KeepingObserver unbroken;
    Trainer whole(experiment, *backend, data, born);
    whole.add_observer(unbroken);
    ASSERT_TRUE(whole.run(unbroken.stop()));
    const Network expected = whole.network();
    ASSERT_FALSE(same_arrays(expected, born));

    const TemporaryFolder temporary;
    const std::filesystem::path file = temporary.path() / "ckpt-1.safetensors";
    // Look 0 comes before the first step, the last one after all steps of the last epoch.
    for (int look = 0; look < unbroken.looks; ++look) {
        SCOPED_TRACE("stopped at look " + std::to_string(look) + " of " + std::to_string(unbroken.looks));
        KeepingObserver first(look);
        std::vector<EpochRecord> history;
        {
            Trainer trainer(experiment, *backend, data, born);
            trainer.add_observer(first);
            ASSERT_FALSE(trainer.run(first.stop()));
            history = trainer.history();
            save_checkpoint(file, {experiment, trainer.progress(), {}, {}, data.name, data.digest, "cpu", "cpu", {}},
                            trainer.network());
        }
        Checkpoint checkpoint = load_checkpoint(file);
        KeepingObserver second;
        Trainer trainer(experiment, *backend, data, checkpoint.network);
        trainer.add_observer(second);
        trainer.continue_from(checkpoint.info.progress, history);
        ASSERT_TRUE(trainer.run());

        ASSERT_TRUE(same_arrays(trainer.network(), expected));
        ASSERT_EQ(trainer.history().size(), whole.history().size());
        for (std::size_t e = 0; e < whole.history().size(); ++e) {
            ASSERT_EQ(without_times(trainer.history()[e]), without_times(whole.history()[e]));
        }
        auto degrees = first.all_degrees;
        degrees.insert(degrees.end(), second.all_degrees.begin(), second.all_degrees.end());
        ASSERT_TRUE(degrees == unbroken.all_degrees);
    }
}

TEST(Numbers, ANonfiniteLossNamesEpochStepAndLayer) {
    Experiment experiment = small_experiment();
    const auto backend = make_cpu_backend(1);
    const DataSet data = load_dataset(experiment.dataset, "", experiment.train_samples, experiment.test_samples);
    Network network = initialize_network(experiment);
    network.layers[1].weights[0] = std::numeric_limits<float>::quiet_NaN();
    Trainer trainer(experiment, *backend, data, network);
    try {
        trainer.run();
        FAIL() << "trained on";
    } catch (const UserError& error) {
        EXPECT_EQ(error.code(), ExitCode::nonfinite);
        EXPECT_THAT(error.what(), testing::HasSubstr("epoch 1, step 1 of 150: the loss is nan"));
        EXPECT_THAT(error.what(), testing::HasSubstr("layer "));
    }

    // Growing without bound: some step after the first.
    experiment.learning_rate = Constant{1e6, 0};
    experiment.loss = SoftmaxNll{};
    Trainer wild(experiment, *backend, data, initialize_network(experiment));
    try {
        wild.run();
        FAIL() << "trained on";
    } catch (const UserError& error) {
        EXPECT_EQ(error.code(), ExitCode::nonfinite);
        EXPECT_THAT(error.what(), testing::ContainsRegex("epoch [0-9]+, step [0-9]+ of 150: the loss is"));
        EXPECT_THAT(error.what(), testing::Not(testing::HasSubstr("step 1 of")));
    }
}

}  // namespace
}  // namespace espalier
