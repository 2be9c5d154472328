// Which missing cells get an edge, by each growing rule, as ranks among the missing cells: once for every Thrust
// policy. A rule that is not uniform is a sequence of candidates, of which the first distinct ones that are missing are
// taken; so every policy and every number of threads takes the same.
#pragma once

#include <thrust/binary_search.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "espalier/common/evolve.hpp"

namespace espalier {

namespace detail {

/// No rank: the candidate cell has an edge, or must not have one.
template <class Key>
inline constexpr Key no_rank = static_cast<Key>(~Key{0});

/// Where a cell stands among the missing ones.
template <class Key>
struct MissingRank {
    CsrView edges;
    const EdgeIndex* pruned;
    EdgeIndex num_pruned;
    bool allow_removed;

    [[nodiscard]] ESPALIER_HOST_DEVICE Key operator()(Index output, Index input) const {
        const Index* const column = edges.column;
        const EdgeIndex end = edges.row_start[output + 1];
        const EdgeIndex slot =
            partition_point(edges.row_start[output], end, [column, input](EdgeIndex at) { return column[at] < input; });
        const EdgeIndex* const list = pruned;
        const EdgeIndex gone_before =
            partition_point(0, num_pruned, [list, slot](EdgeIndex at) { return list[at] < slot; });
        const bool held = slot < end && column[slot] == input;
        const bool just_removed = held && gone_before < num_pruned && pruned[gone_before] == slot;
        if (held && !(allow_removed && just_removed)) return no_rank<Key>;
        const EdgeIndex excluded = allow_removed ? slot - gone_before : slot;
        return static_cast<Key>(output) * edges.num_inputs + input - excluded;
    }
};

/// A rule's candidates as ranks among the missing cells; after the last of them any missing cell, one after the other.
template <class Key, class Rule>
struct Candidates {
    Rule rule;
    MissingRank<Key> rank_of;
    std::uint64_t count;
    Permutation others;

    [[nodiscard]] ESPALIER_HOST_DEVICE Key operator()(std::uint64_t i) const {
        if (i < count) return rule(i, rank_of);
        const std::uint64_t other = i - count;
        return other < others.size() ? static_cast<Key>(others(other)) : no_rank<Key>;
    }
};

/// The candidates of GrowNearParents.
template <class Key>
struct NearParents {
    static constexpr std::uint64_t draws_per_parent = 64;  // the most a contest may have

    CsrView edges;
    const float* weights;  // [num_edges], 0 where pruned
    std::uint32_t contest;
    Stream stream;

    [[nodiscard]] ESPALIER_HOST_DEVICE Key operator()(std::uint64_t i, const MissingRank<Key>& rank_of) const {
        const Index output = RowOfSlot{edges.row_start, edges.num_outputs}(parent(2 * i));
        return rank_of(output, edges.column[parent(2 * i + 1)]);
    }

    /// The strongest of `contest` edges drawn at random, the first drawn of those alike.
    [[nodiscard]] ESPALIER_HOST_DEVICE EdgeIndex parent(std::uint64_t number) const {
        EdgeIndex best = 0;
        float strength = -1;
        for (std::uint32_t draw = 0; draw < contest; ++draw) {
            const EdgeIndex slot = bounded(stream.bits(number * draws_per_parent + draw), edges.num_edges);
            const float magnitude = fabsf(weights[slot]);
            if (!(magnitude > strength)) continue;
            best = slot;
            strength = magnitude;
        }
        return best;
    }
};

/// The candidates of GrowHashOrder.
template <class Key>
struct HashOrder {
    Index num_inputs;
    Index num_outputs;
    std::uint64_t mask;   // of the hash's bits that place a cell in the set's table
    std::uint64_t below;  // places whose cells are taken
    Stream stream;

    [[nodiscard]] ESPALIER_HOST_DEVICE Key operator()(std::uint64_t i, const MissingRank<Key>& rank_of) const {
        const Index input = bounded(stream.bits(2 * i), num_inputs);
        const Index output = bounded(stream.bits(2 * i + 1), num_outputs);
        return (python_hash(input, output) & mask) < below ? rank_of(output, input) : no_rank<Key>;
    }
    /// Of the tuple (input, output), by CPython up to 3.7 on machines of 64 bits.
    [[nodiscard]] static ESPALIER_HOST_DEVICE constexpr std::uint64_t python_hash(std::uint64_t input,
                                                                                  std::uint64_t output) {
        constexpr std::uint64_t first = 1000003, second = first + 82520 + 2;
        return ((((0x345678 ^ input) * first) ^ output) * second) + 97531;
    }
    /// Of a set's table (a power of two) less 1, after `count` elements came in one by one, by CPython 3.7.
    [[nodiscard]] static constexpr std::uint64_t python_mask(std::uint64_t count) {
        std::uint64_t mask = 7;
        for (;;) {
            const std::uint64_t full = (3 * mask + 4) / 5;  // the first count that makes it grow
            if (count < full) return mask;
            const std::uint64_t wanted = full * (full > 50000 ? 2 : 4);
            while (mask < wanted) mask = 2 * mask + 1;
        }
    }
};

/// Of a sorted array, the first place of every key. (unique_by_key of Thrust 1.17 reads the key before the first.)
template <class Key>
struct FirstOfItsKey {
    const Key* keys;

    ESPALIER_HOST_DEVICE bool operator()(EdgeIndex i) const { return i == 0 || keys[i] != keys[i - 1]; }
};

/// Writes the first `count` distinct ranks of a sequence, ascending. It must have as many.
template <class Key, class Policy, class Scratch, class Sequence>
void first_distinct(const Policy& policy, Scratch& scratch, const Sequence& sequence, EdgeIndex count, Key* ranks) {
    EdgeIndex held = 0;
    constexpr std::uint64_t countable = std::numeric_limits<EdgeIndex>::max();
    const auto most = static_cast<EdgeIndex>(std::min(countable, 3 * std::uint64_t{count} + 64));
    auto* keys = scratch.template take<Key>(most);
    auto* order = scratch.template take<EdgeIndex>(most);
    auto* distinct = scratch.template take<Key>(most);
    auto* distinct_order = scratch.template take<EdgeIndex>(most);
    const thrust::counting_iterator<EdgeIndex> places(0);
    for (std::uint64_t next = 0; held < count;) {
        const auto batch =
            static_cast<EdgeIndex>(std::min(std::uint64_t{most - held}, 2 * std::uint64_t{count - held} + 64));
        thrust::copy(policy, ranks, ranks + held, keys);
        const thrust::counting_iterator<std::uint64_t> candidates(next);
        thrust::transform(policy, candidates, candidates + batch, keys + held, sequence);
        next += batch;
        // of equal keys the first stays: one that is held, or else the earliest candidate
        const EdgeIndex all = held + batch;
        thrust::sequence(policy, order, order + all);
        thrust::stable_sort_by_key(policy, keys, keys + all, order);
        const FirstOfItsKey<Key> first_of_its_key{keys};
        thrust::copy_if(policy, order, order + all, places, distinct_order, first_of_its_key);
        Key* const end = thrust::copy_if(policy, keys, keys + all, places, distinct, first_of_its_key);
        held = static_cast<EdgeIndex>(thrust::lower_bound(policy, distinct, end, no_rank<Key>) - distinct);
        if (held > count) {
            thrust::stable_sort_by_key(policy, distinct_order, distinct_order + held, distinct);
            held = count;
        }
        thrust::copy(policy, distinct, distinct + held, ranks);
    }
    thrust::sort(policy, ranks, ranks + count);
}

}  // namespace detail

namespace detail {

template <class Key>
NearParents<Key> candidates(const GrowNearParents& rule, const CsrView& edges, const float* weights,
                            EdgeIndex /*num_grown*/, Cell /*missing*/, const Stream& stream) {
    return {edges, weights, static_cast<std::uint32_t>(rule.contest), stream};
}

template <class Key>
HashOrder<Key> candidates(const GrowHashOrder& /*rule*/, const CsrView& edges, const float* /*weights*/,
                          EdgeIndex num_grown, Cell missing, const Stream& stream) {
    const double cells = static_cast<double>(edges.num_inputs) * edges.num_outputs;
    const double in_set = cells * -std::expm1(-1.5 * num_grown / cells);  // expected of 1.5 n draws with replacement
    const auto mask = HashOrder<Key>::python_mask(static_cast<std::uint64_t>(in_set));
    const double taken = std::min(1.0, num_grown / (in_set * (static_cast<double>(missing) / cells)));
    return {edges.num_inputs, edges.num_outputs, mask,
            static_cast<std::uint64_t>(std::ceil(taken * static_cast<double>(mask + 1))), stream};
}

}  // namespace detail

/// Writes the ranks of the new edges among `missing` cells, ascending; `change` has all but them. For every rule but
/// GrowRandom.
template <class Key, class Policy, class Scratch, class Rule>
void draw_candidates(const Policy& policy, Scratch& scratch, const Rule& rule, const CsrView& edges,
                     const float* weights, const Replacement<Key>& change, Cell missing, const Stream& stream,
                     Key* ranks) {
    const auto of_rule = detail::candidates<Key>(rule, edges, weights, change.num_grown, missing, stream);
    const detail::Candidates<Key, std::remove_const_t<decltype(of_rule)>> sequence{
        of_rule,
        {edges, change.pruned, change.num_pruned, change.allow_removed},
        std::uint64_t{16} * change.num_grown,
        Permutation(missing, stream)};
    detail::first_distinct(policy, scratch, sequence, change.num_grown, ranks);
}

}  // namespace espalier
