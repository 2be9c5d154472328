// Ages, losses and survival of edges against brute force and by hand.
#include "host/topology/edge_lifetimes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "espalier/error.hpp"

namespace espalier {
namespace {

using testing::DoubleEq;
using testing::ElementsAre;

Topology of(const std::vector<Cell>& cells) { return from_cells(3, 2, cells); }

TEST(EdgeLifetimes, OfThreeEpochsByHand) {
    EdgeLifetimes history(of({0, 1, 4, 5}));
    const EdgeStatistics first = history.observe(of({0, 2, 3, 5}), 1);  // 1 and 4 go, 2 and 3 come
    EXPECT_EQ(first.edges, 4U);
    EXPECT_EQ(first.born, 2U);
    EXPECT_EQ(first.lost, 2U);
    EXPECT_DOUBLE_EQ(first.mean_age, 0.5);
    EXPECT_DOUBLE_EQ(first.from_birth, 0.5);
    EXPECT_DOUBLE_EQ(first.ever_active, 1);
    const EdgeStatistics second = history.observe(of({0, 1, 3}), 2);  // 2 goes young, 5 old; 1 comes back and is new
    EXPECT_EQ(second.born, 1U);
    EXPECT_EQ(second.lost, 2U);
    EXPECT_DOUBLE_EQ(second.mean_age, (2 + 0 + 1) / 3.0);
    EXPECT_DOUBLE_EQ(second.from_birth, 0.25);
    const EdgeStatistics third = history.observe(of({}), 3);
    EXPECT_EQ(third.lost, 3U);
    EXPECT_DOUBLE_EQ(third.mean_age, 0);
    // age 0 faced an epoch 4 + 2 + 1 times and fell 2 + 1 + 1 times; age 1: 2 + 1, 1 + 1; age 2: once, fell
    EXPECT_THAT(history.lifetimes().at_risk, ElementsAre(7, 3, 1));
    EXPECT_THAT(history.lifetimes().lost, ElementsAre(4, 2, 1));
    EXPECT_THAT(survival(history.lifetimes().at_risk, history.lifetimes().lost),
                ElementsAre(DoubleEq(3.0 / 7), DoubleEq(1.0 / 7), 0));
}

TEST(EdgeLifetimes, AgreesWithBruteForceOnRandomLives) {
    constexpr Index inputs = 30, outputs = 20;
    constexpr std::uint32_t epochs = 40;
    std::set<Cell> alive;
    std::map<Cell, std::uint32_t> born;
    const Stream stream{3, Purpose::synthetic, 0, 0};
    std::uint64_t n = 0;
    const auto topology = [&] { return from_cells(inputs, outputs, {alive.begin(), alive.end()}); };
    for (int i = 0; i < 100; ++i) alive.insert(bounded(stream.bits(n++), inputs * outputs));
    for (const Cell cell : alive) born[cell] = 0;
    std::set<Cell> ever = alive;
    const std::set<Cell> first = alive;
    Topology last = topology();
    EdgeLifetimes history(last);
    std::vector<std::uint64_t> at_risk(epochs, 0), lost(epochs, 0);
    for (std::uint32_t epoch = 1; epoch <= epochs; ++epoch) {
        const std::map<Cell, std::uint32_t> before = born;
        const std::set<Cell> held = alive;
        EdgeIndex num_lost = 0, num_born = 0;
        for (const Cell cell : held) {
            const bool goes = bounded(stream.bits(n++), 10) < 3;
            ++at_risk[epoch - 1 - before.at(cell)];
            if (!goes) continue;
            ++lost[epoch - 1 - before.at(cell)];
            ++num_lost;
            alive.erase(cell);
            born.erase(cell);
        }
        for (int i = 0; i < 30; ++i) {
            const Cell cell = bounded(stream.bits(n++), inputs * outputs);
            if (held.count(cell) != 0 || !alive.insert(cell).second) continue;
            born[cell] = epoch;
            ever.insert(cell);
            ++num_born;
        }
        if (epoch % 7 == 0) {  // as if it had been stopped and gone on
            const LifetimeState lifetimes = history.lifetimes();
            history = EdgeLifetimes(last, lifetimes);
        }
        last = topology();
        const EdgeStatistics look = history.observe(last, epoch);
        double ages = 0, from_birth = 0;
        for (const auto& [cell, since] : born) {
            ages += epoch - since;
            from_birth += since == 0 ? 1 : 0;
        }
        EXPECT_EQ(look.edges, alive.size());
        EXPECT_EQ(look.born, num_born);
        EXPECT_EQ(look.lost, num_lost);
        EXPECT_DOUBLE_EQ(look.mean_age, ages / static_cast<double>(alive.size()));
        EXPECT_DOUBLE_EQ(look.from_birth, from_birth / static_cast<double>(first.size()));
        EXPECT_DOUBLE_EQ(look.ever_active, static_cast<double>(ever.size()) / (inputs * outputs));
    }
    EXPECT_EQ(history.lifetimes().at_risk, at_risk);
    EXPECT_EQ(history.lifetimes().lost, lost);
}

TEST(EdgeLifetimes, LivesThatCannotBelongAreRefused) {
    EdgeLifetimes history(of({0, 1}));
    history.observe(of({0, 2}), 1);
    const LifetimeState lifetimes = history.lifetimes();
    EXPECT_NO_THROW(EdgeLifetimes(of({0, 2}), lifetimes));
    EXPECT_THROW(EdgeLifetimes(of({0, 2, 3}), lifetimes), UserError);
    EXPECT_THROW(EdgeLifetimes(from_cells(100, 2, {0, 2}), lifetimes), UserError);
    LifetimeState other = lifetimes;
    other.born[0] = 2;
    EXPECT_THROW(EdgeLifetimes(of({0, 2}), other), UserError);
    other = lifetimes;
    other.epoch = 5;
    EXPECT_THROW(EdgeLifetimes(of({0, 2}), other), UserError);
}

TEST(EdgeLifetimes, SurvivalOfAConstantHazardIsGeometric) {
    const auto shares = survival({1000, 700, 490, 0, 0}, {300, 210, 147, 0, 0});
    EXPECT_THAT(shares, ElementsAre(DoubleEq(0.7), DoubleEq(0.7 * 0.7), DoubleEq(0.7 * 0.7 * 0.7)));
}

}  // namespace
}  // namespace espalier
