// Several ranks train what one process trains: the same bits. The ranks are threads here; ranks_program_test.py has
// processes and MPI.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <mutex>
#include <string>

#include "espalier/initialize_network.hpp"
#include "espalier/trainer.hpp"
#include "host/cpu/cpu_backend.hpp"
#include "host/cpu/exchange.hpp"
#include "host/cpu/halves.hpp"
#include "host/models/rbm.hpp"
#include "host/training/rank_agreement.hpp"
#include "same_network.hpp"
#include "small_rbm.hpp"
#include "small_run.hpp"
#include "thread_ranks.hpp"

namespace espalier {
namespace {

TEST(Exchange, SumsByHalvesWhateverTravels) {
    for (const int size : {2, 3, 4, 5}) {
        // one message to everybody, and pieces; fewer tiles than ranks
        for (const std::size_t floats : {std::size_t{16}, std::size_t{4096}, std::size_t{100000}}) {
            for (const Index tiles : {Index{1}, Index{3}, Index{9}}) {
                const auto value = [](int rank, std::size_t i) {
                    const double x = std::sin(static_cast<double>(i) + 100.0 * rank);
                    return static_cast<float>(x * std::pow(10.0, static_cast<double>(i % 9)));
                };
                on_ranks(size, [&](Ranks* ranks) {
                    Exchange exchange(ranks);
                    std::vector<float> own(floats + Exchange::slack(size));
                    for (std::size_t i = 0; i < floats; ++i) own[i] = value(ranks->place().rank, i);
                    exchange.begin(own.data(), floats, tiles);
                    exchange.finish();
                    const Index there = std::min<Index>(static_cast<Index>(size), tiles);
                    for (std::size_t i = 0; i < floats; ++i) {
                        float parts[8];
                        for (Index r = 0; r < there; ++r) parts[r] = value(static_cast<int>(r), i);
                        sum_in_place_by_halves(parts, 1, there, {0, 1});
                        ASSERT_EQ(own[i], parts[0]) << size << " ranks, " << tiles << " tiles, item " << i;
                    }
                });
            }
        }
    }
}

struct Trained {
    Network network;
    std::vector<std::string> history;
    bool operator==(const Trained& other) const {
        return same_arrays(network, other.network) && history == other.history;
    }
};

struct Case {
    std::string name;
    Experiment experiment;
    DataSet data;
    Network born;
};

/// What rank 0 ends with, having made sure that all others end with the same.
Trained train_on(const Case& the_case, int size, int threads) {
    std::mutex mutex;
    std::vector<Trained> all;
    on_ranks(size, [&](Ranks* ranks) {
        const auto backend = make_cpu_backend(threads, ranks);
        Trainer trainer(the_case.experiment, *backend, the_case.data, the_case.born);
        trainer.run();
        Trained trained{trainer.network(), {}};
        for (const EpochRecord& record : trainer.history()) trained.history.push_back(without_times(record));
        const std::scoped_lock lock(mutex);
        all.push_back(std::move(trained));
    });
    for (const Trained& each : all) EXPECT_TRUE(each == all[0]) << the_case.name;
    return all[0];
}

Experiment experiment_of(Index batch, std::uint32_t samples) {
    Experiment experiment = small_experiment();
    experiment.layers = {784, 40, 30, 10};
    experiment.batch = batch;
    experiment.train_samples = samples;
    experiment.test_samples = 150;
    experiment.epochs = 2;
    return experiment;
}

Case perceptron(const std::string& name, const Experiment& experiment) {
    return {name, experiment, load_dataset("synthetic", "", experiment.train_samples, experiment.test_samples),
            initialize_network(experiment)};
}

Case machine(const std::string& name, bool persistent, Index batch, std::uint32_t samples) {
    Experiment experiment = small_rbm_experiment(40, 24);
    experiment.batch = batch;
    experiment.epochs = 2;
    experiment.cd_steps = 2;
    experiment.persistent = persistent;
    experiment.learning_rate = Constant{0.05, 0};
    experiment.optimizer = Momentum{};
    Case made{name, experiment, binary_data(40, samples, 5), small_rbm(40, 24, 0.3, 0.5, 7)};
    use_as_units(made.data);
    fit_rbm_chains(experiment, made.born);
    return made;
}

/// Large dense layers are left to the program's test: OpenBLAS is not to be called by threads that OpenMP knows nothing
/// of.
std::vector<Case> cases() {
    std::vector<Case> all;
    all.push_back(perceptron("momentum, a last batch of one tile", experiment_of(256, 290)));
    Experiment adam = experiment_of(320, 640 + 180);  // five tiles, then three
    adam.optimizer = Adam{};
    adam.dropout = 0.3;
    adam.cadence = EverySteps{2};
    all.push_back(perceptron("Adam, dropout, evolution by steps", adam));
    Experiment srelu = experiment_of(512, 512 + 300);
    srelu.activation = SRelu{};
    srelu.optimizer = Sgd{};
    all.push_back(perceptron("SReLU, SGD", srelu));
    Experiment wide = experiment_of(128, 256);  // its gradients fill the arena twice and more: they travel in buckets
    wide.layers = {784, 1500, 1400, 10};
    wide.density = Density::sparsity;
    wide.sparsity = 0.1;
    wide.epochs = 1;
    all.push_back(perceptron("three buckets a step", wide));
    for (const char* grow : {"gradient", "gradient(samples=290,candidates=2)", "ch-l3"}) {
        Experiment growing = experiment_of(256, 640);
        growing.prune = PruneByMagnitude{};
        growing.grow = parse_rule<GrowRule>(grow);
        growing.dense_output = false;
        growing.cadence = EverySteps{2};
        growing.percolate = true;
        all.push_back(perceptron(grow, growing));
    }
    Experiment shrinking = experiment_of(256, 640);
    shrinking.prune = PruneByMagnitude{};
    shrinking.prune_scope = PruneScope::network;
    shrinking.edges_kept = Linear{1, 0.4};
    shrinking.cadence = EverySteps{1};
    all.push_back(perceptron("one cut over the network", shrinking));
    all.push_back(machine("contrastive divergence", false, 256, 300));
    all.push_back(machine("persistent chains", true, 256, 300));
    all.push_back(machine("persistent chains, an odd number of tiles", true, 320, 400));
    return all;
}

TEST(Ranks, PowersOfTwoEndWithTheBitsOfOne) {
    for (const Case& each : cases()) {
        const Trained alone = train_on(each, 1, 1);
        EXPECT_FALSE(alone.history.empty());
        EXPECT_FALSE(same_arrays(alone.network, each.born)) << each.name;
        EXPECT_TRUE(train_on(each, 1, 2) == alone) << each.name << ", two threads";
        EXPECT_TRUE(train_on(each, 2, 1) == alone) << each.name << ", two ranks";
        EXPECT_TRUE(train_on(each, 2, 2) == alone) << each.name << ", two ranks of two threads";
        EXPECT_TRUE(train_on(each, 4, 1) == alone) << each.name << ", four ranks";
    }
}

TEST(Ranks, ThreeEndWithTheSameBitsEveryTime) {
    const Case each = perceptron("three", experiment_of(320, 600));
    const Trained first = train_on(each, 3, 1);
    EXPECT_TRUE(train_on(each, 3, 2) == first);
}

std::string error_on_two(const std::function<void(Ranks*)>& work, ExitCode code) {
    try {
        on_ranks(2, work);
    } catch (const UserError& error) {
        EXPECT_EQ(error.code(), code);
        return error.what();
    }
    return "no error";
}

TEST(Ranks, ALayerThatDiffersIsNamed) {
    const Case made = perceptron("differs", experiment_of(256, 512));
    const auto train = [&](Ranks* ranks, const Network& born) {
        const auto backend = make_cpu_backend(1, ranks);
        Trainer(made.experiment, *backend, made.data, born).run();
    };
    Network weight = made.born;
    weight.layers[1].weights[3] = std::nextafter(weight.layers[1].weights[3], 1.0F);
    EXPECT_THAT(error_on_two([&](Ranks* r) { train(r, r->place().rank == 1 ? weight : made.born); }, ExitCode::ranks),
                testing::HasSubstr("epoch 1, layer 2: rank 1 and rank 0 hold different topologies or weights"));
    Network bias = made.born;
    bias.layers[2].bias[0] += 1;
    EXPECT_THAT(error_on_two([&](Ranks* r) { train(r, r->place().rank == 0 ? bias : made.born); }, ExitCode::ranks),
                testing::HasSubstr("layer 3"));
}

/// Flips a weight of what it stands on, as a broken memory would, before the first evolution.
TEST(Ranks, WhatDivergesInTrainingIsFoundAtTheNextEvolution) {
    Case made = perceptron("diverges", experiment_of(256, 512));
    DataSet other = made.data;
    other.train.bytes[300 * 784 + 100] ^= 0xff;  // rank 1 sees another sample in its half of the batch: all ranks
    other.train.bytes[20 * 784 + 100] ^= 0xff;   // still add the same sums, so nothing differs
    EXPECT_EQ(error_on_two(
                  [&](Ranks* r) {
                      const auto backend = make_cpu_backend(1, r);
                      Trainer(made.experiment, *backend, r->place().rank == 1 ? other : made.data, made.born).run();
                  },
                  ExitCode::ranks),
              "no error");
    // another seed of its evolution: another topology
    EXPECT_THAT(error_on_two(
                    [&](Ranks* r) {
                        Experiment experiment = made.experiment;
                        experiment.new_weights = r->place().rank == 1 ? "zero" : "initial";
                        const auto backend = make_cpu_backend(1, r);
                        Trainer(experiment, *backend, made.data, made.born).run();
                    },
                    ExitCode::ranks),
                testing::HasSubstr("epoch 1, layer 1: rank 1"));
}

TEST(Ranks, OthersOptionsAndDataAreRefused) {
    const Experiment experiment = experiment_of(256, 512);
    EXPECT_EQ(error_on_two(
                  [&](Ranks* r) {
                      Experiment own = experiment;
                      own.threads = r->place().rank + 1;  // the machine's may differ
                      own.data_dir = r->place().rank == 0 ? "a" : "b";
                      expect_equal_options(r, own);
                      expect_equal_data(r, own, "digest", 64);
                  },
                  ExitCode::usage),
              "no error");
    EXPECT_THAT(error_on_two(
                    [&](Ranks* r) {
                        Experiment own = experiment;
                        own.seed = static_cast<std::uint64_t>(r->place().rank);
                        expect_equal_options(r, own);
                    },
                    ExitCode::usage),
                testing::MatchesRegex("rank 1 on .* has other options than rank 0 on .*"));
    EXPECT_THAT(error_on_two([&](Ranks* r) { expect_equal_data(r, experiment, std::to_string(r->place().rank), 64); },
                             ExitCode::usage),
                testing::HasSubstr("has other data than"));
    Experiment small = experiment;
    small.batch = 64;
    EXPECT_EQ(error_on_two([&](Ranks* r) { expect_equal_data(r, small, "digest", 64); }, ExitCode::usage),
              "batch 64 is 1 tile of 64 samples, too few for 2 ranks; --batch 128 or 1 rank");
}

TEST(Ranks, OneThatIsAskedToStopStopsAllAtOneStep) {
    Experiment experiment = experiment_of(128, 128 * 70);  // two slices an epoch
    const Case made = perceptron("stops", experiment);
    std::mutex mutex;
    std::vector<TrainingProgress> stopped;
    on_ranks(2, [&](Ranks* ranks) {
        const auto backend = make_cpu_backend(1, ranks);
        Trainer trainer(made.experiment, *backend, made.data, made.born);
        int asked = 0;
        EXPECT_FALSE(trainer.run(agreed_stop(ranks, [&] { return ranks->place().rank == 1 && ++asked == 2; })));
        const std::scoped_lock lock(mutex);
        stopped.push_back(trainer.progress());
    });
    ASSERT_EQ(stopped.size(), 2U);
    EXPECT_EQ(stopped[0].step, 64U);
    EXPECT_EQ(stopped[1].step, 64U);
    EXPECT_EQ(stopped[1].epoch, 0U);
}

}  // namespace
}  // namespace espalier
