// Which missing cells get an edge by rules that are not uniform, against plain loops.
#include "espalier/common/grow_ranks.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thrust/system/omp/execution_policy.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "grow_cases.hpp"

namespace espalier {
namespace {

using testing::ElementsAreArray;

/// A layer that was pruned: every `step`-th edge is gone.
struct PrunedLayer {
    Topology topology;
    std::vector<float> weights;
    std::vector<EdgeIndex> pruned;
    std::vector<Cell> cells;

    PrunedLayer(Index inputs, Index outputs, Cell edges, EdgeIndex step)
        : topology(random_topology(inputs, outputs, edges, ExactCount{}, Stream{3, Purpose::topology, 0, 0})) {
        const CooEdges coordinates = coo(topology);
        for (EdgeIndex slot = 0; slot < edges; ++slot) {
            const bool goes = slot % step == 0;
            if (goes) pruned.push_back(slot);
            weights.push_back(goes ? 0.0F : static_cast<float>(slot * 7 % 11) - 5);  // with ties
            cells.push_back(Cell{coordinates.row[slot]} * inputs + coordinates.column[slot]);
        }
    }
    [[nodiscard]] CsrView view() const { return csr_view(topology); }
    [[nodiscard]] std::vector<Cell> missing(bool allow_removed) const {
        return missing_cells(topology, pruned, allow_removed);
    }
};

const Stream draws{17, Purpose::grow, 2, 9};

template <class Key, class Policy, class Rule>
std::vector<Cell> drawn(const Policy& policy, const PrunedLayer& layer, const Rule& rule, EdgeIndex count) {
    Replacement<Key> change;
    change.pruned = layer.pruned.data();
    change.num_pruned = static_cast<EdgeIndex>(layer.pruned.size());
    change.num_grown = count;
    change.allow_removed = rule.allow_removed;
    TestScratch scratch;
    std::vector<Key> ranks(count);
    draw_candidates(policy, scratch, rule, layer.view(), layer.weights.data(), change,
                    layer.missing(change.allow_removed).size(), draws, ranks.data());
    return {ranks.begin(), ranks.end()};
}

/// The rule's text, word for word.
std::vector<Cell> expected(const PrunedLayer& layer, const GrowNearParents& rule, EdgeIndex count) {
    const std::vector<Cell> missing = layer.missing(rule.allow_removed);
    const auto contest = static_cast<std::uint64_t>(rule.contest);
    const auto parent = [&](std::uint64_t number) {
        std::vector<EdgeIndex> drawn;
        for (std::uint64_t draw = 0; draw < contest; ++draw) {
            drawn.push_back(bounded(draws.bits(number * 64 + draw), static_cast<std::uint32_t>(layer.weights.size())));
        }
        return *std::max_element(drawn.begin(), drawn.end(), [&](EdgeIndex a, EdgeIndex b) {
            return std::abs(layer.weights[a]) < std::abs(layer.weights[b]);
        });
    };
    const Index inputs = layer.topology.num_inputs;
    std::set<Cell> ranks;
    for (std::uint64_t i = 0; i < std::uint64_t{16} * count && ranks.size() < count; ++i) {
        const Cell output = layer.cells[parent(2 * i)] / inputs;
        const Cell input = layer.cells[parent(2 * i + 1)] % inputs;
        const auto place = std::lower_bound(missing.begin(), missing.end(), output * inputs + input);
        if (place == missing.end() || *place != output * inputs + input) continue;
        ranks.insert(static_cast<Cell>(place - missing.begin()));
    }
    const Permutation others(missing.size(), draws);
    for (std::uint64_t i = 0; ranks.size() < count; ++i) ranks.insert(others(i));
    return {ranks.begin(), ranks.end()};
}

TEST(GrowNearParents, TakesTheFirstCandidatesThatAreMissing) {
    for (const Cell edges : {Cell{30}, Cell{100}}) {
        const PrunedLayer layer(12, 10, edges, 3);
        for (const bool allow_removed : {false, true}) {
            const auto missing = static_cast<EdgeIndex>(layer.missing(allow_removed).size());
            for (const int contest : {1, 4, 64}) {
                for (const EdgeIndex count : {EdgeIndex{0}, EdgeIndex{1}, missing / 3, missing}) {
                    SCOPED_TRACE(std::to_string(edges) + " edges, " + std::to_string(count) + " new ones, contest " +
                                 std::to_string(contest) + ", removed " + std::to_string(allow_removed));
                    const GrowNearParents rule{contest, allow_removed};
                    const auto ranks = expected(layer, rule, count);
                    EXPECT_THAT(drawn<std::uint32_t>(thrust::seq, layer, rule, count), ElementsAreArray(ranks));
                    EXPECT_THAT(drawn<std::uint64_t>(thrust::omp::par, layer, rule, count), ElementsAreArray(ranks));
                }
            }
        }
    }
}

/// The inputs of the strong edges gain the more edges the harder the contest is.
TEST(GrowNearParents, GathersWhereEdgesAreStrong) {
    PrunedLayer layer(100, 80, 800, 3);
    const auto near_strong = [&](Cell cell) { return cell % 100 < 10; };
    int strong = 0;
    for (EdgeIndex slot = 0; slot < 800; ++slot) {
        if (layer.weights[slot] == 0) continue;
        layer.weights[slot] = near_strong(layer.cells[slot]) ? 2.0F : 1.0F;
        strong += near_strong(layer.cells[slot]) ? 1 : 0;
    }
    const std::vector<Cell> missing = layer.missing(false);
    for (const int contest : {1, 4, 16}) {
        const auto ranks = drawn<std::uint32_t>(thrust::seq, layer, GrowNearParents{contest}, 240);
        const auto gathered =
            std::count_if(ranks.begin(), ranks.end(), [&](Cell rank) { return near_strong(missing[rank]); });
        // a contest is won by a strong edge if one takes part in it; a contest of one also by a weak one beside them
        const double share = contest == 1 ? 0.1 : 1 - std::pow(1 - strong / 800.0, contest);
        EXPECT_NEAR(static_cast<double>(gathered), 240 * share, 4 * std::sqrt(240 * share * (1 - share))) << contest;
    }
}

/// Hashes of tuples and sizes of tables, worked out from the text of CPython 3.7.0 (tuplehash, set_add_entry).
TEST(GrowHashOrder, HashesAsPython) {
    using Order = detail::HashOrder<Cell>;
    EXPECT_EQ(Order::python_hash(3, 5), 3713083796996318431U);
    EXPECT_EQ(Order::python_hash(700, 511), 3712608566926759106U);
    for (const auto& [count, size] :
         {std::pair{0U, 8U}, {4U, 8U}, {5U, 32U}, {3168U, 8192U}, {6414U, 32768U}, {20800U, 131072U}}) {
        EXPECT_EQ(Order::python_mask(count) + 1, size) << count;
    }
}

/// The program's own procedure: 1.5 n random cells, the first n missing ones by the place of their hash.
std::set<Cell> by_the_program(const PrunedLayer& layer, EdgeIndex count, std::uint64_t seed) {
    const Stream stream{seed, Purpose::grow, 0, 0};
    const Index inputs = layer.topology.num_inputs, outputs = layer.topology.num_outputs;
    std::set<std::pair<Cell, Cell>> in_set;  // input, output
    for (std::uint64_t i = 0; i < count * 3 / 2; ++i) {
        in_set.insert({bounded(stream.bits(2 * i), inputs), bounded(stream.bits(2 * i + 1), outputs)});
    }
    const std::uint64_t mask = detail::HashOrder<Cell>::python_mask(in_set.size());
    const std::set<Cell> held(layer.cells.begin(), layer.cells.end());
    std::multimap<std::uint64_t, Cell> by_place;
    for (const auto& [input, output] : in_set) {
        const Cell cell = output * inputs + input;
        if (held.count(cell) == 0) by_place.emplace(detail::HashOrder<Cell>::python_hash(input, output) & mask, cell);
    }
    std::set<Cell> taken;
    for (auto at = by_place.begin(); taken.size() < count; ++at) taken.insert(at->second);
    return taken;
}

TEST(GrowHashOrder, TakesTheCellsThatTheProgramTakes) {
    const PrunedLayer layer(400, 300, 6000, 3);
    const auto count = static_cast<EdgeIndex>(layer.pruned.size());
    const std::vector<Cell> missing = layer.missing(false);
    const auto ranks = drawn<std::uint32_t>(thrust::seq, layer, GrowHashOrder{}, count);
    EXPECT_EQ(std::set<Cell>(ranks.begin(), ranks.end()).size(), count);
    EXPECT_THAT(drawn<std::uint64_t>(thrust::omp::par, layer, GrowHashOrder{}, count), ElementsAreArray(ranks));

    // The cells that the program ever takes, a third of all left out; ours but for where its cut wavers.
    std::set<Cell> ever;
    for (std::uint64_t seed = 0; seed < 250; ++seed) ever.merge(by_the_program(layer, count, seed));
    const double share = static_cast<double>(ever.size()) / static_cast<double>(missing.size());
    EXPECT_NEAR(share, 0.70, 0.04);
    const auto strange =
        std::count_if(ranks.begin(), ranks.end(), [&](Cell rank) { return ever.count(missing[rank]) == 0; });
    EXPECT_LT(strange, count / 50);  // uniform growth: 30 %
}

/// Says how much memory was asked for first, and gives none.
struct CountingScratch {
    template <class T>
    T* take(std::size_t count) {
        throw count;
    }
};

/// Three times 1.5e9 does not fit 32 bits: the room for candidates must not become less than the edges wanted.
TEST(GrowRanks, HasRoomForThreeTimesTheEdgesOrForAllThatCanBeCounted) {
    CountingScratch scratch;
    const auto room = [&](EdgeIndex count) -> std::size_t {
        try {
            const auto sequence = [](std::uint64_t i) { return static_cast<std::uint32_t>(i); };
            detail::first_distinct<std::uint32_t>(thrust::seq, scratch, sequence, count, nullptr);
        } catch (const std::size_t taken) {
            return taken;
        }
        return 0;
    };
    EXPECT_EQ(room(1000), 3064U);
    EXPECT_EQ(room(1'431'655'743), 4'294'967'293U);  // the last that fits
    for (const EdgeIndex count : {1'431'655'744U, 1'431'655'765U, 1'500'000'000U, 4'294'967'292U}) {
        EXPECT_GE(room(count), count);
        EXPECT_EQ(room(count), 4'294'967'295U) << count;
    }
}

TEST(GrowHashOrder, FillsALayer) {
    const PrunedLayer layer(12, 10, 100, 3);
    for (const bool allow_removed : {false, true}) {
        const GrowHashOrder rule{allow_removed};
        const auto count = static_cast<EdgeIndex>(layer.missing(allow_removed).size());
        const auto ranks = drawn<std::uint32_t>(thrust::seq, layer, rule, count);
        EXPECT_EQ(std::set<Cell>(ranks.begin(), ranks.end()).size(), count);
        EXPECT_EQ(ranks.back(), count - 1);
    }
}

}  // namespace
}  // namespace espalier
