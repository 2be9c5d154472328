// The gradients of edges out of panels, for layers dense enough that a panel of inputs in shared memory serves many rows
// (kernels/panel.cuh). A block owns `rows` rows, some a warp, in one tile; their dy stays in its shared memory, panels of x
// come one after the other (kernels/panel_flow.cuh). A warp takes the edges that its rows have in a panel, 32 at a time
// (kernels/quarter_gradient.cuh). An edge's gradient by one tile is that of the update that gathers, in the same order, so it
// has the same bits; the tiles are added later.
#pragma once

#include "cuda/kernels/panel_flow.cuh"
#include "cuda/kernels/quarter_gradient.cuh"

namespace espalier::cuda {

/// What the edges of a layer are, by rows.
struct PanelGradientArguments {
    const Index* column;  // num_edges
    const Index* order;   // rows by position
    EdgeIndex num_edges;
};

/// Writes the gradients of a warp's edges in one panel. base: where x of neuron 0 would lie (bytes, modulo 2^32). `next`: the
/// list's first.
template <int rows>
__device__ void gradients_of_panel(const PanelGradientArguments& layer, const PanelEdges<rows>& list, ListedEdge next,
                                   QuarterGradients& gradients, Index base, float* part) {
    static_assert(static_cast<Index>(rows) <= PlacedEdge::no_edge);
    const Index stretch = stretch_of(list.count);
    ESPALIER_NO_UNROLL
    for (Index done = 0; done < stretch; done += quarter_lanes) {
        const Index left = stretch - done;
        const EdgeIndex edge = next.edge;
        const PlacedEdge placed = PlacedEdge::of(next, base + next.column * PlacedEdge::neuron_bytes);
        if (left > quarter_lanes) next.fetch(list, done + quarter_lanes, layer.column);
        const float gradient = gradients(placed, left < quarter_lanes ? left : quarter_lanes);
        if (edge != ListedEdge::none) part[edge] = gradient;
    }
}

/// Copies the dy of a warp's rows, from position `first` on, to `rows`; `from`: the tile's of neuron 0.
template <int count>
__device__ void copy_rows(float* rows, const float* from, const Index* order, Index first, Index num_rows) {
    ESPALIER_UNROLL
    for (int r = 0; r < count; ++r) {
        if (first + r >= num_rows) continue;
        __pipeline_memcpy_async(rows + static_cast<Index>(r) * tile_lanes + lane_of_warp() * 4,
                                from + std::size_t{order[first + r]} * tile_lanes + lane_of_warp() * 4, 16);
    }
    __pipeline_commit();
    __pipeline_wait_prior(0);
    __syncwarp();
}

/// The lists of a warp's edges, of one panel after the other; what comes next is on its way from memory.
template <int rows>
class ListedPanels {
public:
    PanelEdges<rows> list{0, 0};
    ListedEdge first;

    /// `first_position`: of the warp's rows.
    __device__ ListedPanels(const PanelGradientArguments& layer, const Panels& panels, Index first_position)
        : layer_(layer), layout_(panels.layout) {
        // lane r: where the edges of row r begin; the same for lanes beyond the rows
        const Index row = lane_of_warp() < static_cast<Index>(rows) ? lane_of_warp() : static_cast<Index>(rows) - 1;
        end_ = panels.start + first_position + row;
        begin_ = *end_;
        next_end_ = *(end_ += layout_.num_positions);
        go_on();
    }
    /// To the next panel; after the last an empty list.
    __device__ void go_on() {
        list = PanelEdges<rows>(begin_, next_end_);
        begin_ = next_end_;
        if (list.count > 0) first.fetch(list, 0, layer_.column);  // all lanes of the warp alike
        if (panel_ < layout_.num_panels) end_ += layout_.num_positions;
        ++panel_;
        next_end_ = *end_;
    }

private:
    const PanelGradientArguments& layer_;
    const PanelLayout& layout_;
    const EdgeIndex* end_;  // of the lane's row in the panel after the list's
    EdgeIndex begin_;
    EdgeIndex next_end_;
    Index panel_ = 1;  // after the list's
};

/// part [tiles][num_edges] = every edge's gradient by each tile. Grid: x covers the positions by blocks, y the tiles.
/// Dynamic shared memory: gradient_shared_bytes.
template <class Block>
__global__ void __launch_bounds__(Block::size.launched_threads(), 1)
    panel_gradient_kernel(PanelGradientArguments layer, Panels panels, ConstActivations x, ConstActivations dy,
                          float* part) {
    constexpr int rows = Block::size.rows_per_warp;
    constexpr Index rows_floats = Block::size.rows() * tile_lanes;
    const PanelLayout& layout = panels.layout;
    const Index warp = threadIdx.x / warp_lanes;
    const Index tile = blockIdx.y;
    auto* const memory = dynamic_shared<float>();
    auto& flow = *reinterpret_cast<PanelFlow<Block, gradient_stages>*>(memory);
    auto* const staged = reinterpret_cast<PlacedEdge*>(memory + panel_flow_bytes(Block::size) / sizeof(float));
    // dy, then the panels
    float* const samples = memory + (gradient_fixed_bytes(Block::size) / sizeof(float) - rows_floats);
    flow.barriers.template begin<Block>();
    if (warp == Block::size.warps()) {
        return copy_panels(flow, samples + rows_floats, layout, x.row(tile, 0), x.rows);
    }
    const Index own_dy = warp * static_cast<Index>(rows) * tile_lanes;
    const float* const of_lane = samples + lane_of_warp() % quarter_lanes * 4;
    QuarterGradients gradients(of_lane + rows_floats, of_lane + own_dy, staged + warp * warp_lanes);
    const Index first_position = blockIdx.x * Block::size.rows() + warp * static_cast<Index>(rows);
    copy_rows<rows>(samples + own_dy, dy.row(tile, 0), layer.order, first_position, dy.rows);
    float* const of_tile = part + std::size_t{tile} * layer.num_edges;
    ListedPanels<rows> edges(layer, panels, first_position);
    read_panels(flow, layout.num_panels, [&](Index panel) {
        const Index base = layout.place(panel, gradient_stages, PlacedEdge::neuron_bytes) -
                           panel * layout.panel_neurons * PlacedEdge::neuron_bytes;  // modulo 2^32
        gradients_of_panel(layer, edges.list, edges.first, gradients, base, of_tile);
        edges.go_on();
    });
}

}  // namespace espalier::cuda
