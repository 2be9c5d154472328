// A layer in the CUDA backend's memory: CSR by output neuron with the weights and the optimizer's memory, all in
// canonical order, and, unless it is the first layer, CSC by input neuron for the input gradient. With momentum and
// both views an edge takes 20 bytes; where panels multiply some 10 to 30 more for each direction, where they make its
// gradient four for each tile of a batch. A small dense layer holds every cell as an edge, a large one is a matrix. Edge
// arrays are padded to a multiple of four. Addresses stay for a layer's life, so a captured graph stays valid through evolution.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/memory.hpp"
#include "cuda/products/blas.hpp"
#include "cuda/products/product.hpp"
#include "espalier/activation.hpp"
#include "espalier/backend.hpp"
#include "espalier/index.hpp"
#include "espalier/optimizer.hpp"

namespace espalier::cuda {

/// Parameters and their optimizer memory, shaped alike.
struct TrainedArray {
    Array<float> values;
    std::vector<Array<float>> states;
};

struct CudaLayer final : DeviceLayer {
    std::uint64_t id = 0;        // no other layer's of this backend
    std::uint32_t versions = 0;  // grows with every change that no recorded program outlives, as of num_edges

    Index multiprocessors = 0;     // of the device that holds it
    std::size_t shared_bytes = 0;  // that a block of it may ask for
    EdgeIndex num_edges = 0;
    Blas* blas = nullptr;  // of a large dense layer, which has weights [num_outputs][num_inputs] and no topology
    Activation activation;
    Optimizer optimizer;

    // by output, canonical order
    Array<EdgeIndex> row_start;  // num_outputs + 1
    Array<Index> column;         // num_edges; the input of each edge
    TrainedArray weights;        // num_edges
    Array<Index> row_order;      // num_outputs: rows, longest first

    // by input; all empty where no input gradient is needed
    Array<EdgeIndex> column_start;  // num_inputs + 1
    Array<Index> row;               // num_edges; the output of each edge, ascending within an input
    Array<EdgeIndex> slot;          // num_edges; the canonical slot of each edge
    Array<Index> column_order;      // num_inputs: inputs, most edges first

    Product forward_product;
    Product input_product;
    Product gradient_product;  // by output; gather: the update makes the gradients
    LibraryProducts library;
    bool products_alone = false;  // neither biases nor activations (CudaOptions::samples_in_a_row)

    TrainedArray bias;                   // num_outputs
    TrainedArray activation_parameters;  // [num_parameters][num_outputs]
    Array<float> neuron_sums;            // likewise: gradients by them
    // of a matrix; an edge's reaches memory only by panels. An array for each level of the sum over tiles (kernels/halves.cuh)
    Array<float> weight_gradient;

    // Chosen by prune() until regrow() or remove(): canonical slots, ascending, whose weights are 0.
    Borrowed pruned;
    EdgeIndex num_pruned = 0;

    [[nodiscard]] bool gradient_by_panels() const { return gradient_product.choice.kernel == Spmm::panel; }
    [[nodiscard]] bool by_input() const { return column_start.size() > 0; }
    [[nodiscard]] const EdgeIndex* pruned_slots() const { return static_cast<const EdgeIndex*>(pruned.data()); }
};

/// A multiple of four: kernels read edges in groups of four.
constexpr std::size_t padded_edges(std::size_t num_edges) { return (num_edges + 3) / 4 * 4; }

}  // namespace espalier::cuda
