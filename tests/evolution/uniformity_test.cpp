// Topology evolution draws without favour: pruned edges and grown ones are uniform, alone and in pairs.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "evolving_layers.hpp"

namespace espalier {
namespace {

/// Every edge is as likely to go as any other, whatever its weight, and pairs of edges are independent but for the
/// count.
TEST(Evolution, RandomPruningIsUniform) {
    constexpr int trials = 20000;
    constexpr int edges = 25;
    constexpr int pruned = 10;
    const Layer before = distinct_layer(9, 8, edges, 12);
    std::vector<double> count(edges, 0);
    std::map<std::pair<EdgeIndex, EdgeIndex>, double> pairs;
    for (std::uint32_t trial = 0; trial < trials; ++trial) {
        const auto held = loaded(before, trial % 2 == 0);
        ASSERT_EQ(prune(sparse(*held), {PruneRandom{}, 0.4, {77, 1, trial}}, 1).total(), EdgeIndex{pruned});
        const auto& slots = sparse(*held).pruned;
        for (std::size_t i = 0; i < slots.size(); ++i) {
            count[slots[i]] += 1;
            for (std::size_t j = 0; j < i; ++j) pairs[{slots[j], slots[i]}] += 1;
        }
    }
    constexpr double share = static_cast<double>(pruned) / edges;
    double chi_square = 0;
    for (const double times : count) chi_square += std::pow(times - trials * share, 2) / (trials * share * (1 - share));
    EXPECT_NEAR(chi_square, edges, 4.5 * std::sqrt(2.0 * edges));
    constexpr double pair_share = share * (pruned - 1) / (edges - 1);
    double worst = 0;
    for (const auto& [pair, times] : pairs) {
        worst = std::max(worst, std::abs(times - trials * pair_share) / std::sqrt(trials * pair_share));
    }
    EXPECT_EQ(pairs.size(), std::size_t{edges * (edges - 1) / 2});
    EXPECT_LT(worst, 5);
}

/// All missing cells are equally likely to get an edge, whatever lies around them.
TEST(Evolution, GrowthIsUniform) {
    constexpr int trials = 20000;
    for (const bool allow_removed : {false, true}) {
        Layer before = distinct_layer(9, 8, 25, 12);
        const auto expected = oracle_pruned(before, PruneByMagnitude{}, 0.4);
        const auto old_cells = cells_of(*before.topology);
        std::set<Cell> blocked(old_cells.begin(), old_cells.end());
        if (allow_removed) {
            for (const EdgeIndex slot : expected) blocked.erase(old_cells[slot]);
        }
        std::set<Cell> kept(old_cells.begin(), old_cells.end());
        for (const EdgeIndex slot : expected) kept.erase(old_cells[slot]);
        std::vector<double> count(72, 0);
        std::map<std::pair<Cell, Cell>, double> pairs;
        for (int trial = 0; trial < trials; ++trial) {
            const auto held = loaded(before, false);
            prune(sparse(*held), {PruneByMagnitude{}, 0.4}, 1);
            regrow(sparse(*held),
                   {GrowRandom{allow_removed}, HeNormal{}, true, {77, 1, static_cast<std::uint32_t>(trial)}}, 1);
            std::vector<Cell> grown;
            for (const Cell cell : cells_of(*layer_at_rest(*held).topology)) {
                if (kept.count(cell) == 0) grown.push_back(cell);
            }
            ASSERT_EQ(grown.size(), 10U);
            for (std::size_t i = 0; i < grown.size(); ++i) {
                ASSERT_EQ(blocked.count(grown[i]), 0U);
                count[grown[i]] += 1;
                for (std::size_t j = 0; j < i; ++j) pairs[{grown[j], grown[i]}] += 1;
            }
        }
        const auto missing = static_cast<double>(72 - blocked.size());
        const double share = 10 / missing;
        double chi_square = 0;
        for (Cell cell = 0; cell < 72; ++cell) {
            if (blocked.count(cell) != 0) continue;
            const double expect = trials * share;
            chi_square += (count[cell] - expect) * (count[cell] - expect) / (expect * (1 - share));
        }
        // draws without replacement: the counts' variance shrinks by (missing - 1) / missing
        EXPECT_NEAR(chi_square, missing, 4.5 * std::sqrt(2 * missing)) << "allow_removed " << allow_removed;
        const double pair_share = share * 9 / (missing - 1);
        double worst = 0;
        for (const auto& [pair, times] : pairs) {
            worst = std::max(worst, std::abs(times - trials * pair_share) / std::sqrt(trials * pair_share));
        }
        EXPECT_EQ(pairs.size(), static_cast<std::size_t>(missing * (missing - 1) / 2));
        EXPECT_LT(worst, 5);
    }
}

}  // namespace
}  // namespace espalier
