// A layer in the CPU backend's memory. A sparse layer is CSR by output neuron for the forward pass and, unless it is
// the first layer, also CSC by input neuron, where one pass makes the input gradient and updates the edges.
// "Update order" is the order of the weights' master copy and of the optimizer's memory: CSC order where that view
// exists, canonical CSR order elsewhere. With momentum and both views an edge takes 20 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "espalier/activation.hpp"
#include "espalier/backend.hpp"
#include "espalier/index.hpp"
#include "espalier/optimizer.hpp"
#include "host/cpu/memory.hpp"

namespace espalier {

/// What is trained besides the weights; each state array is shaped as its parameters.
struct NeuronParameters {
    std::vector<float> bias;                           // num_outputs
    std::vector<float> activation_parameters;          // [num_parameters][num_outputs]
    std::vector<std::vector<float>> bias_state;        // [num_states]
    std::vector<std::vector<float>> activation_state;  // [num_states]
};

struct CpuLayer : DeviceLayer {
    /// Set by the backend: lets queued work that uses this layer end. The derived layers' destructors call end_use().
    std::function<void()> before_destruction;
    void end_use() const {
        if (before_destruction) before_destruction();
    }

    Activation activation;
    Optimizer optimizer;
    NeuronParameters neurons;
};

/// A sparse layer, or a dense one of at most small_dense_weights, in which every cell is an edge.
struct SparseCpuLayer final : CpuLayer {
    ~SparseCpuLayer() override { end_use(); }

    // By output, canonical order. `weights` is what the forward pass reads; the master copy where there is no CSC view.
    AlignedVector<EdgeIndex> row_start;  // num_outputs + 1
    AlignedVector<Index> column;         // num_edges; the input of each edge
    AlignedVector<float> weights;        // num_edges

    // By input; all empty where the input gradient is not needed (the first layer).
    AlignedVector<EdgeIndex> column_start;  // num_inputs + 1
    AlignedVector<Index> row;               // num_edges; the output of each edge, ascending within an input
    AlignedVector<float> input_weights;     // num_edges; `weights` follow them by canonical_weights.hpp
    AlignedVector<EdgeIndex> part_starts;   // [parts - 1][num_inputs]; where those of later parts of the rows begin

    std::vector<AlignedVector<float>> state;  // [num_states][num_edges] in update order

    /// Canonical slots chosen by prune() whose edges still hold their cells (with weight 0), ascending.
    std::vector<EdgeIndex> pruned;
    /// The same edges by input, a bit for each edge; empty if there are none, or no such view.
    std::vector<std::uint64_t> pruned_by_input;

    [[nodiscard]] EdgeIndex num_edges() const { return static_cast<EdgeIndex>(column.size()); }
    /// Whether the CSC view exists, so that update order is CSC order.
    [[nodiscard]] bool by_input() const { return !column_start.empty(); }
};

struct DenseCpuLayer final : CpuLayer {
    ~DenseCpuLayer() override { end_use(); }

    AlignedVector<float> weights;             // [num_outputs][num_inputs]
    std::vector<AlignedVector<float>> state;  // [num_states], as weights
};

}  // namespace espalier
