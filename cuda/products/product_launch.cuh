// Launches of a product's kernels, alike for the forward pass and the input gradient.
#pragma once

#include <algorithm>

#include "cuda/kernels/coo.cuh"
#include "cuda/kernels/panel.cuh"
#include "cuda/launch.cuh"
#include "cuda/products/product.hpp"

namespace espalier::cuda {

/// Calls run(PanelNumber<n>{}) for the n whose block is `block`.
template <int number = 0, class Run>
void with_panel_block(const PanelBlock& block, const Run& run) {
    if constexpr (number < std::size(panel_blocks)) {
        if (panel_blocks[number] == block) {
            run(PanelNumber<number>{});
        } else {
            with_panel_block<number + 1>(block, run);
        }
    } else {
        expects(false, "one of the panel kernels there are");
    }
}

/// A panel kernel of `Block` over `tiles` tiles; `product` has the panels.
template <class Block, class... Parameters, class... Arguments>
void launch_panels(const Launcher& to, void (*kernel)(Parameters...), const Product& product, Index tiles,
                   Arguments&&... arguments) {
    const Index slices = tiles * (tile_lanes / Block::size.columns);
    expects(slices <= max_grid_rows, "at most 65,535 slices of a batch");
    launch_with_shared(to, kernel, {product.panels.num_positions / Block::size.rows(), slices, 1},
                       Block::size.threads, panel_shared_bytes(Block::size, product.panels.panel_neurons),
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
