// A layer's topology at rest, in host memory and canonical order: CSR by output neuron, inputs ascending, so the edges
// are sorted by cell = output * num_inputs + input. No cell occurs twice.
#pragma once

#include <numeric>
#include <string>
#include <vector>

#include "espalier/index.hpp"
#include "espalier/initialization.hpp"
#include "espalier/random.hpp"

namespace espalier {

/// Which cells of a layer of num_inputs x num_outputs hold an edge (CSR). fault() says what breaks an invariant.
struct Topology {
    Index num_inputs = 0;
    Index num_outputs = 0;
    std::vector<EdgeIndex> row_start;  // num_outputs + 1
    std::vector<Index> column;         // num_edges; the input of each edge

    [[nodiscard]] EdgeIndex num_edges() const { return static_cast<EdgeIndex>(column.size()); }
    [[nodiscard]] Cell num_cells() const { return Cell{num_inputs} * num_outputs; }
    [[nodiscard]] double density() const { return static_cast<double>(num_edges()) / static_cast<double>(num_cells()); }
};

/// The same edges by input neuron (CSC): slot[e] is the canonical slot of the e-th edge in that order.
struct TransposedView {
    std::vector<EdgeIndex> column_start;  // num_inputs + 1
    std::vector<Index> row;               // num_edges; the output of each edge, ascending within an input
    std::vector<EdgeIndex> slot;          // num_edges
};

/// The edges one by one, in canonical order.
struct CooEdges {
    std::vector<Index> row;
    std::vector<Index> column;
};

/// Edges per input neuron and per output neuron, neurons without an edge counted as 0.
struct Degrees {
    std::vector<EdgeIndex> inputs;   // num_inputs
    std::vector<EdgeIndex> outputs;  // num_outputs
};

TransposedView transposed(const Topology& topology);
CooEdges coo(const Topology& topology);
Degrees degrees(const Topology& topology);

/// What breaks an invariant (order, range, duplicates, sizes), in words; empty if nothing does.
std::string fault(const Topology& topology);

/// Builds a topology from cells in ascending order, without repeats.
Topology from_cells(Index num_inputs, Index num_outputs, const std::vector<Cell>& cells);

/// The topology in which every cell holds an edge: a dense layer seen as a sparse one.
inline Topology full_topology(Index num_inputs, Index num_outputs) {
    Topology topology{num_inputs, num_outputs, std::vector<EdgeIndex>(std::size_t{num_outputs} + 1), {}};
    topology.column.resize(std::size_t{num_inputs} * num_outputs);
    for (Index r = 0; r < num_outputs; ++r) {
        topology.row_start[r + 1] = topology.row_start[r] + num_inputs;
        const auto row = topology.column.begin() + topology.row_start[r];
        std::iota(row, row + num_inputs, Index{0});
    }
    return topology;
}

/// An Erdős–Rényi topology of about (ExactCount: exactly) `num_edges` edges; for WithReplacement that is the number of
/// draws. Throws UserError (usage) when num_edges exceeds the number of cells, unless it counts draws.
Topology random_topology(Index num_inputs, Index num_outputs, Cell num_edges, const BirthLaw& law,
                         const Stream& stream);

/// floor(epsilon * (num_inputs + num_outputs)), the SET papers' edge count; all cells where that is more than there are,
/// as the SET programs do. Throws UserError (usage) if epsilon is below 0 or no number.
Cell edges_by_epsilon(Index num_inputs, Index num_outputs, double epsilon);

/// Edge counts of several layers at one overall sparsity by Erdős–Rényi-kernel densities: density of layer l
/// proportional to (in + out) / (in * out), layers that would exceed 1 made dense.
/// Source: Evci et al., "Rigging the lottery", ICML 2020, section 3.
std::vector<Cell> edges_by_erk(const std::vector<Index>& widths, double sparsity);

}  // namespace espalier
