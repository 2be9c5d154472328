// Growth by paths against a dense oracle in integers, and its samples against the chances that its text promises.
#include "host/cpu/evolution/path_growth.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "grow_cases.hpp"

namespace espalier::path_growth_test {
namespace {

using testing::ElementsAreArray;

using Matrix = std::vector<std::vector<int>>;

/// The formula word for word, on one side: sum over p of f(o, p) A(p, i).
std::vector<std::vector<std::uint64_t>> half_scores(const Matrix& a, int form) {
    const std::size_t rows = a.size(), columns = a[0].size();
    std::vector<std::vector<std::uint64_t>> scores(rows, std::vector<std::uint64_t>(columns, 0));
    for (std::size_t o = 0; o < rows; ++o) {
        for (std::size_t p = 0; p < rows; ++p) {
            std::uint64_t common = 0, degree = 0;
            for (std::size_t i = 0; i < columns; ++i) {
                common += static_cast<std::uint64_t>(a[o][i] * a[p][i]);
                degree += static_cast<std::uint64_t>(a[p][i]);
            }
            if (common == 0) continue;
            const double f = (form == 2 ? static_cast<double>(common) + 1 : 1.0) /
                             std::max(static_cast<double>(degree) - static_cast<double>(common), 1.0);
            const auto units = static_cast<std::uint64_t>(std::floor(f * static_cast<double>(path_unit) + 0.5));
            for (std::size_t i = 0; i < columns; ++i) scores[o][i] += units * static_cast<std::uint64_t>(a[p][i]);
        }
    }
    return scores;
}

struct Case {
    Topology topology;
    std::vector<EdgeIndex> pruned;
    std::vector<Cell> cells = cells_of(topology);

    [[nodiscard]] CsrView view() const { return csr_view(topology); }
    [[nodiscard]] std::vector<Cell> missing(bool allow_removed) const {
        return missing_cells(topology, pruned, allow_removed);
    }
    /// By cell.
    [[nodiscard]] std::vector<std::uint64_t> scores(int form) const {
        const std::size_t inputs = topology.num_inputs, outputs = topology.num_outputs;
        Matrix by_output(outputs, std::vector<int>(inputs, 0)), by_input(inputs, std::vector<int>(outputs, 0));
        const std::set<EdgeIndex> gone(pruned.begin(), pruned.end());
        for (EdgeIndex slot = 0; slot < cells.size(); ++slot) {
            if (gone.count(slot) > 0) continue;
            by_output[cells[slot] / inputs][cells[slot] % inputs] = 1;
            by_input[cells[slot] % inputs][cells[slot] / inputs] = 1;
        }
        const auto one = half_scores(by_output, form), other = half_scores(by_input, form);
        std::vector<std::uint64_t> all(inputs * outputs);
        for (std::size_t o = 0; o < outputs; ++o) {
            for (std::size_t i = 0; i < inputs; ++i) all[o * inputs + i] = one[o][i] + other[i][o];
        }
        return all;
    }
};

Case make_case(Index inputs, Index outputs, double density, EdgeIndex step, unsigned seed) {
    TestRandom random(seed);
    Case result{test_topology(inputs, outputs, density, random), {}};
    for (EdgeIndex slot = 0; slot < result.cells.size(); slot += step) result.pruned.push_back(slot);
    return result;
}

template <class Key>
std::vector<Cell> drawn(const Case& layer, const GrowByPaths& rule, EdgeIndex count, std::uint32_t event, int threads) {
    Replacement<Key> change;
    change.pruned = layer.pruned.data();
    change.num_pruned = static_cast<EdgeIndex>(layer.pruned.size());
    change.num_grown = count;
    change.allow_removed = rule.allow_removed;
    CpuScratch scratch;
    std::vector<Key> ranks(count);
    draw_by_paths(rule, layer.view(), change, layer.missing(rule.allow_removed).size(), {8, Purpose::grow, 1, event},
                  threads, scratch, ranks.data());
    return {ranks.begin(), ranks.end()};
}

TEST(PathGrowth, TakesTheCellsOfTheHighestScores) {
    for (const auto& [inputs, outputs, density, batch] :
         {Shape{30, 20, 0.2, 1}, Shape{1, 40, 0.5, 1}, Shape{60, 50, 0.05, 1}, Shape{25, 31, 0.6, 1}}) {
        ASSERT_EQ(batch, 1U);
        for (const bool allow_removed : {false, true}) {
            for (const int form : {2, 3}) {
                const Case layer = make_case(inputs, outputs, density, 4, inputs);
                const std::vector<Cell> missing = layer.missing(allow_removed);
                const std::vector<std::uint64_t> scores = layer.scores(form);
                std::vector<std::pair<std::uint64_t, Cell>> sorted;
                for (Cell rank = 0; rank < missing.size(); ++rank) {
                    if (scores[missing[rank]] > 0) sorted.emplace_back(~scores[missing[rank]], rank);
                }
                std::sort(sorted.begin(), sorted.end());
                for (const std::size_t count : {std::size_t{1}, sorted.size() / 3, sorted.size()}) {
                    if (count == 0 || count > sorted.size()) continue;
                    std::vector<Cell> want;
                    for (std::size_t i = 0; i < count; ++i) want.push_back(sorted[i].second);
                    std::sort(want.begin(), want.end());
                    const GrowByPaths rule{form, false, allow_removed, 1};
                    const auto wanted = static_cast<EdgeIndex>(count);
                    ASSERT_THAT(drawn<std::uint32_t>(layer, rule, wanted, 0, 1), ElementsAreArray(want));
                    ASSERT_THAT(drawn<std::uint64_t>(layer, rule, wanted, 0, 3), ElementsAreArray(want));
                }
            }
        }
    }
}

TEST(PathGrowth, SamplesInProportionToTheScores) {
    const Case layer = make_case(6, 5, 0.4, 5, 2);
    const GrowByPaths rule;
    const std::vector<Cell> missing = layer.missing(true);
    const std::vector<std::uint64_t> scores = layer.scores(2);
    constexpr std::uint32_t events = 20000;
    std::vector<double> count(missing.size(), 0);
    for (std::uint32_t event = 0; event < events; ++event) ++count[drawn<std::uint32_t>(layer, rule, 1, event, 1)[0]];
    double sum = 0;
    for (const Cell cell : missing) sum += static_cast<double>(scores[cell]);
    ASSERT_GT(sum, 0);
    double chi_square = 0, freedom = -1;
    for (std::size_t rank = 0; rank < missing.size(); ++rank) {
        const double expected = events * static_cast<double>(scores[missing[rank]]) / sum;
        if (expected == 0) {
            EXPECT_EQ(count[rank], 0) << "no path";
            continue;
        }
        chi_square += (count[rank] - expected) * (count[rank] - expected) / expected;
        ++freedom;
    }
    ASSERT_GT(freedom, 5);
    EXPECT_LT(chi_square, freedom + 5 * std::sqrt(2 * freedom));
    EXPECT_EQ(drawn<std::uint32_t>(layer, rule, 4, 7, 1), drawn<std::uint32_t>(layer, rule, 4, 7, 3));
}

TEST(PathGrowth, DrawsTheRestWhereNoPathLeads) {
    // one edge, that of output 0 with input 0: no path of length three leads to a missing cell
    Case layer{Topology{4, 3, {0, 1, 1, 1}, {0}}, {}};
    std::set<std::vector<Cell>> seen;
    for (std::uint32_t event = 0; event < 30; ++event) {
        const auto ranks = drawn<std::uint32_t>(layer, GrowByPaths{}, 5, event, 1);
        EXPECT_EQ(std::set<Cell>(ranks.begin(), ranks.end()).size(), 5U);
        EXPECT_TRUE(std::is_sorted(ranks.begin(), ranks.end()));
        EXPECT_LT(ranks.back(), 11U);
        seen.insert(ranks);
    }
    EXPECT_GT(seen.size(), 20U);
}

}  // namespace
}  // namespace espalier::path_growth_test
