// Panels: a layer's edges cut by their other end into panels of neurons, whose samples the panel kernels keep in shared
// memory. Pure functions of the topology, so the same on host and device. Rows come in the order the layer gives them,
// padded to whole blocks with rows that have no edge.
#pragma once

#include <cstddef>

#include "espalier/host_device.hpp"
#include "espalier/index.hpp"

namespace espalier::cuda {

/// Threads of a block, rows of each of its warps and samples of a tile that it computes (128, 64 or 32).
struct PanelBlock {
    Index threads;
    Index rows_per_warp;
    Index columns;

    constexpr bool operator==(const PanelBlock&) const = default;
    [[nodiscard]] constexpr Index warps() const { return threads / 32; }
    [[nodiscard]] constexpr Index rows() const { return warps() * rows_per_warp; }
};

/// The kernels there are, in the order in which they are to be preferred where they fill a device.
inline constexpr PanelBlock panel_blocks[] = {
    {512, 16, 128}, {512, 4, 128}, {512, 4, 64}, {512, 8, 32}, {512, 2, 32}};

/// A block as a template argument: nvcc's stubs cannot take the struct itself.
template <Index threads, Index rows_per_warp, Index columns>
struct PanelOf {
    static constexpr PanelBlock size{threads, rows_per_warp, columns};
};
template <int number>
using PanelNumber =
    PanelOf<panel_blocks[number].threads, panel_blocks[number].rows_per_warp, panel_blocks[number].columns>;

/// Edges of a row that a warp stages at once; even, for they are read in pairs.
inline constexpr Index staged_edges = 8;

/// Bytes beside the panels: the staged (place, weight) pairs, and the zeros that padding points to.
constexpr std::size_t panel_fixed_bytes(const PanelBlock& block) {
    return std::size_t{block.rows()} * staged_edges * 8 + std::size_t{block.columns} * sizeof(float);
}

/// Two panels: one is read while the next arrives.
constexpr std::size_t panel_shared_bytes(const PanelBlock& block, Index panel_neurons) {
    return panel_fixed_bytes(block) + std::size_t{2} * panel_neurons * block.columns * sizeof(float);
}

/// The kernels that make gradients of edges: blocks of whole tiles, most rows first.
inline constexpr PanelBlock gradient_blocks[] = {{512, 16, 128}, {512, 8, 128}, {512, 4, 128}, {512, 2, 128}};
template <int number>
using GradientNumber =
    PanelOf<gradient_blocks[number].threads, gradient_blocks[number].rows_per_warp, gradient_blocks[number].columns>;

/// Bytes beside the panels: the rows' samples, and where those of 32 edges of each warp lie.
constexpr std::size_t gradient_fixed_bytes(const PanelBlock& block) {
    return std::size_t{block.rows()} * block.columns * sizeof(float) + std::size_t{block.warps()} * 32 * 8;
}
constexpr std::size_t gradient_shared_bytes(const PanelBlock& block, Index panel_neurons) {
    return panel_shared_bytes(block, panel_neurons) - panel_fixed_bytes(block) + gradient_fixed_bytes(block);
}

struct PanelLayout {
    Index panel_neurons = 0;
    Index num_panels = 0;
    Index num_positions = 0;  // rows, padded

    /// Numbers in the table of first edges, [num_panels + 1][num_positions].
    [[nodiscard]] constexpr std::size_t size() const { return (std::size_t{num_panels} + 1) * num_positions; }
};

/// As few panels as fit into `shared_bytes` beside `fixed`, alike in size. No panel at all: not even four neurons fit.
constexpr PanelLayout panels_beside(std::size_t fixed, const PanelBlock& block, Index num_rows, Index num_neurons,
                                    std::size_t shared_bytes) {
    const std::size_t neuron = std::size_t{2} * block.columns * sizeof(float);
    const std::size_t most = shared_bytes < fixed ? 0 : (shared_bytes - fixed) / neuron / 4 * 4;
    if (most == 0 || num_neurons == 0) return {};
    const auto panels = static_cast<Index>((std::size_t{num_neurons} + most - 1) / most);
    const Index even = num_neurons / panels + (num_neurons % panels == 0 ? 0 : 1);
    const Index padded_rows =
        num_rows / block.rows() * block.rows() + (num_rows % block.rows() == 0 ? 0 : block.rows());
    return {even, panels, padded_rows};
}

/// Of a product.
constexpr PanelLayout panel_layout(const PanelBlock& block, Index num_rows, Index num_neurons,
                                   std::size_t shared_bytes) {
    return panels_beside(panel_fixed_bytes(block), block, num_rows, num_neurons, shared_bytes);
}
/// Of a gradient.
constexpr PanelLayout gradient_layout(const PanelBlock& block, Index num_rows, Index num_neurons,
                                      std::size_t shared_bytes) {
    return panels_beside(gradient_fixed_bytes(block), block, num_rows, num_neurons, shared_bytes);
}

/// The first of a row's edges [begin, end), ascending by `other`, that belongs to `panel` or a later one.
ESPALIER_HOST_DEVICE inline EdgeIndex first_edge_of_panel(const Index* other, EdgeIndex begin, EdgeIndex end,
                                                          const PanelLayout& layout, Index panel) {
    if (panel == layout.num_panels) return end;
    const Index neuron = panel * layout.panel_neurons;
    while (begin < end) {
        const EdgeIndex middle = begin + (end - begin) / 2;
        if (other[middle] < neuron) {
            begin = middle + 1;
        } else {
            end = middle;
        }
    }
    return begin;
}

/// Where the edges of position `position` begin in `panel`: a cell of the table. `start`, `other`, `order`: the view
/// by rows, and the rows by position.
ESPALIER_HOST_DEVICE inline EdgeIndex panel_start(const EdgeIndex* start, const Index* other, const Index* order,
                                                  Index num_rows, const PanelLayout& layout, Index panel,
                                                  Index position) {
    if (position >= num_rows) return 0;
    const Index row = order[position];
    return first_edge_of_panel(other, start[row], start[row + 1], layout, panel);
}

}  // namespace espalier::cuda
