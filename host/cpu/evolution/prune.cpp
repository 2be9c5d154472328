#include <bit>
#include <vector>

#include "espalier/common/evolve.hpp"
#include "host/cpu/evolution/evolve.hpp"
#include "host/cpu/evolution/layer_edges.hpp"
#include "host/cpu/evolution/prune_cut.hpp"
#include "host/cpu/evolution/prune_scan.hpp"
#include "host/cpu/evolution/scratch.hpp"

namespace espalier {
namespace {

/// Sets the weights in `slots` to 0, and says of which signs they were.
template <class Slots>
Pruned clear_weights(SparseCpuLayer& layer, const Slots& slots) {
    Pruned result;
    for (const EdgeIndex slot : slots) {
        // a NaN counts by its sign bit, as the rules take it
        const auto bits = std::bit_cast<std::uint32_t>(layer.weights[slot]);
        const std::uint32_t zero = bits << 1 == 0 ? 1 : 0;
        const std::uint32_t negative = (bits >> 31) & ~zero;
        result.zero += zero;
        result.negative += negative;
        result.positive += 1 - zero - negative;
        layer.weights[slot] = 0;
    }
    return result;
}

/// Sets the weights by input of the edges in `slots` to 0, and their bits.
void clear_by_input(SparseCpuLayer& layer, const EdgeIndex* slots, EdgeIndex count) {
    CpuScratch scratch;
    auto* places = scratch.take<EdgeIndex>(count);
    update_places(layer, slots, count, places);
    for (EdgeIndex i = 0; i < count; ++i) {
        layer.input_weights[places[i]] = 0;
        layer.pruned_by_input[places[i] / 64] |= std::uint64_t{1} << places[i] % 64;
    }
}

/// The copy by input holds the same bits, in which the cut can be seen again, but for what slots decide.
void clear_cut_by_input(SparseCpuLayer& layer, const detail::IsCut& cut) {
    clear_cut(cut, layer.input_weights.data(), layer.num_edges(), layer.pruned_by_input.data());
    std::vector<EdgeIndex> ties;
    for (const EdgeIndex slot : layer.pruned) {
        if (cut.tie(cut.order(cut.weights[slot]), slot)) ties.push_back(slot);
    }
    clear_by_input(layer, ties.data(), static_cast<EdgeIndex>(ties.size()));
}

}  // namespace

Pruned prune(SparseCpuLayer& layer, const Pruning& pruning, int threads) {
    const EdgeIndex num_edges = layer.num_edges();
    with_policy(num_edges, threads, [&](const auto& policy, int team) {
        CpuScratch scratch;
        const float* weights = layer.weights.data();
        const auto [scores, order] = prune_scores(policy, scratch, pruning.rule, csr_of_layer(layer), weights,
                                                  pruning.event.stream(Purpose::prune));
        auto* slots = scratch.take<EdgeIndex>(num_edges);
        const PruneCut cut = resolve_ties(policy, scores, num_edges, order,
                                          cut_by_counting(scores, num_edges, order, pruning.zeta, team), slots);
        const EdgeIndex count = cut_slots(scores, num_edges, order, cut, slots, team);
        layer.pruned.assign(slots, slots + count);
        if (!layer.by_input()) return;
        layer.pruned_by_input.assign((std::size_t{num_edges} + 63) / 64, 0);
        if (scores == weights) return clear_cut_by_input(layer, {weights, order, cut});
        clear_by_input(layer, slots, count);
    });
    return clear_weights(layer, layer.pruned);
}

Pruned prune_ends(SparseCpuLayer& layer, const DeadEnds& dead, Degrees& left) {
    left.inputs.assign(layer.num_inputs, 0);
    left.outputs.assign(layer.num_outputs, 0);
    std::vector<EdgeIndex> slots, all;
    auto next = layer.pruned.begin();
    for (Index output = 0; output < layer.num_outputs; ++output) {
        const bool leads_nowhere = !dead.outputs.empty() && dead.outputs[output] != 0;
        for (EdgeIndex slot = layer.row_start[output]; slot < layer.row_start[output + 1]; ++slot) {
            const Index input = layer.column[slot];
            const bool goes = leads_nowhere || (!dead.inputs.empty() && dead.inputs[input] != 0);
            const bool gone_before = next != layer.pruned.end() && *next == slot;
            next += gone_before ? 1 : 0;
            if (goes || gone_before) {
                all.push_back(slot);
                if (!gone_before) slots.push_back(slot);
            } else {
                ++left.inputs[input];
                ++left.outputs[output];
            }
        }
    }
    if (layer.by_input()) {
        layer.pruned_by_input.resize((std::size_t{layer.num_edges()} + 63) / 64, 0);
        clear_by_input(layer, slots.data(), static_cast<EdgeIndex>(slots.size()));
    }
    layer.pruned.assign(all.begin(), all.end());
    return clear_weights(layer, slots);
}

}  // namespace espalier
