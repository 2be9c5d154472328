#include "host/training/evolution_plan.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>

#include "espalier/common/evolution_steps.hpp"
#include "espalier/error.hpp"
#include "espalier/initialize_network.hpp"

namespace espalier {
namespace {

/// Edges that the schedule of edges kept asks for; nothing where there is no schedule.
std::optional<double> scheduled_edges(const Experiment& experiment, std::size_t layer, double epoch_time) {
    const double kept = scheduled(experiment.edges_kept, epoch_time, experiment.epochs);
    if (kept == 1) return std::nullopt;
    return std::round(kept * static_cast<double>(initial_edge_count(experiment, layer)));
}

/// Edges beyond those that the schedule of edges kept asks for: they go whatever zeta is.
EdgeIndex surplus_edges(const Experiment& experiment, std::size_t layer, EdgeIndex edges, double epoch_time) {
    const double wanted = scheduled_edges(experiment, layer, epoch_time).value_or(edges);
    return wanted < edges ? edges - static_cast<EdgeIndex>(wanted) : 0;
}

/// The most edges that may go.
EdgeIndex most_pruned(const Experiment& experiment, std::size_t layer, EdgeIndex edges, double epoch_time,
                      std::optional<EdgeIndex> surplus) {
    double share = 1;
    bool allow_removed = false;
    std::visit(
        [&](const auto& rule) {
            share = rule.share;
            allow_removed = rule.allow_removed != 0;
        },
        experiment.grow);
    if (allow_removed) return edges;
    const double held = edges;
    const double cells = static_cast<double>(experiment.layers[layer]) * experiment.layers[layer + 1];
    if (surplus.has_value()) return static_cast<EdgeIndex>(std::min(held, cells - held + *surplus));
    if (const auto wanted = scheduled_edges(experiment, layer, epoch_time)) {
        // of what goes only the part comes back that the layer lacks then
        return static_cast<EdgeIndex>(std::min(held, cells - std::min(held, *wanted)));
    }
    return share == 0 ? edges : static_cast<EdgeIndex>(std::min(held, std::floor((cells - held) / share)));
}

/// The magnitudes' bits, which as integers ascend with them; zeros alike.
std::uint32_t magnitude_key(float weight) { return std::bit_cast<std::uint32_t>(weight) & 0x7fffffffU; }

/// The share of which prune_quota() makes `wanted` of the edges.
double share_of(EdgeIndex wanted, EdgeIndex edges) {
    double share = static_cast<double>(wanted) / edges;
    while (prune_quota(share, edges) < wanted) share = std::nextafter(share, 1.0);
    while (prune_quota(share, edges) > wanted) share = std::nextafter(share, 0.0);
    // A rule with two groups rounds each of them down; in groups this large a product's own rounding could lift one.
    return edges > (EdgeIndex{1} << 25) ? share * (1 - 0x1p-50) : share;
}

}  // namespace

double prune_share(const Experiment& experiment, std::size_t layer, EdgeIndex edges, double epoch_time,
                   std::optional<EdgeIndex> surplus) {
    const double zeta = scheduled(experiment.zeta, epoch_time, experiment.epochs);
    const EdgeIndex most = most_pruned(experiment, layer, edges, epoch_time, surplus);
    if (surplus.has_value()) return share_of(std::min(*surplus + prune_quota(zeta, edges - *surplus), most), edges);
    const EdgeIndex scheduled_surplus = surplus_edges(experiment, layer, edges, epoch_time);
    const EdgeIndex quota = prune_quota(zeta, edges);
    if (quota >= scheduled_surplus && quota <= most) return zeta;
    return share_of(std::min(std::max(quota, scheduled_surplus), most), edges);
}

GrowRule grow_rule(const Experiment& experiment, std::size_t layer, EdgeIndex edges, EdgeIndex pruned,
                   double epoch_time, std::optional<EdgeIndex> surplus) {
    GrowRule rule = experiment.grow;
    if (surplus.has_value() && pruned > 0) {
        const double replaced = pruned - std::min(*surplus, pruned);
        std::visit([&](auto& each) { each.share = replaced / pruned; }, rule);
        return rule;
    }
    const auto wanted = scheduled_edges(experiment, layer, epoch_time);
    if (!wanted.has_value() || pruned == 0) return rule;
    const double missing = *wanted - static_cast<double>(edges - pruned);
    std::visit([&](auto& each) { each.share = std::clamp(missing / pruned, 0.0, 1.0); }, rule);
    return rule;
}

std::vector<EdgeIndex> network_surplus(const Experiment& experiment, const std::vector<std::vector<float>>& weights,
                                       double epoch_time) {
    std::vector<std::uint32_t> keys;
    double wanted = 0;
    for (std::size_t l = 0; l < weights.size(); ++l) {
        if (!is_sparse_layer(experiment, l)) continue;
        for (const float weight : weights[l]) keys.push_back(magnitude_key(weight));
        wanted += static_cast<double>(initial_edge_count(experiment, l));
    }
    wanted = std::round(wanted * scheduled(experiment.edges_kept, epoch_time, experiment.epochs));
    std::vector<EdgeIndex> surplus(weights.size(), 0);
    if (wanted >= static_cast<double>(keys.size())) return surplus;
    const std::size_t all = keys.size() - static_cast<std::size_t>(wanted);
    const auto last = keys.begin() + static_cast<std::ptrdiff_t>(all - 1);
    std::nth_element(keys.begin(), last, keys.end());
    const std::uint32_t threshold = *last;
    std::size_t ties = all - static_cast<std::size_t>(std::count_if(
                                 keys.begin(), last, [&](std::uint32_t key) { return key < threshold; }));
    for (std::size_t l = 0; l < weights.size(); ++l) {
        if (!is_sparse_layer(experiment, l) || weights[l].empty()) continue;
        for (const float weight : weights[l]) {
            const std::uint32_t key = magnitude_key(weight);
            const bool tie = key == threshold && ties > 0;
            ties -= tie ? 1 : 0;
            surplus[l] += key < threshold || tie ? 1 : 0;
        }
        surplus[l] = std::min(surplus[l], static_cast<EdgeIndex>(weights[l].size() - 1));
    }
    return surplus;
}

void expect_growth_on(const Experiment& experiment, const std::string& backend) {
    if (backend == "cpu") return;
    if (is_cpu_only(experiment.grow)) throw UserError(ExitCode::usage, cpu_only_text(experiment.grow));
    if (experiment.redistribute != Redistribution::none) {
        throw UserError(ExitCode::usage, "redistribute: layers that grow are not yet there on CUDA; use --backend cpu");
    }
}

Index probe_size(const Experiment& experiment, std::uint32_t train_samples) {
    const std::optional<int> wanted = probe_samples(experiment.grow);
    if (!wanted.has_value()) return 0;
    if (*wanted == 0) return std::min<Index>(experiment.batch, train_samples);
    if (static_cast<std::uint32_t>(*wanted) > train_samples) {
        throw UserError(ExitCode::usage, "grow: " + rule_text(experiment.grow) + " wants gradients of " +
                                             std::to_string(*wanted) + " samples, the training set has " +
                                             std::to_string(train_samples));
    }
    return static_cast<Index>(*wanted);
}

}  // namespace espalier
