// Topology evolution on the CPU layer: exactness against a brute-force oracle, reproducibility.
#include "host/cpu/evolution/evolve.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <set>

#include "alternatives.hpp"
#include "espalier/topology.hpp"
#include "host/cpu/cpu_backend.hpp"
#include "host/cpu/layer_transfer.hpp"
#include "evolving_layers.hpp"
#include "property.hpp"
#include "test_layers.hpp"

namespace espalier {
namespace {

/// weight and state of every edge by its cell
std::map<Cell, std::pair<float, float>> by_cell(const Layer& layer) {
    std::map<Cell, std::pair<float, float>> edges;
    const auto cells = cells_of(*layer.topology);
    for (std::size_t i = 0; i < cells.size(); ++i) edges[cells[i]] = {layer.weights[i], layer.weight_state[0][i]};
    return edges;
}

/// The views of a layer in use agree with each other and with the arrays in their order.
void check_views(const SparseCpuLayer& layer) {
    const Topology topology{layer.num_inputs,
                            layer.num_outputs,
                            {layer.row_start.begin(), layer.row_start.end()},
                            {layer.column.begin(), layer.column.end()}};
    RC_ASSERT(fault(topology) == "");
    RC_ASSERT(layer.weights.size() == layer.column.size());
    RC_ASSERT(layer.state[0].size() == layer.column.size());
    if (!layer.by_input()) return;
    const TransposedView view = transposed(topology);
    RC_ASSERT(std::equal(view.column_start.begin(), view.column_start.end(), layer.column_start.begin(),
                         layer.column_start.end()));
    RC_ASSERT(std::equal(view.row.begin(), view.row.end(), layer.row.begin(), layer.row.end()));
    RC_ASSERT(layer.input_weights.size() == view.slot.size());
    for (std::size_t e = 0; e < view.slot.size(); ++e) RC_ASSERT(layer.input_weights[e] == layer.weights[view.slot[e]]);
}

template <class Grow>
void check_evolution(const Layer& before, const PruneRule& prune_rule, const Grow& grow, double zeta, bool reset_state,
                     bool by_input, int threads, std::uint64_t seed) {
    const auto held = loaded(before, by_input);
    SparseCpuLayer& layer = sparse(*held);
    const EvolutionEvent event{seed, 3, 17};
    const auto expected = oracle_pruned(before, prune_rule, zeta, event);
    const Pruned pruned = prune(layer, {prune_rule, zeta, event}, threads);
    RC_ASSERT(layer.pruned == expected);
    RC_ASSERT(pruned.total() == expected.size());
    check_views(layer);
    const Layer zeroed = layer_at_rest(layer);
    const auto old_cells = cells_of(*before.topology);
    std::set<Cell> gone;
    for (EdgeIndex slot = 0; slot < before.weights.size(); ++slot) {
        const bool goes = std::binary_search(expected.begin(), expected.end(), slot);
        RC_ASSERT(zeroed.weights[slot] == (goes ? 0.0F : before.weights[slot]));
        if (goes) gone.insert(old_cells[slot]);
    }

    const WeightLaw law = NormalWeights{};
    const std::uint32_t grown = regrow(layer, {grow, law, reset_state, event}, threads);
    check_views(layer);
    const Layer after = layer_at_rest(layer);
    const Cell num_cells = before.topology->num_cells();
    const Cell missing = num_cells - old_cells.size() + (grow.allow_removed ? gone.size() : 0);
    RC_ASSERT(grown ==
              std::min(missing, static_cast<Cell>(std::lround(grow.share * static_cast<double>(gone.size())))));
    RC_ASSERT(after.weights.size() == before.weights.size() - gone.size() + grown);

    const auto old_edges = by_cell(before);
    auto left = by_cell(after);
    for (const auto& [cell, edge] : old_edges) {
        if (gone.count(cell) != 0) continue;
        RC_ASSERT(left.count(cell) == 1U);
        RC_ASSERT(left[cell] == edge);
        left.erase(cell);
    }
    RC_ASSERT(left.size() == grown);
    const Stream weights{seed, Purpose::new_weight, 3, 17};
    auto replaced = expected.begin();
    for (const auto& [cell, edge] : left) {
        RC_ASSERT(grow.allow_removed || old_edges.count(cell) == 0U);
        RC_ASSERT(edge.first == std::get<NormalWeights>(law)(weights.bits(cell), before.num_inputs));
        RC_ASSERT(edge.second == (reset_state ? 0.0F : before.weight_state[0][*replaced]));
        ++replaced;
    }
}

TEST(Evolution, ExactInEveryRespect) {
    EXPECT_TRUE(holds("prune and regrow against brute force", 50000, [] {
        const auto inputs = *rc::gen::inRange<Index>(1, 40);
        const auto outputs = *rc::gen::inRange<Index>(1, 40);
        const Cell cells = Cell{inputs} * outputs;
        const Cell edges = *rc::gen::element<Cell>(0, cells / 20, cells / 2, cells - cells / 10, cells);
        const double zeta = *rc::gen::element(0.0, 0.1, 0.3, 0.5, 0.99, 1.0);
        const auto seed = *rc::gen::arbitrary<std::uint64_t>();
        Layer layer = distinct_layer(inputs, outputs, edges, seed);
        // many ties, zeros of either sign
        if (*rc::gen::arbitrary<bool>()) {
            for (float& weight : layer.weights) weight = std::trunc(std::fmod(weight * 64, 3.0F));
        }
        const auto check = [&](const auto& grow) {
            check_evolution(layer, *rc::gen::elementOf(alternatives<PruneRule>()), grow, zeta,
                            *rc::gen::arbitrary<bool>(), *rc::gen::arbitrary<bool>(), 1, seed);
        };
        const bool allow_removed = *rc::gen::arbitrary<bool>();
        const double share = *rc::gen::element(1.0, 0.7, 0.0);
        switch (*rc::gen::inRange(0, 6)) {
            case 0:
                check(GrowNearParents{*rc::gen::element(1, 4), allow_removed, share});
                break;
            case 1:
                check(GrowHashOrder{allow_removed, share});
                break;
            default:
                check(GrowRandom{allow_removed, share});
        }
    }));
}

/// Several runs a row, several rows a run, more than one run.
TEST(Evolution, ExactInLargerLayers) {
    for (const auto& [inputs, outputs] : {std::pair{1000U, 3U}, std::pair{3U, 2000U}, std::pair{200U, 300U}}) {
        for (const Cell edges : {Cell{inputs} * outputs / 30, Cell{inputs} * outputs / 2}) {
            for (const bool allow_removed : {false, true}) {
                const Layer layer = distinct_layer(inputs, outputs, edges, 7);
                ASSERT_NO_THROW(
                    check_evolution(layer, PruneBySign{}, GrowRandom{allow_removed}, 0.3, true, true, 1, 5));
                ASSERT_NO_THROW(
                    check_evolution(layer, PruneByMagnitude{}, GrowRandom{allow_removed}, 0.3, false, true, 1, 6));
            }
        }
    }
}

/// More than 2^32 cells: 64-bit keys; empty rows at both ends and between.
TEST(Evolution, ExactBeyondFourBillionCells) {
    const Layer layer = distinct_layer(100000, 70000, 3000, 9);
    for (const bool by_input : {false, true}) {
        ASSERT_NO_THROW(check_evolution(layer, PruneBySign{}, GrowRandom{}, 0.5, false, by_input, 1, 5));
    }
}

TEST(Evolution, PruneTakesTiesInOrderAndLeavesZeros) {
    const std::vector<float> weights{0.5F, -0.5F, 0.0F, 0.5F, -0.0F, -0.5F, 0.5F, -2.0F, 0.5F, -0.5F};
    Layer layer;
    layer.num_inputs = 10;
    layer.num_outputs = 1;
    layer.topology = from_cells(10, 1, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
    layer.weights = weights;
    layer.bias.assign(1, 0.0F);
    auto held = loaded(layer, true);
    const Pruned by_sign = prune(sparse(*held), {PruneBySign{}, 0.5}, 1);
    EXPECT_EQ(by_sign.positive, 2U);
    EXPECT_EQ(by_sign.negative, 2U);
    EXPECT_EQ(by_sign.zero, 0U);
    EXPECT_EQ(sparse(*held).pruned, (std::vector<EdgeIndex>{0, 1, 3, 5}));
    held = loaded(layer, true);
    const Pruned by_magnitude = prune(sparse(*held), {PruneByMagnitude{}, 0.5}, 1);
    EXPECT_EQ(by_magnitude.positive, 2U);
    EXPECT_EQ(by_magnitude.negative, 1U);
    EXPECT_EQ(by_magnitude.zero, 2U);
    EXPECT_EQ(sparse(*held).pruned, (std::vector<EdgeIndex>{0, 1, 2, 3, 4}));
}

TEST(Evolution, QuotaIsTruncatedInDouble) {
    EXPECT_EQ(prune_quota(0.3, 10), 3U);
    EXPECT_EQ(prune_quota(0.29, 100), 28U);  // 0.29 * 100 is 28.999999999999996
    EXPECT_EQ(prune_quota(1, std::numeric_limits<EdgeIndex>::max()), std::numeric_limits<EdgeIndex>::max());
    EXPECT_EQ(prune_quota(0, 12345), 0U);
}

TEST(Evolution, PruneWantsZetaInRangeAndRegrowthBetween) {
    const auto backend = make_cpu_backend(1);
    const auto layer = backend->load(distinct_layer(5, 5, 10, 1), {true, Momentum{}});
    EXPECT_THROW(backend->prune(*layer, {PruneBySign{}, -0.1}), std::logic_error);
    EXPECT_THROW(backend->prune(*layer, {PruneBySign{}, 1.1}), std::logic_error);
    EXPECT_THROW(backend->prune(*layer, {PruneBySign{}, std::numeric_limits<double>::quiet_NaN()}), std::logic_error);
    backend->prune(*layer, {PruneBySign{}, 0.5});
    EXPECT_THROW(backend->prune(*layer, {PruneBySign{}, 0.5}), std::logic_error);
    backend->remove(*layer);
    EXPECT_GT(backend->prune(*layer, {PruneBySign{}, 0.5}).total(), 0U);
}

TEST(Evolution, RemoveDropsThePrunedEdges) {
    for (const bool by_input : {false, true}) {
        const Layer before = distinct_layer(20, 30, 200, 4);
        const auto held = loaded(before, by_input);
        const auto expected = oracle_pruned(before, PruneBySign{}, 0.3);
        prune(sparse(*held), {PruneBySign{}, 0.3}, 1);
        replace(sparse(*held), nullptr, 1);
        ASSERT_NO_THROW(check_views(sparse(*held)));
        const Layer after = layer_at_rest(*held);
        auto edges = by_cell(before);
        const auto cells = cells_of(*before.topology);
        for (const EdgeIndex slot : expected) edges.erase(cells[slot]);
        EXPECT_EQ(by_cell(after), edges);
    }
}

TEST(Evolution, AFullLayerGrowsNothingUnlessRemovedCellsCount) {
    for (const bool allow_removed : {false, true}) {
        const auto held = loaded(distinct_layer(6, 7, 42, 4), true);
        const std::uint32_t gone = prune(sparse(*held), {PruneByMagnitude{}, 0.5}, 1).total();
        EXPECT_EQ(gone, 21U);
        EXPECT_EQ(regrow(sparse(*held), {GrowRandom{allow_removed}, HeNormal{}, true, {1, 0, 0}}, 1),
                  allow_removed ? 21U : 0U);
        EXPECT_EQ(sparse(*held).num_edges(), allow_removed ? 42U : 21U);
        ASSERT_NO_THROW(check_views(sparse(*held)));
    }
}

/// Everything a layer holds, to compare bit for bit.
std::vector<std::uint32_t> words_of(const SparseCpuLayer& layer) {
    std::vector<std::uint32_t> words;
    const auto add = [&](const auto& values) {
        const std::size_t at = words.size();
        words.resize(at + values.size());
        if (!values.empty()) std::memcpy(words.data() + at, values.data(), values.size() * sizeof(std::uint32_t));
    };
    add(layer.row_start);
    add(layer.column);
    add(layer.weights);
    add(layer.column_start);
    add(layer.row);
    add(layer.input_weights);
    add(layer.state[0]);
    return words;
}

TEST(Evolution, SameBitsForAnyNumberOfThreads) {
    Layer before = distinct_layer(1500, 1000, 150000, 3);
    for (std::size_t i = 0; i < before.weights.size(); i += 2) before.weights[i] = 1;  // ties
    for (const bool reset_state : {false, true}) {
        std::vector<std::uint32_t> first;
        for (const int threads : {1, 2, 3}) {
            const auto held = loaded(before, true);
            for (std::uint32_t event = 0; event < 3; ++event) {
                const PruneRule rule = event == 1 ? PruneRule(PruneRandom{}) : PruneRule(PruneBySign{});
                prune(sparse(*held), {rule, 0.3, {1, 0, event}}, threads);
                regrow(sparse(*held), {GrowRandom{}, HeNormal{}, reset_state, {1, 0, event}}, threads);
            }
            const auto words = words_of(sparse(*held));
            if (first.empty()) first = words;
            EXPECT_EQ(words, first) << threads << " threads";
        }
    }
}

/// The verbs of the interface: load, prune, store, regrow, store, degrees.
TEST(Evolution, ThroughTheBackend) {
    const auto backend = make_cpu_backend(2);
    const Layer before = distinct_layer(100, 50, 600, 2);
    const auto layer = backend->load(before, LayerUse{true, Momentum{}});
    const Pruned pruned = backend->prune(*layer, {PruneBySign{}, 0.3});
    const Layer zeroed = backend->store(*layer);
    EXPECT_EQ(zeroed.topology->column, before.topology->column);
    EXPECT_EQ(std::count(zeroed.weights.begin(), zeroed.weights.end(), 0.0F), pruned.total());
    EXPECT_EQ(backend->regrow(*layer, {GrowRandom{}, HeNormal{}, true, {5, 0, 1}}), pruned.total());
    const Layer after = backend->store(*layer);
    EXPECT_EQ(fault(*after.topology), "");
    EXPECT_EQ(after.weights.size(), 600U);
    EXPECT_EQ(std::count(after.weight_state[0].begin(), after.weight_state[0].end(), 0.0F), pruned.total());
    EXPECT_EQ(backend->degrees(*layer).inputs, degrees(*after.topology).inputs);
    EXPECT_EQ(backend->degrees(*layer).outputs, degrees(*after.topology).outputs);
    backend->prune(*layer, {PruneByMagnitude{}, 0.5});
    backend->remove(*layer);
    EXPECT_EQ(backend->store(*layer).weights.size(), 300U);
}

}  // namespace
}  // namespace espalier
