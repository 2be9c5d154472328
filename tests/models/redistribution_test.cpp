// Edges that move between layers: how many each layer grows by hand and as properties, what a layer that grows beyond what
// it lost looks like, and whole runs.
#include "host/training/redistribution.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "cuda_training.hpp"
#include "evolving_layers.hpp"
#include "host/options/option_table.hpp"
#include "property.hpp"
#include "user_errors.hpp"

namespace espalier::redistribution_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Redistribution, SharesByHand) {
    // the whole parts of 12 x 1/6, 2/6, 3/6
    EXPECT_THAT(redistributed({{1, 9, 4, 99}, {2, 9, 4, 99}, {3, 9, 4, 99}}, 12), ElementsAre(2U, 4U, 6U));
    // 13: one is left over, for the first layer
    EXPECT_THAT(redistributed({{1, 9, 4, 99}, {2, 9, 4, 99}, {3, 9, 5, 99}}, 13), ElementsAre(3U, 4U, 6U));
    // the last may grow one: 5 are left over, three for the first and two for the second
    EXPECT_THAT(redistributed({{1, 9, 4, 99}, {2, 9, 4, 99}, {3, 9, 4, 1}}, 12), ElementsAre(5U, 6U, 1U));
    // the first is full after two more, the second takes the rest
    EXPECT_THAT(redistributed({{1, 9, 4, 4}, {2, 9, 4, 99}, {3, 9, 4, 1}}, 12), ElementsAre(4U, 7U, 1U));
    // one that kept nothing gets one whatever its strength
    EXPECT_THAT(redistributed({{0, 0, 4, 9}, {1, 9, 4, 99}}, 8), ElementsAre(1U, 7U));
    // no strength, and none that is a number: what each lost
    EXPECT_THAT(redistributed({{0, 9, 3, 99}, {0, 9, 5, 99}}, 8), ElementsAre(3U, 5U));
    EXPECT_THAT(redistributed({{NAN, 9, 3, 99}, {-INFINITY, 9, 5, 99}}, 8), ElementsAre(3U, 5U));
    EXPECT_THAT(redistributed({{INFINITY, 9, 3, 99}, {1, 9, 5, 99}}, 8), ElementsAre(0U, 8U));
    // nowhere to go
    EXPECT_THAT(redistributed({{1, 9, 3, 2}, {1, 9, 5, 3}}, 8), ElementsAre(2U, 3U));
}

TEST(Redistribution, LosesNoEdgeThatHasRoom) {
    EXPECT_TRUE(holds("all edges are shared out within each layer's room", 2000, [] {
        std::vector<SharingLayer> layers(*rc::gen::inRange<std::size_t>(1, 7));
        std::uint64_t room = 0, total = 0;
        for (SharingLayer& layer : layers) {
            layer = {*rc::gen::inRange(0, 5) * 0.37, *rc::gen::inRange<EdgeIndex>(0, 50),
                     *rc::gen::inRange<EdgeIndex>(0, 50), *rc::gen::inRange<EdgeIndex>(0, 90)};
            room += layer.most;
            total += layer.pruned;
        }
        const std::vector<EdgeIndex> grown = redistributed(layers, static_cast<EdgeIndex>(total));
        std::uint64_t sum = 0;
        for (std::size_t l = 0; l < layers.size(); ++l) {
            RC_ASSERT(grown[l] <= layers[l].most);
            sum += grown[l];
        }
        RC_ASSERT(sum == std::min(room, total));
        for (std::size_t l = 0; l < layers.size(); ++l) {
            const bool starved = layers[l].kept == 0 && layers[l].most > 0 && grown[l] == 0;
            RC_ASSERT(!starved || total < layers.size());
        }
    }));
}

TEST(Redistribution, StrengthIsTheMeanOverWeightsThatAreNotZero) {
    Layer layer;
    layer.weights = {2, 0, -4, 0};
    layer.weight_state = {{-1, 50, 3, 0}};
    EXPECT_EQ(sharing_strength(Redistribution::magnitude, layer, 3), 3);
    EXPECT_EQ(sharing_strength(Redistribution::momentum, layer, 3), 2);
    EXPECT_EQ(sharing_strength(Redistribution::survivors, layer, 3), 3);
    layer.weight_state.push_back({0.25F, 1, 9, 0});
    EXPECT_NEAR(sharing_strength(Redistribution::momentum, layer, 3), (1 / 0.5 + 3 / 3.0) / 2, 1e-6);
    layer.weight_state.clear();
    EXPECT_EQ(sharing_strength(Redistribution::momentum, layer, 3), 0) << "before the first step";
}

TEST(Redistribution, RoomIsOfTheEdgesAtBirthAndTheCells) {
    Experiment experiment;
    experiment.layers = {10, 10, 10};
    experiment.density = Density::sparsity;
    experiment.sparsity = 0.5;
    experiment.dense_output = false;
    experiment.room = 1.5;
    experiment.grow = GrowGradient{};  // takes cells just left
    EXPECT_EQ(most_grown(experiment, 0, 40, 10), 35U) << "75 edges";
    EXPECT_EQ(most_grown(experiment, 0, 75, 0), 0U);
    experiment.room = 3;
    EXPECT_EQ(most_grown(experiment, 0, 40, 10), 60U) << "100 cells";
    experiment.grow = GrowRandom{};
    EXPECT_EQ(most_grown(experiment, 0, 40, 10), 50U) << "but those just left";
    EXPECT_EQ(most_grown(experiment, 0, 0, 0), 0U) << "a layer without edges";
}

/// A layer whose pruned edges are replaced by more: edges that stay keep weights and memory, others have none.
TEST(GrowingLayer, KeepsWhatItHadAndGivesNewEdgesNothing) {
    for (const bool by_input : {false, true}) {
        for (const EdgeIndex count : {0U, 20U, 60U, 61U, 300U, 5000U}) {
            std::vector<Layer> results;
            for (const int threads : {1, 2, 5}) {
                SCOPED_TRACE(std::to_string(count) + (by_input ? " by input, " : ", ") + std::to_string(threads));
                const Layer before = distinct_layer(50, 40, 200, 3);
                const auto held = loaded(before, by_input);
                SparseCpuLayer& layer = sparse(*held);
                ASSERT_EQ(prune(layer, {PruneByMagnitude{}, 0.3}, threads).total(), 60U);
                const std::vector<EdgeIndex> pruned = layer.pruned;
                Regrowth regrowth{GrowRandom{true}, ZeroWeights{}, true, {1, 0, 7}};
                regrowth.count = count;
                const EdgeIndex want = std::min(count, EdgeIndex{50 * 40 - 140});
                ASSERT_EQ(regrow(layer, regrowth, threads), want);
                const Layer after = layer_at_rest(*held);
                ASSERT_EQ(fault(*after.topology), "");
                ASSERT_EQ(after.topology->num_edges(), 140 + want);
                const std::vector<Cell> old_cells = cells_of(*before.topology), new_cells = cells_of(*after.topology);
                std::size_t kept = 0;
                for (std::size_t e = 0; e < new_cells.size(); ++e) {
                    const auto old = std::lower_bound(old_cells.begin(), old_cells.end(), new_cells[e]);
                    const auto slot = static_cast<EdgeIndex>(old - old_cells.begin());
                    const bool stayed = old != old_cells.end() && *old == new_cells[e] &&
                                        !std::binary_search(pruned.begin(), pruned.end(), slot);
                    kept += stayed ? 1 : 0;
                    EXPECT_EQ(after.weights[e], stayed ? before.weights[slot] : 0);
                    EXPECT_EQ(after.weight_state[0][e], stayed ? before.weight_state[0][slot] : 0);
                }
                EXPECT_EQ(kept, 140U);
                if (by_input) {
                    const TransposedView view = transposed(*after.topology);
                    EXPECT_TRUE(std::equal(view.row.begin(), view.row.end(), layer.row.begin()));
                    for (std::size_t i = 0; i < view.slot.size(); ++i) {
                        EXPECT_EQ(layer.input_weights[i], layer.weights[view.slot[i]]);
                    }
                }
                results.push_back(after);
            }
            for (const Layer& each : results) expect_identical(each, results.front());
        }
    }
}

Experiment sharing_experiment(const DataSet& data) {
    Experiment experiment = small_experiment(data);
    experiment.layers = {data.features(), 40, 30, 20, data.classes};
    experiment.dropout = 0;
    experiment.optimizer = Momentum{0.9F};
    experiment.learning_rate = Constant{0.05, 0};
    experiment.prune = PruneByMagnitude{};
    experiment.grow = GrowGradient{};
    experiment.new_weights = "zero";
    experiment.redistribute = Redistribution::momentum;
    experiment.zero_before_test = false;
    experiment.last_epoch = LastEpoch::evolve;
    return experiment;
}

std::vector<std::size_t> edges_of(const Network& network) {
    std::vector<std::size_t> edges;
    for (const Layer& layer : network.layers) {
        if (layer.is_sparse()) edges.push_back(layer.weights.size());
    }
    return edges;
}

TEST(RedistributedRun, MovesEdgesWithinTheirRoomWhateverTheThreads) {
    const DataSet data = small_data();
    for (const char* by : {"momentum", "magnitude", "survivors"}) {
        for (const bool by_steps : {false, true}) {
            SCOPED_TRACE(std::string(by) + (by_steps ? ", by steps" : ""));
            Experiment experiment = sharing_experiment(data);
            find_option("redistribute")->set(experiment, by);
            if (by_steps) experiment.cadence = EverySteps{2};
            std::vector<Trained> runs;
            for (const int threads : {1, 2, 5}) {
                const auto backend = backend_for_test("cpu", threads);
                runs.push_back(train(*backend, experiment, data));
            }
            expect_same(runs[1], runs[0]);
            expect_same(runs[2], runs[0]);
            const auto born = edges_of(initialize_network(experiment)), left = edges_of(runs[0].network);
            EXPECT_EQ(std::accumulate(left.begin(), left.end(), std::size_t{0}),
                      std::accumulate(born.begin(), born.end(), std::size_t{0}));
            EXPECT_NE(left, born);
            for (std::size_t l = 0; l < born.size(); ++l) {
                EXPECT_LE(left[l], static_cast<std::size_t>(experiment.room * static_cast<double>(born[l])));
                EXPECT_EQ(fault(*runs[0].network.layers[l].topology), "");
            }
            for (const EpochRecord& record : runs[0].history) {
                EXPECT_EQ(record.grown, record.pruned);
                EXPECT_LE(record.replaced_positive + record.replaced_negative, record.grown);
            }
        }
    }
}

/// Weights stay with a learning rate of 0, so one evolution's shares are known.
TEST(RedistributedRun, GrowsByTheMagnitudesThatStay) {
    const DataSet data = small_data();
    Experiment experiment = sharing_experiment(data);
    experiment.redistribute = Redistribution::magnitude;
    experiment.room = 10;
    experiment.learning_rate = Constant{0, 0};
    experiment.epochs = 1;
    const Network born = initialize_network(experiment);
    std::vector<SharingLayer> sharing;
    EdgeIndex total = 0;
    for (const Layer& layer : born.layers) {
        if (!layer.is_sparse()) continue;
        std::vector<double> sizes;
        for (const float weight : layer.weights) sizes.push_back(std::abs(static_cast<double>(weight)));
        const auto pruned = static_cast<EdgeIndex>(0.3 * static_cast<double>(sizes.size()));
        std::sort(sizes.begin(), sizes.end());
        const double sum = std::accumulate(sizes.begin() + pruned, sizes.end(), 0.0);
        const auto kept = static_cast<EdgeIndex>(sizes.size() - pruned);
        sharing.push_back({sum / kept, kept, pruned, 10000});
        total += pruned;
    }
    const std::vector<EdgeIndex> grown = redistributed(sharing, total);
    const auto backend = backend_for_test("cpu", 1);
    const std::vector<std::size_t> left = edges_of(train(*backend, experiment, data).network);
    for (std::size_t l = 0; l < sharing.size(); ++l) EXPECT_EQ(left[l], sharing[l].kept + grown[l]) << "layer " << l;
    EXPECT_NE(grown.front(), sharing.front().pruned);
}

TEST(RedistributedRun, GoesOnWhereAnotherStopped) {
    const DataSet data = small_data();
    const Experiment experiment = sharing_experiment(data);
    const auto backend = backend_for_test("cpu", 1);
    const Trained unbroken = train(*backend, experiment, data);
    Trainer first(experiment, *backend, data, initialize_network(experiment));
    while (first.progress().epoch < 2) first.advance();
    Trainer second(experiment, *backend, data, first.network());
    second.continue_from(first.progress(), first.history());
    second.run();
    expect_same({second.network(), second.history()}, unbroken);
}

std::string refused(const OptionTexts& given) {
    Experiment experiment;
    apply(given, "test", experiment);
    return refusal(ExitCode::usage, [&] { validate(experiment); });
}

TEST(RedistributionRefused, WhereItSaysNothing) {
    EXPECT_THAT(refused({{"room", "2"}}), HasSubstr("room: needs --redistribute"));
    EXPECT_THAT(refused({{"redistribute", "momentum"}, {"optimizer", "sgd"}}), HasSubstr("momentum needs an optimizer that has one"));
    EXPECT_THAT(refused({{"redistribute", "momentum"}, {"optimizer", "rmsprop"}}), HasSubstr("momentum needs an optimizer that has one"));
    EXPECT_THAT(refused({{"redistribute", "survivors"}, {"layers", "784-100-10"}}), HasSubstr("wants two sparse layers or more"));
    EXPECT_THAT(refused({{"redistribute", "survivors"}, {"edges-kept", "cubic(value=1,end=0.1)"}}), HasSubstr("give one of the two"));
    EXPECT_THAT(refused({{"redistribute", "survivors"}, {"evolve", "chance"}}), HasSubstr("wants all layers to evolve together"));
    EXPECT_THAT(refused({{"redistribute", "survivors"}, {"reset-state", "none"}}), HasSubstr("take --reset-state new"));
    EXPECT_THAT(refused({{"redistribute", "survivors"}, {"grow", "gradient(per_output=1)"}}), HasSubstr("give one of the two"));
    EXPECT_THAT(refused({{"grow", "gradient(per_output=1,candidates=2)"}}), HasSubstr("take candidates=0"));
    EXPECT_THAT(refused({{"grow", "gradient(per_output=1,allow_removed=0)"}}), HasSubstr("take allow_removed=1"));
    Experiment experiment;
    const std::string outside = refusal(ExitCode::usage, [&] { apply({{"room", "0.9"}}, "test", experiment); });
    EXPECT_THAT(outside, HasSubstr("room: 0.9 is outside [1, 1e+06]"));
    experiment.topology = TopologyKind::fixed;  // a control keeps its recipe's rules
    experiment.room = 2;
    validate(experiment);
}

}  // namespace
}  // namespace espalier::redistribution_test
