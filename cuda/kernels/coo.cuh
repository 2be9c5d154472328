// Edge-parallel products over coordinates (COO), for layers whose rows differ so much that one of them would keep a
// warp busy for the whole product. A warp owns a chunk of consecutive edges in one tile, wherever rows begin and end
// in it; what it has of a row that others share goes to memory, and a second kernel sums those parts in the order of
// the chunks. Nothing is atomic: the same bits each time, though not those of the gather kernels.
#pragma once

#include "cuda/kernels/backward.cuh"
#include "cuda/kernels/forward.cuh"
#include "cuda/kernels/update.cuh"

namespace espalier::cuda {

inline constexpr int coo_threads = 256;
/// Edges of a chunk, a multiple of 4.
inline constexpr Index coo_chunk = 256;

/// Edges by row: `row` ascending; both padded to a multiple of 4.
struct CooEdges {
    const Index* row;
    const Index* other;
    EdgeIndex num_edges;

    [[nodiscard]] ESPALIER_HOST_DEVICE Index chunks() const {
        return num_edges / coo_chunk + (num_edges % coo_chunk == 0 ? 0 : 1);
    }
};

/// row[edge]: the row of each edge. A thread owns an edge.
template <int block_threads>
__global__ void __launch_bounds__(block_threads, 4)
    edge_rows_kernel(const EdgeIndex* row_start, Index num_rows, EdgeIndex num_edges, Index* row) {
    const EdgeIndex edge = blockIdx.x * block_threads + threadIdx.x;
    if (edge < num_edges) row[edge] = row_of_edge(row_start, num_rows, edge);
}

/// Parts of rows that several chunks share: [tile][chunk][2][128]; part 0 is of the row that the chunk begins in the
/// middle of, part 1 of the row that it ends in the middle of. A row that covers the chunk from before to beyond has
/// part 0.
template <class T>
__device__ T* shared_part(T* parts, Index chunks, Index tile, Index chunk, Index which) {
    return parts + ((static_cast<std::size_t>(tile) * chunks + chunk) * 2 + which) * tile_lanes + lane_of_warp() * 4;
}

/// The lane's four samples of a row whose edges sum to `sum`.
template <class Rows>
__device__ void finish_sum(const Rows& rows, Index tile, Index row, float4 sum) {
    const float first = rows.first(row);
    rows.finish(tile, row, lane_of_warp() * 4, {first + sum.x, first + sum.y, first + sum.z, first + sum.w});
}

/// Grid: x covers the chunks, y the tiles.
template <int block_threads, class Weights, class Rows>
__device__ void coo_product(const CooEdges& edges, const Weights& weights, ConstActivations x, float* parts,
                            const Rows& rows) {
    const Index chunk = warp_of_grid();
    if (chunk >= edges.chunks()) return;  // no barrier follows
    const Index tile = blockIdx.y;
    const EdgeIndex first = chunk * coo_chunk;
    const EdgeIndex end = edges.num_edges - first < coo_chunk ? edges.num_edges : first + coo_chunk;
    const float* const samples = lane_samples(x, tile, 0);
    Index row = edges.row[first];
    bool begun_before = first > 0 && edges.row[first - 1] == row;
    float4 sum = make_float4(0, 0, 0, 0);
    const auto finish = [&](bool goes_on) {
        if (begun_before || goes_on) {
            store4(shared_part(parts, edges.chunks(), tile, chunk, begun_before ? 0 : 1), sum);
        } else {
            finish_sum(rows, tile, row, sum);
        }
    };
    for (EdgeIndex group = first; group < end; group += 4) {
        const uint4 of_row = load_numbers(edges.row + group);
        const uint4 other = load_numbers(edges.other + group);
        const float4 weight = weights(group, first, end);
        const auto add = [&](EdgeIndex e, Index edge_row, Index n, float w) {
            if (e >= end) return;
            if (edge_row != row) {
                finish(false);
                row = edge_row;
                begun_before = false;
                sum = make_float4(0, 0, 0, 0);
            }
            add_scaled(sum, w, load4(samples + static_cast<std::size_t>(n) * tile_lanes));
        };
        add(group, of_row.x, other.x, weight.x);
        add(group + 1, of_row.y, other.y, weight.y);
        add(group + 2, of_row.z, other.z, weight.z);
        add(group + 3, of_row.w, other.w, weight.w);
    }
    finish(end < edges.num_edges && edges.row[end] == row);
}

/// The rows that no chunk owns alone: those without an edge, and those that chunks share. A warp owns a row in a tile.
/// Grid: x covers the rows, y the tiles.
template <int block_threads, class Rows>
__device__ void join_parts(const EdgeIndex* row_start, Index num_rows, Index chunks, const float* parts,
                           const Rows& rows) {
    const Index row = warp_of_grid();
    if (row >= num_rows) return;  // no barrier follows
    const Index tile = blockIdx.y;
    const EdgeIndex begin = row_start[row];
    const EdgeIndex end = row_start[row + 1];
    float4 sum = make_float4(0, 0, 0, 0);
    if (begin < end) {
        const Index first = begin / coo_chunk;
        const Index last = (end - 1) / coo_chunk;
        if (first == last) return;
        sum = load4(shared_part(parts, chunks, tile, first, 1));
        for (Index chunk = first + 1; chunk <= last; ++chunk) {
            add_scaled(sum, 1.0F, load4(shared_part(parts, chunks, tile, chunk, 0)));
        }
    }
    finish_sum(rows, tile, row, sum);
}

template <int block_threads, class Rule>
__global__ void __launch_bounds__(block_threads, 4)
    forward_coo_kernel(CooEdges edges, ForwardArguments layer, Rule rule, ConstActivations x, float* parts,
                       Activations saved, Activations y) {
    coo_product<block_threads>(edges, OwnWeights{layer.weight}, x, parts, OutputRows<Rule>{layer, rule, saved, y});
}
template <int block_threads, class Rule>
__global__ void __launch_bounds__(block_threads, 4)
    forward_coo_join_kernel(ForwardArguments layer, Rule rule, Index chunks, const float* parts, Activations saved,
                            Activations y) {
    join_parts<block_threads>(layer.row_start, y.rows, chunks, parts, OutputRows<Rule>{layer, rule, saved, y});
}

template <int block_threads>
__global__ void __launch_bounds__(block_threads, 4)
    input_gradient_coo_kernel(CooEdges edges, InputGradientArguments layer, ConstActivations dy, float* parts,
                              Activations dx) {
    coo_product<block_threads>(edges, PermutedWeights{layer.weight, layer.slot}, dy, parts, InputRows<>{dx});
}
template <int block_threads>
__global__ void __launch_bounds__(block_threads, 4)
    input_gradient_coo_join_kernel(InputGradientArguments layer, Index chunks, const float* parts, Activations dx) {
    join_parts<block_threads>(layer.column_start, dx.rows, chunks, parts, InputRows<>{dx});
}

}  // namespace espalier::cuda
