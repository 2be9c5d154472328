// Pruned layers with evidence, for tests of growth by gradient.
#pragma once

#include <cmath>
#include <vector>

#include "espalier/backend.hpp"
#include "grow_cases.hpp"

namespace espalier {

/// Activations as the CPU backend holds them, lanes past the batch being NaN, which nobody may look at.
struct HostActivations {
    std::vector<float> memory;
    Index rows, batch;

    HostActivations(const oracle::Matrix& values, Index lanes = 64)
        : rows(static_cast<Index>(values.rows)), batch(static_cast<Index>(values.columns)), lanes_(lanes) {
        memory.assign(Activations{nullptr, rows, batch, lanes}.size(), std::nanf(""));
        const Activations view{memory.data(), rows, batch, lanes};
        for (Index r = 0; r < rows; ++r) {
            for (Index s = 0; s < batch; ++s) view.at(r, s) = static_cast<float>(values(r, s));
        }
    }
    [[nodiscard]] ConstActivations view() const { return {memory.data(), rows, batch, lanes_}; }

private:
    Index lanes_;
};

/// A layer of which every `step`-th edge was pruned (0: none), with evidence.
struct GradientCase {
    Topology topology;
    std::vector<EdgeIndex> pruned;
    HostActivations x, dz;
    std::vector<float> gradients;  // by cell

    GradientCase(Topology given, EdgeIndex step, const oracle::Matrix& inputs, const oracle::Matrix& by_outputs)
        : topology(std::move(given)), x(inputs), dz(by_outputs) {
        const auto edges = static_cast<EdgeIndex>(topology.num_edges());
        for (EdgeIndex slot = 0; step > 0 && slot < edges; slot += step) pruned.push_back(slot);
        for (Cell cell = 0; cell < topology.num_cells(); ++cell) gradients.push_back(gradient(cell));
    }
    [[nodiscard]] CsrView view() const { return csr_view(topology); }
    [[nodiscard]] Evidence evidence() const { return {x.view(), dz.view()}; }
    [[nodiscard]] std::vector<Cell> missing(bool allow_removed) const {
        return missing_cells(topology, pruned, allow_removed);
    }

private:
    [[nodiscard]] float gradient(Cell cell) const {
        float sum = 0;
        for (Index s = 0; s < x.batch; ++s) {
            sum = std::fmaf(dz.view().at(static_cast<Index>(cell / topology.num_inputs), s),
                            x.view().at(static_cast<Index>(cell % topology.num_inputs), s), sum);
        }
        return sum;
    }
};

template <class Key>
Replacement<Key> change_of(const GradientCase& layer, EdgeIndex count, bool allow_removed) {
    Replacement<Key> change;
    change.pruned = layer.pruned.data();
    change.num_pruned = static_cast<EdgeIndex>(layer.pruned.size());
    change.num_grown = count;
    change.allow_removed = allow_removed;
    return change;
}

}  // namespace espalier
