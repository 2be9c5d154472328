// Which kernel multiplies a sparse layer with a batch: a pure function of shape and device, so that a run takes the
// same kernels, and gives the same bits, every time. The thresholds are derived, not measured.
#pragma once

#include <iterator>

#include "cuda/products/panel_layout.hpp"
#include "cuda/tile.hpp"
#include "espalier/spmm.hpp"

namespace espalier::cuda {

struct SpmmShape {
    Index num_rows = 0;    // neurons that own sums
    Index num_others = 0;  // neurons at the other ends
    EdgeIndex num_edges = 0;
    EdgeIndex longest_row = 0;
    Index batch = 0;
};

struct SpmmDevice {
    Index multiprocessors = 0;
    std::size_t shared_bytes = 0;  // that a block may ask for
};

/// The kernel, never automatic; with panel, the block it runs with.
struct SpmmChoice {
    Spmm kernel = Spmm::gather;
    PanelBlock block{};
};

struct SpmmThresholds {
    /// A panel pays when each of its samples serves that many edges of a block: gathering through L2 moves 512 bytes an
    /// edge, filling a panel as much for each of its neurons and block, somewhat dearer.
    double panel_reuse = 1.3;
    /// Blocks per multiprocessor below which a panel kernel leaves too many of them idle.
    double panel_fill = 0.75;
    /// Gathering, a row takes one warp about 50 cycles an edge; all of the device together, at the rate of its L2
    /// cache, 14 cycles an edge and multiprocessor. Above this share of the work, per multiprocessor, the longest row
    /// is what the device waits for.
    double coo_share = 14.0 / 50.0;
    /// Two chunks: below, there is little to share out.
    EdgeIndex coo_least_row = 512;
};

/// The first block of panel_blocks that fits, reuses panels enough and fills the device; null if none does.
constexpr const PanelBlock* panel_block_for(const SpmmShape& shape, const SpmmDevice& device,
                                            const SpmmThresholds& limits = {}) {
    const double cells = static_cast<double>(shape.num_rows) * shape.num_others;
    if (shape.num_edges == 0) return nullptr;
    const double density = shape.num_edges / cells;
    for (const PanelBlock& block : panel_blocks) {
        const double blocks = static_cast<double>(shape.num_rows) / block.rows() *  // those in part by that part
                              (tiles_of(shape.batch) * (tile_lanes / block.columns));
        const bool fits = panel_layout(block, shape.num_rows, shape.num_others, device.shared_bytes).num_panels > 0;
        if (fits && block.rows() * density >= limits.panel_reuse &&
            blocks >= limits.panel_fill * device.multiprocessors) {
            return &block;
        }
    }
    return nullptr;
}

/// Whether one row would keep its warp busy when the rest of the product is done.
constexpr bool is_uneven(const SpmmShape& shape, const SpmmDevice& device, const SpmmThresholds& limits = {}) {
    const double tiles = tiles_of(shape.batch);
    return shape.longest_row >= limits.coo_least_row &&
           shape.longest_row > limits.coo_share * shape.num_edges * tiles / device.multiprocessors;
}

/// `asked` is followed where it names a kernel; a panel then takes the smallest block if none is worth while.
/// automatic:
///     one row outlasts the rest                   coo
///     else a block reuses panels and fills        panel
///     else                                        gather
constexpr SpmmChoice choose_spmm(Spmm asked, const SpmmShape& shape, const SpmmDevice& device) {
    const PanelBlock* const block = panel_block_for(shape, device);
    const PanelBlock& smallest = panel_blocks[std::size(panel_blocks) - 1];
    if (asked == Spmm::panel) return {asked, block != nullptr ? *block : smallest};
    if (asked != Spmm::automatic) return {asked, {}};
    if (is_uneven(shape, device)) return {Spmm::coo, {}};
    if (block != nullptr) return {Spmm::panel, *block};
    return {Spmm::gather, {}};
}

}  // namespace espalier::cuda
