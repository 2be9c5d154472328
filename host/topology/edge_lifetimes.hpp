// The lives of a sparse layer's edges, from its topology at the end of each epoch: how old they are, how many of them
// survive how long, which cells ever held one. An edge is its cell: one that goes and comes back between two looks has
// not gone. Costs a merge of two sorted lists a look, 8 bytes per edge and a bit per cell.
#pragma once

#include <cstdint>
#include <vector>

#include "espalier/topology.hpp"

namespace espalier {

/// What one look found.
struct EdgeStatistics {
    EdgeIndex edges = 0;
    EdgeIndex born = 0;      // since the last look
    EdgeIndex lost = 0;      // since the last look
    double mean_age = 0;     // in epochs; edges born since the last look have age 0
    double from_birth = 0;   // share of the first topology's edges that never went
    double ever_active = 0;  // share of the cells that held an edge at any look
};

/// All that is known of a layer's edges beside their topology: enough to go on with another look.
struct LifetimeState {
    std::uint32_t epoch = 0;          // of the last look
    std::uint32_t first_epoch = 0;    // of the first
    EdgeIndex first_edges = 0;        // at the first
    std::vector<std::uint32_t> born;  // epoch of each edge, in canonical order
    std::vector<std::uint64_t> ever;  // a bit per cell that held an edge at any look
    // By age in epochs: how often an edge of that age faced another epoch, and how often it was gone after it. A life
    // table over all edges and epochs; survival() follows.
    std::vector<std::uint64_t> at_risk, lost;
};

class EdgeLifetimes {
public:
    /// `first` is the topology after `epoch` epochs; its edges count as born then.
    explicit EdgeLifetimes(const Topology& first, std::uint32_t epoch = 0);
    /// Goes on from `lives`, which another history of the topology `last` left. Throws UserError (checkpoint) if they
    /// cannot belong together.
    EdgeLifetimes(const Topology& last, LifetimeState lifetimes);

    /// Looks at the topology at the end of `epoch`, the one after the last look.
    EdgeStatistics observe(const Topology& now, std::uint32_t epoch);

    [[nodiscard]] const LifetimeState& lifetimes() const { return lifetimes_; }
    [[nodiscard]] const Topology& last() const { return last_; }

private:
    void mark(Cell cell);

    Topology last_;
    LifetimeState lifetimes_;
    std::uint64_t num_ever_ = 0;
};

/// Kaplan and Meier's estimate of the share of edges that live for at least 1, 2, ... epochs, from a life table.
std::vector<double> survival(const std::vector<std::uint64_t>& at_risk, const std::vector<std::uint64_t>& lost);

}  // namespace espalier
