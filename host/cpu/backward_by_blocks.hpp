// The backward pass of a range of rows or columns, one block of edges after another: the gradients of a block are
// summed over the tiles in the thread's scratch and used at once for the update, so that no array of all gradients
// exists. A gradient is the sum, by halves (halves.hpp), of its sums over each tile: the same bits whoever computes what.
#pragma once

#include "espalier/backend.hpp"
#include "host/cpu/layer.hpp"
#include "host/cpu/operations.hpp"
#include "host/cpu/team.hpp"

namespace espalier {

/// How large a block may be; a row is never cut.
struct BlockLimits {
    EdgeIndex edges;
    Index rows;
};

/// The longest block of rows from rows.begin within the limits, at least one row; edges lie at start[row].
Range next_block(const EdgeIndex* start, Range rows, BlockLimits limits);

/// Gradients per neuron besides its edges': of the bias and of the activation's parameters.
inline std::size_t sums_per_neuron(const CpuLayer& layer) {
    return 1 + static_cast<std::size_t>(num_parameters(layer.activation));
}

/// The update of the bias and activation parameters of `rows`; sums [sums_per_neuron], `stride` apart.
void update_neurons(CpuLayer& layer, Range rows, const float* sums, std::size_t stride, const UpdateStep& step);

/// The update of the edges first .. end (in update order) and of the forward pass's copy of their weights.
void update_edges(SparseCpuLayer& layer, EdgeIndex first, EdgeIndex end, const float* gradient, const UpdateStep& step);

/// Floats of scratch that the functions below need for a layer and a batch of so many tiles.
std::size_t backward_scratch(const CpuLayer& layer, Index tiles);

/// Turns dy of `rows` into the gradient by the preactivation and updates their bias and activation parameters.
void backward_neurons(CpuLayer& layer, const Saved& saved, Activations dy, Range rows, const UpdateStep& step,
                      float* scratch);

/// Layers with a CSC view: dx (may be empty) and the update of the edges of the inputs `columns`; dy is the gradient by
/// the preactivation.
void backward_columns(SparseCpuLayer& layer, ConstActivations x, ConstActivations dy, Activations dx, Range columns,
                      const UpdateStep& step, float* scratch);

/// Layers without: backward_neurons and the update of the edges of `rows`, in one go.
void backward_rows(SparseCpuLayer& layer, ConstActivations x, const Saved& saved, Activations dy, Range rows,
                   const UpdateStep& step, float* scratch);

}  // namespace espalier
