// Panel products: forward and input gradient of layers dense enough (above about 0.5 %) that a panel of neurons in
// shared memory serves many rows. A block owns `rows` rows, some a warp, in 128, 64 or 32 samples of one tile; panels of
// the other neurons' samples arrive in turn in two halves of its shared memory. Each row's sum is that of the gather
// kernels, in the same order, so it has the same bits.
#pragma once

#include "cuda/kernels/backward.cuh"
#include "cuda/kernels/forward.cuh"
#include "cuda/products/panel_layout.hpp"

namespace espalier::cuda {

inline constexpr int panel_starts_threads = 256;

/// The layout and its table of first edges.
struct Panels {
    PanelLayout layout;
    const EdgeIndex* start;  // [num_panels + 1][num_positions]
};

/// start[panel][position]. A thread owns a cell of the table. Grid: x covers the positions, y the panels and one more.
template <int block_threads>
__global__ void __launch_bounds__(block_threads)
    panel_starts_kernel(const EdgeIndex* row_start, const Index* other, const Index* order, Index num_rows,
                        PanelLayout layout, EdgeIndex* start) {
    const Index position = blockIdx.x * block_threads + threadIdx.x;
    const Index panel = blockIdx.y;
    if (position >= layout.num_positions) return;
    start[static_cast<std::size_t>(panel) * layout.num_positions + position] =
        panel_start(row_start, other, order, num_rows, layout, panel, position);
}

/// A lane's share of the next chunk of its row's edges, on its way from memory: those at part, part + stride ...
template <int count, Index stride>
struct FetchedEdges {
    Index other[count];
    float weight[count];

    /// The chunk of edges begin .. end, or as many of them as a chunk has.
    template <class Weights>
    __device__ void fetch(const Index* others, const Weights& weights, EdgeIndex begin, EdgeIndex end, Index part) {
        ESPALIER_UNROLL
        for (int u = 0; u < count; ++u) {
            const Index at = part + static_cast<Index>(u) * stride;
            const bool exists = at < staged_edges && at < end - begin;
            other[u] = exists ? others[begin + at] : 0;
            weight[u] = exists ? weights.at(begin + at) : 0.0F;
        }
    }
    /// Writes the chunk of `edges` edges into `staged`: pairs of where the other neuron's samples lie and the weight,
    /// padded to an even number by one of -0 times what lies at `zeros`, which changes no sum, not even one of -0.
    __device__ void stage(std::uint32_t* staged, Index edges, Index part, Index base, Index columns,
                          Index zeros) const {
        ESPALIER_UNROLL
        for (int u = 0; u < count; ++u) {
            const Index at = part + static_cast<Index>(u) * stride;
            if (at >= (edges + 1) / 2 * 2) continue;
            staged[at * 2] = at < edges ? base + other[u] * columns : zeros;
            staged[at * 2 + 1] = __float_as_uint(at < edges ? weight[u] : -0.0F);
        }
    }
};

/// Begins to copy a panel into its half of `memory`; `from`: the block's samples of neuron 0. The copies still have to
/// arrive.
template <class Block>
__device__ void begin_panel(float* memory, const PanelLayout& layout, const float* from, Index num_neurons,
                            Index number) {
    constexpr Index pieces = Block::size.columns / 4;
    const Index first = number * layout.panel_neurons;
    const Index left = num_neurons - first;
    const Index neurons = left < layout.panel_neurons ? left : layout.panel_neurons;
    float* const panel = memory + number % 2 * (layout.panel_neurons * static_cast<Index>(Block::size.columns));
    const float* const samples = from + static_cast<std::size_t>(first) * tile_lanes;
    for (Index i = threadIdx.x; i < neurons * pieces; i += Block::size.threads) {
        const Index neuron = i / pieces;
        const Index piece = i % pieces * 4;
        __pipeline_memcpy_async(panel + neuron * Block::size.columns + piece,
                                samples + static_cast<std::size_t>(neuron) * tile_lanes + piece, 16);
    }
}

/// What the sums of a warp's rows begin with.
template <int rows_per_warp, int values, class Rows>
__device__ void begin_sums(float (&sum)[rows_per_warp][values], const Rows& rows, const Index* order, Index first,
                           Index num_rows) {
    ESPALIER_UNROLL
    for (int r = 0; r < rows_per_warp; ++r) {
        const float start = first + r < num_rows ? rows.first(order[first + r]) : 0.0F;
        ESPALIER_UNROLL
        for (int v = 0; v < values; ++v) sum[r][v] = start;
    }
}

/// Hands the sums over: the calling lane's samples begin at `offset` of the tile.
template <int rows_per_warp, int values, class Rows>
__device__ void end_sums(const float (&sum)[rows_per_warp][values], const Rows& rows, const Index* order, Index first,
                         Index num_rows, Index tile, Index offset) {
    ESPALIER_UNROLL
    for (int r = 0; r < rows_per_warp; ++r) {
        __syncwarp();  // row by row: with what all of them need at once there would not be registers enough
        if (first + r < num_rows) rows.finish(tile, order[first + r], offset, sum[r]);
    }
}

/// Adds what a warp staged for its rows: `count` is the number of edges of the calling lane's row.
template <int rows_per_warp, int values>
__device__ void add_staged(float (&sum)[rows_per_warp][values], const std::uint32_t* staged_by_warp, Index count,
                           const float* memory) {
    constexpr int lanes_per_row = static_cast<int>(warp_lanes) / rows_per_warp;
    const Index lane = lane_of_warp();
    ESPALIER_UNROLL
    for (int r = 0; r < rows_per_warp; ++r) {
        const Index of_row = __shfl_sync(full_warp, count, r * lanes_per_row);
        ESPALIER_NO_UNROLL
        for (Index e = 0; e < of_row; e += 2) {
            const uint4 pair = load_numbers(staged_by_warp + (r * staged_edges + e) * 2);
            add_samples(sum[r], __uint_as_float(pair.y), memory + pair.x + lane * values);
            add_samples(sum[r], __uint_as_float(pair.w), memory + pair.z + lane * values);
        }
    }
}

/// For the block's rows: the sum over their edges of weight times x[other]. `order`: rows by position.
template <class Block, class Weights, class Rows>
__device__ void panel_product(const Panels& panels, const Index* other, const Weights& weights, const Index* order,
                              Index num_rows, ConstActivations x, const Rows& rows) {
    constexpr int rows_per_warp = Block::size.rows_per_warp;
    constexpr int columns = Block::size.columns;
    constexpr int values = columns / static_cast<int>(warp_lanes);
    constexpr int lanes_per_row = static_cast<int>(warp_lanes) / rows_per_warp;
    const PanelLayout& layout = panels.layout;
    const Index warp = threadIdx.x / warp_lanes;
    const Index lane = lane_of_warp();
    const Index part = lane % lanes_per_row;  // of the row it stages
    const Index first = blockIdx.x * Block::size.rows() + warp * rows_per_warp;
    const Index tile = blockIdx.y / (tile_lanes / columns);
    const Index offset = blockIdx.y % (tile_lanes / columns) * columns;

    auto* const memory = dynamic_shared<float>();
    const Index panel_floats = layout.panel_neurons * columns;
    const Index zeros = 2 * panel_floats;  // where padding points to
    for (Index i = threadIdx.x; i < columns; i += Block::size.threads) memory[zeros + i] = 0;
    auto* const staged_by_warp = reinterpret_cast<std::uint32_t*>(memory + zeros + columns) +
                                 static_cast<std::size_t>(warp) * rows_per_warp * staged_edges * 2;
    std::uint32_t* const staged = staged_by_warp + lane / lanes_per_row * staged_edges * 2;

    float sum[rows_per_warp][values];
    begin_sums(sum, rows, order, first, num_rows);

    // this lane's row: the edges of its next chunk begin at `begin`, its current panel's end at `end`
    const Index own = first + lane / lanes_per_row;
    const EdgeIndex* own_start = panels.start + own;
    EdgeIndex begin = own_start[0];
    EdgeIndex end = own_start[layout.num_positions];
    FetchedEdges<(static_cast<int>(staged_edges) + lanes_per_row - 1) / lanes_per_row, lanes_per_row> next;
    next.fetch(other, weights, begin, end, part);

    const float* const from = x.row(tile, 0) + offset;
    begin_panel<Block>(memory, layout, from, x.rows, 0);
    __pipeline_commit();
    for (Index panel = 0; panel < layout.num_panels; ++panel) {
        const bool last = panel + 1 == layout.num_panels;
        if (!last) begin_panel<Block>(memory, layout, from, x.rows, panel + 1);
        __pipeline_commit();
        own_start += last ? 0 : layout.num_positions;
        const EdgeIndex next_end = own_start[layout.num_positions];
        __pipeline_wait_prior(1);
        __syncthreads();  // the panel is there, whoever copied it
        const Index base = panel % 2 * panel_floats - panel * layout.panel_neurons * columns;  // modulo 2^32
        for (bool more = true; more;) {
            const Index count = end - begin < staged_edges ? end - begin : staged_edges;
            __syncwarp();  // the chunk before has been read
            next.stage(staged, count, part, base, columns, zeros);
            __syncwarp();
            begin += count;
            more = __any_sync(full_warp, begin < end ? 1 : 0) != 0;
            if (!more) end = next_end;
            next.fetch(other, weights, begin, end, part);
            add_staged(sum, staged_by_warp, count, memory);
        }
        __syncthreads();  // the panel has been read; the next but one takes its place
    }

    end_sums(sum, rows, order, __shfl_sync(full_warp, own, 0), num_rows, tile, offset + lane * values);
}

/// Grid: x covers the positions by blocks, y the tiles times 128 / columns. Dynamic shared memory: panel_shared_bytes.
/// One block a multiprocessor will do: hoping for more, ptxas spills where there are registers enough.
template <class Block, class Rule>
__global__ void __launch_bounds__(Block::size.threads, 1)
    forward_panel_kernel(ForwardArguments layer, Panels panels, Rule rule, ConstActivations x, Activations saved,
                         Activations y) {
    panel_product<Block>(panels, layer.column, OwnWeights{layer.weight}, layer.order, y.rows, x,
                         OutputRows<Rule>{layer, rule, saved, y});
}

/// Likewise; the panels are of outputs, the rows inputs.
template <class Block>
__global__ void __launch_bounds__(Block::size.threads, 1)
    input_gradient_panel_kernel(InputGradientArguments layer, Panels panels, ConstActivations dy, Activations dx) {
    panel_product<Block>(panels, layer.row, PermutedWeights{layer.weight, layer.slot}, layer.order, dx.rows, dy,
                         InputRows<>{dx});
}

}  // namespace espalier::cuda
