#include "host/training/redistribution.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <variant>

#include "espalier/initialize_network.hpp"

namespace espalier {
namespace {

double strength_of(const SharingLayer& layer) { return std::isfinite(layer.strength) ? std::max(layer.strength, 0.0) : 0.0; }

/// Spreads `left` evenly over the layers that may grow more.
void spread(const std::vector<SharingLayer>& layers, EdgeIndex left, std::vector<EdgeIndex>& grown) {
    while (left > 0) {
        const auto is_open = [&](std::size_t l) { return grown[l] < layers[l].most; };
        EdgeIndex open = 0;
        for (std::size_t l = 0; l < layers.size(); ++l) open += is_open(l) ? 1 : 0;
        if (open == 0) return;
        const EdgeIndex each = left / open;
        EdgeIndex one_more = left % open;
        for (std::size_t l = 0; l < layers.size(); ++l) {
            if (!is_open(l)) continue;
            const EdgeIndex wanted = each + (one_more > 0 ? 1 : 0);
            one_more -= one_more > 0 ? 1 : 0;
            const EdgeIndex more = std::min(wanted, layers[l].most - grown[l]);
            grown[l] += more;
            left -= more;
        }
    }
}

}  // namespace

std::vector<EdgeIndex> redistributed(const std::vector<SharingLayer>& layers, EdgeIndex total) {
    std::vector<EdgeIndex> grown(layers.size(), 0);
    EdgeIndex left = total;
    for (std::size_t l = 0; l < layers.size(); ++l) {
        if (layers[l].kept > 0 || layers[l].most == 0 || left == 0) continue;
        grown[l] = 1;
        --left;
    }
    const double sum = std::accumulate(layers.begin(), layers.end(), 0.0, [](double so_far, const SharingLayer& layer) {
        return so_far + strength_of(layer);
    });
    const EdgeIndex shared = left;
    for (std::size_t l = 0; l < layers.size(); ++l) {
        const double share = sum > 0 ? std::floor(shared * (strength_of(layers[l]) / sum)) : static_cast<double>(layers[l].pruned);
        const EdgeIndex room = std::min(left, layers[l].most - grown[l]);
        const EdgeIndex more = share < room ? static_cast<EdgeIndex>(share) : room;
        grown[l] += more;
        left -= more;
    }
    spread(layers, left, grown);
    return grown;
}

double sharing_strength(Redistribution by, const Layer& layer, EdgeIndex kept) {
    if (by == Redistribution::survivors) return kept;
    const auto magnitude = [&](std::size_t slot) -> double {
        if (by == Redistribution::magnitude) return std::abs(double{layer.weights[slot]});
        const double first = double{layer.weight_state[0][slot]};
        if (layer.weight_state.size() < 2) return std::abs(first);
        return std::abs(first) / (std::sqrt(double{layer.weight_state[1][slot]}) + 1e-8);
    };
    if (by == Redistribution::momentum && layer.weight_state.empty()) return 0;  // nothing was trained yet
    double sum = 0;
    std::size_t count = 0;
    for (std::size_t slot = 0; slot < layer.weights.size(); ++slot) {
        if (layer.weights[slot] == 0) continue;
        sum += magnitude(slot);
        ++count;
    }
    return count > 0 ? sum / static_cast<double>(count) : 0;
}

EdgeIndex most_grown(const Experiment& experiment, std::size_t layer, EdgeIndex kept, EdgeIndex pruned) {
    if (kept + pruned == 0) return 0;  // a layer without edges stays so
    const bool allow_removed =
        std::visit([](const auto& rule) { return static_cast<bool>(rule.allow_removed); }, experiment.grow);
    const double cells = static_cast<double>(experiment.layers[layer]) * experiment.layers[layer + 1];
    const double free = cells - kept - (allow_removed ? 0 : pruned);
    const double room = std::floor(experiment.room * static_cast<double>(initial_edge_count(experiment, layer))) - kept;
    return static_cast<EdgeIndex>(std::clamp(std::min(free, room), 0.0, 4294967295.0 - kept));
}

}  // namespace espalier
