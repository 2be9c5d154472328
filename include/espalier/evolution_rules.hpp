// The rules of topology evolution: which edges to prune, where to grow new ones, and how often.
#pragma once

#include <cmath>
#include <cstdint>

#include "espalier/host_device.hpp"
#include "espalier/index.hpp"
#include "espalier/random.hpp"
#include "espalier/rule.hpp"

namespace espalier {

/// The int(zeta * count) smallest positive weights go and as large a share of the negative ones nearest zero.
/// Weights of exactly 0 stay. Ties fall in canonical order. Source: the SparseNet notebooks.
struct PruneBySign {
    static constexpr std::string_view name = "sign";
    static constexpr auto fields() { return std::tuple{}; }
};

/// The int(zeta * edges) weights of least magnitude go, zeros first, ties in canonical order.
struct PruneByMagnitude {
    static constexpr std::string_view name = "magnitude";
    static constexpr auto fields() { return std::tuple{}; }
};

using PruneRule = std::variant<PruneBySign, PruneByMagnitude>;

/// New edges in the place of those that went, uniformly at random among the missing cells.
struct GrowRandom {
    bool allow_removed = false;  // cells whose edge was just removed may be drawn too
    double share = 1;            // of the pruned edges that are replaced; below 1 the layer thins out
    static constexpr std::string_view name = "random";
    static constexpr auto fields() {
        return std::tuple{field("allow_removed", &GrowRandom::allow_removed), field("share", &GrowRandom::share, 0, 1)};
    }
};

/// New edges near strong ones, their parents: each joins the input of one parent with the output of another, where a
/// parent is the strongest of `contest` edges drawn at random, just removed ones being the weakest (1: any edge, so
/// that neurons gain in proportion to what they have). Cells that have an edge, or were chosen before, are passed over;
/// after 16 candidates for each new edge any missing cells are taken.
struct GrowNearParents {
    int contest = 4;
    bool allow_removed = false;  // as for GrowRandom
    double share = 1;            // likewise
    static constexpr std::string_view name = "parents";
    static constexpr auto fields() {
        return std::tuple{field("contest", &GrowNearParents::contest, 1, 64),
                          field("allow_removed", &GrowNearParents::allow_removed),
                          field("share", &GrowNearParents::share, 0, 1)};
    }
};

/// As SparseNet's program grows, whose random cells are not all cells. For n new edges it puts 1.5 n random cells into
/// a Python set (before 3.8) and takes the first n missing ones that come out, which is by the low bits of their hash:
/// so cells whose bits are high, about a third of all, are never taken. Here: random cells below the cut that is
/// expected; after 16 candidates for each new edge any missing cells.
struct GrowHashOrder {
    bool allow_removed = false;  // as for GrowRandom
    double share = 1;            // likewise
    static constexpr std::string_view name = "hash-order";
    static constexpr auto fields() {
        return std::tuple{field("allow_removed", &GrowHashOrder::allow_removed),
                          field("share", &GrowHashOrder::share, 0, 1)};
    }
};

using GrowRule = std::variant<GrowRandom, GrowNearParents, GrowHashOrder>;

/// When the sparse layers evolve.
struct NeverEvolve {  // fixed random topology
    static constexpr std::string_view name = "never";
    static constexpr auto fields() { return std::tuple{}; }
};
struct EveryEpoch {
    static constexpr std::string_view name = "epoch";
    static constexpr auto fields() { return std::tuple{}; }
};
struct EverySteps {
    int n = 100;
    static constexpr std::string_view name = "steps";
    static constexpr auto fields() { return std::tuple{field("n", &EverySteps::n, 1, 1e9)}; }
};
/// Before every training step each layer evolves with this probability (EvolNet).
struct ByChance {
    double probability = 0.025;
    static constexpr std::string_view name = "chance";
    static constexpr auto fields() { return std::tuple{field("probability", &ByChance::probability, 0, 1)}; }
};

using Cadence = std::variant<NeverEvolve, EveryEpoch, EverySteps, ByChance>;

}  // namespace espalier
