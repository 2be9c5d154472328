#include "host/cpu/evolution/evolve.hpp"

#include <thrust/gather.h>

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <memory>

#include "espalier/common/evolve.hpp"
#include "espalier/common/grow_ranks.hpp"
#include "host/cpu/canonical_weights.hpp"
#include "host/cpu/evolution/layer_edges.hpp"
#include "host/cpu/evolution/merge_edges.hpp"
#include "host/cpu/evolution/path_growth.hpp"
#include "host/cpu/evolution/radix_sort.hpp"
#include "host/cpu/evolution/random_draws.hpp"
#include "host/cpu/evolution/scatter.hpp"
#include "host/cpu/evolution/scratch.hpp"
#include "host/cpu/evolution/top_gradients.hpp"
#include "host/cpu/memory.hpp"
#include "host/cpu/operations.hpp"

namespace espalier {

namespace {

/// The new edges, in canonical order.
template <class Key>
struct NewEdges {
    EdgeIndex count = 0;
    const Key* cells = nullptr;        // [count]
    const EdgeIndex* slots = nullptr;  // [count]
    std::vector<const float*> states;  // [num_states][count]; empty: all 0
};

/// As many values, and room for no more: a vector that grows by itself would take twice its memory.
template <class T>
void resize_to(AlignedVector<T>& values, EdgeIndex count) {
    if (count > values.capacity()) values.reserve(count);
    values.resize(count);
}

/// values[i] = old values[from[i]] for i < count, in place.
template <class Policy>
void carry(const Policy& policy, const EdgeIndex* from, EdgeIndex count, float* moved, AlignedVector<float>& values) {
    thrust::gather(policy, from, from + count, values.begin(), moved);
    resize_to(values, count);
    if (count > 0) thrust::copy(policy, moved, moved + count, values.begin());  // no memmove to null
}

template <class T>
void overwrite(AlignedVector<T>& values, const T* by, EdgeIndex count) {
    resize_to(values, count);
    std::copy(by, by + count, values.begin());
}

/// The new edges grouped by input, outputs ascending within one.
struct GroupedByInput {
    std::vector<EdgeIndex> start;  // num_inputs + 1
    EdgeIndex* edge;               // which new edge
    Index* row;
};

template <class Key>
GroupedByInput group_by_input(const SparseCpuLayer& layer, const NewEdges<Key>& grown, CpuScratch& scratch) {
    const Index num_inputs = layer.num_inputs;
    // counted two places on, so that filling moves each start to where it belongs
    // and room for one more, which merge_input() reads and does not take
    GroupedByInput groups{std::vector<EdgeIndex>(std::size_t{num_inputs} + 2, 0),
                          scratch.take<EdgeIndex>(std::size_t{grown.count} + 1),
                          scratch.take<Index>(std::size_t{grown.count} + 1)};
    groups.edge[grown.count] = 0;
    groups.row[grown.count] = 0;
    for (EdgeIndex i = 0; i < grown.count; ++i) ++groups.start[std::size_t{layer.column[grown.slots[i]]} + 2];
    for (std::size_t i = 2; i < groups.start.size(); ++i) groups.start[i] += groups.start[i - 1];
    Index row = 0;
    const auto next = [&](EdgeIndex i) -> EdgeIndex& {
        return groups.start[std::size_t{layer.column[grown.slots[i]]} + 1];
    };
    const auto put = [&](EdgeIndex i) {
        while (grown.slots[i] >= layer.row_start[row + 1]) ++row;
        const EdgeIndex place = next(i)++;
        groups.edge[place] = i;
        groups.row[place] = row;
    };
    for_scattered(
        0, grown.count, [&](EdgeIndex i) { return groups.edge + next(i); }, put);
    groups.start.pop_back();
    return groups;
}

/// The CSC view after an evolution, and where its edges come from; arrays in scratch memory.
struct NewByInput {
    const EdgeIndex* column_start;
    Index* row;              // [num_edges]
    float* weights;          // [num_edges], whatever it is for a new edge
    StateArrays states;      // likewise, as many as the layer has
    EdgeIndex* grown_place;  // [number of new edges + threads]
};

/// Calls body<number of states>() with the number as a constant.
template <std::size_t num_states = 0, class Body>
void with_num_states(std::size_t wanted, const Body& body) {
    if constexpr (num_states < max_states) {
        if (wanted > num_states) return with_num_states<num_states + 1>(wanted, body);
    }
    body.template operator()<num_states>();
}

/// Merges the kept and the new edges of one input. Kept edges stay in order, so only the new ones need sorting. Without
/// branches on the data, as Merge; what is no new edge's place is written to `spare`.
template <std::size_t num_states>
void merge_input(const SparseCpuLayer& layer, std::size_t input, const GroupedByInput& given, EdgeIndex spare,
                 const NewByInput& results) {
    const EdgeIndex* const edge = given.edge;
    const Index* const new_row = given.row;
    const NewByInput result = results;  // of our own: no store can change them
    const Index* const old_row = layer.row.data();
    const std::uint64_t* const gone_bits = layer.pruned_by_input.data();
    const float* const old_weight = layer.input_weights.data();
    std::array<const float*, num_states> old_state{};
    for (std::size_t s = 0; s < num_states; ++s) old_state[s] = layer.state[s].data();
    const EdgeIndex end = result.column_start[input + 1];
    EdgeIndex out = result.column_start[input];
    EdgeIndex next = given.start[input];
    const EdgeIndex last = given.start[input + 1];
    const EdgeIndex old_end = layer.column_start[input + 1];
    for (EdgeIndex old = layer.column_start[input]; old < old_end && out < end;) {
        const Index row = old_row[old], born = new_row[next];
        const EdgeIndex grows = static_cast<EdgeIndex>(next < last) & static_cast<EdgeIndex>(born < row);
        const EdgeIndex mask = EdgeIndex{0} - grows;
        // a pruned edge is written too and then overwritten, a new one with weight and state of some other
        result.row[out] = row ^ ((born ^ row) & mask);
        result.weights[out] = old_weight[old];
        for (std::size_t s = 0; s < num_states; ++s) result.states[s][out] = old_state[s][old];
        result.grown_place[spare ^ ((edge[next] ^ spare) & mask)] = out;
        const auto stays = static_cast<EdgeIndex>(~(gone_bits[old / 64] >> old % 64) & 1);
        out += grows | stays;
        next += grows;
        old += 1 - grows;
    }
    for (; next < last; ++next, ++out) {
        result.row[out] = new_row[next];
        result.grown_place[edge[next]] = out;
    }
}

/// How many of the bits begin .. end are set.
EdgeIndex count_bits(const std::uint64_t* bits, EdgeIndex begin, EdgeIndex end) {
    EdgeIndex count = 0;
    for (EdgeIndex at = begin; at < end;) {
        const EdgeIndex last = at + std::min(end - at, 64 - at % 64);
        const std::uint64_t of_word = bits[at / 64] >> at % 64 << (64 - (last - at));
        count += static_cast<EdgeIndex>(std::popcount(of_word));
        at = last;
    }
    return count;
}

/// Where the inputs' edges begin after the evolution.
AlignedVector<EdgeIndex> new_column_start(const SparseCpuLayer& layer, const GroupedByInput& groups) {
    AlignedVector<EdgeIndex> start(std::size_t{layer.num_inputs} + 1, 0);
    for (Index input = 0; input < layer.num_inputs; ++input) {
        const EdgeIndex begin = layer.column_start[input], end = layer.column_start[input + 1];
        start[input + 1] = start[input] + (end - begin) - count_bits(layer.pruned_by_input.data(), begin, end) +
                           (groups.start[input + 1] - groups.start[input]);
    }
    return start;
}

/// Brings the CSC view and the arrays in its order up to date after those of the other; `born`: the new edges' weights.
template <class Key>
void evolve_by_input(SparseCpuLayer& layer, const NewEdges<Key>& grown, const float* born, int threads) {
    CpuScratch scratch;
    const GroupedByInput groups = group_by_input(layer, grown, scratch);
    const EdgeIndex num_edges = layer.num_edges();
    const auto column_start = new_column_start(layer, groups);
    NewByInput result{column_start.data(),
                      scratch.take<Index>(num_edges),
                      scratch.take<float>(num_edges),
                      {},
                      scratch.take<EdgeIndex>(std::size_t{grown.count} + static_cast<std::size_t>(threads))};
    for (std::size_t s = 0; s < layer.state.size(); ++s) result.states[s] = scratch.take<float>(num_edges);
    with_num_states(layer.state.size(), [&]<std::size_t num_states>() {
        const auto inputs = static_cast<std::int64_t>(layer.num_inputs);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
        for (std::int64_t input = 0; input < inputs; ++input) {
            const EdgeIndex spare = grown.count + static_cast<EdgeIndex>(omp_get_thread_num());
            merge_input<num_states>(layer, static_cast<std::size_t>(input), groups, spare, result);
        }
    });
    layer.column_start = column_start;
    overwrite(layer.row, result.row, num_edges);
    overwrite(layer.input_weights, result.weights, num_edges);
    scatter(born, result.grown_place, 0, grown.count, layer.input_weights.data());
    for (std::size_t s = 0; s < layer.state.size(); ++s) {
        overwrite(layer.state[s], result.states[s], num_edges);
        float* state = layer.state[s].data();
        if (!grown.states.empty()) {
            scatter(grown.states[s], result.grown_place, 0, grown.count, state);
            continue;
        }
        const EdgeIndex* place = result.grown_place;
        for_scattered(
            0, grown.count, [=](EdgeIndex i) { return state + place[i]; }, [=](EdgeIndex i) { state[place[i]] = 0; });
    }
}

/// What the drawing of new cells may ask for besides its rule.
struct Drawing {
    const Regrowth& regrowth;
    int threads;  // of the whole team
    [[nodiscard]] Stream stream() const { return regrowth.event.stream(Purpose::grow); }
};

/// The ranks of the new cells among the missing ones, ascending, and room for one more; in `ranks` or elsewhere.
template <class Key>
Key* draw_ranks(const SparseCpuLayer& /*layer*/, const GrowRandom& /*rule*/, const Replacement<Key>& change,
                Cell missing, const Drawing& drawing, CpuScratch& scratch, Key* ranks) {
    permute(Permutation(missing, drawing.stream()), 0, change.num_grown, ranks);
    return radix_sort(ranks, change.num_grown, missing - 1, scratch.take<Key>(std::size_t{change.num_grown} + 1));
}
template <class Key>
Key* draw_ranks(const SparseCpuLayer& layer, const GrowGradient& rule, const Replacement<Key>& change, Cell missing,
                const Drawing& drawing, CpuScratch& scratch, Key* ranks) {
    fast_draw_by_gradient(rule, drawing.regrowth.evidence, csr_of_layer(layer), change, missing, drawing.stream(),
                          drawing.threads, scratch, ranks);
    return ranks;
}
template <class Key>
Key* draw_ranks(const SparseCpuLayer& layer, const GrowByPaths& rule, const Replacement<Key>& change, Cell missing,
                const Drawing& drawing, CpuScratch& scratch, Key* ranks) {
    draw_by_paths(rule, csr_of_layer(layer), change, missing, drawing.stream(), drawing.threads, scratch, ranks);
    return ranks;
}
template <class Key, class Rule>
Key* draw_ranks(const SparseCpuLayer& layer, const Rule& rule, const Replacement<Key>& change, Cell missing,
                const Drawing& drawing, CpuScratch& scratch, Key* ranks) {
    draw_candidates(thrust::seq, scratch, rule, csr_of_layer(layer), layer.weights.data(), change, missing,
                    drawing.stream(), ranks);
    return ranks;
}

EdgeIndex most_grown(const Regrowth* regrowth) { return regrowth == nullptr ? 0 : regrowth->count.value_or(0); }

/// Gives new edges that no pruned one made room for some origin, for arrays to be gathered by: what they get of it is
/// overwritten.
template <class Key>
void give_origins(const Replacement<Key>& change, const Evolved<Key>& evolved) {
    for (EdgeIndex i = change.num_pruned; i < change.num_grown; ++i) evolved.origin[evolved.grown_slots[i]] = 0;
}

/// The pruned edges, and the ranks of the new cells among the missing ones; both ended as Merge wants it.
template <class Key>
Replacement<Key> draw_replacement(const SparseCpuLayer& layer, const Regrowth* regrowth, int all_threads,
                                  CpuScratch& scratch) {
    Replacement<Key> change;
    change.num_pruned = static_cast<EdgeIndex>(layer.pruned.size());
    // new edges beyond those pruned have `gone` as well, which give_origins() replaces
    const std::size_t most = std::max<std::size_t>(change.num_pruned, most_grown(regrowth));
    auto* pruned = scratch.take<EdgeIndex>(most + 1);
    std::fill(std::copy(layer.pruned.begin(), layer.pruned.end(), pruned), pruned + most + 1, gone);
    change.pruned = pruned;
    Key* ranks = nullptr;
    const auto draw = [&](const auto& rule) {
        const Cell missing = plan_growth(rule, csr_of_layer(layer), change, regrowth->count);
        ranks = scratch.take<Key>(std::size_t{change.num_grown} + 1);
        if (change.num_grown == 0) return;
        ranks = draw_ranks(layer, rule, change, missing, {*regrowth, all_threads}, scratch, ranks);
    };
    if (regrowth != nullptr) {
        std::visit(draw, regrowth->rule);
    } else {
        ranks = scratch.take<Key>(1);
    }
    ranks[change.num_grown] = std::numeric_limits<Key>::max();
    change.ranks = ranks;
    return change;
}

template <class Key, class Policy>
EdgeIndex replace(const Policy& policy, SparseCpuLayer& layer, const Regrowth* regrowth, int threads,
                  int all_threads) {
    CpuScratch scratch;
    if (layer.by_input()) layer.pruned_by_input.resize((std::size_t{layer.num_edges()} + 63) / 64, 0);
    const auto change = draw_replacement<Key>(layer, regrowth, all_threads, scratch);
    const CsrView old = csr_of_layer(layer);
    const EdgeIndex num_edges = change.num_edges(old);
    NewEdges<Key> grown;
    grown.count = change.num_grown;
    const std::size_t grown_room = std::size_t{grown.count} + static_cast<std::size_t>(threads);
    const Evolved<Key> evolved{scratch.take<EdgeIndex>(std::size_t{old.num_outputs} + 1),
                               scratch.take<Index>(num_edges),
                               scratch.take<EdgeIndex>(num_edges),
                               scratch.take<Key>(grown_room),
                               scratch.take<EdgeIndex>(grown_room)};
    grown.cells = evolved.grown_cells;
    grown.slots = evolved.grown_slots;
    const bool inherits = regrowth != nullptr && !regrowth->reset_state;
    if (inherits && layer.by_input()) {
        auto* places = scratch.take<EdgeIndex>(grown.count);
        update_places(layer, change.pruned, grown.count, places);
        for (const auto& state : layer.state) {
            auto* inherited = scratch.take<float>(grown.count);
            thrust::gather(policy, places, places + grown.count, state.begin(), inherited);
            grown.states.push_back(inherited);
        }
    }
    merge_edges(Merge<Key>{old, change, evolved}, threads);
    give_origins(change, evolved);
    std::copy_n(evolved.row_start, layer.row_start.size(), layer.row_start.begin());

    auto* moved = scratch.take<float>(num_edges);
    auto* born = scratch.take<float>(grown.count);
    carry(policy, evolved.origin, num_edges, moved, layer.weights);
    if (grown.count > 0) {
        draw_weights(regrowth->new_weights, regrowth->event.stream(Purpose::new_weight), layer.num_inputs, grown.cells,
                     0, grown.count, born);
        for (EdgeIndex i = 0; i < grown.count; ++i) layer.weights[grown.slots[i]] = born[i];
    }
    overwrite(layer.column, evolved.column, num_edges);
    if (layer.by_input()) {
        evolve_by_input(layer, grown, born, threads);
    } else {
        for (auto& state : layer.state) {
            carry(policy, evolved.origin, num_edges, moved, state);
            if (inherits) continue;
            for (EdgeIndex i = 0; i < grown.count; ++i) state[grown.slots[i]] = 0;
        }
    }
    layer.pruned.clear();
    layer.pruned_by_input.clear();
    return grown.count;
}

}  // namespace

std::uint32_t replace(SparseCpuLayer& layer, const Regrowth* regrowth, int threads) {
    const bool narrow = Cell{layer.num_inputs} * layer.num_outputs <= std::numeric_limits<std::uint32_t>::max();
    return with_policy(layer.num_edges(), threads, [&](const auto& policy, int team) {
        const std::uint32_t grown = narrow ? replace<std::uint32_t>(policy, layer, regrowth, team, threads)
                                           : replace<std::uint64_t>(policy, layer, regrowth, team, threads);
        cut_rows(layer, threads);
        return grown;
    });
}

}  // namespace espalier
