// Topology evolution, written once as templates over a Thrust execution policy and instantiated by each backend: which
// edges go, which missing cells get an edge, and the canonical topology that follows. Integers only, so every policy
// and every number of threads yields the same bits. A step reads plain arrays in the policy's memory and writes plain
// arrays; `Scratch` is whatever has `T* take<T>(count)`, uninitialised memory of the policy that outlives the step.
//
// An evolution is a permutation of slots: the j-th new edge (in canonical order) takes over the slot of the j-th pruned
// one. So origin[new slot] = old slot for every edge, one gather carries every parallel array, and what a new edge is
// born with is what the caller left in its slot. No rule needs to know what an edge carries.
#pragma once

#include <thrust/binary_search.h>
#include <thrust/copy.h>
#include <thrust/execution_policy.h>
#include <thrust/for_each.h>
#include <thrust/gather.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/permutation_iterator.h>
#include <thrust/merge.h>
#include <thrust/reduce.h>
#include <thrust/sequence.h>
#include <thrust/sort.h>
#include <thrust/transform.h>
#include <thrust/transform_reduce.h>

#include <cstring>

#include "espalier/evolution_rules.hpp"
#include "espalier/host_device.hpp"
#include "espalier/index.hpp"
#include "espalier/random.hpp"

namespace espalier {

// ---- which edges go

/// Weights in the order in which a prune rule takes them: ascending keys, in at most two groups of which each loses its
/// share. A float's bits as an integer ascend with its magnitude, positive numbers first.
struct PruneOrder {
    static constexpr int max_groups = 2;
    std::uint32_t mask = 0xffffffffU;  // key = bits & mask
    int num_groups = 0;
    std::uint32_t first[max_groups] = {};  // a group is the keys first..last
    std::uint32_t last[max_groups] = {};

    [[nodiscard]] ESPALIER_HOST_DEVICE std::uint32_t operator()(float weight) const {
        std::uint32_t bits = 0;
        std::memcpy(&bits, &weight, sizeof bits);
        return bits & mask;
    }
};

/// Zeros (0x00000000 and 0x80000000) belong to neither sign.
inline PruneOrder prune_order(const PruneBySign& /*rule*/) {
    return {0xffffffffU, 2, {0x00000001U, 0x80000001U}, {0x7fffffffU, 0xffffffffU}};
}
inline PruneOrder prune_order(const PruneByMagnitude& /*rule*/) { return {0x7fffffffU, 1, {0, 0}, {0x7fffffffU, 0}}; }

/// Per group: `quota` edges go, those with keys below the threshold and the first of those with just that key.
struct PruneCut {
    EdgeIndex quota[PruneOrder::max_groups] = {};
    std::uint32_t threshold[PruneOrder::max_groups] = {};
    EdgeIndex ties[PruneOrder::max_groups] = {};                                  // edges at the threshold
    EdgeIndex ties_taken[PruneOrder::max_groups] = {};                            // those of them that go
    EdgeIndex last_tie[PruneOrder::max_groups] = {~EdgeIndex{0}, ~EdgeIndex{0}};  // slot of the last one that goes

    [[nodiscard]] EdgeIndex total() const { return quota[0] + quota[1]; }
};

/// int(zeta * count), the product in double.
ESPALIER_HOST_DEVICE inline EdgeIndex prune_quota(double zeta, EdgeIndex count) {
    return static_cast<EdgeIndex>(zeta * static_cast<double>(count));
}

namespace detail {

/// The first index in [first, last) for which `before` no longer holds, `last` if it always does.
template <class Before>
ESPALIER_HOST_DEVICE EdgeIndex partition_point(EdgeIndex first, EdgeIndex last, const Before& before) {
    while (first < last) {
        const EdgeIndex middle = first + (last - first) / 2;
        if (before(middle)) {
            first = middle + 1;
        } else {
            last = middle;
        }
    }
    return first;
}

struct CutSortedKeys {
    const std::uint32_t* keys;  // [count], ascending
    EdgeIndex count;
    PruneOrder order;
    double zeta;

    [[nodiscard]] ESPALIER_HOST_DEVICE EdgeIndex below(std::uint32_t key) const {
        const std::uint32_t* const sorted = keys;
        return partition_point(0, count, [sorted, key](EdgeIndex i) { return sorted[i] < key; });
    }
    [[nodiscard]] ESPALIER_HOST_DEVICE EdgeIndex up_to(std::uint32_t key) const {
        return key == 0xffffffffU ? count : below(key + 1);
    }
    [[nodiscard]] ESPALIER_HOST_DEVICE PruneCut operator()(int /*only*/) const {
        PruneCut cut;
        for (int group = 0; group < order.num_groups; ++group) {
            const EdgeIndex begin = below(order.first[group]);
            cut.quota[group] = prune_quota(zeta, up_to(order.last[group]) - begin);
            if (cut.quota[group] == 0) continue;
            cut.threshold[group] = keys[begin + cut.quota[group] - 1];
            const EdgeIndex tie_begin = below(cut.threshold[group]);
            cut.ties[group] = up_to(cut.threshold[group]) - tie_begin;
            cut.ties_taken[group] = begin + cut.quota[group] - tie_begin;
        }
        return cut;
    }
};

struct TakeSecond {
    template <class T>
    ESPALIER_HOST_DEVICE T operator()(const T& /*first*/, const T& second) const {
        return second;
    }
};

/// Whether the edge of a slot is at the threshold of a group.
struct IsTie {
    const float* weights;
    PruneOrder order;
    std::uint32_t threshold;
    ESPALIER_HOST_DEVICE bool operator()(EdgeIndex slot) const { return order(weights[slot]) == threshold; }
};

/// Whether the edge of a slot goes.
struct IsCut {
    const float* weights;
    PruneOrder order;
    PruneCut cut;
    ESPALIER_HOST_DEVICE bool operator()(EdgeIndex slot) const {
        const std::uint32_t key = order(weights[slot]);
        bool goes = false;
        for (int group = 0; group < PruneOrder::max_groups; ++group) {
            const bool inside = cut.quota[group] > 0 && key >= order.first[group];
            goes = goes || (inside && (key < cut.threshold[group] ||
                                       (key == cut.threshold[group] && slot <= cut.last_tie[group])));
        }
        return goes;
    }
};

}  // namespace detail

/// The cut of `count` weights by sorting all their keys.
template <class Policy, class Scratch>
PruneCut cut_by_sorting(const Policy& policy, Scratch& scratch, const float* weights, EdgeIndex count,
                        const PruneOrder& order, double zeta) {
    auto* keys = scratch.template take<std::uint32_t>(count);
    thrust::transform(policy, weights, weights + count, keys, order);
    thrust::sort(policy, keys, keys + count);
    const thrust::counting_iterator<int> once(0);
    return thrust::transform_reduce(policy, once, once + 1, detail::CutSortedKeys{keys, count, order, zeta}, PruneCut{},
                                    detail::TakeSecond{});
}

/// Writes the slots that go into `pruned` (room for `count`), ascending, and returns how many; ties fall in slot order.
template <class Policy>
EdgeIndex pruned_slots(const Policy& policy, const float* weights, EdgeIndex count, const PruneOrder& order,
                       PruneCut cut, EdgeIndex* pruned) {
    const thrust::counting_iterator<EdgeIndex> slots(0);
    for (int group = 0; group < order.num_groups; ++group) {
        if (cut.ties[group] == cut.ties_taken[group]) continue;
        thrust::copy_if(policy, slots, slots + count, pruned, detail::IsTie{weights, order, cut.threshold[group]});
        const EdgeIndex* last = pruned + cut.ties_taken[group] - 1;
        cut.last_tie[group] = thrust::reduce(policy, last, last + 1, EdgeIndex{0});
    }
    return static_cast<EdgeIndex>(
        thrust::copy_if(policy, slots, slots + count, pruned, detail::IsCut{weights, order, cut}) - pruned);
}

// ---- which cells get an edge

namespace detail {

// Sorted lists are walked in runs: one search where a run begins, then side by side.
inline constexpr EdgeIndex run_length = 64;

ESPALIER_HOST_DEVICE inline EdgeIndex num_runs(EdgeIndex count) {
    return count / run_length + (count % run_length > 0);
}
ESPALIER_HOST_DEVICE inline EdgeIndex run_end(EdgeIndex begin, EdgeIndex count) {
    return count - begin < run_length ? count : begin + run_length;
}

template <class Key>
struct DrawRank {
    Permutation permutation;
    ESPALIER_HOST_DEVICE Key operator()(EdgeIndex i) const { return static_cast<Key>(permutation(i)); }
};

/// Rank r among the numbers that an ascending list leaves out is the number r + #{i : listed[i] - i <= r}.
template <class Key, class Ranks>
struct ComplementRun {
    const Key* listed;
    EdgeIndex num_listed;
    Ranks ranks;  // ascending
    EdgeIndex count;
    Key* numbers;  // may be where the ranks are

    ESPALIER_HOST_DEVICE void operator()(EdgeIndex run) const {
        const EdgeIndex begin = run * run_length;
        EdgeIndex passed = search(0, ranks[begin]);
        for (EdgeIndex i = begin; i < run_end(begin, count); ++i) {
            const Key rank = ranks[i];
            passed = advance(passed, rank);
            numbers[i] = rank + static_cast<Key>(passed);
        }
    }
    [[nodiscard]] ESPALIER_HOST_DEVICE EdgeIndex search(EdgeIndex from, Key rank) const {
        const Key* const list = listed;
        return partition_point(from, num_listed, [list, rank](EdgeIndex i) { return list[i] - i <= rank; });
    }
    [[nodiscard]] ESPALIER_HOST_DEVICE EdgeIndex advance(EdgeIndex from, Key rank) const {
        const EdgeIndex near = num_listed - from < 8 ? num_listed : from + 8;
        while (from < near && listed[from] - from <= rank) ++from;
        return from < near || from == num_listed ? from : search(from, rank);
    }
};

}  // namespace detail

/// Writes `count` distinct numbers of [0, size), chosen uniformly, ascending. Key must hold size - 1.
template <class Key, class Policy>
void draw_distinct(const Policy& policy, std::uint64_t size, EdgeIndex count, const Stream& stream, Key* numbers) {
    if (count == 0) return;
    const thrust::counting_iterator<EdgeIndex> draws(0);
    thrust::transform(policy, draws, draws + count, numbers, detail::DrawRank<Key>{Permutation(size, stream)});
    thrust::sort(policy, numbers, numbers + count);
}

/// Maps `count` ascending ranks among the numbers that an ascending list leaves out to those numbers.
template <class Key, class Ranks, class Policy>
void complement(const Policy& policy, const Key* listed, EdgeIndex num_listed, Ranks ranks, EdgeIndex count,
                Key* numbers) {
    const thrust::counting_iterator<EdgeIndex> runs(0);
    thrust::for_each_n(policy, runs, detail::num_runs(count),
                       detail::ComplementRun<Key, Ranks>{listed, num_listed, ranks, count, numbers});
}

// ---- from CSR to cells and back

namespace detail {

template <class Key>
struct CellRun {
    Index num_inputs;
    Index num_outputs;
    const EdgeIndex* row_start;
    const Index* column;
    EdgeIndex num_edges;
    Key* cells;

    ESPALIER_HOST_DEVICE void operator()(EdgeIndex run) const {
        const EdgeIndex begin = run * run_length;
        const EdgeIndex* const start = row_start;
        Index row = partition_point(0, num_outputs, [start, begin](Index i) { return start[i + 1] <= begin; });
        for (EdgeIndex slot = begin; slot < run_end(begin, num_edges); ++slot) {
            while (slot >= row_start[row + 1]) ++row;
            cells[slot] = static_cast<Key>(row) * num_inputs + column[slot];
        }
    }
};

template <class Key>
struct ColumnRun {
    Index num_inputs;
    const Key* cells;
    EdgeIndex num_edges;
    Index* column;

    ESPALIER_HOST_DEVICE void operator()(EdgeIndex run) const {
        const EdgeIndex begin = run * run_length;
        Key row_begin = cells[begin] / num_inputs * num_inputs;
        for (EdgeIndex slot = begin; slot < run_end(begin, num_edges); ++slot) {
            const Key cell = cells[slot];
            if (cell - row_begin >= num_inputs) row_begin = cell / num_inputs * num_inputs;
            column[slot] = static_cast<Index>(cell - row_begin);
        }
    }
};

/// Where a group of `width` consecutive keys begins in an ascending list.
template <class Key>
struct GroupStart {
    const Key* keys;
    EdgeIndex count;
    Index width;
    ESPALIER_HOST_DEVICE EdgeIndex operator()(Index group) const {
        const Key* const list = keys;
        const std::uint64_t low = std::uint64_t{group} * width;
        return partition_point(0, count, [list, low](EdgeIndex i) { return list[i] < low; });
    }
};

template <class Key>
struct RowOfCell {
    const Key* cells;
    Index num_inputs;
    ESPALIER_HOST_DEVICE Index operator()(EdgeIndex slot) const { return static_cast<Index>(cells[slot] / num_inputs); }
};

}  // namespace detail

/// The cells of a CSR topology, ascending.
template <class Key, class Policy>
void cells_of(const Policy& policy, Index num_inputs, Index num_outputs, const EdgeIndex* row_start,
              const Index* column, EdgeIndex num_edges, Key* cells) {
    const thrust::counting_iterator<EdgeIndex> runs(0);
    thrust::for_each_n(policy, runs, detail::num_runs(num_edges),
                       detail::CellRun<Key>{num_inputs, num_outputs, row_start, column, num_edges, cells});
}

/// The CSR topology of ascending cells: row_start [num_outputs + 1], column [num_edges].
template <class Key, class Policy>
void csr_of(const Policy& policy, Index num_inputs, Index num_outputs, const Key* cells, EdgeIndex num_edges,
            EdgeIndex* row_start, Index* column) {
    const thrust::counting_iterator<Index> rows(0);
    thrust::transform(policy, rows, rows + num_outputs + 1, row_start,
                      detail::GroupStart<Key>{cells, num_edges, num_inputs});
    const thrust::counting_iterator<EdgeIndex> runs(0);
    thrust::for_each_n(policy, runs, detail::num_runs(num_edges),
                       detail::ColumnRun<Key>{num_inputs, cells, num_edges, column});
}

/// The same edges by input: column_start [num_inputs + 1], row and slot [num_edges].
template <class Key, class Policy, class Scratch>
void transpose_by_sorting(const Policy& policy, Scratch& scratch, Index num_inputs, const Key* cells,
                          const Index* column, EdgeIndex num_edges, EdgeIndex* column_start, Index* row,
                          EdgeIndex* slot) {
    auto* sorted = scratch.template take<Index>(num_edges);
    thrust::copy(policy, column, column + num_edges, sorted);
    thrust::sequence(policy, slot, slot + num_edges);
    thrust::stable_sort_by_key(policy, sorted, sorted + num_edges, slot);
    const thrust::counting_iterator<Index> inputs(0);
    thrust::transform(policy, inputs, inputs + num_inputs + 1, column_start,
                      detail::GroupStart<Index>{sorted, num_edges, 1});
    thrust::transform(policy, slot, slot + num_edges, row, detail::RowOfCell<Key>{cells, num_inputs});
}

// ---- the whole

/// What an evolution makes of a layer's edges; arrays in scratch memory.
template <class Key>
struct Evolved {
    EdgeIndex num_edges = 0;
    EdgeIndex num_grown = 0;
    const Key* grown = nullptr;         // [num_grown] the new edges' cells, ascending
    const Key* cells = nullptr;         // [num_edges] all cells, ascending
    const EdgeIndex* origin = nullptr;  // [num_edges] the old slot of each edge, a pruned one's for a new edge
};

/// Replaces the edges in the slots `pruned` (ascending) by as many at missing cells, chosen uniformly; fewer only where
/// no missing cell is left, and none at all when `grow` is null (a removal). `old_cells` [num_edges] ascending.
template <class Key, class Policy, class Scratch>
Evolved<Key> evolve_topology(const Policy& policy, Scratch& scratch, Cell num_cells, const Key* old_cells,
                             EdgeIndex num_edges, const EdgeIndex* pruned, EdgeIndex num_pruned, const GrowRandom* grow,
                             const Stream& stream) {
    const EdgeIndex num_kept = num_edges - num_pruned;
    auto* kept = scratch.template take<EdgeIndex>(num_kept);
    complement(policy, pruned, num_pruned, thrust::counting_iterator<EdgeIndex>(0), num_kept, kept);
    auto* kept_cells = scratch.template take<Key>(num_kept);
    thrust::gather(policy, kept, kept + num_kept, old_cells, kept_cells);

    const bool all_missing = grow != nullptr && grow->allow_removed != 0;
    const Key* excluded = all_missing ? kept_cells : old_cells;
    const EdgeIndex num_excluded = all_missing ? num_kept : num_edges;
    const Cell num_missing = num_cells - num_excluded;
    Evolved<Key> result;
    result.num_grown = grow == nullptr            ? 0
                       : num_missing < num_pruned ? static_cast<EdgeIndex>(num_missing)
                                                  : num_pruned;
    result.num_edges = num_kept + result.num_grown;
    auto* grown = scratch.template take<Key>(result.num_grown);
    draw_distinct(policy, num_missing, result.num_grown, stream, grown);
    complement(policy, excluded, num_excluded, grown, result.num_grown, grown);

    auto* cells = scratch.template take<Key>(result.num_edges);
    auto* origin = scratch.template take<EdgeIndex>(result.num_edges);
    thrust::merge_by_key(policy, kept_cells, kept_cells + num_kept, grown, grown + result.num_grown, kept, pruned,
                         cells, origin);
    result.grown = grown;
    result.cells = cells;
    result.origin = origin;
    return result;
}

namespace detail {

template <class Key, class Law>
struct BornWeight {
    Law law;
    Stream stream;
    Index num_inputs;
    ESPALIER_HOST_DEVICE float operator()(Key cell) const { return law(stream.bits(cell), num_inputs); }
};

}  // namespace detail

/// Gives the new edges their weights, in the slots they take over: weights[pruned[j]] = law of the j-th grown cell.
template <class Key, class Policy, class Law>
void bear_weights(const Policy& policy, const Evolved<Key>& evolved, const EdgeIndex* pruned, const Law& law,
                  const Stream& stream, Index num_inputs, float* weights) {
    thrust::transform(policy, evolved.grown, evolved.grown + evolved.num_grown,
                      thrust::make_permutation_iterator(weights, pruned),
                      detail::BornWeight<Key, Law>{law, stream, num_inputs});
}

}  // namespace espalier
