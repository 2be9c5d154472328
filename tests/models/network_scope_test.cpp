// One cut over all layers: gradual pruning by magnitude, alone and with edges that are replaced beside it; and edges that
// lead nowhere, which go with the pruned ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "cuda_training.hpp"
#include "host/options/option_table.hpp"
#include "host/training/evolution_plan.hpp"
#include "user_errors.hpp"

namespace espalier::network_scope_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(NetworkSurplus, TakesTheSmallestOfAllLayersTiesFromTheFirst) {
    Experiment experiment;
    experiment.layers = {4, 3, 2, 2};  // the last layer dense
    experiment.density = Density::sparsity;
    experiment.sparsity = 0.5;  // 6 and 3 edges asked for
    experiment.edges_kept = parse_schedule("0.5");  // 5 of 9 (4.5 rounded)
    const std::vector<std::vector<float>> weights{{3, -0.5F, 2, -0.0F, 0.5F, 1}, {0.5F, 4, -5}, {}};
    EXPECT_THAT(network_surplus(experiment, weights, 0), ElementsAre(3U, 1U, 0U)) << "0, 1/2, 1/2 and 1/2 go";
    experiment.edges_kept = parse_schedule("0.7777");  // 7 of 9: 0 and the first 1/2
    EXPECT_THAT(network_surplus(experiment, weights, 0), ElementsAre(2U, 0U, 0U));
    experiment.edges_kept = parse_schedule("0");  // all: each layer keeps its last
    EXPECT_THAT(network_surplus(experiment, weights, 0), ElementsAre(5U, 2U, 0U));
    experiment.edges_kept = parse_schedule("1");
    EXPECT_THAT(network_surplus(experiment, weights, 0), ElementsAre(0U, 0U, 0U));
}

Experiment shrinking_experiment(const DataSet& data, const char* zeta) {
    Experiment experiment = small_experiment(data);
    experiment.dropout = 0;
    experiment.epsilon = 3;
    experiment.prune = PruneByMagnitude{};
    experiment.prune_scope = PruneScope::network;
    experiment.edges_kept = parse_schedule("cubic(value=1,end=0.3,finish=3)");
    experiment.zeta = parse_schedule(zeta);
    experiment.grow = GrowGradient{};
    experiment.new_weights = "zero";
    experiment.zero_before_test = false;
    experiment.last_epoch = LastEpoch::evolve;
    return experiment;
}

std::uint64_t edges_asked_for(const Experiment& experiment) {
    return initial_edge_count(experiment, 0) + initial_edge_count(experiment, 1);
}

class NetworkScope : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Backends, NetworkScope, ::testing::ValuesIn(available_backends()), backend_test_name);

TEST_P(NetworkScope, LeavesTheScheduledEdgesWhateverIsReplaced) {
    const DataSet data = small_data();
    for (const char* zeta : {"0", "0.25"}) {
        for (const bool by_steps : {false, true}) {
            SCOPED_TRACE(std::string(zeta) + (by_steps ? ", by steps" : ""));
            Experiment experiment = shrinking_experiment(data, zeta);
            if (by_steps) experiment.cadence = EverySteps{2};
            const Trained run = train(backend(), experiment, data);
            const auto birth = static_cast<double>(edges_asked_for(experiment));
            for (const EpochRecord& record : run.history) {
                // by steps: two or three of an epoch's three have been made when it ends
                const double time = by_steps ? (record.epoch * 3 - 1) / 2 * 2 / 3.0 : record.epoch;
                const double kept = scheduled(experiment.edges_kept, time, experiment.epochs);
                EXPECT_EQ(static_cast<double>(record.edges), std::round(kept * birth)) << "epoch " << record.epoch;
            }
            std::uint64_t grown = 0;
            for (const EpochRecord& record : run.history) grown += record.grown;
            EXPECT_EQ(grown == 0, std::string(zeta) == "0");
            for (std::size_t l = 0; l < 2; ++l) EXPECT_EQ(fault(*run.network.layers[l].topology), "");
        }
    }
}

/// With a learning rate of 0 the weights stay, so what is left is known: the largest of all layers.
TEST_P(NetworkScope, TheLargestOfAllLayersStay) {
    const DataSet data = small_data();
    Experiment experiment = shrinking_experiment(data, "0");
    experiment.learning_rate = Constant{0, 0};
    experiment.weight_decay = Constant{0, 0};
    const Network born = initialize_network(experiment);
    const Network left = train(backend(), experiment, data).network;
    std::vector<float> before, after;
    for (std::size_t l = 0; l < 2; ++l) {
        for (const float weight : born.layers[l].weights) before.push_back(std::abs(weight));
        for (const float weight : left.layers[l].weights) after.push_back(std::abs(weight));
    }
    std::sort(before.begin(), before.end(), std::greater<>());
    std::sort(after.begin(), after.end(), std::greater<>());
    before.resize(after.size());
    EXPECT_EQ(after, before);
    const auto share = [&](std::size_t l) {
        return static_cast<double>(left.layers[l].weights.size()) / static_cast<double>(born.layers[l].weights.size());
    };
    EXPECT_GT(std::abs(share(0) - share(1)), 0.1) << "layers of other weights lose other shares";
}

std::string refused(const OptionTexts& given) {
    Experiment experiment;
    apply(given, "test", experiment);
    return refusal(ExitCode::usage, [&] { validate(experiment); });
}

TEST(NetworkScopeRefused, WhereItSaysNothing) {
    EXPECT_THAT(refused({{"prune-scope", "network"}, {"edges-kept", "0.5"}}), HasSubstr("goes with --prune magnitude"));
    EXPECT_THAT(refused({{"prune-scope", "network"}, {"prune", "magnitude"}}), HasSubstr("wants a schedule of edges kept"));
    EXPECT_THAT(refused({{"prune-scope", "network"}, {"prune", "magnitude"}, {"edges-kept", "0.5"}, {"evolve", "chance"}}),
                HasSubstr("wants all layers to evolve together"));
    EXPECT_THAT(refused({{"percolate", "true"}, {"evolve", "chance"}}), HasSubstr("wants all layers to evolve together"));
}

TEST_P(NetworkScope, DeadNeuronsLoseTheirEdges) {
    for (const bool by_input : {false, true}) {
        Layer layer;
        layer.num_inputs = 3;
        layer.num_outputs = 3;
        layer.topology = from_cells(3, 3, {0, 1, 3, 5, 7, 8});  // rows {0, 1}, {0, 2}, {1, 2}
        layer.weights = {0.5F, -2, 3, -4, 5, 0};
        layer.bias.assign(3, 0.0F);
        const auto loaded = backend().load(layer, {by_input, Momentum{}});
        Degrees left;
        static_cast<void>(backend().prune(*loaded, {PruneByMagnitude{}, 0.2, {1, 0, 0}}));  // one of six: the weight of 0
        EXPECT_EQ(backend().prune_ends(*loaded, {}, left).total(), 0U);
        EXPECT_THAT(left.inputs, ElementsAre(2U, 2U, 1U));
        EXPECT_THAT(left.outputs, ElementsAre(2U, 2U, 1U));
        const Pruned more = backend().prune_ends(*loaded, {{0, 1, 0}, {0, 1, 0}}, left);
        EXPECT_EQ(more.positive, 2U) << "3 into output 1, 5 from input 1";
        EXPECT_EQ(more.negative, 2U) << "-2 from input 1, -4 into output 1";
        EXPECT_THAT(left.inputs, ElementsAre(1U, 0U, 0U));
        EXPECT_EQ(backend().prune_ends(*loaded, {{0, 1, 0}, {0, 1, 0}}, left).total(), 0U) << "again: nothing";
        EXPECT_THAT(backend().store(*loaded).weights, ElementsAre(0.5F, 0, 0, 0, 0, 0));
        const GrowRandom rule{true, 1};
        EXPECT_EQ(backend().regrow(*loaded, {rule, NormalWeights{}, true, {1, 0, 0}}), 5U);
        EXPECT_EQ(fault(*backend().store(*loaded).topology), "");
        EXPECT_EQ(backend().store(*loaded).weights.size(), 6U);
    }
}

Layer layer_of(Index inputs, Index outputs, const std::vector<Cell>& cells, const std::vector<float>& weights) {
    Layer layer;
    layer.num_inputs = inputs;
    layer.num_outputs = outputs;
    layer.topology = from_cells(inputs, outputs, cells);
    layer.weights = weights;
    layer.bias.assign(outputs, 0.0F);
    return layer;
}

/// Five chains of neurons by hand: pruning cuts the second, the third and the fourth were never whole.
TEST_P(NetworkScope, PercolationFollowsChainsBothWays) {
    const DataSet data = small_data();
    const Index pixels = data.features();
    Experiment experiment = small_experiment(data);
    experiment.layers = {pixels, 6, 6, data.classes};
    experiment.dense_output = false;
    experiment.dropout = 0;
    experiment.learning_rate = Constant{0, 0};
    experiment.weight_decay = Constant{0, 0};
    experiment.prune = PruneByMagnitude{};
    experiment.zeta = Constant{0.19, 0};  // of 6 edges one goes, of 5 none
    experiment.percolate = true;
    experiment.epochs = 1;
    experiment.last_epoch = LastEpoch::evolve;
    Network born;
    born.layers.push_back(layer_of(pixels, 6, {0, pixels + 1, 2 * pixels + 2, 4 * Cell{pixels} + 4, 5 * Cell{pixels} + 5},
                                   {1, 1, 1, 1, 1}));
    // rows: 0 from 0 and 4; 1 from 1, the smallest, which goes; 4 from 0 and 4; 5 from 5
    born.layers.push_back(layer_of(6, 6, {0, 4, 7, 24, 28, 35}, {3, 4, 0.5F, 5, 6, 7}));
    born.layers.push_back(layer_of(6, data.classes, {0, 7, 9, 16, 23}, {1, 1, 1, 1, 1}));  // from 0; 1, 3; 4; 5
    const auto cells_after = [&](double share) {
        experiment.grow = GrowRandom{true, share};
        Trainer trainer(experiment, backend(), data, born);
        trainer.run();
        std::vector<std::vector<Cell>> all;
        for (const Layer& layer : trainer.network().layers) all.push_back(cells_of(*layer.topology));
        return all;
    };
    const auto left = cells_after(0);
    EXPECT_THAT(left[0], ElementsAre(0U, 4 * Cell{pixels} + 4, 5 * Cell{pixels} + 5)) << "1 and 2 lead nowhere";
    EXPECT_THAT(left[1], ElementsAre(0U, 4U, 24U, 28U, 35U));
    EXPECT_THAT(left[2], ElementsAre(0U, 16U, 23U)) << "nothing comes to 1 and 3";
    const auto grown = cells_after(1);
    EXPECT_EQ(grown[0].size(), 5U);
    EXPECT_EQ(grown[1].size(), 6U);
    EXPECT_EQ(grown[2].size(), 5U);
}

/// Every hidden neuron between two sparse layers that has edges on one side has them on the other, unless edges grew
/// there; so none grow here.
TEST(Percolation, LeavesNoEdgeThatLeadsNowhere) {
    const DataSet data = small_data();
    for (const bool by_steps : {false, true}) {
        for (const bool percolate : {false, true}) {
            Experiment experiment = small_experiment(data);
            experiment.layers = {data.features(), 40, 40, 40, data.classes};
            experiment.dense_output = false;
            experiment.epsilon = 1;
            experiment.zeta = Constant{0.5, 0};
            experiment.prune = PruneByMagnitude{};
            experiment.grow = GrowRandom{false, 0};
            experiment.percolate = percolate;
            experiment.epochs = 1;
            experiment.last_epoch = by_steps ? LastEpoch::keep : LastEpoch::evolve;
            if (by_steps) experiment.cadence = EverySteps{2};
            const Trained run = train(*backend_for_test("cpu", 1), experiment, data);
            std::size_t ends = 0;
            for (std::size_t l = 0; l + 1 < 4; ++l) {
                const Degrees before = degrees(*run.network.layers[l].topology);
                const Degrees after = degrees(*run.network.layers[l + 1].topology);
                for (std::size_t n = 0; n < 40; ++n) ends += (before.outputs[n] == 0) != (after.inputs[n] == 0) ? 1 : 0;
            }
            if (percolate) {
                EXPECT_EQ(ends, 0U);
            } else {
                EXPECT_GT(ends, 10U) << "the test would see them";
            }
            EXPECT_GT(run.history[0].edges, 0U);
        }
    }
}

TEST(Percolation, ConservesEdgesAndItsBits) {
    const DataSet data = small_data();
    Experiment experiment = small_experiment(data);
    experiment.layers = {data.features(), 40, 30, data.classes};
    experiment.dense_output = false;
    experiment.percolate = true;
    experiment.prune = PruneSoftly{};
    experiment.grow = GrowByPaths{};
    const Network born = initialize_network(experiment);
    const Trained one = train(*backend_for_test("cpu", 1), experiment, data);
    for (std::size_t l = 0; l < 3; ++l) {
        EXPECT_EQ(one.network.layers[l].weights.size(), born.layers[l].weights.size());
        EXPECT_EQ(fault(*one.network.layers[l].topology), "");
    }
    expect_same(train(*backend_for_test("cpu", 3), experiment, data), one);
}

}  // namespace
}  // namespace espalier::network_scope_test
