// Growth by gradient output by output against a dense oracle: every gradient as a chain of fmaf, every output's missing
// cells sorted. Equal ranks for any number of threads, with and without skipping, by the CPU's own way and over Thrust.
#include "host/cpu/evolution/output_gradients.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thrust/system/omp/execution_policy.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "espalier/common/top_gradients.hpp"
#include "gradient_cases.hpp"

namespace espalier::output_gradients_test {
namespace {

using testing::ElementsAreArray;
using Case = GradientCase;

/// Each output's best missing cells, as many as its share of `count` (rounded where the sums over the outputs are): by the
/// gradient's magnitude, of equal ones the first; those without one by their random bits.
std::vector<Cell> oracle_by_output(const Case& layer, const std::vector<Cell>& missing, EdgeIndex count, const Stream& draws) {
    const Index inputs = layer.topology.num_inputs;
    std::vector<Cell> ranks;
    std::uint64_t lost_before = 0;
    const auto share = [&](std::uint64_t lost) { return (lost * count + layer.pruned.size() / 2) / layer.pruned.size(); };
    for (Index output = 0; output < layer.topology.num_outputs; ++output) {
        std::uint64_t lost = lost_before;
        for (const EdgeIndex slot : layer.pruned) {
            lost += slot >= layer.topology.row_start[output] && slot < layer.topology.row_start[output + 1] ? 1 : 0;
        }
        const auto quota = share(lost) - share(lost_before);
        lost_before = lost;
        struct Ranked {
            float magnitude;
            std::uint32_t random;
            Cell rank;
        };
        std::vector<Ranked> row;
        for (Cell rank = 0; rank < missing.size(); ++rank) {
            const Cell cell = missing[rank];
            if (cell / inputs != output) continue;
            const float magnitude = std::abs(layer.gradients[cell]);
            const bool some = magnitude > 0;  // not NaN
            row.push_back({some ? magnitude : 0, some ? 0 : draws.bits(cell) | 1U, rank});
        }
        std::stable_sort(row.begin(), row.end(), [](const Ranked& a, const Ranked& b) {
            return a.magnitude != b.magnitude ? a.magnitude > b.magnitude : a.random > b.random;
        });
        for (std::size_t i = 0; i < quota; ++i) ranks.push_back(row.at(i).rank);
    }
    std::sort(ranks.begin(), ranks.end());
    return ranks;
}

template <class Key>
std::vector<Cell> fast_by_output(const Case& layer, EdgeIndex count, const GradientSearch& search, const Stream& draws) {
    CpuScratch scratch;
    std::vector<Key> ranks(count);
    fast_gradients_by_output(layer.evidence(), layer.view(), change_of<Key>(layer, count, true), search, draws, scratch,
                             ranks.data());
    return {ranks.begin(), ranks.end()};
}

template <class Key, class Policy>
std::vector<Cell> thrust_by_output(const Policy& policy, const Case& layer, EdgeIndex count, std::uint32_t piece,
                                   const Stream& draws) {
    TestScratch scratch;
    std::vector<Key> ranks(count);
    top_gradients_by_output(policy, scratch, layer.evidence(), layer.view(), change_of<Key>(layer, count, true), draws,
                            ranks.data(), piece);
    return {ranks.begin(), ranks.end()};
}

void expect_oracle_by_output(const Case& layer) {
    const Stream draws{11, Purpose::grow, 1, 5};
    const std::vector<Cell> missing = layer.missing(true);
    const auto lost = static_cast<EdgeIndex>(layer.pruned.size());
    for (const EdgeIndex count : std::set<EdgeIndex>{1, lost / 3, lost}) {
        if (count == 0 || lost == 0) continue;
        SCOPED_TRACE(std::to_string(count) + " of " + std::to_string(lost));
        const auto want = oracle_by_output(layer, missing, count, draws);
        ASSERT_EQ(want.size(), count);
        for (const bool skip : {false, true}) {
            ASSERT_THAT(fast_by_output<std::uint32_t>(layer, count, {1, skip}, draws), ElementsAreArray(want)) << skip;
        }
        ASSERT_THAT(fast_by_output<std::uint64_t>(layer, count, {1, true}, draws), ElementsAreArray(want));
        for (const int threads : {2, 5}) {
            ASSERT_THAT(fast_by_output<std::uint32_t>(layer, count, {threads, true}, draws), ElementsAreArray(want));
        }
        ASSERT_THAT(thrust_by_output<std::uint32_t>(thrust::seq, layer, count, 371, draws), ElementsAreArray(want));
        ASSERT_THAT(thrust_by_output<std::uint64_t>(thrust::omp::par, layer, count, gradient_piece, draws),
                    ElementsAreArray(want));
    }
}

TEST(GradientsByOutput, AreTheOracles) {
    TestRandom random(6);
    for (const auto& [inputs, outputs, density, batch] :
         {Shape{1, 1, 1, 1}, Shape{1, 70, 0.3, 65}, Shape{97, 1, 0.3, 5}, Shape{49, 9, 0.2, 129}, Shape{53, 70, 0.05, 64},
          Shape{400, 13, 0.3, 33}, Shape{48, 8, 0.9, 1}, Shape{7, 5, 1, 40}}) {
        for (const EdgeIndex step : {1U, 3U}) {
            SCOPED_TRACE(std::to_string(inputs) + " x " + std::to_string(outputs) + ", every " + std::to_string(step));
            expect_oracle_by_output(Case(test_topology(inputs, outputs, density, random), step,
                                         random_matrix(inputs, batch, 1, random),
                                         random_matrix(outputs, batch, 1, random)));
            if (HasFatalFailure()) return;
        }
    }
    // ties everywhere; nothing has a gradient; few have, and numbers that are none
    const Topology topology = test_topology(90, 50, 0.2, random);
    expect_oracle_by_output(Case(topology, 2, grid_matrix(90, 3, 1, 1, random), grid_matrix(50, 3, 1, 1, random)));
    expect_oracle_by_output(Case(topology, 2, random_matrix(90, 3, 1, random), oracle::Matrix(50, 3, 0)));
    oracle::Matrix strange = random_matrix(50, 70, 1, random);
    for (std::size_t row = 20; row < 50; ++row) {
        for (std::size_t s = 0; s < 70; ++s) strange(row, s) = 0;
    }
    strange(3, 2) = std::numeric_limits<double>::quiet_NaN();
    strange(7, 1) = std::numeric_limits<double>::infinity();
    strange(22, 0) = std::numeric_limits<float>::denorm_min();
    oracle::Matrix inputs = random_matrix(90, 70, 4, random);
    for (std::size_t input = 5; input < 85; ++input) {
        for (std::size_t s = 0; s < 70; ++s) inputs(input, s) = 0;
    }
    expect_oracle_by_output(Case(topology, 2, inputs, strange));
}

}  // namespace
}  // namespace espalier::output_gradients_test
