// The gradients of 32 edges by the samples of one tile, a warp's work in groups of 8 edges: each lane multiplies its four
// samples of both neurons, and what the lanes have of an edge is summed by one fixed tree, lanes 16, 8, 4, 2 and 1 apart,
// whichever edge of the 32 it is. So an edge's gradient has the same bits wherever it is computed.
#pragma once

#include "cuda/kernels/halves.cuh"
#include "cuda/kernels/warp.cuh"

namespace espalier::cuda {

/// Edges whose samples, and then whose parts of a gradient, a lane holds at once.
inline constexpr int group_edges = loads_in_flight;
inline constexpr int groups_of_warp = static_cast<int>(warp_lanes) / group_edges;

/// The edge of the 32 whose gradient the calling lane gets: number l / 4 of group l % 4.
__device__ inline Index edge_of_lane() {
    return lane_of_warp() % groups_of_warp * group_edges + lane_of_warp() / groups_of_warp;
}
/// The other way round: the lane that gets the gradient of an edge.
__device__ inline int lane_of_edge(Index edge) {
    return static_cast<int>(edge % group_edges * groups_of_warp + edge / group_edges);
}

/// Bit e: edge e is of another row than the one before it. `row`: of the lane's edge, in the order of the lanes.
__device__ inline unsigned row_changes(Index row) {
    return __ballot_sync(full_warp, __shfl_up_sync(full_warp, row, 1) != row ? 1 : 0);
}

/// Transposes and sums: lane l returns the sum over all lanes of their part[l / 4]; of two parts over its quarter's, of
/// their part[l % 8 / 4]. A template level per offset, for only constant indices keep the array in registers on every
/// architecture.
template <int count, int size>
__device__ float sum_of_group(float (&part)[size]) {
    constexpr int half = count / 2;
    constexpr int offset = half * groups_of_warp;
    const bool upper = (lane_of_warp() & static_cast<Index>(offset)) != 0;
    ESPALIER_UNROLL
    for (int k = 0; k < half; ++k) {
        const float sent = upper ? part[k] : part[k + half];
        const float kept = upper ? part[k + half] : part[k];
        part[k] = kept + __shfl_xor_sync(full_warp, sent, offset);
    }
    if constexpr (half > 1) return sum_of_group<half>(part);
    float sum = part[0];
    ESPALIER_UNROLL
    for (int apart = groups_of_warp / 2; apart > 0; apart /= 2) sum += __shfl_xor_sync(full_warp, sum, apart);
    return sum;
}

/// Of a lane's four samples. The order is that of every kernel that makes gradients, for they have the same bits.
__device__ inline float sum_of_products(float4 a, float4 b) {
    return fmaf(a.x, b.x, fmaf(a.y, b.y, fmaf(a.z, b.z, fmaf(a.w, b.w, 0.0F))));
}

/// The gradient of edge edge_of_lane(), of as many `groups` as there are: the sum of dy[row] * x[column] over a tile's
/// samples. load_x(x, e) sets the lane's samples of the columns of edges e .. e + 7, load_dy(e) returns those of the row of
/// edge e; it is asked where the rows change.
template <class LoadX, class LoadDy>
__device__ float gradients_of_edges(int groups, unsigned changes, const LoadX& load_x, const LoadDy& load_dy) {
    float4 dy = load_dy(0);
    float4 x[group_edges];
    load_x(x, 0);
    float gradient = 0;
    ESPALIER_NO_UNROLL
    for (int group = 0; group < groups; ++group) {
        const int first = group * group_edges;
        float part[group_edges];
        ESPALIER_UNROLL
        for (int u = 0; u < group_edges; ++u) {
            if ((changes >> first >> u & 1U) != 0) dy = load_dy(first + u);  // all lanes alike
            part[u] = sum_of_products(dy, x[u]);
            settle(part[u]);
        }
        if (group + 1 < groups) load_x(x, first + group_edges);  // on their way while this group is summed
        const float sum = sum_of_group<group_edges>(part);
        gradient = static_cast<int>(lane_of_warp()) % groups_of_warp == group ? sum : gradient;
    }
    return gradient;
}

/// The gradient of edge edge_of_lane() by the samples of one tile, of which the lane's of neuron 0 are given. A lane gives row
/// and column of the edge of its own number.
__device__ inline float edge_gradient_of_tile(Index own_row, Index own_column, unsigned changes, const float* from_x,
                                              const float* from_dy) {
    return gradients_of_edges(
        groups_of_warp, changes,
        [&](float4 (&x)[group_edges], int first) { load_of_lanes(x, own_column, first, from_x); },
        [&](int edge) {
            const Index row = __shfl_sync(full_warp, own_row, edge);
            return load4(from_dy + static_cast<std::size_t>(row) * tile_lanes);
        });
}

/// The gradient of the lane's edge (row, column) by the whole batch.
__device__ inline float edge_gradient(Index own_row, Index own_column, ConstActivations x, ConstActivations dy) {
    const unsigned changes = row_changes(own_row);
    float gradient[1];
    sum_by_halves(tiles_of(x.batch), gradient, [&](Index tile, float (&sum)[1]) {
        sum[0] = edge_gradient_of_tile(own_row, own_column, changes, opaque(lane_samples(x, tile, 0)),
                                       opaque(lane_samples(dy, tile, 0)));
    });
    return __shfl_sync(full_warp, gradient[0], lane_of_edge(lane_of_warp()));
}

}  // namespace espalier::cuda
