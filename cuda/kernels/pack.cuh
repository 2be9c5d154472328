// Packs a layer's edges as its panel product reads them (EdgePair of products/panel_layout.hpp): one warp's rows after the
// other's, panel by panel. Places follow the topology, weights every step: of those a second kernel writes nothing else.
#pragma once

#include "cuda/kernels/edges.cuh"
#include "cuda/kernels/panel_edges.cuh"

namespace espalier::cuda {

inline constexpr int pack_threads = 256;
inline constexpr int most_packed_products = 16;  // of a launch

/// A product whose edges are to be packed.
struct PackedProduct {
    Panels panels;
    PanelBlock block;
    const Index* other;     // num_edges: of each edge, in the order of the product
    const EdgeIndex* slot;  // where each edge's weight is; null: in that order
    const float* weight;
    EdgeIndex* pair_start;  // [num_panels][num_groups]: where the pairs of each warp's rows begin
    EdgePair* pairs;

    [[nodiscard]] __device__ Index num_groups() const { return panels.layout.num_positions / block.rows_per_warp; }
    [[nodiscard]] __device__ float weight_of(EdgeIndex edge) const { return weight[slot == nullptr ? edge : slot[edge]]; }
};

/// Blocks work for product 0 up to end_block[0], then for product 1 ..
struct PackedProducts {
    PackedProduct product[most_packed_products];
    Index end_block[most_packed_products];
};

/// pair_start of one product. `used`: 0 before, pairs after. Where a warp's rows come to lie among those of others is left
/// to chance; what is read from there is not. Grid: a warp for the rows of one of the product's.
template <int block_threads>
__global__ void __launch_bounds__(block_threads) pair_starts_kernel(PackedProduct product, EdgeIndex* used) {
    const Index group = warp_of_grid();
    const Index groups = product.num_groups();
    if (group >= groups) return;
    const PanelLayout& layout = product.panels.layout;
    const Index rows = product.block.rows_per_warp;
    EdgeIndex before = 0;
    for (Index first = 0; first < layout.num_panels; first += warp_lanes) {
        const Index panel = first + lane_of_warp();
        const bool exists = panel < layout.num_panels;
        const EdgeIndex* start =
            product.panels.start + static_cast<std::size_t>(exists ? panel : 0) * layout.num_positions + group * rows;
        Index pairs = exists ? num_headers(rows) : 0;
        for (Index r = 0; exists && r < rows; ++r) pairs += (start[layout.num_positions + r] - start[r] + 1) / 2;
        const Index up_to = sum_up_to_lane<warp_lanes>(pairs);
        if (exists) product.pair_start[std::size_t{panel} * groups + group] = before + up_to - pairs;
        before += __shfl_sync(full_warp, up_to, warp_lanes - 1);
    }
    EdgeIndex base = 0;
    if (lane_of_warp() == 0) base = atomicAdd(used, before);
    base = __shfl_sync(full_warp, base, 0);
    for (Index panel = lane_of_warp(); panel < layout.num_panels; panel += warp_lanes) {
        product.pair_start[std::size_t{panel} * groups + group] += base;
    }
}

/// A lane's row among those of a warp in a panel.
struct PackedRow {
    EdgeIndex begin;
    Index count = 0;
    EdgeIndex first_pair = 0;
};

__device__ inline void write_headers(const PackedProduct& product, const PackedRow& row) {
    const Index odd = __shfl_down_sync(full_warp, row.count, 1);
    const auto first_of_header = static_cast<int>(lane_of_warp() / header_rows * header_rows);
    const EdgeIndex first_pair = __shfl_sync(full_warp, row.first_pair, first_of_header);
    const Index of_header = lane_of_warp() % header_rows;
    if (lane_of_warp() / header_rows >= num_headers(product.block.rows_per_warp) || of_header % 2 != 0) return;
    auto* const words = reinterpret_cast<std::uint32_t*>(product.pairs + (first_pair - 1));
    words[of_header / 2] = row.count | odd << 16U;
}

/// A warp packs what its rows have in one panel.
template <bool with_places>
__device__ void pack_panel(const PackedProduct& product, Index panel, Index group) {
    constexpr int most_rows = 16;
    const PanelLayout& layout = product.panels.layout;
    const Index rows = product.block.rows_per_warp;
    const EdgeIndex* const start = product.panels.start + static_cast<std::size_t>(panel) * layout.num_positions +
                                   group * rows + (lane_of_warp() < rows ? lane_of_warp() : 0);
    PackedRow own{*start};
    if (lane_of_warp() < rows) own.count = start[layout.num_positions] - own.begin;
    const PanelEdges<most_rows> list(own.begin, own.begin + own.count);
    const Index pairs = (own.count + 1) / 2;
    own.first_pair = product.pair_start[std::size_t{panel} * product.num_groups() + group] +
                     sum_up_to_lane<most_rows>(pairs) - pairs + lane_of_warp() / header_rows + 1;
    if (with_places) write_headers(product, own);
    const Index neuron = product.block.columns * static_cast<Index>(sizeof(float));  // bytes
    const Index base = layout.place(panel, product_stages, neuron) - panel * layout.panel_neurons * neuron;  // modulo 2^32
    auto* const records = reinterpret_cast<std::uint32_t*>(product.pairs);  // of two words: place, weight
    for (Index first = 0; first < list.count; first += warp_lanes) {
        const Index at = first + lane_of_warp();
        const auto row = static_cast<int>(list.row_of(at));
        const EdgeIndex edge = __shfl_sync(full_warp, list.shift, row) + at;
        const EdgeIndex of_row = edge - __shfl_sync(full_warp, own.begin, row);
        const std::size_t record = std::size_t{__shfl_sync(full_warp, own.first_pair, row)} * 2 + of_row;
        if (at >= list.count) continue;
        if (with_places) records[record * 2] = base + product.other[edge] * neuron;
        records[record * 2 + 1] = __float_as_uint(product.weight_of(edge));
    }
}

/// with_places: all; else the weights. Grid: for each product a warp for each of its panels and the rows of each warp.
template <int block_threads, bool with_places>
__global__ void __launch_bounds__(block_threads) pack_kernel(PackedProducts products) {
    int number = 0;
    while (blockIdx.x >= products.end_block[number]) ++number;
    const PackedProduct& product = products.product[number];
    const Index block = blockIdx.x - (number == 0 ? 0 : products.end_block[number - 1]);
    const Index warp = block * (block_threads / warp_lanes) + threadIdx.x / warp_lanes;
    const Index groups = product.num_groups();
    if (warp / groups >= product.panels.layout.num_panels) return;
    pack_panel<with_places>(product, warp / groups, warp % groups);
}

}  // namespace espalier::cuda
