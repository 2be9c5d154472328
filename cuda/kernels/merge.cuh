// Puts the new edges in the place of the pruned ones: the canonical topology that follows, with the weights and the
// optimizer's memory of its edges. The j-th new edge (in canonical order) takes over from the j-th pruned one. Results
// go to other memory than the layer's and are then put back, as the layer's addresses stay. Nothing is atomic but the
// bits of the set by which edges are sorted by input.
#pragma once

#include "cuda/kernels/cell_set.cuh"
#include "espalier/common/evolution_steps.hpp"
#include "espalier/optimizer.hpp"

namespace espalier::cuda {

/// What a layer has by edge; the weights first, then the optimizer's memory.
struct EdgeArrays {
    static constexpr int most = 1 + max_states;
    Index* column = nullptr;
    EdgeIndex* row_start = nullptr;  // by output
    float* values[most] = {};
    int num_values = 0;
};

/// Where things stand in the order of cells.
template <class Key>
struct MergePlaces {
    CsrView old;
    Replacement<Key> change;

    __device__ EdgeIndex pruned_before(EdgeIndex slot) const {
        const EdgeIndex* const list = change.pruned;
        return detail::partition_point(0, change.num_pruned, [list, slot](EdgeIndex i) { return list[i] < slot; });
    }
    /// How many of the cells of the slots before can hold no new edge.
    __device__ EdgeIndex excluded_before(EdgeIndex slot, EdgeIndex pruned) const {
        return change.allow_removed ? slot - pruned : slot;
    }
    /// New edges before a cell before which so many can hold none.
    __device__ EdgeIndex grown_before(Key cell, EdgeIndex excluded) const {
        const Key* const list = change.ranks;
        const Key limit = cell - excluded;
        return detail::partition_point(0, change.num_grown, [list, limit](EdgeIndex i) { return list[i] < limit; });
    }
    __device__ Key cell_of(EdgeIndex slot) const {
        return static_cast<Key>(detail::RowOfSlot{old.row_start, old.num_outputs}(slot)) * old.num_inputs +
               old.column[slot];
    }
};

/// The draws of new edges' weights.
template <class Law>
struct NewWeights {
    Law law;
    Stream stream;
    bool reset_state;  // or what the optimizer held of the pruned edge stays
};

template <class Key, class Law>
struct Merge {
    MergePlaces<Key> places;
    NewWeights<Law> born;
    EdgeArrays from;
    EdgeArrays to;

    __device__ void keep(EdgeIndex slot, EdgeIndex to_slot) const {
        to.column[to_slot] = from.column[slot];
        ESPALIER_UNROLL
        for (int i = 0; i < EdgeArrays::most; ++i) {
            if (i < from.num_values) to.values[i][to_slot] = from.values[i][slot];
        }
    }
    /// The new edge `number`, before whose cell so many can hold none.
    __device__ void grow(EdgeIndex number, EdgeIndex excluded, EdgeIndex to_slot) const {
        const Key cell = places.change.ranks[number] + excluded;
        to.column[to_slot] = static_cast<Index>(cell % places.old.num_inputs);
        to.values[0][to_slot] = born.law(born.stream.bits(cell), places.old.num_inputs);
        ESPALIER_UNROLL
        for (int i = 1; i < EdgeArrays::most; ++i) {
            if (i >= from.num_values) continue;
            to.values[i][to_slot] = born.reset_state ? 0.0F : from.values[i][places.change.pruned[number]];
        }
    }
    /// A row begins after the kept edges and the new ones of the rows before it.
    __device__ void begin_row(Index row) const {
        const EdgeIndex start = places.old.row_start[row];
        const EdgeIndex lost = places.pruned_before(start);
        to.row_start[row] =
            start - lost +
            places.grown_before(static_cast<Key>(row) * places.old.num_inputs, places.excluded_before(start, lost));
    }
};

/// Blocks for the edges, the first of the grid; others have a thread for each row and its end.
template <int block_threads>
constexpr unsigned merge_edge_blocks(EdgeIndex num_edges) {
    constexpr EdgeIndex owned = block_threads - 1;
    return num_edges / owned + (num_edges % owned > 0 ? 1 : 0);
}

/// A thread owns an old edge, with the new ones that come between the edge before and it. A block's first thread only
/// looks at the edge before the block's. Grid: x covers the edges, then the rows.
template <int block_threads, class Key, class Law>
__global__ void __launch_bounds__(block_threads, 4) merge_edges_kernel(Merge<Key, Law> merge) {
    struct Shared {
        EdgeIndex grown[block_threads];  // new edges before each thread's old edge
    };
    auto& shared = block_shared<Shared>();
    const MergePlaces<Key>& places = merge.places;
    const EdgeIndex num_edges = places.old.num_edges;
    const unsigned edge_blocks = merge_edge_blocks<block_threads>(num_edges);
    if (blockIdx.x >= edge_blocks) {
        const std::uint64_t row = std::uint64_t{blockIdx.x - edge_blocks} * block_threads + threadIdx.x;
        if (row <= places.old.num_outputs) merge.begin_row(static_cast<Index>(row));
        return;
    }
    const std::uint64_t after = std::uint64_t{blockIdx.x} * (block_threads - 1) + threadIdx.x;
    const auto slot = static_cast<EdgeIndex>(after - 1);
    const bool is_edge = after > 0 && after <= num_edges;
    EdgeIndex pruned = 0, excluded = 0, grown = 0;
    if (is_edge) {
        pruned = places.pruned_before(slot);
        excluded = places.excluded_before(slot, pruned);
        grown = places.grown_before(places.cell_of(slot), excluded);
    }
    shared.grown[threadIdx.x] = grown;
    __syncthreads();
    if (!is_edge || threadIdx.x == 0) return;
    for (EdgeIndex i = shared.grown[threadIdx.x - 1]; i < grown; ++i) merge.grow(i, excluded, slot - pruned + i);
    const bool goes = pruned < places.change.num_pruned && places.change.pruned[pruned] == slot;
    if (!goes) merge.keep(slot, slot - pruned + grown);
    if (slot + 1 < num_edges) return;
    const EdgeIndex gone = pruned + (goes ? 1 : 0);
    for (EdgeIndex i = grown; i < places.change.num_grown; ++i) {
        merge.grow(i, places.excluded_before(num_edges, gone), num_edges - gone + i);
    }
}

/// Puts the arrays of all edges back, and their cells by input into the set where there is one. Grid: x covers the
/// edges and the rows with their end.
template <int block_threads>
__global__ void __launch_bounds__(block_threads)
    settle_edges_kernel(EdgeArrays from, EdgeArrays to, EdgeIndex num_edges, Index num_outputs, CellSet by_input) {
    const std::uint64_t number = std::uint64_t{blockIdx.x} * block_threads + threadIdx.x;
    if (number <= num_outputs) to.row_start[number] = from.row_start[number];
    if (number >= num_edges) return;
    const Index column = from.column[number];
    to.column[number] = column;
    ESPALIER_UNROLL
    for (int i = 0; i < EdgeArrays::most; ++i) {
        if (i < from.num_values) to.values[i][number] = from.values[i][number];
    }
    if (by_input.words == nullptr) return;
    const auto slot = static_cast<EdgeIndex>(number);
    by_input.insert(column * num_outputs + detail::RowOfSlot{from.row_start, num_outputs}(slot));
}

}  // namespace espalier::cuda
