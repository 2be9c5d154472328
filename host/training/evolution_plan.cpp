#include "host/training/evolution_plan.hpp"

#include <algorithm>
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
EdgeIndex most_pruned(const Experiment& experiment, std::size_t layer, EdgeIndex edges, double epoch_time) {
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
    if (const auto wanted = scheduled_edges(experiment, layer, epoch_time)) {
        // of what goes only the part comes back that the layer lacks then
        return static_cast<EdgeIndex>(std::min(held, cells - std::min(held, *wanted)));
    }
    return share == 0 ? edges : static_cast<EdgeIndex>(std::min(held, std::floor((cells - held) / share)));
}

}  // namespace

double prune_share(const Experiment& experiment, std::size_t layer, EdgeIndex edges, double epoch_time) {
    const double zeta = scheduled(experiment.zeta, epoch_time, experiment.epochs);
    const EdgeIndex most = most_pruned(experiment, layer, edges, epoch_time);
    const EdgeIndex surplus = surplus_edges(experiment, layer, edges, epoch_time);
    const EdgeIndex quota = prune_quota(zeta, edges);
    if (quota >= surplus && quota <= most) return zeta;
    const EdgeIndex wanted = std::min(std::max(quota, surplus), most);
    double share = static_cast<double>(wanted) / edges;
    while (prune_quota(share, edges) < wanted) share = std::nextafter(share, 1.0);
    while (prune_quota(share, edges) > wanted) share = std::nextafter(share, 0.0);
    // A rule with two groups rounds each of them down; in groups this large a product's own rounding could lift one.
    return edges > (EdgeIndex{1} << 25) ? share * (1 - 0x1p-50) : share;
}

GrowRule grow_rule(const Experiment& experiment, std::size_t layer, EdgeIndex edges, EdgeIndex pruned,
                   double epoch_time) {
    GrowRule rule = experiment.grow;
    const auto wanted = scheduled_edges(experiment, layer, epoch_time);
    if (!wanted.has_value() || pruned == 0) return rule;
    const double missing = *wanted - static_cast<double>(edges - pruned);
    std::visit([&](auto& each) { each.share = std::clamp(missing / pruned, 0.0, 1.0); }, rule);
    return rule;
}

void expect_growth_on(const Experiment& experiment, const std::string& backend) {
    if (!is_cpu_only(experiment.grow) || backend == "cpu") return;
    throw UserError(ExitCode::usage, cpu_only_text(experiment.grow));
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
