// Launches of a product's kernels, alike for the forward pass and the input gradient.
#pragma once

#include <algorithm>

#include "cuda/kernels/coo.cuh"
#include "cuda/kernels/panel.cuh"
#include "cuda/launch.cuh"
#include "cuda/products/product.hpp"

namespace espalier::cuda {

/// Calls run(Number<n>{}) for the n below `count` whose block is `block`.
template <template <int> class Number, std::size_t count, int number = 0, class Run>
void with_block(const PanelBlock& block, const Run& run) {
    if constexpr (number < count) {
        if (Number<number>::size == block) {
            run(Number<number>{});
        } else {
            with_block<Number, count, number + 1>(block, run);
        }
    } else {
        expects(false, "one of the panel kernels there are");
    }
}
template <class Run>
void with_panel_block(const PanelBlock& block, const Run& run) {
    with_block<PanelNumber, std::size(panel_blocks)>(block, run);
}
template <class Run>
void with_gradient_block(const PanelBlock& block, const Run& run) {
    with_block<GradientNumber, std::size(gradient_blocks)>(block, run);
}

/// The panels and packed edges of a product.
inline PackedPanels packed_panels(const Product& product) {
    return {product.panels, product.pair_start.data(), product.pairs.data()};
}

/// A panel kernel of `Block` over `tiles` tiles; `product` has the panels.
template <class Block, class... Parameters, class... Arguments>
void launch_panels(const Launcher& to, void (*kernel)(Parameters...), const Product& product, Index tiles,
                   Arguments&&... arguments) {
    const Index slices = tiles * (tile_lanes / Block::size.columns);
    expects(slices <= max_grid_rows, "at most 65,535 slices of a batch");
    launch_with_shared(to, kernel, {product.panels.num_positions / Block::size.rows(), slices, 1},
                       Block::size.launched_threads(), panel_shared_bytes(Block::size, product.panels.panel_neurons),
                       std::forward<Arguments>(arguments)...);
}

/// Tiles [first, first + count) of a view, or of none.
template <class T>
TiledView<T> some_tiles(const TiledView<T>& view, Index first, Index count) {
    if (!view) return view;
    const Index samples = std::min(view.batch - first * view.lanes, count * view.lanes);
    return {view.row(first, 0), view.rows, samples, view.lanes};
}

/// Calls multiply(first, count) for as many tiles at a time as there is memory for their rows' parts.
template <class Multiply>
void by_tiles(const Product& product, Index tiles, const Multiply& multiply) {
    for (Index first = 0; first < tiles; first += product.parts_tiles) {
        multiply(first, std::min(product.parts_tiles, tiles - first));
    }
}

}  // namespace espalier::cuda
