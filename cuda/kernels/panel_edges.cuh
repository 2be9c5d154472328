// The edges that a warp's rows have in a panel (products/panel_layout.hpp), as its lanes share them out.
#pragma once

#include "cuda/kernels/warp.cuh"
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

/// So many bytes on.
__device__ inline const float* samples_at(const float* samples, Index place) {
    return reinterpret_cast<const float*>(reinterpret_cast<const char*>(samples) + place);
}

/// Of each lane and those before it.
template <int lanes>
__device__ Index sum_up_to_lane(Index value) {
    ESPALIER_UNROLL
    for (int step = 1; step < lanes; step *= 2) {
        const Index left = __shfl_up_sync(full_warp, value, static_cast<unsigned>(step));
        if (lane_of_warp() >= static_cast<Index>(step)) value += left;
    }
    return value;
}

/// As one list: row after row. Lane r knows row r of the warp's.
template <int rows>
struct PanelEdges {
    EdgeIndex shift;  // of the lane's row: what leads from a place in the list to the edge
    Index end;        // where the lane's row ends in the list
    Index count;      // of the list

    /// from, to: of the lane's row; what lanes that have none give does not matter.
    __device__ PanelEdges(EdgeIndex from, EdgeIndex to) : end(sum_up_to_lane<rows>(to - from)) {
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

}  // namespace espalier::cuda
