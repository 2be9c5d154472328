// Topologies at rest: births by the three laws, views, invariants, edge counts.
#include "espalier/topology.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "alternatives.hpp"
#include "chi_square.hpp"
#include "espalier/error.hpp"
#include "property.hpp"
#include "test_layers.hpp"

namespace espalier {
namespace {

using testing::HasSubstr;

Stream birth(std::uint64_t seed) { return {seed, Purpose::topology, 0, 0}; }

std::string usage_error(const std::function<void()>& call) {
    try {
        call();
    } catch (const UserError& error) {
        EXPECT_EQ(error.code(), ExitCode::usage);
        return error.what();
    }
    ADD_FAILURE() << "no UserError";
    return {};
}

TEST(Topology, HandMadeViews) {
    // row 0: 1, 3; row 1: none; row 2: 0, 1
    const Topology topology = from_cells(4, 3, {1, 3, 8, 9});
    EXPECT_EQ(topology.row_start, (std::vector<EdgeIndex>{0, 2, 2, 4}));
    EXPECT_EQ(topology.column, (std::vector<Index>{1, 3, 0, 1}));
    EXPECT_EQ(fault(topology), "");
    EXPECT_DOUBLE_EQ(topology.density(), 4.0 / 12);
    EXPECT_EQ(coo(topology).row, (std::vector<Index>{0, 0, 2, 2}));
    const TransposedView view = transposed(topology);
    EXPECT_EQ(view.column_start, (std::vector<EdgeIndex>{0, 1, 3, 3, 4}));
    EXPECT_EQ(view.row, (std::vector<Index>{2, 0, 2, 0}));
    EXPECT_EQ(view.slot, (std::vector<EdgeIndex>{2, 0, 3, 1}));
    EXPECT_EQ(degrees(topology).inputs, (std::vector<EdgeIndex>{1, 2, 0, 1}));
    EXPECT_EQ(degrees(topology).outputs, (std::vector<EdgeIndex>{2, 0, 2}));
}

TEST(Topology, FaultSaysWhatAndWhere) {
    const Topology good = from_cells(4, 3, {1, 3, 8, 9});
    const auto broken = [&](const auto& breaks) {
        Topology topology = good;
        breaks(topology);
        return fault(topology);
    };
    EXPECT_THAT(broken([](Topology& t) { t.row_start.pop_back(); }), HasSubstr("3 entries, expected 4"));
    EXPECT_THAT(broken([](Topology& t) { t.row_start[0] = 1; }), HasSubstr("row_start[0] is 1"));
    EXPECT_THAT(broken([](Topology& t) { t.row_start[1] = 3; }), HasSubstr("falls after row 1"));
    EXPECT_THAT(broken([](Topology& t) { t.column.push_back(3); }), HasSubstr("ends at 4, but there are 5"));
    EXPECT_THAT(broken([](Topology& t) { t.column[3] = 4; }), HasSubstr("edge 3 (row 2, column 4)"));
    EXPECT_THAT(broken([](Topology& t) { t.column[1] = 1; }), HasSubstr("edge 1 (row 0, column 1) occurs twice"));
    EXPECT_THAT(broken([](Topology& t) { t.column[1] = 0; }), HasSubstr("must ascend"));
}

TEST(Topology, FromCellsWantsAscendingCellsInRange) {
    EXPECT_THROW(from_cells(2, 2, {1, 1}), std::logic_error);
    EXPECT_THROW(from_cells(2, 2, {2, 1}), std::logic_error);
    EXPECT_THROW(from_cells(2, 2, {4}), std::logic_error);
    EXPECT_THROW(from_cells(2, 2, {0, 1, 2, 3, 4}), UserError);
    EXPECT_EQ(fault(from_cells(1, 1, {})), "");
}

TEST(Birth, PropertiesOfEveryLaw) {
    EXPECT_TRUE(holds("births are canonical topologies, views and degrees agree", 50000, [] {
        const auto inputs = *rc::gen::inRange<Index>(1, 60);
        const auto outputs = *rc::gen::inRange<Index>(1, 60);
        const Cell wanted = *rc::gen::inRange<Cell>(0, Cell{inputs} * outputs + 1);
        const auto seed = *rc::gen::arbitrary<std::uint64_t>();
        for (const BirthLaw& law : alternatives<BirthLaw>()) {
            if (std::holds_alternative<ReceptiveFields>(law) && seed % 16 != 0) continue;  // slow: it looks at every cell
            const Topology topology = random_topology(inputs, outputs, wanted, law, birth(seed));
            RC_ASSERT(fault(topology) == "");
            if (std::holds_alternative<ExactCount>(law)) RC_ASSERT(topology.num_edges() == wanted);
            if (std::holds_alternative<WithReplacement>(law)) RC_ASSERT(topology.num_edges() <= wanted);
            if (wanted == 0) RC_ASSERT(topology.num_edges() == 0U);
            RC_ASSERT(from_cells(inputs, outputs, cells_of(topology)).column == topology.column);
            const Degrees degree = degrees(topology);
            const auto sum = [](const auto& v) { return std::accumulate(v.begin(), v.end(), EdgeIndex{0}); };
            RC_ASSERT(sum(degree.inputs) == topology.num_edges());
            RC_ASSERT(sum(degree.outputs) == topology.num_edges());
            const TransposedView view = transposed(topology);
            const CooEdges edges = coo(topology);
            for (Index input = 0; input < inputs; ++input) {
                RC_ASSERT(view.column_start[input + 1] - view.column_start[input] == degree.inputs[input]);
                for (EdgeIndex e = view.column_start[input]; e < view.column_start[input + 1]; ++e) {
                    RC_ASSERT(edges.column[view.slot[e]] == input);
                    RC_ASSERT(edges.row[view.slot[e]] == view.row[e]);
                    RC_ASSERT((e == view.column_start[input] || view.row[e - 1] < view.row[e]));
                }
            }
        }
    }));
}

/// How often each cell holds an edge over many births.
std::vector<double> cell_counts(Index inputs, Index outputs, Cell edges, const BirthLaw& law, int births) {
    std::vector<double> count(std::size_t{inputs} * outputs, 0);
    for (int i = 0; i < births; ++i) {
        const auto seed = static_cast<std::uint64_t>(i);
        for (const Cell cell : cells_of(random_topology(inputs, outputs, edges, law, birth(seed)))) count[cell] += 1;
    }
    return count;
}

TEST(Birth, CellsAreEquallyLikely) {
    constexpr int births = 20000;
    constexpr double cells = 13 * 7;
    for (const Cell edges : {Cell{9}, Cell{60}}) {
        for (BirthLaw law : alternatives<BirthLaw>()) {
            if (auto* receptive = std::get_if<ReceptiveFields>(&law)) receptive->r = 1;  // else near cells are likelier
            const auto count = cell_counts(13, 7, edges, law, births);
            const double sum = std::accumulate(count.begin(), count.end(), 0.0);
            const double share = sum / births / cells;
            // a cell's count is binomial: variance expected * (1 - share)
            double chi_square = 0;
            for (const double each : count) {
                chi_square += (each - births * share) * (each - births * share) / (births * share * (1 - share));
            }
            EXPECT_NEAR(chi_square, cells - 1, 4.5 * std::sqrt(2 * cells)) << rule_text(law) << " " << edges;
            const double density = static_cast<double>(edges) / cells;
            const double expected =
                std::holds_alternative<WithReplacement>(law) ? 1 - std::pow(1 - 1 / cells, edges) : density;
            EXPECT_NEAR(share, expected, 4 * std::sqrt(density * (1 - density) / (births * cells)))
                << rule_text(law) << " " << edges;
        }
    }
}

TEST(Birth, ConstantFanInGivesEveryOutputAsManyInputs) {
    for (const Cell edges : {Cell{0}, Cell{5}, Cell{42}, Cell{45}, Cell{91}}) {
        const Degrees degree = degrees(random_topology(13, 7, edges, ConstantFanIn{}, birth(5)));
        std::size_t more = 0;
        for (const EdgeIndex each : degree.outputs) {
            more += each == edges / 7 + 1 ? 1 : 0;
            EXPECT_TRUE(each == edges / 7 || each == edges / 7 + 1) << each << " of " << edges;
        }
        EXPECT_EQ(more, edges % 7);
    }
}

TEST(Birth, ReceptiveFieldsGiveEveryInputAsManyOutputs) {
    for (const double r : {0.0, 0.25, 1.0}) {
        for (const Cell edges : {Cell{0}, Cell{5}, Cell{42}, Cell{45}, Cell{91}}) {
            const Degrees degree = degrees(random_topology(13, 7, edges, ReceptiveFields{r}, birth(5)));
            std::size_t more = 0;
            for (const EdgeIndex each : degree.inputs) {
                more += each == edges / 13 + 1 ? 1 : 0;
                EXPECT_TRUE(each == edges / 13 || each == edges / 13 + 1) << each << " of " << edges;
            }
            EXPECT_EQ(more, edges % 13);
        }
    }
}

TEST(Birth, ReceptiveFieldsOfNoWidthAreTheNearestOutputs) {
    // input i lies at i * 8 / 6 among 8 outputs on a ring: 0, 4/3, 8/3, 4, 16/3, 20/3
    const Topology one = random_topology(6, 8, 6, ReceptiveFields{0}, birth(1));
    EXPECT_EQ(cells_of(one), cells_of(from_cells(6, 8, {0, 6 + 1, 18 + 2, 24 + 3, 30 + 4, 42 + 5})));
    // three each: one on either side too; of outputs as far the first
    const TransposedView view = transposed(random_topology(6, 8, 18, ReceptiveFields{0}, birth(2)));
    for (Index input = 0; input < 6; ++input) {
        std::vector<std::pair<double, Index>> ranked;
        for (Index output = 0; output < 8; ++output) {
            const double apart = std::abs(output - input * 8 / 6.0);
            ranked.emplace_back(std::round(1e9 * std::min(apart, 8 - apart)), output);
        }
        std::sort(ranked.begin(), ranked.end());
        std::vector<Index> nearest{ranked[0].second, ranked[1].second, ranked[2].second};
        std::sort(nearest.begin(), nearest.end());
        EXPECT_TRUE(std::equal(nearest.begin(), nearest.end(), view.row.begin() + view.column_start[input])) << input;
    }
}

/// The chance of each output to be among the two drawn without replacement, by hand.
TEST(Birth, ReceptiveFieldsAreDrawnInProportionToTheirWeights) {
    constexpr int births = 20000;
    constexpr Index inputs = 5, outputs = 12;
    for (const double r : {0.25, 0.5, 0.8}) {
        std::vector<double> count(std::size_t{inputs} * outputs, 0);
        for (int i = 0; i < births; ++i) {
            const auto topology =
                random_topology(inputs, outputs, 2 * inputs, ReceptiveFields{r}, birth(static_cast<std::uint64_t>(i)));
            for (const Cell cell : cells_of(topology)) ++count[cell];
        }
        for (Index input = 0; input < inputs; ++input) {
            std::vector<double> weight(outputs);
            for (Index output = 0; output < outputs; ++output) {
                const double apart = std::abs(output - static_cast<double>(input) * outputs / inputs);
                weight[output] = std::pow(1 + std::min(apart, outputs - apart), -(1 - r) / r);
            }
            const double sum = std::accumulate(weight.begin(), weight.end(), 0.0);
            double chi_square = 0;
            for (Index output = 0; output < outputs; ++output) {
                double chance = weight[output] / sum;
                for (Index first = 0; first < outputs; ++first) {
                    if (first != output) chance += weight[first] / sum * weight[output] / (sum - weight[first]);
                }
                const double expected = births * chance;
                const double apart = count[std::size_t{output} * inputs + input] - expected;
                chi_square += apart * apart / (expected * (1 - chance));
            }
            // of so many counts with a known sum the mean is outputs, the deviation about sqrt(2 outputs)
            EXPECT_NEAR(chi_square, outputs - 1, 4.5 * std::sqrt(2.0 * outputs)) << "r " << r << ", input " << input;
        }
    }
}

TEST(Birth, BernoulliCountsAreBinomial) {
    constexpr int births = 20000;
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < births; ++i) {
        const double edges =
            random_topology(40, 25, 120, BernoulliCells{}, birth(1000 + static_cast<std::uint64_t>(i))).num_edges();
        sum += edges;
        squares += edges * edges;
    }
    const double mean = sum / births;
    const double variance = 1000 * 0.12 * 0.88;
    EXPECT_NEAR(mean, 120, 4 * std::sqrt(variance / births));
    EXPECT_NEAR(squares / births - mean * mean, variance, 4 * variance * std::sqrt(2.0 / births));
}

TEST(Birth, NeighbouringCellsAreIndependent) {
    constexpr int births = 20000;
    for (const BirthLaw& law : {BirthLaw{BernoulliCells{}}, BirthLaw{ExactCount{}}}) {
        double both = 0;
        for (int i = 0; i < births; ++i) {
            const auto cells = cells_of(random_topology(10, 10, 20, law, birth(static_cast<std::uint64_t>(i))));
            for (std::size_t e = 1; e < cells.size(); ++e) both += cells[e] == cells[e - 1] + 1 ? 1 : 0;
        }
        const double pair = std::holds_alternative<BernoulliCells>(law) ? 0.04 : 20.0 * 19 / (100 * 99);
        EXPECT_NEAR(both / births / 99, pair, 4 * std::sqrt(pair / (births * 99.0))) << rule_text(law);
    }
}

TEST(Birth, ALayerOfMoreThanFourBillionCells) {
    for (const BirthLaw& law : alternatives<BirthLaw>()) {
        if (std::holds_alternative<ReceptiveFields>(law)) {
            EXPECT_THAT(usage_error([&] { random_topology(100000, 100000, 20000, law, birth(3)); }),
                        HasSubstr("receptive looks at every cell, of at most 268435456"));
            continue;
        }
        const Topology topology = random_topology(100000, 100000, 20000, law, birth(3));
        EXPECT_EQ(fault(topology), "");
        EXPECT_NEAR(topology.num_edges(), 20000, 4 * std::sqrt(20000.0)) << rule_text(law);
        std::vector<double> tenth(10, 0);
        for (const Cell cell : cells_of(topology)) tenth[cell / 1000000000] += 1;
        EXPECT_LT(std::abs(chi_square_deviation(tenth, topology.num_edges() / 10.0)), 4) << rule_text(law);
    }
}

TEST(Birth, SameStreamSameTopologyOtherStreamAnother) {
    for (const BirthLaw& law : alternatives<BirthLaw>()) {
        EXPECT_EQ(random_topology(50, 40, 300, law, birth(1)).column,
                  random_topology(50, 40, 300, law, birth(1)).column);
        EXPECT_NE(random_topology(50, 40, 300, law, birth(1)).column,
                  random_topology(50, 40, 300, law, birth(2)).column);
    }
}

TEST(Birth, TooManyEdges) {
    EXPECT_THAT(usage_error([] { random_topology(3, 4, 13, ExactCount{}, birth(1)); }),
                HasSubstr("12 cells and cannot hold 13 edges"));
    EXPECT_THAT(usage_error([] { random_topology(100000, 100000, Cell{1} << 32, ExactCount{}, birth(1)); }),
                HasSubstr("at most 4294967295"));
}

TEST(EdgeCounts, ByEpsilon) {
    EXPECT_EQ(edges_by_epsilon(784, 512, 11), 14256U);
    EXPECT_EQ(edges_by_epsilon(512, 128, 11), 7040U);
    EXPECT_EQ(edges_by_epsilon(10, 3, 0.99), 12U);  // floor
    EXPECT_EQ(edges_by_epsilon(10, 3, 0), 0U);
    EXPECT_EQ(edges_by_epsilon(10, 3, 4), 30U);  // more than there are: full
    EXPECT_EQ(edges_by_epsilon(10, 3, 1e9), 30U);
    EXPECT_GE(edges_by_epsilon(10, 3, 30.0 / 13), 29U);  // the product may fall just short of 30
    usage_error([] { edges_by_epsilon(10, 3, -1); });
    usage_error([] { edges_by_epsilon(10, 3, std::numeric_limits<double>::quiet_NaN()); });
}

TEST(EdgeCounts, ByErk) {
    // 100x100 and 100x10 cells, kernel weights 200 and 110; half of 11,000 edges: 100x10 would get 1,952 > 1,000
    EXPECT_EQ(edges_by_erk({100, 100, 10}, 0.5), (std::vector<Cell>{4500, 1000}));
    // a tenth: 1,100 edges in the proportion 200 : 110
    EXPECT_EQ(edges_by_erk({100, 100, 10}, 0.9), (std::vector<Cell>{710, 390}));
    EXPECT_EQ(edges_by_erk({5, 4, 3}, 0), (std::vector<Cell>{20, 12}));
    usage_error([] { edges_by_erk({5, 4}, 1); });
    usage_error([] { edges_by_erk({5, 4}, -0.1); });
    EXPECT_TRUE(rc::check("the overall sparsity holds and no layer overflows", [] {
        const auto widths = *rc::gen::container<std::vector<Index>>(rc::gen::inRange<Index>(1, 500));
        const double sparsity = *rc::gen::inRange(0, 1000) / 1000.0;
        const auto edges = edges_by_erk(widths, sparsity);
        double cells = 0;
        double sum = 0;
        for (std::size_t l = 0; l < edges.size(); ++l) {
            const Cell own = Cell{widths[l]} * widths[l + 1];
            RC_ASSERT(edges[l] <= own);
            cells += static_cast<double>(own);
            sum += static_cast<double>(edges[l]);
        }
        RC_ASSERT(std::abs(sum - (1 - sparsity) * cells) <= 0.5 * static_cast<double>(edges.size()) + 1e-6);
    }));
}

}  // namespace
}  // namespace espalier
