// The missing cells of largest gradients against a dense oracle: every gradient as a chain of fmaf, every missing cell
// sorted. Equal ranks for any number of threads, with and without skipping, whatever room the search has, by the CPU's
// own way and by the one over Thrust.
#include "host/cpu/evolution/top_gradients.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thrust/system/omp/execution_policy.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "espalier/common/top_gradients.hpp"
#include "gradient_cases.hpp"

namespace espalier::top_gradients_test {
namespace {

using testing::ElementsAreArray;
using Case = GradientCase;

/// Ranks of the best `count` of `among` (ranks of missing cells), those without a gradient left out; ascending.
std::vector<Cell> oracle_ranks(const Case& layer, const std::vector<Cell>& missing, std::vector<Cell> among,
                               std::size_t count) {
    std::vector<std::pair<float, Cell>> sorted;
    for (const Cell rank : among) {
        const float magnitude = std::abs(layer.gradients[missing[rank]]);
        if (magnitude > 0) sorted.emplace_back(-magnitude, rank);
    }
    std::sort(sorted.begin(), sorted.end());
    sorted.resize(std::min(count, sorted.size()));
    std::vector<Cell> ranks;
    for (const auto& each : sorted) ranks.push_back(each.second);
    std::sort(ranks.begin(), ranks.end());
    return ranks;
}

std::vector<Cell> all_ranks(std::size_t count) {
    std::vector<Cell> ranks(count);
    for (std::size_t i = 0; i < count; ++i) ranks[i] = i;
    return ranks;
}

template <class Key>
std::vector<Cell> fast(const Case& layer, EdgeIndex count, bool allow_removed, const GradientSearch& search) {
    CpuScratch scratch;
    std::vector<Key> ranks(count);
    ranks.resize(fast_top_gradients(layer.evidence(), layer.view(), change_of<Key>(layer, count, allow_removed), search,
                                    scratch, ranks.data()));
    return {ranks.begin(), ranks.end()};
}

template <class Key, class Policy>
std::vector<Cell> by_thrust(const Policy& policy, const Case& layer, EdgeIndex count, bool allow_removed,
                            std::uint32_t piece) {
    TestScratch scratch;
    std::vector<Key> ranks(count);
    ranks.resize(top_gradients(policy, scratch, layer.evidence(), layer.view(),
                               change_of<Key>(layer, count, allow_removed), ranks.data(), piece));
    return {ranks.begin(), ranks.end()};
}

void expect_oracle(const Case& layer) {
    for (const bool allow_removed : {false, true}) {
        const std::vector<Cell> missing = layer.missing(allow_removed);
        const auto cells = static_cast<EdgeIndex>(missing.size());
        for (const EdgeIndex count : std::set<EdgeIndex>{1, cells / 10, cells / 2, cells}) {
            if (count == 0 || count > cells) continue;
            SCOPED_TRACE(std::to_string(count) + " of " + std::to_string(cells) + (allow_removed ? ", removed too" : ""));
            const auto want = oracle_ranks(layer, missing, all_ranks(missing.size()), count);
            for (const bool skip : {false, true}) {
                ASSERT_THAT(fast<std::uint32_t>(layer, count, allow_removed, {1, skip, 1}), ElementsAreArray(want))
                    << "skipping " << skip;
            }
            ASSERT_THAT(fast<std::uint64_t>(layer, count, allow_removed, {1, true, 0}), ElementsAreArray(want));
            ASSERT_THAT(by_thrust<std::uint32_t>(thrust::seq, layer, count, allow_removed, 371), ElementsAreArray(want));
            if (!allow_removed || count != cells / 2 || layer.pruned.empty()) continue;
            for (const int threads : {2, 5}) {
                ASSERT_THAT(fast<std::uint32_t>(layer, count, allow_removed, {threads, true, 1}), ElementsAreArray(want))
                    << threads << " threads";
            }
            ASSERT_THAT(by_thrust<std::uint64_t>(thrust::omp::par, layer, count, allow_removed, gradient_piece),
                        ElementsAreArray(want));
        }
    }
}

TEST(TopGradients, AreTheOraclesForAwkwardShapes) {
    TestRandom random(1);
    for (const auto& [inputs, outputs, density, batch] :
         {Shape{1, 1, 0, 1}, Shape{1, 70, 0.3, 65}, Shape{97, 1, 0.3, 5}, Shape{49, 9, 0.2, 129}, Shape{53, 70, 0.05, 64},
          Shape{100, 130, 0.5, 33}, Shape{48, 8, 0.9, 1}, Shape{7, 5, 1, 40}}) {
        for (const EdgeIndex step : {0U, 1U, 3U}) {  // nothing, everything, a third pruned
            SCOPED_TRACE(std::to_string(inputs) + " x " + std::to_string(outputs) + ", every " + std::to_string(step));
            expect_oracle(Case(test_topology(inputs, outputs, density, random), step,
                               random_matrix(inputs, batch, 1, random), random_matrix(outputs, batch, 1, random)));
            if (HasFatalFailure()) return;
        }
    }
}

/// Sums in double precision, in another order than the search's: which cells are taken may differ only where a gradient
/// lies within 1e-5 of the least one taken.
TEST(TopGradients, AreThoseOfDoublePrecisionButForNearTies) {
    TestRandom random(8);
    std::size_t near = 0;
    for (int trial = 0; trial < 20; ++trial) {
        const Case layer(test_topology(150, 120, 0.1, random), 4, random_matrix(150, 100, 1, random),
                         random_matrix(120, 100, 1, random));
        const std::vector<Cell> missing = layer.missing(true);
        std::vector<double> exact;
        for (const Cell cell : missing) {
            double sum = 0;
            for (Index s = layer.x.batch; s-- > 0;) {
                sum += static_cast<double>(layer.dz.view().at(static_cast<Index>(cell / 150), s)) *
                       layer.x.view().at(static_cast<Index>(cell % 150), s);
            }
            exact.push_back(std::abs(sum));
        }
        const auto count = static_cast<EdgeIndex>(missing.size() / 20);
        std::vector<double> sorted = exact;
        std::nth_element(sorted.begin(), sorted.begin() + (count - 1), sorted.end(), std::greater<>());
        const double least = sorted[count - 1];
        std::vector<bool> taken(missing.size(), false);
        for (const Cell rank : fast<std::uint32_t>(layer, count, true, {1, true, 0})) taken[rank] = true;
        for (std::size_t rank = 0; rank < missing.size(); ++rank) {
            const bool near_tie = std::abs(exact[rank] - least) <= 1e-5 * least;
            near += near_tie ? 1 : 0;
            if (near_tie) continue;
            ASSERT_EQ(taken[rank], exact[rank] > least) << exact[rank] << " beside " << least;
        }
    }
    EXPECT_LT(near, 60U) << "a few cells of 20 times 17,000, or the test sees nothing";
}

TEST(TopGradients, AreTheOraclesAmongTiesZerosAndNumbersThatAreNone) {
    TestRandom random(2);
    const Topology topology = test_topology(90, 50, 0.2, random);
    expect_oracle(Case(topology, 3, grid_matrix(90, 3, 1, 1, random), grid_matrix(50, 3, 1, 1, random)));
    expect_oracle(Case(topology, 3, random_matrix(90, 3, 1, random), oracle::Matrix(50, 3, 0)));
    oracle::Matrix strange = random_matrix(50, 70, 1, random);
    strange(3, 2) = std::numeric_limits<double>::quiet_NaN();
    strange(7, 1) = std::numeric_limits<double>::infinity();
    strange(9, 5) = -std::numeric_limits<double>::infinity();
    strange(11, 0) = std::numeric_limits<float>::max();
    strange(12, 0) = std::numeric_limits<float>::denorm_min();
    oracle::Matrix inputs = random_matrix(90, 70, 4, random);
    for (std::size_t s = 0; s < 70; ++s) inputs(5, s) = strange(13, s) = 1e-30;  // products that are subnormal or 0
    expect_oracle(Case(topology, 3, inputs, strange));
}

/// Blocks whose gradients rise as the search goes on, though their norms fall: the threshold is of least help.
TEST(TopGradients, AreTheOraclesWhereNormsMislead) {
    TestRandom random(3);
    oracle::Matrix x = random_matrix(200, 16, 1, random);
    oracle::Matrix dz = random_matrix(150, 16, 1, random);
    for (std::size_t row = 0; row < 200; ++row) {
        for (std::size_t s = 0; s < 8; ++s) x(row, s) *= 200.0 - static_cast<double>(row);  // large, where dz is 0
    }
    for (std::size_t row = 0; row < 150; ++row) {
        for (std::size_t s = 0; s < 8; ++s) dz(row, s) = 0;
        for (std::size_t s = 8; s < 16; ++s) dz(row, s) *= 1 + 0.01 * static_cast<double>(row);
    }
    expect_oracle(Case(test_topology(200, 150, 0.1, random), 5, x, dz));
}

std::vector<Cell> drawn(const GrowGradient& rule, const Case& layer, EdgeIndex count, const Stream& stream,
                        int threads) {
    const auto change = change_of<std::uint32_t>(layer, count, rule.allow_removed);
    const Cell missing = layer.missing(rule.allow_removed).size();
    std::vector<std::uint32_t> ranks(count);
    CpuScratch scratch;
    fast_draw_by_gradient(rule, layer.evidence(), layer.view(), change, missing, stream, threads, scratch, ranks.data());
    std::vector<std::uint32_t> other(count);
    TestScratch test_scratch;
    draw_by_gradient(thrust::seq, test_scratch, rule, layer.evidence(), layer.view(), change, missing, stream,
                     other.data());
    EXPECT_EQ(ranks, other) << "by the CPU's way and over Thrust";
    return {ranks.begin(), ranks.end()};
}

TEST(GrowByGradient, TakesTheRestAtRandomWhereTooFewCellsHaveAGradient) {
    TestRandom random(4);
    oracle::Matrix dz(40, 6, 0);
    for (std::size_t s = 0; s < 6; ++s) dz(17, s) = 1;  // one output that learns
    const Case layer(test_topology(60, 40, 0.1, random), 4, random_matrix(60, 6, 1, random), dz);
    const std::vector<Cell> missing = layer.missing(true);
    const auto best = oracle_ranks(layer, missing, all_ranks(missing.size()), missing.size());
    ASSERT_GT(best.size(), 20U);
    ASSERT_LT(best.size(), 60U);
    std::vector<double> taken(missing.size(), 0);
    constexpr std::uint32_t events = 400;
    constexpr EdgeIndex more = 300;
    const auto count = static_cast<EdgeIndex>(best.size()) + more;
    for (std::uint32_t event = 0; event < events; ++event) {
        const auto ranks = drawn(GrowGradient{}, layer, count, {5, Purpose::grow, 1, event}, 1);
        ASSERT_TRUE(std::is_sorted(ranks.begin(), ranks.end()));
        ASSERT_EQ(std::set<Cell>(ranks.begin(), ranks.end()).size(), count);
        ASSERT_TRUE(std::includes(ranks.begin(), ranks.end(), best.begin(), best.end()));
        for (const Cell rank : ranks) ++taken[rank];
    }
    for (const Cell rank : best) taken[rank] = -1;
    const double others = static_cast<double>(missing.size() - best.size());
    const double share = more / others;
    double chi_square = 0;
    for (const double count_of : taken) {
        const double expected = events * share;
        if (count_of >= 0) chi_square += (count_of - expected) * (count_of - expected) / (expected * (1 - share));
    }
    // draws without replacement: others - 1 degrees of freedom
    EXPECT_NEAR(chi_square / (others - 1), 1, 5 * std::sqrt(2 / (others - 1)));
}

TEST(GrowByGradient, LooksAtCandidatesOnlyWhereItIsTold) {
    TestRandom random(5);
    const Case layer(test_topology(120, 90, 0.05, random), 3, random_matrix(120, 70, 1, random),
                     random_matrix(90, 70, 1, random));
    for (const bool allow_removed : {false, true}) {
        const std::vector<Cell> missing = layer.missing(allow_removed);
        for (const double candidates : {0.5, 1.0, 3.0, 1000.0}) {
            GrowGradient rule;
            rule.candidates = candidates;
            rule.allow_removed = allow_removed;
            const EdgeIndex count = 100;
            const Stream stream{9, Purpose::grow, 2, 31};
            const std::size_t wanted = std::max<std::size_t>(
                count, static_cast<std::size_t>(std::ceil(candidates * static_cast<double>(layer.topology.num_edges()))));
            const Permutation order(missing.size(), Stream{9, Purpose::candidates, 2, 31});
            std::vector<Cell> among;
            for (std::uint64_t i = 0; i < std::min(wanted, missing.size()); ++i) among.push_back(order(i));
            const auto want = oracle_ranks(layer, missing, among, count);
            for (const int threads : {1, 3}) {
                EXPECT_THAT(drawn(rule, layer, count, stream, threads), ElementsAreArray(want)) << candidates;
            }
        }
    }
}

}  // namespace
}  // namespace espalier::top_gradients_test
