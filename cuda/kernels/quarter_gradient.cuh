// The gradients of a list of edges out of shared memory, for kernels/panel_gradient.cuh. A quarter of a warp multiplies an
// edge: a lane has sixteen samples, those of lanes l, l + 8, l + 16 and l + 24 where a whole warp does
// (kernels/edge_gradient.cuh), and so adds by itself what is added first there: the same bits with a third of the shuffles.
// Each quarter takes a stretch of the list, whose rows follow each other, and reads a row's dy once.
#pragma once

#include "cuda/kernels/edge_gradient.cuh"
#include "cuda/kernels/panel_edges.cuh"

namespace espalier::cuda {

inline constexpr Index quarters = 4;
inline constexpr Index quarter_lanes = warp_lanes / quarters;
inline constexpr Index edges_at_once = 2;  // of a quarter
inline constexpr Index edge_pairs = quarter_lanes / edges_at_once;

/// Of eight edges that a quarter takes, that which the lane fetches, and whose gradient it gets: sum_of_group()'s.
__device__ inline Index edge_of_quarter() {
    return lane_of_warp() % edge_pairs * edges_at_once + lane_of_warp() % quarter_lanes / edge_pairs;
}

/// The most edges that a quarter has of `count`.
__device__ inline Index stretch_of(Index count) { return (count + quarters - 1) / quarters; }

/// An edge for each lane, eight for each quarter. `column` is on its way from memory.
struct ListedEdge {
    static constexpr EdgeIndex none = ~EdgeIndex{0};

    EdgeIndex edge = none;
    Index row = 0;     // of the warp's; without an edge that of the last one that the quarter, or the list, has
    Index column = 0;  // likewise

    /// After `done` of each quarter; the list has some.
    template <int rows>
    __device__ void fetch(const PanelEdges<rows>& list, Index done, const Index* columns) {
        const Index stretch = stretch_of(list.count);
        const Index own = done + edge_of_quarter();
        const Index place = lane_of_warp() / quarter_lanes * stretch + (own < stretch ? own : stretch - 1);
        const Index at = place < list.count ? place : list.count - 1;
        row = list.row_of(at);
        edge = __shfl_sync(full_warp, list.shift, static_cast<int>(row)) + at;
        column = columns[edge];
        if (own >= stretch || place >= list.count) edge = none;
    }
    [[nodiscard]] __device__ bool exists() const { return edge != none; }
};

/// Where x of an edge lies (bytes after the first panel's place, a multiple of what a neuron has of a tile) and, in the bits
/// that are 0 there, of which of the warp's rows it is and whether it exists: one number, for reading it takes time.
struct PlacedEdge {
    static constexpr Index neuron_bytes = tile_lanes * sizeof(float);
    static constexpr Index no_edge = neuron_bytes / 2;  // this bit; rows are in those below it

    Index number;

    __device__ static PlacedEdge of(const ListedEdge& edge, Index place) {
        return {place + edge.row + (edge.exists() ? 0 : no_edge)};
    }
    [[nodiscard]] __device__ Index place() const { return number & ~(neuron_bytes - 1); }
    [[nodiscard]] __device__ Index row() const { return number & (no_edge - 1); }
    [[nodiscard]] __device__ bool exists() const { return (number & no_edge) == 0; }
};

/// Two that lie beside each other, read at once.
struct alignas(8) PlacedPair {
    PlacedEdge first;
    PlacedEdge second;
};

/// A lane's of a neuron.
struct SixteenSamples {
    float4 piece[quarters] = {};

    __device__ void load(const float* from) {
        ESPALIER_UNROLL
        for (int k = 0; k < static_cast<int>(quarters); ++k) piece[k] = load4(from + k * static_cast<int>(quarter_lanes) * 4);
    }
};

/// As lanes 16 and then lanes 8 apart add it.
__device__ inline float sum_of_products(const SixteenSamples& a, const SixteenSamples& b) {
    return (sum_of_products(a.piece[0], b.piece[0]) + sum_of_products(a.piece[2], b.piece[2])) +
           (sum_of_products(a.piece[1], b.piece[1]) + sum_of_products(a.piece[3], b.piece[3]));
}

/// What a warp multiplies with: its rows' dy and, in registers, that of the row to which its quarters have come.
class QuarterGradients {
public:
    /// samples: the calling lane's where places begin; dy: the lane's of the warp's first row; staged: the warp's, 32.
    __device__ QuarterGradients(const float* samples, const float* dy, PlacedEdge* staged)
        : samples_(samples), rows_(dy), staged_(staged) {}

    /// Of the lane's edge, `own`; each quarter has `count` edges at most.
    __device__ float operator()(PlacedEdge own, Index count) {
        PlacedEdge* const of_quarter = staged_ + lane_of_warp() / quarter_lanes * quarter_lanes;
        __syncwarp();  // those before have been read
        of_quarter[edge_of_quarter()] = own;
        __syncwarp();
        PlacedPair two = load_x(of_quarter);
        float gradient = 0;
        ESPALIER_NO_UNROLL
        for (Index done = 0; done < count; done += edges_at_once) {
            float part[edges_at_once];
            multiply(part[0], x_[0], two.first);
            multiply(part[1], x_[1], two.second);
            // on their way while these are summed
            if (done + edges_at_once < count) two = load_x(of_quarter + done + edges_at_once);
            const float sum = sum_of_group<static_cast<int>(edges_at_once)>(part);
            gradient = lane_of_warp() % edge_pairs == done / edges_at_once ? sum : gradient;
        }
        return gradient;
    }

private:
    static constexpr Index no_row = ~Index{0};

    /// Of two edges, as far as they exist.
    __device__ PlacedPair load_x(const PlacedEdge* edges) {
        const PlacedPair two = *reinterpret_cast<const PlacedPair*>(edges);
        load_x(x_[0], two.first);
        load_x(x_[1], two.second);
        return two;
    }
    __device__ void load_x(SixteenSamples& x, PlacedEdge edge) const {
        if (edge.exists()) x.load(samples_at(samples_, edge.place()));
    }
    __device__ void multiply(float& part, const SixteenSamples& x, PlacedEdge edge) {
        if (edge.row() != row_) {
            row_ = edge.row();
            dy_.load(rows_ + row_ * tile_lanes);
        }
        part = sum_of_products(dy_, x);
        settle(part);
    }

    const float* samples_;
    const float* rows_;
    PlacedEdge* staged_;
    Index row_ = no_row;
    SixteenSamples dy_;
    SixteenSamples x_[edges_at_once];
};

}  // namespace espalier::cuda
