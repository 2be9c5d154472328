// The steps of an evolution that have kernels of their own (cuda/kernels/prune.cuh, cell_set.cuh, merge.cuh): few
// launches, which are what the evolution of a small layer takes its time for. evolve.cu has the rest by Thrust. All
// enqueue; only take_least() waits.
#pragma once

#include <cstdint>

#include "cuda/layer.hpp"
#include "espalier/backend.hpp"
#include "espalier/common/evolution_steps.hpp"

namespace espalier::cuda {

inline CsrView csr_of_layer(const CudaLayer& layer) {
    return {layer.num_inputs, layer.num_outputs, layer.num_edges, layer.row_start.data(), layer.column.data()};
}

/// Neurons from which on they are sorted by length rather than each compared with all.
inline constexpr Index max_compared_neurons = 4096;

/// Whether sorting cells as a set of bits takes less than sorting their numbers.
constexpr bool sorts_as_set(Cell cells, std::uint64_t num_edges) {
    constexpr Cell always = Cell{1} << 27, most = Cell{1} << 30;  // 16 MiB; beyond it 32 bytes an edge at most
    return cells < always || (cells < most && cells / 256 < num_edges);
}
/// Device memory of such a set.
std::uint64_t cell_set_bytes(Cell cells);

/// Chooses the share zeta of `scores` [num_edges] (layer.pruned), sets the weights of those edges to 0 and says of
/// which signs they were.
Pruned take_least(cudaStream_t stream, Memory& memory, CudaLayer& layer, const float* scores, const PruneOrder& order,
                  double zeta);

/// Writes `count` distinct numbers of [0, size), as draw_distinct() does, for a size that sorts_as_set().
void draw_by_set(cudaStream_t stream, Memory& memory, std::uint64_t size, EdgeIndex count, const Stream& draws,
                 std::uint32_t* numbers);

/// Takes out the pruned edges and puts in the new ones, whose weights it draws (`regrowth` is null where there are
/// none). Key is 32 or 64 bits. The view by input follows, too, if it returns true.
template <class Key>
bool replace_edges(cudaStream_t stream, Memory& memory, CudaLayer& layer, const Replacement<Key>& change,
                   const Regrowth* regrowth);

/// Fills row_order and column_order of the sides with at most max_compared_neurons.
void order_few_neurons(cudaStream_t stream, const CudaLayer& layer);

}  // namespace espalier::cuda
