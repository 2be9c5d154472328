// Panel products: forward and input gradient of layers dense enough (above about 0.5 %) that a panel of neurons in
// shared memory serves many rows. A block owns `rows` rows, some a warp, in 128, 64 or 32 samples of one tile; panels of
// the other neurons' samples come one after the other (kernels/panel_flow.cuh), a warp's edges as they were packed
// (kernels/pack.cuh). Each row's sum is that of the gather kernels, in the same order, so it has the same bits.
#pragma once

#include "cuda/kernels/backward.cuh"
#include "cuda/kernels/forward.cuh"
#include "cuda/kernels/panel_edges.cuh"
#include "cuda/kernels/panel_flow.cuh"

namespace espalier::cuda {

/// A product's panels and packed edges.
struct PackedPanels {
    PanelLayout layout;
    const EdgeIndex* first_pair;  // of each warp's rows
    const EdgePair* pairs;
};

/// A warp's packed edges, pair by pair: one is in registers; of pieces in shared memory there are that which is read and the
/// next, on its way.
class PackedEdges {
public:
    /// `memory`: the block's; the warp's pieces begin `begin` floats after it, a multiple of the size of both.
    __device__ PackedEdges(const EdgePair* pairs, EdgeIndex first, float* memory, Index begin)
        : pairs_(pairs), from_(first), memory_(memory), at_(begin) {
        copy_piece(begin);
        enter_piece();
        read();
    }
    __device__ uint4 take() {
        const uint4 pair = next_;
        at_ += 4;
        if (at_ % piece == 0) [[unlikely]] {  // all lanes alike
            if (at_ % (2 * piece) == 0) at_ -= 2 * piece;
            enter_piece();
        }
        read();
        return pair;
    }
    /// Before the kernel's end.
    __device__ static void finish() { __pipeline_wait_prior(0); }

private:
    static constexpr Index piece = packed_piece_bytes / sizeof(float);

    __device__ void copy_piece(Index to) {
        const Index lane = thread_anew() % warp_lanes;
        __pipeline_memcpy_async(memory_ + to + lane * 4, pairs_ + from_ + lane, sizeof(EdgePair));
        __pipeline_commit();
        from_ += warp_lanes;
    }
    /// The next one takes the place of the one before.
    __device__ void enter_piece() {
        __pipeline_wait_prior(0);
        __syncwarp();  // the piece is there, and the one before it has been read
        copy_piece(at_ ^ piece);
    }
    __device__ void read() { next_ = load_numbers(reinterpret_cast<const std::uint32_t*>(memory_ + at_)); }

    const EdgePair* pairs_;
    EdgeIndex from_;  // where the next piece begins
    float* memory_;
    Index at_;
    uint4 next_;
};

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

/// Adds what a warp's rows have in one panel. `samples`: the calling lane's in the place of the first neuron.
template <int rows_per_warp, int values>
__device__ void add_packed(float (&sum)[rows_per_warp][values], PackedEdges& edges, const float* samples) {
    std::uint32_t counts[header_rows / 2] = {};
    ESPALIER_UNROLL
    for (int r = 0; r < rows_per_warp; ++r) {
        if (r % header_rows == 0) {
            const uint4 header = edges.take();
            counts[0] = header.x;
            counts[1] = header.y;
        }
        auto left = static_cast<int>(counts[r % header_rows / 2] >> r % 2 * 16 & 0xffffU);
        ESPALIER_NO_UNROLL
        for (; left > 0; left -= 2) {
            const uint4 pair = edges.take();
            add_samples(sum[r], __uint_as_float(pair.y), samples_at(samples, pair.x));
            if (left > 1) add_samples(sum[r], __uint_as_float(pair.w), samples_at(samples, pair.z));
        }
    }
}

/// For the block's rows: the sum over their edges of weight times x[other]. `order`: rows by position.
template <class Block, class Rows>
__device__ void panel_product(const PackedPanels& packed, const Index* order, Index num_rows, ConstActivations x,
                              const Rows& rows) {
    constexpr int rows_per_warp = Block::size.rows_per_warp;
    constexpr int columns = Block::size.columns;
    constexpr int values = columns / static_cast<int>(warp_lanes);
    const Index warp = threadIdx.x / warp_lanes;
    const Index first = blockIdx.x * Block::size.rows() + warp * rows_per_warp;
    const Index tile = blockIdx.y / (tile_lanes / columns);
    const Index offset = blockIdx.y % (tile_lanes / columns) * columns;

    auto* const memory = dynamic_shared<float>();
    auto& flow = *reinterpret_cast<PanelFlow<Block, product_stages>*>(memory);
    float* const panels = memory + panel_fixed_bytes(Block::size) / sizeof(float);
    flow.barriers.template begin<Block>();
    if (warp == Block::size.warps()) {
        return copy_panels(flow, panels, packed.layout, x.row(tile, 0) + offset, x.rows);
    }
    float sum[rows_per_warp][values];
    begin_sums(sum, rows, order, first, num_rows);
    PackedEdges edges(packed.pairs, packed.first_pair[first / rows_per_warp], memory,
                      static_cast<Index>(panel_flow_bytes(Block::size) + warp * 2 * packed_piece_bytes) / sizeof(float));
    const float* const samples = panels + lane_of_warp() * values;
    read_panels(flow, packed.layout.num_panels, [&](Index /*panel*/) { add_packed(sum, edges, samples); });
    edges.finish();
    const Index thread = thread_anew();
    end_sums(sum, rows, order, blockIdx.x * Block::size.rows() + thread / warp_lanes * rows_per_warp, num_rows, tile,
             offset + thread % warp_lanes * values);
}

/// Grid: x covers the positions by blocks, y the tiles times 128 / columns. Dynamic shared memory: panel_shared_bytes.
/// One block a multiprocessor will do: hoping for more, ptxas spills where there are registers enough.
template <class Block, class Rule>
__global__ void __launch_bounds__(Block::size.launched_threads(), 1)
    forward_panel_kernel(ForwardArguments layer, PackedPanels panels, Rule rule, ConstActivations x, Activations saved,
                         Activations y) {
    panel_product<Block>(panels, layer.order, y.rows, x, OutputRows<Rule>{layer, rule, saved, y});
}

/// Likewise; the panels are of outputs, the rows inputs.
template <class Block>
__global__ void __launch_bounds__(Block::size.launched_threads(), 1)
    input_gradient_panel_kernel(InputGradientArguments layer, PackedPanels panels, ConstActivations dy, Activations dx) {
    panel_product<Block>(panels, layer.order, dx.rows, dy, InputRows<>{dx});
}

}  // namespace espalier::cuda
