// The gradients of edges out of panels, for layers dense enough that a panel of inputs in shared memory serves many rows
// (kernels/panel.cuh). A block owns `rows` rows, some a warp, in one tile; their dy stays in its shared memory, panels of x
// arrive in turn in two halves of it. A warp takes the edges that its rows have in a panel, 32 at a time. An edge's gradient
// by one tile is that of the update that gathers, in the same order, so it has the same bits; the tiles are added later.
#pragma once

#include "cuda/kernels/edge_gradient.cuh"
#include "cuda/kernels/panel.cuh"

namespace espalier::cuda {

/// What the edges of a layer are, by rows.
struct PanelGradientArguments {
    const Index* column;  // num_edges
    const Index* order;   // rows by position
    EdgeIndex num_edges;
};

/// The edges that a warp's rows have in one panel, as one list: row after row. Lane r knows row r of the warp's.
template <int rows>
struct PanelEdges {
    EdgeIndex shift;  // of the lane's row: what leads from a place in the list to the edge
    Index end;        // where the lane's row ends in the list
    Index count;      // of the list

    /// begin, end: of the lane's row, alike in lanes that have none.
    __device__ PanelEdges(EdgeIndex from, EdgeIndex to) : end(to - from) {
        ESPALIER_UNROLL
        for (int step = 1; step < rows; step *= 2) {
            const Index left = __shfl_up_sync(full_warp, end, static_cast<unsigned>(step));
            if (lane_of_warp() >= static_cast<Index>(step)) end += left;
        }
        shift = to - end;  // modulo 2^32
        count = __shfl_sync(full_warp, end, rows - 1);
    }
    /// The row of the warp's that place `at` of the list belongs to.
    [[nodiscard]] __device__ Index row_of(Index at) const {
        Index row = 0;
        ESPALIER_UNROLL
        for (int step = rows / 2; step > 0; step /= 2) {
            const Index ends = __shfl_sync(full_warp, end, static_cast<int>(row) + step - 1);
            row += ends <= at ? static_cast<Index>(step) : 0;
        }
        return row;
    }
};

/// 32 edges of a warp's list, a lane's each; past the end the last one again. `column` is on its way from memory.
struct ListedEdge {
    EdgeIndex edge = 0;
    Index row = 0;  // of the warp's
    Index column = 0;

    /// The list's edges from `first` on; it has some.
    template <int rows>
    __device__ void fetch(const PanelEdges<rows>& list, Index first, const Index* columns) {
        const Index own = first + lane_of_warp();
        const Index at = own < list.count ? own : list.count - 1;
        row = list.row_of(at);
        edge = __shfl_sync(full_warp, list.shift, static_cast<int>(row)) + at;
        column = columns[edge];
    }
};

/// A warp's place in shared memory, and what lies where.
struct PanelGradientMemory {
    const float* samples;  // the calling lane's of neuron 0 of the first half
    Index* staged;         // of 32 edges where x lies, then where dy does
};

/// The gradient of edge edge_of_lane() of those that the warp staged, of as many `groups` as there are.
__device__ inline float staged_gradients(const PanelGradientMemory& memory, int groups, unsigned changes) {
    return gradients_of_edges(
        groups, changes,
        [&](float4 (&x)[group_edges], int first) {
            ESPALIER_UNROLL
            for (int u = 0; u < group_edges; u += 4) {
                const uint4 at = load_numbers(memory.staged + first + u);
                x[u] = load4(memory.samples + at.x);
                x[u + 1] = load4(memory.samples + at.y);
                x[u + 2] = load4(memory.samples + at.z);
                x[u + 3] = load4(memory.samples + at.w);
            }
        },
        [&](int edge) { return load4(memory.samples + memory.staged[warp_lanes + static_cast<Index>(edge)]); });
}

/// Writes the gradients of a warp's edges in one panel. base: where x of neuron 0 would lie, modulo 2^32; dy: where that of
/// the warp's first row lies. `next`: the list's first 32.
template <int rows>
__device__ void gradients_of_panel(const PanelGradientArguments& layer, const PanelEdges<rows>& list, ListedEdge next,
                                   const PanelGradientMemory& memory, Index base, Index dy, float* part) {
    ESPALIER_NO_UNROLL
    for (Index done = 0; done < list.count; done += warp_lanes) {
        const Index left = list.count - done;
        const EdgeIndex edge = next.edge;
        const unsigned changes = row_changes(next.row);
        __syncwarp();  // the 32 before have been read
        memory.staged[lane_of_warp()] = base + next.column * tile_lanes;
        memory.staged[warp_lanes + lane_of_warp()] = dy + next.row * tile_lanes;
        __syncwarp();
        if (left > warp_lanes) next.fetch(list, done + warp_lanes, layer.column);
        const int groups = left < warp_lanes ? static_cast<int>(left + group_edges - 1) / group_edges : groups_of_warp;
        const float gradient = staged_gradients(memory, groups, changes);
        const float own = __shfl_sync(full_warp, gradient, lane_of_edge(lane_of_warp()));
        if (lane_of_warp() < left) part[edge] = own;
    }
}

/// Begins to copy the dy of the block's rows to `rows`; `from`: the tile's of neuron 0.
template <class Block>
__device__ void begin_rows(float* rows, const float* from, const Index* order, Index num_rows) {
    constexpr Index pieces = tile_lanes / 4;
    const Index first = blockIdx.x * Block::size.rows();
    for (Index i = threadIdx.x; i < Block::size.rows() * pieces; i += Block::size.threads) {
        const Index position = first + i / pieces;
        if (position >= num_rows) return;  // those after it likewise
        __pipeline_memcpy_async(rows + i * 4, from + std::size_t{order[position]} * tile_lanes + i % pieces * 4, 16);
    }
}

/// part [tiles][num_edges] = every edge's gradient by each tile. Grid: x covers the positions by blocks, y the tiles.
/// Dynamic shared memory: gradient_shared_bytes.
template <class Block>
__global__ void __launch_bounds__(Block::size.threads, 1)
    panel_gradient_kernel(PanelGradientArguments layer, Panels panels, ConstActivations x, ConstActivations dy,
                          float* part) {
    constexpr int rows = Block::size.rows_per_warp;
    const PanelLayout& layout = panels.layout;
    const Index warp = threadIdx.x / warp_lanes;
    const Index tile = blockIdx.y;
    auto* const memory = dynamic_shared<float>();
    const Index panel_floats = layout.panel_neurons * tile_lanes;
    const Index dy_begins = 2 * panel_floats;
    auto* const staged = reinterpret_cast<Index*>(memory + dy_begins + Block::size.rows() * tile_lanes);
    const PanelGradientMemory own{memory + lane_of_warp() * 4, staged + warp * warp_lanes * 2};
    const Index own_dy = dy_begins + warp * static_cast<Index>(rows) * tile_lanes;

    // lane r: where the edges of the warp's row r begin in the panel and where they end; the same for lanes beyond the rows
    const Index row = lane_of_warp() < static_cast<Index>(rows) ? lane_of_warp() : static_cast<Index>(rows) - 1;
    const EdgeIndex* start = panels.start + blockIdx.x * Block::size.rows() + warp * static_cast<Index>(rows) + row;
    EdgeIndex begin = *start;
    EdgeIndex end = start[layout.num_positions];

    const float* const from = x.row(tile, 0);
    begin_rows<Block>(memory + dy_begins, dy.row(tile, 0), layer.order, dy.rows);
    begin_panel<Block>(memory, layout, from, x.rows, 0);
    __pipeline_commit();
    float* const of_tile = part + std::size_t{tile} * layer.num_edges;
    ESPALIER_NO_UNROLL
    for (Index panel = 0; panel < layout.num_panels; ++panel) {
        const bool last = panel + 1 == layout.num_panels;
        if (!last) begin_panel<Block>(memory, layout, from, x.rows, panel + 1);
        __pipeline_commit();
        start += last ? 0 : layout.num_positions;
        const EdgeIndex next_end = start[layout.num_positions];
        const PanelEdges<rows> list(begin, end);
        const Index base = panel % 2 * panel_floats - panel * panel_floats;  // modulo 2^32
        ListedEdge first;
        if (list.count > 0) first.fetch(list, 0, layer.column);  // all lanes of the warp alike
        __pipeline_wait_prior(1);
        __syncthreads();  // the panel is there, whoever copied it
        gradients_of_panel(layer, list, first, own, base, own_dy, of_tile);
        begin = end;
        end = next_end;
        __syncthreads();  // the panel has been read; the next but one takes its place
    }
}

}  // namespace espalier::cuda
