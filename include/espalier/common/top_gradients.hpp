// The missing cells of largest gradients, as ranks among the missing cells. No matrix of gradients exists: cells are
// looked at piece by piece, and of all that were seen only the best are held. Written once over a Thrust policy; the CPU
// backend has a faster way to the same ranks (host/cpu/evolution/top_gradients.cpp).
//
// A gradient is one chain of fused multiply-adds over the samples in their order, so its bits do not depend on who
// computes it, and the order of cells (gradient falling, cell rising) is total: every policy, number of threads and
// size of a piece yields the same ranks.
#pragma once

#include <thrust/binary_search.h>
#include <thrust/functional.h>
#include <thrust/gather.h>
#include <thrust/merge.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "espalier/backend.hpp"
#include "espalier/common/grow_ranks.hpp"

namespace espalier {

/// How a gradient ranks: by the bits of its magnitude, which as integers ascend with it; NaN is as good as 0.
ESPALIER_HOST_DEVICE inline std::uint32_t gradient_key(float gradient) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &gradient, sizeof bits);
    bits &= 0x7fffffffU;
    return bits > 0x7f800000U ? 0 : bits;
}

namespace detail {

/// Activations sample by sample, [sample][neuron].
struct PackSample {
    ConstActivations values;
    ESPALIER_HOST_DEVICE float operator()(std::uint64_t at) const {
        return values.at(static_cast<Index>(at % values.rows), static_cast<Index>(at / values.rows));
    }
};

/// The gradient of a cell.
struct PackedEvidence {
    const float* x;   // [sample][input]
    const float* dz;  // [sample][output]
    Index num_inputs;
    Index num_outputs;
    Index samples;
    [[nodiscard]] ESPALIER_HOST_DEVICE float operator()(Index output, Index input) const {
        float sum = 0;
        for (Index s = 0; s < samples; ++s) {
            sum = fmaf(dz[static_cast<std::size_t>(s) * num_outputs + output],
                       x[static_cast<std::size_t>(s) * num_inputs + input], sum);
        }
        return sum;
    }
};

/// How cell first_cell + i ranks, and its rank among the missing ones; 0: of no interest.
template <class Key>
struct KeyAtLeast {
    PackedEvidence gradient;
    std::uint64_t first_cell;
    std::uint32_t threshold;
    MissingRank<Key> rank_of;
    Key* ranks;

    ESPALIER_HOST_DEVICE std::uint32_t operator()(std::uint32_t i) const {
        const std::uint64_t cell = first_cell + i;
        const auto output = static_cast<Index>(cell / gradient.num_inputs);
        const auto input = static_cast<Index>(cell % gradient.num_inputs);
        const std::uint32_t key = gradient_key(gradient(output, input));
        if (key < threshold) return 0;
        ranks[i] = rank_of(output, input);
        return ranks[i] == no_rank<Key> ? 0 : key;
    }
};

template <class Key>
struct KeyOfCell {
    PackedEvidence gradient;
    ESPALIER_HOST_DEVICE std::uint32_t operator()(Key cell) const {
        return gradient_key(gradient(static_cast<Index>(cell / gradient.num_inputs),
                                     static_cast<Index>(cell % gradient.num_inputs)));
    }
};

/// Where each output's new edges begin among all new ones: of those that it lost a share as large as every other's, rounded
/// where the sum over the outputs is.
struct NewOfOutput {
    const EdgeIndex* row_start;  // before the evolution
    const EdgeIndex* pruned;
    EdgeIndex num_pruned;
    EdgeIndex num_grown;  // at most num_pruned
    ESPALIER_HOST_DEVICE EdgeIndex operator()(Index output) const {
        const EdgeIndex* const list = pruned;
        const EdgeIndex start = row_start[output];
        const EdgeIndex lost = partition_point(0, num_pruned, [list, start](EdgeIndex i) { return list[i] < start; });
        return static_cast<EdgeIndex>((std::uint64_t{lost} * num_grown + num_pruned / 2) / num_pruned);
    }
};

/// How a cell without a gradient ranks among those of its output: at random, behind all that have one. Above 0.
ESPALIER_HOST_DEVICE inline std::uint32_t rank_at_random(const Stream& draws, std::uint64_t cell) {
    return draws.bits(cell) | 1U;
}

/// How cell first_cell + i ranks among those of its output, and its rank among the missing ones; 0: it holds an edge.
template <class Key>
struct OrderOfCell {
    PackedEvidence gradient;
    std::uint64_t first_cell;
    MissingRank<Key> rank_of;
    Stream draws;
    Key* ranks;

    ESPALIER_HOST_DEVICE std::uint64_t operator()(std::uint32_t i) const {
        const std::uint64_t cell = first_cell + i;
        const auto output = static_cast<Index>(cell / gradient.num_inputs);
        const auto input = static_cast<Index>(cell % gradient.num_inputs);
        ranks[i] = rank_of(output, input);
        if (ranks[i] == no_rank<Key>) return 0;
        const std::uint32_t key = gradient_key(gradient(output, input));
        return key > 0 ? std::uint64_t{key} << 32 : std::uint64_t{rank_at_random(draws, cell)};
    }
};

/// The row of a place in a piece of whole rows.
struct RowOfPlace {
    Index num_inputs;
    ESPALIER_HOST_DEVICE Index operator()(std::uint32_t place) const { return place / num_inputs; }
};

/// Whether a place in a piece of whole rows, best cells of each row first, is among the row's new edges.
struct IsNewOfOutput {
    Index num_inputs;
    Index first_row;
    NewOfOutput begin_of;
    ESPALIER_HOST_DEVICE bool operator()(std::uint32_t place) const {
        const Index row = first_row + place / num_inputs;
        return place % num_inputs < begin_of(row + 1) - begin_of(row);
    }
};

struct IsPositive {
    ESPALIER_HOST_DEVICE bool operator()(std::uint32_t key) const { return key > 0; }
};

/// The cell of an edge, by its canonical slot.
template <class Key>
struct CellOfSlot {
    CsrView edges;
    ESPALIER_HOST_DEVICE Key operator()(EdgeIndex slot) const {
        return static_cast<Key>(RowOfSlot{edges.row_start, edges.num_outputs}(slot)) * edges.num_inputs +
               edges.column[slot];
    }
};

/// Whether an edge's cell can hold no new edge.
struct IsExcluded {
    const EdgeIndex* pruned;
    EdgeIndex num_pruned;
    bool allow_removed;
    ESPALIER_HOST_DEVICE bool operator()(EdgeIndex slot) const {
        if (!allow_removed) return true;
        const EdgeIndex* const list = pruned;
        const EdgeIndex before =
            partition_point(0, num_pruned, [list, slot](EdgeIndex i) { return list[i] < slot; });
        return before == num_pruned || list[before] != slot;
    }
};

template <class Policy, class Scratch>
PackedEvidence pack(const Policy& policy, Scratch& scratch, const Evidence& evidence) {
    const auto packed = [&](ConstActivations values) {
        const std::uint64_t count = std::uint64_t{values.rows} * values.batch;
        auto* to = scratch.template take<float>(count);
        const thrust::counting_iterator<std::uint64_t> places(0);
        thrust::transform(policy, places, places + count, to, PackSample{values});
        return to;
    };
    return {packed(evidence.x), packed(evidence.dz), evidence.x.rows, evidence.dz.rows, evidence.x.batch};
}

/// Keys and ranks of cells, which come in the order of their ranks; the best first after keep().
template <class Key>
struct BestCells {
    std::uint32_t* keys;  // [room]
    Key* ranks;           // [room]
    std::uint32_t held = 0;

    /// Keeps the best `count`; returns the key that a better one must reach.
    template <class Policy>
    std::uint32_t keep(const Policy& policy, EdgeIndex count) {
        thrust::stable_sort_by_key(policy, keys, keys + held, ranks, thrust::greater<std::uint32_t>());
        if (held < count) return 1;
        held = count;
        return thrust::reduce(policy, keys + (count - 1), keys + count, std::uint32_t{0});
    }
};

/// After the `found` ranks, ascending, as many more drawn from the other missing cells as `count` wants; all ascending.
template <class Key, class Policy, class Scratch>
void add_uniform_ranks(const Policy& policy, Scratch& scratch, EdgeIndex found, EdgeIndex count, Cell missing,
                       const Stream& stream, Key* ranks) {
    if (found == count) return;
    const EdgeIndex more = count - found;
    auto* others = scratch.template take<Key>(more);
    draw_distinct(policy, missing - found, more, stream, others);
    complement<Key, const Key*>(policy, ranks, found, others, more, others);
    auto* all = scratch.template take<Key>(count);
    thrust::merge(policy, ranks, ranks + found, others, others + more, all);
    thrust::copy(policy, all, all + count, ranks);
}

}  // namespace detail

/// Cells that a piece holds, whatever the layer; no result depends on it.
inline constexpr std::uint32_t gradient_piece = std::uint32_t{1} << 20;

/// Writes the ranks of the at most `change.num_grown` missing cells of largest gradients that are neither 0 nor NaN,
/// ascending; returns how many.
template <class Key, class Policy, class Scratch>
EdgeIndex top_gradients(const Policy& policy, Scratch& scratch, const Evidence& evidence, const CsrView& edges,
                        const Replacement<Key>& change, Key* ranks, std::uint32_t piece = gradient_piece) {
    const detail::PackedEvidence gradient = detail::pack(policy, scratch, evidence);
    const EdgeIndex count = change.num_grown;
    const std::uint64_t cells = std::uint64_t{edges.num_inputs} * edges.num_outputs;
    detail::BestCells<Key> best{scratch.template take<std::uint32_t>(std::size_t{count} + piece),
                                scratch.template take<Key>(std::size_t{count} + piece)};
    auto* keys = scratch.template take<std::uint32_t>(piece);
    auto* piece_ranks = scratch.template take<Key>(piece);
    std::uint32_t threshold = 1;
    for (std::uint64_t first = 0; first < cells; first += piece) {
        const auto size = static_cast<std::uint32_t>(std::min<std::uint64_t>(piece, cells - first));
        const thrust::counting_iterator<std::uint32_t> places(0);
        thrust::transform(policy, places, places + size, keys,
                          detail::KeyAtLeast<Key>{gradient, first, threshold,
                                                  {edges, change.pruned, change.num_pruned, change.allow_removed},
                                                  piece_ranks});
        const auto* const end =
            thrust::copy_if(policy, piece_ranks, piece_ranks + size, keys, best.ranks + best.held, detail::IsPositive{});
        thrust::copy_if(policy, keys, keys + size, best.keys + best.held, detail::IsPositive{});
        best.held = static_cast<std::uint32_t>(end - best.ranks);
        threshold = best.keep(policy, count);
    }
    thrust::sort(policy, best.ranks, best.ranks + best.held);
    thrust::copy(policy, best.ranks, best.ranks + best.held, ranks);
    return best.held;
}

/// Writes the ranks of each output's best missing cells, as many as its share of change.num_grown, ascending: cells of equal
/// gradients by their order, those without one at random. Wants allow_removed, so that every output has as many as it lost.
template <class Key, class Policy, class Scratch>
void top_gradients_by_output(const Policy& policy, Scratch& scratch, const Evidence& evidence, const CsrView& edges,
                             const Replacement<Key>& change, const Stream& draws, Key* ranks,
                             std::uint32_t piece = gradient_piece) {
    const detail::PackedEvidence gradient = detail::pack(policy, scratch, evidence);
    const detail::NewOfOutput begin_of{edges.row_start, change.pruned, change.num_pruned, change.num_grown};
    const Index rows = std::min(edges.num_outputs, std::max<Index>(1, piece / edges.num_inputs));
    const std::size_t room = std::size_t{rows} * edges.num_inputs;
    auto* keys = scratch.template take<std::uint64_t>(room);
    auto* piece_ranks = scratch.template take<Key>(room);
    auto* order = scratch.template take<std::uint32_t>(room);
    auto* row_of = scratch.template take<Index>(room);
    auto* taken = scratch.template take<std::uint32_t>(room);
    EdgeIndex held = 0;
    for (Index first = 0; first < edges.num_outputs; first += rows) {
        const auto size = std::min(rows, edges.num_outputs - first) * edges.num_inputs;
        const thrust::counting_iterator<std::uint32_t> places(0);
        thrust::transform(policy, places, places + size, keys,
                          detail::OrderOfCell<Key>{gradient, std::uint64_t{first} * edges.num_inputs,
                                                   {edges, change.pruned, change.num_pruned, change.allow_removed},
                                                   draws, piece_ranks});
        thrust::sequence(policy, order, order + size);
        thrust::stable_sort_by_key(policy, keys, keys + size, order, thrust::greater<std::uint64_t>());
        thrust::transform(policy, order, order + size, row_of, detail::RowOfPlace{edges.num_inputs});
        thrust::stable_sort_by_key(policy, row_of, row_of + size, order);
        const auto* const end = thrust::copy_if(policy, order, order + size, places, taken,
                                                detail::IsNewOfOutput{edges.num_inputs, first, begin_of});
        thrust::gather(policy, taken, taken + (end - taken), piece_ranks, ranks + held);
        held += static_cast<EdgeIndex>(end - taken);
    }
    thrust::sort(policy, ranks, ranks + held);
}

/// The cells of `count` distinct ranks among the missing ones, ascending.
template <class Key, class Policy, class Scratch>
void cells_of_ranks(const Policy& policy, Scratch& scratch, const CsrView& edges, const Replacement<Key>& change,
                    EdgeIndex count, const Key* ranks, Key* cells) {
    auto* slots = scratch.template take<EdgeIndex>(edges.num_edges);
    auto* excluded = scratch.template take<Key>(edges.num_edges);
    const thrust::counting_iterator<EdgeIndex> all(0);
    const auto* const end =
        thrust::copy_if(policy, all, all + edges.num_edges, slots,
                        detail::IsExcluded{change.pruned, change.num_pruned, change.allow_removed});
    thrust::transform(policy, slots, slots + (end - slots), excluded, detail::CellOfSlot<Key>{edges});
    complement<Key, const Key*>(policy, excluded, static_cast<EdgeIndex>(end - slots), ranks, count, cells);
}

/// The same among `num_candidates` missing cells drawn at random only. `keys_of(cells, count, keys)` writes the keys of
/// cells' gradients.
template <class Key, class Policy, class Scratch, class KeysOf>
EdgeIndex top_candidates(const Policy& policy, Scratch& scratch, const CsrView& edges, const Replacement<Key>& change,
                         Cell missing, EdgeIndex num_candidates, const Stream& stream, const KeysOf& keys_of,
                         Key* ranks) {
    auto* drawn = scratch.template take<Key>(num_candidates);
    auto* cells = scratch.template take<Key>(num_candidates);
    auto* keys = scratch.template take<std::uint32_t>(num_candidates);
    draw_distinct(policy, missing, num_candidates, stream, drawn);
    cells_of_ranks(policy, scratch, edges, change, num_candidates, drawn, cells);
    keys_of(cells, num_candidates, keys);
    detail::BestCells<Key> best{keys, drawn, num_candidates};
    best.keep(policy, change.num_grown);
    // what has no gradient comes last
    const auto* const end = thrust::lower_bound(policy, keys, keys + best.held, std::uint32_t{0},
                                                thrust::greater<std::uint32_t>());
    const auto found = static_cast<EdgeIndex>(end - keys);
    thrust::sort(policy, drawn, drawn + found);
    thrust::copy(policy, drawn, drawn + found, ranks);
    return found;
}

/// How many missing cells a rule looks at where it does not look at all.
inline EdgeIndex num_candidates(const GrowGradient& rule, EdgeIndex num_edges, EdgeIndex num_grown, Cell missing) {
    const double wanted = std::max(std::ceil(rule.candidates * static_cast<double>(num_edges)),
                                   static_cast<double>(num_grown));
    const Cell most = std::min<Cell>(missing, ~EdgeIndex{0});
    return wanted < static_cast<double>(most) ? static_cast<EdgeIndex>(wanted) : static_cast<EdgeIndex>(most);
}

/// Where candidates are drawn from, beside the stream that draws cells without a gradient.
inline Stream candidate_stream(Stream stream) {
    stream.purpose = Purpose::candidates;
    return stream;
}

/// Writes the ranks of the new edges among `missing` cells, ascending.
template <class Key, class Policy, class Scratch>
void draw_by_gradient(const Policy& policy, Scratch& scratch, const GrowGradient& rule, const Evidence& evidence,
                      const CsrView& edges, const Replacement<Key>& change, Cell missing, const Stream& stream,
                      Key* ranks) {
    if (rule.per_output) {
        top_gradients_by_output(policy, scratch, evidence, edges, change, stream, ranks);
        return;
    }
    EdgeIndex found = 0;
    if (rule.candidates > 0) {
        const detail::PackedEvidence gradient = detail::pack(policy, scratch, evidence);
        const auto keys_of = [&](const Key* cells, EdgeIndex count, std::uint32_t* keys) {
            thrust::transform(policy, cells, cells + count, keys, detail::KeyOfCell<Key>{gradient});
        };
        const EdgeIndex looked_at = num_candidates(rule, edges.num_edges, change.num_grown, missing);
        found = top_candidates(policy, scratch, edges, change, missing, looked_at, candidate_stream(stream), keys_of,
                               ranks);
    } else {
        found = top_gradients(policy, scratch, evidence, edges, change, ranks);
    }
    detail::add_uniform_ranks(policy, scratch, found, change.num_grown, missing, stream, ranks);
}

}  // namespace espalier
