// Whole runs by one call of the library: in memory and into a folder, stopped, out of patience; networks as bytes.
#include "espalier/train_network.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "espalier/backends.hpp"
#include "espalier/initialize_network.hpp"
#include "espalier/options.hpp"
#include "espalier/saved_network.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

using testing::ElementsAreArray;
using testing::HasSubstr;

class TrainNetwork : public testing::Test {
protected:
    TrainNetwork() {
        experiment.layers = {784, 20, 10};
        experiment.epochs = 3;
        experiment.backend = "cpu";
        experiment.threads = 1;
    }
    [[nodiscard]] TrainedNetwork train(const TrainingHooks& hooks = {}) const {
        const auto backend = make_backend(experiment);
        return train_network(experiment, *backend, data, starting_network(experiment, *backend, data), hooks);
    }
    static void expect_same(const Network& a, const Network& b) {
        ASSERT_EQ(a.layers.size(), b.layers.size());
        for (std::size_t l = 0; l < a.layers.size(); ++l) {
            EXPECT_THAT(a.layers[l].weights, ElementsAreArray(b.layers[l].weights));
            EXPECT_THAT(a.layers[l].bias, ElementsAreArray(b.layers[l].bias));
        }
    }
    /// What a network answers to the test samples.
    [[nodiscard]] double accuracy(const Network& network) const {
        const auto backend = make_backend(experiment);
        return evaluate(*backend, experiment, network, data, data.test).accuracy;
    }

    Experiment experiment;
    DataSet data = load_dataset("synthetic", "", 200, 80);
};

TEST_F(TrainNetwork, InMemoryAndIntoAFolderAreTheSameRun) {
    const TemporaryFolder folder;
    const TrainedNetwork memory = train();
    const TrainedNetwork kept = train_network_into(folder.path() / "run", experiment, data);
    expect_same(*memory.network, *kept.network);
    EXPECT_EQ(memory.history.back().test_loss, kept.history.back().test_loss);
    EXPECT_TRUE(std::filesystem::exists(folder.path() / "run" / "report.html"));
    expect_same(open_network((folder.path() / "run").string()).network, *kept.network);
}

TEST_F(TrainNetwork, AStoppedRunKeepsTheNetworkThatWasTested) {
    struct AfterTwo : TrainObserver {
        void on_epoch(const EpochRecord& record) override { stop = record.epoch == 2; }
        bool stop = false;
    } after_two;
    experiment.epochs = 9;
    const TrainedNetwork trained = train({{&after_two}, [&] { return after_two.stop; }});
    EXPECT_TRUE(trained.stopped);
    EXPECT_EQ(trained.kept_epoch, 2U);
    EXPECT_DOUBLE_EQ(accuracy(*trained.network), trained.history.back().test_accuracy);
}

TEST_F(TrainNetwork, OutOfPatienceItKeepsTheBest) {
    set_options(experiment, {{"patience", "2"}, {"epochs", "200"}, {"learning-rate", "0.5"}}, "test");
    const TrainedNetwork trained = train();
    EXPECT_TRUE(trained.stopped_early);
    for (const EpochRecord& record : trained.history) {
        EXPECT_LE(trained.history.at(trained.kept_epoch - 1).test_loss, record.test_loss);
    }
    EXPECT_DOUBLE_EQ(accuracy(*trained.network), trained.history.at(trained.kept_epoch - 1).test_accuracy);
}

TEST_F(TrainNetwork, WithoutTestSamplesThereAreNoTestFigures) {
    const TrainedNetwork with = train();
    data.test = {};
    const TrainedNetwork without = train();
    expect_same(*with.network, *without.network);
    EXPECT_TRUE(std::isnan(without.history.back().test_loss));
    const TemporaryFolder folder;
    EXPECT_THROW((void)train_network_into(folder.path() / "run", experiment, data), UserError);
    experiment.patience = 1;
    EXPECT_THROW((void)train(), UserError);
}

TEST_F(TrainNetwork, ItsBytesReadBack) {
    const TrainedNetwork trained = train();
    std::string bytes = network_bytes(*trained.network, network_metadata(experiment, data, 3));
    const SavedNetwork saved = open_network_bytes(bytes);
    expect_same(saved.network, *trained.network);
    EXPECT_EQ(saved.experiment.layers, experiment.layers);
    EXPECT_EQ(saved.meaning.digest, data.digest);
    bytes[bytes.size() / 2] ^= 1;
    try {
        (void)open_network_bytes(bytes, "these bytes");
        FAIL() << "damage was not seen";
    } catch (const UserError& error) {
        EXPECT_THAT(error.what(), HasSubstr("these bytes, offset"));
    }
}

TEST_F(TrainNetwork, SeveralOptionsAtOnce) {
    Experiment other;
    set_options(other, {{"sparsity", "0.8"}, {"epochs", "7"}}, "here");
    EXPECT_EQ(other.density, Density::sparsity);
    EXPECT_EQ(other.epochs, 7U);
    EXPECT_THAT(config_text(other), HasSubstr("epochs = 7"));
    EXPECT_THAT([&] { set_options(other, {{"epoch", "7"}}, "here"); },
                testing::ThrowsMessage<UserError>(HasSubstr("here: unknown option 'epoch'")));
    EXPECT_FALSE(known_recipes().empty());
}

}  // namespace
}  // namespace espalier
