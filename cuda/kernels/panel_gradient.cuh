// The gradients of edges out of panels, for layers dense enough that a panel of inputs in shared memory serves many rows
// (kernels/panel.cuh). A block owns `rows` rows, some a warp, in one tile; their dy stays in its shared memory, panels of x
// come one after the other (kernels/panel_flow.cuh). A warp takes the edges that its rows have in a panel, 32 at a time. An
// edge's gradient by one tile is that of the update that gathers, in the same order, so it has the same bits; the tiles are
// added later.
// Half a warp multiplies an edge: a lane has eight samples, those of two lanes, l and l + 16, where a whole warp does, and so
// adds by itself what is added first there.
#pragma once

#include "cuda/kernels/edge_gradient.cuh"
#include "cuda/kernels/edges.cuh"
#include "cuda/kernels/panel_edges.cuh"
#include "cuda/kernels/panel_flow.cuh"

namespace espalier::cuda {

/// What the edges of a layer are, by rows.
struct PanelGradientArguments {
    const Index* column;  // num_edges
    const Index* order;   // rows by position
    EdgeIndex num_edges;
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
    const float* samples;  // the calling lane's where places begin
    Index* staged;         // of 32 edges where x lies, then where dy does
};

inline constexpr Index half_lanes = warp_lanes / 2;
inline constexpr int half_edges = 4;  // of a half warp at once

struct EightSamples {
    float4 low;
    float4 high;
};
__device__ inline EightSamples load8(const float* from) { return {load4(from), load4(from + tile_lanes / 2)}; }

__device__ inline float sum_of_products(float4 a, float4 b) {
    return fmaf(a.x, b.x, fmaf(a.y, b.y, fmaf(a.z, b.z, fmaf(a.w, b.w, 0.0F))));
}

/// The lane's of the samples of four edges.
__device__ inline void load_edges(EightSamples (&x)[half_edges], const float* samples, const Index* places) {
    const uint4 at = load_numbers(places);
    x[0] = load8(samples + at.x);
    x[1] = load8(samples + at.y);
    x[2] = load8(samples + at.z);
    x[3] = load8(samples + at.w);
}

/// Of up to 32 edges that a warp staged, each half of it takes its `of_half` of them, a multiple of four. Bit e of `changes`:
/// edge e is of another row than the one before it.
struct HalvedEdges {
    Index of_half;
    unsigned changes;

    /// The edge whose gradient staged_gradients() gives the lane, the other way round.
    [[nodiscard]] __device__ int lane_of(Index edge) const {
        const Index half = edge >= of_half ? 1 : 0;
        const Index own = edge - half * of_half;
        return static_cast<int>(half * half_lanes + own % half_edges * half_edges + own / half_edges);
    }
};

/// Lane l's is that of edge l % 16 / 4 of the l % 4th four of its half.
__device__ inline float staged_gradients(const PanelGradientMemory& memory, const HalvedEdges& edges) {
    const Index first = lane_of_warp() / half_lanes * edges.of_half;
    const unsigned changes = edges.changes >> first | 1U;
    const Index* const places = memory.staged + first;
    EightSamples dy{};
    EightSamples x[half_edges];
    load_edges(x, memory.samples, places);
    float gradient = 0;
    ESPALIER_NO_UNROLL
    for (Index done = 0; done < edges.of_half; done += half_edges) {
        float part[half_edges];
        ESPALIER_UNROLL
        for (int u = 0; u < half_edges; ++u) {
            if ((changes >> done >> u & 1U) != 0) dy = load8(memory.samples + places[warp_lanes + done + u]);
            part[u] = sum_of_products(dy.low, x[u].low) + sum_of_products(dy.high, x[u].high);
            settle(part[u]);
        }
        // on their way while these are summed
        if (done + half_edges < edges.of_half) load_edges(x, memory.samples, places + done + half_edges);
        const float sum = sum_of_group<half_edges>(part);
        gradient = lane_of_warp() % half_edges == done / half_edges ? sum : gradient;
    }
    return gradient;
}

/// Writes the gradients of a warp's edges in one panel. base: where x of neuron 0 would lie, modulo 2^32; dy: where that of
/// the warp's first row lies. `next`: the list's first 32.
template <int rows>
__device__ void gradients_of_panel(const PanelGradientArguments& layer, const PanelEdges<rows>& list, ListedEdge next,
                                   const PanelGradientMemory& memory, Index base, Index dy, float* part) {
    ESPALIER_NO_UNROLL
    for (Index done = 0; done < list.count; done += warp_lanes) {
        const Index left = list.count - done;
        const Index count = left < warp_lanes ? left : warp_lanes;
        const HalvedEdges edges{(count + 7) / 8 * half_edges, row_changes(next.row)};
        const EdgeIndex edge = next.edge;
        __syncwarp();  // the 32 before have been read
        memory.staged[lane_of_warp()] = base + next.column * tile_lanes;
        memory.staged[warp_lanes + lane_of_warp()] = dy + next.row * tile_lanes;
        __syncwarp();
        if (left > warp_lanes) next.fetch(list, done + warp_lanes, layer.column);
        const float gradient = staged_gradients(memory, edges);
        const float own = __shfl_sync(full_warp, gradient, edges.lane_of(lane_of_warp()) % static_cast<int>(warp_lanes));
        if (lane_of_warp() < count) part[edge] = own;
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
    ListedEdge first;  // 32 of them

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
    auto* const staged = reinterpret_cast<Index*>(memory + panel_flow_bytes(Block::size) / sizeof(float));
    // dy, then the panels, which are read by places in all of it
    float* const samples = memory + (gradient_fixed_bytes(Block::size) / sizeof(float) - rows_floats);
    flow.barriers.template begin<Block>();
    if (warp == Block::size.warps()) {
        return copy_panels(flow, samples + rows_floats, layout, x.row(tile, 0), x.rows);
    }
    const PanelGradientMemory own{samples + lane_of_warp() % half_lanes * 4, staged + warp * warp_lanes * 2};
    const Index own_dy = warp * static_cast<Index>(rows) * tile_lanes;
    const Index first_position = blockIdx.x * Block::size.rows() + warp * static_cast<Index>(rows);
    copy_rows<rows>(samples + own_dy, dy.row(tile, 0), layer.order, first_position, dy.rows);
    float* const of_tile = part + std::size_t{tile} * layer.num_edges;
    ListedPanels<rows> edges(layer, panels, first_position);
    read_panels(flow, layout.num_panels, [&](Index panel) {
        const Index base = rows_floats + layout.place(panel, gradient_stages, tile_lanes) -
                           panel * layout.panel_neurons * tile_lanes;  // modulo 2^32
        gradients_of_panel(layer, edges.list, edges.first, own, base, own_dy, of_tile);
        edges.go_on();
    });
}

}  // namespace espalier::cuda
