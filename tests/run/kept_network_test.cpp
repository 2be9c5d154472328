// The network that is kept is the one that was tested: at the end of a run, after an early stop, after a signal.
#include <gmock/gmock.h>

#include "host/cpu/cpu_backend.hpp"
#include "host/formats/network_file.hpp"
#include "espalier/initialize_network.hpp"
#include "espalier/model.hpp"
#include "host/run/run_layout.hpp"
#include "host/training/run_training.hpp"
#include "same_network.hpp"
#include "small_run.hpp"
#include "temporary_folder.hpp"

namespace espalier {
namespace {

/// What a test of the network says now.
Metrics tested_now(const Experiment& experiment, const DataSet& data, const Split& split, const Network& network) {
    const auto backend = make_cpu_backend(1);
    const UploadedSplit samples(*backend, data, split);
    const auto model = make_model(*backend, experiment, network);
    model->evaluate(samples.samples());
    return backend->metrics();
}

DataSet small_data() { return load_dataset("synthetic", "", 300, 50); }

void expect_figures_of(const Network& network, const EpochRecord& record, const Experiment& experiment) {
    const DataSet data = small_data();
    const Metrics metrics = tested_now(experiment, data, data.test, network);
    EXPECT_EQ(metrics.sample_loss_sum / 50, record.test_loss);
    EXPECT_EQ(static_cast<double>(metrics.correct) / 50, record.test_accuracy);
}

TEST(KeptNetwork, IsTheOneThatTheLastFiguresAreOf) {
    for (const LastEpoch after : {LastEpoch::evolve, LastEpoch::zero, LastEpoch::remove, LastEpoch::keep}) {
        for (const bool zero_before_test : {false, true}) {
            Experiment experiment = small_experiment();
            experiment.epochs = 2;
            experiment.last_epoch = after;
            experiment.zero_before_test = zero_before_test;
            const auto backend = make_cpu_backend(1);
            Trainer trainer(experiment, *backend, small_data(), initialize_network(experiment));
            ASSERT_TRUE(trainer.run());
            SCOPED_TRACE(std::to_string(static_cast<int>(after)) + (zero_before_test ? " zeroed" : ""));
            expect_figures_of(trainer.network(), trainer.history().back(), experiment);
        }
    }
}

/// Keeps what on_tested() was given.
class TestedObserver final : public TrainObserver {
public:
    void on_tested(const EpochRecord& record, EpochEnd& end) override {
        records.push_back(record);
        networks.push_back(end.network());
    }
    std::vector<EpochRecord> records;
    std::vector<Network> networks;
};

TEST(KeptNetwork, ObserversSeeTheTestedOneOfEveryEpoch) {
    for (const bool zero_before_test : {false, true}) {
        Experiment experiment = small_experiment();
        experiment.zero_before_test = zero_before_test;
        const auto backend = make_cpu_backend(1);
        Trainer trainer(experiment, *backend, small_data(), initialize_network(experiment));
        TestedObserver observer;
        trainer.add_observer(observer);
        ASSERT_TRUE(trainer.run());
        ASSERT_EQ(observer.networks.size(), experiment.epochs);
        for (std::size_t e = 0; e < observer.networks.size(); ++e) {
            expect_figures_of(observer.networks[e], trainer.history()[e], experiment);
        }
    }
}

/// Learns fast, then worse and worse.
Experiment overshooting_experiment() {
    Experiment experiment = small_experiment();
    experiment.epochs = 40;
    experiment.learning_rate = parse_schedule("linear(value=0.005,end=0.4)");
    experiment.patience = 3;
    return experiment;
}

TEST(KeptNetwork, PatienceEndsARunAndKeepsTheBest) {
    const TemporaryFolder temporary;
    RunPlace place;
    place.folder = temporary.path() / "run";
    const Experiment experiment = overshooting_experiment();
    const RunResults results = run_training(experiment, place);
    ASSERT_LT(results.history.size(), 40U) << "never ran out of patience";
    EXPECT_TRUE(results.stopped_early);
    EXPECT_FALSE(results.stopped);
    const std::uint32_t best = best_epoch(results.history);
    EXPECT_EQ(results.history.size(), best + 3);
    EXPECT_EQ(results.kept_epoch, best);
    for (const EpochRecord& record : results.history) {
        EXPECT_GE(record.test_loss, results.history[best - 1].test_loss);
    }
    NetworkMetadata said;
    const Network network = load_network(place.folder / run_layout::network, &said);
    EXPECT_EQ(said.at("epochs"), std::to_string(best));
    expect_figures_of(network, results.history[best - 1], experiment);
    EXPECT_FALSE(std::filesystem::exists(place.folder / run_layout::best_network));
    EXPECT_THAT(results_json(results), testing::HasSubstr("\"stopped_early\":true"));
}

TEST(KeptNetwork, PatienceThatIsNeverLostKeepsTheBestToo) {
    const TemporaryFolder temporary;
    RunPlace place;
    place.folder = temporary.path() / "run";
    Experiment experiment = overshooting_experiment();
    experiment.epochs = 12;
    experiment.learning_rate = parse_schedule("linear(value=0.005,end=0.8)");
    experiment.patience = 100;
    const RunResults results = run_training(experiment, place);
    EXPECT_FALSE(results.stopped_early);
    EXPECT_EQ(results.history.size(), 12U);
    const std::uint32_t best = best_epoch(results.history);
    ASSERT_LT(best, 12U) << "the last epoch was the best: nothing to tell";
    EXPECT_EQ(results.kept_epoch, best);
    expect_figures_of(load_network(place.folder / run_layout::network), results.history[best - 1], experiment);
}

}  // namespace
}  // namespace espalier
