// Which kernel multiplies a sparse layer with a batch: a pure function of shape and device, so that a run takes the
// same kernels, and gives the same bits, every time. The thresholds are derived, not measured.
#pragma once

#include <iterator>

#include "cuda/limits.hpp"
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
    Index gradient_batch = 0;  // as in LayerUse

    [[nodiscard]] constexpr Index backward_batch() const { return gradient_batch > batch ? gradient_batch : batch; }
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
    /// Gradients out of panels take four bytes an edge and tile until the tiles are added: not for more tiles than that.
    Index gradient_tiles = 8;
    /// Edges that a warp has of a panel of such a gradient: it takes them eight at a time, with as much work for fewer, and
    /// arrives at barriers twice a panel.
    double gradient_run = 6;
    /// Edges that a row has of a panel of a product: each costs a dozen instructions beside its edges, and a pair of them holds
    /// one where there is only one.
    double product_run = 0.5;
};

/// The least edges of a panel that pay, of a row and of a warp.
struct LeastRun {
    double of_row = 0;
    double of_warp = 0;
};

/// panel_layout or gradient_layout.
using LayoutOf = PanelLayout (*)(const PanelBlock&, Index, Index, std::size_t);

/// The first of the blocks that fits, reuses panels enough, gives its rows and warps edges enough of a panel and fills the
/// device; null if none does.
template <std::size_t count>
constexpr const PanelBlock* first_block_for(const PanelBlock (&blocks_there_are)[count], LayoutOf layout_of,
                                            const SpmmShape& shape, const SpmmDevice& device,
                                            const SpmmThresholds& limits, const LeastRun& run) {
    const double cells = static_cast<double>(shape.num_rows) * shape.num_others;
    if (shape.num_edges == 0) return nullptr;
    const double density = shape.num_edges / cells;
    for (const PanelBlock& block : blocks_there_are) {
        const double blocks = static_cast<double>(shape.num_rows) / block.rows() *  // those in part by that part
                              (tiles_of(shape.batch) * (tile_lanes / block.columns));
        const PanelLayout layout = layout_of(block, shape.num_rows, shape.num_others, device.shared_bytes);
        if (layout.num_panels > 0 && block.rows() * density >= limits.panel_reuse &&
            density * layout.panel_neurons >= run.of_row &&
            block.rows_per_warp * density * layout.panel_neurons >= run.of_warp &&
            blocks >= limits.panel_fill * device.multiprocessors) {
            return &block;
        }
    }
    return nullptr;
}

/// Whether a product's panels fit, are no more than a grid has rows, and its pairs no more than are counted.
constexpr bool has_panels(const PanelBlock& block, const SpmmShape& shape, const SpmmDevice& device) {
    const PanelLayout layout = panel_layout(block, shape.num_rows, shape.num_others, device.shared_bytes);
    return layout.num_panels > 0 && layout.num_panels < max_grid_rows &&
           most_pairs(block, layout, shape.num_edges) <= max_pairs;
}

/// Of a product.
constexpr const PanelBlock* panel_block_for(const SpmmShape& shape, const SpmmDevice& device,
                                            const SpmmThresholds& limits = {}) {
    const PanelBlock* const block = first_block_for(panel_blocks, panel_layout, shape, device, limits, {limits.product_run, 0});
    return block != nullptr && has_panels(*block, shape, device) ? block : nullptr;
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

/// What makes the gradient of the weights: panels, or the update, which gathers. `shape`: by output. Gathering where the parts
/// of a batch are many; else panels where they are asked for and fit; automatic: where the forward product takes them, a
/// block of theirs pays as well, and a tile is full.
constexpr SpmmChoice choose_gradient(Spmm asked, const SpmmShape& shape, const SpmmDevice& device,
                                     const SpmmThresholds& limits = {}) {
    const SpmmChoice gathering{Spmm::gather, {}};
    SpmmShape summed = shape;
    summed.batch = shape.backward_batch();
    if (asked != Spmm::automatic && asked != Spmm::panel) return gathering;
    if (tiles_of(summed.batch) > limits.gradient_tiles) return gathering;
    const PanelBlock* block =
        first_block_for(gradient_blocks, gradient_layout, summed, device, limits, {0, limits.gradient_run});
    if (asked == Spmm::automatic) {
        const bool pays = block != nullptr && shape.batch >= tile_lanes;
        if (!pays || choose_spmm(asked, shape, device).kernel != Spmm::panel) return gathering;
    }
    if (block == nullptr) block = &gradient_blocks[std::size(gradient_blocks) - 1];
    const Index panels = gradient_layout(*block, shape.num_rows, shape.num_others, device.shared_bytes).num_panels;
    return panels > 0 && panels < max_grid_rows ? SpmmChoice{Spmm::panel, *block} : gathering;
}

}  // namespace espalier::cuda
