// The steps of topology evolution as function objects that run on both sides of the seam; evolve.hpp strings them
// together. Integers only. Sorted lists are walked in runs: one search where a run begins, then side by side.
#pragma once

#include <cmath>
#include <cstring>
#include <optional>

#include "espalier/evolution_rules.hpp"
#include "espalier/host_device.hpp"
#include "espalier/index.hpp"
#include "espalier/initialization.hpp"
#include "espalier/random.hpp"

namespace espalier {

// ---- which edges go

/// Per group: `quota` edges go, those with keys below the threshold and the first of those with just that key.
struct PruneCut {
    EdgeIndex quota[PruneOrder::max_groups] = {};
    std::uint32_t threshold[PruneOrder::max_groups] = {};
    EdgeIndex ties[PruneOrder::max_groups] = {};                                   // edges at the threshold
    EdgeIndex ties_taken[PruneOrder::max_groups] = {};                             // those of them that go
    EdgeIndex tie_slots[PruneOrder::max_groups] = {~EdgeIndex{0}, ~EdgeIndex{0}};  // they have slots below this

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
    std::uint32_t first[PruneOrder::max_groups];
    std::uint32_t below[PruneOrder::max_groups];      // keys first .. first + below - 1 go,
    std::uint32_t threshold[PruneOrder::max_groups];  // and this key, if at most this slot
    EdgeIndex slots[PruneOrder::max_groups];          // slots 0 .. slots - 1

    IsCut(const float* all_weights, const PruneOrder& prune_order, const PruneCut& cut)
        : weights(all_weights), order(prune_order) {
        for (int group = 0; group < PruneOrder::max_groups; ++group) {
            const bool some = cut.quota[group] > 0;
            first[group] = order.first[group];
            threshold[group] = cut.threshold[group];
            below[group] = some ? cut.threshold[group] - order.first[group] : 0;
            slots[group] = some ? cut.tie_slots[group] : 0;
        }
    }
    // no branches: weights of either kind come in no order
    ESPALIER_HOST_DEVICE bool least(std::uint32_t key) const {
        return (key - first[0] < below[0]) | (key - first[1] < below[1]);
    }
    ESPALIER_HOST_DEVICE bool tie(std::uint32_t key, EdgeIndex slot) const {
        return ((key == threshold[0]) & (slot < slots[0])) | ((key == threshold[1]) & (slot < slots[1]));
    }
    ESPALIER_HOST_DEVICE bool operator()(EdgeIndex slot) const {
        const std::uint32_t key = order(weights[slot]);
        return least(key) | tie(key, slot);
    }
};

}  // namespace detail

// ---- which cells get an edge

namespace detail {

inline constexpr EdgeIndex run_length = 128;  // no result depends on it

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

// ---- from cells to CSR

namespace detail {

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

}  // namespace detail

// ---- the topology that follows

/// A layer's edges in CSR, arrays in the policy's memory.
struct CsrView {
    Index num_inputs = 0;
    Index num_outputs = 0;
    EdgeIndex num_edges = 0;
    const EdgeIndex* row_start = nullptr;  // [num_outputs + 1]
    const Index* column = nullptr;         // [num_edges]
};

/// What goes and what comes.
template <class Key>
struct Replacement {
    const EdgeIndex* pruned = nullptr;  // [num_pruned] slots, ascending
    EdgeIndex num_pruned = 0;
    const Key* ranks = nullptr;  // [num_grown] of the new cells among the missing ones, ascending
    EdgeIndex num_grown = 0;     // at most num_pruned, but where a backend can grow layers
    bool allow_removed = false;  // the cells of pruned edges count as missing

    [[nodiscard]] EdgeIndex num_edges(const CsrView& old) const { return old.num_edges - num_pruned + num_grown; }
};

/// Where an evolution leaves its results.
template <class Key>
struct Evolved {
    EdgeIndex* row_start = nullptr;    // [num_outputs + 1], may be the old one
    Index* column = nullptr;           // [num_edges]
    EdgeIndex* origin = nullptr;       // [num_edges] the old slot of each edge, pruned[j] for the j-th new one
    Key* grown_cells = nullptr;        // [num_grown]
    EdgeIndex* grown_slots = nullptr;  // [num_grown] the new edges' new slots
};

inline constexpr EdgeIndex gone = ~EdgeIndex{0};

/// Sets how many edges `rule` grows, its share of the pruned ones, rounded, or `count`, as far as cells are missing, and
/// whether just removed cells are among these. Returns how many are missing.
template <class Rule, class Key>
Cell plan_growth(const Rule& rule, const CsrView& old, Replacement<Key>& change,
                 const std::optional<EdgeIndex>& count = std::nullopt) {
    change.allow_removed = rule.allow_removed;
    const Cell missing =
        Cell{old.num_inputs} * old.num_outputs - old.num_edges + (change.allow_removed ? change.num_pruned : 0);
    const EdgeIndex wanted =
        count.value_or(static_cast<EdgeIndex>(rule.share * static_cast<double>(change.num_pruned) + 0.5));
    change.num_grown = wanted < missing ? wanted : static_cast<EdgeIndex>(missing);
    return missing;
}

namespace detail {

struct RowOfSlot {
    const EdgeIndex* row_start;
    Index num_outputs;
    ESPALIER_HOST_DEVICE Index operator()(EdgeIndex slot) const {
        const EdgeIndex* const start = row_start;
        return partition_point(0, num_outputs, [start, slot](Index i) { return start[i + 1] <= slot; });
    }
};

/// What the magnitudes of a neuron's edges add up to, in the order of their slots.
struct SumOfNeuron {
    const EdgeIndex* start;  // of its edges in the list of slots
    const EdgeIndex* slots;  // null: slot after slot
    const float* weights;
    ESPALIER_HOST_DEVICE float operator()(Index neuron) const {
        double sum = 0;
        for (EdgeIndex i = start[neuron]; i < start[neuron + 1]; ++i) {
            sum += fabs(static_cast<double>(weights[slots == nullptr ? i : slots[i]]));
        }
        return static_cast<float>(sum);
    }
};

/// A prune rule's key of the edge in a slot, as a float of just those bits, so that keys are ordered as weights are.
template <class Rule>
struct PruneKey {
    Rule rule;
    CsrView edges;
    const float* weights;
    Stream draws;
    const float* input_sums = nullptr;   // [num_inputs]
    const float* output_sums = nullptr;  // [num_outputs]; both null for rules that ask for none
    ESPALIER_HOST_DEVICE float operator()(EdgeIndex slot) const {
        const Index output = RowOfSlot{edges.row_start, edges.num_outputs}(slot);
        const Index input = edges.column[slot];
        const float of_input = input_sums == nullptr ? 0.0F : input_sums[input];
        const float of_output = output_sums == nullptr ? 0.0F : output_sums[output];
        const std::uint32_t key = rule.key(PruneCandidate{weights[slot], input, output, edges.num_inputs,
                                                          edges.num_outputs, draws, of_input, of_output});
        float bits = 0;
        std::memcpy(&bits, &key, sizeof bits);
        return bits;
    }
};

}  // namespace detail

}  // namespace espalier
