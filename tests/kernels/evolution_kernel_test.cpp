// Kernels of topology evolution against plain loops and sorts.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <set>

#include "cuda/kernels/merge.cuh"
#include "cuda/kernels/prune.cuh"
#include "kernel_cases.hpp"

namespace espalier::cuda {
namespace {

using EvolutionKernel = cuda_on_host::EveryOrder;
INSTANTIATE_TEST_SUITE_P(Orders, EvolutionKernel, testing::ValuesIn(cuda_on_host::every_order));

constexpr int evolving = evolution_threads;

QuotaOf exact_quota(double zeta) {
    int exponent = 0;
    const double fraction = std::frexp(zeta, &exponent);
    return {static_cast<std::uint64_t>(std::ldexp(fraction, 53)), static_cast<unsigned>(53 - exponent)};
}

TEST(PruneQuota, IsThatOfTheProductInDouble) {
    const Stream stream{3, Purpose::synthetic, 0, 0};
    std::uint64_t n = 0;
    for (const double zeta : {0.0, 1.0, 0.5, 0.3, 0.1, 0.7, 1.0 / 3, 0.99999999999, 5e-324, 1e-300, 2e-16}) {
        for (const EdgeIndex count : {0U, 1U, 2U, 3U, 7U, 10U, 30U, 100U, 4294967292U, 4294967295U}) {
            EXPECT_EQ(exact_quota(zeta)(count), prune_quota(zeta, count)) << zeta << ' ' << count;
        }
        for (int i = 0; i < 2000; ++i) {
            const EdgeIndex count = stream.bits(n++) >> stream.bits(n++) % 32;
            const double near = zeta + std::ldexp(static_cast<double>(stream.bits(n++)), -36);
            for (const double each : {zeta, std::min(1.0, near)}) {
                ASSERT_EQ(exact_quota(each)(count), prune_quota(each, count)) << each << ' ' << count;
            }
        }
    }
}

struct PruneCase {
    EdgeIndex count;
    int values;  // to choose from, 0: all different
    unsigned chunk_shift;
};

/// Scores of both signs, zeros and a NaN among them.
std::vector<float> scores_of(const PruneCase& each) {
    std::vector<float> scores = random_values(each.count + 1, each.count);
    if (each.values > 0) {
        for (float& score : scores) score = std::round(score * static_cast<float>(each.values));
    }
    if (each.count > 9) scores[5] = 0, scores[7] = -0.0F, scores[9] = -std::nanf("");
    return scores;
}

/// The slots that go, from the definition.
std::vector<EdgeIndex> expected_pruned(const std::vector<float>& scores, const PruneOrder& order, double zeta) {
    std::vector<EdgeIndex> pruned;
    for (int group = 0; group < order.num_groups; ++group) {
        std::vector<EdgeIndex> slots;
        for (EdgeIndex slot = 0; slot < scores.size(); ++slot) {
            const std::uint32_t key = order(scores[slot]);
            if (key >= order.first[group] && key <= order.last[group]) slots.push_back(slot);
        }
        std::stable_sort(slots.begin(), slots.end(),
                         [&](EdgeIndex a, EdgeIndex b) { return order(scores[a]) < order(scores[b]); });
        slots.resize(prune_quota(zeta, static_cast<EdgeIndex>(slots.size())));
        pruned.insert(pruned.end(), slots.begin(), slots.end());
    }
    std::sort(pruned.begin(), pruned.end());
    return pruned;
}

TEST_P(EvolutionKernel, PrunesTheLeastOfEachGroup) {
    const PruneOrder every_key{0xffffffffU, 1, {0, 0}, {0xffffffffU, 0}};
    for (const PruneOrder& order : {PruneBySign::order(), PruneByMagnitude::order(), every_key}) {
        for (const auto& each : {PruneCase{1, 0, 8}, PruneCase{10, 3, 8}, PruneCase{700, 0, 8}, PruneCase{700, 4, 9}}) {
            for (const double zeta : {0.0, 0.3, 1.0}) {
                const std::vector<float> scores = scores_of(each);
                const DeviceArray<float> d_scores(scores), weights(scores);
                const DeviceArray<PruneSearch> search(std::vector<PruneSearch>(1));
                const DeviceArray<std::uint32_t> counts(std::size_t{3} * max_chunks);
                const auto expected = expected_pruned(scores, order, zeta);
                const DeviceArray<EdgeIndex> pruned(expected.size());
                const dim3 grid((each.count + (1U << each.chunk_shift) - 1) >> each.chunk_shift);
                const PruneTask task{d_scores.data(), each.count, order, exact_quota(zeta), each.chunk_shift};
                launch(prune_digits_kernel<evolving, 0>, grid, dim3(evolving), 0, task, search.data());
                launch(prune_digits_kernel<evolving, 1>, grid, dim3(evolving), 0, task, search.data());
                launch(prune_digits_kernel<evolving, 2>, grid, dim3(evolving), 0, task, search.data());
                launch(prune_count_kernel<evolving>, grid, dim3(evolving), 0, task, search.data(), counts.data());
                launch(prune_list_kernel<evolving>, grid, dim3(evolving), 0, task, search.data(), counts.data(),
                       weights.data(), pruned.data());
                ASSERT_EQ(pruned.read(), expected);
                const std::vector<float> left = weights.read();
                std::uint32_t sign[3] = {};
                for (const EdgeIndex slot : expected) {
                    ASSERT_EQ(left[slot], 0.0F);
                    ++sign[scores[slot] == 0 ? 2 : std::signbit(scores[slot]) ? 1 : 0];
                }
                const PruneSearch found = search.read()[0];
                for (int i = 0; i < 3; ++i) EXPECT_EQ(found.sign[i], sign[i]) << i;
                std::size_t kept = 0;
                for (std::size_t slot = 0; slot < left.size(); ++slot) {
                    kept += std::memcmp(&left[slot], &scores[slot], sizeof(float)) == 0 ? 1 : 0;
                }
                EXPECT_GE(kept, scores.size() - expected.size());
            }
        }
    }
}

/// A set of cells in device memory, chunks of 256 words.
struct DeviceSet {
    explicit DeviceSet(std::uint64_t cells)
        : words(std::vector<std::uint32_t>(cells / word_bits + 1)),
          counts(std::vector<std::uint32_t>(max_chunks)),
          set{words.data(), counts.data(), static_cast<std::uint32_t>(words.size()), 8},
          chunks((set.num_words + 255) / 256) {}
    DeviceArray<std::uint32_t> words;
    DeviceArray<std::uint32_t> counts;
    CellSet set;
    dim3 chunks;
};

TEST_P(EvolutionKernel, DrawsDistinctCellsAscending) {
    for (const auto& [size, count] : {std::pair<std::uint64_t, EdgeIndex>{1, 1}, {33, 33}, {5000, 300}, {20000, 257}}) {
        const Stream stream{size, Purpose::grow, 2, 1};
        const DeviceSet drawn(size);
        launch(draw_cells_kernel<evolving>, dim3((count + evolving - 1) / evolving), dim3(evolving), 0, size, stream,
               count, drawn.set);
        const DeviceArray<std::uint32_t> cells(count);
        launch(list_cells_kernel<evolving>, drawn.chunks, dim3(evolving), 0, drawn.set, cells.data());
        const Permutation order(size, stream);
        std::vector<std::uint32_t> expected;
        for (EdgeIndex i = 0; i < count; ++i) expected.push_back(static_cast<std::uint32_t>(order(i)));
        std::sort(expected.begin(), expected.end());
        EXPECT_EQ(cells.read(), expected);
    }
}

TEST_P(EvolutionKernel, OrdersNeuronsByTheirEdges) {
    std::vector<EdgeIndex> more_than_at_once(4 * evolving + 50);
    for (EdgeIndex i = 0; i < more_than_at_once.size(); ++i) more_than_at_once[i] = i * 7 % 12;
    const std::vector<EdgeIndex> lengths[] = {
        {3}, {0, 5, 2, 5, 5, 0, 9, 4, 4, 1, 7}, std::vector<EdgeIndex>(40, 1), more_than_at_once};
    for (const auto& one : lengths) {
        for (const auto& other : lengths) {
            const auto starts = [](const std::vector<EdgeIndex>& of) {
                std::vector<EdgeIndex> start{0};
                for (const EdgeIndex each : of) start.push_back(start.back() + each);
                return start;
            };
            const auto expected = [](const std::vector<EdgeIndex>& of) {
                std::vector<Index> order(of.size());
                std::iota(order.begin(), order.end(), 0U);
                std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) { return of[a] > of[b]; });
                return order;
            };
            const DeviceArray<EdgeIndex> start_one(starts(one)), start_other(starts(other));
            const DeviceArray<Index> order_one(one.size()), order_other(other.size());
            const auto blocks = [](const std::vector<EdgeIndex>& of) {
                return ordering_blocks(static_cast<Index>(of.size()), evolving);
            };
            launch(order_neurons_kernel<evolving>, dim3(blocks(one) + blocks(other)), dim3(evolving), 0,
                   NeuronsOfSide{start_one.data(), static_cast<Index>(one.size()), order_one.data()},
                   NeuronsOfSide{start_other.data(), static_cast<Index>(other.size()), order_other.data()});
            EXPECT_EQ(order_one.read(), expected(one));
            EXPECT_EQ(order_other.read(), expected(other));
        }
    }
}

/// Edges as a sorted list of cells with a weight and a memory each.
struct MergeCase {
    Index inputs, outputs;
    std::vector<Cell> cells, grown;
    std::vector<EdgeIndex> pruned;
    bool allow_removed, reset_state;
};

MergeCase merge_case(Index inputs, Index outputs, EdgeIndex edges, EdgeIndex num_pruned, bool allow_removed) {
    const Cell all = Cell{inputs} * outputs;
    MergeCase made{inputs, outputs, {}, {}, {}, allow_removed, !allow_removed};
    const Permutation order(all, Stream{all + edges, Purpose::topology, 0, 0});
    for (EdgeIndex i = 0; i < edges; ++i) made.cells.push_back(order(i));
    std::sort(made.cells.begin(), made.cells.end());
    const Permutation which(std::max<EdgeIndex>(1, edges), Stream{all, Purpose::prune, 0, 0});
    for (EdgeIndex i = 0; i < num_pruned; ++i) made.pruned.push_back(static_cast<EdgeIndex>(which(i)));
    std::sort(made.pruned.begin(), made.pruned.end());
    for (Cell i = edges; i < all && made.grown.size() < num_pruned; ++i) made.grown.push_back(order(i));
    if (allow_removed && num_pruned > 0) {  // one comes back
        if (made.grown.size() == num_pruned) made.grown.pop_back();
        made.grown.push_back(made.cells[made.pruned[0]]);
    }
    std::sort(made.grown.begin(), made.grown.end());
    return made;
}

/// The old topology in CSR, and the ranks of the new cells among the missing ones.
template <class Key>
struct MergeInput {
    std::vector<EdgeIndex> row_start;
    std::vector<Index> column;
    std::vector<Key> ranks;

    explicit MergeInput(const MergeCase& what) {
        for (Index row = 0; row <= what.outputs; ++row) {
            const auto first = std::lower_bound(what.cells.begin(), what.cells.end(), Cell{row} * what.inputs);
            row_start.push_back(static_cast<EdgeIndex>(first - what.cells.begin()));
        }
        for (const Cell cell : what.cells) column.push_back(static_cast<Index>(cell % what.inputs));
        std::set<Cell> excluded(what.cells.begin(), what.cells.end());
        if (what.allow_removed) {
            for (const EdgeIndex slot : what.pruned) excluded.erase(what.cells[slot]);
        }
        for (const Cell cell : what.grown) {
            const auto before = std::distance(excluded.begin(), excluded.lower_bound(cell));
            ranks.push_back(static_cast<Key>(cell - static_cast<Cell>(before)));
        }
    }
};

struct MergedEdge {
    Cell cell;
    float weight, state;
};
constexpr Stream born{5, Purpose::new_weight, 0, 0};

/// The edges that are to come of it, by cell.
std::vector<MergedEdge> expected_edges(const MergeCase& what, const std::vector<float>& weights,
                                       const std::vector<float>& states) {
    std::vector<MergedEdge> edges;
    const std::set<EdgeIndex> gone_slots(what.pruned.begin(), what.pruned.end());
    for (EdgeIndex slot = 0; slot < what.cells.size(); ++slot) {
        if (!gone_slots.contains(slot)) edges.push_back({what.cells[slot], weights[slot], states[slot]});
    }
    for (std::size_t i = 0; i < what.grown.size(); ++i) {
        edges.push_back({what.grown[i], HeNormal{}(born.bits(what.grown[i]), what.inputs),
                         what.reset_state ? 0.0F : states[what.pruned[i]]});
    }
    std::sort(edges.begin(), edges.end(), [](const MergedEdge& a, const MergedEdge& b) { return a.cell < b.cell; });
    return edges;
}

/// A layer's arrays by edge in device memory, weights and one of the optimizer's.
struct DeviceEdges {
    DeviceArray<EdgeIndex> row_start;
    DeviceArray<Index> column;
    DeviceArray<float> weights, states;

    DeviceEdges(Index outputs, std::size_t edges)
        : row_start(std::size_t{outputs} + 1), column(edges), weights(edges), states(edges) {}
    DeviceEdges(const std::vector<EdgeIndex>& starts, const std::vector<Index>& columns,
                const std::vector<float>& some_weights, const std::vector<float>& some_states)
        : row_start(starts), column(columns), weights(some_weights), states(some_states) {}
    [[nodiscard]] EdgeArrays arrays() const {
        return {column.data(), row_start.data(), {weights.data(), states.data()}, 2};
    }
};

void expect_edges(const DeviceEdges& got, const MergeCase& what, const std::vector<MergedEdge>& expected) {
    const auto start = got.row_start.read();
    for (Index row = 0; row <= what.outputs; ++row) {
        const auto before = std::count_if(expected.begin(), expected.end(),
                                          [&](const MergedEdge& each) { return each.cell < Cell{row} * what.inputs; });
        ASSERT_EQ(start[row], static_cast<EdgeIndex>(before)) << row;
    }
    const auto column = got.column.read();
    const auto weights = got.weights.read(), states = got.states.read();
    for (std::size_t slot = 0; slot < expected.size(); ++slot) {
        ASSERT_EQ(column[slot], static_cast<Index>(expected[slot].cell % what.inputs)) << slot;
        ASSERT_EQ(weights[slot], expected[slot].weight) << slot;
        ASSERT_EQ(states[slot], expected[slot].state) << slot;
    }
}

/// By the set into which the edges were put.
void expect_by_input(const DeviceSet& set, const DeviceEdges& edges, const MergeCase& what,
                     const std::vector<MergedEdge>& expected) {
    const DeviceArray<EdgeIndex> column_start(std::size_t{what.inputs} + 1), slots(expected.size());
    const DeviceArray<Index> rows(expected.size());
    launch(list_by_input_kernel<evolving>, set.chunks, dim3(evolving), 0, set.set,
           CsrView{what.inputs, what.outputs, static_cast<EdgeIndex>(expected.size()), edges.row_start.data(),
                   edges.column.data()},
           column_start.data(), rows.data(), slots.data());
    const auto start = column_start.read(), slot_of = slots.read();
    const auto row_of = rows.read();
    std::size_t at = 0;
    for (Index input = 0; input < what.inputs; ++input) {
        ASSERT_EQ(start[input], at) << input;
        for (std::size_t slot = 0; slot < expected.size(); ++slot) {
            if (expected[slot].cell % what.inputs != input) continue;
            ASSERT_EQ(slot_of[at], slot);
            ASSERT_EQ(row_of[at++], expected[slot].cell / what.inputs);
        }
    }
    ASSERT_EQ(start[what.inputs], expected.size());
}

template <class Key>
void expect_merged(const MergeCase& what) {
    const MergeInput<Key> input(what);
    const auto edges = static_cast<EdgeIndex>(what.cells.size());
    const std::vector<float> weights = random_values(1, edges), states = random_values(2, edges);
    const std::vector<MergedEdge> expected = expected_edges(what, weights, states);
    const auto count = static_cast<EdgeIndex>(expected.size());
    const DeviceEdges old(input.row_start, input.column, weights, states);
    const DeviceEdges merged(what.outputs, count), settled(what.outputs, count);
    const DeviceArray<EdgeIndex> pruned(what.pruned);
    const DeviceArray<Key> ranks(input.ranks);
    const CsrView topology{what.inputs, what.outputs, edges, old.row_start.data(), old.column.data()};
    const Replacement<Key> change{pruned.data(), static_cast<EdgeIndex>(what.pruned.size()), ranks.data(),
                                  static_cast<EdgeIndex>(input.ranks.size()), what.allow_removed};
    launch(
        merge_edges_kernel<evolving, Key, HeNormal>,
        dim3(merge_edge_blocks<evolving>(edges) + what.outputs / evolving + 1), dim3(evolving), 0,
        Merge<Key, HeNormal>{{topology, change}, {HeNormal{}, born, what.reset_state}, old.arrays(), merged.arrays()});
    expect_edges(merged, what, expected);
    const DeviceSet by_input(Cell{what.inputs} * what.outputs);
    const EdgeIndex owned = std::max(count, what.outputs + 1);
    launch(settle_edges_kernel<evolving>, dim3((owned + evolving - 1) / evolving), dim3(evolving), 0, merged.arrays(),
           settled.arrays(), count, what.outputs, by_input.set);
    expect_edges(settled, what, expected);
    expect_by_input(by_input, settled, what, expected);
}

TEST_P(EvolutionKernel, MergesNewEdgesInThePlaceOfPrunedOnes) {
    for (const bool allow_removed : {false, true}) {
        for (const auto& each :
             {merge_case(1, 1, 1, 1, allow_removed), merge_case(5, 4, 0, 0, allow_removed),
              merge_case(7, 3, 21, 6, allow_removed), merge_case(90, 17, 700, 300, allow_removed),
              merge_case(40, 300, 520, 10, allow_removed), merge_case(64, 32, 300, 300, allow_removed)}) {
            SCOPED_TRACE(std::to_string(each.inputs) + " x " + std::to_string(each.outputs));
            expect_merged<std::uint32_t>(each);
            expect_merged<std::uint64_t>(each);
            if (testing::Test::HasFatalFailure()) return;
        }
    }
}

}  // namespace
}  // namespace espalier::cuda
