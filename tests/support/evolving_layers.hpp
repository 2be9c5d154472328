// Layers whose edges can be told apart, as the CPU backend evolves them, and what a prune rule is to take from them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <vector>

#include "espalier/common/evolve.hpp"
#include "espalier/topology.hpp"
#include "host/cpu/evolution/evolve.hpp"
#include "host/cpu/layer_transfer.hpp"
#include "test_layers.hpp"

namespace espalier {

/// A layer whose weights, and states 1000 times the weight of the same edge, tell its edges apart.
inline Layer distinct_layer(Index inputs, Index outputs, Cell edges, std::uint64_t seed) {
    Layer layer;
    layer.num_inputs = inputs;
    layer.num_outputs = outputs;
    layer.topology = random_topology(inputs, outputs, edges, ExactCount{}, Stream{seed, Purpose::topology, 0, 0});
    const Stream stream{seed, Purpose::initial_weight, 0, 0};
    const Permutation order(std::max<Cell>(edges, 1), stream);
    for (EdgeIndex slot = 0; slot < edges; ++slot) {
        const auto size = static_cast<float>(order(slot) + 1) / 64;
        layer.weights.push_back((stream.bits(slot) & 1) != 0 ? size : -size);
    }
    layer.bias.assign(outputs, 0.0F);
    layer.weight_state.resize(1);
    for (const float weight : layer.weights) layer.weight_state[0].push_back(1000 * weight);
    layer.bias_state.emplace_back(outputs, 0.0F);
    return layer;
}

inline std::unique_ptr<CpuLayer> loaded(const Layer& layer, bool by_input) {
    return layer_in_use(layer, LayerUse{by_input, Momentum{}});
}
inline SparseCpuLayer& sparse(CpuLayer& layer) { return dynamic_cast<SparseCpuLayer&>(layer); }
inline std::uint32_t regrow(SparseCpuLayer& layer, const Regrowth& regrowth, int threads) {
    return replace(layer, &regrowth, threads);
}

/// abs(w) over the sums of its output's and its input's edges, the sums in double rounded once, the rest as the rules do.
inline std::vector<float> relative_magnitudes(const Layer& layer) {
    std::vector<double> of_input(layer.num_inputs, 0), of_output(layer.num_outputs, 0);
    const CooEdges edges = coo(*layer.topology);
    for (std::size_t e = 0; e < edges.row.size(); ++e) {
        of_input[edges.column[e]] += std::abs(static_cast<double>(layer.weights[e]));
        of_output[edges.row[e]] += std::abs(static_cast<double>(layer.weights[e]));
    }
    std::vector<float> result;
    for (std::size_t e = 0; e < edges.row.size(); ++e) {
        const float size = std::abs(layer.weights[e]);
        result.push_back(size == 0 ? 0
                                   : size / static_cast<float>(of_output[edges.row[e]]) +
                                         size / static_cast<float>(of_input[edges.column[e]]));
    }
    return result;
}

/// The slots a rule takes, straight from its definition.
inline std::vector<EdgeIndex> oracle_pruned(const Layer& layer, const PruneRule& rule, double zeta,
                                            const EvolutionEvent& event = {}) {
    std::vector<double> magnitude(layer.weights.begin(), layer.weights.end());
    for (double& each : magnitude) each = std::abs(each);
    std::vector<double> drawn;
    const Stream draws = event.stream(Purpose::prune);
    for (const Cell cell : cells_of(*layer.topology)) drawn.push_back(draws.bits(cell));
    std::vector<EdgeIndex> pruned;
    const auto take_least = [&](const std::vector<double>& size, const auto& belongs) {
        std::vector<EdgeIndex> slots;
        for (EdgeIndex slot = 0; slot < layer.weights.size(); ++slot) {
            if (belongs(layer.weights[slot])) slots.push_back(slot);
        }
        std::stable_sort(slots.begin(), slots.end(), [&](EdgeIndex a, EdgeIndex b) { return size[a] < size[b]; });
        const auto quota = static_cast<std::ptrdiff_t>(zeta * static_cast<double>(slots.size()));
        pruned.insert(pruned.end(), slots.begin(), slots.begin() + quota);
    };
    const auto all = [](float /*w*/) { return true; };
    if (std::holds_alternative<PruneBySign>(rule)) {
        take_least(magnitude, [](float w) { return w > 0; });
        take_least(magnitude, [](float w) { return w < 0; });
    } else if (std::holds_alternative<PruneByMagnitude>(rule)) {
        take_least(magnitude, all);
    } else if (std::holds_alternative<PruneRandom>(rule)) {
        take_least(drawn, all);
    } else if (std::holds_alternative<PruneRelative>(rule)) {
        const std::vector<float> relative = relative_magnitudes(layer);
        take_least({relative.begin(), relative.end()}, all);
    } else if (std::holds_alternative<PruneSoftly>(rule) || std::holds_alternative<PruneRelativeSoftly>(rule)) {
        // their chances are tested in soft_prune_test.cpp; here the draws of each edge, in the rules' own precision
        const auto* softly = std::get_if<PruneSoftly>(&rule);
        const float power = softly != nullptr ? softly->power : std::get<PruneRelativeSoftly>(rule).power;
        const std::vector<float> relative = relative_magnitudes(layer);
        std::vector<double> score;
        for (EdgeIndex slot = 0; slot < layer.weights.size(); ++slot) {
            const float uniform =
                (static_cast<float>(static_cast<std::uint32_t>(drawn[slot]) >> 9) + 0.5F) / 8388608.0F;
            const float size = softly != nullptr ? std::abs(layer.weights[slot]) : relative[slot];
            score.push_back(size == 0 ? -1e30
                                      : static_cast<double>(power * portable_log(size) -
                                                            portable_log(-portable_log(uniform))));
        }
        take_least(score, all);
    } else {
        throw std::logic_error("the oracle does not know this prune rule");
    }
    std::sort(pruned.begin(), pruned.end());
    return pruned;
}

}  // namespace espalier
