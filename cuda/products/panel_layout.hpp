// Panels: a layer's edges cut by their other end into panels of neurons, whose samples the panel kernels keep in shared
// memory. Pure functions of the topology, so the same on host and device. Rows come in the order the layer gives them,
// padded to whole blocks with rows that have no edge.
#pragma once

#include <cstddef>

#include "espalier/host_device.hpp"
#include "espalier/index.hpp"

namespace espalier::cuda {

/// Threads of a block that sum, rows of each of its warps and samples of a tile that it computes (128, 64 or 32).
struct PanelBlock {
    Index threads;
    Index rows_per_warp;
    Index columns;

    constexpr bool operator==(const PanelBlock&) const = default;
    [[nodiscard]] constexpr Index warps() const { return threads / 32; }
    [[nodiscard]] constexpr Index rows() const { return warps() * rows_per_warp; }
    /// With the warp that copies panels.
    [[nodiscard]] constexpr Index launched_threads() const { return threads + 32; }
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

/// Panels of a product in shared memory at once: while one is read the next are there, or on their way, so that no warp
/// waits for the slowest of its block.
inline constexpr Index product_stages = 3;
/// Of a gradient, whose rows' samples leave less room.
inline constexpr Index gradient_stages = 2;
inline constexpr Index most_stages = 3;
/// Bytes of what the warps of either wait by (PanelFlow of kernels/panel_flow.cuh).
constexpr std::size_t panel_flow_bytes(const PanelBlock& block) {
    const std::size_t needed = (std::size_t{2} + block.warps() + 1) * most_stages * 8;
    return (needed + 1023) / 1024 * 1024;  // what comes next begins where the last bits of its places are 0
}
/// Bytes of packed edges that a warp fetches at once; it has two such pieces in shared memory.
inline constexpr Index packed_piece_bytes = 512;

/// Bytes beside the panels: what warps wait by, and packed edges (kernels/pack.cuh).
constexpr std::size_t panel_fixed_bytes(const PanelBlock& block) {
    return panel_flow_bytes(block) + std::size_t{block.warps()} * 2 * packed_piece_bytes;
}
constexpr std::size_t panel_shared_bytes(const PanelBlock& block, Index panel_neurons) {
    return panel_fixed_bytes(block) + std::size_t{product_stages} * panel_neurons * block.columns * sizeof(float);
}

/// The kernels that make gradients of edges: blocks of whole tiles, most rows first.
inline constexpr PanelBlock gradient_blocks[] = {{512, 16, 128}, {512, 8, 128}, {512, 4, 128}, {512, 2, 128}};
template <int number>
using GradientNumber =
    PanelOf<gradient_blocks[number].threads, gradient_blocks[number].rows_per_warp, gradient_blocks[number].columns>;

/// Bytes beside the panels: what warps wait by, where those of 32 edges of each warp lie, and the rows' samples.
constexpr std::size_t gradient_fixed_bytes(const PanelBlock& block) {
    return panel_flow_bytes(block) + std::size_t{block.rows()} * block.columns * sizeof(float) +
           std::size_t{block.warps()} * 32 * 4;
}
constexpr std::size_t gradient_shared_bytes(const PanelBlock& block, Index panel_neurons) {
    return gradient_fixed_bytes(block) + std::size_t{gradient_stages} * panel_neurons * block.columns * sizeof(float);
}

struct PanelLayout {
    Index panel_neurons = 0;
    Index num_panels = 0;
    Index num_positions = 0;  // rows, padded

    /// Numbers in the table of first edges, [num_panels + 1][num_positions].
    [[nodiscard]] constexpr std::size_t size() const { return (std::size_t{num_panels} + 1) * num_positions; }
    /// Numbers in the table of a product's pairs, [num_panels][num_positions / rows a warp].
    [[nodiscard]] constexpr std::size_t num_groups(const PanelBlock& block) const {
        return std::size_t{num_panels} * (num_positions / block.rows_per_warp);
    }
    /// Where a panel's samples lie among those in shared memory, given what a neuron takes there.
    [[nodiscard]] constexpr Index place(Index panel, Index stages, Index of_neuron) const {
        return panel % stages * (panel_neurons * of_neuron);
    }
};

/// As few panels as fit into `shared_bytes` beside `fixed`, `stages` of them at once, alike in size. No panel at all: not
/// even four neurons fit.
constexpr PanelLayout panels_beside(std::size_t fixed, Index stages, const PanelBlock& block, Index num_rows,
                                    Index num_neurons, std::size_t shared_bytes) {
    const std::size_t neuron = std::size_t{stages} * block.columns * sizeof(float);
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
    return panels_beside(panel_fixed_bytes(block), product_stages, block, num_rows, num_neurons, shared_bytes);
}
/// Of a gradient.
constexpr PanelLayout gradient_layout(const PanelBlock& block, Index num_rows, Index num_neurons,
                                      std::size_t shared_bytes) {
    return panels_beside(gradient_fixed_bytes(block), gradient_stages, block, num_rows, num_neurons, shared_bytes);
}

/// Two edges as a product reads them: places of their other ends' samples among the panels in shared memory (bytes), and
/// weights. A warp's edges of a panel are, for each four rows or fewer, a header, which holds their counts in 16 bits each,
/// then row after row in whole pairs; those of its panels follow each other.
struct alignas(16) EdgePair {
    Index place;
    float weight;
    Index second_place;
    float second_weight;
};
inline constexpr int header_rows = 4;
constexpr Index num_headers(Index rows_per_warp) { return (rows_per_warp + header_rows - 1) / header_rows; }

/// Pairs that a warp reads past its own, which it does not use.
inline constexpr std::size_t pairs_read_ahead = 2 * packed_piece_bytes / sizeof(EdgePair);

/// The most that `num_edges` edges take: of those that a row has in a panel the last may be alone.
constexpr std::size_t most_pairs(const PanelBlock& block, const PanelLayout& layout, EdgeIndex num_edges) {
    const std::size_t cells = std::size_t{layout.num_panels} * layout.num_positions;
    const std::size_t alone = cells < num_edges ? cells : num_edges;
    return layout.num_groups(block) * num_headers(block.rows_per_warp) + (num_edges + alone + 1) / 2 +
           pairs_read_ahead;
}

/// Pairs, read ahead ones included, have numbers of 32 bits.
inline constexpr std::size_t max_pairs = 0xffffffffU;

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
